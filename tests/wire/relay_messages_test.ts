import { assertEquals } from "@std/assert";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import { relayItem } from "../../lib/wire/relay_messages.ts";
import { assertRefuses } from "./refusal.ts";

Deno.test("relayItem is data, credit or a close, each with its stream", () => {
  const items = {
    ["01" + "00000007" + "61686f6a"]: { type: "data", stream: 7, content: encodeUtf8("ahoj") },
    ["01" + "ffffffff" + "78"]: { type: "data", stream: 0xffffffff, content: encodeUtf8("x") },
    ["02" + "80000000" + "00040000"]: { type: "credit", stream: 0x80000000, count: 262_144 },
    ["02" + "00000001" + "ffffffff"]: { type: "credit", stream: 1, count: 0xffffffff },
    ["03" + "00000007"]: { type: "close", stream: 7 },
    ["04" + "00000007"]: { type: "full", stream: 7 },
  } as const;
  for (const [hex, item] of Object.entries(items)) {
    assertEquals(encodeHex(encode(relayItem, item)), hex);
    assertEquals(decode(relayItem, decodeHex(hex)), item);
  }
});

Deno.test("relayItem refuses unknown types, short fields, data and credit of nothing, and bytes behind credit and close", () => {
  const bad = [
    "",
    "00",
    "0000000007",
    "0500000007",
    "ff00000007",
    "01000000",
    "0100000007",
    "0200000007",
  ];
  bad.push(
    "0200000007" + "000000",
    "0200000007" + "00000001" + "00",
    "0200000007" + "00000000",
    "03000007",
    "030000000700",
  );
  for (const hex of bad) assertRefuses(() => decode(relayItem, decodeHex(hex)), "bad_frame", hex);
});
