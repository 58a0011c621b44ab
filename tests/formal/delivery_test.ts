/** The model of delivery where a search is short; `delivery.ts` makes all of them. */
import { assert, assertEquals } from "@std/assert";
import { CASES, search } from "./delivery.ts";

const SHORT: readonly string[] = [
  "old copy of the reader",
  "the writer does not come back, reader crashes",
  "the writer does not come back, server crashes",
  "never sealed again, expiry",
  "a hole is jumped",
  "no memory of numbers and sessions",
  "receipts by number alone",
];

for (const what of SHORT) {
  Deno.test(`the model of delivery: ${what}`, () => {
    const found = CASES.filter((each) => each.what === what);
    assertEquals(found.length, 1);
    const { verdict, path } = search(found[0]!, 10_000);
    assertEquals(verdict, found[0]!.expected);
    assertEquals(path.length > 0, verdict !== "holds");
  });
}

Deno.test("the cases of the model of delivery have names of their own", () => {
  assert(CASES.length > 30);
  assertEquals(new Set(CASES.map(({ what }) => what)).size, CASES.length);
});
