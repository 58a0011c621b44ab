/** Words of who is away: told on each channel, shown once, and nothing of them is kept (PROTOCOL.md 3.8). */
import { assert, assertEquals } from "@std/assert";
import { encodeUtf8 } from "../../lib/bytes.ts";
import { AWAY_HEARD_PER_MINUTE, AWAY_LIMIT, AWAY_SAID_PER_MINUTE } from "../../lib/limits.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import { lineOf } from "../../lib/wire/line.ts";
import { peerAway } from "../../lib/wire/peer_messages.ts";
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
  textItem,
} from "../testkit/links.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import { until } from "../testkit/until.ts";

/** Somebody who may be away, and what they were told of the other one. */
async function somebody(peer: string, clock = new ManualTime()) {
  const store = new MemoryMessages();
  const told: string[] = [];
  let words = lineOf("");
  const thread = await openLink(peer, {
    clock,
    store,
    ourAway: () => words,
    onAway: (words) => void told.push(words),
  });
  return {
    clock,
    store,
    told,
    thread,
    away: (text: string) => {
      words = lineOf(text);
      thread.tellAway();
    },
  };
}

function away(text: string): Item {
  return { type: ItemType.away, body: encode(peerAway, { words: lineOf(text) }) };
}

/** Resolves when whatever alice said so far is with bob. */
async function passes(alice: Awaited<ReturnType<typeof somebody>>): Promise<void> {
  await alice.thread.sendText("here");
  await alice.thread.settled();
}

test("the words are told when they are set, when they change, and when the person is back", async () => {
  const alice = await somebody("bob"), bob = await somebody("alice");
  await meet(alice.thread, bob.thread);
  alice.away("back at two");
  alice.away("back at two");
  await passes(alice);
  assertEquals([bob.told, bob.thread.theirAway], [["back at two"], "back at two"]);
  alice.away("back at three");
  alice.away("");
  await passes(alice);
  assertEquals(bob.told, ["back at two", "back at three", ""]);
  assertEquals(alice.told, []);
  // Nothing but what was said is in a log.
  await alice.thread.leave();
  await bob.thread.leave();
  const ear = new Ear(bob.thread);
  await ear.ended;
  assertEquals(ear.words, ["here", "here"]);
  for (const { store } of [alice, bob]) {
    const kept = [...store.history({})].map((entry) => entry.type === "text" ? entry.text : "");
    assertEquals(kept, ["here", "here"]);
  }
});

test("each new channel tells them again, and the same words are shown once", async () => {
  const alice = await somebody("bob"), bob = await somebody("alice");
  alice.away("back at two");
  for (let channels = 0; channels < 3; channels++) {
    const { cut } = await meet(alice.thread, bob.thread);
    await passes(alice);
    await cut();
  }
  assertEquals(bob.told, ["back at two"]);
  // What has changed meanwhile is news.
  alice.away("back at three");
  const { cut } = await meet(bob.thread, alice.thread);
  await passes(alice);
  await cut();
  assertEquals(bob.told, ["back at two", "back at three"]);
  // Who is back says nothing: that something else is said first is enough.
  alice.away("");
  await meet(alice.thread, bob.thread);
  await passes(alice);
  assertEquals(bob.told, ["back at two", "back at three", ""]);
  for (const { thread } of [alice, bob]) await thread.leave();
});

test("they are said before anything else, whatever waits to be acknowledged and sent", async () => {
  const alice = await somebody("bob");
  await alice.thread.sendText("one");
  const before = await meetEvil(alice.thread, freshPosition());
  await before.say(textItem(1n, "theirs"));
  await before.hearUntil(({ type }) => type === ItemType.ack);
  before.pipe.toRight.end();
  await before.ending;
  alice.away("back at two");
  alice.thread.position(freshPosition().log);
  const { hearUntil, pipe, ending } = await meetEvil(alice.thread, freshPosition());
  const [first, second] = await hearUntil(({ type }) => type === ItemType.message);
  assertEquals([first?.type, second?.type], [ItemType.away, ItemType.ack]);
  assertEquals(decode(peerAway, first!.body).words, "back at two");
  pipe.toRight.end();
  await ending;
  await alice.thread.leave();
});

