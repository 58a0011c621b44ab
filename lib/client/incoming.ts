/**
 * The messages that the other side writes: stored before they are acknowledged, shown once, in order,
 * and never missing without a word. Those of a byte stream are not stored but held until they are taken;
 * so are those for which a person who does not look has no room left, and those that cannot be stored now.
 */
import type { Bytes } from "../bytes.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import { CifraError } from "../errors.ts";
import { Signal } from "../flow/signal.ts";
import { CONVERSATION_WINDOW, UNSHOWN_BYTES, UNSHOWN_MESSAGES } from "../limits.ts";
import { following, gapBetween } from "../store/message_rules.ts";
import type {
  Backlog,
  ConversationKey,
  Gap,
  MessageStore,
  SealedNews,
  Unshown,
} from "../store/message_store.ts";
import { type FileWord, fileWordOf } from "../wire/file_messages.ts";
import { badFrame } from "../wire/layout.ts";
import {
  ID_LENGTH,
  type KeptMessage,
  LogKind,
  type LogPosition,
  type Message,
  messageLength,
  textOf,
} from "../wire/peer_messages.ts";

const NO_LOG = new Uint8Array(ID_LENGTH);
const NO_ID = new Uint8Array(ID_LENGTH);
/** Stored messages read from disk at a time. */
const PAGE = 256;

/** What the other side does, in order. Each is to be followed by `taken`. */
export type PeerEvent =
  | {
    readonly type: "text";
    readonly number: bigint;
    readonly text: string;
    /** Milliseconds since 1970, by the writer's clock; 0 when it did not say. */
    readonly written: number;
    /**
     * It was stored by a program that ended before it could say that it showed the message. It may have
     * been seen, and is shown once more rather than not at all.
     */
    readonly recovered: boolean;
  }
  | { readonly type: "bytes"; readonly number: bigint; readonly bytes: Bytes }
  /** A word about a transfer; an offer is known by `id`. The transfers have changed already as it says. */
  | {
    readonly type: "file";
    readonly number: bigint;
    readonly id: Bytes;
    readonly word: FileWord;
    readonly written: number;
    /** As of a text. */
    readonly recovered: boolean;
  }
  /** Its program has nothing more to say, for now. */
  | { readonly type: "end"; readonly number: bigint }
  /** A message that its writer took back before it came here. */
  | { readonly type: "taken back"; readonly number: bigint }
  | Gap
  /**
   * A program has begun anew in the middle of a byte stream: theirs, and the rest will not come; or ours, and the
   * beginning went to the run before.
   */
  | { readonly type: "restarted"; readonly who: "us" | "peer" };

/** How much of a byte stream is here; only its end says that nothing is missing. */
export type StreamProgress = "nothing" | "middle" | "end";

/** The log that is being read. */
interface Reading {
  readonly log: Bytes;
  readonly kind: LogKind;
  /** The last message that has come, and for a kept log is on disk. */
  have: bigint;
  /** Its id; zeros when it has none, or is not known. */
  haveId: Bytes;
  /** The last message that was shown or, of a byte stream, handed on. */
  read: bigint;
  /** The last message that has come, held back ones included. */
  come: bigint;
  /** Whether something of an unfinished stream has come. */
  underWay: boolean;
}

/** An event of a live log, with what it weighs, or word that the store has something to show. */
type Queued =
  | { readonly event: PeerEvent; readonly reading: Reading | undefined; readonly size: number }
  /** Up to this ordinal; what was stored later may stand behind other events. */
  | { readonly storedUpTo: number };

/** Where an event that was given out came from. */
interface Origin {
  readonly reading: Reading | undefined;
  readonly size: number;
  /** For a stored one: the log it stands in, and the bytes of its content. */
  readonly log: Bytes | undefined;
  readonly stored: number;
}

