/** How often something may happen: so many times at once, and then at a rate. */
export class TokenBucket {
  readonly #burst: number;
  readonly #perMinute: number;
  #tokens: number;
  #filledAt: number;

  /** Full at `now` (milliseconds): `burst` tokens, and `perMinute` more each minute up to that. */
  constructor(burst: number, perMinute: number, now: number) {
    this.#burst = burst;
    this.#perMinute = perMinute;
    this.#tokens = burst;
    this.#filledAt = now;
  }

  /** Takes a token; false when there is none. */
  take(now: number): boolean {
    this.#fill(now);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** How many may be taken at once. */
  left(now: number): number {
    this.#fill(now);
    return Math.max(0, Math.floor(this.#tokens));
  }

  /** How long until there is a token, in milliseconds; 0 when there is one. */
  wait(now: number): number {
    this.#fill(now);
    return this.#tokens >= 1 ? 0 : (1 - this.#tokens) / this.#perMinute * 60_000;
  }

  /** Takes a token that may still have to come; returns how long to wait for it, in milliseconds. */
  borrow(now: number): number {
    this.#fill(now);
    this.#tokens--;
    return this.#tokens >= 0 ? 0 : -this.#tokens / this.#perMinute * 60_000;
  }

  /** Something was used that may not be there: it has to come back first. No more is owed than a full bucket. */
  charge(cost: number, now: number): void {
    this.#fill(now);
    this.#tokens = Math.max(this.#tokens - cost, -this.#burst);
  }

  #fill(now: number): void {
    // A clock that has gone back takes nothing away.
    const earned = Math.max(0, now - this.#filledAt) / 60_000 * this.#perMinute;
    this.#tokens = Math.min(this.#burst, this.#tokens + earned);
    this.#filledAt = now;
  }
}
