/** What holds for every message there is; the files beside this one look at each closely. */
import { assertEquals } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { encodeHex } from "@std/encoding/hex";
import { allSamples } from "./samples.ts";
import { assertRefuses } from "./refusal.ts";

const samples = await allSamples();

Deno.test("every message decodes to what encodes to it", () => {
  for (const { name, valid, roundTrip } of samples) {
    for (const message of valid) {
      assertEquals(encodeHex(roundTrip(message)), encodeHex(message), name);
    }
  }
});

Deno.test("every message is refused when cut at any length (F10)", () => {
  for (const { name, valid, roundTrip, openEnd } of samples) {
    for (const message of valid) {
      for (let length = 0; length < message.length; length++) {
        if (openEnd !== undefined && length >= openEnd) continue;
        const cut = message.subarray(0, length);
        assertRefuses(() => roundTrip(cut), "bad_frame", `${name} cut to ${length}`);
      }
    }
  }
});

Deno.test("every message is refused with a byte left over (F9)", () => {
  for (const { name, valid, roundTrip, openEnd } of samples) {
    if (openEnd !== undefined) continue;
    for (const message of valid) {
      for (const extra of [0x00, 0x01, 0xff]) {
        const longer = concat([message, new Uint8Array([extra])]);
        assertRefuses(() => roundTrip(longer), "bad_frame", `${name} with ${extra}`);
      }
    }
  }
});

Deno.test("every message is refused twice in a row", () => {
  for (const { name, valid, roundTrip, openEnd } of samples) {
    if (openEnd !== undefined) continue;
    for (const message of valid) {
      assertRefuses(() => roundTrip(concat([message, message])), "bad_frame", name);
    }
  }
});
