/** The other end of a conversation says what no honest program says. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import { CONVERSATION_WINDOW, STREAM_PIECE_LIMIT, TEXT_LIMIT } from "../../lib/limits.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import { LogKind, type LogPosition } from "../../lib/wire/peer_messages.ts";
import { CloseCode, type Item, ItemType } from "../../lib/wire/records.ts";
import { test } from "../testkit/adversary.ts";
import {
  ackItem,
  Ear,
  freshPosition,
  goodbyeItem,
  meet,
  meetEvil,
  messageItem,
  openLink,
  textItem,
} from "../testkit/links.ts";
import { turn } from "../testkit/turn.ts";

const LIVE = freshPosition({ kind: LogKind.live });
const HUGE = 2n ** 64n - 1n;

/** What Bob, who has written these texts, makes of a position and of records; then the channel is cut. */
async function hear(
  records: readonly (readonly Item[])[],
  { theirs = freshPosition(), texts = [] }: {
    readonly theirs?: LogPosition;
    readonly texts?: readonly string[];
  } = {},
) {
  const bob = await openLink("alice");
  for (const text of texts) await bob.sendText(text);
  const { say, lastWords, ending, pipe } = await meetEvil(bob, theirs);
  for (const items of records) await say(...items);
  pipe.toRight.end();
  const ended = await ending;
  const { delivery } = bob;
  await bob.leave();
  const ear = new Ear(bob);
  await ear.ended;
  return { ending: ended, words: ear.words, delivery, alert: await lastWords() };
}

/** Such records end the channel with an alert, and nothing of the last one is heard. */
async function breaks(
  code: ErrorCode,
  records: readonly (readonly Item[])[],
  options: Parameters<typeof hear>[1] = {},
): Promise<string[]> {
  const { ending, alert, words } = await hear(records, options);
  assert(ending.type === "cut");
  assertEquals(ending.error.code, code);
  // In the middle of an answer to an earlier record there is no place for an alert.
  if (records.length === 1) assertEquals(alert, code);
  return words;
}

function raw(...body: readonly number[]): Item {
  return { type: ItemType.message, body: new Uint8Array(body) };
}

test("a position that is none ends the channel", async () => {
  const wrong: readonly Partial<LogPosition>[] = [
    { kind: 0 },
    { kind: 3 },
    { kind: 255 },
    { first: 0n },
    { kind: LogKind.live, first: 0n },
  ];
  const refused = async (change: Partial<LogPosition>, code: ErrorCode) => {
    const { ending, words } = await hear([], { theirs: freshPosition(change) });
    assert(ending.type === "cut");
    assertEquals([ending.error.code, words], [code, []]);
  };
  for (const change of wrong) await refused(change, "bad_frame");
  await refused({ first: HUGE }, "limit");
});

test("a position of another log counts for nothing, whatever it claims to have", async () => {
  const theirs = freshPosition({ readLog: new Uint8Array(16).fill(9), have: HUGE });
  const { ending, delivery } = await hear([[goodbyeItem(0n, 0n)]], { theirs, texts: ["a", "b"] });
  assertEquals([ending, delivery.stored], [{ type: "left" }, 0n]);
});

test("a position that claims more of our log than there is begins a new log, and loses nothing", async () => {
  const store = new MemoryMessages();
  const bob = await openLink("alice", { store });
  await bob.sendText("one");
  for (let round = 0; round < 5; round++) {
    const { log } = bob.position();
    const { ending } = await meetEvil(bob, freshPosition({ readLog: log, have: HUGE }));
    assertEquals((await ending).type, "cut");
    assert(bob.position().log.join() !== log.join());
    assertEquals(bob.delivery, { queued: 1n, sent: 0n, onServer: 0n, stored: 0n, read: 0n });
  }
  const alice = await openLink("bob");
  await meet(alice, bob);
  await bob.settled();
  await bob.leave();
  await alice.leave();
  const ear = new Ear(alice);
  await ear.ended;
  assertEquals(ear.words, ["one"]);
});

