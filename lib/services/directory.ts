/**
 * Names belong to keys: the first key to take a name owns it, further ones come in when an owner vouches
 * for them (PROTOCOL.md 3.7). Rules over a store.
 */
import { encodeHex } from "@std/encoding/hex";
import { type PublicIdentity, readIdentity, verifyBy } from "../crypto/identity.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { SlidingWindow } from "../flow/sliding_window.ts";
import { dayOf } from "../flow/time.ts";
import { CLAIM_LIFETIME, CLAIM_RENEWAL, DAY, NAME_EXPIRY, SOURCES_REMEMBERED } from "../limits.ts";
import type { NameKey, ServerStore } from "../store/server_store.ts";
import { type NameClaim, type Place, signedNameClaim, type Voucher } from "../wire/name_claim.ts";
import { requireName, skeletonOf } from "../wire/names.ts";

/** A client with its claim that a name is its own. */
export interface Claimant {
  readonly name: string;
  readonly suite: SuiteName;
  /** Proved by the handshake. */
  readonly identity: PublicIdentity;
  readonly claim: NameClaim;
  readonly place: Place;
  readonly vouchers: readonly Voucher[];
  /** The id of the invite by which it came. */
  readonly invite: string | undefined;
  /** Why it may not come in unless an owner of the name vouches for it. */
  readonly uninvited: CifraError | undefined;
  /** New names are counted for each source. */
  readonly source: string;
}

/** What an operator decides. */
export interface DirectoryRules {
  /** Whether only names with an account are good. */
  readonly accountsOnly: boolean;
  /** New names a day from one source; 0 counts none. */
  readonly newNamesPerDay: number;
}

/** Who owns which name. */
export class Directory {
  readonly #store: ServerStore;
  readonly #rules: DirectoryRules;
  /** When each source took new names lately. */
  readonly #taken = new SlidingWindow(DAY, SOURCES_REMEMBERED);

  constructor(store: ServerStore, rules: DirectoryRules) {
    this.#store = store;
    this.#rules = rules;
  }

