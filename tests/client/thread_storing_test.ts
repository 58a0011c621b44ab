/** Disks that are full for a while: nobody writes anything twice, and no channel ends for it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Storing, Thread } from "../../lib/client/thread.ts";
import { CifraError } from "../../lib/errors.ts";
import {
  CONVERSATION_WINDOW,
  STORE_PAUSE_MAXIMUM,
  STORING_PER_MINUTE,
  TEXT_LIMIT,
} from "../../lib/limits.ts";
import { StoreFailure } from "../../lib/store/store_failure.ts";
import { encode } from "../../lib/wire/layout.ts";
import { peerStoring, StoringState } from "../../lib/wire/peer_messages.ts";
import { type Item, ItemType } from "../../lib/wire/records.ts";
import { test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import {
  ackItem,
  Ear,
  freshPosition,
  meet,
  meetEvil,
  openLink,
  TestDisk,
} from "../testkit/links.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import { turn } from "../testkit/turn.ts";
import { until } from "../testkit/until.ts";

const SECOND = 1000;

/** Somebody with a disk that may be full, and what they were told of both disks. */
async function somebody(peer: string) {
  const disk = new TestDisk();
  disk.refusal = new StoreFailure("The disk is full", { trouble: "full" });
  const clock = new ManualTime();
  const told: string[] = [];
  const onStoring = ({ who, trouble }: Storing) =>
    void told.push(`${who} ${trouble instanceof CifraError ? trouble.code : trouble ?? "again"}`);
  const store = new MemoryMessages({ commit: disk.commit });
  const thread = await openLink(peer, { store, clock, onStoring });
  return { disk, clock, told, store, thread };
}

async function settle(): Promise<void> {
  for (let turns = 0; turns < 50; turns++) await turn();
}

async function heard(thread: Thread): Promise<string[]> {
  await thread.leave();
  const ear = new Ear(thread);
  await ear.ended;
  return ear.words;
}

function storing(state: StoringState): Item {
  return { type: ItemType.storing, body: encode(peerStoring, { state }) };
}

test("what cannot be stored is held, both are told once, and it is stored when there is room", async () => {
  const alice = await somebody("bob"), bob = await somebody("alice");
  const { channels, clock } = await meet(alice.thread, bob.thread);
  bob.disk.full = true;
  await alice.thread.sendText("one");
  await until(() => alice.told.length > 0, "the word of it");
  await alice.thread.sendText("two");
  // For some minutes nobody gives the channel up.
  for (let pings = 0; pings < 40; pings++) {
    for (const seconds of [1, 8]) {
      clock.advance(seconds * SECOND);
      await bob.clock.pass(seconds * SECOND);
      for (const { thread } of [alice, bob]) thread.tick(clock.now());
    }
    await until(() => channels.alice.lastHeard === clock.now(), "a pong");
  }
  assert(alice.thread.isAttached && bob.thread.isAttached, "the channel was given up");
  assertEquals(alice.told, ["peer full"]);
  assertEquals(bob.told, ["us local"]);
  assertEquals(alice.thread.delivery, { queued: 2n, sent: 1n, onServer: 0n, stored: 0n, read: 0n });
  // Every ten seconds, and not more often.
  const tries = bob.disk.refused;
  await bob.clock.pass(100 * SECOND);
  assert(bob.disk.refused - tries <= 100 * SECOND / STORE_PAUSE_MAXIMUM + 1, "too many tries");
  bob.disk.full = false;
  await bob.clock.pass(STORE_PAUSE_MAXIMUM);
  await alice.thread.settled();
  assertEquals(alice.told, ["peer full", "peer again"]);
  assertEquals(bob.told, ["us local", "us again"]);
  await alice.thread.leave();
  assertEquals(await heard(bob.thread), ["one", "two"]);
});

test("a channel that is lost meanwhile brings it again, and nobody is told again", async () => {
  const alice = await somebody("bob"), bob = await somebody("alice");
  bob.disk.full = true;
  await alice.thread.sendText("one");
  for (let meetings = 0; meetings < 3; meetings++) {
    const { cut } = await meet(alice.thread, bob.thread);
    await until(() => bob.disk.refused > meetings, "it has come");
    await settle();
    await cut();
  }
  assertEquals([alice.told, bob.told], [["peer full"], ["us local"]]);
  bob.disk.full = false;
  await meet(alice.thread, bob.thread);
  await alice.thread.settled();
  assertEquals([alice.told, bob.told], [["peer full", "peer again"], ["us local", "us again"]]);
  await alice.thread.leave();
  assertEquals(await heard(bob.thread), ["one"]);
});

