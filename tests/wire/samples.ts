/** One valid example of every message, for the tests that cut, extend and mutate. */
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { encodeFrame, FrameKind } from "../../lib/wire/frame.ts";
import { clientPreface, handshakeLayouts, peerPreface } from "../../lib/wire/handshake_messages.ts";
import { badFrame, decode, encode, type Layout } from "../../lib/wire/layout.ts";
import { decodeContent, encodeContent, envelope, sessionHeader } from "../../lib/wire/envelope.ts";
import {
  encodeFileWord,
  type FileItem,
  fileItem,
  type FileWord,
  fileWord,
} from "../../lib/wire/file_messages.ts";
import {
  decodeMailboxRequest,
  decodeMailboxResponse,
  encodeMailboxRequest,
  encodeMailboxResponse,
  type MailboxRequest,
  type MailboxResponse,
} from "../../lib/wire/mailbox_messages.ts";
import {
  LogKind,
  type LogPosition,
  peerAck,
  peerAway,
  peerHello,
  peerMessage,
  peerStoring,
  peerWelcome,
  StoringState,
} from "../../lib/wire/peer_messages.ts";
import {
  CloseCode,
  closeLayout,
  decodeItems,
  encodeItems,
  ItemType,
} from "../../lib/wire/records.ts";
import { relayItem } from "../../lib/wire/relay_messages.ts";
import {
  Capability,
  decodeServerRequest,
  decodeServerResponse,
  encodeServerRequest,
  encodeServerResponse,
  type Introduction,
  type Registration,
} from "../../lib/wire/rendezvous_messages.ts";
import { decodeManifest, encodeManifest } from "../../lib/wire/manifest.ts";
import { loadSuite, SUITE_NAMES } from "../../lib/crypto/suite.ts";
import { lineOf } from "../../lib/wire/line.ts";

export const U64_MAX = 2n ** 64n - 1n;

/** A decoder, and messages it takes. */
export interface Sample {
  readonly name: string;
  readonly valid: readonly Bytes[];
  /** Decodes and encodes again; throws `bad_frame`. */
  roundTrip(message: Bytes): Bytes;
  /** For messages that end with an open field, its offset: cut from there on, they are valid as well. */
  readonly openEnd: number | undefined;
}

export const registration: Registration = {
  name: "alice",
  receivePort: 40112,
  sendPort: 65535,
  capabilities: Capability.relay | Capability.punch,
  registrationSequence: U64_MAX,
  advertised: ["192.168.1.7", "2001:db8::7"],
  claim: {
    notAfter: 2n ** 53n - 1n,
    signature: new Uint8Array(64).fill(6),
    vouchers: [
      { bundle: new Uint8Array(66).fill(7), signature: new Uint8Array(64).fill(8) },
      { bundle: new Uint8Array(129).fill(9), signature: new Uint8Array(64).fill(10) },
    ],
  },
};

export const introduction: Introduction = {
  peerName: "bob",
  rendezvousKey: new Uint8Array(32).fill(2),
  generation: 0xffffffff,
  bundle: new Uint8Array(129).fill(3),
  claim: {
    sequence: 2n ** 63n,
    notAfter: 2n ** 53n - 1n,
    signature: new Uint8Array(64).fill(11),
  },
  receivePort: 40113,
  sendPort: 40114,
  advertised: ["10.0.0.9", "fd00::9"],
  observed: ["203.0.113.9"],
  punch: [{ host: "203.0.113.9", port: 40114 }],
  relay: 1,
};

/** What belongs to an account, each part of its own length. */
export const account = {
  name: "alice",
  registrationSequence: 2n ** 63n,
  claim: registration.claim,
  salt: new Uint8Array(16).fill(12),
  memory: 19_456,
  passes: 2,
  storedKey: new Uint8Array(64).fill(13),
  serverKey: new Uint8Array(64).fill(14),
  backup: new Uint8Array(300).fill(15),
  nonce: new Uint8Array(24).fill(16),
};

export const position: LogPosition = {
  log: new Uint8Array(16).fill(4),
  kind: LogKind.kept,
  first: 2n ** 53n + 1n,
  readLog: new Uint8Array(16).fill(5),
  have: U64_MAX,
  haveId: new Uint8Array(16).fill(7),
};

