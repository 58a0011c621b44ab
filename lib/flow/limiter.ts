/** A few jobs at a time, the others in order: as many as come, or in a short queue that refuses with `busy`. */
import { CifraError } from "../errors.ts";

/** How many may wait, and how long. */
export interface LimiterQueue {
  readonly length: number;
  /** Milliseconds, after which whoever waits is refused when its turn comes. */
  readonly patience: number;
  readonly clock: () => number;
}

interface Waiting {
  readonly since: number;
  readonly enter: (error?: CifraError) => void;
}

/** Runs jobs, at most `width` at once, in the order in which they ask. */
export class Limiter {
  readonly #queue: LimiterQueue;
  readonly #waiting: Waiting[] = [];
  #free: number;

  /** Without `queue` everybody may wait as long as it takes. */
  constructor(width: number, queue?: LimiterQueue) {
    this.#free = width;
    this.#queue = queue ?? { length: Infinity, patience: Infinity, clock: () => 0 };
  }

  /** Runs `job` when its turn comes; throws `busy` when the queue is full or the wait was too long. */
  async run<T>(job: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await this.#wait();
    try {
      return await job();
    } finally {
      this.#next();
    }
  }

  #wait(): Promise<void> {
    if (this.#waiting.length >= this.#queue.length) throw busy();
    return new Promise((resolve, reject) => {
      const enter = (error?: CifraError) => error ? reject(error) : resolve();
      this.#waiting.push({ since: this.#queue.clock(), enter });
    });
  }

  /** Passes the place on to the first who has not waited too long, or gives it back. */
  #next(): void {
    const now = this.#queue.clock();
    for (;;) {
      const first = this.#waiting.shift();
      if (!first) {
        this.#free++;
        return;
      }
      if (now - first.since <= this.#queue.patience) {
        first.enter();
        return;
      }
      first.enter(busy());
    }
  }
}

function busy(): CifraError {
  return new CifraError("busy", "Too many wait for the same thing already", {
    hint: "try again in a moment",
  });
}
