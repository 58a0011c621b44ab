import { assertEquals } from "@std/assert";
import { SlidingWindow } from "../../lib/flow/sliding_window.ts";
import { ManualTime } from "../testkit/clock.ts";

Deno.test("times() gives those of the last period, for each key its own", () => {
  const clock = new ManualTime();
  const window = new SlidingWindow(1000, 10);
  window.count("a", clock.now());
  clock.advance(400);
  window.count("a", clock.now());
  window.count("b", clock.now());
  clock.advance(599);
  assertEquals(window.times("a", clock.now()), [0, 400]);
  clock.advance(1);
  assertEquals(window.times("a", clock.now()), [400]);
  assertEquals(window.times("b", clock.now()), [400]);
  assertEquals(window.times("c", clock.now()), []);
  clock.advance(400);
  window.count("a", clock.now());
  assertEquals(window.times("a", clock.now()), [1400]);
});

Deno.test("times() has forgotten the key that was used least recently when there are too many", () => {
  const window = new SlidingWindow(1000, 2);
  window.count("a", 1);
  window.count("b", 2);
  window.times("a", 3);
  window.count("c", 4);
  assertEquals(["a", "b", "c"].map((key) => window.times(key, 5)), [[1], [], [4]]);
});
