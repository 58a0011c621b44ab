import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { ban } from "../../lib/services/bans.ts";
import { NOWHERE } from "../../lib/wire/name_claim.ts";
import { claimName } from "../../lib/client/name_claim.ts";
import type { Identity } from "../../lib/crypto/identity.ts";
import type { SuiteName } from "../../lib/crypto/suite.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import { CLAIM_LIFETIME, NAME_EXPIRY, NEW_NAMES_PER_DAY } from "../../lib/limits.ts";
import {
  type Claimant,
  Directory,
  type DirectoryRules,
  requireClaim,
  staleRegistration,
} from "../../lib/services/directory.ts";
import { keyOf } from "../store/server_samples.ts";
import { MemoryServerStore } from "../testkit/memory_server.ts";
import type { NameKey } from "../../lib/store/server_store.ts";
import { type Person, person } from "../testkit/handshake.ts";

const NOW = Date.UTC(2030, 0, 1);
const DAY = 24 * 3_600_000;
const HOME = "203.0.113.5";

/** How a claimant differs from that of somebody who says the truth about a name of their own. */
interface Wish {
  readonly suite?: SuiteName;
  readonly sequence?: bigint;
  readonly now?: number;
  readonly source?: string;
  readonly vouchers?: readonly Person[];
  readonly signingUp?: boolean;
  readonly invite?: string;
  /** Who signs, what name, and for which identity. */
  readonly signer?: Identity;
  readonly signedName?: string;
  readonly change?: (claimant: Claimant) => Claimant | Promise<Claimant>;
}

let last = 0n;

/** A server's memory on a disk that may be full. */
class FullStore extends MemoryServerStore {
  isFull = false;

  override putKey(key: NameKey): void {
    this.#requireRoom();
    super.putKey(key);
  }

  override forget(name: string): void {
    this.#requireRoom();
    super.forget(name);
  }

  #requireRoom(): void {
    if (this.isFull) throw new CifraError("local", "Cannot write: no space left");
  }
}

/** A server's directory, and its memory. */
class Place {
  readonly store = new FullStore();
  readonly directory: Directory;

  constructor(rules: Partial<DirectoryRules> = {}) {
    this.directory = new Directory(this.store, {
      accountsOnly: false,
      newNamesPerDay: NEW_NAMES_PER_DAY,
      ...rules,
    });
  }

  /** Somebody says that `name` is theirs. */
  async claim(name: string, who: Person, wish: Wish = {}): Promise<NameKey> {
    const { suite = who.suite.name, sequence = ++last, now = NOW, vouchers = [] } = wish;
    const others = vouchers.map(({ identity }) => identity);
    const { signer = who.identity, signedName = name } = wish;
    // The claim is about the identity that comes, whoever signs it.
    const ours = { identity: { ...who.identity, sign: signer.sign }, others };
    const { notAfter, signature, vouchers: signatures } = await claimName(
      signedName,
      ours,
      sequence,
      now,
      NOWHERE,
    );
    const claimant: Claimant = {
      name,
      suite,
      identity: who.identity,
      claim: { sequence, notAfter, signature },
      place: NOWHERE,
      vouchers: signatures,
      invite: wish.invite,
      uninvited: undefined,
      source: wish.source ?? HOME,
    };
    const { change = (same: Claimant) => same, signingUp } = wish;
    return await this.directory.claim(await change(claimant), now, signingUp);
  }

  /** The code with which a claimant is refused; nothing of it may be left but that they were here. */
  async refusal(name: string, who: Person, wish: Wish = {}): Promise<ErrorCode> {
    const owners = () => this.store.keys("", 1000).map((key) => ({ ...key, lastSeen: 0 }));
    const before = owners();
    const error = await assertRejects(() => this.claim(name, who, wish), CifraError);
    assertEquals(owners(), before);
    return error.code;
  }
}

const modern = (name: string) => person("modern", name);

