/**
 * What is in a transfer: its files and folders, one after the other (PROTOCOL.md 3.15). Names are as their sender
 * has them; what is written to a disk is decided by whoever writes.
 */
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import {
  FILE_NAME_LIMIT,
  FILE_SIZE_LIMIT,
  MANIFEST_DEPTH,
  MANIFEST_ENTRIES,
  MANIFEST_LIMIT,
} from "../limits.ts";
import type { FileOffer } from "./file_messages.ts";
import {
  badFrame,
  flag,
  LAST_MOMENT,
  type Layout,
  moment,
  Reader,
  readUtf8,
  struct,
  tagged,
  u32,
  u53OrUnknown,
  variable,
} from "./layout.ts";
import { ENTRY_NUMBERS } from "./numbers.ts";

/** A file or a folder of a transfer; the first has number 1. */
export interface ManifestEntry {
  readonly type: "file" | "folder";
  /** 1 for a file that may be run; of a folder 0. */
  readonly executable: number;
  /** The number of the folder in which it is, which stands before it; 0 for none. */
  readonly parent: number;
  /** In bytes; of a folder 0. Undefined, not known, when it is the one entry. */
  readonly size: number | undefined;
  /** Milliseconds since 1970, by its sender's disk; 0 when that is not known. */
  readonly modified: number;
  /** One part of a path. */
  readonly name: string;
}

/** What an offer says of its manifest. */
export type ManifestSummary = Pick<FileOffer, "files" | "folders" | "bytes">;

/** Bytes of an entry in front of its name. */
export const ENTRY_HEADER = 1 + 1 + 4 + 8 + 8 + 2;

/** Any text: what is shown and what is written of it is decided later. */
const rawName = variable(FILE_NAME_LIMIT);
const name: Layout<string> = {
  write: (parts, value) => rawName.write(parts, encodeUtf8(value)),
  read: (reader) => readUtf8(rawName.read(reader)),
};

const fields = struct({
  executable: flag,
  parent: u32,
  size: u53OrUnknown,
  modified: moment,
  name,
});
const entry: Layout<ManifestEntry> = tagged(ENTRY_NUMBERS, { file: fields, folder: fields });

/** Puts an entry at `offset`, as `entry` has it: one buffer for a hundred thousand of them. */
function writeEntry(view: DataView, offset: number, each: ManifestEntry, letters: Bytes): void {
  const { type, executable, parent, size, modified } = each;
  view.setUint8(offset, ENTRY_NUMBERS[type]);
  view.setUint8(offset + 1, executable);
  view.setUint32(offset + 2, parent);
  view.setUint32(offset + 6, size === undefined ? 2 ** 32 - 1 : Math.floor(size / 2 ** 32));
  view.setUint32(offset + 10, size === undefined ? 2 ** 32 - 1 : size % 2 ** 32);
  view.setUint32(offset + 14, Math.floor(modified / 2 ** 32));
  view.setUint32(offset + 18, modified % 2 ** 32);
  view.setUint16(offset + 22, letters.length);
}

/** The rules of a manifest; it is told each entry in its order. */
class Rules {
  #count = 0;
  #files = 0;
  #bytes = 0;
  #isUnknown = false;
  /** How deep each folder is, by its number. */
  readonly #depths = new Map<number, number>([[0, 0]]);
  /** The names in each folder. */
  readonly #names = new Map<number, Set<string>>();

  /** What is wrong with the next entry. */
  wrongIn({ type, executable, parent, size, name }: ManifestEntry): string | undefined {
    const number = ++this.#count;
    if (number > MANIFEST_ENTRIES) return `there are more than ${MANIFEST_ENTRIES} entries`;
    const depth = this.#depths.get(parent);
    if (depth === undefined) return `entry ${number} is in no folder before it`;
    if (depth >= MANIFEST_DEPTH) return `entry ${number} is deeper than ${MANIFEST_DEPTH}`;
    if (!isPart(name)) return `the name of entry ${number} is no part of a path`;
    const siblings = this.#names.get(parent) ?? new Set();
    if (siblings.has(name)) return `the name of entry ${number} stands twice in its folder`;
    this.#names.set(parent, siblings.add(name));
    if (type === "file") this.#files++;
    else {
      this.#depths.set(number, depth + 1);
      if (size !== 0 || executable !== 0) return `entry ${number}, a folder, has what a file has`;
    }
    if (size === undefined) this.#isUnknown = true;
    else this.#bytes += size;
    return this.#bytes > FILE_SIZE_LIMIT ? "the sum of all sizes is too large" : undefined;
  }

