/** What is to be sent: the files and folders at some paths, looked at once, links not followed. */
import { encodeUtf8 } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import {
  LOCAL_NAME_LIMIT,
  LOCAL_PATH_LIMIT,
  MANIFEST_DEPTH,
  MANIFEST_ENTRIES,
  MANIFEST_LIMIT,
} from "../limits.ts";
import { meaningOf } from "../platform_errors.ts";
import { ENTRY_HEADER, type ManifestEntry } from "../wire/manifest.ts";
import { localName, STAGING_PREFIX } from "./names.ts";
import { Turns } from "./turns.ts";

/** An entry of a manifest with where it is here, and what tells that it is another one now. */
export interface SourceEntry extends ManifestEntry {
  readonly size: number;
  /** Absolute. */
  readonly path: string;
  /** The same without any link, as it was when it was looked for: nothing else is ever opened under that path. */
  readonly real: string;
  readonly device: number;
  /** Its number on that disk; null where there are none. */
  readonly inode: number | null;
}

/** Something that is not sent, and why: a part of a sentence. */
export interface Skipped {
  readonly path: string;
  readonly why: string;
}

/** Files and folders in the order in which they are sent: a folder before what is in it. */
export interface Walk {
  readonly entries: readonly SourceEntry[];
  /** What was asked for and is left out; links inside of folders are counted only. */
  readonly skipped: readonly Skipped[];
  /** How many links were not followed. */
  readonly links: number;
  /** The first of those inside of folders: their paths. */
  readonly linked: readonly string[];
  /** Sum of all sizes. */
  readonly bytes: number;
}

/** Paths of links inside of folders that are kept to be told. */
const LINKS_TOLD = 10;
/** Any of the bits that let somebody run a file. */
const RUNS = 0o111;
const STAGING = new RegExp(`^\\${STAGING_PREFIX}[0-9a-f]{32}$`);

/**
 * Looks at all that is at `paths`, which are absolute. In the same order every time: by the names' code units. What
 * cannot be read or sent is skipped, and so is what is in the folder `kept`, where our own keys lie. Throws `limit`
 * where it is more than one transfer carries.
 */
export async function walk(paths: readonly string[], kept?: string): Promise<Walk> {
  const walker = new Walker(kept);
  await walker.all(paths);
  return walker;
}

/**
 * The entry of a file as it is now: `gone` when there is none that can be sent, `linked` when a link leads elsewhere,
 * be it in the place of a folder above. Throws the platform's errors.
 */
export function lookAgain(entry: SourceEntry): SourceEntry | "gone" | "linked" {
  const info = Deno.lstatSync(entry.path);
  if (info.isSymlink || Deno.realPathSync(entry.path) !== entry.real) return "linked";
  return info.isFile ? { ...entry, ...factsOf(info) } : "gone";
}

/** The real path of what is called `name` in the folder of this real path. */
export function realBelow(real: string, name: string): string {
  return `${real}${Deno.build.os === "windows" ? "\\" : "/"}${name}`;
}

/** Whether a real path is that of a folder, or of something in it. */
export function isIn(real: string, folder: string): boolean {
  return real === folder || real.startsWith(realBelow(folder, ""));
}

/** The real path of the folder `kept`; as it is given where there is none yet. */
export function realOf(kept: string): string {
  try {
    return Deno.realPathSync(kept);
  } catch {
    return kept;
  }
}

/** What tells a file, and one state of it, from another. */
export function factsOf(
  info: Pick<Deno.FileInfo, "isFile" | "mode" | "size" | "mtime" | "dev" | "ino">,
) {
  return {
    executable: info.isFile && ((info.mode ?? 0) & RUNS) !== 0 ? 1 : 0,
    size: info.isFile ? info.size : 0,
    modified: Math.max(0, info.mtime?.getTime() ?? 0),
    device: info.dev,
    inode: info.ino,
  };
}

class Walker implements Walk {
  readonly entries: SourceEntry[] = [];
  readonly skipped: Skipped[] = [];
  links = 0;
  readonly linked: string[] = [];
  bytes = 0;
  #length = 0;
  readonly #turns = new Turns();
  readonly #kept: string | undefined;

  constructor(kept: string | undefined) {
    this.#kept = kept === undefined ? undefined : realOf(kept);
  }

  async all(paths: readonly string[]): Promise<void> {
    const seen = new Set<string>();
    // Two of one name from two places both arrive.
    const names = new Set<string>();
    for (const given of paths) {
      const path = withoutEnd(given);
      if (seen.has(path)) continue;
      seen.add(path);
      const own = nameOf(path);
      if (own === "") {
        this.#skip(given, "a whole disk has no name");
        continue;
      }
      const name = names.has(own) ? localName(own, "posix", (other) => names.has(other)).name : own;
      names.add(name);
      const isLink = await this.#add(path, undefined, name, 0, "", 0);
      if (isLink) this.#skip(given, "it is a link, and links are not followed");
    }
  }

