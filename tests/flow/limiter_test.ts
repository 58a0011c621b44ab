import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { Limiter } from "../../lib/flow/limiter.ts";
import { ManualTime } from "../testkit/clock.ts";
import { turn } from "../testkit/turn.ts";

const QUEUE = { length: 64, patience: 2000 };

/** A job that ends when the test says so. */
function job(started: number[], number: number) {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const run = () => {
    started.push(number);
    return promise;
  };
  return { run, finish: () => resolve(number), fail: reject };
}

Deno.test("run() runs as many jobs at once as the limiter is wide, and the others in order", async () => {
  const limiter = new Limiter(2);
  const started: number[] = [];
  const jobs = [0, 1, 2, 3, 4].map((n) => job(started, n));
  const results = jobs.map(({ run }) => limiter.run(run));
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
  const limiter = new Limiter(1);
  const started: number[] = [];
  const first = job(started, 0), second = job(started, 1);
  const results = [limiter.run(first.run), limiter.run(second.run)];
  first.fail(new TypeError("Test"));
  await assertRejects(() => results[0]!, TypeError);
  second.finish();
  assertEquals(await results[1], 1);
  assertEquals(await limiter.run(() => Promise.resolve(9)), 9);
});

Deno.test("run() refuses with busy when its queue is full", async () => {
  const limiter = new Limiter(1, { ...QUEUE, clock: new ManualTime().now });
  const started: number[] = [];
  const jobs = Array.from({ length: 1 + QUEUE.length }, (_, n) => job(started, n));
  const results = jobs.map(({ run }) => limiter.run(run));
  const error = await assertRejects(() => limiter.run(() => Promise.resolve(0)), CifraError);
  assertEquals(error.code, "busy");
  for (const { finish } of jobs) finish();
  assertEquals((await Promise.all(results)).length, 1 + QUEUE.length);
});

Deno.test("run() refuses with busy those whose patience is over", async () => {
  const clock = new ManualTime();
  const limiter = new Limiter(1, { ...QUEUE, clock: clock.now });
  const started: number[] = [];
  const first = job(started, 0), late = job(started, 1), fresh = job(started, 2);
  const running = limiter.run(first.run);
  const lateResult = limiter.run(late.run).catch((error) => error);
  clock.advance(1);
  const freshResult = limiter.run(fresh.run);
  clock.advance(QUEUE.patience);
  first.finish();
  fresh.finish();
  assertEquals(await running, 0);
  const refused = await lateResult;
  assertInstanceOf(refused, CifraError);
  assertEquals(refused.code, "busy");
  assertEquals(await freshResult, 2);
  assertEquals(started, [0, 2]);
  // Nothing of the queue is left over: the limiter is as wide as before.
  assertEquals(await Promise.all([3, 4].map((n) => limiter.run(() => Promise.resolve(n)))), [3, 4]);
});

Deno.test("run() lets everybody wait for as long as it takes when nothing else is said", async () => {
  const limiter = new Limiter(1);
  const started: number[] = [];
  const jobs = Array.from({ length: 1000 }, (_, n) => job(started, n));
  const results = jobs.map(({ run }) => limiter.run(run));
  for (const { finish } of jobs) finish();
  assertEquals(await Promise.all(results), jobs.map((_, n) => n));
  assertEquals(started, jobs.map((_, n) => n));
});

Deno.test("run() lets the better rank go first, and each rank in order", async () => {
  const limiter = new Limiter(1);
  const free = Promise.withResolvers<void>();
  const done: string[] = [];
  const jobs = [limiter.run(() => free.promise)];
  for (const [what, rank] of [["c", 2], ["b", 1], ["d", 2], ["a", 0]] as const) {
    jobs.push(limiter.run(() => Promise.resolve(void done.push(what)), rank));
  }
  free.resolve();
  await Promise.all(jobs);
  assertEquals(done, ["a", "b", "c", "d"]);
});

Deno.test("run() says when it is worth asking again", async () => {
  const limiter = new Limiter(1, { length: 0, patience: 1500, clock: () => 0 });
  const free = Promise.withResolvers<void>();
  const first = limiter.run(() => free.promise);
  const error = await assertRejects(() => limiter.run(() => Promise.resolve()), CifraError);
  assertEquals([error.code, error.retryAfter], ["busy", 2]);
  free.resolve();
  await first;
});
