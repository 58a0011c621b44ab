/** Long work of many short calls, done in turns: everybody else's events come between them. */
import { setImmediate } from "node:timers";

/** Milliseconds that one turn may take. */
const TURN = 8;

/** Tells long work when to let others go first. */
export class Turns {
  #began = performance.now();

  /** Something to wait for, when this turn has lasted long enough. To be asked between two steps. */
  next(): Promise<void> | undefined {
    if (performance.now() - this.#began < TURN) return undefined;
    return new Promise((resolve) =>
      void setImmediate(() => {
        this.#began = performance.now();
        resolve();
      })
    );
  }
}
