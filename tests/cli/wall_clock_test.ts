import { assertEquals, assertThrows } from "@std/assert";
import { dayOf, readMoment, timeOf } from "../../lib/cli/wall_clock.ts";
import { CifraError } from "../../lib/errors.ts";

const NOW = new Date(2026, 10, 21, 10, 3, 59).getTime();

Deno.test("a moment is told by the clock on the wall", () => {
  assertEquals([dayOf(NOW), timeOf(NOW)], ["2026-11-21", "10:03"]);
  const early = new Date(2026, 0, 2, 3, 4).getTime();
  assertEquals([dayOf(early), timeOf(early)], ["2026-01-02", "03:04"]);
});

Deno.test("readMoment() takes days, times and how long ago", () => {
  assertEquals(readMoment("2026-11-20", NOW), new Date(2026, 10, 20).getTime());
  assertEquals(readMoment("2026-11-20 09:30", NOW), new Date(2026, 10, 20, 9, 30).getTime());
  assertEquals(readMoment("2026-11-20T09:30", NOW), new Date(2026, 10, 20, 9, 30).getTime());
  assertEquals(readMoment("09:30", NOW), new Date(2026, 10, 21, 9, 30).getTime());
  assertEquals(readMoment("45m", NOW), NOW - 45 * 60_000);
  assertEquals(readMoment("2h", NOW), NOW - 2 * 3_600_000);
  assertEquals(readMoment("3d", NOW), NOW - 3 * 86_400_000);
  assertEquals(readMoment("999999d", NOW), 0);
});

Deno.test("readMoment() refuses what is none", () => {
  const wrong = ["", "yesterday", "2026-02-30", "2026-13-01", "25:00", "9:30", "3w", "-1d", "1970"];
  for (const text of wrong) {
    assertEquals(assertThrows(() => readMoment(text, NOW), CifraError).code, "usage", text);
  }
});