const box = new Uint8Array(16).fill(17);
const pass = new Uint8Array(16).fill(18);
const prekey = (number: bigint) => ({
  number,
  x25519: new Uint8Array(32).fill(19),
  mlkem: new Uint8Array(1184).fill(20),
  signature: new Uint8Array(64).fill(21),
});
/** A deposit. */
const id = new Uint8Array(16).fill(22);
/** The shortest envelope; nothing is in it. */
const sealed = new Uint8Array(1715).fill(23);
const owner = { bundle: introduction.bundle, claim: introduction.claim };

/** One of each request to the mailbox, in the order of the document. */
export const mailboxRequests: readonly MailboxRequest[] = [
  {
    type: "open",
    box,
    passKey: new Uint8Array(32).fill(24),
    notAfter: 2n ** 53n - 1n,
    signature: new Uint8Array(64).fill(25),
  },
  { type: "publish", box, anew: 1, signed: [prekey(U64_MAX)], once: [prekey(1n), prekey(2n)] },
  { type: "ask", name: "bob", pass },
  { type: "deposit", id, name: "bob", box, pass, replaces: [box, pass], envelope: sealed },
  { type: "settle", settled: [{ id, verdict: 1 }, { id: box, verdict: 3 }] },
  { type: "mine" },
  { type: "withdraw", ids: [id, box] },
];

/** One of each response of the mailbox, in the order of the document. */
export const mailboxResponses: readonly MailboxResponse[] = [
  {
    type: "box",
    state: 2,
    signed: U64_MAX,
    next: 1n,
    highest: 2n ** 53n + 1n,
    stock: 40,
    waiting: 2048,
    elsewhere: 0xffff,
    now: 2n ** 53n + 1n,
  },
  {
    type: "keys",
    name: "bob",
    retryAfter: 600,
    found: [{ ...owner, box, signed: prekey(2n ** 53n + 1n), once: [prekey(7n)] }],
  },
  { type: "deposited", id, code: 4, retryAfter: 1 },
  { type: "envelope", id, sender: "alice", ...owner, since: 2n ** 53n + 1n, envelope: sealed },
  { type: "mine", more: 1, deposits: [{ id, state: 2 }, { id: box, state: 3 }] },
];

/** One of each word about a transfer, in the order of the document. */
export const fileWords: readonly FileWord[] = [
  {
    type: "offer",
    files: 2,
    folders: 1,
    bytes: 2 ** 53 - 1,
    manifestLength: 99,
    manifestHash: new Uint8Array(32).fill(29),
    name: lineOf("photos"),
  },
  { type: "accept", transfer: id },
  { type: "refuse", transfer: id },
  { type: "done", transfer: id, skipped: 0xffffffff },
  { type: "cancel", transfer: id },
  { type: "failed", transfer: id, code: 4 },
];

const place = { transfer: id, turn: 0xffffffff, entry: 2 };
const wanted = {
  type: "want",
  ...place,
  offset: 2 ** 17 + 1,
  size: 2 ** 53 - 1,
  modified: 8.64e15,
  block: 16,
  digests: new Uint8Array(64).fill(30),
} as const;

/** One of each item of content with a fixed end, in the order of the document; and those that are open. */
export const fileItems: readonly FileItem[] = [
  { type: "taken", bytes: U64_MAX },
  { type: "hold", transfer: id, why: 3 },
  { type: "changed", ...place, size: undefined, modified: 1, executable: 1 },
  { type: "end", ...place, size: 7 },
  { type: "pause", transfer: id, why: 0 },
  wanted,
  { ...wanted, size: undefined, block: 0, digests: new Uint8Array(0) },
];
export const fileData: FileItem = {
  type: "data",
  ...place,
  offset: 2 ** 53 - 1,
  content: encodeUtf8("ahoj"),
};

/** What is in an envelope. */
export const content = {
  from: "alice",
  to: "bob",
  log: position.log,
  first: 2n ** 53n + 1n,
  readLog: position.readLog,
  have: U64_MAX,
  haveId: position.haveId,
  read: 3n,
  pass,
} as const;

