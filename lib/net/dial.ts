/** Dialling over TCP: a host by name, or an address from a local port of our choice. */
import { connect as connectSocket, type Socket, type TcpNetConnectOpts } from "node:net";
import { CifraError } from "../errors.ts";
import { delay } from "../flow/delay.ts";
import { DIAL_DEADLINE } from "../limits.ts";
import { type Endpoint, formatEndpoint } from "../wire/address.ts";
import { isNeverDialled, NEVER_DIALLED_WHY } from "./never_dialled.ts";
import { isNotImplemented, isPortBusy, reasonOf } from "../platform_errors.ts";
import { systemTime } from "./system_time.ts";
import { Arrivals, ConnTransport, SocketTransport, type TcpTransport } from "./transports.ts";

/** Dials a host, which may be a name, within a deadline. Throws `unreachable`. */
export async function dial(
  host: string,
  port: number,
  deadline: number = DIAL_DEADLINE,
): Promise<TcpTransport> {
  requireDialled({ host, port });
  const connecting = Deno.connect({ hostname: host, port, transport: "tcp" });
  const answered = new AbortController();
  try {
    const late = delay(systemTime, deadline, answered.signal);
    const conn = await Promise.race([connecting, late]);
    if (conn) {
      // A name may stand for anything.
      if (isNeverDialled(conn.remoteAddr.hostname)) {
        conn.close();
        throw neverDialled();
      }
      return new ConnTransport(conn);
    }
    connecting.then((conn) => conn.close(), () => {});
    throw new Error("no answer");
  } catch (error) {
    throw unreachable({ host, port }, error);
  } finally {
    answered.abort();
  }
}

/**
 * Dials an address from a local port of our choice, so that a firewall rule can name it and a router
 * between us and the other side knows it. Throws `unreachable`, after `deadline` milliseconds at the
 * latest and at once when `signal` is aborted; `cause` names what the system said of a port in use.
 *
 * Two that are behind routers each meet by dialling, both and from the port that the other was told,
 * for as long as the deadline lets them: their first packets need not cross, since each is sent again
 * until it is answered. Only a router that refuses what it does not expect makes them dial anew.
 */
export async function dialFrom(
  localPort: number,
  remote: Endpoint,
  signal?: AbortSignal,
  deadline: number = DIAL_DEADLINE,
): Promise<TcpTransport> {
  const giveUp = new AbortController();
  const stop = () => giveUp.abort(new Error("given up"));
  const cancel = systemTime.after(deadline, () => giveUp.abort(new Error("no answer")));
  signal?.addEventListener("abort", stop);
  if (signal?.aborted) stop();
  try {
    requireDialled(remote);
    requireLocalPort(localPort, remote);
    try {
      return await dialOnceFrom(localPort, remote, giveUp.signal);
    } catch (error) {
      if (!isPortBusy(error)) throw error;
      // The port of a connection that has just ended may be free again a moment later.
      await delay(systemTime, PORT_BUSY_PAUSE, giveUp.signal);
      return await dialOnceFrom(localPort, remote, giveUp.signal);
    }
  } catch (error) {
    throw unreachable(remote, error);
  } finally {
    cancel();
    signal?.removeEventListener("abort", stop);
  }
}

/** Between the two tries from a port that is in use. */
const PORT_BUSY_PAUSE = 50;

/** Throws `unreachable` for an address that is never dialled. */
function requireDialled(remote: Endpoint): void {
  if (isNeverDialled(remote.host)) throw unreachable(remote, neverDialled());
}

function neverDialled(): Error {
  return new Error(NEVER_DIALLED_WHY);
}

/**
 * Throws when the platform does not let us use the port. Its socket asks as well, but throws where
 * nobody can catch it, and the program ends.
 */
function requireLocalPort(localPort: number, { host }: Endpoint): void {
  if (localPort === 0) return;
  const any = formatEndpoint({ host: host.includes(":") ? "::" : "0.0.0.0", port: localPort });
  const { state } = Deno.permissions.requestSync({ name: "net", host: any });
  if (state !== "granted") throw new Error(`dialling from port ${localPort} is not allowed`);
}

function dialOnceFrom(
  localPort: number,
  { host, port }: Endpoint,
  signal: AbortSignal,
): Promise<TcpTransport> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const arrivals = new Arrivals();
    const socket = openSocket({ host, port, localPort, allowHalfOpen: true }, arrivals);
    const giveUp = () => {
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener("abort", giveUp);
    // Stays, since a socket may fail again while it is being destroyed.
    socket.on("error", (error) => {
      signal.removeEventListener("abort", giveUp);
      reject(error);
    });
    socket.once("connect", () => {
      signal.removeEventListener("abort", giveUp);
      resolve(new SocketTransport(socket, arrivals, { host, port }));
    });
  });
}

/** False once a Deno before 2.8, as the base of an executable may be one, has said that it fills no buffer of ours. */
let fillsBuffers = true;

function openSocket(options: TcpNetConnectOpts, arrivals: Arrivals): Socket {
  if (fillsBuffers) {
    try {
      return connectSocket({ ...options, onread: arrivals.onread });
    } catch (error) {
      if (!isNotImplemented(error)) throw error;
      fillsBuffers = false;
    }
  }
  const socket = connectSocket(options);
  arrivals.listenTo(socket);
  return socket;
}

/** A port that nobody uses at the moment, for dials to come from. */
export function findFreePort(host: string): number {
  const listener = Deno.listen({ hostname: host, port: 0, transport: "tcp" });
  const { port } = listener.addr;
  listener.close();
  return port;
}

function unreachable(where: Endpoint, cause: unknown): CifraError {
  const message = `Cannot reach ${formatEndpoint(where)}: ${reasonOf(cause)}`;
  return new CifraError("unreachable", message, { cause });
}
