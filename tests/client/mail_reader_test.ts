/** What is opened of what a server hands out, and what is said of the rest (PROTOCOL.md 3.12, Opening). */
import { assert, assertEquals } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import { DAY, UNSHOWN_MESSAGES } from "../../lib/limits.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMessages } from "../../lib/store/sqlite_messages.ts";
import { type MailboxResponse, Verdict } from "../../lib/wire/mailbox_messages.ts";
import { NOWHERE, signedNameClaim } from "../../lib/wire/name_claim.ts";
import { test } from "../testkit/adversary.ts";
import { type Correspondent, keyOf, PostRoom } from "../testkit/mail_people.ts";
import { withFolder } from "../testkit/server.ts";

type Letter = Extract<MailboxResponse, { readonly type: "envelope" }>;

/** Bob is handed what the test makes of what alice left. */
async function scene(count = 1) {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await bob.visits();
  await alice.come();
  await alice.leavesEach(bob, ...Array.from({ length: count }, (_, i) => `${i}`));
  return { room, alice, bob };
}

/** What comes to bob of envelopes is this instead. */
function handing(
  room: PostRoom,
  bob: Correspondent,
  change: (letter: Letter) => Letter | readonly Letter[],
): void {
  room.alter = (response, to) =>
    to === bob && response.type === "envelope" ? [change(response)].flat() : [response];
}

function lastVerdict(who: Correspondent): number | undefined {
  return who.requests("settle").at(-1)?.settled[0]?.verdict;
}

/** All that somebody has on disk, but for what is known of others: a receipt may be owed. */
function rowsOf({ store }: Correspondent) {
  const { mailbag: { correspondents: _, ...mailbag }, ...messages } = store.snapshot().disk;
  return { ...messages, mailbag };
}

const flip = (bytes: Bytes, at = 0) => bytes.with(at, bytes[at]! ^ 1) as Bytes;

test("what is not as it was left does not open, changes nothing, and opens afterwards", async () => {
  const other = await (async () => {
    const room = new PostRoom();
    const carol = await room.somebody("carol");
    return carol.identity.bundle;
  })();
  const changes: Readonly<Record<string, (letter: Letter) => Letter>> = {
    "another version": (letter) => ({ ...letter, envelope: flip(letter.envelope) }),
    "another box": (letter) => ({ ...letter, envelope: flip(letter.envelope, 1) }),
    "another signed prekey": (letter) => ({ ...letter, envelope: flip(letter.envelope, 24) }),
    "another one-time prekey": (letter) => ({ ...letter, envelope: flip(letter.envelope, 32) }),
    "another key of the session": (letter) => ({ ...letter, envelope: flip(letter.envelope, 40) }),
    "another ciphertext": (letter) => ({ ...letter, envelope: flip(letter.envelope, 100) }),
    "another place": (letter) => ({ ...letter, envelope: flip(letter.envelope, 1154) }),
    "no place": (letter) => ({ ...letter, envelope: letter.envelope.with(1153, 255) as Bytes }),
    "another salt": (letter) => ({ ...letter, envelope: flip(letter.envelope, 1160) }),
    "another content": (letter) => ({ ...letter, envelope: flip(letter.envelope, 1200) }),
    "our own name": (letter) => ({ ...letter, sender: "bob" }),
    "another's bundle": (letter) => ({ ...letter, bundle: other }),
    "no bundle": (letter) => ({ ...letter, bundle: new Uint8Array(129) }),
    "a claim that does not hold": (letter) => ({
      ...letter,
      claim: { ...letter.claim, signature: flip(letter.claim.signature) },
    }),
    "a name that was not claimed": (letter) => ({ ...letter, sender: "carol" }),
  };
  for (const [what, change] of Object.entries(changes)) {
    const { room, alice, bob } = await scene();
    bob.welcome.add("carol");
    const held: Letter[] = [];
    handing(room, bob, (letter) => {
      held.push(letter);
      return [];
    });
    await bob.come();
    const before = rowsOf(bob);
    room.alter = (response) => [response];
    room.say(bob.connection, change(held[0]!));
    await room.pass(1000);
    assertEquals(lastVerdict(bob), Verdict.unopened, what);
    assertEquals(rowsOf(bob), before, what);
    assertEquals([bob.unread(alice), bob.failure], [[], undefined], what);
    assertEquals(bob.unread({ name: "carol" }), [], what);
    const box = bob.store.mailbag.box(room.server)!.name;
    assert(bob.store.mailbag.prekey(box, "once", 1n), what);
    assertEquals(bob.pins.has("carol"), false, what);
    // As it was, whatever was tried before.
    await room.pass(20_000, 2000);
    // Who is said to have written what nobody could have: alice hears of it never, and says it again a day later.
    const isKnown = bob.unread(alice).length > 0;
    if (!isKnown) {
      await alice.leave();
      room.time.advance(DAY);
      await alice.visits(4000);
    }
    assertEquals(bob.unread(alice), ["0"], what);
  }
});

