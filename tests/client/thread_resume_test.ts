/** A conversation that loses its channels: everything arrives, once, in order. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { concat } from "@std/bytes/concat";
import type { Thread } from "../../lib/client/thread.ts";
import { timingSafeEqual } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import { CONVERSATION_WINDOW, STREAM_PIECE_LIMIT } from "../../lib/limits.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMessages } from "../../lib/store/sqlite_messages.ts";
import { decode } from "../../lib/wire/layout.ts";
import { LogKind, peerMessage } from "../../lib/wire/peer_messages.ts";
import { ItemType } from "../../lib/wire/records.ts";
import { test } from "../testkit/adversary.ts";
import {
  ackItem,
  cutAfter,
  Ear,
  exchange,
  freshPosition,
  meet,
  meetEvil,
  NO_ID,
  NO_LOG,
  openLink,
  TestDisk,
  textItem,
} from "../testkit/links.ts";
import { until } from "../testkit/until.ts";
import { turn } from "../testkit/turn.ts";
import { withFolder } from "../testkit/server.ts";

/** Bob, whose disk is in the test's hands, and Alice. */
async function couple() {
  const disk = new TestDisk();
  const store = new MemoryMessages({ commit: disk.commit });
  return { alice: await openLink("bob"), bob: await openLink("alice", { store }), disk, store };
}

/** Everybody goes home; what Bob has heard in the end. */
async function finish(alice: Thread, bob: Thread, ear = new Ear(bob)): Promise<string[]> {
  const { endings } = await meet(alice, bob);
  await alice.settled();
  await bob.settled();
  await alice.leave();
  assertEquals((await endings)[1], { type: "left" });
  await bob.leave();
  await ear.ended;
  return ear.words;
}

/** Small numbers that look like chance and are not. */
function chance(seed: number): (below: number) => number {
  let state = seed + 1;
  return (below) => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x297a2d39 | 0;
    return (state >>> 8) % below;
  };
}

test("a cut before a message arrives: it comes over the next channel", async () => {
  const { alice, bob } = await couple();
  const { pipe, cut } = await meet(alice, bob);
  await alice.sendText("one");
  await alice.settled();
  pipe.toRight.hold();
  await alice.sendText("two");
  await until(() => alice.delivery.sent === 2n, "it is sent");
  await cut();
  assertEquals(alice.delivery, { queued: 2n, sent: 1n, onServer: 1n, stored: 1n, read: 0n });
  await alice.sendText("three");
  assertEquals(await finish(alice, bob), ["one", "two", "three"]);
});

test("a cut before a message is stored: whether the commit comes to an end or not, it counts once", async () => {
  for (const full of [false, true]) {
    const { alice, bob, disk } = await couple();
    const { cut } = await meet(alice, bob);
    disk.hold();
    await alice.sendText("one");
    await until(() => disk.waiting === 1, "it arrives");
    const ended = cut();
    disk.full = full;
    disk.release();
    await ended;
    assertEquals(alice.delivery.stored, 0n);
    disk.full = false;
    await alice.sendText("two");
    assertEquals(await finish(alice, bob), ["one", "two"]);
  }
});

test("a cut before the acknowledgement arrives: the next channel brings it, and the message is not sent again", async () => {
  const { alice, bob, store } = await couple();
  const { pipe, cut } = await meet(alice, bob);
  pipe.toLeft.hold();
  await alice.sendText("x".repeat(9999));
  await until(
    () => store.incoming({ peer: "alice", suite: "modern" })?.have === 1n,
    "it is stored",
  );
  await cut();
  assertEquals(alice.delivery.stored, 0n);
  const again = await meet(alice, bob);
  await alice.settled();
  assert(again.pipe.toRight.bytes.length < 9999, "it is not sent again");
  await again.cut();
  assertEquals((await finish(alice, bob)).length, 1);
});

test("our own store that cannot be read ends the channel, and the next one goes on", async () => {
  const store = new MemoryMessages();
  const alice = await openLink("bob", { store }), bob = await openLink("alice");
  const { endings } = await meet(alice, bob);
  await turn();
  const read = store.read.bind(store);
  store.read = () => {
    throw new CifraError("local", "The disk does not answer");
  };
  await alice.sendText("one");
  const [ending] = await endings;
  assert(ending.type === "cut");
  assertEquals(ending.error.code, "local");
  store.read = read;
  assertEquals(await finish(alice, bob), ["one"]);
});

