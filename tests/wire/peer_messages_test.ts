import { assertEquals, assertThrows } from "@std/assert";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import { peerAck, peerHello, peerMessage, peerWelcome } from "../../lib/wire/peer_messages.ts";
import { U64_MAX } from "./samples.ts";
import { assertRefuses } from "./refusal.ts";

Deno.test("peerHello names both and counts what is stored", () => {
  const value = { from: "alice", to: "bob", have: U64_MAX };
  const hex = "0005616c696365" + "0003626f62" + "ffffffffffffffff";
  assertEquals(encodeHex(encode(peerHello, value)), hex);
  assertEquals(decode(peerHello, decodeHex(hex)), value);
});

Deno.test("peerHello refuses names beyond 32 bytes and names that are not UTF-8", () => {
  const long = "x".repeat(33);
  assertThrows(() => encode(peerHello, { from: long, to: "bob", have: 0n }), RangeError);
  const counter = "0000000000000000";
  const bob = "0003626f62";
  assertRefuses(() => decode(peerHello, decodeHex("0021" + "78".repeat(33) + bob + counter)));
  assertRefuses(() => decode(peerHello, decodeHex(bob + "0021" + "78".repeat(33) + counter)));
  assertRefuses(() => decode(peerHello, decodeHex("0002c0af" + bob + counter)));
  assertRefuses(() => decode(peerHello, decodeHex("0003eda080" + bob + counter)));
});

Deno.test("peerWelcome and peerAck are one counter", () => {
  const hex = "0020000000000001";
  assertEquals(decode(peerWelcome, decodeHex(hex)), { have: 2n ** 53n + 1n });
  assertEquals(decode(peerAck, decodeHex(hex)), { number: 2n ** 53n + 1n });
});

Deno.test("peerMessage is text, bytes or an end, each with its number", () => {
  const messages = {
    ["01" + "0000000000000001" + "61686f6a"]: {
      type: "text",
      number: 1n,
      content: encodeUtf8("ahoj"),
    },
    ["02" + "ffffffffffffffff" + "00ff"]: {
      type: "bytes",
      number: U64_MAX,
      content: decodeHex("00ff"),
    },
    ["02" + "0000000000000002"]: { type: "bytes", number: 2n, content: new Uint8Array(0) },
    ["03" + "0000000000000003"]: { type: "end", number: 3n },
  } as const;
  for (const [hex, message] of Object.entries(messages)) {
    assertEquals(encodeHex(encode(peerMessage, message)), hex);
    assertEquals(decode(peerMessage, decodeHex(hex)), message);
  }
});

Deno.test("peerMessage refuses unknown types and an end with content", () => {
  for (const hex of ["", "00", "04", "ff", "03" + "0000000000000003" + "00", "0100000000000000"]) {
    assertRefuses(() => decode(peerMessage, decodeHex(hex)), "bad_frame", hex);
  }
});
