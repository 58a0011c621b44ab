/** A server's mailbox on disk: a MailboxStore in one SQLite database, apart from the names. */
import { decodeHex, encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { STORE_LAZY_AFTER } from "../limits.ts";
import type { PublishedPrekey } from "../wire/mailbox_messages.ts";
import { GroupCommit } from "./group_commit.ts";
import { MAILBOX_STEPS } from "./mailbox_schema.ts";
import {
  type BoxRow,
  type EnvelopeRow,
  type LeftRow,
  prekeyBytes,
  prepareStatements,
  type Statements,
  type TallyRow,
  toBox,
  toEnvelope,
  toPrekey,
  toTally,
  type Value,
} from "./mailbox_statements.ts";
import type {
  Box,
  Envelope,
  Left,
  MailboxCounts,
  MailboxStore,
  MailboxWriter,
  NewEnvelope,
  OpenedBox,
  Stock,
  Tally,
} from "./mailbox_store.ts";
import type { PrivateFolder } from "./private_files.ts";
import { SqliteFile } from "./sqlite_file.ts";
import { u64Bytes, u64Number } from "./u64.ts";

const FILE_NAME = "mailbox.db";
const KIND = { steps: MAILBOX_STEPS };
/** Of the budget, so much is for the database; its log needs room as well. */
const SHARE = 0.8;
/** Of the database, so much is for envelopes; boxes, prekeys and what deleting takes have the rest. */
const SHARE_OF_ENVELOPES = 7 / 8;
const PAGE_SIZE = 4096;
/** Pages that a change may take beside what it is given room for: indexes grow as well. */
const SLACK = 16;
/** So long after a change the write-ahead log is emptied, ms: what was deleted is gone then. */
const SETTLE_AFTER = 1000;

/** How a mailbox is kept. */
export interface SqliteMailboxOptions {
  /** Bytes on disk that the database may grow to. */
  readonly budget: number;
  /** Calls `action` once after `milliseconds`, unless the returned function is called before. */
  readonly after: (milliseconds: number, action: () => void) => () => void;
}

/** A server's mailbox in `mailbox.db`. */
export class SqliteMailbox implements MailboxStore, MailboxWriter {
  readonly #file: SqliteFile;
  readonly #statements: Statements;
  readonly #after: SqliteMailboxOptions["after"];
  readonly #pages: number;
  readonly #commits: GroupCommit;
  /** By place, the id of what was handed out; not on disk yet. */
  readonly #handedOut = new Map<number, Bytes>();
  #cancelLazy: (() => void) | undefined;
  #cancelSettling: (() => void) | undefined;
  #isClosed = false;

  private constructor(file: SqliteFile, pages: number, after: SqliteMailboxOptions["after"]) {
    this.#file = file;
    this.#pages = pages;
    this.#after = after;
    this.#statements = prepareStatements(file);
    this.#commits = new GroupCommit(file, () => () => this.#settleLater());
  }

  /** Opens the database in `folder`, making it if there is none. Throws `local` when it cannot be used. */
  static async open(
    folder: PrivateFolder,
    { budget, after }: SqliteMailboxOptions,
  ): Promise<SqliteMailbox> {
    const file = await SqliteFile.open(folder.path, FILE_NAME, KIND);
    try {
      const pages = Math.floor(budget * SHARE / PAGE_SIZE);
      file.use(() => file.prepare(`PRAGMA max_page_count = ${pages}`).get());
      return new SqliteMailbox(file, pages, after);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  boxes(owner: string): readonly Box[] {
    return this.#all<BoxRow>("boxes", decodeHex(owner)).map((row) => toBox(owner, row));
  }

  stock(box: number): Stock {
    const { count, next } = this.#one<{ count: bigint; next: Bytes | null }>("stock", box)!;
    return { count: Number(count), next: next ? u64Number(next) : 0n };
  }

  waitingFor(owner: string): { readonly all: Tally; readonly withoutPass: Tally } {
    const row = this.#one<TallyRow & { strange: bigint; strange_bytes: bigint }>(
      "waitingFor",
      decodeHex(owner),
    )!;
    const withoutPass = toTally({ count: row.strange, bytes: row.strange_bytes });
    return { all: toTally(row), withoutPass };
  }

  waitingIn(box: number): number {
    return Number(this.#one<{ readonly count: bigint }>("waitingIn", box)?.count ?? 0n);
  }

  between(sender: string, owner: string): Tally {
    return toTally(this.#one<TallyRow>("between", decodeHex(sender), decodeHex(owner))!);
  }

  leftBy(sender: string): Tally {
    return toTally(this.#one<TallyRow>("leftBy", decodeHex(sender))!);
  }

  left(sender: string, after: number, limit: number): readonly Left[] {
    return this.#all<LeftRow>("left", decodeHex(sender), after, limit).map((row) => ({
      place: Number(row.place),
      id: row.id,
      wasHandedOut: row.handed === 1n || this.#isNoted(Number(row.place), row.id),
      isPresent: row.present === 1n,
    }));
  }

  envelope(sender: string, id: Bytes): Envelope | undefined {
    const row = this.#one<EnvelopeRow>("envelope", decodeHex(sender), id);
    return row && toEnvelope(row);
  }

  at(place: number): Envelope | undefined {
    const row = this.#one<EnvelopeRow>("at", place);
    return row && toEnvelope(row);
  }

  senders(box: number): readonly string[] {
    return this.#all<{ sender: Bytes }>("senders", box).map(({ sender }) => encodeHex(sender));
  }

  next(box: number, sender: string, after: number): Envelope | undefined {
    const row = this.#one<EnvelopeRow>("next", box, decodeHex(sender), after);
    return row && toEnvelope(row);
  }

  body(place: number): Bytes | undefined {
    return this.#one<{ readonly body: Bytes }>("body", place)?.body;
  }

  room(what: "keys" | "envelopes"): number {
    const { page_count } = this.#one<{ page_count: bigint }>("pages")!;
    const { freelist_count } = this.#one<{ freelist_count: bigint }>("freePages")!;
    const used = Number(page_count - freelist_count);
    const pages = what === "keys" ? this.#pages : Math.floor(this.#pages * SHARE_OF_ENVELOPES);
    return Math.max(0, pages - used - SLACK) * PAGE_SIZE;
  }

  counts(): MailboxCounts {
    const row = this.#one<TallyRow & { readonly boxes: bigint }>("counts")!;
    return { boxes: Number(row.boxes), ...toTally(row) };
  }

  async change<T>(work: (writer: MailboxWriter) => T): Promise<T> {
    if (this.#isClosed) throw new CifraError("shutdown", "The mailbox is closed");
    return await this.#commits.change(() => work(this));
  }

  handedOut(place: number, id: Bytes): void {
    this.#handedOut.set(place, id);
    this.#cancelLazy ??= this.#after(STORE_LAZY_AFTER, () => this.#putHandedOut());
  }

  close(): void {
    this.#isClosed = true;
    this.#commits.flush();
    this.#cancelLazy?.();
    this.#putHandedOut();
    this.#cancelSettling?.();
    this.#file.close();
  }

  open(owner: string, { name, passKey, claim }: OpenedBox, now: number): number {
    const bytes = decodeHex(owner);
    const { sequence, notAfter, signature } = claim;
    const values = [name, passKey, u64Bytes(sequence), u64Bytes(notAfter), signature, now] as const;
    const { key } = this.#one<{ readonly key: bigint }>("putBox", bytes, ...values)!;
    this.#run("makePresent", bytes, key);
    return Number(key);
  }

  use(box: number, now: number): void {
    this.#run("use", box, now);
  }

  remove(box: number): void {
    this.#run("removeBox", box);
  }

  removeUnused(before: number, limit: number): number {
    return this.#remove("removeUnused", before, limit);
  }

  sign(box: number, prekey: PublishedPrekey, now: number): void {
    this.#run("sign", box, u64Bytes(prekey.number), prekeyBytes(prekey), now);
  }

  addOnce(box: number, prekeys: readonly PublishedPrekey[]): void {
    for (const prekey of prekeys) {
      const number = u64Bytes(prekey.number);
      this.#run("addOnce", box, number, prekeyBytes(prekey));
      this.#run("setHighest", box, number);
    }
  }

  takeOnce(box: number): PublishedPrekey | undefined {
    const row = this.#one<{ readonly prekey: Bytes }>("takeOnce", box);
    return row && toPrekey(row.prekey);
  }

  dropOnce(box: number): void {
    this.#run("dropOnce", box);
  }

  insert({ id, sender, box, passed, since, body }: NewEnvelope, place?: number): number {
    const values = [id, decodeHex(sender), box, passed ? 1 : 0, body.length, since, body] as const;
    return this.#run("insert", place ?? null, ...values);
  }

  take(place: number, id: Bytes): void {
    this.#run("take", place, id);
  }

  expire(before: number, limit: number): number {
    return this.#remove("expire", before, limit);
  }

  forget(fingerprint: string): void {
    const bytes = decodeHex(fingerprint);
    this.#run("forgetBoxes", bytes);
    this.#run("forgetLeft", bytes);
  }

  #isNoted(place: number, id: Bytes): boolean {
    const noted = this.#handedOut.get(place);
    return noted !== undefined && encodeHex(noted) === encodeHex(id);
  }

  /** Not worth a failure, nor a wait for the disk: it tells a sender that something may have been read. */
  #putHandedOut(): void {
    this.#cancelLazy = undefined;
    try {
      this.#file.unsyncedTransaction(() => {
        for (const [place, id] of this.#handedOut) this.#run("handOut", place, id);
      });
      this.#handedOut.clear();
    } catch (error) {
      if (!(error instanceof CifraError)) throw error;
    }
  }

  /** What was deleted is not to lie in the write-ahead log. */
  #settleLater(): void {
    this.#cancelSettling ??= this.#after(SETTLE_AFTER, () => {
      this.#cancelSettling = undefined;
      if (!this.#file.emptyLog()) this.#settleLater();
    });
  }

  #one<Row>(statement: keyof Statements, ...values: Value[]): Row | undefined {
    return this.#file.use(() => this.#statements[statement].get(...values)) as Row | undefined;
  }

  #all<Row>(statement: keyof Statements, ...values: Value[]): readonly Row[] {
    return this.#file.use(() => this.#statements[statement].all(...values)) as unknown as Row[];
  }

  /** Returns how many rows are gone, without those that went with them. */
  #remove(statement: keyof Statements, ...values: Value[]): number {
    return Number(this.#file.use(() => this.#statements[statement].run(...values)).changes);
  }

  /** Returns the place of a row that was added. */
  #run(statement: keyof Statements, ...values: Value[]): number {
    return Number(
      this.#file.use(() => this.#statements[statement].run(...values)).lastInsertRowid,
    );
  }
}
