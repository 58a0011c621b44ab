/** Both kinds of the platform's TCP sockets as transports. */
import type { OnReadOpts, Socket } from "node:net";
import type { Bytes } from "../bytes.ts";
import type { Transport } from "../channel/transport.ts";
import { Signal } from "../flow/signal.ts";
import { READ_BUFFER_MAXIMUM } from "../limits.ts";
import { canonicalAddress, type Endpoint } from "../wire/address.ts";

/** A transport that knows who is at its other end. */
export interface TcpTransport extends Transport {
  readonly remote: Endpoint;
  readonly local: Endpoint;
}

/** An address of the platform as an endpoint, without the zone of a link-local one. */
export function endpointOf(address: Deno.Addr): Endpoint {
  const { hostname, port } = address as Deno.NetAddr;
  return { host: canonicalAddress(hostname.replace(/%.*$/, "")) ?? hostname, port };
}

/** A connection of `Deno.listen` or `Deno.connect`. */
export class ConnTransport implements TcpTransport {
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
export class SocketTransport implements TcpTransport {
  readonly remote: Endpoint;
  readonly local: Endpoint;
  readonly #socket: Socket;
  readonly #arrivals: Arrivals;
  #ended = false;
  #closed = false;
  #error: Error | undefined;

  /** `arrivals` is what the socket was made with. */
  constructor(socket: Socket, arrivals: Arrivals, remote: Endpoint) {
    this.#socket = socket;
    this.#arrivals = arrivals;
    this.remote = remote;
    this.local = { host: socket.localAddress ?? "", port: socket.localPort ?? 0 };
    socket.setNoDelay(true);
    const { news } = arrivals;
    socket.on("end", () => {
      this.#ended = true;
      news.notify();
    });
    socket.on("error", (error) => {
      this.#error = error;
      news.notify();
    });
    socket.on("close", () => {
      this.#error ??= new Error("Socket closed");
      news.notify();
    });
  }

  async read(buffer: Bytes): Promise<number | null> {
    const arrivals = this.#arrivals;
    for (;;) {
      if (this.#closed) throw new Error("Socket closed");
      if (arrivals.length > 0) {
        const count = arrivals.take(buffer);
        if (arrivals.length === 0) this.#socket.resume();
        return count;
      }
      if (this.#ended) return null;
      if (this.#error) throw this.#error;
      await arrivals.news.wait();
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
    this.#socket.destroy();
    this.#arrivals.news.notify();
  }
}

/**
 * What arrives on a socket of `node:net`: one buffer that the system fills itself. Otherwise each read costs a new
 * one, and a copy of it. It is filled again only when all of it was taken: what the program does not take, the
 * network must not send.
 */
export class Arrivals {
  readonly #buffer: Bytes = new Uint8Array(READ_BUFFER_MAXIMUM);
  #waiting: Bytes = this.#buffer.subarray(0, 0);
  /** Something has arrived. */
  readonly news = new Signal();

  /** How the socket is to read. */
  readonly onread: OnReadOpts = {
    buffer: this.#buffer,
    callback: (count) => {
      this.#arrive(this.#buffer.subarray(0, count));
      // Pauses the socket.
      return false;
    },
  };

  /** The same for a socket of a Deno before 2.8, which fills no buffer of ours. */
  listenTo(socket: Socket): void {
    socket.on("data", (chunk: Uint8Array) => {
      socket.pause();
      this.#arrive(new Uint8Array(chunk));
    });
  }

  /** Bytes that wait to be taken. */
  get length(): number {
    return this.#waiting.length;
  }

  /** Copies what fits into `to`, and says how much that was. */
  take(to: Bytes): number {
    const count = Math.min(this.length, to.length);
    to.set(this.#waiting.subarray(0, count));
    this.#waiting = this.#waiting.subarray(count);
    return count;
  }

  #arrive(bytes: Bytes): void {
    this.#waiting = bytes;
    this.news.notify();
  }
}
