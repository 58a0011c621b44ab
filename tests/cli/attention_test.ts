import { assert, assertEquals } from "@std/assert";
import { rings, titleBytes } from "../../lib/cli/attention.ts";

Deno.test("the bell rings for what was asked for", () => {
  assert(rings("all", "x", "bob") && !rings("off", "bob", "bob"));
  for (const text of ["bob", "hi, Bob!", "@bob:", "\uff42ob?"]) {
    assert(rings("mentions", text, "bob"));
  }
  for (const text of ["bobby", "a-bob", "x"]) assert(!rings("mentions", text, "bob"), text);
});

Deno.test("the title of the window has a number and is given back", () => {
  assertEquals(titleBytes(0, 0), "");
  assertEquals(titleBytes(0, 2), "\x1b[22;2t\x1b]2;(2) cifra\x07");
  assertEquals(titleBytes(2, 3), "\x1b]2;(3) cifra\x07");
  assertEquals(titleBytes(3, 0), "\x1b]2;cifra\x07\x1b[23;2t");
});
