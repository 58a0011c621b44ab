/** The files in tests/vectors/handshake/: their shape, and the people and keys they describe. */
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { concat } from "@std/bytes/concat";
import { decodeHex } from "@std/encoding/hex";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { Buffer } from "node:buffer";
import type { Bytes } from "../../lib/bytes.ts";
import { type Identity, openIdentity } from "../../lib/crypto/identity.ts";
import type { Kem, KemKeyPair } from "../../lib/crypto/kem.ts";
import { loadPostQuantumProvider } from "../../lib/crypto/post_quantum.ts";
import { rsaKeyPair } from "../../lib/crypto/rsa_kem.ts";
import type { SuiteName } from "../../lib/crypto/suite.ts";
import { xwingKeyPair } from "../../lib/crypto/xwing.ts";
import {
  agree,
  type BoxKeyHex,
  combine,
  type PrivateEphemeral,
  rawPublicKey,
  type ReferenceOutput,
} from "./reference.ts";
import type { FilesFile } from "./reference_files.ts";
import type { MailboxFile } from "./reference_mailbox.ts";
import type { account, AccountInput } from "./reference_values.ts";

/** One side's secrets and public parts; bytes are hexadecimal. */
export interface VectorSide {
  readonly identity: {
    readonly bundle: string;
    readonly fingerprint: string;
    readonly signature_pkcs8: string;
    /** The X25519 key inside the bundle, modern only. */
    readonly agreement_pkcs8?: string;
  };
  readonly ephemeral: PrivateEphemeral;
  readonly ephemeral_public_key: string;
  readonly nonce: string;
  /** modern: the 32 bytes of ML-KEM's randomness and the ephemeral key of its encapsulation. */
  readonly encapsulation?: { readonly mlkem_m: string; readonly x25519_pkcs8: string };
}

/** That a name belongs to the initiator, as m7 to a server says it. */
export interface VectorClaim {
  readonly name: string;
  readonly sequence: number;
  readonly not_after: number;
  /** What the owner and those who vouch for it sign. */
  readonly signed: string;
  readonly signature: string;
  readonly vouchers: readonly { readonly bundle: string; readonly signature: string }[];
}

/** One record. */
export interface VectorRecord {
  readonly inner: string;
  /** With its header. */
  readonly frame: string;
}

/** One ladder. */
export interface VectorRun extends ReferenceOutput {
  readonly mode: 1 | 2 | 3;
  readonly context: string;
  readonly psk: string;
  readonly display_name: string;
  readonly initiator: VectorSide;
  readonly responder: VectorSide;
  readonly secret: string;
  readonly iv_seed: string;
  /** m1 to m6: bodies, without frame headers. */
  readonly messages: readonly string[];
  /** Mode 1 alone: the claim inside m7. */
  readonly claim?: VectorClaim;
  readonly m7: VectorRecord;
  readonly m8: VectorRecord;
}

/** One file. */
export interface VectorFile {
  readonly suite: SuiteName;
  readonly suite_id: number;
  readonly runs: readonly VectorRun[];
}

/** One record after the first of its direction. */
export interface RecordVector extends VectorRecord {
  /** Which of the keys of its direction. */
  readonly key: number;
  /** Records before it under this key. */
  readonly counter: number;
  readonly items: readonly { readonly type: number; readonly body: string }[];
}

/** The keys of one direction, each derived from the one before, and what is sealed with them. */
export interface RecordsDirection {
  readonly keys: readonly (BoxKeyHex & { readonly traffic: string })[];
  readonly records: readonly RecordVector[];
}

/** A file in tests/vectors/records/. */
export interface RecordsFile {
  readonly suite: SuiteName;
  readonly i2r: RecordsDirection;
  readonly r2i: RecordsDirection;
}

/** A preface: its token, and the frame that carries it. */
interface VectorPreface {
  readonly token: string;
  readonly frame: string;
}

/** tests/vectors/values.json. */
export interface ValuesFile {
  readonly fingerprints: readonly { readonly fingerprint: string; readonly text: string }[];
  /** Lengths of items, and of the inner that holds them. */
  readonly buckets: readonly (readonly number[])[];
  /** Names, and what they look like. */
  readonly look_alikes: readonly (readonly string[])[];
  readonly invite: VectorPreface & {
    readonly secret: string;
    readonly fingerprint: string;
    readonly lines: readonly string[];
    readonly invite_id: string;
    /** Of the preface, and the body of the m1 to which it is bound. */
    readonly hour: number;
    readonly m1: string;
    readonly further: { readonly serial: string; readonly secret: string };
  };
  readonly peers: {
    readonly rv_id: string;
    readonly rv_key: string;
    readonly generation: number;
    readonly fp_i: string;
    readonly fp_r: string;
    readonly context: string;
    readonly preface_of_initiator: VectorPreface;
    readonly preface_of_responder: VectorPreface;
  };
  readonly words: {
    readonly fingerprints: readonly string[];
    readonly numbers: readonly number[];
    readonly words: readonly string[];
  };
  readonly account: AccountInput & ReturnType<typeof account>;
}

