/** What every ServerStore does, whatever it keeps things in. */
import { assertEquals } from "@std/assert";
import { MemoryServerStore } from "../testkit/memory_server.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import type { ServerStore } from "../../lib/store/server_store.ts";
import { SqliteServerStore } from "../../lib/store/sqlite_server.ts";
import { withFolder } from "../testkit/server.ts";
import { accountOf, bytes, inviteOf, keyOf, NOW } from "./server_samples.ts";

/** Runs a scene over a store in memory, and over one on disk. */
function test(name: string, scene: (store: ServerStore) => void): void {
  Deno.test(`in memory: ${name}`, () => scene(new MemoryServerStore()));
  Deno.test(`on disk: ${name}`, async () => {
    await withFolder(async (path) => {
      const store = await SqliteServerStore.open(await PrivateFolder.open(path));
      try {
        scene(store);
      } finally {
        store.close();
      }
    });
  });
}

test("an empty store has nothing", (store) => {
  assertEquals(store.keysOf("alice"), []);
  assertEquals(store.keyLike("alice", ""), undefined);
  assertEquals(store.keyWith("0".repeat(64)), undefined);
  assertEquals(store.keys("", 10), []);
  assertEquals(store.account("alice"), undefined);
  assertEquals(store.invite("0".repeat(32)), undefined);
  assertEquals([store.invites(), store.bans()], [[], []]);
  assertEquals(store.isBanned("name", "alice"), false);
  assertEquals(store.counts(), { names: 0, accounts: 0, invites: 0, bans: 0 });
});

test("a key is found by its name, by what that looks like, and by its fingerprint", (store) => {
  const key = keyOf("b0b", { skeleton: "bob" });
  store.putKey(key);
  assertEquals(store.keysOf("b0b"), [key]);
  assertEquals(store.keyLike("bob", "bob"), key);
  assertEquals(store.keyLike("bob", "b0b"), undefined);
  assertEquals(store.keyWith(key.fingerprint), key);
  assertEquals(store.keysOf("bob"), []);
  assertEquals(store.keyLike("b0b", ""), undefined);
});

test("a key takes the place of the one of its name and suite, and of no other", (store) => {
  const old = keyOf("alice"), rsa = keyOf("alice", { suite: "rsa", created: NOW + 1 });
  store.putKey(old);
  store.putKey(rsa);
  const fresh = keyOf("alice", {
    fingerprint: "f".repeat(64),
    created: NOW + 2,
    lastSeen: NOW + 2,
  });
  store.putKey(fresh);
  assertEquals(store.keysOf("alice"), [rsa, fresh]);
  assertEquals(store.keyWith(old.fingerprint), undefined);
  assertEquals(store.counts().names, 1);
  const newer = { ...rsa, sequence: 2n ** 64n - 1n, notAfter: NOW, signature: bytes(64, 99) };
  store.putKey(newer);
  assertEquals(store.keysOf("alice"), [newer, fresh]);
});

test("the keys of a name come the oldest first, and those of one age by their suite", (store) => {
  for (const suite of ["rsa", "modern", "classic"] as const) {
    store.putKey(keyOf("alice", { suite }));
  }
  store.putKey(keyOf("alice", { suite: "modern", created: NOW - 1 }));
  assertEquals(store.keysOf("alice").map(({ suite }) => suite), ["modern", "classic", "rsa"]);
});

test("keys are listed in the order of their names, a page at a time", (store) => {
  for (const name of ["carol", "alice", "bob", "a", "z9", "a-b"]) store.putKey(keyOf(name));
  store.putKey(keyOf("bob", { suite: "rsa" }));
  const names = (after: string, limit: number) => store.keys(after, limit).map(({ name }) => name);
  assertEquals(names("", 100), ["a", "a-b", "alice", "bob", "bob", "carol", "z9"]);
  assertEquals(names("", 2), ["a", "a-b"]);
  assertEquals(names("a-b", 2), ["alice", "bob", "bob"]);
  assertEquals(names("bob", 2), ["carol", "z9"]);
  assertEquals(names("z9", 2), []);
  // A page does not end within a name: the next one begins after it.
  assertEquals(store.keys("alice", 1).map(({ suite }) => suite), ["modern", "rsa"]);
});

