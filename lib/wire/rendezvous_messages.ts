/** What clients and the server say to each other after the ladder (PROTOCOL.md 3.7). */
import type { Bytes } from "../bytes.ts";
import { bundleLength, FINGERPRINT_LENGTH } from "../crypto/identity.ts";
import {
  CifraError,
  type ErrorCode,
  numbersOf,
  type RefusalCode,
  refusalHintOf,
  refusalTextOf,
  toldCode,
} from "../errors.ts";
import {
  ADVERTISED_ADDRESSES,
  BACKUP_LIMIT,
  KNOWN_LIMIT,
  PRESENCE_LIMIT,
  PROOF_LENGTH,
  REASON_LIMIT,
  REFUSED_FOR_MAXIMUM,
  SALT_LENGTH,
  SIGN_IN_NONCE_LENGTH,
} from "../limits.ts";
import { address, endpoint } from "./address.ts";
import { RENDEZVOUS_KEY_LENGTH, TICKET_KEY_LENGTH, TICKET_LENGTH } from "./handshake_messages.ts";
import {
  bytes,
  decode,
  encode,
  flag,
  list,
  type Of,
  struct,
  tagged,
  u16,
  u32,
  u64,
  u8,
  variable,
} from "./layout.ts";
import { anyName, line, personName, quoted } from "./line.ts";
import { nameClaim, SIGNATURE_LENGTH, vouchers } from "./name_claim.ts";
import { Capability, PersonState, REQUEST_NUMBERS, RESPONSE_NUMBERS } from "./numbers.ts";

export { Capability, PersonState };

/** In a request: the server answers one that nobody could have. */
const name = anyName;

/** The word of an owner, and of their other identities if they own the name already. */
const vouchedClaim = struct({ notAfter: u64, signature: bytes(SIGNATURE_LENGTH), vouchers });

/** m7: who I am, and where I can be reached. */
const register = struct({
  name,
  /** Where we listen for the peer. */
  receivePort: u16,
  /** The local port our dials come from. */
  sendPort: u16,
  /** What the client can do and wants: bits of `Capability`; others are ignored. */
  capabilities: u32,
  /** Grows with every registration of an identity, so that an old one cannot be replayed. */
  registrationSequence: u64,
  /** Addresses beside the observed one (`--advertise`). */
  advertised: list(address, ADVERTISED_ADDRESSES),
  /** That the name is theirs; its sequence is that of the registration. */
  claim: vouchedClaim,
});

/** Wants to be introduced to somebody. */
const want = struct({ name });

/** No longer wants to be introduced to somebody. */
const unwant = struct({ name });

/** Who is in the lobby? Answered by one complete `presence`. */
const who = struct({});

/** Who is known here, of the names behind this one? Answered by one `known`. */
const askKnown = struct({ after: name });

/** Does not want to talk to somebody who has asked. */
const decline = struct({ name });

/** In the lobby: 1 when away, 0 when back. */
const away = struct({ away: flag });

const cost = { salt: bytes(SALT_LENGTH), memory: u32, passes: u8 };

/** Makes an account for a name that is theirs, or gives the account another password. */
const signUp = struct({
  name,
  registrationSequence: u64,
  claim: vouchedClaim,
  ...cost,
  storedKey: bytes(PROOF_LENGTH),
  serverKey: bytes(PROOF_LENGTH),
  backup: variable(BACKUP_LIMIT),
});

/** Wants to prove the password of a name. */
const signIn = struct({ name, nonce: bytes(SIGN_IN_NONCE_LENGTH) });

/** The answer to a challenge. */
const proof = struct({ proof: bytes(PROOF_LENGTH) });

/** A request of a client. */
export const serverRequest = tagged(REQUEST_NUMBERS, {
  register,
  decline,
  away,
  signUp,
  signIn,
  proof,
  want,
  unwant,
  who,
  known: askKnown,
});

/** m8, the good case. */
const registered = struct({
  /** Our address as the server sees it. */
  observed: endpoint,
  frameLimit: u32,
  /** Seconds of silence after which the server gives us up. */
  silenceDeadline: u16,
  /** Shows that we are acquainted when we come again, and the key that proves it. */
  ticket: bytes(TICKET_LENGTH),
  ticketKey: bytes(TICKET_KEY_LENGTH),
});

/** Why something ends: a refusal code, seconds after which it may work (0: unknown), and a sentence. */
const refusal = { code: u8, retryAfter: u16, reason: line(REASON_LIMIT) };

/** m8, or a later word of the server, that ends the registration. */
const refused = struct(refusal);

/** A want is over, unfulfilled, for whatever name it was; the registration and all other wants stay. */
const unwanted = struct({ peerName: anyName, ...refusal });

