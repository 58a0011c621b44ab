/** Puts together what happens in quick succession, so that a crowd is told of in one piece. */
import type { Time } from "./time.ts";

/** Milliseconds in which those who come together have come. */
const SETTLE = 200;

/** Tells of what has happened: soon after the first of it, and then not again for a while. */
export class Throttle {
  readonly #time: Pick<Time, "now" | "after">;
  readonly #pause: number;
  readonly #tell: () => void;
  #cancel: (() => void) | undefined;
  #toldAt = -Infinity;

  /** Between two calls of `tell` at least `pause` milliseconds pass. */
  constructor(time: Pick<Time, "now" | "after">, pause: number, tell: () => void) {
    this.#time = time;
    this.#pause = pause;
    this.#tell = tell;
  }

  /** Something has happened. */
  touch(): void {
    if (this.#cancel) return;
    const wait = Math.max(SETTLE, this.#toldAt + this.#pause - this.#time.now());
    this.#cancel = this.#time.after(wait, () => {
      this.#cancel = undefined;
      this.#toldAt = this.#time.now();
      this.#tell();
    });
  }

  /** From now on it is as if something had just been told. */
  rest(): void {
    this.#toldAt = this.#time.now();
  }

  /** Nothing is told any more. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
