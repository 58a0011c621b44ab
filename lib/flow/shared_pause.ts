/** Pauses between tries at one thing that many wait for: all of them try again at the same moments. */
import { Signal } from "./signal.ts";
import type { Time } from "./time.ts";

/** After so many of the longest pauses without a failure the next one is a first one again. */
const CALM = 6;

/** A pause that is the same for everybody, twice as long each time while failures follow each other. */
export class SharedPause {
  readonly #time: Pick<Time, "now" | "after">;
  readonly #first: number;
  readonly #longest: number;
  readonly #over = new Signal();
  #waiting = 0;
  #cancel: (() => void) | undefined;
  #length = 0;
  #endedAt = -Infinity;

  /** `first` and `longest` in milliseconds. */
  constructor(time: Pick<Time, "now" | "after">, first: number, longest: number) {
    this.#time = time;
    this.#first = first;
    this.#longest = longest;
  }

  /** Resolves at the end of the pause, with all who wait; or when `signal` is aborted. */
  async wait(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    this.#waiting++;
    this.#cancel ??= this.#begin();
    await this.#over.wait(signal);
    if (--this.#waiting > 0) return;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #begin(): () => void {
    const isCalm = this.#time.now() - this.#endedAt > CALM * this.#longest;
    this.#length = isCalm ? this.#first : Math.min(2 * this.#length, this.#longest);
    return this.#time.after(this.#length, () => {
      this.#cancel = undefined;
      this.#endedAt = this.#time.now();
      this.#over.notify();
    });
  }
}
