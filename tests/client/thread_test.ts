import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { concat } from "@std/bytes/concat";
import type { Bytes } from "../../lib/bytes.ts";
import type { PeerEvent } from "../../lib/client/incoming.ts";
import type { Delivery } from "../../lib/client/thread.ts";
import { CifraError } from "../../lib/errors.ts";
import {
  CLOSE_DEADLINE,
  CONVERSATION_WINDOW,
  OUTBOUND_QUEUE_HIGH_WATER,
  PENDING_DEADLINE,
  PENDING_PROBE,
  STREAM_PIECE_LIMIT,
  TEXT_LIMIT,
} from "../../lib/limits.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import { decode } from "../../lib/wire/layout.ts";
import { LogKind, peerAck } from "../../lib/wire/peer_messages.ts";
import { CloseCode, type Item, ItemType } from "../../lib/wire/records.ts";
import { test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import {
  ackItem,
  Ear,
  freshPosition,
  goodbyeItem,
  meet,
  meetEvil,
  openLink,
  TestDisk,
  textItem,
  WRITTEN,
} from "../testkit/links.ts";
import { until } from "../testkit/until.ts";
import { turn } from "../testkit/turn.ts";

/** Two chats with a channel between them. */
async function chat() {
  const alice = await openLink("bob"), bob = await openLink("alice");
  return { alice, bob, ...await meet(alice, bob) };
}

/** A byte stream from Alice to Bob. */
async function stream() {
  const alice = await openLink("bob", { kind: LogKind.live });
  const bob = await openLink("alice", { kind: LogKind.live });
  return { alice, bob, ...await meet(alice, bob) };
}

/** Two chats, or streams, and a hand on all their clocks. */
async function withClock(kind: LogKind = LogKind.kept) {
  const ours = new ManualTime();
  const alice = await openLink("bob", { kind, clock: ours });
  const bob = await openLink("alice", { kind, clock: ours });
  const meeting = await meet(alice, bob);
  await turn();
  const advance = (milliseconds: number) => {
    for (const clock of [ours, meeting.clock]) clock.advance(milliseconds);
    alice.tick(ours.now());
  };
  return { alice, bob, ...meeting, advance };
}

test("whoever tells nobody what they have read still says what they have stored", async () => {
  const alice = await openLink("bob"), bob = await openLink("alice", { tellsRead: false });
  await meet(alice, bob);
  await alice.sendText("one");
  const atBob = new Ear(bob), atAlice = new Ear(alice);
  await until(() => atBob.heard.length === 1, "it is shown");
  await bob.sendText("uno");
  await until(() => bob.delivery.read === 1n, "what he writes is read");
  assertEquals([alice.delivery.stored, alice.delivery.read], [1n, 0n]);
  await Promise.all([alice.leave(), bob.leave()]);
  await Promise.all([atAlice.ended, atBob.ended]);
});

test("a conversation numbers messages from 1 in each direction, and hears how far they come", async () => {
  const { alice, bob, endings } = await chat();
  assertEquals([await alice.sendText("one"), await alice.sendText("two")], [1n, 2n]);
  assertEquals(await bob.sendText("uno"), 1n);
  await alice.settled();
  await bob.settled();
  assertEquals(alice.delivery, { queued: 2n, sent: 2n, onServer: 2n, stored: 2n, read: 0n });
  const atBob = new Ear(bob), atAlice = new Ear(alice);
  await until(() => alice.delivery.read === 2n && bob.delivery.read === 1n, "all is read");
  await alice.leave();
  await atAlice.ended;
  const text = { type: "text", written: WRITTEN, recovered: false } as const;
  assertEquals(atBob.heard, [
    { ...text, number: 1n, text: "one" },
    { ...text, number: 2n, text: "two" },
  ]);
  assertEquals(atAlice.heard, [{ ...text, number: 1n, text: "uno" }]);
  // Bob answers the goodbye, which tells Alice that nothing is missing.
  assertEquals(await endings, [{ type: "left" }, { type: "left" }]);
});

test("when both leave at once, each lets go when its last words are on their way", async () => {
  const { alice, bob, endings, pipe } = await chat();
  await bob.sendText("last");
  pipe.toRight.stall();
  const atAlice = new Ear(alice);
  await atAlice.count(1);
  let isGone = false;
  const leaving = [alice.leave().then(() => isGone = true), bob.leave()];
  for (let turns = 0; turns < 50; turns++) await turn();
  assertEquals(isGone, false);
  pipe.toRight.resume();
  await Promise.all(leaving);
  assertEquals(await endings, [{ type: "left" }, { type: "left" }]);
  assertEquals(bob.delivery.read, 1n);
});

test("delivery is told as it changes, and never goes back while one channel lasts", async () => {
  const told: Delivery[] = [];
  const alice = await openLink("bob", { onDelivery: (delivery) => told.push(delivery) });
  const bob = await openLink("alice");
  await alice.sendText("hello");
  assertEquals(told.at(-1), { queued: 1n, sent: 0n, onServer: 0n, stored: 0n, read: 0n });
  await meet(alice, bob);
  await alice.settled();
  const ear = new Ear(bob);
  await until(() => alice.delivery.read === 1n, "it is read");
  for (const state of ["queued", "sent", "stored", "read"] as const) {
    const values = told.map((delivery) => delivery[state]);
    assertEquals(values, values.toSorted((a, b) => Number(a - b)), state);
    assertEquals(values.at(-1), 1n, state);
  }
  await bob.leave();
  await alice.leave();
  await ear.ended;
});

test("sendText() carries any text of 16 KiB and refuses more, which changes nothing", async () => {
  const { alice, bob, endings } = await chat();
  const texts = ["", "\n", "ñ 🙂 \u202e", "\ufeffmark", "x".repeat(TEXT_LIMIT)];
  for (const text of texts) await alice.sendText(text);
  for (const tooLong of ["x".repeat(TEXT_LIMIT + 1), "ñ".repeat(TEXT_LIMIT / 2 + 1)]) {
    const error = await assertRejects(() => alice.sendText(tooLong), CifraError);
    assertEquals(error.code, "limit");
  }
  assertEquals(alice.delivery.queued, 5n);
  await alice.settled();
  await alice.leave();
  await endings;
  await bob.leave();
  const ear = new Ear(bob);
  await ear.ended;
  assertEquals(ear.words, texts);
});

test("sendText() sends nothing that is not on disk", async () => {
  const disk = new TestDisk();
  const alice = await openLink("bob", { store: new MemoryMessages({ commit: disk.commit }) });
  const bob = await openLink("alice");
  const { pipe } = await meet(alice, bob);
  await turn();
  disk.hold();
  const sending = alice.sendText("hello");
  const written = pipe.toRight.bytes.length;
  for (let n = 0; n < 10; n++) await turn();
  assertEquals(pipe.toRight.bytes.length, written);
  assertEquals(alice.delivery.queued, 0n);
  disk.release();
  await sending;
  await alice.settled();
  await alice.leave();
  await bob.leave();
});

test("sendBytes() cuts a stream into pieces that fit a record, and sendEnd() ends it", async () => {
  const { alice, bob } = await stream();
  const bytes = new Uint8Array(3 * STREAM_PIECE_LIMIT + 1).map((_, i) => i * 7);
  const ear = new Ear(bob);
  await alice.sendBytes(bytes);
  await alice.sendBytes(new Uint8Array(0));
  assertEquals(await alice.sendEnd(), 5n);
  await alice.settled();
  assertEquals(ear.pieces.map(({ length }) => length), [
    STREAM_PIECE_LIMIT,
    STREAM_PIECE_LIMIT,
    STREAM_PIECE_LIMIT,
    1,
  ]);
  assertEquals(concat(ear.pieces), bytes);
  assertEquals(ear.heard.at(-1)?.type, "end");
  await bob.leave();
  await alice.leave();
});

test("sendBytes() has no place in a chat", async () => {
  const alice = await openLink("bob");
  await assertRejects(() => alice.sendBytes(new Uint8Array(1)), TypeError);
});

test("sendBytes() waits when the window is full, until the other program takes", async () => {
  const { alice, bob } = await stream();
  const piece: Bytes = new Uint8Array(STREAM_PIECE_LIMIT);
  const total = 2 * Math.ceil(CONVERSATION_WINDOW / piece.length);
  let sent = 0;
  const sending = (async () => {
    for (; sent < total; sent++) await alice.sendBytes(piece);
  })();
  const held: PeerEvent[] = [];
  const events = bob.events();
  // As many as the window allows arrive before anything has been taken.
  while (held.length <= CONVERSATION_WINDOW / piece.length) {
    held.push((await events.next()).value!);
  }
  for (let n = 0; n < 10; n++) await turn();
  assert(sent <= CONVERSATION_WINDOW / piece.length + 1, `${sent} sent`);
  assertEquals(alice.delivery.stored, 0n);
  for (const event of held) bob.taken(event);
  while (held.length < total) {
    const event = (await events.next()).value!;
    held.push(event);
    bob.taken(event);
  }
  await sending;
  // What is less than a stride is told when the stream rests.
  bob.tick(0);
  await alice.settled();
  assertEquals(alice.delivery.stored, BigInt(total));
  await bob.leave();
  await alice.leave();
});

test("ten thousand texts wait on disk, and go out in order with a bounded part under way", async () => {
  const alice = await openLink("bob"), bob = await openLink("alice");
  const texts = Array.from({ length: 10_000 }, (_, i) => `${i} ${"x".repeat(1000)}`);
  await Promise.all(texts.map((text) => alice.sendText(text)));
  const disk = new TestDisk();
  const slow = await openLink("alice", { store: new MemoryMessages({ commit: disk.commit }) });
  // First to somebody whose disk stands still: more than the window never gets under way.
  disk.hold();
  const first = await meet(alice, slow);
  let before = -1n;
  await until(() => alice.delivery.sent > 2000n, "half a window");
  while (alice.delivery.sent !== before) {
    before = alice.delivery.sent;
    for (let n = 0; n < 50; n++) await turn();
  }
  const perText = 1000 + 33 + 5;
  const bound = (CONVERSATION_WINDOW + OUTBOUND_QUEUE_HIGH_WATER) / perText + 1;
  assert(before > CONVERSATION_WINDOW / perText / 2 && Number(before) < bound, `${before}`);
  assertEquals(alice.delivery.stored, 0n);
  const ended = first.cut();
  disk.release();
  await ended;
  const second = await meet(alice, bob);
  const ear = new Ear(bob);
  await alice.settled();
  await alice.leave();
  await second.endings;
  await bob.leave();
  await ear.ended;
  assertEquals(ear.words, texts);
});

test("two who talk at once settle on both sides, many times over", async () => {
  for (let round = 0; round < 20; round++) {
    const { alice, bob } = await chat();
    const ears = [new Ear(alice), new Ear(bob)];
    for (let n = 0; n < 10; n++) {
      const a = alice.sendText(`a${n}`);
      if (n % 3 === round % 3) await turn();
      await Promise.all([a, bob.sendText(`b${n}`)]);
    }
    await Promise.all([alice.settled(), bob.settled()]);
    await Promise.all([alice.leave(), bob.leave()]);
    for (const { ended } of ears) await ended;
    assertEquals(ears.map(({ heard }) => heard.length), [10, 10]);
  }
});

test("settled() resolves though the last thing heard with a message was no message", async () => {
  // The message and what follows it are there at once, so its acknowledgement may wait for more.
  const followers = [ackItem(0n), { type: ItemType.ping, body: new Uint8Array(0) }];
  const cases = followers.flatMap((follower) =>
    [[follower, LogKind.kept], [follower, LogKind.live]] as const
  );
  for (const [follower, kind] of cases) {
    const bob = await openLink("alice");
    const ear = new Ear(bob);
    const { say, sayAtOnce, hearUntil, ending } = await meetEvil(bob, freshPosition({ kind }));
    await sayAtOnce(textItem(1n, "hello"), ...Array<Item>(30).fill(follower));
    await hearUntil(({ type, body }) =>
      type === ItemType.ack && decode(peerAck, body).stored === 1n
    );
    await say(goodbyeItem(1n, 0n));
    assertEquals(await ending, { type: "left" });
    await bob.leave();
    await ear.ended;
  }
});

test("a text is acknowledged when it is on disk, no earlier, and as read when it was shown", async () => {
  const disk = new TestDisk();
  const bob = await openLink("alice", { store: new MemoryMessages({ commit: disk.commit }) });
  const alice = await openLink("bob");
  const { pipe } = await meet(alice, bob);
  disk.hold();
  await alice.sendText("hello");
  await until(() => disk.waiting === 1, "it arrives");
  const said = pipe.toLeft.bytes.length;
  for (let n = 0; n < 10; n++) await turn();
  assertEquals([pipe.toLeft.bytes.length, alice.delivery.stored], [said, 0n]);
  disk.release();
  await alice.settled();
  assertEquals(alice.delivery.read, 0n);
  const ear = new Ear(bob);
  await until(() => alice.delivery.read === 1n, "it is read");
  assertEquals(ear.words, ["hello"]);
  await alice.leave();
  await bob.leave();
});

test("settled() throws when this side leaves first, and waits when the other side does", async () => {
  const { alice, bob, cut } = await stream();
  await cut();
  await alice.sendText("never taken");
  let outcome: unknown;
  const settled = alice.settled().then(() => undefined, (error) => outcome = error);
  await turn();
  assertEquals(outcome, undefined);
  await alice.leave();
  await settled;
  assertInstanceOf(outcome, CifraError);
  await assertRejects(() => alice.settled(), CifraError);
  await bob.leave();
});

test("leave() sends what is queued before it says goodbye", async () => {
  for (const kind of [LogKind.kept, LogKind.live]) {
    const alice = await openLink("bob", { kind }), bob = await openLink("alice");
    const { endings } = await meet(alice, bob);
    const texts = Array.from({ length: 100 }, (_, i) => `${i}`);
    for (const text of texts) alice.sendText(text);
    await turn();
    const last = alice.sendText("last");
    // What is kept is queued when it is on disk; a stream has it at once.
    if (kind === LogKind.kept) await last;
    await alice.leave();
    await last;
    assertEquals((await endings)[1], { type: "left" });
    await bob.leave();
    const ear = new Ear(bob);
    await ear.ended;
    assertEquals(ear.words, [...texts, "last"]);
  }
});

test("leave() ends though the other side never answers", async () => {
  const { alice, pipe, channels, clock, bob } = await chat();
  await alice.sendText("hello");
  pipe.toRight.hold();
  pipe.toLeft.hold();
  const leaving = alice.leave();
  await until(() => !channels.alice.isOpen, "goodbye is said");
  clock.advance(CLOSE_DEADLINE + 1);
  channels.alice.tick();
  await leaving;
  channels.bob.destroy();
  await bob.leave();
});

test("leave() without a channel ends the events, after those that are there", async () => {
  const { alice, bob, cut } = await chat();
  await alice.sendText("hello");
  await alice.settled();
  await cut();
  await bob.leave();
  const ear = new Ear(bob);
  await ear.ended;
  assertEquals(ear.words, ["hello"]);
  assertEquals(bob.isAttached, false);
  await alice.leave();
});

test("a goodbye is answered with one, which says what arrived and what was sent", async () => {
  const bob = await openLink("alice");
  await bob.sendText("hello");
  const { say, hearUntil, ending } = await meetEvil(bob, freshPosition());
  await hearUntil(({ type }) => type === ItemType.message);
  await say(textItem(1n, "one"), textItem(2n, "two"), goodbyeItem(2n, 1n));
  const heard = await hearUntil(({ type }) => type === ItemType.close);
  assertEquals(heard.at(-1), goodbyeItem(1n, 2n));
  assertEquals(await ending, { type: "left" });
  await bob.leave();
});

test("a goodbye after a failure says so", async () => {
  const { alice, bob, endings } = await chat();
  await alice.leave(CloseCode.failed);
  assertEquals((await endings)[1], { type: "failed" });
  await bob.leave();
});

test("a cut is no goodbye, and what was heard before it stands", async () => {
  const { alice, bob, cut } = await chat();
  const ear = new Ear(bob);
  await alice.sendText("a");
  await alice.sendText("b");
  await alice.settled();
  for (const ending of await cut()) {
    assert(ending.type === "cut");
    assertEquals(ending.error.code, "cut");
  }
  await bob.leave();
  await ear.ended;
  assertEquals(ear.words, ["a", "b"]);
  await alice.leave();
});

test("tick() asks after a while of silence with messages under way, and gives up after a longer one", async () => {
  const { alice, bob, pipe, channels, endings, advance } = await withClock();
  pipe.toRight.hold();
  await alice.sendText("hello");
  await until(() => alice.delivery.sent === 1n, "it is sent");
  await channels.alice.flush();
  pipe.toRight.takeHeld();
  advance(PENDING_PROBE);
  await turn();
  assertEquals(pipe.toRight.takeHeld().length, 0);
  advance(1);
  for (let n = 0; n < 5; n++) {
    await channels.alice.flush();
    advance(0);
  }
  await channels.alice.flush();
  const probe = pipe.toRight.takeHeld();
  assert(probe.length > 0, "it asks");
  assertEquals(probe.length, channels.alice.frameLength(0), "it asks once");
  advance(PENDING_DEADLINE - PENDING_PROBE - 1);
  assertEquals(channels.alice.isOpen, true);
  advance(1);
  const ending = (await endings)[0];
  assert(ending.type === "cut");
  assertEquals(ending.error.code, "timeout");
  await alice.leave();
  await bob.leave();
});

test("tick() goes on waiting while the other side answers, however slowly it takes", async () => {
  const { alice, bob, channels, advance } = await withClock(LogKind.live);
  await alice.sendText("not taken for long");
  for (let n = 0; n < 20; n++) {
    await channels.alice.flush();
    const heard = channels.alice.lastHeard;
    advance(PENDING_PROBE + 1);
    await until(() => channels.alice.lastHeard > heard, "a pong");
    advance(0);
  }
  assertEquals(channels.alice.isOpen, true);
  const ear = new Ear(bob);
  await alice.settled();
  assertEquals(ear.words, ["not taken for long"]);
  await alice.leave();
  await bob.leave();
});

test("tick() is content with silence when nothing is under way", async () => {
  const { alice, bob, channels, advance } = await withClock();
  await alice.sendText("hello");
  await alice.settled();
  advance(10 * PENDING_DEADLINE);
  assertEquals(channels.alice.isOpen, true);
  await alice.leave();
  advance(10 * PENDING_DEADLINE);
  await bob.leave();
});
