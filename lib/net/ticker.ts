/** One timer for many deadlines: calls every member about once a second with the monotonic time. */
export class Ticker {
  readonly #members = new Set<(now: number) => void>();
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Calls `member` every second until the returned function is called. */
  add(member: (now: number) => void): () => void {
    this.#members.add(member);
    this.#timer ??= setInterval(() => this.#tick(), 1000);
    return () => {
      this.#members.delete(member);
      if (this.#members.size === 0) this.stop();
    };
  }

  /** Forgets every member. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#members.clear();
  }

  #tick(): void {
    const now = performance.now();
    for (const member of this.#members) member(now);
  }
}
