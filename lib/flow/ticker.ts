/** One timer for many deadlines: calls every member about once a second with the monotonic time. */
import type { Time } from "./time.ts";

const INTERVAL = 1000;

/** Calls its members as long as it has any. */
export class Ticker {
  readonly #time: Time;
  readonly #members = new Set<(now: number) => void>();
  #cancel: (() => void) | undefined;

  constructor(time: Time) {
    this.#time = time;
  }

  /** Calls `member` every second until the returned function is called. */
  add(member: (now: number) => void): () => void {
    this.#members.add(member);
    this.#cancel ??= this.#time.after(INTERVAL, this.#tick);
    return () => {
      this.#members.delete(member);
      if (this.#members.size === 0) this.stop();
    };
  }

  /** Forgets every member. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#members.clear();
  }

  readonly #tick = (): void => {
    this.#cancel = this.#time.after(INTERVAL, this.#tick);
    const now = this.#time.now();
    for (const member of [...this.#members]) member(now);
  };
}
