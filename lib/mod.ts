/**
 * What a program that embeds cifra imports: the ladder, channels over any transport, and the parts that
 * `serve` and `connect` are made of.
 */
export { type Bytes } from "./bytes.ts";
export { CifraError, type ErrorCode, ERRORS } from "./errors.ts";
export {
  formatFingerprint,
  generateIdentity,
  type Identity,
  type IdentityClass,
  openIdentity,
  parseFingerprint,
  type PublicIdentity,
  readIdentity,
  type StoredIdentity,
} from "./crypto/identity.ts";
export { safetyWords } from "./crypto/safety_words.ts";
export { loadSuite, type Suite, type SuiteId, type SuiteName } from "./crypto/suite.ts";
export type { Aead, AeadKey } from "./crypto/aead.ts";
export type { Kem, KemKeyPair } from "./crypto/kem.ts";
export type { SignatureScheme, SigningKey } from "./crypto/signature.ts";
export type { Mode } from "./crypto/transcript.ts";
export { type Random, systemRandom } from "./crypto/platform.ts";
export { startInitiator } from "./handshake/initiator.ts";
export { step } from "./handshake/machine.ts";
export { startResponder } from "./handshake/responder.ts";
export type {
  CommonConfig,
  Established,
  ExpectM1,
  ExpectM2,
  ExpectM3,
  ExpectM4,
  ExpectM5,
  ExpectM6,
  HandshakeEvent,
  HandshakeState,
  InitiatorConfig,
  OurSide,
  ResponderConfig,
  Step,
  Underway,
  Waiting,
} from "./handshake/state.ts";
export { Channel, type Goodbye } from "./channel/channel.ts";
export { type HandshakeOptions, runHandshake } from "./channel/run_handshake.ts";
export { Connection, type Word } from "./channel/connection.ts";
export type { MonotonicClock, Transport } from "./channel/transport.ts";
export type { Endpoint } from "./wire/address.ts";
export { type Frame, FrameKind } from "./wire/frame.ts";
export type { HandshakeLayouts } from "./wire/handshake_messages.ts";
export type { Layout, Reader } from "./wire/layout.ts";
export { isLine, type Line, lineOf } from "./wire/line.ts";
export { CloseCode, type Item, ItemType } from "./wire/records.ts";