test("a cut at every byte of a message and of what answers it: once, and in order", async () => {
  const { alice, bob } = await couple();
  const ear = new Ear(bob);
  const sent: string[] = [];
  for (const how of ["break", "end"] as const) {
    for (const lane of ["toRight", "toLeft"] as const) {
      for (let offset = 1, whole = false; !whole; offset++) {
        const { pipe, cut, channels } = await meet(alice, bob);
        await turn();
        cutAfter(pipe, pipe[lane], offset, how);
        const text = `${how} ${lane} ${offset}`;
        await alice.sendText(text);
        sent.push(text);
        const isRead = () => alice.delivery.read === BigInt(sent.length);
        const isCut = () => !channels.alice.isOpen && !channels.bob.isOpen;
        await until(() => isRead() || isCut(), "it is read, or cut on the way");
        whole = isRead();
        await cut();
      }
    }
  }
  assert(sent.length > 100, `${sent.length}`);
  assertEquals(await finish(alice, bob, ear), sent);
});

test("a thousand channels whose acknowledgements are all lost show nothing twice", async () => {
  const { alice, bob, store } = await couple();
  const ear = new Ear(bob);
  const texts = ["a", "b", "c"];
  for (const text of texts) await alice.sendText(text);
  const have = () => store.incoming({ peer: "alice", suite: "modern" })?.have;
  for (let round = 0; round < 1000; round++) {
    // Also where Bob stands is not heard: everything is sent each time.
    const forget = (said: ReturnType<Thread["position"]>) => ({
      ...said,
      readLog: NO_LOG,
      have: 0n,
      haveId: NO_ID,
    });
    const { pipe, cut } = await meet(alice, bob, {
      welcome: forget,
      before: (pipe) => pipe.toLeft.hold(),
    });
    await until(() => alice.delivery.sent === 3n && have() === 3n, "all is sent and stored");
    // Bob says what he has when the channel begins, if it is anything, and once more for what he has twice.
    const said = round === 0 ? 1 : 2;
    await until(() => pipe.toLeft.written.length >= said, "all has arrived");
    await cut();
    assertEquals(alice.delivery.stored, 0n);
  }
  await ear.count(3);
  assertEquals(await finish(alice, bob, ear), texts);
});

test("where the other side stands counts as its acknowledgement, and is told in one as well", async () => {
  const bob = await openLink("alice");
  await bob.sendText("one");
  const { say, ending, hearUntil, pipe } = await meetEvil(bob, freshPosition());
  await say(textItem(1n, "uno"));
  const heard = await hearUntil(({ type }) => type === ItemType.ack);
  pipe.toRight.end();
  await ending;
  assertEquals(bob.delivery.stored, 0n);
  const one = decode(peerMessage, heard.find(({ type }) => type === ItemType.message)!.body);
  assert(one.type === "text");
  const theirs = freshPosition({ readLog: bob.position().log, have: 1n, haveId: one.id });
  const again = await meetEvil(bob, theirs);
  assertEquals(bob.delivery, { queued: 1n, sent: 1n, onServer: 1n, stored: 1n, read: 0n });
  const [first] = await again.hearUntil(() => true);
  assertEquals(first, ackItem(1n));
  again.pipe.toRight.end();
  await again.ending;
  await bob.leave();
});

test("what is sent twice is acknowledged once more, for it was lost the first time", async () => {
  const { alice, bob } = await couple();
  await alice.sendText("one");
  const first = await meet(alice, bob);
  await alice.settled();
  await first.cut();
  await bob.leave();
  const evil = await openLink("alice");
  const { say, hearUntil, ending, pipe } = await meetEvil(evil, freshPosition());
  const one = textItem(1n, "one");
  await say(one);
  await hearUntil(({ body }) => body[7] === 1);
  await say(one, one);
  await hearUntil(({ body }) => body[7] === 1);
  pipe.toRight.end();
  await ending;
  await evil.leave();
  const ear = new Ear(evil);
  await ear.ended;
  assertEquals(ear.words, ["one"]);
  await alice.leave();
});

