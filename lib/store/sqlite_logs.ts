/** The logs in the database of messages: found, begun and moved on, with what is known and not on disk yet. */
import type { Bytes } from "../bytes.ts";
import { type Random, timingSafeEqual } from "../crypto/platform.ts";
import { ID_LENGTH, type KeptMessage } from "../wire/peer_messages.ts";
import type { AtRest } from "./at_rest.ts";
import {
  advanced,
  larger,
  LetIn,
  pastLost,
  type Progress,
  split,
  toShow,
} from "./message_rules.ts";
import type { Mark, MessageMarks } from "./messages_marks.ts";
import {
  type AtRow,
  gapOf,
  type GapRow,
  keptMessages,
  type LogRow,
  type MessageRow,
  type Statements,
} from "./messages_statements.ts";
import type { ConversationKey, Direction, Lost, SealedContent } from "./message_store.ts";
import type { SqliteFile } from "./sqlite_file.ts";

/** What is known of a log and not on disk yet. */
interface Later {
  readonly direction: Direction;
  readonly progress: Progress;
}

/** How logs are kept. */
export interface LogsOptions {
  /** Whether messages stay after they have been stored over there or shown here. */
  readonly keepHistory: boolean;
  /** Chooses the names of logs. */
  readonly random: Random;
}

/** All logs of one database. What changes something is called in a transaction. */
export class SqliteLogs {
  readonly #file: SqliteFile;
  readonly #statements: Statements;
  readonly #marks: MessageMarks;
  readonly #atRest: AtRest;
  readonly #keepHistory: boolean;
  readonly #random: Random;
  /** By the ids of their logs. */
  readonly #later = new Map<bigint, Later>();
  #noted = 0;
  /** By the ids of their logs. */
  readonly #letIn = new LetIn<bigint>();
  /** By side, how far its log will have come when the present transaction is on disk. */
  readonly #moving = new Map<bigint, Mark>();

  constructor(
    file: SqliteFile,
    statements: Statements,
    marks: MessageMarks,
    atRest: AtRest,
    options: LogsOptions,
  ) {
    this.#file = file;
    this.#statements = statements;
    this.#marks = marks;
    this.#atRest = atRest;
    this.#keepHistory = options.keepHistory;
    this.#random = options.random;
  }

  /** How often something was noted that is not on disk yet. */
  get noted(): number {
    return this.#noted;
  }

  /** The log that is written, or was read last. Throws `local`. */
  current({ peer, suite }: ConversationKey, direction: Direction): LogRow | undefined {
    return this.#find(() => this.#statements.current.get(peer, suite, direction));
  }

  /** The log of the other side that has this name. Throws `local`. */
  named({ peer, suite }: ConversationKey, name: Bytes): LogRow | undefined {
    return this.#find(() => this.#statements.named.get(peer, suite, name));
  }

