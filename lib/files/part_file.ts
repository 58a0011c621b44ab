/** One file of a transfer while it is written. */
import { type Bytes, writeAllSync } from "../bytes.ts";
import { setTime } from "./staging_folder.ts";

/** An open file in a staging folder. All throw the platform's errors. */
export class PartFile {
  readonly path: string;
  readonly #file: Deno.FsFile;
  /** Bytes that the disk was not yet told to keep. */
  unsynced = 0;

  private constructor(path: string, file: Deno.FsFile) {
    this.path = path;
    this.#file = file;
  }

  /** A new file; whatever an earlier try has left there goes. `executable`: 1 for one that may be run. */
  static create(path: string, executable: number): PartFile {
    const options = { write: true, createNew: true, mode: executable ? 0o777 : 0o666 };
    try {
      return new PartFile(path, Deno.openSync(path, options));
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      Deno.removeSync(path);
      return new PartFile(path, Deno.openSync(path, options));
    }
  }

  /** A file of which there is something already: so many bytes of it are to stay. */
  static reopen(path: string, length: number): PartFile {
    const part = new PartFile(path, Deno.openSync(path, { write: true }));
    part.cut(length);
    return part;
  }

  /** Takes away what stands behind `length`, where the next bytes go. */
  cut(length: number): void {
    this.#file.truncateSync(length);
    this.#file.seekSync(length, Deno.SeekMode.Start);
  }

  /** Adds bytes. When it throws, nobody knows how many were. */
  write(bytes: Bytes): void {
    writeAllSync(this.#file, bytes);
    this.unsynced += bytes.length;
  }

  /** Gives it the time of its source, 0 not being known. */
  date(modified: number): void {
    setTime(this.#file, modified);
  }

  close(): void {
    this.#file.close();
  }
}
