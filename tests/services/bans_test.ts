import { assertEquals } from "@std/assert";
import {
  ban,
  bannedAlone,
  forget,
  invitesOf,
  namesBy,
  type Subject,
  unban,
} from "../../lib/services/bans.ts";
import { keyOf, NOW } from "../store/server_samples.ts";
import { MemoryServerStore } from "../testkit/memory_server.ts";

const NAME: Subject = { kind: "name", name: "mallory" };
const MODERN = keyOf("mallory", { invite: "a".repeat(32) });
const RSA = keyOf("mallory", { suite: "rsa", invite: undefined });
const KEY: Subject = { kind: "key", fingerprint: MODERN.fingerprint };
const OTHER_KEY: Subject = { kind: "key", fingerprint: RSA.fingerprint };

function place(): MemoryServerStore {
  const store = new MemoryServerStore();
  for (const key of [MODERN, RSA, keyOf("bob")]) store.putKey(key);
  return store;
}

/** Every way to take `length` of these, in order. */
function* orders<T>(from: readonly T[], length: number): Generator<readonly T[]> {
  if (length === 0) return yield [];
  for (const first of from) for (const rest of orders(from, length - 1)) yield [first, ...rest];
}

Deno.test("after whatever was banned and forgotten, each ban is one that can be lifted", () => {
  const acts: readonly (readonly [typeof ban | typeof forget, Subject])[] = [
    [ban, NAME],
    [ban, KEY],
    [ban, OTHER_KEY],
    [forget, NAME],
    [forget, KEY],
  ];
  for (const order of orders(acts, 4)) {
    const words = order.map(([act, { kind }]) => `${act.name} ${kind}`).join(", ");
    const acted = () => {
      const store = place();
      for (const [act, subject] of order) act(store, subject, NOW);
      return store;
    };
    // By what the list of bans shows, each alone.
    const store = acted();
    for (const { kind, subject } of store.bans()) {
      const meant: Subject = kind === "name"
        ? { kind, name: subject }
        : { kind, fingerprint: subject };
      unban(store, meant);
    }
    assertEquals(store.bans(), [], words);
    // By the name, where the name was banned first.
    if (order[0]![1] !== NAME || order[0]![0] !== ban) continue;
    const named = acted();
    assertEquals(unban(named, NAME), true, words);
    const left = named.bans().filter(({ name }) => name !== undefined);
    assertEquals(left, [], words);
  }
});

Deno.test("unban() of a name that was forgotten meanwhile lets its keys in again", () => {
  const store = place();
  ban(store, NAME, NOW);
  assertEquals(store.counts().bans, 3);
  forget(store, NAME);
  assertEquals(unban(store, NAME), true);
  assertEquals(store.bans(), []);
  assertEquals(unban(store, NAME), false);
});

Deno.test("a key that is banned by itself stays out when its name is let in again, in either order", () => {
  for (const order of [[NAME, KEY], [KEY, NAME], [NAME, KEY, NAME]]) {
    const store = place();
    for (const subject of order) ban(store, subject, NOW);
    assertEquals(unban(store, NAME), true);
    const words = order.map(({ kind }) => kind).join(", ");
    assertEquals(store.bans().map(({ subject }) => subject), [MODERN.fingerprint], words);
    assertEquals(bannedAlone(store, "mallory"), [MODERN.fingerprint], words);
    assertEquals(unban(store, NAME), false, words);
    assertEquals(unban(store, KEY), true, words);
    assertEquals([store.bans(), bannedAlone(store, "mallory")], [[], []], words);
  }
});

Deno.test("a key is banned and forgotten without the others of its name", () => {
  const store = place();
  ban(store, KEY, NOW);
  assertEquals(store.isBanned("key", MODERN.fingerprint), true);
  assertEquals(store.isBanned("key", RSA.fingerprint), false);
  assertEquals(store.isBanned("name", "mallory"), false);
  assertEquals(forget(store, KEY), true);
  assertEquals(store.keysOf("mallory"), [RSA]);
  assertEquals(forget(store, KEY), false);
  assertEquals(unban(store, KEY), true);
});

Deno.test("by which invites somebody came is known, each once", () => {
  const store = place();
  assertEquals(invitesOf(store, NAME), ["a".repeat(32)]);
  assertEquals(invitesOf(store, KEY), ["a".repeat(32)]);
  assertEquals(invitesOf(store, OTHER_KEY), []);
  assertEquals(invitesOf(store, { kind: "name", name: "nobody" }), []);
});

Deno.test("namesBy() finds the names that were taken with an invite, however many there are", () => {
  const store = new MemoryServerStore();
  const invite = "b".repeat(32);
  const names = Array.from({ length: 2300 }, (_, n) => `n${String(n).padStart(4, "0")}`);
  for (const [n, name] of names.entries()) {
    store.putKey(keyOf(name, { created: NOW + n, invite: n % 2 === 0 ? invite : undefined }));
  }
  assertEquals(namesBy(store, invite, 0), names.filter((_, n) => n % 2 === 0));
  assertEquals(namesBy(store, invite, NOW + 2296), ["n2296", "n2298"]);
  assertEquals(namesBy(store, "c".repeat(32), 0), []);
});
