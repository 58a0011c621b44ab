/** TCP between the programs of a simulated world: late, in pieces, cut, and silent when a link swallows. */
import type { Bytes } from "../../lib/bytes.ts";
import { CifraError } from "../../lib/errors.ts";
import type { Listening, Network } from "../../lib/net/environment.ts";
import type { TcpTransport } from "../../lib/net/transports.ts";
import { type Endpoint, formatEndpoint } from "../../lib/wire/address.ts";
import { DIAL_DEADLINE } from "../../lib/limits.ts";
import type { Process, World } from "./world.ts";

/** Bytes on their way or unread in one direction. */
const WINDOW = 128 * 1024;
const FIRST_FREE_PORT = 20_000;

interface Port {
  readonly process: Process;
  readonly accept: (transport: TcpTransport) => void;
}

/** The way between two hosts. */
class Link {
  swallows = false;
  readonly #held: (() => void)[] = [];

  /** Does it now, or when the link works again. */
  carry(action: () => void): void {
    if (this.swallows) this.#held.push(action);
    else action();
  }

  mend(): void {
    this.swallows = false;
    for (const action of this.#held.splice(0)) action();
  }
}

/** The network of a world. Hosts are addresses. */
export class Internet {
  readonly world: World;
  /** Sees every byte that is sent. */
  readonly #onBytes: (bytes: Bytes) => void;
  readonly #ports = new Map<string, Port>();
  readonly #links = new Map<string, Link>();
  readonly #sockets = new Set<Socket>();
  readonly #bound = new Set<string>();
  #freePort = FIRST_FREE_PORT;

  constructor(world: World, onBytes: (bytes: Bytes) => void) {
    this.world = world;
    this.#onBytes = onBytes;
  }

  /** From now on nothing passes between two hosts, and nobody is told. */
  swallow(a: string, b: string): void {
    this.world.trace(`nothing passes between ${a} and ${b}`);
    this.#link(a, b).swallows = true;
  }

  /** The way between two hosts works again. */
  mend(a: string, b: string): void {
    this.world.trace(`${a} and ${b} reach each other`);
    this.#link(a, b).mend();
  }

