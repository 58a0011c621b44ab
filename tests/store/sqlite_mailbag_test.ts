import { assert, assertEquals } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { DatabaseSync } from "node:sqlite";
import { type Bytes, decodeUtf8, encodeUtf8 } from "../../lib/bytes.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { MESSAGES_TIDY_PAUSE, PREKEY_SECRET_LIFETIME } from "../../lib/limits.ts";
import type { ReadingSession } from "../../lib/store/mailbag.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMessages, type SqliteMessagesOptions } from "../../lib/store/sqlite_messages.ts";
import { ManualTime } from "../testkit/clock.ts";
import { withFolder } from "../testkit/server.ts";
import { killProgram } from "./kill_program.ts";
import { addBox, addPrekeys, AT, SERVER, sessionOf } from "./mailbag_samples.ts";

const BOB = { peer: "bob", suite: "modern" } as const;
const CAROL = { ...BOB, peer: "carol" };
const LOG = new Uint8Array(16).fill(7);
const NOTHING = new Uint8Array(16);

async function open(
  path: string,
  options: Partial<SqliteMessagesOptions> = {},
): Promise<SqliteMessages> {
  const folder = await PrivateFolder.open(path);
  return await SqliteMessages.open(folder, { keepHistory: true, ...options });
}

/** Which of these bytes are anywhere in the files of a folder. */
function traces(path: string, secrets: Readonly<Record<string, Bytes>>): string[] {
  const files = [...Deno.readDirSync(path)]
    .map(({ name }) => encodeHex(Deno.readFileSync(`${path}/${name}`)));
  return Object.entries(secrets)
    .filter(([, bytes]) => files.some((file) => file.includes(encodeHex(bytes))))
    .map(([name]) => name);
}

function text(content: Bytes, number: bigint) {
  return { type: "text", id: systemRandom(16), written: 5, content, number } as const;
}

function walLength(path: string): number {
  return Deno.statSync(`${path}/messages.db-wal`).size;
}

Deno.test("what was opened and delivered leaves no trace on the disk: secrets, chains, content", async () => {
  await withFolder(async (path) => {
    const time = new ManualTime();
    const store = await open(path, { keepHistory: false, after: time.after });
    const { mailbag } = store;
    await addBox(mailbag);
    await addPrekeys(mailbag, { signed: [1n, 2n], once: [1n, 2n] });
    const { name } = mailbag.box(SERVER)!;
    const signed = mailbag.prekey(name, "signed", 1n)!, once = mailbag.prekey(name, "once", 1n)!;
    const content = systemRandom(40), early = systemRandom(500), ours = systemRandom(60);
    const oldChain = systemRandom(64);
    const secrets = {
      x25519: once.secret.x25519,
      mlkem: once.secret.mlkem,
      oldChain,
      content,
      early,
      ours,
    };
    await store.append(BOB, [text(ours, 0n)]);
    const { log } = await store.outgoing(BOB);
    let session: ReadingSession = { ...sessionOf(mailbag, { once: 1n }), chain: oldChain };
    const leaves = async (number: bigint, content: Bytes, stored = 0n) => {
      const chain = session.next === 0 ? oldChain : systemRandom(64);
      session = { ...session, next: session.next + 1, chain };
      const haveId = store.read(BOB, 1n, 1)[0]?.id ?? NOTHING;
      const ours = { readLog: log, have: stored, haveId, read: 0n, pass: NOTHING };
      const theirs = { log: LOG, first: 1n, messages: [text(content, number)] };
      await store.receiveSealed(BOB, { session, content: { ...theirs, ...ours }, at: AT });
    };
    await leaves(2n, early);
    // While they are needed they are there.
    const signedSecret = { signed: signed.secret.mlkem };
    const { content: _, ...sofar } = { ...secrets, ...signedSecret };
    assertEquals(traces(path, sofar), Object.keys(sofar));
    await leaves(1n, content, 1n);
    assertEquals(traces(path, { content }), ["content"]);
    assertEquals(store.unread(BOB), 2);
    store.markRead(BOB, LOG, 2n);
    await mailbag.retire(SERVER, { signed: 2n, once: 0n }, AT);
    const late = AT.here + PREKEY_SECRET_LIFETIME;
    await mailbag.expire({ here: late, there: late });
    store.tidy();
    assertEquals(traces(path, { ...secrets, ...signedSecret }), []);
    await store.close();
  });
});

Deno.test("another box leaves no secret of the one before, nor another session of its chain", async () => {
  await withFolder(async (path) => {
    const time = new ManualTime();
    const store = await open(path, { after: time.after });
    const { mailbag } = store;
    await addBox(mailbag);
    const [once] = await addPrekeys(mailbag, { once: [1n] });
    const chain = systemRandom(64), state = { chain, transcript: systemRandom(64), next: 0 };
    const writing = { owner: systemRandom(32), header: systemRandom(1152), began: 0, ...state };
    await mailbag.begin("bob", SERVER, writing, 1n);
    const secrets = { once: once!.secret.mlkem, chain };
    assertEquals(traces(path, secrets), ["once", "chain"]);
    await addBox(mailbag);
    await mailbag.begin("bob", SERVER, { ...writing, chain: systemRandom(64) }, 1n);
    store.tidy();
    assertEquals(traces(path, secrets), []);
    await store.close();
  });
});

