/**
 * The channel that the ladder leads to: items both ways, sealed in records, several to a record when
 * they queue up, several records in flight when data flows (PROTOCOL.md 3.5, 3.6).
 */
import type { Bytes } from "../bytes.ts";
import { type Direction, RecordCipher } from "../crypto/record_cipher.ts";
import { verifyBy } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import type { Established } from "../handshake/state.ts";
import {
  BYTES_PER_KEY,
  CLOSE_DEADLINE,
  ITEM_BODY_LIMIT,
  ITEM_HEADER_LENGTH,
  KEY_LIFETIME,
  KEY_REST_AFTER,
  KEY_UPDATE_EARNED_RECORDS,
  KEY_UPDATE_MIN_RECORDS,
  KEY_UPDATES_PER_MINUTE,
  OUTBOUND_QUEUE_HIGH_WATER,
  PING_INTERVAL,
  PING_JITTER,
  PONG_INTERVAL,
  RECORD_INNER_LIMIT,
  RECORDS_IN_FLIGHT,
  RECORDS_PER_KEY,
  SILENCE_DEADLINE,
} from "../limits.ts";
import {
  type Frame,
  FRAME_HEADER_LENGTH,
  FrameEncoder,
  frameHeader,
  FrameKind,
} from "../wire/frame.ts";
import { badFrame, decode, encode } from "../wire/layout.ts";
import {
  type CloseCode,
  closeLayout,
  decodeItems,
  encodeItems,
  type Item,
  itemLength,
  ItemType,
  paddedLength,
} from "../wire/records.ts";
import { type Connection, endOfInput } from "./connection.ts";
import type { MonotonicClock } from "./transport.ts";

const EMPTY = new Uint8Array(0);
/**
 * Plaintext on its way into a cipher, for all channels of this process: WebCrypto takes its copy before
 * `encrypt` returns, so the next record may use the same place at once.
 */
const PLAINTEXT_SCRATCH = new Uint8Array(new ArrayBuffer(RECORD_INNER_LIMIT));
const MINUTE = 60_000;

/** The other side's last words: why, and the last message it sent and stored. */
export interface Goodbye {
  /** Why: a `CloseCode`, or a number from a newer program. */
  readonly code: number;
  /** The last message it sent; 0 where messages are not numbered. */
  readonly lastSent: bigint;
  /** The last of our messages that it has taken. */
  readonly lastStored: bigint;
}

/**
 * A received record: being opened, or waiting for a key update to finish first. What ends the input
 * badly stands in the same queue without a frame, so that everything before it is delivered.
 */
interface Incoming {
  readonly frame: Frame | undefined;
  opened: Promise<Bytes> | undefined;
}

/** One authenticated, encrypted, ordered conversation over one connection. */
export class Channel {
  /** How the ladder ended: who is there. */
  readonly established: Established;
  readonly #connection: Connection;
  readonly #clock: MonotonicClock;
  readonly #sealer: RecordCipher;
  readonly #opener: RecordCipher;
  /** Our place in the ping interval, so that a crowd does not beat in step. */
  readonly #pingInterval: number;

  #outgoing: Item[] = [];
  #outgoingLength = 0;
  #pumping: Promise<void> | undefined;
  #drained: PromiseWithResolvers<void> | undefined;
  #keyBytes = 0;
  #keyAge: number;
  #closing = false;
  #closedAt: number | undefined;

  readonly #incoming: Incoming[] = [];
  #reading: Promise<void> | undefined;
  #inputEnded = false;
  #preparingKey = false;
  #recordsUnderKey = 0;
  #keyUpdates: number[] = [];
  #goodbye: Goodbye | undefined;
  /** After a failure nothing more is given out: it would stand behind a gap. */
  #over = false;

  #lastHeard: number;
  #lastSpoken: number;
  #lastPong = -Infinity;

  private constructor(
    connection: Connection,
    established: Established,
    clock: MonotonicClock,
    sealer: RecordCipher,
    opener: RecordCipher,
  ) {
    this.established = established;
    this.#connection = connection;
    this.#clock = clock;
    this.#sealer = sealer;
    this.#opener = opener;
    this.#lastHeard = this.#lastSpoken = this.#keyAge = clock();
    // The session id is random and public to both ends: no second source of chance is needed.
    const spread = established.sessionId[0]! / 255 * 2 - 1;
    this.#pingInterval = PING_INTERVAL + spread * PING_JITTER;
  }

