/** Files that only their owner may read, written so that a crash leaves the old or the new version. */
import { encodeHex } from "@std/encoding/hex";
import { systemRandom } from "../crypto/platform.ts";
import { type Bytes, decodeUtf8, encodeUtf8, writeAll } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { dirname, join } from "node:path";
import { isNotAllowed, isNotGiven, meaningOf, platformFailure } from "../platform_errors.ts";

const LARGEST_FILE = 1024 * 1024;

/** The mode of a file that only its owner may read and write. */
export const OWNER_ONLY = 0o600;

/** The bits of a mode that let others than the owner write. */
const OTHERS_WRITE = 0o022;
/** In a folder with this bit, as /tmp, nobody can replace what is another's. */
const STICKY = 0o1000;

/** One folder of private files, mode 0700; the files in it are 0600 (docs/files.md). */
export class PrivateFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Opens the folder, making it and its parents if need be; throws `local` if others can read it. */
  static async open(path: string): Promise<PrivateFolder> {
    await explain(path, async () => {
      await Deno.mkdir(path, { recursive: true, mode: 0o700 });
      findPrivate(path, "isDirectory");
    });
    return new PrivateFolder(path);
  }

  /** A folder inside this one. */
  folder(name: string): Promise<PrivateFolder> {
    return PrivateFolder.open(`${this.path}/${name}`);
  }

  /** The text of a file, or undefined when there is none. */
  async read(name: string): Promise<string | undefined> {
    const path = `${this.path}/${name}`;
    return await explain(path, async () => {
      const info = findPrivate(path, "isFile");
      if (!info) return undefined;
      if (info.size > LARGEST_FILE) {
        throw new CifraError(
          "local",
          `Cannot use ${path}: it is larger than ${LARGEST_FILE} bytes`,
        );
      }
      return decodeText(path, new Uint8Array(await Deno.readFile(path)));
    });
  }

  /** Replaces a file: written aside, synced, renamed, and the folder synced. */
  async write(name: string, text: string): Promise<void> {
    const path = `${this.path}/${name}`;
    const aside = `${path}.${encodeHex(systemRandom(8))}.new`;
    await explain(path, async () => {
      const file = await createPrivate(aside);
      try {
        await writeAll(file, encodeUtf8(text));
        await file.sync();
      } catch (error) {
        await Deno.remove(aside);
        throw error;
      } finally {
        file.close();
      }
      await Deno.rename(aside, path);
      await syncFolder(this.path);
    });
  }

  /** Removes a file, if it is there. */
  async remove(name: string): Promise<void> {
    const path = `${this.path}/${name}`;
    await explain(path, async () => {
      try {
        await Deno.remove(path);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
      await syncFolder(this.path);
    });
  }

  /** Removes what crashes left of files that were being written. For whoever holds the lock. */
  async removeUnfinished(): Promise<void> {
    await explain(this.path, async () => {
      for await (const { name } of Deno.readDir(this.path)) {
        if (/\.[0-9a-f]{16}\.new$/.test(name)) await Deno.remove(`${this.path}/${name}`);
      }
    });
  }

  /**
   * Takes the lock of this folder until the process ends or the result is called; throws `locked`
   * when another process holds it. Advisory: it keeps two programs apart, not an attacker out.
   */
  async lock(): Promise<() => void> {
    const path = `${this.path}/lock`;
    return await explain(path, async () => {
      const file = await Deno.open(path, { write: true, create: true, mode: OWNER_ONLY });
      const isOurs = await file.tryLock(true).catch((cause) => {
        file.close();
        throw noLocks(this.path, cause);
      });
      if (!isOurs) {
        file.close();
        throw new CifraError("locked", `Cannot use ${this.path}: another cifra is using it`, {
          hint: "end the other one, or choose another folder with --state",
        });
      }
      return () => file.close();
    });
  }
}

/** Without a lock two programs might write there at once: rather none does. */
function noLocks(path: string, cause: unknown): CifraError {
  const { why } = meaningOf(cause);
  return new CifraError("local", `Cannot lock ${path}: ${why}`, {
    cause,
    hint: "choose a folder on another disk with --state, such as one of this machine itself",
  });
}

/**
 * What is at `path`, undefined when there is nothing. Throws `local` unless it is a file, or a folder, that
 * its owner alone may read, and the platform's errors. To be called before opening, which follows links.
 */
