/**
 * The ladder as somebody would write it who has the document alone: from the private ephemeral keys and
 * the six messages to every key. It shares no code with the library, and where it can no primitives:
 * hashes, key derivation and ML-KEM are noble's, ciphers and signatures those of node:crypto.
 */
import { hkdf as nobleHkdf } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha512 as nobleSha512 } from "@noble/hashes/sha2.js";
import { sha3_256 } from "@noble/hashes/sha3.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { Buffer } from "node:buffer";
import {
  constants,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  privateDecrypt,
  timingSafeEqual,
  verify,
} from "node:crypto";

export type SuiteName = "classic" | "rsa" | "modern";

/** What differs between the suites. */
interface Parameters {
  readonly id: number;
  readonly publicKey: number;
  readonly ciphertext: number;
  readonly bundle: number;
  readonly key: number;
  readonly iv: number;
  /** How much longer than 64, 48 and bundle bytes their boxes are. */
  readonly sealed: (length: number) => number;
}

const gcm = (length: number) => length + 16;
const cbc = (length: number) => (Math.floor(length / 16) + 1) * 16 + 32;

export const PARAMETERS: Readonly<Record<SuiteName, Parameters>> = {
  classic: { id: 1, publicKey: 162, ciphertext: 128, bundle: 130, key: 64, iv: 16, sealed: cbc },
  rsa: { id: 2, publicKey: 422, ciphertext: 384, bundle: 130, key: 32, iv: 12, sealed: gcm },
  modern: { id: 3, publicKey: 1216, ciphertext: 1120, bundle: 129, key: 32, iv: 12, sealed: gcm },
};

/** A private ephemeral key: an ML-KEM seed with an X25519 key, or an RSA key; PKCS #8 in DER. */
export type PrivateEphemeral =
  | { readonly mlkem_seed: string; readonly x25519_pkcs8: string }
  | { readonly rsa_pkcs8: string };

export interface ReferenceInput {
  readonly suite: SuiteName;
  readonly mode: number;
  readonly context: string;
  readonly psk: string;
  readonly initiatorEphemeral: PrivateEphemeral;
  readonly responderEphemeral: PrivateEphemeral;
  /** m1 to m6, bodies without frame headers, in hexadecimal like everything here. */
  readonly messages: readonly string[];
}

export interface BoxKeyHex {
  readonly key: string;
  readonly iv: string;
}

/** Everything the two sides compute. */
export interface ReferenceOutput {
  readonly shared_secrets: { readonly ss2: string; readonly ss3: string };
  readonly transcripts: Readonly<Record<string, string>>;
  readonly chain_keys: Readonly<Record<"ck0" | "ck2" | "ck3" | "ck5", string>>;
  readonly box_keys: Readonly<Record<string, BoxKeyHex>>;
  readonly plaintexts: Readonly<Record<string, string>>;
  readonly signature_inputs: Readonly<Record<"R early" | "I auth" | "R auth", string>>;
  readonly traffic: { readonly i2r: string; readonly r2i: string };
  readonly session_id: string;
  readonly exporter: string;
  readonly record_keys: { readonly i2r: BoxKeyHex; readonly r2i: BoxKeyHex };
}

export const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
export const raw = (text: string) => Buffer.from(text, "hex");
export const ascii = (text: string) => Buffer.from(text, "latin1");

function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

export function sha512(...parts: Uint8Array[]): Uint8Array {
  return nobleSha512(Buffer.concat(parts));
}

export function hkdf(
  salt: Uint8Array,
  ikm: Uint8Array,
  info: Uint8Array,
  length: number,
): Uint8Array {
  return nobleHkdf(nobleSha512, ikm, salt, info, length);
}

/** H(T ‖ u32 len(x) ‖ x). */
export function absorb(transcript: Uint8Array, x: Uint8Array): Uint8Array {
  return sha512(transcript, u32(x.length), x);
}

/** "cifra/1 " ‖ label ‖ 0 ‖ T. */
export function info(label: string, transcript: Uint8Array): Uint8Array {
  return Buffer.concat([ascii(`cifra/1 ${label}\0`), transcript]);
}

