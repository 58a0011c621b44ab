/** What a staging folder remembers of itself: lines at the end of a file, of which a crash takes the last at most. */
import { decodeUtf8, encodeUtf8, writeAllSync } from "../bytes.ts";
import type { NameRules } from "./names.ts";

/** What is noted, one after the other. Entries are told by their numbers. */
export type Note =
  /** First of all: whose rules the names follow. */
  | readonly ["rules", NameRules]
  /** So many bytes of an entry are written, and their CRC-32. */
  | readonly ["part", entry: number, length: number, crc: number]
  /** All of it is; its size. */
  | readonly ["whole", entry: number, size: number, crc: number]
  /** It begins anew as another one. */
  | readonly ["changed", entry: number, size: number, modified: number, executable: number]
  /** Its sender cannot read it. */
  | readonly ["skip", entry: number]
  /** All before it is on the disk itself. */
  | readonly ["synced", entry: number]
  /** The disk has failed: from this one on nobody knows what is there. */
  | readonly ["doubt", entry: number]
  /** The name that an entry is given outside. */
  | readonly ["place", entry: number, name: string]
  /** All have theirs. */
  | readonly ["placed"];

/** An open journal. */
export class Journal {
  readonly #file: Deno.FsFile;
  #length: number;

  private constructor(file: Deno.FsFile, length: number) {
    this.#file = file;
    this.#length = length;
  }

  /** Opens the journal at `path`, or makes one, and reads it. What stands behind the last whole line is cut off. */
  static open(path: string): { readonly journal: Journal; readonly notes: readonly Note[] } {
    const file = Deno.openSync(path, { read: true, write: true, create: true, mode: 0o600 });
    try {
      const bytes = new Uint8Array(file.statSync().size);
      for (let read = 0; read < bytes.length;) {
        const count = file.readSync(bytes.subarray(read));
        if (count === null) break;
        read += count;
      }
      const notes: Note[] = [];
      let length = 0;
      for (let end; (end = bytes.indexOf(NEW_LINE, length)) >= 0; length = end + 1) {
        const note = parse(bytes.subarray(length, end));
        if (!note) break;
        notes.push(note);
      }
      file.truncateSync(length);
      file.seekSync(length, Deno.SeekMode.Start);
      return { journal: new Journal(file, length), notes };
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Adds a note. When that fails, it is as if nothing had been tried. */
  add(...notes: readonly Note[]): void {
    const line = encodeUtf8(notes.map((note) => `${JSON.stringify(note)}\n`).join(""));
    try {
      writeAllSync(this.#file, line);
    } catch (error) {
      this.#file.truncateSync(this.#length);
      this.#file.seekSync(this.#length, Deno.SeekMode.Start);
      throw error;
    }
    this.#length += line.length;
  }

  /** Puts all notes on the disk itself. */
  sync(): void {
    this.#file.syncDataSync();
  }

  close(): void {
    this.#file.close();
  }
}

const NEW_LINE = 10;

/** A note; undefined for what no whole line of ours is, as after a loss of power. */
function parse(line: Uint8Array<ArrayBuffer>): Note | undefined {
  try {
    const note = JSON.parse(decodeUtf8(line));
    return Array.isArray(note) ? note as unknown as Note : undefined;
  } catch {
    return undefined;
  }
}
