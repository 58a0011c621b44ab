/**
 * The receiving half of a channel: frames are read ahead, their records opened several at once, and their
 * items given out in order; nothing that stands behind a failure (PROTOCOL.md 3.5, 3.6).
 */
import type { Bytes } from "../bytes.ts";
import type { RecordCipher } from "../crypto/record_cipher.ts";
import { CifraError } from "../errors.ts";
import { mayFail } from "../flow/may_fail.ts";
import {
  KEY_UPDATE_EARNED_RECORDS,
  KEY_UPDATE_MIN_RECORDS,
  KEY_UPDATES_PER_MINUTE,
  RECORDS_IN_FLIGHT,
} from "../limits.ts";
import { type Frame, frameHeader, FrameKind } from "../wire/frame.ts";
import { decodeItems, type Item } from "../wire/records.ts";
import { type Connection, endOfInput } from "./connection.ts";
import type { MonotonicClock } from "./transport.ts";

const MINUTE = 60_000;

/**
 * A received record: being opened, or waiting for a key update to finish first. What ends the input
 * badly stands in the same queue without a frame, so that everything before it is delivered.
 */
interface Incoming {
  readonly frame: Frame | undefined;
  opened: Promise<Bytes> | undefined;
}

/** Frames of records in, items out. Once it has thrown, its owner asks no more. */
export class Receiver {
  readonly #connection: Connection;
  readonly #clock: MonotonicClock;
  readonly #opener: RecordCipher;
  readonly #incoming: Incoming[] = [];
  #reading: Promise<void> | undefined;
  #inputEnded = false;
  #preparingKey = false;
  #recordsUnderKey = 0;
  #keyUpdates: number[] = [];
  #lastHeard: number;

  /** `opener` is prepared, and belongs to the receiver. */
  constructor(connection: Connection, clock: MonotonicClock, opener: RecordCipher) {
    this.#connection = connection;
    this.#clock = clock;
    this.#opener = opener;
    this.#lastHeard = clock();
  }

  /** Whether a record has come that was not given out. */
  get hasMore(): boolean {
    return this.#incoming.length > 0;
  }

  /** Whether nothing is being opened, and no key prepared. */
  get isIdle(): boolean {
    return this.#incoming.length === 0 && !this.#preparingKey;
  }

  /** When the last good record was given out. */
  get lastHeard(): number {
    return this.#lastHeard;
  }

  /**
   * The items of the next record, at least one; views that stay valid. `beforeWaiting` is called when there
   * is none without waiting for the network. Throws what is wrong with the record or the connection, `cut`
   * at the end of input.
   */
  async next(beforeWaiting?: () => void): Promise<Item[]> {
    for (;;) {
      this.#readAhead();
      if (this.#incoming.length > 0 && !this.#opener.ready) {
        await this.#openUnder(() => this.#opener.prepare());
      }
      const next = this.#incoming.shift();
      if (next) {
        const inner = await next.opened!;
        this.#openAhead();
        const items = decodeItems(inner);
        this.#lastHeard = this.#clock();
        this.#recordsUnderKey++;
        return items;
      }
      if (this.#inputEnded) throw endOfInput();
      if (this.#reading) {
        beforeWaiting?.();
        await this.#reading;
      }
    }
  }

  /**
   * The record given out last ends in a key update: follows the other side to its next key, and opens again
   * what was opened too early. Throws `limit` when that happens too often.
   */
  async followKeyUpdate(): Promise<void> {
    if (this.#recordsUnderKey < KEY_UPDATE_EARNED_RECORDS) this.#countUnearnedKeyUpdate();
    await this.#openUnder(() => this.#opener.update());
    this.#recordsUnderKey = 0;
  }

  /** Lets go of the imported key until it is needed again. */
  rest(): void {
    this.#opener.rest();
  }

  /** Overwrites what can be overwritten. */
  destroy(): void {
    this.#opener.destroy();
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
    this.#incoming.push({ frame: undefined, opened: mayFail(Promise.reject(error)) });
  };

  /** Begins to open a record, unless the key that opens it is not known yet. */
  #accept(frame: Frame): void {
    if (frame.kind !== FrameKind.record) {
      throw new CifraError("bad_state", `Cannot take message ${frame.kind} in an open channel`);
    }
    const incoming: Incoming = { frame, opened: undefined };
    this.#incoming.push(incoming);
    this.#openAhead();
  }

  /** Opens the first few records: one read may bring thousands, each of which costs memory while it is opened. */
  #openAhead(): void {
    if (!this.#opener.ready || this.#preparingKey) return;
    const count = Math.min(this.#incoming.length, RECORDS_IN_FLIGHT);
    for (let i = 0; i < count; i++) this.#startOpening(this.#incoming[i]!);
  }

  /** Prepares a key, then opens what has come in the meantime. */
  async #openUnder(prepare: () => Promise<void>): Promise<void> {
    this.#preparingKey = true;
    await prepare();
    this.#preparingKey = false;
    // What was opened under another key was opened too early.
    for (const incoming of this.#incoming) if (incoming.frame) incoming.opened = undefined;
    this.#openAhead();
  }

  #startOpening(incoming: Incoming): void {
    if (!incoming.frame || incoming.opened) return;
    const { body } = incoming.frame;
    const header = frameHeader(FrameKind.record, body.length);
    // The record is opened ahead of its turn, perhaps under a key that a record before it replaces, or that
    // is at its end: a failure counts in the record's turn.
    incoming.opened = mayFail(Promise.try(() => this.#opener.open(header, body)));
  }

  #countUnearnedKeyUpdate(): void {
    const now = this.#lastHeard;
    this.#keyUpdates = this.#keyUpdates.filter((at) => now - at < MINUTE);
    const hasty = this.#recordsUnderKey < KEY_UPDATE_MIN_RECORDS && this.#keyUpdates.length > 0;
    if (hasty || this.#keyUpdates.length >= KEY_UPDATES_PER_MINUTE) {
      throw new CifraError("limit", "The other side changes its key too often");
    }
    this.#keyUpdates.push(now);
  }
}
