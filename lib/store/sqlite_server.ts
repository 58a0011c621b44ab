/** A server's memory on disk: a ServerStore in one SQLite database. */
import { backup, DatabaseSync, type StatementSync } from "node:sqlite";
import { encodeHex } from "@std/encoding/hex";
import { type Bytes, writeAll } from "../bytes.ts";
import { systemRandom } from "../crypto/platform.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { STORE_BUDGET, STORE_LAZY_AFTER } from "../limits.ts";
import { isNotGiven, platformFailure } from "../platform_errors.ts";
import { createPrivate, type PrivateFolder } from "./private_files.ts";
import { SERVER_STEPS } from "./server_schema.ts";
import type { Account, Ban, Invite, NameKey, ServerStore, StoreCounts } from "./server_store.ts";
import { SqliteFile } from "./sqlite_file.ts";
import { u64Bytes, u64Number } from "./u64.ts";

const FILE_NAME = "server.db";
const KIND = { steps: SERVER_STEPS };
/** Of the budget, so much is for the database; its log and a copy of a page need room as well. */
const SHARE = 0.8;
const PAGE_SIZE = 4096;
/** Bytes of a backup that are in memory at a time. */
const COPIED_AT_ONCE = 64 * 1024;
/** SQLite's result code for a database that may not grow, or cannot. */
const FULL = 13;

/** How a server's memory is kept. */
export interface SqliteServerStoreOptions {
  /** Bytes on disk that the database may grow to. */
  readonly budget?: number;
  /** Calls `action` once after `milliseconds`, unless the returned function is called before. */
  readonly after?: (milliseconds: number, action: () => void) => () => void;
}

interface NameKeyRow {
  readonly name: string;
  readonly skeleton: string;
  readonly suite: SuiteName;
  readonly fingerprint: string;
  readonly bundle: Bytes;
  readonly sequence: Bytes;
  readonly not_after: bigint;
  readonly signature: Bytes;
  readonly created: bigint;
  readonly last_seen: bigint;
  readonly last_sequence: Bytes;
  readonly invite: string | null;
}

