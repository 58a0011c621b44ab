/** Both kinds of the platform's TCP sockets as transports. */
import type { Socket } from "node:net";
import type { Bytes } from "../bytes.ts";
import type { Transport } from "../channel/transport.ts";
import { Signal } from "../flow/signal.ts";
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
  #chunks: Bytes[] = [];
  #ended = false;
  #closed = false;
  #error: Error | undefined;
  /** Something has arrived, or it is over. */
  readonly #news = new Signal();

  constructor(socket: Socket, remote: Endpoint) {
    this.#socket = socket;
    this.remote = remote;
    this.local = { host: socket.localAddress ?? "", port: socket.localPort ?? 0 };
    socket.setNoDelay(true);
    socket.on("data", (chunk: Uint8Array) => {
      // One piece at a time: what the program does not take, the network must not send.
      socket.pause();
      this.#chunks.push(new Uint8Array(chunk));
      this.#news.notify();
    });
    socket.on("end", () => {
      this.#ended = true;
      this.#news.notify();
    });
    socket.on("error", (error) => {
      this.#error = error;
      this.#news.notify();
    });
    socket.on("close", () => {
      this.#error ??= new Error("Socket closed");
      this.#news.notify();
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
      await this.#news.wait();
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
    this.#news.notify();
  }
}
