/** Requests that a client may not make, and those that it is refused. */
import { shortFingerprint } from "../../crypto/identity.ts";
import { CifraError, type ErrorCode } from "../../errors.ts";
import type { ServerRequest } from "../../wire/rendezvous_messages.ts";
import type { Client } from "../client.ts";
import type { Context } from "./context.ts";

/** The error of what no client may say now: it ends the connection. */
export function outOfTurn(): CifraError {
  return new CifraError("bad_state", "Cannot take this message: it is out of turn");
}

/** Tells the operator of a request that was refused. */
export function logRefusal(
  { tag, onEvent }: Context,
  { channel, observed }: Client,
  request: ServerRequest["type"] | "mailbox",
  code: ErrorCode,
): void {
  const client = shortFingerprint(channel.established.theirs.fingerprint);
  onEvent({ event: "refused", source: tag(observed.host), client, code, request });
}