test("a position with an id that is not the message's begins a new log, and nothing shows twice", async () => {
  const store = new MemoryMessages();
  const bob = await openLink("alice", { store }), alice = await openLink("bob");
  const ear = new Ear(alice);
  const { cut, pipe } = await meet(bob, alice);
  await bob.sendText("one");
  await bob.settled();
  // Alice stores these as well, and Bob does not hear of it.
  pipe.toLeft.hold();
  for (const text of ["two", "three"]) await bob.sendText(text);
  await ear.count(3);
  await cut();
  for (let round = 0; round < 10; round++) {
    const { log, first } = bob.position();
    const queued = bob.delivery.queued;
    // Of what is known to be stored there is nothing to compare.
    const known = freshPosition({ readLog: log, have: first - 1n, haveId: systemRandom(16) });
    const harmless = await meetEvil(bob, known);
    await harmless.say(goodbyeItem(0n, first - 1n));
    assertEquals([(await harmless.ending).type, bob.position().log], ["left", log]);
    for (const have of [queued, first]) {
      const { log } = bob.position();
      const theirs = freshPosition({ readLog: log, have, haveId: systemRandom(16) });
      const { ending, hearUntil } = await meetEvil(bob, theirs);
      const ended = await ending;
      assert(ended.type === "cut");
      assertEquals(ended.error.code, "cut");
      await assertRejects(() => hearUntil(() => true), Error, "left");
      assert(bob.position().log.join() !== log.join());
      assertEquals(bob.delivery, { queued: 2n, sent: 0n, onServer: 0n, stored: 0n, read: 0n });
    }
  }
  await bob.sendText("four");
  await meet(bob, alice);
  await bob.settled();
  await bob.leave();
  await alice.leave();
  await ear.ended;
  assertEquals(ear.words, ["one", "two", "three", "four"]);
});

test("a position that claims more of a stream than there is ends the channel, not the stream", async () => {
  const bob = await openLink("alice", { kind: LogKind.live });
  await bob.sendText("one");
  const { log } = bob.position();
  const { ending } = await meetEvil(bob, freshPosition({ readLog: log, have: 2n }));
  const ended = await ending;
  assert(ended.type === "cut");
  assertEquals([ended.error.code, bob.broken], ["bad_state", undefined]);
  await bob.leave();
});

test("an acknowledgement beyond what was sent, or read beyond stored, ends the channel (M9)", async () => {
  await breaks("bad_state", [[ackItem(1n)]]);
  await breaks("bad_state", [[ackItem(HUGE)]]);
  await breaks("bad_state", [[ackItem(HUGE, HUGE)]]);
  await breaks("bad_state", [[ackItem(0n, 1n)]]);
  for (const wrong of [ackItem(4n), ackItem(2n, 3n), ackItem(HUGE)]) {
    const { ending, delivery } = await hear([[wrong]], { texts: ["a", "b", "c"] });
    assert(ending.type === "cut");
    assertEquals([ending.error.code, delivery.stored, delivery.read], ["bad_state", 0n, 0n]);
  }
});

test("an acknowledgement of what is queued and was not sent ends the channel", async () => {
  const bob = await openLink("alice", { kind: LogKind.live });
  const piece = new Uint8Array(STREAM_PIECE_LIMIT);
  const { say, ending, pipe } = await meetEvil(bob, LIVE);
  pipe.toLeft.stall();
  const sending = (async () => {
    for (;;) await bob.sendBytes(piece);
  })();
  sending.catch(() => {});
  for (let n = 0; n < 20; n++) await turn();
  const { sent, queued } = bob.delivery;
  assert(sent > 0n && sent < queued, "more is queued than the channel takes");
  await say(ackItem(queued));
  const ended = await ending;
  assert(ended.type === "cut");
  assertEquals([ended.error.code, bob.delivery.stored], ["bad_state", 0n]);
  await bob.leave();
  await assertRejects(() => sending, CifraError);
});

test("an acknowledgement below the last one changes nothing", async () => {
  const bob = await openLink("alice");
  for (const text of ["one", "two", "three"]) await bob.sendText(text);
  const { say, hearUntil, ending } = await meetEvil(bob, freshPosition());
  await hearUntil(({ type }) => type === ItemType.message);
  await say(ackItem(2n, 1n), ackItem(1n), ackItem(0n), ackItem(2n, 0n));
  await say(goodbyeItem(0n, 2n));
  assertEquals(await ending, { type: "left" });
  assertEquals(bob.delivery, { queued: 3n, sent: 2n, onServer: 2n, stored: 2n, read: 1n });
  await bob.leave();
});

test("a goodbye acknowledges what it says is stored, and claims no more than was sent", async () => {
  for (const stored of [0n, 1n, 2n]) {
    const bob = await openLink("alice");
    for (const text of ["one", "two"]) await bob.sendText(text);
    const { say, hearUntil, ending } = await meetEvil(bob, freshPosition());
    await hearUntil(({ type }) => type === ItemType.message);
    await say(goodbyeItem(0n, stored));
    assertEquals([await ending, bob.delivery.stored], [{ type: "left" }, stored]);
    await bob.leave();
  }
  for (const claimed of [1n, 2n, HUGE]) {
    const { ending, delivery } = await hear([[goodbyeItem(0n, claimed)]]);
    assert(ending.type === "cut");
    assertEquals([ending.error.code, delivery.stored], ["cut", 0n]);
  }
});

