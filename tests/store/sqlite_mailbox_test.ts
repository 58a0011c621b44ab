/** A server's mailbox on disk: what it outlives, what it leaves behind, and how large it grows. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { DatabaseSync, type SQLInputValue, StatementSync } from "node:sqlite";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { CifraError } from "../../lib/errors.ts";
import { MAILBOX_STEPS } from "../../lib/store/mailbox_schema.ts";
import type { NewEnvelope } from "../../lib/store/mailbox_store.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMailbox, type SqliteMailboxOptions } from "../../lib/store/sqlite_mailbox.ts";
import { troubleOf } from "../../lib/store/store_failure.ts";
import { ManualTime } from "../testkit/clock.ts";
import { Program } from "../testkit/program.ts";
import { withFolder } from "../testkit/server.ts";
import { fillDisk, hasTmpfs, withTmpfs } from "../testkit/tmpfs.ts";
import {
  boxOf,
  envelopeTo,
  fingerprintOf,
  idOf,
  passKeyOf,
  prekeyOf,
  prekeysOf,
} from "./mailbox_samples.ts";
import { NOW } from "./server_samples.ts";

const MIB = 2 ** 20;
const ALICE = fingerprintOf("alice"), BOB = fingerprintOf("bob");

async function open(
  path: string,
  options: Partial<SqliteMailboxOptions> = {},
): Promise<SqliteMailbox> {
  const { after } = new ManualTime();
  return await SqliteMailbox.open(await PrivateFolder.open(path), {
    budget: 64 * MIB,
    after,
    ...options,
  });
}

function openBox(store: SqliteMailbox): Promise<number> {
  return store.change((writer) => writer.open(BOB, boxOf("box"), NOW));
}

function leave(
  store: SqliteMailbox,
  box: number,
  id: string | number,
  changes: Partial<NewEnvelope> = {},
): Promise<number> {
  return store.change((writer) => writer.insert(envelopeTo(box, id, changes)));
}

/** Whether these bytes stand in the database or anything beside it. */
function isOnDisk(path: string, what: string): boolean {
  return [...Deno.readDirSync(path)].some(({ name }) =>
    new TextDecoder("latin1").decode(Deno.readFileSync(`${path}/${name}`)).includes(what)
  );
}

Deno.test("the database is made by its steps, and a stranger reads what its columns are", async () => {
  await withFolder(async (path) => {
    (await open(path)).close();
    assertEquals([...Deno.readDirSync(path)].map(({ name }) => name), ["mailbox.db"]);
    const database = new DatabaseSync(`${path}/mailbox.db`, { readOnly: true });
    const names = database.prepare(
      "SELECT name FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%' ORDER BY 1",
    ).all().map(({ name }) => name);
    const version = database.prepare("PRAGMA user_version").get()?.user_version;
    const { sql } = database.prepare("SELECT sql FROM sqlite_schema WHERE name = 'envelope'")
      .get()!;
    database.close();
    assertEquals(names, [
      "box",
      "box_opens",
      "box_used",
      "envelope",
      "envelope_box",
      "envelope_comes",
      "envelope_goes",
      "envelope_sender",
      "envelope_since",
      "handed_out",
      "once",
      "waiting",
    ]);
    assertEquals(version, MAILBOX_STEPS.length);
    assertStringIncludes(`${sql}`, "-- the fingerprint");
  });
});

Deno.test("what is counted and looked for is found in an index, without reading any envelope", async () => {
  await withFolder(async (path) => {
    const prepare = DatabaseSync.prototype.prepare;
    const statements: string[] = [];
    DatabaseSync.prototype.prepare = function (sql: string) {
      statements.push(sql);
      return prepare.call(this, sql);
    };
    try {
      (await open(path)).close();
    } finally {
      DatabaseSync.prototype.prepare = prepare;
    }
    const database = new DatabaseSync(`${path}/mailbox.db`, { readOnly: true });
    const asked = statements.filter((sql) => /FROM (box|once|envelope)\b/.test(sql));
    const plans = asked.map((sql) =>
      database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all().map(({ detail }) => detail).join("; ")
    );
    database.close();
    assert(asked.length > 10);
    for (const [n, plan] of plans.entries()) {
      assert(!/SCAN (box|once|envelope)(?! USING COVERING INDEX)/.test(plan), plan);
      // What adds up may have thousands to add.
      if (!asked[n]!.includes("sum(size)")) continue;
      assert(/envelope USING COVERING INDEX/.test(plan), plan);
    }
  });
});

