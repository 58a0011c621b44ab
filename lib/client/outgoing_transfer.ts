/**
 * What is sent of one transfer, from where its receiver wants it: the manifest, then each file in its order, as it is
 * on the disk at that moment (PROTOCOL.md 3.15).
 */
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { equalUntil } from "../files/blocks.ts";
import { renewed, Source } from "../files/source.ts";
import type { SourceEntry } from "../files/tree.ts";
import type { SharedPause } from "../flow/shared_pause.ts";
import { FILE_CHANGES_LIMIT, FILE_PIECE_HEADER } from "../limits.ts";
import { type FileItem, fileItem, writeDataHeader } from "../wire/file_messages.ts";
import { encode } from "../wire/layout.ts";
import type { AgreedSize } from "./agreed_size.ts";
import { holdReason } from "./file_trouble.ts";
import type { Outflow, Piece, Want } from "./file_flow.ts";

/** So many small files at most are read before others have their turn. */
const FILES_AT_ONCE = 64;

/** What is to be sent. */
export interface OutgoingOptions {
  readonly want: Want;
  readonly manifest: Bytes;
  /** Of the manifest, with where each is here; the first has number 1. */
  readonly entries: readonly SourceEntry[];
  /** How large they may become. */
  readonly agreed: AgreedSize;
  /** A file has grown so much that it is left out. */
  readonly onOutgrown: (entry: SourceEntry) => void;
  /** A file is left out: it is not there any more, or changes all the time. */
  readonly onSkipped: (entry: SourceEntry) => void;
  /** Between tries to read what cannot be read now. */
  readonly pause: SharedPause;
  /** There is more to send, where there was nothing. */
  readonly wake: () => void;
  /** What cannot be read at the moment, once; and undefined when it can again. */
  readonly onTrouble: (error: CifraError | undefined) => void;
  /** All before this place has been said. */
  readonly onProgress: (entry: number, offset: number) => void;
}

/** A file as its receiver knows it: how it was told of it last. */
type Told = Pick<SourceEntry, "size" | "modified">;

/** One transfer of ours on its way. */
export class OutgoingTransfer implements Outflow {
  readonly #options: OutgoingOptions;
  readonly #closed = new AbortController();
  readonly #pieces: Piece[] = [];
  /** Of the manifest. */
  #told: number;
  /** The entry that is sent, or the next one; how its receiver knows it, and how often that has changed. */
  #number: number;
  #entry: Told | undefined;
  #changes = 0;
  #source: Source | undefined;
  #offset = 0;
  /** Something is under way after which there is more to send. */
  #isWaiting = false;
  #isInTrouble = false;
  /** What was given out of it may be of two files: the receiver is told, however alike they look. */
  #isMixed = false;

  /** Throws `bad_state` when it is wanted from where it has nothing. */
  constructor(options: OutgoingOptions) {
    const { want: { entry, offset, size, modified }, manifest, entries } = options;
    if (entry > entries.length || entry === 0 && offset > manifest.length) throw nowhere();
    this.#options = options;
    this.#told = entry === 0 ? offset : manifest.length;
    this.#number = Math.max(1, entry);
    if (entry === 0) return;
    if (size === undefined) throw nowhere();
    this.#entry = { size, modified };
    if (offset > 0) this.#resume();
  }