test("both programs end at any moment and begin again: nothing lost, what may have been seen says so", async () => {
  const aliceStore = new MemoryMessages(), bobStore = new MemoryMessages();
  const first = { alice: await openLink("bob", { store: aliceStore }) };
  const bob = await openLink("alice", { store: bobStore });
  const { cut } = await meet(first.alice, bob);
  await first.alice.sendText("one");
  await first.alice.sendText("two");
  await first.alice.settled();
  const events = bob.events();
  bob.taken((await events.next()).value!);
  await events.next();
  await turn();
  await cut();
  await first.alice.sendText("three");
  // What was only noted may be lost with its program.
  const alice = await openLink("bob", {
    store: new MemoryMessages({ snapshot: aliceStore.snapshot() }),
  });
  const again = await openLink("alice", {
    store: new MemoryMessages({ snapshot: bobStore.snapshot() }),
  });
  const ear = new Ear(again);
  const words = await finish(alice, again, ear);
  assertEquals(words.slice(-2), ["two", "three"]);
  const marked = ear.heard.map((event) => event.type === "text" && event.recovered);
  assertEquals(marked.slice(-2), [true, false]);
  assertEquals(new Set(words).size, words.length);
});

test("a profile that came back from an old copy begins a new log, and nothing shows twice", async () => {
  const store = new MemoryMessages();
  const before = await openLink("bob", { store }), bob = await openLink("alice");
  const ear = new Ear(bob);
  await before.sendText("one");
  await before.sendText("two");
  const old = store.snapshot();
  const first = await meet(before, bob);
  await before.sendText("three");
  await before.settled();
  await first.cut();
  const alice = await openLink("bob", { store: new MemoryMessages({ snapshot: old }) });
  const log = alice.position().log;
  const second = await meet(alice, bob);
  const [ending] = await second.endings;
  assert(ending.type === "cut");
  assertEquals(ending.error.code, "cut");
  assert(alice.position().log.join() !== log.join());
  await alice.sendText("four");
  assertEquals(await finish(alice, bob, ear), ["one", "two", "three", "four"]);
});

/** Says these words, `end` being the end. */
async function say(link: Thread, words: readonly string[]): Promise<void> {
  for (const word of words) await (word === "end" ? link.sendEnd() : link.sendText(word));
}

/** Both programs end, and with them the ear; what it has heard. */
async function leave(alice: Thread, bob: Thread, ear: Ear): Promise<string[]> {
  await alice.leave();
  await bob.leave();
  await ear.ended;
  return ear.words;
}

/** A profile with what its disk has at this moment, all that was noted as well. */
async function copyOf(store: MemoryMessages, peer: string): Promise<MemoryMessages> {
  await store.append({ peer, suite: "modern" }, []);
  return new MemoryMessages({ snapshot: store.snapshot() });
}

/** What was said before the copy was made, after it, and by the program that has the copy. */
const HISTORIES = {
  "not caught up": [["a", "b"], ["c", "d", "e"], ["x", "y"]],
  "nothing said since": [["a"], ["b", "c"], []],
  "caught up exactly": [["a", "b"], ["c", "d"], ["x", "y"]],
  "caught up and beyond": [["a"], ["b", "c"], ["x", "y", "z"]],
  "an empty copy": [[], ["a", "b"], ["x", "y"]],
  "an end last in both": [["a"], ["b", "end"], ["x", "end"]],
  "ends that stand where others do": [["a"], ["end", "end"], ["end", "end", "x"]],
  "an end last over there": [["a"], ["b", "end"], ["x", "y", "z"]],
  "an end last in the copy": [["a", "end"], ["b", "c"], ["end", "end", "end"]],
} as const;

