/** Clocks that are a year off, for a while, while sessions are open and prekeys wait (PROTOCOL.md 3.12). */
import { assert, assertEquals } from "@std/assert";
import { DAY } from "../../lib/limits.ts";
import { test } from "../testkit/adversary.ts";
import { type Correspondent, PostRoom } from "../testkit/mail_people.ts";

const YEAR = 365 * DAY;
const OFF = [-YEAR, YEAR];

test("whose clock was a year off replaces signed prekeys every week all the same", async () => {
  await Promise.all(OFF.map(async (off) => {
    const room = new PostRoom();
    const [alice, bob] = await room.pair();
    for (const ahead of [0, off, 0]) {
      bob.ahead = ahead;
      await bob.visits(0);
    }
    const published = () => bob.requests("publish").flatMap(({ signed }) => signed).length;
    const before = published();
    assert(before <= 3, `${before} at once, ${off}`);
    for (let day = 0; day < 70; day += 2) {
      room.time.advance(2 * DAY);
      await bob.visits(0);
    }
    const made = published() - before;
    assert(made >= 7 && made <= 10, `${made} in ten weeks, ${off}`);
    await alice.says(bob, "one");
    await alice.visits();
    await bob.visits();
    assertEquals(bob.unread(alice), ["one"], `${off}`);
  }));
});

/** What of somebody's secrets is not here any more, of all that they have published. */
function destroyed({ store: { mailbag }, asked, room: { server } }: Correspondent): string[] {
  const { name } = mailbag.box(server)!;
  return asked.flatMap((each) => each.type === "publish" ? [each] : []).flatMap((each) => [
    ...each.signed.map(({ number }) => ["signed", number] as const),
    ...each.once.map(({ number }) => ["once", number] as const),
  ]).filter(([kind, number]) => !mailbag.prekey(name, kind, number))
    .map(([kind, number]) => `${kind} ${number}`);
}

test("while a writer's or a reader's clock is a year off nothing is refused and nothing destroyed", async () => {
  const cases = ["writer", "reader"].flatMap((whose) => OFF.map((off) => [whose, off] as const));
  await Promise.all(cases.map(async ([whose, off]) => {
    const what = `the ${whose}'s, ${off}`;
    const room = new PostRoom();
    const [alice, bob] = await room.pair();
    const who = whose === "writer" ? alice : bob;
    await bob.visits();
    await alice.says(bob, "one");
    await alice.visits();
    who.ahead = off;
    await alice.says(bob, "two");
    await alice.visits();
    await bob.visits();
    assertEquals(bob.unread(alice), ["one", "two"], what);
    await alice.says(bob, "three");
    await alice.visits();
    who.ahead = 0;
    await alice.says(bob, "four");
    await alice.visits();
    await bob.visits();
    await alice.visits();
    assertEquals(bob.unread(alice), ["one", "two", "three", "four"], what);
    assertEquals(await alice.standing(bob), { stored: 4, read: 0, last: 4 }, what);
    for (const { failure, events } of [alice, bob]) {
      const troubles = events.filter(({ type }) => type === "trouble" || type === "unopened");
      assertEquals([failure, troubles], [undefined, []], what);
    }
    // One for each session that was begun.
    const opened = Array.from({ length: alice.count("ask") }, (_, i) => `once ${i + 1}`);
    assertEquals(destroyed(bob), opened, what);
  }));
});

test("what a server lets go whose clock is a year off is said again", async () => {
  await Promise.all(OFF.map(async (off) => {
    const what = `${off}`;
    const room = new PostRoom();
    const [alice, bob] = await room.pair();
    await bob.visits();
    await alice.says(bob, "one");
    await alice.visits();
    for (const ahead of [off, 0]) {
      room.ahead = ahead;
      await room.mailbox.expire(room.date);
      await alice.says(bob, `at ${ahead}`);
      await alice.visits();
      await bob.visits();
    }
    // What went with the box is sealed again a day later, and once more where its prekey was used before.
    for (let day = 0; day < 2; day++) {
      room.time.advance(DAY + 1000);
      await alice.visits();
      await bob.visits();
    }
    await alice.visits();
    assertEquals(bob.unread(alice), ["one", `at ${off}`, "at 0"], what);
    assertEquals(await alice.standing(bob), { stored: 3, read: 0, last: 3 }, what);
    assertEquals([alice.failure, bob.failure], [undefined, undefined], what);
  }));
});
