/** What is asked, sealed, replaced and withdrawn, and when it is sealed again (PROTOCOL.md 3.12). */
import { assert, assertEquals } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { contentLength } from "../../lib/wire/envelope.ts";
import { DAY, SESSION_ENVELOPES } from "../../lib/limits.ts";
import {
  DepositCode,
  DepositState,
  type MailboxResponse,
} from "../../lib/wire/mailbox_messages.ts";
import { test } from "../testkit/adversary.ts";
import { type Anybody, type Correspondent, keyOf, PostRoom } from "../testkit/mail_people.ts";
import { envelopeParts, headerOf, headerParts } from "../testkit/mailbox.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";

/** Alice, who is here and has something to say to Bob, who has been here. */
async function scene(options = {}) {
  const room = new PostRoom(options);
  const [alice, bob] = await room.pair();
  await bob.visits();
  await alice.come();
  return { room, alice, bob };
}

/** The sessions of what somebody left, and their places, in words: `a0 a1 b0`. */
function places(who: Correspondent): string {
  const names: string[] = [];
  return who.requests("deposit").map(({ envelope }) => {
    const header = encodeHex(headerOf(envelope));
    if (!names.includes(header)) names.push(header);
    return `${"abcdefgh"[names.indexOf(header)]}${envelopeParts(envelope).n}`;
  }).join(" ");
}

/** Answers of one type are changed. */
function changing<T extends MailboxResponse["type"]>(
  type: T,
  change: (
    response: Extract<MailboxResponse, { readonly type: T }>,
    to: Anybody,
  ) => MailboxResponse,
): PostRoom["alter"] {
  return (response, to) => [
    response.type === type
      ? change(response as Extract<MailboxResponse, { readonly type: T }>, to)
      : response,
  ];
}

test("one question, one session, one envelope for what fits, and the next for the rest", async () => {
  const { room, alice, bob } = await scene();
  const long = "x".repeat(16_000);
  await alice.says(bob, ...Array.from({ length: 7 }, () => long), "short");
  await room.pass(4000);
  assertEquals([alice.count("ask"), places(alice)], [1, "a0 a1 a2"]);
  for (const { envelope } of alice.requests("deposit")) assert(envelope.length <= 58_547);
  assertEquals(await alice.postman.onServer("bob"), 8n);
  await bob.visits();
  assertEquals(bob.unread(alice).length, 8);
});

test("what is written while keys are taken asks for no others", async () => {
  const { room, alice, bob } = await scene();
  room.alter = (response, to) => {
    if (response.type === "keys") {
      to.postman.touch("bob");
      // The session is being begun.
      setTimeout(() => room.time.advance(3000), 0);
    }
    return [response];
  };
  await alice.says(bob, "hello");
  await room.pass(8000);
  assertEquals([alice.count("ask"), places(alice)], [1, "a0"]);
  await bob.visits();
  assertEquals(bob.unread(alice), ["hello"]);
});

test("as many messages as fit 57344 bytes are in one envelope", async () => {
  const id = new Uint8Array(16);
  const nothing = { log: id, first: 1n, readLog: id, have: 0n, haveId: id, read: 0n, pass: id };
  const texts = Array.from({ length: 4 }, () => "x".repeat(14_000));
  const messages = texts.map((text, i) => ({
    type: "text" as const,
    number: BigInt(i + 1),
    id,
    written: 0,
    content: encodeUtf8(text),
  }));
  const free = 57_344 - contentLength({ ...nothing, from: "alice", to: "bob", messages });
  for (const [spare, envelopes] of [[0, 1], [1, 2]] as const) {
    const { room, alice, bob } = await scene();
    await alice.says(bob, ...texts.slice(1), texts[0] + "y".repeat(free + spare));
    await room.pass(4000);
    assertEquals(alice.count("deposit"), envelopes, `${spare} too many`);
    if (envelopes === 1) assertEquals(alice.requests("deposit")[0]!.envelope.length, 58_547);
    await bob.visits();
    assertEquals(bob.unread(alice).length, 4);
  }
});