Deno.test("claim() gives a free name to the first who comes, and to no other key (D3)", async () => {
  const place = new Place();
  const alice = await modern("alice");
  const key = await place.claim("alice", alice);
  const fingerprint = encodeHex(alice.identity.fingerprint);
  assertEquals([key.name, key.suite, key.fingerprint], ["alice", "modern", fingerprint]);
  assertEquals([key.created, key.lastSeen], [NOW, NOW]);
  assertEquals(place.store.keysOf("alice"), [key]);
  assertEquals(await place.refusal("alice", await modern("mallory")), "name_taken");
  assertEquals(await place.refusal("alice", await person("rsa", "mallory")), "name_taken");
  await place.claim("alice", alice);
});

Deno.test("claim() gives one identity one name (D4)", async () => {
  const place = new Place();
  await place.claim("alice", await modern("alice"));
  assertEquals(await place.refusal("alicia", await modern("alice")), "name_taken");
  place.store.forget("alice");
  await place.claim("alicia", await modern("alice"));
});

Deno.test("claim() refuses names that nobody can have (D1, D2, D12, D14)", async () => {
  const place = new Place();
  const bad = [
    "",
    "a".repeat(33),
    "Alice",
    "a\0",
    "a\n",
    "../a",
    "\x1b[2J",
    "\u202ea",
    "\u0430lice",
    "\u{1f600}",
    "server",
    "admin",
    "root",
    "system",
    "all",
    "__proto__",
    "a'; DROP TABLE name_key; --",
    '"a"',
    "a%",
  ];
  for (const name of bad) {
    const wish = { signedName: "alice" };
    assertEquals(await place.refusal(name, await modern("alice"), wish), "bad_name", name);
  }
  await place.claim("constructor", await modern("alice"));
});

Deno.test("claim() takes only a higher number than that of the claim it has (D5, D16)", async () => {
  const place = new Place();
  const alice = await modern("alice");
  const renewing = NOW + CLAIM_LIFETIME;
  await place.claim("alice", alice, { sequence: 2n ** 53n });
  assertEquals(await place.refusal("alice", alice, { sequence: 2n ** 53n }), "stale_registration");
  assertEquals(await place.refusal("alice", alice, { sequence: 0n }), "stale_registration");
  const behind = [1n, 999n, 1000n, 60_000n, 2n ** 40n].map((by) =>
    staleRegistration(2n ** 53n - by, 2n ** 53n).retryAfter
  );
  assertEquals(behind, [1, 1, 2, 61, 65_535]);
  // As a double, this number would be the one before.
  const next = { sequence: 2n ** 53n + 1n, now: renewing };
  assertEquals((await place.claim("alice", alice, next)).sequence, 2n ** 53n + 1n);
  assertEquals(await place.refusal("alice", alice, next), "stale_registration");
  const highest = { sequence: 2n ** 64n - 1n, now: renewing + CLAIM_LIFETIME };
  assertEquals((await place.claim("alice", alice, highest)).sequence, 2n ** 64n - 1n);
  assertEquals(await place.refusal("alice", alice, highest), "stale_registration");
});

Deno.test("claim() takes only a higher number than that of the last registration, whatever it kept", async () => {
  const place = new Place();
  const alice = await modern("alice");
  await place.claim("alice", alice, { sequence: 100n });
  // The claim holds for long: this one is not kept, but its number counts.
  await place.claim("alice", alice, { sequence: 300n });
  assertEquals(place.store.keysOf("alice")[0]?.sequence, 100n);
  for (const sequence of [300n, 200n, 101n]) {
    assertEquals(await place.refusal("alice", alice, { sequence }), "stale_registration");
  }
  await place.claim("alice", alice, { sequence: 301n });
});

