import { assert, assertEquals, assertThrows } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { isName, requireName, SERVER_NAME } from "../../lib/wire/names.ts";

const GOOD = ["a", "7", "alice", "lab-3", "a_b", "0-", "a".repeat(32), "constructor", "null"];

/** Each with what is wrong with it (D1, D12, D14). */
const BAD: Readonly<Record<string, string>> = {
  empty: "",
  "33 characters": "a".repeat(33),
  "upper case": "Alice",
  NUL: "a\0b",
  newline: "alice\n",
  "carriage return": "alice\r",
  space: "alice smith",
  "leading space": " alice",
  dash: "-alice",
  underscore: "_alice",
  path: "../alice",
  slash: "a/b",
  dot: ".",
  "escape sequence": "a\x1b[2J",
  "right-to-left override": "a\u202eb",
  "zero width": "a\u200bb",
  "Cyrillic а": "\u0430lice",
  emoji: "🙂",
  accent: "josé",
  "64 KiB": "a".repeat(65_536),
  SQL: "a'; DROP TABLE names; --",
  "__proto__": "__proto__",
  "lone surrogate": "a\ud800",
};

const RESERVED = ["server", "admin", "root", "system", "all"];

Deno.test("requireName() takes 1 to 32 of a-z, 0-9, _ and - from a letter or digit on", () => {
  for (const name of GOOD) {
    requireName(name);
    assert(isName(name), name);
  }
});

Deno.test("requireName() refuses every other name and does not repeat it (D1)", () => {
  for (const [what, name] of Object.entries(BAD)) {
    const error = assertThrows(() => requireName(name), CifraError);
    assertEquals(error.code, "bad_name", what);
    assert(name === "" || name === "." || !error.message.includes(name), what);
    assert(!isName(name), what);
  }
});

Deno.test("requireName() refuses the reserved names (D2)", () => {
  for (const name of RESERVED) {
    assertEquals(assertThrows(() => requireName(name), CifraError).code, "bad_name");
    assert(!isName(name));
  }
  assert(RESERVED.includes(SERVER_NAME));
});
