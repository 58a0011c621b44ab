import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { Incoming, type PeerEvent } from "../../lib/client/incoming.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import { CONVERSATION_WINDOW } from "../../lib/limits.ts";
import { TestDisk } from "../testkit/links.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import type { MessageStore } from "../../lib/store/message_store.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMessages } from "../../lib/store/sqlite_messages.ts";
import { LogKind, type Message } from "../../lib/wire/peer_messages.ts";
import { Program } from "../testkit/program.ts";
import { withFolder } from "../testkit/server.ts";

const BOB = { peer: "bob", suite: "modern" } as const;
const LOG = new Uint8Array(16).fill(1), OTHER = new Uint8Array(16).fill(2);
const NO_ID = new Uint8Array(16);
const KEPT = { log: LOG, kind: LogKind.kept, first: 1n };
const LIVE = { log: LOG, kind: LogKind.live, first: 1n };

function text(number: bigint, content: string | Bytes, id = systemRandom(16)): Message {
  const utf8 = typeof content === "string" ? encodeUtf8(content) : content;
  return { type: "text", number, id, written: 7, content: utf8 };
}

function piece(number: bigint, length = 1): Message {
  return { type: "bytes", number, content: new Uint8Array(length).fill(Number(number)) };
}

function end(number: bigint): Message {
  return { type: "end", number, id: systemRandom(16), written: 0, content: new Uint8Array(0) };
}

/** Somebody's messages, on a store of their own unless another is given. */
async function reading(
  position: Pick<Parameters<Incoming["begin"]>[0], "log" | "kind" | "first"> = KEPT,
  store: MessageStore | undefined = new MemoryMessages(),
) {
  const incoming = new Incoming(store, BOB);
  await incoming.begin(position);
  return { incoming, store };
}

/** Everything that there is now; taken or left. */
async function drain(incoming: Incoming, take = true): Promise<PeerEvent[]> {
  const heard: PeerEvent[] = [];
  incoming.close();
  for (let event = await incoming.next(); event; event = await incoming.next()) {
    heard.push(event);
    if (take) incoming.taken(event);
  }
  return heard;
}

/** An event in few letters. */
function brief(event: PeerEvent): string {
  switch (event.type) {
    case "text":
      return `${event.number} ${event.text}${event.recovered ? " again" : ""}`;
    case "bytes":
      return `${event.number} ${event.bytes.length} bytes`;
    case "file":
      return `${event.number} ${event.word.type}${event.recovered ? " again" : ""}`;
    case "end":
    case "taken back":
      return `${event.number} ${event.type}`;
    case "gap":
      return `gap ${event.from}-${event.to}`;
    case "restarted":
      return event.who === "peer" ? "restarted" : "we restarted";
  }
}

async function told(incoming: Incoming): Promise<string[]> {
  return (await drain(incoming)).map(brief);
}

async function refuses(incoming: Incoming, code: ErrorCode, ...messages: Message[]) {
  const error = await assertRejects(() => incoming.take(messages), CifraError);
  assertEquals(error.code, code);
}

Deno.test("take() stores before it resolves, and what it stored is given out in order", async () => {
  const { incoming, store } = await reading();
  assertEquals(await incoming.take([text(1n, "one"), text(2n, "two")]), true);
  assertEquals(store!.incoming(BOB, LOG)?.have, 2n);
  assertEquals(await incoming.take([text(3n, "three"), end(4n)]), true);
  assertEquals([incoming.have, incoming.stored, incoming.read], [4n, 4n, 0n]);
  const heard = await drain(incoming);
  assertEquals(heard, [
    { type: "text", number: 1n, text: "one", written: 7, recovered: false },
    { type: "text", number: 2n, text: "two", written: 7, recovered: false },
    { type: "text", number: 3n, text: "three", written: 7, recovered: false },
    { type: "end", number: 4n },
  ]);
  assertEquals(incoming.read, 4n);
});