Deno.test("claim() keeps a claim while it holds for long, and takes a new one afterwards", async () => {
  const place = new Place();
  const alice = await modern("alice");
  const first = await place.claim("alice", alice);
  const soon = await place.claim("alice", alice, { now: NOW + 199 * DAY });
  assertEquals(soon, first);
  assertEquals(place.store.keysOf("alice")[0]?.lastSeen, NOW + 199 * DAY);
  const later = await place.claim("alice", alice, { now: NOW + 201 * DAY });
  assertEquals([later.created, later.lastSeen], [NOW, NOW + 201 * DAY]);
  assertEquals(later.notAfter, NOW + 201 * DAY + CLAIM_LIFETIME);
  assert(later.sequence > first.sequence);
  // The new one has to be a good one.
  const wish = { now: NOW + 500 * DAY, signedName: "bob" };
  assertEquals(await place.refusal("alice", alice, wish), "auth_failed");
});

Deno.test("claim() refuses a claim that is not the identity's own word for this name, now", async () => {
  const alice = await modern("alice"), mallory = await modern("mallory");
  const wishes: Readonly<Record<string, Wish>> = {
    "by another key": { signer: mallory.identity },
    "for another name": { signedName: "alicia" },
    "with another number": {
      change: (claimant) => ({ ...claimant, claim: { ...claimant.claim, sequence: ++last } }),
    },
    "with another end": {
      change: (claimant) => {
        const notAfter = claimant.claim.notAfter + 1n;
        return { ...claimant, claim: { ...claimant.claim, notAfter } };
      },
    },
    "for another identity": { change: (claimant) => ({ ...claimant, identity: mallory.identity }) },
    "with a bit turned over": {
      change: (claimant) => {
        const signature = claimant.claim.signature.slice();
        signature[0]! ^= 1;
        return { ...claimant, claim: { ...claimant.claim, signature } };
      },
    },
  };
  for (const [what, wish] of Object.entries(wishes)) {
    assertEquals(await new Place().refusal("alice", alice, wish), "auth_failed", what);
  }
});

Deno.test("claim() refuses a claim that has run out, or never does", async () => {
  const alice = await modern("alice");
  const place = new Place();
  const claimAt = (notAfter: bigint, now: number) =>
    place.claim("alice", alice, {
      now,
      change: async (claimant) => {
        const signed = Number(notAfter) - CLAIM_LIFETIME;
        const ours = { identity: alice.identity, others: [] };
        const { sequence } = claimant.claim;
        const { signature } = await claimName("alice", ours, sequence, signed, NOWHERE);
        return { ...claimant, claim: { sequence, notAfter, signature } };
      },
    });
  const end = BigInt(NOW);
  const error = await assertRejects(() => claimAt(end, NOW), CifraError);
  assertEquals(error.code, "auth_failed");
  // A machine without a battery begins anew in 1970.
  const { message } = await assertRejects(() => claimAt(BigInt(CLAIM_LIFETIME), NOW), CifraError);
  assertStringIncludes(message, "This clock says 1970-01-01, the server's 2030-01-01");
  assertEquals((await claimAt(end, NOW - 1)).notAfter, NOW);
  place.store.forget("alice");
  const tooFar = BigInt(Number.MAX_SAFE_INTEGER) + 1n;
  assertEquals((await assertRejects(() => claimAt(tooFar, NOW), CifraError)).code, "auth_failed");
});

Deno.test("claim() lets in a key for which an owner vouches, of another suite or the same", async () => {
  const place = new Place();
  const [alice, rsa, classic] = await Promise.all([
    modern("alice"),
    person("rsa", "alice"),
    person("classic", "alice"),
  ]);
  await place.claim("alice", alice);
  assertEquals(await place.refusal("alice", rsa), "name_taken");
  await place.claim("alice", rsa, { vouchers: [alice], now: NOW + 1 });
  // The second key speaks for a third.
  await place.claim("alice", classic, { vouchers: [rsa], now: NOW + 2 });
  assertEquals(place.store.keysOf("alice").map(({ suite }) => suite), ["modern", "rsa", "classic"]);
  // A new key takes the place of the old one of its suite, which is nobody's from then on.
  const fresh = await modern("fresh alice");
  await place.claim("alice", fresh, { vouchers: [rsa], now: NOW + 3 });
  assertEquals(place.store.keysOf("alice").length, 3);
  assertEquals(await place.refusal("alice", alice), "name_taken");
  await place.claim("alice", fresh);
});

