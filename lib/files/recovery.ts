/** What there is of a transfer, told by its staging folder alone: never more than is on the disk. */
import { crc32 } from "node:zlib";
import type { Bytes } from "../bytes.ts";
import { DIGESTED_FROM } from "../limits.ts";
import { type BlockDigests, digestBlocks } from "./blocks.ts";
import { DIGEST_LENGTH } from "../wire/file_messages.ts";
import type { ManifestEntry } from "../wire/manifest.ts";
import type { Note } from "./journal.ts";
import type { Placing } from "./placing.ts";
import { look } from "./staging_folder.ts";
import { Turns } from "./turns.ts";

const PIECE = 2 ** 18;

/** Whether it is noted piece by piece how far a file of this size has come. */
export function isToTheByte(size: number | undefined): boolean {
  return size === undefined || size < DIGESTED_FROM;
}

interface Written {
  readonly length: number;
  readonly crc: number;
}

/** Finds where to go on. */
export class Recovery {
  /** With what was told anew of them. */
  readonly entries: ManifestEntry[];
  readonly skipped = new Set<number>();
  readonly placing: Placing = { names: new Map(), isDone: false };
  /** Before which entry all is on the disk itself. */
  synced = 1;
  entry = 1;
  offset = 0;
  /** Of what is there of the entry; undefined where it is not known. */
  crc: number | undefined = 0;
  digests: BlockDigests = { block: 0, digests: new Uint8Array(0) };
  readonly #tree: string;
  readonly #paths: readonly string[];
  readonly #whole = new Map<number, Written>();
  #part: Written & { readonly entry: number } | undefined;

  /** `tree`: the folder of what has come; `paths`: of each entry, in it; `notes`: the journal. */
  constructor(
    tree: string,
    paths: readonly string[],
    entries: readonly ManifestEntry[],
    notes: readonly Note[],
  ) {
    this.#tree = tree;
    this.#paths = paths;
    this.entries = [...entries];
    for (const note of notes) this.#read(note);
  }

  /** Looks at what is there. Throws the platform's errors. */
  async run(): Promise<void> {
    if (this.placing.names.size > 0 || this.placing.isDone) {
      this.entry = this.entries.length + 1;
      this.synced = this.entry;
      return;
    }
    const turns = new Turns();
    while (this.entry <= this.entries.length && await this.#isWhole(this.entry)) {
      this.entry++;
      const turn = turns.next();
      if (turn) await turn;
    }
    this.synced = Math.min(this.synced, this.entry);
    if (this.entries[this.entry - 1]?.type === "file") await this.#findPart();
  }

  #read(note: Note): void {
    switch (note[0]) {
      case "part":
        this.#part = { entry: note[1], length: note[2], crc: note[3] };
        break;
      case "whole": {
        const [, entry, length, crc] = note;
        this.#whole.set(entry, { length, crc });
        this.#change(entry, { size: length });
        break;
      }
      case "changed": {
        const [, entry, size, modified, executable] = note;
        this.#change(entry, { size, modified, executable });
        this.#doubt(entry, entry);
        this.skipped.delete(entry);
        break;
      }
      case "skip":
        this.skipped.add(note[1]);
        break;
      case "synced":
        this.synced = note[1];
        break;
      case "doubt":
        this.#doubt(note[1], this.entries.length);
        break;
      case "place":
        this.placing.names.set(note[1], note[2]);
        break;
      case "placed":
        this.placing.isDone = true;
        break;
    }
  }

  #change(entry: number, facts: Partial<ManifestEntry>): void {
    const known = this.entries[entry - 1];
    if (known) this.entries[entry - 1] = { ...known, ...facts };
  }

  #doubt(from: number, to: number): void {
    for (let n = from; n <= to; n++) this.#whole.delete(n);
    if (this.#part && this.#part.entry >= from && this.#part.entry <= to) this.#part = undefined;
    this.synced = Math.min(this.synced, from);
  }

  async #isWhole(entry: number): Promise<boolean> {
    if (this.skipped.has(entry)) return true;
    const { type, size } = this.entries[entry - 1]!;
    const info = look(this.#pathOf(entry));
    if (type === "folder") return info?.isDirectory ?? false;
    if (!info?.isFile || info.size !== size) return false;
    if (entry < this.synced) return true;
    const whole = this.#whole.get(entry);
    return whole?.length === size && await this.#crcOf(entry, size) === whole.crc;
  }

  async #findPart(): Promise<void> {
    const entry = this.entry;
    const { size } = this.entries[entry - 1]!;
    const info = look(this.#pathOf(entry));
    if (!info?.isFile) return;
    const length = Math.min(info.size, size ?? Infinity);
    const part = this.#part;
    if (part?.entry === entry && part.length <= length && part.length !== size) {
      if (await this.#crcOf(entry, part.length) === part.crc) {
        this.offset = part.length;
        this.crc = part.crc;
        return;
      }
    }
    // A stream has no digests: its source cannot make any.
    if (size !== undefined) await this.#digest(entry, length, size);
  }

  async #digest(entry: number, length: number, size: number): Promise<void> {
    using file = Deno.openSync(this.#pathOf(entry));
    const read = (offset: number, into: Bytes) => {
      file.seekSync(offset, Deno.SeekMode.Start);
      return file.readSync(into) ?? 0;
    };
    const { block, digests } = await digestBlocks(read, length);
    let count = digests.length / DIGEST_LENGTH;
    // Something has to come, that it may end.
    if (count * 2 ** block >= size) count--;
    if (count <= 0) return;
    this.offset = count * 2 ** block;
    this.crc = undefined;
    this.digests = { block, digests: digests.slice(0, count * DIGEST_LENGTH) };
  }

  /** The CRC-32 of the first `length` bytes; undefined when there are fewer. */
  async #crcOf(entry: number, length: number): Promise<number | undefined> {
    using file = Deno.openSync(this.#pathOf(entry));
    const turns = new Turns();
    const piece = new Uint8Array(Math.min(PIECE, length));
    let crc = 0;
    for (let done = 0; done < length;) {
      const turn = turns.next();
      if (turn) await turn;
      const read = file.readSync(piece.subarray(0, length - done));
      if (read === null) return undefined;
      crc = crc32(piece.subarray(0, read), crc);
      done += read;
    }
    return crc;
  }

  #pathOf(entry: number): string {
    return `${this.#tree}/${this.#paths[entry - 1]}`;
  }
}
