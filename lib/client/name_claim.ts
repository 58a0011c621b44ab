/** Saying that a name is ours, and checking that a peer says so of theirs (PROTOCOL.md 3.7). */
import type { Identity, PublicIdentity } from "../crypto/identity.ts";
import { verifyBy } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import { CLAIM_LIFETIME } from "../limits.ts";
import { signedNameClaim } from "../wire/name_claim.ts";
import type { Introduction, VouchedClaim } from "../wire/rendezvous_messages.ts";

/** What a registration says of its owner. */
export interface SignedRegistration {
  /** Grows with every registration of an identity. */
  readonly registrationSequence: bigint;
  readonly claim: VouchedClaim;
}

/** Runs `job` with what a registration needs of its owner; no other registration runs beside it. */
export type Registrar = <T>(job: (word: SignedRegistration) => Promise<T>) => Promise<T>;

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
): Promise<VouchedClaim> {
  const notAfter = BigInt(now + CLAIM_LIFETIME);
  const signed = signedNameClaim(name, identity.bundle, { sequence, notAfter });
  const [signature, vouchers] = await Promise.all([
    identity.sign(signed),
    Promise.all(
      others.map(async (other) => ({ bundle: other.bundle, signature: await other.sign(signed) })),
    ),
  ]);
  return { notAfter, signature, vouchers };
}

/**
 * Throws `auth_failed` unless the introduced identity itself has said that the name is its own. Until when
 * that holds is the server's business: our clock may be wrong.
 */
export async function requireNameClaim(
  { peerName, claim }: Introduction,
  peer: PublicIdentity,
): Promise<void> {
  const signed = signedNameClaim(peerName, peer.bundle, claim);
  if (await verifyBy(peer, claim.signature, signed)) return;
  throw new CifraError(
    "auth_failed",
    `The server introduced a key as ${peerName} that has not said to be ${peerName}`,
    { hint: "the server may be wrong or worse: tell its operator" },
  );
}
