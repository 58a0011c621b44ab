/** The claim of an owner that a name is theirs: what is signed (PROTOCOL.md 3.7). */
import { concat } from "@std/bytes/concat";
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { bundleLength } from "../crypto/identity.ts";
import { ADVERTISED_ADDRESSES } from "../limits.ts";
import { address } from "./address.ts";
import { bytes, encode, list, type Of, struct, u16, u64, variable } from "./layout.ts";
import { anyName } from "./line.ts";

const LABEL = encodeUtf8("cifra/1 name claim\0");

/** Length of a signature of either class of identity. */
export const SIGNATURE_LENGTH = 64;
/** The other identities of one person: one in each suite. */
const VOUCHERS = 2;

/** Where the owner of a name says to be. */
const place = {
  /** Where it listens for peers. */
  receivePort: u16,
  /** The local port its dials come from. */
  sendPort: u16,
  /** Its addresses at its site. */
  advertised: list(address, ADVERTISED_ADDRESSES),
};
const placeLayout = struct(place);
/** Where the owner of a name says to be. */
export type Place = Of<typeof placeLayout>;
/** Of whoever claims a name without being there for peers: for an account. */
export const NOWHERE: Place = { receivePort: 0, sendPort: 0, advertised: [] };

const signed = struct({
  name: anyName,
  bundle: variable(bundleLength(1)),
  sequence: u64,
  notAfter: u64,
  ...place,
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
  { receivePort, sendPort, advertised }: Place,
): Bytes {
  const claim = { name, bundle, sequence, notAfter, receivePort, sendPort, advertised };
  return concat([LABEL, encode(signed, claim)]);
}
