import { assertEquals, assertThrows } from "@std/assert";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { TEXT_LIMIT } from "../../lib/limits.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import {
  decodeMessage,
  encodeMessage,
  ID_LENGTH,
  LogKind,
  type Message,
  messageLength,
  peerAck,
  peerAway,
  peerHello,
  peerMessage,
  peerWelcome,
  textOf,
} from "../../lib/wire/peer_messages.ts";
import { type Line, lineOf } from "../../lib/wire/line.ts";
import { position, U64_MAX } from "./samples.ts";
import { assertRefuses } from "./refusal.ts";

/** `position` on the wire. */
const STANDING = "04".repeat(16) + "01" + "0020000000000001" + "05".repeat(16) +
  "ffffffffffffffff" + "07".repeat(16);

Deno.test("peerHello names both, then tells where the two logs stand", () => {
  const value = { from: "alice", to: "bob", ...position };
  const hex = "0005616c696365" + "0003626f62" + STANDING;
  assertEquals(encodeHex(encode(peerHello, value)), hex);
  assertEquals(decode(peerHello, decodeHex(hex)), value);
});

Deno.test("peerWelcome is a position alone", () => {
  assertEquals(encodeHex(encode(peerWelcome, position)), STANDING);
  assertEquals(decode(peerWelcome, decodeHex(STANDING)), position);
});

Deno.test("logs and messages have ids of 16 bytes, and the kinds of logs their numbers", () => {
  assertEquals(ID_LENGTH, 16);
  assertEquals(LogKind, { kept: 1, live: 2 });
  for (const length of [0, 15, 17]) {
    const wrong = new Uint8Array(length);
    assertThrows(() => encode(peerWelcome, { ...position, log: wrong }), RangeError);
    assertThrows(() => encode(peerWelcome, { ...position, readLog: wrong }), RangeError);
    assertThrows(() => encode(peerWelcome, { ...position, haveId: wrong }), RangeError);
    assertThrows(() => encode(peerMessage, { type: "end", number: 1n, id: wrong }), RangeError);
    const text = { number: 1n, id: wrong, written: 0n, content: new Uint8Array(0) };
    assertThrows(() => encode(peerMessage, { type: "text", ...text }), RangeError);
  }
});

Deno.test("peerHello refuses names beyond 32 bytes and names that are not UTF-8", () => {
  const long = "x".repeat(33);
  assertThrows(() => encode(peerHello, { from: long, to: "bob", ...position }), RangeError);
  const bob = "0003626f62";
  assertEquals(decode(peerHello, decodeHex(bob + bob + STANDING)).from, "bob");
  assertRefuses(() => decode(peerHello, decodeHex("0021" + "78".repeat(33) + bob + STANDING)));
  assertRefuses(() => decode(peerHello, decodeHex(bob + "0021" + "78".repeat(33) + STANDING)));
  assertRefuses(() => decode(peerHello, decodeHex("0002c0af" + bob + STANDING)));
  assertRefuses(() => decode(peerHello, decodeHex("0003eda080" + bob + STANDING)));
});

Deno.test("peerAck is two counters, exact above 2^53", () => {
  const hex = "0020000000000001" + "ffffffffffffffff";
  const value = { stored: 2n ** 53n + 1n, read: U64_MAX };
  assertEquals(encodeHex(encode(peerAck, value)), hex);
  assertEquals(decode(peerAck, decodeHex(hex)), value);
  assertRefuses(() => decode(peerAck, decodeHex("0020000000000001")));
});

Deno.test("peerAway is one printable line of at most 200 bytes, which may be empty", () => {
  assertEquals(encodeHex(encode(peerAway, { words: lineOf("back") })), "0004" + "6261636b");
  for (const length of [0, 1, 199, 200]) {
    const words = lineOf("x".repeat(length));
    assertEquals(decode(peerAway, encode(peerAway, { words })), { words });
  }
  assertRefuses(() => decode(peerAway, decodeHex("00c9" + "78".repeat(201))));
  assertThrows(() => encode(peerAway, { words: lineOf("x".repeat(201)) }), RangeError);
  assertThrows(() => encode(peerAway, { words: "a\nb" as Line }), RangeError);
});

