/** Saying that a name is ours, and checking that a peer says so of theirs (PROTOCOL.md 3.7). */
import type { Identity, PublicIdentity } from "../crypto/identity.ts";
import { verifyBy } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import { CLAIM_LIFETIME } from "../limits.ts";
import { type NameClaim, NOWHERE, type Place, signedNameClaim } from "../wire/name_claim.ts";
import type { Introduction, VouchedClaim } from "../wire/rendezvous_messages.ts";

/** What a registration says of its owner. */
export interface SignedRegistration {
  /** Grows with every registration of an identity. */
  readonly registrationSequence: bigint;
  readonly claim: VouchedClaim;
}

/** Runs `job`, of whoever is at `place`, with what a registration needs of its owner; no other registration runs beside it. */
export type Registrar = <T>(
  place: Place,
  job: (word: SignedRegistration) => Promise<T>,
) => Promise<T>;

/** Who we are: in the suite that is used, and in the others. */
export interface OurIdentities {
  readonly identity: Identity;
  /** They vouch for the first, in case that the name is known by one of them. */
  readonly others: readonly Identity[];
}

/** Our word that `name` is ours; `now` in milliseconds since 1970. */
export async function claimName(
  name: string,
  { identity, others }: OurIdentities,
  sequence: bigint,
  now: number,
  place: Place,
): Promise<VouchedClaim> {
  const notAfter = BigInt(now + CLAIM_LIFETIME);
  const signed = signedNameClaim(name, identity.bundle, { sequence, notAfter }, place);
  const [signature, vouchers] = await Promise.all([
    identity.sign(signed),
    Promise.all(
      others.map(async (other) => ({ bundle: other.bundle, signature: await other.sign(signed) })),
    ),
  ]);
  return { notAfter, signature, vouchers };
}

/**
 * Throws `auth_failed` unless the introduced identity itself has said that the name is its own, and that it is where
 * the server says: the one address that it has not said is the one at which the server saw it. Until when
 * that holds is the server's business: our clock may be wrong.
 */
export async function requireNameClaim(
  introduction: Introduction,
  peer: PublicIdentity,
): Promise<void> {
  const { peerName, claim, observed, punch } = introduction;
  if (observed[0] && punch[0] && observed[0] !== punch[0].host) {
    throw new CifraError("auth_failed", `The server says that it saw ${peerName} at two addresses`);
  }
  const signed = signedNameClaim(peerName, peer.bundle, claim, introduction);
  if (await verifyBy(peer, claim.signature, signed)) return;
  throw new CifraError(
    "auth_failed",
    `The server introduced a key as ${peerName} that has not said to be ${peerName}, and there`,
    { hint: "the server may be wrong or worse: tell its operator" },
  );
}

/** Throws `auth_failed` unless an identity has said itself that the name is its own. Where it is, it does not say. */
export async function requireClaim(
  name: string,
  identity: PublicIdentity,
  claim: NameClaim,
): Promise<void> {
  const signed = signedNameClaim(name, identity.bundle, claim, NOWHERE);
  if (await verifyBy(identity, claim.signature, signed)) return;
  throw new CifraError("auth_failed", `The server shows a key as ${name}'s that has not said so`);
}
