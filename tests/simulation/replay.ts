/** Tells one history line by line: deno run --allow-all tests/simulation/replay.ts SEED [mailbox] */
import { runSchedule } from "./schedule.ts";

const seed = Number(Deno.args[0]);
if (!Number.isSafeInteger(seed)) throw new TypeError("give the number of a seed");
console.log(
  await runSchedule(seed, {
    mailbox: Deno.args[1] === "mailbox",
    onTrace: (line) => console.log(line),
  }),
);
