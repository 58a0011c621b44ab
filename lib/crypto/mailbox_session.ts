/**
 * Sessions of the mailbox: begun by the sender alone, to prekeys, and moving only forward (PROTOCOL.md 3.12).
 * Nothing here changes a state: each step returns the next one, for its caller to store.
 */
import { concat } from "@std/bytes/concat";
import { type Bytes, encodeU64, encodeUtf8 } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { SESSION_ENVELOPES } from "../limits.ts";
import { aes256Gcm } from "./aead.ts";
import type { Identity, PublicIdentity } from "./identity.ts";
import { hkdf, type Random, sha512, systemRandom } from "./platform.ts";
import { loadPostQuantumProvider, type PostQuantumProvider } from "./post_quantum.ts";
import {
  openPrekey,
  type Prekey,
  type PrekeyKind,
  prekeyStatement,
  type StoredPrekey,
  verifyPrekey,
} from "./prekeys.ts";
import { absorb, CHAIN_KEY_LENGTH, derive, deriveBox, openBox, sealBox } from "./transcript.ts";
import { agreeX25519, checkX25519PublicKey, X25519_KEY_LENGTH, x25519KeyPairOf } from "./x25519.ts";

/** Length of a session id, in bytes. */
export const SESSION_ID_LENGTH = 16;
/** Length of the salt of an envelope, in bytes. */
export const ENVELOPE_SALT_LENGTH = 32;

const ENVELOPE_VERSION = 1;
const TRANSCRIPT_LABEL = encodeUtf8("cifra/1 mailbox\0");
const SESSION_ID_LABEL = encodeUtf8("cifra/1 mailbox sid\0");
const CHAIN_LABEL = encodeUtf8("cifra/1 mailbox ck");
const NOTHING = new Uint8Array(0);

/** Where a session stands: plain values, secret, for a store to keep. */
export interface SessionState {
  /** T, 64 bytes. */
  readonly transcript: Bytes;
  /** ck of place `next`, 64 bytes; nothing before it comes out of it. */
  readonly chain: Bytes;
  /** The place of the next envelope, 0 to 1024; at 1024 the session is used up. */
  readonly next: number;
}

/** What every envelope of a session begins with, 1152 bytes on the wire. */
export interface SessionHeader {
  /** The recipient's box, 16 bytes. */
  readonly box: Bytes;
  /** Number of the signed prekey. */
  readonly signed: bigint;
  /** Number of the one-time prekey, or 0. */
  readonly once: bigint;
  /** E, the sender's X25519 key for this session, 32 bytes. */
  readonly ephemeral: Bytes;
  /** ML-KEM ciphertext, 1088 bytes. */
  readonly ciphertext: Bytes;
}

/** Whom a sender writes to, and the keys that the server has shown. */
export interface SessionRequest {
  /** The sender. */
  readonly ours: Identity;
  /** The recipient, as pinned. */
  readonly theirs: PublicIdentity;
  /** The recipient's box, 16 bytes. */
  readonly box: Bytes;
  /** The signed prekey of that box. */
  readonly signed: Prekey;
  /** A one-time prekey of that box, when there was one. */
  readonly once?: Prekey | undefined;
}

/** Randomness and ML-KEM; a parameter where a test must choose them. */
export interface SessionTools {
  /** Absent: that of the system. */
  readonly random?: Random;
  /** Absent: the best that this runtime has. */
  readonly provider?: PostQuantumProvider;
}

/**
 * The sender's side of a new session, and its header in wire form. Throws `auth_failed` unless `verifyPrekey` takes
 * the prekeys and both people have an agreement key.
 */
