/** What is left for people who are not here, and what is read: the mail of two who never meet (PROTOCOL.md 3.12). */
import { assert, assertEquals } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { Verdict } from "../../lib/wire/mailbox_messages.ts";
import { test } from "../testkit/adversary.ts";
import { type Correspondent, keyOf, PostRoom } from "../testkit/mail_people.ts";
import { MemoryMessages, type MemoryMessagesOptions } from "../testkit/memory_messages.ts";

/** How somebody settled what they were handed, in order. */
function verdicts(who: Correspondent): number[] {
  return who.requests("settle").flatMap(({ settled }) => settled.map(({ verdict }) => verdict));
}

test("two who are never here together say everything once and in order, and know how far it came", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await bob.visits();
  await alice.says(bob, "one", "two");
  await alice.visits();
  assertEquals(await alice.standing(bob), { stored: 0, read: 0, last: 2 });
  await bob.visits();
  assertEquals(bob.reads(alice), ["one", "two"]);
  await bob.says(alice, "three");
  await bob.visits();
  await alice.visits();
  assertEquals(alice.reads(bob), ["three"]);
  assertEquals(await alice.standing(bob), { stored: 2, read: 2, last: 2 });
  assertEquals([alice.failure, bob.failure], [undefined, undefined]);
});

test("a stranger who becomes welcome while more of theirs comes is heard in order, and all of it", async () => {
  const room = new PostRoom();
  const alice = await room.somebody("alice"), bob = await room.somebody("bob");
  alice.knows(bob);
  await bob.visits();
  await alice.come();
  await alice.leavesEach(bob, "one", "two", "three", "four");
  bob.onEvent = ({ type }) => {
    if (type !== "stranger") return;
    bob.welcome.add("alice");
    bob.postman.welcome("alice");
  };
  await bob.come();
  await room.pass(5000);
  assertEquals(bob.unread(alice), ["one", "two", "three", "four"]);
  assertEquals(bob.told("stranger"), ["alice"]);
  await room.pass(5000);
  assertEquals(await alice.standing(bob), { stored: 4, read: 0, last: 4 });
  assertEquals(alice.count("deposit"), 4);
});

test("strangers leave what they like, and are told of once; friends come through", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await bob.visits();
  await alice.come();
  // The same key under other names: a claim is all that a name takes.
  for (let i = 0; i < 20; i++) {
    const stranger = await room.somebody(`stranger${i}`, { as: `stranger${i}` });
    stranger.knows(bob);
    await stranger.come();
    await stranger.says(bob, "x".repeat(16_000), "y".repeat(16_000), "z".repeat(16_000));
    await room.pass(4000);
    await stranger.leave();
  }
  await alice.leavesEach(bob, "hello");
  await bob.come();
  await room.pass(5000);
  assertEquals(bob.unread(alice), ["hello"]);
  assertEquals(new Set(bob.told("stranger")).size, 20);
  assertEquals(bob.told("stranger").length, 20);
  assertEquals(bob.failure, undefined);
});

test("nothing is opened while a channel with its writer is open; it comes when that has ended", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await bob.visits();
  await alice.come();
  await alice.leavesEach(bob, "one", "two");
  bob.meets(alice);
  await bob.come();
  await room.pass(20_000);
  assertEquals(bob.unread(alice), []);
  bob.parts(alice);
  await room.pass(4000);
  assertEquals(bob.unread(alice), ["one", "two"]);
  assertEquals(verdicts(bob).filter((verdict) => verdict === Verdict.unopened), []);
});

test("one who cannot be judged now waits, and holds up nobody else", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await bob.visits();
  await alice.come();
  await alice.leavesEach(bob, "one");
  bob.blind = new CifraError("local", "A line of the known people is damaged");
  await bob.come();
  await room.pass(5000);
  assertEquals([bob.unread(alice), bob.told("trouble")], [[], ["alice"]]);
  assertEquals(bob.failure, undefined);
  bob.blind = undefined;
  await bob.leave();
  await bob.visits();
  assertEquals(bob.unread(alice), ["one"]);
});

test("somebody whom the person has refused is not opened, and comes when they are welcome again", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await bob.visits();
  await alice.come();
  await alice.leavesEach(bob, "one");
  bob.refused.add("alice");
  await bob.come();
  await room.pass(5000);
  assertEquals([bob.unread(alice), bob.count("deposit")], [[], 0]);
  bob.refused.delete("alice");
  bob.postman.welcome("alice");
  await room.pass(1000);
  assertEquals(bob.unread(alice), ["one"]);
});