test("numbers and bytes come back as they were", (store) => {
  for (const sequence of [0n, 1n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
    const changes = { sequence, notAfter: Number.MAX_SAFE_INTEGER, bundle: bytes(0, 0) };
    store.putKey(keyOf("alice", changes));
    assertEquals(store.keysOf("alice"), [keyOf("alice", changes)]);
  }
});

test("when an owner was here last is known at once, for that key alone", (store) => {
  store.putKey(keyOf("alice"));
  store.putKey(keyOf("alice", { suite: "rsa" }));
  const { fingerprint } = keyOf("alice");
  store.seen(fingerprint, NOW + 5, 2n ** 64n - 1n);
  store.seen("0".repeat(64), NOW + 5, 1n);
  const expected = keyOf("alice", { lastSeen: NOW + 5, lastSequence: 2n ** 64n - 1n });
  assertEquals(store.keyWith(fingerprint), expected);
  assertEquals(store.keyLike("alice", "bob")?.name, "alice");
  assertEquals(store.keysOf("alice"), [expected, keyOf("alice", { suite: "rsa" })]);
  assertEquals(store.keys("", 1), store.keysOf("alice"));
  // A key that is put says itself when its owner was here.
  store.putKey(keyOf("alice", { lastSeen: NOW + 3 }));
  assertEquals(store.keyWith(fingerprint)?.lastSeen, NOW + 3);
});

test("a name that is forgotten takes its keys and its account along, and nothing else", (store) => {
  for (const name of ["alice", "bob"]) {
    store.putKey(keyOf(name));
    store.putKey(keyOf(name, { suite: "rsa" }));
    store.putAccount(accountOf(name));
  }
  store.putBan({ kind: "name", subject: "alice", since: NOW, name: undefined });
  store.forget("alice");
  store.forget("nobody");
  assertEquals(store.keysOf("alice"), []);
  assertEquals(store.keyWith(keyOf("alice").fingerprint), undefined);
  assertEquals(store.account("alice"), undefined);
  assertEquals(store.keysOf("bob").length, 2);
  assertEquals(store.account("bob"), accountOf("bob"));
  assertEquals(store.isBanned("name", "alice"), true);
  // The key may have another name now.
  store.putKey(keyOf("carol", { fingerprint: keyOf("alice").fingerprint }));
  assertEquals(store.keyWith(keyOf("alice").fingerprint)?.name, "carol");
});

test("an account takes the place of the one of its name", (store) => {
  store.putAccount(accountOf("alice"));
  assertEquals(store.account("alice"), accountOf("alice"));
  const changed = accountOf("alice", { passes: 1, backup: bytes(0, 0), salt: bytes(16, 77) });
  store.putAccount(changed);
  assertEquals(store.account("alice"), changed);
  assertEquals(store.account("bob"), undefined);
  assertEquals(store.counts().accounts, 1);
  const largest = accountOf("bob", { backup: bytes(16_384, 9) });
  store.putAccount(largest);
  assertEquals(store.account("bob"), largest);
});

test("invites are listed the oldest first, and changed", (store) => {
  const old = inviteOf(3, { created: NOW - 1 });
  for (const invite of [inviteOf(2), old, inviteOf(1)]) store.putInvite(invite);
  assertEquals(store.invites(), [old, inviteOf(1), inviteOf(2)]);
  store.putInvite({ ...old, uses: 0 });
  assertEquals(store.invite(old.id), { ...old, uses: 0 });
  assertEquals(store.counts().invites, 3);
  store.putInvite({ ...old, standing: true });
  assertEquals(store.invite(old.id), { ...old, standing: true });
});

test("bans are of a name or of a key, listed the oldest first, and lifted", (store) => {
  const subject = "a".repeat(64);
  const bans = [
    { kind: "name", subject: "mallory", since: NOW - 1, name: undefined },
    { kind: "key", subject, since: NOW, name: undefined },
    { kind: "name", subject: "alice", since: NOW, name: undefined },
  ] as const;
  for (const ban of bans.toReversed()) store.putBan(ban);
  assertEquals(store.bans(), bans);
  assertEquals(store.isBanned("name", "mallory"), true);
  assertEquals(store.isBanned("key", "mallory"), false);
  assertEquals(store.isBanned("key", subject), true);
  store.putBan({ kind: "name", subject: "mallory", since: NOW + 7, name: undefined });
  assertEquals(store.counts().bans, 3);
  const lift = () => store.removeBan("name", "mallory");
  assertEquals([lift(), lift()], [true, false]);
  assertEquals(store.removeBan("key", "alice"), false);
  assertEquals(store.bans(), bans.slice(1));
});

test("the ban of a name is lifted with those of the keys that had it, and those of no other", (store) => {
  const key = (digit: string, name: string | undefined) =>
    ({ kind: "key", subject: digit.repeat(64), since: NOW, name }) as const;
  const bans = [key("a", "mallory"), key("b", "bob"), key("c", undefined)];
  for (const ban of bans) store.putBan(ban);
  store.putBan({ kind: "name", subject: "mallory", since: NOW, name: undefined });
  assertEquals(store.removeBan("name", "mallory"), true);
  assertEquals(store.bans(), bans.slice(1));
  assertEquals(store.removeBan("key", "bob"), false);
  assertEquals([store.removeBan("name", "bob"), store.removeBan("name", "bob")], [true, false]);
  assertEquals(store.removeBan("key", "c".repeat(64)), true);
  assertEquals(store.bans(), []);
});

test("a key is found by the digits with which it begins, and taken from its name", (store) => {
  const modern = keyOf("alice"), rsa = keyOf("alice", { suite: "rsa", created: NOW + 1 });
  for (const key of [modern, rsa, keyOf("bob")]) store.putKey(key);
  store.putAccount(accountOf("alice"));
  assertEquals(store.keysBeginning(rsa.fingerprint.slice(0, 15)), [rsa]);
  assertEquals(store.keysBeginning("").length, 3);
  assertEquals(store.keysBeginning("%"), []);
  store.forgetKey(modern.fingerprint);
  store.forgetKey("0".repeat(64));
  assertEquals(store.keysOf("alice"), [rsa]);
  assertEquals(store.account("alice"), accountOf("alice"));
  store.forgetKey(rsa.fingerprint);
  assertEquals(store.keysOf("alice"), []);
  assertEquals(store.account("alice"), undefined);
  assertEquals(store.counts().names, 1);
});

test("names that objects have already, and what means something to SQL, are text (D12, D14)", (store) => {
  const odd = ["constructor", "__proto__", "toString", "'; DROP TABLE ban; --", "%", "a%b", "😀"];
  for (const subject of odd) {
    assertEquals(store.isBanned("name", subject), false, subject);
    assertEquals(store.account(subject), undefined, subject);
    assertEquals(store.keysOf(subject), [], subject);
    store.putBan({ kind: "name", subject, since: NOW, name: undefined });
    store.putAccount(accountOf(subject));
    store.putKey(keyOf(subject));
  }
  for (const subject of odd) {
    assertEquals(store.isBanned("name", subject), true, subject);
    assertEquals(store.account(subject)?.name, subject);
    assertEquals(store.keysOf(subject).map(({ name }) => name), [subject]);
  }
  assertEquals(store.counts(), { names: 7, accounts: 7, invites: 0, bans: 7 });
  for (const subject of odd) store.forget(subject);
  assertEquals(store.counts().names, 0);
});