export async function beginSession(
  { ours, theirs, box, signed, once }: SessionRequest,
  { random = systemRandom, provider }: SessionTools = {},
): Promise<{ readonly header: Bytes; readonly session: SessionState }> {
  requireAgreementKey(ours);
  const theirKey = requireAgreementKey(theirs);
  await verifyAs("signed", theirs, box, signed);
  if (once) await verifyAs("once", theirs, box, once);
  const scalar = random(X25519_KEY_LENGTH);
  const ephemeral = await x25519KeyPairOf(scalar);
  scalar.fill(0);
  const { encapsulate } = provider ?? await loadPostQuantumProvider();
  const { ciphertext, secret } = await encapsulate((once ?? signed).mlkem);
  const header = encodeHeader({
    box,
    signed: signed.number,
    once: once?.number ?? 0n,
    ephemeral: ephemeral.publicKey,
    ciphertext,
  });
  const statements = [
    prekeyStatement(theirs, box, signed),
    once ? prekeyStatement(theirs, box, once) : NOTHING,
  ];
  const agreed = await Promise.all([
    ours.agree(signed.x25519),
    agreeX25519(ephemeral.privateKey, theirKey),
    agreeX25519(ephemeral.privateKey, signed.x25519),
    once ? agreeX25519(ephemeral.privateKey, once.x25519) : NOTHING,
  ]);
  const session = startSession([ours.bundle, theirs.bundle, ...statements, header], agreed, secret);
  return { header, session };
}

/** Who has written to us, and the secrets that the header names by box and numbers. */
export interface SessionOffer {
  /** The recipient. */
  readonly ours: Identity;
  /** The sender. */
  readonly theirs: PublicIdentity;
  /** As it came. */
  readonly header: SessionHeader;
  /** Ours of that number. */
  readonly signed: StoredPrekey;
  /** Ours of that number; given exactly when the header names one. */
  readonly once?: StoredPrekey | undefined;
}

/**
 * The recipient's side of a session, at place 0. That the header is the sender's shows when an envelope opens, and
 * not before. Throws `auth_failed` when its X25519 key is bad or somebody has no agreement key, TypeError when the
 * prekeys are not those that it names.
 */
export async function acceptSession(
  { ours, theirs, header, signed, once }: SessionOffer,
  { provider }: Pick<SessionTools, "provider"> = {},
): Promise<SessionState> {
  if (signed.number !== header.signed || (once?.number ?? 0n) !== header.once) {
    throw new TypeError("These are not the prekeys that the header names");
  }
  requireAgreementKey(ours);
  const theirKey = requireAgreementKey(theirs);
  const { box, ephemeral, ciphertext } = header;
  checkX25519PublicKey(ephemeral);
  const postQuantum = provider ?? await loadPostQuantumProvider();
  const ourSigned = await openPrekey("signed", signed, postQuantum);
  const ourOnce = once && await openPrekey("once", once, postQuantum);
  const secret = await (ourOnce ?? ourSigned).mlkem.decapsulate(ciphertext);
  const agreed = await Promise.all([
    agreeX25519(ourSigned.x25519, theirKey),
    ours.agree(ephemeral),
    agreeX25519(ourSigned.x25519, ephemeral),
    ourOnce ? agreeX25519(ourOnce.x25519, ephemeral) : NOTHING,
  ]);
  const statements = [
    prekeyStatement(ours, box, ourSigned.keys),
    ourOnce ? prekeyStatement(ours, box, ourOnce.keys) : NOTHING,
  ];
  const said = [theirs.bundle, ours.bundle, ...statements, encodeHeader(header)];
  return startSession(said, agreed, secret);
}

/** What a recipient knows a session by: 16 bytes. */
export function sessionIdOf(header: Bytes): Bytes {
  return sha512(SESSION_ID_LABEL, header).slice(0, SESSION_ID_LENGTH);
}

/** The session one place further; what was passed over cannot be opened any more. */
export function stepSession({ transcript, chain, next }: SessionState): SessionState {
  return {
    transcript,
    chain: derive(chain, transcript, "mailbox next", CHAIN_KEY_LENGTH),
    next: next + 1,
  };
}

/**
 * Seals `content`, which is padded already, as the next envelope. `session` of the result MUST be on disk before the
 * envelope leaves. Throws `limit` when the session is used up.
 */
