/**
 * Prekeys, sessions and envelopes of the mailbox, as somebody would write them who has the document alone. Shares no
 * code with the library; primitives as in reference.ts.
 */
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { Buffer } from "node:buffer";
import { createCipheriv, createHmac, createPrivateKey, sign } from "node:crypto";
import {
  absorb,
  agree,
  ascii,
  hex,
  hkdf,
  info,
  open,
  raw,
  rawPublicKey,
  sha512,
} from "./reference.ts";
import type { VectorSide } from "./vector_file.ts";

type Person = Required<VectorSide["identity"]>;

/** What was drawn for a prekey; bytes are hexadecimal, u64 are decimal. */
interface DrawnPrekey {
  readonly number: string;
  readonly x25519_scalar: string;
  readonly mlkem_seed: string;
}

interface PrekeyVector extends DrawnPrekey {
  readonly statement: string;
  readonly signature: string;
  /** As in `publish` and `keys`: number, keys and signature. */
  readonly wire: string;
}

interface DrawnEnvelope {
  readonly index: number;
  readonly salt: string;
  readonly content: string;
}

interface EnvelopeVector extends DrawnEnvelope {
  readonly chain_key: string;
  readonly key: string;
  readonly iv: string;
  readonly envelope: string;
}

interface DrawnRun {
  /** `once` with a one-time prekey, `last` without. */
  readonly name: string;
  readonly e_scalar: string;
  readonly mlkem_m: string;
  readonly envelopes: readonly DrawnEnvelope[];
}

/** One session. */
export interface MailboxRun extends DrawnRun {
  readonly header: string;
  /** After the label, and after each of the five parts. */
  readonly transcripts: readonly string[];
  /** DH1 to DH3, and DH4 with a one-time prekey. */
  readonly dh: readonly string[];
  readonly ss: string;
  readonly session_id: string;
  readonly envelopes: readonly EnvelopeVector[];
}

/** What was drawn; all else follows. */
interface Drawn {
  readonly sender: Person;
  readonly recipient: Person;
  readonly box: string;
  readonly signed_prekey: DrawnPrekey;
  readonly one_time_prekey: DrawnPrekey;
  readonly pass_key: string;
  readonly runs: readonly DrawnRun[];
}

/** tests/vectors/mailbox.json. */
export interface MailboxFile extends Drawn {
  readonly signed_prekey: PrekeyVector;
  readonly one_time_prekey: PrekeyVector;
  readonly pass_of_sender: string;
  readonly runs: readonly MailboxRun[];
}

/** A scalar in PKCS #8. */
function pkcs8(scalar: string): string {
  return `302e020100300506032b656e04220420${scalar}`;
}

function u64(number: string): string {
  return BigInt(number).toString(16).padStart(16, "0");
}

function prekey(owner: Person, box: string, kind: "01" | "02", drawn: DrawnPrekey): PrekeyVector {
  const { number, x25519_scalar, mlkem_seed } = drawn;
  const x = hex(rawPublicKey(pkcs8(x25519_scalar)));
  const m = hex(ml_kem768.keygen(raw(mlkem_seed)).publicKey);
  const label = hex(ascii("cifra/1 prekey\0"));
  const statement = [label, owner.fingerprint, box, kind, u64(number), x, m].join("");
  const key = createPrivateKey({ key: raw(owner.signature_pkcs8), format: "der", type: "pkcs8" });
  const signature = hex(sign(null, raw(statement), key));
  const wire = u64(number) + x + m + signature;
  return { number, x25519_scalar, mlkem_seed, statement, signature, wire };
}

/** X25519 by the sender and by the recipient; throws unless they agree. */
function bothAgree(ours: string, theirs: string): Uint8Array {
  const secret = agree(ours, rawPublicKey(theirs));
  if (hex(secret) !== hex(agree(theirs, rawPublicKey(ours)))) throw new Error("They do not agree");
  return secret;
}

