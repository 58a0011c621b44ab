import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import { MESSAGES_LAZY_AFTER, MESSAGES_SETTLE_AFTER } from "../../lib/limits.ts";
import { MESSAGES_STEPS } from "../../lib/store/messages_schema.ts";
import type { HistoryEntry } from "../../lib/store/message_store.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { readHistory } from "../../lib/store/messages_history.ts";
import { SqliteMessages, type SqliteMessagesOptions } from "../../lib/store/sqlite_messages.ts";
import { ManualTime } from "../testkit/clock.ts";
import { killProgram } from "./kill_program.ts";
import type { Program } from "../testkit/program.ts";
import { withFolder } from "../testkit/server.ts";
import { fillDisk, hasTmpfs, makeReadOnly, withTmpfs } from "../testkit/tmpfs.ts";
import type { NewMessage } from "../../lib/wire/peer_messages.ts";

const POSIX = Deno.build.os !== "windows";
const BOB = { peer: "bob", suite: "modern" } as const;
const LOG = new Uint8Array(16).fill(7);
const ALL = 2 ** 30;
const MIB = 2 ** 20;

async function open(
  path: string,
  options: Partial<SqliteMessagesOptions> = {},
): Promise<SqliteMessages> {
  return await SqliteMessages.open(await PrivateFolder.open(path), {
    keepHistory: true,
    ...options,
  });
}

async function refusal(path: string): Promise<CifraError> {
  const error = await assertRejects(() => open(path), CifraError);
  assertEquals(error.code, "local");
  assertStringIncludes(error.message, `${path}/messages.db`);
  return error;
}

function text(content: string): NewMessage {
  return { type: "text", id: systemRandom(16), written: 0, content: encodeUtf8(content) };
}

/** A store with enough in it to have many pages, closed. */
async function fill(path: string, count = 500): Promise<void> {
  const store = await open(path);
  const filler = "x".repeat(1000);
  await store.append(BOB, Array.from({ length: count }, (_, i) => text(`${i} ${filler}`)));
  await store.close();
}

function textOf(entry: HistoryEntry): string {
  return entry.type === "text" ? entry.text : entry.type;
}

function stateOf(entry: HistoryEntry): string {
  return entry.type === "text" ? entry.state : entry.type;
}

function texts(path: string): string[] {
  return Array.from(readHistory(path, {}), textOf);
}

async function modeOf(path: string): Promise<string> {
  return ((await Deno.lstat(path)).mode! & 0o777).toString(8);
}

/** The transactions in a write-ahead log that was never begun anew: each ends with a frame that says so. */
async function commitsIn(path: string): Promise<number> {
  const bytes = await Deno.readFile(`${path}/messages.db-wal`);
  const view = new DataView(bytes.buffer);
  let commits = 0;
  for (let frame = 32; frame < bytes.length; frame += 24 + 4096) {
    if (view.getUint32(frame + 4) !== 0) commits++;
  }
  return commits;
}

Deno.test("changes of one turn of the event loop share a transaction, others do not", async () => {
  await withFolder(async (path) => {
    const store = await open(path);
    await store.outgoing(BOB);
    assertEquals(await commitsIn(path), 1);
    const numbers = await Promise.all([
      store.append(BOB, [text("a")]),
      store.receive(BOB, LOG, [{ ...text("x"), number: 1n }]).then(() => store.incoming(BOB)!.have),
      Promise.resolve().then(() => store.append(BOB, [text("b")])),
    ]);
    assertEquals(numbers, [1n, 1n, 2n]);
    assertEquals(await commitsIn(path), 2);
    for (let n = 3n; n <= 7n; n++) assertEquals(await store.append(BOB, [text("c")]), n);
    assertEquals(await commitsIn(path), 7);
    await store.close();
  });
});

