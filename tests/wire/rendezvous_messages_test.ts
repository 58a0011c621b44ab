import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { hintOf, type RefusalCode, refusalHintOf, refusalTextOf } from "../../lib/errors.ts";
import { ItemType, REQUEST_NUMBERS, RESPONSE_NUMBERS } from "../../lib/wire/numbers.ts";
import {
  Capability,
  decodeServerRequest,
  decodeServerResponse,
  encodeServerRequest,
  encodeServerResponse,
  PersonState,
  REFUSAL_CODES,
  refusalError,
  refusalFor,
  refusalOf,
  type Registration,
  type ServerRequest,
  serverRequest,
  type ServerResponse,
  serverResponse,
} from "../../lib/wire/rendezvous_messages.ts";
import { account, introduction, registration, U64_MAX } from "./samples.ts";
import { assertRefuses } from "./refusal.ts";
import type { Layout } from "../../lib/wire/layout.ts";
import { lineOf } from "../../lib/wire/line.ts";

function field(bytes: Bytes): Bytes {
  return concat([new Uint8Array([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

/** The registration in these bytes. */
function decodeRegistration(wire: Bytes): Registration {
  const { type, ...decoded } = decodeServerRequest(wire) as Registration & {
    readonly type: string;
  };
  assertEquals(type, "register");
  return decoded;
}

const CLAIM = "001fffffffffffff" + "06".repeat(64);

/** A registration with these bytes as its name. */
function registrationNamed(name: Bytes): Bytes {
  const tail = decodeHex(
    "9cb0" + "9cb1" + "00000000" + "0000000000000001" + "00" + CLAIM + "00",
  );
  return concat([decodeHex("01"), field(name), tail]);
}

/** A want of these bytes. */
function wantNamed(name: Bytes): Bytes {
  return concat([decodeHex("12"), field(name)]);
}

Deno.test("encodeServerRequest() writes a registration as the document has it", () => {
  const wire = encodeServerRequest({
    type: "register",
    ...registration,
    advertised: ["10.0.0.7"],
  });
  const expected = "01" + "0005" + encodeHex(encodeUtf8("alice")) + "9cb0" + "ffff" + "00000005" +
    "ffffffffffffffff" +
    "01" + "040a000007" + CLAIM + "02" + "0042" + "07".repeat(66) + "08".repeat(64) +
    "0081" + "09".repeat(129) + "0a".repeat(64);
  assertEquals(encodeHex(wire), expected);
});

Deno.test("decodeServerRequest() keeps the largest sequence number exactly (D16)", () => {
  const request = decodeRegistration(encodeServerRequest({ type: "register", ...registration }));
  assertEquals(request, registration);
  assertEquals(request.registrationSequence, U64_MAX);
  const odd = { ...registration, registrationSequence: 2n ** 53n + 1n };
  assertEquals(
    decodeRegistration(encodeServerRequest({ type: "register", ...odd })).registrationSequence,
    2n ** 53n + 1n,
  );
});

Deno.test("decodeServerRequest() takes names of 0 to 32 bytes and no more (D1)", () => {
  for (const length of [0, 1, 32]) {
    const name = "a".repeat(length);
    assertEquals(decodeRegistration(registrationNamed(encodeUtf8(name))).name, name);
    assertEquals(decodeServerRequest(wantNamed(encodeUtf8(name))), { type: "want", name });
  }
  for (const length of [33, 255, 65535]) {
    const name = encodeUtf8("a".repeat(length));
    assertRefuses(() => decodeServerRequest(registrationNamed(name)));
    assertRefuses(() => decodeServerRequest(wantNamed(name)));
  }
});

Deno.test("decodeServerRequest() refuses names that are not UTF-8 (D15)", () => {
  for (const hex of ["c0af", "eda080", "ff", "e282", "c1bf"]) {
    const bad = decodeHex(hex);
    assertRefuses(() => decodeServerRequest(registrationNamed(bad)));
    assertRefuses(() => decodeServerRequest(wantNamed(bad)));
  }
});

Deno.test("decodeServerRequest() refuses a fifth advertised address", () => {
  const four = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "::1"];
  const wire = encodeServerRequest({ type: "register", ...registration, advertised: four });
  assertEquals(decodeRegistration(wire).advertised, four);
  assertThrows(
    () =>
      encodeServerRequest({ type: "register", ...registration, advertised: [...four, "10.0.0.5"] }),
    RangeError,
  );
  const none = encodeServerRequest({ type: "register", ...registration, advertised: [] });
  // Behind the addresses stand the claim and its two vouchers.
  const tail = 8 + 64 + 1 + 2 + 66 + 64 + 2 + 129 + 64;
  const head = none.subarray(0, -tail - 1), end = none.subarray(-tail);
  const with4 = concat([head, decodeHex("04" + "040a000001".repeat(4)), end]);
  assertEquals(decodeRegistration(with4).advertised.length, 4);
  assertRefuses(() =>
    decodeServerRequest(concat([head, decodeHex("05" + "040a000001".repeat(5)), end]))
  );
});

Deno.test("decodeServerResponse() refuses a second address of the server's, and a fifth of the peer's", () => {
  const many = (count: number) => Array.from({ length: count }, (_, i) => `10.0.0.${i}`);
  const full = { ...introduction, observed: many(1), advertised: many(4) };
  assertEquals(
    decodeServerResponse(encodeServerResponse({ type: "introduction", ...full })),
    { type: "introduction", ...full },
  );
  for (const more of [{ observed: many(2) }, { advertised: many(5) }]) {
    assertThrows(
      () => encodeServerResponse({ type: "introduction", ...full, ...more }),
      RangeError,
    );
  }
  const none = { ...introduction, observed: [], advertised: [] };
  const wire = encodeServerResponse({ type: "introduction", ...none });
  // Behind the addresses stand the endpoint to punch to and the relay's byte.
  const tail = 1 + "04cb007109".length / 2 + 2 + 1;
  const head = wire.subarray(0, -tail - 2), end = wire.subarray(-tail);
  const written = (advertised: number, observed: number) =>
    concat([
      head,
      ...[advertised, observed].map((count) => decodeHex(`0${count}` + "040a000001".repeat(count))),
      end,
    ]);
  assertEquals(decodeServerResponse(written(4, 1)).type, "introduction");
  assertRefuses(() => decodeServerResponse(written(4, 2)));
  assertRefuses(() => decodeServerResponse(written(5, 1)));
});

Deno.test("encodeServerResponse() writes an introduction as the document has it", () => {
  const wire = encodeServerResponse({
    type: "introduction",
    ...introduction,
    bundle: decodeHex("aabb"),
    advertised: ["10.0.0.9"],
    observed: ["203.0.113.9"],
  });
  const expected = "03" + "0003" + encodeHex(encodeUtf8("bob")) +
    "02".repeat(32) + "ffffffff" + "0002aabb" + "8000000000000000" +
    "001fffffffffffff" + "0b".repeat(64) + "9cb1" + "9cb2" + "01" + "040a000009" + "01" +
    "04cb007109" +
    "01" + "04cb007109" + "9cb2" + "01";
  assertEquals(encodeHex(wire), expected);
});

Deno.test("decodeServerResponse() takes one endpoint to punch to at the most", () => {
  const one = { host: "203.0.113.9", port: 40114 };
  for (const punch of [[], [one]]) {
    const response = { type: "introduction", ...introduction, punch } as const;
    assertEquals(decodeServerResponse(encodeServerResponse(response)), response);
  }
  const two = { ...introduction, punch: [one, one] };
  assertThrows(() => encodeServerResponse({ type: "introduction", ...two }), RangeError);
  const none = encodeServerResponse({ type: "introduction", ...introduction, punch: [] });
  const endpoint = "04cb0071099cb2";
  const punched = (hex: string) => concat([none.subarray(0, -2), decodeHex(hex + "01")]);
  assertEquals(
    decodeServerResponse(punched("01" + endpoint)),
    { type: "introduction", ...introduction },
  );
  assertRefuses(() => decodeServerResponse(punched("02" + endpoint + endpoint)));
  assertRefuses(() => decodeServerResponse(punched("01" + endpoint.slice(2))));
});

Deno.test("capabilities have the bits of the document, and unknown ones are kept", () => {
  assertEquals(Capability, { relay: 1, hidden: 2, punch: 4, lobby: 8, unlisted: 16 });
  for (const capabilities of [0, 31, 32, 0x80000000, 0xffffffff]) {
    const wire = encodeServerRequest({ type: "register", ...registration, capabilities });
    assertEquals(decodeRegistration(wire).capabilities, capabilities);
  }
});

Deno.test("decodeServerResponse() bounds the bundle and the reason", () => {
  for (const length of [0, 129, 130]) {
    const bundle = new Uint8Array(length);
    const response = { type: "introduction", ...introduction, bundle } as const;
    assertEquals(decodeServerResponse(encodeServerResponse(response)), response);
  }
  const tooLong = { ...introduction, bundle: new Uint8Array(131) };
  assertThrows(() => encodeServerResponse({ type: "introduction", ...tooLong }), RangeError);
  const reason = (length: number) =>
    concat([decodeHex("02" + "06" + "0000"), field(encodeUtf8("x".repeat(length)))]);
  assertEquals(decodeServerResponse(reason(200)).type, "refused");
  assertRefuses(() => decodeServerResponse(reason(201)));
});

Deno.test("each number has one meaning, and those of others have none here", () => {
  for (const numbers of [REQUEST_NUMBERS, RESPONSE_NUMBERS, ItemType]) {
    assertEquals(new Set(Object.values(numbers)).size, Object.values(numbers).length);
  }
  const used = numbersOf(serverRequest, REQUEST_NUMBERS);
  for (let tag = 0; tag < 256; tag++) {
    if (used.has(tag)) continue;
    const wire = concat([
      new Uint8Array([tag]),
      encodeServerRequest({ type: "register", ...registration }).subarray(1),
    ]);
    assertRefuses(() => decodeServerRequest(wire), "bad_frame", `request ${tag}`);
  }
  const answered = numbersOf(serverResponse, RESPONSE_NUMBERS);
  for (let tag = 0; tag < 256; tag++) {
    if (answered.has(tag)) continue;
    assertRefuses(() => decodeServerResponse(new Uint8Array([tag])), "bad_frame", `${tag}`);
  }
  const range = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => from + i);
  // The mailbox has a decoder of its own.
  for (const other of [...range(7, 17), 20]) assert(!used.has(other), `${other}`);
  for (const other of range(11, 19)) assert(!answered.has(other), `${other}`);
  const items = new Set<number>(Object.values(ItemType));
  for (const spokenFor of [6, 11]) assert(!items.has(spokenFor), `${spokenFor}`);
});

/** The numbers that a layout knows. */
function numbersOf(
  { parts }: Layout<unknown>,
  numbers: Readonly<Record<string, number>>,
): ReadonlySet<number> {
  return new Set(Object.keys(parts!).map((name) => numbers[name]!));
}

Deno.test("refusal numbers are those of the document, and others mean refused", () => {
  assertEquals(REFUSAL_CODES, {
    bad_name: 1,
    name_taken: 2,
    bad_address: 3,
    stale_registration: 4,
    replaced: 5,
    limit: 6,
    shutdown: 7,
    refused: 8,
    banned: 9,
    kicked: 10,
    account_required: 11,
    wrong_password: 12,
    auth_failed: 13,
    invite_required: 14,
  });
  for (const [name, code] of Object.entries(REFUSAL_CODES)) assertEquals(refusalOf(code), name);
  for (const code of [0, 15, 255]) assertEquals(refusalOf(code), "refused");
});

/** Checks that a request is written as the document has it, and read again. */
function assertRequest(request: ServerRequest, hex: string): void {
  assertEquals(encodeHex(encodeServerRequest(request)), hex);
  assertEquals(decodeServerRequest(decodeHex(hex)), request);
}

function assertResponse(response: ServerResponse, hex: string): void {
  assertEquals(encodeHex(encodeServerResponse(response)), hex);
  assertEquals(decodeServerResponse(decodeHex(hex)), response);
}

Deno.test("wants are written as the document has them", () => {
  assertRequest({ type: "want", name: "alice" }, "12" + ALICE);
  assertRequest({ type: "unwant", name: "alice" }, "13" + ALICE);
  assertResponse(
    { type: "unwanted", peerName: "alice", code: 6, retryAfter: 258, reason: lineOf("b") },
    "14" + ALICE + "06" + "0102" + "000162",
  );
  const reason = (length: number) =>
    concat([decodeHex("14" + ALICE + "060000"), field(encodeUtf8("x".repeat(length)))]);
  assertEquals(decodeServerResponse(reason(200)).type, "unwanted");
  assertRefuses(() => decodeServerResponse(reason(201)));
});

const ALICE = "0005" + encodeHex(encodeUtf8("alice"));

Deno.test("the requests and responses of the lobby are written as the document has them", () => {
  assertRequest({ type: "decline", name: "alice" }, "02" + ALICE);
  assertRequest({ type: "away", away: 1 }, "0301");
  assertRequest({ type: "away", away: 0 }, "0300");
  assertRequest({ type: "who" }, "15");
  assertRequest({ type: "known", after: "alice" }, "16" + ALICE);
  for (const other of ["02", "ff"]) {
    assertRefuses(() => decodeServerRequest(decodeHex("03" + other)), "bad_frame", other);
    assertRefuses(() => decodeServerResponse(decodeHex("05" + other + "00")), "bad_frame", other);
  }
  assertThrows(() => encodeServerRequest({ type: "away", away: 2 }), RangeError);
  assertEquals(PersonState, { here: 1, away: 2, gone: 3 });
  const people = [{ name: "alice", state: PersonState.away }, { name: "b", state: 3 }];
  assertResponse(
    { type: "presence", complete: 1, people },
    "0501" + "02" + ALICE + "02000162" + "03",
  );
  assertResponse({ type: "presence", complete: 0, people: [] }, "0500" + "00");
  const bundle = decodeHex("aabb");
  assertResponse(
    { type: "offer", peerName: "alice", suite: 3, bundle },
    "06" + ALICE + "030002aabb",
  );
  assertResponse({ type: "declined", peerName: "alice" }, "07" + ALICE);
});

Deno.test("the requests and responses of accounts are written as the document has them", () => {
  const { nonce, ...signUp } = account;
  const { salt, memory, passes, storedKey, backup, claim } = account;
  const cost = "0c".repeat(16) + "00004c00" + "02";
  const { vouchers } = claim;
  assertRequest(
    { type: "signUp", ...signUp, claim: { ...claim, vouchers: vouchers.slice(0, 1) } },
    "04" + ALICE + "8000000000000000" + CLAIM + "01" + "0042" + "07".repeat(66) +
      "08".repeat(64) + cost + "0d".repeat(64) + "0e".repeat(64) + "012c" + "0f".repeat(300),
  );
  assertRequest({ type: "signIn", name: "alice", nonce }, "05" + ALICE + "10".repeat(24));
  assertRequest({ type: "proof", proof: storedKey }, "06" + "0d".repeat(64));
  assertResponse({ type: "challenge", salt, memory, passes, nonce }, "08" + cost + "10".repeat(24));
  assertResponse(
    { type: "signedIn", signature: storedKey, backup },
    "09" + "0d".repeat(64) + "012c" + "0f".repeat(300),
  );
  assertResponse({ type: "signedUp" }, "0a");
});

Deno.test("vouchers, people and backups have their limits", () => {
  const voucher = registration.claim.vouchers[0]!;
  const withVouchers = (count: number): ServerRequest => ({
    type: "register",
    ...registration,
    claim: { ...registration.claim, vouchers: Array(count).fill(voucher) },
  });
  assertEquals(decodeServerRequest(encodeServerRequest(withVouchers(2))), withVouchers(2));
  assertThrows(() => encodeServerRequest(withVouchers(3)), RangeError);
  const wire = encodeServerRequest(withVouchers(0));
  const one = decodeHex("0042" + "07".repeat(66) + "08".repeat(64));
  const three = concat([wire.subarray(0, -1), decodeHex("03"), one, one, one]);
  assertRefuses(() => decodeServerRequest(three));
  const people = (count: number) =>
    concat([decodeHex("0501"), new Uint8Array([count]), decodeHex("00016101".repeat(count))]);
  assertEquals(decodeServerResponse(people(250)).type, "presence");
  assertRefuses(() => decodeServerResponse(people(251)));
  const backup = (length: number) =>
    concat([decodeHex("09" + "0d".repeat(64)), field(new Uint8Array(length))]);
  assertEquals(decodeServerResponse(backup(16_384)).type, "signedIn");
  assertRefuses(() => decodeServerResponse(backup(16_385)));
  for (
    const short of ["05" + ALICE + "10".repeat(23), "06" + "0d".repeat(63), "03", "0300" + "00"]
  ) {
    assertRefuses(() => decodeServerRequest(decodeHex(short)), "bad_frame", short);
  }
});

Deno.test("refusalFor() keeps to itself what is wrong with our disk, and tells no breach as a refusal", () => {
  assertEquals(refusalFor("banned"), "banned");
  assertEquals(refusalFor("local"), "refused");
  for (const code of ["bad_frame", "bad_state", "cut", "timeout"] as const) {
    assertEquals(refusalFor(code), undefined, code);
  }
});

Deno.test("refusalError() gives the reason of the server, and the hint of the table", () => {
  const told = (code: number, retryAfter = 0) =>
    refusalError({ code, retryAfter, reason: lineOf("no") });
  for (const [code, number] of Object.entries(REFUSAL_CODES) as [RefusalCode, number][]) {
    const error = told(number);
    const said = `${refusalTextOf(code)}; server says: "no"`;
    assertEquals([error.code, error.message], [code, said]);
    assertEquals(error.hint, refusalHintOf(code));
  }
  assertEquals(told(14).message, 'The server wants an invite; server says: "no"');
  assertEquals(told(8).message, 'The server refused; server says: "no"');
  const { code, hint } = told(99);
  assertEquals([code, hint], ["refused", hintOf("refused")]);
  assertStringIncludes(told(REFUSAL_CODES.limit).hint!, "--new-names-per-day");
  assertStringIncludes(told(REFUSAL_CODES.auth_failed).hint!, "clock");
});

Deno.test("refusalError() says how long to wait, where waiting is what helps", () => {
  const told = (code: RefusalCode, retryAfter: number) =>
    refusalError({ code: REFUSAL_CODES[code], retryAfter, reason: lineOf("") });
  assertEquals(told("limit", 119).hint, "try again in 119 s");
  assertEquals(told("limit", 121).hint, "try again in 3 minutes");
  assertEquals(told("limit", 121).retryAfter, 121);
  // Numbers that are behind are caught up with, not waited for.
  const { hint, retryAfter } = told("stale_registration", 30);
  assertEquals([hint, retryAfter], [hintOf("stale_registration"), 30]);
});
