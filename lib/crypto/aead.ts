/** Authenticated encryption: AES-256-GCM, and AES-256-CBC with HMAC-SHA-512 for the study suite. */
import { concat } from "@std/bytes/concat";
import { type Bytes, encodeU64 } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { subtle, timingSafeEqual } from "./platform.ts";

/** A key that seals and opens; both take a fresh `iv` of `ivLength` bytes for every message. */
export interface AeadKey {
  /** The sealed form of `plaintext`. */
  seal(iv: Bytes, additionalData: Bytes, plaintext: Bytes): Promise<Bytes>;
  /** Throws `auth_failed`, whatever the cause. */
  open(iv: Bytes, additionalData: Bytes, sealed: Bytes): Promise<Bytes>;
}

/** An authenticated cipher. */
export interface Aead {
  /** What it is called. */
  readonly name: string;
  /** Length of a key, in bytes. */
  readonly keyLength: number;
  /** Length of an IV, in bytes. */
  readonly ivLength: number;
  /** Length of the sealed form of `plaintextLength` bytes. */
  sealedLength(plaintextLength: number): number;
  /** A key out of `keyLength` bytes. */
  importKey(key: Bytes): Promise<AeadKey>;
}

function openFailure(cause?: unknown): CifraError {
  return new CifraError("auth_failed", "Cannot open message: authentication failed", { cause });
}

const GCM_TAG_LENGTH = 16;

/** AES-256-GCM, its 16-byte tag after the ciphertext (PROTOCOL.md 3.1). */
export const aes256Gcm: Aead = {
  name: "AES-256-GCM",
  keyLength: 32,
  ivLength: 12,
  sealedLength: (plaintextLength) => plaintextLength + GCM_TAG_LENGTH,

  async importKey(raw) {
    const key = await subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]);
    return {
      seal: async (iv, additionalData, plaintext) =>
        new Uint8Array(
          await subtle.encrypt({ name: "AES-GCM", iv, additionalData }, key, plaintext),
        ),
      open: async (iv, additionalData, sealed) => {
        try {
          const params = { name: "AES-GCM", iv, additionalData };
          return new Uint8Array(await subtle.decrypt(params, key, sealed));
        } catch (cause) {
          throw openFailure(cause);
        }
      },
    };
  },
};

const BLOCK = 16;
const CBC_TAG_LENGTH = 32;

/** AEAD_AES_256_CBC_HMAC_SHA_512 (RFC 7518, 5.2.5): MAC key first, then the encryption key. */
export const aes256CbcHs512: Aead = {
  name: "A256CBC-HS512",
  keyLength: 64,
  ivLength: BLOCK,
  sealedLength: (plaintextLength) =>
    (Math.floor(plaintextLength / BLOCK) + 1) * BLOCK + CBC_TAG_LENGTH,

  async importKey(raw) {
    const hmac = { name: "HMAC", hash: "SHA-512" };
    const [macKey, encryptionKey] = await Promise.all([
      subtle.importKey("raw", raw.subarray(0, 32), hmac, false, ["sign"]),
      subtle.importKey("raw", raw.subarray(32), "AES-CBC", false, ["encrypt", "decrypt"]),
    ]);
    async function tag(iv: Bytes, additionalData: Bytes, ciphertext: Bytes): Promise<Bytes> {
      const bitLength = BigInt(additionalData.length) * 8n;
      const input = concat([additionalData, iv, ciphertext, encodeU64(bitLength)]);
      const mac = new Uint8Array(await subtle.sign("HMAC", macKey, input));
      return mac.subarray(0, CBC_TAG_LENGTH);
    }
    return {
      seal: async (iv, additionalData, plaintext) => {
        const sealed = await subtle.encrypt({ name: "AES-CBC", iv }, encryptionKey, plaintext);
        const ciphertext = new Uint8Array(sealed);
        return concat([ciphertext, await tag(iv, additionalData, ciphertext)]);
      },
      // The MAC is checked before the padding is looked at: no padding oracle (attack A7).
      open: async (iv, additionalData, sealed) => {
        const split = sealed.length - CBC_TAG_LENGTH;
        if (split < BLOCK || split % BLOCK !== 0) throw openFailure();
        const ciphertext = sealed.subarray(0, split);
        const expected = await tag(iv, additionalData, ciphertext);
        if (!timingSafeEqual(expected, sealed.subarray(split))) throw openFailure();
        try {
          const params = { name: "AES-CBC", iv };
          return new Uint8Array(await subtle.decrypt(params, encryptionKey, ciphertext));
        } catch (cause) {
          throw openFailure(cause);
        }
      },
    };
  },
};