Deno.test("acknowledgements are written after a while, all together, by one timer", async () => {
  await withFolder(async (path) => {
    const time = new ManualTime();
    const store = await open(path, { after: time.after });
    const states = () => Array.from(readHistory(path, {}), stateOf);
    await store.append(BOB, [text("a"), text("b"), text("c")]);
    time.advance(MESSAGES_SETTLE_AFTER);
    assertEquals(time.pending, 0);
    store.acknowledge(BOB, 1n, 0n);
    store.acknowledge(BOB, 2n, 1n);
    store.acknowledge(BOB, 2n, 1n);
    assertEquals(time.pending, 1);
    time.advance(MESSAGES_LAZY_AFTER - 1);
    assertEquals(states(), ["queued", "queued", "queued"]);
    assertEquals([...store.history({})].map(stateOf), ["read", "stored", "queued"]);
    time.advance(1);
    assertEquals(states(), ["read", "stored", "queued"]);
    time.advance(MESSAGES_SETTLE_AFTER);
    store.acknowledge(BOB, 3n, 1n);
    assertEquals(time.pending, 1);
    await store.append(BOB, [text("d")]);
    time.advance(MESSAGES_SETTLE_AFTER);
    assertEquals(time.pending, 0);
    assertEquals(states(), ["read", "stored", "stored", "queued"]);
    store.acknowledge(BOB, 4n, 4n);
    assertEquals(time.pending, 1);
    await store.close();
    assertEquals(time.pending, 0);
    assertEquals(states(), ["read", "read", "read", "read"]);
  });
});

function filesIn(path: string): readonly string[] {
  return [...Deno.readDirSync(path)].map(({ name }) => name).sort();
}

Deno.test({
  name: "the database and what belongs to it can be read by their owner alone",
  ignore: !POSIX,
  fn: () =>
    withFolder(async (path) => {
      const umask = Deno.umask(0);
      try {
        const store = await open(path);
        await store.append(BOB, [text("a")]);
        const names = [...Deno.readDirSync(path)].map(({ name }) => name).sort();
        assertEquals(names, [
          "messages.db",
          "messages.db-shm",
          "messages.db-wal",
          "messages.marks",
        ]);
        for (const name of names) assertEquals(await modeOf(`${path}/${name}`), "600", name);
        await store.close();
        assertEquals(filesIn(path), ["messages.db", "messages.marks"]);
        assertEquals(texts(path), ["a"]);
        for (const { name } of Deno.readDirSync(path)) {
          assertEquals(await modeOf(`${path}/${name}`), "600", name);
        }
      } finally {
        Deno.umask(umask);
      }
      // What a reader leaves is no hindrance, also when the file itself is moved away.
      await (await open(path)).close();
      texts(path);
      await Deno.remove(`${path}/messages.db`);
      await (await open(path)).close();
      assertEquals(texts(path), []);
    }),
});

Deno.test({
  name: "open() refuses files that others can read, links, and what is not a file",
  ignore: !POSIX,
  fn: () =>
    withFolder(async (path) => {
      await fill(path, 1);
      for (const name of ["messages.db", "messages.db-wal", "messages.db-shm"]) {
        const file = `${path}/${name}`;
        const made = name !== "messages.db";
        if (made) await Deno.writeFile(file, new Uint8Array(0), { mode: 0o600 });
        for (const mode of [0o644, 0o640, 0o602]) {
          await Deno.chmod(file, mode);
          const { hint, message } = await refusal(path);
          assertStringIncludes(message, file);
          assertStringIncludes(hint!, "chmod 600");
          assertThrows(() => texts(path), CifraError, "others can read");
        }
        await Deno.chmod(file, 0o600);
        await Deno.rename(file, `${path}/aside`);
        await Deno.symlink(`${path}/aside`, file);
        await refusal(path);
        assertThrows(() => texts(path), CifraError, "not a link");
        await Deno.remove(file);
        await Deno.symlink(`${path}/nowhere`, file);
        await refusal(path);
        await Deno.remove(file);
        await Deno.mkdir(file, { mode: 0o700 });
        await refusal(path);
        await Deno.remove(file);
        if (made) await Deno.remove(`${path}/aside`);
        else await Deno.rename(`${path}/aside`, file);
      }
      assertEquals(texts(path).length, 1);
    }),
});

