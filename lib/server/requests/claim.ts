/** A name is claimed, by a registration or for an account (PROTOCOL.md 3.7). */
import { encodeHex } from "@std/encoding/hex";
import { CifraError } from "../../errors.ts";
import { INVITE_RUSH } from "../../limits.ts";
import { sourceOf } from "../../services/connection_limits.ts";
import type { Channel } from "../../channel/channel.ts";
import type { NameKey } from "../../store/server_store.ts";
import { NOWHERE } from "../../wire/name_claim.ts";
import type { Client } from "../client.ts";
import type { Context, Request } from "./context.ts";

/**
 * The entry of the name: it is the client's, or becomes so now. On a server for invited clients alone whoever
 * is new needs an invite that is still good, or an owner of the name who vouches for this key. Throws what
 * `Directory.claim` throws, and `invite_required`.
 */
export async function claim(
  context: Context,
  client: Client,
  request: Request<"register" | "signUp">,
): Promise<NameKey> {
  const { type, name, registrationSequence: sequence, claim } = request;
  const { environment: { time }, inviteOnly, accounts, invites, directory } = context;
  const { channel, observed: { host }, invite } = client;
  const { theirs: identity, suite } = channel.established;
  const { notAfter, signature, vouchers } = claim;
  const isNew = !isKnown(context, channel);
  const used = isNew && invite && invites.reserve(invite, time.date()) ? invite : undefined;
  const uninvited = isNew && inviteOnly && !used ? inviteRequired(client) : undefined;
  if (uninvited && vouchers.length === 0) throw uninvited;
  const source = sourceOf(host);
  const claimant = {
    name,
    suite: suite.name,
    identity,
    claim: { sequence, notAfter, signature },
    place: request.type === "register" ? request : NOWHERE,
    vouchers,
    invite: used?.id,
    uninvited,
    source,
  };
  let isIn = false;
  try {
    const key = await directory.claim(claimant, time.date(), type === "signUp");
    isIn = true;
    if (used && invites.isRush(used, source, time.now())) {
      const rush = { source: context.tag(host), invite: used.id, people: INVITE_RUSH };
      context.onEvent({ event: "invite-rush", ...rush });
    }
    accounts.lanes.visited(name, source);
    return key;
  } finally {
    if (used) invites.release(used, isIn);
  }
}

/** Whether the server knows the identity of a client under some name. */
export function isKnown({ store }: Context, { established: { theirs } }: Channel): boolean {
  return store.keyWith(encodeHex(theirs.fingerprint)) !== undefined;
}

/** Why a newcomer may not come in. */
export function inviteRequired({ invite }: Client): CifraError {
  const message = invite
    ? "The one you have has ended, or was used too often"
    : "You showed none, and are not known here";
  return new CifraError("invite_required", message);
}
