/** Who asks for us in the lobby: who is answered automatically, who is announced, and who is declined. */
import { timingSafeEqual } from "../crypto/platform.ts";
import { CifraError } from "../errors.ts";
import type { Time } from "../flow/time.ts";
import { TokenBucket } from "../flow/token_bucket.ts";
import {
  OFFERS_LIMIT,
  STORE_PAUSE_MAXIMUM,
  STORE_PAUSE_MINIMUM,
  STRANGERS_ANSWERED,
  STRANGERS_ANSWERED_PAUSE,
} from "../limits.ts";
import type { Acquaintance, Contacts } from "./contacts.ts";
import type { Offer } from "./lobby.ts";

/** Who is talked to without being asked about. */
export type Acceptance = "known" | "all" | "none";

/** Somebody who asks for us. */
export interface Asking extends Offer {
  /** How they are known to us. */
  readonly acquaintance: Acquaintance;
}

/** What answering takes. */
export interface OffersOptions {
  readonly time: Time;
  readonly contacts: Pick<Contacts, "judge">;
  readonly accept: Acceptance;
  /** Whom we refused before this run; by default nobody. */
  readonly refused?: Iterable<string>;
  /** Whether there is a conversation with somebody, or one is being begun. */
  readonly isOpen: (name: string) => boolean;
  /** Takes the offer of a stranger once more, for whom there was no turn or no room. */
  readonly askAgain: (offer: Offer) => void;
  /** Begins a conversation; false when there is no room for it. */
  readonly begin: (name: string) => Promise<boolean>;
  readonly decline: (name: string) => void;
  /**
   * Told of everybody who asks, once: whether they were answered, or wait for an answer; and again when a stranger
   * who had to wait for their turn is answered.
   */
  readonly onAsking: (asking: Asking, isAnswered: boolean) => void;
  /** Told why nobody can be answered now, `local`: once, whoever asks. They wait, and are answered when it is over. */
  readonly onTrouble: (name: string, error: CifraError) => void;
}

/** All who ask. */
export class Offers {
  readonly #options: OffersOptions;
  /** Those who have not been answered; the oldest goes when there are too many. */
  readonly #asking = new Map<string, Asking>();
  /** Whom we do not want to talk to; undefined for those who have not asked. */
  readonly #refused = new Map<string, Offer | undefined>();
  /** Those with whom we have ended it: they are not answered automatically any more. */
  readonly #closed = new Set<string>();
  /** Strangers who may be answered by themselves. */
  readonly #turns: TokenBucket;
  #cancelTurn: (() => void) | undefined;
  #isStopped = false;
  /** Why the last answer failed here, as it was told. */
  #trouble: string | undefined;
  #cancelRest: (() => void) | undefined;
  /** Milliseconds of the next rest after a failure of ours. */
  #rest = STORE_PAUSE_MINIMUM;

  constructor(options: OffersOptions) {
    this.#options = options;
    const perMinute = 60_000 / STRANGERS_ANSWERED_PAUSE;
    this.#turns = new TokenBucket(STRANGERS_ANSWERED, perMinute, options.time.now());
    for (const name of options.refused ?? []) this.#refused.set(name, undefined);
  }

  /** Who asks and has not been answered. */
  get names(): Iterable<string> {
    return this.#asking.keys();
  }

  /** The offer of somebody who asks and has not been answered. */
  get(name: string): Asking | undefined {
    return this.#asking.get(name);
  }

  /** Whether somebody asks and has not been answered. */
  has(name: string): boolean {
    return this.#asking.has(name);
  }

  /** Whether somebody is declined whenever they ask. */
  isRefused(name: string): boolean {
    return this.#refused.has(name);
  }

