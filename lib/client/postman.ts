/**
 * Carries what we write to people who are not here, and brings what they left for us (PROTOCOL.md 3.12). One more way
 * for the same logs: it works whenever we are registered, beside the conversations, and never while a channel carries
 * one of them.
 */
import { CifraError } from "../errors.ts";
import { Signal } from "../flow/signal.ts";
import { Throttle } from "../flow/throttle.ts";
import { MAIL_RETURN, RECEIPT_OF_READING_PAUSE, SEAL_AFTER } from "../limits.ts";
import type { MailContext } from "./mail_events.ts";
import { MailVisit } from "./mail_visit.ts";
import type { ServerLink } from "./server_link.ts";

/** What a postman is made of. */
export interface PostmanOptions extends MailContext {
  /** How long somebody must have had no channel before what we write is left for them, in milliseconds. */
  readonly sealAfter?: number;
}

/** When somebody is looked at, and what calls it off. */
interface Look {
  readonly at: number;
  readonly cancel: () => void;
}

/** The mail of one profile. */
export class Postman {
  readonly #options: PostmanOptions;
  readonly #looking = new Map<string, Look>();
  /** By name, how long nothing is left for somebody who has just had a channel. */
  readonly #resting = new Map<string, number>();
  /** Those of whom we have read something that they were not told of. */
  readonly #read = new Set<string>();
  readonly #receipts: Throttle;
  #visit: MailVisit | undefined;
  /** Resolves when the work over the last connection has come to its end. */
  #working: Promise<unknown> = Promise.resolve();
  #isLeaving = false;
  #leaving: Promise<void> | undefined;
  #hasLeft = false;
  /** No connection will come any more. */
  #isGivenUp = false;
  /** The box was opened over a connection, or none will be. */
  readonly #changed = new Signal();
  /** The server of the last connection. */
  #server: string | undefined;
  /** Those who have heard over a channel what we have of theirs, and have left nothing since. */
  readonly #told = new Set<string>();

  constructor(options: PostmanOptions) {
    this.#options = options;
    const { time } = options.environment;
    this.#receipts = new Throttle(time, RECEIPT_OF_READING_PAUSE, () => this.#tellRead());
  }

  /**
   * Works over a connection on which we are registered with this sequence, until it ends. Throws `local`, and what the
   * server does wrong.
   */
  async work(link: Pick<ServerLink, "identity" | "mailbox">, sequence: bigint): Promise<void> {
    // Two at a time would use up the same sessions.
    const working = this.#working.then(() => this.#work(link, sequence));
    this.#working = working.catch(() => {});
    await working;
  }

