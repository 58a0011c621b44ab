import { assertEquals } from "@std/assert";
import { overlay, replaceBody, runBothHandshakes, scene } from "../testkit/handshake.ts";
import { type Codes, refuseEveryFlip } from "./flips.ts";

const MESSAGES = [1, 2, 3, 4, 5, 6] as const;

/** Lengths of m3 to m6 in modern; m4 carries the display name of the scene. */
const LENGTHS = { 3: 1265, 4: 158, 5: 144, 6: 80 } as const;

for (const message of [3, 4, 5, 6] as const) {
  Deno.test(`modern: no single flipped bit of m${message} leads to a channel (H12)`, async () => {
    const codes = await refuseEveryFlip(await scene("modern"), message);
    assertEquals(codes, { auth_failed: LENGTHS[message] * 8 });
  });
}

for (const suiteName of ["rsa", "classic"] as const) {
  Deno.test(`${suiteName}: no sampled flipped bit leads to a channel (H12)`, async () => {
    const configs = await scene(suiteName);
    const { frames } = await runBothHandshakes(configs);
    for (const message of MESSAGES) {
      const cases = Math.ceil(frames[message - 1]!.body.length * 8 / 97);
      // Bit 0 of m1 is in the version; all others are in a nonce, a key or a seal.
      const expected: Codes = message === 1
        ? { bad_version: 1, auth_failed: cases - 1 }
        : { auth_failed: cases };
      assertEquals(await refuseEveryFlip(configs, message, 97), expected, `m${message}`);
    }
  });
}

Deno.test("modern: without a pin no sampled flipped bit leads to a channel either", async () => {
  const { initiator, responder } = await scene("modern");
  const configs = { initiator: { ...initiator, pinned: undefined }, responder };
  for (const message of MESSAGES) await refuseEveryFlip(configs, message, 97);
});

Deno.test("another suite in m1 does not lead to that suite, even where it is accepted", async () => {
  const [modern, rsa] = [await scene("modern"), await scene("rsa")];
  const configs = {
    initiator: modern.initiator,
    responder: {
      ...modern.responder,
      ours: (id: number) => modern.responder.ours(id) ?? rsa.responder.ours(id),
    },
  };
  assertEquals((await runBothHandshakes(configs)).refusal, undefined);
  const rsaId = new Uint8Array([rsa.alice.suite.id]);
  const { refusal } = await runBothHandshakes(
    configs,
    replaceBody(1, (m1) => overlay(m1, 2, rsaId)),
  );
  assertEquals([refusal?.side, refusal?.error.code], ["responder", "bad_frame"]);
});
