/**
 * The platform's cryptography. Everything with a cipher or a private key goes through WebCrypto, but for what a
 * store seals (`profile_key.ts`). Hashes and
 * key derivation go through `node:crypto`, which answers at once: a WebCrypto call crosses to another
 * thread and back, and the ladder hashes and derives some fifty times (measured: a registration costs
 * both ends together a quarter less processor time).
 */
import { createHash, createHmac, hkdfSync } from "node:crypto";
import type { Bytes } from "../bytes.ts";

/** WebCrypto; `crypto/` alone calls it. */
export const subtle = crypto.subtle;

/** Gives `length` fresh bytes; a parameter wherever a test must choose them. */
export type Random = (length: number) => Bytes;

/** The platform's secure random generator. */
export const systemRandom: Random = (length): Bytes => {
  const bytes = new Uint8Array(new ArrayBuffer(length));
  // The platform fills at most 64 KiB a call.
  for (let offset = 0; offset < length; offset += 65_536) {
    crypto.getRandomValues(bytes.subarray(offset, offset + 65_536));
  }
  return bytes;
};

/** SHA-512 over the parts, one after the other: 64 bytes. */
export function sha512(...parts: readonly Bytes[]): Bytes {
  const hash = createHash("sha512");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

/** SHA-256 of what comes in pieces, as files do. */
export interface Sha256 {
  update(piece: Bytes): void;
  /** 32 bytes; nothing may follow. */
  digest(): Bytes;
}

/** A SHA-256 of nothing yet. */
export function sha256(): Sha256 {
  const hash = createHash("sha256");
  return {
    update: (piece) => void hash.update(piece),
    digest: () => new Uint8Array(hash.digest()),
  };
}

/** SHA3-256 (FIPS 202): 32 bytes. */
export function sha3_256(data: Bytes): Bytes {
  return new Uint8Array(createHash("sha3-256").update(data).digest());
}

/** HKDF-SHA-512 (RFC 5869): `length` bytes out of `ikm`. */
export function hkdf(salt: Bytes, ikm: Bytes, info: Bytes, length: number): Bytes {
  return new Uint8Array(hkdfSync("sha512", ikm, salt, info, length));
}

/** HMAC-SHA-512 over the parts, one after the other: 64 bytes. */
export function hmacSha512(key: Bytes, ...parts: readonly Bytes[]): Bytes {
  const hmac = createHmac("sha512", key);
  for (const part of parts) hmac.update(part);
  return new Uint8Array(hmac.digest());
}

/** Whether two byte strings are equal, in time that depends on their lengths alone. */
export function timingSafeEqual(a: Bytes, b: Bytes): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}
