/**
 * Cryptography for simulations: the same shapes, settled at once. WebCrypto answers from other threads, in
 * an order of its own; a simulation must have one order. What is simulated is not cryptography: keys can be
 * guessed here, and the adversary of other tests is absent.
 */
import { concat } from "@std/bytes/concat";
import { createCipheriv, createDecipheriv } from "node:crypto";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import type { Aead } from "../../lib/crypto/aead.ts";
import { ed25519 } from "../../lib/crypto/ed25519.ts";
import { type Identity, readIdentity } from "../../lib/crypto/identity.ts";
import type { Kem } from "../../lib/crypto/kem.ts";
import { sha512 } from "../../lib/crypto/platform.ts";
import type { SignatureScheme } from "../../lib/crypto/signature.ts";
import type { Suite } from "../../lib/crypto/suite.ts";
import { xwing } from "../../lib/crypto/xwing.ts";
import { CifraError } from "../../lib/errors.ts";
import { Dice } from "./dice.ts";

const TAG_LENGTH = 16;
const NO_PROVIDER = {} as Parameters<typeof xwing>[0];
const { publicKeyLength, ciphertextLength } = xwing(NO_PROVIDER);

/** The real cipher, called at once. */
const aead: Aead = {
  name: "AES-256-GCM",
  keyLength: 32,
  ivLength: 12,
  sealedLength: (length) => length + TAG_LENGTH,
  importKey: (key) =>
    Promise.resolve({
      seal: (iv, additionalData, plaintext) => {
        const cipher = createCipheriv("aes-256-gcm", key, iv);
        cipher.setAAD(additionalData);
        const sealed = new Uint8Array(plaintext.length + TAG_LENGTH);
        sealed.set(cipher.update(plaintext));
        cipher.final();
        sealed.set(cipher.getAuthTag(), plaintext.length);
        return Promise.resolve(sealed);
      },
      open: (iv, additionalData, sealed) => {
        try {
          const decipher = createDecipheriv("aes-256-gcm", key, iv);
          decipher.setAAD(additionalData);
          decipher.setAuthTag(sealed.subarray(sealed.length - TAG_LENGTH));
          const opened = new Uint8Array(
            decipher.update(sealed.subarray(0, sealed.length - TAG_LENGTH)),
          );
          decipher.final();
          return Promise.resolve(opened);
        } catch (cause) {
          return Promise.reject(new CifraError("auth_failed", "Cannot open message", { cause }));
        }
      },
    }),
};

/** A key is 32 bytes; its secret comes from it and a nonce, which is the ciphertext. */
function kem(dice: Dice): Kem {
  const secretOf = (publicKey: Bytes, ciphertext: Bytes) =>
    sha512(publicKey, ciphertext).slice(0, 32);
  return {
    name: "simulated X-Wing",
    publicKeyLength,
    ciphertextLength,
    generate: () => {
      const publicKey = new Uint8Array(publicKeyLength);
      publicKey.set(dice.bytes(32));
      const decapsulate = (ciphertext: Bytes) => Promise.resolve(secretOf(publicKey, ciphertext));
      return Promise.resolve({ publicKey, decapsulate });
    },
    encapsulate: (publicKey) => {
      const ciphertext = new Uint8Array(ciphertextLength);
      ciphertext.set(dice.bytes(32));
      return Promise.resolve({ ciphertext, secret: secretOf(publicKey, ciphertext) });
    },
  };
}

function signatureOf(publicKey: Bytes, data: Bytes): Bytes {
  return sha512(publicKey, data);
}

const BUNDLE_LABEL = encodeUtf8("cifra/1 idbundle\0");

/**
 * Puts the simulated signatures in the place of Ed25519 for this whole process, and makes identities with
 * them, always the same ones. Called once, before the first simulation.
 */
export function makeIdentities(count: number): Promise<readonly Identity[]> {
  const simulated: Partial<SignatureScheme> = {
    verify: (publicKey, signature, data) => {
      const expected = signatureOf(publicKey, data);
      return Promise.resolve(signature.every((byte, i) => byte === expected[i]));
    },
  };
  Object.assign(ed25519, simulated);
  const dice = new Dice(0);
  return Promise.all(Array.from({ length: count }, async () => {
    // Small enough to be below the prime of the field.
    const [publicKey, agreementKey] = [dice.bytes(32), dice.bytes(32)];
    for (const key of [publicKey, agreementKey]) key[31]! &= 0x3f;
    const signed = concat([new Uint8Array([2]), publicKey, agreementKey]);
    const selfSignature = signatureOf(publicKey, concat([BUNDLE_LABEL, signed]));
    const identity = await readIdentity(concat([signed, selfSignature]));
    return {
      ...identity,
      sign: (data) => Promise.resolve(signatureOf(publicKey, data)),
      agree: () => Promise.reject(new TypeError("Nothing in a simulation agrees so")),
    };
  }));
}

/** The suite `modern`, simulated. */
export function simulatedSuite(dice: Dice): Suite {
  return {
    id: 3,
    name: "modern",
    kem: kem(dice),
    signature: ed25519,
    aead,
    signedRecords: false,
  };
}
