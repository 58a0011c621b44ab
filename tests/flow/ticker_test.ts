import { assert, assertEquals } from "@std/assert";
import { delay } from "../../lib/flow/delay.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import { Ticker } from "../../lib/flow/ticker.ts";

Deno.test("a ticker tells every member the time about once a second, and stops with the last", async () => {
  const ticker = new Ticker(systemEnvironment.time);
  const told: string[] = [];
  const { promise, resolve } = Promise.withResolvers<number>();
  const before = performance.now();
  const removeFirst = ticker.add((now) => {
    told.push("first");
    resolve(now);
  });
  const removeSecond = ticker.add(() => told.push("second"));
  const now = await promise;
  assert(now >= before + 900);
  await Promise.resolve();
  assertEquals(told, ["first", "second"]);
  removeFirst();
  removeSecond();
  removeSecond();
});

Deno.test("a ticker that is stopped leaves no timer behind", () => {
  const ticker = new Ticker(systemEnvironment.time);
  ticker.add(() => {});
  ticker.stop();
  ticker.stop();
  const remove = ticker.add(() => {});
  remove();
});

Deno.test("delay() ends early when it is aborted, and leaves no timer behind", async () => {
  const controller = new AbortController();
  const waiting = delay(systemEnvironment.time, 60_000, controller.signal);
  controller.abort();
  await waiting;
  await delay(systemEnvironment.time, 60_000, controller.signal);
  await delay(systemEnvironment.time, 1, new AbortController().signal);
});