Deno.test("claim() is not moved by vouchers who are no owners, and refuses those who have not signed", async () => {
  const alice = await modern("alice"), mallory = await modern("mallory");
  const friend = await person("rsa", "friend");
  const place = new Place();
  await place.claim("alice", alice);
  await place.claim("friend", friend);
  const others: Readonly<Record<string, Wish>> = {
    "oneself": { vouchers: [mallory] },
    "the owner of another name": { vouchers: [friend] },
  };
  for (const [what, wish] of Object.entries(others)) {
    assertEquals(await place.refusal("alice", mallory, wish), "name_taken", what);
  }
  const wishes: Readonly<Record<string, Wish>> = {
    "an owner's key and another's signature": {
      vouchers: [{ ...alice, identity: { ...alice.identity, sign: mallory.identity.sign } }],
    },
    "an owner's signature for another name": {
      vouchers: [alice],
      signedName: "mallory",
    },
    "what cannot be read": {
      change: (claimant) => ({
        ...claimant,
        vouchers: [{ bundle: new Uint8Array(7), signature: new Uint8Array(64) }],
      }),
    },
    "the owner's own words for itself": {
      change: (claimant) => {
        const { bundle, signature } = place.store.keysOf("alice")[0]!;
        return { ...claimant, vouchers: [{ bundle, signature }] };
      },
    },
  };
  for (const [what, wish] of Object.entries(wishes)) {
    assertEquals(await place.refusal("alice", mallory, wish), "auth_failed", what);
    // Also where nobody needs to vouch.
    const free = { ...wish, signedName: wish.signedName ?? "free" };
    assertEquals(await place.refusal("free", mallory, free), "auth_failed", what);
  }
  // One owner among them is enough; and who is known needs none.
  const rsa = await person("rsa", "alice");
  await place.claim("alice", rsa, { vouchers: [friend, alice] });
  const forged = [{ ...alice, identity: { ...alice.identity, sign: mallory.identity.sign } }];
  await place.claim("alice", rsa, { vouchers: forged });
});

Deno.test("claim() refuses a key of one suite in another", async () => {
  const place = new Place();
  const alice = await person("rsa", "alice");
  await place.claim("alice", alice);
  assertEquals(await place.refusal("alice", alice, { suite: "classic" }), "name_taken");
  const late = { suite: "classic", now: NOW + CLAIM_LIFETIME } as const;
  assertEquals(await place.refusal("alice", alice, late), "name_taken");
});

Deno.test("claim() refuses names that look like one that is taken (A14)", async () => {
  const pairs = [
    ...["bob b0b", "alice a1ice", "alice al1ce", "alice ai-ice", "a-b ab", "a-b a_b", "dan clan"],
    ...["emma ernnna", "oscar o5car", "zoe 2oe", "wim vvirn", "modern modem", "barn bam"],
  ].map((pair) => pair.split(" ") as [string, string]);
  for (const [taken, alike] of pairs) {
    for (const [first, second] of [[taken, alike], [alike, taken]] as const) {
      const place = new Place();
      await place.claim(first, await modern("alice"));
      assertEquals(await place.refusal(second, await modern("mallory")), "name_taken");
      // A voucher is for a name, not for those like it.
      const wish = { vouchers: [await modern("alice")] };
      assertEquals(await place.refusal(second, await modern("mallory"), wish), "name_taken");
      await place.claim("another", await modern("mallory"));
    }
  }
});

