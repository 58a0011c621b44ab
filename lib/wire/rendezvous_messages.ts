/** What clients and the server say to each other after the ladder (PROTOCOL.md 3.7). */
import type { Bytes } from "../bytes.ts";
import { bundleLength } from "../crypto/identity.ts";
import { ADVERTISED_ADDRESSES, DIAL_ATTEMPTS, NAME_LIMIT, REASON_LIMIT } from "../limits.ts";
import { address, endpoint } from "./address.ts";
import {
  bytes,
  decode,
  encode,
  list,
  type Of,
  struct,
  tagged,
  text,
  u16,
  u32,
  u64,
  u8,
  variable,
} from "./layout.ts";

const name = text(NAME_LIMIT);

/** Bits of `capabilities` in m7. */
export const Capability = {
  /** Can be relayed: the server keeps the channel open after the introduction. */
  relay: 1,
  /** Wants the relay alone: nobody is given its address. */
  hidden: 2,
  /** Dialled the server from its send port. */
  punch: 4,
} as const;

/** m7: who I am, whom I want, and where I can be reached. */
const register = struct({
  name,
  wanted: name,
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
});

const requestLayout = tagged({ register: 1 }, { register });

/** m8, the good case. */
const registered = struct({
  /** Our address as the server sees it. */
  observed: endpoint,
  frameLimit: u32,
  /** Seconds of silence after which the server gives us up. */
  silenceDeadline: u16,
});

/** m8, or a later word of the server, that ends the registration. */
const refused = struct({ code: u8, retryAfter: u16, reason: text(REASON_LIMIT) });

/** Both have asked for each other: everything needed to meet. */
const introduction = struct({
  peerName: name,
  rendezvousId: bytes(16),
  rendezvousKey: bytes(32),
  generation: u32,
  bundle: variable(bundleLength(1)),
  receivePort: u16,
  sendPort: u16,
  addresses: list(address, DIAL_ATTEMPTS),
  /** Where the server sees the peer's send port: dialled from our own, it opens most NATs. */
  punch: list(endpoint, 1),
  /** 1 when the server relays between the two on this channel, otherwise 0. */
  relay: u8,
});

/** The other one is there with another suite: nobody steps down, both are told. */
const suiteMismatch = struct({ peerName: name, peerSuite: u8, yourSuite: u8 });

const responseLayout = tagged(
  { registered: 1, refused: 2, introduction: 3, suiteMismatch: 4 },
  { registered, refused, introduction, suiteMismatch },
);

export type Registration = Of<typeof register>;
export type Introduction = Of<typeof introduction>;
export type ServerRequest = Of<typeof requestLayout>;
export type ServerResponse = Of<typeof responseLayout>;

/** Why a registration ends, on the wire; numbers never change meaning. */
export const REFUSAL_CODES = {
  bad_name: 1,
  name_taken: 2,
  bad_address: 3,
  stale_registration: 4,
  replaced: 5,
  limit: 6,
  shutdown: 7,
  refused: 8,
} as const;
export type RefusalCode = keyof typeof REFUSAL_CODES;

const REFUSAL_NAMES = new Map<number, RefusalCode>(
  (Object.entries(REFUSAL_CODES) as [RefusalCode, number][]).map(([key, code]) => [code, key]),
);

/** The refusal a code stands for; `refused` for one from a newer server. */
export function refusalOf(code: number): RefusalCode {
  return REFUSAL_NAMES.get(code) ?? "refused";
}

export function encodeServerRequest(request: ServerRequest): Bytes {
  return encode(requestLayout, request);
}

/** Throws `bad_frame`. */
export function decodeServerRequest(body: Bytes): ServerRequest {
  return decode(requestLayout, body);
}

export function encodeServerResponse(response: ServerResponse): Bytes {
  return encode(responseLayout, response);
}

/** Throws `bad_frame`. */
export function decodeServerResponse(body: Bytes): ServerResponse {
  return decode(responseLayout, body);
}