test("what crosses with a receipt is not sealed again", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await bob.come();
  await alice.come();
  await alice.says(bob, "one");
  await room.pass(3000);
  assertEquals(bob.unread(alice), ["one"]);
  // The receipt is sealed 2 s after; what is left in the same moment is not in it.
  const held: Parameters<typeof room.say>[1][] = [];
  room.alter = (response, to) => {
    if (to !== alice || response.type !== "envelope") return [response];
    held.push(response);
    return [];
  };
  await room.pass(1500, 500);
  await alice.says(bob, "two");
  await room.pass(3000, 500);
  assertEquals(bob.unread(alice), ["one", "two"]);
  room.alter = (response) => [response];
  room.say(alice.connection, held[0]!);
  await room.pass(5000, 500);
  for (const each of held.slice(1)) room.say(alice.connection, each);
  await room.pass(30_000);
  assertEquals(await alice.standing(bob), { stored: 2, read: 0, last: 2 });
  assertEquals([alice.count("deposit"), alice.count("ask")], [2, 1]);
});

test("two who have a conversation by the mailbox alone ask for keys once", async () => {
  const room = new PostRoom({ quotas: true });
  const [alice, bob] = await room.pair();
  await Promise.all([alice.come(), bob.come()]);
  for (let turn = 0; turn < 12; turn++) {
    const [one, other] = turn % 3 === 0 ? [alice, bob] : [bob, alice];
    await one.says(other, `${turn}`);
    await room.pass(1700, 850);
  }
  await room.pass(20_000);
  assertEquals(bob.reads(alice), ["0", "3", "6", "9"]);
  assertEquals(alice.reads(bob), ["1", "2", "4", "5", "7", "8", "10", "11"]);
  assertEquals([alice.count("ask"), bob.count("ask")], [1, 1]);
  await room.pass(20_000);
  assertEquals(await alice.standing(bob), { stored: 4, read: 4, last: 4 });
  assertEquals(await bob.standing(alice), { stored: 8, read: 8, last: 8 });
});

test("receipts are not answered, by whoever", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await Promise.all([alice.come(), bob.come()]);
  await alice.says(bob, "one");
  await room.pass(10_000);
  bob.reads(alice);
  await room.pass(60_000);
  // That it was stored, and that it was read.
  assertEquals([alice.count("deposit"), bob.count("deposit")], [1, 2]);
  assertEquals(await alice.standing(bob), { stored: 1, read: 1, last: 1 });
});

test("a receipt follows 2 s after the first of many that come one by one", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  const carol = await room.somebody("carol"), dave = await room.somebody("dave");
  const writers = [alice, carol, dave];
  for (const writer of writers) {
    writer.knows(bob);
    bob.knows(writer);
  }
  await Promise.all([bob, ...writers].map((each) => each.come()));
  // So that the server never says that there is no more.
  room.alter = (response, to) =>
    to === bob && response.type === "box" ? [{ ...response, waiting: 5 }] : [response];
  for (let i = 0; i < 9; i++) {
    await writers[i % 3]!.says(bob, `${i}`);
    await room.pass(1000, 250);
  }
  assert(bob.count("deposit") > 0, "nothing was said of what came");
});

test("nobody is told what was read who does not want that", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair({}, { tellsRead: false });
  await Promise.all([alice.come(), bob.come()]);
  await alice.says(bob, "one");
  await room.pass(10_000);
  bob.reads(alice);
  await room.pass(30_000);
  await bob.leave();
  await room.calm();
  assertEquals(await alice.standing(bob), { stored: 1, read: 0, last: 1 });
  assertEquals(bob.count("deposit"), 1);
});

test("what was read while there was no server is told when there is one", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await Promise.all([alice.come(), bob.come()]);
  await alice.says(bob, "one");
  await room.pass(10_000);
  await bob.cut();
  bob.reads(alice);
  await room.pass(20_000);
  await bob.come();
  await room.pass(20_000);
  assertEquals(await alice.standing(bob), { stored: 1, read: 1, last: 1 });
});

test("nothing is left before there was no channel for 3 s, whatever was waited for before", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await bob.visits();
  await alice.come();
  alice.meets(bob);
  await alice.says(bob, "one");
  await room.pass(2000);
  alice.parts(bob);
  await room.pass(2000);
  assertEquals(alice.count("ask"), 0);
  await room.pass(2000);
  assertEquals(alice.count("deposit"), 1);
});

test("a connection that takes the place of another goes on where that was", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await bob.visits();
  await alice.come();
  await alice.leavesEach(bob, "0");
  const expected = ["0"];
  for (let i = 1; i < 12; i++) {
    await alice.says(bob, `${i}`);
    expected.push(`${i}`);
    room.time.advance(3000);
    // In the middle of what it does, which takes a different time each time.
    for (let turns = 0; turns < i % 5; turns++) await Promise.resolve();
    room.disconnect(alice.connection);
    alice.come();
    await room.calm();
    assertEquals(alice.failure, undefined);
  }
  await room.pass(10_000);
  await bob.visits();
  assertEquals(bob.reads(alice), expected);
});

