/** The shapes that both scripts of the ladder share: what they are given, wait for, and end with. */
import type { Bytes } from "../bytes.ts";
import type { Identity, PublicIdentity } from "../crypto/identity.ts";
import type { KemKeyPair } from "../crypto/kem.ts";
import type { Suite } from "../crypto/suite.ts";
import type { Mode } from "../crypto/transcript.ts";
import type { Random } from "../crypto/platform.ts";
import { type Frame, FRAME_HEADER_LENGTH, type FrameKind } from "../wire/frame.ts";
import type { HandshakeLayouts } from "../wire/handshake_messages.ts";
import type { Line } from "../wire/line.ts";

/** What a suite needs on one side of a handshake. */
export interface OurSide {
  /** The suite this side belongs to. */
  readonly suite: Suite;
  /** Who we are in it. */
  readonly identity: Identity;
  /** Supplies the ephemeral key: fresh, or out of a stock of fresh ones (PROTOCOL.md 3.7). */
  readonly ephemeralKey: () => Promise<KemKeyPair>;
}

/** The psk of a handshake that has none of its own: 32 zero bytes (PROTOCOL.md 3.3). */
export const NO_PSK: Bytes = new Uint8Array(32);

/** What both sides of a handshake must be given alike. */
export interface CommonConfig {
  /** Between whom: see `Mode`. */
  readonly mode: Mode;
  /** Empty but for mode 2, where it names the introduction and both fingerprints. */
  readonly context: Bytes;
  /** 32 bytes: `NO_PSK` in mode 1, rv_key in mode 2, the invite secret in mode 3. */
  readonly psk: Bytes;
  /** Makes nonces and secrets. */
  readonly random: Random;
}

/** How to run the handshake as the side that speaks first. */
export interface InitiatorConfig extends CommonConfig {
  /** Suite, identity and ephemeral keys of ours. */
  readonly ours: OurSide;
  /** The identity that must answer; with it, nothing of ours is shown to anybody else. */
  readonly pinned: PublicIdentity | undefined;
  /** Throws to refuse the responder; called before anything is signed for it. */
  readonly checkResponder: (responder: PublicIdentity, displayName: Line) => void;
}

/** How to run the handshake as the side that answers. */
export interface ResponderConfig extends CommonConfig {
  /** Our side for the suite the initiator names, or undefined to refuse that suite. */
  readonly ours: (suiteId: number) => OurSide | undefined;
  /** At most 32 bytes of UTF-8, shown to the initiator inside m4. */
  readonly displayName: Line;
  /** Throws to refuse the initiator; called before our identity is shown to it. */
  readonly checkInitiator: (initiator: PublicIdentity) => void;
}

/** One message of the ladder, as somebody who watches would tell it. Nothing in it is secret. */
export interface HandshakeEvent {
  /** Its number in the ladder. */
  readonly message: 1 | 2 | 3 | 4 | 5 | 6;
  /** Which way it went, seen from here. */
  readonly direction: "sent" | "received";
  /** What it is for, in a few words. */
  readonly name: string;
  /** The algorithms that were used on it. */
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
  /** The name of this state. */
  readonly name: "established";
  /** Who spoke first decides whose keys are whose. */
  readonly role: "initiator" | "responder";
  /** Between whom. */
  readonly mode: Mode;
  /** The suite in use. */
  readonly suite: Suite;
  /** Who we are. */
  readonly ours: Identity;
  /** Who is there, proved. */
  readonly theirs: PublicIdentity;
  /** What the responder calls itself; empty between peers. */
  readonly displayName: Line;
  /** T6: 64 bytes, the same on both sides. */
  readonly transcript: Bytes;
  /** The traffic secret of our direction, 64 bytes. */
  readonly sendSecret: Bytes;
  /** The traffic secret of theirs, 64 bytes. */
  readonly receiveSecret: Bytes;
  /** 16 bytes that name this channel. */
  readonly sessionId: Bytes;
  /** 32 bytes to bind other proofs to this channel (PROTOCOL.md 3.10). */
  readonly exporter: Bytes;
}

/** What every state after the first message holds. Each holds only what the rest needs. */
export interface Underway {
  /** The message layouts of the suite. */
  readonly layouts: HandshakeLayouts;
  /** The running hash: 64 bytes. */
  readonly transcript: Bytes;
  /** The chain key: 64 bytes, secret. */
  readonly chainKey: Bytes;
}

/** The responder's, before anything is said. */
export interface ExpectM1 {
  /** Named, like every waiting state, by the message it waits for. */
  readonly name: "expect-m1";
  /** How we answer. */
  readonly config: ResponderConfig;
}

/** The initiator's, m1 being sent. */
export interface ExpectM2 extends Underway {
  /** Waits for m2. */
  readonly name: "expect-m2";
  /** How we run it. */
  readonly config: InitiatorConfig;
  /** The key that m2 is sealed to. */
  readonly ephemeralKey: KemKeyPair;
}

/** The responder's, m2 being sent. */
export interface ExpectM3 extends Underway {
  /** Waits for m3. */
  readonly name: "expect-m3";
  /** How we answer. */
  readonly config: ResponderConfig;
  /** Our side in the suite that was asked for. */
  readonly ours: OurSide;
  /** The key that m3 is sealed to. */
  readonly ephemeralKey: KemKeyPair;
}

/** The initiator's, m3 being sent. */
export interface ExpectM4 extends Underway {
  /** Waits for m4. */
  readonly name: "expect-m4";
  /** How we run it. */
  readonly config: InitiatorConfig;
  /** The signature of m2, to be checked now that its signer becomes known. */
  readonly early: { readonly signature: Bytes; readonly transcript: Bytes };
}

/** The responder's, m4 being sent. */
export interface ExpectM5 extends Underway {
  /** Waits for m5. */
  readonly name: "expect-m5";
  /** How we answer. */
  readonly config: ResponderConfig;
  /** Our side in the suite that was asked for. */
  readonly ours: OurSide;
  /** Who the initiator says it is; m5 proves it. */
  readonly initiator: PublicIdentity;
}

/** The initiator's, m5 being sent. */
export interface ExpectM6 extends Underway {
  /** Waits for m6. */
  readonly name: "expect-m6";
  /** How we run it. */
  readonly config: InitiatorConfig;
  /** Who the responder is. */
  readonly responder: PublicIdentity;
  /** What it calls itself. */
  readonly displayName: Line;
}

/** The states that wait for a message. */
export type Waiting = ExpectM1 | ExpectM2 | ExpectM3 | ExpectM4 | ExpectM5 | ExpectM6;
/** Any state of a handshake. */
export type HandshakeState = Waiting | Established;

/** What one step gives: the next state, what to send, what there is to tell. */
export interface Step {
  /** Where the handshake stands now. */
  readonly state: HandshakeState;
  /** What to send, in order. */
  readonly send: readonly Frame[];
  /** What a watcher is told. */
  readonly events: readonly HandshakeEvent[];
}

const NAMES: Readonly<Record<HandshakeEvent["message"], string>> = {
  1: "ephemeral key",
  2: "ephemeral key and early proof",
  3: "identity, sealed",
  4: "identity, sealed",
  5: "session secret, sealed and signed",
  6: "signed confirmation",
};

/** The event for message `message` of the ladder. */
export function handshakeEvent(
  message: HandshakeEvent["message"],
  direction: HandshakeEvent["direction"],
  suite: Suite,
  body: Bytes,
  transcript: Bytes,
  fingerprint?: Bytes,
): HandshakeEvent {
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
