import { assertEquals, assertRejects } from "@std/assert";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { KeptLog, LiveLog, type Outgoing } from "../../lib/client/outgoing.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import { TestDisk } from "../testkit/links.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import { decode } from "../../lib/wire/layout.ts";
import {
  ID_LENGTH,
  LogKind,
  type NewMessage,
  type PeerMessage,
  peerMessage,
} from "../../lib/wire/peer_messages.ts";

const BOB = { peer: "bob", suite: "modern" } as const;
const WRITTEN = Date.UTC(2030, 0, 1);

function text(content: string): NewMessage {
  return { type: "text", id: systemRandom(16), written: WRITTEN, content: encodeUtf8(content) };
}

/** A log on disk with these texts. */
async function kept(...texts: readonly string[]) {
  const store = new MemoryMessages();
  const log = await KeptLog.open(store, BOB);
  for (const content of texts) await log.append(text(content));
  return { store, log };
}

function appendPiece(log: Outgoing, content: string): Promise<bigint> {
  return log.append({ type: "bytes", content: encodeUtf8(content) });
}

/** A log in memory with these pieces. */
function live(...pieces: readonly string[]): LiveLog {
  const log = new LiveLog(systemRandom);
  for (const piece of pieces) void appendPiece(log, piece);
  return log;
}

function numbers(log: Outgoing, from: bigint, byteLimit = 1e6): bigint[] {
  return log.messages(from, byteLimit).map(({ number }) => number);
}

function decoded(log: Outgoing, from: bigint): PeerMessage[] {
  return log.messages(from, 1e6).map(({ body }) => decode(peerMessage, body));
}

Deno.test("a kept log numbers from 1, and gives its messages as they go over the wire", async () => {
  const { log } = await kept();
  assertEquals([log.kind, log.log.length, log.last], [LogKind.kept, ID_LENGTH, 0n]);
  assertEquals(numbers(log, 1n), []);
  const one = text("one");
  assertEquals(await log.append(one), 1n);
  const end = {
    type: "end",
    id: systemRandom(16),
    written: 0,
    content: new Uint8Array(0),
  } as const;
  assertEquals(await log.append(end), 2n);
  const { id, content } = one;
  assertEquals(decoded(log, 1n), [
    { type: "text", number: 1n, id, written: BigInt(WRITTEN), content },
    { type: "end", number: 2n, id: end.id },
  ]);
  assertEquals(numbers(log, 2n), [2n]);
  assertEquals(numbers(log, 3n), []);
});

Deno.test("a kept log is where it was when its program has ended", async () => {
  const { store, log } = await kept("one", "two", "three");
  log.acknowledge(2n, 1n);
  const again = await KeptLog.open(store, BOB);
  assertEquals(again.log, log.log);
  assertEquals([again.last, again.stored, again.read], [3n, 2n, 1n]);
  assertEquals(numbers(again, 3n), [3n]);
  const carol = await KeptLog.open(store, { ...BOB, peer: "carol" });
  assertEquals([carol.last, carol.log.join() === log.log.join()], [0n, false]);
});

Deno.test("a kept log does not count what could not be kept", async () => {
  const disk = new TestDisk();
  const log = await KeptLog.open(new MemoryMessages(disk), BOB);
  assertEquals(await log.append(text("one")), 1n);
  disk.full = true;
  const error = await assertRejects(() => log.append(text("lost")), CifraError);
  assertEquals([error.code, log.last], ["local", 1n]);
  disk.full = false;
  assertEquals(await log.append(text("two")), 2n);
  assertEquals(decoded(log, 1n).map(({ number }) => number), [1n, 2n]);
});

Deno.test("append() gives numbers in the order of the calls, many at once", async () => {
  const { log } = await kept();
  const texts = Array.from({ length: 50 }, (_, i) => text(`${i}`));
  const given = await Promise.all(texts.map((message) => log.append(message)));
  assertEquals(log.last, 50n);
  assertEquals(given, texts.map((_, i) => BigInt(i + 1)));
  assertEquals(
    decoded(log, 1n).map((message) => message.type === "text" && message.id),
    texts.map(({ id }) => id),
  );
});

Deno.test("either kind of log takes texts and ends, a live one pieces of a stream as well", async () => {
  const { log: onDisk } = await kept();
  const one = text("one"), end = { ...text(""), type: "end" } as const;
  for (const log of [onDisk, live()]) {
    assertEquals([await log.append(one), await log.append(end)], [1n, 2n]);
    const { id, content } = one;
    assertEquals(decoded(log, 1n), [
      { type: "text", number: 1n, id, written: BigInt(WRITTEN), content },
      { type: "end", number: 2n, id: end.id },
    ]);
  }
  assertEquals(await appendPiece(live("one"), "two"), 2n);
  await assertRejects(() => appendPiece(onDisk, "three"), TypeError, "no pieces of a stream");
  const word = { ...text(""), type: "file" } as const;
  await assertRejects(() => live().append(word), TypeError, "Only a kept log");
  assertEquals([onDisk.last, onDisk.bytesHeld], [2n, 0]);
});