test("a goodbye whose count of sent messages is not ours is a cut", async () => {
  const hello = [textItem(1n, "hello")];
  for (const claimed of [0n, 2n, HUGE]) {
    const { ending, words } = await hear([hello, [goodbyeItem(claimed, 0n)]]);
    assert(ending.type === "cut", `${claimed}`);
    assertEquals([ending.error.code, words], ["cut", ["hello"]]);
  }
  const { ending } = await hear([hello, [goodbyeItem(1n, 0n)]]);
  assertEquals(ending, { type: "left" });
});

test("a goodbye after a failure is one, whatever it counts, and never acknowledges too much", async () => {
  for (const lastStored of [0n, HUGE]) {
    const goodbye = goodbyeItem(7n, lastStored, CloseCode.failed);
    const { ending, delivery } = await hear([[goodbye]], { texts: ["one"] });
    assertEquals([ending, delivery.stored], [{ type: "failed" }, 0n]);
  }
});

test("an end without goodbye is a cut, with everything heard before it delivered", async () => {
  const { words, ending } = await hear([[textItem(1n, "a"), textItem(2n, "b")]]);
  assertEquals(words, ["a", "b"]);
  assert(ending.type === "cut");
  assertEquals(ending.error.code, "cut");
});

test("a gap ends the channel, with everything before it delivered", async () => {
  for (const number of [2n, HUGE]) {
    assertEquals(await breaks("bad_state", [[textItem(number, "x")]]), []);
  }
  const words = await breaks("bad_state", [[textItem(1n, "a")], [textItem(3n, "gap")]]);
  assertEquals(words, ["a"]);
  const theirs = LIVE;
  await breaks("bad_state", [[textItem(2n, "x")]], { theirs });
});

test("a message that is here already is passed over, whatever it says now", async () => {
  const { words, ending } = await hear([
    [textItem(1n, "a"), textItem(2n, "b")],
    [textItem(1n, "other"), textItem(0n, "zero")],
    [textItem(2n, "b"), textItem(3n, "c")],
    [goodbyeItem(3n, 0n)],
  ]);
  assertEquals([words, ending], [["a", "b", "c"], { type: "left" }]);
});

test("requests, responses and relayed data have no place in a conversation", async () => {
  for (const type of [ItemType.request, ItemType.response, ItemType.relay]) {
    await breaks("bad_state", [[{ type, body: new Uint8Array(10) }]]);
  }
});

test("malformed messages end the channel, and nothing of their record is stored", async () => {
  const number = [0, 0, 0, 0, 0, 0, 0, 1], id = Array<number>(16).fill(5);
  const written = Array<number>(8).fill(0);
  const wrong: readonly Item[] = [
    raw(),
    raw(0, ...number),
    raw(4, ...number),
    raw(1, 0, 0),
    raw(1, ...number, ...id),
    raw(3, ...number),
    raw(3, ...number, ...id, 0),
    // Not UTF-8: a lone byte, an overlong form, a surrogate (D15).
    raw(1, ...number, ...id, ...written, 0xff),
    raw(1, ...number, ...id, ...written, 0xc0, 0x80),
    raw(1, ...number, ...id, ...written, 0xed, 0xa0, 0x80),
    { type: ItemType.ack, body: new Uint8Array(15) },
    { type: ItemType.ack, body: new Uint8Array(17) },
    textItem(1n, "x".repeat(TEXT_LIMIT + 1)),
    // A chat has no pieces of a stream.
    messageItem({ type: "bytes", number: 1n, content: new Uint8Array(1) }),
  ];
  for (const item of wrong) assertEquals(await breaks("bad_frame", [[item]]), []);
  for (const item of wrong.slice(0, 10)) {
    const words = await breaks("bad_frame", [[item]], { theirs: LIVE });
    assertEquals(words, []);
  }
  // A good message in front of it, in the same record, comes again over the next channel.
  assertEquals(await breaks("bad_frame", [[textItem(1n, "fine"), raw()]]), []);
});

test("a flood beyond twice the window, none of it taken, ends the channel", async () => {
  const bob = await openLink("alice", { kind: LogKind.live });
  const { say, ending } = await meetEvil(bob, LIVE);
  const content = new Uint8Array(STREAM_PIECE_LIMIT);
  let over = false;
  ending.then(() => over = true);
  for (let number = 1n; !over; number++) {
    await say(messageItem({ type: "bytes", number, content }));
  }
  const ended = await ending;
  assert(ended.type === "cut");
  assertEquals(ended.error.code, "limit");
  await bob.leave();
  const ear = new Ear(bob, false);
  await ear.ended;
  const held = ear.pieces.length * content.length;
  assert(held > CONVERSATION_WINDOW && held <= 2 * CONVERSATION_WINDOW, `${held}`);
});