test("a session ends after a day, after 1024 envelopes, and when the clock goes back", async () => {
  for (const hours of [23, 24, -1]) {
    const { room, alice, bob } = await scene();
    await alice.leavesEach(bob, "one");
    await alice.leave();
    if (hours > 0) room.time.advance(hours * 3_600_000);
    else {
      const { date } = room.time;
      Object.assign(room.time, { date: () => date() - DAY });
    }
    await alice.come();
    await alice.leavesEach(bob, "two");
    assertEquals(places(alice), hours === 23 ? "a0 a1" : "a0 b0", `${hours} hours`);
  }
  const { alice, bob, room } = await scene();
  await alice.leavesEach(bob, "one");
  const { mailbag } = alice.store, { header, chain } = mailbag.writing("bob", room.server)!;
  const { log } = await alice.store.outgoing(keyOf("bob"));
  const nothing = { id: new Uint8Array(16), box: header.slice(0, 16), log, first: 0n, last: 0n };
  const next = SESSION_ENVELOPES;
  await mailbag.seal("bob", room.server, { header, chain, next }, { ...nothing, at: 0 });
  await alice.leavesEach(bob, "two");
  assertEquals(places(alice), "a0 b0");
});

test("a receipt that waits is replaced by whatever follows it", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await Promise.all([alice.come(), bob.come()]);
  await alice.says(bob, "one");
  await room.pass(5000);
  await alice.leave();
  // Bob's receipt waits; what he says takes its place, and then another receipt takes the next.
  await alice.visits(0);
  room.alter = (response, to) => to === alice && response.type === "envelope" ? [] : [response];
  bob.reads(alice);
  await room.pass(15_000);
  await bob.says(alice, "two");
  await room.pass(5000);
  const deposits = bob.requests("deposit");
  const [last] = deposits.slice(-1);
  assertEquals(last!.replaces.map(encodeHex), [encodeHex(deposits.at(-2)!.id)]);
  const kept = bob.store.mailbag.deposits(room.server);
  assertEquals(kept.map(({ last }) => last), [1n]);
});

test("what was acknowledged by another way is withdrawn", async () => {
  const { room, alice, bob } = await scene();
  await alice.leavesEach(bob, "one", "two");
  alice.store.acknowledge(keyOf("bob"), 1n, 0n);
  alice.postman.touch("bob");
  await room.pass(4000);
  const [first] = alice.requests("deposit");
  assertEquals(alice.requests("withdraw").map(({ ids }) => ids.map(encodeHex)), [[
    encodeHex(first!.id),
  ]]);
  assertEquals(alice.store.mailbag.deposits(room.server).map(({ last }) => last), [2n]);
});

test("what was taken back is taken away at once, and what follows it is not lost", async () => {
  const { room, alice, bob } = await scene();
  await alice.leavesEach(bob, "one", "two", "three");
  assert(await alice.store.takeBack(keyOf("bob"), 1n));
  alice.postman.touch("bob");
  await room.pass(4000);
  assertEquals(alice.count("withdraw"), 1);
  await bob.visits();
  assertEquals(bob.unread(alice), ["taken back", "two", "three"]);
  // Now it is theirs.
  assertEquals(await alice.store.takeBack(keyOf("bob"), 2n), false);
});

test("of several in one envelope one is taken back: before it is fetched, when it was read, and over a channel", async () => {
  for (const when of ["waiting", "fetched", "over a channel"]) {
    const { room, alice, bob } = await scene();
    await alice.says(bob, "one", "two", "three");
    await room.pass(4000);
    assertEquals(places(alice), "a0", when);
    // She does not hear that he has it.
    room.hears = ({ type }, { name }) => name !== "bob" || type !== "deposit";
    if (when === "fetched") await bob.visits();
    assert(await alice.store.takeBack(keyOf("bob"), 2n), when);
    alice.postman.touch("bob");
    await room.pass(4000);
    if (when === "over a channel") {
      const { log } = await alice.store.outgoing(keyOf("bob"));
      const messages = alice.store.read(keyOf("bob"), 1n, 1000);
      await bob.store.receive(keyOf("alice"), log, messages);
    }
    room.hears = () => true;
    await bob.visits();
    // What was read is read, under the number and the id that it had.
    const second = when === "fetched" ? "two" : "taken back";
    assertEquals(bob.unread(alice), ["one", second, "three"], when);
    await room.pass(1000);
    assertEquals(await alice.standing(bob), { stored: 3, read: 0, last: 3 }, when);
    assertEquals(await alice.store.takeBack(keyOf("bob"), 2n), false, when);
    assertEquals(room.mailbox.counts().count, 0, when);
  }
});

