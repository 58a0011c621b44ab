import { assertEquals, assertThrows } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";
import {
  FILE_PIECE_HEADER,
  FILE_PIECE_LIMIT,
  FILE_SIZE_LIMIT,
  ITEM_BODY_LIMIT,
  MANIFEST_ENTRIES,
  MANIFEST_LIMIT,
} from "../../lib/limits.ts";
import {
  encodeFileWord,
  type FileItem,
  fileItem,
  type FileWord,
  fileWordOf,
  writeDataHeader,
} from "../../lib/wire/file_messages.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import { lineOf } from "../../lib/wire/line.ts";
import { assertHasNone, assertRefuses } from "./refusal.ts";

const transfer = new Uint8Array(16).fill(6);
const T = "06".repeat(16);
const hash = new Uint8Array(32).fill(7);
const HASH = "07".repeat(32);
const offer = {
  type: "offer",
  files: 2,
  folders: 1,
  bytes: 100_000,
  manifestLength: 99,
  manifestHash: hash,
  name: lineOf("photos"),
} as const;

Deno.test("a word about a transfer is an offer, an answer or an end, and names the offer", () => {
  const words: Readonly<Record<string, FileWord>> = {
    [
      "01" + "00000002" + "00000001" + "00000000000186a0" + "00000063" + HASH + "0006" +
      "70686f746f73"
    ]: offer,
    [
      "01" + "00000001" + "00000000" + "ffffffffffffffff" + "00000063" + HASH + "0006" +
      "70686f746f73"
    ]: { ...offer, files: 1, folders: 0, bytes: undefined },
    ["02" + T]: { type: "accept", transfer },
    ["03" + T]: { type: "refuse", transfer },
    ["04" + T + "00000003"]: { type: "done", transfer, skipped: 3 },
    ["05" + T]: { type: "cancel", transfer },
    ["06" + T + "02"]: { type: "failed", transfer, code: 2 },
  };
  for (const [hex, word] of Object.entries(words)) {
    assertEquals(encodeHex(encodeFileWord(word)), hex);
    assertEquals(fileWordOf({ content: decodeHex(hex) }), word);
  }
});

Deno.test("no offer is of nothing, of too much, without a name, or of an unknown size but for one file", () => {
  const wrong: Readonly<Record<string, Partial<typeof offer | Record<string, unknown>>>> = {
    "of nothing": { files: 0, folders: 0 },
    "of too many": { files: MANIFEST_ENTRIES, folders: 1 },
    "of more than there can be": { files: 2 ** 32 - 1, folders: 2 ** 32 - 1 },
    "without a manifest": { manifestLength: 0 },
    "with a manifest that is too long": { manifestLength: MANIFEST_LIMIT + 1 },
    "of two files of a size that is not known": { files: 2, folders: 0, bytes: undefined },
    "of a folder of a size that is not known": { files: 0, folders: 1, bytes: undefined },
    "without a name": { name: lineOf("") },
  };
  for (const [what, fields] of Object.entries(wrong)) {
    const word = { ...offer, ...fields } as FileWord;
    assertHasNone(() => encodeFileWord(word), what);
    assertRefuses(() => fileWordOf({ content: unchecked(word) }), "bad_frame", what);
  }
  const largest = { files: MANIFEST_ENTRIES - 1, manifestLength: MANIFEST_LIMIT };
  const all = { ...offer, ...largest, bytes: FILE_SIZE_LIMIT };
  assertEquals(fileWordOf({ content: encodeFileWord(all) }), all);
});

/** The encoding of an offer that no encoder makes, by hand. */
function unchecked(word: FileWord): Bytes {
  const { files, folders, bytes, manifestLength, name } = word as typeof offer;
  const numbers = new DataView(new ArrayBuffer(20));
  numbers.setUint32(0, files);
  numbers.setUint32(4, folders);
  numbers.setBigUint64(8, bytes === undefined ? 2n ** 64n - 1n : BigInt(bytes));
  numbers.setUint32(16, manifestLength);
  const letters = new TextEncoder().encode(name);
  const head = new Uint8Array([1]), length = new Uint8Array([0, letters.length]);
  return concat([head, new Uint8Array(numbers.buffer), hash, length, letters]);
}

Deno.test("words about a transfer are refused that are unknown, too short or too long, or fail for no reason", () => {
  const words = ["", "00", "07" + T, "02", "02" + T.slice(2), "02" + T + "00", "04" + T];
  words.push("04" + T + "000000", "06" + T, "06" + T + "00", "06" + T + "05");
  for (const hex of words) {
    assertRefuses(() => fileWordOf({ content: decodeHex(hex) }), "bad_frame", hex);
  }
  const encoded = encodeHex(encodeFileWord(offer));
  const tooLarge = encoded.replace("00000000000186a0", "0020000000000000");
  assertRefuses(() => fileWordOf({ content: decodeHex(tooLarge) }));
  const twoLines = encoded.replace("70686f", "700a6f");
  assertRefuses(() => fileWordOf({ content: decodeHex(twoLines) }));
});

const WANT = "01" + T + "00000001" + "00000002";
const place = { transfer, turn: 1, entry: 2 } as const;

