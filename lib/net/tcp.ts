/** TCP: listening, dialling, and both kinds of the platform's sockets as transports. */
import { connect as connectSocket, type Socket } from "node:net";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { ACCEPT_PAUSE, DIAL_DEADLINE } from "../limits.ts";
import type { Transport } from "../channel/transport.ts";
import { canonicalAddress, type Endpoint, formatEndpoint } from "../wire/address.ts";

/** A transport that knows who is at its other end. */
export interface TcpTransport extends Transport {
  readonly remote: Endpoint;
  readonly local: Endpoint;
}

function endpointOf(address: Deno.Addr): Endpoint {
  const { hostname, port } = address as Deno.NetAddr;
  return { host: canonicalAddress(hostname.replace(/%.*$/, "")) ?? hostname, port };
}

class ConnTransport implements TcpTransport {
  readonly #conn: Deno.TcpConn;
  #closed = false;

  constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
    // Small records go out at once: packing is done above, and a round trip must not wait for it.
    conn.setNoDelay(true);
  }

  // Built when asked for: thousands of idle connections do not each keep two of these.
  get remote(): Endpoint {
    return endpointOf(this.#conn.remoteAddr);
  }

  get local(): Endpoint {
    return endpointOf(this.#conn.localAddr);
  }

  read(buffer: Bytes): Promise<number | null> {
    return this.#conn.read(buffer);
  }

  write(data: Bytes): Promise<number> {
    return this.#conn.write(data);
  }

  async closeWrite(): Promise<void> {
    if (this.#closed) return;
    await this.#conn.closeWrite().catch((error) => {
      // Closed meanwhile, our output has ended as well.
      if (!this.#closed) throw error;
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#conn.close();
  }
}

/** A socket of `node:net`, the one interface of the platform that can choose its local port. */
class SocketTransport implements TcpTransport {
  readonly remote: Endpoint;
  readonly local: Endpoint;
  readonly #socket: Socket;
  #chunks: Bytes[] = [];
  #ended = false;
  #closed = false;
  #error: Error | undefined;
  #arrived: PromiseWithResolvers<void> | undefined;

  constructor(socket: Socket, remote: Endpoint) {
    this.#socket = socket;
    this.remote = remote;
    this.local = { host: socket.localAddress ?? "", port: socket.localPort ?? 0 };
    socket.setNoDelay(true);
    socket.on("data", (chunk: Uint8Array) => {
      // One piece at a time: what the program does not take, the network must not send.
      socket.pause();
      this.#chunks.push(new Uint8Array(chunk));
      this.#wake();
    });
    socket.on("end", () => {
      this.#ended = true;
      this.#wake();
    });
    socket.on("error", (error) => {
      this.#error = error;
      this.#wake();
    });
    socket.on("close", () => {
      this.#error ??= new Error("Socket closed");
      this.#wake();
    });
  }

  async read(buffer: Bytes): Promise<number | null> {
    for (;;) {
      if (this.#closed) throw new Error("Socket closed");
      const chunk = this.#chunks.shift();
      if (chunk) {
        const taken = chunk.subarray(0, buffer.length);
        buffer.set(taken);
        if (taken.length < chunk.length) this.#chunks.unshift(chunk.subarray(taken.length));
        else this.#socket.resume();
        return taken.length;
      }
      if (this.#ended) return null;
      if (this.#error) throw this.#error;
      this.#arrived ??= Promise.withResolvers();
      await this.#arrived.promise;
    }
  }

  write(data: Bytes): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#socket.write(data, (error) => error ? reject(error) : resolve(data.length));
    });
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed) return resolve();
      // A socket that is destroyed first may never call back.
      this.#socket.once("close", () => resolve());
      this.#socket.end(() => resolve());
    });
  }

  close(): void {
    this.#closed = true;
    this.#chunks = [];
    this.#socket.destroy();
    this.#wake();
  }

  #wake(): void {
    this.#arrived?.resolve();
    this.#arrived = undefined;
  }
}

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
        if (port === 0 && attempt < 8 && error instanceof Deno.errors.AddrInUse) continue;
        if (error instanceof Deno.errors.AddrInUse) {
          throw new CifraError("local", `Cannot listen on port ${chosen}: it is in use`, {
            cause: error,
            hint: "choose another with --port, or 0 for any free one",
          });
        }
        throw error;
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
          await new Promise((resolve) => setTimeout(resolve, ACCEPT_PAUSE));
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
    if (isCovered && error instanceof Deno.errors.AddrInUse) return undefined;
    if (error instanceof Deno.errors.AddrNotAvailable || /os error 97\b/.test(String(error))) {
      if (mayBeMissing) return undefined;
      throw new CifraError("local", `Cannot listen on ${hostname}: it is not an address of ours`, {
        cause: error,
      });
    }
    throw error;
  }
}

