/**
 * Tickets: what a registered client is given to show that it is acquainted when it comes again (PROTOCOL.md
 * 3.7). The server keeps none of them: each is sealed under a key of its time, which is made from one secret,
 * is good for one identity, and holds once, and perhaps once more when the server has been started again.
 */
import { encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { concat } from "@std/bytes/concat";
import { hmacSha512, type Random, sha512, timingSafeEqual } from "../crypto/platform.ts";
import { BoundedMap } from "../flow/bounded_map.ts";
import { SOURCES_REMEMBERED, TICKET_LIFETIME } from "../limits.ts";
import {
  type ClientPreface,
  prefaceHour,
  TICKET_KEY_LENGTH,
  ticketPrefaceToken,
} from "../wire/handshake_messages.ts";

const PERIOD = encodeUtf8("cifra/1 ticket period\0");
const SEAL = encodeUtf8("cifra/1 ticket seal\0");
const TAG = encodeUtf8("cifra/1 ticket tag\0");
const KEY = encodeUtf8("cifra/1 ticket key\0");
const NONCE_LENGTH = 16, FINGERPRINT_LENGTH = 32, INSIDE_LENGTH = 36, TAG_LENGTH = 16;

/** A ticket, and the key that proves it. */
export interface Ticket {
  /** Opaque to the client. */
  readonly ticket: Bytes;
  readonly ticketKey: Bytes;
}

/** The tickets of a server. */
export class Tickets {
  readonly #random: Random;
  /** 32 bytes, from which the keys of all times are made. */
  readonly #secret: Bytes;
  readonly #used = new BoundedMap<string, true>(SOURCES_REMEMBERED);

  /** With another `secret` all earlier tickets are none. */
  constructor(random: Random, secret: Bytes) {
    this.#random = random;
    this.#secret = secret;
  }

  /** A new ticket for an identity, at this time in milliseconds since 1970. */
  issue(fingerprint: Bytes, now: number): Ticket {
    const nonce = this.#random(NONCE_LENGTH);
    const inside = new Uint8Array(INSIDE_LENGTH);
    inside.set(fingerprint);
    new DataView(inside.buffer).setUint32(FINGERPRINT_LENGTH, prefaceHour(now));
    const seal = this.#sealAt(periodOf(now));
    const sealed = concat([nonce, mask(seal, nonce, inside)]);
    const ticket = concat([sealed, tagOf(seal, sealed)]);
    return { ticket, ticketKey: keyOf(seal, ticket) };
  }

  /**
   * The fingerprint, in hexadecimal, for which a ticket that is presented before an m1 with this body is
   * good; undefined when it does not hold, is too old, or was presented before.
   */
  presented(
    { ticket, token }: Extract<ClientPreface, { readonly type: "ticket" }>,
    m1: Bytes,
    now: number,
  ): string | undefined {
    const sealed = ticket.subarray(0, NONCE_LENGTH + INSIDE_LENGTH);
    // Of the last period there may be some that hold.
    const seal = [periodOf(now), periodOf(now) - 1].values()
      .map((period) => this.#sealAt(period))
      .find((each) => timingSafeEqual(ticket.slice(sealed.length), tagOf(each, sealed)));
    if (!seal) return undefined;
    const expected = ticketPrefaceToken(keyOf(seal, ticket), sha512(m1));
    if (!timingSafeEqual(token, expected)) return undefined;
    const nonce = sealed.slice(0, NONCE_LENGTH);
    const inside = mask(seal, nonce, sealed.slice(NONCE_LENGTH));
    const hour = new DataView(inside.buffer).getUint32(FINGERPRINT_LENGTH);
    if (prefaceHour(now) - hour > prefaceHour(TICKET_LIFETIME)) return undefined;
    const name = encodeHex(nonce);
    if (this.#used.get(name)) return undefined;
    this.#used.set(name, true);
    return encodeHex(inside.subarray(0, FINGERPRINT_LENGTH));
  }

  /** The key of a period. */
  #sealAt(period: number): Bytes {
    const number = new Uint8Array(4);
    new DataView(number.buffer).setUint32(0, period);
    return hmacSha512(this.#secret, PERIOD, number);
  }
}

/** A new key is used as often as a ticket lives. */
function periodOf(now: number): number {
  return Math.floor(now / TICKET_LIFETIME);
}

function mask(seal: Bytes, nonce: Bytes, inside: Bytes): Bytes {
  const stream = hmacSha512(seal, SEAL, nonce);
  return inside.map((byte, i) => byte ^ stream[i]!);
}

function tagOf(seal: Bytes, sealed: Bytes): Bytes {
  return hmacSha512(seal, TAG, sealed).slice(0, TAG_LENGTH);
}

function keyOf(seal: Bytes, ticket: Bytes): Bytes {
  return hmacSha512(seal, KEY, ticket).slice(0, TICKET_KEY_LENGTH);
}