/** An envelope with other bytes from here on. */
function replaced(letter: Letter, at: number, bytes: readonly number[]): Letter {
  const envelope = letter.envelope.slice();
  envelope.set(bytes, at);
  return { ...letter, envelope };
}

test("prekeys of numbers that are not here, or that nobody can have, open nothing, and use up nothing", async () => {
  const [SIGNED, ONCE] = [1 + 16, 1 + 24];
  await withFolder(async (path) => {
    const store = await SqliteMessages.open(await PrivateFolder.open(path), { keepHistory: true });
    const room = new PostRoom();
    const alice = await room.somebody("alice");
    const bob = await room.keeper("bob", store);
    alice.knows(bob);
    bob.knows(alice);
    await bob.visits();
    await alice.come();
    await alice.leavesEach(bob, "0");
    const highest = Array<number>(8).fill(255), unknown = [0, 0, 0, 0, 0, 0, 0, 77];
    // Beyond what a database counts to, by one.
    const beyond = [128, ...Array<number>(7).fill(0)];
    room.alter = (response, to) => {
      if (to !== bob || response.type !== "envelope") return [response];
      return [SIGNED, ONCE].flatMap((at) =>
        [highest, unknown, beyond].map((bytes) => [at, bytes] as const)
      )
        .map(([at, bytes], i) => ({
          ...replaced(response, at, bytes),
          id: new Uint8Array(16).fill(i + 1),
        }));
    };
    await bob.come();
    await room.pass(1000);
    const verdicts = bob.requests("settle").flatMap(({ settled }) => settled)
      .map(({ verdict }) => verdict);
    assertEquals(verdicts, Array(6).fill(Verdict.unopened));
    assertEquals([bob.unread(alice), bob.failure], [[], undefined]);
    await bob.leave();
    room.alter = (response) => [response];
    await bob.visits();
    assertEquals(bob.unread(alice), ["0"]);
    await store.close();
  });
});

test("what was opened and comes again is shown once: at once, after a restart, and when its session is forgotten", async () => {
  await Promise.all([true, false].map(async (hasOnce) => {
    const what = hasOnce ? "with a one-time prekey" : "without";
    const room = new PostRoom();
    const [alice, bob] = await room.pair();
    await bob.visits();
    room.alter = (response) =>
      response.type === "keys" && !hasOnce
        ? [{ ...response, found: response.found.map((found) => ({ ...found, once: [] })) }]
        : [response];
    await alice.come();
    await alice.leavesEach(bob, "0");
    const [letters, ids]: [Letter[], number[]] = [[], []];
    handing(room, bob, (letter) => {
      letters.push(letter);
      return letter;
    });
    await bob.come();
    await room.pass(1000);
    assertEquals(bob.unread(alice), ["0"], what);
    const comesAgain = async () => {
      const id = new Uint8Array(16).fill(ids.push(0));
      room.say(bob.connection, { ...letters[0]!, id });
      await room.pass(1000);
      assertEquals([bob.unread(alice), bob.failure], [["0"], undefined], what);
      return lastVerdict(bob);
    };
    assertEquals(await comesAgain(), Verdict.taken, what);
    await bob.dies();
    await bob.come();
    assertEquals(await comesAgain(), Verdict.taken, what);
    // Prekeys are replaced, sessions and secrets grow old.
    const seen = new Set<number | undefined>();
    for (let day = 0; day < 40; day += 5) {
      await bob.leave();
      room.time.advance(5 * DAY);
      await bob.come();
      seen.add(await comesAgain());
    }
    // First the session is remembered, and then what would open it is gone.
    assertEquals(seen, new Set([Verdict.taken, Verdict.unopened]), what);
    assertEquals((await alice.standing(bob)).stored, 1, what);
  }));
});

test("whoever has two names is heard under the one that they wrote with", async () => {
  const { room, alice, bob } = await scene();
  const { identity } = alice;
  const sequence = 5n, notAfter = BigInt(room.time.date() + 1000);
  const claimed = signedNameClaim("carol", identity.bundle, { sequence, notAfter }, NOWHERE);
  const claim = { sequence, notAfter, signature: await identity.sign(claimed) };
  bob.welcome.add("carol");
  handing(room, bob, (letter) => ({ ...letter, sender: "carol", claim }));
  await bob.come();
  await room.pass(1000);
  assertEquals([lastVerdict(bob), bob.unread({ name: "carol" })], [Verdict.unopened, []]);
  assertEquals(bob.pins.has("carol"), false);
});

test("a changed key is told once, opened never, and stays there", async () => {
  const { room, alice, bob } = await scene(3);
  bob.pins.set("alice", new Uint8Array(32));
  await bob.come();
  await room.pass(5000);
  assertEquals([bob.told("changed"), bob.unread(alice), lastVerdict(bob)], [
    ["alice"],
    [],
    Verdict.later,
  ]);
  assertEquals(bob.count("deposit"), 0);
  await bob.leave();
  bob.knows(alice);
  await bob.visits();
  assertEquals(bob.unread(alice), ["0", "1", "2"]);
});

