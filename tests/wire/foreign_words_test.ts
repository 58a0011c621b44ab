/**
 * Words in every message: what is no printable line is `bad_frame`, wherever it stands (A22). The fields are found
 * by walking the layouts, so that a new one is tested, or the test asks for an example of it.
 */
import { assert, assertEquals } from "@std/assert";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { loadSuite } from "../../lib/crypto/suite.ts";
import { address } from "../../lib/wire/address.ts";
import { envelopeContent } from "../../lib/wire/envelope.ts";
import { fileItem, fileWord } from "../../lib/wire/file_messages.ts";
import { handshakeLayouts } from "../../lib/wire/handshake_messages.ts";
import { decode, type Layout } from "../../lib/wire/layout.ts";
import { lineOf } from "../../lib/wire/line.ts";
import { mailboxRequest, mailboxResponse } from "../../lib/wire/mailbox_messages.ts";
import {
  peerAck,
  peerAway,
  peerHello,
  peerMessage,
  peerStoring,
  peerWelcome,
  StoringState,
} from "../../lib/wire/peer_messages.ts";
import { serverRequest, serverResponse } from "../../lib/wire/rendezvous_messages.ts";
import type { ServerRequest, ServerResponse } from "../../lib/wire/rendezvous_messages.ts";
import { forge, wordsIn } from "../testkit/forge.ts";
import { assertRefuses } from "./refusal.ts";
import {
  account,
  content,
  fileData,
  fileItems,
  fileWords,
  introduction,
  mailboxRequests,
  mailboxResponses,
  position,
  registration,
} from "./samples.ts";

type Examples<M extends { readonly type: string }> = {
  readonly [K in M["type"]]: Extract<M, { readonly type: K }>;
};

const refusal = { code: 6, retryAfter: 600, reason: lineOf("later") };
const cost = { salt: account.salt, memory: account.memory, passes: account.passes };

const RESPONSES: Examples<ServerResponse> = {
  registered: {
    type: "registered",
    observed: { host: "198.51.100.4", port: 50123 },
    frameLimit: 65536,
    silenceDeadline: 60,
    ticket: new Uint8Array(68).fill(1),
    ticketKey: new Uint8Array(32).fill(2),
  },
  refused: { type: "refused", ...refusal },
  introduction: { type: "introduction", ...introduction },
  suiteMismatch: { type: "suiteMismatch", peerName: "bob", peerSuite: 2, yourSuite: 3 },
  presence: { type: "presence", complete: 1, people: [{ name: "bob", state: 1 }] },
  offer: { type: "offer", peerName: "bob", suite: 3, bundle: new Uint8Array(129) },
  declined: { type: "declined", peerName: "bob" },
  challenge: { type: "challenge", ...cost, nonce: account.nonce },
  signedIn: { type: "signedIn", signature: account.serverKey, backup: account.backup },
  signedUp: { type: "signedUp" },
  unwanted: { type: "unwanted", peerName: "bob", ...refusal },
  known: {
    type: "known",
    more: 1,
    keys: [{ name: "bob", suite: 3, fingerprint: new Uint8Array(32), state: 3 }],
  },
};

const REQUESTS: Examples<ServerRequest> = {
  register: { type: "register", ...registration },
  decline: { type: "decline", name: "bob" },
  away: { type: "away", away: 1 },
  signUp: { type: "signUp", ...account },
  signIn: { type: "signIn", name: "alice", nonce: account.nonce },
  proof: { type: "proof", proof: account.storedKey },
  want: { type: "want", name: "bob" },
  unwant: { type: "unwant", name: "bob" },
  who: { type: "who" },
  known: { type: "known", after: "bob" },
};

const id = new Uint8Array(16);
const MODERN = handshakeLayouts(await loadSuite("modern"));

/** Every message that can hold words, by what it is called, with an example of each kind. */
const MESSAGES: readonly (readonly [string, Layout<unknown>, readonly unknown[]])[] = [
  ["a response", serverResponse, Object.values(RESPONSES)],
  ["a request", serverRequest, Object.values(REQUESTS)],
  ["a response of the mailbox", mailboxResponse, mailboxResponses],
  ["a request to the mailbox", mailboxRequest, mailboxRequests],
  ["an envelope", envelopeContent, [{ ...content, items: id }]],
  ["m4", MODERN.m4Plaintext, [{ bundle: new Uint8Array(129), displayName: lineOf("Lab 3") }]],
  ["a peer's hello", peerHello, [{ from: "alice", to: "bob", ...position }]],
  ["a peer's welcome", peerWelcome, [position]],
  ["a peer's ack", peerAck, [{ stored: 1n, read: 1n }]],
  ["a peer's word of storing", peerStoring, [{ state: StoringState.full }]],
  ["a peer's words of being away", peerAway, [{ words: lineOf("back at two") }]],
  ["a word about a transfer", fileWord, fileWords],
  ["an item of content", fileItem, [...fileItems, fileData]],
  // What a text says is no line: the terminal attributes it.
  ["a peer's message", peerMessage, [
    { type: "text", number: 1n, id, written: 0n, content: id },
    { type: "bytes", number: 1n, content: id },
    { type: "end", number: 1n, id },
    { type: "file", number: 1n, id, written: 0n, content: id },
  ]],
];

const EVIL: Readonly<Record<string, string>> = {
  "a newline": "bob\nhint: x",
  "an escape": "bob\x1b[2J",
  "a carriage return": "bob\rx",
  "a C1 control": "bob\x9b2J",
  "a line separator": "bob\u2028x",
  "an override": "bob\u202ex",
  "a filler": "bob\u3164",
  "a joiner": "bo\u200db",
};

for (const [what, layout, examples] of MESSAGES) {
  Deno.test(`no words in ${what} are anything but a printable line (A22)`, () => {
    for (const example of examples) {
      for (const path of wordsIn(layout, example)) {
        decode(layout, forge(layout, example, path, encodeUtf8("bob")));
        for (const [evil, text] of Object.entries(EVIL)) {
          const forged = forge(layout, example, path, encodeUtf8(text));
          assertRefuses(() => decode(layout, forged), "bad_frame", `${evil} in ${path.join(".")}`);
        }
      }
    }
  });
}

Deno.test("the walk finds the words of all messages, and addresses are none", () => {
  const found = MESSAGES.flatMap(([, layout, examples]) =>
    examples.flatMap((example) => wordsIn(layout, example).map((path) => path.join(".")))
  );
  assertEquals(found, [
    "refused.reason",
    "introduction.peerName",
    "suiteMismatch.peerName",
    "presence.people.element.name",
    "offer.peerName",
    "declined.peerName",
    "unwanted.peerName",
    "unwanted.reason",
    "known.keys.element.name",
    "register.name",
    "decline.name",
    "signUp.name",
    "signIn.name",
    "want.name",
    "unwant.name",
    "known.after",
    "keys.name",
    "envelope.sender",
    "ask.name",
    "deposit.name",
    "from",
    "to",
    "displayName",
    "from",
    "to",
    "words",
    "offer.name",
  ]);
  assert(serverResponse.parts!.introduction!.parts!.observed!.parts!.element === address);
});
