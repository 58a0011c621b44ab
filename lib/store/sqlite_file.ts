/**
 * A private SQLite database: made whole, checked and brought up to date when it is opened, its failures as
 * sentences.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { CifraError } from "../errors.ts";
import { isNotAllowed, meaningOf } from "../platform_errors.ts";
import { createPrivate, findPrivate, localError, syncFolder } from "./private_files.ts";
import { StoreFailure, type StoreTrouble } from "./store_failure.ts";

/** How long to wait for another program's lock; the whole program waits with it. */
const BUSY_TIMEOUT = 200;
/** What belongs to a database beside its file. */
const COMPANIONS = ["-wal", "-shm", "-journal"] as const;

/** SQLite's primary result codes that tell something about the disk or the file. */
const ERROR = 1,
  BUSY = 5,
  LOCKED = 6,
  READONLY = 8,
  CORRUPT = 11,
  FULL = 13,
  CANNOT_OPEN = 14,
  CONSTRAINT = 19,
  NOT_A_DATABASE = 26;
/** Extended: the index of the write-ahead log cannot be opened, locked or mapped as memory that programs share. */
const CANNOT_SHARE: readonly number[] = [4618, 5130, 5386];
/** Extended: nothing can be locked on this disk. */
const NO_LOCKS: readonly number[] = [2058, 2314, 3850];
/** Extended: the index of the write-ahead log cannot grow, which is how a full disk shows itself first. */
const INDEX_CANNOT_GROW = 4874;

/**
 * Pages of the write-ahead log from which on SQLite moves them into the file with the next commit, and the bytes
 * that are left of the log when it begins again. A disk needs so much more room than the data: with the
 * usual 1000 a log of 4 MiB may fill it that would come to a tenth of that in the file, and has no room to go there.
 */
const LOG_PAGES = 128;
const LOG_SIZE = LOG_PAGES * 4096;

const SETTINGS = `
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = ${LOG_PAGES};
PRAGMA journal_size_limit = ${LOG_SIZE};
PRAGMA secure_delete = ON;
PRAGMA foreign_keys = ON;
PRAGMA trusted_schema = OFF;
`;

/** What kind of database a file must be. */
export interface FileKind {
  /**
   * The statements that lead from each version to the next, version 0 being an empty database. A step that
   * was released is never changed: whoever changes the layout appends a step.
   */
  readonly steps: readonly Step[];
}

/** One step, done in order: statements, and what no statement can say. */
export type Step = readonly (string | ((database: DatabaseSync) => void))[];

/** An open database. After a failure that leaves its state in doubt every use throws that failure. */
export class SqliteFile {
  readonly path: string;
  readonly #database: DatabaseSync;
  readonly #readOnly: boolean;
  // Statements, since the failures of `exec` come without SQLite's code.
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #rollback: StatementSync;
  #isCurrent = false;
  #failure: CifraError | undefined;

  private constructor(path: string, database: DatabaseSync, readOnly: boolean) {
    this.path = path;
    this.#database = database;
    this.#readOnly = readOnly;
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#commit = database.prepare("COMMIT");
    this.#rollback = database.prepare("ROLLBACK");
  }

  /**
   * Opens the database to read and write, making it if there is none. An older one is brought up to date in
   * one transaction. Throws `local`, also for a newer one, which is left as it is.
   */
  static async open(folder: string, name: string, kind: FileKind): Promise<SqliteFile> {
    const path = `${folder}/${name}`;
    if (!lookAt(path)) await make(folder, path, kind);
    return SqliteFile.#open(path, kind, false);
  }

  /**
   * Opens a database that there is, to read it alone; another program may be writing. An older one stays
   * as it is: see `isCurrent`. Throws `local`.
   */
  static openToRead(path: string, kind: FileKind): SqliteFile {
    if (!lookAt(path)) {
      throw new CifraError("local", `Cannot read ${path}: there is no such file`, {
        cause: new Deno.errors.NotFound(path),
      });
    }
    return SqliteFile.#open(path, kind, true);
  }

