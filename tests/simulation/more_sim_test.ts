import { assertEquals } from "@std/assert";
import { within } from "../testkit/time_limit.ts";
import { runAll } from "./histories.ts";

/** The second thousand: see sim_test.ts. */
const SEEDS = Array.from({ length: 1000 }, (_, i) => i + 1001);

Deno.test(
  "another thousand histories: nothing lost, repeated or out of order",
  within(240, async () => {
    assertEquals((await runAll(SEEDS)).schedules, 1000);
  }),
);
