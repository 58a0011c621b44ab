/** Who somebody is: the identity bundle, its fingerprint, and our own identity key (PROTOCOL.md 3.2). */
import { concat } from "@std/bytes/concat";
import { decodeBase32, encodeBase32 } from "@std/encoding/base32";
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { ecdsaP256 } from "./ecdsa_p256.ts";
import { ed25519 } from "./ed25519.ts";
import type { SignatureScheme } from "./signature.ts";
import { sha512, subtle, timingSafeEqual } from "./platform.ts";
import {
  agreeX25519,
  checkX25519PublicKey,
  generateX25519,
  X25519_KEY_LENGTH,
  x25519PublicKeyOf,
} from "./x25519.ts";

/** 1 = ECDSA P-256 (suites rsa and classic), 2 = Ed25519 with an X25519 key (suite modern). */
export type IdentityClass = 1 | 2;

/** Length of a fingerprint, in bytes. */
export const FINGERPRINT_LENGTH = 32;

const BUNDLE_LABEL = encodeUtf8("cifra/1 idbundle\0");
const FINGERPRINT_LABEL = encodeUtf8("cifra/1 fp\0");
const SCHEMES: Readonly<Record<IdentityClass, SignatureScheme>> = { 1: ecdsaP256, 2: ed25519 };

/** Somebody's public identity, every check of it passed. */
export interface PublicIdentity {
  /** Which kind of keys it has. */
  readonly identityClass: IdentityClass;
  /** Wire form: `class ‖ signature key ‖ X25519 key (class 2) ‖ self-signature`. */
  readonly bundle: Bytes;
  /** The public key its signatures are checked with: 65 bytes in class 1, 32 in class 2. */
  readonly signatureKey: Bytes;
  /** The public X25519 key, 32 bytes that have passed their check; class 2 only. */
  readonly agreementKey: Bytes | undefined;
  /** 32 bytes: SHA-512 over the bundle without its signature, cut. */
  readonly fingerprint: Bytes;
}

/** An identity of ours. */
export interface Identity extends PublicIdentity {
  /** A 64-byte signature over `data`. */
  sign(data: Bytes): Promise<Bytes>;
  /**
   * The 32-byte X25519 secret of ours with a public key that has passed its check (PROTOCOL.md 3.1). Throws
   * TypeError in class 1, which has no key for it.
   */
  agree(publicKey: Bytes): Promise<Bytes>;
}

/** The private halves as they are stored: PKCS #8, and the bundle they belong to. */
export interface StoredIdentity {
  /** The public half, in wire form. */
  readonly bundle: Bytes;
  /** The private signature key. */
  readonly signatureKey: Bytes;
  /** The private X25519 key; class 2 only. */
  readonly agreementKey: Bytes | undefined;
}

/** Which class of identity goes with a signature scheme. */
export function identityClassOf(scheme: SignatureScheme): IdentityClass {
  return scheme === ed25519 ? 2 : 1;
}

/** Length of an identity bundle of this class, in bytes. */
export function bundleLength(identityClass: IdentityClass): number {
  const scheme = SCHEMES[identityClass];
  const agreement = identityClass === 2 ? X25519_KEY_LENGTH : 0;
  return 1 + scheme.publicKeyLength + agreement + scheme.signatureLength;
}

function refuse(why: string): CifraError {
  return new CifraError("auth_failed", `Cannot accept identity: ${why}`);
}

/** Reads a bundle from outside; throws `auth_failed` on a bad form, key or self-signature. */
export async function readIdentity(
  bundle: Bytes,
  expectedClass?: IdentityClass,
): Promise<PublicIdentity> {
  const identityClass = bundle[0];
  if (identityClass !== 1 && identityClass !== 2) throw refuse("unknown class");
  if (expectedClass !== undefined && identityClass !== expectedClass) throw refuse("wrong class");
  if (bundle.length !== bundleLength(identityClass)) throw refuse("wrong length");
  const scheme = SCHEMES[identityClass];
  const signatureKey = bundle.slice(1, 1 + scheme.publicKeyLength);
  scheme.checkPublicKey(signatureKey);
  const signed = bundle.subarray(0, bundle.length - scheme.signatureLength);
  const agreementKey = identityClass === 2 ? signed.slice(1 + scheme.publicKeyLength) : undefined;
  if (agreementKey) checkX25519PublicKey(agreementKey);
  const selfSignature = bundle.subarray(signed.length);
  if (!await scheme.verify(signatureKey, selfSignature, concat([BUNDLE_LABEL, signed]))) {
    throw refuse("its signature does not hold");
  }
  const fingerprint = fingerprintOf(signed);
  return { identityClass, bundle: bundle.slice(), signatureKey, agreementKey, fingerprint };
}

