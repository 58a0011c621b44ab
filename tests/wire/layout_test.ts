import { assertEquals, assertThrows } from "@std/assert";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import {
  bytes,
  decode,
  encode,
  LAST_MOMENT,
  type Layout,
  list,
  moment,
  oneOf,
  rest,
  struct,
  tagged,
  u16,
  u32,
  u53,
  u53OrUnknown,
  u64,
  u8,
  variable,
} from "../../lib/wire/layout.ts";
import { assertRefuses } from "./refusal.ts";
import { line, lineOf } from "../../lib/wire/line.ts";

function assertWire<T>(layout: Layout<T>, value: T, hex: string): void {
  assertEquals(encodeHex(encode(layout, value)), hex);
  assertEquals(decode(layout, decodeHex(hex)), value);
}

Deno.test("integers are big-endian and reach from zero to their maximum", () => {
  assertWire(u8, 0, "00");
  assertWire(u8, 0xff, "ff");
  assertWire(u16, 0x0102, "0102");
  assertWire(u16, 0xffff, "ffff");
  assertWire(u32, 0x01020304, "01020304");
  assertWire(u32, 0xffffffff, "ffffffff");
  assertWire(u64, 0x0102030405060708n, "0102030405060708");
});

Deno.test("u64 keeps every bit beyond what a number can hold", () => {
  assertWire(u64, 2n ** 64n - 1n, "ffffffffffffffff");
  assertWire(u64, 2n ** 53n + 1n, "0020000000000001");
});

Deno.test("sizes and moments have 8 bytes and end where a number, or a date, does", () => {
  assertWire(u53, 2 ** 53 - 1, "001fffffffffffff");
  assertWire(u53OrUnknown, 0, "0000000000000000");
  assertWire(u53OrUnknown, undefined, "ffffffffffffffff");
  assertWire(moment, LAST_MOMENT, "001eb208c2dc0000");
  for (const layout of [u53, u53OrUnknown, moment] as Layout<number | undefined>[]) {
    for (const value of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
      assertThrows(() => encode(layout, value), RangeError);
    }
    assertRefuses(() => decode(layout, decodeHex("0020000000000000")));
    assertRefuses(() => decode(layout, decodeHex("fffffffffffffffe")));
  }
  assertThrows(() => encode(moment, LAST_MOMENT + 1), RangeError);
  assertRefuses(() => decode(moment, decodeHex("001eb208c2dc0001")));
  assertRefuses(() => decode(u53, decodeHex("ffffffffffffffff")));
});

Deno.test("integers refuse to encode what has no encoding", () => {
  for (const [layout, beyond] of [[u8, 0x100], [u16, 0x10000], [u32, 2 ** 32]] as const) {
    for (const value of [-1, 0.5, NaN, Infinity, beyond]) {
      assertThrows(() => encode(layout, value), RangeError);
    }
  }
  for (const value of [-1n, 2n ** 64n]) assertThrows(() => encode(u64, value), RangeError);
});

Deno.test("decode() refuses a field that ends beyond the message", () => {
  for (const [layout, length] of [[u8, 1], [u16, 2], [u32, 4], [u64, 8], [bytes(5), 5]] as const) {
    for (let short = 0; short < length; short++) {
      assertRefuses(() => decode(layout as Layout<unknown>, new Uint8Array(short)));
    }
  }
});

Deno.test("decode() refuses a byte that is left over", () => {
  assertRefuses(() => decode(u8, decodeHex("0100")));
  assertRefuses(() => decode(struct({ a: u8, b: u16 }), decodeHex("01000200")));
});

Deno.test("decode() reads a view at an offset of its buffer", () => {
  const view = decodeHex("ffff0102030405060708ff").subarray(2, 10);
  assertEquals(decode(u64, view), 0x0102030405060708n);
  assertEquals(decode(struct({ a: u16, b: u16, c: u32 }), view), {
    a: 0x0102,
    b: 0x0304,
    c: 0x05060708,
  });
});

Deno.test("oneOf() takes its numbers and no other, either way", () => {
  const colour = oneOf({ red: 1, blue: 3 }, "colour");
  assertWire(colour, 1, "01");
  assertWire(colour, 3, "03");
  for (const other of [0, 2, 4, 255]) {
    assertRefuses(() => decode(colour, new Uint8Array([other])));
    assertThrows(() => encode(colour, other as 1), RangeError);
  }
});

Deno.test("bytes() refuses to encode any other length", () => {
  for (const length of [0, 3, 5]) {
    assertThrows(() => encode(bytes(4), new Uint8Array(length)), RangeError);
  }
});

Deno.test("bytes() and variable() give copies: a reused read buffer changes nothing", () => {
  const message = decodeHex("01020002aabb");
  const value = decode(struct({ fixed: bytes(2), open: variable(2) }), message);
  message.fill(0);
  assertEquals(value, { fixed: decodeHex("0102"), open: decodeHex("aabb") });
});

Deno.test("variable() takes 0 to its limit and no more", () => {
  assertWire(variable(3), new Uint8Array(0), "0000");
  assertWire(variable(3), decodeHex("aabbcc"), "0003aabbcc");
  assertThrows(() => encode(variable(3), new Uint8Array(4)), RangeError);
  assertRefuses(() => decode(variable(3), decodeHex("0004aabbccdd")));
});

Deno.test("variable() refuses a length beyond the message (F10)", () => {
  assertRefuses(() => decode(variable(0xffff), decodeHex("ffffaabb")));
  assertRefuses(() => decode(variable(0xffff), decodeHex("0003aabb")));
});

Deno.test("list() takes none to its limit and no more", () => {
  const layout = list(u16, 2);
  assertWire(layout, [], "00");
  assertWire(layout, [1, 2], "0200010002");
  assertThrows(() => encode(layout, [1, 2, 3]), RangeError);
  assertRefuses(() => decode(layout, decodeHex("03000100020003")));
  assertRefuses(() => decode(layout, decodeHex("02000100")));
});

Deno.test("rest takes everything, also nothing", () => {
  assertWire(struct({ head: u8, tail: rest }), { head: 1, tail: new Uint8Array(0) }, "01");
  assertWire(struct({ head: u8, tail: rest }), { head: 1, tail: decodeHex("0203") }, "010203");
});

Deno.test("struct() writes its fields in the order of its definition, not of the value", () => {
  const layout = struct({ first: u8, second: u8 });
  assertEquals(encode(layout, { second: 2, first: 1 }), decodeHex("0102"));
});

const animal = tagged({ cat: 1, dog: 7 }, {
  cat: struct({ lives: u8 }),
  dog: struct({ name: line(4) }),
});

Deno.test("tagged() decodes to a union over its type", () => {
  assertWire(animal, { type: "cat", lives: 9 }, "0109");
  assertWire(animal, { type: "dog", name: lineOf("rex") }, "070003726578");
});

Deno.test("tagged() refuses an unknown tag, no tag, and a tag with another's fields", () => {
  for (const hex of ["", "00", "0209", "ff09", "0709", "010003726578"]) {
    assertRefuses(() => decode(animal, decodeHex(hex)), "bad_frame", hex);
  }
});

Deno.test("tagged() makes no message out of the names that objects inherit", () => {
  const message: Bytes = encodeUtf8("constructor");
  assertRefuses(() => decode(animal, message));
});
