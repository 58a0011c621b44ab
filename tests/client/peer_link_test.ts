import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { type PeerEvent, PeerLink, STREAM_PIECE_LIMIT } from "../../lib/client/peer_link.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import { CONVERSATION_WINDOW, TEXT_LIMIT } from "../../lib/limits.ts";
import { encode } from "../../lib/wire/layout.ts";
import { peerAck, type PeerMessage, peerMessage } from "../../lib/wire/peer_messages.ts";
import { CloseCode, closeLayout, type Item, ItemType } from "../../lib/wire/records.ts";
import { openChannels, openEvilPair, test } from "../testkit/adversary.ts";
import { turn } from "../testkit/pipe.ts";

/** Two links with a channel between them. */
async function links() {
  const { alice, bob, ...rest } = await openChannels();
  return { alice: new PeerLink(alice), bob: new PeerLink(bob), channels: { alice, bob }, ...rest };
}

/** Takes everything a link hears until it ends, and says what that was. */
async function listen(link: PeerLink, limit = Infinity): Promise<PeerEvent[]> {
  const heard: PeerEvent[] = [];
  for await (const event of link.events()) {
    heard.push(event);
    link.taken(event.number);
    if (heard.length >= limit) break;
  }
  return heard;
}

function textItem(number: bigint, text: string): Item {
  return item({ type: "text", number, content: encodeUtf8(text) });
}

function item(message: PeerMessage): Item {
  return { type: ItemType.message, body: encode(peerMessage, message) };
}

function ack(number: bigint): Item {
  return { type: ItemType.ack, body: encode(peerAck, { number }) };
}

function goodbye(lastSent: bigint, lastStored: bigint, code: CloseCode = CloseCode.done): Item {
  return { type: ItemType.close, body: encode(closeLayout, { code, lastSent, lastStored }) };
}

/** What Bob's link makes of these records: what it heard, and how it ended. */
async function hear(...records: readonly (readonly Item[])[]) {
  const { mallory, bob, pipe } = await openEvilPair();
  const link = new PeerLink(bob);
  for (const items of records) pipe.toRight.deliver(await mallory.sealItems(...items));
  pipe.toRight.end();
  const heard = await listen(link);
  return { heard, ending: link.ending, link, mallory };
}

async function assertBroken(code: ErrorCode, ...records: readonly (readonly Item[])[]) {
  const { ending, mallory } = await hear(...records);
  assert(ending?.type === "cut");
  assertEquals(ending.error.code, code);
  let said = await mallory.receive();
  while (Array.isArray(said)) said = await mallory.receive();
  assertEquals(said, code);
}

test("a conversation numbers messages from 1 in each direction and acknowledges them", async () => {
  const { alice, bob } = await links();
  assertEquals([alice.sendText("one"), alice.sendText("two")], [1n, 2n]);
  assertEquals(bob.sendText("uno"), 1n);
  const atBob = listen(bob), atAlice = listen(alice);
  await alice.settled();
  await bob.settled();
  assertEquals([alice.lastAcknowledged, bob.lastAcknowledged], [2n, 1n]);
  await alice.leave();
  assertEquals(await atBob, [
    { type: "text", number: 1n, text: "one" },
    { type: "text", number: 2n, text: "two" },
  ]);
  await bob.leave();
  assertEquals(await atAlice, [{ type: "text", number: 1n, text: "uno" }]);
  assertEquals([alice.ending, bob.ending], [{ type: "left" }, { type: "left" }]);
});

test("sendText() carries any text of 16 KiB and refuses more, which changes nothing", async () => {
  const { alice, bob } = await links();
  const texts = ["", "\n", "ñ 🙂 \u202e", "\ufeffmark", "x".repeat(TEXT_LIMIT)];
  for (const text of texts) alice.sendText(text);
  for (const tooLong of ["x".repeat(TEXT_LIMIT + 1), "ñ".repeat(TEXT_LIMIT / 2 + 1)]) {
    assertEquals(assertThrows(() => alice.sendText(tooLong), CifraError).code, "limit");
  }
  assertEquals(alice.lastSent, 5n);
  const heard = await listen(bob, texts.length);
  assertEquals(heard.map((event) => event.type === "text" && event.text), texts);
});

