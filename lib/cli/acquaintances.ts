/** The people a person knows by their keys: who is who they say, who is new, and the words to compare. */
import type { Bytes } from "../bytes.ts";
import type { Profile } from "../client/profile.ts";
import { formatFingerprint, type PublicIdentity } from "../crypto/identity.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import { safetyWords } from "../crypto/safety_words.ts";
import { CifraError } from "../errors.ts";
import { SERVER_NAME } from "../wire/names.ts";
import type { Terminal } from "./terminal.ts";

/** Stands after the names of those who are verified. */
export const VERIFIED_MARK = "✓";

/** How strangers and changed keys are met. */
export interface AcquaintanceOptions {
  /** A key in another suite than the one by which somebody is known is taken without asking. */
  readonly acceptNew: boolean;
  /** The fingerprint that whoever is asked for must have. */
  readonly peerKey: Bytes | undefined;
  /** The command that connects as it was done now, with these options beside: for hints. */
  readonly command: (options: readonly string[]) => string;
}

/** Whom one profile knows, in the suite it uses now. */
export class Acquaintances {
  readonly #profile: Profile;
  readonly #terminal: Terminal;
  readonly #options: AcquaintanceOptions;
  /** The fingerprints of those who were met since the program began, by their names. */
  readonly #met = new Map<string, Bytes>();

  constructor(profile: Profile, terminal: Terminal, options: AcquaintanceOptions) {
    this.#profile = profile;
    this.#terminal = terminal;
    this.#options = options;
  }

  /** This is somebody's fingerprint, for `verify`. */
  meet(name: string, fingerprint: Bytes): void {
    this.#met.set(name, fingerprint);
  }

  /** The fingerprint by which somebody is known. Throws `local` when it cannot be read. */
  async fingerprintOf(name: string): Promise<Bytes | undefined> {
    const { peers, suite } = this.#profile;
    return this.#met.get(name) ?? (await peers.find(name, suite.name))?.fingerprint;
  }

  /**
   * Whether `peer`, introduced as `name`, is who we know; returns what pins it once it has proved its key.
   * Throws `identity_changed`, `suite_downgrade`, `local`.
   */
  async check(name: string, peer: PublicIdentity): Promise<() => Promise<void>> {
    const { peers, suite: { name: suite } } = this.#profile;
    const { peerKey, acceptNew } = this.#options;
    const pinned = await peers.find(name, suite);
    const expected = peerKey ?? pinned?.fingerprint;
    if (expected && !timingSafeEqual(expected, peer.fingerprint)) {
      throw this.#changed(name, expected, peer.fingerprint);
    }
    this.meet(name, peer.fingerprint);
    if (pinned && timingSafeEqual(pinned.fingerprint, peer.fingerprint)) {
      return () => Promise.resolve();
    }
    if (!expected) {
      peers.requireUndamaged();
      const [other] = peers.inOtherSuites(name, suite);
      if (other && !acceptNew) throw this.#otherSuite(name, other.suite, peer.fingerprint);
    }
    let pinning: Promise<void> | undefined;
    return () => pinning ??= this.#pin(name, peer);
  }

  /** A name as it is shown to people: with a mark when its key was verified, which no name can contain. */
  label(name: string): string {
    return this.isVerified(name) ? `${name}${VERIFIED_MARK}` : name;
  }

  /** Whether somebody who was met, or else whoever is pinned, is marked as verified. */
  isVerified(name: string): boolean {
    const { peers, suite } = this.#profile;
    const met = this.#met.get(name);
    if (met) return peers.isVerified(name, suite.name, met);
    return peers.everybody.some((known) =>
      known.subject === name && known.suite === suite.name && known.isVerified
    );
  }

  /** What `/verify` prints. */
  async verify(name: string): Promise<string> {
    const theirs = await this.fingerprintOf(name);
    if (!theirs) return `${name} is not known here yet: there is nothing to compare`;
    const words = await safetyWords(this.#profile.identity.fingerprint, theirs);
    return `read these words to ${name}; they must be the same there:\n` +
      `   ${words.slice(0, 6).join(" ")}\n   ${words.slice(6).join(" ")}\n   ${
        this.#howMarked(name)
      }`;
  }

  /** What `/verified` does, and prints: marks somebody whose words were the same. Throws `usage`, `local`. */
  async markVerified(name: string): Promise<string> {
    const { peers, suite } = this.#profile;
    const theirs = await this.fingerprintOf(name);
    if (!theirs) return `${name} is not known here yet: there is nothing to mark`;
    await peers.verify(name, suite.name, theirs);
    return `${name} is verified: shown as ${this.label(name)} from now on`;
  }

  #howMarked(name: string): string {
    if (name === SERVER_NAME) return "(of a server, compare the key that it prints)";
    if (this.#profile.suite.name === "classic") return "(keys for study are never marked)";
    if (this.isVerified(name)) return "they were the same before: marked as verified";
    return "if they are, /verified marks that; not marked so far";
  }

  async #pin(name: string, peer: PublicIdentity): Promise<void> {
    const { peers, suite } = this.#profile;
    await peers.pin(name, suite.name, peer, new Date());
    const fingerprint = formatFingerprint(peer.fingerprint);
    this.#terminal.say(
      `first contact with ${name}, known from now on by the key ${fingerprint}; ` +
        "compare words with /verify",
      { event: "peer-pinned", peer: name, fingerprint },
    );
  }

  #changed(name: string, expected: Bytes, presented: Bytes): CifraError {
    const { peers, suite } = this.#profile;
    const verified = peers.isVerified(name, suite.name, expected) ? ", which you had verified" : "";
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

  #otherSuite(name: string, knownSuite: string, presented: Bytes): CifraError {
    const suite = this.#profile.suite.name;
    return new CifraError(
      "suite_downgrade",
      `${name} is known by a ${knownSuite} key, not by one for ${suite}\n` +
        `  presented: ${formatFingerprint(presented)} (${suite})`,
      {
        hint: `if you both mean to use ${suite} and this is the key of ${name}:\n` +
          `  ${this.#accepting(name, presented)}`,
      },
    );
  }

  #accepting(name: string, fingerprint: Bytes): string {
    const key = formatFingerprint(fingerprint);
    return this.#options.command(["--to", name, "--peer-key", key]);
  }
}