Deno.test("peerMessage is text, bytes, an end or one taken back, each with its number", () => {
  const messages = {
    ["01" + "0000000000000001" + "06".repeat(16) + "0000019000000002" + "61686f6a"]: {
      type: "text",
      number: 1n,
      id: new Uint8Array(16).fill(6),
      written: 0x19000000002n,
      content: encodeUtf8("ahoj"),
    },
    ["02" + "ffffffffffffffff" + "00ff"]: {
      type: "bytes",
      number: U64_MAX,
      content: decodeHex("00ff"),
    },
    ["02" + "0000000000000002"]: { type: "bytes", number: 2n, content: new Uint8Array(0) },
    ["03" + "0000000000000003" + "06".repeat(16)]: {
      type: "end",
      number: 3n,
      id: new Uint8Array(16).fill(6),
    },
    ["04" + "0000000000000004" + "06".repeat(16)]: {
      type: "takenBack",
      number: 4n,
      id: new Uint8Array(16).fill(6),
    },
    ["05" + "0000000000000005" + "06".repeat(16) + "0000019000000002" + "02" + "07".repeat(16)]: {
      type: "file",
      number: 5n,
      id: new Uint8Array(16).fill(6),
      written: 0x19000000002n,
      content: decodeHex("02" + "07".repeat(16)),
    },
  } as const;
  for (const [hex, message] of Object.entries(messages)) {
    assertEquals(encodeHex(encode(peerMessage, message)), hex);
    assertEquals(decode(peerMessage, decodeHex(hex)), message);
  }
});

Deno.test("peerMessage refuses unknown types, a text cut before its content, more than an end has", () => {
  const number = "0000000000000003", id = "06".repeat(16);
  const bad = [
    "",
    "00",
    "06",
    "ff",
    "05",
    "05" + number + id,
    "03" + number,
    "03" + number + id + "00",
  ];
  bad.push("04" + number, "04" + number + id + "00");
  bad.push("01" + number.slice(2), "01" + number, "01" + number + id + "00".repeat(7));
  for (const hex of bad) {
    assertRefuses(() => decode(peerMessage, decodeHex(hex)), "bad_frame", hex);
  }
});

const ID = new Uint8Array(16).fill(6);

/** The body of a text with this content. */
function textBody(content: Bytes, written = 0n): Bytes {
  return encode(peerMessage, { type: "text", number: 1n, id: ID, written, content });
}

Deno.test("decodeMessage() gives what encodeMessage() took, and messageLength() its length", () => {
  const nothing = new Uint8Array(0);
  const messages: Message[] = [
    { type: "text", number: 1n, id: ID, written: 7, content: encodeUtf8("ahoj") },
    { type: "text", number: 2n, id: ID, written: 0, content: nothing },
    { type: "bytes", number: U64_MAX, content: decodeHex("00ff") },
    { type: "bytes", number: 3n, content: nothing },
    { type: "end", number: 4n, id: ID, written: 0, content: nothing },
    { type: "taken back", number: 5n, id: ID, written: 0, content: nothing },
    { type: "file", number: 6n, id: ID, written: 8, content: decodeHex("02" + "07".repeat(16)) },
  ];
  for (const message of messages) {
    const body = encodeMessage(message);
    assertEquals(decodeMessage(body), message);
    assertEquals(messageLength(message), body.length);
  }
});

Deno.test("encodeMessage() says nothing of when an end was written", () => {
  const end = { type: "end", number: 4n, id: ID } as const;
  const body = encodeMessage({ ...end, written: 99, content: new Uint8Array(0) });
  assertEquals(body, encode(peerMessage, end));
});

Deno.test("decodeMessage() and textOf() refuse what is no text", () => {
  const wrong = [
    new Uint8Array([0xff]),
    new Uint8Array([0xc0, 0x80]),
    new Uint8Array([0xed, 0xa0, 0x80]),
    encodeUtf8("x".repeat(TEXT_LIMIT + 1)),
  ];
  for (const content of wrong) {
    assertRefuses(() => decodeMessage(textBody(content)));
    assertRefuses(() => textOf({ content }));
  }
  const longest = encodeUtf8("x".repeat(TEXT_LIMIT));
  assertEquals(textOf(decodeMessage(textBody(longest))).length, TEXT_LIMIT);
  // A byte stream is made of anything.
  decodeMessage(encode(peerMessage, { type: "bytes", number: 1n, content: wrong[0]! }));
});

Deno.test("decodeMessage() refuses what is no word about a transfer", () => {
  for (const content of ["", "02", "02" + "07".repeat(17), "61686f6a"]) {
    const message = { number: 1n, id: ID, written: 0n, content: decodeHex(content) };
    assertRefuses(() => decodeMessage(encode(peerMessage, { type: "file", ...message })));
  }
});

Deno.test("decodeMessage() takes a time that no date has for none", () => {
  const times = [0n, 8_640_000_000_000_000n, 8_640_000_000_000_001n, U64_MAX];
  const written = times.map((time) => decodeMessage(textBody(ID, time)))
    .map((message) => message.type === "text" && message.written);
  assertEquals(written, [0, 8.64e15, 0, 0]);
});