/** A folder with a file in it, and one beside it. */
const MANIFEST = encodeManifest([
  { type: "folder", executable: 0, parent: 0, size: 0, modified: 0, name: "photos" },
  { type: "file", executable: 1, parent: 1, size: 100_000, modified: 1, name: "a" },
  { type: "file", executable: 0, parent: 0, size: 0, modified: 8.64e15, name: "тест" },
]);

function ofLayout<T>(
  name: string,
  layout: Layout<T>,
  values: readonly T[],
  openEnd?: number,
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
  return { name, valid, roundTrip, openEnd: undefined };
}

function roundTripOfContent(inner: Bytes): Bytes {
  const decoded = decodeContent(inner);
  // A time that no date has is read as none: what has one has no way back then.
  const isTimeless = decoded.messages.some(({ type, written }) =>
    (type === "text" || type === "file") && written === 0
  );
  if (isTimeless) throw badFrame("a text without a time");
  return encodeContent(decoded);
}

/** Every decoder of the wire floor. */
export async function allSamples(): Promise<Sample[]> {
  const samples: Sample[] = [
    {
      name: "server request",
      valid: [
        encodeServerRequest({ type: "register", ...registration }),
        encodeServerRequest({ type: "register", ...registration, advertised: [] }),
        encodeServerRequest({ type: "decline", name: "mallory" }),
        encodeServerRequest({ type: "away", away: 1 }),
        encodeServerRequest({ type: "signUp", ...account }),
        encodeServerRequest({ type: "signIn", name: "alice", nonce: account.nonce }),
        encodeServerRequest({ type: "proof", proof: account.storedKey }),
        encodeServerRequest({ type: "want", name: "bob" }),
        encodeServerRequest({ type: "unwant", name: "bob" }),
        encodeServerRequest({ type: "who" }),
        encodeServerRequest({ type: "known", after: "" }),
        encodeServerRequest({ type: "known", after: "bob" }),
      ],
      roundTrip: (message) => encodeServerRequest(decodeServerRequest(message)),
      openEnd: undefined,
    },
    {
      name: "server response",
      valid: [
        encodeServerResponse({
          type: "registered",
          observed: { host: "198.51.100.4", port: 50123 },
          frameLimit: 65536,
          silenceDeadline: 60,
          ticket: new Uint8Array(68).fill(1),
          ticketKey: new Uint8Array(32).fill(2),
        }),
        encodeServerResponse({
          type: "refused",
          code: 6,
          retryAfter: 600,
          reason: lineOf("Too many žádosti"),
        }),
        encodeServerResponse({ type: "known", more: 0, keys: [] }),
        encodeServerResponse({
          type: "known",
          more: 1,
          keys: [{ name: "bob", suite: 3, fingerprint: new Uint8Array(32).fill(9), state: 2 }],
        }),
        encodeServerResponse({ type: "introduction", ...introduction }),
        encodeServerResponse({
          type: "introduction",
          ...introduction,
          observed: [],
          punch: [],
          relay: 0,
        }),
        encodeServerResponse({
          type: "suiteMismatch",
          peerName: "bob",
          peerSuite: 2,
          yourSuite: 3,
        }),
        encodeServerResponse({
          type: "presence",
          complete: 1,
          people: [{ name: "alice", state: 2 }],
        }),
        encodeServerResponse({
          type: "unwanted",
          peerName: "bob",
          code: 6,
          retryAfter: 600,
          reason: lineOf("Too many žádosti"),
        }),
      ],
      roundTrip: (message) => encodeServerResponse(decodeServerResponse(message)),
      openEnd: undefined,
    },
    {
      name: "mailbox request",
      valid: mailboxRequests.map(encodeMailboxRequest),
      roundTrip: (message) => encodeMailboxRequest(decodeMailboxRequest(message)),
      openEnd: undefined,
    },
    {
      name: "mailbox response",
      valid: mailboxResponses.map(encodeMailboxResponse),
      roundTrip: (message) => encodeMailboxResponse(decodeMailboxResponse(message)),
      openEnd: undefined,
    },
    ofLayout("envelope", envelope, [{
      version: 1,
      header: new Uint8Array(1152).fill(26),
      n: 1023,
      salt: new Uint8Array(32).fill(27),
      sealed: new Uint8Array(528).fill(28),
    }]),
    ofLength("session header", sessionHeader, 1152),
    {
      name: "content of an envelope",
      valid: [
        encodeContent({ ...content, messages: [] }),
        encodeContent({
          ...content,
          messages: [
            {
              type: "text",
              number: content.first,
              id,
              written: 1_800_000_000_000,
              content: encodeUtf8("ahoj"),
            },
            {
              type: "end",
              number: content.first + 1n,
              id: box,
              written: 0,
              content: new Uint8Array(0),
            },
            {
              type: "file",
              number: content.first + 2n,
              id: pass,
              written: 1,
              content: encodeFileWord({ type: "cancel", transfer: id }),
            },
          ],
        }),
      ],
      roundTrip: roundTripOfContent,
      openEnd: undefined,
    },
    {
      name: "record items",
      valid: [
        encodeItems([{ type: ItemType.ping, body: new Uint8Array(0) }]),
        encodeItems([
          { type: ItemType.message, body: encodeUtf8("hello") },
          { type: ItemType.ack, body: new Uint8Array(16) },
        ]),
        encodeItems([{ type: ItemType.message, body: new Uint8Array(60).fill(7) }]),
      ],
      roundTrip: (inner) => encodeItems(decodeItems(inner)),
      openEnd: undefined,
    },
    ofLayout("close", closeLayout, [{ code: CloseCode.done, lastSent: 7n, lastStored: U64_MAX }]),
    ofLayout("peer hello", peerHello, [{ from: "alice", to: "bob", ...position }]),
    ofLayout("peer welcome", peerWelcome, [
      position,
      {
        ...position,
        kind: LogKind.live,
        first: 1n,
        readLog: new Uint8Array(16),
        have: 0n,
        haveId: new Uint8Array(16),
      },
    ]),
    ofLayout("peer storing", peerStoring, Object.values(StoringState).map((state) => ({ state }))),
    ofLayout(
      "peer away",
      peerAway,
      ["", "zpátky ve dvě"].map((words) => ({ words: lineOf(words) })),
    ),
    ofLayout("peer ack", peerAck, [{ stored: 2n ** 53n + 1n, read: U64_MAX }]),
    ofLayout("peer end", peerMessage, [{
      type: "end",
      number: 3n,
      id: new Uint8Array(16).fill(6),
    }]),
    ofLayout("peer text", peerMessage, [{
      type: "text",
      number: U64_MAX,
      id: new Uint8Array(16).fill(6),
      written: 2n ** 53n + 1n,
      content: encodeUtf8("ahoj"),
    }], 33),
    ofLayout("peer word about a transfer", peerMessage, [{
      type: "file",
      number: 1n,
      id: new Uint8Array(16).fill(6),
      written: 7n,
      content: new Uint8Array(17).fill(2),
    }], 33),
    ofLayout("peer bytes", peerMessage, [
      { type: "bytes", number: 1n, content: new Uint8Array(0) },
      { type: "bytes", number: 2n, content: encodeUtf8("ahoj") },
    ], 9),
    ofLayout("word about a transfer", fileWord, fileWords),
    ofLayout("item of content", fileItem, fileItems),
    ofLayout("content", fileItem, [fileData], 34),
    {
      name: "manifest",
      valid: [MANIFEST.manifest],
      roundTrip: (bytes) => encodeManifest(decodeManifest(bytes, MANIFEST.summary)).manifest,
      openEnd: undefined,
    },
    ofLayout("relay credit and close", relayItem, [
      { type: "credit", stream: 0xffffffff, count: 0x80000000 },
      { type: "close", stream: 1 },
    ]),
    ofLayout("relay data", relayItem, [
      { type: "data", stream: 7, content: encodeUtf8("ahoj") },
    ], 5),
    ofLayout("peer preface", peerPreface, [{
      rendezvousId: new Uint8Array(16).fill(1),
      token: new Uint8Array(16).fill(2),
    }]),
    ofLayout("client preface", clientPreface, [
      { type: "invite", hour: 490_000, token: new Uint8Array(32).fill(2) },
      { type: "ticket", ticket: new Uint8Array(68).fill(1), token: new Uint8Array(32).fill(2) },
    ]),
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
        { bundle: new Uint8Array(bundle).fill(9), displayName: lineOf("bob's place") },
        { bundle: new Uint8Array(bundle).fill(9), displayName: lineOf("") },
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
