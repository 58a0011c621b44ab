/** Waiting for what no event tells. */
import { turn } from "./turn.ts";

/** Milliseconds: generous, and far less than the time of a test. */
const PATIENCE = 10_000;
/** What happens in this process takes turns of the event loop; whoever waits for longer looks less often. */
const QUICK_TURNS = 1000;
const PAUSE = 2;

/** Resolves when `holds` does; throws after a while that it never came to `what`. */
export async function until(holds: () => boolean, what = `${holds}`): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  for (let turns = 0; !holds(); turns++) {
    if (performance.now() > deadline) throw new Error(`It never came to this: ${what}`);
    await (turns < QUICK_TURNS ? turn() : pause());
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, PAUSE));
}
