/**
 * The receiver's disk: what comes of one transfer is put together in a folder of its own, beside where it goes, and
 * placed there under its names when all of it is on the disk itself.
 */
import { crc32 } from "node:zlib";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { mayFail } from "../flow/may_fail.ts";
import { UNSYNCED_BYTES } from "../limits.ts";
import type { BlockDigests } from "./blocks.ts";
import type { ManifestEntry } from "../wire/manifest.ts";
import { fileFailure } from "./file_failure.ts";
import { Journal, type Note } from "./journal.ts";
import type { NameRules } from "./names.ts";
import { PartFile } from "./part_file.ts";
import { place, type Placing } from "./placing.ts";
import { type NameChange, type Plan, planPaths } from "./plan.ts";
import { isToTheByte, Recovery } from "./recovery.ts";
import {
  makeFolder,
  makeStaging,
  removeFolder,
  removeIfThere,
  requireOwnFolder,
  rulesOf,
  setTimeOf,
  stagingPath,
} from "./staging_folder.ts";
import { syncAll, syncPath, SyncQueue } from "./sync_queue.ts";
import { Turns } from "./turns.ts";

/** Where a transfer is to go on: everything before is there. */
export interface Position extends BlockDigests {
  /** The number of the entry; one more than there are when nothing is missing. */
  readonly entry: number;
  readonly offset: number;
  /** Of the entry, as was told last; 0 behind the last. */
  readonly size: number | undefined;
  readonly modified: number;
}

/** What a sender says anew of an entry whose source is another one now. */
export type EntryFacts = Pick<ManifestEntry, "executable" | "modified"> & { readonly size: number };

/** What is left at the end: the top of it under its final names, and how many its sender could not read. */
export interface Finished {
  readonly names: readonly NameChange[];
  readonly skipped: number;
}

const NO_DIGESTS: BlockDigests = { block: 0, digests: new Uint8Array(0) };
/** Entries without content that are passed at once, before others have their turn. */
const PASSED_AT_ONCE = 64;

/**
 * One transfer on its way to a disk. One call at a time, the next one when the last has resolved; `checkpoint` alone
 * may come at any time.
 */
export class Staging {
  /** What is written otherwise than it was sent. */
  readonly changes: readonly NameChange[];
  readonly #folder: string;
  readonly #path: string;
  readonly #plan: Plan;
  readonly #rules: NameRules;
  readonly #journal: Journal;
  readonly #entries: ManifestEntry[];
  readonly #skipped: Set<number>;
  readonly #placing: Placing;
  #queue: SyncQueue;
  /** The entry that is being filled, how much of it is there, and the CRC-32 of that where it is known. */
  #entry: number;
  #offset: number;
  #crc: number | undefined;
  #digests: BlockDigests;
  #synced: number;
  /** The first entry that began anew since all was last on the disk. */
  #changedFrom = Infinity;
  /** How often one did that was there already. */
  #changes = 0;
  #done = 0;
  #current: PartFile | undefined;
  #background: Promise<void> | undefined;
  #isClosed = false;

