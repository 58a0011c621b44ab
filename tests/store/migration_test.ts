import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { decodeUtf8, encodeUtf8 } from "../../lib/bytes.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import { MESSAGES_STEPS } from "../../lib/store/messages_schema.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteFile } from "../../lib/store/sqlite_file.ts";
import { readHistory } from "../../lib/store/messages_history.ts";
import { SqliteMessages } from "../../lib/store/sqlite_messages.ts";
import { Program } from "../testkit/program.ts";
import { withFolder } from "../testkit/server.ts";
import { fillDisk, hasTmpfs, withTmpfs } from "../testkit/tmpfs.ts";
import { BOB, idOf, LAST_ORDINAL, makeVersion1, OUR_LOG, textOf, THEIR_LOG } from "./version_1.ts";
import { encodeFileWord } from "../../lib/wire/file_messages.ts";
import type { KeptMessage } from "../../lib/wire/peer_messages.ts";

const ALL = 2 ** 30;
const MIB = 2 ** 20;

async function open(path: string): Promise<SqliteMessages> {
  return await SqliteMessages.open(await PrivateFolder.open(path), { keepHistory: true });
}

/** The version that stands in the file, by a program that changes nothing. */
function versionOf(path: string): number {
  const database = new DatabaseSync(`${path}/messages.db`, { readOnly: true });
  const { user_version } = database.prepare("PRAGMA user_version").get()!;
  database.close();
  return Number(user_version);
}

function expectedMessages(side: number, from: number, count: number, size: number): KeptMessage[] {
  return Array.from({ length: count - from + 1 }, (_, i) => {
    const n = from + i, isEnd = n === count;
    return {
      type: isEnd ? "end" : "text",
      number: BigInt(n),
      id: idOf(side, n),
      written: 1000 * n,
      content: encodeUtf8(isEnd ? "" : textOf(side, n, size)),
    };
  });
}

/** Fails unless everything that `makeVersion1` wrote is in the store. */
async function checkAll(store: SqliteMessages, count: number, size = 20): Promise<void> {
  const last = BigInt(count);
  assertEquals(await store.outgoing(BOB), { log: OUR_LOG, last, stored: 2n, read: 1n });
  assertEquals([...store.read(BOB, 1n, ALL)], expectedMessages(1, 3, count, size));
  assertEquals(store.incoming(BOB), {
    log: THEIR_LOG,
    have: last,
    haveId: idOf(2, count),
    read: 3n,
  });
  const waiting = store.unshown(BOB, 0, 2 * count).map(({ message }) => message);
  assertEquals(waiting, expectedMessages(2, 4, count, size));
  const said = Array.from(store.history({}), (entry) => {
    assert(entry.type === "text");
    return `${entry.direction} ${entry.number} ${entry.text.length} ${entry.state}`;
  });
  const expected: string[] = [];
  for (let n = 1; n < count; n++) {
    expected.push(`sent ${n} ${size} ${n <= 1 ? "read" : n <= 2 ? "stored" : "queued"}`);
    expected.push(`received ${n} ${size} received`);
  }
  assertEquals(said, expected);
  assertEquals(store.lastOrdinal(), LAST_ORDINAL);
}

Deno.test("a file of version 1 is brought up to date with all that is in it, and goes on", async () => {
  await withFolder(async (path) => {
    await makeVersion1(path, 300);
    for (let run = 0; run < 2; run++) {
      const store = await open(path);
      await checkAll(store, 300);
      await store.close();
      assertEquals(versionOf(path), MESSAGES_STEPS.length);
    }
    const store = await open(path);
    // Nothing counts twice, and what is new, a gap among it, comes after all that was there.
    assertEquals(await store.receive(BOB, THEIR_LOG, expectedMessages(2, 300, 300, 20)), []);
    await store.skip(BOB, THEIR_LOG, 302n);
    const content = encodeUtf8("new");
    const text = { type: "text", id: systemRandom(16), written: 0, content } as const;
    assertEquals(await store.append(BOB, [text]), 301n);
    const [gap] = store.unshown(BOB, LAST_ORDINAL, 10);
    assertEquals(gap, {
      ordinal: LAST_ORDINAL + 1,
      log: THEIR_LOG,
      message: { type: "gap", from: 301n, to: 301n },
    });
    assertEquals(store.read(BOB, 301n, ALL).map(({ content }) => decodeUtf8(content)), ["new"]);
    await store.close();
  });
});

