import { assertEquals, assertInstanceOf, fail } from "@std/assert";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";

/** Fails unless `fn` throws a CifraError with this code, `bad_frame` unless said otherwise. */
export function assertRefuses(
  fn: () => unknown,
  code: ErrorCode = "bad_frame",
  msg?: string,
): void {
  let thrown: unknown;
  try {
    fn();
  } catch (error) {
    thrown = error;
  }
  if (thrown === undefined) fail(`Nothing was refused${msg === undefined ? "" : `: ${msg}`}`);
  assertInstanceOf(thrown, CifraError, msg);
  assertEquals(thrown.code, code, msg);
}

/** Fails unless `fn`, which encodes, throws a RangeError. */
export function assertHasNone(fn: () => unknown, msg: string): void {
  try {
    fn();
  } catch (error) {
    return assertInstanceOf(error, RangeError, msg);
  }
  fail(`Something has an encoding: ${msg}`);
}
