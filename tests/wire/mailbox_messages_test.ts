import { assert, assertEquals, assertThrows } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { ITEM_BODY_LIMIT } from "../../lib/limits.ts";
import {
  BoxState,
  decodeMailboxRequest,
  decodeMailboxResponse,
  DepositCode,
  DepositState,
  encodeMailboxRequest,
  encodeMailboxResponse,
  type MailboxRequest,
  mailboxRequest,
  type MailboxResponse,
  mailboxResponse,
  type PublishedPrekey,
  Verdict,
} from "../../lib/wire/mailbox_messages.ts";
import { REQUEST_NUMBERS, RESPONSE_NUMBERS } from "../../lib/wire/numbers.ts";
import vectors from "../vectors/mailbox.json" with { type: "json" };
import { assertRefuses } from "./refusal.ts";
import { mailboxRequests, mailboxResponses } from "./samples.ts";

const BOB = "0003" + encodeHex(encodeUtf8("bob"));
const BOX = "11".repeat(16), PASS = "12".repeat(16), ID = "16".repeat(16);
const SIGNED = vectors.signed_prekey.wire, ONCE = vectors.one_time_prekey.wire;
const ENVELOPE = vectors.runs[0]!.envelopes[0]!.envelope;
const BUNDLE = vectors.recipient.bundle;

const box = decodeHex(BOX), pass = decodeHex(PASS), id = decodeHex(ID);
const sealed = decodeHex(ENVELOPE);
const bundle = decodeHex(BUNDLE);
const claim = {
  sequence: 2n ** 63n,
  notAfter: 2n ** 53n - 1n,
  signature: new Uint8Array(64).fill(11),
};
const CLAIM = "8000000000000000" + "001fffffffffffff" + "0b".repeat(64);

/** The prekey of the vectors. */
function prekeyOf({ number, wire }: { readonly number: string; readonly wire: string }) {
  const bytes = decodeHex(wire);
  assertEquals(bytes.length, 1288);
  return {
    number: BigInt(number),
    x25519: bytes.slice(8, 40),
    mlkem: bytes.slice(40, 1224),
    signature: bytes.slice(1224),
  } satisfies PublishedPrekey;
}
const signed = prekeyOf(vectors.signed_prekey);
const once = prekeyOf(vectors.one_time_prekey);

function assertRequest(request: MailboxRequest, hex: string): void {
  assertEquals(encodeHex(encodeMailboxRequest(request)), hex);
  assertEquals(decodeMailboxRequest(decodeHex(hex)), request);
}

function assertResponse(response: MailboxResponse, hex: string): void {
  assertEquals(encodeHex(encodeMailboxResponse(response)), hex);
  assertEquals(decodeMailboxResponse(decodeHex(hex)), response);
}

Deno.test("requests to the mailbox are written as the document has them", () => {
  const passKey = decodeHex(vectors.pass_key);
  const { notAfter, signature } = claim;
  assertRequest(
    { type: "open", box, passKey, notAfter, signature },
    "07" + BOX + vectors.pass_key + "001fffffffffffff" + "0b".repeat(64),
  );
  assertRequest(
    { type: "publish", box, anew: 1, signed: [signed], once: [once, once] },
    "08" + BOX + "01" + "01" + SIGNED + "02" + ONCE + ONCE,
  );
  assertRequest(
    { type: "publish", box, anew: 0, signed: [], once: [] },
    "08" + BOX + "00" + "00" + "00",
  );
  assertRequest({ type: "ask", name: "bob", pass }, "09" + BOB + PASS);
  assertRequest(
    { type: "deposit", id, name: "bob", box, pass, replaces: [], envelope: sealed },
    "0a" + ID + BOB + BOX + PASS + "00" + ENVELOPE,
  );
  assertRequest(
    { type: "deposit", id, name: "bob", box, pass, replaces: [box, pass], envelope: sealed },
    "0a" + ID + BOB + BOX + PASS + "02" + BOX + PASS + ENVELOPE,
  );
  assertRequest(
    {
      type: "settle",
      settled: [{ id, verdict: Verdict.taken }, { id: box, verdict: Verdict.unopened }],
    },
    "0b" + "02" + ID + "01" + BOX + "03",
  );
  assertRequest({ type: "mine" }, "0c");
  assertRequest({ type: "withdraw", ids: [id, box] }, "0d" + "02" + ID + BOX);
});

