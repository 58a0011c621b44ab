/**
 * The mailbox: who may leave what for whom, who is given which keys, and what is handed out when (PROTOCOL.md 3.12).
 * Rules over a store; the time is told, in milliseconds since 1970. People are their fingerprints, in 64 hexadecimal
 * digits.
 */
import { CifraError } from "../errors.ts";
import {
  BOX_LIFETIME,
  CLAIM_RENEWAL,
  CONTENT_MINIMUM,
  DEPOSITS_LIMIT,
  ENVELOPE_LIFETIME,
  ENVELOPE_OVERHEAD,
  KEYS_NOT_FOR_STRANGERS,
  ONE_TIME_PREKEYS,
  ONE_TIME_PREKEYS_LOW,
} from "../limits.ts";
import type {
  Envelope,
  MailboxCounts,
  MailboxStore,
  MailboxWriter,
} from "../store/mailbox_store.ts";
import type { NameKey, ServerStore } from "../store/server_store.ts";
import { BoxState, DepositCode, DepositState, Verdict } from "../wire/mailbox_messages.ts";
import type { NameClaim } from "../wire/name_claim.ts";
import { openBox, presentBox, publishIn, standingOf } from "./mailbox_boxes.ts";
import { MailboxDelivery } from "./mailbox_delivery.ts";
import { MailboxRates } from "./mailbox_rates.ts";
import { hasRoom, isPass, keep, type Kept, takeBack } from "./mailbox_shares.ts";
import type { Answered, Asker, Request, Response } from "./mailbox_terms.ts";

/** The smallest envelope: where it finds no room, the box is full. */
const ENVELOPE_MINIMUM = ENVELOPE_OVERHEAD + CONTENT_MINIMUM;
/** What is removed in one transaction when its time is over: nobody waits long for it. */
const ENVELOPES_AT_ONCE = 64;
const BOXES_AT_ONCE = 8;
/** Stands for somebody who is not known: the same questions are asked of the store then. */
const NOBODY = "0".repeat(64);

/** What a mailbox is made of. */
export interface MailboxOptions {
  readonly store: MailboxStore;
  readonly names: Pick<ServerStore, "keysOf" | "keyWith" | "isBanned">;
  /** Whether it is counted how often somebody leaves something or asks: `--no-quotas`. */
  readonly quotas: boolean;
}

/** The mailboxes of all identities; `Holder` is a connection. */
export class Mailbox<Holder> {
  readonly #store: MailboxStore;
  readonly #names: MailboxOptions["names"];
  readonly #rates: MailboxRates;
  /** By connection what it is handed out; undefined while its box is being opened. */
  readonly #deliveries = new Map<Holder, { delivery: MailboxDelivery | undefined }>();
  /** By the key of a box, who has it alone. */
  readonly #holders = new Map<number, Holder>();

  constructor({ store, names, quotas }: MailboxOptions) {
    this.#store = store;
    this.#names = names;
    this.#rates = new MailboxRates(quotas);
  }