  /** The channel above a finished ladder; the connection belongs to it from now on. */
  static async open(
    connection: Connection,
    established: Established,
    clock: MonotonicClock,
  ): Promise<Channel> {
    const { suite, ours, theirs, role } = established;
    const signer = suite.signedRecords
      ? {
        sign: (data: Bytes) => ours.sign(data),
        verify: (signature: Bytes, data: Bytes) => verifyBy(theirs, signature, data),
      }
      : undefined;
    const [out, back]: [Direction, Direction] = role === "initiator"
      ? ["i2r", "r2i"]
      : ["r2i", "i2r"];
    const sealer = new RecordCipher(suite, out, signer, established.sendSecret);
    const opener = new RecordCipher(suite, back, signer, established.receiveSecret);
    await Promise.all([sealer.prepare(), opener.prepare()]);
    return new Channel(connection, established, clock, sealer, opener);
  }

  /** Why the channel is over, when it failed. */
  get failure(): CifraError | undefined {
    return this.#connection.failure;
  }

  /** The other side's last words, when it said them. */
  get goodbye(): Goodbye | undefined {
    return this.#goodbye;
  }

  /** Whether `send` takes more. */
  get isOpen(): boolean {
    return !this.#closing && !this.#connection.failure;
  }

  /** When something was last heard, by the channel's clock. */
  get lastHeard(): number {
    return this.#lastHeard;
  }

  /** Whether `receive` has something to give without waiting for the network. */
  get hasMore(): boolean {
    return this.#incoming.length > 0;
  }

  /** Length on the wire of the frame that carries one item with a body of this length. */
  frameLength(bodyLength: number): number {
    const inner = paddedLength(ITEM_HEADER_LENGTH + bodyLength);
    return FRAME_HEADER_LENGTH + this.#sealer.sealedLength(inner);
  }

  /** Bytes accepted by `send` and not yet handed to the transport. */
  get queuedLength(): number {
    return this.#outgoingLength;
  }