Deno.test("nothing counts as here, or is given out, before its commit", async () => {
  const commits: (() => void)[] = [];
  const commit = (work: () => void) =>
    new Promise<void>((resolve) => {
      commits.push(() => {
        work();
        resolve();
      });
    });
  const { incoming } = await reading(KEPT, new MemoryMessages({ commit }));
  const next = incoming.next();
  let heard: PeerEvent | undefined;
  next.then((event) => heard = event);
  const taking = incoming.take([text(1n, "one")]);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals([incoming.have, incoming.stored, heard], [0n, 0n, undefined]);
  assertEquals(incoming.position(LOG), { readLog: LOG, have: 0n, haveId: NO_ID });
  commits.shift()!();
  await taking;
  assertEquals([incoming.have, incoming.stored], [1n, 1n]);
  assertEquals(brief((await next)!), "1 one");
});

Deno.test("take() holds back what cannot be stored, in order, until it can be", async () => {
  const disk = new TestDisk();
  disk.full = true;
  const { incoming } = await reading(KEPT, new MemoryMessages(disk));
  assertEquals(await incoming.take([text(1n, "one")]), true);
  assertEquals(await incoming.take([text(2n, "two")]), true);
  await incoming.storeHeldBack();
  assertEquals([incoming.have, incoming.stored, incoming.come], [0n, 0n, 2n]);
  assertEquals([incoming.isInTrouble, incoming.trouble?.code], [true, "local"]);
  disk.full = false;
  // Not before those that came earlier.
  assertEquals(await incoming.take([text(3n, "three")]), true);
  assertEquals(incoming.have, 0n);
  await incoming.storeHeldBack();
  assertEquals([incoming.have, incoming.isInTrouble, incoming.trouble], [3n, false, undefined]);
  assertEquals(await told(incoming), ["1 one", "2 two", "3 three"]);
});

Deno.test("what could not be stored comes again over another channel, and counts once", async () => {
  const disk = new TestDisk();
  disk.full = true;
  const { incoming } = await reading(KEPT, new MemoryMessages(disk));
  await incoming.take([text(1n, "one"), text(2n, "two")]);
  await incoming.begin(KEPT);
  assertEquals([incoming.come, incoming.isInTrouble], [0n, false]);
  disk.full = false;
  await incoming.take([text(1n, "one"), text(2n, "two"), text(3n, "three")]);
  assertEquals(incoming.trouble, undefined);
  assertEquals(await told(incoming), ["1 one", "2 two", "3 three"]);
});

Deno.test("take() passes over what is here, alone or in front of something new", async () => {
  for (const position of [KEPT, LIVE]) {
    const { incoming } = await reading(position);
    await incoming.take([text(1n, "one"), text(2n, "two")]);
    assertEquals(await incoming.take([text(1n, "one"), text(2n, "two")]), false);
    assertEquals(await incoming.take([text(2n, "two"), text(3n, "three")]), true);
    assertEquals(await told(incoming), ["1 one", "2 two", "3 three"]);
  }
});

Deno.test("take() passes over a message whose id is here under another number", async () => {
  const { incoming } = await reading();
  const ids = [systemRandom(16), systemRandom(16)];
  await incoming.take([text(1n, "one", ids[0]), text(2n, "two", ids[1])]);
  // The writer's profile came back from an old copy: what it does not know to be stored is sent anew.
  await incoming.begin({ log: OTHER, kind: LogKind.kept, first: 1n });
  assertEquals(incoming.have, 0n);
  await incoming.take([text(1n, "two", ids[1]), text(2n, "three")]);
  assertEquals([incoming.have, incoming.stored], [2n, 2n]);
  assertEquals(await told(incoming), ["1 one", "2 two", "2 three"]);
});

Deno.test("take() refuses a gap, and stores nothing of what stands around it", async () => {
  for (const position of [KEPT, LIVE]) {
    const { incoming } = await reading(position);
    await refuses(incoming, "bad_state", text(2n, "x"));
    await refuses(incoming, "bad_state", text(2n ** 64n - 1n, "x"));
    await refuses(incoming, "bad_state", text(1n, "a"), text(3n, "x"));
    await refuses(incoming, "bad_state", text(1n, "a"), text(1n, "b"));
    await refuses(incoming, "bad_state", text(2n, "b"), text(1n, "a"));
    assertEquals(incoming.have, 0n);
    // There is no message 0: it counts as one that is here.
    assertEquals(await incoming.take([text(0n, "zero")]), false);
    await incoming.take([text(1n, "one")]);
    assertEquals(await told(incoming), ["1 one"]);
  }
});

