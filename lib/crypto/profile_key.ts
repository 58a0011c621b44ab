/**
 * The key under which what a profile keeps lies on disk. It answers at once, by `node:crypto`: a store opens what it
 * reads while it reads, and a call of WebCrypto would end its transaction, or have it read everything beforehand.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { concat } from "@std/bytes/concat";
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { type Random, systemRandom } from "./platform.ts";

/** Length of a profile key, in bytes. */
export const PROFILE_KEY_LENGTH = 32;

const LABEL = encodeUtf8("cifra/1 at rest\0");
const ALGORITHM = "aes-256-gcm";
const IV_LENGTH = 12;
const TAG_LENGTH = 16;
const NOTHING = new Uint8Array(0);

/** Seals what lies on this disk; good for 2^32 values, after which two may have the same IV. */
export class ProfileKey {
  /** Bytes that sealing adds to what is not empty. */
  readonly overhead = IV_LENGTH + TAG_LENGTH;
  readonly #key: Bytes;
  readonly #random: Random;

  /** `key` has 32 bytes; `random` chooses the IVs. */
  constructor(key: Bytes, random = systemRandom) {
    if (key.length !== PROFILE_KEY_LENGTH) throw new TypeError("A profile key has 32 bytes");
    this.#key = key.slice();
    this.#random = random;
  }

  /** A fresh key. */
  static generate(): ProfileKey {
    const key = systemRandom(PROFILE_KEY_LENGTH);
    try {
      return new ProfileKey(key);
    } finally {
      key.fill(0);
    }
  }

  /**
   * The sealed form of `content`: `iv[12] ‖ AES-256-GCM`, good in this `place` alone. Nothing stays nothing: that it
   * is empty shows in its length anyway.
   */
  seal(place: Bytes, content: Bytes): Bytes {
    if (content.length === 0) return NOTHING;
    const iv = this.#random(IV_LENGTH);
    const cipher = createCipheriv(ALGORITHM, this.#key, iv).setAAD(concat([LABEL, place]));
    const sealed = new Uint8Array(cipher.update(content));
    cipher.final();
    return concat([iv, sealed, new Uint8Array(cipher.getAuthTag())]);
  }

  /** What was sealed in this place; throws `auth_failed` when it was not, or by another key. */
  open(place: Bytes, sealed: Bytes): Bytes {
    if (sealed.length === 0) return NOTHING;
    const end = sealed.length - TAG_LENGTH;
    // What was begun and is not ended is not let go of.
    if (end <= IV_LENGTH) throw openFailure();
    try {
      const iv = sealed.subarray(0, IV_LENGTH);
      const decipher = createDecipheriv(ALGORITHM, this.#key, iv)
        .setAAD(concat([LABEL, place]))
        .setAuthTag(sealed.subarray(end));
      const content = new Uint8Array(decipher.update(sealed.subarray(IV_LENGTH, end)));
      decipher.final();
      return content;
    } catch (cause) {
      throw openFailure(cause);
    }
  }

  /** A copy of the key itself, to be kept under a passphrase. */
  export(): Bytes {
    return this.#key.slice();
  }

  /** Overwrites the key. */
  drop(): void {
    this.#key.fill(0);
  }
}

function openFailure(cause?: unknown): CifraError {
  return new CifraError("auth_failed", "What was kept is damaged, or sealed by another key", {
    cause,
  });
}
