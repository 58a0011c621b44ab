/**
 * The mailbox during one registration: opens our box, publishes prekeys, reads what was left for us, leaves what we
 * have written, and says what we have (PROTOCOL.md 3.12).
 */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import {
  CLAIM_LIFETIME,
  MAIL_AGAIN,
  MAIL_GOODBYE,
  MAIL_POSTPONED_LIMIT,
  PREKEYS_LOOK,
  RECEIPT_AFTER,
  RECEIPT_OF_FAILURE_PAUSE,
} from "../limits.ts";
import type { Moment } from "../store/mailbag.ts";
import { BoxState, type MailboxResponse, Verdict } from "../wire/mailbox_messages.ts";
import { NOWHERE, signedNameClaim } from "../wire/name_claim.ts";
import { BoundedMap } from "../flow/bounded_map.ts";
import { Signal } from "../flow/signal.ts";
import type { MailContext } from "./mail_events.ts";
import { type Letter, MailReader, type Reading } from "./mail_reader.ts";
import { MailWriter } from "./mail_writer.ts";
import type { MailboxLane } from "./mailbox_lane.ts";
import { MailboxKeys, type Standing } from "./mailbox_keys.ts";
import type { ServerLink } from "./server_link.ts";

/** What a visit is made of, beside what a postman has. */
export interface MailVisitOptions extends MailContext {
  readonly link: Pick<ServerLink, "identity" | "mailbox">;
  /** Of the registration on this connection. */
  readonly sequence: bigint;
  /** Look at somebody when they have had no channel for a while. */
  readonly touch: (name: string) => void;
  /** The same, and read again what waits for that. */
  readonly await: (name: string) => void;
  /** Look at somebody after so many milliseconds. */
  readonly later: (name: string, milliseconds: number) => void;
  /** The box is open: something can be left. */
  readonly onOpen: () => void;
}

/** Why what somebody has left stays at the server. */
type Reason =
  /** A channel with them is open, or a conversation is being opened or ended. */
  | "channel"
  /** The person has not agreed to hear from them. */
  | "unwelcome"
  /** There is no room before the person has looked at some of it, or it cannot be said who they are. */
  | "full";

/** Somebody whose envelopes stay at the server. */
interface Postponed {
  readonly why: Reason;
  /** The box was opened again for them: they come once more when the server says that it is. */
  isAskedFor: boolean;
}

/** One registration's worth of mail. */
export class MailVisit {
  readonly #options: MailVisitOptions;
  readonly #server: string;
  readonly #lane: MailboxLane;
  readonly #keys: MailboxKeys;
  readonly #reader: MailReader;
  readonly #writer: MailWriter;
  readonly #ended = new AbortController();
  /** Those whose envelopes stay where they are. What comes behind one of them must not be opened before it. */
  readonly #postponed = new BoundedMap<string, Postponed>(MAIL_POSTPONED_LIMIT);
  /** What is done beside the reading of what the server says. */
  readonly #jobs = new Set<Promise<void>>();
  /** When somebody was last asked for what does not open. */
  readonly #askedAgain = new Map<string, number>();
  #isOpen = false;
  /** Another box was begun on this connection: a server that knows more of it lies, or speaks of the one before. */
  #hasBegunAnew = false;
  /** Whether it was asked what is there of ours, and has to be once more. */
  #isAskingMine = false;
  readonly #mineIsTold = new Signal();
  #asksMineAgain = false;
  #cancelMine: (() => void) | undefined;
  #cancelUpkeep: (() => void) | undefined;
  #cancelAgain: (() => void) | undefined;
  /** Envelopes that waited when our box was opened, and were not read yet. */
  #expected = 0;
  #cancelReceipts: (() => void) | undefined;
  #failure: unknown;
  /** How far the server's clock is ahead of ours. */
  #ahead = 0;