Deno.test("take() refuses messages before anybody has said which log they are of", async () => {
  await refuses(new Incoming(undefined, BOB), "bad_state", text(1n, "x"));
});

Deno.test("take() refuses a byte stream in a kept log, and stores nothing around it", async () => {
  const { incoming } = await reading();
  await refuses(incoming, "bad_frame", text(1n, "fine"), piece(2n));
  assertEquals(incoming.have, 0n);
  assertEquals(await told(incoming), []);
});

Deno.test("begin() refuses a position that is none", async () => {
  const incoming = new Incoming(new MemoryMessages(), BOB);
  const wrong = [{ kind: 0 }, { kind: 3 }, { kind: 255 }, { first: 0n }];
  for (const change of wrong) {
    const error = await assertRejects(() => incoming.begin({ ...KEPT, ...change }), CifraError);
    assertEquals(error.code, "bad_frame");
  }
  assertEquals(await told(incoming), []);
});

Deno.test("begin() tells of a gap once, on disk as well, and goes on after it", async () => {
  const { incoming, store } = await reading({ ...KEPT, first: 4n });
  assertEquals([incoming.have, incoming.stored], [3n, 3n]);
  assertEquals(store!.incoming(BOB, LOG)?.have, 3n);
  await incoming.begin({ ...KEPT, first: 4n });
  await incoming.take([text(4n, "four")]);
  await incoming.begin({ ...KEPT, first: 2n });
  assertEquals(await told(incoming), ["gap 1-3", "4 four"]);
  const { incoming: again } = await reading({ ...KEPT, first: 4n }, store);
  assertEquals(await told(again), []);
});

Deno.test("a gap stands between what was stored before it and after it, however late that is shown", async () => {
  const { incoming } = await reading();
  await incoming.take([text(1n, "one")]);
  await incoming.begin({ ...KEPT, first: 4n });
  await incoming.take([text(4n, "four")]);
  await incoming.take([text(5n, "five")]);
  assertEquals(await told(incoming), ["1 one", "gap 2-3", "4 four", "5 five"]);
});

/** What the next run finds when this one is killed, and had time to write what it knew. */
async function afterKill(store: MessageStore | undefined): Promise<MessageStore> {
  assert(store instanceof MemoryMessages);
  await store.outgoing(BOB);
  return new MemoryMessages({ snapshot: store.snapshot() });
}

Deno.test("a gap that was stored and not shown comes in the next run, in its turn, until it is shown", async () => {
  const { incoming, store } = await reading();
  await incoming.take([text(1n, "one")]);
  await incoming.begin({ ...KEPT, first: 4n });
  await incoming.take([text(4n, "four")]);
  incoming.taken((await incoming.next())!);
  // Given out, and perhaps seen; nobody knows.
  assertEquals(brief((await incoming.next())!), "gap 2-3");
  const { incoming: second, store: later } = await reading(KEPT, await afterKill(store));
  assertEquals([second.have, second.read], [4n, 1n]);
  const gap = (await second.next())!;
  assertEquals(brief(gap), "gap 2-3");
  second.taken(gap);
  assertEquals(second.read, 3n);
  const { incoming: third } = await reading(KEPT, await afterKill(later));
  assertEquals(await told(third), ["4 four again"]);
});

Deno.test("a gap is shown though the program was killed between storing and showing it", async () => {
  for (const history of ["history", "none"]) {
    await withFolder(async (path) => {
      const command = [Deno.execPath(), "run", "--quiet", "--allow-all", "--frozen"];
      await using storer = new Program({
        name: "storer",
        command: [...command, "tests/client/gap_storer.ts", path, history],
      });
      await storer.until("the gap is stored", () => storer.stdout === "stored\n");
      storer.kill("SIGKILL");
      assertEquals((await storer.exit()).signal, "SIGKILL", storer.told);
      const expected = [["gap 1-3"], []];
      for (const events of expected) {
        const store = await SqliteMessages.open(await PrivateFolder.open(path), {
          keepHistory: history === "history",
        });
        // Without a channel, and so without a word of the other side.
        assertEquals(await told(new Incoming(store, BOB)), events);
        await store.close();
      }
    });
  }
});

