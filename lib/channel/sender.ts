/**
 * The sending half of a channel: a queue of items, sealed into records and written in order; several items
 * to a record when they queue up, several records in flight when data flows (PROTOCOL.md 3.5, 3.6).
 */
import type { Bytes } from "../bytes.ts";
import type { RecordCipher } from "../crypto/record_cipher.ts";
import { mayFail } from "../flow/may_fail.ts";
import { Signal } from "../flow/signal.ts";
import {
  BYTES_PER_KEY,
  FAST_WRITES,
  ITEM_HEADER_LENGTH,
  KEY_LIFETIME,
  OUTBOUND_QUEUE_HIGH_WATER,
  RECORD_INNER_LIMIT,
  RECORDS_IN_FLIGHT,
  RECORDS_IN_FLIGHT_SLOW,
  RECORDS_PER_KEY,
  RECORDS_PER_WRITE,
  SLOW_WRITE,
} from "../limits.ts";
import { FRAME_HEADER_LENGTH, FrameBatch, frameHeader, FrameKind } from "../wire/frame.ts";
import { encodeItems, type Item, itemLength, ItemType, paddedLength } from "../wire/records.ts";
import type { Connection } from "./connection.ts";
import type { MonotonicClock } from "./transport.ts";

const KEY_UPDATE: Item = { type: ItemType.keyUpdate, body: new Uint8Array(0) };
/**
 * Plaintext on its way into a cipher, for all channels of this process: WebCrypto takes its copy before
 * `encrypt` returns, so the next record may use the same place at once.
 */
const PLAINTEXT_SCRATCH = new Uint8Array(new ArrayBuffer(RECORD_INNER_LIMIT));

/** A record that is being sealed, or is sealed and waits for its turn. */
interface Sealing {
  readonly body: Promise<Bytes>;
  isSealed: boolean;
}

/** Items in, frames of records out. Its failure is the connection's. */
export class Sender {
  readonly #connection: Connection;
  readonly #clock: MonotonicClock;
  readonly #sealer: RecordCipher;
  readonly #drained = new Signal();
  #queue: Item[] = [];
  #queuedLength = 0;
  #pumping: Promise<void> | undefined;
  /** Where records stand that are to be written; the other place is the connection's while it writes. */
  #frames = new FrameBatch();
  #otherFrames = new FrameBatch();
  #writing: Promise<void> | undefined;
  /** Writes in a row that the network took at once. */
  #fastWrites = 0;
  #keyBytes = 0;
  #keySince: number;
  #lastSpoken: number;

  /** `sealer` is prepared, and belongs to the sender. */
  constructor(connection: Connection, clock: MonotonicClock, sealer: RecordCipher) {
    this.#connection = connection;
    this.#clock = clock;
    this.#sealer = sealer;
    this.#keySince = this.#lastSpoken = clock();
  }

  /** Bytes that wait to be sealed. */
  get queuedLength(): number {
    return this.#queuedLength;
  }

  /** Whether nothing waits and nothing is being written. */
  get isIdle(): boolean {
    return !this.#pumping;
  }

  /** When a record was last written. */
  get lastSpoken(): number {
    return this.#lastSpoken;
  }

  /** Length on the wire of the frame that carries one item with a body of this length. */
  frameLength(bodyLength: number): number {
    const inner = paddedLength(ITEM_HEADER_LENGTH + bodyLength);
    return FRAME_HEADER_LENGTH + this.#sealer.sealedLength(inner);
  }

  /** Queues one item, which is sealed and written by itself. Its body must not change afterwards. */
  enqueue(item: Item): void {
    this.#queue.push(item);
    this.#queuedLength += itemLength(item);
    // Deferred by a microtask, so that everything sent in one go shares records.
    this.#pumping ??= Promise.resolve().then(() => this.#pump());
  }

  /** Resolves when there is room for more, or the connection has failed. */
  async ready(): Promise<void> {
    while (this.#queuedLength > OUTBOUND_QUEUE_HIGH_WATER && !this.#connection.failure) {
      await this.#drained.wait();
    }
  }

