/** Messages that live and die with their process: conversations that keep nothing, and simulations. */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";
import { type Random, systemRandom, timingSafeEqual as equals } from "../../lib/crypto/platform.ts";
import type { SuiteName } from "../../lib/crypto/suite.ts";
import { CifraError } from "../../lib/errors.ts";
import { MESSAGES_LAZY_COUNT } from "../../lib/limits.ts";
import {
  advanced,
  finds,
  following,
  historyLine,
  LetIn,
  ownCopy,
  type Progress,
  requireNumber,
  split,
  toShow,
  within,
} from "../../lib/store/message_rules.ts";
import type {
  Backlog,
  ConversationKey,
  Direction,
  Gap,
  HistoryEntry,
  HistoryFilter,
  IncomingState,
  MessageStore,
  OpenedEnvelope,
  OutgoingState,
  SealedContent,
  SealedNews,
  Unshown,
} from "../../lib/store/message_store.ts";
import type { Mailbag } from "../../lib/store/mailbag.ts";
import type { TransferStore } from "../../lib/store/transfer_store.ts";
import { emptyMailbag, type MailbagDisk, MemoryMailbag } from "./memory_mailbag.ts";
import { MemoryTransfers, type TransferOnDisk } from "./memory_transfers.ts";
import type { KeptMessage, NewMessage } from "../../lib/wire/peer_messages.ts";

const LOG_ID_LENGTH = 16;

interface Log {
  readonly name: Bytes;
  progress: Progress;
  /** Of a log that is read: the id of its last message, if that ever came here. */
  lastId: Bytes | undefined;
  /** By number. Missing numbers are left out. */
  kept: Kept[];
  /** Of a log that is read: what waits for others, by number. */
  early: KeptMessage[];
  /** Of a log that is read: the one for what came under numbers that are taken. */
  beside: Log | undefined;
}

interface Kept {
  readonly ordinal: number;
  readonly side: Side;
  log: Log;
  /** That of the message; of a gap the last one. */
  number: bigint;
  message: KeptMessage | Gap;
}

/** One direction of a conversation. */
interface Side {
  readonly peer: string;
  readonly suite: SuiteName;
  readonly direction: Direction;
  /** By their names in hexadecimal. */
  readonly logs: Map<string, Log>;
  /** The log that is written, or was read last. */
  current: Log | undefined;
  /** Of the messages that are kept, in hexadecimal. */
  readonly ids: Set<string>;
}

/** What is durable. Data alone, so that it can be copied whole. */
interface Disk {
  readonly sides: Map<string, Side>;
  /** In the order in which they came here. */
  readonly kept: Set<Kept>;
  lastOrdinal: number;
  /** What may have been shown up to this ordinal; undefined, which is all, until the store is closed. */
  doubtful: number | undefined;
  readonly mailbag: MailbagDisk;
  /** In the order in which they came. */
  readonly transfers: TransferOnDisk[];
}

/** What was durable at one moment; for the constructor, any number of times. */
export interface MessagesSnapshot {
  readonly disk: Readonly<Disk>;
}

/**
 * Makes changes durable: calls `work` once when they are, and resolves when whoever asked for them may
 * know. It may take its time or never come to that (the process has died before or after), and may reject:
 * before `work` nothing has changed and the store goes on; after it the store is in doubt and refuses.
 */
export type Commit = (work: () => void) => Promise<void>;

/** How a store in memory differs from the usual. */
export interface MemoryMessagesOptions {
  /** Whether messages stay after they have been stored over there or shown here; default true. */
  readonly keepHistory?: boolean;
  /** Chooses the names of logs. */
  readonly random?: Random;
  /** The disk; without one changes are durable a microtask after they were asked for. */
  readonly commit?: Commit;
  /** What is on the disk at the beginning. */
  readonly snapshot?: MessagesSnapshot;
}

interface Change {
  /** Makes the change; returns what tells of it. */
  readonly run: () => () => void;
  readonly reject: (error: unknown) => void;
}

