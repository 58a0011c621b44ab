import { assert, assertEquals } from "@std/assert";
import { Backoff } from "../../lib/flow/backoff.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { BACKOFF_MAXIMUM, BACKOFF_MINIMUM } from "../../lib/limits.ts";

/** Chance that always throws the same byte. */
function always(byte: number): Backoff {
  return new Backoff((length) => new Uint8Array(length).fill(byte));
}

function pauses(backoff: Backoff, count: number): number[] {
  return Array.from({ length: count }, () => backoff.next());
}

Deno.test("next() doubles from half a second to half a minute, and stays there", () => {
  const seconds = pauses(always(128), 9).map((pause) => pause / 1000);
  assertEquals(seconds, [0.5, 1, 2, 4, 8, 16, 30, 30, 30]);
});

Deno.test("next() spreads a pause from half to one and a half of itself, never beyond the maximum", () => {
  for (let byte = 0; byte < 256; byte++) {
    const [first, second] = pauses(always(byte), 2);
    assertEquals(first, BACKOFF_MINIMUM * (0.5 + byte / 256));
    assertEquals(second, 2 * first!);
    const last = pauses(always(byte), 20).at(-1)!;
    assertEquals(last, Math.min(BACKOFF_MAXIMUM, BACKOFF_MAXIMUM * (0.5 + byte / 256)));
  }
});

Deno.test("next() keeps a crowd that failed at once from coming back at once", () => {
  const crowd = Array.from({ length: 200 }, () => new Backoff(systemRandom).next());
  assert(new Set(crowd).size > 50, `${new Set(crowd).size} different pauses`);
});

Deno.test("reset() makes the next pause short again", () => {
  const backoff = always(128);
  pauses(backoff, 10);
  backoff.reset();
  assertEquals(pauses(backoff, 3), [BACKOFF_MINIMUM, 2 * BACKOFF_MINIMUM, 4 * BACKOFF_MINIMUM]);
  const fresh = always(128);
  fresh.reset();
  assertEquals(fresh.next(), BACKOFF_MINIMUM);
});
