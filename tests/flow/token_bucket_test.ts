import { assertEquals } from "@std/assert";
import { TokenBucket } from "../../lib/flow/token_bucket.ts";

Deno.test("take() gives a burst at once, then its rate, and never saves up more than the burst", () => {
  const bucket = new TokenBucket(3, 60, 0);
  const taken = (now: number) => {
    let count = 0;
    while (bucket.take(now)) count++;
    return count;
  };
  assertEquals([taken(0), taken(999), taken(1000), taken(60_000)], [3, 0, 1, 3]);
});

Deno.test("borrow() says how long each has to wait for its turn", () => {
  const bucket = new TokenBucket(2, 60, 0);
  assertEquals([1, 2, 3, 4].map(() => bucket.borrow(0)), [0, 0, 1000, 2000]);
  assertEquals(bucket.borrow(2000), 1000);
  assertEquals(bucket.borrow(10_000), 0);
});
