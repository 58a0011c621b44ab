import type { Bytes } from "../bytes.ts";

/** A signing key of ours. */
export interface SigningKey {
  /** Wire form, `publicKeyLength` bytes. */
  readonly publicKey: Bytes;
  /** A signature of `signatureLength` bytes. */
  sign(data: Bytes): Promise<Bytes>;
}

/** A signature scheme with the checks its public keys need (PROTOCOL.md 3.1). */
export interface SignatureScheme {
  /** What it is called. */
  readonly name: string;
  /** Length of a public key on the wire, in bytes. */
  readonly publicKeyLength: number;
  /** Length of a signature, in bytes. */
  readonly signatureLength: number;
  /** A fresh key, with its PKCS #8 form for the identity file. */
  generate(): Promise<{ readonly key: SigningKey; readonly pkcs8: Bytes }>;
  /** A stored key; throws on a damaged private half. That the halves fit, `openIdentity` proves. */
  fromPkcs8(pkcs8: Bytes, publicKey: Bytes): Promise<SigningKey>;
  /** Throws `auth_failed` on a public key that must never be accepted from outside. */
  checkPublicKey(publicKey: Bytes): void;
  /** Whether `signature` holds; false, never an exception, on anything malformed. */
  verify(publicKey: Bytes, signature: Bytes, data: Bytes): Promise<boolean>;
}
