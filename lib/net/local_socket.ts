/** Sockets of this machine alone: how an operator talks to a running server (Unix domain). */
import { CifraError } from "../errors.ts";
import { delay } from "../flow/delay.ts";
import { ACCEPT_PAUSE } from "../limits.ts";
import { codeOf, isNotAllowed, meaningOf, platformFailure } from "../platform_errors.ts";
import { systemTime } from "./system_time.ts";

/** One end of a connection on this machine. */
export type LocalConnection = Deno.UnixConn;

/**
 * Listens on a socket file, whose folder keeps others out; one left over from a program that was killed is
 * replaced. Returns what ends it. Throws `local`.
 */
export function listenLocally(
  path: string,
  onConnection: (connection: LocalConnection) => void,
): () => void {
  let listener: Deno.UnixListener;
  try {
    removeIfThere(path);
    listener = Deno.listen({ transport: "unix", path });
    Deno.chmodSync(path, 0o600);
  } catch (cause) {
    throw platformFailure(`Cannot listen on ${path}`, cause);
  }
  const over = new AbortController();
  acceptAll(listener, onConnection, over.signal);
  return () => {
    over.abort();
    listener.close();
    try {
      removeIfThere(path);
    } catch {
      // Without the permission it is left, and replaced by the next one.
    }
  };
}

/** Hands over every connection. Running out of descriptors is waited out: whoever listens must stay in reach. */
async function acceptAll(
  listener: Deno.UnixListener,
  onConnection: (connection: LocalConnection) => void,
  over: AbortSignal,
): Promise<void> {
  while (!over.aborted) {
    const connection = await listener.accept().catch(() => undefined);
    if (connection) onConnection(connection);
    else await delay(systemTime, ACCEPT_PAUSE, over);
  }
}

/** Connects to a socket file; throws `unreachable` when nobody listens there, `local` when we may not. */
export async function dialLocally(path: string): Promise<LocalConnection> {
  try {
    return await Deno.connect({ transport: "unix", path });
  } catch (cause) {
    if (isNotAllowed(cause)) {
      throw new CifraError("local", `Cannot use ${path}: it is another user's, or out of reach`, {
        cause,
      });
    }
    if (!["ENOENT", "ECONNREFUSED", "ENOTSOCK"].includes(codeOf(cause) ?? "")) {
      const { why, hint } = meaningOf(cause);
      throw new CifraError("unreachable", `Cannot reach ${path}: ${why}`, {
        cause,
        ...hint !== undefined && { hint },
      });
    }
    throw new CifraError("unreachable", "No server is running here", {
      cause,
      hint: "start one with cifra serve, or name its folder with --state",
    });
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