  /** Somebody asks for us, or asks again. Throws `local`. */
  async take(offer: Offer): Promise<void> {
    const { contacts, isOpen, decline, onAsking } = this.#options;
    const { name } = offer;
    if (isOpen(name)) return;
    if (this.#refused.has(name) && isSame(this.#refused.get(name), offer)) return decline(name);
    const acquaintance = await contacts.judge(name, offer.identity);
    const asking: Asking = { ...offer, acquaintance };
    if (isOpen(name)) return;
    const isAnswered = await this.#answers(asking);
    if (isAnswered) this.forget(name);
    const isNews = isAnswered || this.#remember(asking);
    this.#awaitTurn();
    if (isNews) onAsking(asking, isAnswered);
  }

  /** Nobody is answered by themselves any more. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelTurn?.();
    this.#cancelRest?.();
  }

  /** Somebody does not ask any more. */
  forget(name: string): void {
    this.#asking.delete(name);
  }

  /** We want to talk to somebody, whatever was before. */
  welcome(name: string): void {
    this.forget(name);
    this.#refused.delete(name);
    this.#closed.delete(name);
  }

  /** Somebody is declined, now and whenever they ask again; returns whether they had asked. */
  refuse(name: string): boolean {
    const asking = this.#asking.get(name);
    this.#refused.set(name, asking);
    this.forget(name);
    this.#options.decline(name);
    return asking !== undefined;
  }

  /** Somebody is announced when they ask again, and not answered. */
  close(name: string): void {
    this.#closed.add(name);
  }

  /** Begins a conversation with somebody who is welcome; false when they have to wait. Throws `local`. */
  async #answers(asking: Asking): Promise<boolean> {
    if (this.#isStopped || this.#cancelRest || !this.#isWelcome(asking)) return false;
    const isStranger = asking.acquaintance === "stranger";
    if (isStranger && !this.#turns.take(this.#options.time.now())) return false;
    return await this.#begin(asking.name);
  }

  async #begin(name: string): Promise<boolean> {
    try {
      const hasBegun = await this.#options.begin(name);
      if (hasBegun) this.#recover(name);
      return hasBegun;
    } catch (error) {
      if (!(error instanceof CifraError) || error.code !== "local") throw error;
      this.#restFrom(name, error);
      return false;
    }
  }

  /** What is wrong here is as wrong for the next who asks: nobody is answered until a pause is over. */
  #restFrom(name: string, error: CifraError): void {
    if (this.#isStopped) return;
    const { time, askAgain, onTrouble } = this.#options;
    if (this.#trouble !== error.message) onTrouble(name, error);
    this.#trouble = error.message;
    this.#cancelRest ??= time.after(this.#rest, () => {
      this.#cancelRest = undefined;
      const next = this.#asking.values().find((asking) => this.#isWelcome(asking));
      if (next) askAgain(next);
    });
    this.#rest = Math.min(2 * this.#rest, STORE_PAUSE_MAXIMUM);
  }

  /** It went well again: those who waited for that have their answers. */
  #recover(name: string): void {
    this.#rest = STORE_PAUSE_MINIMUM;
    if (this.#trouble === undefined) return;
    this.#trouble = undefined;
    for (const asking of [...this.#asking.values()]) {
      if (asking.name !== name && this.#isWelcome(asking)) this.#options.askAgain(asking);
    }
  }

  /** Whether somebody who waits for an answer was not among those who do. */
  #remember(asking: Asking): boolean {
    const { name } = asking;
    const earlier = this.#asking.get(name);
    if (earlier && isSame(earlier, asking)) return false;
    this.#asking.set(name, asking);
    if (this.#asking.size > OFFERS_LIMIT) this.forget(this.#asking.keys().next().value!);
    return true;
  }

  /** The stranger who has waited longest asks again with the next turn. */
  #awaitTurn(): void {
    const { time, askAgain } = this.#options;
    if (this.#isStopped || !this.#nextStranger()) return;
    this.#cancelTurn ??= time.after(STRANGERS_ANSWERED_PAUSE, () => {
      this.#cancelTurn = undefined;
      const next = this.#nextStranger();
      if (next) askAgain(next);
    });
  }

  #nextStranger(): Asking | undefined {
    return this.#asking.values().find((asking) =>
      asking.acquaintance === "stranger" && this.#isWelcome(asking)
    );
  }

  /** Whether they are answered automatically. Never with a key that is not the one we know. */
  #isWelcome({ name, acquaintance }: Asking): boolean {
    if (this.#closed.has(name)) return false;
    switch (this.#options.accept) {
      case "all":
        return acquaintance === "known" || acquaintance === "stranger";
      case "known":
        return acquaintance === "known";
      case "none":
        return false;
    }
  }
}

/** Whether it is the same person once more; without a key nobody can say that it is not. */
function isSame(a: Offer | undefined, b: Offer): boolean {
  if (!a?.identity || !b.identity) return !a || a.suite === b.suite;
  return timingSafeEqual(a.identity.fingerprint, b.identity.fingerprint);
}
