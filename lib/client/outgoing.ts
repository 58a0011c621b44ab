/**
 * The messages that this side writes, numbered from 1, until the other side has stored them. A chat keeps
 * them on disk, so that they outlive the program; a byte stream holds a window of them in memory.
 */
import type { Bytes } from "../bytes.ts";
import { type Random, timingSafeEqual } from "../crypto/platform.ts";
import type { ConversationKey, Gap, MessageStore, OutgoingState } from "../store/message_store.ts";
import type { TransferStep } from "../store/transfer_store.ts";
import {
  encodeMessage,
  ID_LENGTH,
  type KeptMessage,
  LogKind,
  type NewMessage,
  type NewPiece,
} from "../wire/peer_messages.ts";

/** A message ready for the wire. */
export interface OutgoingMessage {
  readonly number: bigint;
  /** The body of its item. */
  readonly body: Bytes;
}

/** What a conversation needs to know of either kind of log. */
export interface Outgoing {
  /** 16 bytes that name the log. */
  readonly log: Bytes;
  readonly kind: LogKind;
  /** The last message; 0 when there is none. */
  readonly last: bigint;
  /** Everything up to here is safe over there, or lost. */
  readonly stored: bigint;
  /** Everything up to here was shown over there. */
  readonly read: bigint;
  /** Bytes that are held in memory until the other side has taken them. */
  readonly bytesHeld: number;
  /**
   * Resolves to the message's number when it is as safe as it gets here; with a word about a transfer the step that
   * it tells of is taken. Throws `local` when it cannot be kept, TypeError for a piece of a stream in a log that is
   * kept, and for a word in one that is not.
   */
  append(message: NewMessage | NewPiece, step?: TransferStep): Promise<bigint>;
  /** The last message that is lost and that `stored` has passed since the log was opened; 0 when there is none. */
  readonly lostUpTo: bigint;
  /**
   * Messages from `from` on, in order, at least one if there is one, until `byteLimit` is reached or one is
   * missing.
   */
  messages(from: bigint, byteLimit: number): readonly OutgoingMessage[];
  /**
   * The other side has stored and read this much; less than before changes nothing. What is lost next counts as
   * stored as well.
   */
  acknowledge(stored: bigint, read: bigint): void;
  /** Whether the message of this number, which comes after `stored`, is lost. */
  isLost(number: bigint): boolean;
  /**
   * Whether the other side can have the message of this number and this id from us. False when it is none
   * of ours: then the other side has another log of this name. A live log, of which there is one copy,
   * goes by the number alone.
   */
  has(number: bigint, id: Bytes): boolean;
  /**
   * The other side has another idea of this log than we: begins a new one with what is not stored over
   * there. False where that is not possible.
   */
  restart(): Promise<boolean>;
}

/** A log on disk. */
export class KeptLog implements Outgoing {
  readonly kind = LogKind.kept;
  readonly bytesHeld = 0;
  readonly #store: MessageStore;
  readonly #key: ConversationKey;
  #state: OutgoingState;
  #missing: readonly Gap[] = [];
  #lostUpTo = 0n;

  private constructor(store: MessageStore, key: ConversationKey, state: OutgoingState) {
    this.#store = store;
    this.#key = key;
    this.#state = state;
    this.#findMissing();
  }

  /** Opens the log of a conversation; throws `local` when it cannot be read. */
  static async open(store: MessageStore, key: ConversationKey): Promise<KeptLog> {
    return new KeptLog(store, key, await store.outgoing(key));
  }

  get log(): Bytes {
    return this.#state.log;
  }

  get last(): bigint {
    return this.#state.last;
  }

  get stored(): bigint {
    return this.#state.stored;
  }

  get read(): bigint {
    return this.#state.read;
  }

  get lostUpTo(): bigint {
    return this.#lostUpTo;
  }

  isLost(number: bigint): boolean {
    return this.#missing.some(({ from, to }) => from <= number && number <= to);
  }

