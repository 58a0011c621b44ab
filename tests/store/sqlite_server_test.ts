/** A server's memory on disk: what it outlives, and what it refuses to touch. */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { CifraError } from "../../lib/errors.ts";
import { STORE_LAZY_AFTER } from "../../lib/limits.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SERVER_STEPS } from "../../lib/store/server_schema.ts";
import {
  backUpServerStore,
  SqliteServerStore,
  type SqliteServerStoreOptions,
} from "../../lib/store/sqlite_server.ts";
import { Program } from "../testkit/program.ts";
import { meanwhile } from "../testkit/meanwhile.ts";
import { withFolder } from "../testkit/server.ts";
import { fillDisk, hasTmpfs, withTmpfs } from "../testkit/tmpfs.ts";
import { ManualTime } from "../testkit/clock.ts";
import { skeletonOf } from "../../lib/wire/names.ts";
import { goBack } from "./older_server.ts";
import { nameOf, writeManyNames } from "./many_names.ts";
import { accountOf, bytes, inviteOf, keyOf, NOW } from "./server_samples.ts";

const MIB = 2 ** 20;
const POSIX = Deno.build.os !== "windows";

async function open(
  path: string,
  options: SqliteServerStoreOptions = {},
): Promise<SqliteServerStore> {
  return await SqliteServerStore.open(await PrivateFolder.open(path), options);
}

async function refusal(path: string): Promise<CifraError> {
  const error = await assertRejects(() => open(path), CifraError);
  assertEquals(error.code, "local");
  assertStringIncludes(error.message, `${path}/server.db`);
  return error;
}

/** A little of everything. */
function fill(store: SqliteServerStore): void {
  store.putKey(keyOf("alice"));
  store.putKey(keyOf("alice", { suite: "rsa" }));
  store.putAccount(accountOf("alice"));
  store.putInvite(inviteOf(1));
  store.putBan({ kind: "name", subject: "mallory", since: NOW, name: undefined });
}

function assertFull(store: SqliteServerStore): void {
  assertEquals(store.keysOf("alice"), [keyOf("alice"), keyOf("alice", { suite: "rsa" })]);
  assertEquals(store.account("alice"), accountOf("alice"));
  assertEquals(store.invites(), [inviteOf(1)]);
  assertEquals(store.bans(), [{ kind: "name", subject: "mallory", since: NOW, name: undefined }]);
}

Deno.test("everything is there after a restart", async () => {
  await withFolder(async (path) => {
    const store = await open(path);
    fill(store);
    store.close();
    const again = await open(path);
    assertFull(again);
    again.close();
  });
});

Deno.test({
  name: "nobody else may read the files of a store",
  ignore: !POSIX,
  fn: async () => {
    await withFolder(async (path) => {
      const store = await open(path);
      fill(store);
      for (const { name } of Deno.readDirSync(path)) {
        const { mode } = Deno.lstatSync(`${path}/${name}`);
        assertEquals((mode! & 0o777).toString(8), "600", name);
      }
      store.close();
    });
  },
});

Deno.test("when somebody was here is put on disk a second later, or with the next change, or at the end", async () => {
  await withFolder(async (path) => {
    const time = new ManualTime();
    let store = await open(path, { after: time.after });
    store.putKey(keyOf("alice"));
    const { fingerprint } = keyOf("alice");
    /** What another program reads. */
    const onDisk = () => {
      const other = new DatabaseSync(`${path}/server.db`, { readOnly: true });
      const row = other.prepare("SELECT last_seen FROM name_key").get();
      other.close();
      return row?.last_seen;
    };
    store.seen(fingerprint, 1, 9n);
    store.seen(fingerprint, 2, 9n);
    assertEquals([onDisk(), time.pending], [NOW, 1]);
    time.advance(STORE_LAZY_AFTER - 1);
    assertEquals(onDisk(), NOW);
    time.advance(1);
    assertEquals([onDisk(), time.pending], [2, 0]);
    store.seen(fingerprint, 3, 9n);
    store.putBan({ kind: "name", subject: "mallory", since: NOW, name: undefined });
    assertEquals([onDisk(), time.pending], [3, 0]);
    store.seen(fingerprint, 4, 9n);
    store.close();
    assertEquals(time.pending, 0);
    store = await open(path);
    assertEquals(store.keyWith(fingerprint)?.lastSeen, 4);
    store.close();
  });
});