  /**
   * Queues one item; the queue is sealed and sent by itself, in order. The body must not change
   * afterwards. Throws the channel's failure, `limit` on a body beyond `ITEM_BODY_LIMIT`.
   */
  send(type: ItemType, body: Bytes): void {
    if (this.#connection.failure) throw this.#connection.failure;
    if (this.#closing) throw new CifraError("cut", "Cannot send: the channel is closing");
    if (body.length > ITEM_BODY_LIMIT) {
      throw new CifraError("limit", `Cannot send ${body.length} bytes: ${ITEM_BODY_LIMIT} at most`);
    }
    this.#enqueue({ type, body });
  }

  /** Resolves when there is room for more; a sender that can wait awaits this between sends. */
  async ready(): Promise<void> {
    while (this.#outgoingLength > OUTBOUND_QUEUE_HIGH_WATER && !this.#connection.failure) {
      this.#drained ??= Promise.withResolvers();
      await this.#drained.promise;
    }
  }

  /** Resolves when everything sent so far is with the transport; throws the channel's failure. */
  async flush(): Promise<void> {
    while (this.#pumping) await this.#pumping;
    if (this.#connection.failure) throw this.#connection.failure;
  }

  /**
   * The items of the next record, in order; views that stay valid. Null when the channel is over:
   * then `goodbye` tells of an orderly end, `failure` of any other. Heartbeats are answered inside.
   * `beforeWaiting` is called when there is nothing to give without waiting for the network.
   */
  async receive(beforeWaiting?: () => void): Promise<readonly Item[] | null> {
    try {
      for (;;) {
        if (this.#goodbye || this.#over) return null;
        this.#readAhead();
        if (this.#incoming.length > 0 && !this.#opener.ready) {
          await this.#openUnder(() => this.#opener.prepare());
        }
        const next = this.#incoming.shift();
        if (next) {
          const items = await this.#take(next);
          if (items.length > 0) return items;
        } else if (this.#reading) {
          beforeWaiting?.();
          await this.#reading;
        } else if (this.#inputEnded) {
          throw endOfInput();
        }
      }
    } catch (error) {
      this.fail(error);
      return null;
    }
  }

  /** Says goodbye after everything queued and ends our output. The other side's output may go on. */
  async close(code: CloseCode, lastSent = 0n, lastStored = 0n): Promise<void> {
    if (this.#closing || this.#connection.failure) return;
    this.#closing = true;
    this.#closedAt = this.#clock();
    this.#enqueue({
      type: ItemType.close,
      body: encode(closeLayout, { code, lastSent, lastStored }),
    });
    try {
      await this.flush();
      await this.#connection.closeWrite();
    } catch {
      // The other side went first; there is nobody left to say goodbye to.
    }
    if (this.#goodbye) this.destroy();
  }

  /** Ends the channel with an error that the other side is told by its code. */
  fail(error: unknown): void {
    this.#over = true;
    this.#connection.fail(error);
    this.#wake();
  }

  /** Lets go of the connection at once and overwrites what can be overwritten. */
  destroy(): void {
    this.#connection.close();
    this.#sealer.destroy();
    this.#opener.destroy();
    this.#wake();
  }

  /** Asks the other side for a sign of life, ahead of the heartbeat. */
  probe(): void {
    if (this.isOpen) this.#enqueue({ type: ItemType.ping, body: EMPTY });
  }

  /** Heartbeat, key age and deadlines; the owner calls it about once a second. */
  tick(now: number = this.#clock()): void {
    if (this.#connection.failure) return;
    this.#restIfIdle(now);
    this.#connection.enforceDeadlines(now);
    if (now - this.#lastHeard > SILENCE_DEADLINE) {
      this.fail(new CifraError("timeout", "The other side has been silent for too long"));
    } else if (this.#closedAt !== undefined && now - this.#closedAt > CLOSE_DEADLINE) {
      this.destroy();
    } else if (!this.#closing) {
      const oldKey = now - this.#keyAge > KEY_LIFETIME && this.#sealer.counter > 0;
      if (oldKey || now - this.#lastSpoken > this.#pingInterval) {
        this.#enqueue({ type: ItemType.ping, body: EMPTY });
      }
    }
  }

  /** A channel that says nothing for a while holds as little as it can. */
  #restIfIdle(now: number): void {
    const idle = !this.#pumping && this.#incoming.length === 0 && !this.#preparingKey;
    if (!idle || now - Math.max(this.#lastHeard, this.#lastSpoken) < KEY_REST_AFTER) return;
    this.#sealer.rest();
    this.#opener.rest();
  }

  #enqueue(item: Item): void {
    this.#outgoing.push(item);
    this.#outgoingLength += itemLength(item);
    // Deferred by a microtask, so that everything sent in one go shares records.
    this.#pumping ??= Promise.resolve().then(() => this.#pump());
  }

  /** Seals and writes the queue. Small items wait for each other while a record is under way. */
  async #pump(): Promise<void> {
    const sealed: Promise<Bytes>[] = [];
    const frames = new FrameEncoder();
    try {
      if (!this.#sealer.ready) await this.#sealer.prepare();
      while (this.#outgoing.length > 0 || sealed.length > 0) {
        while (
          this.#outgoing.length > 0 && sealed.length < RECORDS_IN_FLIGHT &&
          (sealed.length === 0 || this.#outgoingLength >= RECORD_INNER_LIMIT)
        ) {
          if (this.#keyIsUsedUp()) {
            sealed.push(this.#sealRecord([{ type: ItemType.keyUpdate, body: EMPTY }]));
            // The next record needs the next key; what is sealed already is not affected.
            await this.#updateSendKey();
          }
          sealed.push(this.#sealRecord(this.#takeForRecord()));
        }
        await this.#connection.write(frames.encode(FrameKind.record, await sealed.shift()!));
        this.#lastSpoken = this.#clock();
        if (this.#outgoingLength <= OUTBOUND_QUEUE_HIGH_WATER / 2) this.#wake();
      }
    } catch (error) {
      this.#connection.fail(error);
      for (const rest of sealed) rest.catch(() => {});
    } finally {
      this.#pumping = undefined;
      this.#wake();
    }
  }

  /** As many items as fit one record. */
  #takeForRecord(): Item[] {
    let length = 0;
    let count = 0;
    for (const item of this.#outgoing) {
      const next = length + itemLength(item);
      if (count > 0 && next > RECORD_INNER_LIMIT) break;
      length = next;
      count++;
    }
    this.#outgoingLength -= length;
    return this.#outgoing.splice(0, count);
  }

  /** The sealed body of one record; the counter is taken before the first await. */
  #sealRecord(items: readonly Item[]): Promise<Bytes> {
    const inner = encodeItems(items, PLAINTEXT_SCRATCH);
    this.#keyBytes += inner.length;
    const header = frameHeader(FrameKind.record, this.#sealer.sealedLength(inner.length));
    return this.#sealer.seal(header, inner);
  }

  #keyIsUsedUp(): boolean {
    return this.#sealer.counter >= RECORDS_PER_KEY || this.#keyBytes >= BYTES_PER_KEY ||
      (this.#clock() - this.#keyAge > KEY_LIFETIME && this.#sealer.counter > 0);
  }

  async #updateSendKey(): Promise<void> {
    await this.#sealer.update();
    this.#keyBytes = 0;
    this.#keyAge = this.#clock();
  }

  /** Keeps one read under way while there is room for what it brings. */
  #readAhead(): void {
    if (this.#reading || this.#inputEnded || this.#incoming.length >= RECORDS_IN_FLIGHT) return;
    this.#reading = this.#connection.nextFrames().then(this.#onFrames).catch(this.#onReadFailure);
  }

  readonly #onFrames = (frames: Frame[] | null): void => {
    this.#reading = undefined;
    if (frames === null) this.#inputEnded = true;
    else for (const frame of frames) this.#accept(frame);
  };

  readonly #onReadFailure = (error: unknown): void => {
    this.#reading = undefined;
    const opened = Promise.reject(error);
    opened.catch(() => {});
    this.#incoming.push({ frame: undefined, opened });
  };

  /** Begins to open a record, unless the key that opens it is not known yet. */
  #accept(frame: Frame): void {
    if (frame.kind !== FrameKind.record) {
      throw new CifraError("bad_state", `Cannot take message ${frame.kind} in an open channel`);
    }
    const incoming: Incoming = { frame, opened: undefined };
    this.#incoming.push(incoming);
    if (this.#opener.ready && !this.#preparingKey) this.#startOpening(incoming);
  }

  /** Prepares a key of the receiving direction, then opens what has come in the meantime. */
  async #openUnder(prepare: () => Promise<void>): Promise<void> {
    this.#preparingKey = true;
    await prepare();
    this.#preparingKey = false;
    for (const incoming of this.#incoming) this.#startOpening(incoming);
  }

  #startOpening(incoming: Incoming): void {
    if (!incoming.frame) return;
    const { body } = incoming.frame;
    const header = frameHeader(FrameKind.record, body.length);
    // At the end of its key the cipher throws: that is this record's failure, in its turn.
    incoming.opened = Promise.try(() => this.#opener.open(header, body));
    // Opened ahead of its turn, and perhaps under a key that a record before it replaces.
    incoming.opened.catch(() => {});
  }

  /** Takes the oldest record: what is for the owner is returned, the rest is handled here. */
  async #take({ opened }: Incoming): Promise<readonly Item[]> {
    const items = decodeItems(await opened!);
    const now = this.#clock();
    this.#lastHeard = now;
    this.#recordsUnderKey++;
    const plain = items.every(({ type }) => type <= ItemType.ack || type >= ItemType.request);
    if (plain) return items;
    const forOwner: Item[] = [];
    for (const [i, item] of items.entries()) {
      const last = i === items.length - 1;
      switch (item.type) {
        case ItemType.ping:
        case ItemType.pong:
          if (item.body.length > 0) throw badFrame("a heartbeat has no body");
          if (item.type === ItemType.ping) this.#answerPing(now);
          break;
        case ItemType.keyUpdate:
          if (!last || item.body.length > 0) throw badFrame("a key update stands last and alone");
          await this.#updateReceiveKey(now);
          break;
        case ItemType.close:
          if (!last) throw badFrame("nothing follows a goodbye");
          this.#goodbye = decode(closeLayout, item.body);
          break;
        default:
          forOwner.push(item);
      }
    }
    return forOwner;
  }

  #answerPing(now: number): void {
    if (this.#closing || now - this.#lastPong < PONG_INTERVAL) return;
    this.#lastPong = now;
    this.#enqueue({ type: ItemType.pong, body: EMPTY });
  }

  /** Follows the other side to its next key, and opens again what was opened too early. */
  async #updateReceiveKey(now: number): Promise<void> {
    if (this.#recordsUnderKey < KEY_UPDATE_EARNED_RECORDS) this.#countUnearnedKeyUpdate(now);
    await this.#openUnder(() => this.#opener.update());
    this.#recordsUnderKey = 0;
  }

  #countUnearnedKeyUpdate(now: number): void {
    this.#keyUpdates = this.#keyUpdates.filter((at) => now - at < MINUTE);
    const hasty = this.#recordsUnderKey < KEY_UPDATE_MIN_RECORDS && this.#keyUpdates.length > 0;
    if (hasty || this.#keyUpdates.length >= KEY_UPDATES_PER_MINUTE) {
      throw new CifraError("limit", "The other side changes its key too often");
    }
    this.#keyUpdates.push(now);
  }

  #wake(): void {
    this.#drained?.resolve();
    this.#drained = undefined;
  }
}
