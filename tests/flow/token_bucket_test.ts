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

Deno.test("wait() says when the next token is there, and takes none", () => {
  const bucket = new TokenBucket(2, 60, 0);
  assertEquals([bucket.wait(0), bucket.take(0), bucket.take(0)], [0, true, true]);
  assertEquals([bucket.wait(0), bucket.wait(250), bucket.wait(1000)], [1000, 750, 0]);
  assertEquals(bucket.take(1000), true);
});

Deno.test("a clock that goes back takes no token away", () => {
  const bucket = new TokenBucket(2, 60, 3_600_000);
  assertEquals([bucket.take(0), bucket.take(0), bucket.take(999), bucket.take(1000)], [
    true,
    true,
    false,
    true,
  ]);
});
