/** The keys in a profile's folder: one file for each suite, all sealed by one passphrase or none. */
import type { Identity, PublicIdentity } from "../crypto/identity.ts";
import { readIdentity, type StoredIdentity } from "../crypto/identity.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import { ProfileKey } from "../crypto/profile_key.ts";
import type { PasswordCost } from "../crypto/scram.ts";
import {
  loadSuite,
  STRONGEST_FIRST,
  type Suite,
  SUITE_NAMES,
  type SuiteName,
} from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import {
  findEntry,
  findIdentity,
  loadIdentity,
  type Lock,
  makeLock,
  type Unlock,
  writeIdentity,
} from "../store/identity_file.ts";
import { findProfileKey, removeProfileKey, writeProfileKey } from "../store/profile_key_file.ts";
import { sealMessages, unsealMessages } from "../store/sqlite_messages.ts";
import type { KeyBundle } from "../store/key_bundle.ts";
import type { PrivateFolder } from "../store/private_files.ts";

/** How often a person may mistype. */
const TRIES = 3;

/**
 * Asks for the passphrase of keys: the first time, `again` when the last one was not it, or for `another` one
 * when the right one opens only some of the keys, because a change was cut short. Throws `usage` where nobody
 * can be asked, `wrong_password` where nobody can be asked again.
 */
export type AskPassphrase = (why: "first" | "again" | "another") => Promise<string>;

/** Keys for one suite, as far as they can be told without a passphrase. */
export interface KeyEntry {
  readonly suite: SuiteName;
  readonly identity: PublicIdentity;
  readonly isSealed: boolean;
}

/** The keys of one person. */
export class KeyRing {
  readonly #folder: PrivateFolder;
  readonly #name: string;
  readonly #ask: AskPassphrase | undefined;
  /** Passphrases that were asked for and were right; more than one only after a change was cut short. */
  #locks: Lock[] = [];

  constructor(folder: PrivateFolder, name: string, ask?: AskPassphrase) {
    this.#folder = folder;
    this.#name = name;
    this.#ask = ask;
  }

