import { assertEquals, assertInstanceOf } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { startInitiator } from "../../lib/handshake/initiator.ts";
import { step } from "../../lib/handshake/machine.ts";
import { type Frame, FrameDecoder, FrameKind } from "../../lib/wire/frame.ts";
import { encodeAlert } from "../../lib/wire/alert.ts";
import { FRAME_LIMIT_HANDSHAKE } from "../../lib/limits.ts";
import {
  bothEnds,
  frameBytes,
  type MessageNumber,
  receiverOf,
  runBothHandshakes,
  runToTheLastStep,
  scene,
  stateBefore,
  stepOrRefuse,
  withFlippedBit,
} from "../testkit/handshake.ts";
import { assertStepRefuses } from "./refusal.ts";

const MESSAGES = [1, 2, 3, 4, 5, 6] as const;

/** The right body under the wrong kind, nothing, and noise: the kind alone must decide. */
function bodiesFor(right: Frame) {
  return [right.body, new Uint8Array(0), crypto.getRandomValues(new Uint8Array(200))];
}

Deno.test("step() refuses every kind but the one each state waits for", async () => {
  const run = await runBothHandshakes(await scene("modern"));
  const refused: Record<string, number[]> = {};
  for (const message of MESSAGES) {
    const state = stateBefore(run, message);
    const right = run.frames[message - 1]!;
    for (const kind of Object.values(FrameKind)) {
      if (kind === right.kind) continue;
      for (const body of bodiesFor(right)) {
        await assertStepRefuses(state, { kind, body }, "bad_state");
      }
      (refused[state.name] ??= []).push(kind);
    }
  }
  assertEquals(refused, {
    "expect-m1": [2, 3, 4, 5, 6, 0x10, 0x15, 0x17],
    "expect-m2": [1, 3, 4, 5, 6, 0x10, 0x15, 0x17],
    "expect-m3": [1, 2, 4, 5, 6, 0x10, 0x15, 0x17],
    "expect-m4": [1, 2, 3, 5, 6, 0x10, 0x15, 0x17],
    "expect-m5": [1, 2, 3, 4, 6, 0x10, 0x15, 0x17],
    "expect-m6": [1, 2, 3, 4, 5, 0x10, 0x15, 0x17],
  });
});

Deno.test("step() takes nothing any more once established (H5)", async () => {
  const run = await runBothHandshakes(await scene("modern"));
  const ends = bothEnds(run);
  for (const state of [ends.initiator, ends.responder]) {
    for (const kind of Object.values(FrameKind)) {
      for (const body of bodiesFor(run.frames[0]!)) {
        await assertStepRefuses(state, { kind, body }, "bad_state");
      }
    }
  }
});

Deno.test("every message of one run is refused out of its turn (H1, H2, H3, H6, H14)", async () => {
  const run = await runToTheLastStep(await scene("modern"));
  for (const waitedFor of MESSAGES) {
    for (const [i, frame] of run.frames.entries()) {
      if (i + 1 === waitedFor) continue;
      await assertStepRefuses(stateBefore(run, waitedFor), frame, "bad_state", `m${i + 1}`);
    }
  }
});

Deno.test("a message sent back to its sender under the expected kind is refused (H14)", async () => {
  const run = await runToTheLastStep(await scene("modern"));
  for (const message of [1, 2, 3, 4, 5] as const) {
    const next = (message + 1) as MessageNumber;
    const reflected = { kind: next, body: run.frames[message - 1]!.body };
    const result = await stepOrRefuse(stateBefore(run, next), reflected);
    assertInstanceOf(result, CifraError, `m${message} as m${next}`);
    // m4 alone has no fixed length: there the seal decides.
    assertEquals(result.code, next === 4 ? "auth_failed" : "bad_frame", `m${message} as m${next}`);
  }
});

Deno.test("a record before m6 is refused (H4)", async () => {
  const run = await runToTheLastStep(await scene("modern"));
  const record: Frame = { kind: FrameKind.record, body: new Uint8Array(80) };
  await assertStepRefuses(stateBefore(run, 6), record, "bad_state");
  await assertStepRefuses(stateBefore(run, 5), record, "bad_state");
});

Deno.test("an alert changes no state: the ladder goes on as if it had not come (H22)", async () => {
  const run = await runToTheLastStep(await scene("modern"));
  const alert: Frame = { kind: FrameKind.alert, body: encodeAlert({ code: "suite_refused" }) };
  for (const message of MESSAGES) {
    const state = stateBefore(run, message);
    await assertStepRefuses(state, alert, "bad_state");
    const after = await step(state, run.frames[message - 1]!);
    assertEquals(after.send.length, message === 6 ? 0 : 1, `m${message}`);
  }
});

Deno.test("a second m1 does not disturb a handshake under way (H1, H5)", async () => {
  const configs = await scene("modern");
  const again = (await startInitiator(configs.initiator)).send[0]!;
  const run = await runBothHandshakes(configs);
  for (const message of [3, 5] as const) {
    const state = stateBefore(run, message);
    await assertStepRefuses(state, again, "bad_state");
    await step(state, run.frames[message - 1]!);
  }
});

Deno.test("both sides as initiators refuse each other (H25)", async () => {
  const { initiator, alice, bob, responder } = await scene("modern");
  const [first, second] = await Promise.all([
    startInitiator(initiator),
    startInitiator({
      ...initiator,
      ours: responder.ours(alice.suite.id)!,
      pinned: alice.identity,
      checkResponder: () => {},
    }),
  ]);
  assertEquals(bob.suite.id, alice.suite.id);
  await assertStepRefuses(first.state, second.send[0]!, "bad_state");
  await assertStepRefuses(second.state, first.send[0]!, "bad_state");
});

Deno.test("no flipped bit of a frame header brings a message through (H12)", async () => {
  const run = await runToTheLastStep(await scene("modern"));
  for (const message of MESSAGES) {
    const wire = frameBytes(run.frames[message - 1]!);
    for (let bit = 0; bit < 40; bit++) {
      const decoder = new FrameDecoder(FRAME_LIMIT_HANDSHAKE);
      let frames: Frame[] = [];
      try {
        frames = decoder.push(withFlippedBit(wire, bit));
      } catch (error) {
        assertInstanceOf(error, CifraError);
        assertEquals(error.code, "bad_frame");
      }
      // A longer length waits for bytes that never come: the frame's deadline ends that.
      for (const frame of frames.slice(0, 1)) {
        const result = await stepOrRefuse(stateBefore(run, message), frame);
        assertInstanceOf(result, CifraError, `${receiverOf(message)} took m${message}, bit ${bit}`);
      }
    }
  }
});
