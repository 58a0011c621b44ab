/** What tests of the mailbox share: envelopes and headers taken apart by hand, and ML-KEM without chance. */
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { decodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";
import type { SealedEnvelope, SessionHeader } from "../../lib/crypto/mailbox_session.ts";
import { type PostQuantumProvider, webCryptoProvider } from "../../lib/crypto/post_quantum.ts";

/** Bytes in front of what is sealed. */
export const BEFORE_SEALED = 1 + 1152 + 2 + 32;

function view({ buffer, byteOffset }: Bytes): DataView {
  return new DataView(buffer, byteOffset);
}

/** The fields of a header of 1152 bytes. */
export function headerParts(header: Bytes): SessionHeader {
  return {
    box: header.slice(0, 16),
    signed: view(header).getBigUint64(16),
    once: view(header).getBigUint64(24),
    ephemeral: header.slice(32, 64),
    ciphertext: header.slice(64),
  };
}

/** The header of an envelope. */
export function headerOf(envelope: Bytes): Bytes {
  return envelope.slice(1, 1 + 1152);
}

/** What opening an envelope needs. */
export function envelopeParts(envelope: Bytes): SealedEnvelope {
  return {
    n: view(envelope).getUint16(1 + 1152),
    salt: envelope.slice(BEFORE_SEALED - 32, BEFORE_SEALED),
    sealed: envelope.slice(BEFORE_SEALED),
    additionalData: envelope.slice(0, BEFORE_SEALED),
  };
}

/** ML-KEM whose encapsulation draws nothing: its 32 bytes of randomness are `m`. */
export function fixedMlKem(m: string): PostQuantumProvider {
  return {
    ...webCryptoProvider,
    encapsulate(publicKey) {
      const { cipherText, sharedSecret } = ml_kem768.encapsulate(publicKey, decodeHex(m));
      const [ciphertext, secret] = [new Uint8Array(cipherText), new Uint8Array(sharedSecret)];
      return Promise.resolve({ ciphertext, secret });
    },
  };
}

/** `bytes` with one bit changed, counted from the lowest of the first byte. */
export function flipped(bytes: Bytes, bit: number): Bytes {
  const changed = bytes.slice();
  changed[bit >> 3]! ^= 1 << (bit & 7);
  return changed;
}