Deno.test("responses of the mailbox are written as the document has them", () => {
  assertResponse(
    {
      type: "box",
      state: BoxState.moved,
      signed: 2n ** 64n - 1n,
      next: 7n,
      highest: 2n ** 53n + 1n,
      stock: 40,
      waiting: 0x0102,
      elsewhere: 0xffff,
      now: 0x19000000002n,
    },
    "0b" + "02" + "ffffffffffffffff" + "0000000000000007" + "0020000000000001" + "28" + "0102" +
      "ffff" + "0000019000000002",
  );
  assertResponse(
    {
      type: "keys",
      name: "bob",
      retryAfter: 258,
      found: [{ bundle, claim, box, signed, once: [once] }],
    },
    "0c" + BOB + "0102" + "01" + "0081" + BUNDLE + CLAIM + BOX + SIGNED + "01" + ONCE,
  );
  assertResponse(
    { type: "keys", name: "bob", retryAfter: 0, found: [] },
    "0c" + BOB + "0000" + "00",
  );
  assertResponse(
    { type: "deposited", id, code: DepositCode.tooFast, retryAfter: 258 },
    "0d" + ID + "04" + "0102",
  );
  assertResponse(
    { type: "envelope", id, sender: "bob", bundle, claim, since: 0x19000000002n, envelope: sealed },
    "0e" + ID + BOB + "0081" + BUNDLE + CLAIM + "0000019000000002" + ENVELOPE,
  );
  assertResponse(
    { type: "mine", more: 1, deposits: [{ id, state: DepositState.handedOut }] },
    "0f" + "01" + "01" + ID + "02",
  );
});

Deno.test("the mailbox's decoders know its own numbers and no others", () => {
  const cases = [
    [mailboxRequest, REQUEST_NUMBERS, mailboxRequests, decodeMailboxRequest],
    [mailboxResponse, RESPONSE_NUMBERS, mailboxResponses, decodeMailboxResponse],
  ] as const;
  for (const [{ parts }, numbers, samples, decode] of cases) {
    assertEquals(Object.keys(parts!), samples.map(({ type }) => type), "an example of each");
    const own = new Set(Object.keys(parts!).map((name) => (numbers as Numbers)[name]));
    for (let tag = 0; tag < 256; tag++) {
      if (!own.has(tag)) assertRefuses(() => decode(new Uint8Array([tag])), "bad_frame", `${tag}`);
    }
  }
});

type Numbers = Readonly<Record<string, number>>;

Deno.test("a name that is asked for may be one that nobody has; a sender's may not", () => {
  const named = (name: Bytes) => concat([new Uint8Array([0, name.length]), name]);
  const ask = (name: Bytes) => concat([decodeHex("09"), named(name), pass]);
  const keys = (name: Bytes) => concat([decodeHex("0c"), named(name), decodeHex("000000")]);
  const envelope = (name: Bytes) =>
    concat([
      decodeHex("0e" + ID),
      named(name),
      decodeHex("0081" + BUNDLE + CLAIM + "0000019000000002" + ENVELOPE),
    ]);
  for (const name of ["", "Bob", "-", "a b", "x".repeat(32)].map(encodeUtf8)) {
    assertEquals(decodeMailboxRequest(ask(name)).type, "ask");
    assertEquals(decodeMailboxResponse(keys(name)).type, "keys");
  }
  for (const name of ["", "Bob", "-", "admin", "x".repeat(33)].map(encodeUtf8)) {
    assertRefuses(() => decodeMailboxResponse(envelope(name)));
  }
  assertEquals(decodeMailboxResponse(envelope(encodeUtf8("bob"))).type, "envelope");
  for (const name of [decodeHex("c0af"), decodeHex("eda080"), encodeUtf8("x".repeat(33))]) {
    assertRefuses(() => decodeMailboxRequest(ask(name)));
    assertRefuses(() => decodeMailboxResponse(keys(name)));
  }
});

/** A list of `count` elements, each the bytes of `hex`, behind `head`. */
function listed(head: string, count: number, hex: string, tail = ""): Bytes {
  return decodeHex(head + count.toString(16).padStart(2, "0") + hex.repeat(count) + tail);
}

Deno.test("lists have their limits, and none is longer than its count says", () => {
  const requests: readonly [string, number, (count: number) => Bytes][] = [
    ["signed prekeys", 1, (count) => listed("08" + BOX + "00", count, SIGNED, "00")],
    ["one-time prekeys", 40, (count) => listed("08" + BOX + "00" + "00", count, ONCE)],
    [
      "replaced ids",
      16,
      (count) => listed("0a" + ID + BOB + BOX + PASS, count, ID, ENVELOPE),
    ],
    ["verdicts", 64, (count) => listed("0b", count, ID + "01")],
    ["withdrawn ids", 64, (count) => listed("0d", count, ID)],
  ];
  const found = "0081" + BUNDLE + CLAIM + BOX + SIGNED;
  const responses: typeof requests = [
    ["found", 1, (count) => listed("0c" + BOB + "0000", count, found + "00")],
    ["found one-time", 1, (count) => listed("0c" + BOB + "0000" + "01" + found, count, ONCE)],
    ["deposits", 250, (count) => listed("0f" + "00", count, ID + "01")],
  ];
  const both = [
    ...requests.map((row) => [...row, decodeMailboxRequest] as const),
    ...responses.map((row) => [...row, decodeMailboxResponse] as const),
  ];
  for (const [what, limit, wire, decode] of both) {
    for (const count of [0, 1, limit]) decode(wire(count));
    for (const count of [limit + 1, 255]) {
      assertRefuses(() => decode(wire(count)), "bad_frame", `${count} ${what}`);
    }
  }
  const many = <T>(count: number, value: T): T[] => Array(count).fill(value);
  const beyond: readonly MailboxRequest[] = [
    { type: "publish", box, anew: 0, signed: many(2, signed), once: [] },
    { type: "publish", box, anew: 0, signed: [], once: many(41, once) },
    { type: "deposit", id, name: "bob", box, pass, replaces: many(17, id), envelope: sealed },
    { type: "settle", settled: many(65, { id, verdict: 1 }) },
    { type: "withdraw", ids: many(65, id) },
  ];
  for (const request of beyond) assertThrows(() => encodeMailboxRequest(request), RangeError);
  const deposits = many(251, { id, state: 1 as const });
  assertThrows(() => encodeMailboxResponse({ type: "mine", more: 0, deposits }), RangeError);
});

