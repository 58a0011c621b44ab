/**
 * tests/vectors/files.json against the library, both ways. That the file is what the document says, the test of the
 * scripts shows.
 */
import { assertEquals } from "@std/assert";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { sha256 } from "@noble/hashes/sha2.js";
import { encodeFileWord, fileItem, fileWordOf } from "../../lib/wire/file_messages.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import { decodeManifest, encodeManifest } from "../../lib/wire/manifest.ts";
import type { SaidVector } from "../handshake/reference_files.ts";
import { readFilesFile } from "../handshake/vector_file.ts";

const file = await readFilesFile();

/** What was decoded, as the file has it. */
function shown(said: object): SaidVector["said"] {
  const fields = Object.entries(said).map(([name, value]) => {
    if (value === undefined) return [name, null];
    if (value instanceof Uint8Array) return [name, encodeHex(value)];
    return [name, typeof value === "bigint" ? String(value) : value];
  });
  return Object.fromEntries(fields);
}

Deno.test("the manifest of the vectors is encoded and decoded as they have it", () => {
  const { manifest, summary } = encodeManifest(file.entries);
  assertEquals(encodeHex(manifest), file.manifest);
  assertEquals(decodeManifest(decodeHex(file.manifest), summary), [...file.entries]);
  const { files, folders, bytes, manifestLength, manifestHash } = file.words[0]!.said;
  assertEquals({ files, folders, bytes }, summary);
  assertEquals([manifestLength, manifestHash], [manifest.length, file.manifest_hash]);
  assertEquals(encodeHex(sha256(manifest)), file.manifest_hash);
});

Deno.test("words and items of the vectors are read, and said again, as they have it", () => {
  for (const { said, bytes } of file.words) {
    const word = fileWordOf({ content: decodeHex(bytes) });
    assertEquals(shown(word), said);
    assertEquals(encodeHex(encodeFileWord(word)), bytes);
  }
  for (const { said, bytes } of file.items) {
    const item = decode(fileItem, decodeHex(bytes));
    assertEquals(shown(item), said);
    assertEquals(encodeHex(encode(fileItem, item)), bytes);
  }
});
