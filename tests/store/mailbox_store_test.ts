/** What every MailboxStore does, whatever it keeps things in. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { MailboxStore, MailboxWriter } from "../../lib/store/mailbox_store.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteMailbox } from "../../lib/store/sqlite_mailbox.ts";
import { ManualTime } from "../testkit/clock.ts";
import { MemoryMailbox } from "../testkit/memory_mailbox.ts";
import { withFolder } from "../testkit/server.ts";
import {
  boxOf,
  envelopeTo,
  fingerprintOf,
  idOf,
  passKeyOf,
  prekeyOf,
  prekeysOf,
} from "./mailbox_samples.ts";
import { NOW } from "./server_samples.ts";

const MIB = 2 ** 20;
const ALICE = fingerprintOf("alice"), BOB = fingerprintOf("bob"), CAROL = fingerprintOf("carol");

/** Runs a scene over a store in memory, and over one on disk. */
function test(name: string, scene: (store: MailboxStore) => Promise<void>): void {
  Deno.test(`in memory: ${name}`, () => scene(new MemoryMailbox()));
  Deno.test(`on disk: ${name}`, async () => {
    await withFolder(async (path) => {
      const { after } = new ManualTime();
      const store = await SqliteMailbox.open(await PrivateFolder.open(path), {
        budget: 64 * MIB,
        after,
      });
      try {
        await scene(store);
      } finally {
        store.close();
      }
    });
  });
}

/** Opens a box and returns its key. */
function open(store: MailboxStore, owner: string, name: string, now = NOW): Promise<number> {
  return store.change((writer) => writer.open(owner, boxOf(name), now));
}

/** Leaves an envelope and returns its place. */
function leave(store: MailboxStore, ...envelope: Parameters<typeof envelopeTo>): Promise<number> {
  return store.change((writer) => writer.insert(envelopeTo(...envelope)));
}

test("an empty store has nothing", async (store) => {
  const none = { count: 0, bytes: 0 };
  assertEquals(store.boxes(BOB), []);
  assertEquals(store.stock(1), { count: 0, next: 0n });
  assertEquals(store.waitingFor(BOB), { all: none, withoutPass: none });
  assertEquals(store.waitingIn(1), 0);
  assertEquals([store.between(ALICE, BOB), store.leftBy(ALICE)], [none, none]);
  assertEquals(store.left(ALICE, 0, 10), []);
  assertEquals(store.envelope(ALICE, idOf(1)), undefined);
  assertEquals([store.senders(1), store.next(1, ALICE, 0), store.body(1)], [
    [],
    undefined,
    undefined,
  ]);
  assertEquals(store.counts(), { boxes: 0, ...none });
  assertEquals(await store.change((writer) => writer.takeOnce(1)), undefined);
  assertEquals(await store.change((writer) => writer.expire(NOW, 10)), 0);
  assertEquals(await store.change((writer) => writer.removeUnused(NOW, 10)), 0);
  await store.change((writer) => {
    writer.take(1, idOf(1));
    writer.use(1, NOW);
    writer.remove(1);
    writer.dropOnce(1);
    writer.forget(BOB);
  });
  store.handedOut(1, idOf(1));
});

test("the box that was opened last is the present one, and keeps what was published in it", async (store) => {
  const first = await open(store, BOB, "one");
  await store.change((writer) => {
    writer.sign(first, prekeyOf(7), NOW + 1);
    writer.addOnce(first, prekeysOf(1, 3));
  });
  const second = await open(store, BOB, "two", NOW + 2);
  assertNotEquals(first, second);
  const one = {
    key: first,
    owner: BOB,
    ...boxOf("one"),
    isPresent: false,
    used: NOW,
    signed: prekeyOf(7),
    published: NOW + 1,
    highest: 3n,
  };
  const two = {
    key: second,
    owner: BOB,
    ...boxOf("two"),
    isPresent: true,
    used: NOW + 2,
    signed: undefined,
    published: 0,
    highest: 0n,
  };
  assertEquals(store.boxes(BOB), [two, one]);
  const claim = {
    sequence: 2n ** 64n - 1n,
    notAfter: 2n ** 64n - 1n,
    signature: new Uint8Array(64).fill(8),
  };
  const again = boxOf("one", { passKey: passKeyOf("new"), claim });
  await store.change((writer) => writer.open(BOB, again, NOW + 3));
  assertEquals(store.boxes(BOB), [
    { ...one, ...again, isPresent: true, used: NOW + 3 },
    { ...two, isPresent: false },
  ]);
  assertEquals(store.stock(first), { count: 3, next: 1n });
  await store.change((writer) => writer.use(second, NOW + 9));
  assertEquals(store.boxes(BOB).map(({ key, isPresent }) => [key, isPresent]), [
    [second, false],
    [first, true],
  ]);
  assertEquals(store.boxes(ALICE), []);
  assertEquals(store.counts().boxes, 2);
});

