/** The messages of a profile on disk: a MessageStore in one SQLite database. */
import type { Bytes } from "../bytes.ts";
import { type Random, systemRandom } from "../crypto/platform.ts";
import type { ProfileKey } from "../crypto/profile_key.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { MESSAGES_LAZY_AFTER, MESSAGES_LAZY_COUNT } from "../limits.ts";
import type { KeptMessage, NewMessage } from "../wire/peer_messages.ts";
import { AtRest } from "./at_rest.ts";
import { GroupCommit } from "./group_commit.ts";
import {
  advanced,
  following,
  ownCopy,
  type Progress,
  requireNumber,
  within,
  withoutGaps,
} from "./message_rules.ts";
import { historyOf } from "./messages_history.ts";
import { MessageMarks } from "./messages_marks.ts";
import { MESSAGES_FILE, MESSAGES_KIND } from "./messages_schema.ts";
import {
  gapOf,
  type GapRow,
  keptMessages,
  type LogRow,
  messageOrGap,
  type MessageRow,
  prepareStatements,
  type Statements,
  type UnshownRow,
} from "./messages_statements.ts";
import type {
  Backlog,
  ConversationKey,
  Direction,
  Gap,
  HistoryEntry,
  HistoryFilter,
  IncomingState,
  Lost,
  MessageStore,
  OpenedEnvelope,
  OutgoingState,
  SealedNews,
  Unshown,
} from "./message_store.ts";
import type { Mailbag } from "./mailbag.ts";
import { findPrivate, type PrivateFolder } from "./private_files.ts";
import { SqliteFile } from "./sqlite_file.ts";
import { SqliteLogs } from "./sqlite_logs.ts";
import { ownBytes, SqliteMailbag } from "./sqlite_mailbag.ts";
import { SqliteTransfers } from "./sqlite_transfers.ts";
import type { TransferStore } from "./transfer_store.ts";
import { type After, WriteAhead } from "./write_ahead.ts";

/** How messages are kept. */
export interface SqliteMessagesOptions {
  /**
   * Whether messages stay after they have been stored over there or shown here. Without, they are deleted
   * then, and their ids with them; what was kept before stays.
   */
  readonly keepHistory: boolean;
  /**
   * Seals what is said and the secrets that open what comes; without, they lie there as they are. Whoever gives it
   * drops it when the store is closed.
   */
  readonly key?: ProfileKey | undefined;
  /** Chooses the names of logs. */
  readonly random?: Random;
  /** When what can wait is written, and the write-ahead log emptied. */
  readonly after?: After;
}

/** What waits to be shown, and how much of it are texts and words about transfers. */
type WaitingCounts = Backlog & { readonly texts: number };
type UnreadRow = Readonly<Record<keyof WaitingCounts, bigint>>;

/** An open file of messages. One program at a time may have it; others read with `readHistory` of messages_history.ts. */
export class SqliteMessages implements MessageStore {
  readonly doubtfulUpTo: number;
  readonly lost: readonly Lost[];
  readonly #file: SqliteFile;
  readonly #marks: MessageMarks;
  readonly #atRest: AtRest;
  readonly #keepHistory: boolean;
  readonly #after: After;
  readonly #statements: Statements;
  readonly #logs: SqliteLogs;
  readonly #mailbag: SqliteMailbag;
  readonly #transfers: SqliteTransfers;
  readonly #commits: GroupCommit;
  readonly #writeAhead: WriteAhead;
  #stopTimer: (() => void) | undefined;
  #closed: Promise<void> | undefined;

