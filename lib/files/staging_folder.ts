/** The folder in which a transfer is put together: where it is, whose it is, and how it goes. */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { codeOf } from "../platform_errors.ts";
import { FileFailure, fileFailure } from "./file_failure.ts";
import { type NameRules, STAGING_PREFIX } from "./names.ts";

/** Bits of a mode that let others write, and the one of folders like /tmp, where nobody replaces what is another's. */
const OTHERS_WRITE = 0o022;
const STICKY = 0o1000;
/** Two files that are made only to see what the disk says to it. */
const PROBE = "probe";
const POSIX_PROBE = "a:b?";

/** The folder of the transfer `id` (16 bytes, which no other one here has) inside of `folder`. */
export function stagingPath(folder: string, id: Bytes): string {
  return `${folder}/${STAGING_PREFIX}${encodeHex(id)}`;
}

/**
 * Makes the folder, which nobody else may look into, and the one for the tree in it. Throws `local` where something
 * else is there, or what somebody else has made, and the platform's errors.
 */
export function makeStaging(path: string): void {
  const isNew = makeFolder(path, 0o700);
  if (!isNew) requireOurs(path);
  makeFolder(`${path}/tree`);
}

/** Makes a folder unless there is one; whether it did. Throws the platform's errors. */
export function makeFolder(path: string, mode?: number): boolean {
  try {
    Deno.mkdirSync(path, { ...(mode !== undefined && { mode }) });
    return true;
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    if (!Deno.lstatSync(path).isDirectory) throw error;
    return false;
  }
}

/** Whoever makes a file there is whose the folder has to be: so it is right on disks that know no owners as well. */
function requireOurs(path: string): void {
  const { uid } = Deno.lstatSync(path);
  const ours = probe(`${path}/${PROBE}`);
  if (uid === ours) return;
  throw new FileFailure(`Cannot use ${path}: it belongs to another user`, {
    trouble: "denied",
    hint: "receive it into a folder that nobody else may write",
  });
}

/** The owner of a file that is made and removed again. */
function probe(path: string): number | null {
  removeIfThere(path);
  Deno.openSync(path, { write: true, createNew: true, mode: 0o600 }).close();
  const { uid } = Deno.lstatSync(path);
  Deno.removeSync(path);
  return uid;
}

/** Whose rules the names on the disk of the staging folder at `path` follow. Throws the platform's errors. */
export function rulesOf(path: string): NameRules {
  if (Deno.build.os === "windows") return "windows";
  try {
    probe(`${path}/${POSIX_PROBE}`);
    return "posix";
  } catch (error) {
    if (codeOf(error) === "EINVAL") return "windows";
    throw error;
  }
}

/** Removes a file, if it is there. Throws the platform's errors. */
export function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Removes a folder with all that is in it, if it is there. Throws `local` (FileFailure). */
export async function removeFolder(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw fileFailure(`Cannot remove ${path}`, error);
  }
}

/** Removes from `folder` what is left of transfers that are over, by their ids. Throws `local` (FileFailure). */
export async function sweep(folder: string, over: Iterable<Bytes>): Promise<void> {
  for (const id of over) await removeFolder(stagingPath(folder, id));
}

/** Gives a file that is open its time, 0 not being known, as far as the disk can: a time is worth no failure. */
export function setTime(file: Deno.FsFile, modified: number): void {
  if (modified === 0) return;
  try {
    file.utimeSync(new Date(modified), new Date(modified));
  } catch {
    // It has the time at which it came.
  }
}

/** The same of what is at `path`. */
export function setTimeOf(path: string, modified: number): void {
  if (modified === 0) return;
  try {
    Deno.utimeSync(path, new Date(modified), new Date(modified));
  } catch {
    // As above.
  }
}

/**
 * Notices that somebody has put another folder in the place of the staging folder, in which they may have links that
 * lead elsewhere. Only where others may write in the folder above: nobody else gets into the staging folder itself.
 */
export class Guard {
  readonly #path: string;
  readonly #inode: number | null | undefined;

  constructor(folder: string, path: string) {
    this.#path = path;
    const mode = Deno.statSync(folder).mode ?? 0;
    const isOpen = Deno.build.os !== "windows" && (mode & OTHERS_WRITE) !== 0 &&
      (mode & STICKY) === 0;
    this.#inode = isOpen ? Deno.lstatSync(path).ino : undefined;
  }

  /** Opens a file in the staging folder. Throws `local` (FileFailure) when that is another one now. */
  open(path: string, options: Deno.OpenOptions): Deno.FsFile {
    this.#check();
    const file = Deno.openSync(path, options);
    try {
      this.#check();
      return file;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  #check(): void {
    if (this.#inode === undefined || Deno.lstatSync(this.#path).ino === this.#inode) return;
    throw new FileFailure(`Cannot use ${this.#path}: somebody replaced it meanwhile`, {
      trouble: "denied",
      hint: "receive it into a folder that nobody else may write",
    });
  }
}
