import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { SUITE_NAMES } from "../../lib/crypto/suite.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import { startInitiator } from "../../lib/handshake/initiator.ts";
import { startResponder } from "../../lib/handshake/responder.ts";
import type {
  Established,
  HandshakeEvent,
  HandshakeState,
  Step,
} from "../../lib/handshake/state.ts";
import { FRAME_LIMIT_HANDSHAKE, HANDSHAKE_DEADLINE } from "../../lib/limits.ts";
import { runHandshake } from "../../lib/channel/run_handshake.ts";
import { Connection } from "../../lib/channel/connection.ts";
import { ALERT_CODES, encodeAlert } from "../../lib/wire/alert.ts";
import { FrameKind } from "../../lib/wire/frame.ts";
import { EvilPeer, test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { type Scene, scene } from "../testkit/handshake.ts";
import { type LaneOptions, pipe } from "../testkit/pipe.ts";

/** What a handshake that must not succeed ends with. */
async function refusal(climbing: Promise<Established>): Promise<CifraError> {
  const result = await climbing.catch((error) => error);
  assert(result instanceof CifraError);
  return result;
}

/** Both sides run the handshake towards each other. */
async function handshakeBoth({ initiator, responder }: Scene, lanes: LaneOptions = {}) {
  const clock = new ManualTime();
  const between = pipe(lanes);
  const left = new Connection(between.left, clock.now);
  const right = new Connection(between.right, clock.now);
  const events: Record<"initiator" | "responder", HandshakeEvent[]> = {
    initiator: [],
    responder: [],
  };
  const [alice, bob] = await Promise.all([
    runHandshake(left, await startInitiator(initiator), {
      onEvent: (event) => events.initiator.push(event),
    }),
    runHandshake(right, startResponder(responder), {
      onEvent: (event) => events.responder.push(event),
    }),
  ]);
  return { alice, bob, left, right, between, clock, events };
}

for (const suite of SUITE_NAMES) {
  test(`runHandshake() takes both sides of ${suite} to one channel, whatever the pieces`, async () => {
    const ladder = await scene(suite);
    for (const lanes of [{}, { readLimit: 1, writeLimit: 100 }]) {
      const { alice, bob } = await handshakeBoth(ladder, lanes);
      assertEquals(alice.transcript, bob.transcript);
      assertEquals(alice.sessionId, bob.sessionId);
      assertEquals(alice.sendSecret, bob.receiveSecret);
      assertEquals(bob.sendSecret, alice.receiveSecret);
      assertNotEquals(alice.sendSecret, alice.receiveSecret);
    }
  });
}

test("runHandshake() tells each message once on each side, in order", async () => {
  const { events, between } = await handshakeBoth(await scene("modern"));
  const told = (side: readonly HandshakeEvent[]) =>
    side.map(({ direction, message }) => `${direction} ${message}`);
  assertEquals(told(events.initiator), [
    "sent 1",
    "received 2",
    "sent 3",
    "received 4",
    "sent 5",
    "received 6",
  ]);
  assertEquals(told(events.responder), [
    "received 1",
    "sent 2",
    "received 3",
    "sent 4",
    "received 5",
    "sent 6",
  ]);
  const sent = [...events.initiator, ...events.responder]
    .filter(({ direction }) => direction === "sent")
    .reduce((sum, { length }) => sum + length, 0);
  assertEquals(sent, between.toLeft.bytes.length + between.toRight.bytes.length);
});

test("runHandshake() raises the frame limit and ends the deadlines only at the top", async () => {
  const { left, right, between, clock } = await handshakeBoth(await scene("modern"));
  clock.advance(10 * HANDSHAKE_DEADLINE);
  left.enforceDeadlines();
  right.enforceDeadlines();
  assertEquals([left.failure, right.failure], [undefined, undefined]);
  await left.sendFrame(FrameKind.record, new Uint8Array(2 * FRAME_LIMIT_HANDSHAKE));
  assertEquals((await right.nextFrames())?.[0]?.body.length, 2 * FRAME_LIMIT_HANDSHAKE);
  assertEquals(between.left.closed + between.right.closed, 0);

  const below = pipe();
  const connection = new Connection(below.right, clock.now);
  const peer = new EvilPeer(below.left);
  const { initiator, responder } = await scene("modern");
  const climbing = refusal(runHandshake(connection, startResponder(responder)));
  await peer.runHandshake(initiator, 1);
  await peer.nextFrame();
  await peer.sendFrame(FrameKind.m3, new Uint8Array(FRAME_LIMIT_HANDSHAKE));
  assertEquals((await climbing).code, "bad_frame");
});

/** A runner of steps that keeps every state it comes to. */
function keepStates(states: HandshakeState[]) {
  return async <T>(job: () => Promise<T>): Promise<T> => {
    const result = await job();
    states.push((result as Step).state);
    return result;
  };
}

/** The names of those that hold a chain key, and whether it can still be read. */
function chainKeysOf(states: readonly HandshakeState[]): (readonly [string, boolean])[] {
  return states.flatMap((state) =>
    "chainKey" in state ? [[state.name, state.chainKey.some((byte) => byte !== 0)] as const] : []
  );
}

test("runHandshake() overwrites each chain key when the next one is there, or when it fails", async () => {
  const { initiator, responder } = await scene("modern");
  for (const spoiled of [false, true]) {
    const between = pipe(), clock = new ManualTime();
    const left = new Connection(between.left, clock.now);
    const right = new Connection(between.right, clock.now);
    const ours: HandshakeState[] = [], theirs: HandshakeState[] = [];
    const first = await startInitiator(initiator);
    ours.push(first.state);
    const checkInitiator = () => {
      if (spoiled) throw new CifraError("auth_failed", "Test");
    };
    const results = await Promise.allSettled([
      runHandshake(left, first, { run: keepStates(ours) }),
      runHandshake(right, startResponder({ ...responder, checkInitiator }), {
        run: keepStates(theirs),
      }),
    ]);
    assertEquals(results.map(({ status }) => status === "rejected"), [spoiled, spoiled]);
    const climbed = spoiled ? [] : [["expect-m6", false] as const];
    assertEquals(chainKeysOf(ours), [["expect-m2", false], ["expect-m4", false], ...climbed]);
    const answered = spoiled ? [] : [["expect-m5", false] as const];
    assertEquals(chainKeysOf(theirs), [["expect-m3", false], ...answered]);
  }
});

test("runHandshake() runs every step of a responder through the gate it is given", async () => {
  const { initiator, responder } = await scene("modern");
  const between = pipe();
  const clock = new ManualTime();
  let steps = 0;
  const run = <T>(job: () => Promise<T>) => {
    steps++;
    return job();
  };
  await Promise.all([
    runHandshake(new Connection(between.left, clock.now), await startInitiator(initiator)),
    runHandshake(new Connection(between.right, clock.now), startResponder(responder), { run }),
  ]);
  assertEquals(steps, 3);
});

test("runHandshake() sends the code of a gate's refusal as the alert", async () => {
  const { initiator, responder } = await scene("modern");
  const between = pipe();
  const connection = new Connection(between.right, new ManualTime().now);
  const climbing = refusal(runHandshake(connection, startResponder(responder), {
    run: () => Promise.reject(new CifraError("busy", "Test")),
  }));
  const peer = new EvilPeer(between.left);
  await peer.runHandshake(initiator, 1);
  assertEquals(await peer.lastWords(), "busy");
  assertEquals((await climbing).code, "busy");
});

test("runHandshake() ends as a cut when the other side leaves after any message (F13, F14)", async () => {
  const { initiator, responder } = await scene("modern");
  for (const how of ["end", "reset"] as const) {
    for (const last of [0, 1, 3] as const) {
      const between = pipe();
      const connection = new Connection(between.right, new ManualTime().now);
      const climbing = refusal(runHandshake(connection, startResponder(responder)));
      const peer = new EvilPeer(between.left);
      if (last > 0) {
        await peer.runHandshake(initiator, last as 1 | 3);
        await peer.nextFrame();
      }
      if (how === "end") between.toRight.end();
      else between.toRight.break();
      assertEquals((await climbing).code, "cut", `${how} after m${last}`);
      assertEquals(await peer.lastWords(), undefined);
    }
  }
});

test("runHandshake() answers a side that ends its output after m1, then ends (F15)", async () => {
  const { initiator, responder } = await scene("modern");
  const between = pipe();
  const connection = new Connection(between.right, new ManualTime().now);
  const climbing = refusal(runHandshake(connection, startResponder(responder)));
  const peer = new EvilPeer(between.left);
  await peer.runHandshake(initiator, 1);
  await peer.transport.closeWrite();
  assertEquals((await peer.nextFrame())?.kind, FrameKind.m2);
  assertEquals(await peer.nextFrame(), null);
  assertEquals((await climbing).code, "cut");
});

test("runHandshake() ends with an alert at any step, whatever it says, and answers nothing (H22)", async () => {
  const { initiator, responder } = await scene("modern");
  for (const code of Object.keys(ALERT_CODES) as (keyof typeof ALERT_CODES)[]) {
    for (const last of [1, 3] as const) {
      const between = pipe();
      const connection = new Connection(between.right, new ManualTime().now);
      const climbing = refusal(runHandshake(connection, startResponder(responder)));
      const peer = new EvilPeer(between.left);
      await peer.runHandshake(initiator, last);
      await peer.nextFrame();
      await peer.sendFrame(FrameKind.alert, encodeAlert({ code }));
      assertEquals((await climbing).code, code satisfies ErrorCode);
      assertEquals(await peer.lastWords(), undefined);
    }
  }
});