  private constructor(
    file: SqliteFile,
    marks: MessageMarks,
    atRest: AtRest,
    options: SqliteMessagesOptions,
  ) {
    this.#atRest = atRest;
    this.#file = file;
    this.#marks = marks;
    const { keepHistory, random = systemRandom } = options;
    this.#keepHistory = keepHistory;
    this.#after = options.after ?? afterTimeout;
    this.#statements = prepareStatements(file);
    this.#logs = new SqliteLogs(file, this.#statements, marks, atRest, { keepHistory, random });
    this.#writeAhead = new WriteAhead(file, this.#after, keepHistory);
    this.#commits = new GroupCommit(file, () => this.#writeLater());
    const change = <T>(work: () => T) => this.#change(work);
    this.#mailbag = new SqliteMailbag(file, atRest, change);
    const append = (key: ConversationKey, message: NewMessage) => this.#append(key, [message]);
    this.#transfers = new SqliteTransfers(file, atRest, change, append);
    this.lost = file.transaction(() => this.#logs.findLost());
    this.doubtfulUpTo = this.#beginRun();
  }

  /**
   * Opens the messages of a profile, whose lock the caller holds. Throws `local` when the file cannot be
   * used; it is left as it is then, and none is begun in its place. Throws `usage` when it is sealed, and no key is
   * given.
   */
  static async open(
    folder: PrivateFolder,
    options: SqliteMessagesOptions,
  ): Promise<SqliteMessages> {
    const file = await SqliteFile.open(folder.path, MESSAGES_FILE, MESSAGES_KIND);
    let marks: MessageMarks | undefined;
    try {
      marks = MessageMarks.open(folder.path);
      return new SqliteMessages(file, marks, AtRest.open(file, options.key), options);
    } catch (error) {
      marks?.close();
      file.close();
      throw error;
    }
  }

  async outgoing(key: ConversationKey): Promise<OutgoingState> {
    this.#requireOpen();
    // Read where it can be: a full disk is no reason not to know where a log stands.
    const log = this.#commits.idle ? this.#logs.current(key, "sent") : undefined;
    if (log) return outgoingState(log);
    return await this.#change(() => outgoingState(this.#logs.outgoing(key)));
  }

  /** A message whose id is in the log already is passed over: what was asked for twice is said once. */
  async append(key: ConversationKey, messages: readonly NewMessage[]): Promise<bigint> {
    const copies = messages.map(ownCopy);
    return await this.#change(() => this.#append(key, copies));
  }

  /** In a transaction. */
  #append(key: ConversationKey, messages: readonly NewMessage[]): bigint {
    const log = this.#logs.outgoing(key);
    let last = log.last;
    for (const message of messages) {
      if (this.#logs.insert(log, { ...message, number: last + 1n })) last++;
    }
    this.#statements.setLast.run(last, log.id);
    this.#logs.move(key, "sent", { ...log, last });
    return last;
  }

  read(key: ConversationKey, from: bigint, byteLimit: number): readonly KeptMessage[] {
    this.#requireOpen();
    const log = this.#logs.current(key, "sent");
    if (!log) return [];
    const first = from > log.stored ? from : log.stored + 1n;
    if (first > log.last) return [];
    return this.#file.use(() => {
      const rows = this.#statements.messagesFrom.iterate(log.id, first);
      const messages = keptMessages(rows as Iterable<MessageRow>, this.#atRest, "message");
      return within(withoutGaps(first, messages), byteLimit);
    });
  }

  missing(key: ConversationKey): readonly Gap[] {
    this.#requireOpen();
    const log = this.#logs.current(key, "sent");
    if (!log) return [];
    const rows = this.#file.use(() => this.#statements.gapsAfter.all(log.id, log.stored));
    return (rows as unknown[] as GapRow[]).map(gapOf);
  }

  acknowledge(key: ConversationKey, stored: bigint, read: bigint): void {
    this.#requireOpen();
    const log = this.#logs.current(key, "sent");
    if (log) this.#note("sent", log, advanced(log, stored, read));
  }

  async restart(key: ConversationKey): Promise<OutgoingState> {
    return await this.#change(() => {
      const old = this.#logs.current(key, "sent");
      if (!old) return outgoingState(this.#logs.outgoing(key));
      return outgoingState(this.#logs.restart(key, old));
    });
  }

  async takeBack(key: ConversationKey, number: bigint): Promise<boolean> {
    return await this.#change(() => {
      const log = this.#logs.current(key, "sent");
      if (!log || number <= log.stored || number > log.last) return false;
      if (Number(this.#statements.takeBack.run(log.id, number).changes) === 0) return false;
      this.#mailbag.outdate(log.id, number);
      return true;
    });
  }

