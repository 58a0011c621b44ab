/**
 * Invites: what lets a client up the ladder of a server that not everybody may enter (PROTOCOL.md 3.7). The
 * store keeps no secret of them: each is made from the server's own secret and the invite's serial.
 */
import { encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { hmacSha512, type Random, timingSafeEqual } from "../crypto/platform.ts";
import type { Invite, ServerStore } from "../store/server_store.ts";
import {
  encodeInvitePreface,
  INVITE_ID_LENGTH,
  INVITE_SECRET_LENGTH,
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
  readonly #ownPreface: Bytes;
  /** By id: how many uses are reserved just now. */
  readonly #reserved = new Map<string, number>();

  /** `secret` is that of the server's own invite line, which is good for ever and for everybody. */
  constructor(store: ServerStore, secret: Bytes, random: Random) {
    this.#store = store;
    this.#secret = secret;
    this.#random = random;
    this.#ownPreface = encodeInvitePreface(secret);
  }

  /** A new invite, good until `expires` for `uses` people; returns its secret, which is not kept. */
  make(
    now: number,
    expires: number,
    uses: number,
  ): { readonly invite: Invite; readonly secret: Bytes } {
    const serial = this.#random(SERIAL_LENGTH);
    const secret = this.#secretOf(serial);
    const id = encodeHex(encodeInvitePreface(secret).subarray(0, INVITE_ID_LENGTH));
    const invite = { id, serial, created: now, expires, uses };
    this.#store.putInvite(invite);
    return { invite, secret };
  }

  /** The invite that a preface presents; undefined when there is none of that kind. */
  presented(preface: Bytes): Presented | undefined {
    if (timingSafeEqual(preface, this.#ownPreface)) return { secret: this.#secret, id: undefined };
    const invite = this.#store.invite(encodeHex(preface.subarray(0, INVITE_ID_LENGTH)));
    if (!invite) return undefined;
    const secret = this.#secretOf(invite.serial);
    if (!timingSafeEqual(preface, encodeInvitePreface(secret))) return undefined;
    return { secret, id: invite.id };
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