  async #work(link: Pick<ServerLink, "identity" | "mailbox">, sequence: bigint): Promise<void> {
    if (this.#hasLeft) return;
    const visit = new MailVisit({
      ...this.#options,
      onEvent: (event) => {
        if (event.type === "came") this.#told.delete(event.name);
        this.#options.onEvent(event);
      },
      onOpen: () => this.#changed.notify(),
      isApart: (name) => this.#isApart(name),
      link,
      sequence,
      touch: (name) => this.touch(name),
      await: (name) => this.parted(name),
      later: (name, milliseconds) => this.#look(name, milliseconds),
    });
    this.#visit = visit;
    this.#server = visit.server;
    if (this.#read.size > 0 && !this.#isLeaving) this.#receipts.touch();
    try {
      await visit.run();
    } finally {
      if (this.#visit === visit) this.#visit = undefined;
    }
  }

  /** Something is to be left for somebody: they are looked at in a while. */
  touch(name: string): void {
    this.#look(name, this.#pause);
  }

  /** A channel with somebody has ended, or a conversation: what waited for that is read, and left, in a while. */
  parted(name: string): void {
    this.#looking.get(name)?.cancel();
    this.#looking.delete(name);
    this.#resting.set(name, this.#now + this.#pause);
    this.#look(name, this.#pause);
  }

  /** A channel has told somebody what we have of theirs. */
  told(name: string): void {
    this.#told.add(name);
  }

  /** A stranger is welcome now, or a conversation open: what they left is read. */
  welcome(name: string): void {
    this.#visit?.readAgain(name);
  }

  /** We have read more of somebody: they are told, not too often, and there may be room for more. */
  hasRead(name: string): void {
    this.#visit?.readAgain(name, ["full"]);
    if (!this.#options.tellsRead || this.#isLeaving) return;
    this.#read.add(name);
    this.#receipts.touch();
  }

  /** Changes messages to somebody while nothing is sealed for them, and has what was left of these replaced. */
  async between<T>(name: string, job: () => Promise<T>): Promise<T> {
    return this.#visit ? await this.#visit.between(name, job) : await job();
  }

  /** The last of our messages to somebody that is on the server, or stored over there, with all before it. */
  async onServer(name: string): Promise<bigint> {
    return await this.#visit?.onServer(name) ?? 0n;
  }

  /**
   * Whether somebody may not know what we have of theirs, or the server has not said that it has something of ours:
   * whoever waits for that does not hear it from a program that has ended.
   */
  get owes(): boolean {
    if (this.#server === undefined) return false;
    const { mailbag } = this.#options.store;
    const unanswered = mailbag.deposits(this.#server).filter(({ isConfirmed }) => !isConfirmed);
    const waiting = [...mailbag.owed(this.#server), ...unanswered.map(({ peer }) => peer)];
    return waiting.some((name) => !this.#told.has(name));
  }

  /** No connection will come any more. */
  giveUp(): void {
    this.#isGivenUp = true;
    this.#changed.notify();
  }

  /**
   * Leaves what is still to be left, for a short time, and ends: nothing is under way when it resolves. Whoever owes
   * something when the connection is gone waits a moment for another one. What cannot be left stays where it is.
   */
  leave(): Promise<void> {
    return this.#leaving ??= this.#leave();
  }

  async #leave(): Promise<void> {
    this.#isLeaving = true;
    this.#receipts.stop();
    for (const { cancel } of this.#looking.values()) cancel();
    this.#looking.clear();
    this.#resting.clear();
    const patience = new AbortController();
    const cancel = this.#options.environment.time.after(MAIL_RETURN, () => patience.abort());
    try {
      let visit = this.#visit;
      do {
        this.#tellRead();
        await visit?.finish();
      } while (!visit?.isOpen && this.owes && (visit = await this.#opened(patience.signal)));
    } catch (error) {
      if (!(error instanceof CifraError)) throw error;
    } finally {
      cancel();
      this.#hasLeft = true;
      this.#visit?.end();
      await this.#working;
    }
  }

  /** A visit on which something can be left; undefined when none comes before `signal` is aborted. */
  async #opened(signal: AbortSignal): Promise<MailVisit | undefined> {
    while (!this.#visit?.isOpen && !this.#isGivenUp && !signal.aborted) {
      await this.#changed.wait(signal);
    }
    return this.#visit?.isOpen ? this.#visit : undefined;
  }

  get #now(): number {
    return this.#options.environment.time.now();
  }

  get #pause(): number {
    return this.#options.sealAfter ?? SEAL_AFTER;
  }

  #isApart(name: string): boolean {
    return this.#options.isApart(name) && (this.#resting.get(name) ?? -Infinity) <= this.#now;
  }

  #tellRead(): void {
    if (!this.#visit) return;
    for (const name of this.#read) this.#visit.owe(name);
    this.#read.clear();
  }

  /** An earlier look stands: whoever looks too early looks again. */
  #look(name: string, after: number): void {
    const at = this.#now + after, known = this.#looking.get(name);
    if (this.#isLeaving || known && known.at <= at) return;
    known?.cancel();
    const { isApart, environment: { time } } = this.#options;
    const cancel = time.after(after, () => {
      this.#looking.delete(name);
      this.#resting.delete(name);
      if (isApart(name)) this.#visit?.readAgain(name, ["channel"]);
      this.#visit?.write(name);
    });
    this.#looking.set(name, { at, cancel });
  }
}