test("what is in a box that is not the present one is sealed again for that, and takes its place", async () => {
  const { room, alice, bob } = await scene();
  await alice.leavesEach(bob, "one", "two");
  await alice.leave();
  // Bob has lost all of his disk, and comes with another box.
  const box = bob.store.mailbag.box(room.server)!.name;
  await bob.dies(new MemoryMessages().snapshot());
  bob.knows(alice);
  await bob.visits();
  assertEquals([bob.told("elsewhere").length, bob.unread(alice)], [1, []]);
  await alice.visits();
  assertEquals(places(alice), "a0 a1 b0");
  assert(alice.requests("deposit").at(-1)!.replaces.length === 2);
  assert(
    encodeHex(headerParts(headerOf(alice.requests("deposit").at(-1)!.envelope)).box) !==
      encodeHex(box),
  );
  await bob.visits();
  assertEquals(bob.unread(alice), ["one", "two"]);
});

test("what does not open there is sealed again after a word of theirs, in another session", async () => {
  const { room, alice, bob } = await scene();
  const broken = (bytes: Bytes) => bytes.with(bytes.length - 1, bytes.at(-1)! ^ 1) as Bytes;
  room.alter = changing(
    "envelope",
    (response, to) => to === bob ? { ...response, envelope: broken(response.envelope) } : response,
  );
  await alice.leavesEach(bob, "one");
  await bob.come();
  await room.pass(5000);
  assertEquals([bob.told("unopened"), bob.unread(alice)], [["alice"], []]);
  room.alter = (response) => [response];
  await room.pass(30_000);
  assertEquals(places(alice), "a0 b0");
  assertEquals(bob.unread(alice), ["one"]);
});

test("what vanished without a word is sealed again after a day", async () => {
  const { room, alice, bob } = await scene();
  await alice.leavesEach(bob, "one");
  room.lose();
  await alice.leave();
  await bob.visits();
  await alice.visits();
  assertEquals(places(alice), "a0");
  room.time.advance(DAY);
  await alice.visits();
  assertEquals(places(alice), "a0 b0");
  await bob.visits();
  assertEquals(bob.unread(alice), ["one"]);
});

test("what the server never had is sealed again at once, in the same session", async () => {
  const { room, alice, bob } = await scene();
  await alice.leavesEach(bob, "one");
  room.hears = ({ type }) => type !== "deposit";
  await alice.leavesEach(bob, "two");
  await alice.cut();
  room.hears = () => true;
  await alice.come();
  await room.pass(4000);
  assertEquals(places(alice), "a0 a1 a2");
  await bob.visits();
  assertEquals(bob.unread(alice), ["one", "two"]);
});

test("a deposit whose answer was lost is there, and not sealed again", async () => {
  const { room, alice, bob } = await scene();
  room.alter = (response) => response.type === "deposited" ? [] : [response];
  await alice.leavesEach(bob, "one");
  await alice.cut();
  await alice.come();
  await room.pass(4000);
  assertEquals([places(alice), await alice.postman.onServer("bob")], ["a0", 1n]);
});

test("each code of a refusal: what is told, how long is waited, and that nothing is lost", async () => {
  const cases = [
    [DepositCode.noRoom, 600_000, 1],
    [DepositCode.shareWithThem, 600_000, 1],
    [DepositCode.share, 600_000, 1],
    [DepositCode.full, 600_000, 1],
    [DepositCode.tooFast, 7000, 0],
    [DepositCode.moved, 0, 0],
  ] as const;
  for (const [code, pause, told] of cases) {
    const { room, alice, bob } = await scene();
    let refusals = 1;
    room.alter = changing(
      "deposited",
      (response) =>
        refusals-- > 0 ? { ...response, code, retryAfter: pause === 7000 ? 7 : 0 } : response,
    );
    await alice.says(bob, "one");
    await room.pass(4000);
    const what = `code ${code}`;
    assertEquals(alice.told("trouble").length, told, what);
    assertEquals(alice.count("deposit"), pause === 0 ? 2 : 1, what);
    assertEquals(alice.count("ask"), code === DepositCode.moved ? 2 : 1, what);
    if (pause > 0) {
      assertEquals(await alice.postman.onServer("bob"), 0n, what);
      await room.pass(pause - 5000, pause > 60_000 ? 100_000 : 1000);
      assertEquals(alice.count("deposit"), 1, what);
      await room.pass(6000);
    }
    assertEquals(alice.count("deposit"), 2, what);
    assertEquals(await alice.postman.onServer("bob"), 1n, what);
    await bob.visits();
    assertEquals(bob.unread(alice), ["one"], what);
  }
});

