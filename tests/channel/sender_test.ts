/** How a channel writes: several records at once, and who owns the place where they stand. */
import { assert, assertEquals } from "@std/assert";
import { concat } from "@std/bytes/concat";
import type { Bytes } from "../../lib/bytes.ts";
import type { Channel } from "../../lib/channel/channel.ts";
import type { Transport } from "../../lib/channel/transport.ts";
import {
  FAST_WRITES,
  ITEM_BODY_LIMIT,
  RECORDS_IN_FLIGHT_SLOW,
  RECORDS_PER_WRITE,
  SLOW_WRITE,
} from "../../lib/limits.ts";
import { FrameDecoder } from "../../lib/wire/frame.ts";
import { ItemType } from "../../lib/wire/records.ts";
import { ends, openChannel, test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { pipe } from "../testkit/pipe.ts";
import { turn } from "../testkit/turn.ts";

/** Alice, whose writes the test does, and Bob. */
async function openWith(
  write: (data: Bytes, on: (data: Bytes) => Promise<number>, clock: ManualTime) => Promise<number>,
) {
  const clock = new ManualTime();
  const { left, right } = pipe();
  const transport: Transport = {
    read: (buffer) => left.read(buffer),
    write: (data) => write(data, (rest) => left.write(rest), clock),
    closeWrite: () => left.closeWrite(),
    close: () => left.close(),
  };
  const { initiator, responder } = await ends("modern");
  const alice = await openChannel(transport, initiator, clock);
  const bob = await openChannel(right, responder, clock);
  return { alice, bob, clock };
}

/** Sends so many long items, none like another, and returns what they were. */
async function flood(channel: Channel, count: number): Promise<Bytes> {
  const sent: Bytes[] = [];
  for (let n = 0; n < count; n++) {
    const body = new Uint8Array(ITEM_BODY_LIMIT - n % 7);
    for (let i = 0; i < body.length; i++) body[i] = n + i % 253;
    sent.push(body);
    channel.send(ItemType.message, body);
    await channel.ready();
  }
  await channel.flush();
  return concat(sent);
}

async function receive(channel: Channel, length: number): Promise<Bytes> {
  const received: Bytes[] = [];
  for (let got = 0; got < length;) {
    const items = await channel.receive();
    assert(items, channel.failure?.message);
    for (const { body } of items) {
      received.push(body);
      got += body.length;
    }
  }
  return concat(received);
}

/** How many frames each write has, put together where a write took a part. */
function framesIn(writes: readonly Bytes[]): number[] {
  const decoder = new FrameDecoder(1 << 20);
  return writes.map((bytes) => decoder.push(bytes).length);
}

test("what is being written does not change before the write is over, however slow and short writes are", async () => {
  const { alice, bob } = await openWith(async (data, on) => {
    const before = data.slice();
    for (let turns = 0; turns < before.length % 4; turns++) await turn();
    assertEquals(data, before);
    return await on(data.subarray(0, 1 + Math.floor(data.length * 0.7)));
  });
  const sending = flood(alice, 60);
  const received = await receive(bob, (await sending).length);
  assertEquals(received, await sending);
  alice.destroy();
  bob.destroy();
});

test("what a failed write was given is never used again: a platform may still look at it", async () => {
  const { promise: cut, reject } = Promise.withResolvers<number>();
  const held: { readonly view: Bytes; readonly copy: Bytes }[] = [];
  const { alice, bob } = await openWith((data, on) => {
    if (held.length < 3) {
      held.push({ view: data, copy: data.slice() });
      return on(data);
    }
    held.push({ view: data, copy: data.slice() });
    return cut;
  });
  const sending = flood(alice, 20).catch(() => {});
  while (held.length < 4) await turn();
  reject(new Deno.errors.ConnectionReset("cut"));
  await sending;
  for (let turns = 0; turns < 5; turns++) await turn();
  assertEquals(alice.failure?.code, "cut");
  const { view, copy } = held.at(-1)!;
  assertEquals(view, copy);
  bob.destroy();
});

test("a network that takes all at once gets several records with a write", async () => {
  const writes: Bytes[] = [];
  const { alice, bob } = await openWith(async (data, on) => {
    writes.push(data.slice());
    await turn();
    return await on(data);
  });
  const received = flood(alice, 200).then(({ length }) => receive(bob, length));
  await received;
  const counts = framesIn(writes);
  assertEquals(counts.slice(0, FAST_WRITES), Array(FAST_WRITES).fill(1));
  assertEquals(Math.max(...counts), RECORDS_PER_WRITE);
  assert(counts.length < 120, `${counts.length} writes`);
  alice.destroy();
  bob.destroy();
});

test("a slow network gets one record with a write, and little is sealed ahead of what may be said next", async () => {
  const writes: Bytes[] = [];
  let queued = 0, most = 0;
  const { alice, bob } = await openWith(async (data, on, clock) => {
    clock.advance(SLOW_WRITE + 1);
    writes.push(data.slice());
    for (let turns = 0; turns < 3; turns++) await turn();
    const ahead = 30 * ITEM_BODY_LIMIT - alice.queuedLength - writes.length * ITEM_BODY_LIMIT;
    most = Math.max(most, ahead / ITEM_BODY_LIMIT);
    return await on(data);
  });
  for (; queued < 30; queued++) alice.send(ItemType.message, new Uint8Array(ITEM_BODY_LIMIT));
  await alice.flush();
  assertEquals(framesIn(writes), Array(30).fill(1));
  assert(most <= RECORDS_IN_FLIGHT_SLOW + 1, `${most} records sealed ahead`);
  alice.destroy();
  bob.destroy();
});