  #find(find: () => unknown): LogRow | undefined {
    const row = this.#file.use(find) as LogRow | undefined;
    return row && this.withLater(row.id, row);
  }

  /** How far a log has come, with what was only noted. */
  withLater<P extends Progress>(log: bigint, progress: P): P {
    const later = this.#later.get(log)?.progress;
    return later ? advanced(progress, later.stored, later.read) : progress;
  }

  /** How much of a log was noted as shown; 0 when nothing was. */
  notedRead(log: bigint): bigint {
    return this.#later.get(log)?.progress.read ?? 0n;
  }

  /** Our log, begun if there is none. */
  outgoing(key: ConversationKey): LogRow {
    return this.current(key, "sent") ?? this.begin(this.#side(key, "sent"));
  }

  /**
   * The log of the other side that has this name, begun if there is none: the one read last from now on. `row` is
   * what `named` found.
   */
  incoming(key: ConversationKey, name: Bytes, row = this.named(key, name)): LogRow {
    if (!row) return this.begin(this.#side(key, "received"), name);
    this.#statements.setCurrent.run(row.id, row.side);
    return row;
  }

  #side({ peer, suite }: ConversationKey, direction: Direction): bigint {
    this.#statements.insertSide.run(peer, suite, direction);
    const row = this.#statements.side.get(peer, suite, direction) as { readonly id: bigint };
    return row.id;
  }

  /** Begins a log, of a new name if none is given: the one that is written or was read last. */
  begin(side: bigint, name = this.#random(ID_LENGTH)): LogRow {
    const id = BigInt(this.#statements.insertLog.run(side, name).lastInsertRowid);
    this.#statements.setCurrent.run(id, side);
    return { id, side, name, lastId: null, last: 0n, stored: 0n, read: 0n };
  }

  /** Whether the message is new: one whose id is kept already is passed over. */
  insert(log: LogRow, { number, id, type, written, content }: KeptMessage): boolean {
    const sealed = this.#atRest.seal("message", id, content);
    const { changes } = this.#statements.insertMessage
      .run(log.side, log.id, number, id, type, BigInt(written), sealed);
    return Number(changes) === 1;
  }

  /**
   * Takes messages of a log of the other side, which has none before number `first` any more, as `split` says; `log`
   * is how it stands. Over a channel a number that is here is passed over (3.8), unless it was let in beside that.
   * Returns those that are new, in the order in which they are to be shown.
   */
  take(
    way: "channel" | "envelope",
    key: ConversationKey,
    log: LogRow,
    first: bigint,
    messages: readonly KeptMessage[],
  ): readonly KeptMessage[] {
    const { hasEarly, early, at, dropEarly, insertGap, setHave, setEarly } = this.#statements;
    const isWaiting = hasEarly.get(log.side) !== undefined;
    const rows = isWaiting ? early.all(log.id) as unknown[] as MessageRow[] : [];
    const soFar = {
      have: log.last,
      haveId: log.lastId ?? undefined,
      isCompared: way === "channel",
      early: [...keptMessages(rows, this.#atRest, "early")],
      idOf: (number: bigint) => {
        if (way === "channel" && !this.#letIn.has(log.id, number)) return undefined;
        const row = at.get(log.id, number) as AtRow | undefined;
        if (row?.id === null) return row.gapFrom! <= number ? "gap" : undefined;
        return row?.number === number ? row.id : undefined;
      },
    };
    const parts = split(soFar, first, messages);
    const fresh: KeptMessage[] = [];
    const keep = (of: LogRow, message: KeptMessage, shown = message) => {
      if (this.insert(of, shown)) fresh.push(message);
      if (isWaiting) dropEarly.run(log.side, message.id);
    };
    const keepAside = (message: KeptMessage) => {
      if (this.#statements.isKept.get(log.side, message.id)) return;
      const beside = this.#beside(log);
      const number = beside.last + 1n;
      keep(beside, message, { ...message, number });
      setHave.run(number, message.id, beside.id);
    };
    for (const { part, isAside } of toShow(parts)) {
      if (isAside) keepAside(part);
      else if (part.type === "gap") insertGap.run(log.side, log.id, part.from, part.to);
      else keep(log, part);
    }
    const last = parts.next.at(-1);
    if (last) {
      const [number, id] = last.type === "gap" ? [last.to, null] : [last.number, last.id];
      setHave.run(number, id, log.id);
      this.move(key, "received", { ...log, last: number });
      const brought = messages.at(-1)?.number ?? first - 1n;
      if (way === "channel") this.#letIn.note(log.id, brought, number);
    }
    for (const { number, id, type, written, content } of parts.early) {
      const sealed = this.#atRest.seal("early", id, content);
      setEarly.run(log.side, log.id, number, id, type, BigInt(written), sealed);
    }
    return fresh;
  }

  /** The log made here for what came under numbers of this one that others have. */
  #beside({ id, side }: LogRow): LogRow {
    const { beside, insertBeside } = this.#statements;
    const find = () => beside.get(side, id) as LogRow | undefined;
    const found = find();
    if (found) return found;
    insertBeside.run(side, this.#random(ID_LENGTH), id);
    return find()!;
  }

  /**
   * Takes what the other side says of our log, as from m7. Whether our copy turned out to be an old one: then another
   * was begun with what is not stored over there.
   */
  hear(
    key: ConversationKey,
    said: Pick<SealedContent, "readLog" | "have" | "haveId" | "read">,
  ): boolean {
    const log = this.current(key, "sent");
    if (!log || !timingSafeEqual(log.name, said.readLog)) return false;
    if (!this.#hasSaid(log, said.have, said.haveId)) {
      this.restart(key, log);
      return true;
    }
    const missing = this.#statements.gapsAfter.all(log.id, log.stored) as unknown[] as GapRow[];
    const stored = pastLost(larger(said.have, log.stored), missing.map(gapOf));
    this.#advance("sent", log.id, advanced(log, stored, said.read));
    return false;
  }

  /** Whether the other side can have the message of this number and this id from our log. */
  #hasSaid(log: LogRow, number: bigint, id: Bytes): boolean {
    if (number <= log.stored) return true;
    if (number > log.last) return false;
    const row = this.#statements.at.get(log.id, number) as AtRow | undefined;
    if (!row) return false;
    if (row.id === null) return row.gapFrom! <= number;
    return row.number === number && timingSafeEqual(row.id, id);
  }

  /** Another log of ours with what is not stored over there of this one, in which deposits of it have no part. */
  restart(key: ConversationKey, old: LogRow): LogRow {
    this.#marks.erase(old.side);
    const log = this.begin(old.side);
    this.#statements.moveMessages.run(log.id, old.stored, old.id);
    this.#statements.setLast.run(old.stored, old.id);
    const last = old.last - old.stored;
    this.#statements.setLast.run(last, log.id);
    const begun = { ...log, last };
    this.move(key, "sent", begun);
    return begun;
  }

  /** Deletes what is not stored over there of our log, and begins another. Returns how many messages that were. */
  forget(key: ConversationKey, old: LogRow): number {
    this.#marks.erase(old.side);
    const { changes } = this.#statements.deleteUnstored.run(old.id, old.stored);
    this.#statements.setLast.run(old.stored, old.id);
    this.move(key, "sent", this.begin(old.side));
    return Number(changes);
  }

  /**
   * What the marks know of and the database does not have; they say afterwards what it has. The numbers of what
   * was sent stay taken: the other side may have messages that have them.
   */
  findLost(): Lost[] {
    const lost: Lost[] = [];
    for (const mark of this.#marks.read()) {
      const { peer, suite, direction, last } = mark;
      const row = this.#statements.namedLog.get(peer, suite, direction, mark.log) as
        | LogRow
        | undefined;
      const have = row?.last ?? 0n;
      if (have >= last) continue;
      lost.push({ peer, suite, direction, from: have + 1n, to: last });
      if (row && direction === "sent") {
        this.#statements.insertGap.run(row.side, row.id, have + 1n, last);
        this.#statements.setLast.run(last, row.id);
        continue;
      }
      this.#marks.erase(mark.side);
      if (row) this.#marks.write({ ...mark, side: row.side, last: have });
    }
    return lost;
  }

  /** How many messages of a log wait for others. */
  early(log: bigint): number {
    return Number((this.#statements.countEarly.get(log) as { readonly count: bigint }).count);
  }

  /** The log of this side will have come so far when the transaction is on disk. */
  move(
    { peer, suite }: ConversationKey,
    direction: Direction,
    { side, name, last }: LogRow,
  ): void {
    this.#moving.set(side, { side, peer, suite, direction, log: name, last });
  }

  /** Remembers how far a log has come until a later transaction. False when that is no news. */
  note(direction: Direction, now: LogRow, progress: Progress): boolean {
    if (progress.stored === now.stored && progress.read === now.read) return false;
    this.#later.set(now.id, { direction, progress });
    this.#noted++;
    return true;
  }

  /** Writes how far a log has come, and deletes what is not kept any longer. */
  #advance(direction: Direction, id: bigint, { stored, read }: Progress): void {
    const { deleteStored, deleteRead, setProgress } = this.#statements;
    if (!this.#keepHistory) {
      if (direction === "sent") deleteStored.run({ log: id, stored });
      else deleteRead.run({ log: id, read });
    }
    setProgress.run(stored, read, id);
  }

  /** The beginning of a transaction: writes what was noted. `written` is to follow its commit. */
  write(): void {
    // Those of a transaction that failed have not moved.
    this.#moving.clear();
    for (const [id, { direction, progress }] of this.#later) this.#advance(direction, id, progress);
  }

  /** What was noted is on disk, and what has moved. */
  written(): void {
    this.#later.clear();
    this.#noted = 0;
    // Before anybody is told: what somebody relies on is missed when it is gone.
    for (const mark of this.#moving.values()) this.#marks.write(mark);
  }
}
