import { assert, assertEquals, assertThrows } from "@std/assert";
import { FileWindow } from "../../lib/client/file_window.ts";
import { CifraError } from "../../lib/errors.ts";
import { FILE_PIECE_LIMIT, FILE_WINDOW_LIMIT, FILE_WINDOW_MINIMUM } from "../../lib/limits.ts";

/** A way that carries so many bytes in a millisecond, each after a delay; sends all that there is room for. */
function run(rate: number, delay: number, milliseconds: number): FileWindow {
  const window = new FileWindow();
  let sent = 0, carried = 0, taken = 0;
  /** What arrives over there, and when that is known here. */
  const news: { readonly at: number; readonly taken: number }[] = [];
  for (let now = 0; now < milliseconds; now++) {
    while (window.room >= window.pieceLimit) {
      window.send(window.pieceLimit, now);
      sent += window.pieceLimit;
    }
    carried = Math.min(sent, carried + rate);
    news.push({ at: now + delay, taken: Math.floor(carried) });
    while (news[0] && news[0].at <= now) taken = news.shift()!.taken;
    window.take(BigInt(taken), now);
  }
  return window;
}

Deno.test("a slow way has little under way: what is typed is there within a second", () => {
  // 1 Mbit/s is 125 bytes in a millisecond.
  const window = run(125, 30, 20_000);
  assertEquals(window.pieceLimit, FILE_WINDOW_MINIMUM / 2);
  assert(FILE_WINDOW_MINIMUM / 125 < 500);
});

Deno.test("a fast way is kept full, also one that is long", () => {
  for (const [rate, delay] of [[100_000, 1], [10_000, 20], [12_500, 300]] as const) {
    const window = run(rate, delay, 20_000);
    assertEquals(window.pieceLimit, FILE_PIECE_LIMIT, `${rate} ${delay}`);
    const carries = Math.min(rate * delay, FILE_WINDOW_LIMIT / 2);
    const size = window.room + window.underWay;
    assert(carries <= size && size <= FILE_WINDOW_LIMIT, `${rate} ${delay}: ${size}`);
  }
});

Deno.test("what is sent without haste does not make the window small", () => {
  const window = run(10_000, 5, 5000);
  const before = window.room + window.underWay;
  let now = 5250;
  window.take(BigInt(window.taken + window.underWay), now);
  for (let i = 0; i < 100; i++) {
    now += 100;
    window.take(BigInt(window.taken + window.underWay), now);
    window.send(100, now);
    now += 5;
    window.take(BigInt(window.taken + window.underWay), now);
  }
  assert(window.room + window.underWay > 0.9 * before);
});

Deno.test("nobody has taken what was not sent, or less than before", () => {
  const window = new FileWindow();
  window.send(1000, 0);
  for (const [total, after] of [[1001n, 0n], [499n, 500n], [2n ** 64n - 1n, 0n]] as const) {
    if (after > 0n) window.take(after, 1);
    const error = assertThrows(() => window.take(total, 2), CifraError);
    assertEquals(error.code, "bad_state");
  }
});