  async forget(key: ConversationKey): Promise<number> {
    return await this.#change(() => {
      const old = this.#logs.current(key, "sent");
      if (!old || old.last === old.stored) return 0;
      this.#transfers.forget(key, old.id, old.stored);
      return this.#logs.forget(key, old);
    });
  }

  incoming(key: ConversationKey, log?: Bytes): IncomingState | undefined {
    this.#requireOpen();
    const row = log ? this.#logs.named(key, log) : this.#logs.current(key, "received");
    return row && incomingState(row);
  }

  async receive(
    key: ConversationKey,
    log: Bytes,
    messages: readonly KeptMessage[],
  ): Promise<readonly KeptMessage[]> {
    const copies = messages.map(ownCopy);
    const name = log.slice();
    const kept = await this.#change(() => {
      const known = this.#logs.named(key, name);
      const fresh = following(known?.last ?? 0n, copies);
      // Not thrown here: that would undo what others change in the same transaction.
      if (fresh instanceof CifraError) return fresh;
      const log = this.#logs.incoming(key, name, known);
      return this.#heard(key, this.#logs.take("channel", key, log, 0n, copies));
    });
    if (kept instanceof CifraError) throw kept;
    return kept;
  }

  /** In a transaction: messages that are new have made of transfers what they say. */
  #heard(key: ConversationKey, fresh: readonly KeptMessage[]): readonly KeptMessage[] {
    this.#transfers.hear(key, fresh);
    return fresh;
  }

  async skip(key: ConversationKey, log: Bytes, first: bigint): Promise<void> {
    const name = log.slice();
    requireNumber(first);
    await this.#change(() => {
      this.#heard(key, this.#logs.take("channel", key, this.#logs.incoming(key, name), first, []));
    });
  }

  async receiveSealed(
    key: ConversationKey,
    { session, content, at }: OpenedEnvelope,
  ): Promise<SealedNews | undefined> {
    const messages = content.messages.map(ownCopy);
    for (const number of [content.first, ...messages.map(({ number }) => number)]) {
      requireNumber(number);
    }
    const state = ownBytes(session), said = ownBytes(content);
    return await this.#change(() => {
      if (!this.#mailbag.takeSession(state, at)) return undefined;
      const log = this.#logs.incoming(key, said.log);
      const fresh = this.#heard(key, this.#logs.take("envelope", key, log, said.first, messages));
      const isRestarted = this.#logs.hear(key, said);
      const pass = said.pass.some((byte) => byte !== 0) ? said.pass : undefined;
      this.#mailbag.noteEnvelope(state, { pass, isOwed: messages.length > 0 });
      const incoming = this.#logs.named(key, said.log)!;
      return {
        fresh,
        early: this.#logs.early(incoming.id),
        incoming: incomingState(incoming),
        outgoing: outgoingState(this.#logs.outgoing(key)),
        isRestarted,
      };
    });
  }

  early({ peer, suite }: ConversationKey): readonly KeptMessage[] {
    this.#requireOpen();
    const rows = this.#file.use(() => this.#statements.earlyOf.all(peer, suite));
    return [...keptMessages(rows as unknown[] as MessageRow[], this.#atRest, "early")];
  }

  markRead(key: ConversationKey, log: Bytes, number: bigint): void {
    this.#requireOpen();
    const row = this.#logs.named(key, log);
    if (row) this.#note("received", row, advanced(row, row.stored, number));
  }

  unshown(key: ConversationKey, after: number, limit: number): readonly Unshown[] {
    this.#requireOpen();
    const { peer, suite } = key;
    return this.#file.use(() => {
      const found: Unshown[] = [];
      if (limit < 1) return found;
      const rows = this.#statements.unshown.iterate({ peer, suite, after });
      for (const row of rows as Iterable<UnshownRow>) {
        if (row.number <= this.#logs.notedRead(row.log)) continue;
        found.push({
          ordinal: Number(row.ordinal),
          log: row.name,
          message: messageOrGap(row, this.#atRest),
        });
        if (found.length === limit) break;
      }
      return found;
    });
  }

  unread(key: ConversationKey): number {
    return this.#waiting(key).texts;
  }

  backlog(key: ConversationKey): Backlog {
    const { messages, bytes } = this.#waiting(key);
    return { messages, bytes };
  }

  #waiting({ peer, suite }: ConversationKey): WaitingCounts {
    this.#requireOpen();
    return this.#file.use(() => {
      const logs = this.#statements.logsOf.all(peer, suite, "received") as unknown[] as LogRow[];
      const sum = { texts: 0, messages: 0, bytes: 0 };
      for (const row of logs) {
        const { id, read } = this.#logs.withLater(row.id, row);
        const counts = this.#statements.unreadAfter.get(
          this.#atRest.overhead,
          id,
          read,
        ) as UnreadRow;
        sum.texts += Number(counts.texts);
        sum.messages += Number(counts.messages);
        sum.bytes += Number(counts.bytes);
      }
      return sum;
    });
  }

  unstored(suite: SuiteName): readonly string[] {
    this.#requireOpen();
    const rows = this.#file.use(() => this.#statements.unstored.all(suite));
    return (rows as unknown[] as (Progress & { readonly id: bigint; readonly peer: string })[])
      .filter((row) => this.#logs.withLater(row.id, row).stored < row.last)
      .map(({ peer }) => peer);
  }

  peers(suite: SuiteName): readonly string[] {
    this.#requireOpen();
    const rows = this.#file.use(() => this.#statements.peers.all(suite));
    return (rows as unknown[] as { readonly peer: string }[]).map(({ peer }) => peer);
  }

  lastOrdinal(): number {
    this.#requireOpen();
    const row = this.#file.use(() => this.#statements.lastOrdinal.get()) as
      | { readonly seq: bigint }
      | undefined;
    return Number(row?.seq ?? 0n);
  }

  history(filter: HistoryFilter): Iterable<HistoryEntry> {
    this.#requireOpen();
    return historyOf(
      this.#file,
      this.#atRest,
      filter,
      (log, progress) => this.#logs.withLater(log, progress),
    );
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  // deno-lint-ignore require-await -- a failure is the promise's
  async #close(): Promise<void> {
    this.#stopTimer?.();
    try {
      this.#commits.flush();
      // Fails here if the flush did: it has nobody to tell.
      this.#file.transaction(() => this.#writeLater())();
      this.#endRun();
    } finally {
      this.#writeAhead.stop();
      this.#marks.close();
      this.#file.close();
    }
  }

  get mailbag(): Mailbag {
    this.#requireOpen();
    return this.#mailbag;
  }

  get transfers(): TransferStore {
    this.#requireOpen();
    return this.#transfers;
  }

  tidy(): void {
    this.#requireOpen();
    this.#writeAhead.tidy();
  }

  /**
   * On disk before anything is shown: should this run be killed, the next one doubts all that waits. Returns what
   * this one has to doubt.
   */
  #beginRun(): number {
    const found = this.#file.transaction(() => {
      const row = this.#statements.doubtful.get() as { doubtful: bigint | null } | undefined;
      this.#statements.setDoubtful.run(null);
      return row?.doubtful;
    });
    // In the file itself: were the write-ahead log lost, the last run would seem to have ended in order.
    this.#writeAhead.settle();
    return Number(found ?? this.lastOrdinal());
  }

  /** What this run has not shown is left as it was found, an earlier run's doubt included. */
  #endRun(): void {
    try {
      this.#file.transaction(() => this.#statements.setDoubtful.run(this.doubtfulUpTo));
    } catch {
      // On a full disk it is left out, and the next run doubts more than it must.
    }
  }

  #requireOpen(): void {
    if (this.#closed) throw new Error("The message store is closed");
  }

  // deno-lint-ignore require-await -- a mistake is the promise's as well
  async #change<T>(work: () => T): Promise<T> {
    this.#requireOpen();
    return this.#file.use(() => this.#commits.change(work));
  }

  /** Remembers how far a log has come until the next transaction, which is not far away. */
  #note(direction: Direction, now: LogRow, progress: Progress): void {
    if (!this.#logs.note(direction, now, progress)) return;
    if (this.#logs.noted >= MESSAGES_LAZY_COUNT) return this.#commits.schedule();
    this.#stopTimer ??= this.#after(MESSAGES_LAZY_AFTER, () => {
      this.#stopTimer = undefined;
      this.#writeWhatWaits();
    });
  }

  /** What was noted, by itself: not worth a wait for the disk, and with others it shares theirs. */
  #writeWhatWaits(): void {
    if (!this.#commits.idle) return;
    try {
      const isDeleting = !this.#keepHistory && this.#logs.noted > 0;
      this.#file.unsyncedTransaction(() => this.#writeLater())();
      if (isDeleting) this.#writeAhead.settle();
    } catch {
      // It is still noted, and goes with the next transaction; whoever asks for that is told.
    }
  }

  /** The beginning of every transaction; what it returns follows the commit. */
  #writeLater(): () => void {
    this.#logs.write();
    return () => {
      this.#stopTimer?.();
      this.#stopTimer = undefined;
      this.#writeAhead.noteCommit();
      this.#logs.written();
    };
  }
}

