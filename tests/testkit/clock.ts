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