/** Both have asked for each other: everything needed to meet. */
const introduction = struct({
  peerName: personName,
  rendezvousKey: bytes(RENDEZVOUS_KEY_LENGTH),
  generation: u32,
  bundle: variable(bundleLength(1)),
  /** The peer's own word that the name is theirs, and that they are at the ports and addresses below it. */
  claim: nameClaim,
  receivePort: u16,
  sendPort: u16,
  advertised: list(address, ADVERTISED_ADDRESSES),
  /** Where the server saw it: all that the server itself says of where the peer is, beside `punch`. */
  observed: list(address, 1),
  /** Where the server sees the peer's send port: dialled from our own, it opens most NATs. */
  punch: list(endpoint, 1),
  /** 1 when the server relays between the two on this channel, otherwise 0. */
  relay: flag,
});

/** The other one is there with another suite: nobody steps down, both are told. */
const suiteMismatch = struct({ peerName: personName, peerSuite: u8, yourSuite: u8 });

/** Who came and went since the last time; later entries of one name count. */
const presence = struct({
  /** 1 when it begins anew: whoever is not named is not here. */
  complete: flag,
  people: list(struct({ name: personName, state: u8 }), PRESENCE_LIMIT),
});

/** Who is known, in the order of their names; 1 when there are more behind them. */
const known = struct({
  more: flag,
  keys: list(
    struct({ name: personName, suite: u8, fingerprint: bytes(FINGERPRINT_LENGTH), state: u8 }),
    KNOWN_LIMIT,
  ),
});

/** Somebody asks for us. */
const offer = struct({ peerName: personName, suite: u8, bundle: variable(bundleLength(1)) });

/** Somebody for whom we wait does not want to talk to us now. */
const declined = struct({ peerName: personName });

/** What a key is to be derived from the password of a name with. */
const challenge = struct({ ...cost, nonce: bytes(SIGN_IN_NONCE_LENGTH) });

/** The password was right; the server proves that it knows the account. */
const signedIn = struct({ signature: bytes(PROOF_LENGTH), backup: variable(BACKUP_LIMIT) });

/** The account is made. */
const signedUp = struct({});

/** What the server says. */
export const serverResponse = tagged(RESPONSE_NUMBERS, {
  registered,
  refused,
  introduction,
  suiteMismatch,
  presence,
  offer,
  declined,
  challenge,
  signedIn,
  signedUp,
  unwanted,
  known,
});

/** m7, decoded. */
export type Registration = Of<typeof register>;
/** The claim in a registration or a sign-up, decoded; the sequence stands beside it. */
export type VouchedClaim = Of<typeof vouchedClaim>;
/** An introduction, decoded. */
export type Introduction = Of<typeof introduction>;
/** What a client asks of the server, by its `type`. */
export type ServerRequest = Of<typeof serverRequest>;
/** What the server says, by its `type`. */
export type ServerResponse = Of<typeof serverResponse>;

/** Refusal codes; numbers never change meaning. */
export const REFUSAL_CODES: Readonly<Record<RefusalCode, number>> = numbersOf("refusal");

const REFUSAL_NAMES = new Map(
  (Object.entries(REFUSAL_CODES) as [RefusalCode, number][]).map(([key, code]) => [code, key]),
);

/** The refusal that tells a client of `code`; undefined when the code is no answer to a request. */
export function refusalFor(code: ErrorCode): RefusalCode | undefined {
  const told = toldCode(code);
  return told in REFUSAL_CODES ? told as RefusalCode : undefined;
}

/** The refusal a number stands for; `refused` for one from a newer server. */
export function refusalOf(number: number): RefusalCode {
  return REFUSAL_NAMES.get(number) ?? "refused";
}

/** A refusal of the server as the error it reports. */
export function refusalError({ code: number, retryAfter, reason }: Of<typeof refused>): CifraError {
  const code = refusalOf(number);
  // Numbers that are behind are caught up with, not waited for.
  const isTime = code !== "stale_registration";
  const hint = retryAfter > 0 && isTime
    ? `try again in ${
      retryAfter < 120 ? `${retryAfter} s` : `${Math.ceil(retryAfter / 60)} minutes`
    }`
    : refusalHintOf(code);
  return new CifraError(code, `${refusalTextOf(code)}; server says: ${quoted(reason)}`, {
    ...(hint !== undefined && { hint }),
    retryAfter: isTime ? Math.min(retryAfter, REFUSED_FOR_MAXIMUM) : retryAfter,
  });
}

/** The body of an item of type `request`. Throws RangeError on a value that has no encoding. */
export function encodeServerRequest(request: ServerRequest): Bytes {
  return encode(serverRequest, request);
}

/** Reads the body of an item of type `request`. Throws `bad_frame`. */
export function decodeServerRequest(body: Bytes): ServerRequest {
  return decode(serverRequest, body);
}

/** The body of an item of type `response`. Throws RangeError on a value that has no encoding. */
export function encodeServerResponse(response: ServerResponse): Bytes {
  return encode(serverResponse, response);
}

/** Reads the body of an item of type `response`. Throws `bad_frame`. */
export function decodeServerResponse(body: Bytes): ServerResponse {
  return decode(serverResponse, body);
}
