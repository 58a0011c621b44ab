/**
 * Our box at a server, and the prekeys under it: what the server says of them is compared with what is kept here,
 * and what follows is published (PROTOCOL.md 3.12).
 */
import type { Identity } from "../crypto/identity.ts";
import type { Random } from "../crypto/platform.ts";
import { loadPostQuantumProvider } from "../crypto/post_quantum.ts";
import { makePrekey, openPrekey, type Prekey, prekeyStatement } from "../crypto/prekeys.ts";
import { ONE_TIME_PREKEYS, ONE_TIME_PREKEYS_LOW, SIGNED_PREKEY_LIFETIME } from "../limits.ts";
import type { Box, KeptPrekey, Mailbag } from "../store/mailbag.ts";
import { larger } from "../store/message_rules.ts";
import { BOX_LENGTH } from "../wire/envelope.ts";
import {
  BoxState,
  type MailboxRequest,
  type MailboxResponse,
  PASS_KEY_LENGTH,
} from "../wire/mailbox_messages.ts";

/** How a box stands, as the server says. */
export type Standing = Extract<MailboxResponse, { readonly type: "box" }>;

/** Whose box it is, and where. */
export interface MailboxKeysOptions {
  readonly mailbag: Mailbag;
  readonly identity: Identity;
  readonly random: Random;
  /** Milliseconds since 1970. */
  readonly date: () => number;
  /** The fingerprint of the server's key, in hexadecimal. */
  readonly server: string;
  /** Of the registration on this connection: no number of a signed prekey that others know is higher. */
  readonly sequence: bigint;
}

/** The box and its prekeys, while we are connected. */
export class MailboxKeys {
  readonly #options: MailboxKeysOptions;
  /** What a state of the box asks for was published on this connection. */
  #isPublished = false;
  /** One-time prekeys that were out of date were replaced on this connection. */
  #isRenewed = false;
  /** When a signed prekey was made on this connection, by our clock. */
  #signedAt: number | undefined;

  constructor(options: MailboxKeysOptions) {
    this.#options = options;
  }

  /** Our box here; it is begun when there was none. Throws `local`. */
  async box(): Promise<Box> {
    const { mailbag, server } = this.#options;
    if (!mailbag.box(server)) await this.beginAnew();
    return mailbag.box(server)!;
  }

  /** Another box, with new prekeys: the server has seen numbers that are not known here. Throws `local`. */
  async beginAnew(): Promise<void> {
    const { mailbag, server, random } = this.#options;
    await mailbag.beginBox(server, random(BOX_LENGTH), random(PASS_KEY_LENGTH));
    this.#isPublished = false;
  }

  /** Whether the server has seen prekeys that this profile has not made: it is an old copy, or has a twin. */
  isOld(box: Box, { signed, highest }: Standing): boolean {
    return signed > box.signed || highest > box.highest;
  }

  /**
   * What is to be published after the server has said how the box stands, if anything. Prekeys are on disk before
   * they leave (C1). Throws `local`.
   */
  async publication(standing: Standing): Promise<MailboxRequest | undefined> {
    const { mailbag, server, date } = this.#options;
    const now = { here: date(), there: Number(standing.now) };
    await mailbag.retire(server, {
      signed: standing.signed,
      once: standing.next > 0n ? standing.next : standing.highest + 1n,
    }, now);
    await mailbag.expire(now);
    const box = await this.box();
    // A server that has no room does not get them again and again.
    const wasTaken = !this.#isPublished ||
      standing.signed === box.signed && standing.highest === box.highest;
    if (!wasTaken) return undefined;
    const signed = await this.#signedFor(standing, box, now.here);
    const isStale = this.#givesOutUsed(standing);
    if (isStale) this.#isRenewed = true;
    const stock = isStale ? 0 : standing.stock;
    const once = stock < ONE_TIME_PREKEYS_LOW
      ? await this.#onceFor(standing, box, ONE_TIME_PREKEYS - stock)
      : [];
    if (!signed && once.length === 0) return undefined;
    this.#isPublished = true;
    return {
      type: "publish",
      box: box.name,
      anew: box.anew || isStale ? 1 : 0,
      signed: signed ? [signed] : [],
      once,
    };
  }

  /**
   * Whether the server gives out one-time prekeys that were used, or handed out before: its mailbox was put back. What
   * is sealed for them does not open. Once for each connection, so that a server that goes on does not get them again
   * and again.
   */
  #givesOutUsed({ next, highest, stock }: Standing): boolean {
    if (this.#isRenewed || next === 0n) return false;
    const { mailbag, server } = this.#options;
    const left = mailbag.prekeys(server, "once")
      .filter(({ number }) => next <= number && number <= highest);
    return left.length < stock;
  }

  /** A new signed prekey, or the one that the server does not have; undefined when it has a good one. */
  async #signedFor(standing: Standing, box: Box, now: number): Promise<Prekey | undefined> {
    const { mailbag, server, sequence } = this.#options;
    // The number is a moment of a clock that may have been years ahead, and goes no way back.
    const since = this.#signedAt ?? mailbag.signedSince(server) ?? Number(box.signed);
    const isTooOld = Math.abs(now - since) > SIGNED_PREKEY_LIFETIME;
    const isMoved = standing.state === BoxState.moved && !this.#isPublished;
    // What a server had and has no more, we may have replaced ourselves, before we came back from an old copy.
    const isLost = !box.anew && standing.signed < box.signed;
    if (box.signed === 0n || isTooOld || isMoved || isLost) {
      this.#signedAt = now;
      // Not the time: where the clock has gone back, no later registration would have as high a number for long.
      return await this.#make(box, "signed", larger(sequence, box.signed + 1n));
    }
    if (standing.signed === box.signed) return undefined;
    const kept = mailbag.prekeys(server, "signed").at(-1);
    return kept && await this.#sign(box, kept);
  }

  /** One-time prekeys: those that never reached the server, and new ones. */
  async #onceFor({ highest }: Standing, box: Box, count: number): Promise<Prekey[]> {
    const { mailbag, server } = this.#options;
    const kept = mailbag.prekeys(server, "once").filter(({ number }) => number > highest)
      .slice(0, count);
    const prekeys = await Promise.all(kept.map((each) => this.#sign(box, each)));
    const made = await Promise.all(
      Array.from(
        { length: count - kept.length },
        (_, i) => this.#draw(box, "once", box.highest + 1n + BigInt(i)),
      ),
    );
    await mailbag.addPrekeys(server, made.map(({ kept }) => kept));
    return [...prekeys, ...made.map(({ prekey }) => prekey)];
  }

  async #make(box: Box, kind: "signed", number: bigint): Promise<Prekey> {
    const { mailbag, server } = this.#options;
    const { prekey, kept } = await this.#draw(box, kind, number);
    await mailbag.addPrekeys(server, [kept]);
    return prekey;
  }

  async #draw(
    { name }: Box,
    kind: KeptPrekey["kind"],
    number: bigint,
  ): Promise<{ readonly prekey: Prekey; readonly kept: KeptPrekey }> {
    const { identity, random } = this.#options;
    const { prekey, secret } = await makePrekey(identity, name, kind, number, random);
    return { prekey, kept: { kind, number, secret } };
  }

  /** The public half of a prekey that is kept, as it was signed when it was made. */
  async #sign({ name }: Box, kept: KeptPrekey): Promise<Prekey> {
    const { identity } = this.#options;
    const { keys } = await openPrekey(kept.kind, kept, await loadPostQuantumProvider());
    return { ...keys, signature: await identity.sign(prekeyStatement(identity, name, keys)) };
  }
}
