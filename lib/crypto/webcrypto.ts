/** Hashing, key derivation and randomness: the plain primitives, over WebCrypto. */
import type { Bytes } from "../bytes.ts";
import { concat } from "@std/bytes/concat";

export const subtle = crypto.subtle;

/** Gives `length` fresh bytes; a parameter wherever a test must choose them. */
export type Random = (length: number) => Bytes;

/** The platform's secure random generator. */
export const systemRandom: Random = (length) => {
  const bytes = new Uint8Array(new ArrayBuffer(length));
  // The platform fills at most 64 KiB a call.
  for (let offset = 0; offset < length; offset += 65_536) {
    crypto.getRandomValues(bytes.subarray(offset, offset + 65_536));
  }
  return bytes;
};

/** SHA-512 over the parts, one after the other: 64 bytes. */
export async function sha512(...parts: readonly Bytes[]): Promise<Bytes> {
  const input = parts.length === 1 ? parts[0]! : concat(parts);
  return new Uint8Array(await subtle.digest("SHA-512", input));
}

/** HKDF-SHA-512 (RFC 5869): `length` bytes out of `ikm`. */
export async function hkdf(salt: Bytes, ikm: Bytes, info: Bytes, length: number): Promise<Bytes> {
  const key = await subtle.importKey("raw", ikm, "HKDF", false, ["deriveBits"]);
  const params = { name: "HKDF", hash: "SHA-512", salt, info };
  return new Uint8Array(await subtle.deriveBits(params, key, length * 8));
}

/** HMAC-SHA-512 over the parts, one after the other: 64 bytes. */
export async function hmacSha512(key: Bytes, ...parts: readonly Bytes[]): Promise<Bytes> {
  const algorithm = { name: "HMAC", hash: "SHA-512" };
  const imported = await subtle.importKey("raw", key, algorithm, false, ["sign"]);
  return new Uint8Array(await subtle.sign("HMAC", imported, concat(parts)));
}

/** Whether two byte strings are equal, in time that depends on their lengths alone. */
export function timingSafeEqual(a: Bytes, b: Bytes): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}
