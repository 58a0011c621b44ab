/**
 * The end of a server between any two statements of any change to its memory. What a killed process leaves
 * is its files as they are at that moment, so they are copied at each of these moments, and each copy opened.
 */
import { assert, assertEquals } from "@std/assert";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteServerStore } from "../../lib/store/sqlite_server.ts";
import { withFolder } from "../testkit/server.ts";
import { asText, Copier } from "./copier.ts";
import { accountOf, bytes, inviteOf, keyOf, NOW } from "./server_samples.ts";

/** Everything that changes the store, or puts on disk what had been put off. */
const CHANGES: Readonly<Record<string, (store: SqliteServerStore) => void>> = {
  "a new name": (store) => store.putKey(keyOf("bob")),
  "another key of a name": (store) => store.putKey(keyOf("alice", { suite: "classic" })),
  "a key in the place of another": (store) =>
    store.putKey(keyOf("alice", { fingerprint: "ab".repeat(32), sequence: 99n })),
  "an account": (store) => store.putAccount(accountOf("bob")),
  "an account in the place of another": (store) =>
    store.putAccount(accountOf("alice", { salt: bytes(16, 99) })),
  "an account of many pages": (store) =>
    store.putAccount(accountOf("bob", { backup: bytes(16_384, 1) })),
  "a name forgotten, with all that it has": (store) => store.forget("alice"),
  "an invite": (store) => store.putInvite(inviteOf(2)),
  "an invite used": (store) => store.putInvite({ ...inviteOf(1), uses: 0 }),
  "a key taken from its name": (store) =>
    store.forgetKey(keyOf("alice", { suite: "rsa" }).fingerprint),
  "a ban": (store) =>
    store.putBan({ kind: "key", subject: "cd".repeat(32), since: NOW, name: undefined }),
  "a ban lifted": (store) => store.removeBan("name", "mallory"),
  "visits, with the next change": (store) => {
    store.seen(keyOf("alice").fingerprint, NOW + 1, 9n);
    store.seen(keyOf("alice", { suite: "rsa" }).fingerprint, NOW + 2, 9n);
    store.putInvite(inviteOf(2));
  },
};

function fill(store: SqliteServerStore): void {
  store.putKey(keyOf("alice"));
  store.putKey(keyOf("alice", { suite: "rsa" }));
  store.putAccount(accountOf("alice"));
  store.putInvite(inviteOf(1));
  store.putBan({ kind: "name", subject: "mallory", since: NOW, name: undefined });
}

/** All that a store says of itself. */
function contents(store: SqliteServerStore) {
  const keys = store.keys("", 1000);
  const names = new Set(["bob", ...keys.map(({ name }) => name)]);
  return {
    keys,
    accounts: [...names].map((name) => store.account(name)),
    invites: store.invites(),
    bans: store.bans(),
    counts: store.counts(),
  };
}

async function open(path: string): Promise<SqliteServerStore> {
  return await SqliteServerStore.open(await PrivateFolder.open(path));
}

/** The contents of what a kill would leave here, by a store that finds it. */
async function found(path: string, copy: string) {
  const store = await open(`${path}/${copy}`);
  try {
    return contents(store);
  } finally {
    store.close();
    const left = Array.from(Deno.readDirSync(`${path}/${copy}`), ({ name }) => name);
    assertEquals(left, ["server.db"], "after an orderly end");
  }
}

for (const [what, change] of Object.entries(CHANGES)) {
  Deno.test(`a server that is killed at any moment of ${what} has all of it or nothing`, async () => {
    await withFolder(async (path) => {
      const home = `${path}/home`;
      const store = await open(home);
      fill(store);
      const before = contents(store);
      const copier = new Copier(path, home, "server.db");
      await copier.during(() => change(store));
      // It is over now, and confirmed.
      copier.copy();
      const after = contents(store);
      store.close();
      assert(
        JSON.stringify(after, asText) !== JSON.stringify(before, asText),
        "it changes nothing",
      );
      // BEGIN, at least one change, COMMIT.
      assert(copier.copies >= 2 * (2 * 3 + 1), `${copier.copies}`);
      let done = false;
      for (let n = 0; n < copier.copies; n++) {
        const there = await found(path, `${n}`);
        done ||= JSON.stringify(there, asText) === JSON.stringify(after, asText);
        assertEquals(there, done ? after : before, `copy ${n} of ${copier.copies}`);
      }
      assert(done);
    });
  });
}
