import { assertEquals } from "@std/assert";
import { Throttle } from "../../lib/flow/throttle.ts";
import { Limiter } from "../../lib/flow/limiter.ts";

/** A clock and its alarm. */
class Alarm {
  #now = 0;
  #at: number | undefined;
  #action = () => {};
  readonly time = {
    now: () => this.#now,
    after: (milliseconds: number, action: () => void) => {
      this.#at = this.#now + milliseconds;
      this.#action = action;
      return () => void (this.#at = undefined);
    },
  };

  advance(to: number): void {
    this.#now = to;
    if (this.#at === undefined || this.#at > to) return;
    this.#at = undefined;
    this.#action();
  }
}

Deno.test("what happens in quick succession is told once, and then not again for a while", () => {
  const alarm = new Alarm();
  const told: number[] = [];
  const throttle = new Throttle(alarm.time, 5000, () => told.push(alarm.time.now()));
  alarm.advance(1000);
  throttle.touch();
  alarm.advance(1100);
  throttle.touch();
  alarm.advance(1199);
  assertEquals(told, []);
  alarm.advance(1200);
  assertEquals(told, [1200]);
  alarm.advance(2000);
  throttle.touch();
  alarm.advance(6199);
  assertEquals(told, [1200]);
  alarm.advance(6200);
  assertEquals(told, [1200, 6200]);
  // Nothing has happened: nothing is told.
  alarm.advance(60_000);
  assertEquals(told.length, 2);
  throttle.touch();
  alarm.advance(60_200);
  assertEquals(told, [1200, 6200, 60_200]);
  throttle.touch();
  throttle.stop();
  alarm.advance(100_000);
  assertEquals(told.length, 3);
});

Deno.test("turns are taken by a few at a time, in order, also after failures", async () => {
  const turns = new Limiter(2);
  const begun: number[] = [];
  const jobs = Array.from({ length: 6 }, () => Promise.withResolvers<number>());
  const results = jobs.map(({ promise }, i) =>
    turns.run(() => {
      begun.push(i);
      return promise;
    }).catch((error: Error) => error.message)
  );
  assertEquals(begun, [0, 1]);
  jobs[1]!.reject(new Error("no"));
  assertEquals(await results[1], "no");
  assertEquals(begun, [0, 1, 2]);
  jobs[0]!.resolve(0);
  jobs[2]!.resolve(2);
  assertEquals(await Promise.all([results[0], results[2]]), [0, 2]);
  assertEquals(begun, [0, 1, 2, 3, 4]);
  for (const i of [3, 4, 5]) jobs[i]!.resolve(i);
  assertEquals(await Promise.all(results), [0, "no", 2, 3, 4, 5]);
  assertEquals(await turns.run(() => Promise.resolve("free again")), "free again");
});
