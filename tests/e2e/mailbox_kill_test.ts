/** People who are never here at the same time, killed while they leave and fetch, and their server as well. */
import { assert, assertEquals } from "@std/assert";
import { liveApart } from "../soak/apart.ts";
import { isClean } from "../soak/checker.ts";
import { within } from "../testkit/time_limit.ts";

Deno.test(
  "a hundred messages both ways through kills of all three programs: each is shown, once, in order",
  within(180, async () => {
    const seed = crypto.getRandomValues(new Uint32Array(1))[0]! % 1_000_000;
    const { verdicts, kills, leaks } = await liveApart({ seed, visits: 4 });
    const what = `seed ${seed}: ${JSON.stringify(verdicts)}`;
    assert(Object.values(kills).every((count) => count > 0), `${what}: ${JSON.stringify(kills)}`);
    // With the disk in one's hands there is not one word to read.
    assertEquals(leaks, [], what);
    assertEquals(verdicts.map(isClean), [true, true], what);
    assert(verdicts.every(({ queued }) => queued >= 50), what);
    for (const { queued, stored, shown } of verdicts) {
      assertEquals(stored, queued, what);
      // What was on disk and not yet told when the program was killed is shown as well.
      assert(shown >= queued, what);
    }
  }),
);
