/**
 * A TCP proxy in the test's own process that does to connections what networks do: cuts them at a byte,
 * delays, slows, swallows without a word, refuses. Every wait ends with the proxy.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { concat } from "@std/bytes/concat";
import type { Bytes } from "../../lib/bytes.ts";

/** The way of bytes through the proxy: from whoever dialled it to the target, or back. */
export type Direction = "toTarget" | "toClient";
/** How a connection is ended: in order, or by a reset. */
export type Ending = "fin" | "rst";

/** A host and a port. */
export interface Target {
  readonly host: string;
  readonly port: number;
}

export interface ProxyOptions {
  /** Prepares the faults of a connection before its first byte moves; the first one has number 0. */
  readonly plan?: (connection: ProxyConnection, number: number) => void;
  /** Keeps every byte that is forwarded, for `recorded` and `replay`. */
  readonly record?: boolean;
  /** Where to listen: the default is a free port of 127.0.0.1. */
  readonly at?: Target;
  /** An address of ours by which the target is to see whoever dials; the default is any. */
  readonly from?: string;
}

const HOST = "127.0.0.1";
/** Bytes of one direction that wait for their delay at the most. */
const UNDER_WAY_LIMIT = 4 * 1024 * 1024;
/** A slow direction moves this often in a second. */
const STEPS_PER_SECOND = 50;

/** A hand on the connections to one target. */
export class Proxy {
  /** As in the options; another one counts for connections that come later. */
  plan: ProxyOptions["plan"];
  readonly #target: Target;
  readonly #options: ProxyOptions;
  readonly #connections: ProxyConnection[] = [];
  readonly #news = new News();
  #server: Server | undefined;
  #port = 0;
  #swallows = false;

  private constructor(target: Target, options: ProxyOptions) {
    this.#target = target;
    this.#options = options;
    this.plan = options.plan;
    this.#port = options.at?.port ?? 0;
  }

  /** Listens and forwards to `target`. */
  static async open(target: Target, options: ProxyOptions = {}): Promise<Proxy> {
    const proxy = new Proxy(target, options);
    await proxy.accept();
    return proxy;
  }

  /** Where to dial it. */
  get port(): number {
    return this.#port;
  }

  /** All that ever were, in the order of their coming. */
  get connections(): readonly ProxyConnection[] {
    return this.#connections;
  }

  /** The connection with this number, once it has come. */
  async connection(number: number): Promise<ProxyConnection> {
    await this.#news.until(() => this.#connections.length > number);
    return this.#connections[number]!;
  }

  /** Refuses new connections from now on; those that are there go on. */
  refuse(): void {
    this.#server?.close();
    this.#server = undefined;
  }

  /** Takes new connections again, at the same port. */
  async accept(): Promise<void> {
    if (this.#server) return;
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    this.#server = server;
    server.on("connection", (socket) => this.#welcome(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, this.#options.at?.host ?? HOST, resolve);
    });
    this.#port = (server.address() as { readonly port: number }).port;
  }