  constructor(options: MailVisitOptions) {
    const { store, identity, environment: { time, random }, link, sequence } = options;
    this.#options = options;
    this.#server = encodeHex(link.identity.fingerprint);
    this.#lane = link.mailbox;
    const at = { ...options, mailbag: store.mailbag, server: this.#server };
    this.#keys = new MailboxKeys({ ...at, identity, random, date: () => time.date(), sequence });
    this.#reader = new MailReader(at);
    this.#writer = new MailWriter({
      ...at,
      time,
      random,
      lane: this.#lane,
      box: () => store.mailbag.box(this.#server),
      onLeft: (name) => options.onEvent({ type: "left", name }),
      onTrouble: (name, error) => options.onEvent({ type: "trouble", name, error }),
    });
  }

  /**
   * Works until the connection ends, or `end`; nothing is under way when it resolves. Throws `local`, and what the
   * server does wrong.
   */
  async run(): Promise<void> {
    const { signal } = this.#ended;
    try {
      await this.#open();
      for (;;) {
        const response = await this.#lane.next(signal);
        if (this.#failure !== undefined) throw this.#failure;
        if (!response || signal.aborted) return;
        await this.#take(response);
      }
    } finally {
      this.end();
      await Promise.all(this.#jobs);
    }
  }

  /** Nothing more is begun. */
  end(): void {
    this.#ended.abort();
    this.#cancelReceipts?.();
    this.#cancelMine?.();
    this.#cancelUpkeep?.();
    this.#cancelAgain?.();
  }

  /** Leaves what is to be left for somebody. Never throws. */
  write(name: string): void {
    this.#do(async () => {
      if (this.#isOpen) await this.#writer.write(name);
    });
  }

  /** Has what stays at the server for one of these reasons come once more. Never throws. */
  readAgain(name: string, reasons: readonly Reason[] = ["channel", "unwelcome", "full"]): void {
    const postponed = this.#postponed.get(name);
    if (!postponed || postponed.isAskedFor || !reasons.includes(postponed.why)) return;
    if (postponed.why === "full" && !this.#reader.hasRoom(name)) return;
    postponed.isAskedFor = true;
    this.#do(() => this.#open());
  }

  /** Changes messages to somebody while nothing is sealed for them; what is outdated with that is replaced at once. */
  async between<T>(name: string, job: () => Promise<T>): Promise<T> {
    const done = await this.#writer.between(name, job);
    this.write(name);
    return done;
  }

  /** A receipt is owed to somebody who is known here, and is sent. Never throws. */
  owe(name: string): void {
    this.#do(async () => {
      const { mailbag } = this.#options.store;
      const correspondent = mailbag.correspondent(name, this.#server);
      if (!correspondent) return;
      await mailbag.owe(name, this.#server, correspondent.owner);
      if (this.#isOpen) await this.#writer.write(name);
    });
  }

  /** The last message to somebody that is on the server with all before it, or stored over there. Throws `local`. */
  async onServer(name: string): Promise<bigint> {
    const { store, suite } = this.#options;
    const { log, stored } = await store.outgoing({ peer: name, suite });
    return this.#writer.onServer(name, log, stored);
  }

  /** The fingerprint of the server's key, in hexadecimal. */
  get server(): string {
    return this.#server;
  }

  /** Whether something can be left. */
  get isOpen(): boolean {
    return this.#isOpen && !this.#lane.hasEnded && !this.#ended.signal.aborted;
  }

  /** Leaves all that is to be left, as far as that is a matter of a moment. Throws `local`. */
  async finish(): Promise<void> {
    await Promise.all(this.#jobs);
    if (!this.isOpen) return;
    const { time } = this.#options.environment;
    const patience = new AbortController();
    const cancel = time.after(MAIL_GOODBYE, () => patience.abort());
    // What another connection has left without an answer may be there, and may not.
    while (this.#isAskingMine && this.isOpen && !patience.signal.aborted) {
      await this.#mineIsTold.wait(AbortSignal.any([patience.signal, this.#ended.signal]));
    }
    if (this.isOpen) { for (const name of this.#unfinished()) await this.#writer.write(name); }
    await this.#writer.settled(AbortSignal.any([patience.signal, this.#ended.signal]));
    cancel();
  }

  /** Those to whom something of ours, or a receipt, has not come. */
  #unfinished(): Iterable<string> {
    const { store, suite } = this.#options;
    return new Set([...store.unstored(suite), ...store.mailbag.owed(this.#server)]);
  }

  async #open(): Promise<void> {
    const { identity, ourName, sequence, environment: { time } } = this.#options;
    const { name, passKey } = await this.#keys.box();
    const notAfter = BigInt(time.date() + CLAIM_LIFETIME);
    const signed = signedNameClaim(ourName, identity.bundle, { sequence, notAfter }, NOWHERE);
    const signature = await identity.sign(signed);
    this.#lane.say({ type: "open", box: name, passKey, notAfter, signature });
  }

  async #take(response: MailboxResponse): Promise<void> {
    switch (response.type) {
      case "box":
        return await this.#boxStands(response);
      case "envelope":
        await this.#read(response);
        return this.#countDown(1);
      case "keys":
        return await this.#writer.keysCame(response);
      case "deposited":
        return await this.#writer.deposited(response);
      case "mine": {
        const names = await this.#writer.mineCame(response);
        if (response.more === 0) this.#mineCame();
        for (const name of new Set([...names, ...this.#unfinished()])) this.#options.touch(name);
        return;
      }
      default:
        response satisfies never;
    }
  }

  async #boxStands(standing: Standing): Promise<void> {
    const { store, environment: { time }, onEvent } = this.#options;
    if (standing.state === BoxState.none) {
      this.#isOpen = false;
      this.#cancelAgain ??= time.after(MAIL_AGAIN, () => {
        this.#cancelAgain = undefined;
        this.#do(() => this.#open());
      });
      return onEvent({ type: "none" });
    }
    this.#ahead = Number(standing.now) - time.date();
    const box = await this.#keys.box();
    if (this.#keys.isOld(box, standing)) {
      if (this.#hasBegunAnew) return;
      this.#hasBegunAnew = true;
      await this.#keys.beginAnew();
      return await this.#open();
    }
    for (const [name, { isAskedFor }] of [...this.#postponed]) {
      if (isAskedFor) this.#postponed.delete(name);
    }
    const publication = await this.#keys.publication(standing);
    if (publication) this.#lane.say(publication);
    else if (box.anew) await store.mailbag.noteAnew(this.#server);
    if (!this.#isOpen) {
      this.#isOpen = true;
      if (standing.elsewhere > 0) onEvent({ type: "elsewhere", count: standing.elsewhere });
      // What is there of ours is known before anything is left.
      this.#askMine();
      this.#keepUp();
      this.#options.onOpen();
      this.#expected = standing.waiting;
      this.#countDown(0);
    }
    if (standing.waiting === 0) this.#giveReceipts();
    store.tidy();
  }

  /** Of whoever stays the prekeys get old as well: a `publish` of nothing has the server say how the box stands. */
  #keepUp(): void {
    const { store: { mailbag }, environment: { time } } = this.#options;
    this.#cancelUpkeep = time.after(PREKEYS_LOOK, () => {
      const box = mailbag.box(this.#server)?.name;
      if (box) this.#lane.say({ type: "publish", box, anew: 0, signed: [], once: [] });
      this.#keepUp();
    });
  }

  /** So many of those that waited are read; that all are is told. */
  #countDown(read: number): void {
    if (this.#expected < read) return;
    this.#expected -= read;
    if (this.#expected === 0) this.#options.onEvent({ type: "drained" });
  }

  async #read(letter: Letter): Promise<void> {
    const { sender: name } = letter;
    if (this.#postponed.get(name)) return this.#settle(letter.id, Verdict.later);
    const reading = await this.#reader.read(letter, this.#now());
    switch (reading.type) {
      case "stranger":
        this.#postpone(letter, "unwelcome");
        return this.#options.onEvent({ type: "stranger", name, sender: reading.sender });
      case "refused":
        return this.#postpone(letter, "unwelcome");
      case "later":
        this.#postpone(letter, "full");
        if (!reading.error) return;
        return this.#options.onEvent({ type: "trouble", name, error: reading.error });
      case "waits":
        this.#postpone(letter, "channel");
        return this.#options.await(name);
      case "changed":
        this.#postpone(letter, "unwelcome");
        return this.#options.onEvent({ type: "changed", name, error: reading.error });
      case "unopened":
        this.#settle(letter.id, Verdict.unopened);
        return await this.#askAgain(name, reading);
      case "taken":
        this.#settle(letter.id, Verdict.taken);
        this.#expectMore();
        return await this.#tell(letter, reading);
    }
  }

  async #tell(
    { sender: name, since }: Letter,
    { news }: Extract<Reading, { type: "taken" }>,
  ): Promise<void> {
    if (!news) return;
    this.#options.onEvent({ type: "came", name, news });
    // The reader of what is left for them has said how far they are.
    const wait = await this.#writer.heard(name, Number(since) - this.#ahead);
    if (wait === undefined || this.#ended.signal.aborted) return;
    if (wait === 0) return this.#askMine();
    const { time } = this.#options.environment;
    this.#cancelMine?.();
    this.#cancelMine = time.after(wait, () => this.#askMine());
  }

  /** What is there of ours? One question at a time; what is asked meanwhile may have another answer. */
  #askMine(): void {
    if (this.#isAskingMine) this.#asksMineAgain = true;
    else {
      this.#isAskingMine = true;
      this.#lane.say({ type: "mine" });
    }
  }

  #mineCame(): void {
    this.#isAskingMine = false;
    this.#mineIsTold.notify();
    if (!this.#asksMineAgain) return;
    this.#asksMineAgain = false;
    this.#askMine();
  }

  #postpone({ sender: name, id }: Letter, why: Reason): void {
    this.#postponed.set(name, { why, isAskedFor: false });
    this.#settle(id, Verdict.later);
  }

  /** More may follow at once; then one receipt says all. */
  #expectMore(): void {
    if (this.#ended.signal.aborted) return;
    const { time } = this.#options.environment;
    this.#cancelReceipts ??= time.after(RECEIPT_AFTER, () => this.#giveReceipts());
  }

  #giveReceipts(): void {
    this.#cancelReceipts?.();
    this.#cancelReceipts = undefined;
    if (this.#ended.signal.aborted) return;
    for (const name of this.#options.store.mailbag.owed(this.#server)) this.write(name);
  }

  /** Somebody we know has left what does not open here: they learn that we do not have it, not too often. */
  async #askAgain(name: string, { sender }: Extract<Reading, { type: "unopened" }>): Promise<void> {
    const { store: { mailbag }, environment: { time }, onEvent } = this.#options;
    if (!sender) return;
    const last = this.#askedAgain.get(name) ?? -Infinity;
    if (time.now() - last < RECEIPT_OF_FAILURE_PAUSE) return;
    this.#askedAgain.set(name, time.now());
    onEvent({ type: "unopened", name });
    await mailbag.owe(name, this.#server, sender.fingerprint);
    this.#expectMore();
  }

  #settle(id: Bytes, verdict: Verdict): void {
    this.#lane.say({ type: "settle", settled: [{ id, verdict }] });
  }

  #now(): Moment {
    const here = this.#options.environment.time.date();
    return { here, there: here + this.#ahead };
  }

  /** Does something beside the reading of what the server says; what goes wrong ends the visit. */
  #do(job: () => Promise<void>): void {
    if (this.#ended.signal.aborted) return;
    const running = job().catch((error) => {
      this.#failure ??= error;
      this.#ended.abort();
    }).finally(() => this.#jobs.delete(running));
    this.#jobs.add(running);
  }
}