  static #open(path: string, kind: FileKind, readOnly: boolean): SqliteFile {
    for (const companion of COMPANIONS) lookAt(path + companion);
    const database = explained(path, () => openShared(path, readOnly));
    const file = new SqliteFile(path, database, readOnly);
    try {
      file.use(() => {
        const version = knownVersion(path, database, kind);
        file.#isCurrent = !readOnly || version === kind.steps.length;
        if (readOnly) return;
        checkPages(path, database);
        database.exec(SETTINGS);
        // Also where no step is left: a file that cannot be written says so now, not at the first message.
        file.transaction(() => upgrade(database, version, kind));
      });
      file.emptyLog();
      return file;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** Whether the database has the present layout; false for an older one that was opened to read. */
  get isCurrent(): boolean {
    return this.#isCurrent;
  }

  /** A statement whose integers are bigints; a column past 2^53 loses nothing. Throws `local`. */
  prepare(sql: string): StatementSync {
    return this.use(() => {
      const statement = this.#database.prepare(sql);
      statement.setReadBigInts(true);
      return statement;
    });
  }

  /** Runs `action` on the database; throws `local` when the database fails. */
  use<T>(action: () => T): T {
    if (this.#failure) throw this.#failure;
    try {
      return action();
    } catch (cause) {
      const error = explanation(this.path, cause);
      if (error instanceof StoreFailure && error.fatal) this.#failure = error;
      throw error;
    }
  }

  /** Runs `work` as one transaction, which is on disk when this returns, or has left no trace when it throws. */
  transaction<T>(work: () => T): T {
    return this.use(() => {
      this.#begin.run();
      try {
        const result = work();
        this.#commit.run();
        return result;
      } catch (error) {
        // After some failures SQLite has rolled back by itself.
        if (this.#database.isTransaction) this.#rollback.run();
        throw error;
      }
    });
  }

  /**
   * The same without waiting for the disk: it outlives the program, and a power cut may undo it, but
   * nothing that was there before it.
   */
  unsyncedTransaction<T>(work: () => T): T {
    return this.use(() => {
      this.#database.exec("PRAGMA synchronous = NORMAL");
      try {
        return this.transaction(work);
      } finally {
        this.#database.exec("PRAGMA synchronous = FULL");
      }
    });
  }

  /** Closes the database; statements and uses after it are mistakes. */
  close(): void {
    if (!this.#failure) this.emptyLog();
    this.#database.close();
  }

  /**
   * Moves the write-ahead log into the file and cuts it, since what was deleted may still be in it. False when
   * that has to be tried again: the disk is full or a reader is in the way, and all is safe where it is.
   */
  emptyLog(): boolean {
    if (this.#readOnly) return true;
    try {
      // Nobody waits here for a reader that takes its time.
      this.#database.exec("PRAGMA busy_timeout = 0");
      const done = this.#database.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get();
      return done?.busy === 0;
    } catch {
      return false;
    } finally {
      this.#database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT}`);
    }
  }
}

/** Written aside and renamed, so that a file of this name is always a whole database. */
async function make(folder: string, path: string, kind: FileKind): Promise<void> {
  // SQLite would play an old log into a new file. An empty one is what a reader leaves.
  if ((lookAt(`${path}-wal`)?.size ?? 0) > 0) {
    throw new CifraError("local", `Cannot use ${path}: it is missing, but ${path}-wal is there`, {
      hint: "bring the missing file back, or move the other one away as well",
    });
  }
  const aside = `${path}.new`;
  try {
    for (const left of [aside, ...COMPANIONS.map((companion) => aside + companion)]) {
      await Deno.remove(left).catch(ignoreMissing);
    }
    // SQLite gives all its files the mode of the first.
    (await createPrivate(aside)).close();
    const database = openDatabase(aside, false);
    try {
      // Nobody else has it yet, and so no disk has to share anything.
      database.prepare("PRAGMA locking_mode = EXCLUSIVE").get();
      database.prepare("PRAGMA journal_mode = WAL").get();
      database.exec("BEGIN");
      upgrade(database, 0, kind);
      database.exec("COMMIT");
    } finally {
      database.close();
    }
    await Deno.rename(aside, path);
    await syncFolder(folder);
  } catch (error) {
    // Nobody else has it yet: SQLite calls it in use where nothing can be locked.
    if ((extendedCode(error) & 0xff) === BUSY) throw noLocks(path, error);
    throw localError(path, explanation(path, error));
  }
}

/**
 * Opens a database and looks into it. Programs share the index of its log in memory; some disks of networks
 * cannot do that, and then this program keeps the index, and the database, to itself until it closes it.
 */
function openShared(path: string, readOnly: boolean): DatabaseSync {
  const database = openDatabase(path, readOnly);
  try {
    database.prepare("SELECT count(*) FROM sqlite_schema").get();
    return database;
  } catch (error) {
    if (!CANNOT_SHARE.includes(extendedCode(error))) return database;
  }
  database.close();
  // Who has it to itself locks it as for writing, also to read it alone.
  const alone = openDatabase(path, false);
  try {
    alone.exec("PRAGMA locking_mode = EXCLUSIVE");
    alone.prepare("SELECT count(*) FROM sqlite_schema").get();
    if (readOnly) alone.exec("PRAGMA query_only = ON");
    return alone;
  } catch (error) {
    alone.close();
    throw error;
  }
}

/** SQLite's extended result code; 0 when it is no error of SQLite's. */
function extendedCode(error: unknown): number {
  if (!(error instanceof Error)) return 0;
  if ("errcode" in error) return Number(error.errcode);
  return SAID.find(([words]) => words.test(error.message))?.[1] ?? 0;
}

/** What SQLite says of a failure of `exec`, which comes without its code. */
const SAID: readonly (readonly [words: RegExp, code: number])[] = [
  [/disk is full/, FULL],
  [/is locked/, BUSY],
  [/readonly/, READONLY],
  [/unable to open/, CANNOT_OPEN],
  [/malformed/, CORRUPT],
  [/not a database/, NOT_A_DATABASE],
];

/** SQLite opens no further file by itself: neither ATTACH nor VACUUM INTO asks whether this program may. */
function openDatabase(path: string, readOnly: boolean): DatabaseSync {
  // The types do not know the limits yet.
  const options = { readOnly, timeout: BUSY_TIMEOUT, limits: { attach: 0 } };
  return new DatabaseSync(path, options);
}

/**
 * The limits of databases that are open hold for good: whoever takes the program over cannot raise them. They
 * can be raised where all of the disk was allowed when a database was opened, whatever was given up since.
 */
export function sealLimits(): void {
  Reflect.deleteProperty(DatabaseSync.prototype, "limits");
}

/** Runs the steps that follow `version`. The version is in the file's first page: it commits with them. */
function upgrade(database: DatabaseSync, version: number, { steps }: FileKind): void {
  for (const part of steps.slice(version).flat()) {
    if (typeof part === "string") database.prepare(part).run();
    else part(database);
  }
  database.prepare(`PRAGMA user_version = ${steps.length}`).run();
}

/** The version of the database; throws `local` when it is not one that this program understands. */
function knownVersion(path: string, database: DatabaseSync, { steps }: FileKind): number {
  const version = Number(database.prepare("PRAGMA user_version").get()?.user_version);
  if (version > steps.length) {
    throw new CifraError(
      "local",
      `Cannot use ${path}: a newer cifra made it (version ${version}, this one knows ` +
        `${steps.length}); it was left as it is`,
      { hint: `use the newer cifra, or ${MOVE_AWAY}` },
    );
  }
  if (version < 1) throw foreign(path);
  return version;
}

function checkPages(path: string, database: DatabaseSync): void {
  const [first] = database.prepare("PRAGMA quick_check(1)").all();
  if (first?.quick_check !== "ok") throw damaged(path, undefined);
}

/** Looks at a file; undefined when there is none. Throws `local` when it is not a private file of ours. */
function lookAt(path: string): Deno.FileInfo | undefined {
  return explained(path, () => findPrivate(path, "isFile"));
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

const MOVE_AWAY = "move it away, with the -wal beside it, to begin a new one; " +
  "what is in it alone, such as messages that were not delivered, stays in it";

function damaged(path: string, cause: unknown): StoreFailure {
  return new StoreFailure(`Cannot use ${path}: it is damaged; it was left as it is`, {
    cause,
    hint: `bring it back from a copy, or ${MOVE_AWAY}`,
    fatal: true,
  });
}

function foreign(path: string, cause?: unknown): StoreFailure {
  return new StoreFailure(
    `Cannot use ${path}: it is not a database of cifra's; it was left as it is`,
    {
      cause,
      hint: `bring it back from a copy, or ${MOVE_AWAY}`,
      fatal: true,
    },
  );
}

/** SQLite's extended result codes of a disk in trouble. */
const DISK_TROUBLE: Readonly<Record<number, string>> = {
  [10 | (1 << 8)]: "it cannot be read",
  [10 | (2 << 8)]: "it ended too early",
  [10 | (3 << 8)]:
    "it cannot be written: the disk fails or is gone, or a limit on files is reached",
  [10 | (4 << 8)]: "what was written cannot be brought to the disk",
  [10 | (5 << 8)]: "its folder cannot be brought to the disk",
  [10 | (6 << 8)]: "it cannot be cut",
  [10 | (7 << 8)]: "the system does not tell its size",
  [10 | (10 << 8)]: "a file beside it cannot be removed",
  [7]: "this machine has no memory left",
};

function noLocks(path: string, cause: unknown): StoreFailure {
  return new StoreFailure(
    `Cannot use ${path}: its disk has not what keeps two programs apart, as some disks of networks`,
    { cause, hint: "choose a folder on another disk with --state", fatal: true },
  );
}

/** What the system says of the folder of a database, since SQLite does not tell what it was told. */
function folderTrouble(path: string): { readonly why?: string; readonly hint?: string } {
  // As many as SQLite opens at once. Never the file itself: to close it would give up the locks that SQLite has on it.
  const folder = path.slice(0, path.lastIndexOf("/") + 1) || ".";
  const files: Deno.FsFile[] = [];
  try {
    while (files.length < 8) files.push(Deno.openSync(folder));
    return {};
  } catch (error) {
    return isNotAllowed(error) ? {} : meaningOf(error);
  } finally {
    for (const file of files) file.close();
  }
}

/** SQLite's failure as a sentence; what is no failure of the file (a mistake of ours) is given back as it is. */
function explanation(path: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || !("code" in cause) || cause.code !== "ERR_SQLITE_ERROR") {
    return cause;
  }
  const extended = extendedCode(cause);
  const failure = (
    what: string,
    hint: string,
    more: { readonly fatal?: boolean; readonly trouble?: StoreTrouble } = {},
  ) => new StoreFailure(`Cannot use ${path}: ${what}`, { cause, hint, ...more });
  const trouble = folderTrouble(path);
  switch (extended === INDEX_CANNOT_GROW ? FULL : extended & 0xff) {
    case FULL:
      return failure(
        "the disk is full",
        "make room on it, or raise the limit on files (ulimit -f), and try again",
        { trouble: "full" },
      );
    case READONLY:
      return failure("it can only be read", "allow writing, or choose another folder with --state");
    case CANNOT_OPEN:
      return failure(
        trouble.why ?? "it, or what belongs beside it, cannot be opened",
        trouble.hint ?? "allow writing in its folder, which reading takes as well",
        { fatal: true },
      );
    case BUSY:
    case LOCKED:
      return failure(
        "another program is writing to it, or has it to itself, as where a disk lets no two share it",
        "try again when that one has ended",
        { trouble: "inUse" },
      );
    case CONSTRAINT:
      return cause;
    // A table or a column is not there: the layout is not the one that the version promises.
    case ERROR:
    case CORRUPT:
      return damaged(path, cause);
    case NOT_A_DATABASE:
      return foreign(path, cause);
    default:
      if ([...CANNOT_SHARE, ...NO_LOCKS].includes(extended)) {
        return noLocks(path, cause);
      }
      return failure(
        trouble.why ?? DISK_TROUBLE[extended] ?? "the disk does not do what the database needs",
        trouble.hint ?? "look after the disk, and start again: what was confirmed is in the file",
        { fatal: true },
      );
  }
}

/** Runs `action` on `path`, turning all that the platform throws into sentences. */
function explained<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw localError(path, explanation(path, error));
  }
}
