/** What a server keeps over restarts, behind one narrow interface: names, accounts, invites, bans. */
import type { Bytes } from "../bytes.ts";
import type { SuiteName } from "../crypto/suite.ts";

/** A key that owns a name. A name has one for each suite in which its owner has come. */
export interface NameKey {
  readonly name: string;
  /** What the name looks like: names that look alike have the same. */
  readonly skeleton: string;
  readonly suite: SuiteName;
  /** 64 hexadecimal digits. */
  readonly fingerprint: string;
  /** The identity, in wire form. */
  readonly bundle: Bytes;
  /** The owner's own claim that the name is theirs (PROTOCOL.md 3.7). */
  readonly sequence: bigint;
  /** Of the last registration, which may have brought a later claim than the one that is kept. */
  readonly lastSequence: bigint;
  /** Until when that holds, in milliseconds since 1970. */
  readonly notAfter: number;
  readonly signature: Bytes;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly lastSeen: number;
  /** The id of the invite by which it came; undefined when it came without. */
  readonly invite: string | undefined;
}

/** What proves a password without telling it (PROTOCOL.md 3.10). */
export interface Account {
  readonly name: string;
  /** 16 bytes. */
  readonly salt: Bytes;
  /** Cost of a try: KiB of memory, and passes over it. */
  readonly memory: number;
  readonly passes: number;
  /** 64 bytes each. */
  readonly storedKey: Bytes;
  readonly serverKey: Bytes;
  /** The owner's keys, sealed under the password; empty when there is no backup. */
  readonly backup: Bytes;
  readonly created: number;
}

/** An invite. Its secret is made from the server's own and its serial, and is not kept. */
export interface Invite {
  /** 32 hexadecimal digits: what a client names it by. */
  readonly id: string;
  /** 16 random bytes. */
  readonly serial: Bytes;
  /** Milliseconds since 1970. */
  readonly created: number;
  /** 0 when it was revoked: it is still there for those who came by it. */
  readonly expires: number;
  /** How many more may come in with it. */
  readonly uses: number;
  /** Whether it is the one that the server prints when it starts. */
  readonly standing: boolean;
}

/** Somebody who may not come in. */
export interface Ban {
  readonly kind: "name" | "key";
  /** A name, or 64 hexadecimal digits. */
  readonly subject: string;
  readonly since: number;
  /** Of a key: the name for whose sake it is kept out; undefined when that is for its own. */
  readonly name: string | undefined;
}

/** How much there is. */
export interface StoreCounts {
  readonly names: number;
  readonly accounts: number;
  readonly invites: number;
  readonly bans: number;
}

/** The memory of a server. Each change is on disk when its method returns; all methods throw `local`. */
export interface ServerStore {
  /** The keys that own a name, the first one first. */
  keysOf(name: string): readonly NameKey[];
  /** A key of a name other than `name` that looks like this. */
  keyLike(skeleton: string, name: string): NameKey | undefined;
  /** The key with this fingerprint, under whatever name. */
  keyWith(fingerprint: string): NameKey | undefined;
  /** All keys of the next names after `after`, `limit` names at most, in the order of the names. */
  keys(after: string, limit: number): readonly NameKey[];
  /** Adds a key, or puts it in the place of the one with the same name and suite. */
  putKey(key: NameKey): void;
  /** The owner of a key was here, with this sequence. Put on disk with the next change or a second later. */
  seen(fingerprint: string, when: number, sequence: bigint): void;
  /** The keys whose fingerprints begin with these hexadecimal digits. */
  keysBeginning(digits: string): readonly NameKey[];
  /** Makes a name free: its keys and its account go. */
  forget(name: string): void;
  /** Takes a key from its name; with the last one the name is free. */
  forgetKey(fingerprint: string): void;

  account(name: string): Account | undefined;
  /** An account without what it keeps for its owner, which takes longer to read. */
  credentials(name: string): Omit<Account, "backup"> | undefined;
  /** Adds an account, or puts it in the place of the one of the same name. */
  putAccount(account: Account): void;

  invite(id: string): Invite | undefined;
  /** All invites, the oldest first. */
  invites(): readonly Invite[];
  /** Adds an invite, or puts it in the place of the one with the same id. */
  putInvite(invite: Invite): void;

  isBanned(kind: Ban["kind"], subject: string): boolean;
  /** All bans, the oldest first. */
  bans(): readonly Ban[];
  putBan(ban: Ban): void;
  /** Lifts a ban, of a name with those of the keys for its sake; false when there was none. */
  removeBan(kind: Ban["kind"], subject: string): boolean;

  counts(): StoreCounts;
  close(): void;
}