export async function sealEnvelope(
  session: SessionState,
  header: Bytes,
  content: Bytes,
  random: Random = systemRandom,
): Promise<{ readonly envelope: Bytes; readonly session: SessionState }> {
  if (session.next >= SESSION_ENVELOPES) {
    const why = `${SESSION_ENVELOPES} envelopes are its end`;
    throw new CifraError("limit", `Cannot seal in this session: ${why}`);
  }
  const place = Uint8Array.of(session.next >> 8, session.next & 0xff);
  const salt = random(ENVELOPE_SALT_LENGTH);
  const additionalData = concat([Uint8Array.of(ENVELOPE_VERSION), header, place, salt]);
  const sealed = await sealBox(aes256Gcm, boxOf(session, salt), additionalData, content);
  return { envelope: concat([additionalData, sealed]), session: stepSession(session) };
}

/** The parts of an envelope that opening it needs. */
export interface SealedEnvelope {
  /** Its place in the session. */
  readonly n: number;
  /** 32 bytes. */
  readonly salt: Bytes;
  /** The rest: content and tag. */
  readonly sealed: Bytes;
  /** All 1187 bytes in front of `sealed`, as they came. */
  readonly additionalData: Bytes;
}

/**
 * Opens envelope `n` and moves past it; the places between are gone. Throws `auth_failed` when it does not open, and
 * for a place that is behind, or beyond the last; the state that was given stays good.
 */
export async function openEnvelope(
  session: SessionState,
  { n, salt, sealed, additionalData }: SealedEnvelope,
): Promise<{ readonly content: Bytes; readonly session: SessionState }> {
  if (n < session.next || n >= SESSION_ENVELOPES) {
    throw new CifraError("auth_failed", `Cannot open envelope: place ${n} is not ahead`);
  }
  const reached = stepTo(session, n);
  try {
    const content = await openBox(aes256Gcm, boxOf(reached, salt), additionalData, sealed);
    return { content, session: stepSession(reached) };
  } finally {
    if (reached !== session) reached.chain.fill(0);
  }
}

/** The session at place `n`; what lies between is overwritten. */
function stepTo(session: SessionState, n: number): SessionState {
  let reached = session;
  while (reached.next < n) {
    const passed = reached;
    reached = stepSession(passed);
    if (passed !== session) passed.chain.fill(0);
  }
  return reached;
}

/** Key and IV of the envelope at the place of `session`. The salt keeps an old copy from using one twice. */
function boxOf({ chain, transcript }: SessionState, salt: Bytes) {
  return deriveBox(chain, transcript, "mailbox envelope", aes256Gcm, salt);
}

/** Overwrites what was agreed. */
function startSession(
  said: readonly Bytes[],
  agreed: readonly Bytes[],
  secret: Bytes,
): SessionState {
  const transcript = said.reduce(absorb, sha512(TRANSCRIPT_LABEL));
  const secrets = concat([...agreed, secret]);
  const chain = hkdf(transcript, secrets, CHAIN_LABEL, CHAIN_KEY_LENGTH);
  for (const part of [...agreed, secret, secrets]) part.fill(0);
  return { transcript, chain, next: 0 };
}

function encodeHeader({ box, signed, once, ephemeral, ciphertext }: SessionHeader): Bytes {
  return concat([box, encodeU64(signed), encodeU64(once), ephemeral, ciphertext]);
}

async function verifyAs(
  kind: PrekeyKind,
  owner: PublicIdentity,
  box: Bytes,
  prekey: Prekey,
): Promise<void> {
  if (prekey.kind !== kind) throw refuse(`a prekey is not ${kind}`);
  await verifyPrekey(owner, box, prekey);
}

function requireAgreementKey({ agreementKey }: PublicIdentity): Bytes {
  if (!agreementKey) throw refuse("an identity has no agreement key");
  return agreementKey;
}

function refuse(why: string): CifraError {
  return new CifraError("auth_failed", `Cannot begin session: ${why}`);
}
