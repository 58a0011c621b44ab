import type { Bytes } from "../bytes.ts";
import { systemRandom } from "./platform.ts";

/** Length of the secret that every KEM here shares, in bytes. */
export const KEM_SECRET_LENGTH = 32;

/** An ephemeral key of ours: the half to publish, and the use of the other half. */
export interface KemKeyPair {
  /** Wire form, `publicKeyLength` bytes. */
  readonly publicKey: Bytes;
  /**
   * The 32-byte secret in `ciphertext`. Never throws: anything that does not open gives 32 random
   * bytes, so the failure shows only where authentication fails anyway (PROTOCOL.md 3.1, attack A6).
   */
  decapsulate(ciphertext: Bytes): Promise<Bytes>;
}

/** A key encapsulation mechanism: the ephemeral keys of the ladder (PROTOCOL.md 3.1). */
export interface Kem {
  /** What it is called. */
  readonly name: string;
  /** Length of a public key on the wire, in bytes. */
  readonly publicKeyLength: number;
  /** Length of a ciphertext on the wire, in bytes. */
  readonly ciphertextLength: number;
  /** A fresh key pair. */
  generate(): Promise<KemKeyPair>;
  /** A fresh 32-byte secret and its ciphertext for `publicKey`; throws `auth_failed` on a bad key. */
  encapsulate(publicKey: Bytes): Promise<{ readonly ciphertext: Bytes; readonly secret: Bytes }>;
}

/** Runs a decapsulation under the fault policy of PROTOCOL.md 3.1: a failure is a random secret. */
export async function decapsulateOrRandom(decapsulate: () => Promise<Bytes>): Promise<Bytes> {
  // Drawn before the outcome is known, so that both outcomes cost the same.
  const decoy = systemRandom(KEM_SECRET_LENGTH);
  try {
    const secret = await decapsulate();
    return secret.length === KEM_SECRET_LENGTH ? secret : decoy;
  } catch {
    return decoy;
  }
}
