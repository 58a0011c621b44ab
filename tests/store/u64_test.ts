import { assertEquals } from "@std/assert";
import { u64Bytes, u64Number } from "../../lib/store/u64.ts";

Deno.test("a number of 64 bits comes back, and stands in order", () => {
  const numbers = [0n, 1n, 255n, 256n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];
  const bytes = numbers.map(u64Bytes);
  assertEquals(bytes.map(u64Number), numbers);
  assertEquals(bytes.map((each) => each.toHex()).toSorted(), bytes.map((each) => each.toHex()));
  // Also where it is a part of something longer.
  assertEquals(u64Number(new Uint8Array([9, ...u64Bytes(7n), 9]).subarray(1, 9)), 7n);
});