  /** Throws `banned` when this identity may not come in, under any name. */
  requireAllowed(identity: PublicIdentity): void {
    if (this.#store.isBanned("key", encodeHex(identity.fingerprint))) throw banned();
  }

  /**
   * The keys of the next names after `after`, `limit` names at most, without those who are shut out; and whether there
   * are names behind them. Throws `local`.
   */
  known(
    after: string,
    limit: number,
  ): { readonly keys: readonly NameKey[]; readonly hasMore: boolean } {
    const isOut = ({ name, fingerprint }: NameKey) =>
      this.#store.isBanned("name", name) || this.#store.isBanned("key", fingerprint);
    for (;;) {
      const found = this.#store.keys(after, limit + 1);
      const names = [...new Set(found.map(({ name }) => name))];
      const page = new Set(names.slice(0, limit));
      const keys = found.filter((key) => page.has(key.name) && !isOut(key));
      const hasMore = names.length > limit;
      if (keys.length > 0 || !hasMore) return { keys, hasMore };
      after = names[limit - 1]!;
    }
  }

  /**
   * The entry of a name that is theirs, or becomes theirs now. `signingUp` tells that an account is being
   * made for it. Throws `bad_name`, `name_taken`, `stale_registration`, `auth_failed` when the claim or a
   * voucher does not hold, `banned`, `account_required`, `limit`, `local`, and `uninvited`.
   */
  async claim(claimant: Claimant, now: number, signingUp = false): Promise<NameKey> {
    const { name, identity } = claimant;
    requireName(name);
    this.#requireNotBanned(claimant);
    const needsAccount = this.#rules.accountsOnly && !signingUp;
    const fingerprint = encodeHex(identity.fingerprint);
    const known = this.#find(claimant, fingerprint);
    if (needsAccount && known && !this.#store.credentials(name)) throw notYours(name);
    // A claim that holds for long is not checked and written again with every visit.
    if (known && known.notAfter - now > CLAIM_RENEWAL) {
      this.#store.seen(fingerprint, now, claimant.claim.sequence);
      return known;
    }
    await requireClaim(claimant, now);
    // The word of one who is shut out is worth nothing.
    const vouching = known ? [] : (await vouchersOf(claimant))
      .filter((voucher) => !this.#store.isBanned("key", voucher));
    let isNew = false;
    // From here on nothing waits. While signatures were checked somebody else may have come, the same identity
    // with a higher number, or the operator have shut them out.
    this.#requireNotBanned(claimant);
    if (!this.#find(claimant, fingerprint)) {
      const isVouched = this.#store.keysOf(name)
        .some(({ fingerprint }) => vouching.includes(fingerprint));
      // Whether somebody else has the name, or an account, is nothing to one who has neither.
      if (!isVouched && claimant.uninvited) throw claimant.uninvited;
      if (needsAccount && !(isVouched && this.#store.credentials(name))) throw notYours(name);
      isNew = this.#requireFree(claimant, vouching, now);
    }
    const { claim: { sequence, notAfter, signature } } = claimant;
    const key: NameKey = {
      name,
      skeleton: skeletonOf(name),
      suite: claimant.suite,
      fingerprint,
      bundle: identity.bundle,
      sequence,
      lastSequence: sequence,
      notAfter: Number(notAfter),
      signature,
      created: known?.created ?? now,
      lastSeen: now,
      invite: known ? known.invite : claimant.invite,
    };
    this.#store.putKey(key);
    // A name that no disk has taken costs its source nothing: a full disk would shut newcomers out for a day.
    if (isNew && this.#rules.newNamesPerDay > 0) this.#taken.count(claimant.source, now);
    return key;
  }

  /** Throws `banned` when this identity may not come in, or nobody of this name. */
  #requireNotBanned({ name, identity }: Claimant): void {
    this.requireAllowed(identity);
    if (this.#store.isBanned("name", name)) throw banned();
  }

  /**
   * The entry if the name is theirs. Throws `name_taken` when the identity is known otherwise,
   * `stale_registration` when it is not above the last registration.
   */
  #find({ name, suite, claim: { sequence } }: Claimant, fingerprint: string): NameKey | undefined {
    const own = this.#store.keyWith(fingerprint);
    // The suites `rsa` and `classic` have keys of one kind: a key of one must not speak in the other.
    if (own && own.suite !== suite) {
      throw new CifraError("name_taken", `This identity is known here in the suite ${own.suite}`);
    }
    if (own && own.name !== name) {
      throw new CifraError("name_taken", `This identity is "${own.name}" here`);
    }
    if (own && sequence <= own.lastSequence) throw staleRegistration(sequence, own.lastSequence);
    return own;
  }

  /**
   * Whether the name is new; false when one of `vouching` (fingerprints) owns it. Throws `name_taken` when somebody
   * else does, `limit` on too many new names.
   */
  #requireFree(
    { name, suite, source }: Claimant,
    vouching: readonly string[],
    now: number,
  ): boolean {
    const owners = this.#store.keysOf(name);
    if (owners.length === 0) {
      this.#requireNew(name, source, now);
      return true;
    }
    const sameSuite = owners.find((key) => key.suite === suite);
    if (owners.some(({ fingerprint }) => vouching.includes(fingerprint))) return false;
    const newest = Math.max(...owners.map(({ lastSeen }) => lastSeen));
    if (now - newest > NAME_EXPIRY && !this.#store.credentials(name)) {
      this.#requireNew(name, source, now);
      this.#store.forget(name);
      return true;
    }
    const whose = sameSuite ? "" : `, with a key for the suite ${owners[0]!.suite}`;
    throw new CifraError("name_taken", `The name "${name}" belongs to another identity${whose}`);
  }

  /** Throws `name_taken` when the name looks like another one, `limit` on too many new names. */
  #requireNew(name: string, source: string, now: number): void {
    const alike = this.#store.keyLike(skeletonOf(name), name);
    if (alike) {
      throw new CifraError(
        "name_taken",
        `"${name}" looks like "${alike.name}", who is known here`,
      );
    }
    const { newNamesPerDay } = this.#rules;
    if (newNamesPerDay > 0 && this.#taken.times(source, now).length >= newNamesPerDay) {
      throw new CifraError("limit", "Too many new names from this address in one day");
    }
  }
}

/** Throws `auth_failed` unless the claim is by the identity and holds now. */
export async function requireClaim(
  { name, identity, claim, place }: Pick<Claimant, "name" | "identity" | "claim" | "place">,
  now: number,
): Promise<void> {
  const signed = signedNameClaim(name, identity.bundle, claim, place);
  const isTheirs = claim.notAfter <= BigInt(Number.MAX_SAFE_INTEGER) &&
    await verifyBy(identity, claim.signature, signed);
  if (!isTheirs) {
    throw new CifraError("auth_failed", "The claim that the name is theirs does not hold");
  }
  if (claim.notAfter > BigInt(now)) return;
  // Whoever signs for so long ahead has signed it just now.
  const theirs = Number(claim.notAfter) - CLAIM_LIFETIME;
  throw new CifraError(
    "auth_failed",
    `This clock says ${dayOf(theirs)}, the server's ${
      dayOf(now)
    }: your claim to the name has run out`,
  );
}

/** The fingerprints of those who vouch for a claim. Throws `auth_failed` unless all of them hold. */
async function vouchersOf(claimant: Claimant): Promise<readonly string[]> {
  const { name, identity, claim, place, vouchers } = claimant;
  const signed = signedNameClaim(name, identity.bundle, claim, place);
  const fingerprints: string[] = [];
  for (const { bundle, signature } of vouchers) {
    const voucher = await readIdentity(bundle).catch(() => undefined);
    if (!voucher || !await verifyBy(voucher, signature, signed)) {
      throw new CifraError("auth_failed", "A voucher for this identity does not hold");
    }
    fingerprints.push(encodeHex(voucher.fingerprint));
  }
  return fingerprints;
}

function notYours(name: string): CifraError {
  return new CifraError("account_required", `You have no account of the name "${name}" here`);
}

function banned(): CifraError {
  return new CifraError("banned", "The operator of this server has shut you out");
}

/**
 * A registration that is not above the last one: `retryAfter` is by how many seconds. Two machines of one
 * person need not have the same time.
 */
export function staleRegistration(sequence: bigint, last: bigint): CifraError {
  const behind = Number((last - sequence) / 1000n) + 1;
  return new CifraError("stale_registration", "This registration is older than the present one", {
    retryAfter: Math.min(behind, 0xffff),
  });
}