Deno.test("claim() leaves names that look alike from now on with both owners, and gives no third", async () => {
  const place = new Place();
  const alice = await modern("alice"), bob = await modern("bob");
  await place.claim("alice", alice);
  // As a migration leaves it: these two did not look alike to an earlier version.
  const [{ skeleton, ...key }] = place.store.keysOf("alice") as [NameKey];
  await place.claim("bob", bob);
  place.store.forget("bob");
  const fingerprint = encodeHex(bob.identity.fingerprint);
  const { bundle } = bob.identity;
  place.store.putKey({ ...key, skeleton, name: "al-ice", fingerprint, bundle });
  await place.claim("alice", alice);
  await place.claim("al-ice", bob);
  // Each of them may bring another key.
  await place.claim("alice", await person("rsa", "alice"), { vouchers: [alice] });
  await place.claim("al-ice", await person("rsa", "bob"), { vouchers: [bob] });
  assertEquals(await place.refusal("a1ice", await modern("mallory")), "name_taken");
});

Deno.test("claim() frees a name whose owner has not come for 180 days, unless it has an account", async () => {
  const mallory = await modern("mallory");
  for (const hasAccount of [false, true]) {
    const place = new Place();
    await place.claim("alice", await modern("alice"));
    await place.claim("alice", await person("rsa", "alice"), {
      vouchers: [await modern("alice")],
      now: NOW + DAY,
    });
    if (hasAccount) place.store.putAccount(ACCOUNT);
    // The last of the keys to come counts.
    const early = { now: NOW + DAY + NAME_EXPIRY };
    assertEquals(await place.refusal("alice", mallory, early), "name_taken");
    const late = { now: NOW + DAY + NAME_EXPIRY + 1 };
    if (hasAccount) {
      assertEquals(await place.refusal("alice", mallory, late), "name_taken");
    } else {
      assertEquals((await place.claim("alice", mallory, late)).created, late.now);
      assertEquals(place.store.keysOf("alice").length, 1);
      assertEquals(await place.refusal("alice", await modern("alice"), late), "name_taken");
    }
  }
});

Deno.test("claim() gives one source so many new names a day, and others theirs", async () => {
  const place = new Place({ newNamesPerDay: 2 });
  const claim = (n: number, wish: Wish = {}) =>
    modern(`new ${n}`).then((who) => place.claim(`new${n}`, who, wish));
  await claim(1);
  await claim(2, { now: NOW + 1000 });
  assertEquals(await place.refusal("new3", await modern("new 3")), "limit");
  await claim(3, { source: "198.51.100.9" });
  // Old names cost nothing.
  await claim(1, { now: NOW + 2000 });
  // A day later there is room for one more, and another second later for two.
  const lateBy = (milliseconds: number) => ({ now: NOW + DAY + milliseconds });
  await claim(8, lateBy(0));
  assertEquals(await place.refusal("new9", await modern("new 9"), lateBy(999)), "limit");
  await claim(9, lateBy(1000));
});

Deno.test("claim() does not count new names that the disk has not taken", async () => {
  const place = new Place({ newNamesPerDay: 2 });
  await place.claim("old", await modern("old"), { source: "198.51.100.9" });
  place.store.isFull = true;
  const who = await modern("new 1");
  for (let n = 0; n < 5; n++) assertEquals(await place.refusal("new1", who), "local");
  // Nor one in the place of a name that has run out.
  const now = NOW + NAME_EXPIRY + 1;
  assertEquals(await place.refusal("old", await modern("heir"), { now }), "local");
  place.store.isFull = false;
  await place.claim("new1", who, { now });
  await place.claim("new2", await modern("new 2"), { now });
  assertEquals(await place.refusal("new3", await modern("new 3"), { now }), "limit");
});

