/** The shapes that both scripts of the ladder share: what they are given, wait for, and end with. */
import type { Bytes } from "../bytes.ts";
import type { Identity, PublicIdentity } from "../crypto/identity.ts";
import type { KemKeyPair } from "../crypto/kem.ts";
import type { Suite } from "../crypto/suite.ts";
import type { Mode } from "../crypto/transcript.ts";
import type { Random } from "../crypto/webcrypto.ts";
import { type Frame, FRAME_HEADER_LENGTH, type FrameKind } from "../wire/frame.ts";
import type { HandshakeLayouts } from "../wire/handshake_messages.ts";

/** What a suite needs on one side of a handshake. */
export interface OurSide {
  readonly suite: Suite;
  readonly identity: Identity;
  /** Supplies the envelope key: fresh, or out of a stock of fresh ones (PROTOCOL.md 3.7). */
  readonly envelopeKey: () => Promise<KemKeyPair>;
}

interface CommonConfig {
  readonly mode: Mode;
  /** Empty but for mode 2, where it names the introduction and both fingerprints. */
  readonly context: Bytes;
  /** 32 bytes: zeros in mode 1, rv_key in mode 2, the invite secret in mode 3. */
  readonly psk: Bytes;
  readonly random: Random;
}

/** How to climb the ladder as the side that speaks first. */
export interface InitiatorConfig extends CommonConfig {
  readonly ours: OurSide;
  /** The identity that must answer; with it, nothing of ours is shown to anybody else. */
  readonly pinned: PublicIdentity | undefined;
  /** Throws to refuse the responder; called before anything is signed for it. */
  readonly checkResponder: (responder: PublicIdentity, displayName: string) => void;
}

/** How to climb the ladder as the side that answers. */
export interface ResponderConfig extends CommonConfig {
  /** Our side for the suite the initiator names, or undefined to refuse that suite. */
  readonly ours: (suiteId: number) => OurSide | undefined;
  /** At most 32 bytes of UTF-8, shown to the initiator inside m4. */
  readonly displayName: string;
  /** Throws to refuse the initiator; called before our identity is shown to it. */
  readonly checkInitiator: (initiator: PublicIdentity) => void;
}

/** One message of the ladder, as somebody who watches would tell it. Nothing in it is secret. */
export interface LadderEvent {
  readonly message: 1 | 2 | 3 | 4 | 5 | 6;
  readonly direction: "sent" | "received";
  readonly name: string;
  readonly algorithm: string;
  /** Length of the frame on the wire. */
  readonly length: number;
  /** The transcript hash after this message. */
  readonly transcript: Bytes;
  /** Whose identity this message proved or carried. */
  readonly fingerprint?: Bytes;
}

/** The end of the ladder: who is there, and the keys. */
export interface Established {
  readonly name: "established";
  readonly role: "initiator" | "responder";
  readonly mode: Mode;
  readonly suite: Suite;
  readonly ours: Identity;
  readonly theirs: PublicIdentity;
  /** What the responder calls itself; empty between peers. */
  readonly displayName: string;
  /** T6. */
  readonly transcript: Bytes;
  /** 64 bytes each. */
  readonly sendSecret: Bytes;
  readonly receiveSecret: Bytes;
  /** 16 bytes that name this channel. */
  readonly sessionId: Bytes;
  /** 32 bytes to bind other proofs to this channel (PROTOCOL.md 3.10). */
  readonly exporter: Bytes;
}

/** Each waiting state is named by the message it waits for and holds only what the rest needs. */
export interface ExpectM2 {
  readonly name: "expect-m2";
  readonly config: InitiatorConfig;
  readonly layouts: HandshakeLayouts;
  readonly transcript: Bytes;
  readonly chainKey: Bytes;
  readonly envelopeKey: KemKeyPair;
}

export interface ExpectM4 {
  readonly name: "expect-m4";
  readonly config: InitiatorConfig;
  readonly layouts: HandshakeLayouts;
  readonly transcript: Bytes;
  readonly chainKey: Bytes;
  /** The signature of m2, to be checked now that its signer becomes known. */
  readonly early: { readonly signature: Bytes; readonly transcript: Bytes };
}

export interface ExpectM6 {
  readonly name: "expect-m6";
  readonly config: InitiatorConfig;
  readonly layouts: HandshakeLayouts;
  readonly transcript: Bytes;
  readonly chainKey: Bytes;
  readonly responder: PublicIdentity;
  readonly displayName: string;
}

export interface ExpectM1 {
  readonly name: "expect-m1";
  readonly config: ResponderConfig;
}

export interface ExpectM3 {
  readonly name: "expect-m3";
  readonly config: ResponderConfig;
  readonly ours: OurSide;
  readonly layouts: HandshakeLayouts;
  readonly transcript: Bytes;
  readonly chainKey: Bytes;
  readonly envelopeKey: KemKeyPair;
}

export interface ExpectM5 {
  readonly name: "expect-m5";
  readonly config: ResponderConfig;
  readonly ours: OurSide;
  readonly layouts: HandshakeLayouts;
  readonly transcript: Bytes;
  readonly chainKey: Bytes;
  readonly initiator: PublicIdentity;
}

export type Waiting = ExpectM1 | ExpectM2 | ExpectM3 | ExpectM4 | ExpectM5 | ExpectM6;
export type HandshakeState = Waiting | Established;

/** What one step gives: the next state, what to send, what there is to tell. */
export interface Step {
  readonly state: HandshakeState;
  readonly send: readonly Frame[];
  readonly events: readonly LadderEvent[];
}

const NAMES: Readonly<Record<LadderEvent["message"], string>> = {
  1: "envelope key",
  2: "envelope key and early proof",
  3: "identity, sealed",
  4: "identity, sealed",
  5: "session secret, sealed and signed",
  6: "signed confirmation",
};

/** The event for message `message` of the ladder. */
export function ladderEvent(
  message: LadderEvent["message"],
  direction: LadderEvent["direction"],
  suite: Suite,
  body: Bytes,
  transcript: Bytes,
  fingerprint?: Bytes,
): LadderEvent {
  const { kem, signature, aead } = suite;
  const algorithm = {
    1: kem.name,
    2: `${kem.name}, ${signature.name}, ${aead.name}`,
    3: `${kem.name}, ${aead.name}`,
    4: aead.name,
    5: `${signature.name}, ${aead.name}`,
    6: `${signature.name}, ${aead.name}`,
  }[message];
  return {
    message,
    direction,
    name: NAMES[message],
    algorithm,
    length: FRAME_HEADER_LENGTH + body.length,
    transcript,
    ...(fingerprint && { fingerprint }),
  };
}

/** A frame of the ladder. */
export function frame(kind: FrameKind, body: Bytes): Frame {
  return { kind, body };
}