test("sendBytes() cuts a stream into pieces that fit a record, and sendEnd() ends it", async () => {
  const { alice, bob } = await links();
  const stream = new Uint8Array(3 * STREAM_PIECE_LIMIT + 1).map((_, i) => i * 7);
  const hearing = listen(bob, 5);
  const answering = listen(alice);
  await alice.sendBytes(stream);
  await alice.sendBytes(new Uint8Array(0));
  alice.sendEnd();
  const heard = await hearing;
  const pieces = heard.flatMap((event) => event.type === "bytes" ? [event.bytes] : []);
  assertEquals(pieces.map(({ length }) => length), [
    STREAM_PIECE_LIMIT,
    STREAM_PIECE_LIMIT,
    STREAM_PIECE_LIMIT,
    1,
  ]);
  assertEquals(pieces.flatMap((piece) => [...piece]), [...stream]);
  assertEquals(heard.at(-1)?.type, "end");
  await bob.leave();
  await alice.leave();
  await answering;
});

test("sendBytes() waits when the window is full, until the other program takes", async () => {
  const { alice, bob } = await links();
  const piece: Bytes = new Uint8Array(STREAM_PIECE_LIMIT);
  const total = 2 * Math.ceil(CONVERSATION_WINDOW / piece.length);
  let sent = 0;
  const sending = (async () => {
    for (; sent < total; sent++) await alice.sendBytes(piece);
  })();
  const answering = listen(alice);
  const held: PeerEvent[] = [];
  for await (const event of bob.events()) {
    held.push(event);
    // As many as the window allows arrive before anything has been taken.
    if (held.length > CONVERSATION_WINDOW / piece.length) break;
  }
  await turn();
  assert(sent <= CONVERSATION_WINDOW / piece.length + 1, `${sent} sent`);
  for (const { number } of held) bob.taken(number);
  const rest = listen(bob, total - held.length);
  await sending;
  assertEquals((await rest).length, total - held.length);
  await alice.settled();
  await bob.leave();
  await alice.leave();
  await answering;
});

test("settled() resolves though the last thing heard with a message was no message", async () => {
  // The message and what follows it are there at once, so its acknowledgement may wait for more.
  for (const follower of [[ack(0n)], [{ type: ItemType.ping, body: new Uint8Array(0) }]]) {
    const { mallory, bob, pipe } = await openEvilPair();
    const link = new PeerLink(bob);
    pipe.toRight.deliver(await mallory.sealItems(textItem(1n, "hello")));
    pipe.toRight.deliver(await mallory.sealItems(...follower));
    const listening = listen(link);
    const answers: Item[] = [];
    while (!answers.some(({ type }) => type === ItemType.ack)) {
      const items = await mallory.receive();
      assert(Array.isArray(items));
      answers.push(...items as Item[]);
    }
    assert(answers.some(({ type, body }) => type === ItemType.ack && body[7] === 1));
    pipe.toRight.deliver(await mallory.sealItems(goodbye(1n, 0n)));
    await listening;
    assertEquals(link.ending, { type: "left" });
  }
});

test("two who talk at once settle on both sides, many times over", async () => {
  for (let round = 0; round < 20; round++) {
    const { alice, bob } = await links();
    const listening = [listen(alice), listen(bob)];
    for (let n = 0; n < 10; n++) {
      alice.sendText(`a${n}`);
      if (n % 3 === round % 3) await turn();
      bob.sendText(`b${n}`);
    }
    await Promise.all([alice.settled(), bob.settled()]);
    await Promise.all([alice.leave(), bob.leave()]);
    assertEquals((await Promise.all(listening)).map(({ length }) => length), [10, 10]);
    assertEquals([alice.ending, bob.ending], [{ type: "left" }, { type: "left" }]);
  }
});

test("settled() throws when the other side leaves first", async () => {
  const { alice, bob } = await links();
  const listening = listen(alice);
  alice.sendText("never taken");
  const settled = alice.settled().then(() => undefined, (error) => error);
  await bob.leave();
  await listening;
  assertInstanceOf(await settled, CifraError);
  await assertRejects(() => alice.settled(), CifraError);
});

test("a goodbye acknowledges what it says is stored", async () => {
  const { mallory, bob, pipe } = await openEvilPair();
  const link = new PeerLink(bob);
  link.sendText("one");
  link.sendText("two");
  pipe.toRight.deliver(await mallory.sealItems(goodbye(0n, 2n)));
  await listen(link);
  assertEquals(link.lastAcknowledged, 2n);
  assertEquals(link.ending, { type: "left" });
});

