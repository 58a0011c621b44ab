import { assertEquals, assertThrows } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";
import { CifraError } from "../../lib/errors.ts";
import {
  FILE_SIZE_LIMIT,
  MANIFEST_DEPTH,
  MANIFEST_ENTRIES,
  MANIFEST_LIMIT,
} from "../../lib/limits.ts";
import {
  decodeManifest,
  encodeManifest,
  type ManifestEntry,
  type ManifestSummary,
} from "../../lib/wire/manifest.ts";
import { assertHasNone, assertRefuses } from "./refusal.ts";

const file = (name: string, parent = 0, size = 1): ManifestEntry => {
  return { type: "file", executable: 0, parent, size, modified: 7, name };
};
const stream: ManifestEntry = { ...file("stream"), size: undefined };
const folder = (name: string, parent = 0): ManifestEntry => {
  return { type: "folder", executable: 0, parent, size: 0, modified: 0, name };
};

const PHOTOS = "02" + "00" + "00000000" + "00".repeat(8) + "00".repeat(8) + "0006" +
  "70686f746f73";
const RUN = "01" + "01" + "00000001" + "00000000000186a0" + "0000019000000002" + "0003" + "72756e";

Deno.test("a manifest is its entries one after the other, and says how much that is", () => {
  const entries: ManifestEntry[] = [
    folder("photos"),
    {
      type: "file",
      executable: 1,
      parent: 1,
      size: 100_000,
      modified: 0x19000000002,
      name: "run",
    },
  ];
  const { manifest, summary } = encodeManifest(entries);
  assertEquals(encodeHex(manifest), PHOTOS + RUN);
  assertEquals(summary, { files: 1, folders: 1, bytes: 100_000 });
  assertEquals(decodeManifest(manifest, summary), entries);
});

/** What an offer of these would say, whether they keep the rules or not. */
function summaryOf(entries: readonly ManifestEntry[]): ManifestSummary {
  const files = entries.filter(({ type }) => type === "file").length;
  const isUnknown = entries.some(({ size }) => size === undefined);
  const sum = entries.reduce((sum, { size = 0 }) => sum + size, 0);
  return { files, folders: entries.length - files, bytes: isUnknown ? undefined : sum };
}

/** The encoding of entries that no encoder makes: each alone, with its parent put in by hand. */
function unchecked(entries: readonly ManifestEntry[]): Bytes {
  return concat(entries.map((each) => {
    const letters = new TextEncoder().encode(each.name);
    const raw = new Uint8Array(24 + letters.length);
    const view = new DataView(raw.buffer);
    view.setUint8(0, each.type === "file" ? 1 : 2);
    view.setUint8(1, each.executable);
    view.setUint32(2, each.parent);
    view.setBigUint64(6, each.size === undefined ? 2n ** 64n - 1n : BigInt(each.size));
    view.setBigUint64(14, BigInt(each.modified));
    view.setUint16(22, letters.length);
    raw.set(letters, 24);
    return raw;
  }));
}

/** Folders in each other, so many. */
function deep(depth: number): ManifestEntry[] {
  return Array.from({ length: depth }, (_, i) => folder("x", i));
}

Deno.test("names of any script, folders in each other and a stream of unknown size pass", () => {
  const good: readonly (readonly ManifestEntry[])[] = [
    [file("тест.txt"), file("a\\b:c"), file("\x1b[2J"), file("CON"), file("...")],
    [file("x".repeat(255)), folder("X"), file("x".repeat(255), 2)],
    [file("a", 0, FILE_SIZE_LIMIT - 1), file("b", 0, 1), file("c", 0, 0)],
    [stream],
    [...deep(MANIFEST_DEPTH - 1), file("deepest", MANIFEST_DEPTH - 1)],
    [folder("a"), folder("b"), file("x", 2), file("x", 1), file("x")],
  ];
  for (const entries of good) {
    const { manifest, summary } = encodeManifest(entries);
    assertEquals(manifest, unchecked(entries));
    assertEquals(summary, summaryOf(entries));
    assertEquals(decodeManifest(manifest, summary), entries);
  }
});