export function findPrivate(
  path: string,
  kind: "isFile" | "isDirectory",
): Deno.FileInfo | undefined {
  let info: Deno.FileInfo;
  try {
    info = Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  requirePrivate(path, info, kind);
  return info;
}

/**
 * Throws `local` unless this user and root alone may write the file or folder that `info` tells of: its owner
 * and its mode decide. `sticky`: a folder that others may write as well will do, if it is like /tmp.
 */
export function requireOursToWrite(
  path: string,
  info: Deno.FileInfo,
  { sticky = false }: { readonly sticky?: boolean } = {},
): void {
  if (Deno.build.os === "windows") return;
  requireOurs(path, info);
  const { mode } = info;
  if ((mode! & OTHERS_WRITE) !== 0 && !(sticky && (mode! & STICKY) !== 0)) {
    throw new CifraError("local", `Cannot use ${path}: others can write it`, {
      hint: `keep others out: chmod go-w '${path}'`,
    });
  }
}

function requireOurs(path: string, { isFile, uid }: Deno.FileInfo): void {
  if (uid === Deno.uid() || uid === 0) return;
  throw new CifraError("local", `Cannot use ${path}: it belongs to another user`, {
    hint: isFile ? "copy it, so that it is yours" : "choose a folder of your own",
  });
}

/** Makes a new file that only its owner may read. Throws the platform's errors: AlreadyExists over anything. */
export function createPrivate(path: string): Promise<Deno.FsFile> {
  return Deno.open(path, { write: true, createNew: true, mode: OWNER_ONLY });
}

/**
 * Opens a private file to write in it, making it if there is none. Throws `local` as `findPrivate` does, and where
 * not the file that was looked at is open, or it has other names; and the platform's errors.
 */
export function openPrivate(path: string): Deno.FsFile {
  const found = findPrivate(path, "isFile");
  const options = found ? { write: true } : { write: true, createNew: true, mode: OWNER_ONLY };
  const file = Deno.openSync(path, options);
  try {
    const opened = file.statSync();
    requirePrivate(path, opened, "isFile");
    requireSame(path, found ?? opened, opened);
    requireOneName(path, opened);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Opening follows links: somebody else may have put one there after it was looked at. */
function requireSame(path: string, found: Deno.FileInfo, opened: Deno.FileInfo): void {
  if (Deno.build.os === "windows") return;
  // Without a name it was removed.
  if (found.dev === opened.dev && found.ino === opened.ino && opened.nlink !== 0) return;
  throw new CifraError("local", `Cannot use ${path}: somebody removed or replaced it meanwhile`, {
    hint: "choose a folder that nobody else may write",
  });
}

/** Another name of a file of ours may be one that somebody gave it, to have it written over. */
function requireOneName(path: string, { nlink }: Deno.FileInfo): void {
  if (Deno.build.os === "windows" || nlink === 1) return;
  throw new CifraError("local", `Cannot use ${path}: the file has another name as well`, {
    hint: "remove this one, or choose another",
  });
}

/**
 * Throws `local` where somebody else could put another file at `path`: the folder that it is in is not like /tmp,
 * and others may write it. Nothing is said of a folder that cannot be looked at: opening the file tells why.
 */
export function requireKeptFolder(path: string): void {
  const folder = folderOf(path);
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(folder);
  } catch {
    return;
  }
  requireOursToWrite(folder, info, { sticky: true });
}

/** Links in one path at most, as systems have it. */
const LINKS_LIMIT = 40;

/**
 * Throws `local` unless this user and root alone can put something else in the place of the folder at `path`, which is
 * absolute, or of what is in it: it, each folder above it, and each link on the way belong to one of them, and others
 * may write none of these folders, unless it is like /tmp. Nothing is said of what is not there yet, nor of what this
 * program was not given, which it looked at before it gave that up. On Windows nothing is looked at. Throws the
 * platform's errors.
 */
export function requireKeptPath(path: string): void {
  if (Deno.build.os === "windows") return;
  const parts = path.split("/").reverse();
  let at = "/";
  for (let links = 0; parts.length > 0;) {
    const part = parts.pop()!;
    const next = part === ".." ? dirname(at) : join(at, part);
    const info = lookAt(next);
    if (info === "missing") return;
    if (info?.isSymlink) {
      if (++links > LINKS_LIMIT) {
        throw new CifraError("local", `Cannot use ${path}: too many links`);
      }
      requireOurs(next, info);
      const target = Deno.readLinkSync(next);
      parts.push(...target.split("/").reverse());
      if (target.startsWith("/")) at = "/";
      continue;
    }
    if (info) requireOursToWrite(next, info, { sticky: true });
    at = next;
  }
  // Where a link on the way could not be looked at, this is what it leads to.
  requireOursToWrite(path, Deno.statSync(path), { sticky: true });
}

/** What is at `path`; undefined when this program was not given it. */
function lookAt(path: string): Deno.FileInfo | "missing" | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "missing";
    if (isNotGiven(error)) return undefined;
    throw error;
  }
}

