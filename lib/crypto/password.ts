/**
 * Passwords (PROTOCOL.md 3.10): the program to which a person gives one derives a key from it by Argon2id
 * (RFC 9106). A thief of a server's database, or of a file of keys, has to guess, and each guess costs as much.
 */
import { argon2idAsync } from "@noble/hashes/argon2.js";
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { PASSWORD_LIMIT } from "../limits.ts";
import { hmacSha512, sha512, subtle, timingSafeEqual } from "./platform.ts";
import {
  type Exchange,
  isFairCost,
  type PasswordCost,
  proofBy,
  serverSignature,
  type Verifier,
} from "./scram.ts";

const SEAL_LABEL = encodeUtf8("cifra/1 sealed by password\0");
const IV_LENGTH = 12;

/** The key of a password, for one salt. Dropped when it is no longer needed: it is as good as the password. */
export class SaltedPassword {
  readonly #key: Bytes;

  private constructor(key: Bytes) {
    this.#key = key;
  }

  /**
   * Derives the key, which takes some tenths of a second. Throws `auth_failed` on a cost that is too
   * low to protect it or too high to bear, `usage` on a password that is empty or too long.
   */
  static async derive(password: string, cost: PasswordCost): Promise<SaltedPassword> {
    requireCost(cost);
    // One person's keyboard composes what another's does not.
    const text = encodeUtf8(password.normalize("NFKC"));
    if (text.length === 0 || text.length > PASSWORD_LIMIT) {
      throw new CifraError("usage", `A password must have 1 to ${PASSWORD_LIMIT} bytes`);
    }
    const { salt, memory, passes } = cost;
    const key = await argon2idAsync(text, salt, { m: memory, t: passes, p: 1, dkLen: 32 });
    text.fill(0);
    return new SaltedPassword(new Uint8Array(key));
  }

  /** What a server is to keep. */
  verifier(): Verifier {
    return { storedKey: sha512(this.#clientKey()), serverKey: this.#serverKey() };
  }

  /** Proves the password, on this channel and no other: 64 bytes. */
  prove(exchange: Exchange): Bytes {
    return proofBy(this.#clientKey(), exchange);
  }

  /** Whether the server that signed this knows the password's verifier, and is at this channel's end. */
  isSigned(exchange: Exchange, signature: Bytes): boolean {
    return timingSafeEqual(signature, serverSignature(this.#serverKey(), exchange));
  }

  /** Seals what only who knows the password may read: `iv ‖ AES-256-GCM`. `iv` is fresh each time. */
  async seal(content: Bytes, iv: Bytes): Promise<Bytes> {
    const algorithm = { name: "AES-GCM", iv, additionalData: SEAL_LABEL };
    const sealed = await subtle.encrypt(algorithm, await this.#sealingKey(), content);
    const out = new Uint8Array(iv.length + sealed.byteLength);
    out.set(iv);
    out.set(new Uint8Array(sealed), iv.length);
    return out;
  }

  /** Opens what `seal` made; throws `auth_failed` when it was another password, or is damaged. */
  async open(sealed: Bytes): Promise<Bytes> {
    const iv = sealed.subarray(0, IV_LENGTH), content = sealed.subarray(IV_LENGTH);
    const algorithm = { name: "AES-GCM", iv, additionalData: SEAL_LABEL };
    try {
      return new Uint8Array(await subtle.decrypt(algorithm, await this.#sealingKey(), content));
    } catch (cause) {
      throw new CifraError("auth_failed", "The password is wrong, or what it seals is damaged", {
        cause,
      });
    }
  }

  /** Overwrites the key. */
  drop(): void {
    this.#key.fill(0);
  }

  #clientKey(): Bytes {
    return hmacSha512(this.#key, encodeUtf8("Client Key"));
  }

  #serverKey(): Bytes {
    return hmacSha512(this.#key, encodeUtf8("Server Key"));
  }

  #sealingKey(): Promise<CryptoKey> {
    const key = hmacSha512(this.#key, encodeUtf8("Sealing Key")).subarray(0, 32);
    return subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"]);
  }
}

/** Throws `auth_failed` on a cost out of bounds: a server or a file may have chosen it to do harm. */
function requireCost(cost: PasswordCost): void {
  if (isFairCost(cost)) return;
  const { memory, passes } = cost;
  throw new CifraError(
    "auth_failed",
    `Cannot use this password cost: ${memory} KiB and ${passes} passes are out of bounds`,
    { hint: "the server or the file may be a trap" },
  );
}