Deno.test("all is there again when the store was closed and opened", async () => {
  await withFolder(async (path) => {
    const before = await open(path);
    const box = await openBox(before);
    await before.change((writer) => {
      writer.sign(box, prekeyOf(2n ** 64n - 1n), NOW);
      writer.addOnce(box, prekeysOf(1, 40));
    });
    const place = await leave(before, box, 1);
    before.handedOut(place, idOf(1));
    const boxes = before.boxes(BOB), left = before.left(ALICE, 0, 10);
    before.close();
    const after = await open(path);
    assertEquals(after.boxes(BOB), boxes);
    assertEquals(after.left(ALICE, 0, 10), left);
    assertEquals(left[0]!.wasHandedOut, true);
    assertEquals(after.stock(box), { count: 40, next: 1n });
    after.close();
  });
});

Deno.test("a closed store takes no change", async () => {
  await withFolder(async (path) => {
    const store = await open(path);
    const box = await openBox(store);
    const last = leave(store, box, 1);
    store.close();
    await last;
    await assertRejects(() => leave(store, box, 2), CifraError, "closed");
    const again = await open(path);
    assertEquals(again.leftBy(ALICE).count, 1);
    again.close();
  });
});

Deno.test("that something was handed out is on disk a second later, and costs nothing when it is settled by then", async () => {
  await withFolder(async (path) => {
    const time = new ManualTime();
    const store = await open(path, time);
    const box = await openBox(store);
    const places = await Promise.all([1, 2, 3].map((id) => leave(store, box, id)));
    const onDisk = () => {
      const database = new DatabaseSync(`${path}/mailbox.db`, { readOnly: true });
      const rows = database.prepare("SELECT place FROM handed_out").all();
      database.close();
      return rows.map(({ place }) => Number(place));
    };
    for (const [i, place] of places.entries()) store.handedOut(place, idOf(i + 1));
    await store.change((writer) => writer.take(places[0]!, idOf(1)));
    // Another one in its place was not handed out.
    await store.change((writer) => {
      writer.take(places[1]!, idOf(2));
      writer.insert(envelopeTo(box, 4), places[1]);
    });
    assertEquals(onDisk(), []);
    time.advance(1000);
    assertEquals(onDisk(), [places[2]]);
    assertEquals(store.left(ALICE, 0, 10).map(({ wasHandedOut }) => wasHandedOut), [false, true]);
    store.close();
  });
});

Deno.test("deposits that are asked for together are one transaction, and all are told when it is on disk", async () => {
  await withFolder(async (path) => {
    const store = await open(path);
    const box = await openBox(store);
    let inserts = 0, told = 0;
    const run = StatementSync.prototype.run;
    const toldAtInsert: number[] = [];
    const ends: number[] = [];
    StatementSync.prototype.run = function (this: StatementSync, ...values: SQLInputValue[]) {
      const result = run.apply(this, values as never);
      if (this.sourceSQL.startsWith("INSERT INTO envelope")) {
        inserts++;
        toldAtInsert.push(told);
      }
      if (this.sourceSQL === "COMMIT") ends.push(inserts);
      return result;
    } as typeof run;
    try {
      await Promise.all(
        Array.from({ length: 128 }, async (_, id) => {
          await leave(store, box, id);
          told++;
        }),
      );
    } finally {
      StatementSync.prototype.run = run;
    }
    assertEquals(ends, [128]);
    assertEquals(Math.max(...toldAtInsert), 0);
    assertEquals([told, store.leftBy(ALICE).count], [128, 128]);
    store.close();
  });
});