/** Dials a host, which may be a name, within a deadline. Throws `unreachable`. */
export async function dial(
  host: string,
  port: number,
  deadline: number = DIAL_DEADLINE,
): Promise<TcpTransport> {
  const where = formatEndpoint({ host, port });
  const connecting = Deno.connect({ hostname: host, port, transport: "tcp" });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<"expired">((resolve) => {
    timer = setTimeout(() => resolve("expired"), deadline);
  });
  try {
    const conn = await Promise.race([connecting, expired]);
    if (conn === "expired") {
      connecting.then((late) => late.close(), () => {});
      throw unreachable(where, "no answer");
    }
    return new ConnTransport(conn);
  } catch (error) {
    throw error instanceof CifraError ? error : unreachable(where, reason(error), error);
  } finally {
    clearTimeout(timer);
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
  const timer = setTimeout(() => giveUp.abort(new Error("no answer")), deadline);
  signal?.addEventListener("abort", stop);
  if (signal?.aborted) stop();
  try {
    requireLocalPort(localPort, remote);
    try {
      return await dialOnceFrom(localPort, remote, giveUp.signal);
    } catch (error) {
      if (!isPortBusy(error)) throw error;
      // The port of a connection that has just ended may be free again a moment later.
      await pause(PORT_BUSY_PAUSE, giveUp.signal);
      return await dialOnceFrom(localPort, remote, giveUp.signal);
    }
  } catch (error) {
    throw unreachable(formatEndpoint(remote), reason(error), error);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

/** Between the two tries from a port that is in use. */
const PORT_BUSY_PAUSE = 50;

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
    const socket = connectSocket({ host, port, localPort, allowHalfOpen: true });
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
      resolve(new SocketTransport(socket, { host, port }));
    });
  });
}

/** Resolves after `milliseconds`; rejects as soon as `signal` is aborted. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", stop);
  });
}

/** What the system calls a port that a connection to the same place, or a listener, still has. */
function isPortBusy(error: unknown): boolean {
  return /EADDRINUSE|EADDRNOTAVAIL|EINVAL/.test(String(error));
}

/** A port that nobody uses at the moment, for dials to come from. */
export function findFreePort(host: string): number {
  const listener = Deno.listen({ hostname: host, port: 0, transport: "tcp" });
  const { port } = listener.addr;
  listener.close();
  return port;
}

function unreachable(where: string, why: string, cause?: unknown): CifraError {
  return new CifraError("unreachable", `Cannot reach ${where}: ${why}`, { cause });
}

function reason(error: unknown): string {
  if (error instanceof Deno.errors.ConnectionRefused) return "nobody listens there";
  const message = error instanceof Error ? error.message : String(error);
  if (/ECONNREFUSED/.test(message)) return "nobody listens there";
  if (isPortBusy(error)) return "the port to dial from is in use";
  if (/lookup|resolve|ENOTFOUND/i.test(message)) return "its name does not resolve";
  if (/unreachable|EHOSTUNREACH|ENETUNREACH/i.test(message)) return "no route to it";
  return message;
}
