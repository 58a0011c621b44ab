import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { within } from "../testkit/time_limit.ts";
import { runAll } from "./histories.ts";
import { runSchedule } from "./schedule.ts";

/** 1 to 1000; those up to 2000 are in another file, so that two cores share them. */
const SEEDS = Array.from({ length: 1000 }, (_, i) => i + 1);

Deno.test(
  "a thousand histories of kills, cuts and sleep: nothing lost, repeated or out of order",
  within(240, async () => {
    const { schedules, kills, accepted, paths, drained } = await runAll(SEEDS);
    assertEquals(schedules, 1000);
    // What they were about must have happened in them.
    assert(kills > 1000 && accepted > 20_000, `${kills} kills, ${accepted} messages`);
    assert(paths.get("direct")! > 300 && paths.get("relay")! > 200, `${[...paths]}`);
    assert(drained.median < 1000, `${drained.median}`);
  }),
);

Deno.test("a seed is one history, in this process and in another; another seed is another", async () => {
  for (const mailbox of [false, true]) {
    const once = await runSchedule(7, { mailbox });
    assertEquals(await runSchedule(7, { mailbox }), once);
    assertNotEquals((await runSchedule(8, { mailbox })).hash, once.hash);
    const program = [import.meta.resolve("./replay.ts"), "7", ...mailbox ? ["mailbox"] : []];
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--frozen", "--allow-all", ...program],
      env: { NO_COLOR: "1" },
    }).output();
    assert(new TextDecoder().decode(stdout).includes(`hash: "${once.hash}"`));
  }
});

Deno.test("a history that goes wrong says so with its seed", async () => {
  const error = await assertRejects(() =>
    runSchedule(9, {
      onTrace: () => {
        throw new Error("somebody is wrong");
      },
    })
  );
  assert(String(error).includes("seed 9: ") && String(error).includes("somebody is wrong"));
});
