/**
 * Notices that the program did not run for a while, stopped by its terminal or by the machine: what others gave up
 * meanwhile they did not fail in.
 */

/** Milliseconds without a look, of which there is one a second at least, that are no mere delay. */
const ABSENT = 3000;
/** For so many milliseconds afterwards nobody is late: what lies there is read first. */
const CATCHING_UP = 1000;
/** What came while nobody looked is found one after the other, for so many milliseconds afterwards. */
const AFTERMATH = 5000;

/** When the program was not there last. */
export class Absence {
  #looked: number;
  #back = -Infinity;

  /** `now`: milliseconds of a clock that goes on meanwhile. */
  constructor(now: number) {
    this.#looked = now;
  }

  /** Looks at the clock: once a second, and whenever somebody comes or goes. */
  look(now: number): void {
    if (now - this.#looked > ABSENT) this.#back = now;
    this.#looked = now;
  }

  /** Whether we are just back, and have not read yet what came meanwhile. */
  isCatchingUp(now: number): boolean {
    return now - this.#back < CATCHING_UP;
  }

  /** Whether what was found at `since` may have come, and waited for us in vain, before we were back. */
  concerns(since: number): boolean {
    return since < this.#back + AFTERMATH;
  }
}