/** What a decoder takes, and what it must refuse; bytes as it is given them. */
export interface Decoder {
  readonly what: string;
  readonly valid: string;
  readonly refused: readonly {
    readonly why: string;
    readonly bytes: string;
    /** A word of `ErrorCode`. */
    readonly code: string;
  }[];
}

/** tests/vectors/refusals.json. */
export interface RefusalsFile {
  readonly decoders: readonly Decoder[];
}

const FOLDER = new URL("../vectors/", import.meta.url);

/** Where the handshake of a suite is. */
export function vectorUrl(suite: SuiteName): URL {
  return new URL(`handshake/${suite}.json`, FOLDER);
}

/** Where the records of a suite are. */
export function recordsUrl(suite: SuiteName): URL {
  return new URL(`records/${suite}.json`, FOLDER);
}

export const VALUES_URL = new URL("values.json", FOLDER);

export const MAILBOX_URL = new URL("mailbox.json", FOLDER);

export const FILES_URL = new URL("files.json", FOLDER);

export const REFUSALS_URL = new URL("refusals.json", FOLDER);

/** The text of any file of vectors. */
export function formatVectorFile(file: unknown): string {
  return JSON.stringify(file, null, 2) + "\n";
}

export async function readVectorFile(suite: SuiteName): Promise<VectorFile> {
  return JSON.parse(await Deno.readTextFile(vectorUrl(suite)));
}

export async function readRecordsFile(suite: SuiteName): Promise<RecordsFile> {
  return JSON.parse(await Deno.readTextFile(recordsUrl(suite)));
}

export async function readValuesFile(): Promise<ValuesFile> {
  return JSON.parse(await Deno.readTextFile(VALUES_URL));
}

export async function readFilesFile(): Promise<FilesFile> {
  return JSON.parse(await Deno.readTextFile(FILES_URL));
}

export async function readMailboxFile(): Promise<MailboxFile> {
  return JSON.parse(await Deno.readTextFile(MAILBOX_URL));
}

export async function readRefusalsFile(): Promise<RefusalsFile> {
  return JSON.parse(await Deno.readTextFile(REFUSALS_URL));
}

/** The identity of a side, private key and all. */
export function identityOf({ identity }: Pick<VectorSide, "identity">): Promise<Identity> {
  const { bundle, signature_pkcs8, agreement_pkcs8 } = identity;
  return openIdentity({
    bundle: decodeHex(bundle),
    signatureKey: decodeHex(signature_pkcs8),
    agreementKey: agreement_pkcs8 === undefined ? undefined : decodeHex(agreement_pkcs8),
  });
}

/** The library's key pair for a private ephemeral key. */
export async function ephemeralPair(
  suite: SuiteName,
  ephemeral: PrivateEphemeral,
): Promise<KemKeyPair> {
  const { subtle } = crypto;
  if ("rsa_pkcs8" in ephemeral) {
    const pkcs8 = decodeHex(ephemeral.rsa_pkcs8);
    const algorithm = { name: "RSA-OAEP", hash: suite === "rsa" ? "SHA-256" : "SHA-1" };
    const privateKey = await subtle.importKey("pkcs8", pkcs8, algorithm, false, ["decrypt"]);
    const pem = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
    const spki = createPublicKey(pem).export({ format: "der", type: "spki" });
    return rsaKeyPair(new Uint8Array(spki), privateKey);
  }
  const provider = await loadPostQuantumProvider();
  const pkcs8 = decodeHex(ephemeral.x25519_pkcs8);
  const privateKey = await subtle.importKey("pkcs8", pkcs8, "X25519", false, ["deriveBits"]);
  const publicKey = new Uint8Array(rawPublicKey(ephemeral.x25519_pkcs8));
  const mlKem = await provider.fromSeed(decodeHex(ephemeral.mlkem_seed));
  return xwingKeyPair(provider, mlKem, { publicKey, privateKey });
}

/** X-Wing whose encapsulation draws no randomness: it is written in the file. */
export function fixedXwing(kem: Kem, randomness: Required<VectorSide>["encapsulation"]): Kem {
  return {
    ...kem,
    encapsulate(publicKey) {
      const [mlkemKey, theirX] = [publicKey.slice(0, 1184), publicKey.slice(1184)];
      const sealed = ml_kem768.encapsulate(mlkemKey, decodeHex(randomness.mlkem_m));
      const ourX = rawPublicKey(randomness.x25519_pkcs8);
      const agreed = agree(randomness.x25519_pkcs8, theirX);
      const secret = combine(sealed.sharedSecret, agreed, ourX, theirX);
      return Promise.resolve({
        ciphertext: concat([new Uint8Array(sealed.cipherText), ourX]),
        secret: new Uint8Array(secret),
      });
    },
  };
}

/** A random source that gives these, one after the other, and refuses any other length. */
export function scriptedRandom(...values: readonly string[]): (length: number) => Bytes {
  const left = values.map((value) => decodeHex(value));
  return (length) => {
    const next = left.shift();
    if (next?.length !== length) throw new Error(`${length} random bytes were not foreseen`);
    return next;
  };
}
