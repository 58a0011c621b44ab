/**
 * What a program that embeds cifra imports: the ladder, channels over any transport, and the parts that
 * `serve` and `connect` are made of.
 */
export { type Bytes } from "./bytes.ts";
export { CifraError, type ErrorCode } from "./errors.ts";
export {
  formatFingerprint,
  generateIdentity,
  type Identity,
  openIdentity,
  parseFingerprint,
  type PublicIdentity,
  readIdentity,
  type StoredIdentity,
} from "./crypto/identity.ts";
export { safetyWords } from "./crypto/safety_words.ts";
export { loadSuite, type Suite, type SuiteName } from "./crypto/suite.ts";
export { systemRandom } from "./crypto/webcrypto.ts";
export { startInitiator } from "./handshake/initiator.ts";
export { step } from "./handshake/machine.ts";
export { startResponder } from "./handshake/responder.ts";
export type {
  Established,
  HandshakeState,
  InitiatorConfig,
  LadderEvent,
  ResponderConfig,
  Step,
} from "./handshake/state.ts";
export { Channel, type Goodbye } from "./session/channel.ts";
export { climb } from "./session/climb.ts";
export { Connection } from "./session/connection.ts";
export type { MonotonicClock, Transport } from "./session/transport.ts";
export { CloseCode, type Item, ItemType } from "./wire/records.ts";