test("whoever leaves has nothing under way any more", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await bob.visits();
  await alice.come();
  await alice.leavesEach(bob, "one", "two", "three");
  const coming = bob.come();
  for (let turns = 0; turns < 40; turns++) await Promise.resolve();
  await room.time.during(bob.postman.leave(), "bob leaves");
  const before = bob.store.snapshot();
  await bob.store.close();
  await coming;
  await room.calm();
  assertEquals(bob.failure, undefined);
  await bob.dies(before);
  await bob.visits();
  assertEquals(bob.unread(alice), ["one", "two", "three"]);
});

test("what was dropped is taken away from the server", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await bob.visits();
  await alice.come();
  await alice.leavesEach(bob, "one", "two");
  assertEquals(await alice.store.forget(keyOf("bob")), 2);
  alice.postman.touch("bob");
  await room.pass(4000);
  await bob.visits();
  assertEquals(bob.unread(alice), []);
  assertEquals(alice.store.mailbag.deposits(room.server), []);
});

test("a server that invents numbers of a box makes us begin another one, once", async () => {
  const room = new PostRoom();
  const bob = await room.somebody("bob");
  room.alter = (response) =>
    response.type === "box" ? [{ ...response, signed: 2n ** 63n, highest: 2n ** 62n }] : [response];
  await bob.come();
  await room.pass(10_000);
  assertEquals(bob.count("open"), 2);
  assertEquals(bob.failure, undefined);
});

test("many receipts at once are one question of what is there", async () => {
  const room = new PostRoom();
  const alice = await room.somebody("alice");
  const others: Correspondent[] = [];
  for (let i = 0; i < 8; i++) {
    const other = await room.somebody(`friend${i}`);
    other.knows(alice);
    alice.knows(other);
    await other.visits();
    others.push(other);
  }
  await alice.come();
  for (const other of others) await alice.says(other, "one");
  await room.pass(4000);
  for (const other of others) await other.says(alice, "of mine");
  // They speak, and what was left for them they do not read.
  room.alter = (response, to) => to !== alice && response.type === "envelope" ? [] : [response];
  await room.pass(60_000);
  await alice.cut();
  for (const other of others) await other.visits();
  const before = alice.count("mine");
  await alice.come();
  await room.pass(30_000);
  assert(alice.count("mine") - before <= 3, `${alice.count("mine") - before} questions`);
});

test("a disk that is full in the middle loses nothing, and nothing is sealed again for it", async () => {
  for (let after = 0; after < 12; after++) {
    const room = new PostRoom();
    let left = Infinity;
    const commit: MemoryMessagesOptions["commit"] = (work) =>
      left-- > 0
        ? Promise.resolve().then(work)
        : Promise.reject(new CifraError("local", "No space left on device"));
    const [alice, bob] = await room.pair({}, { store: new MemoryMessages({ commit }) });
    await bob.visits();
    await alice.come();
    await alice.leavesEach(bob, "one", "two", "three", "four");
    const { promise, resolve } = Promise.withResolvers<void>();
    bob.hasRoom = promise;
    left = after;
    await bob.come();
    await room.pass(3000);
    left = Infinity;
    resolve();
    await room.pass(8000);
    assertEquals(bob.unread(alice), ["one", "two", "three", "four"], `after ${after}`);
    assertEquals([bob.failure, alice.count("deposit")], [undefined, 4], `after ${after}`);
    assertEquals((await alice.standing(bob)).stored, 4, `after ${after}`);
  }
});

test("a disk that is full while something is left for somebody leaves it once all the same", async () => {
  for (let after = 0; after < 10; after++) {
    const room = new PostRoom();
    let left = Infinity;
    const commit: MemoryMessagesOptions["commit"] = (work) =>
      left-- > 0
        ? Promise.resolve().then(work)
        : Promise.reject(new CifraError("local", "No space left on device"));
    const [alice, bob] = await room.pair({ store: new MemoryMessages({ commit }) });
    await bob.visits();
    await alice.says(bob, "one", "two");
    const { promise, resolve } = Promise.withResolvers<void>();
    alice.hasRoom = promise;
    left = after;
    await alice.come();
    await room.pass(8000);
    left = Infinity;
    resolve();
    await room.pass(8000);
    await bob.visits();
    await room.pass(8000);
    assertEquals(bob.unread(alice), ["one", "two"], `after ${after}`);
    assertEquals(alice.failure, undefined, `after ${after}`);
    assertEquals((await alice.standing(bob)).stored, 2, `after ${after}`);
    assert(alice.count("ask") <= 2 && alice.count("deposit") <= 2, `after ${after}`);
  }
});