Deno.test("what waits in a file of version 2 may have been shown, until it is", async () => {
  await withFolder(async (path) => {
    await makeVersion1(path, 5);
    await bringTo(path, 2);
    for (let run = 0; run < 2; run++) {
      const store = await open(path);
      assertEquals(store.doubtfulUpTo, LAST_ORDINAL);
      await checkAll(store, 5);
      await store.close();
    }
  });
});

/** Brings a file up to a version that this program has passed. */
async function bringTo(path: string, version: number): Promise<void> {
  const kind = { steps: MESSAGES_STEPS.slice(0, version) };
  (await SqliteFile.open(path, "messages.db", kind)).close();
}

Deno.test("a file of version 3 keeps its queue, its gaps and its doubts, and has room for a mailbox", async () => {
  await withFolder(async (path) => {
    await makeVersion1(path, 5);
    await bringTo(path, 3);
    const older = new DatabaseSync(`${path}/messages.db`);
    older.exec(`
      INSERT INTO message (side, log, gap_from, number, type, written, content)
        VALUES (2, 2, 6, 7, 'gap', 0, x'');
      UPDATE log SET last = 7, stored = 7, last_id = NULL WHERE id = 2;
      UPDATE run SET doubtful = 4`);
    older.close();
    const store = await open(path);
    assertEquals(store.doubtfulUpTo, 4);
    assertEquals([...store.read(BOB, 1n, ALL)], expectedMessages(1, 3, 5, 20));
    assertEquals(store.incoming(BOB), { log: THEIR_LOG, have: 7n, haveId: undefined, read: 3n });
    const waiting = store.unshown(BOB, 0, 10);
    assertEquals(waiting.map(({ message }) => message), [
      ...expectedMessages(2, 4, 5, 20),
      { type: "gap", from: 6n, to: 7n },
    ]);
    assertEquals(store.lastOrdinal(), LAST_ORDINAL + 1);
    await store.close();
    const database = new DatabaseSync(`${path}/messages.db`, { readOnly: true });
    const tables = ["early", "box", "prekey", "reading", "writing", "deposit", "correspondent"];
    for (const table of tables) {
      assertEquals({ ...database.prepare(`SELECT count(*) AS n FROM ${table}`).get() }, { n: 0 });
    }
    database.close();
  });
});

Deno.test("a file of version 4 keeps what waits for its turn and what was taken back, and has room for transfers", async () => {
  await withFolder(async (path) => {
    await makeVersion1(path, 5);
    await bringTo(path, 4);
    const older = new DatabaseSync(`${path}/messages.db`);
    const early = idOf(2, 7);
    older.exec(
      "UPDATE message SET type = 'taken back', content = x'' WHERE side = 1 AND number = 4",
    );
    older.prepare("INSERT INTO early VALUES (2, 2, 7, 'text', ?, 7000, ?)")
      .run(early, encodeUtf8("early"));
    older.close();
    const store = await open(path);
    const [third, fourth, ...rest] = expectedMessages(1, 3, 5, 20);
    const gone = { ...fourth!, type: "taken back", content: new Uint8Array(0) } as const;
    assertEquals([...store.read(BOB, 1n, ALL)], [third!, gone, ...rest]);
    const content = encodeUtf8("early");
    const waiting = { type: "text", number: 7n, id: early, written: 7000, content } as const;
    assertEquals([...store.early(BOB)], [waiting]);
    assertEquals(store.lastOrdinal(), LAST_ORDINAL);
    assertEquals(store.transfers.all("modern"), []);
    // What waited comes in its turn, and words about transfers are messages now.
    const id = systemRandom(16);
    const word = encodeFileWord({ type: "cancel", transfer: id });
    const file = { type: "file", number: 6n, id, written: 1, content: word } as const;
    assertEquals(await store.receive(BOB, THEIR_LOG, [file]), [file, waiting]);
    await store.close();
  });
});

