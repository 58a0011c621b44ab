/** A name is claimed, by a registration or for an account (PROTOCOL.md 3.7). */
import { encodeHex } from "@std/encoding/hex";
import { CifraError } from "../../errors.ts";
import { sourceOf } from "../../services/connection_limits.ts";
import type { NameKey } from "../../store/server_store.ts";
import { NOWHERE } from "../../wire/name_claim.ts";
import { addressScope } from "../../wire/address.ts";
import type { Client } from "../client.ts";
import type { Context, Request } from "./context.ts";

/**
 * The entry of the name: it is the client's, or becomes so now. Whoever is new needs an invite that is still
 * good, if they came with one. Throws what `Directory.claim` throws, and `invite_required`.
 */
export async function claim(
  { environment: { time }, store, invites, directory }: Context,
  { channel, observed: { host }, invite }: Client,
  request: Request<"register" | "signUp">,
): Promise<NameKey> {
  const { type, name, registrationSequence: sequence, claim } = request;
  const { theirs: identity, suite } = channel.established;
  const { notAfter, signature, vouchers } = claim;
  const isKnown = store.keyWith(encodeHex(identity.fingerprint)) !== undefined;
  const used = isKnown ? undefined : invite;
  if (used && !invites.reserve(used, time.date())) {
    throw new CifraError("invite_required", "This invite has expired, or was used too often");
  }
  const claimant = {
    name,
    suite: suite.name,
    identity,
    claim: { sequence, notAfter, signature },
    place: request.type === "register" ? request : NOWHERE,
    vouchers,
    // On the server's own machine everybody has the same address.
    source: addressScope(host) === "loopback" ? undefined : sourceOf(host),
  };
  let isIn = false;
  try {
    const key = await directory.claim(claimant, time.date(), type === "signUp");
    isIn = true;
    return key;
  } finally {
    if (used) invites.release(used, isIn);
  }
}
