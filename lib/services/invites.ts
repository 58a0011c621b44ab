/**
 * Invites: what lets a client up the ladder of a server that not everybody may enter (PROTOCOL.md 3.7). The
 * store keeps no secret of them: each is made from the server's own secret and the invite's serial.
 */
import { encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { hmacSha512, type Random, sha512, timingSafeEqual } from "../crypto/platform.ts";
import { BoundedMap } from "../flow/bounded_map.ts";
import { SlidingWindow } from "../flow/sliding_window.ts";
import {
  INVITE_RUSH,
  INVITE_RUSH_PERIOD,
  SOURCES_REMEMBERED,
  STANDING_INVITE_LIFETIME,
  STANDING_INVITE_USES,
} from "../limits.ts";
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
  /** The invite. */
  readonly id: string;
}

/** An invite, and its secret. */
export interface MadeInvite {
  readonly invite: Invite;
  /** 32 bytes. */
  readonly secret: Bytes;
}

/** The invites of a server. */
export class Invites {
  readonly #store: ServerStore;
  readonly #secret: Bytes;
  readonly #random: Random;
  /** Tokens that were presented in the hours in which they hold: each holds once. */
  readonly #presented = new BoundedMap<string, true>(SOURCES_REMEMBERED);
  /** Who came in lately, by invite and source. */
  readonly #arrivals = new SlidingWindow(INVITE_RUSH_PERIOD, SOURCES_REMEMBERED);
  /** By id: how many uses are reserved just now. */
  readonly #reserved = new Map<string, number>();

  /** `secret` is known to this server alone: it makes those of the invites, and is none itself. */
  constructor(store: ServerStore, secret: Bytes, random: Random) {
    this.#store = store;
    this.#secret = secret;
    this.#random = random;
  }

  /**
   * The invite that a server prints when it starts, with its secret: the one of the last start while it is
   * good, otherwise a new one.
   */
  standing(now: number): MadeInvite {
    const earlier = this.#store.invites().filter(({ standing }) => standing);
    const good = earlier.find(({ expires, uses }) => uses > 0 && now < expires);
    if (good) return { invite: good, secret: this.#secretOf(good.serial) };
    for (const invite of earlier) this.#store.putInvite({ ...invite, standing: false });
    return this.make(now, now + STANDING_INVITE_LIFETIME, STANDING_INVITE_USES, true);
  }

  /** A new invite, good until `expires` for `uses` people; returns its secret, which is not kept. */
  make(now: number, expires: number, uses: number, standing = false): MadeInvite {
    const serial = this.#random(SERIAL_LENGTH);
    const secret = this.#secretOf(serial);
    const id = encodeHex(inviteIdOf(secret));
    const invite = { id, serial, created: now, expires, uses, standing };
    this.#store.putInvite(invite);
    return { invite, secret };
  }

  /**
   * The same invite until another moment, for so many more people; undefined when there is none, or it was
   * revoked.
   */
  renew(id: string, expires: number, uses: number): MadeInvite | undefined {
    const invite = this.#store.invite(id);
    if (!invite || isRevoked(invite)) return undefined;
    const renewed = { ...invite, expires, uses };
    this.#store.putInvite(renewed);
    return { invite: renewed, secret: this.#secretOf(invite.serial) };
  }

  /** Nobody new comes in with an invite any more; false when there is none that is not revoked. */
  revoke(id: string): boolean {
    const invite = this.#store.invite(id);
    if (!invite || isRevoked(invite)) return false;
    this.#store.putInvite({ ...invite, expires: 0, uses: 0 });
    return true;
  }

  /**
   * Another invite in the place of this one, which ends: good for as long as that was, for so many more people.
   * Undefined when that had ended by itself or is not known.
   */
  replace(id: string, more: number, now: number): MadeInvite | undefined {
    const invite = this.#store.invite(id);
    if (!invite || !this.revoke(id) || now >= invite.expires) return undefined;
    this.#store.putInvite({ ...invite, expires: 0, uses: 0, standing: false });
    return this.make(now, invite.expires, Math.max(1, invite.uses + more), invite.standing);
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
    for (const { id, serial } of this.#store.invites()) {
      yield { id, secret: this.#secretOf(serial) };
    }
  }

  /**
   * Reserves one use for a client whose name is being claimed, until `release`; false when the invite has
   * no use left or has expired.
   */
  reserve({ id }: Presented, now: number): boolean {
    const invite = this.#store.invite(id);
    const reserved = this.#reserved.get(id) ?? 0;
    if (!invite || invite.uses <= reserved || now >= invite.expires) return false;
    this.#reserved.set(id, reserved + 1);
    return true;
  }

  /** Ends a reservation: a client that is in has used the invite once, one that was refused has not. */
  release({ id }: Presented, isIn: boolean): void {
    const reserved = this.#reserved.get(id)! - 1;
    if (reserved > 0) this.#reserved.set(id, reserved);
    else this.#reserved.delete(id);
    const invite = isIn ? this.#store.invite(id) : undefined;
    if (invite && invite.uses > 0) this.#store.putInvite({ ...invite, uses: invite.uses - 1 });
  }

  /**
   * Somebody new from `source` has come in. True when they were `INVITE_RUSH` within a minute, once for as many:
   * a class behind one address, or one who takes all places. The server cannot tell which.
   */
  isRush({ id }: Presented, source: string, now: number): boolean {
    const key = `${id} ${source}`;
    this.#arrivals.count(key, now);
    if (this.#arrivals.times(key, now).length < INVITE_RUSH) return false;
    this.#arrivals.forget(key);
    return true;
  }

  #secretOf(serial: Bytes): Bytes {
    return hmacSha512(this.#secret, SECRET_LABEL, serial).slice(0, INVITE_SECRET_LENGTH);
  }
}

/** Whether nobody may come in with an invite ever again. */
export function isRevoked({ expires }: Invite): boolean {
  return expires === 0;
}