/** All that comes from one person. */
export class Incoming {
  readonly #store: MessageStore | undefined;
  readonly #key: ConversationKey;
  readonly #onStored: (fresh: readonly KeptMessage[]) => void;
  readonly #queue: Queued[] = [];
  readonly #origins = new WeakMap<PeerEvent, Origin>();
  readonly #recoveredUpTo: number;
  #page: Unshown[] = [];
  #givenUpTo = 0;
  #reading: Reading | undefined;
  #bytesHeld = 0;
  #unread: number;
  /** What is stored and not shown. */
  readonly #backlog: { -readonly [K in keyof Backlog]: Backlog[K] };
  /** Messages of the log that is read for which there is no room, in order; they count as not come. */
  #heldBack: KeptMessage[] = [];
  #isStoringHeldBack = false;
  /** Why the oldest of those held back could not be stored. */
  #trouble: CifraError | undefined;
  #closed = false;
  readonly #news = new Signal();

  /**
   * Without a store nothing is kept, as when one talks to a server. `onStored` is told of messages that are new, as
   * soon as they are on disk, in their order, whether anybody looks or not.
   */
  constructor(
    store: MessageStore | undefined,
    key: ConversationKey,
    onStored: (fresh: readonly KeptMessage[]) => void = () => {},
  ) {
    this.#store = store;
    this.#key = key;
    this.#onStored = onStored;
    this.#recoveredUpTo = store?.doubtfulUpTo ?? 0;
    this.#unread = store?.unread(key) ?? 0;
    this.#backlog = { ...store?.backlog(key) ?? { messages: 0, bytes: 0 } };
    if (store) this.#queue.push({ storedUpTo: store.lastOrdinal() });
  }

  /** Everything up to here is safe here. */
  get stored(): bigint {
    const { kind, have, read } = this.#reading ?? { kind: LogKind.kept, have: 0n, read: 0n };
    return kind === LogKind.kept ? have : read;
  }

  /** Everything up to here was shown, or handed on. */
  get read(): bigint {
    return this.#reading?.read ?? 0n;
  }

  /** Messages that have come and are not `taken`: texts, words about transfers, and pieces of a stream. */
  get unread(): number {
    return this.#unread;
  }

  /** The last message that has come, and for a kept log is on disk. */
  get have(): bigint {
    return this.#reading?.have ?? 0n;
  }

  /** Why what comes is not stored at the moment, for as long as that is known: `local`. */
  get trouble(): CifraError | undefined {
    return this.#trouble;
  }

  /** Whether something is held back because it could not be stored: `storeHeldBack` tries again. */
  get isInTrouble(): boolean {
    return this.#trouble !== undefined && this.#heldBack.length > 0 && !this.#closed;
  }

  /** The last message that has come, also when it is held back. */
  get come(): bigint {
    return this.#reading?.come ?? 0n;
  }

  /** How far the byte stream of the other side has come; undefined when it writes messages, or was never heard. */
  get stream(): StreamProgress | undefined {
    const reading = this.#reading;
    if (reading?.kind !== LogKind.live) return undefined;
    if (reading.underWay) return "middle";
    return reading.have > 0n ? "end" : "nothing";
  }

  /** For our hello: how far we have read, in `theirLog` if it is known, otherwise in the log read last. */
  position(theirLog?: Bytes): Pick<LogPosition, "readLog" | "have" | "haveId"> {
    const reading = this.#reading;
    if (reading && (!theirLog || timingSafeEqual(reading.log, theirLog))) {
      return { readLog: reading.log, have: reading.have, haveId: reading.haveId };
    }
    const kept = this.#store?.incoming(this.#key, theirLog);
    if (!kept) return { readLog: NO_LOG, have: 0n, haveId: NO_ID };
    return { readLog: kept.log, have: kept.have, haveId: kept.haveId ?? NO_ID };
  }

