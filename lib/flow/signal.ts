/** Waiting for the next event, where nothing is kept of an event that nobody waits for. */

/** Those who wait, and the event that lets all of them go on. */
export class Signal {
  #next: PromiseWithResolvers<void> | undefined;

  /**
   * Resolves at the next `notify`, or when `abort` is aborted; never rejects. Whoever waits checks its
   * condition before and after, in a loop: the event says that something changed, not what.
   */
  wait(abort?: AbortSignal): Promise<void> {
    this.#next ??= Promise.withResolvers();
    const { promise } = this.#next;
    if (!abort) return promise;
    return new Promise((resolve) => {
      if (abort.aborted) return resolve();
      const done = () => {
        abort.removeEventListener("abort", done);
        resolve();
      };
      abort.addEventListener("abort", done);
      promise.then(done);
    });
  }

  /** Lets everybody go on who waits now; those who wait from now on wait for the next time. */
  notify(): void {
    this.#next?.resolve();
    this.#next = undefined;
  }
}