for (const [what, [before, after, since]] of Object.entries(HISTORIES)) {
  test(`a profile from an old copy loses nothing, and nothing shows twice: ${what}`, async () => {
    for (const keepHistory of [true, false]) {
      for (const bobDials of [true, false]) {
        const store = new MemoryMessages(), bobStore = new MemoryMessages({ keepHistory });
        const original = await openLink("bob", { store });
        const earlier = await openLink("alice", { store: bobStore });
        const earlierEar = new Ear(earlier);
        await say(original, before);
        await exchange(original, earlier);
        const copy = await copyOf(store, "bob");
        await say(original, after);
        await exchange(original, earlier);
        const heard = await leave(original, earlier, earlierEar);
        await bobStore.close();
        const alice = await openLink("bob", { store: copy });
        const snapshot = bobStore.snapshot();
        const bob = await openLink("alice", {
          store: new MemoryMessages({ snapshot, keepHistory }),
        });
        const ear = new Ear(bob);
        await say(alice, since);
        const { log } = alice.position();
        const channels = await (bobDials ? exchange(bob, alice) : exchange(alice, bob));
        if (since.length > 0) {
          assertEquals(channels, 2);
          assert(alice.position().log.join() !== log.join());
        }
        heard.push(...await leave(alice, bob, ear));
        assertEquals(heard, [...before, ...after, ...since]);
      }
    }
  });
}

test("a folder put back from a backup loses nothing, whether its reader keeps a history or not", async () => {
  for (const keepHistory of [true, false]) {
    await withFolder(async (path) => {
      const paths = { alice: `${path}/alice`, bob: `${path}/bob`, backup: `${path}/backup` };
      /** A run of both programs, in which Alice says this; what Bob hears. */
      const run = async (words: readonly string[]) => {
        const [store, bobStore] = [
          await SqliteMessages.open(await PrivateFolder.open(paths.alice), { keepHistory }),
          await SqliteMessages.open(await PrivateFolder.open(paths.bob), { keepHistory }),
        ];
        const alice = await openLink("bob", { store });
        const bob = await openLink("alice", { store: bobStore });
        const ear = new Ear(bob);
        await say(alice, words);
        const channels = await exchange(alice, bob);
        const heard = await leave(alice, bob, ear);
        await store.close();
        await bobStore.close();
        return [channels, ...heard];
      };
      assertEquals(await run(["a", "end"]), [1, "a", "end"]);
      await PrivateFolder.open(paths.backup);
      await Deno.copyFile(`${paths.alice}/messages.db`, `${paths.backup}/messages.db`);
      assertEquals(await run(["b", "end"]), [1, "b", "end"]);
      paths.alice = paths.backup;
      assertEquals(await run(["x", "end"]), [2, "x", "end"]);
      assertEquals(await run(["y", "end"]), [1, "y", "end"]);
    });
  }
});

test("a copy that does not know what is stored over there begins a new log, and the ids tell it apart", async () => {
  const store = new MemoryMessages();
  const original = await openLink("bob", { store }), bob = await openLink("alice");
  const ear = new Ear(bob);
  await say(original, ["a", "end", "b"]);
  const alice = await openLink("bob", { store: await copyOf(store, "bob") });
  await say(original, ["c"]);
  await exchange(original, bob);
  await say(alice, ["x", "y"]);
  assertEquals(await exchange(alice, bob), 2);
  assertEquals(await leave(alice, bob, ear), ["a", "end", "b", "c", "x", "y"]);
});

test("a log that goes on where its copy was made is no copy: no new one is begun", async () => {
  const store = new MemoryMessages(), { bob, store: bobStore } = await couple();
  const original = await openLink("bob", { store });
  const first = await meet(original, bob);
  first.pipe.toLeft.hold();
  await say(original, ["a", "b"]);
  const have = () => bobStore.incoming({ peer: "alice", suite: "modern" })?.have;
  await until(() => have() === 2n, "it is stored");
  await first.cut();
  const alice = await openLink("bob", { store: await copyOf(store, "bob") });
  const { log, first: oldest } = alice.position();
  assertEquals(oldest, 1n);
  await say(alice, ["c"]);
  assertEquals(await exchange(alice, bob), 1);
  assertEquals(alice.position().log, log);
  assertEquals(await leave(alice, bob, new Ear(bob)), ["a", "b", "c"]);
});