/** The statements of the store, prepared once. */
function prepareAll(file: SqliteFile) {
  return {
    keysOf: file.prepare("SELECT * FROM name_key WHERE name = ? ORDER BY created, suite"),
    keyLike: file.prepare("SELECT * FROM name_key WHERE skeleton = ? AND name <> ? LIMIT 1"),
    keyWith: file.prepare("SELECT * FROM name_key WHERE fingerprint = ?"),
    keysBeginning: file.prepare(
      "SELECT * FROM name_key WHERE substr(fingerprint, 1, length(?1)) = ?1",
    ),
    keys: file.prepare(
      `SELECT * FROM name_key WHERE name IN
        (SELECT DISTINCT name FROM name_key WHERE name > ? ORDER BY name LIMIT ?)
      ORDER BY name, suite`,
    ),
    putKey: file.prepare(
      `INSERT INTO name_key VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (name, suite) DO UPDATE SET fingerprint = excluded.fingerprint,
        bundle = excluded.bundle, sequence = excluded.sequence, not_after = excluded.not_after,
        signature = excluded.signature, created = excluded.created, last_seen = excluded.last_seen,
        last_sequence = excluded.last_sequence, invite = excluded.invite`,
    ),
    seen: file.prepare(
      "UPDATE name_key SET last_seen = ?, last_sequence = ? WHERE fingerprint = ?",
    ),
    forgetKeys: file.prepare("DELETE FROM name_key WHERE name = ?"),
    forgetKey: file.prepare("DELETE FROM name_key WHERE fingerprint = ?"),
    forgetAccount: file.prepare("DELETE FROM account WHERE name = ?"),
    account: file.prepare("SELECT * FROM account WHERE name = ?"),
    credentials: file.prepare(
      // A row for every name: what is read and made of it takes as long where there is no account.
      `SELECT name, salt, memory, passes, stored_key, server_key, created
      FROM account WHERE name = ?
      UNION ALL SELECT NULL, zeroblob(16), 1, 1, zeroblob(64), zeroblob(64), 1
      LIMIT 1`,
    ),
    putAccount: file.prepare("INSERT OR REPLACE INTO account VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
    invite: file.prepare("SELECT * FROM invite WHERE id = ?"),
    invites: file.prepare("SELECT * FROM invite ORDER BY created, id"),
    putInvite: file.prepare("INSERT OR REPLACE INTO invite VALUES (?, ?, ?, ?, ?, ?)"),
    ban: file.prepare("SELECT 1 FROM ban WHERE kind = ? AND subject = ?"),
    bans: file.prepare("SELECT * FROM ban ORDER BY since, kind, subject"),
    putBan: file.prepare("INSERT OR REPLACE INTO ban VALUES (?, ?, ?, ?)"),
    removeBan: file.prepare(
      `DELETE FROM ban WHERE (kind = ?1 AND subject = ?2)
        OR (?1 = 'name' AND kind = 'key' AND name = ?2)`,
    ),
    counts: file.prepare(
      `SELECT (SELECT count(DISTINCT name) FROM name_key) AS names,
        (SELECT count(*) FROM account) AS accounts,
        (SELECT count(*) FROM invite) AS invites,
        (SELECT count(*) FROM ban) AS bans`,
    ),
  } satisfies Record<string, StatementSync>;
}

/** A server's memory in `server.db`. */
export class SqliteServerStore implements ServerStore {
  readonly #file: SqliteFile;
  readonly #statements: ReturnType<typeof prepareAll>;
  readonly #after: NonNullable<SqliteServerStoreOptions["after"]>;
  /** By fingerprint, when its owner was here last, and with which sequence; not on disk yet. */
  #seen = new Map<string, { readonly when: number; readonly sequence: bigint }>();
  #cancel: (() => void) | undefined;

  private constructor(file: SqliteFile, after: NonNullable<SqliteServerStoreOptions["after"]>) {
    this.#file = file;
    this.#statements = prepareAll(file);
    this.#after = after;
  }

  /** Opens the database in `folder`, making it if there is none. Throws `local` when it cannot be used. */
  static async open(
    folder: PrivateFolder,
    { budget = STORE_BUDGET, after = systemAfter }: SqliteServerStoreOptions = {},
  ): Promise<SqliteServerStore> {
    const file = await SqliteFile.open(folder.path, FILE_NAME, KIND);
    try {
      const pages = Math.floor(budget * SHARE / PAGE_SIZE);
      file.use(() => file.prepare(`PRAGMA max_page_count = ${pages}`).get());
      return new SqliteServerStore(file, after);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  keysOf(name: string): readonly NameKey[] {
    return this.#all<NameKeyRow>("keysOf", name).map((row) => this.#toKey(row));
  }

  keyLike(skeleton: string, name: string): NameKey | undefined {
    const row = this.#one<NameKeyRow>("keyLike", skeleton, name);
    return row && this.#toKey(row);
  }

  keyWith(fingerprint: string): NameKey | undefined {
    const row = this.#one<NameKeyRow>("keyWith", fingerprint);
    return row && this.#toKey(row);
  }

  keys(after: string, limit: number): readonly NameKey[] {
    return this.#all<NameKeyRow>("keys", after, limit).map((row) => this.#toKey(row));
  }

  keysBeginning(digits: string): readonly NameKey[] {
    return this.#all<NameKeyRow>("keysBeginning", digits).map((row) => this.#toKey(row));
  }

  putKey(key: NameKey): void {
    const { name, skeleton, suite, fingerprint, bundle, notAfter, signature, created, lastSeen } =
      key;
    this.#seen.delete(fingerprint);
    this.#change(() =>
      this.#statements.putKey.run(
        name,
        skeleton,
        suite,
        fingerprint,
        bundle,
        u64Bytes(key.sequence),
        notAfter,
        signature,
        created,
        lastSeen,
        u64Bytes(key.lastSequence),
        key.invite ?? null,
      )
    );
  }

  seen(fingerprint: string, when: number, sequence: bigint): void {
    this.#seen.set(fingerprint, { when, sequence });
    this.#cancel ??= this.#after(STORE_LAZY_AFTER, () => this.#putSeen());
  }

  forget(name: string): void {
    this.#change(() => {
      this.#statements.forgetKeys.run(name);
      this.#statements.forgetAccount.run(name);
    });
  }

  forgetKey(fingerprint: string): void {
    const key = this.keyWith(fingerprint);
    if (!key) return;
    if (this.keysOf(key.name).length === 1) this.forget(key.name);
    else this.#change(() => this.#statements.forgetKey.run(fingerprint));
  }

  account(name: string): Account | undefined {
    const row = this.#one<AccountRow & Pick<Account, "backup">>("account", name);
    return row && { ...toCredentials(row), backup: row.backup };
  }

  credentials(name: string): Omit<Account, "backup"> | undefined {
    const credentials = toCredentials(this.#one<AccountRow>("credentials", name)!);
    return credentials.name === name ? credentials : undefined;
  }

  putAccount(account: Account): void {
    const { name, salt, memory, passes, storedKey, serverKey, backup, created } = account;
    this.#change(() =>
      this.#statements.putAccount.run(
        name,
        salt,
        memory,
        passes,
        storedKey,
        serverKey,
        backup,
        created,
      )
    );
  }

  invite(id: string): Invite | undefined {
    const row = this.#one<InviteRow>("invite", id);
    return row && toInvite(row);
  }

  invites(): readonly Invite[] {
    return this.#all<InviteRow>("invites").map(toInvite);
  }

  putInvite({ id, serial, created, expires, uses, standing }: Invite): void {
    this.#change(() =>
      this.#statements.putInvite.run(id, serial, created, expires, uses, standing ? 1 : 0)
    );
  }

  isBanned(kind: Ban["kind"], subject: string): boolean {
    return this.#one("ban", kind, subject) !== undefined;
  }

  bans(): readonly Ban[] {
    return this.#all<
      Pick<Ban, "kind" | "subject"> & { readonly since: bigint; readonly name: string | null }
    >("bans").map(({ kind, subject, since, name }) => ({
      kind,
      subject,
      since: Number(since),
      name: name ?? undefined,
    }));
  }

  putBan({ kind, subject, since, name }: Ban): void {
    this.#change(() => this.#statements.putBan.run(kind, subject, since, name ?? null));
  }

  removeBan(kind: Ban["kind"], subject: string): boolean {
    return this.#change(() => this.#statements.removeBan.run(kind, subject)).changes > 0;
  }

  counts(): StoreCounts {
    const { names, accounts, invites, bans } = this.#one<Record<keyof StoreCounts, bigint>>(
      "counts",
    )!;
    return {
      names: Number(names),
      accounts: Number(accounts),
      invites: Number(invites),
      bans: Number(bans),
    };
  }

  close(): void {
    if (this.#seen.size > 0) this.#putSeen();
    this.#cancel?.();
    this.#file.close();
  }

  /** What was only remembered so far, by itself. Not worth a failure: the next change tries again. */
  #putSeen(): void {
    try {
      this.#change(() => {});
    } catch (error) {
      if (!(error instanceof CifraError)) throw error;
    }
  }

  /** One transaction, and with it what was only remembered so far. */
  #change<T>(work: () => T): T {
    this.#cancel?.();
    this.#cancel = undefined;
    const seen = [...this.#seen];
    try {
      const result = this.#file.transaction(() => {
        for (const [fingerprint, { when, sequence }] of seen) {
          this.#statements.seen.run(when, u64Bytes(sequence), fingerprint);
        }
        return work();
      });
      this.#seen.clear();
      return result;
    } catch (error) {
      throw isFull(error) ? noRoom(this.#file.path, error) : error;
    }
  }

  #one<Row>(statement: keyof ReturnType<typeof prepareAll>, ...values: Value[]): Row | undefined {
    return this.#file.use(() => this.#statements[statement].get(...values)) as Row | undefined;
  }

  #all<Row>(statement: keyof ReturnType<typeof prepareAll>, ...values: Value[]): readonly Row[] {
    return this.#file.use(() => this.#statements[statement].all(...values)) as unknown as Row[];
  }

  #toKey(row: NameKeyRow): NameKey {
    const { name, skeleton, suite, fingerprint, bundle, sequence, not_after, signature, created } =
      row;
    const seen = this.#seen.get(fingerprint);
    return {
      name,
      skeleton,
      suite,
      fingerprint,
      bundle,
      sequence: u64Number(sequence),
      lastSequence: seen?.sequence ?? u64Number(row.last_sequence),
      notAfter: Number(not_after),
      signature,
      created: Number(created),
      lastSeen: seen?.when ?? Number(row.last_seen),
      invite: row.invite ?? undefined,
    };
  }
}