  private constructor(
    { folder, path, rules, plan, journal }: {
      readonly folder: string;
      readonly path: string;
      readonly rules: NameRules;
      readonly plan: Plan;
      readonly journal: Journal;
    },
    recovery: Recovery,
  ) {
    this.#folder = folder;
    this.#path = path;
    this.#journal = journal;
    this.#rules = rules;
    this.#plan = plan;
    this.changes = plan.changes;
    this.#entries = recovery.entries;
    this.#skipped = recovery.skipped;
    this.#placing = recovery.placing;
    this.#entry = recovery.entry;
    this.#offset = recovery.offset;
    this.#crc = recovery.crc;
    this.#digests = recovery.digests;
    this.#synced = Math.min(recovery.synced, recovery.entry);
    this.#queue = this.#newQueue();
    for (let n = 1; n < this.#entry; n++) this.#done += this.#sizeOf(n);
  }

  /**
   * Opens what there is of the transfer `id` (16 bytes, which no other one here has) in `folder`, an absolute path, or
   * begins it. `entries`: its manifest. Throws `local` (FileFailure): the folder is not there, somebody else could
   * replace what is in it (`requireOwnFolder`), or nothing can be written in it.
   */
  static async open({ folder, id, entries }: {
    readonly folder: string;
    readonly id: Bytes;
    readonly entries: readonly ManifestEntry[];
  }): Promise<Staging> {
    const path = stagingPath(folder, id);
    let journal: Journal | undefined;
    try {
      requireOwnFolder(folder);
      makeStaging(path);
      const opened = Journal.open(`${path}/journal`);
      journal = opened.journal;
      const [first] = opened.notes;
      const isKnown = first?.[0] === "rules";
      const rules = isKnown ? first[1] : rulesOf(path);
      if (!isKnown) journal.add(["rules", rules]);
      const plan = planPaths(entries, rules);
      const recovery = new Recovery(`${path}/tree`, plan.paths, entries, opened.notes);
      await recovery.run();
      return new Staging({ folder, path, rules, plan, journal }, recovery);
    } catch (error) {
      journal?.close();
      throw fileFailure(`Cannot receive into ${folder}`, error);
    }
  }

  /** Whether nothing more can come: `finish` is next. */
  get isComplete(): boolean {
    if (this.#offset > 0) return false;
    for (let n = this.#entry; n <= this.#entries.length; n++) {
      if (!this.#isPassed(n)) return false;
    }
    return true;
  }

  /** All entries, as they were told of last. */
  get entries(): readonly ManifestEntry[] {
    return this.#entries;
  }

  /** How many bytes of content are there. */
  get bytes(): number {
    return this.#done + this.#offset;
  }

  /** Where to go on. */
  get position(): Position {
    const { size = undefined, modified = 0 } = this.#entries[this.#entry - 1] ?? { size: 0 };
    return { entry: this.#entry, offset: this.#offset, size, modified, ...this.#digests };
  }

  /**
   * Writes bytes of an entry. A promise: they are written when it resolves, and must stay as they are until then.
   * Throws `bad_state` for what is not next, `bad_frame` for more than the entry has, `local` (FileFailure) where
   * the disk fails; `position` then says what is there.
   */
  write(entry: number, offset: number, bytes: Bytes): Promise<void> | undefined {
    this.#requireNext(entry);
    if (entry - this.#entry > PASSED_AT_ONCE) {
      return this.#passInTurns(entry).then(() => this.#writeNow(entry, offset, bytes));
    }
    return this.#guarded(() => {
      this.#pass(entry);
      return this.#writeNow(entry, offset, bytes);
    });
  }

  /** The size of an entry of which it was not known: all of it has come. Throws as `write`. */
  end(entry: number, size: number): Promise<void> | undefined {
    this.#requireNext(entry);
    return this.#guarded(() => {
      this.#pass(entry);
      if (this.#entries[entry - 1]?.size !== undefined || this.#offset !== size) {
        throw new CifraError("bad_frame", "Refused content: it ends where it does not end");
      }
      const current = this.#current ??= this.#openFile(entry);
      this.#entries[entry - 1] = { ...this.#entries[entry - 1]!, size };
      return this.#complete(current);
    });
  }

