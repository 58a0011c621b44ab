import { assertEquals } from "@std/assert";
import { Throttle } from "../../lib/flow/throttle.ts";

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
