/**
 * RSA-OAEP as a KEM: 32 random bytes, encrypted to the ephemeral key. OAEP carries nothing else, so a
 * decryption oracle would reveal one handshake's share and never chosen text (attack A6).
 */
import { concat } from "@std/bytes/concat";
import { decodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { decapsulateOrRandom, type Kem, KEM_SECRET_LENGTH, type KemKeyPair } from "./kem.ts";
import { subtle, systemRandom } from "./platform.ts";

/** The only two sizes in use; each has exactly one legal encoding of its public key. */
export interface RsaParameters {
  readonly name: string;
  readonly modulusLength: 1024 | 3072;
  readonly hash: "SHA-1" | "SHA-256";
}

/**
 * SubjectPublicKeyInfo in DER is a constant around the modulus once size and exponent are fixed, so
 * the whole check is: these bytes, a modulus with its top bit set and odd, these bytes.
 */
const SPKI_PREFIX: Readonly<Record<1024 | 3072, Bytes>> = {
  1024: decodeHex("30819f300d06092a864886f70d010101050003818d0030818902818100"),
  3072: decodeHex("308201a2300d06092a864886f70d01010105000382018f003082018a0282018100"),
};
const SPKI_SUFFIX = decodeHex("0203010001");
const PUBLIC_EXPONENT = new Uint8Array([1, 0, 1]);

/** RSA-OAEP of one size and hash as a KEM. */
export function rsaKem({ name, modulusLength, hash }: RsaParameters): Kem {
  const prefix = SPKI_PREFIX[modulusLength];
  const modulusBytes = modulusLength / 8;
  const publicKeyLength = prefix.length + modulusBytes + SPKI_SUFFIX.length;
  const algorithm = { name: "RSA-OAEP", hash };

  function checkPublicKey(publicKey: Bytes): void {
    const modulusEnd = prefix.length + modulusBytes;
    const ok = publicKey.length === publicKeyLength &&
      prefix.every((byte, i) => publicKey[i] === byte) &&
      (publicKey[prefix.length]! & 0x80) !== 0 &&
      (publicKey[modulusEnd - 1]! & 1) === 1 &&
      SPKI_SUFFIX.every((byte, i) => publicKey[modulusEnd + i] === byte);
    if (!ok) {
      throw new CifraError(
        "auth_failed",
        `Cannot use RSA key: must be ${modulusLength} bits with exponent 65537`,
      );
    }
  }

  return {
    name,
    publicKeyLength,
    ciphertextLength: modulusBytes,

    async generate() {
      const pair = await subtle.generateKey(
        { ...algorithm, modulusLength, publicExponent: PUBLIC_EXPONENT },
        true,
        ["encrypt", "decrypt"],
      );
      const publicKey = new Uint8Array(await subtle.exportKey("spki", pair.publicKey));
      return rsaKeyPair(publicKey, pair.privateKey);
    },

    async encapsulate(publicKey) {
      checkPublicKey(publicKey);
      const secret = systemRandom(KEM_SECRET_LENGTH);
      try {
        const key = await subtle.importKey("spki", publicKey, algorithm, false, ["encrypt"]);
        const sealed = await subtle.encrypt({ name: "RSA-OAEP" }, key, secret);
        return { ciphertext: new Uint8Array(sealed), secret };
      } catch (cause) {
        throw new CifraError("auth_failed", "Cannot use RSA key: refused by its checks", { cause });
      }
    },
  };
}

/** The key pair of an RSA-OAEP private key and its public half in SPKI form. */
export function rsaKeyPair(publicKey: Bytes, privateKey: CryptoKey): KemKeyPair {
  return {
    publicKey: concat([publicKey]),
    decapsulate: (ciphertext) =>
      decapsulateOrRandom(async () =>
        new Uint8Array(await subtle.decrypt({ name: "RSA-OAEP" }, privateKey, ciphertext))
      ),
  };
}
