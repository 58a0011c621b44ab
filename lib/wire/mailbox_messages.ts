/** What a client and the server's mailbox say to each other (PROTOCOL.md 3.12). */
import type { Bytes } from "../bytes.ts";
import { bundleLength } from "../crypto/identity.ts";
import { PASS_LENGTH } from "../crypto/mailbox_pass.ts";
import { DEPOSITS_LIMIT, ONE_TIME_PREKEYS, REPLACES_LIMIT, SETTLED_LIMIT } from "../limits.ts";
import { BOX_LENGTH, wholeEnvelope } from "./envelope.ts";
import {
  bytes,
  decode,
  encode,
  flag,
  type Layout,
  list,
  type Of,
  oneOf,
  struct,
  tagged,
  u16,
  u64,
  u8,
  variable,
} from "./layout.ts";
import { anyName, personName } from "./line.ts";
import { nameClaim, SIGNATURE_LENGTH } from "./name_claim.ts";
import {
  BoxState,
  DepositCode,
  DepositState,
  REQUEST_NUMBERS,
  RESPONSE_NUMBERS,
  Verdict,
} from "./numbers.ts";
import { ID_LENGTH } from "./peer_messages.ts";

export { BoxState, DepositCode, DepositState, Verdict };

/** Length of the key with which a server checks passes, in bytes. */
export const PASS_KEY_LENGTH = 32;

const box = bytes(BOX_LENGTH);
const pass = bytes(PASS_LENGTH);
/** Of a deposit: chosen at random by whoever leaves it. */
const id = bytes(ID_LENGTH);
const bundle = variable(bundleLength(2));

/** A prekey as it is published and handed out; what its owner signs has owner, box and kind as well. */
const prekey = struct({
  /** Of a signed prekey a registration sequence; one-time prekeys count from 1 in each box. */
  number: u64,
  x25519: bytes(32),
  mlkem: bytes(1184),
  signature: bytes(SIGNATURE_LENGTH),
});

/** Here I am, with this box: what waits in it may come. The first of these requests on a channel. */
const open = struct({
  box,
  passKey: bytes(PASS_KEY_LENGTH),
  /** With the two below, our claim to our name for no place; its sequence is that of the registration. */
  notAfter: u64,
  signature: bytes(SIGNATURE_LENGTH),
});

/** New prekeys of a box. */
const publish = struct({
  box,
  /** 1 when the one-time prekeys that the server has go. */
  anew: flag,
  signed: list(prekey, 1),
  once: list(prekey, ONE_TIME_PREKEYS),
});

/** Wants prekeys of somebody. */
const ask = struct({
  name: anyName,
  /** What that person gave us, so that the server knows us for a friend; zeros for none. */
  pass,
});

/** Leaves an envelope for somebody. */
const deposit = struct({
  id,
  name: anyName,
  box,
  pass,
  /** Of our own that wait for the same person, and go with it. */
  replaces: list(id, REPLACES_LIMIT),
  envelope: wholeEnvelope,
});

/** What has become of envelopes that were handed out. */
const settle = struct({
  settled: list(struct({ id, verdict: oneOf(Verdict, "verdict") }), SETTLED_LIMIT),
});

/** Which of our deposits are there? Answered by one `mine` or more. */
const whichAreMine = struct({});

/** Takes deposits back. */
const withdraw = struct({ ids: list(id, SETTLED_LIMIT) });

/** A request to the mailbox. */
export const mailboxRequest = tagged(REQUEST_NUMBERS, {
  open,
  publish,
  ask,
  deposit,
  settle,
  mine: whichAreMine,
  withdraw,
});

/** How a box stands. */
const boxed = struct({
  state: oneOf(BoxState, "state of a box"),
  /** Number of its signed prekey, 0 when there is none. */
  signed: u64,
  /** Lowest number of a one-time prekey in stock, 0 when there is none, and the highest that ever was. */
  next: u64,
  highest: u64,
  /** One-time prekeys in stock. */
  stock: u8,
  /** Envelopes in this box, and in other boxes of this identity. */
  waiting: u16,
  elsewhere: u16,
  /** The server's clock, in milliseconds since 1970. */
  now: u64,
});

/** Whom prekeys belong to, by the owner's own word. */
const owner = { bundle, claim: nameClaim };

/** Prekeys of somebody, or none, which has many causes. */
const keys = struct({
  /** As it was asked for. */
  name: anyName,
  /** Seconds after which asking again may help; 0 when that is unknown. */
  retryAfter: u16,
  found: list(struct({ ...owner, box, signed: prekey, once: list(prekey, 1) }), 1),
});

/** What has become of a deposit. */
const deposited = struct({
  id,
  code: oneOf(DepositCode, "code of a deposit"),
  /** Seconds after which the next one may be taken; 0 when that is unknown, or at once. */
  retryAfter: u16,
});

/** What somebody has left for us. */
const envelope = struct({
  id,
  sender: personName,
  ...owner,
  /** When it was left, by the server's clock, in milliseconds since 1970. */
  since: u64,
  envelope: wholeEnvelope,
});

/** Our deposits that are still there. */
const mine = struct({
  /** 1 when another answer follows. */
  more: flag,
  deposits: list(
    struct({ id, state: oneOf(DepositState, "state of a deposit") }),
    DEPOSITS_LIMIT,
  ),
});

/** What the mailbox says. */
export const mailboxResponse = tagged(RESPONSE_NUMBERS, {
  box: boxed,
  keys,
  deposited,
  envelope,
  mine,
});

const REQUESTS = numbersOf(mailboxRequest, REQUEST_NUMBERS);
const RESPONSES = numbersOf(mailboxResponse, RESPONSE_NUMBERS);

function numbersOf<N extends Readonly<Record<string, number>>>(
  { parts = {} }: Layout<unknown>,
  numbers: N,
): ReadonlySet<number | undefined> {
  return new Set(Object.keys(parts).map((type) => numbers[type]));
}

/** A prekey, decoded: nothing of it is checked. */
export type PublishedPrekey = Of<typeof prekey>;
/** What a client asks of the mailbox, by its `type`. */
export type MailboxRequest = Of<typeof mailboxRequest>;
/** What the mailbox says, by its `type`. */
export type MailboxResponse = Of<typeof mailboxResponse>;

/** Whether the body of an item of type `request` is for the mailbox: its first byte says so. */
export function isMailboxRequest(body: Bytes): boolean {
  return REQUESTS.has(body[0]);
}

/** Whether the body of an item of type `response` is from the mailbox. */
export function isMailboxResponse(body: Bytes): boolean {
  return RESPONSES.has(body[0]);
}

/** The body of an item of type `request`. Throws RangeError on a value that has no encoding. */
export function encodeMailboxRequest(request: MailboxRequest): Bytes {
  return encode(mailboxRequest, request);
}

/** Reads the body of an item of type `request`; an envelope in it is a view of `body`. Throws `bad_frame`. */
export function decodeMailboxRequest(body: Bytes): MailboxRequest {
  return decode(mailboxRequest, body);
}

/** The body of an item of type `response`. Throws RangeError on a value that has no encoding. */
export function encodeMailboxResponse(response: MailboxResponse): Bytes {
  return encode(mailboxResponse, response);
}

/** Reads the body of an item of type `response`; an envelope in it is a view of `body`. Throws `bad_frame`. */
export function decodeMailboxResponse(body: Bytes): MailboxResponse {
  return decode(mailboxResponse, body);
}