  /**
   * Makes a box of `owner`'s the present one, and gives it to this connection alone: `next` tells it the rest.
   * `sequence` is that of the registration; `check` throws unless a claim to the name holds, and is passed over where
   * one that does is kept. State 0 when there is no room for another box. Throws what `check` throws, `local`.
   */
  async open(
    holder: Holder,
    owner: string,
    { box: name, passKey, notAfter, signature }: Request<"open">,
    sequence: bigint,
    check: (claim: NameClaim) => Promise<void>,
    now: number,
  ): Promise<Response<"box">> {
    this.leave(holder);
    const opening: { delivery: MailboxDelivery | undefined } = { delivery: undefined };
    this.#deliveries.set(holder, opening);
    const known = this.#claimOf(owner);
    const isGood = known !== undefined && known.notAfter - BigInt(now) > CLAIM_RENEWAL;
    const claim = isGood ? known : { sequence, notAfter, signature };
    if (!isGood) await check(claim);
    const opened = await this.#store.change((writer) =>
      openBox(writer, owner, { name, passKey, claim }, now)
    );
    // The connection may have gone meanwhile, or have opened another one.
    if (opened && this.#deliveries.get(holder) === opening) {
      const before = this.#holders.get(opened.key);
      if (before !== undefined) this.leave(before);
      opening.delivery = new MailboxDelivery(this.#store, opened.key, owner);
      this.#holders.set(opened.key, holder);
    }
    const standing = standingOf(this.#store, owner, opened?.key, now);
    return opened?.wasOther ? { ...standing, state: BoxState.moved } : standing;
  }

  /**
   * Takes prekeys for a box of somebody's; the answer tells which. Throws `bad_state` when there is no such box,
   * `bad_frame` when there would be too many one-time ones, `local`.
   */
  async publish(
    owner: string,
    prekeys: Request<"publish">,
    now: number,
  ): Promise<Response<"box">> {
    const key = await this.#store.change((writer) => publishIn(writer, owner, prekeys, now));
    if (key === "no such box") {
      throw new CifraError("bad_state", "Cannot publish prekeys in a box that was not opened");
    }
    if (key === "too many") {
      throw new CifraError(
        "bad_frame",
        `Cannot keep more than ${ONE_TIME_PREKEYS} one-time prekeys`,
      );
    }
    return standingOf(this.#store, owner, key, now);
  }

  /**
   * Keys to write to somebody. That nothing is found says the same whatever the reason. The one-time prekey is gone
   * from the disk. Throws `local`.
   */
  async ask(
    asker: Asker,
    { name, pass }: Request<"ask">,
    now: number,
  ): Promise<Answered<"keys", Holder>> {
    const retryAfter = this.#rates.ask(asker.fingerprint, name, now);
    const none = { type: "keys", name, retryAfter, found: [] } as const;
    if (retryAfter > 0) return { answer: none, wake: undefined };
    const owner = this.#person(asker, name);
    const found = await this.#store.change((writer) => {
      const boxes = writer.boxes(owner?.fingerprint ?? NOBODY);
      const waiting = writer.waitingFor(owner?.fingerprint ?? NOBODY);
      const box = presentBox(boxes, now);
      const passed = isPass(box, asker.fingerprint, pass);
      const { count } = writer.stock(box?.key ?? 0);
      if (!owner || !box || !hasRoom(waiting, ENVELOPE_MINIMUM, passed)) return undefined;
      const mayHaveOnce = passed ||
        count > KEYS_NOT_FOR_STRANGERS && this.#rates.mayHaveOnce(box.owner, now);
      const once = mayHaveOnce ? writer.takeOnce(box.key) : undefined;
      // Also when the disk does not take it.
      if (once && !passed) this.#rates.gaveOnce(box.owner, now);
      const isLow = once !== undefined && count === ONE_TIME_PREKEYS_LOW;
      return { bundle: owner.bundle, box, once: once ? [once] : [], isLow };
    });
    if (!found) return { answer: none, wake: undefined };
    const { bundle, box: { key, name: box, claim, signed }, once, isLow } = found;
    this.#rates.toldOf(asker.fingerprint, key);
    const holder = isLow ? this.#holders.get(key) : undefined;
    if (holder !== undefined) this.#deliveryOf(holder)!.isBoxDue = true;
    return { answer: { ...none, found: [{ bundle, claim, box, signed, once }] }, wake: holder };
  }