Deno.test("a file that was brought up to date has the layout of a new one", async () => {
  const layout = (path: string) => {
    const database = new DatabaseSync(`${path}/messages.db`, { readOnly: true });
    const rows = database.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").all();
    database.close();
    // Version 1 is made by this test without the comments.
    return rows.filter(({ name }) => name !== "side" && name !== "log").map((row) => ({ ...row }));
  };
  await withFolder(async (path) => {
    await makeVersion1(path, 5);
    await (await open(path)).close();
    const migrated = layout(path);
    await Deno.remove(`${path}/messages.db`);
    await (await open(path)).close();
    assertEquals(migrated, layout(path));
  });
});

Deno.test("readHistory() does not read a file of version 1, and says what brings it up to date", async () => {
  await withFolder(async (path) => {
    await makeVersion1(path, 5);
    const error = assertThrows(() => [...readHistory(path, {})], CifraError);
    assertStringIncludes(error.message, `${path}/messages.db: an older cifra wrote it`);
    assertStringIncludes(error.hint!, "cifra connect");
    assertEquals(versionOf(path), 1);
    await (await open(path)).close();
    assertEquals([...readHistory(path, {})].length, 8);
  });
});

for (const from of [1, 3, 4]) {
  Deno.test(`nothing is lost when the process is killed, twice, in the middle of bringing a file of version ${from} up to date`, () =>
    killedInTheMiddle(from));
}

async function killedInTheMiddle(from: number): Promise<void> {
  const COUNT = 1500, SIZE = 4000;
  await withFolder(async (folder) => {
    await makeVersion1(folder, COUNT, SIZE);
    if (from > 1) await bringTo(folder, from);
    let interrupted = 0;
    for (let round = 0; round < 5; round++) {
      const path = `${folder}/${round}`;
      await Deno.mkdir(path, { mode: 0o700 });
      await Deno.copyFile(`${folder}/messages.db`, `${path}/messages.db`);
      const kills = round === 0 ? 2 : 1;
      for (let kill = 0; kill < kills; kill++) if (await killedAfter(round, path)) interrupted++;
      const store = await open(path);
      await checkAll(store, COUNT, SIZE);
      await store.close();
    }
    assert(interrupted > 0, "no kill came in the middle");
  });

  /** Whether the kill came in the middle. */
  async function killedAfter(round: number, path: string): Promise<boolean> {
    const left = logOf(path);
    const command = [Deno.execPath(), "run", "--quiet", "--allow-all", "--frozen"];
    await using opener = new Program({
      name: "opener",
      command: [...command, "tests/store/opener.ts", path],
    });
    // The transaction is larger than SQLite's cache: its pages are in the log before it is committed.
    const enough = 100_000 + round * MIB;
    // What an earlier kill left has its size from the start.
    const isWritten = ({ size, time } = logOf(path)) => size >= enough && time !== left.time;
    while (!isWritten() && opener.stdout === "") {
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    opener.kill("SIGKILL");
    assertEquals((await opener.exit()).signal, "SIGKILL");
    return versionOf(path) === from;
  }
}

/** The write-ahead log of the messages in a folder, if there is one. */
function logOf(path: string): { readonly size: number; readonly time: number } {
  try {
    const { size, mtime } = Deno.statSync(`${path}/messages.db-wal`);
    return { size, time: mtime!.getTime() };
  } catch {
    return { size: 0, time: 0 };
  }
}

Deno.test({
  name: "a disk too full to bring a file up to date leaves it as it was, and the next try succeeds",
  ignore: !hasTmpfs,
  fn: () =>
    withTmpfs(4 * MIB, async (path) => {
      await makeVersion1(path, 200, 1000);
      const makeRoom = await fillDisk(path);
      let error: unknown;
      await open(path).catch((refusal) => error = refusal);
      assert(error instanceof CifraError, String(error));
      assertStringIncludes(error.message, "the disk is full");
      await makeRoom();
      assertEquals(versionOf(path), 1);
      const store = await open(path);
      await checkAll(store, 200, 1000);
      await store.close();
    }),
});
