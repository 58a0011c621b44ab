/** Clocks that are a year off, for a while, while sessions are open and prekeys wait (PROTOCOL.md 3.12). */
import { assert, assertEquals } from "@std/assert";
import { DAY } from "../../lib/limits.ts";
import { test } from "../testkit/adversary.ts";
import { PostRoom } from "../testkit/mail_people.ts";

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