/** What can happen to a file, and what open() must say of it. */
const DAMAGE: Readonly<Record<string, readonly [RegExp, (bytes: Uint8Array) => Uint8Array]>> = {
  "is garbage": [/not a database of cifra's/, (bytes) => systemRandom(bytes.length)],
  "is text": [/not a database of cifra's/, () => encodeUtf8("dear diary,\n".repeat(1000))],
  "is empty": [/not a database of cifra's/, () => new Uint8Array(0)],
  "ends in the middle": [/damaged/, (bytes) => bytes.slice(0, bytes.length / 2)],
  "ends within a page": [/damaged/, (bytes) => bytes.slice(0, 5000)],
  "ends within the first page": [/damaged|not a database/, (bytes) => bytes.slice(0, 1000)],
  "has zeros for a page": [/damaged/, (bytes) => bytes.fill(0, 5 * 4096, 6 * 4096)],
  "has a page with every bit flipped": [
    /damaged/,
    (bytes) => bytes.map((byte, i) => i >= 4096 * 9 && i < 4096 * 10 ? byte ^ 0xff : byte),
  ],
  "has two pages that changed places": [/damaged/, (bytes) => {
    const page = bytes.slice(4096, 8192);
    bytes.copyWithin(4096, bytes.length - 4096);
    bytes.set(page, bytes.length - 4096);
    return bytes;
  }],
};

for (const [what, [expected, damage]] of Object.entries(DAMAGE)) {
  Deno.test(`open() refuses a database that ${what}, and leaves it as it is`, async () => {
    await withFolder(async (path) => {
      await fill(path);
      const file = `${path}/messages.db`;
      await Deno.writeFile(file, damage(await Deno.readFile(file)));
      const before = await Deno.readFile(file);
      for (let attempt = 0; attempt < 2; attempt++) {
        const { message, hint } = await refusal(path);
        assertMatch(message, expected);
        assertStringIncludes(message, "left as it is");
        assertStringIncludes(hint!, "move it away");
        assertStringIncludes(hint!, "not delivered");
      }
      assertEquals(await Deno.readFile(file), before);
    });
  });
}

Deno.test("open() refuses a database of a newer cifra or of another program, and leaves it", async () => {
  await withFolder(async (path) => {
    const file = `${path}/messages.db`;
    const change = async (sql: string) => {
      const database = new DatabaseSync(file);
      database.exec(sql);
      database.close();
      await Deno.chmod(file, 0o600);
      return await Deno.readFile(file);
    };
    await fill(path, 3);
    const newer = await change(`PRAGMA user_version = ${MESSAGES_STEPS.length + 1}`);
    const { message, hint } = await refusal(path);
    assertMatch(message, /newer cifra.*left as it is/);
    assertStringIncludes(hint!, "use the newer cifra");
    assertThrows(() => texts(path), CifraError, "newer cifra");
    assertEquals(await Deno.readFile(file), newer);
    await Deno.remove(file);
    const foreign = await change("CREATE TABLE cookies (name TEXT)");
    assertStringIncludes((await refusal(path)).message, "not a database of cifra's");
    assertThrows(() => texts(path), CifraError, "not a database of cifra's");
    assertEquals(await Deno.readFile(file), foreign);
  });
});

Deno.test("open() does not begin anew beside the log of a database that is missing", async () => {
  await withFolder(async (path) => {
    const store = await open(path);
    await store.append(BOB, [text("a")]);
    await Deno.mkdir(`${path}/copy`, { mode: 0o700 });
    const log = "messages.db-wal";
    await Deno.copyFile(`${path}/${log}`, `${path}/copy/${log}`);
    await store.close();
    const { message, hint } = await refusal(`${path}/copy`);
    assertStringIncludes(message, "is missing");
    assertStringIncludes(hint!, "move the other one away");
    await Deno.remove(`${path}/copy/${log}`);
    await (await open(`${path}/copy`)).close();
  });
});

Deno.test("open() begins anew what was being begun when its process died", async () => {
  await withFolder(async (path) => {
    for (const name of ["messages.db.new", "messages.db.new-wal", "messages.db.new-journal"]) {
      await Deno.writeFile(`${path}/${name}`, systemRandom(5000), { mode: 0o600 });
    }
    await (await open(path)).close();
    assertEquals(filesIn(path), ["messages.db", "messages.marks"]);
  });
});

Deno.test("damage that comes to light during use ends the store: every later call says the same", async () => {
  await withFolder(async (path) => {
    await fill(path, 4000);
    const store = await open(path);
    const file = await Deno.open(`${path}/messages.db`, { write: true });
    const { size } = await file.stat();
    await file.seek(4096, Deno.SeekMode.Start);
    await file.write(new Uint8Array(size - 4096).fill(0xee));
    file.close();
    const error = assertThrows(() => [...store.history({})], CifraError);
    assertMatch(error.message, /messages\.db: it is damaged/);
    assertEquals(await assertRejects(() => store.append(BOB, [text("a")])), error);
    assertEquals(await assertRejects(() => store.outgoing(BOB)), error);
    assertEquals(await assertRejects(() => store.receive(BOB, LOG, [])), error);
    assertEquals(await assertRejects(() => store.skip(BOB, LOG, 1n)), error);
    assertEquals(await assertRejects(() => store.restart(BOB)), error);
    for (
      const call of [
        () => store.read(BOB, 1n, 1),
        () => store.acknowledge(BOB, 1n, 1n),
        () => store.incoming(BOB),
        () => store.markRead(BOB, LOG, 1n),
        () => store.unshown(BOB, 0, 1),
        () => store.lastOrdinal(),
        () => [...store.history({})],
      ]
    ) assertEquals(assertThrows(call), error);
    assertEquals(await assertRejects(() => store.close()), error);
  });
});

Deno.test({
  name:
    "a full disk rejects what does not fit, whole, and the store goes on when there is room (16, 17)",
  ignore: !hasTmpfs,
  fn: () =>
    withTmpfs(MIB, async (path) => {
      const store = await open(path);
      await store.append(BOB, [text("first")]);
      const makeRoom = await fillDisk(path);
      let last = 1n;
      let failure: CifraError | undefined;
      // Some still fits in what SQLite has reserved.
      for (let i = 0; !failure && i < 100; i++) {
        const pair = [text("x".repeat(8000)), text("y".repeat(8000))];
        await store.append(BOB, pair).then((number) => last = number, (error) => failure = error);
      }
      assert(failure instanceof CifraError, String(failure));
      assertEquals(failure.code, "local");
      assertMatch(failure.message, /messages\.db: the disk is full/);
      assertStringIncludes(failure.hint!, "make room");
      const big = text("z".repeat(100_000));
      const both = [store.append(BOB, [big]), store.receive(BOB, LOG, [{ ...big, number: 1n }])];
      for (const change of both) await assertRejects(() => change, CifraError, "the disk is full");
      assertEquals((await store.outgoing(BOB)).last, last);
      assertEquals(store.incoming(BOB), undefined);
      store.acknowledge(BOB, 1n, 1n);
      assertEquals((await store.outgoing(BOB)).stored, 1n);
      assertEquals(BigInt(store.read(BOB, 1n, ALL).length), last - 1n);
      await makeRoom();
      assertEquals(await store.append(BOB, [big]), last + 1n);
      assertEquals((await store.receive(BOB, LOG, [{ ...big, number: 1n }])).length, 1);
      await store.close();
      const again = await open(path);
      const state = await again.outgoing(BOB);
      assertEquals([state.last, state.stored], [last + 1n, 1n]);
      assertEquals([...again.history({})].length, Number(last) + 2);
      await again.close();
    }),
});

Deno.test({
  name: "close() on a full disk ends well, and the next run doubts more than it must",
  ignore: !hasTmpfs,
  fn: () =>
    withTmpfs(MIB, async (path) => {
      let store = await open(path);
      await store.receive(BOB, LOG, [{ ...text("a"), number: 1n }]);
      await store.close();
      store = await open(path);
      assertEquals(store.doubtfulUpTo, 0);
      const makeRoom = await fillDisk(path);
      // What is left of the space that SQLite has reserved.
      while (await store.append(BOB, [text("x".repeat(1000))]).catch(() => undefined));
      await store.close();
      await makeRoom();
      store = await open(path);
      assertEquals(store.doubtfulUpTo, store.lastOrdinal());
      await store.close();
    }),
});

Deno.test({
  name: "open() says that the disk is full, and leaves nothing in the way",
  ignore: !hasTmpfs,
  fn: () =>
    withTmpfs(MIB, async (path) => {
      const makeRoom = await fillDisk(path);
      assertStringIncludes((await refusal(path)).message, "disk is full");
      await makeRoom();
      const store = await open(path);
      await store.append(BOB, [text("a")]);
      await store.close();
      // Now it is the index of the log that finds no room.
      const makeRoomAgain = await fillDisk(path);
      assertStringIncludes((await refusal(path)).message, "the disk is full");
      await makeRoomAgain();
      await (await open(path)).close();
      assertEquals(texts(path), ["a"]);
    }),
});

Deno.test({
  name: "a disk that can only be read is refused in words, and left",
  ignore: !hasTmpfs,
  fn: () =>
    withTmpfs(MIB, async (path) => {
      await fill(path, 3);
      await makeReadOnly(path);
      const { message, hint } = await refusal(path);
      assertMatch(message, /cannot be opened/);
      assertStringIncludes(hint!, "allow writing");
      assertThrows(() => texts(path), CifraError, "cannot be opened");
    }),
});

Deno.test({
  name: "a file that can only be read is refused by open(), in words",
  ignore: !POSIX || Deno.uid() === 0,
  fn: () =>
    withFolder(async (path) => {
      await fill(path, 3);
      await Deno.chmod(`${path}/messages.db`, 0o400);
      assertStringIncludes((await refusal(path)).message, "can only be read");
      assertEquals(texts(path).length, 3);
    }),
});

for (const [when, end] of [["while it is open", 1], ["when it is closed", 0]] as const) {
  Deno.test(`without history no trace of a text is left in the files ${when}`, async () => {
    await withFolder(async (path) => {
      const time = new ManualTime();
      const canary = "the canary sings at midnight";
      const traces = () => {
        let found = 0;
        for (const { name } of Deno.readDirSync(path)) {
          const bytes = new TextDecoder("latin1").decode(Deno.readFileSync(`${path}/${name}`));
          found += bytes.split(canary).length - 1;
        }
        return found;
      };
      const store = await open(path, { keepHistory: false, after: time.after });
      // Around it what makes pages, splits them, and stays.
      const stays = () => Array.from({ length: 60 }, (_, i) => text(`${i}`.repeat(50)));
      await store.append({ ...BOB, peer: "carol" }, stays());
      const long = `${canary} ${"and sings ".repeat(1000)} ${canary}`;
      await store.append(BOB, [text(canary), text(long), ...stays(), text(canary)]);
      const received = [text(canary), text(long)].map((message, i) => ({
        ...message,
        number: BigInt(i + 1),
      }));
      await store.receive(BOB, LOG, received);
      assert(traces() >= 7);
      store.acknowledge(BOB, 63n, 0n);
      store.markRead(BOB, LOG, 2n);
      if (end === 1) time.advance(MESSAGES_LAZY_AFTER);
      else await store.close();
      assertEquals(traces(), 0);
      assertEquals(texts(path).length, 60);
      // Deleted with something else, which stays.
      if (end === 1) {
        await store.append(BOB, [text(canary)]);
        store.acknowledge(BOB, 64n, 0n);
        await store.append({ ...BOB, peer: "carol" }, [text("stays")]);
        assert(traces() > 0);
        time.advance(MESSAGES_SETTLE_AFTER);
        assertEquals(traces(), 0);
        await store.close();
      }
    });
  });
}

Deno.test("messages do not lie in the write-ahead log alone for longer than a second", async () => {
  await withFolder(async (path) => {
    const time = new ManualTime();
    const store = await open(path, { after: time.after });
    await store.append(BOB, [text("a"), text("b")]);
    // A reader is in the way, and then it is not.
    const reader = new DatabaseSync(`${path}/messages.db`, { readOnly: true });
    reader.exec("BEGIN");
    reader.prepare("SELECT * FROM message").all();
    time.advance(MESSAGES_SETTLE_AFTER);
    assert(Deno.statSync(`${path}/messages.db-wal`).size > 0);
    reader.close();
    time.advance(MESSAGES_SETTLE_AFTER);
    assertEquals(Deno.statSync(`${path}/messages.db-wal`).size, 0);
    assertEquals(time.pending, 0);
    await withFolder(async (copy) => {
      await Deno.copyFile(`${path}/messages.db`, `${copy}/messages.db`);
      assertEquals(texts(copy), ["a", "b"]);
    });
    await store.close();
  });
});

Deno.test("the write-ahead log stays small, however much comes in a second", async () => {
  await withFolder(async (path) => {
    const time = new ManualTime();
    const store = await open(path, { after: time.after });
    let largest = 0;
    for (let number = 1n; number <= 300n; number++) {
      await store.receive(BOB, LOG, [{ ...text("x".repeat(2000)), number }]);
      largest = Math.max(largest, Deno.statSync(`${path}/messages.db-wal`).size);
    }
    assert(largest < 640 * 1024, `${largest}`);
    // What one large transaction took is given back with the next.
    await store.append(BOB, Array.from({ length: 300 }, () => text("y".repeat(4000))));
    await store.append(BOB, [text("z")]);
    const { size } = Deno.statSync(`${path}/messages.db-wal`);
    assert(size < 640 * 1024, `${size}`);
    await store.close();
  });
});

Deno.test({
  name: "what comes in a second fits on a disk that has little more room than it needs in the end",
  ignore: !hasTmpfs,
  fn: () =>
    withTmpfs(2 * MIB, async (path) => {
      const store = await open(path, { after: new ManualTime().after });
      for (let number = 1n; number <= 500n; number++) {
        await store.receive(BOB, LOG, [{ ...text("x".repeat(2000)), number }]);
      }
      await store.close();
      assertEquals(texts(path).length, 500);
    }),
});

/** What a kill leaves of a store with 2 sent and 1 received settled, and 3 and 2 more in the log of the database. */
async function killed(path: string): Promise<void> {
  await withFolder(async (running) => {
    const time = new ManualTime();
    const store = await open(running, { after: time.after });
    await store.append(BOB, [text("1"), text("2")]);
    await store.receive(BOB, LOG, [{ ...text("1"), number: 1n }]);
    time.advance(MESSAGES_SETTLE_AFTER);
    await store.append(BOB, [text("3")]);
    await store.receive(BOB, LOG, [{ ...text("2"), number: 2n }, { ...text("3"), number: 3n }]);
    await store.append(BOB, [text("4"), text("5")]);
    await store.append({ ...BOB, peer: "carol" }, [text("6")]);
    time.advance(MESSAGES_LAZY_AFTER);
    for (const name of ["messages.db", "messages.db-wal", "messages.marks"]) {
      await Deno.copyFile(`${running}/${name}`, `${path}/${name}`);
    }
    await store.close();
  });
}

/** Opens a copy of what a program that is killed now would leave in `path`, its write-ahead log lost. */
async function withoutLog(path: string, job: (store: SqliteMessages) => void): Promise<void> {
  await withFolder(async (left) => {
    for (const name of ["messages.db", "messages.marks"]) {
      await Deno.copyFile(`${path}/${name}`, `${left}/${name}`);
    }
    const store = await open(left);
    try {
      job(store);
    } finally {
      await store.close();
    }
  });
}

const SENT = { ...BOB, direction: "sent" } as const;
const TO_CAROL = { ...SENT, peer: "carol", from: 1n, to: 1n } as const;
const RECEIVED = { ...BOB, direction: "received", from: 2n, to: 3n } as const;

Deno.test("open() says what was lost with the write-ahead log, once, and loses nothing else", async () => {
  await withFolder(async (path) => {
    await killed(path);
    await Deno.remove(`${path}/messages.db-wal`);
    const store = await open(path);
    assertEquals(store.lost, [{ ...SENT, from: 3n, to: 5n }, RECEIVED, TO_CAROL]);
    assertEquals(texts(path), ["1", "2", "1"]);
    assertEquals(store.missing(BOB), [{ type: "gap", from: 3n, to: 5n }]);
    // Somebody may have what had these numbers.
    assertEquals(await store.append(BOB, [text("again")]), 6n);
    assertEquals(store.read(BOB, 1n, ALL).map(({ number }) => number), [1n, 2n]);
    assertEquals(store.read(BOB, 3n, ALL), []);
    assertEquals(store.read(BOB, 6n, ALL).map(({ number }) => number), [6n]);
    await store.close();
    const again = await open(path);
    assertEquals(again.lost, []);
    assertEquals(texts(path), ["1", "2", "1", "again"]);
    again.acknowledge(BOB, 1n, 0n);
    const { last } = await again.restart(BOB);
    assertEquals([last, again.missing(BOB)], [5n, [{ type: "gap", from: 2n, to: 4n }]]);
    again.acknowledge(BOB, 4n, 4n);
    assertEquals(again.missing(BOB), []);
    await again.close();
  });
});

Deno.test("whoever was told that a message is on disk is told that it is lost, from that moment on", async () => {
  await withFolder(async (path) => {
    const time = new ManualTime();
    const store = await open(path, { after: time.after });
    await store.append(BOB, [text("1")]);
    await withoutLog(path, ({ lost }) => assertEquals(lost, [{ ...SENT, from: 1n, to: 1n }]));
    await store.receive(BOB, LOG, [{ ...text("x"), number: 1n }]);
    await withoutLog(path, ({ lost }) => {
      assertEquals(lost, [
        { ...SENT, from: 1n, to: 1n },
        { ...BOB, direction: "received", from: 1n, to: 1n },
      ]);
    });
    await store.close();
  });
});

Deno.test("what waits is doubted after a kill, also when the write-ahead log is lost", async () => {
  await withFolder(async (path) => {
    let store = await open(path);
    await store.receive(BOB, LOG, [{ ...text("x"), number: 1n }]);
    await store.close();
    const time = new ManualTime();
    store = await open(path, { after: time.after });
    assertEquals(store.doubtfulUpTo, 0);
    // Shown, and that it was lies in the log alone.
    store.markRead(BOB, LOG, 1n);
    time.advance(MESSAGES_LAZY_AFTER);
    await withoutLog(path, (found) => {
      assertEquals(found.unshown(BOB, 0, 9).length, 1);
      assertEquals(found.doubtfulUpTo, 1);
    });
    await store.close();
  });
});

Deno.test("one flipped byte in the write-ahead log: open() says what is missing after it", async () => {
  await withFolder(async (path) => {
    await killed(path);
    const wal = await Deno.readFile(`${path}/messages.db-wal`);
    // In the middle, so that something stays before it.
    wal[wal.length / 2]! ^= 1;
    await Deno.writeFile(`${path}/messages.db-wal`, wal);
    const store = await open(path);
    const last = store.read(BOB, 1n, ALL).at(-1)!.number;
    assert(last < 5n, `${last}`);
    assertEquals(store.lost.find(({ peer, direction }) => peer === "bob" && direction === "sent"), {
      ...SENT,
      from: last + 1n,
      to: 5n,
    });
    assertEquals(store.lost.at(-1), TO_CAROL);
    await store.close();
  });
});

Deno.test("a whole file, one without marks, damaged marks, and a log begun anew are no losses", async () => {
  const lost = async (path: string) => {
    const store = await open(path);
    await store.close();
    return store.lost;
  };
  await withFolder(async (path) => {
    await killed(path);
    assertEquals(await lost(path), []);
    const marks = await Deno.readTextFile(`${path}/messages.marks`);
    assertMatch(
      marks,
      /^bob +modern +sent +[0-9a-f]{32} +5\nbob +modern +received +(?:07){16} +3\n/,
    );
    await Deno.remove(`${path}/messages.marks`);
    assertEquals(await lost(path), []);
    for (
      const damaged of [systemRandom(500), encodeUtf8(marks.slice(1)), encodeUtf8("\n".repeat(400))]
    ) {
      await Deno.writeFile(`${path}/messages.marks`, damaged, { mode: 0o600 });
      assertEquals(await lost(path), []);
    }
    await Deno.writeTextFile(`${path}/messages.marks`, marks);
    const store = await open(path);
    store.acknowledge(BOB, 2n, 2n);
    await store.restart(BOB);
    await store.close();
    assertEquals(await lost(path), []);
  });
});

Deno.test({
  name: "marks that others can read, or that are a link, are refused",
  ignore: !POSIX,
  fn: () =>
    withFolder(async (path) => {
      await killed(path);
      const marks = `${path}/messages.marks`;
      await Deno.chmod(marks, 0o644);
      const readable = await assertRejects(() => open(path), CifraError, "others can read");
      assertStringIncludes(readable.hint!, "chmod 600");
      await Deno.rename(marks, `${path}/aside`);
      await Deno.symlink(`${path}/aside`, marks);
      await assertRejects(() => open(path), CifraError, "not a link");
    }),
});

/** Runs the writer in `path` until `enough` has been said, kills it, and returns what it had said. */
async function killWriter(
  path: string,
  enough: (writer: Program) => Promise<unknown>,
): Promise<{ sent: number; have: number }> {
  const said = await killProgram("writer", path, enough);
  return { sent: said("sent"), have: said("have") };
}

Deno.test("nothing that was confirmed is lost or doubled when the process is killed, 30 times (2, 3)", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  console.log(`seed ${seed}`);
  await withFolder(async (path) => {
    let told = { sent: 0, have: 0 };
    for (let kill = 0; kill < 30; kill++) {
      const length = Math.abs(Math.imul(seed + kill, 0x9e3779b1)) % 6000;
      const said = await killWriter(
        path,
        (writer) => writer.until("more", () => writer.stdout.length > length),
      );
      told = { sent: Math.max(told.sent, said.sent), have: Math.max(told.have, said.have) };
      const store = await open(path);
      assertEquals(store.lost, []);
      const { last, stored } = await store.outgoing(BOB);
      const { have } = store.incoming(BOB, LOG) ?? { have: 0n };
      // At most one batch of each kind was written that nobody had been told of.
      assert(last >= told.sent && last <= told.sent + 7, `sent ${last}, told ${told.sent}`);
      assert(have >= told.have && have <= told.have + 5, `have ${have}, told ${told.have}`);
      assert(stored <= last);
      const kept = store.read(BOB, stored + 1n, ALL);
      assertEquals(kept.length, Number(last - stored));
      const next = { sent: 1, received: 1 };
      for (const entry of store.history({})) {
        assert(entry.type === "text");
        const { direction, number, text } = entry;
        assertEquals([Number(number), text], [next[direction], `${number}`]);
        next[direction]++;
      }
      assertEquals([next.sent, next.received], [Number(last) + 1, Number(have) + 1]);
      await store.close();
      told = { sent: Number(last), have: Number(have) };
    }
    assert(told.sent > 100 && told.have > 100);
  });
});

Deno.test("readHistory() reads while another process writes, each time a whole beginning", async () => {
  await withFolder(async (path) => {
    const counts: number[] = [];
    await killWriter(path, async (writer) => {
      for (let round = 1; round <= 10; round++) {
        await writer.until("more", () => writer.stdout.length > round * 500);
        let expected = 1n;
        for (const entry of readHistory(path, { peer: "bob" })) {
          if (entry.type !== "text" || entry.direction !== "sent") continue;
          const { number, text } = entry;
          assertEquals([number, text], [expected, `${expected}`]);
          expected++;
        }
        counts.push(Number(expected) - 1);
      }
    });
    assertEquals(counts, counts.toSorted((a, b) => a - b));
    assert(counts[0]! > 0 && counts[0]! < counts.at(-1)!);
    // And after the writer was killed, before anybody has opened the file to write.
    assert(texts(path).length >= counts.at(-1)!);
  });
});

Deno.test("readHistory() says that there is no file, and makes none", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    const error = assertThrows(() => texts(folder.path), CifraError);
    assertEquals(error.code, "local");
    assertStringIncludes(error.message, `${path}/messages.db: there is no such file`);
    assert(error.cause instanceof Deno.errors.NotFound);
    assertEquals([...Deno.readDirSync(path)], []);
  });
});

Deno.test("readHistory() lets go of the file when its reader has enough", async () => {
  await withFolder(async (path) => {
    await fill(path, 3);
    for (const entry of readHistory(path, {})) {
      assertStringIncludes(textOf(entry), "0 ");
      break;
    }
    const store = await open(path);
    await store.append(BOB, [text("after")]);
    await store.close();
    // Nobody else has it open: the log is put away.
    assertEquals(filesIn(path), ["messages.db", "messages.marks"]);
  });
});

Deno.test("a stranger can read the database with the tools there are", async () => {
  await withFolder(async (path) => {
    const store = await open(path);
    await store.append(BOB, [text("hello")]);
    await store.close();
    const database = new DatabaseSync(`${path}/messages.db`);
    const [row] = database.prepare(
      "SELECT peer, direction, number, CAST(content AS TEXT) AS text FROM message JOIN side ON side.id = side",
    ).all();
    assertEquals({ ...row }, { peer: "bob", direction: "sent", number: 1, text: "hello" });
    const [{ sql }] = database.prepare("SELECT sql FROM sqlite_schema WHERE name = 'message'")
      .all() as [{ sql: string }];
    assertStringIncludes(sql, "-- milliseconds since 1970");
    database.close();
  });
});