Deno.test("claim() refuses a new name too many without freeing one that has run out", async () => {
  const place = new Place({ newNamesPerDay: 1 });
  await place.claim("alice", await modern("alice"), { source: "198.51.100.9" });
  const now = NOW + NAME_EXPIRY + 1;
  await place.claim("bob", await modern("bob"), { now });
  assertEquals(await place.refusal("alice", await modern("mallory"), { now }), "limit");
});

Deno.test("claim() lets one of those win who want a free name at once", async () => {
  const place = new Place();
  const people = await Promise.all(Array.from({ length: 10 }, (_, n) => modern(`racer ${n}`)));
  const results = await Promise.allSettled(people.map((who) => place.claim("alice", who)));
  const won = results.filter(({ status }) => status === "fulfilled");
  assertEquals(won.length, 1);
  for (const result of results) {
    if (result.status === "rejected") assertEquals(result.reason.code, "name_taken");
  }
  assertEquals(place.store.keysOf("alice").length, 1);
  // Names that look alike as well.
  const alike = await Promise.allSettled([
    place.claim("b0b", await modern("b0b")),
    place.claim("bob", await modern("bob")),
  ]);
  assertEquals(alike.map(({ status }) => status).toSorted(), ["fulfilled", "rejected"]);
});

/** While the signatures of the first claim are checked, `key` comes to be in the memory of the server. */
function meanwhile({ store }: Place, key: NameKey): void {
  const { keyWith } = MemoryServerStore.prototype;
  store.keyWith = (fingerprint) => {
    store.keyWith = keyWith;
    queueMicrotask(() => store.putKey(key));
    return keyWith.call(store, fingerprint);
  };
}

Deno.test("claim() looks again when the signatures are checked: what came meanwhile counts", async () => {
  const alice = await modern("alice");
  const [newest, otherName, others] = [
    await new Place().claim("alice", alice, { sequence: 7n }),
    await new Place().claim("alicia", alice, { sequence: 1n }),
    await new Place().claim("alice", await modern("mallory"), { sequence: 1n }),
  ];
  const cases: readonly [NameKey, bigint, ErrorCode | undefined][] = [
    [newest, 8n, undefined],
    [newest, 7n, "stale_registration"],
    [newest, 6n, "stale_registration"],
    [otherName, 8n, "name_taken"],
    [others, 8n, "name_taken"],
  ];
  for (const [key, sequence, code] of cases) {
    const place = new Place();
    meanwhile(place, key);
    const claiming = place.claim("alice", alice, { sequence });
    if (code === undefined) assertEquals((await claiming).sequence, sequence);
    else assertEquals((await assertRejects(() => claiming, CifraError)).code, code);
    const left = place.store.keys("", 10).map(({ fingerprint, name }) => `${name} ${fingerprint}`);
    assertEquals(left, [`${key.name} ${key.fingerprint}`]);
    const [kept] = place.store.keys("", 1);
    assertEquals(kept?.sequence, code === undefined ? sequence : key.sequence);
  }
});

Deno.test("claim() keeps out whom the operator has shut out, by name and by key", async () => {
  const place = new Place();
  const alice = await modern("alice");
  await place.claim("alice", alice);
  const subject = encodeHex(alice.identity.fingerprint);
  place.store.putBan({ kind: "name", subject: "alice", since: NOW, name: undefined });
  assertEquals(await place.refusal("alice", alice), "banned");
  place.store.removeBan("name", "alice");
  place.store.putBan({ kind: "key", subject, since: NOW, name: undefined });
  assertEquals(await place.refusal("alice", alice), "banned");
  assertEquals(await place.refusal("another", alice), "banned");
  place.store.removeBan("key", subject);
  await place.claim("alice", alice);
});