  /**
   * Adds what is at `path`, and all below. `expected`: its real path, undefined where that is to be found out. `above`:
   * the path from the top to its folder, with a slash. Returns whether it is a link.
   */
  async #add(
    path: string,
    expected: string | undefined,
    name: string,
    parent: number,
    above: string,
    depth: number,
  ): Promise<boolean> {
    const turn = this.#turns.next();
    if (turn) await turn;
    let info: Deno.FileInfo, real: string;
    try {
      info = Deno.lstatSync(path);
      real = expected ?? Deno.realPathSync(path);
    } catch (error) {
      this.#skip(path, name.includes("\ufffd") ? NOT_TEXT : meaningOf(error).why);
      return false;
    }
    if (info.isSymlink) {
      this.links++;
      if (parent !== 0 && this.linked.length < LINKS_TOLD) this.linked.push(path);
      return true;
    }
    if (this.#kept !== undefined && isIn(real, this.#kept)) {
      this.#skip(path, "it is where cifra keeps your keys and messages");
      return false;
    }
    const length = encodeUtf8(name).length;
    const why = whyNot(info, length, encodeUtf8(above).length, depth);
    if (why) {
      this.#skip(path, why);
      return false;
    }
    this.#count(length);
    const facts = factsOf(info);
    const type = info.isFile ? "file" : "folder";
    const number = this.entries.push({ type, parent, name, path, real, ...facts });
    this.bytes += facts.size;
    if (type === "folder") await this.#addAllIn(path, real, number, `${above}${name}/`, depth + 1);
    return false;
  }

  async #addAllIn(
    path: string,
    real: string,
    parent: number,
    above: string,
    depth: number,
  ): Promise<void> {
    let names: string[];
    try {
      names = namesIn(path);
      // Somebody may have put a link there since it was looked at.
      if (Deno.realPathSync(path) !== real) return this.#skip(path, IN_THE_WAY);
    } catch (error) {
      if (error instanceof CifraError) throw error;
      return this.#skip(path, meaningOf(error).why);
    }
    for (const name of names) {
      const inside = `${path}/${name}`;
      if (STAGING.test(name)) this.#skip(inside, "it is what somebody is sending here");
      else await this.#add(inside, realBelow(real, name), name, parent, above, depth);
    }
  }

  #count(nameLength: number): void {
    this.#length += ENTRY_HEADER + nameLength;
    if (this.entries.length < MANIFEST_ENTRIES && this.#length <= MANIFEST_LIMIT) return;
    throw tooMany();
  }

  #skip(path: string, why: string): void {
    this.skipped.push({ path, why });
  }
}

/** Why something is not sent that is not where it was. */
export const IN_THE_WAY = "a link is in the way";
const NOT_TEXT = "its name is no text that another system could have";

function tooMany(): CifraError {
  return new CifraError(
    "limit",
    `Cannot send more than ${MANIFEST_ENTRIES} files and folders at once, or names of more than ` +
      `${MANIFEST_LIMIT / 2 ** 20} MiB`,
    { hint: "send them in several transfers, or packed into one file" },
  );
}

/** Names in a folder, in order. Throws `limit`, and the platform's errors. */
function namesIn(path: string): string[] {
  const names: string[] = [];
  for (const { name } of Deno.readDirSync(path)) {
    if (names.push(name) > MANIFEST_ENTRIES) throw tooMany();
  }
  return names.sort();
}

/** Why something is not sent. `name` and `above`: bytes of its name and of the path to it. */
function whyNot(info: Deno.FileInfo, name: number, above: number, depth: number) {
  if (!info.isFile && !info.isDirectory) return "it is neither a file nor a folder";
  if (name > LOCAL_NAME_LIMIT) return "its name is too long";
  if (above + name > LOCAL_PATH_LIMIT) return "its path is too long";
  return depth < MANIFEST_DEPTH ? undefined : `it is deeper than ${MANIFEST_DEPTH} folders`;
}

/** A path without what separates it from nothing. */
function withoutEnd(path: string): string {
  return path.replace(Deno.build.os === "windows" ? /[/\\]+$/ : /\/+$/, "");
}

/** The last part of an absolute path; nothing of a whole disk. */
function nameOf(path: string): string {
  if (Deno.build.os !== "windows") return path.slice(path.lastIndexOf("/") + 1);
  const name = path.split(/[/\\]/).at(-1)!;
  return name.endsWith(":") ? "" : name;
}