test("a goodbye whose count of sent messages is not ours is a cut", async () => {
  const hello = [textItem(1n, "hello")];
  for (const claimed of [0n, 2n, 2n ** 64n - 1n]) {
    const { ending } = await hear(hello, [goodbye(claimed, 0n)]);
    assert(ending?.type === "cut", `${claimed}`);
    assertEquals(ending.error.code, "cut");
  }
  assertEquals((await hear(hello, [goodbye(1n, 0n)])).ending, { type: "left" });
});

test("a goodbye that claims to have stored what was never sent is a cut", async () => {
  const { ending } = await hear([goodbye(0n, 1n)]);
  assertEquals(ending?.type, "cut");
});

test("a goodbye of a server that shuts down says so", async () => {
  assertEquals((await hear([goodbye(0n, 0n, CloseCode.shutdown)])).ending, { type: "shutdown" });
});

test("an end without goodbye is a cut, with everything heard before it delivered", async () => {
  const { heard, ending } = await hear([textItem(1n, "a"), textItem(2n, "b")]);
  assertEquals(heard.map(({ number }) => number), [1n, 2n]);
  assert(ending?.type === "cut");
  assertEquals(ending.error.code, "cut");
});

test("a message out of its number ends the conversation", async () => {
  for (const number of [0n, 2n, 2n ** 64n - 1n]) {
    await assertBroken("bad_state", [textItem(number, "x")]);
  }
  await assertBroken("bad_state", [textItem(1n, "x")], [textItem(1n, "again")]);
  await assertBroken("bad_state", [textItem(1n, "x"), textItem(3n, "gap")]);
});

test("an acknowledgement beyond our last message ends the conversation (M9)", async () => {
  await assertBroken("bad_state", [ack(1n)]);
  await assertBroken("bad_state", [ack(2n ** 64n - 1n)]);
});

test("an acknowledgement below the last one changes nothing", async () => {
  const { mallory, bob, pipe } = await openEvilPair();
  const link = new PeerLink(bob);
  for (const text of ["one", "two", "three"]) link.sendText(text);
  pipe.toRight.deliver(await mallory.sealItems(ack(2n), ack(1n), ack(0n), ack(2n)));
  pipe.toRight.deliver(await mallory.sealItems(goodbye(0n, 2n)));
  await listen(link);
  assertEquals(link.lastAcknowledged, 2n);
});

test("requests and responses have no place in a conversation", async () => {
  for (const type of [ItemType.request, ItemType.response]) {
    await assertBroken("bad_state", [{ type, body: new Uint8Array(10) }]);
  }
});

test("malformed messages end the conversation", async () => {
  const raw = (...body: readonly number[]): readonly Item[] => [
    { type: ItemType.message, body: new Uint8Array(body) },
  ];
  const number = [0, 0, 0, 0, 0, 0, 0, 1];
  await assertBroken("bad_frame", raw());
  await assertBroken("bad_frame", raw(0, ...number));
  await assertBroken("bad_frame", raw(4, ...number));
  await assertBroken("bad_frame", raw(1, 0, 0));
  await assertBroken("bad_frame", raw(3, ...number, 0));
  // Not UTF-8: a lone byte, an overlong form, a surrogate (D15).
  await assertBroken("bad_frame", raw(1, ...number, 0xff));
  await assertBroken("bad_frame", raw(1, ...number, 0xc0, 0x80));
  await assertBroken("bad_frame", raw(1, ...number, 0xed, 0xa0, 0x80));
  await assertBroken("bad_frame", [{ type: ItemType.ack, body: new Uint8Array(7) }]);
  await assertBroken("bad_frame", [textItem(1n, "x".repeat(TEXT_LIMIT + 1))]);
});

test("a flood beyond twice the window, none of it taken, ends the conversation", async () => {
  const { mallory, bob, pipe } = await openEvilPair();
  const link = new PeerLink(bob);
  const content = new Uint8Array(STREAM_PIECE_LIMIT);
  let delivered = 0;
  const flood = async () => {
    delivered++;
    const message = { type: "bytes", number: BigInt(delivered), content } as const;
    pipe.toRight.deliver(await mallory.sealItems(item(message)));
  };
  await flood();
  let held = 0;
  for await (const { type } of link.events()) {
    assertEquals(type, "bytes");
    held += content.length;
    await flood();
  }
  assert(held > CONVERSATION_WINDOW && held <= 2 * CONVERSATION_WINDOW);
  assert(link.ending?.type === "cut");
  assertEquals(link.ending.error.code, "limit");
});
