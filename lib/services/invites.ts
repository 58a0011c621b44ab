/**
 * Invites: what lets a client up the ladder of a server that not everybody may enter (PROTOCOL.md 3.7). The
 * store keeps no secret of them: each is made from the server's own secret and the invite's serial.
 */
import { encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { hmacSha512, type Random, sha512, timingSafeEqual } from "../crypto/platform.ts";
import { BoundedMap } from "../flow/bounded_map.ts";
import { SOURCES_REMEMBERED } from "../limits.ts";
import type { Invite, ServerStore } from "../store/server_store.ts";
import {
  type ClientPreface,
  INVITE_SECRET_LENGTH,
  inviteIdOf,
  invitePrefaceToken,
  prefaceHour,
} from "../wire/handshake_messages.ts";

const SECRET_LABEL = encodeUtf8("cifra/1 invite secret\0");
const SERIAL_LENGTH = 16;

/** An invite that a client has shown. */
export interface Presented {
  /** The psk of the handshake, 32 bytes. */
  readonly secret: Bytes;
  /** The invite, unless it is the server's own, which does not expire. */
  readonly id: string | undefined;
}

/** The invites of a server. */
export class Invites {
  readonly #store: ServerStore;
  readonly #secret: Bytes;
  readonly #random: Random;
  /** Tokens that were presented in the hours in which they hold: each holds once. */
  readonly #presented = new BoundedMap<string, true>(SOURCES_REMEMBERED);
  /** By id: how many uses are reserved just now. */
  readonly #reserved = new Map<string, number>();

  /** `secret` is that of the server's own invite line, which is good for ever and for everybody. */
  constructor(store: ServerStore, secret: Bytes, random: Random) {
    this.#store = store;
    this.#secret = secret;
    this.#random = random;
  }

  /** A new invite, good until `expires` for `uses` people; returns its secret, which is not kept. */
  make(
    now: number,
    expires: number,
    uses: number,
  ): { readonly invite: Invite; readonly secret: Bytes } {
    const serial = this.#random(SERIAL_LENGTH);
    const secret = this.#secretOf(serial);
    const id = encodeHex(inviteIdOf(secret));
    const invite = { id, serial, created: now, expires, uses };
    this.#store.putInvite(invite);
    return { invite, secret };
  }

  /**
   * The invite that a preface presents before an m1 with this body; undefined when there is none of that
   * kind, the hour is another one, or it was presented before. Only trying each invite shows which it is.
   */
  presented(
    { hour, token }: Extract<ClientPreface, { readonly type: "invite" }>,
    m1: Bytes,
    now: number,
  ): Presented | undefined {
    if (Math.abs(hour - prefaceHour(now)) > 1) return undefined;
    const hash = sha512(m1);
    for (const each of this.#all()) {
      if (!timingSafeEqual(token, invitePrefaceToken(each.secret, hour, hash))) continue;
      const key = encodeHex(token);
      if (this.#presented.get(key)) return undefined;
      this.#presented.set(key, true);
      return each;
    }
    return undefined;
  }

  *#all(): Iterable<Presented> {
    yield { secret: this.#secret, id: undefined };
    for (const { id, serial } of this.#store.invites()) {
      yield { id, secret: this.#secretOf(serial) };
    }
  }

  /**
   * Reserves one use for a client whose name is being claimed, until `release`; false when the invite has
   * no use left or has expired.
   */
  reserve({ id }: Presented, now: number): boolean {
    if (id === undefined) return true;
    const invite = this.#store.invite(id);
    const reserved = this.#reserved.get(id) ?? 0;
    if (!invite || invite.uses <= reserved || now >= invite.expires) return false;
    this.#reserved.set(id, reserved + 1);
    return true;
  }

  /** Ends a reservation: a client that is in has used the invite once, one that was refused has not. */
  release({ id }: Presented, isIn: boolean): void {
    if (id === undefined) return;
    const reserved = this.#reserved.get(id)! - 1;
    if (reserved > 0) this.#reserved.set(id, reserved);
    else this.#reserved.delete(id);
    const invite = isIn ? this.#store.invite(id) : undefined;
    if (invite && invite.uses > 0) this.#store.putInvite({ ...invite, uses: invite.uses - 1 });
  }

  #secretOf(serial: Bytes): Bytes {
    return hmacSha512(this.#secret, SECRET_LABEL, serial).slice(0, INVITE_SECRET_LENGTH);
  }
}
