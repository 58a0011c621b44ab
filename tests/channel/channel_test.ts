import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { concat } from "@std/bytes/concat";
import type { Bytes } from "../../lib/bytes.ts";
import { SUITE_NAMES } from "../../lib/crypto/suite.ts";
import { CifraError } from "../../lib/errors.ts";
import {
  BYTES_PER_KEY,
  CLOSE_DEADLINE,
  ITEM_BODY_LIMIT,
  KEY_LIFETIME,
  KEY_REST_AFTER,
  OUTBOUND_QUEUE_HIGH_WATER,
  PING_INTERVAL,
  PING_JITTER,
  RECORD_INNER_LIMIT,
  RECORDS_PER_KEY,
  SILENCE_DEADLINE,
  WRITE_DEADLINE,
} from "../../lib/limits.ts";
import type { Channel } from "../../lib/channel/channel.ts";
import { type Frame, FrameDecoder, FrameKind } from "../../lib/wire/frame.ts";
import { CloseCode, type Item, ItemType } from "../../lib/wire/records.ts";
import {
  alertName,
  ends,
  openChannel,
  openChannels,
  openEvilPair,
  test,
  withCiphers,
} from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { until } from "../testkit/until.ts";
import { type Lane, pipe } from "../testkit/pipe.ts";
import { turn } from "../testkit/turn.ts";

const EMPTY = new Uint8Array(0);

/** The frames a side has written. */
function framesOf(lane: Lane): Frame[] {
  return new FrameDecoder(1 << 20).push(lane.bytes);
}

/** A message whose content is a number. */
function numbered(n: number, length = 4): Bytes {
  const body = new Uint8Array(length);
  new DataView(body.buffer).setUint32(0, n);
  return body;
}

function numberIn({ body }: Item): number {
  return new DataView(body.buffer, body.byteOffset).getUint32(0);
}

