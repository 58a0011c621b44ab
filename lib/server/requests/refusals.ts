/** What a client may not have. */
import { shortFingerprint } from "../../crypto/identity.ts";
import { CifraError, type ErrorCode } from "../../errors.ts";
import type { ServerRequest } from "../../wire/rendezvous_messages.ts";
import type { Client } from "../client.ts";
import type { Context } from "./context.ts";

/** What no client may say now: it ends the connection. */
export function outOfTurn(): CifraError {
  return new CifraError("bad_state", "Cannot take this message: it is out of turn");
}

/** The operator hears of every request that is refused. */
export function logRefusal(
  { tag, onEvent }: Context,
  { channel, observed }: Client,
  request: ServerRequest["type"],
  code: ErrorCode,
): void {
  const client = shortFingerprint(channel.established.theirs.fingerprint);
  onEvent({ event: "refused", source: tag(observed.host), client, code, request });
}
