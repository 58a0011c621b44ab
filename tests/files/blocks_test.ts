/** Digests of blocks, by which a transfer finds where to go on. */
import { assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import type { Bytes } from "../../lib/bytes.ts";
import { blockFor, digestBlocks, equalUntil, type ReadAt } from "../../lib/files/blocks.ts";

const KIB = 1024;

function reading(bytes: Bytes): ReadAt {
  return (offset, into) => {
    const part = bytes.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  };
}

function content(length: number): Bytes {
  return Uint8Array.from({ length }, (_, i) => i % 251 ^ i >> 8);
}

Deno.test("blocks are the smallest of which there are not too many", () => {
  const cases: readonly (readonly [number, number])[] = [
    [0, 0],
    [64 * KIB - 1, 0],
    [64 * KIB, 16],
    [64 * KIB * 1024, 16],
    [64 * KIB * 1024 + 1, 17],
    [2 ** 40, 30],
    [2 ** 45, 30],
  ];
  for (const [length, block] of cases) assertEquals(blockFor(length), block, `${length}`);
});

Deno.test("each whole block has its digest", async () => {
  const bytes = content(200 * KIB);
  const { block, digests } = await digestBlocks(reading(bytes), bytes.length);
  assertEquals([block, digests.length], [16, 3 * 32]);
  for (let i = 0; i < 3; i++) {
    const part = bytes.subarray(i * 64 * KIB, (i + 1) * 64 * KIB);
    const digest = new Uint8Array(createHash("sha256").update(part).digest());
    assertEquals(digests.slice(i * 32, (i + 1) * 32), digest);
  }
  assertEquals(await digestBlocks(reading(bytes), 64 * KIB - 1), {
    block: 0,
    digests: new Uint8Array(0),
  });
});

Deno.test("a file that is shorter than was said has digests of what is there", async () => {
  const { block, digests } = await digestBlocks(reading(content(100 * KIB)), 300 * KIB);
  assertEquals([block, digests.length], [16, 32]);
  assertEquals((await digestBlocks(reading(content(0)), 300 * KIB)).block, 0);
});

Deno.test("two files are equal until their first block that is not", async () => {
  const bytes = content(300 * KIB);
  const told = await digestBlocks(reading(bytes), bytes.length);
  assertEquals(await equalUntil(reading(bytes), told), 256 * KIB);
  assertEquals(await equalUntil(reading(bytes.subarray(0, 200 * KIB)), told), 192 * KIB);
  for (const [at, equal] of [[0, 0], [64 * KIB, 64], [256 * KIB - 1, 192], [257 * KIB, 256]]) {
    const other = bytes.slice();
    other[at!]! ^= 1;
    assertEquals(await equalUntil(reading(other), told), equal! * KIB, `changed at ${at}`);
  }
  assertEquals(await equalUntil(reading(bytes), { block: 0, digests: new Uint8Array(0) }), 0);
});