function session(drawn: DrawnRun, file: Omit<MailboxFile, "runs">): MailboxRun {
  const { name, e_scalar, mlkem_m } = drawn;
  const { sender, recipient, box, signed_prekey: S } = file;
  const O = name === "once" ? file.one_time_prekey : undefined;
  const { publicKey, secretKey } = ml_kem768.keygen(raw((O ?? S).mlkem_seed));
  const { cipherText: ct, sharedSecret: ss } = ml_kem768.encapsulate(publicKey, raw(mlkem_m));
  if (hex(ml_kem768.decapsulate(ct, secretKey)) !== hex(ss)) throw new Error("ss is another");
  const E = pkcs8(e_scalar);
  const numbers = u64(S.number) + u64(O?.number ?? "0");
  const header = box + numbers + hex(rawPublicKey(E)) + hex(ct);
  const parts = [sender.bundle, recipient.bundle, S.statement, O?.statement ?? "", header];
  const transcripts = [sha512(ascii("cifra/1 mailbox\0"))];
  for (const part of parts) transcripts.push(absorb(transcripts.at(-1)!, raw(part)));
  const T = transcripts.at(-1)!;
  const dh = [
    bothAgree(sender.agreement_pkcs8, pkcs8(S.x25519_scalar)),
    bothAgree(E, recipient.agreement_pkcs8),
    bothAgree(E, pkcs8(S.x25519_scalar)),
    ...(O ? [bothAgree(E, pkcs8(O.x25519_scalar))] : []),
  ];
  let ck = hkdf(T, Buffer.concat([...dh, ss]), ascii("cifra/1 mailbox ck"), 64);
  const envelopes = drawn.envelopes.map(({ index, salt, content }, n): EnvelopeVector => {
    if (index !== n) throw new Error("An envelope is not in its place");
    const output = hkdf(raw(salt), ck, info("mailbox envelope", T), 44);
    const box = { key: hex(output.subarray(0, 32)), iv: hex(output.subarray(32)) };
    const before = "01" + header + n.toString(16).padStart(4, "0") + salt;
    const sealed = seal(box, raw(before), raw(content));
    const chain_key = hex(ck);
    ck = hkdf(new Uint8Array(0), ck, info("mailbox next", T), 64);
    return { index, salt, chain_key, ...box, content, envelope: before + hex(sealed) };
  });
  return {
    name,
    e_scalar,
    mlkem_m,
    header,
    transcripts: transcripts.map(hex),
    dh: dh.map(hex),
    ss: hex(ss),
    session_id: hex(sha512(ascii("cifra/1 mailbox sid\0"), raw(header)).subarray(0, 16)),
    envelopes,
  };
}

function seal(
  box: { key: string; iv: string },
  before: Uint8Array,
  content: Uint8Array,
): Uint8Array {
  const cipher = createCipheriv("aes-256-gcm", raw(box.key), raw(box.iv));
  cipher.setAAD(before);
  const sealed = Buffer.concat([cipher.update(content), cipher.final(), cipher.getAuthTag()]);
  if (hex(open(box, before, sealed)) !== hex(content)) throw new Error("It does not open");
  return sealed;
}

/** Everything that follows from what was drawn; throws when the two sides do not agree. */
export function mailboxByTheBook(drawn: Drawn): MailboxFile {
  const { sender, recipient, box, pass_key, runs } = drawn;
  const pass = createHmac("sha512", raw(pass_key)).update("cifra/1 pass\0").update(
    raw(sender.fingerprint),
  );
  const file = {
    sender,
    recipient,
    box,
    signed_prekey: prekey(recipient, box, "01", drawn.signed_prekey),
    one_time_prekey: prekey(recipient, box, "02", drawn.one_time_prekey),
    pass_key,
    pass_of_sender: pass.digest("hex").slice(0, 32),
  };
  return { ...file, runs: runs.map((run) => session(run, file)) };
}