test("a box of the same name is another one's own", async (store) => {
  const bob = await open(store, BOB, "same"), carol = await open(store, CAROL, "same");
  await store.change((writer) => writer.addOnce(bob, [prekeyOf(1)]));
  assertEquals(store.stock(carol).count, 0);
  await store.change((writer) => writer.remove(bob));
  assertEquals([store.boxes(BOB).length, store.boxes(CAROL).length], [0, 1]);
});

test("a key of a box that is gone is never used again", async (store) => {
  const before = await open(store, BOB, "one");
  await store.change((writer) => writer.remove(before));
  assert(await open(store, BOB, "one") > before);
});

test("one-time prekeys are handed out once, the lowest first, up to the highest number there is", async (store) => {
  const box = await open(store, BOB, "one");
  const numbers = [2n ** 64n - 1n, 1n, 256n, 255n, 2n ** 63n];
  await store.change((writer) => writer.addOnce(box, numbers.map(prekeyOf)));
  assertEquals(store.stock(box), { count: 5, next: 1n });
  assertEquals(store.boxes(BOB)[0]!.highest, 2n ** 64n - 1n);
  for (const number of [1n, 255n, 256n, 2n ** 63n, 2n ** 64n - 1n]) {
    assertEquals(await store.change((writer) => writer.takeOnce(box)), prekeyOf(number));
  }
  assertEquals(await store.change((writer) => writer.takeOnce(box)), undefined);
  assertEquals(store.stock(box), { count: 0, next: 0n });
  // Once published, a number counts, whatever became of it.
  assertEquals(store.boxes(BOB)[0]!.highest, 2n ** 64n - 1n);
});

test("one-time prekeys that were dropped are gone, and their numbers are not", async (store) => {
  const box = await open(store, BOB, "one");
  await store.change((writer) => writer.addOnce(box, prekeysOf(1, 40)));
  await store.change((writer) => {
    writer.dropOnce(box);
    writer.addOnce(box, [prekeyOf(41)]);
  });
  assertEquals(store.stock(box), { count: 1, next: 41n });
  assertEquals(store.boxes(BOB)[0]!.highest, 41n);
});

test("what waits is counted for its recipient, its sender, and the two of them", async (store) => {
  const one = await open(store, BOB, "one"), two = await open(store, BOB, "two");
  const other = await open(store, CAROL, "one");
  const body = (length: number) => ({ body: new Uint8Array(length) });
  await leave(store, one, 1, body(1715));
  await leave(store, two, 2, { ...body(2227), passed: true });
  await leave(store, two, 3, { ...body(3251), sender: CAROL });
  await leave(store, other, 4, body(5299));
  assertEquals(store.waitingFor(BOB), {
    all: { count: 3, bytes: 1715 + 2227 + 3251 },
    withoutPass: { count: 2, bytes: 1715 + 3251 },
  });
  assertEquals([store.waitingIn(one), store.waitingIn(two), store.waitingIn(other)], [1, 2, 1]);
  assertEquals(store.between(ALICE, BOB), { count: 2, bytes: 1715 + 2227 });
  assertEquals(store.between(CAROL, BOB), { count: 1, bytes: 3251 });
  assertEquals(store.between(BOB, CAROL), { count: 0, bytes: 0 });
  assertEquals(store.leftBy(ALICE), { count: 3, bytes: 1715 + 2227 + 5299 });
  assertEquals(store.counts(), { boxes: 3, count: 4, bytes: 1715 + 2227 + 3251 + 5299 });
});

test("envelopes are found by sender and id, and in order by box and sender", async (store) => {
  const box = await open(store, BOB, "one"), other = await open(store, BOB, "two");
  const places: number[] = [];
  for (const id of [1, 2, 3]) places.push(await leave(store, box, id));
  const hers = await leave(store, box, 2, { sender: CAROL, body: new Uint8Array(58_547).fill(3) });
  await leave(store, other, 9);
  assertEquals(places, places.toSorted((a, b) => a - b));
  const expected = {
    place: places[1]!,
    id: idOf(2),
    sender: ALICE,
    box,
    passed: false,
    size: 1715,
    since: NOW,
  };
  assertEquals(store.envelope(ALICE, idOf(2)), expected);
  assertEquals(store.envelope(CAROL, idOf(2))?.place, hers);
  assertEquals(store.envelope(CAROL, idOf(1)), undefined);
  assertEquals([store.at(places[1]!), store.at(hers + 99)], [expected, undefined]);
  assertEquals(store.senders(box), [ALICE, CAROL]);
  assertEquals(store.next(box, ALICE, 0)?.place, places[0]);
  assertEquals(store.next(box, ALICE, places[0]!), expected);
  assertEquals(store.next(box, ALICE, places[2]!), undefined);
  assertEquals(store.body(hers), new Uint8Array(58_547).fill(3));
  assertEquals(store.body(places[0]!), new Uint8Array(1715).fill(0x65));
});

