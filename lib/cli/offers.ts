/** Who asks for us in the lobby: who is answered automatically, who is announced, and who is declined. */
import { Throttle } from "../flow/throttle.ts";
import type { Acquaintance, Contacts } from "../client/contacts.ts";
import type { Offer } from "../client/lobby.ts";
import { formatFingerprint } from "../crypto/identity.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { OFFERS_LIMIT } from "../limits.ts";
import { systemEnvironment } from "../net/environment.ts";
import { CHANGES_PAUSE, describeCrowd } from "./lobby_words.ts";
import { suiteOf } from "./status_words.ts";
import type { JsonEvent, Terminal } from "./terminal.ts";

/** So many are named one by one when they ask for us. */
const OFFERS_SHOWN = 3;

/** Who is talked to without being asked about. */
export type Acceptance = typeof ACCEPTANCES[number];
const ACCEPTANCES = ["known", "all", "none"] as const;

/** Whether `text` is a choice of that. */
export function isAcceptance(text: string): text is Acceptance {
  return (ACCEPTANCES as readonly string[]).includes(text);
}

/** Somebody who asks for us. */
interface Asking extends Offer {
  /** How they are known to us. */
  readonly acquaintance: Acquaintance;
}

/** What answering takes. */
export interface OffersOptions {
  readonly contacts: Contacts;
  readonly ourSuite: SuiteName;
  readonly terminal: Terminal;
  readonly accept: Acceptance;
  /** Whether there is a conversation with somebody, or one is being begun. */
  readonly isOpen: (name: string) => boolean;
  /** Begins a conversation; false when there is no room for it. */
  readonly begin: (name: string) => Promise<boolean>;
  readonly decline: (name: string) => void;
}

/** All who ask. */
export class Offers {
  readonly #options: OffersOptions;
  /** Those who have not been answered; the oldest goes when there are too many. */
  readonly #asking = new Map<string, Asking>();
  /** Those of them who are still to be told of. */
  readonly #untold = new Set<string>();
  readonly #telling: Throttle;
  /** Whom we do not want to talk to; undefined for those who have not asked. */
  readonly #refused = new Map<string, Offer | undefined>();
  /** Those with whom we have ended it: they are not answered automatically any more. */
  readonly #closed = new Set<string>();

  constructor(options: OffersOptions) {
    this.#options = options;
    this.#telling = new Throttle(systemEnvironment.time, CHANGES_PAUSE, () => this.#tell());
  }

  /** Who asks and has not been answered. */
  get names(): Iterable<string> {
    return this.#asking.keys();
  }

  /** Whether somebody asks and has not been answered. */
  has(name: string): boolean {
    return this.#asking.has(name);
  }

  /** Somebody asks for us, or asks again. Throws `local`. */
  async take(offer: Offer): Promise<void> {
    const { terminal, isOpen, begin, decline } = this.#options;
    const { name } = offer;
    if (isOpen(name)) return;
    if (this.#refused.has(name) && isSame(this.#refused.get(name), offer)) return decline(name);
    const acquaintance = await this.#options.contacts.judge(name, offer.identity);
    const asking: Asking = { ...offer, acquaintance };
    if (isOpen(name)) return;
    if (this.#isWelcome(asking) && await begin(name)) {
      if (terminal.json) terminal.emit(offerJson(asking, true));
      return;
    }
    const earlier = this.#asking.get(name);
    if (earlier && isSame(earlier, asking)) return;
    this.#asking.set(name, asking);
    if (this.#asking.size > OFFERS_LIMIT) this.forget(this.#asking.keys().next().value!);
    if (terminal.json) return terminal.emit(offerJson(asking, false));
    this.#untold.add(name);
    this.#telling.touch();
  }

  /** Somebody does not ask any more. */
  forget(name: string): void {
    this.#asking.delete(name);
    this.#untold.delete(name);
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

  /** Nobody is told of any more. */
  stop(): void {
    this.#telling.stop();
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

  #tell(): void {
    const { terminal, ourSuite } = this.#options;
    const offers = [...this.#untold].map((name) => this.#asking.get(name)!);
    this.#untold.clear();
    if (offers.length > OFFERS_SHOWN) {
      const names = describeCrowd(offers.map(({ name }) => name));
      return terminal.say(`${offers.length} ask for you: ${names}`);
    }
    for (const offer of offers) terminal.say(describeOffer(offer, ourSuite));
  }
}

/** Whether it is the same person once more; without a key nobody can say that it is not. */
function isSame(a: Offer | undefined, b: Offer): boolean {
  if (!a?.identity || !b.identity) return !a || a.suite === b.suite;
  return timingSafeEqual(a.identity.fingerprint, b.identity.fingerprint);
}

function describeOffer(
  { name, acquaintance, suite, identity }: Asking,
  ourSuite: SuiteName,
): string {
  if (!identity) {
    return `${name} asks for you with the suite ${suiteOf(suite)}, and you have ${ourSuite}: ` +
      "one of you has to change --suite";
  }
  const key = formatFingerprint(identity.fingerprint);
  const answers = `/to ${name} or /refuse ${name}`;
  switch (acquaintance) {
    case "known":
      return `${name} asks for you: ${answers}`;
    case "changed":
      return `somebody asks for you as ${name}, but with ANOTHER KEY than ${name} had before\n` +
        `presented: ${key}\nask ${name} another way what this means; /refuse ${name}`;
    case "other suite":
      return `somebody asks for you as ${name}, whom you know by a key for another suite\n` +
        `presented: ${key} (${ourSuite})\nask ${name} another way whether this is theirs`;
    case "stranger":
      return `${name}, whom you do not know, asks for you: ${answers}\nkey ${key}`;
  }
}

function offerJson(
  { name, acquaintance, suite, identity }: Asking,
  accepted: boolean,
): JsonEvent {
  return {
    event: "offer",
    from: name,
    standing: acquaintance,
    suite: suiteOf(suite),
    ...(identity && { fingerprint: formatFingerprint(identity.fingerprint) }),
    accepted,
  };
}