/**
 * Copies the database of a server, which may be running, to a new private file.
 * Throws `local` when there is no database, or the file is there already.
 */
export async function backUpServerStore(folder: PrivateFolder, target: string): Promise<void> {
  const path = `${folder.path}/${FILE_NAME}`;
  SqliteFile.openToRead(path, KIND).close();
  let file: Deno.FsFile;
  try {
    file = await createPrivate(target);
  } catch (cause) {
    throw platformFailure(`Cannot write the backup ${target}`, cause, {
      hint: isNotGiven(cause)
        ? "deno task serve writes in its state folder only: put the copy there, or run the compiled program"
        : "choose a file that does not exist yet, in a folder that can be written",
    });
  }
  try {
    await copyDatabase(folder, path, file);
  } catch (cause) {
    await Deno.remove(target).catch(() => {});
    throw platformFailure(`Cannot write the backup ${target}`, cause);
  } finally {
    file.close();
  }
}

/**
 * SQLite opens a path, at which there may be another's file by then: it writes in the private folder, and
 * from there the copy goes into the file that was made.
 */
async function copyDatabase(folder: PrivateFolder, path: string, to: Deno.FsFile): Promise<void> {
  const aside = `${folder.path}/${FILE_NAME}.${encodeHex(systemRandom(8))}.new`;
  (await createPrivate(aside)).close();
  try {
    // Not read-only, though it writes nothing: if no server runs, the log that reading makes is removed again.
    const source = new DatabaseSync(path);
    try {
      await backup(source, aside);
    } finally {
      source.close();
    }
    const from = await Deno.open(aside);
    try {
      const chunk = new Uint8Array(COPIED_AT_ONCE);
      for (let count; (count = await from.read(chunk)) !== null;) {
        await writeAll(to, chunk.subarray(0, count));
      }
      await to.sync();
    } finally {
      from.close();
    }
  } finally {
    // A server that begins just now has removed it.
    await Deno.remove(aside).catch(() => {});
  }
}