test("repeated, swapped and held back: each is shown once, in order, and none is acknowledged that is not here", async () => {
  const { room, alice, bob } = await scene(6);
  const held: Letter[] = [];
  handing(room, bob, (letter) => {
    held.push(letter);
    return [];
  });
  await bob.come();
  room.alter = (response) => [response];
  const [a, b, c, d, e, f] = held;
  // The third is withheld for ever; the others come twice and in another order.
  for (const letter of [b, b, a, e, d, f, f, b, e]) {
    room.say(bob.connection, letter!);
    await room.calm();
  }
  assert(c);
  assertEquals(bob.failure, undefined);
  // The second has the first in front.
  assertEquals(bob.unread(alice), ["0", "1"]);
  await room.pass(5000);
  assertEquals((await alice.standing(bob)).stored, 2);
  // Alice learns what is missing, and says it again, with what the server still has, as it says, in front.
  await room.pass(60_000);
  assertEquals(bob.unread(alice), ["0", "1", "2", "3", "4", "5"]);
  await room.pass(10_000);
  assertEquals((await alice.standing(bob)).stored, 6);
});

test("thousands of envelopes of a stranger: memory is bounded, and a friend is heard", async () => {
  const { room, alice, bob } = await scene(1);
  const letters: Letter[] = [];
  handing(room, bob, (letter) => {
    letters.push(letter);
    return [];
  });
  await bob.come();
  await bob.leave();
  const [letter] = letters;
  const mallory = await room.somebody("mallory");
  const her: Letter[] = [];
  mallory.knows(bob);
  await mallory.come();
  await mallory.leavesEach(bob, "hi");
  handing(room, bob, (letter) => {
    her.push(letter);
    return [];
  });
  await bob.come();
  const hers = her.find(({ sender }) => sender === "mallory")!;
  room.alter = (response) => [response];
  for (let i = 0; i < 2000; i++) {
    const id = new Uint8Array(16);
    new DataView(id.buffer).setUint32(0, i);
    room.say(bob.connection, { ...hers, id });
    if (i % 8 === 7) await room.calm();
    if (bob.failure) break;
  }
  assertEquals([bob.told("stranger").length, bob.failure], [1, undefined]);
  room.say(bob.connection, letter!);
  await room.calm();
  assertEquals(bob.unread(alice), ["0"]);
  // More than may be held at once ends the connection.
  for (let i = 0; i < 40; i++) {
    const id = new Uint8Array(16).fill(i + 1);
    room.say(bob.connection, { ...hers, id });
  }
  await room.calm();
  assertEquals((bob.failure as { code?: string } | undefined)?.code, "limit");
});

test("where nobody looks there is room for so much, and for the rest when they do", async () => {
  const room = new PostRoom();
  const [alice, bob] = await room.pair();
  await bob.visits();
  await bob.store.receive(
    keyOf("alice"),
    new Uint8Array(16),
    Array.from({ length: UNSHOWN_MESSAGES }, (_, i) => ({
      type: "text" as const,
      number: BigInt(i + 1),
      id: new Uint8Array(16).map((_, at) => i >> (8 * at)),
      written: 0,
      content: new Uint8Array([65]),
    })),
  );
  await alice.come();
  await alice.leavesEach(bob, "one", "two");
  await bob.come();
  await room.pass(5000);
  assertEquals(bob.unread(alice).length, UNSHOWN_MESSAGES);
  assertEquals(lastVerdict(bob), Verdict.later);
  bob.reads(alice);
  await room.pass(2000);
  assertEquals(bob.unread(alice), ["one", "two"]);
});

test("what is asked again of a friend is asked once in ten minutes", async () => {
  const { room, bob } = await scene(3);
  handing(room, bob, (letter) => ({ ...letter, envelope: flip(letter.envelope, 1200) }));
  await bob.come();
  await room.pass(30_000);
  assertEquals([bob.told("unopened").length, bob.count("deposit")], [1, 1]);
});

test("what nobody has asked for ends the connection", async () => {
  const { room, alice, bob } = await scene();
  const id = new Uint8Array(16);
  const unasked: readonly MailboxResponse[] = [
    { type: "keys", name: "alice", retryAfter: 0, found: [] },
    { type: "deposited", id, code: 0, retryAfter: 0 },
    { type: "mine", more: 0, deposits: [] },
  ];
  for (const response of unasked) {
    await bob.come();
    await room.pass(1000);
    room.say(bob.connection, response);
    await room.calm();
    assertEquals((bob.failure as { code?: string } | undefined)?.code, "bad_state", response.type);
  }
  await bob.visits();
  assertEquals(bob.unread(alice), ["0"]);
});