  /** Begins an entry anew, which may be one that has come already: its source has changed. Throws as `write`. */
  restart(entry: number, facts: EntryFacts): void {
    this.#guarded(() => {
      this.#requireFile(entry);
      this.#pass(entry);
      const { size, modified, executable } = facts;
      this.#note(["changed", entry, size, modified, executable]);
      this.#goBackTo(entry);
      this.#skipped.delete(entry);
      this.#entries[entry - 1] = { ...this.#entries[entry - 1]!, ...facts };
    });
  }

  /** Leaves an entry out, which its sender cannot read. Throws as `write`. */
  skip(entry: number): void {
    this.#guarded(() => {
      this.#requireFile(entry);
      this.#pass(entry);
      this.#note(["skip", entry]);
      this.#goBackTo(entry);
      removeIfThere(this.#pathOf(entry));
      this.#skipped.add(entry);
      this.#goTo(entry + 1);
    });
  }

  /** Puts on the disk itself what is whole; the number before which all entries are. Throws `local` (FileFailure). */
  async checkpoint(): Promise<number> {
    await this.#flush();
    return this.#synced;
  }

  /**
   * Gives everything its name in the folder: never that of something else. After a kill it goes on where it was, and
   * when all is done says the same again, until `discard`. Throws `bad_state` when something is missing, `local`
   * (FileFailure) where the disk fails.
   */
  async finish(): Promise<Finished> {
    if (!this.isComplete) throw outOfTurn();
    if (!this.#isPlacing) {
      await this.#passInTurns(this.#entries.length + 1);
      await this.#flush();
      await this.#attempt(() => this.#finishFolders());
    }
    const names = await this.#attempt(() =>
      place({
        folder: this.#folder,
        tree: `${this.#path}/tree`,
        entries: this.#entries,
        paths: this.#plan.paths,
        skipped: this.#skipped,
        rules: this.#rules,
        journal: this.#journal,
        placing: this.#placing,
      })
    );
    return { names, skipped: this.#skipped.size };
  }

  /** Stops without finishing; what is there is found again. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#closeCurrent();
    await this.#queue.clear();
    await this.#background?.catch(() => {});
    this.#journal.close();
  }

  /** Closes, and removes all that was not placed. Throws `local` (FileFailure). */
  async discard(): Promise<void> {
    await this.close();
    await removeFolder(this.#path);
  }

  #pathOf(entry: number): string {
    return `${this.#path}/tree/${this.#plan.paths[entry - 1]}`;
  }

  #sizeOf(entry: number): number {
    return this.#skipped.has(entry) ? 0 : this.#entries[entry - 1]!.size ?? 0;
  }

  get #isPlacing(): boolean {
    return this.#placing.names.size > 0 || this.#placing.isDone;
  }

  /** Whether an entry has no content that could come. */
  #isPassed(entry: number): boolean {
    return this.#skipped.has(entry) || this.#entries[entry - 1]!.size === 0;
  }

  /** Throws unless `entry` is the one that is filled, or nothing between has content. */
  #requireNext(entry: number): void {
    if (this.#isPlacing || entry < this.#entry || entry > this.#entries.length) {
      throw outOfTurn();
    }
    if (entry > this.#entry && this.#offset > 0) throw outOfTurn();
    for (let n = this.#entry; n < entry; n++) if (!this.#isPassed(n)) throw outOfTurn();
  }

  /** Throws unless `entry` is a file that has come or may come next. */
  #requireFile(entry: number): void {
    if (this.#isPlacing || this.#entries[entry - 1]?.type !== "file") throw outOfTurn();
    if (entry > this.#entry) this.#requireNext(entry);
  }

  /** Makes the folders and empty files before `entry`. */
  #pass(entry: number): void {
    while (this.#entry < entry) this.#passOne();
  }

  async #passInTurns(entry: number): Promise<void> {
    const turns = new Turns();
    while (this.#entry < entry) {
      this.#guarded(() => this.#passOne());
      const turn = turns.next();
      if (turn) await turn;
    }
  }

  #passOne(): void {
    const entry = this.#entry;
    if (this.#skipped.has(entry)) this.#goTo(entry + 1);
    else if (this.#entries[entry - 1]!.type === "folder") {
      makeFolder(this.#pathOf(entry));
      this.#goTo(entry + 1);
    } else mayFail(Promise.resolve(this.#complete(this.#openFile(entry))));
  }

  #writeNow(entry: number, offset: number, bytes: Bytes): Promise<void> | undefined {
    return this.#guarded(() => {
      const { type, size = Infinity } = this.#entries[entry - 1]!;
      if (offset > this.#offset || type !== "file" || this.#skipped.has(entry)) throw outOfTurn();
      if (bytes.length === 0 || offset + bytes.length > size) {
        throw new CifraError("bad_frame", "Refused content: more of a file than it has");
      }
      const current = this.#current ??= this.#openFile(entry);
      if (offset < this.#offset) {
        current.cut(offset);
        this.#offset = offset;
        this.#crc = offset === 0 ? 0 : undefined;
      }
      this.#digests = NO_DIGESTS;
      const crc = this.#crc;
      try {
        current.write(bytes);
      } catch (error) {
        // Nobody knows where in the file that has ended.
        this.#closeCurrent();
        throw error;
      }
      this.#offset = offset + bytes.length;
      if (this.#crc !== undefined) this.#crc = crc32(bytes, this.#crc);
      if (this.#offset < size) return this.#keepUp(entry, current);
      try {
        return this.#complete(current);
      } catch (error) {
        // The last piece comes again: of what is whole nothing would.
        this.#closeCurrent();
        this.#offset = offset;
        this.#crc = crc;
        throw error;
      }
    });
  }

  /** Notes how far a file has come, and has the disk begin with what would take long at the end. */
  #keepUp(entry: number, current: PartFile): Promise<void> | undefined {
    const { size } = this.#entries[entry - 1]!;
    if (this.#crc !== undefined && isToTheByte(size)) {
      this.#note(["part", entry, this.#offset, this.#crc]);
    }
    if (current.unsynced < UNSYNCED_BYTES) return undefined;
    if (this.#background) return this.#background.catch((error) => this.#failed(error));
    current.unsynced = 0;
    this.#background = mayFail(
      syncPath(current.path).then(() => {
        this.#background = undefined;
      }),
    );
    return undefined;
  }

  /** The file of the entry that is being filled is whole. */
  #complete(current: PartFile): Promise<void> | undefined {
    const entry = this.#entry;
    const { modified } = this.#entries[entry - 1]!;
    current.date(modified);
    const length = this.#offset;
    if (this.#crc !== undefined) this.#note(["whole", entry, length, this.#crc]);
    this.#closeCurrent();
    this.#done += length;
    this.#entry = entry + 1;
    this.#offset = 0;
    this.#crc = 0;
    const behind = this.#queue.add(current.path, length, entry + 1);
    return behind?.catch((error) => this.#failed(error));
  }

  #openFile(entry: number): PartFile {
    const path = this.#pathOf(entry);
    if (this.#offset > 0) {
      return this.#current = PartFile.reopen(path, this.#offset);
    }
    this.#crc = 0;
    this.#digests = NO_DIGESTS;
    const { executable } = this.#entries[entry - 1]!;
    return this.#current = PartFile.create(path, executable);
  }

  /** From now on `entry` is the one that is filled, from its beginning. */
  #goTo(entry: number): void {
    this.#closeCurrent();
    for (; this.#entry > entry; this.#entry--) this.#done -= this.#sizeOf(this.#entry - 1);
    for (; this.#entry < entry; this.#entry++) this.#done += this.#sizeOf(this.#entry);
    this.#offset = 0;
    this.#crc = 0;
    this.#digests = NO_DIGESTS;
  }

  /** The same of one that may be there already. */
  #goBackTo(entry: number): void {
    if (entry < this.#entry) {
      this.#changedFrom = Math.min(this.#changedFrom, entry);
      this.#changes++;
    }
    this.#goTo(entry);
    this.#synced = Math.min(this.#synced, entry);
  }

  #closeCurrent(): void {
    this.#current?.close();
    this.#current = undefined;
  }

  #newQueue(): SyncQueue {
    const synced = (upTo: number) => {
      if (queue === this.#queue) this.#isSynced(Math.min(upTo, this.#entry, this.#changedFrom));
    };
    // What began anew, or was left out, is not where it was.
    const queue = new SyncQueue(synced, () => this.#changedFrom < Infinity);
    return queue;
  }

  #isSynced(upTo: number): void {
    if (upTo <= this.#synced) return;
    this.#note(["synced", upTo]);
    this.#synced = upTo;
  }

  async #flush(): Promise<void> {
    const upTo = this.#entry;
    const changes = this.#changes;
    try {
      await this.#background;
      await this.#queue.flush();
      if (changes === this.#changes) this.#changedFrom = Infinity;
      this.#isSynced(Math.min(upTo, this.#entry, this.#changedFrom));
    } catch (error) {
      this.#failed(error);
    }
  }

  /** The disk did not take what it was given: from the first entry that is not surely there on, all comes again. */
  #failed(error: unknown): never {
    void this.#queue.clear();
    this.#queue = this.#newQueue();
    this.#background = undefined;
    this.#goTo(this.#synced);
    this.#changedFrom = Infinity;
    try {
      this.#note(["doubt", this.#synced]);
    } catch {
      // The disk is full. Where it has lost something, its digest says so at the next start.
    }
    throw fileFailure(`Cannot write into ${this.#folder}`, error);
  }

  #note(note: Note): void {
    this.#journal.add(note);
  }

  /** Puts on the disk which files there are, and gives folders their times, which writing in them has changed. */
  async #finishFolders(): Promise<void> {
    const folders = this.#plan.paths.filter((_, i) => this.#entries[i]!.type === "folder");
    const paths = folders.map((path) => `${this.#path}/tree/${path}`);
    if (Deno.build.os !== "windows") await syncAll([...paths, `${this.#path}/tree`]);
    const turns = new Turns();
    for (let n = this.#entries.length; n > 0; n--) {
      const { type, modified } = this.#entries[n - 1]!;
      if (type === "folder") setTimeOf(this.#pathOf(n), modified);
      const turn = turns.next();
      if (turn) await turn;
    }
  }

  #guarded<T>(job: () => T): T {
    try {
      return job();
    } catch (error) {
      throw fileFailure(`Cannot write into ${this.#folder}`, error);
    }
  }

  async #attempt<T>(job: () => Promise<T>): Promise<T> {
    try {
      return await job();
    } catch (error) {
      throw fileFailure(`Cannot write into ${this.#folder}`, error);
    }
  }
}

function outOfTurn(): CifraError {
  return new CifraError("bad_state", "Refused content: it came out of its turn");
}