Deno.test("tidy() empties the write-ahead log at once, but no more often than every 2 s", async () => {
  await withFolder(async (path) => {
    const time = new ManualTime();
    const store = await open(path, { after: time.after });
    const write = () => store.append(BOB, [text(encodeUtf8("x"), 0n)]);
    await write();
    store.tidy();
    assertEquals(walLength(path), 0);
    // A busy store, which leaves its log to SQLite otherwise.
    for (let i = 0; i < 200; i++) await write();
    store.tidy();
    store.tidy();
    assert(walLength(path) > 0);
    time.advance(MESSAGES_TIDY_PAUSE - 1);
    assert(walLength(path) > 0);
    time.advance(1);
    assertEquals(walLength(path), 0);
    // A reader is in the way, and then it is not.
    await write();
    const reader = new DatabaseSync(`${path}/messages.db`, { readOnly: true });
    reader.exec("BEGIN");
    reader.prepare("SELECT * FROM message").all();
    store.tidy();
    time.advance(MESSAGES_TIDY_PAUSE);
    assert(walLength(path) > 0);
    reader.close();
    // However busy it is meanwhile.
    for (let second = 0; second < 2; second++) {
      for (let i = 0; i < 120; i++) await write();
      time.advance(MESSAGES_TIDY_PAUSE / 2);
    }
    assertEquals(walLength(path), 0);
    time.advance(MESSAGES_TIDY_PAUSE);
    assertEquals(time.pending, 0);
    await store.close();
    assertEquals(time.pending, 0);
  });
});

Deno.test("what is lost of our log the other side has from it, also when an envelope says so", async () => {
  for (const have of [1n, 3n]) {
    await withFolder(async (path) => {
      const written = await open(path);
      const [first, ...others] = [1n, 2n, 3n, 4n].map((n) => text(encodeUtf8(`${n}`), n));
      await written.append(BOB, [first!, ...others.slice(0, 2)]);
      await written.close();
      const database = new DatabaseSync(`${path}/messages.db`);
      database.exec("DELETE FROM message WHERE number > 1; UPDATE log SET last = 1");
      database.close();
      const store = await open(path);
      assertEquals(store.lost.map(({ from, to }) => [from, to]), [[2n, 3n]]);
      await store.append(BOB, others.slice(2));
      await addBox(store.mailbag);
      await addPrekeys(store.mailbag, { signed: [1n] });
      const { log: readLog } = await store.outgoing(BOB);
      const haveId = have === 1n ? first!.id : systemRandom(16);
      const said = { readLog, have, haveId, read: 0n, pass: NOTHING };
      const content = { log: LOG, first: 1n, messages: [], ...said };
      const session = { ...sessionOf(store.mailbag), next: 1 };
      const news = await store.receiveSealed(BOB, { session, content, at: AT });
      assertEquals([news!.isRestarted, news!.outgoing.stored], [false, 3n]);
      assertEquals(store.read(BOB, 1n, 100).map(({ number }) => number), [4n]);
      await store.close();
    });
  }
});

Deno.test("what opens an envelope and what it holds are one change, and a seal and its envelope, at every kill", async () => {
  await withFolder(async (path) => {
    let told = { opened: 0, sealed: 0 };
    for (let kill = 0; kill < 12; kill++) {
      const length = Math.floor(Math.random() * 4000);
      const said = await killProgram(
        "correspondent",
        path,
        (program) => program.until("more", () => program.stdout.length > length),
      );
      told = {
        opened: Math.max(told.opened, said("opened")),
        sealed: Math.max(told.sealed, said("sealed")),
      };
      const store = await open(path);
      const { mailbag } = store;
      assertEquals(store.lost, []);
      const have = Number(store.incoming(BOB, LOG)?.have ?? 0n);
      assert(have >= told.opened && have <= told.opened + 1, `${have}, told ${told.opened}`);
      const database = new DatabaseSync(`${path}/messages.db`, { readOnly: true });
      const sessions = database.prepare("SELECT once, next FROM reading ORDER BY once").all() as {
        readonly once: number;
        readonly next: number;
      }[];
      database.close();
      // Each place of a session was one message.
      assertEquals(sessions.reduce((sum, { next }) => sum + next, 0), have);
      const { name, highest } = mailbag.box(SERVER)!;
      const begun = new Set(sessions.map(({ once }) => BigInt(once)));
      for (let number = 1n; number <= highest; number++) {
        assertEquals(mailbag.prekey(name, "once", number) === undefined, begun.has(number));
      }
      assertEquals(store.unread(BOB), have);
      assertEquals((await store.outgoing(BOB)).stored, BigInt(have));
      if (have > 0) {
        const { pass, isOwed } = mailbag.correspondent("bob", SERVER)!;
        assertEquals([Number(decodeUtf8(pass!)), isOwed], [have, true]);
      }
      const { next, chain } = mailbag.writing("carol", SERVER)!;
      assert(next >= told.sealed && next <= told.sealed + 1, `${next}, told ${told.sealed}`);
      if (next > 0) assertEquals(Number(decodeUtf8(chain)), next);
      const { log } = await store.outgoing(CAROL);
      const deposits = mailbag.deposits(SERVER);
      assertEquals(deposits.map(({ last }) => Number(last)), [...Array(next + 1).keys()].slice(1));
      // The last may be there, or not: the server knows.
      assert(deposits.slice(0, -1).every((each) => each.isConfirmed));
      assert(deposits.every((each) => encodeHex(each.log) === encodeHex(log)));
      for (const { id } of deposits.slice(-1)) await mailbag.confirm(id, []);
      await store.close();
      told = { opened: have, sealed: next };
    }
    assert(told.opened > 100 && told.sealed > 100, JSON.stringify(told));
  });
});
