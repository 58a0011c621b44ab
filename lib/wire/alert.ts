/** Alerts: one byte that says why a connection ends. The cause of an authentication failure is never told. */
import type { Bytes } from "../bytes.ts";
import { CifraError, type ErrorCode } from "../errors.ts";
import { decode, encode, struct, u8 } from "./layout.ts";

/** Alert codes; numbers never change meaning. */
export const ALERT_CODES = {
  bad_frame: 1,
  bad_state: 2,
  bad_version: 3,
  suite_refused: 4,
  auth_failed: 5,
  busy: 6,
  timeout: 7,
  limit: 8,
  slow_reader: 9,
  invite_required: 10,
  shutdown: 11,
  refused: 12,
} as const satisfies Partial<Record<ErrorCode, number>>;

type AlertCode = keyof typeof ALERT_CODES;
const layout = struct({ code: u8 });
const NAMES = new Map<number, AlertCode>(
  (Object.entries(ALERT_CODES) as [AlertCode, number][]).map(([name, code]) => [code, name]),
);

const TEXT: Readonly<Record<AlertCode, string>> = {
  bad_frame: "it did not understand a message",
  bad_state: "a message came out of turn",
  bad_version: "it speaks another version of the protocol",
  suite_refused: "it does not accept this suite",
  auth_failed: "authentication failed",
  busy: "it has no room right now",
  timeout: "the connection took too long",
  limit: "a limit was exceeded",
  slow_reader: "messages were not taken fast enough",
  invite_required: "it wants an invite",
  shutdown: "it is shutting down",
  refused: "it refused",
};

const HINTS: Partial<Readonly<Record<AlertCode, string>>> = {
  suite_refused: "classic needs a server started with --allow-classic; otherwise leave --suite out",
  invite_required: "ask whoever runs the server for its invite line and use --invite",
  busy: "try again in a few seconds",
  bad_version: "use the same version of cifra on both sides",
};

/** Why we do not trust somebody is not their business: every such failure looks the same from outside. */
const NOT_TRUSTED: ReadonlySet<ErrorCode> = new Set([
  "identity_unknown",
  "identity_changed",
  "suite_downgrade",
]);

/** The body of the alert for `code`; failures without a code of their own say `refused`. */
export function encodeAlert(code: ErrorCode): Bytes {
  const told = NOT_TRUSTED.has(code) ? "auth_failed" : code;
  const known = told in ALERT_CODES ? told as AlertCode : "refused";
  return encode(layout, { code: ALERT_CODES[known] });
}

/** An alert of the other side as the error it reports. */
export function decodeAlert(body: Bytes): CifraError {
  const name = NAMES.get(decode(layout, body).code) ?? "refused";
  return new CifraError(name, `The other side closed the connection: ${TEXT[name]}`, {
    ...(HINTS[name] === undefined ? {} : { hint: HINTS[name] }),
  });
}