  next(limit: number, pieceLimit: number): readonly Piece[] | undefined {
    if (this.#isWaiting) return undefined;
    try {
      if (!this.#closed.signal.aborted) this.#gather(limit, pieceLimit);
    } catch (error) {
      this.#wait(error);
    }
    const pieces = this.#pieces.splice(0);
    return pieces.length === 0 && this.#isWaiting ? undefined : pieces;
  }

  close(): void {
    this.#closed.abort();
    this.#letGo();
  }

  /** Puts together what comes next. Throws `local` (FileFailure). */
  #gather(limit: number, pieceLimit: number): void {
    const { manifest, onProgress } = this.#options;
    let room = limit;
    while (this.#told < manifest.length && room > 0) {
      const part = manifest.subarray(this.#told, this.#told + Math.min(room, pieceLimit));
      this.#push(0, this.#told, part.length, (into) => into.set(part));
      this.#told += part.length;
      room -= part.length;
    }
    const first = this.#number;
    while (room > 0 && this.#number < first + FILES_AT_ONCE) {
      if (this.#told < manifest.length || !this.#enter()) break;
      room -= this.#read(Math.min(room, pieceLimit));
    }
    this.#recover();
    onProgress(this.#number, this.#offset);
  }

  /** Opens the next file, if none is open; false when there is none left. */
  #enter(): boolean {
    const { entries } = this.#options;
    while (this.#number <= entries.length) {
      const entry = entries[this.#number - 1]!;
      if (entry.type === "file") {
        this.#entry ??= entry;
        if (this.#open(entry)) return true;
      }
      this.#leave();
    }
    return false;
  }

  /** Opens the file of this entry as it is now; false when there is nothing of it to be sent. */
  #open(entry: SourceEntry): boolean {
    while (!this.#source) {
      const now = renewed(entry);
      if (typeof now === "string") return this.#skip();
      const isKnown = now.size === this.#entry!.size && now.modified === this.#entry!.modified;
      if ((!isKnown || this.#isMixed) && !this.#change(now)) return false;
      const source = Source.open(now);
      // Then it is looked at once more.
      if (source === "changed") continue;
      if (typeof source === "string") return this.#skip();
      this.#source = source;
    }
    return this.#offset < this.#entry!.size;
  }

  /** Sends a piece of the file that is open; returns how many bytes of content that were. */
  #read(limit: number): number {
    const { size } = this.#entry!;
    const length = Math.min(limit, size - this.#offset);
    let read: number | "changed" = 0;
    const isRead = this.#push(this.#number, this.#offset, length, (into) => {
      read = this.#source!.read(this.#offset, into);
      return read !== "changed";
    });
    if (!isRead) {
      this.#letGo();
      this.#isMixed = true;
      return 0;
    }
    this.#offset += length;
    if (this.#offset === size) this.#leave();
    return length;
  }

  /** Queues data whose content `fill` puts in; false when it does not. */
  #push(
    entry: number,
    offset: number,
    length: number,
    fill: (into: Bytes) => boolean | void,
  ): boolean {
    const { want: { transfer, turn } } = this.#options;
    const body = new Uint8Array(FILE_PIECE_HEADER + length);
    if (fill(body.subarray(FILE_PIECE_HEADER)) === false) return false;
    writeDataHeader(body, { transfer, turn, entry, offset });
    this.#pieces.push({ body, length });
    return true;
  }

  /** The file is another one than its receiver was told; false when that has been so too often. */
  #change(now: SourceEntry): boolean {
    if (++this.#changes > FILE_CHANGES_LIMIT) return this.#skip();
    const { size, modified, executable } = now;
    if (!this.#options.agreed.takes(this.#number, size)) {
      this.#options.onOutgrown(now);
      return this.#leaveOut();
    }
    this.#entry = { size, modified };
    this.#offset = 0;
    this.#isMixed = false;
    this.#say({ type: "changed", size, modified, executable });
    return true;
  }

  #skip(): false {
    const { entries, onSkipped } = this.#options;
    onSkipped(entries[this.#number - 1]!);
    return this.#leaveOut();
  }

  #leaveOut(): false {
    this.#say({ type: "changed", size: undefined, modified: 0, executable: 0 });
    return false;
  }

  #say(item: Omit<Extract<FileItem, { type: "changed" }>, "transfer" | "turn" | "entry">): void {
    const { want: { transfer, turn } } = this.#options;
    const body = encode(fileItem, { ...item, transfer, turn, entry: this.#number });
    this.#pieces.push({ body, length: 0 });
  }

  /** All of this entry is said. */
  #leave(): void {
    this.#letGo();
    this.#number++;
    this.#entry = undefined;
    this.#offset = 0;
    this.#changes = 0;
    this.#isMixed = false;
  }

  #letGo(): void {
    this.#source?.[Symbol.dispose]();
    this.#source = undefined;
  }

  /** Goes on in the middle of a file, as far as it is the one of which the receiver has the beginning. */
  async #resume(): Promise<void> {
    const { want, entries, wake } = this.#options;
    this.#isWaiting = true;
    try {
      const entry = entries[this.#number - 1]!;
      if (entry.type === "file" && this.#open(entry) && this.#pieces.length === 0) {
        this.#offset = Math.min(await this.#equal(this.#source!, want), this.#entry!.size);
      }
    } catch (error) {
      return this.#wait(error, () => this.#resume());
    }
    this.#isWaiting = false;
    wake();
  }

  async #equal(source: Source, { offset, block, digests }: Want): Promise<number> {
    if (block === 0) return offset;
    const readAt = (from: number, into: Bytes) => {
      const read = this.#closed.signal.aborted ? 0 : source.read(from, into);
      return read === "changed" ? 0 : read;
    };
    const equal = await equalUntil(readAt, { block, digests });
    return equal === Math.floor(offset / 2 ** block) * 2 ** block ? offset : equal;
  }

  /** The source cannot be read now: said once, and tried again. Throws what is a mistake of ours. */
  #wait(error: unknown, again = () => {}): void {
    if (!(error instanceof CifraError)) throw error;
    const { want: { transfer }, pause, wake, onTrouble } = this.#options;
    const { signal } = this.#closed;
    this.#letGo();
    this.#isWaiting = true;
    if (!this.#isInTrouble) {
      this.#isInTrouble = true;
      onTrouble(error);
      const body = encode(fileItem, { type: "pause", transfer, why: holdReason(error) });
      this.#pieces.push({ body, length: 0 });
    }
    pause.wait(signal).then(() => {
      if (signal.aborted) return;
      this.#isWaiting = false;
      again();
      wake();
    });
  }

  #recover(): void {
    if (!this.#isInTrouble) return;
    this.#isInTrouble = false;
    this.#options.onTrouble(undefined);
  }
}

function nowhere(): CifraError {
  return new CifraError("bad_state", "The other side wants a part of a file that there is not");
}