/** Runs the writer from `first` on, kills it when it has said so much, and returns what it had said. */
async function killWriter(path: string, first: number, length: number): Promise<string> {
  const command = [Deno.execPath(), "run", "--quiet", "--allow-all", "--frozen"];
  await using writer = new Program({
    name: "writer",
    command: [...command, "tests/store/server_writer.ts", path, `${first}`],
  });
  await writer.until("being ready", () => writer.stdout.startsWith("ready"));
  await writer.until("more", () => writer.stdout.length > length);
  writer.kill("SIGKILL");
  const { signal, stdout } = await writer.exit();
  assertEquals(signal, "SIGKILL", writer.told);
  return stdout;
}

Deno.test("nothing that was confirmed is lost, and nothing is half, when the process is killed, 20 times", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  console.log(`seed ${seed}`);
  await withFolder(async (path) => {
    let next = 1;
    for (let kill = 0; kill < 20; kill++) {
      const length = Math.abs(Math.imul(seed + kill, 0x9e3779b1)) % 4000;
      const said = await killWriter(path, next, length);
      const told = (what: string) =>
        new Set(
          [...said.matchAll(new RegExp(`^${what} (\\d+)\n`, "gm"))].map(([, n]) => Number(n)),
        );
      const [keys, accounts, invites, forgotten] = ["key", "account", "invite", "forgot"].map(told);
      const store = await open(path);
      let unconfirmed = 0;
      for (let n = next;; n++) {
        const name = `n${n}`, id = inviteOf(n).id;
        const [key] = store.keysOf(name), account = store.account(name), invite = store.invite(id);
        if (forgotten!.has(n)) {
          assertEquals([key, account], [undefined, undefined], name);
        } else if (key === undefined && account === undefined && invite !== undefined) {
          // Made free a moment before the end, which nobody was told.
          assert(n % 3 === 0 && !keys!.has(n + 1), name);
          unconfirmed++;
        } else {
          for (const [is, confirmed] of [[key, keys], [account, accounts]] as const) {
            if (confirmed!.has(n)) assert(is, `${name} is lost`);
            else if (is) unconfirmed++;
          }
        }
        if (invites!.has(n)) assert(invite, `invite ${n} is lost`);
        else if (invite) unconfirmed++;
        // What there is is whole.
        if (key) assertEquals({ ...key, lastSeen: NOW, lastSequence: 2n ** 63n + 2n }, keyOf(name));
        if (account) assertEquals(account, accountOf(name));
        if (invite) assertEquals(invite, inviteOf(n));
        else if (!key) {
          next = n + 1;
          break;
        }
      }
      assert(unconfirmed <= 1, `${unconfirmed} changes that nobody was told of`);
      store.close();
    }
  });
});

Deno.test("a store whose budget is used up says so, reads on, and goes on when something was removed", async () => {
  await withFolder(async (path) => {
    const store = await open(path, { budget: MIB });
    fill(store);
    let count = 0;
    const error = assertThrows(() => {
      for (;; count++) store.putAccount(accountOf(`n${count}`, { backup: bytes(16_384, count) }));
    }, CifraError);
    assertEquals(error.code, "local");
    assertStringIncludes(error.message, "budget");
    assertStringIncludes(error.hint!, "--budget");
    // Some 50 of 16 KiB fit into four fifths of it.
    assert(count >= 40 && count < 64, `${count}`);
    assertEquals(store.account(`n${count}`), undefined);
    assertEquals(store.counts().accounts, count + 1);
    assertFull(store);
    assert(Deno.statSync(`${path}/server.db`).size < MIB);
    // Nor does a name of which only the time is new fail anybody.
    store.seen(keyOf("alice").fingerprint, NOW + 1, 9n);
    store.forget("n0");
    store.putAccount(accountOf("another", { backup: bytes(16_384, 0) }));
    assertEquals(store.account("another")?.backup.length, 16_384);
    store.close();
    const again = await open(path, { budget: 2 * MIB });
    again.putAccount(accountOf("one-more", { backup: bytes(16_384, 0) }));
    again.close();
  });
});