test("two copies of a profile, restored one after the other, lose nothing of either", async () => {
  for (const bobDials of [true, false]) {
    const store = new MemoryMessages(), bobStore = new MemoryMessages();
    const original = await openLink("bob", { store });
    const earlier = await openLink("alice", { store: bobStore });
    const earlierEar = new Ear(earlier);
    await say(original, ["a"]);
    await exchange(original, earlier);
    const copies = [await copyOf(store, "bob"), await copyOf(store, "bob")];
    await say(original, ["b"]);
    await exchange(original, earlier);
    const one = await openLink("bob", { store: copies[0] });
    await say(one, ["c"]);
    await exchange(one, earlier);
    const heard = await leave(one, earlier, earlierEar);
    // When Bob dials he names the log that he read last, which this copy does not know.
    const bob = await openLink("alice", { store: await copyOf(bobStore, "alice") });
    const ear = new Ear(bob);
    const two = await openLink("bob", { store: copies[1] });
    await say(two, ["d", "e"]);
    await (bobDials ? exchange(bob, two) : exchange(two, bob));
    heard.push(...await leave(two, bob, ear));
    assertEquals(heard, ["a", "b", "c", "d", "e"]);
  }
});

test("a reader that named a byte stream when it dialled does not pass over what an old copy says", async () => {
  const store = new MemoryMessages();
  const original = await openLink("bob", { store }), bob = await openLink("alice");
  const ear = new Ear(bob);
  const copy = await copyOf(store, "bob");
  await say(original, ["a", "b"]);
  await exchange(original, bob);
  const stream = await openLink("bob", { kind: LogKind.live });
  await say(stream, ["end"]);
  await exchange(bob, stream);
  const alice = await openLink("bob", { store: copy });
  await say(alice, ["x", "y"]);
  // Who reads ends the first, the second tells Alice, and the third carries her new log.
  assertEquals(await exchange(bob, alice), 3);
  assertEquals(await leave(alice, bob, ear), ["a", "b", "end", "x", "y"]);
});

test("a log that is begun anew while both say where they stand goes over the next channel", async () => {
  const store = new MemoryMessages();
  const original = await openLink("bob", { store }), bob = await openLink("alice");
  const ear = new Ear(bob);
  const alice = await openLink("bob", { store: await copyOf(store, "bob") });
  await say(original, ["a", "b"]);
  await exchange(original, bob);
  await say(alice, ["x", "y", "z"]);
  const late = await meet(alice, bob, {
    before: async () => {
      const [ending] = await (await meet(alice, bob)).endings;
      assertEquals(ending.type, "cut");
    },
  });
  const [ending] = await late.endings;
  assertEquals(ending.type, "cut");
  assertEquals(alice.delivery.stored, 0n);
  await exchange(alice, bob);
  assertEquals(await leave(alice, bob, ear), ["a", "b", "x", "y", "z"]);
});

test("a log that came while both said where they stood: a stream goes on, a chat over the next channel", async () => {
  for (const [kind, ended] of [[LogKind.live, "done"], [LogKind.kept, "cut"]] as const) {
    const alice = await openLink("bob", { kind }), bob = await openLink("alice", { kind });
    const ear = new Ear(bob);
    const late = await meet(alice, bob, {
      before: async () => {
        const early = await meet(alice, bob, { before: (pipe) => pipe.toLeft.hold() });
        await alice.sendText("a");
        await ear.count(1);
        await early.cut();
      },
    });
    await alice.sendText("b");
    // Bob has not said that he has it. Of a stream there is no old copy that could say something else.
    if (kind === LogKind.live) await alice.settled();
    else await late.endings;
    const { endings } = await meet(alice, bob);
    assertEquals((await late.endings)[1].type, ended);
    await alice.settled();
    await alice.leave();
    assertEquals((await endings)[1], { type: "left" });
    await bob.leave();
    await ear.ended;
    assertEquals(ear.words, ["a", "b"]);
  }
});

