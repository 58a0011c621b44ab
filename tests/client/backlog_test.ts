/** A person who does not look: what nobody has shown does not fill their disk, and nothing is lost. */
import { assert, assertEquals } from "@std/assert";
import { encodeUtf8 } from "../../lib/bytes.ts";
import type { PeerEvent } from "../../lib/client/incoming.ts";
import type { Thread } from "../../lib/client/thread.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import {
  CONVERSATION_WINDOW,
  TEXT_LIMIT,
  UNSHOWN_BYTES,
  UNSHOWN_MESSAGES,
} from "../../lib/limits.ts";
import { decode } from "../../lib/wire/layout.ts";
import { peerAck } from "../../lib/wire/peer_messages.ts";
import { ItemType } from "../../lib/wire/records.ts";
import { test } from "../testkit/adversary.ts";
import {
  Ear,
  freshPosition,
  goodbyeItem,
  meet,
  meetEvil,
  openLink,
  TestDisk,
  textItem,
} from "../testkit/links.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import { turn } from "../testkit/turn.ts";
import { ManualTime } from "../testkit/clock.ts";
import { until } from "../testkit/until.ts";

const ALICE = { peer: "alice", suite: "modern" } as const;
const BOB = { peer: "bob", suite: "modern" } as const;
const SECOND = 1000;
/** More than there is room for. */
const MANY = UNSHOWN_MESSAGES + 1000;
const IN_A_RECORD = 100;

/** Alice, who has written so many texts already. */
async function writer(count: number, text = (n: number) => `${n}`): Promise<Thread> {
  const store = new MemoryMessages();
  await store.outgoing(BOB);
  await store.append(
    BOB,
    Array.from({ length: count }, (_, i) => {
      const content = encodeUtf8(text(i + 1));
      return { type: "text", id: systemRandom(16), written: 0, content } as const;
    }),
  );
  return await openLink("bob", { store });
}

/** Takes events until `count` have been taken; returns their texts. */
async function take(bob: Thread, count: number): Promise<string[]> {
  const texts: string[] = [];
  for await (const event of bob.events()) {
    texts.push(event.type === "text" ? event.text : event.type);
    bob.taken(event as PeerEvent);
    if (texts.length === count) return texts;
  }
  throw new Error("The events ended");
}

function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, i) => `${from + i}`);
}

test("a flood that nobody looks at is neither stored nor acknowledged beyond the limit", async () => {
  const store = new MemoryMessages();
  const bob = await openLink("alice", { store });
  const { say, hearUntil, pipe, ending } = await meetEvil(bob, freshPosition());
  for (let n = 0; n < MANY; n += IN_A_RECORD) {
    await say(
      ...Array.from({ length: IN_A_RECORD }, (_, i) => textItem(BigInt(n + i + 1), `${n + i + 1}`)),
    );
  }
  await until(() => store.unread(ALICE) >= UNSHOWN_MESSAGES, "as much as there is room for");
  for (let turns = 0; turns < 200; turns++) await turn();
  assertEquals(store.unread(ALICE), UNSHOWN_MESSAGES);
  // Looking makes room: all of them come, in order, and are acknowledged.
  assertEquals(await take(bob, MANY), numbers(1, MANY));
  let last = 0n;
  await hearUntil(({ type, body }) => {
    if (type !== ItemType.ack) return false;
    const { stored, read } = decode(peerAck, body);
    assert(stored >= last && read <= stored);
    last = stored;
    return read === BigInt(MANY);
  });
  pipe.toRight.end();
  await ending;
  await bob.leave();
});

test("a flood of long texts stops at its bytes, and one who goes on all the same is cut off", async () => {
  const store = new MemoryMessages();
  const bob = await openLink("alice", { store });
  const { say, ending } = await meetEvil(bob, freshPosition());
  const long = "x".repeat(TEXT_LIMIT);
  const enough = (UNSHOWN_BYTES + 2 * CONVERSATION_WINDOW) / TEXT_LIMIT + 4;
  for (let n = 0; n < enough; n += 2) {
    await say(textItem(BigInt(n + 1), long), textItem(BigInt(n + 2), long));
  }
  const ended = await ending;
  assert(ended.type === "cut");
  assertEquals(ended.error.code, "limit");
  assertEquals(store.backlog(ALICE).bytes, UNSHOWN_BYTES);
  await bob.leave();
});

