/** X25519 (RFC 7748) with the checks that keys from outside need. */
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { subtle } from "./platform.ts";

/** Length of a public key, in bytes. */
export const X25519_KEY_LENGTH = 32;

const FIELD_PRIME = 2n ** 255n - 19n;

/** Points of small order: agreeing with one gives a secret that everybody knows (RFC 7748, 6.1). */
const SMALL_ORDER_U: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  325606250916557431795983626356110631294008115727848805560023387167927233504n,
  39382357235489614581723060781553021112529911719440698176882885853963445705823n,
  FIELD_PRIME - 1n,
]);

/** Throws `auth_failed` unless the key is 32 bytes, canonical (u < p) and not of small order. */
export function checkX25519PublicKey(publicKey: Bytes): void {
  if (publicKey.length === X25519_KEY_LENGTH) {
    const u = BigInt(`0x${encodeHex(publicKey.toReversed())}`);
    if (u < FIELD_PRIME && !SMALL_ORDER_U.has(u)) return;
  }
  throw new CifraError("auth_failed", "Cannot use X25519 key: not a canonical point of full order");
}

/** A fresh key pair with the public half in wire form. */
export async function generateX25519(
  extractable = false,
): Promise<{ publicKey: Bytes; privateKey: CryptoKey }> {
  const pair = await subtle.generateKey("X25519", extractable, ["deriveBits"]) as CryptoKeyPair;
  const publicKey = new Uint8Array(await subtle.exportKey("raw", pair.publicKey));
  return { publicKey, privateKey: pair.privateKey };
}

/** All of a private key in PKCS #8 but its scalar (RFC 8410, 7). */
const PKCS8_PREFIX = decodeHex("302e020100300506032b656e04220420");
/** u = 9: a key agrees with it on its own public half. */
const BASE_POINT = new Uint8Array(X25519_KEY_LENGTH);
BASE_POINT[0] = 9;

/** The public half of a private key, in wire form. */
export function x25519PublicKeyOf(privateKey: CryptoKey): Promise<Bytes> {
  return agreeX25519(privateKey, BASE_POINT);
}

/** The key pair of a scalar, which is any 32 bytes and stays with the caller. */
export async function x25519KeyPairOf(
  scalar: Bytes,
): Promise<{ publicKey: Bytes; privateKey: CryptoKey }> {
  const pkcs8 = concat([PKCS8_PREFIX, scalar]);
  const privateKey = await subtle.importKey("pkcs8", pkcs8, "X25519", false, ["deriveBits"]);
  pkcs8.fill(0);
  return { publicKey: await x25519PublicKeyOf(privateKey), privateKey };
}

/** The 32-byte agreement; throws on a public key that gives the all-zero secret. */
export async function agreeX25519(privateKey: CryptoKey, publicKey: Bytes): Promise<Bytes> {
  const theirs = await subtle.importKey("raw", publicKey, "X25519", false, []);
  const params = { name: "X25519", public: theirs };
  return new Uint8Array(await subtle.deriveBits(params, privateKey, 256));
}