function isFull(error: unknown): boolean {
  if (!(error instanceof CifraError) || !(error.cause instanceof Error)) return false;
  return "errcode" in error.cause && error.cause.errcode === FULL;
}

function noRoom(path: string, cause: unknown): CifraError {
  return new CifraError(
    "local",
    `Cannot write ${path}: its budget is used up, or the disk is full`,
    {
      cause,
      hint: "give the server a larger --budget, or make room on the disk",
    },
  );
}

type Value = string | number | bigint | Bytes | null;

interface InviteRow {
  readonly id: string;
  readonly serial: Bytes;
  readonly created: bigint;
  readonly expires: bigint;
  readonly uses: bigint;
  readonly standing: bigint;
}

interface AccountRow {
  readonly name: string;
  readonly salt: Bytes;
  readonly memory: bigint;
  readonly passes: bigint;
  readonly stored_key: Bytes;
  readonly server_key: Bytes;
  readonly created: bigint;
}

function toCredentials(row: AccountRow): Omit<Account, "backup"> {
  return {
    name: row.name,
    salt: row.salt,
    memory: Number(row.memory),
    passes: Number(row.passes),
    storedKey: row.stored_key,
    serverKey: row.server_key,
    created: Number(row.created),
  };
}

function toInvite({ id, serial, created, expires, uses, standing }: InviteRow): Invite {
  return {
    id,
    serial,
    created: Number(created),
    expires: Number(expires),
    uses: Number(uses),
    standing: standing === 1n,
  };
}

function systemAfter(milliseconds: number, action: () => void): () => void {
  const timer = setTimeout(action, milliseconds);
  Deno.unrefTimer(timer);
  return () => clearTimeout(timer);
}
