import { assertEquals, assertInstanceOf } from "@std/assert";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import type { HandshakeState } from "../../lib/handshake/state.ts";
import type { Frame } from "../../lib/wire/frame.ts";
import { type MessageNumber, type Run, type Side, stepOrRefuse } from "../testkit/handshake.ts";

/** Fails unless the ladder ended at this message, on this side, with this code. */
export function assertRefused(
  run: Run,
  message: MessageNumber,
  side: Side,
  code: ErrorCode,
  msg = "",
): void {
  const { refusal } = run;
  const actual = refusal &&
    { message: refusal.message, side: refusal.side, code: refusal.error.code };
  assertEquals(actual, { message, side, code }, msg);
}

/** Fails unless `state` refuses `frame` with this code. */
export async function assertStepRefuses(
  state: HandshakeState,
  frame: Frame,
  code: ErrorCode,
  msg = "",
): Promise<void> {
  const result = await stepOrRefuse(state, frame);
  assertInstanceOf(result, CifraError, `${state.name} took m${frame.kind}: ${msg}`);
  assertEquals(result.code, code, msg);
}
