/** Dialling a server, and why a server that was dialled did not become a connection. */
import { CifraError, ERRORS } from "../errors.ts";
import type { Environment } from "../net/environment.ts";
import { isPortBusy } from "../platform_errors.ts";
import type { TcpTransport } from "../net/transports.ts";
import { canonicalAddress } from "../wire/address.ts";
import { isLoopback, type ServerAddress } from "./server_address.ts";

/** Where a server is, and where it is dialled from. */
export interface ServerPlace {
  readonly environment: Environment;
  readonly address: ServerAddress;
  /** The port to dial from, so that the server sees where our dials come from; any other if that is not possible. */
  readonly sendPort?: number | undefined;
}

/**
 * Dials from the send port when peers may come the same way (the server has an address, which is not this
 * machine's), otherwise from any port. Throws `unreachable`.
 */
export async function dialServer(options: ServerPlace): Promise<TcpTransport> {
  const { environment: { network }, address, sendPort } = options;
  const host = canonicalAddress(address.host);
  if (sendPort !== undefined && host && !isLoopback(address)) {
    try {
      return await network.dialFrom(sendPort, { host, port: address.port });
    } catch (error) {
      // The port of a connection that has just ended is not free at once: then from any other.
      if (!isPortBusy((error as Error).cause)) throw error;
    }
  }
  return await network.dial(address.host, address.port);
}

/**
 * What came before the ladder was done, as nobody's proven word; `isKnown`: the server is pinned. What we find
 * ourselves, with our files or of its key, stays as it is.
 */
export function unproven(error: unknown, isKnown: boolean): unknown {
  if (!(error instanceof CifraError)) return error;
  const { fault } = ERRORS[error.code];
  if (fault === "ours" || fault === "trust") return error;
  const { code, message, cause, hint, retryAfter } = error;
  return new CifraError(code, message, {
    cause,
    ...(hint !== undefined && { hint }),
    ...(retryAfter !== undefined && { retryAfter }),
    claimant: isKnown ? "known" : "stranger",
  });
}

/**
 * The error of a handshake with a server, with what a person can do about it: a server that hangs up before
 * its first word has no room, or has had enough of us. Every other error stays as it is.
 */
export function explainRefusal(error: unknown, suite: string, invited: boolean): unknown {
  if (!(error instanceof CifraError)) return error;
  if (error.code === "suite_refused") {
    return new CifraError("suite_refused", `The server does not accept the suite ${suite}`, {
      cause: error,
    });
  }
  if (error.code !== "cut") return error;
  return new CifraError("cut", "The server hung up during the key agreement", {
    cause: error,
    hint: invited
      ? "it may be full, this machine's clock may be wrong by hours, or the invite is no longer good: " +
        "ask for a new line and use --invite"
      : "it may be full or refuse this address for a while; try again in a minute",
  });
}