Deno.test("a change that throws undoes all that is committed with it", async () => {
  await withFolder(async (path) => {
    const store = await open(path);
    const box = await openBox(store);
    const results = await Promise.allSettled([
      leave(store, box, 1),
      store.change(() => {
        throw new Error("A mistake");
      }),
      leave(store, box, 2),
    ]);
    assertEquals(results.map(({ status }) => status), ["rejected", "rejected", "rejected"]);
    assertEquals(store.leftBy(ALICE).count, 0);
    await leave(store, box, 3);
    assertEquals(store.leftBy(ALICE).count, 1);
    store.close();
  });
});

Deno.test("settled envelopes and used prekeys are in no file a second later (6)", async () => {
  await withFolder(async (path) => {
    const time = new ManualTime();
    const store = await open(path, time);
    const box = await openBox(store);
    const marked = (mark: string, length: number) => {
      const bytes = new Uint8Array(length);
      for (let at = 0; at + mark.length <= length; at += 64) bytes.set(encodeUtf8(mark), at);
      return bytes;
    };
    // Also of many pages, which lie apart from the row.
    const short = await leave(store, box, 1, { body: marked("short-one", 1715) });
    const long = await leave(store, box, 2, { body: marked("long-one", 58_547) });
    await leave(store, box, 3, { body: marked("kept-one", 58_547) });
    await store.change((writer) => {
      writer.addOnce(box, [
        { ...prekeyOf(1), mlkem: marked("first-key", 1184) },
        { ...prekeyOf(2), mlkem: marked("second-key", 1184) },
      ]);
      writer.sign(box, { ...prekeyOf(1), mlkem: marked("old-signed", 1184) }, NOW);
    });
    time.advance(1000);
    const marks = ["short-one", "long-one", "kept-one", "first-key", "second-key", "old-signed"];
    const found = () => marks.filter((mark) => isOnDisk(path, mark));
    assertEquals(found(), marks);
    await store.change((writer) => writer.take(short, idOf(1)));
    await store.change((writer) => writer.take(long, idOf(2)));
    await store.change((writer) => writer.takeOnce(box));
    await store.change((writer) =>
      writer.sign(box, { ...prekeyOf(2), mlkem: marked("signed-two", 1184) }, NOW)
    );
    time.advance(1000);
    assertEquals(Deno.statSync(`${path}/mailbox.db-wal`).size, 0);
    assertEquals(found(), ["kept-one", "second-key"]);
    await store.change((writer) => writer.forget(BOB));
    // And at once where the server ends.
    store.close();
    assertEquals(found(), []);
    assert(!isOnDisk(path, passKeyOf("box").reduce((s, b) => s + String.fromCharCode(b), "")));
  });
});

Deno.test("the log is emptied later where a reader is in the way", async () => {
  await withFolder(async (path) => {
    const time = new ManualTime();
    const store = await open(path, time);
    const box = await openBox(store);
    const reader = new DatabaseSync(`${path}/mailbox.db`, { readOnly: true });
    reader.exec("BEGIN");
    reader.prepare("SELECT count(*) FROM envelope").get();
    await leave(store, box, 1);
    time.advance(1000);
    assert(Deno.statSync(`${path}/mailbox.db-wal`).size > 0);
    reader.close();
    time.advance(1000);
    assertEquals(Deno.statSync(`${path}/mailbox.db-wal`).size, 0);
    assertEquals(time.pending, 0);
    store.close();
  });
});

Deno.test("envelopes fill their part of the budget, and leave room for keys and for what deletes", async () => {
  await withFolder(async (path) => {
    const budget = 4 * MIB;
    const store = await open(path, { budget });
    const box = await openBox(store);
    let count = 0;
    while (store.room("envelopes") >= 58_547) {
      await leave(store, box, count++, { body: new Uint8Array(58_547) });
    }
    // Seven eighths of four fifths of it.
    assert(count > 40 && count < 50, `${count}`);
    assert(Deno.statSync(`${path}/mailbox.db`).size <= budget * 0.8);
    assert(store.room("keys") > 4 * 40 * 1288);
    await store.change((writer) => writer.addOnce(box, prekeysOf(1, 40)));
    for (const { place, id } of store.left(ALICE, 0, 10)) {
      await store.change((writer) => writer.take(place, id));
    }
    assert(store.room("envelopes") >= 9 * 58_547, `${store.room("envelopes")}`);
    // Without asking for room it comes to an end, which is no more than an error.
    const error = await assertRejects(async () => {
      for (let n = 0;; n++) await leave(store, box, `n${n}`, { body: new Uint8Array(58_547) });
    }, CifraError);
    assertEquals([error.code, troubleOf(error)], ["local", "full"]);
    assertEquals([store.room("keys"), store.stock(box).count], [0, 40]);
    await store.change((writer) => writer.forget(BOB));
    assert(store.room("envelopes") > 2 * MIB);
    store.close();
  });
});