Deno.test("flags, states, verdicts and codes have no other values", () => {
  const requests = (other: string) => ["08" + BOX + other + "0000", "0b" + "01" + ID + other];
  const responses = (other: string) => [
    "0b" + other + "00".repeat(8 * 3 + 1 + 2 + 2 + 8),
    "0d" + ID + other + "0000",
    "0f" + other + "00",
    "0f" + "00" + "01" + ID + other,
  ];
  for (const hex of [...requests("01")]) decodeMailboxRequest(decodeHex(hex));
  for (const hex of [...responses("01")]) decodeMailboxResponse(decodeHex(hex));
  for (const other of ["07", "80", "ff"]) {
    for (const hex of requests(other)) {
      assertRefuses(() => decodeMailboxRequest(decodeHex(hex)), "bad_frame", hex);
    }
    for (const hex of responses(other)) {
      assertRefuses(() => decodeMailboxResponse(decodeHex(hex)), "bad_frame", hex);
    }
  }
  // The edges: verdicts and states of deposits begin with 1, states of a box end with 2.
  assertRefuses(() => decodeMailboxRequest(decodeHex(requests("00")[1]!)));
  assertRefuses(() => decodeMailboxRequest(decodeHex(requests("04")[1]!)));
  assertRefuses(() => decodeMailboxRequest(decodeHex(requests("02")[0]!)));
  assertRefuses(() => decodeMailboxResponse(decodeHex(responses("03")[0]!)));
  assertRefuses(() => decodeMailboxResponse(decodeHex(responses("00")[3]!)));
  assertRefuses(() => decodeMailboxResponse(decodeHex(responses("04")[3]!)));
});

Deno.test("an envelope is left and handed out at its lengths and at no other", () => {
  const deposit = (length: number) =>
    concat([decodeHex("0a" + ID + BOB + BOX + PASS + "00"), new Uint8Array(length)]);
  const handed = (length: number) =>
    concat([
      decodeHex("0e" + ID + BOB + "0081" + BUNDLE + CLAIM + "0000019000000002"),
      new Uint8Array(length),
    ]);
  for (const bucket of [512, 1024, 2048, 4096, 8192, 12288, 53248, 57344]) {
    const length = 1203 + bucket;
    decodeMailboxRequest(deposit(length));
    decodeMailboxResponse(handed(length));
    for (const other of [length - 1, length + 1]) {
      assertRefuses(() => decodeMailboxRequest(deposit(other)), "bad_frame", `${other}`);
      assertRefuses(() => decodeMailboxResponse(handed(other)), "bad_frame", `${other}`);
      const envelope = new Uint8Array(other);
      assertThrows(
        () =>
          encodeMailboxRequest({
            type: "deposit",
            id,
            name: "bob",
            box,
            pass,
            replaces: [],
            envelope,
          }),
        RangeError,
      );
    }
  }
  for (const length of [0, 1, 512, 1203, 1203 + 64, 1203 + 256, 1203 + 768, 1203 + 61440]) {
    assertRefuses(() => decodeMailboxRequest(deposit(length)), "bad_frame", `${length}`);
  }
});

Deno.test("the longest request and the longest response are one item each", () => {
  const name = "x".repeat(32), envelope = new Uint8Array(1203 + 57344);
  const replaces = Array(16).fill(id);
  const deposit = encodeMailboxRequest({
    type: "deposit",
    id,
    name,
    box,
    pass,
    replaces,
    envelope,
  });
  const stock = Array(40).fill(once);
  const publish = encodeMailboxRequest({
    type: "publish",
    box,
    anew: 1,
    signed: [signed],
    once: stock,
  });
  const since = 0n;
  const handed = encodeMailboxResponse({
    type: "envelope",
    id,
    sender: name,
    bundle,
    claim,
    since,
    envelope,
  });
  for (const body of [deposit, publish, handed]) {
    assert(body.length <= ITEM_BODY_LIMIT, `${body.length}`);
  }
});
