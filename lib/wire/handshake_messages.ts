/** m1 to m6 and the prefaces, as a table per suite (PROTOCOL.md 3.4, 3.8). */
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { bundleLength, FINGERPRINT_LENGTH, identityClassOf } from "../crypto/identity.ts";
import type { Suite } from "../crypto/suite.ts";
import { hmacSha512, sha512 } from "../crypto/platform.ts";
import { DISPLAY_NAME_LIMIT } from "../limits.ts";
import {
  bytes,
  decode,
  encode,
  type Layout,
  type Of,
  rest,
  struct,
  tagged,
  u32,
  u8,
} from "./layout.ts";
import { type Line, line } from "./line.ts";

/** The version in m1; every other one is refused. */
export const PROTOCOL_VERSION = 1;
/** Length of the nonces in m1 and m2, in bytes. */
export const NONCE_LENGTH = 32;
/** Length of the session secret in m5, in bytes. */
export const SECRET_LENGTH = 32;
/** Length of what m5 mixes in beside the secret, in bytes. */
export const IV_SEED_LENGTH = 16;
/** Lengths of what names an introduction, and of its key (PROTOCOL.md 3.7), in bytes. */
export const RENDEZVOUS_ID_LENGTH = 16;
export const RENDEZVOUS_KEY_LENGTH = 32;
/** Lengths of what names an invite, and of its secret (PROTOCOL.md 3.7), in bytes. */
export const INVITE_ID_LENGTH = 16;
export const INVITE_SECRET_LENGTH = 32;

/** The first four bytes of m1: enough to know whether and how to read the rest. */
export const helloHead = struct({ version: u8, mode: u8, suite: u8, flags: u8, rest });

/** The layouts of one suite; `m4Plaintext` and `m5Plaintext` stand inside the boxes. */
export interface HandshakeLayouts {
  /** -> the initiator's ephemeral key */
  readonly m1: Layout<{
    readonly version: number;
    readonly mode: number;
    readonly suite: number;
    readonly flags: number;
    readonly nonce: Bytes;
    readonly ephemeralKey: Bytes;
  }>;
  /** <- the responder's, and its early proof */
  readonly m2: Layout<{
    readonly nonce: Bytes;
    readonly ephemeralKey: Bytes;
    readonly ciphertext: Bytes;
    readonly box: Bytes;
  }>;
  /** -> the initiator's identity, sealed */
  readonly m3: Layout<{ readonly ciphertext: Bytes; readonly box: Bytes }>;
  /** <- the responder's identity, sealed */
  readonly m4: Layout<{ readonly box: Bytes }>;
  /** What is sealed in m4. */
  readonly m4Plaintext: Layout<{ readonly bundle: Bytes; readonly displayName: Line }>;
  /** -> the session secret, and the initiator's proof */
  readonly m5: Layout<{ readonly secretBox: Bytes; readonly proofBox: Bytes }>;
  /** What is sealed in the first box of m5. */
  readonly m5Plaintext: Layout<{ readonly secret: Bytes; readonly ivSeed: Bytes }>;
  /** <- the responder's confirmation */
  readonly m6: Layout<{ readonly box: Bytes }>;
}

/** The layouts of m1 to m6, every length fixed by the suite. */
export function handshakeLayouts(suite: Suite): HandshakeLayouts {
  const { kem, signature, aead } = suite;
  const ephemeralKey = bytes(kem.publicKeyLength);
  const ciphertext = bytes(kem.ciphertextLength);
  const box = (plaintextLength: number) => bytes(aead.sealedLength(plaintextLength));
  const bundle = bundleLength(identityClassOf(signature));
  return {
    m1: struct({
      version: u8,
      mode: u8,
      suite: u8,
      flags: u8,
      nonce: bytes(NONCE_LENGTH),
      ephemeralKey,
    }),
    m2: struct({
      nonce: bytes(NONCE_LENGTH),
      ephemeralKey,
      ciphertext,
      box: box(signature.signatureLength),
    }),
    m3: struct({ ciphertext, box: box(bundle) }),
    /** Its plaintext is `m4Plaintext`; the display name makes its length vary. */
    m4: struct({ box: rest }),
    m4Plaintext: struct({ bundle: bytes(bundle), displayName: line(DISPLAY_NAME_LIMIT) }),
    m5: struct({
      secretBox: box(SECRET_LENGTH + IV_SEED_LENGTH),
      proofBox: box(signature.signatureLength),
    }),
    m5Plaintext: struct({ secret: bytes(SECRET_LENGTH), ivSeed: bytes(IV_SEED_LENGTH) }),
    m6: struct({ box: box(signature.signatureLength) }),
  };
}

const TOKEN_LENGTH = 16;
const CLIENT_TOKEN_LENGTH = 32;
/** Lengths of a ticket, and of its key, in bytes. */
export const TICKET_LENGTH = 68;
export const TICKET_KEY_LENGTH = 32;
const TICKET_PREFACE_LABEL = encodeUtf8("cifra/1 ticket\0");
const HOUR = 3_600_000;
const hourLayout = struct({ hour: u32 });
const PEER_PREFACE_LABEL = encodeUtf8("preface");
const RENDEZVOUS_ID_LABEL = encodeUtf8("cifra/1 introduction\0");
const INVITE_PREFACE_LABEL = encodeUtf8("cifra/1 invite preface\0");
const INVITE_ID_LABEL = encodeUtf8("cifra/1 invite id\0");