  /** Resolves when everything queued is with the transport; throws the connection's failure. */
  async flush(): Promise<void> {
    while (this.#pumping) await this.#pumping;
    if (this.#connection.failure) throw this.#connection.failure;
  }

  /** The connection has failed: whoever waits for room need not wait any longer. */
  wake(): void {
    this.#drained.notify();
  }

  /** Whether the key has been used and is too old to be used again. */
  keyIsOld(now: number): boolean {
    return now - this.#keySince > KEY_LIFETIME && this.#sealer.counter > 0;
  }

  /** Lets go of the imported key until it is needed again. */
  rest(): void {
    this.#sealer.rest();
    this.#frames = new FrameBatch();
    this.#otherFrames = new FrameBatch();
  }

  /** Overwrites what can be overwritten. */
  destroy(): void {
    this.#sealer.destroy();
    this.wake();
  }

  /**
   * Seals and writes the queue: records are sealed while others are written, several to a write. Small items wait for
   * each other while a record is under way.
   */
  async #pump(): Promise<void> {
    const sealing: Sealing[] = [];
    try {
      if (!this.#sealer.ready) await this.#sealer.prepare();
      for (;;) {
        await this.#sealMore(sealing);
        const [head] = sealing;
        if (head && this.#mayJoin(head)) {
          this.#frames.add(FrameKind.record, await head.body);
          sealing.shift();
        } else if (this.#frames.count > 0) {
          await this.#writing;
          this.#startWriting();
        } else if (this.#writing) await this.#writing;
        else if (this.#queue.length === 0) break;
      }
    } catch (error) {
      this.#connection.fail(error);
      for (const { body } of sealing) mayFail(body);
    } finally {
      this.#pumping = undefined;
      this.wake();
    }
  }

  /** Seals what is in the queue, as far as there is room for what is on its way. */
  async #sealMore(sealing: Sealing[]): Promise<void> {
    const isUnderWay = () => sealing.length + this.#frames.count > 0 || this.#writing !== undefined;
    const most = this.#isFast ? RECORDS_IN_FLIGHT : RECORDS_IN_FLIGHT_SLOW;
    while (
      this.#queue.length > 0 && sealing.length + this.#frames.count < most &&
      (!isUnderWay() || this.#queuedLength >= RECORD_INNER_LIMIT)
    ) {
      if (this.#keyIsUsedUp()) {
        sealing.push(this.#seal([KEY_UPDATE]));
        // The next record needs the next key; what is sealed already is not affected.
        await this.#updateKey();
      }
      sealing.push(this.#seal(this.#takeForRecord()));
    }
    if (this.#queuedLength <= OUTBOUND_QUEUE_HIGH_WATER / 2) this.wake();
  }

  /** Whether the next record goes with those that are to be written: nothing waits for what is not sealed yet. */
  #mayJoin(head: Sealing): boolean {
    const { count } = this.#frames;
    if (count === 0) return true;
    return count < RECORDS_PER_WRITE && this.#isFast && head.isSealed;
  }

  /** Hands the frames to the connection; the next ones go into the other place until that has taken these. */
  #startWriting(): void {
    const frames = this.#frames;
    this.#frames = this.#otherFrames;
    this.#otherFrames = frames;
    const began = this.#clock();
    const writing = this.#connection.write(frames.bytes).then(() => {
      // Had it failed, who knows whether the platform still looks at the place.
      frames.clear();
      this.#lastSpoken = this.#clock();
      this.#fastWrites = this.#lastSpoken - began > SLOW_WRITE ? 0 : this.#fastWrites + 1;
      this.#writing = undefined;
    });
    // The pump sees its failure.
    this.#writing = mayFail(writing);
  }

  /** Whether the network has taken at once what it was given lately. */
  get #isFast(): boolean {
    return this.#fastWrites >= FAST_WRITES;
  }

  /** As many items as fit one record. */
  #takeForRecord(): Item[] {
    let length = 0;
    let count = 0;
    for (const item of this.#queue) {
      const next = length + itemLength(item);
      if (count > 0 && next > RECORD_INNER_LIMIT) break;
      length = next;
      count++;
    }
    this.#queuedLength -= length;
    return this.#queue.splice(0, count);
  }

  /** The sealed body of one record; the counter is taken before the first await. */
  #seal(items: readonly Item[]): Sealing {
    const inner = encodeItems(items, PLAINTEXT_SCRATCH);
    this.#keyBytes += inner.length;
    const header = frameHeader(FrameKind.record, this.#sealer.sealedLength(inner.length));
    const sealing = { body: this.#sealer.seal(header, inner), isSealed: false };
    const note = () => void (sealing.isSealed = true);
    // Who waits for the body sees its failure.
    sealing.body.then(note, note);
    return sealing;
  }

  #keyIsUsedUp(): boolean {
    return this.#sealer.counter >= RECORDS_PER_KEY || this.#keyBytes >= BYTES_PER_KEY ||
      this.keyIsOld(this.#clock());
  }

  async #updateKey(): Promise<void> {
    await this.#sealer.update();
    this.#keyBytes = 0;
    this.#keySince = this.#clock();
  }
}