test("what waited when the program ended counts: the next one stores nothing more before it is shown", async () => {
  const store = new MemoryMessages();
  const alice = await writer(UNSHOWN_MESSAGES + 10);
  for (let run = 0; run < 2; run++) {
    const bob = await openLink("alice", { store });
    await meet(alice, bob);
    await until(() => alice.delivery.sent === BigInt(UNSHOWN_MESSAGES + 10), "all are sent");
    await until(() => alice.delivery.stored >= BigInt(UNSHOWN_MESSAGES), "what fits is stored");
    for (let turns = 0; turns < 100; turns++) await turn();
    assertEquals(store.unread(ALICE), UNSHOWN_MESSAGES);
    assertEquals(alice.delivery.stored, BigInt(UNSHOWN_MESSAGES));
    await bob.leave();
  }
  await alice.leave();
});

test("a sender waits for a reader who is away: for hours, over cuts, and nothing is lost or doubled", async () => {
  const store = new MemoryMessages();
  const alice = await writer(MANY);
  const bob = await openLink("alice", { store });
  const ear = new Ear(bob, false);
  let meeting = await meet(alice, bob);
  for (let round = 0; round < 2; round++) {
    await until(() => alice.delivery.sent === BigInt(MANY), "all are sent");
    for (let turns = 0; turns < 100; turns++) await turn();
    const { stored } = alice.delivery;
    // Half an hour: the channel lives from its pings, and nobody gives it up.
    const { clock, channels } = meeting;
    for (let pings = 0; pings < 200; pings++) {
      for (const seconds of [1, 8]) {
        clock.advance(seconds * SECOND);
        for (const thread of [alice, bob]) thread.tick(clock.now());
      }
      await until(() => channels.alice.lastHeard === clock.now(), "a pong");
    }
    assert(alice.isAttached && bob.isAttached, "the channel was given up");
    assertEquals(alice.delivery.stored, stored);
    assert(store.unread(ALICE) < MANY, `${store.unread(ALICE)}`);
    await meeting.cut();
    meeting = await meet(alice, bob);
  }
  for (let taken = 0; taken < MANY; taken++) {
    await ear.count(taken + 1);
    bob.taken(ear.heard[taken]!);
  }
  await alice.settled();
  assertEquals(ear.words, numbers(1, MANY));
  await alice.leave();
  await bob.leave();
  await ear.ended;
});

test("a sender that leaves while its messages are held back has left, and has them still to deliver", async () => {
  const store = new MemoryMessages();
  const alice = await writer(MANY);
  const bob = await openLink("alice", { store });
  const { endings } = await meet(alice, bob);
  await until(() => alice.delivery.sent === BigInt(MANY), "all are sent");
  await until(() => alice.delivery.stored >= BigInt(UNSHOWN_MESSAGES), "what fits is stored");
  await alice.leave();
  assertEquals((await endings)[1], { type: "left" });
  assert(alice.delivery.stored < BigInt(MANY));
  // They are here, though: whoever looks now sees them.
  assertEquals(await take(bob, MANY), numbers(1, MANY));
  await bob.leave();
});

test("what was held back and cannot be stored is tried again, and the channel stays", async () => {
  const disk = new TestDisk();
  const store = new MemoryMessages({ commit: disk.commit });
  const alice = await writer(MANY);
  const clock = new ManualTime();
  const bob = await openLink("alice", { store, clock });
  await meet(alice, bob);
  await until(() => alice.delivery.sent === BigInt(MANY), "all are sent");
  await until(() => alice.delivery.stored >= BigInt(UNSHOWN_MESSAGES), "what fits is stored");
  for (let turns = 0; turns < 100; turns++) await turn();
  disk.full = true;
  const before = Number(alice.delivery.stored);
  assertEquals(await take(bob, before), numbers(1, before));
  await clock.pass(100 * SECOND);
  assert(bob.isAttached && alice.isAttached, "the channel has ended");
  assertEquals(alice.delivery.stored, BigInt(before));
  disk.full = false;
  const rest = take(bob, MANY - before);
  await clock.during(rest, "the rest");
  assertEquals(await rest, numbers(before + 1, MANY));
  await clock.during(alice.settled(), "the acknowledgements");
  await alice.leave();
  await bob.leave();
});

test("a goodbye that counts what is held back agrees", async () => {
  const bob = await openLink("alice");
  const { say, ending } = await meetEvil(bob, freshPosition());
  const count = UNSHOWN_MESSAGES + 2 * IN_A_RECORD;
  for (let n = 0; n < count; n += IN_A_RECORD) {
    await say(...Array.from({ length: IN_A_RECORD }, (_, i) => textItem(BigInt(n + i + 1), "x")));
  }
  await say(goodbyeItem(BigInt(count), 0n));
  assertEquals(await ending, { type: "left" });
  await bob.leave();
});