/** The record key and IV of a traffic secret. */
export function recordKey(suite: SuiteName, trafficSecret: string): BoxKeyHex {
  const { key, iv } = PARAMETERS[suite];
  const none = new Uint8Array(0);
  return {
    key: hex(hkdf(none, raw(trafficSecret), ascii("key"), key)),
    iv: hex(hkdf(none, raw(trafficSecret), ascii("iv"), iv)),
  };
}

/** The traffic secret after a key update. */
export function nextTrafficSecret(trafficSecret: string): string {
  return hex(hkdf(new Uint8Array(0), raw(trafficSecret), ascii("cifra/1 upd\0"), 64));
}

/** Opens AES-256-GCM, or A256CBC-HS512 when the key has 64 bytes; throws when it does not open. */
export function open(box: BoxKeyHex, additionalData: Uint8Array, sealed: Uint8Array): Uint8Array {
  const [key, iv] = [raw(box.key), raw(box.iv)];
  if (key.length === 32) {
    const decipher = createDecipheriv("aes-256-gcm", key, iv);
    decipher.setAAD(additionalData);
    decipher.setAuthTag(sealed.subarray(sealed.length - 16));
    return Buffer.concat([
      decipher.update(sealed.subarray(0, sealed.length - 16)),
      decipher.final(),
    ]);
  }
  const ciphertext = sealed.subarray(0, sealed.length - 32);
  const bits = new Uint8Array(8);
  new DataView(bits.buffer).setBigUint64(0, BigInt(additionalData.length * 8));
  const authenticated = Buffer.concat([additionalData, iv, ciphertext, bits]);
  const mac = hmac(nobleSha512, key.subarray(0, 32), authenticated).subarray(0, 32);
  if (!timingSafeEqual(mac, sealed.subarray(sealed.length - 32))) throw new Error("MAC is wrong");
  const decipher = createDecipheriv("aes-256-cbc", key.subarray(32), iv);
  return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
}

const X25519_SPKI = raw("302a300506032b656e032100");
const ED25519_SPKI = raw("302a300506032b6570032100");
const P256_SPKI = raw("3059301306072a8648ce3d020106082a8648ce3d030107034200");
const XWING_LABEL = raw("5c2e2f2f5e5c");

/** The raw public half of an X25519 or Ed25519 private key in PKCS #8. */
export function rawPublicKey(pkcs8: string): Uint8Array {
  const key = createPrivateKey({ key: raw(pkcs8), format: "der", type: "pkcs8" });
  const spki = createPublicKey(key).export({ format: "der", type: "spki" });
  return new Uint8Array(spki.subarray(spki.length - 32));
}

/** X25519 of a private key in PKCS #8 and a raw public key. */
export function agree(pkcs8: string, publicKey: Uint8Array): Uint8Array {
  const spki = Buffer.concat([X25519_SPKI, publicKey]);
  return diffieHellman({
    privateKey: createPrivateKey({ key: raw(pkcs8), format: "der", type: "pkcs8" }),
    publicKey: createPublicKey({ key: spki, format: "der", type: "spki" }),
  });
}

/** The X-Wing combiner. */
export function combine(
  mlkemSecret: Uint8Array,
  agreed: Uint8Array,
  ciphertext: Uint8Array,
  publicKey: Uint8Array,
): Uint8Array {
  return sha3_256(Buffer.concat([mlkemSecret, agreed, ciphertext, publicKey, XWING_LABEL]));
}

/** The secret in `ciphertext`. */
export function decapsulate(
  suite: SuiteName,
  ephemeral: PrivateEphemeral,
  ciphertext: Uint8Array,
): Uint8Array {
  if ("rsa_pkcs8" in ephemeral) {
    const key = createPrivateKey({ key: raw(ephemeral.rsa_pkcs8), format: "der", type: "pkcs8" });
    const oaepHash = suite === "rsa" ? "sha256" : "sha1";
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    return privateDecrypt({ key, padding, oaepHash }, ciphertext);
  }
  const { secretKey } = ml_kem768.keygen(raw(ephemeral.mlkem_seed));
  const mlkemSecret = ml_kem768.decapsulate(ciphertext.subarray(0, 1088), secretKey);
  const theirs = ciphertext.subarray(1088);
  const agreed = agree(ephemeral.x25519_pkcs8, theirs);
  return combine(mlkemSecret, agreed, theirs, rawPublicKey(ephemeral.x25519_pkcs8));
}

