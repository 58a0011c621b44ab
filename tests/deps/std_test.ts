/**
 * What lib/deps takes from an npm repackaging of @std, against the platform's own on random input: a package that
 * was tampered with, or that differs from what JSR has, would have to differ where nobody looks.
 */
import { assertEquals, assertThrows } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeBase32, encodeBase32 } from "@std/encoding/base32";
import { decodeBase64Url, encodeBase64Url } from "@std/encoding/base64url";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { parse } from "@std/toml/parse";

const PLAIN = { alphabet: "base64url", omitPadding: true } as const;
const STRICT = { alphabet: "base64url", lastChunkHandling: "strict" } as const;

/** Every length from 0 to 100, and some long ones. */
function* randomInputs(): Iterable<Uint8Array<ArrayBuffer>> {
  const lengths = [...Array(101).keys(), 1000, 4095, 65_536];
  for (const length of lengths) yield crypto.getRandomValues(new Uint8Array(length));
}

Deno.test("hexadecimal of @std is that of the platform, both ways", () => {
  for (const bytes of randomInputs()) {
    const text = bytes.toHex();
    assertEquals(encodeHex(bytes), text);
    assertEquals(decodeHex(text), bytes);
    assertEquals(decodeHex(text.toUpperCase()), bytes);
  }
});

Deno.test("base64url of @std is that of the platform, both ways", () => {
  for (const bytes of randomInputs()) {
    const text = bytes.toBase64(PLAIN);
    assertEquals(encodeBase64Url(bytes), text);
    assertEquals(decodeBase64Url(text), bytes);
    const padded = bytes.toBase64({ alphabet: "base64url" });
    assertEquals(Uint8Array.fromBase64(padded, STRICT), bytes);
  }
});

Deno.test("both refuse what is no hexadecimal, or no base64url", () => {
  for (const text of ["0", "0g", "00 ", "0x", "ａａ", "+0"]) {
    assertThrows(() => Uint8Array.fromHex(text));
    assertThrows(() => decodeHex(text));
  }
  for (const text of ["A", "AA*A", "ＡＡ"]) {
    assertThrows(() => Uint8Array.fromBase64(text, PLAIN));
    assertThrows(() => decodeBase64Url(text));
  }
});

/** RFC 4648, bit by bit: the platform has no base32. */
function base32(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const groups = bits.match(/.{1,5}/g) ?? [];
  const letters = groups.map((group) =>
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[parseInt(group.padEnd(5, "0"), 2)]
  ).join("");
  return letters.padEnd(Math.ceil(letters.length / 8) * 8, "=");
}

Deno.test("base32 of @std is that of RFC 4648, both ways", () => {
  for (const bytes of randomInputs()) {
    if (bytes.length > 1000) continue;
    assertEquals(encodeBase32(bytes), base32(bytes));
    assertEquals(decodeBase32(base32(bytes)), bytes);
  }
});

Deno.test("concat() of @std puts arrays one after the other, views too", () => {
  const parts = [...randomInputs()].map((bytes) => bytes.subarray(bytes.length >> 2));
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  assertEquals(concat(parts), whole);
});

Deno.test("parse() of @std reads TOML as its specification has it", () => {
  const text = [
    "# a comment",
    'top = "one" # another',
    "'quoted' = 'C:\\x'",
    "",
    "[table]",
    'text = "tab\\t, quote \\" and \\u00e9"',
    "number = 1_000",
    "yes = true",
    'list = ["a", "b",',
    "]",
    "dotted.key = -1",
  ];
  const expected = {
    top: "one",
    quoted: "C:\\x",
    table: {
      text: 'tab\t, quote " and é',
      number: 1000,
      yes: true,
      list: ["a", "b"],
      dotted: { key: -1 },
    },
  };
  for (const end of ["\n", "\r\n"]) {
    assertEquals(JSON.parse(JSON.stringify(parse(text.join(end) + end))), expected);
  }
  assertEquals({ ...parse("") }, {});
  assertThrows(() => parse("a = 1\nb = @\n"), SyntaxError, "line 2");
  assertThrows(() => parse('a = "x'), SyntaxError, "line 1");
});