  /** Every connection between two hosts is reset at both ends. */
  cut(a: string, b: string): void {
    this.world.trace(`connections between ${a} and ${b} are cut`);
    for (const socket of [...this.#sockets]) {
      const ends = [socket.local.host, socket.remote.host];
      if (ends.includes(a) && ends.includes(b)) socket.reset();
    }
  }

  /** The network as a program on a host has it. */
  network(process: Process, host: string): Network {
    process.onDeath(() => {
      for (const [key, port] of this.#ports) if (port.process === process) this.#ports.delete(key);
      for (const socket of [...this.#sockets]) if (socket.process === process) socket.die();
    });
    return {
      listen: (_hosts, wanted) => this.#listen(process, host, wanted),
      dial: (remoteHost, port, deadline = DIAL_DEADLINE) =>
        this.#dial(process, { host, port: this.#freePort++ }, { host: remoteHost, port }, deadline),
      dialFrom: (localPort, remote, signal) =>
        this.#dial(process, { host, port: localPort }, remote, DIAL_DEADLINE, signal),
      findFreePort: () => this.#freePort++,
      addresses: () => [host],
    };
  }

  link(socket: Socket): Link {
    return this.#link(socket.local.host, socket.remote.host);
  }

  saw(bytes: Bytes): void {
    this.#onBytes(bytes);
  }

  forget(socket: Socket): void {
    this.#sockets.delete(socket);
    this.#bound.delete(pairOf(socket));
  }

  #link(a: string, b: string): Link {
    const key = a < b ? `${a} ${b}` : `${b} ${a}`;
    let link = this.#links.get(key);
    if (!link) this.#links.set(key, link = new Link());
    return link;
  }

  #listen(process: Process, host: string, wanted: number): Listening {
    const port = wanted === 0 ? this.#freePort++ : wanted;
    const key = formatEndpoint({ host, port });
    if (this.#ports.has(key)) throw new CifraError("local", `Cannot listen on port ${port}`);
    return {
      port,
      endpoints: [{ host, port }],
      acceptAll: (accept) => {
        this.#ports.set(key, { process, accept });
        return Promise.resolve();
      },
      close: () => void (process.alive && this.#ports.delete(key)),
    };
  }

  #dial(
    process: Process,
    local: Endpoint,
    remote: Endpoint,
    deadline: number,
    signal?: AbortSignal,
  ): Promise<TcpTransport> {
    return process.doesLater(() => {
      const { promise, resolve, reject } = Promise.withResolvers<TcpTransport>();
      const { world } = this;
      const where = formatEndpoint(remote);
      let over = false;
      const fail = (why: string) => {
        if (over) return;
        over = true;
        this.#bound.delete(pairOf({ local, remote }));
        const error = new CifraError("unreachable", `Cannot reach ${where}: ${why}`);
        process.wake(() => reject(error));
      };
      if (this.#bound.has(pairOf({ local, remote }))) {
        return Promise.reject(
          new CifraError("unreachable", `Cannot reach ${where}`, {
            cause: new Error("EADDRINUSE"),
          }),
        );
      }
      this.#bound.add(pairOf({ local, remote }));
      world.after(deadline, () => fail("no answer"));
      signal?.addEventListener("abort", () => fail("given up"));
      const link = this.#link(local.host, remote.host);
      world.after(this.#latency(), () =>
        link.carry(() => {
          if (over) return;
          const port = this.#ports.get(where);
          if (!port?.process.alive) {
            world.after(this.#latency(), () => link.carry(() => fail("refused")));
            return;
          }
          const theirs = new Socket(this, port.process, remote, local);
          const ours = new Socket(this, process, local, remote);
          theirs.other = ours;
          ours.other = theirs;
          this.#sockets.add(theirs).add(ours);
          port.process.wake(() => port.accept(theirs));
          world.after(this.#latency(), () =>
            link.carry(() => {
              if (over) return ours.close();
              over = true;
              process.wake(() => resolve(ours));
            }));
        }));
      return promise;
    });
  }

  #latency(): number {
    return latency(this.world);
  }
}

/** Mostly a millisecond or so, and now and then much more. */
function latency({ dice }: World): number {
  return dice.oneIn(50) ? dice.between(10, 400) : dice.between(0.1, 3);
}

function pairOf({ local, remote }: Pick<TcpTransport, "local" | "remote">): string {
  return `${formatEndpoint(local)} ${formatEndpoint(remote)}`;
}

/** One end of a connection. */
class Socket implements TcpTransport {
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly process: Process;
  other: Socket | undefined;
  readonly #internet: Internet;
  #inbox: Bytes[] = [];
  /** Bytes that we have sent and the other end has not read. */
  #underWay = 0;
  #lastArrival = 0;
  #ended = false;
  #closed = false;
  #error: Error | undefined;
  #change: PromiseWithResolvers<void> | undefined;

  constructor(internet: Internet, process: Process, local: Endpoint, remote: Endpoint) {
    this.#internet = internet;
    this.process = process;
    this.local = local;
    this.remote = remote;
  }

  async read(buffer: Bytes): Promise<number | null> {
    for (;;) {
      this.#check();
      const piece = this.#inbox.shift();
      if (piece) {
        const most = Math.min(piece.length, buffer.length);
        const { dice } = this.#internet.world;
        const count = dice.oneIn(4) ? 1 + dice.below(most) : most;
        buffer.set(piece.subarray(0, count));
        if (count < piece.length) this.#inbox.unshift(piece.subarray(count));
        const sender = this.other;
        if (sender) {
          sender.#underWay -= count;
          this.#carry(() => sender.process.wake(() => sender.#changed()));
        }
        return count;
      }
      if (this.#ended) return null;
      await this.#changing();
    }
  }

  async write(data: Bytes): Promise<number> {
    for (;;) {
      this.#check();
      const room = WINDOW - this.#underWay;
      if (room <= 0) {
        await this.#changing();
        continue;
      }
      return await this.process.doesLater(() => {
        const { dice } = this.#internet.world;
        const most = Math.min(room, data.length);
        const content = data.slice(0, dice.oneIn(4) ? 1 + dice.below(most) : most);
        this.#internet.saw(content);
        this.#underWay += content.length;
        this.#carry(() => this.other!.#arrive(content));
        return Promise.resolve(content.length);
      });
    }
  }

  closeWrite(): Promise<void> {
    this.process.does(() => this.#carry(() => this.other!.#end()));
    return Promise.resolve();
  }

  close(): void {
    if (this.#closed) return;
    this.process.does(() => this.#shut());
  }

  /** The program has died: the other end hears of it, now or when it next says something. */
  die(): void {
    if (this.#internet.world.dice.oneIn(4)) {
      this.#closed = true;
      this.#internet.forget(this);
    } else this.#shut();
  }

  /** The connection breaks here, at once. */
  reset(): void {
    if (this.#closed || this.#error) return;
    this.#error = new Error("connection reset");
    this.process.wake(() => this.#changed());
  }

  #shut(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#internet.forget(this);
    this.#carry(() => this.other!.#end());
    this.#changed();
  }

  #arrive(content: Bytes): void {
    if (this.#closed || !this.process.alive) {
      this.#carry(() => this.other?.reset());
      return;
    }
    this.process.wake(() => {
      this.#inbox.push(content);
      this.#changed();
    });
  }

  #end(): void {
    if (this.#closed) return;
    this.process.wake(() => {
      this.#ended = true;
      this.#changed();
    });
  }

  /** In order, after a while, if the link lets it through. */
  #carry(action: () => void): void {
    const { world } = this.#internet;
    const link = this.#internet.link(this);
    this.#lastArrival = Math.max(this.#lastArrival, world.now + latency(world));
    world.after(this.#lastArrival - world.now, () => link.carry(action));
  }

  #check(): void {
    if (this.#closed) throw new Error("closed");
    if (this.#error) throw this.#error;
  }

  async #changing(): Promise<void> {
    this.#change ??= Promise.withResolvers();
    await this.#change.promise;
  }

  #changed(): void {
    this.#change?.resolve();
    this.#change = undefined;
  }
}
