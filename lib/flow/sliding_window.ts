/** How often something has happened lately, by key: for limits such as thirty in an hour. */
import { BoundedMap } from "./bounded_map.ts";

/** Remembers when something happened, for one period and a bounded number of keys. */
export class SlidingWindow {
  readonly #period: number;
  readonly #times: BoundedMap<string, readonly number[]>;

  /** A time is forgotten after `period` milliseconds; of more than `keys` keys the one least recently used. */
  constructor(period: number, keys: number) {
    this.#period = period;
    this.#times = new BoundedMap(keys);
  }

  /** When it happened within the period that ends `now`, the earliest first. */
  times(key: string, now: number): readonly number[] {
    return (this.#times.get(key) ?? []).filter((at) => now - at < this.#period);
  }

  /** What has happened to whom, perhaps longer ago than the period. */
  get keys(): readonly string[] {
    return [...this.#times].map(([key]) => key);
  }

  /** It has never happened. */
  forget(key: string): void {
    this.#times.delete(key);
  }

  /** Notes that it happens now. */
  count(key: string, now: number): void {
    this.#times.set(key, [...this.times(key, now), now]);
  }
}