/** Whether `signature` over `data` is by this identity. */
export function verifyBy(
  identity: PublicIdentity,
  signature: Bytes,
  data: Bytes,
): Promise<boolean> {
  return SCHEMES[identity.identityClass].verify(identity.signatureKey, signature, data);
}

function fingerprintOf(unsignedBundle: Bytes): Bytes {
  return sha512(FINGERPRINT_LABEL, unsignedBundle).slice(0, FINGERPRINT_LENGTH);
}

/** Makes a new identity, and the form in which it is stored. */
export async function generateIdentity(
  identityClass: IdentityClass,
): Promise<{ readonly identity: Identity; readonly stored: StoredIdentity }> {
  const { key, pkcs8 } = await SCHEMES[identityClass].generate();
  const parts = [new Uint8Array([identityClass]), key.publicKey];
  let agreementKey: Bytes | undefined;
  if (identityClass === 2) {
    const { publicKey, privateKey } = await generateX25519(true);
    agreementKey = new Uint8Array(await subtle.exportKey("pkcs8", privateKey));
    parts.push(publicKey);
  }
  const signed = concat(parts);
  const bundle = concat([signed, await key.sign(concat([BUNDLE_LABEL, signed]))]);
  const stored = { bundle, signatureKey: pkcs8, agreementKey };
  return { identity: await openIdentity(stored), stored };
}

/** The identity in its stored form; throws `auth_failed` when its parts do not belong together. */
export async function openIdentity(stored: StoredIdentity): Promise<Identity> {
  const known = await readIdentity(stored.bundle);
  const { identityClass, signatureKey, agreementKey } = known;
  const { sign } = await SCHEMES[identityClass].fromPkcs8(stored.signatureKey, signatureKey);
  const probe = encodeUtf8("cifra/1 identity file probe\0");
  if (!await verifyBy(known, await sign(probe), probe)) {
    throw refuse("its private key belongs to another bundle");
  }
  if (!agreementKey) {
    return { ...known, sign, agree: () => Promise.reject(new TypeError("No agreement key")) };
  }
  const privateKey = await openAgreementKey(agreementKey, stored.agreementKey);
  return { ...known, sign, agree: (publicKey) => agreeX25519(privateKey, publicKey) };
}

/** The private X25519 key. The ladder never uses it: nothing else would show that it is another's. */
async function openAgreementKey(publicKey: Bytes, pkcs8: Bytes | undefined): Promise<CryptoKey> {
  const privateKey = pkcs8 &&
    await subtle.importKey("pkcs8", pkcs8, "X25519", false, ["deriveBits"]).catch(() => undefined);
  if (privateKey && timingSafeEqual(await x25519PublicKeyOf(privateKey), publicKey)) {
    return privateKey;
  }
  throw refuse("its private X25519 key belongs to another bundle");
}

/** A fingerprint for people: 52 lower-case base32 letters and digits in groups of four. */
export function formatFingerprint(fingerprint: Bytes): string {
  const text = encodeBase32(fingerprint).toLowerCase().replaceAll("=", "");
  return text.match(/.{4}/g)!.join("-");
}

/** Reads what `formatFingerprint` wrote, with or without its dashes; throws `usage` otherwise. */
export function parseFingerprint(text: string): Bytes {
  const letters = text.trim().replaceAll("-", "").toUpperCase();
  if (/^[A-Z2-7]{52}$/.test(letters)) {
    const fingerprint = decodeBase32(letters + "====");
    // The last letter carries padding bits; only the encoding with zeros there is legal.
    if (encodeBase32(fingerprint) === letters + "====") return fingerprint;
  }
  throw new CifraError("usage", `Cannot read fingerprint: must be 52 letters and digits 2 to 7`, {
    hint: "copy the whole fingerprint that the other side prints",
  });
}

/** The first three groups of a fingerprint: enough to tell two lines apart, not to verify. */
export function shortFingerprint(fingerprint: Bytes): string {
  return formatFingerprint(fingerprint).slice(0, 14);
}