Deno.test({
  name: "a full disk fails the change and nothing else, and what was only remembered fails nobody",
  ignore: !hasTmpfs,
  fn: async () => {
    await withTmpfs(2 * MIB, async (path) => {
      const time = new ManualTime();
      const store = await open(path, { after: time.after });
      fill(store);
      const makeRoom = await fillDisk(path);
      let count = 0;
      const error = assertThrows(() => {
        for (;; count++) store.putAccount(accountOf(`n${count}`, { backup: bytes(16_384, count) }));
      }, CifraError);
      assertEquals(error.code, "local");
      store.seen(keyOf("alice").fingerprint, NOW + 9, 9n);
      // Must not throw: nobody is there to catch it.
      time.advance(STORE_LAZY_AFTER);
      assertEquals(store.keysOf("alice")[0]?.lastSeen, NOW + 9);
      await makeRoom();
      store.putBan({ kind: "name", subject: "late", since: NOW, name: undefined });
      store.close();
      const again = await open(path);
      assertEquals(again.keysOf("alice")[0]?.lastSeen, NOW + 9);
      assertEquals(again.counts().accounts, count + 1);
      again.close();
    });
  },
});

Deno.test("a damaged file, and one that is no database, are refused and left as they are", async () => {
  const damages: Readonly<Record<string, (file: Uint8Array) => Uint8Array>> = {
    "no database": () => new TextEncoder().encode("a letter to somebody".repeat(500)),
    "cut": (file) => file.subarray(0, file.length - 4096),
    "zeros inside": (file) => file.fill(0, 4096, 16_384),
  };
  for (const [what, damage] of Object.entries(damages)) {
    await withFolder(async (path) => {
      const store = await open(path);
      for (let n = 0; n < 100; n++) store.putKey(keyOf(`n${n}`));
      store.close();
      const bad = damage(Deno.readFileSync(`${path}/server.db`));
      Deno.writeFileSync(`${path}/server.db`, bad);
      const error = await refusal(path);
      assertStringIncludes(error.message, "left as it is", what);
      // A server keeps no messages.
      assert(!error.message.includes("message"), what);
      assertEquals(Deno.readFileSync(`${path}/server.db`), bad, what);
    });
  }
});

Deno.test("an older database keeps its names, whose owners are to sign them anew", async () => {
  await withFolder(async (path) => {
    const store = await open(path);
    store.putKey(keyOf("alice"));
    store.close();
    goBack(path, 1);
    const later = await open(path);
    const { sequence } = keyOf("alice");
    const skeleton = skeletonOf("alice");
    const changes = { notAfter: 0, skeleton, lastSequence: sequence, invite: undefined };
    const expected = { ...keyOf("alice"), ...changes };
    assertEquals(later.keysOf("alice"), [expected]);
    later.close();
  });
});

Deno.test("names of an older database look alike by the present rules, and stay with their owners", async () => {
  await withFolder(async (path) => {
    const store = await open(path);
    for (const name of ["alice", "al-ice", "r00t", "bob-"]) store.putKey(keyOf(name));
    store.close();
    goBack(path, 2);
    const later = await open(path);
    for (const name of ["alice", "al-ice", "r00t", "bob-"]) {
      assertEquals(later.keysOf(name).map(({ skeleton }) => skeleton), [skeletonOf(name)]);
    }
    assertEquals(later.keyLike(skeletonOf("a1ice"), "alice")?.name, "al-ice");
    assertEquals(later.keyLike(skeletonOf("b0b"), "b0b")?.name, "bob-");
    later.close();
  });
});

Deno.test("the database of a newer program, or of another one, is refused and left", async () => {
  for (const version of [0, SERVER_STEPS.length + 1, 99]) {
    await withFolder(async (path) => {
      (await open(path)).close();
      const database = new DatabaseSync(`${path}/server.db`);
      database.exec(`PRAGMA user_version = ${version}`);
      database.close();
      await refusal(path);
      const still = new DatabaseSync(`${path}/server.db`, { readOnly: true });
      assertEquals(still.prepare("PRAGMA user_version").get()?.user_version, version);
      still.close();
    });
  }
});

Deno.test("a database that is gone while its log is there is not begun anew", async () => {
  await withFolder(async (path) => {
    (await open(path)).close();
    Deno.removeSync(`${path}/server.db`);
    Deno.writeFileSync(`${path}/server.db-wal`, bytes(100, 0), { mode: 0o600 });
    await refusal(path);
    assertEquals([...Deno.readDirSync(path)].map(({ name }) => name), ["server.db-wal"]);
  });
});

Deno.test({
  name: "a link, and a file that others can read, are refused",
  ignore: !POSIX,
  fn: async () => {
    await withFolder(async (path) => {
      (await open(path)).close();
      Deno.chmodSync(`${path}/server.db`, 0o644);
      assertStringIncludes((await refusal(path)).hint!, "chmod 600");
      Deno.renameSync(`${path}/server.db`, `${path}/elsewhere.db`);
      Deno.chmodSync(`${path}/elsewhere.db`, 0o600);
      Deno.symlinkSync(`${path}/elsewhere.db`, `${path}/server.db`);
      assertStringIncludes((await refusal(path)).message, "link");
    });
  },
});

