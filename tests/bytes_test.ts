import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Bytes, encodeU64, writeAll, writeAllSync } from "../lib/bytes.ts";

/** Takes at most `limit` bytes at a time, and fails when it has taken `capacity`. */
function writer(limit: number, capacity = Infinity) {
  const taken: number[] = [];
  const writeSync = (bytes: Bytes): number => {
    if (taken.length >= capacity) throw new Error("full");
    taken.push(...bytes.subarray(0, limit));
    return Math.min(limit, bytes.length);
  };
  return { taken, writeSync, write: (bytes: Bytes) => Promise.try(writeSync, bytes) };
}

Deno.test("writeAll() and writeAllSync() go on until everything is taken, in order", async () => {
  const bytes = new Uint8Array([1, 2, 3, 4, 5, 6, 7]);
  for (const limit of [1, 3, 6, 7, 8]) {
    const slow = writer(limit), atOnce = writer(limit);
    await writeAll(slow, bytes);
    writeAllSync(atOnce, bytes);
    assertEquals([slow.taken, atOnce.taken], [[...bytes], [...bytes]]);
  }
  await writeAll(writer(1, 0), new Uint8Array(0));
});

Deno.test("writeAll() and writeAllSync() pass on what the writer throws", async () => {
  const bytes = new Uint8Array(5);
  await assertRejects(() => writeAll(writer(2, 2), bytes), Error, "full");
  assertThrows(() => writeAllSync(writer(2, 2), bytes), Error, "full");
});

Deno.test("encodeU64() writes eight bytes, the highest first, and refuses what does not fit", () => {
  assertEquals(encodeU64(0n), new Uint8Array(8));
  assertEquals(encodeU64(0x0102030405060708n), new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]));
  assertEquals(encodeU64(2n ** 64n - 1n), new Uint8Array(8).fill(255));
  for (const value of [-1n, 2n ** 64n]) assertThrows(() => encodeU64(value), RangeError);
});
