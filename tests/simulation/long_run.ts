/**
 * Many more histories than the gate has time for: deno task soak:sim [MESSAGES] [FIRST_SEED]
 * Ends with exit code 1 and a seed at the first thing that goes wrong.
 */
import { describe, runAll } from "./histories.ts";

const messages = Number(Deno.args[0] ?? 1_000_000);
const first = Number(Deno.args[1] ?? 10_000);
if (!Number.isSafeInteger(messages) || !Number.isSafeInteger(first)) {
  console.error("give a number of messages, and the first seed");
  Deno.exit(2);
}

function* seeds(): Iterable<number> {
  for (let seed = first;; seed++) yield seed;
}

let told = 0;
// Every other one with a mailbox.
const optionsOf = (seed: number) => ({ mailbox: seed % 2 === 1 });
const summary = await runAll(seeds(), optionsOf, (accepted) => {
  if (accepted - told >= 100_000) {
    told = accepted;
    console.log(`${accepted} messages so far`);
  }
  return accepted >= messages;
}).catch((error) => {
  console.error(String(error?.message ?? error));
  Deno.exit(1);
});
console.log(describe(summary));
