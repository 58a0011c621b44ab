import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import type { Kem } from "../../lib/crypto/kem.ts";
import { loadNobleProvider, webCryptoProvider } from "../../lib/crypto/post_quantum.ts";
import { SUITE_NAMES } from "../../lib/crypto/suite.ts";
import { xwing } from "../../lib/crypto/xwing.ts";
import { startInitiator } from "../../lib/handshake/initiator.ts";
import { step } from "../../lib/handshake/machine.ts";
import type { OurSide } from "../../lib/handshake/state.ts";
import { startResponder } from "../../lib/handshake/responder.ts";
import { FRAME_LIMIT_HANDSHAKE } from "../../lib/limits.ts";
import { FRAME_HEADER_LENGTH } from "../../lib/wire/frame.ts";
import { peerContext } from "../../lib/wire/handshake_messages.ts";
import {
  bothEnds,
  frameBytes,
  type Run,
  runBothHandshakes,
  scene,
  testBytes,
} from "../testkit/handshake.ts";

/** Every byte string of these, compared two by two, differs. */
function assertAllDifferent(values: Record<string, Uint8Array>): void {
  const hex = Object.entries(values).map(([name, value]) => [name, encodeHex(value)] as const);
  const seen = new Map<string, string>();
  for (const [name, value] of hex) {
    assertEquals(seen.get(value), undefined, `${name} is the same as another`);
    seen.set(value, name);
  }
}

function keysOf(run: Run): Record<string, Uint8Array> {
  const { sendSecret, receiveSecret, sessionId, exporter, transcript } = bothEnds(run).initiator;
  return { sendSecret, receiveSecret, sessionId, exporter, transcript };
}

for (const suiteName of SUITE_NAMES) {
  Deno.test(`${suiteName}: both ends of the ladder hold the same keys`, async () => {
    const { alice, bob, ...configs } = await scene(suiteName);
    const run = await runBothHandshakes(configs);
    const { initiator, responder } = bothEnds(run);
    assertEquals(initiator.sendSecret, responder.receiveSecret);
    assertEquals(initiator.receiveSecret, responder.sendSecret);
    assertEquals(initiator.sessionId, responder.sessionId);
    assertEquals(initiator.exporter, responder.exporter);
    assertEquals(initiator.transcript, responder.transcript);
    assertEquals(initiator.theirs.fingerprint, bob.identity.fingerprint);
    assertEquals(responder.theirs.fingerprint, alice.identity.fingerprint);
    assertEquals([initiator.role, responder.role], ["initiator", "responder"]);
    assertEquals([initiator.suite.name, responder.suite.name], [suiteName, suiteName]);
    assertEquals(initiator.displayName, "bob's place");
    const { sendSecret, receiveSecret, sessionId, exporter } = initiator;
    const lengths = [sendSecret, receiveSecret, sessionId, exporter].map(({ length }) => length);
    assertEquals(lengths, [64, 64, 16, 32]);
    assertAllDifferent(keysOf(run));
    assert([sendSecret, receiveSecret, exporter].every((key) => key.some((byte) => byte !== 0)));
  });

  Deno.test(`${suiteName}: both ends tell the same transcript after every message`, async () => {
    const { alice, bob, ...configs } = await scene(suiteName);
    const { events, frames } = await runBothHandshakes(configs);
    const transcripts = events.initiator.map(({ transcript }) => encodeHex(transcript));
    assertEquals(transcripts, events.responder.map(({ transcript }) => encodeHex(transcript)));
    assertEquals(new Set(transcripts).size, 6);
    for (const side of ["initiator", "responder"] as const) {
      const first = side === "initiator" ? 1 : 0;
      for (const [i, event] of events[side].entries()) {
        assertEquals(event.message, i + 1);
        assertEquals(event.direction, (i + 1) % 2 === first ? "sent" : "received");
        assertEquals(event.length, frames[i]!.body.length + FRAME_HEADER_LENGTH);
      }
    }
    const named = [undefined, bob, alice, bob, alice, bob];
    const expected = named.map((person) => person?.identity.fingerprint);
    assertEquals(events.initiator.map(({ fingerprint }) => fingerprint), expected);
  });

  Deno.test(`${suiteName}: the frames are m1 to m6, each within the limit`, async () => {
    const { frames } = await runBothHandshakes(await scene(suiteName));
    assertEquals(frames.map(({ kind }) => kind), [1, 2, 3, 4, 5, 6]);
    for (const frame of frames) assert(frameBytes(frame).length <= FRAME_LIMIT_HANDSHAKE);
  });

  Deno.test(`${suiteName}: no identity crosses the wire in the open`, async () => {
    const { alice, bob, ...configs } = await scene(suiteName);
    const { frames } = await runBothHandshakes(configs);
    const wire = frames.map((frame) => encodeHex(frameBytes(frame))).join();
    for (const { identity } of [alice, bob]) {
      assert(!wire.includes(encodeHex(identity.signatureKey)));
      assert(!wire.includes(encodeHex(identity.fingerprint)));
    }
    assert(!wire.includes(encodeHex(new TextEncoder().encode("bob's place"))));
  });

  Deno.test(`${suiteName}: two ladders share nothing, even with the same nonces (H23)`, async () => {
    const configs = await scene(suiteName);
    const random = (length: number) => new Uint8Array(length);
    const stubborn = {
      initiator: { ...configs.initiator, random },
      responder: { ...configs.responder, random },
    };
    const [first, second, third] = [
      await runBothHandshakes(stubborn),
      await runBothHandshakes(stubborn),
      await runBothHandshakes(configs),
    ];
    const keys = [first, second, third].flatMap((run, i) =>
      Object.entries(keysOf(run)).map(([name, value]) => [`${name} ${i}`, value] as const)
    );
    assertAllDifferent(Object.fromEntries(keys));
    assertNotEquals(first.frames[4]!.body, second.frames[4]!.body);
  });

  Deno.test(`${suiteName}: an initiator without a pin climbs too, and learns who is there`, async () => {
    const { bob, initiator, responder } = await scene(suiteName);
    const seen: string[] = [];
    const curious = {
      ...initiator,
      pinned: undefined,
      checkResponder: (theirs: { fingerprint: Uint8Array }, displayName: string) =>
        void seen.push(`${encodeHex(theirs.fingerprint)} ${displayName}`),
    };
    const run = await runBothHandshakes({ initiator: curious, responder });
    bothEnds(run);
    assertEquals(seen, [`${encodeHex(bob.identity.fingerprint)} bob's place`]);
    assertEquals(run.events.initiator[1]!.fingerprint, undefined);
  });

  Deno.test(`${suiteName}: the other two modes climb with their secret and context`, async () => {
    const { alice, bob, initiator, responder } = await scene(suiteName);
    const [a, b] = [alice.identity.fingerprint, bob.identity.fingerprint];
    const modes = [
      { mode: 2, psk: testBytes("rv key"), context: peerContext(testBytes("rv id", 16), 1, a, b) },
      { mode: 3, psk: testBytes("invite"), context: new Uint8Array(0) },
    ] as const;
    for (const common of modes) {
      const ends = bothEnds(
        await runBothHandshakes({
          initiator: { ...initiator, ...common },
          responder: { ...responder, ...common },
        }),
      );
      assertEquals([ends.initiator.mode, ends.responder.mode], [common.mode, common.mode]);
      assertEquals(ends.initiator.sendSecret, ends.responder.receiveSecret);
    }
  });
}

