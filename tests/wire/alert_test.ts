import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import type { ErrorCode } from "../../lib/errors.ts";
import { ALERT_CODES, decodeAlert, encodeAlert } from "../../lib/wire/alert.ts";
import { assertRefuses } from "./refusal.ts";

Deno.test("alert numbers are those of the document", () => {
  assertEquals(ALERT_CODES, {
    bad_frame: 1,
    bad_state: 2,
    bad_version: 3,
    suite_refused: 4,
    auth_failed: 5,
    busy: 6,
    timeout: 7,
    limit: 8,
    slow_reader: 9,
    invite_required: 10,
    shutdown: 11,
    refused: 12,
  });
});

Deno.test("decodeAlert() gives back the code that encodeAlert() was given, as a sentence", () => {
  for (const [code, number] of Object.entries(ALERT_CODES)) {
    const body = encodeAlert({ code: code as ErrorCode });
    assertEquals(body, new Uint8Array(code === "busy" ? [number, 1] : [number]));
    const error = decodeAlert(body);
    assertEquals(error.code, code);
    assertMatch(error.message, /^The other side closed the connection: [a-z][^.]*[a-z]$/);
  }
});

Deno.test("encodeAlert() says refused for what is nobody else's business", () => {
  for (const code of ["local", "locked", "bad_name"] as const) {
    assertEquals(encodeHex(encodeAlert({ code })), "0c", code);
  }
});

Deno.test("encodeAlert() says the same whyever somebody is not trusted", () => {
  const codes = ["auth_failed", "identity_changed", "identity_unknown", "suite_downgrade"] as const;
  for (const code of codes) assertEquals(encodeHex(encodeAlert({ code })), "05", code);
});

Deno.test("decodeAlert() says what to try, where one thing is right", () => {
  const told = (code: ErrorCode) => decodeAlert(encodeAlert({ code })).hint;
  assertStringIncludes(told("invite_required")!, "--invite");
  assertStringIncludes(told("suite_refused")!, "--allow-classic");
  assertEquals(told("busy"), "try again in a few seconds");
  assertEquals(told("bad_version"), "use the same version of cifra on both sides");
  // The hint of an authentication failure is for a refused registration alone.
  assertEquals(told("auth_failed"), undefined);
});

Deno.test("decodeAlert() takes a number it does not know as refused", () => {
  for (const number of [0, 13, 255]) {
    assertEquals(decodeAlert(new Uint8Array([number])).code, "refused");
  }
});

Deno.test("decodeAlert() refuses an empty alert and one with a byte left over", () => {
  for (const hex of ["", "0505", "050000", "06", "060101"]) {
    assertRefuses(() => decodeAlert(decodeHex(hex)));
  }
});

Deno.test("busy says when to come again, and is believed within a second and a minute", () => {
  const busy = (retryAfter?: number) => encodeHex(encodeAlert({ code: "busy", retryAfter }));
  assertEquals([busy(), busy(0), busy(1.2), busy(60), busy(1e9)], [
    "0601",
    "0601",
    "0602",
    "063c",
    "063c",
  ]);
  const told = (hex: string) => decodeAlert(decodeHex(hex)).retryAfter;
  assertEquals([told("0600"), told("0607"), told("06ff")], [1, 7, 60]);
  assertEquals(decodeAlert(decodeHex("08")).retryAfter, undefined);
});
