/** What a transfer is called on a disk. */
import { assertEquals } from "@std/assert";
import { stagingId } from "../../lib/client/file_digest.ts";

Deno.test("no two transfers share a folder, whatever ids their senders choose", () => {
  const one = new Uint8Array(16), other = new Uint8Array(16);
  other[15] = 1;
  const names = [
    stagingId({ peer: "alice", suite: "modern" }, one),
    stagingId({ peer: "alice", suite: "modern" }, other),
    stagingId({ peer: "alice", suite: "rsa" }, one),
    stagingId({ peer: "alic", suite: "modern" }, one),
  ].map((name) => name.toHex());
  assertEquals(new Set(names).size, 4);
  assertEquals(names.map(({ length }) => length), [32, 32, 32, 32]);
  assertEquals(stagingId({ peer: "alice", suite: "modern" }, one).toHex(), names[0]);
});
