import { assertEquals, assertThrows } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { ENVELOPE_OVERHEAD, TEXT_LIMIT } from "../../lib/limits.ts";
import {
  type Content,
  contentLength,
  decodeContent,
  encodeContent,
  envelope,
  ENVELOPE_HEAD_LENGTH,
  SESSION_HEADER_LENGTH,
  sessionHeader,
} from "../../lib/wire/envelope.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import type { KeptMessage } from "../../lib/wire/peer_messages.ts";
import { ItemType } from "../../lib/wire/records.ts";
import vectors from "../vectors/mailbox.json" with { type: "json" };
import { assertRefuses } from "./refusal.ts";
import { content as sample, U64_MAX } from "./samples.ts";

const NOTHING = new Uint8Array(0);
const [ONCE, LAST] = vectors.runs;

function text(number: bigint, what: string | Bytes): KeptMessage {
  const content = typeof what === "string" ? encodeUtf8(what) : what;
  return { type: "text", number, id: new Uint8Array(16).fill(Number(number)), written: 7, content };
}

function end(number: bigint): KeptMessage {
  return { type: "end", number, id: new Uint8Array(16).fill(9), written: 0, content: NOTHING };
}

const standing: Omit<Content, "messages"> = { ...sample, first: 3n };
/** What stands in front of the items: two names, four fields of 16 bytes, three of 8. */
const HEAD = 2 + 5 + 2 + 3 + 4 * 16 + 3 * 8;

/** `standing`, these bytes, and zeros up to `length`. */
function contentOf(items: string, length: number): Bytes {
  const inner = new Uint8Array(length);
  inner.set(encodeContent({ ...standing, messages: [] }).subarray(0, HEAD));
  inner.set(decodeHex(items), HEAD);
  return inner;
}

/** A message as an item. */
function item(body: string, type = ItemType.message as number): string {
  const bytes = new Uint8Array(5);
  bytes[0] = type;
  new DataView(bytes.buffer).setUint32(1, body.length / 2);
  return encodeHex(bytes) + body;
}

const number = (value: number) => value.toString(16).padStart(16, "0");
const ID = "06".repeat(16);
/** An end with this number, as the body of an item. */
const endBody = (value: number) => "03" + number(value) + ID;

Deno.test("the headers of the vectors name their prekeys, and are written again as they were", () => {
  for (const run of [ONCE!, LAST!]) {
    const header = decodeHex(run.header);
    assertEquals(header.length, SESSION_HEADER_LENGTH);
    const decoded = decode(sessionHeader, header);
    assertEquals(encodeHex(decoded.box), vectors.box);
    assertEquals(decoded.signed, BigInt(vectors.signed_prekey.number));
    assertEquals(decoded.once, run === ONCE ? BigInt(vectors.one_time_prekey.number) : 0n);
    assertEquals(encode(sessionHeader, decoded), header);
  }
});

Deno.test("the envelopes of the vectors come apart, and together again", () => {
  for (const { header, envelopes } of vectors.runs) {
    for (const { index, salt, content, envelope: wire } of envelopes) {
      const whole = decodeHex(wire);
      const decoded = decode(envelope, whole);
      assertEquals(encodeHex(decoded.header), header);
      assertEquals([decoded.n, encodeHex(decoded.salt)], [index, salt]);
      assertEquals(decoded.sealed, whole.subarray(ENVELOPE_HEAD_LENGTH));
      assertEquals(decoded.sealed.length, content.length / 2 + 16);
      assertEquals(encode(envelope, decoded), whole);
    }
  }
});

Deno.test("the contents of the vectors are read, and written again as they were", () => {
  for (const { envelopes } of vectors.runs) {
    const decoded = envelopes.map(({ content }) => decodeContent(decodeHex(content)));
    for (const { from, to } of decoded) assertEquals([from, to], ["alice", "bob"]);
    // The last is a receipt.
    const types = decoded.map(({ messages }) => messages.map(({ type }) => type));
    assertEquals(types, [["text"], ["text", "text"], []]);
    assertEquals(
      decoded.map((each) => encodeHex(encodeContent(each))),
      envelopes.map(({ content }) => content),
    );
  }
});

Deno.test("an envelope is its head, its content and a tag", () => {
  assertEquals(ENVELOPE_HEAD_LENGTH, 1187);
  assertEquals(ENVELOPE_OVERHEAD, ENVELOPE_HEAD_LENGTH + 16);
});

