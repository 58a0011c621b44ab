/** A program that was stopped notices it, and does not blame those who waited for it. */
import { assert, assertEquals } from "@std/assert";
import { Absence } from "../../lib/flow/absence.ts";

Deno.test("look() finds an absence where a clock has gone on for more than three seconds", () => {
  const absence = new Absence(0);
  for (const now of [1000, 2000, 5000]) {
    absence.look(now);
    assert(!absence.isCatchingUp(now), `${now}`);
    assert(!absence.concerns(now), `${now}`);
  }
  absence.look(8001);
  assert(absence.isCatchingUp(8001));
  // Somebody who comes in the same moment changes nothing.
  absence.look(8002);
  assertEquals([8002, 9000, 9001].map((now) => absence.isCatchingUp(now)), [true, true, false]);
});

Deno.test("concerns() is about whatever was there before, and what lay there is found soon after", () => {
  const absence = new Absence(0);
  absence.look(60_000);
  assertEquals([0, 59_999, 64_999, 65_000].map((since) => absence.concerns(since)), [
    true,
    true,
    true,
    false,
  ]);
  for (let now = 61_000; now < 70_000; now += 1000) absence.look(now);
  assert(!absence.concerns(65_000));
  absence.look(100_000);
  assert(absence.concerns(65_000));
});