Deno.test("step() leaves the state it is given as it was, but for the one that finishes", async () => {
  const { initiator, responder } = await scene("modern");
  const first = await startInitiator(initiator);
  let frame = first.send[0]!;
  let waiting = { sender: first.state, receiver: startResponder(responder) as typeof first.state };
  for (let message = 1; message <= 5; message++) {
    const [once, twice] = [
      await step(waiting.receiver, frame),
      await step(waiting.receiver, frame),
    ];
    assertEquals(once.state.name, twice.state.name);
    assertEquals(once.events[0]!.transcript, twice.events[0]!.transcript);
    frame = once.send[0]!;
    waiting = { sender: once.state, receiver: waiting.sender };
  }
  assertEquals((await step(waiting.receiver, frame)).state.name, "established");
});

Deno.test("modern: a side with ML-KEM in TypeScript and one with the runtime's climb together", async () => {
  const { initiator, responder } = await scene("modern");
  const kems = [xwing(webCryptoProvider), xwing(await loadNobleProvider())];
  for (const [ours, theirs] of [kems, kems.toReversed()]) {
    const withKem = (side: OurSide, kem: Kem): OurSide => ({
      ...side,
      suite: { ...side.suite, kem },
      ephemeralKey: () => kem.generate(),
    });
    const run = await runBothHandshakes({
      initiator: { ...initiator, ours: withKem(initiator.ours, ours!) },
      responder: { ...responder, ours: (id) => withKem(responder.ours(id)!, theirs!) },
    });
    const ends = bothEnds(run);
    assertEquals(ends.initiator.sendSecret, ends.responder.receiveSecret);
    assertEquals(ends.initiator.transcript, ends.responder.transcript);
  }
});
