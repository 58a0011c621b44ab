/** A network in which the test decides whom a server can write to. */
import { systemEnvironment } from "../../lib/net/environment.ts";
import type { Time } from "../../lib/flow/time.ts";
import type { Environment, Listening } from "../../lib/net/environment.ts";
import type { TcpTransport } from "../../lib/net/transports.ts";

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
