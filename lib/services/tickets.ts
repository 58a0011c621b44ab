/**
 * Tickets: what a registered client is given to show that it is acquainted when it comes again (PROTOCOL.md
 * 3.7). The server keeps none of them: each is sealed under a secret that ends with the program, is good for
 * one identity, and holds once.
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
  readonly #secret: Bytes;
  readonly #used = new BoundedMap<string, true>(SOURCES_REMEMBERED);

  constructor(random: Random) {
    this.#random = random;
    this.#secret = random(32);
  }

  /** A new ticket for an identity, at this time in milliseconds since 1970. */
  issue(fingerprint: Bytes, now: number): Ticket {
    const nonce = this.#random(NONCE_LENGTH);
    const inside = new Uint8Array(INSIDE_LENGTH);
    inside.set(fingerprint);
    new DataView(inside.buffer).setUint32(FINGERPRINT_LENGTH, prefaceHour(now));
    const sealed = concat([nonce, this.#mask(nonce, inside)]);
    const ticket = concat([sealed, this.#tag(sealed)]);
    return { ticket, ticketKey: this.#keyOf(ticket) };
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
    if (!timingSafeEqual(ticket.slice(sealed.length), this.#tag(sealed))) return undefined;
    const expected = ticketPrefaceToken(this.#keyOf(ticket), sha512(m1));
    if (!timingSafeEqual(token, expected)) return undefined;
    const nonce = sealed.slice(0, NONCE_LENGTH);
    const inside = this.#mask(nonce, sealed.slice(NONCE_LENGTH));
    const hour = new DataView(inside.buffer).getUint32(FINGERPRINT_LENGTH);
    if (prefaceHour(now) - hour > prefaceHour(TICKET_LIFETIME)) return undefined;
    const name = encodeHex(nonce);
    if (this.#used.get(name)) return undefined;
    this.#used.set(name, true);
    return encodeHex(inside.subarray(0, FINGERPRINT_LENGTH));
  }

  #mask(nonce: Bytes, inside: Bytes): Bytes {
    const stream = hmacSha512(this.#secret, SEAL, nonce);
    return inside.map((byte, i) => byte ^ stream[i]!);
  }

  #tag(sealed: Bytes): Bytes {
    return hmacSha512(this.#secret, TAG, sealed).slice(0, TAG_LENGTH);
  }

  #keyOf(ticket: Bytes): Bytes {
    return hmacSha512(this.#secret, KEY, ticket).slice(0, TICKET_KEY_LENGTH);
  }
}
