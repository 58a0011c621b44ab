/** A thousand histories with a mailbox as tests: two files share two thousand, so that two cores do. */
import { assert, assertEquals } from "@std/assert";
import { within } from "../testkit/time_limit.ts";
import { runAll } from "./histories.ts";

/** As many as have their time on a busy machine. */
const COUNT = 250;

/** Makes the tests of the thousand seeds from `start` on. */
export function testMailHistories(start: number): void {
  for (let first = start; first < start + 1000; first += COUNT) {
    Deno.test(
      `histories with a mailbox and long absence, ${first} to ${
        first + COUNT - 1
      }: nothing lost, repeated or out of order`,
      within(240, async () => {
        const seeds = Array.from({ length: COUNT }, (_, i) => first + i);
        const { schedules, kills, mailed, paths } = await runAll(seeds, () => ({ mailbox: true }));
        assertEquals(schedules, COUNT);
        // What they were about must have happened in them.
        assert(kills > 300 && mailed > 2000, `${kills} kills, ${mailed} messages by the mailbox`);
        assert(paths.get("direct")! > 50 && paths.get("relay")! > 30, `${[...paths]}`);
      }),
    );
  }
}
