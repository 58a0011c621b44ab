import type { Bytes } from "../bytes.ts";
import { absorb, CHAIN_KEY_LENGTH, derive } from "../crypto/transcript.ts";

/** What both sides derive once m6 is in the transcript (PROTOCOL.md 3.4, message 6). */
export interface TrafficKeys {
  readonly transcript: Bytes;
  readonly initiatorToResponder: Bytes;
  readonly responderToInitiator: Bytes;
  readonly sessionId: Bytes;
  readonly exporter: Bytes;
}

/** T6 = absorb(T5, box6), and the four derivations of ck5; overwrites the chain key. */
export function trafficKeys(chainKey: Bytes, transcript5: Bytes, box6: Bytes): TrafficKeys {
  const transcript = absorb(transcript5, box6);
  const keys = {
    transcript,
    initiatorToResponder: derive(chainKey, transcript, "traffic i2r", CHAIN_KEY_LENGTH),
    responderToInitiator: derive(chainKey, transcript, "traffic r2i", CHAIN_KEY_LENGTH),
    sessionId: derive(chainKey, transcript, "sid", 16),
    exporter: derive(chainKey, transcript, "exporter", 32),
  };
  chainKey.fill(0);
  return keys;
}