  /** Moves nothing any more, of connections old and new, and keeps them all open. */
  swallow(): void {
    this.#swallows = true;
    for (const connection of this.#connections) connection.hold();
  }

  /** Undoes `swallow`: what was held back goes on its way. */
  release(): void {
    this.#swallows = false;
    for (const connection of this.#connections) connection.release();
  }

  /** Ends every connection. */
  cut(how: Ending = "rst"): void {
    for (const connection of this.#connections) connection.cut(how);
  }

  /** A new connection to the target, which is sent what `connection` has sent it; the caller closes it. */
  async replay(connection: ProxyConnection): Promise<Deno.TcpConn> {
    const conn = await Deno.connect({ hostname: this.#target.host, port: this.#target.port });
    const bytes = connection.recorded("toTarget");
    for (let sent = 0; sent < bytes.length;) sent += await conn.write(bytes.subarray(sent));
    return conn;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = server && new Promise((resolve) => server.close(resolve));
    this.cut();
    await Promise.all(this.#connections.map(({ ended }) => ended));
    await closed;
  }

  #welcome(socket: Socket): void {
    const connection = new ProxyConnection(socket, this.#target, this.#options);
    const number = this.#connections.push(connection) - 1;
    if (this.#swallows) connection.hold();
    this.plan?.(connection, number);
    connection.start();
    this.#news.tell();
  }
}

/** One connection through the proxy, and its faults. */
export class ProxyConnection {
  readonly #client: Socket;
  readonly #target: Target;
  readonly #from: string | undefined;
  readonly #news = new News();
  readonly #lanes: Readonly<Record<Direction, Lane>>;
  readonly #done = Promise.withResolvers<void>();
  #server: Socket | undefined;
  #held = false;
  #isDone = false;
  #cut: Ending | undefined;

  /** Only the proxy makes them. */
  constructor(client: Socket, target: Target, { record = false, from }: ProxyOptions) {
    this.#client = client;
    this.#target = target;
    this.#from = from;
    this.#lanes = { toTarget: new Lane(record), toClient: new Lane(record) };
    client.on("error", () => this.cut("rst"));
  }

  /** Resolves when both its sockets are closed. */
  get ended(): Promise<void> {
    return this.#done.promise;
  }

  /** Whether it neither was cut nor has ended. */
  get isOpen(): boolean {
    return !this.#over && !this.#isDone;
  }

  /** Bytes of a direction that have been forwarded. */
  count(direction: Direction): number {
    return this.#lanes[direction].forwarded;
  }

  /** Resolves when so many bytes have been forwarded; rejects when the connection ends before. */
  async reaches(direction: Direction, count: number): Promise<void> {
    const lane = this.#lanes[direction];
    await this.#news.until(() => lane.forwarded >= count || this.#over);
    if (lane.forwarded < count) throw new Error(`Only ${lane.forwarded} of ${count} bytes came`);
  }

  /** Most bytes of a direction that were in the proxy's hands at once. */
  peakUnderWay(direction: Direction): number {
    return this.#lanes[direction].peak;
  }

  /** Every byte that has been forwarded, of a proxy that records. */
  recorded(direction: Direction): Bytes {
    const pieces = this.#lanes[direction].record;
    if (!pieces) throw new TypeError("This proxy does not record");
    return concat(pieces);
  }

  /** Ends the connection on both sides once exactly `count` bytes of a direction have been forwarded. */
  cutAfter(direction: Direction, count: number, how: Ending): void {
    this.#lanes[direction].cut = { after: count, how };
    this.#news.tell();
  }

  /** Lets every byte of a direction come so much later, without making it slower. */
  delay(direction: Direction, milliseconds: number): void {
    this.#lanes[direction].delay = milliseconds;
  }

  /** Bytes per second that a direction lets through from now on. */
  limitRate(direction: Direction, rate: number): void {
    this.#lanes[direction].rate = rate;
    this.#news.tell();
  }

  /** Reads no more from the sender of a direction: soon its system cannot send any more. */
  stopReading(direction: Direction): void {
    this.#lanes[direction].unread = true;
  }

  /** Undoes `stopReading`. */
  resumeReading(direction: Direction): void {
    this.#lanes[direction].unread = false;
    this.#news.tell();
  }

  /** Moves nothing any more, either way, and keeps both sockets open. */
  hold(): void {
    this.#held = true;
  }

  /** Undoes `hold`. */
  release(): void {
    this.#held = false;
    this.#news.tell();
  }

  /**
   * Ends the connection now: by a reset, or by the end of both outputs; then what still comes is thrown
   * away until both others have ended as well.
   */
  cut(how: Ending): void {
    this.#cut = this.#cut === "rst" ? "rst" : how;
    for (const socket of [this.#client, this.#server]) {
      if (socket && !socket.connecting) end(socket, how);
    }
    this.#news.tell();
  }

  /** Called by the proxy, once the plan is made. */
  async start(): Promise<void> {
    try {
      await this.#news.until(() => !this.#held || this.#cut !== undefined);
      if (this.#cut) return;
      const server = connect({
        ...this.#target,
        ...(this.#from && { localAddress: this.#from }),
        allowHalfOpen: true,
      });
      this.#server = server;
      server.on("error", () => this.cut("rst"));
      await connected(server);
      // A socket does not reset while it is connecting.
      if (this.#cut) return end(server, this.#cut);
      await Promise.all([
        this.#pump("toTarget", this.#client, server),
        this.#pump("toClient", server, this.#client),
      ]);
    } finally {
      await Promise.all([closed(this.#client), this.#server && closed(this.#server)]);
      this.#isDone = true;
      this.#done.resolve();
    }
  }

  /**
   * Waits until the system at the other end has all bytes, since a reset takes back what is still under
   * way. Linux alone can tell.
   */
  async #arrived(socket: Socket): Promise<void> {
    while (!this.#over && await unacknowledged(socket) > 0) await this.#news.next(1);
  }

  get #over(): boolean {
    return this.#cut !== undefined;
  }

  async #pump(direction: Direction, from: Socket, to: Socket): Promise<void> {
    const lane = this.#lanes[direction];
    await Promise.all([this.#take(lane, from), this.#give(lane, to)]);
  }

  /** From the sender into the lane, as soon as it comes. */
  async #take(lane: Lane, from: Socket): Promise<void> {
    from.on("readable", () => this.#news.tell());
    from.on("end", () => this.#news.tell());
    while (!this.#over) {
      const full = lane.underWay >= UNDER_WAY_LIMIT;
      const piece = this.#held || lane.unread || full ? null : from.read() as Uint8Array | null;
      if (piece) {
        lane.push(new Uint8Array(piece));
        this.#news.tell();
      } else if (from.readableEnded) {
        lane.push(null);
        return this.#news.tell();
      } else await this.#news.next();
    }
  }

  /** Out of the lane to the receiver, each byte when its time has come. */
  async #give(lane: Lane, to: Socket): Promise<void> {
    while (!this.#over) {
      if (lane.cutIsDue) {
        await this.#arrived(to);
        return this.cut(lane.cut!.how);
      }
      const wait = lane.dueIn();
      if (this.#held || wait === Infinity) await this.#news.next();
      else if (wait > 0) await this.#news.next(wait);
      else {
        const piece = lane.shift();
        if (!piece) return void to.end();
        await write(to, piece);
        lane.sent(piece);
        this.#news.tell();
      }
    }
  }
}

/** What is under way in one direction. */
class Lane {
  readonly record: Bytes[] | undefined;
  forwarded = 0;
  delay = 0;
  rate = Infinity;
  unread = false;
  underWay = 0;
  peak = 0;
  cut: { readonly after: number; readonly how: Ending } | undefined;
  #queue: { piece: Bytes | null; readonly due: number }[] = [];
  /** Before this the rate does not allow another byte. */
  #restUntil = 0;

  constructor(record: boolean) {
    if (record) this.record = [];
  }

  get cutIsDue(): boolean {
    return this.cut !== undefined && this.forwarded >= this.cut.after;
  }

  push(piece: Bytes | null): void {
    this.#queue.push({ piece, due: performance.now() + this.delay });
    this.underWay += piece?.length ?? 0;
    this.peak = Math.max(this.peak, this.underWay);
  }

  /** Milliseconds until something may be taken; Infinity without anything. */
  dueIn(): number {
    const first = this.#queue[0];
    if (!first) return Infinity;
    return Math.max(0, Math.max(first.due, this.#restUntil) - performance.now());
  }

  /** What is due, not beyond a cut nor more than the rate allows; null is the end. */
  shift(): Bytes | null {
    const first = this.#queue[0]!;
    if (!first.piece) return null;
    const step = Math.max(1, Math.floor(this.rate / STEPS_PER_SECOND));
    const room = this.cut ? this.cut.after - this.forwarded : Infinity;
    const length = Math.min(first.piece.length, step, room);
    const piece = first.piece.subarray(0, length);
    first.piece = first.piece.subarray(length);
    if (first.piece.length === 0) this.#queue.shift();
    return piece;
  }

  sent(piece: Bytes): void {
    this.forwarded += piece.length;
    this.underWay -= piece.length;
    this.record?.push(piece);
    this.#restUntil = performance.now() + 1000 * piece.length / this.rate;
  }
}

/** Lets many wait for something to change. */
class News {
  #change = Promise.withResolvers<void>();

  tell(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  /** Resolves at the next change, or after so many milliseconds. */
  async next(milliseconds?: number): Promise<void> {
    const change = this.#change.promise;
    if (milliseconds === undefined) return await change;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, milliseconds));
    await Promise.race([change, late]);
    clearTimeout(timer);
  }

  async until(ready: () => boolean): Promise<void> {
    while (!ready()) await this.next();
  }
}

/** Bytes in the send queue of a socket, of IPv4, that the other end has not acknowledged. */
async function unacknowledged({ localPort, remotePort }: Socket): Promise<number> {
  if (Deno.build.os !== "linux") return 0;
  const [local, remote] = [localPort, remotePort].map((port) =>
    (port ?? 0).toString(16).toUpperCase().padStart(4, "0")
  );
  const row = new RegExp(`: \\w+:${local} \\w+:${remote} \\w+ (\\w+):`);
  return parseInt(row.exec(await Deno.readTextFile("/proc/net/tcp"))?.[1] ?? "0", 16);
}

/** Resolves when the system has taken all of it, or the socket is gone. */
function write(socket: Socket, piece: Bytes): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) return resolve();
    socket.write(piece, () => resolve());
  });
}

/** Resolves when the socket is connected, or gone. */
function connected(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("connect", resolve);
    socket.once("close", () => resolve());
  });
}

function end(socket: Socket, how: Ending): void {
  if (how === "rst") return void socket.resetAndDestroy();
  // While somebody listens for "readable" it does not flow, and what is unread would hide the end.
  socket.on("data", () => {});
  socket.removeAllListeners("readable");
  socket.end();
}

/** Resolves when the socket is closed, as it is by itself once both its ends have ended. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) return resolve();
    socket.once("close", () => resolve());
  });
}
