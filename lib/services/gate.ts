/** Keeps the processor for those already inside: few expensive jobs at once, a short queue, then `busy`. */
import { CifraError } from "../errors.ts";
import { ASYMMETRIC_QUEUE, ASYMMETRIC_WAIT } from "../limits.ts";

/** Runs jobs, at most `width` at once, others waiting in order. */
export class Gate {
  readonly #width: number;
  readonly #clock: () => number;
  readonly #waiting: { readonly since: number; readonly enter: (error?: CifraError) => void }[] =
    [];
  #running = 0;

  constructor(width: number, clock: () => number) {
    this.#width = width;
    this.#clock = clock;
  }

  /** Runs `job` when its turn comes; throws `busy` when the queue is full or the wait was too long. */
  async run<T>(job: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#width) await this.#wait();
    else this.#running++;
    try {
      return await job();
    } finally {
      this.#next();
    }
  }

  #wait(): Promise<void> {
    if (this.#waiting.length >= ASYMMETRIC_QUEUE) throw busy();
    return new Promise((resolve, reject) => {
      const enter = (error?: CifraError) => error ? reject(error) : resolve();
      this.#waiting.push({ since: this.#clock(), enter });
    });
  }

  /** Passes the place on to the first who has not waited too long, or gives it back. */
  #next(): void {
    const now = this.#clock();
    for (;;) {
      const first = this.#waiting.shift();
      if (!first) {
        this.#running--;
        return;
      }
      if (now - first.since <= ASYMMETRIC_WAIT) {
        first.enter();
        return;
      }
      first.enter(busy());
    }
  }
}

function busy(): CifraError {
  return new CifraError("busy", "Too many key agreements at once");
}