Deno.test("an envelope of another version, beyond its session or of another length is refused", () => {
  const whole = decodeHex(ONCE!.envelopes[0]!.envelope);
  const edited = (at: number, ...values: number[]) => {
    const copy = whole.slice();
    copy.set(values, at);
    return copy;
  };
  for (const version of [0, 2, 255]) assertRefuses(() => decode(envelope, edited(0, version)));
  const n = 1 + 1152;
  assertEquals(decode(envelope, edited(n, 0x03, 0xff)).n, 1023);
  for (const beyond of [[0x04, 0x00], [0xff, 0xff]]) {
    assertRefuses(() => decode(envelope, edited(n, ...beyond)));
  }
  const decoded = decode(envelope, whole);
  for (const beyond of [1024, -1, 65_536]) {
    assertThrows(() => encode(envelope, { ...decoded, n: beyond }), RangeError);
  }
  for (const bucket of [512, 1024, 2048, 4096, 8192, 57344]) {
    const length = 1203 + bucket;
    const longer = concat([whole, new Uint8Array(58_548)]);
    assertEquals(decode(envelope, longer.slice(0, length)).sealed.length, bucket + 16);
    for (const other of [length - 1, length + 1]) {
      assertRefuses(() => decode(envelope, longer.slice(0, other)), "bad_frame", `${other}`);
    }
    const sealed = new Uint8Array(bucket + 15);
    assertThrows(() => encode(envelope, { ...decoded, sealed }), RangeError);
  }
  for (const length of [0, 1, 1186, 1187, 1203, 1203 + 256, 1203 + 61_440]) {
    const short = concat([whole, new Uint8Array(61_440)]).slice(0, length);
    assertRefuses(() => decode(envelope, short), "bad_frame", `${length}`);
  }
});

Deno.test("encodeContent() writes where both logs stand, the messages as items, and zeros", () => {
  const inner = encodeContent({ ...standing, messages: [text(3n, "ahoj"), end(4n)] });
  const body = "01" + number(3) + "03".repeat(16) + number(7) + "61686f6a";
  const expected = "0005616c696365" + "0003626f62" + "04".repeat(16) + number(3) +
    "05".repeat(16) + "ff".repeat(8) + "07".repeat(16) + number(3) + "12".repeat(16) +
    item(body) + item("03" + number(4) + "09".repeat(16));
  assertEquals(encodeHex(inner), expected.padEnd(1024, "0"));
});

Deno.test("decodeContent() gives what encodeContent() took", () => {
  const several: readonly KeptMessage[][] = [
    [],
    [end(3n)],
    [text(3n, ""), text(4n, "ahoj"), end(5n), text(6n, "x".repeat(TEXT_LIMIT))],
    // The first may be later than what is not known to be stored.
    [text(9n, "later")],
    Array.from({ length: 1000 }, (_, i) => end(BigInt(3 + i))),
  ];
  for (const messages of several) {
    const content = { ...standing, messages };
    assertEquals(decodeContent(encodeContent(content)), content);
  }
  const far = { ...standing, first: U64_MAX, messages: [end(U64_MAX)] };
  assertEquals(decodeContent(encodeContent(far)), far);
});

Deno.test("contents are padded to 512, 1024, 2048, 4096 and then multiples of 4096 up to 57344", () => {
  for (const bucket of [512, 1024, 2048, 4096, 8192, 12_288, 53_248, 57_344]) {
    for (const [filled, length] of [[bucket - 1, bucket], [bucket, bucket], [bucket + 1, 0]]) {
      const messages = filling(filled! - HEAD);
      const content = { ...standing, messages };
      assertEquals(contentLength(content), filled);
      if (filled! > 57_344) {
        assertThrows(() => encodeContent(content), RangeError);
        continue;
      }
      const inner = encodeContent(content);
      if (length) assertEquals(inner.length, length);
      assertEquals(decodeContent(inner), content);
      for (const other of [inner.length / 2, inner.length + 4096, inner.length * 2, filled!]) {
        if (other === inner.length) continue;
        const repadded = new Uint8Array(other);
        repadded.set(inner.subarray(0, other));
        assertRefuses(() => decodeContent(repadded), "bad_frame", `${filled} in ${other}`);
      }
    }
  }
});