  /** The other side has said which log it goes on with. Throws `bad_frame`, `local`. */
  async begin({ log, kind, first }: Pick<LogPosition, "log" | "kind" | "first">): Promise<void> {
    if (kind !== LogKind.kept && kind !== LogKind.live) throw badFrame(`unknown log ${kind}`);
    if (first < 1n) throw badFrame("messages are numbered from 1");
    const previous = this.#reading;
    if (!previous || previous.kind !== kind || !timingSafeEqual(previous.log, log)) {
      if (previous?.underWay) this.#tell({ type: "restarted", who: "peer" });
      const kept = kind === LogKind.kept ? this.#store?.incoming(this.#key, log) : undefined;
      const { have, haveId = NO_ID, read } = kept ?? { have: 0n, read: 0n };
      this.#reading = { log, kind, have, haveId, read, come: have, underWay: false };
    }
    const reading = this.#reading!;
    // What was held back comes again: nobody was told that it has come.
    this.#dropHeldBack(reading);
    // The other side keeps only what we have not stored: this much we had, and lost.
    const gap = gapBetween(reading.have, first);
    if (!gap) return;
    if (kind === LogKind.kept && this.#store) {
      await this.#store.skip(this.#key, log, first);
      this.#showStored(this.#store);
    } else this.#tell(gap);
    // Another channel may have come further in the meantime.
    if (gap.to > reading.have) {
      reading.have = gap.to;
      reading.haveId = NO_ID;
      reading.come = gap.to;
    }
    // What we have never read was taken all the same: by an earlier run of this program.
    if (kind === LogKind.live) this.#tell({ type: "restarted", who: "us" });
  }

  /** Messages have come by another way than a channel, and are stored; none is attached. */
  refresh({ fresh, incoming }: Pick<SealedNews, "fresh" | "incoming">): void {
    const reading = this.#reading;
    if (reading && reading.kind === LogKind.kept && timingSafeEqual(reading.log, incoming.log)) {
      // What was held back may have been stored in the meantime, behind what has come.
      if (incoming.have > reading.have) {
        reading.have = incoming.have;
        reading.haveId = incoming.haveId ?? NO_ID;
      }
      this.#dropHeldBack(reading);
    }
    for (const { type, content } of fresh) {
      if (isToRead(type)) this.#unread++;
      this.#backlog.messages++;
      this.#backlog.bytes += content.length;
    }
    if (this.#store) this.#showStored(this.#store);
    this.#onStored(fresh);
  }

  /** The other side names no log, as a server does, and goes on with message `first`. */
  beginUnnamed(first: bigint): void {
    const have = first - 1n;
    const kind = LogKind.live;
    const from = { have, haveId: NO_ID, read: have, come: have };
    this.#reading = { log: NO_LOG, kind, ...from, underWay: false };
  }

  /**
   * Takes messages as they come, and resolves when they are safe: on disk, or in memory those of a
   * stream; or held back, when too much waits to be shown or they cannot be stored (see `trouble` and
   * `storeHeldBack`). To whether any was new: what is here already is passed over. Throws `bad_state` on a gap,
   * `bad_frame` on what is no text, `limit` on a flood.
   */
  async take(messages: readonly Message[]): Promise<boolean> {
    const reading = this.#reading;
    if (!reading) throw outOfTurn();
    return reading.kind === LogKind.kept && this.#store
      ? await this.#keep(this.#store, reading, messages)
      : this.#hold(reading, messages);
  }

  async #keep(
    store: MessageStore,
    reading: Reading,
    messages: readonly Message[],
  ): Promise<boolean> {
    const kept = messages.map(requireKept);
    if (this.#heldBack.length > 0 || this.#isStoringHeldBack) return this.#holdBack(reading, kept);
    const fitting = this.#fitting(kept);
    const isFresh = fitting > 0 && await this.#storeOrHold(store, reading, kept.slice(0, fitting));
    return fitting < kept.length && this.#holdBack(reading, kept.slice(fitting)) || isFresh;
  }

  /** While they are on their way to the disk others come: these wait behind them. */
  async #storeOrHold(
    store: MessageStore,
    reading: Reading,
    kept: readonly KeptMessage[],
  ): Promise<boolean> {
    try {
      return await this.#storeNow(store, reading, kept);
    } catch (error) {
      this.#requireTrouble(error);
      return this.#holdBack(reading, kept);
    }
  }

