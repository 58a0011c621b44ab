/** The state machine of the ladder: each state takes exactly one kind of message, all else is fatal. */
import { CifraError } from "../errors.ts";
import { type Frame, FrameKind } from "../wire/frame.ts";
import { receiveM2, receiveM4, receiveM6 } from "./initiator.ts";
import { receiveM1, receiveM3, receiveM5 } from "./responder.ts";
import type { HandshakeState, Step, Waiting } from "./state.ts";

const EXPECTED: Readonly<Record<Waiting["name"], FrameKind>> = {
  "expect-m1": FrameKind.m1,
  "expect-m2": FrameKind.m2,
  "expect-m3": FrameKind.m3,
  "expect-m4": FrameKind.m4,
  "expect-m5": FrameKind.m5,
  "expect-m6": FrameKind.m6,
};

/**
 * Takes one message. Gives a new state and leaves the old one unused; throws a CifraError, after
 * which the handshake is over. Performs no I/O.
 */
export async function step(state: HandshakeState, { kind, body }: Frame): Promise<Step> {
  if (state.name === "established" || kind !== EXPECTED[state.name]) {
    throw new CifraError("bad_state", `Cannot take message ${kind} in state ${state.name}`);
  }
  switch (state.name) {
    case "expect-m1":
      return await receiveM1(state, body);
    case "expect-m2":
      return await receiveM2(state, body);
    case "expect-m3":
      return await receiveM3(state, body);
    case "expect-m4":
      return await receiveM4(state, body);
    case "expect-m5":
      return await receiveM5(state, body);
    case "expect-m6":
      return await receiveM6(state, body);
  }
}
