/** Who asks for us in the lobby: who is answered automatically, who is announced, and who is declined. */
import { timingSafeEqual } from "../crypto/platform.ts";
import { OFFERS_LIMIT } from "../limits.ts";
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
  readonly contacts: Pick<Contacts, "judge">;
  readonly accept: Acceptance;
  /** Whom we refused before this run; by default nobody. */
  readonly refused?: Iterable<string>;
  /** Whether there is a conversation with somebody, or one is being begun. */
  readonly isOpen: (name: string) => boolean;
  /** Begins a conversation; false when there is no room for it. */
  readonly begin: (name: string) => Promise<boolean>;
  readonly decline: (name: string) => void;
  /** Told of everybody who asks, once: whether they were answered, or wait for an answer. */
  readonly onAsking: (asking: Asking, isAnswered: boolean) => void;
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

  constructor(options: OffersOptions) {
    this.#options = options;
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
    const { contacts, isOpen, begin, decline, onAsking } = this.#options;
    const { name } = offer;
    if (isOpen(name)) return;
    if (this.#refused.has(name) && isSame(this.#refused.get(name), offer)) return decline(name);
    const acquaintance = await contacts.judge(name, offer.identity);
    const asking: Asking = { ...offer, acquaintance };
    if (isOpen(name)) return;
    if (this.#isWelcome(asking) && await begin(name)) return onAsking(asking, true);
    const earlier = this.#asking.get(name);
    if (earlier && isSame(earlier, asking)) return;
    this.#asking.set(name, asking);
    if (this.#asking.size > OFFERS_LIMIT) this.forget(this.#asking.keys().next().value!);
    onAsking(asking, false);
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
