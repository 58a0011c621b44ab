/** A world for the server in which the test holds the clock, and decides whom the server can write to. */
import { systemEnvironment } from "../../lib/net/environment.ts";
import type { Time } from "../../lib/flow/time.ts";
import type { Environment, Listening } from "../../lib/net/environment.ts";
import type { TcpTransport } from "../../lib/net/transports.ts";

/** Time that stands still until it is told to go on. */
export class ManualTime implements Time {
  #now = 0;
  #alarms = new Map<number, { readonly at: number; readonly action: () => void }>();
  #last = 0;

  /** Alarms that have not gone off. */
  get pending(): number {
    return this.#alarms.size;
  }

  // Handed around by themselves, as the system's are.
  readonly now = (): number => this.#now;

  readonly date = (): number => Date.UTC(2030, 0, 1) + this.#now;

  readonly after = (milliseconds: number, action: () => void): () => void => {
    const id = ++this.#last;
    this.#alarms.set(id, { at: this.#now + milliseconds, action });
    return () => this.#alarms.delete(id);
  };

  /** Goes on; each alarm on the way goes off at its moment. */
  advance(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (;;) {
      const due = [...this.#alarms].filter(([, { at }]) => at <= end)
        .sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) break;
      const [id, { at, action }] = due;
      this.#alarms.delete(id);
      this.#now = at;
      action();
    }
    this.#now = end;
  }
}

/** Sockets of this machine, and a hand on what the server writes to each client. */
export class Valve {
  readonly #shut = new Map<number, PromiseWithResolvers<void>>();

  /** The environment of a server whose writes go through this valve. */
  environment(time: Time = systemEnvironment.time): Environment {
    const { network, random } = systemEnvironment;
    const listen = (hosts: readonly string[], port: number): Listening => {
      const listener = network.listen(hosts, port);
      return {
        get port() {
          return listener.port;
        },
        get endpoints() {
          return listener.endpoints;
        },
        acceptAll: (take, onTrouble) =>
          listener.acceptAll((transport) => take(this.#behind(transport)), onTrouble),
        close: () => listener.close(),
      };
    };
    return { time, network: { ...network, listen }, random };
  }

  /** From now on no write to the client with this port finishes, as if it read nothing. */
  shut(port: number): void {
    this.#shut.set(port, Promise.withResolvers());
  }

  /** Writes to it finish again. */
  open(port: number): void {
    this.#shut.get(port)?.resolve();
    this.#shut.delete(port);
  }

  #behind(transport: TcpTransport): TcpTransport {
    const { remote, local } = transport;
    const closed = Promise.withResolvers<void>();
    let isClosed = false;
    return {
      remote,
      local,
      read: (buffer) => transport.read(buffer),
      write: async (data) => {
        const shut = this.#shut.get(remote.port);
        if (shut) await Promise.race([shut.promise, closed.promise]);
        if (isClosed) throw new Deno.errors.BrokenPipe("Closed");
        return await transport.write(data);
      },
      closeWrite: () => transport.closeWrite(),
      close: () => {
        isClosed = true;
        closed.resolve();
        transport.close();
      },
    };
  }
}
