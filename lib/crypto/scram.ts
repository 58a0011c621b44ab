/**
 * Proofs of a password (PROTOCOL.md 3.10): the shape of SCRAM (RFC 5802), bound to the channel. The server
 * learns nothing with which it could sign in elsewhere, but what it keeps is enough to try passwords on.
 */
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import {
  PASSWORD_MEMORY_MAXIMUM,
  PASSWORD_MEMORY_MINIMUM,
  PASSWORD_PASSES_MAXIMUM,
  PASSWORD_PASSES_MINIMUM,
  PROOF_LENGTH,
  SALT_LENGTH,
} from "../limits.ts";
import { hmacSha512, sha512, timingSafeEqual } from "./platform.ts";

const AUTH_LABEL = encodeUtf8("cifra/1 password\0");

/** What a try of a password costs. */
export interface PasswordCost {
  /** `SALT_LENGTH` bytes. */
  readonly salt: Bytes;
  /** KiB of memory. */
  readonly memory: number;
  /** Passes over it. */
  readonly passes: number;
}

/**
 * Whether a cost that somebody else names is within the limits of PROTOCOL.md 3.10: less would make the
 * password cheap to guess, more would be an attack on whoever derives the key.
 */
export function isFairCost({ salt, memory, passes }: PasswordCost): boolean {
  return salt.length === SALT_LENGTH && Number.isInteger(memory) && Number.isInteger(passes) &&
    memory >= PASSWORD_MEMORY_MINIMUM && memory <= PASSWORD_MEMORY_MAXIMUM &&
    passes >= PASSWORD_PASSES_MINIMUM && passes <= PASSWORD_PASSES_MAXIMUM;
}

/** What a server keeps of a password: 64 bytes each. */
export interface Verifier {
  readonly storedKey: Bytes;
  readonly serverKey: Bytes;
}

/** Everything both sides have said, and the channel on which they said it. */
export interface Exchange {
  readonly name: string;
  /** 24 bytes each. */
  readonly clientNonce: Bytes;
  readonly serverNonce: Bytes;
  readonly cost: PasswordCost;
  /** 32 bytes that both ends of this channel have, and nobody who relays between two channels. */
  readonly exporter: Bytes;
}

/** Client: proves that it has the key, on this channel and no other: 64 bytes. */
export function proofBy(clientKey: Bytes, exchange: Exchange): Bytes {
  return xor(clientKey, hmacSha512(sha512(clientKey), authMessage(exchange)));
}

/** Server: whether the proof is by somebody who knows the password. */
export function verifyProof(verifier: Verifier, exchange: Exchange, proof: Bytes): boolean {
  if (proof.length !== PROOF_LENGTH) return false;
  const clientKey = xor(proof, hmacSha512(verifier.storedKey, authMessage(exchange)));
  return timingSafeEqual(sha512(clientKey), verifier.storedKey);
}

/** Server: proves that it knows the verifier, at the end of this channel: 64 bytes. */
export function serverSignature(serverKey: Bytes, exchange: Exchange): Bytes {
  return hmacSha512(serverKey, authMessage(exchange), encodeUtf8("server"));
}

function authMessage({ name, clientNonce, serverNonce, cost, exporter }: Exchange): Bytes {
  const text = encodeUtf8(name);
  const numbers = new Uint8Array(9);
  const view = new DataView(numbers.buffer);
  view.setUint32(0, text.length);
  view.setUint32(4, cost.memory);
  view.setUint8(8, cost.passes);
  // Hashed, so that each part has one place whatever is in the others.
  return sha512(AUTH_LABEL, numbers, text, clientNonce, serverNonce, cost.salt, exporter);
}

function xor(a: Bytes, b: Bytes): Bytes {
  return a.map((byte, i) => byte ^ b[i]!);
}
