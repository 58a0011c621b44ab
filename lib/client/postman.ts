/**
 * Carries what we write to people who are not here, and brings what they left for us (PROTOCOL.md 3.12). One more way
 * for the same logs: it works whenever we are registered, beside the conversations, and never while a channel carries
 * one of them.
 */
import { Throttle } from "../flow/throttle.ts";
import { RECEIPT_OF_READING_PAUSE, SEAL_AFTER } from "../limits.ts";
import type { MailContext } from "./mail_events.ts";
import { MailVisit } from "./mail_visit.ts";
import type { ServerLink } from "./server_link.ts";

/** What a postman is made of. */
export interface PostmanOptions extends MailContext {
  /** How long somebody must have had no channel before what we write is left for them, in milliseconds. */
  readonly sealAfter?: number;
}

/** The mail of one profile. */
export class Postman {
  readonly #options: PostmanOptions;
  /** By name, what ends a wait after which somebody is looked at. */
  readonly #looking = new Map<string, () => void>();
  /** Those of whom we have read something that they were not told of. */
  readonly #read = new Set<string>();
  readonly #receipts: Throttle;
  #visit: MailVisit | undefined;
  #isLeaving = false;

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
    if (this.#isLeaving) return;
    const visit = new MailVisit({
      ...this.#options,
      link,
      sequence,
      touch: (name) => this.touch(name),
      later: (name, milliseconds) => this.#look(name, milliseconds),
    });
    this.#visit = visit;
    try {
      await visit.run();
    } finally {
      visit.end();
      if (this.#visit === visit) this.#visit = undefined;
    }
  }

  /** Something is to be left for somebody, or a channel with them has ended: they are looked at in a while. */
  touch(name: string): void {
    const { sealAfter = SEAL_AFTER } = this.#options;
    if (!this.#looking.has(name)) this.#look(name, sealAfter);
  }

  /** A stranger is welcome now: what they left is read. */
  welcome(name: string): void {
    this.#visit?.readAgain(name);
  }

  /** We have read more of somebody: they are told, not too often. */
  hasRead(name: string): void {
    if (!this.#options.tellsRead || this.#isLeaving) return;
    this.#read.add(name);
    this.#receipts.touch();
  }

  /** The last of our messages to somebody that is on the server, or stored over there, with all before it. */
  async onServer(name: string): Promise<bigint> {
    return await this.#visit?.onServer(name) ?? 0n;
  }

  /** Leaves what is still to be left, for a short time, and ends. Throws `local`. */
  async leave(): Promise<void> {
    this.#isLeaving = true;
    this.#receipts.stop();
    for (const cancel of this.#looking.values()) cancel();
    this.#looking.clear();
    await this.#tellRead();
    await this.#visit?.finish();
    this.#visit?.end();
  }

  #tellRead(): void {
    for (const name of this.#read) this.#visit?.owe(name);
    this.#read.clear();
  }

  #look(name: string, after: number): void {
    if (this.#isLeaving) return;
    this.#looking.get(name)?.();
    const { time } = this.#options.environment;
    const cancel = time.after(after, () => {
      this.#looking.delete(name);
      this.#visit?.write(name);
    });
    this.#looking.set(name, cancel);
  }
}
