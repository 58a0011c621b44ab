/** The transfers of a profile in its database of messages. */
import { type Bytes, decodeUtf8, encodeUtf8 } from "../bytes.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { fileWordOf, type TransferFailure } from "../wire/file_messages.ts";
import { lineOf } from "../wire/line.ts";
import type { KeptMessage, NewMessage } from "../wire/peer_messages.ts";
import { type AtRest, transferName } from "./at_rest.ts";
import type { ConversationKey } from "./conversation_key.ts";
import type { SqliteFile } from "./sqlite_file.ts";
import { ownBytes } from "./sqlite_mailbag.ts";
import {
  heard,
  type TransferChanges,
  type TransferRow,
  type TransferStep,
  type TransferStore,
} from "./transfer_store.ts";

/** Columns of a transfer, but its manifest, which may be long. */
const COLUMNS = `id, peer, suite, direction, state, failure, name, files, folders, bytes,
  manifest_length AS manifestLength, manifest_hash AS manifestHash, place, entry, skipped, told AS isTold, began,
  ended`;

/** How a change is called in the table. */
const CHANGED = {
  state: "state",
  failure: "failure",
  place: "place",
  entry: "entry",
  skipped: "skipped",
  isTold: "told",
  ended: "ended",
  manifest: "manifest",
} as const satisfies Record<keyof TransferChanges, string>;

/** As it lies there: integers are bigints, NULL is what is not known, and names may be sealed. */
type Row =
  & {
    readonly [K in keyof TransferRow]: TransferRow[K] extends number | boolean ? bigint
      : TransferRow[K] extends number | undefined ? bigint | null
      : TransferRow[K];
  }
  & { readonly name: Bytes; readonly place: Bytes };

/** Runs `work` in the next transaction. */
type Change = <T>(work: () => T) => Promise<T>;

function prepareStatements(file: SqliteFile) {
  const prepare = (sql: string) => file.prepare(sql);
  const one = "peer = :peer AND suite = :suite AND id = :id";
  const set = Object.fromEntries(
    Object.entries(CHANGED).map((
      [name, column],
    ) => [name, prepare(`UPDATE transfer SET ${column} = :value WHERE ${one}`)]),
  ) as Record<keyof TransferChanges, ReturnType<typeof prepare>>;
  return {
    all: prepare(`SELECT ${COLUMNS} FROM transfer WHERE suite = ? ORDER BY rowid`),
    open: prepare(`
      SELECT ${COLUMNS} FROM transfer
      WHERE peer = ? AND suite = ? AND state IN ('offered', 'accepted') ORDER BY rowid`),
    get: prepare(`SELECT ${COLUMNS} FROM transfer WHERE ${one}`),
    manifest: prepare(`SELECT manifest FROM transfer WHERE ${one}`),
    insert: prepare(`
      INSERT INTO transfer
        (id, peer, suite, direction, state, failure, name, files, folders, bytes, manifest_length, manifest_hash,
         manifest, place, entry, skipped, told, began, ended)
      VALUES
        (:id, :peer, :suite, :direction, :state, :failure, :name, :files, :folders, :bytes, :manifestLength,
         :manifestHash, :manifest, :place, :entry, :skipped, :isTold, :began, :ended)
      ON CONFLICT DO NOTHING`),
    set,
    remove: prepare(`DELETE FROM transfer WHERE ${one}`),
    forget: prepare(`
      DELETE FROM transfer WHERE peer = ? AND suite = ? AND direction = 'sent'
        AND id IN (SELECT id FROM message WHERE log = ? AND number > ?)`),
  };
}

/** The transfers in an open file of messages. */
export class SqliteTransfers implements TransferStore {
  readonly #file: SqliteFile;
  readonly #atRest: AtRest;
  readonly #change: Change;
  readonly #append: (key: ConversationKey, message: NewMessage) => bigint;
  readonly #statements: ReturnType<typeof prepareStatements>;

  /**
   * `change` runs its work in a transaction of the file, and refuses when that is closed; `append` puts a message of
   * ours into our log, in a transaction. Throws `local`.
   */
  constructor(
    file: SqliteFile,
    atRest: AtRest,
    change: Change,
    append: (key: ConversationKey, message: NewMessage) => bigint,
  ) {
    this.#file = file;
    this.#atRest = atRest;
    this.#change = change;
    this.#append = append;
    this.#statements = prepareStatements(file);
  }

