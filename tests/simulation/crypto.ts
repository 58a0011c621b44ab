/**
 * Cryptography for simulations: the same shapes, settled at once. WebCrypto answers from other threads, in
 * an order of its own; a simulation must have one order. What is simulated is not cryptography: keys can be
 * guessed here, and the adversary of other tests is absent.
 */
import { concat } from "@std/bytes/concat";
import { encodeHex } from "@std/encoding/hex";
import { createCipheriv, createDecipheriv } from "node:crypto";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { type Aead, aes256Gcm } from "../../lib/crypto/aead.ts";
import { ed25519 } from "../../lib/crypto/ed25519.ts";
import { type Identity, readIdentity } from "../../lib/crypto/identity.ts";
import type { Kem } from "../../lib/crypto/kem.ts";
import { sha512, subtle } from "../../lib/crypto/platform.ts";
import {
  MLKEM_CIPHERTEXT_LENGTH,
  MLKEM_PUBLIC_KEY_LENGTH,
  type MlKemKeyPair,
  type PostQuantumProvider,
  webCryptoProvider,
} from "../../lib/crypto/post_quantum.ts";
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

/** A key of ML-KEM is 32 bytes, where its seed is; there is one ciphertext for each. */
const mlkem: Pick<PostQuantumProvider, "fromSeed" | "encapsulate"> = {
  fromSeed: (seed) => {
    const publicKey = new Uint8Array(MLKEM_PUBLIC_KEY_LENGTH);
    publicKey.set(sha512(seed).subarray(0, 32), MLKEM_PUBLIC_KEY_LENGTH - 32);
    const decapsulate: MlKemKeyPair["decapsulate"] = (ciphertext) =>
      Promise.resolve(sha512(publicKey, ciphertext).slice(0, 32));
    return Promise.resolve({ publicKey, decapsulate });
  },
  encapsulate: (publicKey) => {
    const ciphertext = new Uint8Array(MLKEM_CIPHERTEXT_LENGTH);
    ciphertext.set(sha512(publicKey));
    const secret = sha512(publicKey, ciphertext).slice(0, 32);
    return Promise.resolve({ ciphertext, secret });
  },
};

/** What two public keys agree on, whichever of the secrets is there. */
function agreementOf(ours: Bytes, theirs: Bytes): Bytes {
  const both = [ours, theirs].sort((a, b) => encodeHex(a) < encodeHex(b) ? -1 : 1);
  return sha512(...both).slice(0, 32);
}

/** A key that is below the prime of the field. */
function pointOf(bytes: Bytes): Bytes {
  bytes[31]! &= 0x3f;
  return bytes;
}

/** With it a key agrees on its own public half. */
const BASE_POINT = Uint8Array.of(9, ...new Uint8Array(31));

/** X25519 as `crypto/` asks the platform for it: a key is its public half, made of the scalar. */
const x25519 = {
  importKey: (format: "raw" | "pkcs8", data: Bytes, algorithm: "X25519") => {
    if (algorithm !== "X25519") throw new TypeError(`Nothing in a simulation has ${algorithm}`);
    const publicKey = format === "raw" ? data.slice() : pointOf(sha512(data).slice(0, 32));
    return Promise.resolve({ publicKey });
  },
  deriveBits: (
    { public: theirs }: { readonly public: { readonly publicKey: Bytes } },
    { publicKey }: { readonly publicKey: Bytes },
  ) => {
    const isPublicHalf = encodeHex(theirs.publicKey) === encodeHex(BASE_POINT);
    const agreed = isPublicHalf ? publicKey.slice() : agreementOf(publicKey, theirs.publicKey);
    return Promise.resolve(agreed.buffer);
  },
};

function signatureOf(publicKey: Bytes, data: Bytes): Bytes {
  return sha512(publicKey, data);
}

const BUNDLE_LABEL = encodeUtf8("cifra/1 idbundle\0");

/**
 * Puts what is simulated in the place of Ed25519, and of what sessions of the mailbox are made of, for this whole
 * process, and makes identities with it, always the same ones. Called once, before the first simulation.
 */
export function makeIdentities(count: number): Promise<readonly Identity[]> {
  const simulated: Partial<SignatureScheme> = {
    verify: (publicKey, signature, data) => {
      const expected = signatureOf(publicKey, data);
      return Promise.resolve(signature.every((byte, i) => byte === expected[i]));
    },
  };
  Object.assign(ed25519, simulated);
  Object.assign(aes256Gcm, aead);
  Object.assign(webCryptoProvider, mlkem);
  Object.assign(subtle, x25519);
  const dice = new Dice(0);
  return Promise.all(Array.from({ length: count }, async () => {
    const [publicKey, agreementKey] = [pointOf(dice.bytes(32)), pointOf(dice.bytes(32))];
    const signed = concat([new Uint8Array([2]), publicKey, agreementKey]);
    const selfSignature = signatureOf(publicKey, concat([BUNDLE_LABEL, signed]));
    const identity = await readIdentity(concat([signed, selfSignature]));
    return {
      ...identity,
      sign: (data) => Promise.resolve(signatureOf(publicKey, data)),
      agree: (theirs) => Promise.resolve(agreementOf(agreementKey, theirs)),
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