Deno.test("what no honest sender makes has no encoding and is refused", () => {
  const bad: Readonly<Record<string, readonly ManifestEntry[]>> = {
    "nothing": [],
    "an empty name": [file("")],
    "the folder itself": [file(".")],
    "the folder above": [folder("..")],
    "a separator": [file("a/b")],
    "a zero byte": [file("a\0b")],
    "a name of 256 bytes": [file("x".repeat(256))],
    "a folder that comes later": [file("a", 2), folder("b")],
    "itself as its folder": [folder("a", 1)],
    "a folder that is a file": [file("a"), file("b", 1)],
    "a folder that is nowhere": [file("a", 2 ** 32 - 1)],
    "a depth of 65": [...deep(MANIFEST_DEPTH), file("deepest", MANIFEST_DEPTH)],
    "a name twice": [file("a"), folder("a")],
    "a name twice in a folder": [folder("a"), file("b", 1), file("c"), file("b", 1)],
    "a folder with a size": [{ ...folder("a"), size: 1 }],
    "a folder of a size that is not known": [{ ...folder("a"), size: undefined }],
    "a folder that is run": [{ ...folder("a"), executable: 1 }],
    "a stream and something else": [stream, file("b")],
    "a sum beyond 2^53 - 1": [file("a", 0, FILE_SIZE_LIMIT), file("b", 0, 1)],
    "a size beyond 2^53 - 1": [file("a", 0, FILE_SIZE_LIMIT + 1)],
    "a time that no date has": [{ ...file("a"), modified: 8.64e15 + 1 }],
    "other flags": [{ ...file("a"), executable: 2 }],
  };
  for (const [what, entries] of Object.entries(bad)) {
    assertHasNone(() => encodeManifest(entries), what);
    const manifest = unchecked(entries);
    assertRefuses(() => decodeManifest(manifest, summaryOf(entries)), "bad_frame", what);
  }
});

Deno.test("what is no number of bytes and no moment has no encoding", () => {
  for (const wrong of [-1, 0.5, NaN, Infinity]) {
    assertHasNone(() => encodeManifest([file("a", 0, wrong)]), `size ${wrong}`);
    assertHasNone(() => encodeManifest([{ ...file("a"), modified: wrong }]), `time ${wrong}`);
  }
});

Deno.test("a manifest that is cut, goes on, has another kind or is no UTF-8 is refused", () => {
  const summary = { files: 1, folders: 1, bytes: 100_000 };
  const whole = decodeHex(PHOTOS + RUN);
  for (let length = 0; length < whole.length; length++) {
    assertRefuses(() => decodeManifest(whole.subarray(0, length), summary));
  }
  for (const hex of [PHOTOS + RUN + "00", "03" + (PHOTOS + RUN).slice(2)]) {
    assertRefuses(() => decodeManifest(decodeHex(hex), summary), "bad_frame", hex);
  }
  const overlong = decodeHex(PHOTOS + RUN.slice(0, -6) + "c0af72");
  assertRefuses(() => decodeManifest(overlong, summary));
});

Deno.test("a manifest that is not what was offered is refused", () => {
  const { manifest, summary } = encodeManifest([folder("a"), file("b", 1, 5)]);
  const others: readonly Partial<ManifestSummary>[] = [
    { files: 2 },
    { folders: 0 },
    { bytes: 4 },
    { bytes: undefined },
    { files: 0, folders: 2 },
  ];
  for (const other of others) {
    assertRefuses(() => decodeManifest(manifest, { ...summary, ...other }));
  }
});

Deno.test("a transfer has 100,000 entries and 16 MiB of names, and no more", () => {
  const many = Array.from({ length: MANIFEST_ENTRIES }, (_, i) => file(`${i}`));
  const { manifest, summary } = encodeManifest(many);
  assertEquals(decodeManifest(manifest, summary).length, MANIFEST_ENTRIES);
  const more = [...many, file("one more")];
  assertEquals(codeOf(() => encodeManifest(more)), "limit");
  assertRefuses(() => decodeManifest(unchecked(more), summaryOf(more)));
  const long = Array.from({ length: 65_536 }, (_, i) => file(`${i}`.padStart(233, "x")));
  assertEquals(codeOf(() => encodeManifest(long)), "limit");
  const tooLong = unchecked(long);
  assertEquals(tooLong.length > MANIFEST_LIMIT, true);
  assertRefuses(() => decodeManifest(tooLong, summaryOf(long)));
});

function codeOf(job: () => unknown): string {
  const error = assertThrows(job, CifraError);
  return (error as CifraError).code;
}