/** Texts that take so many bytes as items, 38 of them each beside what it says. */
function filling(bytes: number): KeptMessage[] {
  const messages: KeptMessage[] = [];
  for (let left = bytes; left > 0;) {
    const most = Math.min(left, TEXT_LIMIT);
    // What is left must be enough for another one.
    const length = left - most > 0 && left - most < 38 ? most - 38 : most;
    messages.push(text(3n + BigInt(messages.length), new Uint8Array(length - 38).fill(0x78)));
    left -= length;
  }
  return messages;
}

Deno.test("decodeContent() refuses messages out of order, with a gap, twice, or before the first", () => {
  const bodies = {
    "in order": [3, 4, 5],
    "a later first": [7, 8],
    "out of order": [4, 3],
    "with a gap": [3, 5],
    "twice": [3, 3],
    "before the first": [2, 3],
    "with no number": [0],
  };
  for (const [what, numbers] of Object.entries(bodies)) {
    const inner = contentOf(numbers.map((each) => item(endBody(each))).join(""), 512);
    if (what === "in order" || what === "a later first") {
      assertEquals(decodeContent(inner).messages.map((each) => Number(each.number)), numbers);
    } else {
      assertRefuses(() => decodeContent(inner), "bad_frame", what);
      const messages = numbers.map((each) => end(BigInt(each)));
      assertThrows(() => encodeContent({ ...standing, messages }), RangeError);
    }
  }
  assertThrows(() => encodeContent({ ...standing, first: 0n, messages: [] }), RangeError);
  const zero = encodeContent({ ...standing, messages: [] });
  zero.fill(0, 12 + 16, 12 + 16 + 8);
  assertRefuses(() => decodeContent(zero), "bad_frame", "a first of 0");
});

Deno.test("decodeContent() refuses items and messages that do not belong there", () => {
  const piece = "02" + number(3) + "00ff";
  const bad = "01" + number(3) + ID + number(7) + "c0af";
  const wrong: Record<string, string> = {
    "a piece of a byte stream": item(piece),
    "a text that is not UTF-8": item(bad),
    "an unknown message": item("ff" + number(3) + ID),
    "an empty message": item(""),
    "an end with content": item(endBody(3) + "00"),
    "an unknown item": item(endBody(3), 6),
    "an item behind padding": "00" + item(endBody(3)),
    "an item that ends beyond": "01" + "0000ffff" + endBody(3),
    "an item that overflows": "01" + "ffffffff" + endBody(3),
  };
  for (const type of Object.values(ItemType)) {
    if (type !== ItemType.message) wrong[`item ${type}`] = item(endBody(3), type);
  }
  decodeContent(contentOf(item(endBody(3)), 512));
  for (const [what, items] of Object.entries(wrong)) {
    assertRefuses(() => decodeContent(contentOf(items, 512)), "bad_frame", what);
  }
  const cut = contentOf("", 512);
  cut[511] = 1;
  assertRefuses(() => decodeContent(cut), "bad_frame", "an item that is cut");
});

Deno.test("decodeContent() takes names that somebody could have, and no others", () => {
  const named = (from: string, to: string) => {
    const names = [from, to].map((name) =>
      concat([new Uint8Array([0, name.length]), encodeUtf8(name)])
    );
    const inner = new Uint8Array(512);
    const tail = encodeContent({ ...standing, messages: [] }).subarray(12, HEAD);
    inner.set(concat([...names, tail]));
    return inner;
  };
  assertEquals(decodeContent(named("x".repeat(32), "b")).to, "b");
  for (const bad of ["", "Bob", "admin", "all", "x".repeat(33), "bob\n"]) {
    assertRefuses(() => decodeContent(named(bad, "bob")), "bad_frame", bad);
    assertRefuses(() => decodeContent(named("alice", bad)), "bad_frame", bad);
    assertThrows(() => encodeContent({ ...standing, from: bad, messages: [] }), RangeError);
  }
});

Deno.test("fields of a header and of a content have exactly their lengths", () => {
  const header = decode(sessionHeader, decodeHex(ONCE!.header));
  for (const field of ["box", "ephemeral", "ciphertext"] as const) {
    for (const off of [-1, 1]) {
      const wrong = { ...header, [field]: new Uint8Array(header[field].length + off) };
      assertThrows(() => encode(sessionHeader, wrong), RangeError);
    }
  }
  for (const field of ["log", "readLog", "haveId", "pass"] as const) {
    for (const length of [0, 15, 17]) {
      const wrong = { ...standing, [field]: new Uint8Array(length), messages: [] };
      assertThrows(() => encodeContent(wrong), RangeError);
    }
  }
});