Deno.test("an item of content wants, takes, holds, carries, tells of a change or an end, or pauses", () => {
  const nothing = new Uint8Array(0);
  const items: Readonly<Record<string, FileItem>> = {
    [WANT + "0000000000011170" + "00000000000186a0" + "0000019000000002" + "10" + HASH]: {
      type: "want",
      ...place,
      offset: 70_000,
      size: 100_000,
      modified: 0x19000000002,
      block: 16,
      digests: hash,
    },
    [WANT + "00".repeat(8) + "ff".repeat(8) + "00".repeat(8) + "00"]: {
      type: "want",
      ...place,
      offset: 0,
      size: undefined,
      modified: 0,
      block: 0,
      digests: nothing,
    },
    ["02" + "ffffffffffffffff"]: { type: "taken", bytes: 2n ** 64n - 1n },
    ["03" + T + "01"]: { type: "hold", transfer, why: 1 },
    ["04" + T + "00000001" + "00000002" + "001fffffffffffff" + "61"]: {
      type: "data",
      ...place,
      offset: FILE_SIZE_LIMIT,
      content: new Uint8Array([0x61]),
    },
    ["05" + T + "00000001" + "00000002" + "00".repeat(7) + "05" + "00".repeat(8) + "01"]: {
      type: "changed",
      ...place,
      size: 5,
      modified: 0,
      executable: 1,
    },
    ["05" + T + "00000001" + "00000002" + "ff".repeat(8) + "00".repeat(8) + "00"]: {
      type: "changed",
      ...place,
      size: undefined,
      modified: 0,
      executable: 0,
    },
    ["06" + T + "00000001" + "00000002" + "00".repeat(7) + "05"]: {
      type: "end",
      ...place,
      size: 5,
    },
    ["07" + T + "03"]: { type: "pause", transfer, why: 3 },
  };
  for (const [hex, item] of Object.entries(items)) {
    assertEquals(encodeHex(encode(fileItem, item)), hex);
    assertEquals(decode(fileItem, decodeHex(hex)), item);
  }
});

Deno.test("items of content are refused that are unknown, cut or too long, without content or out of range", () => {
  const place = T + "00000001" + "00000002";
  const u64 = "00".repeat(8);
  const bad = ["", "00", "08" + T + "00", "02" + "00".repeat(7), "02" + "00".repeat(9)];
  bad.push("03" + T, "03" + T + "04", "07" + T + "0000", "07" + T + "ff");
  bad.push("04" + place + u64, "04" + place + "0020000000000000" + "61");
  bad.push("04" + T + "00000000" + "00000002" + u64 + "61");
  bad.push("05" + place + u64 + u64 + "02", "05" + place + u64 + u64);
  // One more than any date has.
  bad.push("05" + place + u64 + "001eb208c2dc0001" + "00");
  bad.push("06" + place + "ff".repeat(8), "06" + place + u64 + "00");
  for (const hex of bad) assertRefuses(() => decode(fileItem, decodeHex(hex)), "bad_frame", hex);
});

Deno.test("a want has a digest of each whole block, or none and no block", () => {
  const want = (offset: number, block: number, count: number) => ({
    type: "want",
    ...place,
    offset,
    size: FILE_SIZE_LIMIT,
    modified: 0,
    block,
    digests: new Uint8Array(32 * count),
  } as const);
  const good = [
    want(0, 0, 0),
    want(2 ** 40, 0, 0),
    want(65_536, 16, 1),
    want(131_071, 16, 1),
    want(131_072, 16, 2),
    want(2 ** 26, 16, 1024),
    want(2 ** 40, 30, 1024),
  ];
  for (const item of good) assertEquals(decode(fileItem, encode(fileItem, item)), item);
  assertEquals(encode(fileItem, good.at(-1)!).length <= ITEM_BODY_LIMIT, true);
  const bad = [
    want(65_535, 16, 0),
    want(65_535, 16, 1),
    want(65_536, 16, 2),
    want(131_072, 16, 1),
    want(2 ** 26 + 2 ** 16, 16, 1025),
    want(65_536, 0, 1),
    want(65_536, 15, 2),
    want(2 ** 31, 31, 1),
    { ...want(65_536, 16, 1), digests: new Uint8Array(31) },
  ];
  const header = encodeHex(encode(fileItem, want(0, 0, 0))).slice(0, 2 * 25);
  for (const item of bad) {
    assertThrows(() => encode(fileItem, item), RangeError);
    const number = (value: number) => value.toString(16).padStart(16, "0");
    const hex = header + number(item.offset) + number(item.size) + number(0) +
      item.block.toString(16).padStart(2, "0") + encodeHex(item.digests);
    assertRefuses(() => decode(fileItem, decodeHex(hex)), "bad_frame", JSON.stringify(item));
  }
});

Deno.test("content without a byte and turn 0 have no encoding", () => {
  const data = { type: "data", ...place, offset: 0, content: new Uint8Array(0) } as const;
  assertThrows(() => encode(fileItem, data), RangeError);
  assertThrows(() => encode(fileItem, { type: "end", ...place, turn: 0, size: 1 }), RangeError);
});

Deno.test("writeDataHeader() leaves room for content that fills an item", () => {
  const piece = new Uint8Array(FILE_PIECE_HEADER + FILE_PIECE_LIMIT).fill(9);
  assertEquals(piece.length, ITEM_BODY_LIMIT);
  const where = { transfer, turn: 2 ** 32 - 1, entry: 100_000, offset: FILE_SIZE_LIMIT };
  writeDataHeader(piece, where);
  const content = new Uint8Array(FILE_PIECE_LIMIT).fill(9);
  assertEquals(decode(fileItem, piece), { type: "data", ...where, content });
});
