/** The three suites of PROTOCOL.md 3.1. There is no negotiation: a client names one, a server takes it or not. */
import { type Aead, aes256CbcHs512, aes256Gcm } from "./aead.ts";
import { ecdsaP256 } from "./ecdsa_p256.ts";
import { ed25519 } from "./ed25519.ts";
import type { Kem } from "./kem.ts";
import { loadPostQuantumProvider } from "./post_quantum.ts";
import { rsaKem } from "./rsa_kem.ts";
import type { SignatureScheme } from "./signature.ts";
import { xwing } from "./xwing.ts";

/** What a suite is called on a command line. */
export type SuiteName = "classic" | "rsa" | "modern";
/** What it is called on the wire. */
export type SuiteId = 1 | 2 | 3;

/** The algorithms of one suite. */
export interface Suite {
  /** Its number on the wire. */
  readonly id: SuiteId;
  /** Its name. */
  readonly name: SuiteName;
  /** How secrets are agreed on. */
  readonly kem: Kem;
  /** How identities are proved. */
  readonly signature: SignatureScheme;
  /** How messages are sealed. */
  readonly aead: Aead;
  /** For study: each record also carries an ECDSA signature and a random IV (PROTOCOL.md 3.5). */
  readonly signedRecords: boolean;
}

/** Weakest first, so that an index tells which of two suites is the step down. */
export const SUITE_NAMES: readonly SuiteName[] = ["classic", "rsa", "modern"];
/** Strongest first: the one for study comes last. */
export const STRONGEST_FIRST: readonly SuiteName[] = SUITE_NAMES.toReversed();
/** The number of each suite on the wire (PROTOCOL.md 3.1). */
export const SUITE_IDS: Readonly<Record<SuiteName, SuiteId>> = { classic: 1, rsa: 2, modern: 3 };

/** Whether `value` names a suite. */
export function isSuiteName(value: string): value is SuiteName {
  return (SUITE_NAMES as readonly string[]).includes(value);
}

/** The suite called `name`. `modern` looks at the runtime to choose its ML-KEM, hence the promise. */
export async function loadSuite(name: SuiteName): Promise<Suite> {
  const id = SUITE_IDS[name];
  switch (name) {
    case "classic":
      return {
        id,
        name,
        kem: rsaKem({ name: "RSA-OAEP-1024", modulusLength: 1024, hash: "SHA-1" }),
        signature: ecdsaP256,
        aead: aes256CbcHs512,
        signedRecords: true,
      };
    case "rsa":
      return {
        id,
        name,
        kem: rsaKem({ name: "RSA-OAEP-3072", modulusLength: 3072, hash: "SHA-256" }),
        signature: ecdsaP256,
        aead: aes256Gcm,
        signedRecords: false,
      };
    case "modern":
      return {
        id,
        name,
        kem: xwing(await loadPostQuantumProvider()),
        signature: ed25519,
        aead: aes256Gcm,
        signedRecords: false,
      };
  }
}