Deno.test("begin() tells of a gap only when it is on disk", async () => {
  const disk = new TestDisk();
  disk.full = true;
  const incoming = new Incoming(new MemoryMessages(disk), BOB);
  for (let n = 0; n < 3; n++) {
    await assertRejects(() => incoming.begin({ ...KEPT, first: 4n }), CifraError);
  }
  disk.full = false;
  await incoming.begin({ ...KEPT, first: 4n });
  assertEquals(await told(incoming), ["gap 1-3"]);
});

Deno.test("begin() refuses a gap up to a number that no message can have, without a word", async () => {
  const incoming = new Incoming(new MemoryMessages(), BOB);
  const position = { ...KEPT, first: 2n ** 64n - 1n };
  const error = await assertRejects(() => incoming.begin(position), CifraError);
  assertEquals(error.code, "limit");
  await incoming.begin(KEPT);
  await incoming.take([text(1n, "one")]);
  assertEquals(await told(incoming), ["1 one"]);
});

Deno.test("two beginnings at the same moment tell of one gap once", async () => {
  const incoming = new Incoming(new MemoryMessages(), BOB);
  const position = { ...KEPT, first: 4n };
  await Promise.all([incoming.begin(position), incoming.begin(position)]);
  assertEquals(await told(incoming), ["gap 1-3"]);
});

Deno.test("what was stored and not shown comes first in the next run, and says so", async () => {
  const { incoming, store } = await reading();
  await incoming.take([text(1n, "one"), text(2n, "two"), text(3n, "three")]);
  incoming.taken((await incoming.next())!);
  // Given out, and perhaps seen; nobody knows.
  await incoming.next();
  const { incoming: second, store: later } = await reading(KEPT, await afterKill(store));
  await second.take([text(4n, "four")]);
  assertEquals([second.have, second.read], [4n, 1n]);
  assertEquals(await told(second), ["2 two again", "3 three again", "4 four"]);
  const { incoming: third } = await reading(KEPT, await afterKill(later));
  assertEquals([third.have, third.read], [4n, 4n]);
  assertEquals(await told(third), []);
});

Deno.test("what was not shown comes also without a channel, and of every log there was", async () => {
  const { incoming, store } = await reading();
  await incoming.take([text(1n, "one")]);
  await incoming.begin({ log: OTHER, kind: LogKind.kept, first: 1n });
  await incoming.take([text(1n, "uno")]);
  const later = await afterKill(store);
  const offline = new Incoming(later, BOB);
  assertEquals(await told(offline), ["1 one again", "1 uno again"]);
  assertEquals(later.incoming(BOB, LOG)?.read, 1n);
  assertEquals(later.incoming(BOB, OTHER)?.read, 1n);
});

Deno.test("what a run that ended in order had not shown is shown without a doubt", async () => {
  const { incoming, store } = await reading();
  await incoming.take([text(1n, "one"), text(2n, "two")]);
  incoming.taken((await incoming.next())!);
  // A conversation that is opened again in the same run has nothing to doubt either.
  assertEquals(brief((await new Incoming(store, BOB).next())!), "2 two");
  assert(store instanceof MemoryMessages);
  await store.close();
  const later = new MemoryMessages({ snapshot: store.snapshot() });
  assertEquals(await told(new Incoming(later, BOB)), ["2 two"]);
});

Deno.test("what a killed run may have shown is said so, also when a run that shows nothing comes between", async () => {
  const { incoming, store } = await reading();
  await incoming.take([text(1n, "one"), text(2n, "two")]);
  // Given out, and perhaps seen; nobody knows.
  await incoming.next();
  const idle = await afterKill(store);
  await (await reading(KEPT, idle)).incoming.take([text(3n, "three")]);
  assert(idle instanceof MemoryMessages);
  await idle.close();
  const later = new MemoryMessages({ snapshot: idle.snapshot() });
  assertEquals(await told(new Incoming(later, BOB)), ["1 one again", "2 two again", "3 three"]);
});

