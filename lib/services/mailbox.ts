/**
 * The mailbox: who may leave what for whom, who is given which keys, and what is handed out when (PROTOCOL.md 3.12).
 * Rules over a store; the time is told, in milliseconds since 1970. People are their fingerprints, in 64 hexadecimal
 * digits.
 */
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import type {
  Envelope,
  MailboxCounts,
  MailboxStore,
  MailboxWriter,
} from "../store/mailbox_store.ts";
import type { NameKey, ServerStore } from "../store/server_store.ts";
import { openBox, presentBox, publishIn, standingOf } from "./mailbox_boxes.ts";
import { MailboxDelivery } from "./mailbox_delivery.ts";
import {
  BOX_LIFETIME,
  BOXES_AT_ONCE,
  ENVELOPE_LIFETIME,
  ENVELOPE_MINIMUM,
  ENVELOPES_AT_ONCE,
  LEFT_PAGE,
  STOCK_LIMIT,
  STOCK_LOW,
  STRANGERS_ONCE_RESERVE,
} from "./mailbox_limits.ts";
import { MailboxRates } from "./mailbox_rates.ts";
import { hasRoom, isPass, keep, type Kept, takeBack } from "./mailbox_shares.ts";
import {
  type Asked,
  type Asker,
  type BoxStanding,
  BoxState,
  type Delivered,
  type Deposit,
  DepositCode,
  type Deposited,
  type LeftPage,
  LeftState,
  type Published,
  Verdict,
} from "./mailbox_terms.ts";

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
   * Makes a box of somebody's the present one, and gives it to this connection alone: `next` tells it the rest.
   * State 0 when there is no room for another box. Throws `local`.
   */
  async open(
    holder: Holder,
    owner: string,
    name: Bytes,
    passKey: Bytes,
    now: number,
  ): Promise<BoxStanding> {
    this.leave(holder);
    const opening: { delivery: MailboxDelivery | undefined } = { delivery: undefined };
    this.#deliveries.set(holder, opening);
    const opened = await this.#store.change((writer) => openBox(writer, owner, name, passKey, now));
    // The connection may have gone meanwhile, or have opened another one.
    if (opened && this.#deliveries.get(holder) === opening) {
      const before = this.#holders.get(opened.key);
      if (before !== undefined) this.leave(before);
      opening.delivery = new MailboxDelivery(this.#store, opened.key, owner);
      this.#holders.set(opened.key, holder);
    }
    const standing = standingOf(this.#store, owner, opened?.key, now);
    return opened?.wasOther ? { ...standing, state: BoxState.anotherWas } : standing;
  }

  /**
   * Takes prekeys for a box of somebody's; the standing tells which. Throws `bad_state` when there is no such box,
   * `bad_frame` when there would be too many one-time ones, `local`.
   */
  async publish(owner: string, prekeys: Published, now: number): Promise<BoxStanding> {
    const key = await this.#store.change((writer) => publishIn(writer, owner, prekeys, now));
    if (key === "no such box") {
      throw new CifraError("bad_state", "Cannot publish prekeys in a box that was not opened");
    }
    if (key === "too many") {
      throw new CifraError("bad_frame", `Cannot keep more than ${STOCK_LIMIT} one-time prekeys`);
    }
    return standingOf(this.#store, owner, key, now);
  }

  /**
   * Keys to write to somebody. That nothing is found says the same whatever the reason. The one-time prekey is gone
   * from the disk. Throws `local`.
   */
  async ask(asker: Asker, name: string, pass: Bytes, now: number): Promise<Asked<Holder>> {
    const retryAfter = this.#rates.ask(asker.fingerprint, name, now);
    if (retryAfter > 0) return { found: undefined, retryAfter, wake: undefined };
    const owner = this.#person(asker, name);
    const found = await this.#store.change((writer) => {
      const boxes = writer.boxes(owner?.fingerprint ?? NOBODY);
      const waiting = writer.waitingFor(owner?.fingerprint ?? NOBODY);
      const box = presentBox(boxes, now);
      const passed = isPass(box, asker.fingerprint, pass);
      const { count } = writer.stock(box?.key ?? 0);
      if (!owner || !box || !hasRoom(waiting, ENVELOPE_MINIMUM, passed)) return undefined;
      const mayHaveOnce = passed ||
        count > STRANGERS_ONCE_RESERVE && this.#rates.mayHaveOnce(box.owner, now);
      const once = mayHaveOnce ? writer.takeOnce(box.key) : undefined;
      // Also when the disk does not take it.
      if (once && !passed) this.#rates.gaveOnce(box.owner, now);
      const isLow = once !== undefined && count === STOCK_LOW;
      return { keys: { owner, box: box.name, signed: box.signed, once }, key: box.key, isLow };
    });
    if (!found) return { found: undefined, retryAfter: 0, wake: undefined };
    this.#rates.toldOf(asker.fingerprint, found.key);
    const holder = found.isLow ? this.#holders.get(found.key) : undefined;
    if (holder !== undefined) this.#deliveryOf(holder)!.isBoxDue = true;
    return { found: found.keys, retryAfter: 0, wake: holder };
  }

  /** Leaves an envelope: on disk when the code is `stored`. Its length was checked by whoever decoded it. */
  async deposit(sender: Asker, deposit: Deposit, now: number): Promise<Deposited<Holder>> {
    const retryAfter = this.#rates.deposit(sender.fingerprint, now);
    if (retryAfter > 0) return { code: DepositCode.tooMany, retryAfter, wake: undefined };
    const owner = this.#person(sender, deposit.name)?.fingerprint ?? NOBODY;
    const knows = (box: number) => this.#rates.knows(sender.fingerprint, box);
    let kept: Kept | DepositCode;
    try {
      kept = await this.#store.change((writer) =>
        keep(writer, sender.fingerprint, owner, deposit, now, knows)
      );
    } catch (failure) {
      if (!(failure instanceof CifraError) || failure.code !== "local") throw failure;
      return { code: DepositCode.serverFull, retryAfter: 0, wake: undefined, failure };
    }
    if (typeof kept === "number") return { code: kept, retryAfter: 0, wake: undefined };
    for (const envelope of kept.replaced) this.#left(envelope);
    const holder = this.#holders.get(kept.box);
    if (holder !== undefined) {
      this.#deliveryOf(holder)!.arrived(sender.fingerprint, kept.place);
    }
    return { code: DepositCode.stored, retryAfter: 0, wake: holder };
  }

  /**
   * What a connection is to be told next of its box; undefined when there is nothing, or what was handed out has to be
   * settled first. Something of somebody who is not known any more is not handed out. Throws `local`.
   */
  next(holder: Holder, now: number): Delivered | undefined {
    const delivery = this.#deliveryOf(holder);
    if (!delivery) return undefined;
    const envelope = delivery.isBoxDue
      ? undefined
      : delivery.next((sender) => this.#names.keyWith(sender) !== undefined);
    if (envelope === "full") return undefined;
    if (envelope) {
      const { place, id, since } = envelope;
      this.#store.handedOut(place, id);
      const sender = this.#names.keyWith(envelope.sender)!;
      return { type: "envelope", id, sender, since, envelope: this.#store.body(place)! };
    }
    if (!delivery.isBoxDue && !delivery.hasHandedOut) return undefined;
    // A box that is told between envelopes does not say that there are no more.
    if (!delivery.isBoxDue) delivery.hasHandedOut = false;
    delivery.isBoxDue = false;
    return { type: "box", standing: standingOf(this.#store, delivery.owner, delivery.box, now) };
  }

  /**
   * A connection says what has become of envelopes that it was handed; others are passed over. It may be handed more
   * at once; resolves when those that go are gone from the disk. Throws `local`: they are handed out again then, over
   * another connection.
   */
  async settle(
    holder: Holder,
    verdicts: readonly { readonly id: Bytes; readonly verdict: Verdict }[],
  ): Promise<void> {
    const delivery = this.#deliveryOf(holder);
    const gone: Envelope[] = [];
    for (const { id, verdict } of verdicts) {
      const envelope = delivery?.settle(id);
      if (envelope && verdict !== Verdict.notNow) gone.push(envelope);
    }
    if (gone.length === 0) return;
    await this.#store.change((writer) => {
      for (const { place, id } of gone) writer.take(place, id);
    });
    for (const { place, id } of gone) delivery!.left(place, id);
  }

  /** What somebody has left and waits, in pages; one page at least. Throws `local`. */
  *mine(sender: string): Iterable<LeftPage> {
    for (let after = 0;;) {
      const found = this.#store.left(sender, after, LEFT_PAGE + 1);
      const more = found.length > LEFT_PAGE;
      const left = found.slice(0, LEFT_PAGE).map(({ id, wasHandedOut, isPresent }) => ({
        id,
        // First what the sender has something to do about.
        state: !isPresent
          ? LeftState.notPresent
          : wasHandedOut
          ? LeftState.handedOut
          : LeftState.waits,
      }));
      yield { more, left };
      if (!more) return;
      after = found[LEFT_PAGE - 1]!.place;
    }
  }

  /** Takes back what somebody has left; ids of others are passed over. Throws `local`. */
  async withdraw(sender: string, ids: readonly Bytes[]): Promise<void> {
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
