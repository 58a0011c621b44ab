/**
 * A few jobs at a time, the others in order, those that matter more first: as many as come, or in a queue that
 * refuses with `busy`.
 */
import { CifraError } from "../errors.ts";

/** How many may wait, and how long. */
export interface LimiterQueue {
  readonly length: number;
  /** Milliseconds, after which whoever waits is refused when its turn comes. */
  readonly patience: number;
  readonly clock: () => number;
}

/** Which jobs go first: 0 before 1, and so on; those of one rank in the order in which they ask. */
export type Rank = 0 | 1 | 2;

interface Waiting {
  readonly since: number;
  readonly enter: (error?: CifraError) => void;
}

/** Runs jobs, at most `width` at once. */
export class Limiter {
  readonly #queue: LimiterQueue;
  readonly #waiting: readonly Waiting[][] = [[], [], []];
  #free: number;

  /** Without `queue` everybody may wait as long as it takes. */
  constructor(width: number, queue?: LimiterQueue) {
    this.#free = width;
    this.#queue = queue ?? { length: Infinity, patience: Infinity, clock: () => 0 };
  }

  /** Runs `job` when its turn comes; throws `busy` when the queue is full or the wait was too long. */
  async run<T>(job: () => Promise<T>, rank: Rank = 0): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await this.#wait(rank);
    try {
      return await job();
    } finally {
      this.#next();
    }
  }

  #wait(rank: Rank): Promise<void> {
    const count = this.#waiting.reduce((sum, { length }) => sum + length, 0);
    if (count >= this.#queue.length) throw this.#busy();
    return new Promise((resolve, reject) => {
      const enter = (error?: CifraError) => error ? reject(error) : resolve();
      this.#waiting[rank]!.push({ since: this.#queue.clock(), enter });
    });
  }

  /** Passes the place on to the first who has not waited too long, or gives it back. */
  #next(): void {
    const now = this.#queue.clock();
    for (;;) {
      const first = this.#waiting.find(({ length }) => length > 0)?.shift();
      if (!first) {
        this.#free++;
        return;
      }
      if (now - first.since <= this.#queue.patience) {
        first.enter();
        return;
      }
      first.enter(this.#busy());
    }
  }

  #busy(): CifraError {
    const { patience } = this.#queue;
    return new CifraError("busy", "Too many wait for the same thing already", {
      hint: "try again in a moment",
      // By then most of those who wait now have been served.
      ...(Number.isFinite(patience) && { retryAfter: Math.ceil(patience / 1000) }),
    });
  }
}