Deno.test("what a program showed before it was killed, at any moment, is not shown again without a word", async () => {
  const COUNT = 200n;
  let shownTwice = 0;
  for (let kill = 0; kill < 8; kill++) {
    await withFolder(async (path) => {
      const open = async () =>
        await SqliteMessages.open(await PrivateFolder.open(path), { keepHistory: true });
      const left = await open();
      const { incoming } = await reading(KEPT, left);
      for (let n = 1n; n <= COUNT; n++) await incoming.take([text(n, `${n}`)]);
      await left.close();
      const command = [Deno.execPath(), "run", "--quiet", "--allow-all", "--frozen"];
      await using shower = new Program({
        name: "shower",
        command: [...command, "tests/client/shower.ts", path],
      });
      // From the very first one on.
      await shower.until("something is shown", () => shower.stdout.length > 50 * kill);
      shower.kill("SIGKILL");
      const { signal, stdout } = await shower.exit();
      assertEquals(signal, "SIGKILL", shower.told);
      const shown = new Set(stdout.split("\n"));
      // One that shows nothing and ends in order knows no more than it found.
      await (await open()).close();
      const store = await open();
      const waiting = await drain(new Incoming(store, BOB));
      for (const event of waiting) {
        assert(event.type === "text");
        if (!shown.has(event.text)) continue;
        assert(event.recovered, `${event.text} came without a word`);
        shownTwice++;
      }
      for (let n = 1n; n <= COUNT; n++) {
        const waits = waiting.some((event) => event.type === "text" && event.number === n);
        assert(waits || shown.has(`${n}`), `${n} was never shown`);
      }
      await store.close();
      // And what that one left, which is nothing, is left.
      const last = await open();
      assertEquals(await told(new Incoming(last, BOB)), []);
      await last.close();
    });
  }
  assert(shownTwice > 0, "no kill came before it was written down what was shown");
});

Deno.test("what is shown of an older log does not count as read of this one", async () => {
  const { incoming } = await reading();
  await incoming.take([1n, 2n, 3n].map((number) => text(number, "old")));
  await incoming.begin({ log: OTHER, kind: LogKind.kept, first: 1n });
  await incoming.take([text(1n, "new")]);
  for (let n = 0; n < 3; n++) incoming.taken((await incoming.next())!);
  assertEquals(incoming.read, 0n);
  incoming.taken((await incoming.next())!);
  assertEquals(incoming.read, 1n);
});

Deno.test("more messages than are read from disk at a time come in order, with news in between", async () => {
  const { incoming } = await reading();
  const many = Array.from({ length: 600 }, (_, i) => text(BigInt(i + 1), `${i + 1}`));
  await incoming.take(many.slice(0, 300));
  const heard: string[] = [];
  for (let n = 0; n < 280; n++) heard.push(brief((await incoming.next())!));
  await incoming.take(many.slice(300));
  heard.push(...await told(incoming));
  assertEquals(heard, Array.from({ length: 600 }, (_, i) => `${i + 1} ${i + 1}`));
});

Deno.test("a live log is held in memory, and safe only when it is taken", async () => {
  const { incoming, store } = await reading(LIVE);
  await incoming.take([piece(1n), piece(2n), end(3n)]);
  assertEquals([incoming.have, incoming.stored, incoming.read], [3n, 0n, 0n]);
  assertEquals([incoming.position(LOG).readLog, incoming.position(LOG).have], [LOG, 3n]);
  assertEquals(store!.incoming(BOB), undefined);
  const first = await incoming.next();
  assertEquals(incoming.stored, 0n);
  incoming.taken(first!);
  assertEquals([incoming.stored, incoming.read], [1n, 1n]);
  assertEquals(await told(incoming), ["2 1 bytes", "3 end"]);
  assertEquals([incoming.stored, incoming.have], [3n, 3n]);
});

Deno.test("a live log that begins anew in the middle of a stream says so, and after its end does not", async () => {
  const { incoming } = await reading(LIVE);
  const again = (fill: number) => incoming.begin({ ...LIVE, log: new Uint8Array(16).fill(fill) });
  await again(2);
  await incoming.take([piece(1n)]);
  await again(3);
  await incoming.take([piece(1n), end(2n)]);
  await again(4);
  await incoming.take([piece(1n, 5)]);
  await incoming.begin(KEPT);
  await incoming.take([text(1n, "hello")]);
  const expected = ["1 1 bytes", "restarted", "1 1 bytes", "2 end", "1 5 bytes", "restarted"];
  assertEquals(await told(incoming), [...expected, "1 hello"]);
});

