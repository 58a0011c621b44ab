import { assert, assertEquals, assertThrows } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";
import { aes256CbcHs512, aes256Gcm } from "../../lib/crypto/aead.ts";
import {
  FRAME_LIMIT_OPEN,
  ITEM_BODY_LIMIT,
  ITEM_HEADER_LENGTH,
  RECORD_INNER_LIMIT,
} from "../../lib/limits.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import {
  CloseCode,
  closeLayout,
  decodeItems,
  encodeItems,
  type Item,
  itemLength,
  ItemType,
  paddedLength,
} from "../../lib/wire/records.ts";
import { assertRefuses } from "./refusal.ts";

function message(length: number, fill = 0xab): Item {
  return { type: ItemType.message, body: new Uint8Array(length).fill(fill) };
}

/** `hex` and zeros up to `length`. */
function padded(hex: string, length: number): Bytes {
  const inner = new Uint8Array(length);
  inner.set(decodeHex(hex));
  return inner;
}

Deno.test("item numbers are those of the document", () => {
  assertEquals(ItemType, {
    message: 1,
    ack: 2,
    ping: 3,
    pong: 4,
    keyUpdate: 5,
    close: 7,
    request: 8,
    response: 9,
    relay: 10,
    storing: 12,
    away: 13,
    file: 14,
  });
});

Deno.test("paddedLength() is 64 times a power of two up to 4 KiB, then multiples of 4 KiB", () => {
  const buckets = {
    64: [1, 63, 64],
    128: [65, 127, 128],
    256: [129, 256],
    512: [257, 512],
    1024: [513, 1024],
    2048: [1025, 2048],
    4096: [2049, 4095, 4096],
    8192: [4097, 8191, 8192],
    12288: [8193, 12288],
    61440: [57345, 61439, 61440],
  };
  for (const [bucket, lengths] of Object.entries(buckets)) {
    for (const length of lengths) assertEquals(paddedLength(length), Number(bucket), `${length}`);
  }
});

Deno.test("encodeItems() writes type, length and body, then zeros", () => {
  const inner = encodeItems([{ type: ItemType.request, body: decodeHex("aabb") }]);
  assertEquals(inner, padded("0800000002aabb", 64));
});

Deno.test("encodeItems() puts several items one after the other, empty ones too", () => {
  const inner = encodeItems([
    { type: ItemType.ping, body: new Uint8Array(0) },
    { type: ItemType.message, body: decodeHex("0000") },
    { type: ItemType.keyUpdate, body: new Uint8Array(0) },
  ]);
  assertEquals(inner, padded("0300000000" + "01000000020000" + "0500000000", 64));
});

Deno.test("decodeItems() gives back the items at lengths around every bucket", () => {
  for (const bucket of [64, 128, 256, 512, 1024, 2048, 4096, 8192, 12288, RECORD_INNER_LIMIT]) {
    for (const filled of [bucket - 1, bucket, bucket + 1]) {
      if (filled > RECORD_INNER_LIMIT) continue;
      const items = [message(filled - ITEM_HEADER_LENGTH)];
      const inner = encodeItems(items);
      assertEquals(inner.length, filled > bucket ? paddedLength(bucket + 1) : bucket);
      assertEquals(decodeItems(inner), items, `${filled}`);
    }
  }
});

Deno.test("decodeItems() gives back many items in order", () => {
  const items = Array.from({ length: 200 }, (_, i) => message(i % 7, i));
  assertEquals(decodeItems(encodeItems(items)), items);
  assertEquals(items.reduce((sum, item) => sum + itemLength(item), 0), 200 * 5 + 594);
});

Deno.test("decodeItems() gives back an item whose body looks like padding", () => {
  const items = [message(64, 0), message(1, 0)];
  assertEquals(decodeItems(encodeItems(items)), items);
});

Deno.test("encodeItems() refuses more than a record holds, and the largest body fits exactly", () => {
  assertEquals(encodeItems([message(ITEM_BODY_LIMIT)]).length, RECORD_INNER_LIMIT);
  assertThrows(() => encodeItems([message(ITEM_BODY_LIMIT + 1)]), RangeError);
  assertThrows(() => encodeItems([message(ITEM_BODY_LIMIT - 4), message(0)]), RangeError);
});

