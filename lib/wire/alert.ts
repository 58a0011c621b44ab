/** Alerts: one byte that says why a connection ends. The cause of an authentication failure is never told. */
import type { Bytes } from "../bytes.ts";
import {
  type AlertCode,
  CifraError,
  type ErrorCode,
  ERRORS,
  numbersOf,
  toldCode,
} from "../errors.ts";
import { decode, encode, struct, u8 } from "./layout.ts";

/** Alert codes (PROTOCOL.md 3.2); numbers never change meaning. */
export const ALERT_CODES: Readonly<Record<AlertCode, number>> = numbersOf("alert");

const layout = struct({ code: u8 });
const NAMES = new Map(
  (Object.entries(ALERT_CODES) as [AlertCode, number][]).map(([name, code]) => [code, name]),
);

/** The body of the alert for `code`; failures without a code of their own say `refused`. */
export function encodeAlert(code: ErrorCode): Bytes {
  const told = toldCode(code);
  return encode(layout, { code: ALERT_CODES[told in ALERT_CODES ? told as AlertCode : "refused"] });
}

/** An alert of the other side as the error it reports. Throws `bad_frame`. */
export function decodeAlert(body: Bytes): CifraError {
  const name = NAMES.get(decode(layout, body).code) ?? "refused";
  return new CifraError(name, `The other side closed the connection: ${ERRORS[name].alert.text}`);
}
