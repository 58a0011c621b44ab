/** Time in the hand of a test. */
import type { Time } from "../../lib/flow/time.ts";

/** Time that stands still until it is told to go on. */
export class ManualTime implements Time {
  #now = 0;
  #alarms = new Map<number, { readonly at: number; readonly action: () => void }>();
  #last = 0;

  /** Alarms that have not gone off. */
  get pending(): number {
    return this.#alarms.size;
  }

  // Handed around by themselves, as the system's are.
  readonly now = (): number => this.#now;

  readonly date = (): number => Date.UTC(2030, 0, 1) + this.#now;

  readonly after = (milliseconds: number, action: () => void): () => void => {
    const id = ++this.#last;
    this.#alarms.set(id, { at: this.#now + milliseconds, action });
    return () => this.#alarms.delete(id);
  };

  /** Goes on; each alarm on the way goes off at its moment. */
  advance(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (;;) {
      const due = [...this.#alarms].filter(([, { at }]) => at <= end)
        .sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) break;
      const [id, { at, action }] = due;
      this.#alarms.delete(id);
      this.#now = at;
      action();
    }
    this.#now = end;
  }
}

/** A clock that stands still until it is told to go on. */
export class ManualClock {
  #now: number;

  /** Starts at zero: a time that code must not mistake for "never". */
  constructor(start = 0) {
    this.#now = start;
  }

  get now(): number {
    return this.#now;
  }

  /** The clock in the form in which it is handed around. */
  readonly read = (): number => this.#now;

  advance(milliseconds: number): void {
    this.#now += milliseconds;
  }
}
