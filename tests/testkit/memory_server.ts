/** A server's memory that lives and dies with its process. */
import type {
  Account,
  Ban,
  Invite,
  NameKey,
  ServerStore,
  StoreCounts,
} from "../../lib/store/server_store.ts";

/** For tests, and for a server that is to forget. */
export class MemoryServerStore implements ServerStore {
  readonly #keys = new Map<string, readonly NameKey[]>();
  readonly #byFingerprint = new Map<string, NameKey>();
  readonly #accounts = new Map<string, Account>();
  readonly #invites = new Map<string, Invite>();
  readonly #bans = new Map<string, Ban>();

  keysOf(name: string): readonly NameKey[] {
    return this.#keys.get(name) ?? [];
  }

  keyLike(skeleton: string, name: string): NameKey | undefined {
    return [...this.#byFingerprint.values()].find((key) =>
      key.skeleton === skeleton && key.name !== name
    );
  }

  keyWith(fingerprint: string): NameKey | undefined {
    return this.#byFingerprint.get(fingerprint);
  }

  keys(after: string, limit: number): readonly NameKey[] {
    const names = [...this.#keys.keys()].filter((name) => name > after).sort().slice(0, limit);
    return names.flatMap((name) => [...this.keysOf(name)].sort(bySuite));
  }

  putKey(key: NameKey): void {
    const others = this.keysOf(key.name).filter(({ suite }) => suite !== key.suite);
    const replaced = this.keysOf(key.name).find(({ suite }) => suite === key.suite);
    if (replaced) this.#byFingerprint.delete(replaced.fingerprint);
    this.#keys.set(
      key.name,
      [...others, key].sort((a, b) => a.created - b.created || bySuite(a, b)),
    );
    this.#byFingerprint.set(key.fingerprint, key);
  }

  seen(fingerprint: string, when: number, lastSequence: bigint): void {
    const key = this.#byFingerprint.get(fingerprint);
    if (key) this.putKey({ ...key, lastSeen: when, lastSequence });
  }

  keysBeginning(digits: string): readonly NameKey[] {
    return [...this.#byFingerprint.values()].filter(({ fingerprint }) =>
      fingerprint.startsWith(digits)
    );
  }

  forgetKey(fingerprint: string): void {
    const key = this.#byFingerprint.get(fingerprint);
    if (!key) return;
    const others = this.keysOf(key.name).filter((each) => each !== key);
    if (others.length === 0) return this.forget(key.name);
    this.#keys.set(key.name, others);
    this.#byFingerprint.delete(fingerprint);
  }

  forget(name: string): void {
    for (const { fingerprint } of this.keysOf(name)) this.#byFingerprint.delete(fingerprint);
    this.#keys.delete(name);
    this.#accounts.delete(name);
  }

  account(name: string): Account | undefined {
    return this.#accounts.get(name);
  }

  credentials(name: string): Omit<Account, "backup"> | undefined {
    const account = this.#accounts.get(name);
    if (!account) return undefined;
    const { backup: _, ...credentials } = account;
    return credentials;
  }

  putAccount(account: Account): void {
    this.#accounts.set(account.name, account);
  }

  invite(id: string): Invite | undefined {
    return this.#invites.get(id);
  }

  invites(): readonly Invite[] {
    return [...this.#invites.values()].sort(byAge);
  }

  putInvite(invite: Invite): void {
    this.#invites.set(invite.id, invite);
  }

  isBanned(kind: Ban["kind"], subject: string): boolean {
    return this.#bans.has(`${kind} ${subject}`);
  }

  bans(): readonly Ban[] {
    return [...this.#bans.values()].sort((a, b) =>
      a.since - b.since || (`${a.kind} ${a.subject}` < `${b.kind} ${b.subject}` ? -1 : 1)
    );
  }

  putBan(ban: Ban): void {
    this.#bans.set(`${ban.kind} ${ban.subject}`, ban);
  }

  removeBan(kind: Ban["kind"], subject: string): boolean {
    const lifted = this.bans().filter((ban) =>
      ban.kind === kind && ban.subject === subject ||
      kind === "name" && ban.kind === "key" && ban.name === subject
    );
    for (const ban of lifted) this.#bans.delete(`${ban.kind} ${ban.subject}`);
    return lifted.length > 0;
  }

  counts(): StoreCounts {
    return {
      names: this.#keys.size,
      accounts: this.#accounts.size,
      invites: this.#invites.size,
      bans: this.#bans.size,
    };
  }

  close(): void {}
}

function bySuite(a: NameKey, b: NameKey): number {
  return a.suite < b.suite ? -1 : 1;
}

function byAge(a: Invite, b: Invite): number {
  return a.created - b.created || (a.id < b.id ? -1 : 1);
}