  /** What there is. Throws `local` when a file is damaged. */
  async list(): Promise<readonly KeyEntry[]> {
    const entries: KeyEntry[] = [];
    for (const suite of SUITE_NAMES) {
      const found = await findEntry(this.#folder, suite);
      if (!found) continue;
      const identity = await readIdentity(found.bundle);
      entries.push({ suite, identity, isSealed: found.isSealed });
    }
    return entries;
  }

  /** The identity for a suite, made on first use and sealed like the others. Throws `local`, `wrong_password`. */
  load(suite: Suite): Promise<{ readonly identity: Identity; readonly made: boolean }> {
    return this.#unlocked((unlock) =>
      loadIdentity(this.#folder, suite, unlock, () => this.#lockOfOthers())
    );
  }

  /** Makes keys for the suites that have none yet. Throws like `load`. */
  async complete(): Promise<void> {
    for (const suite of SUITE_NAMES) await this.load(await loadSuite(suite));
  }

  /** The keys for a suite; undefined when there are none. Throws like `load`. */
  find(suite: SuiteName): Promise<StoredIdentity | undefined> {
    return this.#unlocked((unlock) => findIdentity(this.#folder, suite, unlock));
  }

  /** All keys. Throws like `load`. */
  async collect(): Promise<KeyBundle> {
    const identities = new Map<SuiteName, StoredIdentity>();
    for (const suite of SUITE_NAMES) {
      const stored = await this.find(suite);
      if (stored) identities.set(suite, stored);
    }
    return { name: this.#name, identities };
  }

  /**
   * Takes keys from elsewhere in; true when there was something to take. Throws `local`, with nothing
   * changed, when they are not those of the person who is here.
   */
  async adopt({ name, identities }: KeyBundle): Promise<boolean> {
    if (name !== this.#name) {
      throw new CifraError("local", `These are the keys of ${name}, not of ${this.#name}`);
    }
    const here = await this.list();
    for (const { suite, identity } of here) {
      const theirs = identities.get(suite);
      if (theirs && !timingSafeEqual((await readIdentity(theirs.bundle)).bundle, identity.bundle)) {
        throw this.#others(suite);
      }
    }
    // Nothing in common: nothing that tells that it is the same person.
    if (here.length > 0 && !here.some(({ suite }) => identities.has(suite))) {
      throw this.#others(here[0]!.suite);
    }
    // The strongest first: if this is cut short, doing it again finds the person that most people know.
    const missing = STRONGEST_FIRST.filter((suite) =>
      identities.has(suite) && !here.some((entry) => entry.suite === suite)
    );
    const lock = missing.length > 0 ? await this.#lockOfOthers() : undefined;
    for (const suite of missing) {
      await writeIdentity(this.#folder, suite, identities.get(suite)!, lock);
    }
    return missing.length > 0;
  }

  /** The key under which this person's messages lie sealed on this disk; undefined when there is none. Throws like `load`. */
  findMessagesKey(): Promise<ProfileKey | undefined> {
    return this.#unlocked((unlock) => findProfileKey(this.#folder, unlock));
  }

  /** The same, made when the keys are sealed and there was none. For whoever has the profile's lock. */
  async messagesKey(): Promise<ProfileKey | undefined> {
    const found = await this.findMessagesKey();
    const lock = found ? undefined : await this.#lockOfOthers();
    if (!lock) return found;
    const key = ProfileKey.generate();
    await writeProfileKey(this.#folder, key, lock);
    return key;
  }

  /**
   * Seals all keys, and what is kept of conversations, by another passphrase, or by none. Each file is replaced at
   * once and as a whole: if this is cut short, some open with the old passphrase and the others with the new one, and
   * doing it again asks for both. For whoever has the profile's lock. Throws like `load`.
   */
  async seal(passphrase: string | undefined): Promise<void> {
    const { identities } = await this.collect();
    const known = await this.findMessagesKey();
    const lock = passphrase === undefined ? undefined : await makeLock(passphrase);
    // Messages are never sealed by a key that is not on disk, nor is a key gone by which they are.
    if (!lock && known) await unsealMessages(this.#folder, known);
    for (const [suite, stored] of identities) {
      await writeIdentity(this.#folder, suite, stored, lock);
    }
    const key = lock && (known ?? ProfileKey.generate());
    if (lock && key) await writeProfileKey(this.#folder, key, lock);
    else await removeProfileKey(this.#folder);
    if (key) await sealMessages(this.#folder, key);
    key?.drop();
    // What an earlier crash left aside may hold keys that are not sealed.
    await this.#folder.removeUnfinished();
    this.drop();
    if (lock) this.#locks = [lock];
  }

  /** Forgets the passphrase. */
  drop(): void {
    for (const { key } of this.#locks) key.drop();
    this.#locks = [];
  }

  /** What the keys that are here are sealed by. */
  async #lockOfOthers(): Promise<Lock | undefined> {
    for (const { suite, isSealed } of await this.list()) {
      if (!isSealed) continue;
      await this.find(suite);
      return this.#locks[0];
    }
    return undefined;
  }

  /** Does a job that may need a passphrase, which is asked for once, or again when it is mistyped. */
  async #unlocked<T>(job: (unlock: Unlock) => Promise<T>): Promise<T> {
    for (let tries = 1;; tries++) {
      let fresh: Lock | undefined;
      const unlock = async (cost: PasswordCost) => {
        const known = this.#locks.find((lock) => isSame(lock.cost, cost));
        if (known) return known.key;
        const first = this.#locks.length === 0 ? "first" : "another";
        fresh = { cost, key: await this.#workUp(cost, tries > 1 ? "again" : first) };
        return fresh.key;
      };
      try {
        const result = await job(unlock);
        if (fresh) this.#locks.push(fresh);
        return result;
      } catch (error) {
        fresh?.key.drop();
        const isMistyped = fresh && error instanceof CifraError && error.code === "wrong_password";
        if (!isMistyped || tries === TRIES) throw error;
      }
    }
  }

  async #workUp(cost: PasswordCost, why: Parameters<AskPassphrase>[0]) {
    if (!this.#ask) {
      throw new CifraError("usage", `The keys of ${this.#name} are sealed by a passphrase`);
    }
    const { SaltedPassword } = await import("../crypto/password.ts");
    return await SaltedPassword.derive(await this.#ask(why), cost);
  }

  #others(suite: SuiteName): CifraError {
    return new CifraError(
      "local",
      `The profile in ${this.#folder.path} has another ${suite} key: nothing was changed`,
      {
        hint: "choose another folder with --state, or move the profile away; " +
          "without its keys nobody can be that person again",
      },
    );
  }
}

function isSame(a: PasswordCost, b: PasswordCost): boolean {
  return a.memory === b.memory && a.passes === b.passes && timingSafeEqual(a.salt, b.salt);
}