  /** Leaves an envelope: on disk when the code is `stored`. Throws nothing that the disk says. */
  async deposit(
    sender: Asker,
    deposit: Request<"deposit">,
    now: number,
  ): Promise<Answered<"deposited", Holder>> {
    const { id, name } = deposit;
    const answer = (code: DepositCode, retryAfter = 0) =>
      ({ type: "deposited", id, code, retryAfter }) as const;
    const wait = this.#rates.deposit(sender.fingerprint, now);
    if (wait > 0) return { answer: answer(DepositCode.tooFast, wait), wake: undefined };
    const owner = this.#person(sender, name)?.fingerprint ?? NOBODY;
    const knows = (box: number) => this.#rates.knows(sender.fingerprint, box);
    let kept: Kept | DepositCode;
    try {
      kept = await this.#store.change((writer) =>
        keep(writer, sender.fingerprint, owner, deposit, now, knows)
      );
    } catch (failure) {
      if (!(failure instanceof CifraError) || failure.code !== "local") throw failure;
      return { answer: answer(DepositCode.full), wake: undefined, failure };
    }
    if (typeof kept === "number") return { answer: answer(kept), wake: undefined };
    for (const envelope of kept.replaced) this.#left(envelope);
    const holder = this.#holders.get(kept.box);
    if (holder !== undefined) this.#deliveryOf(holder)!.arrived(sender.fingerprint, kept.place);
    return { answer: answer(DepositCode.stored), wake: holder };
  }

  /**
   * What a connection is to be told next of its box; undefined when there is nothing, or what was handed out has to be
   * settled first. Something of somebody who is not known any more is not handed out. Throws `local`.
   */
  next(holder: Holder, now: number): Response<"box" | "envelope"> | undefined {
    const delivery = this.#deliveryOf(holder);
    if (!delivery) return undefined;
    const envelope = delivery.isBoxDue
      ? undefined
      : delivery.next((sender) => this.#introduce(sender) !== undefined);
    if (envelope === "full") return undefined;
    if (envelope) {
      const { place, id, since } = envelope;
      this.#store.handedOut(place, id);
      const body = this.#store.body(place)!;
      const sender = this.#introduce(envelope.sender)!;
      return { type: "envelope", id, ...sender, since: BigInt(since), envelope: body };
    }
    if (!delivery.isBoxDue && !delivery.hasHandedOut) return undefined;
    // A box that is told between envelopes does not say that there are no more.
    if (!delivery.isBoxDue) delivery.hasHandedOut = false;
    delivery.isBoxDue = false;
    return standingOf(this.#store, delivery.owner, delivery.box, now);
  }

  /**
   * A connection says what has become of envelopes that it was handed; others are passed over. It may be handed more
   * at once; resolves when those that go are gone from the disk. Throws `local`: they are handed out again then, over
   * another connection.
   */
  async settle(
    holder: Holder,
    { settled }: Request<"settle">,
  ): Promise<void> {
    const delivery = this.#deliveryOf(holder);
    const gone: Envelope[] = [];
    for (const { id, verdict } of settled) {
      const envelope = delivery?.settle(id);
      if (envelope && verdict !== Verdict.later) gone.push(envelope);
    }
    if (gone.length === 0) return;
    await this.#store.change((writer) => {
      for (const { place, id } of gone) writer.take(place, id);
    });
    for (const { place, id } of gone) delivery!.left(place, id);
  }

  /** What somebody has left and waits: one answer at least. Throws `local`. */
  *mine(sender: string): Iterable<Response<"mine">> {
    for (let after = 0;;) {
      const found = this.#store.left(sender, after, DEPOSITS_LIMIT + 1);
      const more = found.length > DEPOSITS_LIMIT;
      const deposits = found.slice(0, DEPOSITS_LIMIT).map(({ id, wasHandedOut, isPresent }) => {
        const state = wasHandedOut ? DepositState.handedOut : DepositState.waits;
        // First what the sender has something to do about.
        return { id, state: isPresent ? state : DepositState.elsewhere };
      });
      yield { type: "mine", more: more ? 1 : 0, deposits };
      if (!more) return;
      after = found[DEPOSITS_LIMIT - 1]!.place;
    }
  }

  /** Takes back what somebody has left; ids of others are passed over. Throws `local`. */
  async withdraw(sender: string, { ids }: Request<"withdraw">): Promise<void> {
    const gone = await this.#store.change((writer) => takeBack(writer, sender, ids));
    for (const envelope of gone) this.#left(envelope);
  }

  /** A connection has ended: what it did not settle is handed out to the next one. */
  leave(holder: Holder): void {
    const box = this.#deliveryOf(holder)?.box;
    this.#deliveries.delete(holder);
    if (box !== undefined) this.#holders.delete(box);
  }

  /**
   * At the start and every hour: what has waited too long goes, and boxes that nobody has opened for long. Throws
   * `local`.
   */
  async expire(now: number): Promise<void> {
    await this.#store.change((writer) => {
      for (const box of this.#holders.keys()) writer.use(box, now);
    });
    await this.#untilLess(
      ENVELOPES_AT_ONCE,
      (writer) => writer.expire(now - ENVELOPE_LIFETIME, ENVELOPES_AT_ONCE),
    );
    await this.#untilLess(
      BOXES_AT_ONCE,
      (writer) => writer.removeUnused(now - BOX_LIFETIME, BOXES_AT_ONCE),
    );
    this.#refresh();
  }

  /**
   * A key is taken from its name: its boxes go, and what it has left. Before the name is forgotten. Throws `local`.
   */
  async forgetKey(fingerprint: string): Promise<void> {
    await this.#store.change((writer) => writer.forget(fingerprint));
    this.#refresh();
  }

  /** The same with all keys of a name. Before the name is forgotten. Throws `local`. */
  async forget(name: string): Promise<void> {
    for (const { fingerprint } of this.#names.keysOf(name)) await this.forgetKey(fingerprint);
  }

  /** How much there is: for the operator, who is told numbers alone. Throws `local`. */
  counts(): MailboxCounts {
    return this.#store.counts();
  }

  /** Somebody who can be written to by this one; undefined also for oneself, and when one of the two is shut out. */
  #person(by: Asker, name: string): NameKey | undefined {
    const key = this.#names.keysOf(name).find(({ suite }) => suite === "modern");
    const isBanned = [by, { name, fingerprint: key?.fingerprint ?? NOBODY }]
      .map((who) =>
        this.#names.isBanned("name", who.name) || this.#names.isBanned("key", who.fingerprint)
      )
      .includes(true);
    return isBanned || key?.fingerprint === by.fingerprint ? undefined : key;
  }

  /** The claim of somebody to their name that was checked last. */
  #claimOf(person: string): NameClaim | undefined {
    return this.#store.boxes(person).find(({ isPresent }) => isPresent)?.claim;
  }

  /** Whose envelopes these are; undefined for somebody who is not known any more. */
  #introduce(fingerprint: string) {
    const key = this.#names.keyWith(fingerprint), claim = this.#claimOf(fingerprint);
    return key && claim && { sender: key.name, bundle: key.bundle, claim };
  }

  /** One transaction after the other, since others wait for each, until one removes fewer than `limit`. */
  async #untilLess(limit: number, remove: (writer: MailboxWriter) => number): Promise<void> {
    while (await this.#store.change(remove) === limit);
  }

  #deliveryOf(holder: Holder): MailboxDelivery | undefined {
    return this.#deliveries.get(holder)?.delivery;
  }

  /** Much has gone at once. */
  #refresh(): void {
    for (const { delivery } of this.#deliveries.values()) delivery?.refresh();
  }

  #left({ box, place, id }: Envelope): void {
    const holder = this.#holders.get(box);
    if (holder !== undefined) this.#deliveryOf(holder)!.left(place, id);
  }
}