Deno.test("a copy of a store that is being written to is whole, private, and opens as a store", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    const store = await SqliteServerStore.open(folder);
    fill(store);
    const home = await folder.folder("copy");
    const target = `${home.path}/server.db`;
    const copying = backUpServerStore(folder, target);
    for (let n = 0; n < 50; n++) store.putKey(keyOf(`n${n}`));
    await copying;
    if (POSIX) assertEquals(Deno.lstatSync(target).mode! & 0o777, 0o600);
    // The original goes on, and the copy has nothing of that.
    store.forget("alice");
    const copy = await SqliteServerStore.open(home);
    assertFull(copy);
    copy.putKey(keyOf("new"));
    copy.close();
    assertEquals(store.keysOf("new"), []);
    // A second one does not write over the first.
    const before = Deno.readFileSync(target);
    const error = await assertRejects(() => backUpServerStore(folder, target), CifraError);
    assertEquals(error.code, "local");
    assertEquals(Deno.readFileSync(target), before);
    store.close();
  });
});

Deno.test({
  name: "a copy goes into the file that was made for it, whatever is put in its place meanwhile",
  ignore: !POSIX,
  fn: () =>
    withFolder(async (path) => {
      const folder = await PrivateFolder.open(`${path}/server`);
      const store = await SqliteServerStore.open(folder);
      fill(store);
      store.close();
      const target = `${path}/copy.db`, moved = `${path}/moved.db`, trap = `${path}/trap`;
      Deno.writeTextFileSync(trap, "", { mode: 0o644 });
      for (
        const swap of [() => Deno.symlinkSync(trap, target), () => Deno.linkSync(trap, target)]
      ) {
        {
          using _swap = meanwhile("open", target, () => {
            Deno.renameSync(target, moved);
            swap();
          });
          await backUpServerStore(folder, target);
        }
        assertEquals(Deno.statSync(trap).size, 0);
        assertEquals(Deno.lstatSync(moved).mode! & 0o777, 0o600);
        const home = await PrivateFolder.open(`${path}/home`);
        Deno.renameSync(moved, `${home.path}/server.db`);
        const copy = await SqliteServerStore.open(home);
        assertFull(copy);
        copy.close();
        Deno.removeSync(home.path, { recursive: true });
        Deno.removeSync(target);
      }
      // Nothing is left of what was written aside.
      assertEquals(Array.from(Deno.readDirSync(folder.path), ({ name }) => name), ["server.db"]);
    }),
});

Deno.test("there is nothing to copy where no server was, and nothing is left of the try", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    const copy = () => backUpServerStore(folder, `${path}/copy.db`);
    assertEquals((await assertRejects(copy, CifraError)).code, "local");
    assertEquals([...Deno.readDirSync(path)], []);
  });
});

Deno.test("a hundred thousand names are all found again after a restart, and after a kill", async () => {
  await withFolder(async (path) => {
    const count = 100_000;
    await writeManyNames(path, count);
    let store = await open(path);
    assertEquals(store.counts(), { names: count, accounts: count / 10, invites: 0, bans: 0 });
    let seen = 0;
    for (let after = "";;) {
      const page = store.keys(after, 1000);
      if (page.length === 0) break;
      for (const { name, sequence } of page) {
        if (name !== nameOf(seen) || sequence !== BigInt(seen)) {
          assertEquals([name, sequence], [nameOf(seen), BigInt(seen)]);
        }
        seen++;
      }
      after = page.at(-1)!.name;
    }
    assertEquals(seen, count);
    for (const n of [0, 1, 12_345, count - 1]) {
      const [key] = store.keysOf(nameOf(n));
      assertEquals(key?.created, NOW + n);
      assertEquals(store.keyWith(key!.fingerprint), key);
      assertEquals(store.keyLike(key!.skeleton, ""), key);
    }
    store.putKey(keyOf("one-more"));
    // As a kill leaves it: with what is only in the log.
    const copy = `${path}/copy`;
    Deno.mkdirSync(copy, { mode: 0o700 });
    for (const end of ["", "-wal", "-shm"]) {
      Deno.copyFileSync(`${path}/server.db${end}`, `${copy}/server.db${end}`);
    }
    store.close();
    store = await open(copy);
    assertEquals(store.counts().names, count + 1);
    assertEquals(store.keysOf("one-more"), [keyOf("one-more")]);
    store.close();
  });
});
