import type { Random } from "../crypto/platform.ts";
import { BACKOFF_MAXIMUM, BACKOFF_MINIMUM, HURRY_PAUSE } from "../limits.ts";

/** Pauses between tries, each twice as long as the one before, spread so that a crowd does not come in step. */
export class Backoff {
  readonly #random: Random;
  readonly #maximum: number;
  #next = BACKOFF_MINIMUM;
  #hurriedAt = -Infinity;

  /** No pause is longer than `maximum` milliseconds. */
  constructor(random: Random, maximum = BACKOFF_MAXIMUM) {
    this.#random = random;
    this.#maximum = maximum;
  }

  /** Milliseconds until the next try: between half and one and a half of what they are on average. */
  next(): number {
    const average = this.#next;
    this.#next = Math.min(2 * average, this.#maximum);
    const spread = 0.5 + this.#random(1)[0]! / 256;
    return Math.min(average * spread, this.#maximum);
  }

  /** Somebody waits at `now`: milliseconds until a try may be brought forward. The pauses grow as before. */
  hurryIn(now: number): number {
    return Math.max(0, this.#hurriedAt + HURRY_PAUSE - now);
  }

  /** A try was brought forward. */
  hurried(now: number): void {
    this.#hurriedAt = now;
  }

  /** It went well: the next pause is short again. */
  reset(): void {
    this.#next = BACKOFF_MINIMUM;
  }
}
