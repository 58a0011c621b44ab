/** Alerts: a byte that says why a connection ends, and when to come again. The cause of an authentication failure is never told. */
import type { Bytes } from "../bytes.ts";
import { type AlertCode, CifraError, ERRORS, numbersOf, toldCode } from "../errors.ts";
import { RETRY_AFTER_MAXIMUM, RETRY_AFTER_MINIMUM } from "../limits.ts";
import { decode, encode, struct, u8 } from "./layout.ts";

/** Alert codes (PROTOCOL.md 3.2); numbers never change meaning. */
export const ALERT_CODES: Readonly<Record<AlertCode, number>> = numbersOf("alert");

const layout = struct({ code: u8 });
/** Who has no room says when it may have some. */
const busyLayout = struct({ code: u8, retryAfter: u8 });
const NAMES = new Map(
  (Object.entries(ALERT_CODES) as [AlertCode, number][]).map(([name, code]) => [code, name]),
);

/**
 * The body of the alert for an error; failures without a code of their own say `refused`. `busy` says in how many
 * seconds to come again, one when that is not known.
 */
export function encodeAlert(
  { code, retryAfter = RETRY_AFTER_MINIMUM }: Pick<CifraError, "code"> & {
    retryAfter?: number | undefined;
  },
): Bytes {
  const told = toldCode(code);
  const number = ALERT_CODES[told in ALERT_CODES ? told as AlertCode : "refused"];
  return told === "busy"
    ? encode(busyLayout, { code: number, retryAfter: bounded(retryAfter) })
    : encode(layout, { code: number });
}

/** An alert of the other side as the error it reports. Throws `bad_frame`. */
export function decodeAlert(body: Bytes): CifraError {
  const isBusy = body[0] === ALERT_CODES.busy;
  const { code, retryAfter } = isBusy
    ? decode(busyLayout, body)
    : { ...decode(layout, body), retryAfter: undefined };
  const name = NAMES.get(code) ?? "refused";
  return new CifraError(name, `The other side closed the connection: ${ERRORS[name].alert.text}`, {
    // Nobody has proved who said it: it changes the time of the next try, and not by much. Whoever has not yet
    // met the other side says so instead.
    claimant: "known",
    ...(retryAfter !== undefined && { retryAfter: bounded(retryAfter) }),
  });
}

function bounded(seconds: number): number {
  return Math.min(RETRY_AFTER_MAXIMUM, Math.max(RETRY_AFTER_MINIMUM, Math.ceil(seconds)));
}
