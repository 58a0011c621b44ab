/** The sockets of this machine, with a hand on each: counted, cut, refused, or swallowed. */
import { CifraError } from "../../lib/errors.ts";
import { type Listening, type Network, systemEnvironment } from "../../lib/net/environment.ts";
import type { TcpTransport } from "../../lib/net/transports.ts";
import { type Endpoint, formatEndpoint } from "../../lib/wire/address.ts";

/** Where was dialled, and from which port. */
export interface Dial {
  readonly from: number | undefined;
  readonly to: Endpoint;
}

/** A network as one program has it. */
export class TestNetwork implements Network {
  readonly #network: Network;
  readonly #open = new Map<TcpTransport, () => void>();
  readonly #swallowed = new Set<TcpTransport>();
  readonly #listening = new Set<Listening>();
  readonly dials: Dial[] = [];
  /** What its machine calls its addresses. */
  own: readonly string[] = [];
  /** How many connections there were. */
  given = 0;
  /** Whether a dial there is refused. */
  refuses: (to: Endpoint) => boolean = () => false;

  constructor(network: Network = systemEnvironment.network) {
    this.#network = network;
  }

  /** Connections that are not closed. */
  get open(): number {
    return this.#open.size;
  }

  /** Ports that are open. */
  get listening(): number {
    return this.#listening.size;
  }

  listen(hosts: readonly string[], port: number): Listening {
    const listener = this.#network.listen(hosts, port);
    const counted: Listening = {
      port: listener.port,
      endpoints: listener.endpoints,
      acceptAll: (take, onTrouble) =>
        listener.acceptAll((transport) => take(this.count(transport)), onTrouble),
      close: () => {
        this.#listening.delete(counted);
        listener.close();
      },
    };
    this.#listening.add(counted);
    return counted;
  }

  async dial(host: string, port: number, deadline?: number): Promise<TcpTransport> {
    this.#attempt({ from: undefined, to: { host, port } });
    return this.count(await this.#network.dial(host, port, deadline));
  }

  async dialFrom(from: number, to: Endpoint, signal?: AbortSignal): Promise<TcpTransport> {
    this.#attempt({ from, to });
    return this.count(await this.#network.dialFrom(from, to, signal));
  }

  findFreePort(host: string): number {
    return this.#network.findFreePort(host);
  }

  addresses(): readonly string[] {
    return this.own;
  }

  /** The open connections began at this address, whatever the system says. */
  standAt(host: string): void {
    for (const transport of this.#open.keys()) {
      const { port } = transport.local;
      Object.defineProperty(transport, "local", { value: { host, port } });
    }
  }

  /** Ends the open connections that fit, as a router does that forgets them. */
  cut(fits: (transport: TcpTransport) => boolean = () => true): void {
    for (const [transport, close] of [...this.#open]) {
      if (fits(transport)) close();
    }
  }

  /** From now on nothing moves on the connections that are open, and none of them ends. */
  swallow(): void {
    for (const transport of this.#open.keys()) this.#swallowed.add(transport);
  }

  /** Counts a connection until it is closed. */
  count(transport: TcpTransport): TcpTransport {
    const closed = Promise.withResolvers<never>();
    closed.promise.catch(() => {});
    const close = transport.close.bind(transport);
    const read = transport.read.bind(transport), write = transport.write.bind(transport);
    this.given++;
    this.#open.set(transport, close);
    transport.read = async (buffer) => {
      const arrived = await read(buffer);
      return this.#swallowed.has(transport) ? await closed.promise : arrived;
    };
    transport.write = (data) =>
      this.#swallowed.has(transport) ? Promise.resolve(data.length) : write(data);
    transport.close = () => {
      this.#open.delete(transport);
      closed.reject(new Error("Closed"));
      close();
    };
    return transport;
  }

  #attempt(dial: Dial): void {
    this.dials.push(dial);
    if (!this.refuses(dial.to)) return;
    throw new CifraError("unreachable", `Cannot reach ${formatEndpoint(dial.to)}: refused`);
  }
}
