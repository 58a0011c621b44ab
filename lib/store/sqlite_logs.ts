/** The logs in the database of messages: found, begun and moved on, with what is known and not on disk yet. */
import type { Bytes } from "../bytes.ts";
import type { Random } from "../crypto/platform.ts";
import { ID_LENGTH, type KeptMessage } from "../wire/peer_messages.ts";
import { advanced, type Progress } from "./message_rules.ts";
import type { Mark } from "./messages_marks.ts";
import type { LogRow, Statements } from "./messages_statements.ts";
import type { ConversationKey, Direction } from "./message_store.ts";
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
  readonly #keepHistory: boolean;
  readonly #random: Random;
  /** By the ids of their logs. */
  readonly #later = new Map<bigint, Later>();
  #noted = 0;
  /** By side, how far its log will have come when the present transaction is on disk. */
  readonly #moving = new Map<bigint, Mark>();

  constructor(file: SqliteFile, statements: Statements, options: LogsOptions) {
    this.#file = file;
    this.#statements = statements;
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

  /** The log of the other side that has this name, begun if there is none: the one read last from now on. */
  incoming(key: ConversationKey, name: Bytes): LogRow {
    const row = this.named(key, name);
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
    const { changes } = this.#statements.insertMessage
      .run(log.side, log.id, number, id, type, BigInt(written), content);
    return Number(changes) === 1;
  }

  /** The log of this side will have come so far when the transaction is on disk. */
  move(
    { peer, suite }: ConversationKey,
    direction: Direction,
    { side, name, last }: LogRow,
  ): void {
    this.#moving.set(side, { side, peer, suite, direction, log: name, last });
  }

  /** What `move` was told in the present transaction. */
  get moving(): Iterable<Mark> {
    return this.#moving.values();
  }

  /** Remembers how far a log has come until a later transaction. False when that is no news. */
  note(direction: Direction, now: LogRow, progress: Progress): boolean {
    if (progress.stored === now.stored && progress.read === now.read) return false;
    this.#later.set(now.id, { direction, progress });
    this.#noted++;
    return true;
  }

  /** Writes how far a log has come, and deletes what is not kept any longer. */
  advance(direction: Direction, id: bigint, { stored, read }: Progress): void {
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
    for (const [id, { direction, progress }] of this.#later) this.advance(direction, id, progress);
  }

  /** What was noted is on disk. */
  written(): void {
    this.#later.clear();
    this.#noted = 0;
  }
}
