/** Lines out of pieces, however they are cut, and what is no UTF-8. */
import { assertEquals } from "@std/assert";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { StdinLines } from "../../lib/cli/stdin_lines.ts";

/** The lines of these bytes, given in pieces of `size`. */
function linesOf(bytes: Uint8Array<ArrayBuffer>, size: number): string[] {
  const lines = new StdinLines();
  const found: string[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    found.push(...lines.push(bytes.subarray(at, at + size)));
  }
  return [...found, ...lines.end()];
}

Deno.test("lines are the same however they are cut", () => {
  const bytes = encodeUtf8("\ufeffone\r\n\ntwo €\nthree 🙂");
  for (let size = 1; size <= bytes.length; size++) {
    assertEquals(linesOf(bytes, size), ["one", "", "two €", "three 🙂"], `${size}`);
  }
});

Deno.test("half a character is U+FFFD, also at the very end, and when there is nothing else", () => {
  for (const size of [1, 2, 100]) {
    assertEquals(linesOf(new Uint8Array([0x61, 0xe2, 0x82, 0x0a, 0x62]), size), ["a\ufffd", "b"]);
    assertEquals(linesOf(new Uint8Array([0x61, 0xe2, 0x82]), size), ["a\ufffd"]);
    assertEquals(linesOf(new Uint8Array([0x61, 0x0a, 0xf0, 0x9f]), size), ["a", "\ufffd"]);
  }
});
