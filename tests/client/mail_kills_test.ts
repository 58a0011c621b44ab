/**
 * The end of a program at each place where what was left for somebody is between two databases, and what follows:
 * nothing is lost, nothing comes twice, and no more is sealed, asked and settled than that costs (PROTOCOL.md 3.12).
 */
import { assert, assertEquals } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import { DAY } from "../../lib/limits.ts";
import type { MessageStore } from "../../lib/store/message_store.ts";
import { DepositCode, Verdict } from "../../lib/wire/mailbox_messages.ts";
import { test } from "../testkit/adversary.ts";
import { envelopeParts, headerOf } from "../testkit/mailbox.ts";
import { KillScene, type Mortal, UNSYNCED } from "../testkit/mail_kills.ts";
import { type Correspondent, keyOf } from "../testkit/mail_people.ts";
import { withFolder } from "../testkit/server.ts";

/** Somebody's end, and what it comes to where that is not what it comes to without. */
interface End {
  readonly who: Mortal;
  readonly at: string;
  readonly time?: number;
  /** How often Alice asks for keys. */
  readonly asks?: number;
  /** The places in their sessions of what Alice and Bob leave. */
  readonly alices?: string;
  readonly bobs?: string;
  /** What happens when it has begun again, and before all. */
  readonly meanwhile?: (scene: KillScene) => Promise<void>;
  readonly before?: (scene: KillScene) => void;
}

/** A channel has brought what waits, as one that is open may while a program is killed. */
async function channelBrings({ alice, bob }: KillScene): Promise<void> {
  const { log, last } = await alice.store.outgoing(keyOf("bob"));
  const messages = alice.store.read(keyOf("bob"), 1n, 1000);
  await bob.store.receive(keyOf("alice"), log, messages);
  alice.store.acknowledge(keyOf("bob"), last, 0n);
}

/** The first envelope of Alice's is refused. */
function refusesOne({ room }: KillScene): void {
  const { hears } = room;
  let refusals = 1;
  room.hears = (request, from) => {
    if (request.type !== "deposit" || refusals-- <= 0) return hears(request, from);
    const { id } = request;
    room.say(from.connection, { type: "deposited", id, code: DepositCode.tooFast, retryAfter: 1 });
    return false;
  };
}

/** In the order of what is done. */
const ENDS: Readonly<Record<string, readonly End[]>> = {
  "prekeys are made, published, and known to be": [
    { who: "bob", at: "after beginBox" },
    { who: "bob", at: "after addPrekeys" },
    { who: "bob", at: "after addPrekeys", time: 2 },
    { who: "server", at: "before the change of publish" },
    { who: "server", at: "after the change of publish" },
    { who: "bob", at: "hears box", time: 2 },
    { who: "bob", at: "before noteAnew" },
  ],
  "keys are asked for, and a session begun": [
    { who: "server", at: "before the change of ask", asks: 2 },
    { who: "server", at: "after the change of ask", asks: 2 },
    { who: "server", at: "says keys", asks: 2 },
    { who: "alice", at: "hears keys", asks: 2 },
    { who: "alice", at: "before begin", asks: 2 },
    { who: "alice", at: "after begin" },
  ],
  "an envelope is sealed, left, and known to be there": [
    { who: "alice", at: "before seal" },
    // The chain has moved on, and what was sealed is nowhere.
    { who: "alice", at: "after seal", alices: "a1 a2 a3" },
    { who: "server", at: "hears deposit", alices: "a0 a1 a2 a3" },
    { who: "server", at: "before the change of deposit", alices: "a0 a1 a2 a3" },
    { who: "server", at: "after the change of deposit" },
    { who: "server", at: "says deposited" },
    { who: "alice", at: "hears deposited" },
    { who: "alice", at: "before confirm" },
    { who: "alice", at: "after confirm" },
    { who: "alice", at: "before drop", alices: "a0 a1 a2 a3", before: refusesOne },
    { who: "alice", at: "after drop", alices: "a0 a1 a2 a3", before: refusesOne },
  ],
  "it is handed out, opened and settled": [
    { who: "server", at: "says envelope" },
    { who: "bob", at: "before receiveSealed" },
    { who: "bob", at: "after receiveSealed" },
    { who: "server", at: "hears settle" },
    { who: "server", at: "before the change of settle" },
    { who: "server", at: "after the change of settle" },
    { who: "bob", at: "before receiveSealed", meanwhile: channelBrings },
    { who: "bob", at: "after receiveSealed", meanwhile: channelBrings },
  ],
  "a receipt is sealed, left, and read": [
    { who: "bob", at: "before seal" },
    { who: "bob", at: "after seal", bobs: "a1 a2" },
    { who: "bob", at: "hears deposited" },
    { who: "bob", at: "before confirm" },
    { who: "alice", at: "before receiveSealed" },
    { who: "alice", at: "after receiveSealed" },
    { who: "server", at: "before the change of settle", time: 2 },
    { who: "server", at: "after the change of settle", time: 2 },
    { who: "alice", at: "before drop" },
    { who: "alice", at: "after drop" },
  ],
};

for (const [what, ends] of Object.entries(ENDS)) {
  test(`whoever is killed while ${what}: nothing is lost, and nothing comes twice`, async () => {
    // Side by side, since all of them wait most of the time.
    const played = await Promise.allSettled(
      ends.map((end) => withFolder((path) => play(path, end), UNSYNCED)),
    );
    const failures = played.flatMap((each, i) => {
      const { who, at, time = 1 } = ends[i]!;
      const place = `${who} ${at}, ${time}`;
      return each.status === "rejected" ? [new Error(place, { cause: each.reason })] : [];
    });
    if (failures.length > 0) throw new AggregateError(failures);
  });
}

