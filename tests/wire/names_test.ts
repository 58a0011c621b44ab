import { assert, assertEquals, assertThrows } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { isName, requireName, SERVER_NAME, skeletonOf } from "../../lib/wire/names.ts";

const GOOD = [
  "a",
  "7",
  "alice",
  "lab-3",
  "a_b",
  "0-0",
  "ali",
  "a--b",
  "a".repeat(32),
  "constructor",
  "null",
];

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
  "dash at the end": "alice-",
  "underscore at the end": "alice_",
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

const RESERVED = [
  ...["server", "admin", "root", "system", "all"],
  ...[
    "5erver",
    "ser-ver",
    "ser_ver",
    "r00t",
    "ro0t",
    "r-o-o-t",
    "adrnin",
    "adnnin",
    "aclmin",
    "adm1n",
  ],
  ...["adml-n", "sy5tem", "systern", "systenn", "s-y-s-t-e-m"],
];

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

Deno.test("requireName() refuses the reserved names and those that look like them (D2, A14)", () => {
  for (const name of RESERVED) {
    assertEquals(assertThrows(() => requireName(name), CifraError).code, "bad_name", name);
    assert(!isName(name), name);
  }
  assert(RESERVED.includes(SERVER_NAME));
});

/** Signs, or runs of them, that can be taken for each other. */
const ALIKE: readonly (readonly [string, string])[] = [
  ...[["-", ""], ["_", ""], ["0", "o"], ["1", "l"], ["i", "l"], ["i", "1"], ["5", "s"]] as const,
  ...[["2", "z"], ["cl", "d"], ["c1", "d"], ["nn", "m"], ["rn", "m"], ["vv", "w"]] as const,
];

Deno.test("names are alike wherever one sign stands for another, whatever is beside it (A14)", () => {
  const around = ["", "r", "n", "c", "l", "v", "m", "w", "d", "rr", "a"];
  for (const [one, other] of ALIKE) {
    for (const before of around) {
      for (const after of around) {
        const pair = [`x${before}${one}${after}x`, `x${before}${other}${after}x`] as const;
        assertEquals(skeletonOf(pair[0]), skeletonOf(pair[1]), pair.join(" and "));
      }
    }
  }
  // Not everything is like everything.
  const apart = ["alice", "bob", "carol", "dan", "mary", "nina", "r", "n", "m", "l", "o", "z", "s"];
  assertEquals(new Set(apart.map(skeletonOf)).size, apart.length);
});
