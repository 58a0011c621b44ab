/** Accounts: signing up and signing in (PROTOCOL.md 3.10). */
import { encodeHex } from "@std/encoding/hex";
import { sourceOf } from "../../services/connection_limits.ts";
import type { Client } from "../client.ts";
import { claim, inviteRequired, isKnown } from "./claim.ts";
import type { Context, Request } from "./context.ts";
import { outOfTurn } from "./refusals.ts";

/** Makes an account, or changes its password. */
export async function signUp(
  context: Context,
  client: Client,
  request: Request<"signUp">,
): Promise<void> {
  const { environment: { time }, accounts, quotas, onEvent, tag } = context;
  const { name, salt, memory, passes, storedKey, serverKey, backup } = request;
  quotas.requireSignUp(name, time.now());
  await claim(context, client, request);
  const created = time.date();
  accounts.signUp({ name, salt, memory, passes, storedKey, serverKey, backup, created });
  // Not one that the disk has not taken: whoever tries again in time gets in.
  quotas.signedUp(name, time.now());
  client.wait(time.now());
  client.respond({ type: "signedUp" });
  onEvent({ event: "signed-up", source: tag(client.observed.host), name });
}

/** Begins a sign-in. */
export function signIn(
  context: Context,
  client: Client,
  { name, nonce }: Request<"signIn">,
): void {
  const { environment: { time }, store, directory, accounts, inviteOnly, tag } = context;
  const { channel, invite } = client;
  const { theirs, exporter } = channel.established;
  directory.requireAllowed(theirs);
  // The owner of the account may have used the invite up: it need not be good for another one.
  if (inviteOnly && !invite && !isKnown(context, channel)) throw inviteRequired(client);
  const challenge = accounts.challenge({
    attempt: {
      name,
      source: sourceOf(client.observed.host),
      tag: tag(client.observed.host),
      isOwner: store.keyWith(encodeHex(theirs.fingerprint))?.name === name,
    },
    clientNonce: nonce,
    exporter,
    now: time.now(),
  });
  client.challenge = challenge;
  client.wait(time.now());
  const { cost, serverNonce } = challenge.exchange;
  client.respond({ type: "challenge", ...cost, nonce: serverNonce });
}

/** Ends a sign-in. */
export function prove(
  { environment: { time }, accounts, onEvent, tag }: Context,
  client: Client,
  { proof }: Request<"proof">,
): void {
  const { challenge } = client;
  if (!challenge) throw outOfTurn();
  client.challenge = undefined;
  const { signature, backup } = accounts.prove(challenge, proof, time.now());
  client.wait(time.now());
  client.respond({ type: "signedIn", signature, backup });
  const { name } = challenge.exchange;
  onEvent({ event: "signed-in", source: tag(client.observed.host), name });
}