Deno.test("claim() asks for an account where the operator wants that, but not to make one", async () => {
  const place = new Place({ accountsOnly: true });
  const alice = await modern("alice");
  assertEquals(await place.refusal("alice", alice), "account_required");
  await place.claim("alice", alice, { signingUp: true });
  assertEquals(await place.refusal("alice", alice), "account_required");
  place.store.putAccount(ACCOUNT);
  await place.claim("alice", alice);
  // One who asks learns nothing of names that are not theirs: taken, free, or like one that is taken.
  const words = new Set<string>();
  for (const name of ["alice", "a1ice", "bob"]) {
    const error = await assertRejects(
      async () => await place.claim(name, await modern("mallory")),
      CifraError,
    );
    words.add(`${error.code} ${error.message.replace(name, "NAME")}`);
  }
  assertEquals([...words], ['account_required You have no account of the name "NAME" here']);
  // A key for which an owner vouches comes in.
  await place.claim("alice", await person("rsa", "alice"), { vouchers: [alice] });
});

const ACCOUNT = {
  name: "alice",
  salt: new Uint8Array(16),
  memory: 19_456,
  passes: 2,
  storedKey: new Uint8Array(64),
  serverKey: new Uint8Array(64),
  backup: new Uint8Array(0),
  created: NOW,
};

Deno.test("claim() refuses whom the operator shuts out while signatures are checked", async () => {
  for (const kind of ["key", "name"] as const) {
    const place = new Place();
    const mallory = await modern("mallory");
    const fingerprint = encodeHex(mallory.identity.fingerprint);
    const { store } = place;
    const find = store.keyWith.bind(store);
    // It is asked for after the bans, and before anything is checked.
    store.keyWith = (wanted) => {
      store.keyWith = find;
      ban(store, kind === "key" ? { kind, fingerprint } : { kind, name: "mallory" }, NOW);
      return find(wanted);
    };
    assertEquals(await place.refusal("mallory", mallory), "banned", kind);
  }
});

Deno.test("requireClaim() lets a claim pass that is by the identity, for this place, and holds now", async () => {
  const { identity } = await person("modern", "bob");
  const ours = { identity, others: [] };
  const { notAfter, signature } = await claimName("bob", ours, 7n, NOW, NOWHERE);
  const claimed = { name: "bob", identity, claim: { sequence: 7n, notAfter, signature } };
  await requireClaim({ ...claimed, place: NOWHERE }, NOW);
  const wrong: readonly [Partial<Parameters<typeof requireClaim>[0]>, now?: number][] = [
    [{ name: "rob" }],
    [{ place: { ...NOWHERE, receivePort: 7412 } }],
    [{ claim: { ...claimed.claim, sequence: 8n } }],
    [{ claim: { ...claimed.claim, notAfter: notAfter + 1n } }],
    [{}, Number(notAfter)],
  ];
  for (const [change, now = NOW] of wrong) {
    const claim = { ...claimed, place: NOWHERE, ...change };
    const error = await assertRejects(() => requireClaim(claim, now), CifraError);
    assertEquals(error.code, "auth_failed");
  }
});

Deno.test("known() tells of names page by page, of each key, and not of those who are shut out", () => {
  const { store, directory } = new Place();
  const names = Array.from({ length: 10 }, (_, i) => `n${i}`);
  for (const name of names) store.putKey(keyOf(name));
  store.putKey(keyOf("n3", { suite: "rsa" }));
  ban(store, { kind: "name", name: "n0" }, NOW);
  for (const name of ["n4", "n5", "n6"]) ban(store, { kind: "name", name }, NOW);
  const page = (after: string, limit: number) => {
    const { keys, hasMore } = directory.known(after, limit);
    return `${keys.map(({ name, suite }) => `${name} ${suite}`).join(", ")}${hasMore ? " …" : ""}`;
  };
  assertEquals(page("", 3), "n1 modern, n2 modern …");
  // A page of which nothing is left is followed at once by the next one.
  assertEquals(page("n3", 3), "n7 modern, n8 modern, n9 modern");
  assertEquals(page("n2", 1), "n3 modern, n3 rsa …");
  assertEquals(page("n9", 3), "");
  assertEquals(page("", 100).split(", ").length, 7);
});