/** What a dialling peer sends first: which introduction it comes from, and that it was introduced. */
export const peerPreface = struct({
  rendezvousId: bytes(RENDEZVOUS_ID_LENGTH),
  token: bytes(TOKEN_LENGTH),
});

/** Two by their fingerprints, in the order of the ladder: the lower one is the initiator's. */
export interface Ends {
  readonly initiator: Bytes;
  readonly responder: Bytes;
}

/**
 * What names an introduction on the wire: 16 bytes of a hash over all that is special to it, so that a server,
 * which has us send them to an address that it names, cannot choose them (PROTOCOL.md 3.7).
 */
export function rendezvousIdOf(key: Bytes, generation: number, ends: Ends): Bytes {
  const number = encode(u32, generation);
  return sha512(RENDEZVOUS_ID_LABEL, key, number, ends.initiator, ends.responder)
    .slice(0, RENDEZVOUS_ID_LENGTH);
}

/** The token of a peer preface: HMAC(rv_key, "preface" ‖ fingerprint of the dialler), cut. */
export function peerPrefaceToken(key: Bytes, diallerFingerprint: Bytes): Bytes {
  return hmacSha512(key, PEER_PREFACE_LABEL, diallerFingerprint).slice(0, TOKEN_LENGTH);
}

/**
 * What a client with an invite, or a ticket, sends first. It is bound to the m1 that follows and names nothing:
 * only the server can tell that two of them are of one invite, or of one person.
 */
export const clientPreface = tagged({ invite: 1, ticket: 2 }, {
  invite: struct({ hour: u32, token: bytes(CLIENT_TOKEN_LENGTH) }),
  ticket: struct({ ticket: bytes(TICKET_LENGTH), token: bytes(CLIENT_TOKEN_LENGTH) }),
});
/** What a client preface says. */
export type ClientPreface = Of<typeof clientPreface>;

/** Names an invite for its server: H("cifra/1 invite id\0" ‖ secret), cut. */
export function inviteIdOf(secret: Bytes): Bytes {
  return sha512(INVITE_ID_LABEL, secret).slice(0, INVITE_ID_LENGTH);
}

/** The hour of a time in milliseconds since 1970, as it stands in a preface. */
export function prefaceHour(date: number): number {
  return Math.floor(date / HOUR);
}

/** HMAC(secret of the invite, label ‖ hour ‖ hash of the body of m1), cut. */
export function invitePrefaceToken(secret: Bytes, hour: number, m1Hash: Bytes): Bytes {
  const mac = hmacSha512(secret, INVITE_PREFACE_LABEL, encode(hourLayout, { hour }), m1Hash);
  return mac.slice(0, CLIENT_TOKEN_LENGTH);
}

/** The preface body for an invite secret, at this time, before an m1 with this body. */
export function encodeInvitePreface(secret: Bytes, date: number, m1: Bytes): Bytes {
  const hour = prefaceHour(date);
  const token = invitePrefaceToken(secret, hour, sha512(m1));
  return encode(clientPreface, { type: "invite", hour, token });
}

/** HMAC(key of the ticket, label ‖ hash of the body of m1), cut. */
export function ticketPrefaceToken(key: Bytes, m1Hash: Bytes): Bytes {
  return hmacSha512(key, TICKET_PREFACE_LABEL, m1Hash).slice(0, CLIENT_TOKEN_LENGTH);
}

/** The preface body for a ticket, before an m1 with this body. */
export function encodeTicketPreface(
  { ticket, ticketKey }: { readonly ticket: Bytes; readonly ticketKey: Bytes },
  m1: Bytes,
): Bytes {
  const token = ticketPrefaceToken(ticketKey, sha512(m1));
  return encode(clientPreface, { type: "ticket", ticket, token });
}

/** Reads a client preface; throws `bad_frame`. */
export function decodeClientPreface(body: Bytes): ClientPreface {
  return decode(clientPreface, body);
}

const peerContextLayout = struct({
  rendezvousId: bytes(RENDEZVOUS_ID_LENGTH),
  generation: u32,
  initiator: bytes(FINGERPRINT_LENGTH),
  responder: bytes(FINGERPRINT_LENGTH),
});

/** The context of mode 2: rv_id ‖ generation ‖ fp_I ‖ fp_R (PROTOCOL.md 3.3). */
export function peerContext(
  rendezvousId: Bytes,
  generation: number,
  initiator: Bytes,
  responder: Bytes,
): Bytes {
  return encode(peerContextLayout, { rendezvousId, generation, initiator, responder });
}

/** What a peer preface says. */
export type PeerPreface = Of<typeof peerPreface>;

/** Reads a peer preface; throws `bad_frame`. */
export function decodePeerPreface(body: Bytes): PeerPreface {
  return decode(peerPreface, body);
}
