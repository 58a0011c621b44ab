/** Listening for TCP connections. */
import { CifraError } from "../errors.ts";
import { delay } from "../flow/delay.ts";
import { ACCEPT_PAUSE } from "../limits.ts";
import type { Endpoint } from "../wire/address.ts";
import { isNotAllowed, isNotOurAddress, isPortBusy, platformFailure } from "../platform_errors.ts";
import { systemTime } from "./system_time.ts";
import { ConnTransport, endpointOf, type TcpTransport } from "./transports.ts";

/** For this the system asks for more than to be a user. */
const LOW_PORT = "ports below 1024 are for root alone: choose a higher one with --port";

const EVERY_IPV4 = "0.0.0.0", EVERY_IPV6 = "::";

/** An open listening port. */
export class Listener {
  readonly #listeners: readonly Deno.TcpListener[];
  #closed = false;

  private constructor(listeners: readonly Deno.TcpListener[]) {
    this.#listeners = listeners;
  }

  /**
   * Listens on every host that this machine has of `hosts`, all on one port; 0 takes any free one.
   * Throws `local` when the port is taken or none of the hosts is ours.
   */
  static open(hosts: readonly string[], port: number): Listener {
    // With port 0 the first host chooses, and its choice may be taken on another: choose again.
    for (let attempt = 0;; attempt++) {
      const listeners: Deno.TcpListener[] = [];
      let chosen = port;
      try {
        for (const hostname of inOrder(hosts)) {
          const isCovered = hostname === EVERY_IPV4 && listeners.some(takesIpv4);
          const listener = tryListen(hostname, chosen, hosts.length > 1, isCovered);
          if (!listener) continue;
          listeners.push(listener);
          chosen = listener.addr.port;
        }
        if (listeners.length > 0) return new Listener(listeners);
        throw new CifraError(
          "local",
          `Cannot listen on ${hosts.join(" or ")}: not on this machine`,
        );
      } catch (error) {
        for (const listener of listeners) listener.close();
        if (port === 0 && attempt < 8 && isPortBusy(error)) continue;
        if (isPortBusy(error)) {
          throw new CifraError("local", `Cannot listen on port ${chosen}: it is in use`, {
            cause: error,
            hint: "choose another with --port, or 0 for any free one",
          });
        }
        throw platformFailure(`Cannot listen on port ${chosen}`, error, {
          ...isNotAllowed(error) && chosen < 1024 && { hint: LOW_PORT },
        });
      }
    }
  }

  get port(): number {
    return this.#listeners[0]!.addr.port;
  }

  /** Where it listens. */
  get endpoints(): readonly Endpoint[] {
    return this.#listeners.map(({ addr }) => endpointOf(addr));
  }

  /**
   * Hands every connection to `take` until the listener is closed. Running out of descriptors is
   * told to `onTrouble` and waited out, never fatal; a caller who hung up before is passed over.
   */
  async acceptAll(
    take: (transport: TcpTransport) => void,
    onTrouble: (error: Error) => void = () => {},
  ): Promise<void> {
    await Promise.all(this.#listeners.map(async (listener) => {
      while (!this.#closed) {
        try {
          take(new ConnTransport(await listener.accept()));
        } catch (error) {
          if (this.#closed) return;
          // A stranger's doing: a pause for each would keep everybody else waiting.
          if (error instanceof Deno.errors.NotConnected) continue;
          onTrouble(error as Error);
          await delay(systemTime, ACCEPT_PAUSE);
        }
      }
    }));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const listener of this.#listeners) listener.close();
  }
}

/** Where there is IPv6, `::` usually takes IPv4 as well, and goes first: after the other it would fail. */
function inOrder(hosts: readonly string[]): readonly string[] {
  return [...hosts].sort((a, b) => Number(b === EVERY_IPV6) - Number(a === EVERY_IPV6));
}

function takesIpv4({ addr }: Deno.TcpListener): boolean {
  return addr.hostname === EVERY_IPV6 && Deno.build.os !== "windows";
}

/**
 * A host that is one of several may be missing, such as ::1 on a machine without IPv6; or it is covered by
 * one before it, and then the port is in use by us.
 */
function tryListen(
  hostname: string,
  port: number,
  mayBeMissing: boolean,
  isCovered: boolean,
): Deno.TcpListener | undefined {
  try {
    return Deno.listen({ hostname, port, transport: "tcp" });
  } catch (error) {
    if (isCovered && isPortBusy(error)) return undefined;
    if (isNotOurAddress(error)) {
      if (mayBeMissing) return undefined;
      throw new CifraError("local", `Cannot listen on ${hostname}: it is not an address of ours`, {
        cause: error,
      });
    }
    throw error;
  }
}