test("two profiles from old copies: what either wrote since arrives", async () => {
  for (const [bobKnows, since] of [[1, ["x"]], [2, ["x", "y"]], [3, ["x", "y", "z"]]] as const) {
    const stores = [new MemoryMessages(), new MemoryMessages()] as const;
    const first = {
      alice: await openLink("bob", { store: stores[0] }),
      bob: await openLink("alice", { store: stores[1] }),
    };
    const ear = new Ear(first.bob);
    await say(first.alice, ["a"]);
    await exchange(first.alice, first.bob);
    const alices = await copyOf(stores[0], "bob");
    let bobs = await copyOf(stores[1], "alice");
    for (const [i, word] of ["b", "c", "d"].entries()) {
      await say(first.alice, [word]);
      await say(first.bob, [word.toUpperCase()]);
      await exchange(first.alice, first.bob);
      if (i + 2 === bobKnows) bobs = await copyOf(stores[1], "alice");
    }
    assertEquals(await leave(first.alice, first.bob, ear), ["a", "b", "c", "d"]);
    const alice = await openLink("bob", { store: alices });
    const bob = await openLink("alice", { store: bobs });
    await say(alice, since);
    await say(bob, ["v", "w"]);
    await exchange(bob, alice);
    const ears = [new Ear(alice), new Ear(bob)] as const;
    await leave(alice, bob, ears[1]);
    await ears[0].ended;
    const fresh = ({ heard }: Ear) =>
      heard.flatMap((event) => event.type === "text" && !event.recovered ? [event.text] : []);
    assertEquals(fresh(ears[1]), [...since]);
    assertEquals(fresh(ears[0]).slice(-2), ["v", "w"]);
  }
});

test("a reader from an old copy hears what is missing, and its writer goes on with its log", async () => {
  const { alice, bob, store } = await couple();
  await say(alice, ["a"]);
  await exchange(alice, bob);
  const copy = await copyOf(store, "alice");
  await say(alice, ["b", "c"]);
  await exchange(alice, bob);
  const again = await openLink("alice", { store: copy });
  const ear = new Ear(again);
  const { log } = alice.position();
  await say(alice, ["d"]);
  assertEquals(await exchange(alice, again), 1);
  assertEquals(alice.position().log, log);
  const words = await leave(alice, again, ear);
  assertEquals(words.filter((word) => word !== "a"), ["gap 2-3", "d"]);
});

test("what a reader has only passed over is not taken for what an old copy wrote in its place", async () => {
  const store = new MemoryMessages();
  const original = await openLink("bob", { store }), lost = await openLink("alice");
  await say(original, ["a"]);
  await exchange(original, lost);
  const copy = await copyOf(store, "bob");
  await say(original, ["b", "c"]);
  await exchange(original, lost);
  // Bob begins with an empty profile: of the three he has nothing but their number.
  const bob = await openLink("alice");
  const ear = new Ear(bob);
  await exchange(original, bob);
  const alice = await openLink("bob", { store: copy });
  await say(alice, ["x", "y", "z"]);
  assertEquals(await exchange(alice, bob), 2);
  assertEquals(await leave(alice, bob, ear), ["gap 1-3", "x", "y", "z"]);
});

test("a reader that lost its profile hears what is missing, and goes on", async () => {
  const { alice, bob } = await couple();
  const first = await meet(alice, bob);
  for (const text of ["one", "two", "three"]) await alice.sendText(text);
  await alice.settled();
  await first.cut();
  await alice.sendText("four");
  const again = await openLink("alice");
  assertEquals(await finish(alice, again), ["gap 1-3", "four"]);
});

test("a new channel takes the place of the one before, and a commit under way counts once", async () => {
  const { alice, bob, disk } = await couple();
  const first = await meet(alice, bob);
  disk.hold();
  await alice.sendText("one");
  await until(() => disk.waiting === 1, "it arrives");
  const second = await meet(alice, bob);
  assertEquals(await first.endings, [{ type: "done" }, { type: "done" }]);
  await alice.sendText("two");
  for (let n = 0; n < 5; n++) await turn();
  disk.release();
  await alice.settled();
  assertEquals([alice.isAttached, bob.isAttached], [true, true]);
  await alice.leave();
  assertEquals((await second.endings)[1], { type: "left" });
  await bob.leave();
  const ear = new Ear(bob);
  await ear.ended;
  assertEquals(ear.words, ["one", "two"]);
});