  /** Notes why nothing can be stored; throws what is no such reason. */
  #requireTrouble(error: unknown): void {
    if (!(error instanceof CifraError) || error.code !== "local") throw error;
    this.#trouble = error;
  }

  async #storeNow(
    store: MessageStore,
    reading: Reading,
    kept: readonly KeptMessage[],
  ): Promise<boolean> {
    const fresh = await store.receive(this.#key, reading.log, kept);
    this.#trouble = undefined;
    this.#unread += fresh.filter(({ type }) => isToRead(type)).length;
    this.#backlog.messages += fresh.length;
    for (const { content } of fresh) this.#backlog.bytes += content.length;
    const last = kept.at(-1);
    if (last && last.number > reading.have) {
      reading.have = last.number;
      reading.haveId = last.id;
      if (reading.come < reading.have) reading.come = reading.have;
    }
    this.#showStored(store);
    this.#onStored(fresh);
    return fresh.length > 0;
  }

  /** How many of these a person who does not look leaves room for on this disk. */
  #fitting(messages: readonly KeptMessage[]): number {
    let { messages: count, bytes } = this.#backlog;
    let fitting = 0;
    for (const { content } of messages) {
      if (count >= UNSHOWN_MESSAGES || bytes >= UNSHOWN_BYTES) break;
      count++;
      bytes += content.length;
      fitting++;
    }
    return fitting;
  }

  #holdBack(reading: Reading, messages: readonly KeptMessage[]): boolean {
    // Another channel brings another log meanwhile.
    if (this.#reading !== reading) return false;
    const fresh = following(reading.come, messages);
    if (fresh instanceof CifraError) throw fresh;
    for (const message of fresh) {
      this.#makeHeld(messageLength(message));
      reading.come = message.number;
      // A view of a record keeps all of the record in memory.
      this.#heldBack.push({ ...message, id: message.id.slice(), content: message.content.slice() });
    }
    return fresh.length > 0;
  }

  /**
   * Whether there is room for what was held back: then `storeHeldBack` is to be called. Not before half of what
   * may wait was shown, so that a transaction has many.
   */
  get canStoreHeldBack(): boolean {
    const { messages, bytes } = this.#backlog;
    return !this.#trouble && this.#mayStoreHeldBack &&
      messages <= UNSHOWN_MESSAGES / 2 && bytes <= UNSHOWN_BYTES / 2;
  }

  get #mayStoreHeldBack(): boolean {
    return this.#heldBack.length > 0 && !this.#isStoringHeldBack && !this.#closed;
  }

  /** Stores what was held back, as far as there is room, and as it can be stored: see `trouble`. */
  async storeHeldBack(): Promise<void> {
    const store = this.#store, reading = this.#reading;
    if (!store || !reading || !this.#mayStoreHeldBack) return;
    do {
      const held = this.#heldBack;
      const fitting = this.#fitting(held);
      // Now it is the person who does not look that they wait for.
      if (fitting === 0) this.#trouble = undefined;
      else await this.#storeSome(store, reading, held, fitting);
    } while (this.#reading === reading && this.canStoreHeldBack);
  }

  /** Stores the first of those that are `held`, which stay where they are until they are on disk. */
  async #storeSome(
    store: MessageStore,
    reading: Reading,
    held: KeptMessage[],
    count: number,
  ): Promise<void> {
    this.#isStoringHeldBack = true;
    try {
      await this.#storeNow(store, reading, held.slice(0, count));
      for (const message of held.splice(0, count)) {
        // Those of a channel that is gone count no more.
        if (held === this.#heldBack) this.#bytesHeld -= messageLength(message);
      }
    } catch (error) {
      this.#requireTrouble(error);
    } finally {
      this.#isStoringHeldBack = false;
    }
  }

  #dropHeldBack(reading: Reading): void {
    for (const message of this.#heldBack) this.#bytesHeld -= messageLength(message);
    this.#heldBack = [];
    reading.come = reading.have;
  }

  /** What the store has by now is to be shown, after all that waits here. */
  #showStored(store: MessageStore): void {
    const newest = this.#queue.at(-1);
    if (newest && "storedUpTo" in newest) this.#queue.pop();
    this.#queue.push({ storedUpTo: store.lastOrdinal() });
    this.#news.notify();
  }

  #hold(reading: Reading, messages: readonly Message[]): boolean {
    const fresh = following(reading.have, messages);
    if (fresh instanceof CifraError) throw fresh;
    for (const message of fresh) {
      if (message.type === "file" && reading.kind === LogKind.live) {
        throw badFrame("a word about a transfer in a log that is not kept");
      }
      const event = toEvent(message, false);
      // As its sender counts it: a message without content weighs something as well.
      const size = messageLength(message);
      this.#makeHeld(size);
      if (isToRead(message.type)) this.#unread++;
      reading.have = reading.come = message.number;
      reading.haveId = "id" in message ? message.id : NO_ID;
      reading.underWay = message.type !== "end";
      this.#queue.push({ event, reading, size });
    }
    this.#news.notify();
    return fresh.length > 0;
  }

  /** Counts bytes that are held in memory. Throws `limit` on a flood. */
  #makeHeld(size: number): void {
    // An honest sender stops at the window; what it sent before our acknowledgement may be on the way.
    if (this.#bytesHeld + size > 2 * CONVERSATION_WINDOW) {
      throw new CifraError("limit", "The other side sends more than was asked for");
    }
    this.#bytesHeld += size;
  }

  /** The next event; undefined when there is none and `close` was called. */
  async next(): Promise<PeerEvent | undefined> {
    for (;;) {
      const event = this.#shift();
      if (event || this.#closed) return event;
      await this.#news.wait();
    }
  }

  #shift(): PeerEvent | undefined {
    for (;;) {
      const head = this.#queue[0];
      if (head === undefined) return undefined;
      if ("event" in head) {
        this.#queue.shift();
        this.#origins.set(head.event, { ...head, log: undefined, stored: 0 });
        return head.event;
      }
      if (this.#page.length === 0) {
        this.#page = [...this.#store!.unshown(this.#key, this.#givenUpTo, PAGE)];
      }
      const [stored] = this.#page;
      if (!stored || stored.ordinal > head.storedUpTo) {
        this.#queue.shift();
        continue;
      }
      this.#page.shift();
      this.#givenUpTo = stored.ordinal;
      const { log, message } = stored;
      const event = message.type === "gap"
        ? message
        : toEvent(message, stored.ordinal <= this.#recoveredUpTo);
      const bytes = message.type === "gap" ? 0 : message.content.length;
      this.#origins.set(event, { reading: undefined, size: 0, log, stored: bytes });
      return event;
    }
  }

  /** The program is done with this event, and with all before it. */
  taken(event: PeerEvent): void {
    const origin = this.#origins.get(event);
    if (!origin || event.type === "restarted") return;
    this.#bytesHeld -= origin.size;
    if (isToRead(event.type)) this.#unread--;
    const { log, stored } = origin;
    if (log && event.type !== "gap") {
      this.#backlog.messages--;
      this.#backlog.bytes -= stored;
    }
    const number = event.type === "gap" ? event.to : event.number;
    if (log) this.#store!.markRead(this.#key, log, number);
    const reading = log && this.#reading && timingSafeEqual(log, this.#reading.log)
      ? this.#reading
      : origin.reading;
    if (reading && number > reading.read) reading.read = number;
  }

  /** Nothing more will come: `next` gives what is there, and then undefined. */
  close(): void {
    this.#closed = true;
    this.#news.notify();
  }

  #tell(event: PeerEvent): void {
    this.#queue.push({ event, reading: undefined, size: 0 });
    this.#news.notify();
  }
}