test("one who leaves while the other cannot store has everything still to deliver", async () => {
  const alice = await somebody("bob"), bob = await somebody("alice");
  const { endings } = await meet(alice.thread, bob.thread);
  bob.disk.full = true;
  await alice.thread.sendText("one");
  await until(() => alice.told.length > 0, "the word of it");
  await alice.thread.sendText("two");
  await alice.thread.leave();
  assertEquals((await endings)[1], { type: "left" });
  assertEquals(alice.thread.delivery.stored, 0n);
  assertEquals(await heard(bob.thread), []);
});

test("what is written on a full disk waits, in order, and is sent when there is room", async () => {
  const alice = await somebody("bob"), bob = await somebody("alice");
  await meet(alice.thread, bob.thread);
  await alice.thread.sendText("zero");
  alice.disk.full = true;
  const texts = ["one", "two", "three"];
  const sent = texts.map((text) => alice.thread.sendText(text));
  await until(() => alice.told.length > 0, "the word of it");
  assertEquals([alice.thread.delivery.queued, alice.thread.unkept], [1n, 3]);
  // There is room before the pause is over: whoever comes now is not first.
  alice.disk.full = false;
  const last = alice.thread.sendText("four");
  await alice.clock.during(last, "the last one");
  assertEquals(await Promise.all([...sent, last]), [2n, 3n, 4n, 5n]);
  assertEquals(alice.thread.unkept, 0);
  await alice.thread.settled();
  assertEquals([alice.told, bob.told], [["us local", "us again"], []]);
  await alice.thread.leave();
  assertEquals(await heard(bob.thread), ["zero", ...texts, "four"]);
});

test("what is not kept when its writer leaves is refused, after one more try", async () => {
  for (const isFull of [true, false]) {
    const { disk, thread, told } = await somebody("bob");
    disk.full = true;
    const text = thread.sendText("one");
    const outcome = text.then(() => "kept", ({ code }) => code);
    await until(() => told.length > 0, "the word of it");
    disk.full = isFull;
    await thread.leave();
    assertEquals(await outcome, isFull ? "local" : "kept");
  }
});

test("on a full disk no more waits than a conversation may have under way", async () => {
  const { disk, thread, told } = await somebody("bob");
  disk.full = true;
  const long = "x".repeat(TEXT_LIMIT);
  const waiting: Promise<unknown>[] = [];
  for (let bytes = 0; bytes <= CONVERSATION_WINDOW; bytes += TEXT_LIMIT) {
    waiting.push(thread.sendText(long).catch((error) => error));
    if (bytes === 0) await until(() => told.length > 0, "the word of it");
  }
  const error = await assertRejects(() => thread.sendText("one too many"), CifraError);
  assertEquals(error.code, "local");
  await thread.leave();
  await Promise.all(waiting);
});

test("one who says that they cannot store is sent nothing until they can", async () => {
  const alice = await somebody("bob");
  const { say, hearUntil, pipe, ending } = await meetEvil(alice.thread, freshPosition());
  await say(storing(StoringState.inUse));
  await until(() => alice.told.length > 0, "the word of it");
  await alice.thread.sendText("one");
  await settle();
  assertEquals(alice.thread.delivery.sent, 0n);
  await say(storing(StoringState.again));
  await hearUntil(({ type }) => type === ItemType.message);
  await say(ackItem(1n));
  await alice.thread.settled();
  assertEquals(alice.told, ["peer inUse", "peer again"]);
  pipe.toRight.end();
  await ending;
  await alice.thread.leave();
});

test("whoever says it again and again is sent away, and so is whoever says what has no meaning", async () => {
  const many = Array.from(
    { length: STORING_PER_MINUTE + 1 },
    (_, i) => storing(i % 2 === 0 ? StoringState.full : StoringState.again),
  );
  const unknown = { type: ItemType.storing, body: Uint8Array.of(4) };
  for (const [items, code] of [[many, "limit"], [[unknown], "bad_frame"]] as const) {
    const alice = await somebody("bob");
    const { say, ending } = await meetEvil(alice.thread, freshPosition());
    await say(...items);
    const ended = await ending;
    assert(ended.type === "cut");
    assertEquals(ended.error.code, code);
    await alice.thread.leave();
  }
});
