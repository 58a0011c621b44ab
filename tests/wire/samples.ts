/** One valid example of every message, for the tests that cut, extend and mutate. */
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { encodeFrame, FrameKind } from "../../lib/wire/frame.ts";
import { handshakeLayouts, invitePreface, peerPreface } from "../../lib/wire/handshake_messages.ts";
import { decode, encode, type Layout } from "../../lib/wire/layout.ts";
import { peerAck, peerHello, peerMessage, peerWelcome } from "../../lib/wire/peer_messages.ts";
import { closeLayout, decodeItems, encodeItems, ItemType } from "../../lib/wire/records.ts";
import {
  decodeServerRequest,
  decodeServerResponse,
  encodeServerRequest,
  encodeServerResponse,
  type Introduction,
  type Registration,
} from "../../lib/wire/rendezvous_messages.ts";
import { loadSuite, SUITE_NAMES } from "../../lib/crypto/suite.ts";

export const U64_MAX = 2n ** 64n - 1n;

/** A decoder, and messages it takes. */
export interface Sample {
  readonly name: string;
  readonly valid: readonly Bytes[];
  /** Decodes and encodes again; throws `bad_frame`. */
  roundTrip(message: Bytes): Bytes;
  /** Whether a cut or an extended message may be another valid one: it ends with an open field. */
  readonly openEnd: boolean;
}

export const registration: Registration = {
  name: "alice",
  wanted: "bob",
  receivePort: 40112,
  sendPort: 65535,
  capabilities: 0,
  registrationSequence: U64_MAX,
  advertised: ["192.168.1.7", "2001:db8::7"],
};

export const introduction: Introduction = {
  peerName: "bob",
  rendezvousId: new Uint8Array(16).fill(1),
  rendezvousKey: new Uint8Array(32).fill(2),
  generation: 0xffffffff,
  bundle: new Uint8Array(129).fill(3),
  receivePort: 40113,
  sendPort: 40114,
  addresses: ["203.0.113.9", "10.0.0.9", "::1"],
};

function ofLayout<T>(
  name: string,
  layout: Layout<T>,
  values: readonly T[],
  openEnd = false,
): Sample {
  return {
    name,
    valid: values.map((value) => encode(layout, value)),
    roundTrip: (message) => encode(layout, decode(layout, message)),
    openEnd,
  };
}

/** A message of fixed lengths, filled with a pattern. */
function ofLength<T>(name: string, layout: Layout<T>, length: number): Sample {
  const valid = [Uint8Array.from({ length }, (_, i) => i & 0xff)];
  const roundTrip = (message: Bytes) => encode(layout, decode(layout, message));
  return { name, valid, roundTrip, openEnd: false };
}

/** Every decoder of the wire floor. */
export async function allSamples(): Promise<Sample[]> {
  const samples: Sample[] = [
    {
      name: "server request",
      valid: [
        encodeServerRequest({ type: "register", ...registration }),
        encodeServerRequest({ type: "register", ...registration, advertised: [] }),
      ],
      roundTrip: (message) => encodeServerRequest(decodeServerRequest(message)),
      openEnd: false,
    },
    {
      name: "server response",
      valid: [
        encodeServerResponse({
          type: "registered",
          observed: { host: "198.51.100.4", port: 50123 },
          frameLimit: 65536,
          silenceDeadline: 60,
        }),
        encodeServerResponse({
          type: "refused",
          code: 6,
          retryAfter: 600,
          reason: "Too many žádosti",
        }),
        encodeServerResponse({ type: "introduction", ...introduction }),
        encodeServerResponse({
          type: "suiteMismatch",
          peerName: "bob",
          peerSuite: 2,
          yourSuite: 3,
        }),
      ],
      roundTrip: (message) => encodeServerResponse(decodeServerResponse(message)),
      openEnd: false,
    },
    {
      name: "record items",
      valid: [
        encodeItems([{ type: ItemType.ping, body: new Uint8Array(0) }]),
        encodeItems([
          { type: ItemType.message, body: encodeUtf8("hello") },
          { type: ItemType.ack, body: new Uint8Array(8) },
        ]),
        encodeItems([{ type: ItemType.message, body: new Uint8Array(60).fill(7) }]),
      ],
      roundTrip: (inner) => encodeItems(decodeItems(inner)),
      openEnd: false,
    },
    ofLayout("close", closeLayout, [{ code: 0, lastSent: 7n, lastStored: U64_MAX }]),
    ofLayout("peer hello", peerHello, [{ from: "alice", to: "bob", have: U64_MAX }]),
    ofLayout("peer welcome", peerWelcome, [{ have: 0n }]),
    ofLayout("peer ack", peerAck, [{ number: 2n ** 53n + 1n }]),
    ofLayout("peer end", peerMessage, [{ type: "end", number: 3n }]),
    ofLayout("peer message", peerMessage, [
      { type: "text", number: U64_MAX, content: encodeUtf8("ahoj") },
      { type: "bytes", number: 1n, content: new Uint8Array(0) },
    ], true),
    ofLayout("peer preface", peerPreface, [{
      rendezvousId: new Uint8Array(16).fill(1),
      generation: 7,
      token: new Uint8Array(16).fill(2),
    }]),
    ofLayout("invite preface", invitePreface, [{
      inviteId: new Uint8Array(16).fill(1),
      token: new Uint8Array(16).fill(2),
    }]),
  ];
  for (const suiteName of SUITE_NAMES) {
    const suite = await loadSuite(suiteName);
    const { kem, signature, aead } = suite;
    const layouts = handshakeLayouts(suite);
    const bundle = suiteName === "modern" ? 129 : 130;
    const proof = aead.sealedLength(signature.signatureLength);
    const lengths = {
      m1: 36 + kem.publicKeyLength,
      m2: 32 + kem.publicKeyLength + kem.ciphertextLength + proof,
      m3: kem.ciphertextLength + aead.sealedLength(bundle),
      m5Plaintext: 48,
      m5: aead.sealedLength(48) + proof,
      m6: proof,
    };
    samples.push(
      ofLength(`${suiteName} m1`, layouts.m1, lengths.m1),
      ofLength(`${suiteName} m2`, layouts.m2, lengths.m2),
      ofLength(`${suiteName} m3`, layouts.m3, lengths.m3),
      ofLength(`${suiteName} m5 plaintext`, layouts.m5Plaintext, lengths.m5Plaintext),
      ofLength(`${suiteName} m5`, layouts.m5, lengths.m5),
      ofLength(`${suiteName} m6`, layouts.m6, lengths.m6),
      ofLayout(`${suiteName} m4 plaintext`, layouts.m4Plaintext, [
        { bundle: new Uint8Array(bundle).fill(9), displayName: "bob's place" },
        { bundle: new Uint8Array(bundle).fill(9), displayName: "" },
      ]),
    );
  }
  return samples;
}

/** A few frames, as the wire carries them. */
export const FRAME_SAMPLES: readonly Bytes[] = [
  encodeFrame(FrameKind.m6, new Uint8Array(80).fill(5)),
  encodeFrame(FrameKind.alert, new Uint8Array([5])),
  encodeFrame(FrameKind.record, new Uint8Array(300).fill(6)),
  encodeFrame(FrameKind.preface, new Uint8Array(0)),
];