/** Whether `signature` over `data` is by the signature key inside `bundle`. */
export function signatureHolds(
  bundle: Uint8Array,
  signature: Uint8Array,
  data: Uint8Array,
): boolean {
  const [prefix, length] = bundle[0] === 2 ? [ED25519_SPKI, 32] as const : [P256_SPKI, 65] as const;
  const spki = Buffer.concat([prefix, bundle.subarray(1, 1 + length)]);
  const key = createPublicKey({ key: spki, format: "der", type: "spki" });
  if (bundle[0] === 2) return verify(null, data, key, signature);
  return verify("sha256", data, { key, dsaEncoding: "ieee-p1363" }, signature);
}

/** Handshakes the ladder by the document's formulas; throws when a box or a signature does not hold. */
export function handshakeByTheBook(input: ReferenceInput): ReferenceOutput {
  const { suite, mode } = input;
  const { id, publicKey, ciphertext, bundle, key, iv, sealed } = PARAMETERS[suite];
  const message = (number: number): Uint8Array => {
    const text = input.messages[number - 1];
    if (text === undefined) throw new Error(`m${number} is missing`);
    return raw(text);
  };
  const [m1, m2, m3] = [message(1), message(2), message(3)];
  const [m4, m5, m6] = [message(4), message(5), message(6)];
  const none = new Uint8Array(0);
  const boxKey = (output: Uint8Array): BoxKeyHex => ({
    key: hex(output.subarray(0, key)),
    iv: hex(output.subarray(key, key + iv)),
  });
  const mix = (ck: Uint8Array, ikm: Uint8Array, transcript: Uint8Array, label: string) => {
    const output = hkdf(ck, ikm, info(label, transcript), 64 + key + iv);
    return [output.subarray(0, 64), boxKey(output.subarray(64))] as const;
  };
  const derive = (ck: Uint8Array, transcript: Uint8Array, label: string, length: number) =>
    hkdf(none, ck, info(label, transcript), length);
  const deriveBox = (ck: Uint8Array, transcript: Uint8Array, label: string) =>
    boxKey(derive(ck, transcript, label, key + iv));
  const signatureInput = (role: string, transcript: Uint8Array) =>
    Buffer.concat([
      Buffer.alloc(64, 0x20),
      ascii(`cifra/1 s${id} m${mode} ${role}\0`),
      transcript,
    ]);

  const context = raw(input.context);
  const contextLength = Uint8Array.of(context.length >> 8, context.length & 0xff);
  const P = Buffer.concat([ascii("cifra/1\0"), Uint8Array.of(mode, id), contextLength, context]);
  const T0 = sha512(ascii("cifra/1 transcript\0"), P);
  const ck0 = hkdf(T0, raw(input.psk), ascii("cifra/1 ck0"), 64);
  const T1 = absorb(T0, m1);

  const openPart = 32 + publicKey + ciphertext;
  const ss2 = decapsulate(suite, input.initiatorEphemeral, m2.subarray(32 + publicKey, openPart));
  const T2a = absorb(T1, m2.subarray(0, openPart));
  const [ck2, k2] = mix(ck0, ss2, T2a, "m2");
  const early = open(k2, T2a, m2.subarray(openPart));
  const T2 = absorb(T2a, m2.subarray(openPart));

  const ss3 = decapsulate(suite, input.responderEphemeral, m3.subarray(0, ciphertext));
  const T3a = absorb(T2, m3.subarray(0, ciphertext));
  const [ck3, k3] = mix(ck2, ss3, T3a, "m3");
  const initiatorBundle = open(k3, T3a, m3.subarray(ciphertext));
  const T3 = absorb(T3a, m3.subarray(ciphertext));

  const k4 = deriveBox(ck3, T3, "m4");
  const named = open(k4, T3, m4);
  const responderBundle = named.subarray(0, bundle);
  const T4 = absorb(T3, m4);

  const split = sealed(48);
  const k5a = deriveBox(ck3, T4, "m5 secret");
  const secrets = open(k5a, T4, m5.subarray(0, split));
  const T5a = absorb(T4, m5.subarray(0, split));
  const k5b = deriveBox(ck3, T5a, "m5 auth");
  const initiatorProof = open(k5b, T5a, m5.subarray(split));
  const T5 = absorb(T5a, m5.subarray(split));
  const [ck5] = mix(ck3, secrets, T5, "m5");

  const k6 = deriveBox(ck5, T5, "m6");
  const confirmation = open(k6, T5, m6);
  const T6 = absorb(T5, m6);

  const inputs = {
    "R early": signatureInput("R early", T2a),
    "I auth": signatureInput("I auth", T5a),
    "R auth": signatureInput("R auth", T5),
  };
  const proofs = [
    [responderBundle, early, inputs["R early"]],
    [initiatorBundle, initiatorProof, inputs["I auth"]],
    [responderBundle, confirmation, inputs["R auth"]],
  ] as const;
  for (const [signer, signature, data] of proofs) {
    if (!signatureHolds(signer, signature, data)) throw new Error("A signature does not hold");
  }

  const traffic = {
    i2r: hex(derive(ck5, T6, "traffic i2r", 64)),
    r2i: hex(derive(ck5, T6, "traffic r2i", 64)),
  };
  const transcripts = { T0, T1, T2a, T2, T3a, T3, T4, T5a, T5, T6 };
  return {
    shared_secrets: { ss2: hex(ss2), ss3: hex(ss3) },
    transcripts: Object.fromEntries(
      Object.entries(transcripts).map(([name, value]) => [name, hex(value)]),
    ),
    chain_keys: { ck0: hex(ck0), ck2: hex(ck2), ck3: hex(ck3), ck5: hex(ck5) },
    box_keys: { box2: k2, box3: k3, box4: k4, box5a: k5a, box5b: k5b, box6: k6 },
    plaintexts: {
      box2: hex(early),
      box3: hex(initiatorBundle),
      box4: hex(named),
      box5a: hex(secrets),
      box5b: hex(initiatorProof),
      box6: hex(confirmation),
    },
    signature_inputs: {
      "R early": hex(inputs["R early"]),
      "I auth": hex(inputs["I auth"]),
      "R auth": hex(inputs["R auth"]),
    },
    traffic,
    session_id: hex(derive(ck5, T6, "sid", 16)),
    exporter: hex(derive(ck5, T6, "exporter", 32)),
    record_keys: { i2r: recordKey(suite, traffic.i2r), r2i: recordKey(suite, traffic.r2i) },
  };
}

