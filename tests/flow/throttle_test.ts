import { assertEquals } from "@std/assert";
import { Throttle } from "../../lib/flow/throttle.ts";
import { ManualTime } from "../testkit/clock.ts";

Deno.test("what happens in quick succession is told once, and then not again for a while", () => {
  const time = new ManualTime();
  const goTo = (moment: number) => time.advance(moment - time.now());
  const told: number[] = [];
  const throttle = new Throttle(time, 5000, () => told.push(time.now()));
  goTo(1000);
  throttle.touch();
  goTo(1100);
  throttle.touch();
  goTo(1199);
  assertEquals(told, []);
  goTo(1200);
  assertEquals(told, [1200]);
  goTo(2000);
  throttle.touch();
  goTo(6199);
  assertEquals(told, [1200]);
  goTo(6200);
  assertEquals(told, [1200, 6200]);
  // Nothing has happened: nothing is told.
  goTo(60_000);
  assertEquals(told.length, 2);
  throttle.touch();
  goTo(60_200);
  assertEquals(told, [1200, 6200, 60_200]);
  throttle.touch();
  throttle.stop();
  goTo(100_000);
  assertEquals(told.length, 3);
});
