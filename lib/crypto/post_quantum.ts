/**
 * ML-KEM-768 (FIPS 203) and SHA3-256: from WebCrypto where the runtime has them, otherwise from
 * @noble/post-quantum. Both providers are interchangeable, and the tests hold one against the other.
 */
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { sha3_256, subtle } from "./platform.ts";

/** Lengths on the wire (FIPS 203), in bytes. */
export const MLKEM_PUBLIC_KEY_LENGTH = 1184;
export const MLKEM_CIPHERTEXT_LENGTH = 1088;
/** Length of the seed of a key (FIPS 203), d then z, in bytes. */
export const MLKEM_SEED_LENGTH = 64;

/** The prime of ML-KEM, the bytes that hold coefficients modulo it, two in three; a seed follows them. */
const FIELD_PRIME = 3329;
const COEFFICIENTS_LENGTH = 1152;

/**
 * Throws `auth_failed` unless the key has its length and every coefficient is below q (FIPS 203, 7.2). For a key
 * that is not used at once: `encapsulate` refuses the same ones.
 */
export function checkMlKemPublicKey(publicKey: Bytes): void {
  if (publicKey.length !== MLKEM_PUBLIC_KEY_LENGTH) throw badKey();
  for (let i = 0; i < COEFFICIENTS_LENGTH; i += 3) {
    const [a, b, c] = [publicKey[i]!, publicKey[i + 1]!, publicKey[i + 2]!];
    const [first, second] = [a | (b & 0x0f) << 8, b >> 4 | c << 4];
    if (first >= FIELD_PRIME || second >= FIELD_PRIME) throw badKey();
  }
}

function badKey(): CifraError {
  return new CifraError("auth_failed", "Cannot use ML-KEM key: wrong length or out of range");
}

/** An ML-KEM-768 key pair of ours. */
export interface MlKemKeyPair {
  readonly publicKey: Bytes;
  /** The 32-byte shared secret; a wrong ciphertext of the right length gives a wrong secret. */
  decapsulate(ciphertext: Bytes): Promise<Bytes>;
}

/** The primitives that X-Wing needs beyond X25519. */
export interface PostQuantumProvider {
  readonly name: string;
  generate(): Promise<MlKemKeyPair>;
  /** The key pair of a 64-byte seed. */
  fromSeed(seed: Bytes): Promise<MlKemKeyPair>;
  /** Throws when the key has a coefficient out of range or a wrong length (FIPS 203, 7.2). */
  encapsulate(publicKey: Bytes): Promise<{ ciphertext: Bytes; secret: Bytes }>;
  sha3_256(data: Bytes): Promise<Bytes>;
}

// The runtime has these calls; its type declarations do not, so this is the one cast.
interface ModernSubtle {
  generateKey(name: "ML-KEM-768", extractable: boolean, uses: string[]): Promise<CryptoKeyPair>;
  importKey(
    format: "raw-public" | "raw-seed",
    data: Bytes,
    name: "ML-KEM-768",
    extractable: boolean,
    uses: string[],
  ): Promise<CryptoKey>;
  exportKey(format: "raw-public", key: CryptoKey): Promise<ArrayBuffer>;
  getPublicKey(key: CryptoKey, uses: string[]): Promise<CryptoKey>;
  encapsulateBits(
    name: "ML-KEM-768",
    key: CryptoKey,
  ): Promise<{ ciphertext: ArrayBuffer; sharedKey: ArrayBuffer }>;
  decapsulateBits(name: "ML-KEM-768", key: CryptoKey, ciphertext: Bytes): Promise<ArrayBuffer>;
}
const modern = subtle as unknown as ModernSubtle;
const ML_KEM = "ML-KEM-768";

async function webCryptoPair(privateKey: CryptoKey, publicKey: CryptoKey): Promise<MlKemKeyPair> {
  return {
    publicKey: new Uint8Array(await modern.exportKey("raw-public", publicKey)),
    async decapsulate(ciphertext) {
      return new Uint8Array(await modern.decapsulateBits(ML_KEM, privateKey, ciphertext));
    },
  };
}

/** ML-KEM and SHA-3 of the runtime (Deno 2.8.3 and later). */
export const webCryptoProvider: PostQuantumProvider = {
  name: "WebCrypto",
  async generate() {
    const pair = await modern.generateKey(ML_KEM, false, ["encapsulateBits", "decapsulateBits"]);
    return await webCryptoPair(pair.privateKey, pair.publicKey);
  },
  async fromSeed(seed) {
    const privateKey = await modern.importKey("raw-seed", seed, ML_KEM, false, ["decapsulateBits"]);
    const publicKey = await modern.getPublicKey(privateKey, ["encapsulateBits"]);
    return await webCryptoPair(privateKey, publicKey);
  },
  async encapsulate(publicKey) {
    const key = await modern.importKey("raw-public", publicKey, ML_KEM, false, ["encapsulateBits"]);
    const { ciphertext, sharedKey } = await modern.encapsulateBits(ML_KEM, key);
    return { ciphertext: new Uint8Array(ciphertext), secret: new Uint8Array(sharedKey) };
  },
  // A quarter of the time: a hash is no secret key, and WebCrypto asks another thread for each.
  sha3_256: (data) => Promise.resolve(sha3_256(data)),
};

/** ML-KEM and SHA-3 in TypeScript, by @noble/post-quantum: slower, needs nothing of the runtime. */
export async function loadNobleProvider(): Promise<PostQuantumProvider> {
  const { ml_kem768 } = await import("@noble/post-quantum/ml-kem.js");
  const { sha3_256: hash } = await import("@noble/hashes/sha3.js");
  const own = (bytes: Uint8Array): Bytes => new Uint8Array(bytes);
  const pairOf = (seed?: Bytes): MlKemKeyPair => {
    const { publicKey, secretKey } = ml_kem768.keygen(seed);
    return {
      publicKey: own(publicKey),
      decapsulate: (ciphertext) =>
        Promise.resolve().then(() => own(ml_kem768.decapsulate(ciphertext, secretKey))),
    };
  };
  return {
    name: "@noble/post-quantum",
    generate: () => Promise.resolve().then(() => pairOf()),
    fromSeed: (seed) => Promise.resolve().then(() => pairOf(seed)),
    encapsulate: (publicKey) =>
      Promise.resolve().then(() => {
        const { cipherText, sharedSecret } = ml_kem768.encapsulate(publicKey);
        return { ciphertext: own(cipherText), secret: own(sharedSecret) };
      }),
    sha3_256: (data) => Promise.resolve(own(hash(data))),
  };
}

/** The runtime's provider when it has one, otherwise the TypeScript one (loaded only then). */
export async function loadPostQuantumProvider(): Promise<PostQuantumProvider> {
  const { supports } = SubtleCrypto as unknown as {
    supports?: (operation: string, algorithm: string) => boolean;
  };
  const builtIn = supports?.("encapsulateBits", ML_KEM) && supports("digest", "SHA3-256");
  return builtIn ? webCryptoProvider : await loadNobleProvider();
}
