/** The bytes of a file that is sent, as long as it is the one that was looked at. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { codeOf, isNotAllowed, isNotGiven } from "../platform_errors.ts";
import type { Bytes } from "../bytes.ts";
import { FileFailure, fileFailure } from "./file_failure.ts";
import { factsOf, lookAgain, type SourceEntry } from "./tree.ts";

/** Answers of the system that concern the one file, and not the disk that it is on. */
const GONE: readonly string[] = ["ENOENT", "ENOTDIR", "ELOOP", "EISDIR", "ENAMETOOLONG"];

/** Where a named pipe has come in the place of a file, Deno.openSync waits, and with it all else, until somebody writes. */
const WITHOUT_WAITING = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** Why there is nothing of a file to be sent. */
export type Gone = "gone" | "linked";

/**
 * An open file. Calls are synchronous: a page of a regular file is there at once, and a promise for each piece costs
 * more than the piece (measured). A file that is being changed is told from one that is whole by its size, its time
 * and its number on the disk, before the first byte and before the last one is given out.
 */
export class Source implements Disposable {
  readonly entry: SourceEntry;
  /** Its number among those that this program has open. */
  readonly #file: number;

  private constructor(entry: SourceEntry, file: number) {
    this.entry = entry;
    this.#file = file;
  }

  /**
   * Opens the file of `entry`: `changed` when it is another one than was looked at, `gone` when it is not there or
   * cannot be read, `linked` when a link has come where the file or a folder above it was. Throws `local` (FileFailure)
   * where the disk fails, and where this program may not look.
   *
   * Opening follows links, and no folder can be held: so the path is looked at before and after, and has to lead both
   * times to the file that is open. What remains is somebody who may write in a folder above, and puts a link there and
   * takes it away again several times, each between the right two of these calls.
   */
  static open(entry: SourceEntry): Source | "changed" | Gone {
    return attempt(entry, () => {
      const now = lookAgain(entry);
      if (typeof now === "string") return now;
      if (!isSame(now, entry)) return "changed";
      const file = openSync(entry.path, WITHOUT_WAITING);
      const source = new Source(entry, file);
      try {
        const after = lookAgain(entry);
        const isIt = typeof after !== "string" && isSame(after, entry) && source.#isUnchanged();
        if (isIt) return source;
        closeSync(file);
        return typeof after === "string" ? after : "changed";
      } catch (error) {
        closeSync(file);
        throw error;
      }
    });
  }

  /**
   * Fills `into` from `offset` on, with less where the file ends; its length. `changed`: what was given out may be of
   * two files, and the file begins anew. The piece with the last byte is never one of a file that has changed.
   */
  read(offset: number, into: Bytes): number | "changed" {
    const { size, path } = this.entry;
    const length = Math.min(into.length, size - offset);
    try {
      let done = 0;
      while (done < length) {
        const read = readSync(this.#file, into, done, length - done, offset + done);
        if (read === 0) break;
        done += read;
      }
      if (done < length) return "changed";
      return offset + done < size || this.#isUnchanged() ? done : "changed";
    } catch (error) {
      throw fileFailure(`Cannot read ${path}`, error);
    }
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  #isUnchanged(): boolean {
    const info = fstatSync(this.#file);
    if (!info.isFile()) return false;
    const { mode, size, mtime, dev, ino } = info;
    const facts = factsOf({ isFile: true, mode, size, mtime, dev, ino });
    return isSame({ ...this.entry, ...facts }, this.entry);
  }
}

/** The entry of a file as it is now; otherwise as `Source.open`. Throws `local` (FileFailure) where the disk fails. */
export function renewed(entry: SourceEntry): SourceEntry | Gone {
  return attempt(entry, () => lookAgain(entry));
}

function isSame(a: SourceEntry, b: SourceEntry): boolean {
  return a.size === b.size && a.modified === b.modified && a.inode === b.inode &&
    a.device === b.device;
}

function attempt<T>(entry: SourceEntry, job: () => T): T | Gone {
  try {
    return job();
  } catch (error) {
    // Another program may have it: that is no reason to leave it out for good.
    if (isNotGiven(error)) throw notGiven(entry.path, error);
    if (isNotAllowed(error) || GONE.includes(codeOf(error) ?? "")) return "gone";
    throw fileFailure(`Cannot read ${entry.path}`, error);
  }
}

function notGiven(path: string, cause: unknown): FileFailure {
  return new FileFailure(`Cannot read ${path}: this program was not given it`, {
    cause,
    trouble: "denied",
    hint: "it goes on with one that has it: cifra send with the same files, or --files DIR",
  });
}
