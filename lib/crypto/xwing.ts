/**
 * X-Wing: ML-KEM-768 and X25519 in one KEM, secure while either of them is
 * (draft-connolly-cfrg-xwing-kem). Wire order is ML-KEM first, then X25519.
 */
import { concat } from "@std/bytes/concat";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { decapsulateOrRandom, type Kem, type KemKeyPair } from "./kem.ts";
import {
  MLKEM_CIPHERTEXT_LENGTH,
  MLKEM_PUBLIC_KEY_LENGTH,
  type MlKemKeyPair,
  type PostQuantumProvider,
} from "./post_quantum.ts";
import { agreeX25519, checkX25519PublicKey, generateX25519, X25519_KEY_LENGTH } from "./x25519.ts";

const PUBLIC_KEY_LENGTH = MLKEM_PUBLIC_KEY_LENGTH + X25519_KEY_LENGTH;
const CIPHERTEXT_LENGTH = MLKEM_CIPHERTEXT_LENGTH + X25519_KEY_LENGTH;
/** The fixed label `\.//^\` that closes the input of the combiner. */
const LABEL = new Uint8Array([0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c]);

/** X-Wing over the given ML-KEM and SHA-3. */
export function xwing(provider: PostQuantumProvider): Kem {
  return {
    name: "X-Wing",
    publicKeyLength: PUBLIC_KEY_LENGTH,
    ciphertextLength: CIPHERTEXT_LENGTH,

    async generate() {
      const [mlKem, x25519] = await Promise.all([provider.generate(), generateX25519()]);
      return xwingKeyPair(provider, mlKem, x25519);
    },

    async encapsulate(publicKey) {
      if (publicKey.length !== PUBLIC_KEY_LENGTH) throw badKey();
      const theirX25519 = publicKey.subarray(MLKEM_PUBLIC_KEY_LENGTH);
      checkX25519PublicKey(theirX25519);
      const agreeing = generateX25519().then(async (ephemeral) => ({
        publicKey: ephemeral.publicKey,
        agreed: await agreeX25519(ephemeral.privateKey, theirX25519),
      }));
      try {
        const mlKem = await provider.encapsulate(publicKey.subarray(0, MLKEM_PUBLIC_KEY_LENGTH));
        const ephemeral = await agreeing;
        const ciphertext = concat([mlKem.ciphertext, ephemeral.publicKey]);
        const secret = await combine(
          provider,
          mlKem.secret,
          ephemeral.agreed,
          ephemeral.publicKey,
          theirX25519,
        );
        return { ciphertext, secret };
      } catch (cause) {
        // The halves run side by side; a refusal waits for both, so that no work is left behind.
        await agreeing.then(({ agreed }) => agreed.fill(0), () => {});
        throw badKey(cause);
      }
    },
  };
}

/** An X-Wing key pair out of its two halves; `xwing().generate` makes both fresh. */
export function xwingKeyPair(
  provider: PostQuantumProvider,
  mlKem: MlKemKeyPair,
  x25519: { readonly publicKey: Bytes; readonly privateKey: CryptoKey },
): KemKeyPair {
  return {
    publicKey: concat([mlKem.publicKey, x25519.publicKey]),
    decapsulate: (ciphertext) =>
      decapsulateOrRandom(async () => {
        if (ciphertext.length !== CIPHERTEXT_LENGTH) throw badKey();
        const theirX25519 = ciphertext.subarray(MLKEM_CIPHERTEXT_LENGTH);
        checkX25519PublicKey(theirX25519);
        const [mlKemSecret, agreed] = await Promise.all([
          mlKem.decapsulate(ciphertext.subarray(0, MLKEM_CIPHERTEXT_LENGTH)),
          agreeX25519(x25519.privateKey, theirX25519),
        ]);
        return await combine(provider, mlKemSecret, agreed, theirX25519, x25519.publicKey);
      }),
  };
}

/** SHA3-256(ss_M ‖ ss_X ‖ ct_X ‖ pk_X ‖ label), wiping the two inputs that are secret. */
async function combine(
  provider: PostQuantumProvider,
  mlKemSecret: Bytes,
  agreed: Bytes,
  ciphertextX: Bytes,
  publicKeyX: Bytes,
): Promise<Bytes> {
  const input = concat([mlKemSecret, agreed, ciphertextX, publicKeyX, LABEL]);
  try {
    return await provider.sha3_256(input);
  } finally {
    input.fill(0);
    mlKemSecret.fill(0);
    agreed.fill(0);
  }
}

function badKey(cause?: unknown): CifraError {
  return new CifraError("auth_failed", "Cannot use X-Wing key: refused by its checks", { cause });
}
