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
  ITEM_HEADER_LENGTH,
  KEY_LIFETIME,
  OUTBOUND_QUEUE_HIGH_WATER,
  RECORD_INNER_LIMIT,
  RECORDS_IN_FLIGHT,
  RECORDS_PER_KEY,
} from "../limits.ts";
import { FRAME_HEADER_LENGTH, FrameEncoder, frameHeader, FrameKind } from "../wire/frame.ts";
import { encodeItems, type Item, itemLength, ItemType, paddedLength } from "../wire/records.ts";
import type { Connection } from "./connection.ts";
import type { MonotonicClock } from "./transport.ts";

const KEY_UPDATE: Item = { type: ItemType.keyUpdate, body: new Uint8Array(0) };
/**
 * Plaintext on its way into a cipher, for all channels of this process: WebCrypto takes its copy before
 * `encrypt` returns, so the next record may use the same place at once.
 */
const PLAINTEXT_SCRATCH = new Uint8Array(new ArrayBuffer(RECORD_INNER_LIMIT));

/** Items in, frames of records out. Its failure is the connection's. */
export class Sender {
  readonly #connection: Connection;
  readonly #clock: MonotonicClock;
  readonly #sealer: RecordCipher;
  readonly #drained = new Signal();
  #queue: Item[] = [];
  #queuedLength = 0;
  #pumping: Promise<void> | undefined;
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
  }

  /** Overwrites what can be overwritten. */
  destroy(): void {
    this.#sealer.destroy();
    this.wake();
  }

  /** Seals and writes the queue. Small items wait for each other while a record is under way. */
  async #pump(): Promise<void> {
    const sealed: Promise<Bytes>[] = [];
    const frames = new FrameEncoder();
    try {
      if (!this.#sealer.ready) await this.#sealer.prepare();
      while (this.#queue.length > 0 || sealed.length > 0) {
        while (
          this.#queue.length > 0 && sealed.length < RECORDS_IN_FLIGHT &&
          (sealed.length === 0 || this.#queuedLength >= RECORD_INNER_LIMIT)
        ) {
          if (this.#keyIsUsedUp()) {
            sealed.push(this.#seal([KEY_UPDATE]));
            // The next record needs the next key; what is sealed already is not affected.
            await this.#updateKey();
          }
          sealed.push(this.#seal(this.#takeForRecord()));
        }
        await this.#connection.write(frames.encode(FrameKind.record, await sealed.shift()!));
        this.#lastSpoken = this.#clock();
        if (this.#queuedLength <= OUTBOUND_QUEUE_HIGH_WATER / 2) this.wake();
      }
    } catch (error) {
      this.#connection.fail(error);
      for (const rest of sealed) mayFail(rest);
    } finally {
      this.#pumping = undefined;
      this.wake();
    }
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
  #seal(items: readonly Item[]): Promise<Bytes> {
    const inner = encodeItems(items, PLAINTEXT_SCRATCH);
    this.#keyBytes += inner.length;
    const header = frameHeader(FrameKind.record, this.#sealer.sealedLength(inner.length));
    return this.#sealer.seal(header, inner);
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