  async append(message: NewMessage | NewPiece, step?: TransferStep): Promise<bigint> {
    if (message.type === "bytes") throw new TypeError("A kept log has no pieces of a stream");
    const number = step
      ? await this.#store.transfers.say(this.#key, message, step)
      : await this.#store.append(this.#key, [message]);
    if (number > this.last) this.#state = { ...this.#state, last: number };
    return number;
  }

  messages(from: bigint, byteLimit: number): readonly OutgoingMessage[] {
    return this.#store.read(this.#key, from, byteLimit).map(encodeKept);
  }

  acknowledge(stored: bigint, read: bigint): void {
    if (stored <= this.stored && read <= this.read) return;
    let over = larger(stored, this.stored);
    for (const { from, to } of this.#missing) {
      if (from > over + 1n) break;
      over = larger(over, to);
      this.#lostUpTo = to;
    }
    this.#missing = this.#missing.filter(({ to }) => to > over);
    this.#store.acknowledge(this.#key, over, read);
    this.#state = { ...this.#state, stored: over, read: larger(read, this.read) };
  }

  #findMissing(): void {
    this.#missing = this.#store.missing(this.#key);
    this.#lostUpTo = 0n;
    const [gap] = this.#missing;
    if (gap && gap.from <= this.stored + 1n) this.acknowledge(gap.to, this.read);
  }

  has(number: bigint, id: Bytes): boolean {
    // What it said that it stored it had from us, whatever became of it since; and it may be gone here.
    if (number <= this.stored || this.isLost(number)) return true;
    const [message] = this.#store.read(this.#key, number, 1);
    return message !== undefined && timingSafeEqual(message.id, id);
  }

  async restart(): Promise<boolean> {
    this.#state = await this.#store.restart(this.#key);
    this.#findMissing();
    return true;
  }

  /** What the store has of the log by now, where something else than this has changed it. Throws `local`. */
  async refresh(): Promise<void> {
    this.#state = await this.#store.outgoing(this.#key);
    this.#findMissing();
  }
}

function encodeKept(message: KeptMessage): OutgoingMessage {
  return { number: message.number, body: encodeMessage(message) };
}

/** A log in memory; whoever appends waits for room, so that it stays small. */
export class LiveLog implements Outgoing {
  readonly kind = LogKind.live;
  readonly lostUpTo = 0n;
  readonly log: Bytes;
  /** The messages after `stored`. */
  #messages: OutgoingMessage[] = [];
  #bytesHeld = 0;
  #stored = 0n;
  #read = 0n;

  constructor(random: Random) {
    this.log = random(ID_LENGTH);
  }

  get last(): bigint {
    return this.#stored + BigInt(this.#messages.length);
  }

  get stored(): bigint {
    return this.#stored;
  }

  get read(): bigint {
    return this.#read;
  }

  get bytesHeld(): number {
    return this.#bytesHeld;
  }

  // deno-lint-ignore require-await -- a mistake is the promise's
  async append(message: NewMessage | NewPiece): Promise<bigint> {
    if (message.type === "file") throw new TypeError("Only a kept log has words about transfers");
    const number = this.last + 1n;
    const body = encodeMessage({ ...message, number });
    this.#messages.push({ number, body });
    this.#bytesHeld += body.length;
    return number;
  }

  messages(from: bigint, byteLimit: number): readonly OutgoingMessage[] {
    const start = Number(from - this.#stored - 1n);
    let end = start;
    for (let bytes = 0; end < this.#messages.length && bytes < byteLimit; end++) {
      bytes += this.#messages[end]!.body.length;
    }
    return this.#messages.slice(start, end);
  }

  acknowledge(stored: bigint, read: bigint): void {
    if (stored > this.#stored) {
      const gone = this.#messages.splice(0, Number(stored - this.#stored));
      for (const { body } of gone) this.#bytesHeld -= body.length;
      this.#stored = stored;
    }
    this.#read = larger(read, this.#read);
  }

  isLost(): boolean {
    return false;
  }

  has(number: bigint): boolean {
    return number <= this.last;
  }

  restart(): Promise<boolean> {
    return Promise.resolve(false);
  }
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