/** The IV of a direction XOR the counter of a record. */
function recordNonce(iv: string, counter: number): string {
  const nonce = raw(iv);
  const at = nonce.length - 8;
  nonce.writeBigUInt64BE(nonce.readBigUInt64BE(at) ^ BigInt(counter), at);
  return hex(nonce);
}

/**
 * Opens a record: its frame, header included. In classic `signer` is the bundle whose signature it must
 * carry.
 */
export function openRecord(
  { suite, direction, keys, counter, signer }: {
    readonly suite: SuiteName;
    readonly direction: "i2r" | "r2i";
    readonly keys: BoxKeyHex;
    /** Records before it under the same key. */
    readonly counter: number;
    readonly signer: string;
  },
  frame: string,
): string {
  const bytes = raw(frame);
  const [header, body] = [bytes.subarray(0, 5), bytes.subarray(5)];
  if (suite !== "classic") {
    return hex(open({ key: keys.key, iv: recordNonce(keys.iv, counter) }, header, body));
  }
  const sealed = body.subarray(0, body.length - 64);
  const sequence = Buffer.alloc(8);
  sequence.writeBigUInt64BE(BigInt(counter));
  const input = Buffer.concat([ascii(`cifra/1 rec${direction}`), sequence, sha512(sealed)]);
  if (!signatureHolds(raw(signer), body.subarray(body.length - 64), input)) {
    throw new Error("The signature of a record does not hold");
  }
  const box = { key: keys.key, iv: hex(sealed.subarray(0, 16)) };
  return hex(open(box, header, sealed.subarray(16)));
}