test("a channel goes on though the one before brought more while both said where they stood", async () => {
  const cases = [LogKind.kept, LogKind.live].flatMap((kind) =>
    [[kind, true], [kind, false]] as const
  );
  for (const [kind, deaf] of cases) {
    const alice = await openLink("bob", { kind }), bob = await openLink("alice", { kind });
    const ear = new Ear(bob);
    const old = await meet(alice, bob);
    await alice.sendText("first");
    await alice.settled();
    if (deaf) old.pipe.toLeft.hold();
    const texts = Array.from({ length: 128 }, (_, i) => `${i} ${"x".repeat(16_000)}`);
    const next = await meet(alice, bob, {
      before: async () => {
        for (const text of texts) await alice.sendText(text);
        await ear.count(129);
        if (!deaf) await alice.settled();
      },
    });
    await alice.settled();
    await alice.sendText("last");
    await alice.settled();
    await alice.leave();
    assertEquals((await next.endings)[1], { type: "left" });
    await bob.leave();
    await ear.ended;
    assertEquals(ear.words, ["first", ...texts, "last"]);
  }
});

test("a stream goes on over channel after channel, byte for byte, a window held at the most", async () => {
  const alice = await openLink("bob", { kind: LogKind.live });
  const bob = await openLink("alice", { kind: LogKind.live });
  const random = chance(1);
  const bytes = new Uint8Array(1.5 * CONVERSATION_WINDOW);
  for (let i = 0; i < bytes.length; i++) bytes[i] = random(256);
  let sent = 0, most = 0;
  const ear = new Ear(bob);
  const taken = () => ear.pieces.reduce((sum, { length }) => sum + length, 0);
  const sending = (async () => {
    while (sent < bytes.length) {
      const piece = bytes.slice(sent, sent + 1 + random(2 * STREAM_PIECE_LIMIT));
      await alice.sendBytes(piece);
      sent += piece.length;
      most = Math.max(most, sent - taken());
    }
    await alice.sendEnd();
  })();
  let cuts = 0;
  for (; taken() < bytes.length / 2; cuts++) {
    const { pipe, channels } = await meet(alice, bob);
    const lane = random(2) === 0 ? pipe.toRight : pipe.toLeft;
    // Back go acknowledgements alone, one for each stride.
    const count = lane === pipe.toRight ? 1 + random(150_000) : 1 + random(100);
    cutAfter(pipe, lane, count, random(2) === 0 ? "break" : "end");
    await until(() => !channels.alice.isOpen && !channels.bob.isOpen, "the channel is cut");
  }
  const last = await meet(alice, bob);
  await sending;
  await alice.settled();
  await alice.leave();
  assertEquals((await last.endings)[1], { type: "left" });
  await bob.leave();
  await ear.ended;
  assertEquals(ear.heard.at(-1)?.type, "end");
  const heard = concat(ear.pieces);
  assertEquals(heard.length, bytes.length);
  assert(timingSafeEqual(heard, bytes));
  assert(cuts > 10, `${cuts} cuts`);
  assert(most <= CONVERSATION_WINDOW + 3 * STREAM_PIECE_LIMIT, `${most} held`);
});

test("a stream that nobody takes stays within its window over many channels", async () => {
  const alice = await openLink("bob", { kind: LogKind.live });
  const bob = await openLink("alice", { kind: LogKind.live });
  const piece = new Uint8Array(STREAM_PIECE_LIMIT);
  let sent = 0;
  const sending = (async () => {
    for (;; sent += piece.length) await alice.sendBytes(piece);
  })();
  sending.catch(() => {});
  let most = 0;
  for (let round = 0; round < 5; round++) {
    const { pipe, cut } = await meet(alice, bob);
    const wire = () => pipe.toRight.written.reduce((sum, { length }) => sum + length, 0);
    if (round === 0) await until(() => wire() > CONVERSATION_WINDOW / 2, "half a window");
    for (let n = 0; n < 40; n++) await turn();
    most += wire();
    await cut();
  }
  assert(sent <= CONVERSATION_WINDOW + piece.length, `${sent} sent`);
  // What has arrived is not sent again, whether it was taken or not.
  assert(most > CONVERSATION_WINDOW / 2 && most < 1.2 * CONVERSATION_WINDOW, `${most} on the wire`);
  await alice.leave();
  await assertRejects(() => sending, CifraError);
  await bob.leave();
});

