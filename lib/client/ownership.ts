/** Saying that a name is ours, and checking that a peer says so of theirs (PROTOCOL.md 3.7). */
import type { Identity, PublicIdentity } from "../crypto/identity.ts";
import { verifyBy } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import { STATEMENT_LIFETIME } from "../limits.ts";
import { signedStatement } from "../wire/name_statement.ts";
import type { Introduction, Ownership } from "../wire/rendezvous_messages.ts";

/** What a registration says of its owner. */
export interface OwnersWord {
  /** Grows with every registration of an identity. */
  readonly registrationSequence: bigint;
  readonly statement: Ownership;
}

/** Runs `job` with what a registration needs of its owner; no other registration runs beside it. */
export type Registrar = <T>(job: (word: OwnersWord) => Promise<T>) => Promise<T>;

/** Who we are: in the suite that is used, and in the others. */
export interface OurIdentities {
  readonly identity: Identity;
  /** They vouch for the first, in case that the name is known by one of them. */
  readonly others: readonly Identity[];
}

/** Our word that `name` is ours; `now` in milliseconds since 1970. */
export async function stateOwnership(
  name: string,
  { identity, others }: OurIdentities,
  sequence: bigint,
  now: number,
): Promise<Ownership> {
  const notAfter = BigInt(now + STATEMENT_LIFETIME);
  const signed = signedStatement(name, identity.bundle, { sequence, notAfter });
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
export async function requireOwnership(
  { peerName, statement }: Introduction,
  peer: PublicIdentity,
): Promise<void> {
  const signed = signedStatement(peerName, peer.bundle, statement);
  if (await verifyBy(peer, statement.signature, signed)) return;
  throw new CifraError(
    "auth_failed",
    `The server introduced a key as ${peerName} that has not said to be ${peerName}`,
    { hint: "the server may be wrong or worse: tell its operator" },
  );
}