/** A message store in memory, with a disk of its own kind: what was not committed is not in a snapshot. */
export class MemoryMessages implements MessageStore {
  readonly doubtfulUpTo: number;
  readonly lost = [];
  readonly #keepHistory: boolean;
  readonly #random: Random;
  readonly #commit: Commit;
  readonly #disk: Disk;
  readonly #mailbag: MemoryMailbag;
  readonly #transfers: MemoryTransfers;
  /** What is known and not yet durable. */
  readonly #later = new Map<Log, { readonly direction: Direction; readonly progress: Progress }>();
  #laterCount = 0;
  readonly #letIn = new LetIn<Log>();
  #queue: Change[] = [];
  #committing = false;
  #failure: { readonly error: unknown } | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: MemoryMessagesOptions = {}) {
    this.#keepHistory = options.keepHistory ?? true;
    this.#random = options.random ?? systemRandom;
    this.#commit = options.commit ?? ((work) => Promise.resolve().then(work));
    this.#disk = structuredClone(options.snapshot?.disk) ??
      {
        sides: new Map(),
        kept: new Set(),
        lastOrdinal: 0,
        doubtful: undefined,
        mailbag: emptyMailbag(),
        transfers: [],
      };
    this.#mailbag = new MemoryMailbag(this.#disk.mailbag, {
      change: (work) => this.#change(work),
      requireUsable: () => this.#requireUsable(),
      hasLog: (peer, log) =>
        this.#find({ peer, suite: "modern" }, "sent")?.logs.has(encodeHex(log)) ?? false,
    });
    this.#transfers = new MemoryTransfers(this.#disk.transfers, {
      change: (work) => this.#change(work),
      requireUsable: () => this.#requireUsable(),
      append: (key, message) => this.#append(key, [message]),
    });
    this.doubtfulUpTo = this.#disk.doubtful ?? this.#disk.lastOrdinal;
    this.#disk.doubtful = undefined;
  }

  /** What is durable at this moment: all that a process started after a crash would find. */
  snapshot(): MessagesSnapshot {
    return { disk: structuredClone(this.#disk) };
  }

  outgoing(key: ConversationKey): Promise<OutgoingState> {
    return this.#change(() => this.#outgoingState(this.#outgoingLog(key)));
  }

  append(key: ConversationKey, messages: readonly NewMessage[]): Promise<bigint> {
    const copies = messages.map(ownCopy);
    return this.#change(() => this.#append(key, copies));
  }

  #append(key: ConversationKey, messages: readonly NewMessage[]): bigint {
    const log = this.#outgoingLog(key);
    const side = this.#side(key, "sent");
    for (const message of messages) {
      const number = log.progress.last + 1n;
      if (this.#keep(side, log, { ...message, number })) {
        log.progress = { ...log.progress, last: number };
      }
    }
    return log.progress.last;
  }

  read(key: ConversationKey, from: bigint, byteLimit: number): readonly KeptMessage[] {
    const log = this.#find(key, "sent")?.current;
    const oldest = log?.kept[0]?.number;
    if (!log || oldest === undefined) return [];
    const { stored } = this.#progress(log);
    const first = from > stored ? from : stored + 1n;
    const index = first > oldest ? Number(first - oldest) : 0;
    return within(messagesFrom(log.kept, index), byteLimit);
  }

  /** This disk loses nothing. */
  missing(): readonly Gap[] {
    return [];
  }

  acknowledge(key: ConversationKey, stored: bigint, read: bigint): void {
    const log = this.#find(key, "sent")?.current;
    if (log) this.#note("sent", log, stored, read);
  }

  restart(key: ConversationKey): Promise<OutgoingState> {
    return this.#change(() => {
      const side = this.#side(key, "sent");
      const old = side.current;
      return this.#outgoingState(old ? this.#restart(side, old) : this.#beginLog(side));
    });
  }

  #restart(side: Side, old: Log): Log {
    const log = this.#beginLog(side);
    const { last, stored } = this.#progress(old);
    log.kept = old.kept.filter(({ number }) => number > stored);
    old.kept = old.kept.filter(({ number }) => number <= stored);
    old.progress = { ...old.progress, last: stored };
    log.progress = { last: last - stored, stored: 0n, read: 0n };
    for (const kept of log.kept) {
      kept.log = log;
      kept.number -= stored;
      kept.message = { ...kept.message as KeptMessage, number: kept.number };
    }
    return log;
  }

  takeBack(key: ConversationKey, number: bigint): Promise<boolean> {
    return this.#change(() => {
      const log = this.#find(key, "sent")?.current;
      if (!log || number <= this.#progress(log).stored) return false;
      const kept = log.kept.find((kept) => kept.number === number);
      if (kept?.message.type !== "text") return false;
      kept.message = { ...kept.message, type: "taken back", content: new Uint8Array(0) };
      this.#mailbag.outdate(log.name, number);
      return true;
    });
  }

  forget(key: ConversationKey): Promise<number> {
    return this.#change(() => {
      const side = this.#side(key, "sent");
      const old = side.current;
      if (!old || old.progress.last === old.progress.stored) return 0;
      const { last, stored } = old.progress;
      const count = old.kept.length;
      const unsaid = old.kept.filter(({ number }) => number > stored).map(({ message }) => message);
      this.#transfers.forget(key, unsaid);
      this.#forget(old, stored, last);
      old.progress = { ...old.progress, last: stored };
      this.#beginLog(side);
      return count - old.kept.length;
    });
  }

  incoming(key: ConversationKey, log?: Bytes): IncomingState | undefined {
    const side = this.#find(key, "received");
    const found = log ? side?.logs.get(encodeHex(log)) : side?.current;
    if (!found) return undefined;
    const { last, read } = this.#progress(found);
    return { log: found.name.slice(), have: last, haveId: found.lastId?.slice(), read };
  }

  receive(
    key: ConversationKey,
    log: Bytes,
    messages: readonly KeptMessage[],
  ): Promise<readonly KeptMessage[]> {
    const copies = messages.map(ownCopy);
    const name = log.slice();
    return this.#change(() => {
      const side = this.#side(key, "received");
      const fresh = following(side.logs.get(encodeHex(name))?.progress.last ?? 0n, copies);
      if (fresh instanceof CifraError) throw fresh;
      return this.#heard(
        key,
        this.#take("channel", side, this.#incomingLog(side, name), 0n, copies),
      );
    });
  }

  skip(key: ConversationKey, log: Bytes, first: bigint): Promise<void> {
    const name = log.slice();
    return this.#change(() => {
      requireNumber(first);
      const side = this.#side(key, "received");
      this.#heard(key, this.#take("channel", side, this.#incomingLog(side, name), first, []));
    });
  }

  #heard(key: ConversationKey, fresh: KeptMessage[]): KeptMessage[] {
    this.#transfers.hear(key, fresh);
    return fresh;
  }

  #take(
    way: "channel" | "envelope",
    side: Side,
    log: Log,
    first: bigint,
    messages: readonly KeptMessage[],
  ): KeptMessage[] {
    const idOf = (wanted: bigint) => {
      if (way === "channel" && !this.#letIn.has(log, wanted)) return undefined;
      const kept = log.kept.find(({ number }) => number >= wanted);
      if (kept?.message.type === "gap") return kept.message.from <= wanted ? "gap" : undefined;
      return kept?.number === wanted ? kept.message.id : undefined;
    };
    const soFar = {
      have: log.progress.last,
      haveId: log.lastId,
      isCompared: way === "channel",
      early: log.early,
      idOf,
    };
    const parts = split(soFar, first, messages);
    const fresh: KeptMessage[] = [];
    const handled = new Set<string>();
    const moveTo = (of: Log, number: bigint, id: Bytes | undefined) => {
      of.progress = { ...of.progress, last: number, stored: number };
      of.lastId = id;
    };
    const keepAside = (message: KeptMessage) => {
      if (side.ids.has(encodeHex(message.id))) return;
      handled.add(encodeHex(message.id));
      const beside = log.beside ??= newLog(side, this.#random(LOG_ID_LENGTH));
      const number = beside.progress.last + 1n;
      if (this.#keep(side, beside, { ...message, number })) fresh.push(message);
      moveTo(beside, number, message.id);
    };
    for (const { part, isAside } of toShow(parts)) {
      if (isAside) {
        keepAside(part);
        continue;
      }
      const isGap = part.type === "gap";
      if (isGap) this.#put(side, log, part.to, part);
      else {
        handled.add(encodeHex(part.id));
        if (this.#keep(side, log, part)) fresh.push(part);
      }
      moveTo(log, isGap ? part.to : part.number, isGap ? undefined : part.id);
    }
    if (way === "channel" && parts.next.length > 0) {
      this.#letIn.note(log, messages.at(-1)?.number ?? first - 1n, log.progress.last);
    }
    const isGone = ({ number, id }: KeptMessage, of: Log) =>
      handled.has(encodeHex(id)) ||
      parts.early.some((message) =>
        equals(message.id, id) || of === log && message.number === number
      );
    for (const other of side.logs.values()) {
      other.early = other.early.filter((message) => !isGone(message, other));
    }
    const early = [...log.early, ...parts.early];
    log.early = early.sort((a, b) => a.number < b.number ? -1 : 1);
    return fresh;
  }

  receiveSealed(
    key: ConversationKey,
    opened: OpenedEnvelope,
  ): Promise<SealedNews | undefined> {
    const { session, content, at } = structuredClone(opened);
    const messages = content.messages.map(ownCopy);
    return this.#change(() => {
      for (const number of [content.first, ...messages.map(({ number }) => number)]) {
        requireNumber(number);
      }
      if (!this.#mailbag.takeSession(session, at)) return undefined;
      const side = this.#side(key, "received");
      const log = this.#incomingLog(side, content.log);
      const fresh = this.#heard(
        key,
        this.#take("envelope", side, log, content.first, messages),
      );
      const isRestarted = this.#hear(key, content);
      const pass = content.pass.some((byte) => byte !== 0) ? content.pass : undefined;
      this.#mailbag.noteEnvelope(session, { pass, isOwed: messages.length > 0 });
      return {
        fresh,
        early: log.early.length,
        incoming: this.incoming(key, content.log)!,
        outgoing: this.#outgoingState(this.#outgoingLog(key)),
        isRestarted,
      };
    });
  }

  /** Takes what the other side says of our log; whether that was begun anew. */
  #hear(key: ConversationKey, { readLog, have, haveId, read }: SealedContent): boolean {
    const log = this.#find(key, "sent")?.current;
    if (!log || !equals(log.name, readLog)) return false;
    const said = log.kept.find(({ number }) => number === have)?.message;
    const isSaid = said !== undefined && said.type !== "gap" && equals(said.id, haveId);
    const { stored } = this.#progress(log);
    if (have > stored && !isSaid) {
      this.#restart(this.#side(key, "sent"), log);
      return true;
    }
    const before = log.progress.stored;
    log.progress = advanced(this.#progress(log), have, read);
    if (!this.#keepHistory) this.#forget(log, before, log.progress.stored);
    return false;
  }

  early(key: ConversationKey): readonly KeptMessage[] {
    const logs = [...this.#find(key, "received")?.logs.values() ?? []];
    return logs.flatMap(({ early }) => early.map(ownCopy));
  }

  markRead(key: ConversationKey, log: Bytes, number: bigint): void {
    const found = this.#find(key, "received")?.logs.get(encodeHex(log));
    if (found) this.#note("received", found, found.progress.stored, number);
  }

  unshown(key: ConversationKey, after: number, limit: number): readonly Unshown[] {
    const logs = [...this.#find(key, "received")?.logs.values() ?? []];
    return logs
      .flatMap((log) => this.#waiting(log))
      .filter(({ ordinal }) => ordinal > after)
      .toSorted((a, b) => a.ordinal - b.ordinal)
      .slice(0, limit)
      .map(({ ordinal, log, message }) => ({
        ordinal,
        log: log.name.slice(),
        message: message.type === "gap" ? { ...message } : ownCopy(message),
      }));
  }

  unread(key: ConversationKey): number {
    return this.#waitingMessages(key)
      .filter(({ type }) => type === "text" || type === "file").length;
  }

  #waitingMessages(key: ConversationKey): readonly KeptMessage[] {
    const logs = [...this.#find(key, "received")?.logs.values() ?? []];
    return logs.flatMap((log) => this.#waiting(log)).map(({ message }) => message)
      .filter((message) => message.type !== "gap");
  }

  backlog(key: ConversationKey): Backlog {
    const waiting = this.#waitingMessages(key);
    return {
      messages: waiting.length,
      bytes: waiting.reduce((sum, { content }) => sum + content.length, 0),
    };
  }

  get mailbag(): Mailbag {
    this.#requireUsable();
    return this.#mailbag;
  }

  get transfers(): TransferStore {
    this.#requireUsable();
    return this.#transfers;
  }

  /** This disk keeps nothing that was deleted. */
  tidy(): void {
    this.#requireUsable();
  }

  unstored(suite: SuiteName): readonly string[] {
    this.#requireUsable();
    return [...this.#disk.sides.values()].filter((side) => {
      if (side.suite !== suite || side.direction !== "sent" || !side.current) return false;
      const { stored, last } = this.#progress(side.current);
      return stored < last;
    }).map(({ peer }) => peer);
  }

  peers(suite: SuiteName): readonly string[] {
    this.#requireUsable();
    const sides = [...this.#disk.sides.values()];
    return [...new Set(sides.filter((side) => side.suite === suite).map(({ peer }) => peer))];
  }

  lastOrdinal(): number {
    this.#requireUsable();
    return this.#disk.lastOrdinal;
  }

  history(filter: HistoryFilter): Iterable<HistoryEntry> {
    const { last } = filter;
    const all = this.#history(filter);
    return last === undefined ? all : last === 0 ? [] : [...all].slice(-last);
  }

  *#history(filter: HistoryFilter): Iterable<HistoryEntry> {
    this.#requireUsable();
    const isFound = finds(filter);
    for (const { side, log, message } of this.#disk.kept) {
      if ((filter.peer ?? side.peer) !== side.peer) continue;
      const entry = message.type === "gap"
        ? { ...message, peer: side.peer }
        : historyLine(side, message, this.#progress(log));
      if (entry && isFound(entry, this.#progress(log))) yield entry;
    }
  }

  close(): Promise<void> {
    return this.#closed ??= this.#change(() => {
      this.#disk.doubtful = this.doubtfulUpTo;
    });
  }

  #requireUsable(): void {
    if (this.#failure) throw this.#failure.error;
    if (this.#closed) throw new Error("The message store is closed");
  }

  /** Queues a change, which throws before it changes anything or not at all. */
  async #change<T>(work: () => T): Promise<T> {
    this.#requireUsable();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const run = () => {
      try {
        const result = work();
        return () => resolve(result);
      } catch (error) {
        return () => reject(error);
      }
    };
    this.#queue.push({ run, reject });
    this.#flush();
    return await promise;
  }

  /** One commit at a time; what is asked for until its work begins is part of it. */
  async #flush(): Promise<void> {
    if (this.#committing) return;
    this.#committing = true;
    let batch: Change[] | undefined;
    let told: (() => void)[] = [];
    try {
      await this.#commit(() => {
        if (batch) throw new Error("A commit does its work once");
        batch = this.#queue;
        this.#queue = [];
        this.#write();
        told = batch.map(({ run }) => run());
      });
      for (const tell of told) tell();
    } catch (error) {
      if (batch) this.#failure = { error };
      const refused = [...batch ?? [], ...this.#queue];
      this.#queue = [];
      for (const { reject } of refused) reject(error);
    }
    this.#committing = false;
    if (this.#queue.length > 0) this.#flush();
  }

  /** Writes what was only noted. */
  #write(): void {
    for (const [log, { direction, progress: { stored, read } }] of this.#later) {
      const upTo = direction === "sent" ? stored : read;
      const before = direction === "sent" ? log.progress.stored : log.progress.read;
      log.progress = advanced(log.progress, stored, read);
      if (!this.#keepHistory) this.#forget(log, before, upTo);
    }
    this.#later.clear();
    this.#laterCount = 0;
  }

  #forget(log: Log, after: bigint, upTo: bigint): void {
    const gone = ({ number }: Kept) => number > after && number <= upTo;
    for (const kept of log.kept) {
      if (!gone(kept)) continue;
      this.#disk.kept.delete(kept);
      if (kept.message.type !== "gap") kept.side.ids.delete(encodeHex(kept.message.id));
    }
    log.kept = log.kept.filter((kept) => !gone(kept));
  }

  #note(direction: Direction, log: Log, stored: bigint, read: bigint): void {
    this.#requireUsable();
    const now = this.#progress(log);
    const progress = advanced(now, stored, read);
    if (progress.stored === now.stored && progress.read === now.read) return;
    this.#later.set(log, { direction, progress });
    this.#laterCount++;
    // Nobody waits for it, and whoever asks next is told when it fails.
    if (this.#laterCount === MESSAGES_LAZY_COUNT) this.#change(() => {}).catch(() => {});
  }

  /** How far a log has come, with what was only noted. */
  #progress(log: Log): Progress {
    const later = this.#later.get(log)?.progress;
    return later ? advanced(log.progress, later.stored, later.read) : log.progress;
  }

  /** The messages of a log that were not shown, last first. */
  #waiting(log: Log): Kept[] {
    const { read } = this.#progress(log);
    const waiting: Kept[] = [];
    for (let i = log.kept.length - 1; i >= 0 && log.kept[i]!.number > read; i--) {
      waiting.push(log.kept[i]!);
    }
    return waiting;
  }

  #find(key: ConversationKey, direction: Direction): Side | undefined {
    this.#requireUsable();
    return this.#disk.sides.get(nameOf(key, direction));
  }

  #side(key: ConversationKey, direction: Direction): Side {
    const name = nameOf(key, direction);
    let side = this.#disk.sides.get(name);
    if (!side) {
      const logs = new Map(), ids = new Set<string>();
      side = { ...key, direction, logs, current: undefined, ids };
      this.#disk.sides.set(name, side);
    }
    return side;
  }

  #outgoingLog(key: ConversationKey): Log {
    const side = this.#side(key, "sent");
    return side.current ?? this.#beginLog(side);
  }

  #incomingLog(side: Side, name: Bytes): Log {
    return side.current = side.logs.get(encodeHex(name)) ?? newLog(side, name);
  }

  #beginLog(side: Side): Log {
    return side.current = newLog(side, this.#random(LOG_ID_LENGTH));
  }

  #outgoingState(log: Log): OutgoingState {
    const { last, stored, read } = this.#progress(log);
    return { log: log.name.slice(), last, stored, read };
  }

  /** Whether the message is new: one whose id is kept already is passed over. */
  #keep(side: Side, log: Log, message: KeptMessage): boolean {
    const id = encodeHex(message.id);
    if (side.ids.has(id)) return false;
    side.ids.add(id);
    this.#put(side, log, message.number, message);
    return true;
  }

  #put(side: Side, log: Log, number: bigint, message: KeptMessage | Gap): void {
    const kept = { ordinal: ++this.#disk.lastOrdinal, side, log, number, message };
    log.kept.push(kept);
    this.#disk.kept.add(kept);
  }
}

/** A log of this name. */
function newLog(side: Side, name: Bytes): Log {
  const progress = { last: 0n, stored: 0n, read: 0n };
  const log: Log = {
    name,
    progress,
    lastId: undefined,
    kept: [],
    early: [],
    beside: undefined,
  };
  side.logs.set(encodeHex(name), log);
  return log;
}

function nameOf({ peer, suite }: ConversationKey, direction: Direction): string {
  return `${direction} ${suite} ${peer}`;
}

/** Of a log that is written, which has no gaps. */
function* messagesFrom(kept: readonly Kept[], index: number): Iterable<KeptMessage> {
  for (let i = index; i < kept.length; i++) yield ownCopy(kept[i]!.message as KeptMessage);
}
