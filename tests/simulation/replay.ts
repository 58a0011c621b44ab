/** Tells one history line by line: deno run --allow-all tests/simulation/replay.ts SEED */
import { runSchedule } from "./schedule.ts";

const seed = Number(Deno.args[0]);
if (!Number.isSafeInteger(seed)) throw new TypeError("give the number of a seed");
console.log(await runSchedule(seed, { onTrace: (line) => console.log(line) }));