test("an envelope may take the place of one that goes, and only that one goes", async (store) => {
  const box = await open(store, BOB, "one");
  const place = await leave(store, box, 1);
  await leave(store, box, 2);
  await store.change((writer) => {
    writer.take(place, idOf(1));
    writer.insert(envelopeTo(box, 3), place);
  });
  assertEquals(store.next(box, ALICE, 0)?.id, idOf(3));
  // What was handed out under this place has another id.
  await store.change((writer) => writer.take(place, idOf(1)));
  assertEquals(store.next(box, ALICE, 0)?.id, idOf(3));
  await store.change((writer) => writer.take(place, idOf(3)));
  assertEquals(store.next(box, ALICE, 0)?.id, idOf(2));
  // A place that was the last one is not used again for another envelope.
  const last = store.next(box, ALICE, 0)!.place;
  await store.change((writer) => writer.take(last, idOf(2)));
  assert(await leave(store, box, 4) > last);
});

test("a sender is told of what it has left, a page at a time", async (store) => {
  const one = await open(store, BOB, "one");
  const places = [await leave(store, one, 1), await leave(store, one, 2)];
  await open(store, BOB, "two", NOW + 1);
  places.push(await leave(store, await open(store, CAROL, "three"), 3));
  await leave(store, one, 4, { sender: CAROL });
  store.handedOut(places[1]!, idOf(2));
  // Another one has its place by now.
  store.handedOut(places[0]!, idOf(7));
  const told = (place: number, id: number, wasHandedOut: boolean, isPresent: boolean) => {
    return { place, id: idOf(id), wasHandedOut, isPresent };
  };
  const all = [
    told(places[0]!, 1, false, false),
    told(places[1]!, 2, true, false),
    told(places[2]!, 3, false, true),
  ];
  assertEquals(store.left(ALICE, 0, 10), all);
  assertEquals(store.left(ALICE, 0, 2), all.slice(0, 2));
  assertEquals(store.left(ALICE, places[1]!, 10), all.slice(2));
});

test("envelopes that have waited for too long go, the oldest first, so many at a time", async (store) => {
  const box = await open(store, BOB, "one");
  for (const [id, since] of [[1, NOW], [2, NOW - 2], [3, NOW - 1], [4, NOW + 1]] as const) {
    await leave(store, box, id, { since });
  }
  const left = () => store.left(ALICE, 0, 10).map(({ id }) => id);
  assertEquals(await store.change((writer) => writer.expire(NOW, 1)), 1);
  assertEquals(left(), [idOf(1), idOf(3), idOf(4)]);
  assertEquals(await store.change((writer) => writer.expire(NOW, 10)), 1);
  assertEquals(left(), [idOf(1), idOf(4)]);
  assertEquals(await store.change((writer) => writer.expire(NOW, 10)), 0);
});

test("boxes that nobody has used for long go, so many at a time", async (store) => {
  const boxes: number[] = [];
  for (const [name, used] of [["one", NOW - 1], ["two", NOW - 3], ["three", NOW]] as const) {
    boxes.push(await open(store, BOB, name, used));
  }
  boxes.push(await open(store, CAROL, "one", NOW - 2));
  await leave(store, boxes[1]!, 1);
  await leave(store, boxes[1]!, 2);
  await store.change((writer) => writer.use(boxes[0]!, NOW));
  assertEquals(await store.change((writer) => writer.removeUnused(NOW, 1)), 1);
  assertEquals([store.boxes(BOB).length, store.boxes(CAROL).length], [2, 1]);
  assertEquals(store.leftBy(ALICE).count, 0);
  assertEquals(await store.change((writer) => writer.removeUnused(NOW, 10)), 1);
  assertEquals([store.boxes(BOB).length, store.boxes(CAROL).length], [2, 0]);
});

test("a box takes with it all that is in it", async (store) => {
  const box = await open(store, BOB, "one");
  const place = await leave(store, box, 1);
  store.handedOut(place, idOf(1));
  await store.change((writer) => writer.addOnce(box, prekeysOf(1, 5)));
  await store.change((writer) => writer.remove(box));
  assertEquals([store.stock(box).count, store.leftBy(ALICE).count, store.body(place)], [
    0,
    0,
    undefined,
  ]);
  assertEquals(store.counts(), { boxes: 0, count: 0, bytes: 0 });
});

test("who is forgotten has no boxes and has left nothing; everybody else has what they had", async (store) => {
  const bob = await open(store, BOB, "one"), carol = await open(store, CAROL, "one");
  await open(store, BOB, "two");
  await leave(store, bob, 1);
  await leave(store, carol, 2);
  await leave(store, carol, 3, { sender: BOB });
  await store.change((writer) => writer.forget(BOB));
  assertEquals([store.boxes(BOB), store.leftBy(BOB).count], [[], 0]);
  assertEquals(store.left(ALICE, 0, 10).map(({ id }) => id), [idOf(2)]);
  assertEquals(store.boxes(CAROL).length, 1);
});

test("a change sees those before it that are on disk at the same moment", async (store) => {
  const box = await open(store, BOB, "one");
  const count = (writer: MailboxWriter) => writer.between(ALICE, BOB).count;
  const seen = await Promise.all([1, 2, 3, 4].map((id) =>
    store.change((writer) => {
      const before = count(writer);
      writer.insert(envelopeTo(box, id));
      return before;
    })
  ));
  assertEquals(seen, [0, 1, 2, 3]);
});
