/** Prekeys: signed keys that wait at a server for whoever writes to an absent owner (PROTOCOL.md 3.12). */
import { concat } from "@std/bytes/concat";
import { type Bytes, encodeU64, encodeUtf8 } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { type Identity, type PublicIdentity, verifyBy } from "./identity.ts";
import { type Random, systemRandom } from "./platform.ts";
import {
  checkMlKemPublicKey,
  loadPostQuantumProvider,
  MLKEM_SEED_LENGTH,
  type MlKemKeyPair,
  type PostQuantumProvider,
} from "./post_quantum.ts";
import { checkX25519PublicKey, X25519_KEY_LENGTH, x25519KeyPairOf } from "./x25519.ts";

/** A `signed` prekey is everybody's for a week, a `once` prekey is one sender's. */
export type PrekeyKind = "signed" | "once";

/** The public keys of a prekey, and which one it is. */
export interface PrekeyKeys {
  /** Not on the wire beside the key, but under the signature. */
  readonly kind: PrekeyKind;
  /** u64: of a signed prekey it grows over machines, of the others it counts from 1 in each box. */
  readonly number: bigint;
  /** X25519 key, 32 bytes. */
  readonly x25519: Bytes;
  /** ML-KEM-768 key, 1184 bytes. */
  readonly mlkem: Bytes;
}

/** A prekey as others see it. */
export interface Prekey extends PrekeyKeys {
  /** The owner's signature over the statement, 64 bytes. */
  readonly signature: Bytes;
}

/** The secret half as a store keeps it; the public keys come out of it again. */
export interface PrekeySecret {
  /** Scalar, 32 bytes. */
  readonly x25519: Bytes;
  /** Seed (FIPS 203), 64 bytes. */
  readonly mlkem: Bytes;
}

const STATEMENT_LABEL = encodeUtf8("cifra/1 prekey\0");
const KIND_NUMBERS: Readonly<Record<PrekeyKind, number>> = { signed: 1, once: 2 };

/** What the owner signs: 1288 bytes that fit no other owner, box, kind or number. */
export function prekeyStatement(
  owner: PublicIdentity,
  box: Bytes,
  { kind, number, x25519, mlkem }: PrekeyKeys,
): Bytes {
  const kindNumber = Uint8Array.of(KIND_NUMBERS[kind]);
  const head = [STATEMENT_LABEL, owner.fingerprint, box, kindNumber, encodeU64(number)];
  return concat([...head, x25519, mlkem]);
}

/** A fresh prekey of ours under `box`, 16 bytes; `number` of a `once` prekey is 1 or more. */
export async function makePrekey(
  owner: Identity,
  box: Bytes,
  kind: PrekeyKind,
  number: bigint,
  random: Random = systemRandom,
): Promise<{ readonly prekey: Prekey; readonly secret: PrekeySecret }> {
  const secret = { x25519: random(X25519_KEY_LENGTH), mlkem: random(MLKEM_SEED_LENGTH) };
  const { keys } = await openPrekey(kind, { number, secret }, await loadPostQuantumProvider());
  const signature = await owner.sign(prekeyStatement(owner, box, keys));
  return { prekey: { ...keys, signature }, secret };
}

/** A prekey of ours as a header names it, and as a store has it under that name. */
export interface StoredPrekey {
  /** As in `Prekey`. */
  readonly number: bigint;
  /** Of that number. */
  readonly secret: PrekeySecret;
}

/** A prekey of ours, ready to be agreed with. */
export interface OpenedPrekey {
  /** The public half, which comes out of the secret. */
  readonly keys: PrekeyKeys;
  /** The private X25519 key. */
  readonly x25519: CryptoKey;
  /** The ML-KEM key pair. */
  readonly mlkem: MlKemKeyPair;
}

/** Makes the keys of a stored secret. */
export async function openPrekey(
  kind: PrekeyKind,
  { number, secret }: StoredPrekey,
  provider: PostQuantumProvider,
): Promise<OpenedPrekey> {
  const [x25519, mlkem] = await Promise.all([
    x25519KeyPairOf(secret.x25519),
    provider.fromSeed(secret.mlkem),
  ]);
  const keys = { kind, number, x25519: x25519.publicKey, mlkem: mlkem.publicKey };
  return { keys, x25519: x25519.privateKey, mlkem };
}

/**
 * Throws `auth_failed` unless both keys are good and `owner` has signed them for this box and kind. That the number
 * of a signed prekey has not gone back, only who remembers the last one can tell.
 */
export async function verifyPrekey(
  owner: PublicIdentity,
  box: Bytes,
  prekey: Prekey,
): Promise<void> {
  checkX25519PublicKey(prekey.x25519);
  checkMlKemPublicKey(prekey.mlkem);
  // In the header of a session 0 stands for no one-time prekey.
  if (prekey.kind === "once" && prekey.number === 0n) throw refuse("its number is 0");
  if (!await verifyBy(owner, prekey.signature, prekeyStatement(owner, box, prekey))) {
    throw refuse("its signature does not hold");
  }
}

function refuse(why: string): CifraError {
  return new CifraError("auth_failed", `Cannot accept prekey: ${why}`);
}