test("a stream whose reader has begun anew cannot go on, and says so", async () => {
  const alice = await openLink("bob", { kind: LogKind.live });
  const bob = await openLink("alice", { kind: LogKind.live });
  const ear = new Ear(bob);
  const first = await meet(alice, bob);
  await alice.sendBytes(new Uint8Array(10));
  await alice.settled();
  await first.cut();
  await bob.leave();
  await ear.ended;
  await alice.sendBytes(new Uint8Array(10));
  const settled = alice.settled();
  settled.catch(() => {});
  const again = await openLink("alice", { kind: LogKind.live });
  const listening = new Ear(again);
  assertEquals(alice.broken, undefined);
  const second = await meet(alice, again);
  const [ending] = await second.endings;
  assert(ending.type === "cut" && ending.error === alice.broken);
  assert(alice.broken.hint);
  await assertRejects(() => settled, CifraError, alice.broken.message);
  await again.leave();
  await listening.ended;
  // That one hears that the beginning is gone.
  assertEquals(listening.words, ["gap 1-1", "restarted"]);
  await alice.leave();
});

test("a stream of which nothing was taken goes to a reader that has begun anew, from its beginning", async () => {
  const alice = await openLink("bob", { kind: LogKind.live });
  const bob = await openLink("alice", { kind: LogKind.live });
  const first = await meet(alice, bob);
  await alice.sendBytes(new Uint8Array([1, 2, 3]));
  await until(() => alice.delivery.sent === 1n, "it is sent");
  await turn();
  await first.cut();
  await bob.leave();
  const again = await openLink("alice", { kind: LogKind.live });
  const ear = new Ear(again);
  await meet(alice, again);
  await alice.settled();
  assertEquals(ear.pieces, [new Uint8Array([1, 2, 3])]);
  await alice.leave();
  await again.leave();
});

test("a stream whose writer has begun anew says so to its reader, and a chat after it goes on", async () => {
  const store = new MemoryMessages();
  const bob = await openLink("alice");
  const ear = new Ear(bob);
  for (const [round, ended] of [true, false, false].entries()) {
    const alice = await openLink("bob", { kind: LogKind.live });
    const { cut } = await meet(alice, bob);
    await alice.sendBytes(new Uint8Array([round]));
    if (ended) await alice.sendEnd();
    await alice.settled();
    await cut();
    await alice.leave();
  }
  const alice = await openLink("bob", { store });
  await alice.sendText("hello");
  const words = await finish(alice, bob, ear);
  assertEquals(words, ["bytes", "end", "bytes", "restarted", "bytes", "restarted", "hello"]);
});

test("cuts at random, on both sides, with slow disks: nothing lost, nothing twice, all in order", async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const random = chance(seed);
    const disks = [new TestDisk(), new TestDisk()] as const;
    const [alice, bob] = await Promise.all([
      openLink("bob", { store: new MemoryMessages({ commit: disks[0].commit }) }),
      openLink("alice", { store: new MemoryMessages({ commit: disks[1].commit }) }),
    ]);
    const ears = [new Ear(alice), new Ear(bob)] as const;
    const sent: [Promise<unknown>[], Promise<unknown>[]] = [[], []];
    for (let round = 0; round < 25; round++) {
      const { pipe, cut } = await meet(alice, bob);
      const lane = random(2) === 0 ? pipe.toRight : pipe.toLeft;
      cutAfter(pipe, lane, 1 + random(3000), random(2) === 0 ? "break" : "end");
      for (let n = random(6); n > 0; n--) {
        const disk = disks[random(2)]!;
        if (random(3) === 0) disk.hold();
        const writer = random(2) as 0 | 1;
        const text = `${sent[writer].length} ${"x".repeat(random(700))}`;
        sent[writer].push([alice, bob][writer]!.sendText(text));
        for (let turns = random(4); turns > 0; turns--) await turn();
        if (random(2) === 0) disk.release();
      }
      // A disk that stands still hides the cut from its owner, who may meet the other again all the same.
      if (random(4) > 0) cut();
    }
    for (const disk of disks) disk.release();
    await Promise.all(sent.flat());
    await meet(alice, bob);
    await Promise.all([alice.settled(), bob.settled()]);
    await Promise.all([alice.leave(), bob.leave()]);
    for (const { ended } of ears) await ended;
    for (const [writer, ear] of [[0, ears[1]], [1, ears[0]]] as const) {
      const heard = ear.words.map((text) => text.split(" ")[0]);
      assertEquals(heard, sent[writer].map((_, i) => `${i}`), `seed ${seed}`);
    }
  }
});
