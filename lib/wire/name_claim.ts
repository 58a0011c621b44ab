/** The claim of an owner that a name is theirs: what is signed (PROTOCOL.md 3.7). */
import { concat } from "@std/bytes/concat";
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { bundleLength } from "../crypto/identity.ts";
import { bytes, encode, list, type Of, struct, u64, variable } from "./layout.ts";
import { anyName } from "./line.ts";

const LABEL = encodeUtf8("cifra/1 name claim\0");

/** Length of a signature of either class of identity. */
export const SIGNATURE_LENGTH = 64;
/** The other identities of one person: one in each suite. */
const VOUCHERS = 2;

const signed = struct({
  name: anyName,
  bundle: variable(bundleLength(1)),
  sequence: u64,
  notAfter: u64,
});

/** A claim, beside the name and the identity that it is about. */
export const nameClaim = struct({
  /** Grows with every claim of an identity. */
  sequence: u64,
  /** Until when it holds, in milliseconds since 1970. */
  notAfter: u64,
  /** By the identity, over `signedNameClaim`. */
  signature: bytes(SIGNATURE_LENGTH),
});
/** A claim, decoded. */
export type NameClaim = Of<typeof nameClaim>;

/** Another identity of the same person says the same: it owns the name already, and lets this one in. */
export const vouchers = list(
  struct({ bundle: variable(bundleLength(1)), signature: bytes(SIGNATURE_LENGTH) }),
  VOUCHERS,
);
/** What one of those other identities says. */
export type Voucher = Of<typeof vouchers>[number];

/** What the owner and those who vouch for it sign. */
export function signedNameClaim(
  name: string,
  bundle: Bytes,
  { sequence, notAfter }: Pick<NameClaim, "sequence" | "notAfter">,
): Bytes {
  return concat([LABEL, encode(signed, { name, bundle, sequence, notAfter })]);
}
