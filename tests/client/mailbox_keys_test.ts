/** When a box is begun and what is published under it (PROTOCOL.md 3.12). */
import { assert, assertEquals } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { DAY, ONE_TIME_PREKEYS } from "../../lib/limits.ts";
import { BoxState } from "../../lib/wire/mailbox_messages.ts";
import { test } from "../testkit/adversary.ts";
import { type Correspondent, PostRoom } from "../testkit/mail_people.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";

/** What was published so far, in words: `anew signed 40`; not that nothing was. */
function published(who: Correspondent): string[] {
  return who.requests("publish").filter(({ signed, once }) => signed.length + once.length > 0).map((
    { anew, signed, once },
  ) =>
    [anew ? "anew" : "", signed.length > 0 ? "signed" : "", once.length].filter((word) =>
      word !== ""
    )
      .join(" ")
  );
}

function boxOf({ store, room: { server } }: Correspondent): string {
  return encodeHex(store.mailbag.box(server)!.name);
}

test("whoever comes for the first time has a box and publishes; whoever comes again does not", async () => {
  const room = new PostRoom();
  const bob = await room.somebody("bob");
  await bob.visits();
  await bob.visits();
  assertEquals(published(bob), ["anew signed 40"]);
  assertEquals(bob.store.mailbag.box(room.server)!.anew, false);
});

test("what did not reach the server is published again, as it was", async () => {
  const room = new PostRoom();
  const bob = await room.somebody("bob");
  room.hears = ({ type }) => type !== "publish";
  await bob.visits();
  room.hears = () => true;
  await bob.visits();
  const [one, two] = bob.requests("publish");
  assertEquals(published(bob), ["anew signed 40", "anew signed 40"]);
  assertEquals([one!.signed, one!.once], [two!.signed, two!.once]);
});

test("when few are left more are published, under new numbers", async () => {
  const room = new PostRoom();
  const bob = await room.somebody("bob");
  await bob.visits();
  const owner = encodeHex(bob.identity.fingerprint);
  const take = (count: number) =>
    room.store.change((writer) => {
      const [box] = writer.boxes(owner);
      for (let i = 0; i < count; i++) writer.takeOnce(box!.key);
    });
  await take(20);
  await bob.visits();
  assertEquals(published(bob).length, 1);
  await take(1);
  await bob.visits();
  assertEquals(published(bob)[1], "21");
  const { once } = bob.requests("publish")[1]!;
  assertEquals([once[0]!.number, once.at(-1)!.number], [41n, 61n]);
});

test("a signed prekey is replaced after a week, also of somebody who stays, and its secret goes in time", async () => {
  const room = new PostRoom();
  const bob = await room.somebody("bob");
  await bob.come();
  const { mailbag } = bob.store, { name } = mailbag.box(room.server)!;
  const [first] = mailbag.prekeys(room.server, "signed");
  for (let day = 0; day < 9; day++) {
    room.time.advance(DAY);
    await room.calm();
  }
  assertEquals(published(bob), ["anew signed 40", "signed 0"]);
  assert(mailbag.prekey(name, "signed", first!.number));
  for (let day = 0; day < 17; day++) {
    room.time.advance(DAY);
    await room.calm();
  }
  assertEquals(mailbag.prekey(name, "signed", first!.number), undefined);
  assertEquals(published(bob).length, 4);
});

test("an old copy has another box, and so has each of its twins", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await bob.visits();
  const copy = bob.store.snapshot(), before = boxOf(bob);
  room.time.advance(8 * DAY);
  await bob.visits();
  assertEquals(boxOf(bob), before);
  await alice.come();
  await alice.leavesEach(bob, "one", "two");
  await bob.dies(copy);
  await bob.visits();
  assert(boxOf(bob) !== before);
  assertEquals([bob.told("elsewhere").length, published(bob).at(-1)], [1, "anew signed 40"]);
  // What waits for the other one is brought here.
  await alice.cut();
  await alice.visits();
  await bob.visits();
  assertEquals(bob.unread(alice), ["one", "two"]);
});

test("where another box was the present one a new signed prekey is published, once", async () => {
  const room = new PostRoom();
  const bob = await room.somebody("bob");
  await bob.visits();
  const first = bob.store.snapshot();
  // On another machine, without what is here.
  await bob.dies(new MemoryMessages().snapshot());
  await bob.visits();
  await bob.dies(first);
  await bob.visits();
  assertEquals(published(bob), ["anew signed 40", "anew signed 40", "signed 0"]);
  assertEquals(bob.failure, undefined);
});

test("a server that gives out keys whose secrets are gone gets others in their place, once for each visit", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await bob.visits();
  const putBack = room.copy();
  await alice.visits();
  await alice.come();
  await alice.says(bob, "one");
  await room.pass(4000);
  await bob.visits();
  assertEquals(bob.unread(alice), ["one"]);
  await alice.leave();
  // The server's mailbox is put back, and with it the key that was used.
  putBack();
  await bob.come();
  await room.pass(2000);
  assertEquals(published(bob).slice(1), ["anew 40"]);
  assertEquals(bob.requests("publish").at(-1)!.once[0]!.number, 41n);
  // What is written with the new ones opens.
  await alice.come();
  room.time.advance(DAY);
  await alice.says(bob, "two");
  await room.pass(4000);
  await room.pass(4000);
  assertEquals(bob.unread(alice), ["one", "two"]);
  await bob.leave();
  await alice.leave();
  // A server that goes on giving them out is not told for ever.
  room.alter = (response) => [
    response.type === "box" ? { ...response, next: 1n, stock: 40 } : response,
  ];
  await bob.visits();
  assertEquals(published(bob).slice(2), ["anew 40"]);
});

test("a server that is full, or takes nothing, is not told again and again", async () => {
  const room = new PostRoom();
  const bob = await room.somebody("bob");
  room.hears = ({ type }) => type !== "publish";
  await bob.come();
  const [box] = bob.heard;
  assert(box?.type === "box");
  for (let i = 0; i < 20; i++) {
    room.say(bob.connection, { ...box, state: i % 2 ? BoxState.moved : BoxState.open });
    await room.calm();
  }
  assertEquals(bob.count("publish"), 1);
  assertEquals(bob.store.mailbag.prekeys(room.server, "once").length, ONE_TIME_PREKEYS);
});