  /** What is wrong with the whole. */
  get wrongInAll(): string | undefined {
    if (this.#count === 0) return "there is no entry";
    return this.#isUnknown && this.#count > 1 ? "a size is not known" : undefined;
  }

  get summary(): ManifestSummary {
    const files = this.#files;
    const bytes = this.#isUnknown ? undefined : this.#bytes;
    return { files, folders: this.#count - files, bytes };
  }
}

function isPart(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !/[/\0]/.test(name);
}

/**
 * The manifest of these entries, and what an offer says of it. Throws RangeError when they break a rule, `limit` when
 * they are too many for one transfer.
 */
export function encodeManifest(
  entries: readonly ManifestEntry[],
): { readonly manifest: Bytes; readonly summary: ManifestSummary } {
  if (entries.length > MANIFEST_ENTRIES) throw tooMany(`${MANIFEST_ENTRIES} files and folders`);
  const rules = new Rules();
  const names = entries.map((each) => {
    const letters = encodeUtf8(each.name);
    const why = rules.wrongIn(each) ?? wrongToWrite(each, letters);
    if (why) throw new RangeError(`Cannot encode a manifest: ${why}`);
    return letters;
  });
  if (rules.wrongInAll) throw new RangeError(`Cannot encode a manifest: ${rules.wrongInAll}`);
  const length = names.reduce((sum, letters) => sum + ENTRY_HEADER + letters.length, 0);
  if (length > MANIFEST_LIMIT) throw tooMany(`${MANIFEST_LIMIT} bytes of names`);
  const manifest = new Uint8Array(length);
  const view = new DataView(manifest.buffer);
  let offset = 0;
  entries.forEach((each, i) => {
    const letters = names[i]!;
    writeEntry(view, offset, each, letters);
    manifest.set(letters, offset + ENTRY_HEADER);
    offset += ENTRY_HEADER + letters.length;
  });
  return { manifest, summary: rules.summary };
}

/** What is wrong with an entry that no reader could meet, since it has no encoding. */
function wrongToWrite(
  { executable, size = 0, modified }: ManifestEntry,
  letters: Bytes,
): string | undefined {
  if (executable !== 0 && executable !== 1) return `a flag is ${executable}`;
  if (!isNatural(size, FILE_SIZE_LIMIT)) return `a size is ${size}`;
  if (!isNatural(modified, LAST_MOMENT)) return `a time is ${modified}`;
  return letters.length > FILE_NAME_LIMIT ? "a name is too long" : undefined;
}

function isNatural(value: number, limit: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= limit;
}

function tooMany(limit: string): CifraError {
  return new CifraError("limit", `Cannot send this: one transfer has at most ${limit}`, {
    hint: "send its folders one after the other, or all of it as an archive",
  });
}

/**
 * The entries of a manifest, of which its offer has said this much. Throws `bad_frame` when it breaks a rule or the
 * offer said something else: no honest sender makes that.
 */
export function decodeManifest(manifest: Bytes, offered: ManifestSummary): ManifestEntry[] {
  if (manifest.length > MANIFEST_LIMIT) throw badFrame("a manifest is too long");
  const reader = new Reader(manifest);
  const rules = new Rules();
  const entries: ManifestEntry[] = [];
  while (reader.remaining > 0) {
    const each = entry.read(reader);
    const why = rules.wrongIn(each);
    if (why) throw badFrame(`in a manifest ${why}`);
    entries.push(each);
  }
  if (rules.wrongInAll) throw badFrame(`in a manifest ${rules.wrongInAll}`);
  const { files, folders, bytes } = rules.summary;
  if (files !== offered.files || folders !== offered.folders || bytes !== offered.bytes) {
    throw badFrame("a manifest is not what was offered");
  }
  return entries;
}
