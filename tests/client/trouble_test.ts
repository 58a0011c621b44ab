/** When it is news that a disk fails, and when it is over. */
import { assertEquals } from "@std/assert";
import { Trouble } from "../../lib/client/trouble.ts";
import { FILE_RECOVERED } from "../../lib/limits.ts";

Deno.test("a trouble is news once, until enough has come behind the furthest place at which it stood", () => {
  const trouble = new Trouble();
  assertEquals(trouble.hasPassed(FILE_RECOVERED), false);
  assertEquals(trouble.begin(1000), true);
  assertEquals(trouble.begin(5000), false);
  // What was written before is written once more.
  trouble.resume(10);
  assertEquals(trouble.hasPassed(4999 + FILE_RECOVERED), false);
  assertEquals(trouble.hasPassed(5000 + FILE_RECOVERED), true);
  assertEquals(trouble.hasPassed(5000 + 2 * FILE_RECOVERED), false);
  // Without a trouble there is nothing to go on from.
  trouble.resume(9 * FILE_RECOVERED);
  assertEquals(trouble.begin(0), true);
  trouble.resume(1000);
  assertEquals(trouble.hasPassed(999 + FILE_RECOVERED), false);
  assertEquals(trouble.hasPassed(1000 + FILE_RECOVERED), true);
});