Deno.test("a byte stream is in its middle until its end has come, and a chat never is", async () => {
  const { incoming } = await reading(LIVE);
  const stages = [incoming.stream];
  for (const message of [piece(1n), piece(2n), end(3n), piece(4n)]) {
    await incoming.take([message]);
    stages.push(incoming.stream);
  }
  await incoming.begin(KEPT);
  await incoming.take([text(1n, "hello")]);
  assertEquals([...stages, incoming.stream], [
    "nothing",
    "middle",
    "middle",
    "end",
    "middle",
    undefined,
  ]);
});

Deno.test("a live log whose beginning is gone tells both, and goes on", async () => {
  const { incoming } = await reading({ ...LIVE, first: 3n });
  await incoming.take([piece(3n)]);
  assertEquals(await told(incoming), ["gap 1-2", "we restarted", "3 1 bytes"]);
});

Deno.test("what is taken late of an older live log does not count for the present one", async () => {
  const { incoming } = await reading(LIVE);
  await incoming.take([piece(1n), piece(2n)]);
  await incoming.begin({ ...LIVE, log: OTHER });
  await incoming.take([piece(1n)]);
  assertEquals((await drain(incoming, false)).length, 4);
  const { incoming: second } = await reading(LIVE);
  await second.take([piece(1n), piece(2n)]);
  const late = [await second.next(), await second.next()];
  await second.begin({ ...LIVE, log: OTHER });
  for (const event of late) second.taken(event!);
  assertEquals([second.stored, second.read], [0n, 0n]);
});

Deno.test("take() refuses a flood beyond twice the window, and what is taken makes room", async () => {
  const { incoming } = await reading(LIVE);
  const length = 64 * 1024;
  let number = 0n;
  const flood = async () => {
    for (;;) await incoming.take([piece(++number, length)]);
  };
  const refused = async () => {
    assertEquals((await assertRejects(flood, CifraError)).code, "limit");
    number = incoming.have;
  };
  await refused();
  const held = Number(number) * length;
  assert(held > CONVERSATION_WINDOW && held <= 2 * CONVERSATION_WINDOW, `${held}`);
  // What was refused is not held: however often it is tried, as much is taken once there is room.
  for (let n = 0; n < 200; n++) await refused();
  for (let n = 0; n < 10; n++) incoming.taken((await incoming.next())!);
  const before = number;
  await refused();
  assertEquals(number, before + 10n);
});

Deno.test("take() refuses a flood of messages that weigh nothing", async () => {
  for (const empty of [end, (number: bigint) => piece(number, 0)]) {
    const { incoming } = await reading(LIVE);
    let number = 0n;
    const flood = async () => {
      while (number < 2_000_000n) {
        await incoming.take(Array.from({ length: 10_000 }, () => empty(++number)));
      }
    };
    assertEquals((await assertRejects(flood, CifraError)).code, "limit");
  }
});

Deno.test("a small piece does not keep the whole record in memory that it came in", async () => {
  const { incoming } = await reading(LIVE);
  const record = new Uint8Array(60 * 1024).fill(7);
  await incoming.take([
    { type: "bytes", number: 1n, content: record.subarray(100, 110) },
    { type: "bytes", number: 2n, content: record.subarray(9) },
  ]);
  const [small, whole] = await drain(incoming);
  assert(small?.type === "bytes" && whole?.type === "bytes");
  assertEquals([small.bytes, small.bytes.buffer.byteLength], [record.slice(0, 10), 10]);
  // One that fills its record is not copied.
  assertEquals(whole.bytes.buffer === record.buffer, true);
});