/** The numbers of the next `count` messages, which must all be messages. */
async function receiveNumbers(channel: Channel, count: number): Promise<number[]> {
  const numbers: number[] = [];
  while (numbers.length < count) {
    const items = await channel.receive();
    assert(items, `ended after ${numbers.length} of ${count}: ${channel.failure?.message}`);
    for (const item of items) {
      assertEquals(item.type, ItemType.message);
      numbers.push(numberIn(item));
    }
  }
  return numbers;
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

for (const suite of SUITE_NAMES) {
  test(`a ${suite} channel carries every length both ways, in one-byte pieces too`, async () => {
    for (const lanes of [{}, { readLimit: 1, writeLimit: 3 }]) {
      const { alice, bob } = await openChannels(suite, lanes);
      const lengths = [0, 1, 54, 58, 59, 60, 64, 4091, 4092];
      for (const [from, to] of [[alice, bob], [bob, alice]] as const) {
        for (const length of lengths) from.send(ItemType.request, new Uint8Array(length).fill(5));
        await from.flush();
        const received: Item[] = [];
        while (received.length < lengths.length) received.push(...(await to.receive())!);
        assertEquals(received.map(({ body }) => body.length), lengths);
        assert(
          received.every(({ type, body }) =>
            type === ItemType.request && body.every((byte) => byte === 5)
          ),
        );
      }
      alice.destroy();
      bob.destroy();
    }
  });

  test(`a ${suite} channel keeps both streams whole while both sides change keys`, async () => {
    const { alice, bob, ciphers } = await withCiphers(() => openChannels(suite));
    for (const cipher of ciphers) cipher.testOnlySetCounter(RECORDS_PER_KEY - 10);
    const count = suite === "classic" ? 300 : 600;
    const talk = async (channel: Channel) => {
      for (let n = 0; n < count; n++) {
        channel.send(ItemType.message, numbered(n, n % 7 === 0 ? 30_000 : 40));
        // Some share a record, some travel alone, and some wait for room.
        if (n % 3 === 0) await channel.ready();
        if (n % 50 === 0) await channel.flush();
      }
    };
    const [, , atBob, atAlice] = await Promise.all([
      talk(alice),
      talk(bob),
      receiveNumbers(bob, count),
      receiveNumbers(alice, count),
    ]);
    assertEquals(atBob, upTo(count));
    assertEquals(atAlice, upTo(count));
    // Each cipher has begun anew: the counters say that keys were really changed.
    for (const cipher of ciphers) assert(cipher.counter < RECORDS_PER_KEY - 10);
    alice.destroy();
    bob.destroy();
  });
}

test("send() packs a thousand small items of one go into a few records", async () => {
  const { alice, bob, pipe } = await openChannels();
  for (let n = 0; n < 1000; n++) alice.send(ItemType.message, numbered(n));
  await alice.flush();
  assertEquals(framesOf(pipe.toRight).length, 1);
  assertEquals(await receiveNumbers(bob, 1000), upTo(1000));

  for (let n = 0; n < 1000; n++) alice.send(ItemType.message, numbered(n, 200));
  await alice.flush();
  assertEquals(await receiveNumbers(bob, 1000), upTo(1000));
  assert(framesOf(pipe.toRight).length <= 6);
});

test("send() packs what is sent while a record is under way", async () => {
  const { alice, bob, pipe } = await openChannels();
  pipe.toRight.stall();
  alice.send(ItemType.message, numbered(0));
  const { promise: sealed, resolve } = Promise.withResolvers<void>();
  const poll = setInterval(() => alice.queuedLength === 0 && resolve(), 1);
  await sealed;
  clearInterval(poll);
  for (let n = 1; n < 500; n++) {
    alice.send(ItemType.message, numbered(n));
    await Promise.resolve();
  }
  pipe.toRight.resume();
  await alice.flush();
  assertEquals(framesOf(pipe.toRight).length, 2);
  assertEquals(await receiveNumbers(bob, 500), upTo(500));
});

test("send() lets small items wait for each other behind a large one", async () => {
  const { alice, pipe } = await openChannels();
  pipe.toRight.stall();
  alice.send(ItemType.message, new Uint8Array(ITEM_BODY_LIMIT));
  alice.send(ItemType.message, numbered(1));
  await until(() => alice.queuedLength < ITEM_BODY_LIMIT, "the large one is under way");
  await turn();
  alice.send(ItemType.message, numbered(2));
  pipe.toRight.resume();
  await alice.flush();
  assertEquals(framesOf(pipe.toRight).length, 2);
});

test("send() takes a body at the limit and refuses one beyond, which changes nothing", async () => {
  const { alice, bob } = await openChannels();
  const error = assertThrows(
    () => alice.send(ItemType.message, new Uint8Array(ITEM_BODY_LIMIT + 1)),
    CifraError,
  );
  assertEquals(error.code, "limit");
  assert(alice.isOpen);
  alice.send(ItemType.message, new Uint8Array(ITEM_BODY_LIMIT));
  const items = await bob.receive();
  assertEquals(items?.map(({ body }) => body.length), [ITEM_BODY_LIMIT]);
});

test("ready() waits while too much is queued, and goes on when half of it is gone", async () => {
  const { alice, bob } = await openChannels("modern", { capacity: 64 * 1024 });
  const body = new Uint8Array(ITEM_BODY_LIMIT);
  await alice.ready();
  for (let n = 0; alice.queuedLength <= OUTBOUND_QUEUE_HIGH_WATER + 4 * ITEM_BODY_LIMIT; n++) {
    alice.send(ItemType.message, body);
  }
  let ready = false;
  alice.ready().then(() => ready = true);
  await turn();
  assert(!ready);
  while (!ready) {
    // Nobody reads: nothing moves. One record read: a little room.
    assert(await bob.receive());
    await turn();
  }
  assert(alice.queuedLength <= OUTBOUND_QUEUE_HIGH_WATER);
  assert(alice.queuedLength > 0, "not only at the end of all");
  alice.destroy();
  bob.destroy();
});

test("ready() resolves when the channel fails, and flush() throws the failure", async () => {
  const { alice, pipe } = await openChannels("modern", { capacity: 100 });
  while (alice.queuedLength <= 2 * OUTBOUND_QUEUE_HIGH_WATER) {
    alice.send(ItemType.message, new Uint8Array(ITEM_BODY_LIMIT));
  }
  const ready = alice.ready();
  const flushed = alice.flush().then(() => undefined, (error) => error);
  pipe.toRight.break();
  await ready;
  assertEquals((await flushed as CifraError).code, "cut");
  assertStrictEquals(await flushed, alice.failure);
});

test("frameLength() is the length of the frame on the wire", async () => {
  for (const suite of SUITE_NAMES) {
    for (const length of [0, 1, 59, 60, 5000]) {
      const { alice, pipe } = await openChannels(suite);
      alice.send(ItemType.message, new Uint8Array(length));
      await alice.flush();
      assertEquals(pipe.toRight.bytes.length, alice.frameLength(length));
    }
  }
});

test("close() says goodbye after everything queued, with its counters", async () => {
  const { alice, bob, pipe } = await openChannels();
  for (let n = 0; n < 100; n++) alice.send(ItemType.message, numbered(n, 5000));
  await alice.close(CloseCode.replaced, 2n ** 63n + 1n, 7n);
  assert(pipe.toRight.ended);
  assertEquals(await receiveNumbers(bob, 100), upTo(100));
  assertEquals(await bob.receive(), null);
  assertEquals(bob.goodbye, {
    code: CloseCode.replaced,
    lastSent: 2n ** 63n + 1n,
    lastStored: 7n,
  });
  assertEquals(bob.failure, undefined);
});

test("close() ends our output alone: the other side's may go on", async () => {
  const { alice, bob } = await openChannels();
  await alice.close(CloseCode.done);
  assert(!alice.isOpen);
  assertEquals(await bob.receive(), null);
  assert(bob.isOpen);
  bob.send(ItemType.message, numbered(5));
  assertEquals(await receiveNumbers(alice, 1), [5]);
  await bob.close(CloseCode.done);
  assertEquals(await alice.receive(), null);
  assertEquals(alice.goodbye?.code, CloseCode.done);
  const error = assertThrows(() => alice.send(ItemType.message, EMPTY), CifraError);
  assertEquals(error.code, "cut");
});

test("close() called twice says goodbye once", async () => {
  const { alice, bob, pipe } = await openChannels();
  await Promise.all([alice.close(CloseCode.done), alice.close(CloseCode.failed)]);
  await alice.close(CloseCode.failed);
  assertEquals(framesOf(pipe.toRight).length, 1);
  assertEquals(await bob.receive(), null);
  assertEquals(bob.goodbye?.code, CloseCode.done);
});

test("close() called again resolves when the goodbye of before is with the transport", async () => {
  const { alice, bob, pipe } = await openChannels();
  pipe.toRight.stall();
  const first = alice.close(CloseCode.done);
  await bob.close(CloseCode.done);
  assertEquals(await alice.receive(), null);
  let isAgain = false;
  const again = alice.close(CloseCode.done).then(() => isAgain = true);
  for (let turns = 0; turns < 20; turns++) await turn();
  assertEquals([isAgain, pipe.left.closed], [false, 0]);
  pipe.toRight.resume();
  await Promise.all([first, again]);
  assertEquals(await bob.receive(), null);
  assertEquals(bob.goodbye?.code, CloseCode.done);
});

test("close() lets go of the connection at once when the other side was first", async () => {
  const { alice, bob, pipe } = await openChannels();
  await alice.close(CloseCode.done);
  await bob.receive();
  await bob.close(CloseCode.done);
  assertEquals(pipe.right.closed, 1);
});

test("tick() lets go two seconds after our goodbye when no other comes", async () => {
  const { alice, clock, pipe } = await openChannels();
  await alice.close(CloseCode.done);
  clock.advance(CLOSE_DEADLINE);
  alice.tick();
  assertEquals(pipe.left.closed, 0);
  clock.advance(1);
  alice.tick();
  assertEquals(pipe.left.closed, 1);
});

test("receive() tells an end without goodbye as a cut, wherever it falls (F13)", async () => {
  const { mallory } = await openEvilPair();
  const record = await mallory.sealItems({ type: ItemType.message, body: numbered(1) });
  for (const length of [0, 1, 4, 5, 6, record.length - 1, record.length]) {
    const { bob, pipe } = await openEvilPair();
    pipe.toRight.deliver(record.slice(0, length));
    pipe.toRight.end();
    if (length === record.length) assertEquals(await receiveNumbers(bob, 1), [1]);
    assertEquals(await bob.receive(), null);
    assertEquals(bob.goodbye, undefined);
    assertEquals(bob.failure?.code, "cut");
    assertEquals(pipe.toLeft.bytes.length, 0);
  }
});

test("receive() gives everything before the failure, then null for good", async () => {
  const { mallory, bob, pipe } = await openEvilPair();
  const good: Bytes[] = [];
  for (let n = 0; n < 5; n++) {
    good.push(await mallory.sealItems({ type: ItemType.message, body: numbered(n) }));
  }
  const [first, second, third, bad, after] = good as [Bytes, Bytes, Bytes, Bytes, Bytes];
  bad[bad.length - 1]! ^= 1;
  for (const record of [first, second, third, bad, after]) pipe.toRight.deliver(record);
  assertEquals(await receiveNumbers(bob, 3), [0, 1, 2]);
  assertEquals(await bob.receive(), null);
  const { failure } = bob;
  assertEquals(failure?.code, "auth_failed");
  // The record after the bad one opens, but it stands behind a gap.
  for (let again = 0; again < 3; again++) assertEquals(await bob.receive(), null);
  assertStrictEquals(bob.failure, failure);
  assertThrows(() => bob.send(ItemType.message, EMPTY), CifraError);
  await bob.close(CloseCode.done);
  bob.tick();
  bob.fail(new CifraError("limit", "Later"));
  assertStrictEquals(bob.failure, failure);
  assertEquals(framesOf(pipe.toLeft).map(alertName), ["auth_failed"]);
});

test("receive() delivers the records that arrive together with what ends the input", async () => {
  const { mallory, bob, pipe } = await openEvilPair();
  const record = await mallory.sealItems({ type: ItemType.message, body: numbered(7) });
  const frame = new Uint8Array([0, 0, 0, 2, FrameKind.m1, 0]);
  const together = new Uint8Array(record.length + frame.length);
  together.set(record);
  together.set(frame, record.length);
  pipe.toRight.deliver(together);
  assertEquals(await receiveNumbers(bob, 1), [7]);
  assertEquals(await bob.receive(), null);
  assertEquals(bob.failure?.code, "bad_state");
});

test("receive() ends with bad_state on any frame but a record (H5)", async () => {
  const handshake = [FrameKind.m1, FrameKind.m2, FrameKind.m6, FrameKind.preface];
  for (const kind of handshake) {
    const { mallory, bob } = await openEvilPair();
    await mallory.peer.sendFrame(kind, new Uint8Array(100));
    assertEquals(await bob.receive(), null);
    assertEquals(bob.failure?.code, "bad_state");
    assertEquals(await mallory.peer.lastWords(), "bad_state");
  }
});

test("receive() ends with the other side's alert", async () => {
  const { alice, bob } = await openChannels();
  alice.send(ItemType.message, numbered(1));
  assertEquals(await receiveNumbers(bob, 1), [1]);
  bob.fail(new CifraError("slow_reader", "Test"));
  assertEquals(await alice.receive(), null);
  assertEquals(alice.failure?.code, "slow_reader");
});

test("tick() pings after an interval of our silence, spread by five seconds", async () => {
  const { alice, bob, clock } = await openChannels();
  clock.advance(PING_INTERVAL - PING_JITTER);
  alice.tick();
  await alice.flush();
  assertEquals(alice.queuedLength, 0);
  clock.advance(2 * PING_JITTER + 1);
  alice.tick();
  assert(alice.queuedLength > 0);
  await alice.flush();
  // Bob answers inside `receive`, which gives out nothing of it.
  bob.send(ItemType.message, numbered(3));
  const atBob = bob.receive();
  assertEquals(await receiveNumbers(alice, 1), [3]);
  alice.send(ItemType.message, numbered(4));
  assertEquals((await atBob)?.map(numberIn), [4]);
});

test("tick() pings each channel at a moment of its own between 20 and 30 seconds", async () => {
  for (const [first, expected] of [[0, 20], [255, 30], [51, 22], [204, 28]] as const) {
    const { initiator } = await ends("modern");
    const sessionId = initiator.sessionId.slice();
    sessionId[0] = first;
    const clock = new ManualTime();
    const between = pipe();
    const channel = await openChannel(between.left, { ...initiator, sessionId }, clock);
    clock.advance(expected * 1000);
    channel.tick();
    assertEquals(channel.queuedLength, 0, `not yet at ${expected} s`);
    clock.advance(1);
    channel.tick();
    assert(channel.queuedLength > 0, `later than ${expected} s`);
    await channel.flush();
    channel.destroy();
  }
});

test("tick() gives up after sixty seconds of the other side's silence", async () => {
  const { alice, bob, clock, pipe } = await openChannels();
  alice.send(ItemType.message, numbered(1));
  await receiveNumbers(bob, 1);
  clock.advance(SILENCE_DEADLINE);
  bob.tick();
  assertEquals(bob.failure, undefined);
  await bob.flush();
  clock.advance(1);
  bob.tick();
  assertEquals(bob.failure?.code, "timeout");
  await turn();
  const frames = framesOf(pipe.toLeft);
  assertEquals(frames.map(({ kind }) => kind).at(-1), FrameKind.alert);
});

test("tick() keeps two quiet sides connected for an hour", async () => {
  const { alice, bob, clock } = await openChannels();
  const listening = [alice.receive(), bob.receive()];
  for (let second = 0; second < 3600; second += 5) {
    clock.advance(5000);
    alice.tick();
    bob.tick();
    await Promise.all([alice.flush(), bob.flush()]);
    // A ping takes a cipher at each end: wait for its answer before time goes on.
    while (alice.queuedLength + bob.queuedLength > 0) await turn();
    await turn();
  }
  assertEquals([alice.failure, bob.failure], [undefined, undefined]);
  await alice.close(CloseCode.done);
  assertEquals(await listening[1], null);
  await bob.close(CloseCode.done);
  assertEquals(await listening[0], null);
});

test("tick() gives up a write that the other side does not take for twenty seconds", async () => {
  const { alice, clock, pipe } = await openChannels("modern", { capacity: 100 });
  alice.send(ItemType.message, new Uint8Array(1000));
  const flushed = alice.flush().then(() => undefined, (error) => error);
  while (pipe.toRight.length < 100) await turn();
  clock.advance(WRITE_DEADLINE + 1);
  alice.tick();
  assertInstanceOf(await flushed, CifraError);
  assertEquals(alice.failure?.code, "timeout");
  assertEquals(pipe.left.closed, 1);
});

test("tick() changes a key after fifteen minutes of use, without waiting for a message", async () => {
  const { alice, bob, clock, ciphers } = await withCiphers(() => openChannels("modern"));
  alice.send(ItemType.message, numbered(0));
  assertEquals(await receiveNumbers(bob, 1), [0]);
  // The other side goes on speaking, or the silence would end it first.
  for (let minute = 0; minute < 15; minute++) {
    clock.advance(KEY_LIFETIME / 15 - 1);
    bob.send(ItemType.message, numbered(1));
    await receiveNumbers(alice, 1);
    alice.send(ItemType.message, numbered(1));
    await receiveNumbers(bob, 1);
  }
  clock.advance(KEY_LIFETIME / 15);
  alice.tick();
  await alice.flush();
  alice.send(ItemType.message, numbered(2));
  assertEquals(await receiveNumbers(bob, 1), [2]);
  // Bob's key is as old: he changes it before his next record.
  bob.send(ItemType.message, numbered(3));
  assertEquals(await receiveNumbers(alice, 1), [3]);
  assert(ciphers.every(({ counter }) => counter <= 2));
});

test("a key that was not used is not too old", async () => {
  const { alice, bob, clock, pipe } = await openChannels();
  clock.advance(KEY_LIFETIME + 1);
  alice.send(ItemType.message, numbered(0));
  assertEquals(await receiveNumbers(bob, 1), [0]);
  assertEquals(framesOf(pipe.toRight).length, 1);
});

test("a sender changes its key at 2^20 records, and both ends follow (R5)", async () => {
  const { alice, bob, ciphers } = await withCiphers(() => openChannels("modern"));
  for (const cipher of ciphers) cipher.testOnlySetCounter(RECORDS_PER_KEY - 1);
  for (let n = 0; n < 3; n++) {
    alice.send(ItemType.message, numbered(n));
    await alice.flush();
  }
  assertEquals(await receiveNumbers(bob, 3), [0, 1, 2]);
  assertEquals(ciphers.filter(({ counter }) => counter === 2).length, 2);
});

test("a sender changes its key after one gibibyte", async () => {
  const { alice, ciphers } = await withCiphers(() => openChannels("modern"));
  const sealed = Promise.resolve(new Uint8Array(16));
  let records = 0;
  let recordsAtUpdate: number | undefined;
  for (const cipher of ciphers) {
    // A gibibyte is counted here, not encrypted.
    cipher.seal = () => {
      records++;
      return sealed;
    };
    cipher.update = () => {
      recordsAtUpdate ??= records;
      return Promise.resolve();
    };
  }
  const body = new Uint8Array(ITEM_BODY_LIMIT);
  const recordsPerKey = Math.ceil(BYTES_PER_KEY / RECORD_INNER_LIMIT);
  for (let n = 0; n <= recordsPerKey; n++) {
    alice.send(ItemType.message, body);
    await alice.ready();
  }
  await alice.flush();
  // The update itself travels in the last record of the old key.
  assertEquals(recordsAtUpdate, recordsPerKey + 1);
  alice.destroy();
});

test("a channel that was quiet lets its keys rest, and goes on where it was", async () => {
  for (const suite of SUITE_NAMES) {
    const { alice, bob, clock, ciphers } = await withCiphers(() => openChannels(suite));
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < 20; n++) {
        alice.send(ItemType.message, numbered(n, 5000));
        bob.send(ItemType.message, numbered(n, 5000));
      }
      assertEquals(await receiveNumbers(bob, 20), upTo(20));
      assertEquals(await receiveNumbers(alice, 20), upTo(20));
      assert(ciphers.every(({ ready }) => ready));
      clock.advance(KEY_REST_AFTER);
      alice.tick();
      bob.tick();
      assert(ciphers.every(({ ready }) => !ready));
    }
    alice.destroy();
    bob.destroy();
  }
});