Deno.test("the largest record fits the largest frame in every suite", () => {
  const gcm = aes256Gcm.sealedLength(RECORD_INNER_LIMIT);
  const signed = 16 + aes256CbcHs512.sealedLength(RECORD_INNER_LIMIT) + 64;
  for (const body of [gcm, signed]) assert(body + 1 <= FRAME_LIMIT_OPEN);
});

Deno.test("decodeItems() refuses a record without items (R6)", () => {
  for (const length of [0, 1, 4, 5, 63, 64, 128, 4096]) {
    assertRefuses(() => decodeItems(new Uint8Array(length)), "bad_frame", `${length}`);
  }
});

Deno.test("decodeItems() refuses every type there is not (R6)", () => {
  const known = new Set<number>(Object.values(ItemType));
  for (let type = 0; type < 256; type++) {
    const inner = padded("", 64);
    inner[0] = type;
    if (known.has(type)) assertEquals(decodeItems(inner).length, 1);
    else assertRefuses(() => decodeItems(inner), "bad_frame", `type ${type}`);
  }
});

Deno.test("decodeItems() refuses an unknown type after a good item", () => {
  assertRefuses(() => decodeItems(padded("0300000000" + "0600000000", 64)));
});

Deno.test("decodeItems() refuses a body that ends beyond the record (R6)", () => {
  for (const length of ["0000003c", "00000040", "7fffffff", "80000000", "ffffffff"]) {
    assertRefuses(() => decodeItems(padded(`01${length}`, 64)), "bad_frame", length);
  }
  assertEquals(decodeItems(padded("010000003b", 64))[0]?.body.length, 59);
});

Deno.test("decodeItems() refuses a header that ends beyond the record", () => {
  for (let cut = 1; cut < ITEM_HEADER_LENGTH; cut++) {
    const inner = padded("", 64);
    const first = 64 - ITEM_HEADER_LENGTH - cut;
    inner.set([ItemType.message, 0, 0, 0, first]);
    inner[64 - cut] = ItemType.message;
    assertRefuses(() => decodeItems(inner), "bad_frame", `${cut} bytes of a header`);
  }
});

Deno.test("decodeItems() refuses padding with any bit set (R6)", () => {
  const good = encodeItems([message(3)]);
  // The first byte after the last item is a type; what follows a type of zero must be zero.
  for (let i = 9; i < good.length; i++) {
    for (const bit of [0x01, 0x80]) {
      const bad = good.slice();
      bad[i] = bit;
      assertRefuses(() => decodeItems(bad), "bad_frame", `byte ${i}`);
    }
  }
});

Deno.test("decodeItems() refuses another bucket than the items need", () => {
  const good = encodeItems([message(3)]);
  for (const length of [8, 63, 65, 127, 128, 256, 4096, 8192]) {
    const other = new Uint8Array(length);
    other.set(good.subarray(0, Math.min(length, good.length)));
    assertRefuses(() => decodeItems(other), "bad_frame", `${length}`);
  }
  assertRefuses(() => decodeItems(concat([encodeItems([message(4096)]), new Uint8Array(4096)])));
});

Deno.test("decodeItems() reads a view at an offset of its buffer", () => {
  const inner = encodeItems([message(7)]);
  const view = concat([decodeHex("ffffff"), inner, decodeHex("ff")]).subarray(3, 3 + inner.length);
  assertEquals(decodeItems(view), [message(7)]);
});

Deno.test("closeLayout is a code and two counters", () => {
  const goodbye = { code: CloseCode.shutdown, lastSent: 2n ** 64n - 1n, lastStored: 1n };
  const hex = "02" + "ffffffffffffffff" + "0000000000000001";
  assertEquals(encodeHex(encode(closeLayout, goodbye)), hex);
  assertEquals(decode(closeLayout, decodeHex(hex)), goodbye);
  for (const bad of ["", hex.slice(2), hex + "00", "05" + hex.slice(2), "ff" + hex.slice(2)]) {
    assertRefuses(() => decode(closeLayout, decodeHex(bad)));
  }
});
