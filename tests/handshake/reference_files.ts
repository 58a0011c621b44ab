/**
 * A transfer that goes on after a cut, as somebody would write it who has PROTOCOL.md 3.15 alone. Shares no code with
 * the library.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";

/** An entry of a manifest. */
export interface EntryVector {
  readonly type: "file" | "folder";
  readonly executable: number;
  readonly parent: number;
  readonly size: number;
  readonly modified: number;
  readonly name: string;
}

/** Something that is said, with its fields: bytes are hexadecimal, sizes that are not known are null. */
export interface SaidVector {
  readonly said: Readonly<Record<string, string | number | null>>;
  readonly bytes: string;
}

/** tests/vectors/files.json. */
export interface FilesFile {
  readonly entries: readonly EntryVector[];
  readonly manifest: string;
  readonly manifest_hash: string;
  /** Contents of messages of kind 5. */
  readonly words: readonly SaidVector[];
  /** Bodies of items of type 14. */
  readonly items: readonly SaidVector[];
}

const u8 = (value: number) => Buffer.from([value]).toString("hex");
const u16 = (value: number) => value.toString(16).padStart(4, "0");
const u32 = (value: number) => value.toString(16).padStart(8, "0");
const u64 = (value: number | null) =>
  value === null ? "ff".repeat(8) : BigInt(value).toString(16).padStart(16, "0");
const text = (value: string) => {
  const letters = Buffer.from(value, "utf8");
  return u16(letters.length) + letters.toString("hex");
};
const sha256 = (hex: string) => createHash("sha256").update(Buffer.from(hex, "hex")).digest("hex");

const ID = "00112233445566778899aabbccddeeff";
const BLOCK = 16, BLOCK_LENGTH = 65_536;
const MORNING = 1_795_680_000_000;

/** All of it is made from constants. */
export function filesByTheBook(): FilesFile {
  // Longer than a block, so that a want has a digest.
  const long = Buffer.from(Array.from({ length: 70_000 }, (_, i) => i % 251)).toString("hex");
  const script = "23210a";
  const entries: EntryVector[] = [
    entry("folder", 0, 0, 0, "photos"),
    entry("file", 1, 70_000, MORNING, "day 1.raw"),
    entry("file", 1, 0, MORNING + 1, "пусто"),
    { ...entry("file", 0, 3, 0, "run"), executable: 1 },
  ];
  const manifest = entries.map((each) =>
    u8(each.type === "file" ? 1 : 2) + u8(each.executable) + u32(each.parent) + u64(each.size) +
    u64(each.modified) + text(each.name)
  ).join("");
  const ofStream = u8(1) + u8(0) + u32(0) + u64(null) + u64(0) + text("backup.tar");
  const place = (turn: number, entry: number) => ID + u32(turn) + u32(entry);
  const digest = sha256(long.slice(0, 2 * BLOCK_LENGTH));
  const offered = (
    files: number,
    folders: number,
    bytes: number | null,
    manifest: string,
    name: string,
  ): SaidVector => {
    const manifestLength = manifest.length / 2, manifestHash = sha256(manifest);
    const said = { type: "offer", files, folders, bytes, manifestLength, manifestHash, name };
    const numbers = u32(files) + u32(folders) + u64(bytes) + u32(manifestLength);
    return { said, bytes: u8(1) + numbers + manifestHash + text(name) };
  };
  const about = (type: string, tag: number): SaidVector => ({
    said: { type, transfer: ID },
    bytes: u8(tag) + ID,
  });
  const want = (turn: number, at: number, offset: number, modified: number, digests: string) => {
    const size = at === 0 ? 0 : 70_000;
    const block = digests === "" ? 0 : BLOCK;
    const said = { type: "want", transfer: ID, turn, entry: at, offset, size, modified, block };
    const numbers = u64(offset) + u64(size) + u64(modified) + u8(block);
    return { said: { ...said, digests }, bytes: u8(1) + place(turn, at) + numbers + digests };
  };
  const data = (turn: number, at: number, offset: number, content: string): SaidVector => ({
    said: { type: "data", transfer: ID, turn, entry: at, offset, content },
    bytes: u8(4) + place(turn, at) + u64(offset) + content,
  });
  const later = (type: "hold" | "pause", tag: number, why: number): SaidVector => ({
    said: { type, transfer: ID, why },
    bytes: u8(tag) + ID + u8(why),
  });
  const changed = (size: number | null, modified: number, executable: number): SaidVector => ({
    said: { type: "changed", transfer: ID, turn: 2, entry: 4, size, modified, executable },
    bytes: u8(5) + place(2, 4) + u64(size) + u64(modified) + u8(executable),
  });
  return {
    entries,
    manifest,
    manifest_hash: sha256(manifest),
    words: [
      offered(3, 1, 70_003, manifest, "photos and 1 more"),
      offered(1, 0, null, ofStream, "backup.tar"),
      about("accept", 2),
      about("refuse", 3),
      { said: { type: "done", transfer: ID, skipped: 1 }, bytes: u8(4) + ID + u32(1) },
      about("cancel", 5),
      { said: { type: "failed", transfer: ID, code: 3 }, bytes: u8(6) + ID + u8(3) },
    ],
    items: [
      want(1, 0, 0, 0, ""),
      data(1, 0, 0, manifest),
      data(1, 2, 0, long.slice(0, 64)),
      { said: { type: "taken", bytes: "18446744073709551615" }, bytes: u8(2) + "ff".repeat(8) },
      later("hold", 3, 1),
      want(2, 2, 69_990, MORNING, digest),
      data(2, 2, 69_990, long.slice(2 * 69_990)),
      later("pause", 7, 3),
      data(2, 4, 0, script),
      changed(4, MORNING + 2, 0),
      changed(null, 0, 0),
      {
        said: { type: "end", transfer: ID, turn: 2, entry: 4, size: 4 },
        bytes: u8(6) + place(2, 4) + u64(4),
      },
    ],
  };
}

function entry(
  type: EntryVector["type"],
  parent: number,
  size: number,
  modified: number,
  name: string,
): EntryVector {
  return { type, executable: 0, parent, size, modified, name };
}
