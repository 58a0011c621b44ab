/** H12: every bit of a message in turn, and nobody may arrive. */
import { assert } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { step } from "../../lib/handshake/machine.ts";
import type { HandshakeState } from "../../lib/handshake/state.ts";
import {
  flipBit,
  type MessageNumber,
  runToTheLastStep,
  type Scene,
  stateBefore,
  stepOrRefuse,
} from "../testkit/handshake.ts";

/** Cases under way at once: enough to keep the thread pool of the platform busy. */
const BATCH = 16;

/** How often each code ended a ladder. */
export type Codes = Readonly<Record<string, number>>;

/**
 * Handshakes up to `message`, then delivers it once for each `stride`-th bit, that bit flipped, and lets both
 * sides go on honestly. Fails unless one of them refuses before either is established; the sender of
 * m6 is established before it is read, and there the receiver must refuse.
 */
export async function refuseEveryFlip(
  configs: Pick<Scene, "initiator" | "responder">,
  message: MessageNumber,
  stride = 1,
): Promise<Codes> {
  const run = await runToTheLastStep(configs);
  const receiver = stateBefore(run, message);
  const sender = message === 6 ? undefined : stateBefore(run, (message + 1) as MessageNumber);
  const frame = run.frames[message - 1]!;
  const codes: Record<string, number> = {};

  async function refuse(bit: number): Promise<void> {
    let [next, other]: (HandshakeState | undefined)[] = [receiver, sender];
    let arriving = flipBit(frame, bit);
    for (;;) {
      assert(next, `m${message}, bit ${bit}: nobody refused`);
      const result = await stepOrRefuse(next, arriving);
      if (result instanceof CifraError) {
        codes[result.code] = (codes[result.code] ?? 0) + 1;
        return;
      }
      assert(result.state.name !== "established", `m${message}, bit ${bit}: established`);
      [next, other] = [other, result.state];
      arriving = result.send[0]!;
    }
  }

  const bits: number[] = [];
  for (let bit = 0; bit < frame.body.length * 8; bit += stride) bits.push(bit);
  for (let i = 0; i < bits.length; i += BATCH) {
    await Promise.all(bits.slice(i, i + BATCH).map(refuse));
  }
  // The states were fit to go on all the time: the true message is taken.
  await step(receiver, frame);
  return codes;
}
