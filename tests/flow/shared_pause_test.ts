import { assertEquals } from "@std/assert";
import { SharedPause } from "../../lib/flow/shared_pause.ts";
import { ManualTime } from "../testkit/clock.ts";
import { turn } from "../testkit/turn.ts";

const SECOND = 1000;
const NEVER = new AbortController().signal;

Deno.test("all who wait go on at the same moment, after pauses that grow up to the longest", async () => {
  const time = new ManualTime();
  const pause = new SharedPause(time, 1 * SECOND, 10 * SECOND);
  const lengths: number[] = [];
  for (let failures = 0; failures < 6; failures++) {
    const start = time.now();
    const ended: number[] = [];
    const first = pause.wait(NEVER).then(() => ended.push(time.now()));
    time.advance(500);
    const second = pause.wait(NEVER).then(() => ended.push(time.now()));
    await time.during(Promise.all([first, second]), "the end of the pause");
    assertEquals(ended[0], ended[1]);
    lengths.push(Math.round((ended[0]! - start) / SECOND));
  }
  assertEquals(lengths, [1, 2, 4, 8, 10, 10]);
  // In a while without a failure it is forgotten.
  time.advance(120 * SECOND);
  const start = time.now();
  await time.during(pause.wait(NEVER), "the end of the pause");
  assertEquals(time.now() - start, SECOND);
  assertEquals(time.pending, 0);
});

Deno.test("who does not wait any more leaves no alarm behind, and takes it from nobody", async () => {
  const time = new ManualTime();
  const pause = new SharedPause(time, SECOND, SECOND);
  const leaving = new AbortController();
  const first = pause.wait(leaving.signal);
  let isOver = false;
  const second = pause.wait(NEVER).then(() => isOver = true);
  leaving.abort();
  await first;
  await turn();
  assertEquals([isOver, time.pending], [false, 1]);
  await time.during(second, "the end of the pause");
  const alone = new AbortController();
  const last = pause.wait(alone.signal);
  alone.abort();
  await last;
  await pause.wait(alone.signal);
  assertEquals(time.pending, 0);
});