/** Only a chat is kept. */
function requireKept(message: Message): KeptMessage {
  if (message.type === "bytes") throw badFrame("a byte stream is not kept");
  return message;
}

/** A message as it is shown; `recovered`: an earlier run may have shown it. */
export function toEvent(message: Message, recovered: boolean): PeerEvent {
  const { type, number } = message;
  switch (type) {
    case "text":
      return { type, number, text: textOf(message), written: message.written, recovered };
    case "bytes":
      return { type, number, bytes: compact(message.content) };
    case "file": {
      const { id, written } = message;
      return { type, number, id: id.slice(), word: fileWordOf(message), written, recovered };
    }
    case "end":
    case "taken back":
      return { type, number };
  }
}

/** Whether what is of this type counts as unread until it is shown. */
function isToRead(type: PeerEvent["type"]): boolean {
  return type === "text" || type === "bytes" || type === "file";
}

/** A view of a record keeps all of the record in memory: a small one is worth a copy. */
function compact(content: Bytes): Bytes {
  return 2 * content.length < content.buffer.byteLength ? content.slice() : content;
}

/** Why a channel ends on which the other side breaks the order of PROTOCOL.md 3.8: `bad_state`. */
export function outOfTurn(): CifraError {
  return new CifraError("bad_state", "The other side said something out of turn");
}