Deno.test("position() tells of the log that is asked for, of the last one otherwise, of none when there is none", async () => {
  const { incoming, store } = await reading();
  const nothing = { readLog: new Uint8Array(16), have: 0n, haveId: NO_ID };
  assertEquals(new Incoming(undefined, BOB).position(LOG), nothing);
  const ids = [systemRandom(16), systemRandom(16)] as const;
  await incoming.take([text(1n, "one"), text(2n, "two", ids[0])]);
  await incoming.begin({ log: OTHER, kind: LogKind.kept, first: 1n });
  await incoming.take([text(1n, "uno", ids[1])]);
  for (const who of [incoming, new Incoming(store, BOB)]) {
    assertEquals(who.position(), { readLog: OTHER, have: 1n, haveId: ids[1] });
    assertEquals(who.position(LOG), { readLog: LOG, have: 2n, haveId: ids[0] });
    assertEquals(who.position(new Uint8Array(16).fill(9)), nothing);
  }
  assertEquals(new Incoming(store, { ...BOB, suite: "rsa" }).position(LOG), nothing);
});

Deno.test("position() names the last message by its id, text or end, whoever keeps it", async () => {
  const stores = [new MemoryMessages(), new MemoryMessages({ keepHistory: false }), undefined];
  for (const store of stores) {
    const incoming = new Incoming(store, BOB);
    await incoming.begin(KEPT);
    const known = () => incoming.position(LOG).haveId;
    for (const message of [text(1n, "one"), text(2n, "two"), end(3n), end(4n), text(5n, "five")]) {
      await incoming.take([message]);
      assertEquals(known(), "id" in message ? message.id : undefined);
      incoming.taken((await incoming.next())!);
    }
    const last = known();
    await incoming.take([end(4n)]);
    await incoming.begin({ ...KEPT, first: 6n });
    assertEquals(known(), last);
    if (store) assertEquals((await reading(KEPT, store)).incoming.position().haveId, last);
    // What is behind a gap has never come here.
    await incoming.begin({ ...KEPT, first: 9n });
    assertEquals(incoming.position(LOG), { readLog: LOG, have: 8n, haveId: NO_ID });
    if (store) assertEquals(new Incoming(store, BOB).position().haveId, NO_ID);
    const nine = end(9n);
    await incoming.take([nine]);
    assertEquals(known(), "id" in nine ? nine.id : undefined);
  }
});

Deno.test("position() has no id for a piece of a byte stream", async () => {
  const { incoming } = await reading(LIVE);
  await incoming.take([end(1n), piece(2n)]);
  assertEquals(incoming.position(LOG), { readLog: LOG, have: 2n, haveId: NO_ID });
});

Deno.test("take() passes over an end whose id is here under another number", async () => {
  const { incoming } = await reading();
  const last = end(1n);
  await incoming.take([last]);
  await incoming.begin({ log: OTHER, kind: LogKind.kept, first: 1n });
  await incoming.take([last, { ...last, number: 2n }, end(3n)] as Message[]);
  assertEquals(await told(incoming), ["1 end", "3 end"]);
});

Deno.test("what was taken back is told in its turn, once, and is nothing to read", async () => {
  const { incoming } = await reading();
  const nothing = new Uint8Array(0);
  const id = systemRandom(16);
  const back = { type: "taken back", number: 2n, id, written: 0, content: nothing } as const;
  assertEquals(await incoming.take([text(1n, "m1"), back, text(3n, "m3")]), true);
  assertEquals(await incoming.take([back]), false);
  assertEquals(incoming.unread, 2);
  assertEquals(await told(incoming), ["1 m1", "2 taken back", "3 m3"]);
  assertEquals([incoming.unread, incoming.read], [0, 3n]);
});

Deno.test("close() wakes who waits, and gives what is there first", async () => {
  const { incoming } = await reading(LIVE);
  await incoming.take([piece(1n), piece(2n)]);
  incoming.close();
  assertEquals([brief((await incoming.next())!), brief((await incoming.next())!)], [
    "1 1 bytes",
    "2 1 bytes",
  ]);
  assertEquals(await incoming.next(), undefined);
  const { incoming: waiting } = await reading();
  const next = waiting.next();
  waiting.close();
  assertEquals(await next, undefined);
});

Deno.test("without a store everything is held, given out once, and gone", async () => {
  const incoming = new Incoming(undefined, BOB);
  await incoming.begin(LIVE);
  await incoming.take([text(1n, "one")]);
  assertEquals(await told(incoming), ["1 one"]);
  assertEquals(incoming.stored, 1n);
});