/** The folder that a file is in, `.` for a mere name. */
function folderOf(path: string): string {
  const isEnd = (character: string) =>
    character === "/" || Deno.build.os === "windows" && character === "\\";
  const end = path.split("").findLastIndex(isEnd);
  return end < 0 ? "." : end === 0 ? "/" : path.slice(0, end);
}

/** Puts on disk which files there are in a folder; a rename is durable afterwards. */
export async function syncFolder(path: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  const folder = await Deno.open(path);
  try {
    await folder.sync();
  } finally {
    folder.close();
  }
}

/** What the platform threw about `path`, as a sentence; a CifraError is given back as it is. */
export function localError(path: string, cause: unknown): CifraError {
  return platformFailure(`Cannot use ${path}`, cause, {
    ...isNotGiven(cause) ? { hint: notGiven(path) } : isNotAllowed(cause) && {
      hint: "choose a folder that you may write in with --state",
    },
  });
}

function notGiven(path: string): string {
  return path.includes(",")
    ? "Deno takes a comma in a path for its end: let XDG_STATE_HOME name a folder without one, or " +
      "run the compiled program"
    : "the deno tasks may use the default state folder only; for another one run " +
      "'deno run --allow-net --allow-env --allow-sys=uid --allow-read=DIR --allow-write=DIR " +
      "main.ts ... --state DIR', or the compiled program";
}

/** Where a link leads, for a hint: what is private is not reached through something that may be turned. */
function behind(path: string, { isSymlink }: Deno.FileInfo): { readonly hint?: string } {
  if (!isSymlink) return {};
  try {
    return { hint: `it is a link: name what it leads to, ${Deno.realPathSync(path)}` };
  } catch {
    return { hint: "it is a link: name what it leads to" };
  }
}

function decodeText(path: string, bytes: Bytes): string {
  try {
    return decodeUtf8(bytes);
  } catch (cause) {
    throw new CifraError("local", `Cannot read ${path}: it is not text`, { cause });
  }
}

function requirePrivate(path: string, info: Deno.FileInfo, kind: "isFile" | "isDirectory"): void {
  if (!info[kind]) {
    const wanted = kind === "isFile" ? "a file" : "a folder";
    throw new CifraError(
      "local",
      `Cannot use ${path}: must be ${wanted}, not a link or anything else`,
      behind(path, info),
    );
  }
  if (Deno.build.os === "windows") return;
  if (info.uid !== Deno.uid()) {
    // Whoever has only a volume of root's, as in a container, may still have a folder of their own in it.
    throw new CifraError("local", `Cannot use ${path}: it belongs to another user`, {
      hint: kind === "isDirectory" && mayWriteIn(path)
        ? `choose a folder of your own in it, which cifra makes: --state '${path}/cifra'`
        : "choose a folder of your own with --state",
    });
  }
  if ((info.mode! & 0o077) !== 0) {
    const mode = (info.mode! & 0o777).toString(8);
    throw new CifraError("local", `Cannot use ${path}: others can read it (mode ${mode})`, {
      hint: `make it private: chmod ${kind === "isFile" ? "600" : "700"} '${path}'; where that ` +
        "changes nothing, choose a folder on another disk with --state",
    });
  }
}

/** Whether this user may make something in a folder: tried, since groups and other lists decide as well. */
function mayWriteIn(folder: string): boolean {
  try {
    Deno.removeSync(Deno.makeTempDirSync({ dir: folder, prefix: ".cifra-" }));
    return true;
  } catch {
    return false;
  }
}

/** Runs `action` on `path`, turning the platform's errors into sentences. */
async function explain<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw localError(path, error);
  }
}
