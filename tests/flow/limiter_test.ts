import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { ASYMMETRIC_QUEUE, ASYMMETRIC_WAIT } from "../../lib/limits.ts";
import { Gate } from "../../lib/services/gate.ts";
import { ManualClock } from "../testkit/clock.ts";
import { turn } from "../testkit/pipe.ts";

/** A job that ends when the test says so. */
function job(started: number[], number: number) {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const run = () => {
    started.push(number);
    return promise;
  };
  return { run, finish: () => resolve(number), fail: reject };
}

Deno.test("run() runs as many jobs at once as the gate is wide, and the others in order", async () => {
  const gate = new Gate(2, new ManualClock().read);
  const started: number[] = [];
  const jobs = [0, 1, 2, 3, 4].map((n) => job(started, n));
  const results = jobs.map(({ run }) => gate.run(run));
  assertEquals(started, [0, 1]);
  jobs[1]!.finish();
  assertEquals(await results[1], 1);
  await turn();
  assertEquals(started, [0, 1, 2]);
  jobs[0]!.finish();
  await turn();
  assertEquals(started, [0, 1, 2, 3]);
  for (const { finish } of jobs) finish();
  assertEquals(await Promise.all(results), [0, 1, 2, 3, 4]);
});

Deno.test("run() passes a job's error on and lets the next one in", async () => {
  const gate = new Gate(1, new ManualClock().read);
  const started: number[] = [];
  const first = job(started, 0), second = job(started, 1);
  const results = [gate.run(first.run), gate.run(second.run)];
  first.fail(new TypeError("Test"));
  await assertRejects(() => results[0]!, TypeError);
  second.finish();
  assertEquals(await results[1], 1);
  assertEquals(await gate.run(() => Promise.resolve(9)), 9);
});

Deno.test("run() refuses with busy when 64 are waiting", async () => {
  const gate = new Gate(1, new ManualClock().read);
  const started: number[] = [];
  const jobs = Array.from({ length: 1 + ASYMMETRIC_QUEUE }, (_, n) => job(started, n));
  const results = jobs.map(({ run }) => gate.run(run));
  const error = await assertRejects(() => gate.run(() => Promise.resolve(0)), CifraError);
  assertEquals(error.code, "busy");
  for (const { finish } of jobs) finish();
  assertEquals((await Promise.all(results)).length, 65);
  assertEquals(ASYMMETRIC_QUEUE, 64);
});

Deno.test("run() refuses with busy those who have waited more than two seconds", async () => {
  const clock = new ManualClock();
  const gate = new Gate(1, clock.read);
  const started: number[] = [];
  const first = job(started, 0), late = job(started, 1), fresh = job(started, 2);
  const running = gate.run(first.run);
  const lateResult = gate.run(late.run).catch((error) => error);
  clock.advance(1);
  const freshResult = gate.run(fresh.run);
  clock.advance(ASYMMETRIC_WAIT);
  first.finish();
  fresh.finish();
  assertEquals(await running, 0);
  const refused = await lateResult;
  assertInstanceOf(refused, CifraError);
  assertEquals(refused.code, "busy");
  assertEquals(await freshResult, 2);
  assertEquals(started, [0, 2]);
  assertEquals(ASYMMETRIC_WAIT, 2000);
  // Nothing of the queue is left over: the gate is as wide as before.
  assertEquals(await Promise.all([3, 4].map((n) => gate.run(() => Promise.resolve(n)))), [3, 4]);
});
