/**
 * The protection of records in one direction: a key, a counter that is never sent, and the next key
 * out of this one (PROTOCOL.md 3.5, 3.6).
 */
import { concat } from "@std/bytes/concat";
import { type Bytes, encodeU64, encodeUtf8 } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { RECORDS_PER_KEY_HARD_LIMIT } from "../limits.ts";
import type { AeadKey } from "./aead.ts";
import type { Suite } from "./suite.ts";
import { CHAIN_KEY_LENGTH, derive } from "./transcript.ts";
import { hkdf, sha512, systemRandom } from "./platform.ts";

/** Which way the records of a cipher travel. */
export type Direction = "i2r" | "r2i";

const RECORD_LABEL = encodeUtf8("cifra/1 rec");
const EMPTY = new Uint8Array(0);

interface DirectionKey {
  readonly aeadKey: AeadKey;
  readonly iv: Bytes;
}

/** Key and IV of a traffic secret: HKDF expansions under "key" and "iv". */
async function directionKey(suite: Suite, trafficSecret: Bytes): Promise<DirectionKey> {
  const { aead } = suite;
  const key = hkdf(EMPTY, trafficSecret, encodeUtf8("key"), aead.keyLength);
  const iv = hkdf(EMPTY, trafficSecret, encodeUtf8("iv"), aead.ivLength);
  const aeadKey = await aead.importKey(key);
  key.fill(0);
  return { aeadKey, iv };
}

/** The traffic secret that follows this one after a key update. */
export function nextTrafficSecret(trafficSecret: Bytes): Bytes {
  return derive(trafficSecret, EMPTY, "upd", CHAIN_KEY_LENGTH);
}

/** nonce = iv XOR (zeros ‖ u64 counter). */
function recordNonce(iv: Bytes, counter: number): Bytes {
  const nonce = iv.slice();
  const view = new DataView(nonce.buffer);
  const at = nonce.length - 8;
  view.setBigUint64(at, view.getBigUint64(at) ^ BigInt(counter));
  return nonce;
}

/** What `classic` signs for each record: direction, counter and hash of its sealed form. */
function recordSignatureInput(direction: Direction, counter: number, sealed: Bytes): Bytes {
  const sequence = encodeU64(BigInt(counter));
  return concat([RECORD_LABEL, encodeUtf8(direction), sequence, sha512(sealed)]);
}

/** How `classic` signs and checks its records; the identity keys of the two sides. */
export interface RecordSigner {
  sign(data: Bytes): Promise<Bytes>;
  verify(signature: Bytes, data: Bytes): Promise<boolean>;
}

/**
 * One direction of a channel. `seal` on one side and `open` on the other keep step by counting. The key
 * is imported by `prepare`, and let go by `rest`: a server holds thousands of channels that say nothing
 * for minutes, and an imported key costs two kibibytes.
 */
export class RecordCipher {
  readonly #suite: Suite;
  readonly #direction: Direction;
  readonly #signer: RecordSigner | undefined;
  #trafficSecret: Bytes;
  #key: DirectionKey | undefined;
  #counter = 0;

  /**
   * The cipher of one direction; owns and later overwrites `trafficSecret`. A suite with signed records
   * needs a signer, the others none.
   */
  constructor(
    suite: Suite,
    direction: Direction,
    signer: RecordSigner | undefined,
    trafficSecret: Bytes,
  ) {
    this.#suite = suite;
    this.#direction = direction;
    if (suite.signedRecords && !signer) throw new TypeError("This suite signs its records");
    this.#signer = suite.signedRecords ? signer : undefined;
    this.#trafficSecret = trafficSecret;
  }

  /** Whether `seal` and `open` may be called. */
  get ready(): boolean {
    return this.#key !== undefined;
  }

  /** Imports the key. */
  async prepare(): Promise<void> {
    this.#key ??= await directionKey(this.#suite, this.#trafficSecret);
  }

  /** Lets go of the imported key; the counter stays. */
  rest(): void {
    this.#key = undefined;
  }

  /** Records under the present key so far. */
  get counter(): number {
    return this.#counter;
  }

  /** For tests of the limits alone: continues as if `counter` records had passed. */
  testOnlySetCounter(counter: number): void {
    this.#counter = counter;
  }

  /** Length of the sealed form of an inner plaintext. */
  sealedLength(innerLength: number): number {
    const { aead, signature, signedRecords } = this.#suite;
    const signed = signedRecords ? aead.ivLength + signature.signatureLength : 0;
    return aead.sealedLength(innerLength) + signed;
  }

  /**
   * Seals one record; the header is its additional data. Calls may overlap: counter and plaintext are
   * taken before the call returns. Throws `limit` after `RECORDS_PER_KEY_HARD_LIMIT` records of a key.
   */
  seal(header: Bytes, inner: Bytes): Promise<Bytes> {
    const { key, counter } = this.#take();
    if (this.#signer) return this.#sealSigned(this.#signer, key.aeadKey, counter, header, inner);
    return key.aeadKey.seal(recordNonce(key.iv, counter), header, inner);
  }

  /** Opens the next record; calls may overlap. Throws `auth_failed`, whatever the cause. */
  open(header: Bytes, sealed: Bytes): Promise<Bytes> {
    const { key, counter } = this.#take();
    if (this.#signer) return this.#openSigned(this.#signer, key.aeadKey, counter, header, sealed);
    return key.aeadKey.open(recordNonce(key.iv, counter), header, sealed);
  }

  /** Moves to the next key, counting from zero; the old one is gone. */
  async update(): Promise<void> {
    const next = nextTrafficSecret(this.#trafficSecret);
    this.#trafficSecret.fill(0);
    this.#trafficSecret = next;
    // No key while the next one is made: nothing can be sealed twice under one counter.
    this.#key = undefined;
    this.#counter = 0;
    this.#key = await directionKey(this.#suite, next);
  }

  /** Overwrites the secret that is in reach of JavaScript. */
  destroy(): void {
    this.#trafficSecret.fill(0);
    this.#key = undefined;
  }

  #take(): { readonly key: DirectionKey; readonly counter: number } {
    if (!this.#key) throw new TypeError("The key of this direction is not prepared");
    if (this.#counter >= RECORDS_PER_KEY_HARD_LIMIT) {
      throw new CifraError(
        "limit",
        `Cannot use key: ${RECORDS_PER_KEY_HARD_LIMIT} records are its end`,
      );
    }
    return { key: this.#key, counter: this.#counter++ };
  }

  async #sealSigned(
    signer: RecordSigner,
    key: AeadKey,
    counter: number,
    header: Bytes,
    inner: Bytes,
  ): Promise<Bytes> {
    const iv = systemRandom(this.#suite.aead.ivLength);
    const sealed = concat([iv, await key.seal(iv, header, inner)]);
    const input = recordSignatureInput(this.#direction, counter, sealed);
    return concat([sealed, await signer.sign(input)]);
  }

  async #openSigned(
    signer: RecordSigner,
    key: AeadKey,
    counter: number,
    header: Bytes,
    record: Bytes,
  ): Promise<Bytes> {
    const { aead, signature } = this.#suite;
    const sealed = record.subarray(0, Math.max(0, record.length - signature.signatureLength));
    const iv = sealed.subarray(0, aead.ivLength);
    // The MAC is checked before the padding, and the signature before anything opened is used.
    const input = recordSignatureInput(this.#direction, counter, sealed);
    const inner = await key.open(iv, header, sealed.subarray(aead.ivLength));
    if (!await signer.verify(record.subarray(sealed.length), input)) {
      throw new CifraError("auth_failed", "Cannot open message: authentication failed");
    }
    return inner;
  }
}