test("the words of a program that has left are gone with it", async () => {
  const alice = await somebody("bob"), bob = await somebody("alice");
  alice.away("back at two");
  const { endings } = await meet(alice.thread, bob.thread);
  await passes(alice);
  await alice.thread.leave();
  await endings;
  assertEquals([bob.told, bob.thread.theirAway], [["back at two"], ""]);
  // The next one that says the same has said it for the first time.
  const again = await somebody("bob");
  again.away("back at two");
  await meet(again.thread, bob.thread);
  await until(() => bob.told.length > 1, "the words");
  assertEquals(bob.told, ["back at two", "back at two"]);
  for (const { thread } of [again, bob]) await thread.leave();
});

test("whoever changes them again and again says the last, and is not sent away", async () => {
  const alice = await somebody("bob"), bob = await somebody("alice", alice.clock);
  await meet(alice.thread, bob.thread);
  for (let minute = 0; minute < 3; minute++) {
    const before = bob.told.length;
    for (let n = 1; n <= 50; n++) alice.away(`${n} of minute ${minute}`);
    await passes(alice);
    assertEquals(bob.told.length - before, AWAY_SAID_PER_MINUTE);
    // The last one follows, by the beat of the owner.
    alice.clock.advance(60_000 / AWAY_SAID_PER_MINUTE);
    alice.thread.tick(alice.clock.now());
    await passes(alice);
    assertEquals(bob.told.at(-1), `50 of minute ${minute}`);
    alice.clock.advance(60_000);
  }
  assert(alice.thread.isAttached && bob.thread.isAttached, "the channel was given up");
  for (const { thread } of [alice, bob]) await thread.leave();
});

test("who floods with them, or says what is no short line, is sent away and shown to nobody", async () => {
  const many = Array.from({ length: AWAY_HEARD_PER_MINUTE + 1 }, (_, n) => away(`${n}`));
  const same = Array.from({ length: AWAY_HEARD_PER_MINUTE + 1 }, () => away("x"));
  const raw = (bytes: Uint8Array<ArrayBuffer>): Item => {
    const body = new Uint8Array(2 + bytes.length);
    new DataView(body.buffer).setUint16(0, bytes.length);
    body.set(bytes, 2);
    return { type: ItemType.away, body };
  };
  const scenes: readonly (readonly [readonly Item[], string, number])[] = [
    [many, "limit", AWAY_HEARD_PER_MINUTE],
    [same, "limit", 1],
    [[raw(encodeUtf8("x".repeat(AWAY_LIMIT + 1)))], "bad_frame", 0],
    [[raw(encodeUtf8("back\nbob: hello"))], "bad_frame", 0],
    [[raw(encodeUtf8("\x1b[2Jback"))], "bad_frame", 0],
    [[raw(encodeUtf8("\u202eback"))], "bad_frame", 0],
    [[raw(Uint8Array.of(0xff))], "bad_frame", 0],
    [[{ type: ItemType.away, body: new Uint8Array(0) }], "bad_frame", 0],
  ];
  for (const [items, code, shown] of scenes) {
    const bob = await somebody("alice");
    const { say, ending } = await meetEvil(bob.thread, freshPosition());
    await say(...items);
    const ended = await ending;
    assert(ended.type === "cut");
    assertEquals([ended.error.code, bob.told.length], [code, shown]);
    await bob.thread.leave();
  }
});

test("an empty line of who was never away is no news, and words may stand among messages", async () => {
  const bob = await somebody("alice");
  const { say, hearUntil, pipe, ending } = await meetEvil(bob.thread, freshPosition());
  await say(away(""), textItem(1n, "one"), away("lunch"), textItem(2n, "two"), away("lunch"));
  await hearUntil(({ type }) => type === ItemType.ack);
  await say(away(""), ackItem(0n));
  pipe.toRight.end();
  await ending;
  assertEquals(bob.told, ["lunch", ""]);
  await bob.thread.leave();
});
