/** Words of the other side: one printable line, or no message at all (A22). */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { NAME_LIMIT } from "../../lib/limits.ts";
import { decode, encode, variable } from "../../lib/wire/layout.ts";
import { anyName, isLine, line, lineOf, personName, quoted } from "../../lib/wire/line.ts";
import { assertRefuses } from "./refusal.ts";

const LINES = [
  "",
  "a",
  " a b ",
  "Lab 3",
  "Učebna č. 3",
  "\u5b66\u6821",
  "\u05d2\u05df",
  "e\u0301",
  "\u{1f642}",
  "\u{10fffd}",
];

/** What each would do is known to whoever sends it. */
const NO_LINES: Readonly<Record<string, string>> = {
  "a newline": "a\nb",
  "a carriage return": "a\rb",
  "a tab": "a\tb",
  "an escape sequence": "a\x1b[2J",
  "a bell": "a\x07",
  "a zero byte": "\0",
  "delete": "a\x7f",
  "a next line (C1)": "a\x85b",
  "a control sequence introducer (C1)": "\x9b2J",
  "a line separator": "a\u2028b",
  "a paragraph separator": "a\u2029b",
  "an override of direction": "a\u202eb",
  "an isolate": "a\u2066b\u2069",
  "a mark of direction": "a\u200f",
  "a zero width space": "pay\u200bpal",
  "a joiner": "a\u200db",
  "a soft hyphen": "pay\u00adpal",
  "a byte order mark": "\ufeffa",
  "a filler of Hangul": "a\u3164",
  "a variation selector": "a\ufe0f",
  "a tag": "a\u{e0041}",
  "an annotation": "a\ufff9b",
};

Deno.test("line() decodes what can be seen, and counts bytes of UTF-8", () => {
  for (const text of LINES) {
    assert(isLine(text), text);
    assertEquals(decode(line(16), encode(line(16), text)), text);
    assertEquals<string>(lineOf(text), text);
  }
  assertEquals(encodeHex(encode(line(6), lineOf("žluť"))), "0006c5be6c75c5a5");
  assertThrows(() => encode(line(5), lineOf("žluť")), RangeError);
  assertRefuses(() => decode(line(5), decodeHex("0006c5be6c75c5a5")));
});

for (const [what, text] of Object.entries(NO_LINES)) {
  Deno.test(`line() refuses ${what}, and encodes none (A22)`, () => {
    const field = encode(variable(32), encodeUtf8(text));
    for (const layout of [line(32), anyName, personName]) {
      assertRefuses(() => decode(layout, field));
      assertThrows(() => encode(layout, text), RangeError);
    }
    assert(!isLine(text));
    assert(isLine(lineOf(text)));
  });
}

Deno.test("a lone surrogate is in no line", () => {
  assert(!isLine("a\ud800b"));
  assertEquals<string>(lineOf("a\ud800b"), "a\ufffdb");
});

Deno.test("of all code points only those that can be seen are in a line", () => {
  let count = 0;
  for (let code = 0; code <= 0x10ffff; code++) {
    if (!isLine(String.fromCodePoint(code))) count++;
  }
  // 65 controls, 2048 surrogates, two separators; the rest are formats and what is never drawn.
  assert(count > 65 + 2048 + 2 + 4000 && count < 65 + 2048 + 2 + 4500, `${count}`);
});

Deno.test("a personName is one that somebody could have; anyName leaves that to whoever is asked", () => {
  for (const name of ["alice", "lab-3", "a".repeat(NAME_LIMIT)]) {
    assertEquals(decode(personName, encode(personName, name)), name);
  }
  for (const name of ["", "server", "admin", "Alice", "bob✓", "bob: hi", "../bob", "-x"]) {
    const field = encode(anyName, name);
    assertEquals(decode(anyName, field), name);
    assertRefuses(() => decode(personName, field), "bad_frame", name);
    assertThrows(() => encode(personName, name), RangeError);
  }
});

Deno.test("nobody can end what is quoted", () => {
  assertEquals(quoted(lineOf('no"; server says: "yes')), `"no'; server says: 'yes"`);
});

const MALFORMED_UTF8 = {
  "a lone continuation byte": "80",
  "a sequence cut short": "e282",
  "an overlong slash": "c0af",
  "an overlong NUL": "c080",
  "an overlong slash in three bytes": "e080af",
  "an overlong slash in four bytes": "f08080af",
  "a lone high surrogate": "eda080",
  "a lone low surrogate": "edbfbf",
  "a surrogate pair in six bytes": "eda0bdedb880",
  "a code point beyond the last": "f4908080",
  "a five-byte form": "f888808080",
  "FE": "fe",
  "FF": "ff",
  "latin-1": "e9",
};

Deno.test("line() refuses what is not UTF-8 (D15)", () => {
  for (const [what, hex] of Object.entries(MALFORMED_UTF8)) {
    const malformed = decodeHex(hex);
    const field = encode(variable(32), malformed);
    assertRefuses(() => decode(line(32), field), "bad_frame", what);
  }
});