test("a channel that has something to give or to send does not let its keys rest", async () => {
  const { alice, bob, clock, pipe, ciphers } = await withCiphers(() => openChannels());
  for (let n = 0; n < 3; n++) {
    alice.send(ItemType.message, numbered(n));
    await alice.flush();
  }
  assertEquals(await receiveNumbers(bob, 1), [0]);
  assert(bob.hasMore);
  clock.advance(KEY_REST_AFTER);
  bob.tick();
  assert(ciphers.every(({ ready }) => ready), "Bob has two more to give");
  pipe.toRight.stall();
  alice.send(ItemType.message, numbered(3));
  alice.tick();
  assert(ciphers.every(({ ready }) => ready), "Alice has one under way");
  pipe.toRight.resume();
  assertEquals(await receiveNumbers(bob, 3), [1, 2, 3]);
});

test("receive() reads no further ahead than a few records, however small they are", async () => {
  const { mallory, bob, pipe } = await openEvilPair();
  const records: Bytes[] = [];
  for (let n = 0; n < 3000; n++) {
    records.push(await mallory.sealItems({ type: ItemType.message, body: numbered(n) }));
  }
  pipe.toRight.deliver(concat(records));
  const all = pipe.toRight.length;
  assertEquals(await receiveNumbers(bob, 20), upTo(20));
  assert(pipe.toRight.length > all * 0.9, `${pipe.toRight.length} of ${all} are not read yet`);
  assertEquals((await receiveNumbers(bob, 2980)).at(-1), 2999);
});

test("a channel that has said goodbye answers no ping", async () => {
  const { mallory, bob, pipe } = await openEvilPair();
  await bob.close(CloseCode.done);
  await mallory.send(ItemType.ping);
  await mallory.send(ItemType.message, numbered(1));
  assertEquals(await receiveNumbers(bob, 1), [1]);
  await bob.flush();
  assertEquals([framesOf(pipe.toLeft).length, bob.failure], [1, undefined]);
});

test("a key update that comes while the keys rest is followed", async () => {
  const { alice, bob, clock, ciphers } = await withCiphers(() => openChannels());
  alice.send(ItemType.message, numbered(0));
  assertEquals(await receiveNumbers(bob, 1), [0]);
  for (const cipher of ciphers) {
    if (cipher.counter > 0) cipher.testOnlySetCounter(RECORDS_PER_KEY);
  }
  clock.advance(KEY_REST_AFTER);
  alice.tick();
  bob.tick();
  const received = receiveNumbers(bob, 50);
  for (let n = 0; n < 50; n++) {
    alice.send(ItemType.message, numbered(n));
    await alice.flush();
  }
  assertEquals(await received, upTo(50));
  assertEquals(ciphers.filter(({ counter }) => counter === 50).length, 2);
});