Deno.test({
  name: "a full disk fails the changes of that moment and nothing else",
  ignore: !hasTmpfs,
  fn: async () => {
    await withTmpfs(2 * MIB, async (path) => {
      const time = new ManualTime();
      const store = await open(path, time);
      const box = await openBox(store);
      const place = await leave(store, box, "first");
      const makeRoom = await fillDisk(path);
      let count = 0;
      const error = await assertRejects(async () => {
        for (;; count++) await leave(store, box, count, { body: new Uint8Array(58_547) });
      }, CifraError);
      assertEquals([error.code, troubleOf(error)], ["local", "full"]);
      assertEquals(store.leftBy(ALICE).count, count + 1);
      store.handedOut(place, idOf("first"));
      // Must not throw: nobody is there to catch it.
      time.advance(1000);
      assertEquals(store.body(place)?.length, 1715);
      await makeRoom();
      await leave(store, box, "late");
      time.advance(1000);
      store.close();
      const again = await open(path);
      assertEquals(again.leftBy(ALICE).count, count + 2);
      assertEquals(again.left(ALICE, 0, 1)[0]!.wasHandedOut, true);
      again.close();
    });
  },
});

/** Runs the writer from `first` on, kills it when it has said so much, and returns what it had said. */
async function killWriter(path: string, first: number, length: number): Promise<string> {
  const command = [Deno.execPath(), "run", "--quiet", "--allow-all", "--frozen"];
  await using writer = new Program({
    name: "writer",
    command: [...command, "tests/store/mailbox_writer.ts", path, `${first}`],
  });
  await writer.until("being ready", () => writer.stdout.startsWith("ready"));
  await writer.until("more", () => writer.stdout.length > length);
  writer.kill("SIGKILL");
  const { signal, stdout } = await writer.exit();
  assertEquals(signal, "SIGKILL", writer.told);
  return stdout;
}

Deno.test("nothing that was confirmed is lost or comes back, and nothing is half, when the process is killed, 20 times", async () => {
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
      const [left, replaced, settled] = ["left", "replaced", "settled"].map(told);
      const [published, handed] = ["published", "handed"].map((what) => Math.max(0, ...told(what)));
      const store = await open(path);
      // One change of each of the four that run at once, and nobody was told of it.
      const last = next + left!.size + 8;
      for (let n = next; n <= last; n++) {
        const old = store.envelope(ALICE, idOf(n)), now = store.envelope(ALICE, idOf(`${n} again`));
        assert(!old || !now, `${n} is there twice`);
        if (settled!.has(n)) assert(!old && !now, `${n} is back`);
        else if (replaced!.has(n)) assert(now || n % 3 === 0, `${n} is lost`);
        else if (left!.has(n)) assert(old || now, `${n} is lost`);
        for (const envelope of [old, now]) {
          if (envelope) assertEquals(store.body(envelope.place), envelopeTo(1, n).body);
        }
      }
      const [box] = store.boxes(BOB), { count, next: lowest } = store.stock(box!.key);
      assert(box!.highest >= published!, `${box!.highest}, told ${published}`);
      // A prekey that was handed out never comes back, and none of the others is missing.
      assert(lowest > handed!, `${lowest}, handed out ${handed}`);
      assertEquals(BigInt(count), box!.highest - lowest + 1n);
      next = last + 1;
      store.close();
    }
  });
});