Deno.test("acknowledge() never goes back, in either kind of log", async () => {
  const { log: onDisk } = await kept("one", "two", "three");
  for (const log of [onDisk, live("one", "two", "three")]) {
    log.acknowledge(2n, 1n);
    log.acknowledge(1n, 0n);
    assertEquals([log.stored, log.read, log.last], [2n, 1n, 3n], `${log.kind}`);
    log.acknowledge(0n, 2n);
    assertEquals([log.stored, log.read, log.last], [2n, 2n, 3n], `${log.kind}`);
    log.acknowledge(3n, 0n);
    assertEquals([log.stored, log.read, log.last], [3n, 2n, 3n], `${log.kind}`);
    assertEquals(numbers(log, 4n), []);
  }
});

Deno.test("messages() gives what fits the limit, and always one", async () => {
  const piece = "x".repeat(100);
  const { log: onDisk } = await kept(piece, piece, piece, piece);
  for (const log of [onDisk, live(piece, piece, piece, piece)]) {
    assertEquals(numbers(log, 1n, 1), [1n]);
    assertEquals(numbers(log, 2n, 200).slice(0, 1), [2n]);
    assertEquals(numbers(log, 2n, 200).length, 2);
    assertEquals(numbers(log, 3n), [3n, 4n]);
  }
});

Deno.test("a kept log has what is stored over there, and of the rest what has its id", async () => {
  const { store, log } = await kept("one");
  const two = text("two");
  await log.append(two);
  const end = { ...text(""), type: "end" } as const;
  await log.append(end);
  const other = systemRandom(16), none = new Uint8Array(16);
  for (const opened of [log, await KeptLog.open(store, BOB)]) {
    assertEquals([opened.has(2n, two.id), opened.has(3n, end.id)], [true, true]);
    for (const id of [other, none, two.id]) assertEquals(opened.has(3n, id), false);
    assertEquals([opened.has(2n, end.id), opened.has(1n, two.id)], [false, false]);
    for (const number of [4n, 2n ** 63n, 2n ** 64n - 1n]) {
      assertEquals(opened.has(number, end.id), false);
    }
    assertEquals(opened.has(0n, none), true);
  }
  log.acknowledge(2n, 0n);
  assertEquals([log.has(1n, none), log.has(2n, other), log.has(3n, other)], [true, true, false]);
  assertEquals(log.has(3n, end.id), true);
});

Deno.test("a kept log without history has what is stored over there, though it is gone here", async () => {
  const store = new MemoryMessages({ keepHistory: false });
  const log = await KeptLog.open(store, BOB);
  const messages = [text("one"), text("two")] as const;
  for (const message of messages) await log.append(message);
  log.acknowledge(1n, 1n);
  const three = text("three");
  await log.append(three);
  assertEquals([log.has(1n, messages[0].id), log.has(1n, three.id)], [true, true]);
  assertEquals([log.has(2n, messages[1].id), log.has(2n, three.id)], [true, false]);
  assertEquals([log.has(3n, three.id), log.has(3n, messages[1].id)], [true, false]);
});

Deno.test("a live log has every number up to its last, under any id", () => {
  const log: Outgoing = live("one", "two");
  const id = systemRandom(16);
  assertEquals([0n, 1n, 2n, 3n].map((number) => log.has(number, id)), [true, true, true, false]);
});

Deno.test("a kept log restarts with what is not stored over there, the ids unchanged", async () => {
  const { store, log } = await kept("one", "two", "three");
  log.acknowledge(1n, 1n);
  const before = { name: log.log, messages: decoded(log, 2n) };
  assertEquals(await log.restart(), true);
  assertEquals(log.log.join() === before.name.join(), false);
  assertEquals([log.last, log.stored, log.read], [2n, 0n, 0n]);
  assertEquals(
    decoded(log, 1n),
    before.messages.map((message) => ({ ...message, number: message.number - 1n })),
  );
  assertEquals(await log.append(text("four")), 3n);
  assertEquals((await KeptLog.open(store, BOB)).log, log.log);
});

Deno.test("a kept log restarts while something is being appended, and loses nothing of it", async () => {
  for (const appendFirst of [true, false]) {
    const { log } = await kept("one", "two");
    log.acknowledge(1n, 0n);
    const restarting = appendFirst ? undefined : log.restart();
    const appending = log.append(text("three"));
    await Promise.all([restarting ?? log.restart(), appending]);
    assertEquals([log.last, log.stored], [2n, 0n], `${appendFirst}`);
    const contents = decoded(log, 1n).map((message) => "content" in message && message.content);
    assertEquals(contents, [encodeUtf8("two"), encodeUtf8("three")]);
    assertEquals(await log.append(text("four")), 3n);
  }
});

Deno.test("a live log holds what is not taken over there, and lets go of the rest", async () => {
  const log = live("one", "two", "three");
  assertEquals([log.kind, log.log.length], [LogKind.live, ID_LENGTH]);
  const all = log.messages(1n, 1e6);
  assertEquals(log.bytesHeld, all.reduce((sum, { body }) => sum + body.length, 0));
  log.acknowledge(2n, 2n);
  assertEquals(log.bytesHeld, all[2]!.body.length);
  assertEquals(numbers(log, 3n), [3n]);
  assertEquals(await appendPiece(log, "four"), 4n);
  log.acknowledge(4n, 4n);
  assertEquals([log.bytesHeld, log.last], [0, 4n]);
});

Deno.test("a live log begins with the program, and cannot begin anew within it", async () => {
  const log = live("one");
  assertEquals(live().log.join() === log.log.join(), false);
  assertEquals(await log.restart(), false);
  assertEquals(numbers(log, 1n), [1n]);
});