async function play(path: string, end: End): Promise<void> {
  const scene = await KillScene.begin(path);
  const { alice, bob } = scene;
  end.before?.(scene);
  if (end.meanwhile) scene.meanwhile = () => end.meanwhile!(scene);
  scene.killAt(end.who, end.at, end.time);
  await scene.visits(bob);
  await alice.says(bob, "one");
  await scene.visits(alice);
  await scene.visits(bob);
  await alice.says(bob, "two");
  await scene.visits(alice);
  assertEquals((await alice.standing(bob)).stored, 1);
  await bob.says(alice, "back");
  await scene.visits(bob);
  await scene.visits(alice);
  await scene.visits(bob);
  assert(scene.isDone, "nobody was killed");
  await assertAllIsWell(scene);
  const cost = { asks: alice.count("ask"), alices: places(alice), bobs: places(bob) };
  assertEquals(cost, {
    asks: end.asks ?? 1,
    alices: end.alices ?? "a0 a1 a2",
    bobs: end.bobs ?? "a0 a1",
  });
  await scene.end();
}

/** Everything is there, once and in order, both know it, and nothing is left of how it came. */
async function assertAllIsWell({ room, alice, bob }: KillScene): Promise<void> {
  assertEquals([bob.unread(alice), alice.unread(bob)], [["one", "two"], ["back"]]);
  assertEquals(await alice.standing(bob), { stored: 2, read: 0, last: 2 });
  assertEquals(await bob.standing(alice), { stored: 1, read: 0, last: 1 });
  assertEquals(room.mailbox.counts().count, 0);
  for (const { store: { mailbag }, failure, events, name } of [alice, bob]) {
    // A receipt is forgotten with the next visit.
    const left = mailbag.deposits(room.server).filter(({ last }) => last > 0n);
    assertEquals([left, mailbag.owed(room.server)], [[], []], name);
    assertEquals([failure, events.filter(({ type }) => type === "trouble")], [undefined, []], name);
  }
  const verdicts = [alice, bob].flatMap((who) => who.requests("settle"))
    .flatMap(({ settled }) => settled.map(({ verdict }) => verdict));
  assertEquals(new Set(verdicts), new Set([Verdict.taken]));
}

test("a one-time prekey that was handed out and lost on the way goes 16 days after, and no other", async () => {
  for (const [who, at] of [["server", "says keys"], ["alice", "before begin"]] as const) {
    await withFolder(async (path) => {
      const scene = await KillScene.begin(path);
      const { alice, bob, room } = scene;
      await scene.visits(bob);
      scene.killAt(who, at);
      await alice.says(bob, "one");
      await scene.visits(alice);
      assert(scene.isDone);
      await scene.visits(bob);
      assertEquals(bob.unread(alice), ["one"]);
      const { name } = bob.store.mailbag.box(room.server)!;
      // The first was lost, the second has opened the envelope.
      const kept = () =>
        [1n, 2n, 3n].filter((number) => bob.store.mailbag.prekey(name, "once", number));
      assertEquals(kept(), [1n, 3n]);
      room.time.advance(16 * DAY);
      await scene.visits(bob);
      assertEquals(kept(), [3n]);
      await scene.end();
    }, UNSYNCED);
  }
});

test("a server that is put back hands out what was there and used before: nothing comes twice, and all comes", async () => {
  await withFolder(async (path) => {
    const scene = await KillScene.begin(path);
    const { alice, bob, room } = scene;
    await scene.visits(bob);
    await alice.says(bob, "one");
    const beforeKeys = scene.keepMailbox("without keys");
    await scene.visits(alice);
    const beforeFetch = scene.keepMailbox("with an envelope");
    await scene.visits(bob);
    // The envelope is there again.
    await beforeFetch();
    await scene.visits(bob);
    assertEquals(bob.unread(alice), ["one"]);
    await scene.visits(alice);
    assertEquals((await alice.standing(bob)).stored, 1);
    // The one-time prekey that Alice has used is there again, for somebody who has none yet.
    await beforeKeys();
    const carol = await room.somebody("carol");
    carol.knows(bob);
    bob.knows(carol);
    await carol.says(bob, "of mine");
    await carol.visits();
    await scene.visits(bob);
    assertEquals([bob.unread(carol), bob.told("unopened")], [[], ["carol"]]);
    room.time.advance(60_000);
    await carol.visits();
    await scene.visits(bob);
    assertEquals(bob.unread(carol), ["of mine"]);
    await alice.says(bob, "two");
    await scene.visits(alice);
    await scene.visits(bob);
    assertEquals(bob.unread(alice), ["one", "two"]);
    await scene.end();
  }, UNSYNCED);
});

/** The sessions of what somebody left, and their places, in words: `a0 a1 b0`. */
function places(who: Correspondent<MessageStore>): string {
  const names: string[] = [];
  return who.requests("deposit").map(({ envelope }) => {
    const header = encodeHex(headerOf(envelope));
    if (!names.includes(header)) names.push(header);
    return `${"abcdefgh"[names.indexOf(header)]}${envelopeParts(envelope).n}`;
  }).join(" ");
}
