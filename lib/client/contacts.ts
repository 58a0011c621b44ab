/**
 * The people a profile knows, by their keys, in the suite it uses now: whether somebody is who they say, who is
 * new, and the words to compare. Introductions and offers are judged alike.
 */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { formatFingerprint, type Identity, type PublicIdentity } from "../crypto/identity.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import { safetyWords } from "../crypto/safety_words.ts";
import type { Suite } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import type { Pins } from "./pins.ts";

/** How somebody is known to us. */
export type Acquaintance =
  /** By this very key. */
  | "known"
  /** By another key in this suite. */
  | "changed"
  /** By a key in another suite alone, or they come with a suite that is not ours. */
  | "other suite"
  /** Not at all. */
  | "stranger";

/** Whose contacts they are, and how new and changed keys are met. */
export interface ContactsOptions {
  readonly suite: Suite;
  readonly identity: Identity;
  readonly pins: Pins;
  /** Milliseconds since 1970. */
  readonly date: () => number;
  /** A key in another suite than the one by which somebody is known is taken without asking. */
  readonly acceptNew: boolean;
  /** The fingerprint that whoever is wanted must have. */
  readonly peerKey: Bytes | undefined;
  /** What a person does to accept another key: for hints. */
  readonly howToAccept: (name: string, fingerprint: string) => string;
  /** Told when somebody is pinned on first contact. */
  readonly onPinned: (name: string, fingerprint: string) => void;
}

/** Whom one profile knows. */
export class Contacts {
  readonly #options: ContactsOptions;
  /** The fingerprints of those who were met since the program began, by their names. */
  readonly #met = new Map<string, Bytes>();
  /** By the other fingerprint, the words that were asked for. */
  readonly #words = new Map<string, readonly string[]>();

  constructor(options: ContactsOptions) {
    this.#options = options;
  }

  /** This is somebody's fingerprint, for `words`. */
  meet(name: string, fingerprint: Bytes): void {
    this.#met.set(name, fingerprint);
  }

  /** The fingerprint by which somebody is known. Throws `local` when it cannot be read. */
  async fingerprintOf(name: string): Promise<Bytes | undefined> {
    const { pins, suite } = this.#options;
    return this.#met.get(name) ?? (await pins.find(name, suite.name))?.fingerprint;
  }

  /**
   * How an identity that comes as `name` is known to us; undefined for one in a suite that is not ours. Throws
   * `local` when a damaged line may hide who that is.
   */
  async judge(name: string, identity: PublicIdentity | undefined): Promise<Acquaintance> {
    const { pins, suite, peerKey, acceptNew } = this.#options;
    if (!identity) return "other suite";
    const expected = peerKey ?? (await pins.find(name, suite.name))?.fingerprint;
    if (expected) return timingSafeEqual(expected, identity.fingerprint) ? "known" : "changed";
    pins.requireUndamaged();
    const isKnownOtherwise = pins.inOtherSuites(name, suite.name).length > 0;
    return isKnownOtherwise && !acceptNew ? "other suite" : "stranger";
  }

  /**
   * Whether an identity that was introduced as `name` may be talked to; returns what pins it once it has proved
   * its key. Throws `identity_changed`, `suite_downgrade`, `local`.
   */
  async check(name: string, identity: PublicIdentity): Promise<() => Promise<void>> {
    const { pins, suite, peerKey } = this.#options;
    const acquaintance = await this.judge(name, identity);
    const pinned = await pins.find(name, suite.name);
    if (acquaintance === "changed") {
      throw this.#changed(name, peerKey ?? pinned!.fingerprint, identity.fingerprint);
    }
    if (acquaintance === "other suite") throw this.#otherSuite(name, identity.fingerprint);
    this.meet(name, identity.fingerprint);
    if (pinned && timingSafeEqual(pinned.fingerprint, identity.fingerprint)) {
      return () => Promise.resolve();
    }
    let pinning: Promise<void> | undefined;
    return () => pinning ??= this.#pin(name, identity);
  }

  /** The fingerprint of somebody who was met, or else of whoever is pinned. */
  knownAs(name: string): Bytes | undefined {
    const { pins, suite } = this.#options;
    return this.#met.get(name) ?? pins.knownAs(name, suite.name)?.fingerprint;
  }

  /** Whether somebody who was met, or else whoever is pinned, is marked as verified. */
  isVerified(name: string): boolean {
    const { pins, suite } = this.#options;
    const met = this.#met.get(name);
    if (met) return pins.isVerified(name, suite.name, met);
    return pins.knownAs(name, suite.name)?.isVerified ?? false;
  }

  /** The twelve words to compare with somebody; undefined when nothing is known. Throws `local`. */
  async words(name: string): Promise<readonly string[] | undefined> {
    const theirs = await this.fingerprintOf(name);
    if (!theirs) return undefined;
    const key = encodeHex(theirs);
    // They take half a second, and are the same whenever they are asked for.
    const words = this.#words.get(key) ??
      await safetyWords(this.#options.identity.fingerprint, theirs);
    this.#words.set(key, words);
    return words;
  }

  /** Marks somebody whose words were the same; false when nothing is known. Throws `usage`, `local`. */
  async markVerified(name: string): Promise<boolean> {
    const { pins, suite } = this.#options;
    const theirs = await this.fingerprintOf(name);
    if (!theirs) return false;
    await pins.verify(name, suite.name, theirs);
    return true;
  }

  async #pin(name: string, identity: PublicIdentity): Promise<void> {
    const { pins, suite, date, onPinned } = this.#options;
    await pins.pin(name, suite.name, identity, new Date(date()));
    onPinned(name, formatFingerprint(identity.fingerprint));
  }

  #changed(name: string, expected: Bytes, presented: Bytes): CifraError {
    const { pins, suite } = this.#options;
    const verified = pins.isVerified(name, suite.name, expected) ? ", which you had verified" : "";
    return new CifraError(
      "identity_changed",
      `${name} has another key than before${verified}\n` +
        `  expected:  ${formatFingerprint(expected)}\n` +
        `  presented: ${formatFingerprint(presented)}`,
      {
        hint: `somebody may pretend to be ${name}: ask ${name} another way; only if the key was ` +
          `really changed:\n  ${this.#accepting(name, presented)}`,
      },
    );
  }

  #otherSuite(name: string, presented: Bytes): CifraError {
    const { pins, suite: { name: suite } } = this.#options;
    const [known] = pins.inOtherSuites(name, suite);
    return new CifraError(
      "suite_downgrade",
      `${name} is known by a ${known?.suite} key, not by one for ${suite}\n` +
        `  presented: ${formatFingerprint(presented)} (${suite})`,
      {
        hint: `if you both mean to use ${suite} and this is the key of ${name}:\n` +
          `  ${this.#accepting(name, presented)}`,
      },
    );
  }

  #accepting(name: string, fingerprint: Bytes): string {
    return this.#options.howToAccept(name, formatFingerprint(fingerprint));
  }
}
