/** The folder in which a transfer is put together: where it is, whose it is, and how it goes. */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { codeOf, meaningOf } from "../platform_errors.ts";
import { requireKeptPath } from "../store/private_files.ts";
import { FileFailure, fileFailure } from "./file_failure.ts";
import { type NameRules, STAGING_PREFIX } from "./names.ts";

/** A file that is made only to see what the disk says to it. */
const POSIX_PROBE = "a:b?";

/** The folder of the transfer `id` (16 bytes, which no other one here has) inside of `folder`. */
export function stagingPath(folder: string, id: Bytes): string {
  return `${folder}/${STAGING_PREFIX}${encodeHex(id)}`;
}

/**
 * Throws `local` (FileFailure) unless files of others may come to `folder`, an absolute path: Deno follows whatever
 * links a path has at that moment, so nobody else may be able to put one there. Whoever asks once has asked for good,
 * since only this user and root can change it.
 */
export function requireOwnFolder(folder: string): void {
  try {
    requireKeptPath(folder);
  } catch (cause) {
    if (!(cause instanceof CifraError)) throw fileFailure(`Cannot receive into ${folder}`, cause);
    throw new FileFailure(meaningOf(cause).why, {
      cause,
      trouble: "denied",
      hint: "receive into a folder of your own, which nobody else may write (chmod go-w)",
    });
  }
}

/**
 * Makes the folder, which nobody else may look into, and the one for the tree in it. Throws `local` (FileFailure)
 * where something else is there, or what somebody else has made or may write, and the platform's errors.
 */
export function makeStaging(path: string): void {
  if (!makeFolder(path, 0o700)) requireOwnFolder(path);
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

/** Makes a file, and removes it again. */
function probe(path: string): void {
  removeIfThere(path);
  Deno.openSync(path, { write: true, createNew: true, mode: 0o600 }).close();
  Deno.removeSync(path);
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

/** Removes from `folder` what is left of transfers that are over, by their ids. Throws as `requireOwnFolder`. */
export async function sweep(folder: string, over: Iterable<Bytes>): Promise<void> {
  for (const id of over) {
    const path = stagingPath(folder, id);
    if (!look(path)) continue;
    requireOwnFolder(folder);
    await removeFolder(path);
  }
}

/** What is at `path`, links not followed; undefined when there is nothing. Throws the platform's errors. */
export function look(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? "")) return undefined;
    throw error;
  }
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