/**
 * Seals the messages of a profile that is given a passphrase; nothing is done when there are none. The caller holds
 * the lock of the profile, in whose folder the key is already. Throws `local`.
 */
export async function sealMessages(folder: PrivateFolder, key: ProfileKey): Promise<void> {
  await withMessages(folder, (file) => void AtRest.open(file, key));
}

/**
 * Has the messages of a profile lie in their file as they are, for one whose passphrase goes; nothing is done when
 * there are none. The caller holds the lock of the profile. Throws `local`.
 */
export async function unsealMessages(folder: PrivateFolder, key: ProfileKey): Promise<void> {
  await withMessages(folder, (file) => AtRest.unseal(file, key));
}

/** What was there before is gone from the write-ahead log as well when this resolves. */
async function withMessages(folder: PrivateFolder, job: (file: SqliteFile) => void): Promise<void> {
  if (!findPrivate(`${folder.path}/${MESSAGES_FILE}`, "isFile")) return;
  const file = await SqliteFile.open(folder.path, MESSAGES_FILE, MESSAGES_KIND);
  try {
    job(file);
    file.emptyLog();
  } finally {
    file.close();
  }
}

function outgoingState({ name, last, stored, read }: LogRow): OutgoingState {
  return { log: name, last, stored, read };
}

function incomingState({ name, last, lastId, read }: LogRow): IncomingState {
  return { log: name, have: last, haveId: lastId ?? undefined, read };
}

function afterTimeout(milliseconds: number, action: () => void): () => void {
  const timer = setTimeout(action, milliseconds);
  return () => clearTimeout(timer);
}