test("no keys: it waits, asks again when that was said or in ten minutes, and tells it once", async () => {
  for (const retryAfter of [0, 30]) {
    const { room, alice, bob } = await scene();
    room.alter = changing("keys", (response) => ({ ...response, retryAfter, found: [] }));
    await alice.says(bob, "one");
    await room.pass(5000);
    const pause = retryAfter === 0 ? 600_000 : 30_000;
    assertEquals([alice.count("ask"), alice.told("trouble").length], [1, 1]);
    await alice.says(bob, "two");
    await room.pass(pause - 10_000, 10_000);
    assertEquals(alice.count("ask"), 1);
    await room.pass(10_000);
    assertEquals([alice.count("ask"), alice.told("trouble").length], [2, 1]);
    room.alter = (response) => [response];
    await room.pass(pause + 5000, 10_000);
    await bob.visits();
    assertEquals(bob.unread(alice), ["one", "two"]);
  }
});

test("nothing is sealed to keys that are not theirs, are old, or do not hold", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  const mallory = await room.somebody("mallory");
  await mallory.visits();
  await bob.visits();
  const old = await keysOf(room, bob);
  room.time.advance(8 * DAY);
  await bob.visits();
  const now = await keysOf(room, bob), hers = await keysOf(room, mallory);
  assert(now.signed.number > old.signed.number);
  const flip = (bytes: Bytes) => bytes.with(0, bytes[0]! ^ 1) as Bytes;
  const wrong = {
    "somebody else's": hers,
    "somebody else's prekey": { ...now, signed: hers.signed },
    "another box": { ...now, box: flip(now.box) },
    "a claim for another name": { ...now, claim: hers.claim },
    "a claim that does not hold": {
      ...now,
      claim: { ...now.claim, signature: flip(now.claim.signature) },
    },
    "a prekey that does not hold": {
      ...now,
      signed: { ...now.signed, signature: flip(now.signed.signature) },
    },
    "a one-time prekey as the signed one": { ...now, signed: now.once[0]! },
    "the signed one as a one-time prekey": { ...now, once: [now.signed] },
    "no key": { ...now, signed: { ...now.signed, x25519: new Uint8Array(32) } },
    "no bundle": { ...now, bundle: new Uint8Array(129) },
    "an old prekey": old,
  };
  // She has seen the newer one.
  await alice.come();
  await alice.leavesEach(bob, "before");
  await alice.leave();
  for (const [what, found] of Object.entries(wrong)) {
    room.time.advance(DAY);
    room.alter = changing("keys", (response) => ({ ...response, found: [found] }));
    const before = alice.count("deposit"), troubles = alice.told("trouble").length;
    await alice.come();
    await alice.says(bob, what);
    await room.pass(4000);
    assertEquals(alice.count("deposit") - before, 0, what);
    assertEquals(alice.told("trouble").length - troubles, 1, what);
    assertEquals(alice.failure, undefined, what);
    await alice.leave();
  }
  room.alter = (response) => [response];
  room.time.advance(DAY);
  await alice.visits();
  await bob.visits();
  assertEquals(bob.unread(alice), ["before", ...Object.keys(wrong)]);
});

/** What the server has of somebody's, for whoever asks. */
async function keysOf(room: PostRoom, who: Correspondent) {
  const asker = { name: "asker", fingerprint: "ab".repeat(32) };
  const request = { type: "ask", name: who.name, pass: new Uint8Array(16) } as const;
  const { answer } = await room.mailbox.ask(asker, request, room.time.date());
  return answer.found[0]!;
}

test("what is told of what is there is believed only of our own", async () => {
  const { room, alice, bob } = await scene();
  await alice.leavesEach(bob, "one");
  const strange = Array.from({ length: 250 }, (_, i) => ({
    id: new Uint8Array(16).fill(i),
    state: DepositState.elsewhere,
  }));
  room.alter = changing("mine", (response) => ({ ...response, deposits: strange }));
  await alice.cut();
  await alice.come();
  await room.pass(10_000);
  assertEquals([places(alice), alice.failure], ["a0", undefined]);
});