  all(suite: SuiteName): readonly TransferRow[] {
    const rows = this.#file.use(() => this.#statements.all.all(suite));
    return (rows as unknown[] as Row[]).map((row) => this.#rowOf(row));
  }

  open({ peer, suite }: ConversationKey): readonly TransferRow[] {
    const rows = this.#file.use(() => this.#statements.open.all(peer, suite));
    return (rows as unknown[] as Row[]).map((row) => this.#rowOf(row));
  }

  get(key: ConversationKey, id: Bytes): TransferRow | undefined {
    const row = this.#file.use(() => this.#statements.get.get(named(key, id)));
    return row && this.#rowOf(row as unknown as Row);
  }

  manifest(key: ConversationKey, id: Bytes): Bytes | undefined {
    const row = this.#file.use(() => this.#statements.manifest.get(named(key, id))) as
      | { readonly manifest: Bytes | null }
      | undefined;
    if (!row?.manifest) return undefined;
    return this.#atRest.unseal("manifest", transferName(key, id), row.manifest);
  }

  async change(key: ConversationKey, id: Bytes, changes: TransferChanges): Promise<boolean> {
    const step = { id: id.slice(), changes: ownBytes(changes) };
    return await this.#change(() => this.take(key, step));
  }

  async say(key: ConversationKey, message: NewMessage, step: TransferStep): Promise<bigint> {
    const own = ownStep(step);
    return await this.#change(() => {
      this.take(key, own);
      return this.#append(key, message);
    });
  }

  async remove(key: ConversationKey, id: Bytes): Promise<void> {
    const one = named(key, id.slice());
    await this.#change(() => this.#statements.remove.run(one));
  }

  /** In a transaction: takes a step. Whether it changed anything. */
  take(key: ConversationKey, step: TransferStep): boolean {
    if ("begin" in step) return this.#begin(key, step.begin, step.manifest);
    const { id, changes } = step;
    const one = named(key, id);
    if (this.#statements.get.get(one) === undefined) return false;
    for (const [name, value] of Object.entries(changes)) {
      const which = name as keyof TransferChanges;
      this.#statements.set[which].run({ ...one, value: this.#sealed(key, id, which, value) });
    }
    return true;
  }

  #begin(key: ConversationKey, row: TransferRow, manifest: Bytes | undefined): boolean {
    const { id, isTold, ...rest } = row;
    const seal = (column: "transferName" | "place" | "manifest", value: Bytes) =>
      this.#atRest.seal(column, transferName(key, id), value);
    const { changes } = this.#statements.insert.run({
      ...rest,
      ...named(key, id),
      failure: row.failure ?? null,
      name: seal("transferName", encodeUtf8(row.name)),
      bytes: row.bytes ?? null,
      manifest: manifest ? seal("manifest", manifest) : null,
      place: seal("place", encodeUtf8(row.place)),
      isTold: isTold ? 1 : 0,
      ended: row.ended ?? null,
    });
    return Number(changes) === 1;
  }

  #sealed(
    key: ConversationKey,
    id: Bytes,
    which: keyof TransferChanges,
    value: TransferChanges[typeof which],
  ): Bytes | string | number | null {
    if (value === undefined) return null;
    if (typeof value === "boolean") return value ? 1 : 0;
    const name = transferName(key, id);
    if (which === "place") return this.#atRest.seal("place", name, encodeUtf8(value as string));
    if (which === "manifest") return this.#atRest.seal("manifest", name, value as Bytes);
    return value as string | number;
  }

  /** In a transaction: what messages of the other side, which are new and stored, make of transfers. */
  hear(key: ConversationKey, messages: readonly KeptMessage[]): void {
    for (const message of messages) {
      if (message.type !== "file") continue;
      const word = fileWordOf(message);
      const id = word.type === "offer" ? message.id : word.transfer;
      const known = this.#statements.get.get(named(key, id)) as unknown as Row | undefined;
      const step = heard(key, message, word, known);
      if (step) this.take(key, step);
    }
  }

  /** In a transaction: what we offered after this message of our log was never said. */
  forget({ peer, suite }: ConversationKey, log: bigint, after: bigint): void {
    this.#statements.forget.run(peer, suite, log, after);
  }

  #rowOf(row: Row): TransferRow {
    const key: ConversationKey = { peer: row.peer, suite: row.suite };
    const open = (column: "transferName" | "place", value: Bytes) =>
      decodeUtf8(this.#atRest.unseal(column, transferName(key, row.id), value));
    return {
      ...row,
      failure: row.failure === null ? undefined : Number(row.failure) as TransferFailure,
      name: lineOf(open("transferName", row.name)),
      files: Number(row.files),
      folders: Number(row.folders),
      bytes: row.bytes === null ? undefined : Number(row.bytes),
      manifestLength: Number(row.manifestLength),
      place: open("place", row.place),
      entry: Number(row.entry),
      skipped: Number(row.skipped),
      isTold: row.isTold === 1n,
      began: Number(row.began),
      ended: row.ended === null ? undefined : Number(row.ended),
    };
  }
}

function named({ peer, suite }: ConversationKey, id: Bytes) {
  return { peer, suite, id };
}

/** A copy whose bytes are its own: who gave them may use them again. */
function ownStep(step: TransferStep): TransferStep {
  if ("begin" in step) {
    return { begin: ownBytes(step.begin), manifest: step.manifest?.slice() };
  }
  return { id: step.id.slice(), changes: ownBytes(step.changes) };
}
