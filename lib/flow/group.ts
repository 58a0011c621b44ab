/** Jobs that belong together: the first failure ends the others, and none outlives the group. */
import { mayFail } from "./may_fail.ts";

/**
 * Start jobs, then `join` them; or leave the scope of an `await using`, which ends them. Every job is given
 * the group's signal and ends soon after it is aborted.
 */
export class Group implements AsyncDisposable {
  readonly #ending = new AbortController();
  readonly #failed = Promise.withResolvers<never>();
  readonly #running = new Set<Promise<unknown>>();
  #failure: { readonly error: unknown } | undefined;

  /** The group ends also when `signal` is aborted. */
  constructor(signal?: AbortSignal) {
    mayFail(this.#failed.promise);
    if (signal?.aborted) this.end();
    else signal?.addEventListener("abort", () => this.end(), { signal: this.signal });
  }

  /** Aborted when the group ends. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** Rejects with the first failure of a job, never resolves: for a race with something else. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /**
   * Starts a job. Its result may be awaited or not: a failure is the group's, and ends it. What a job throws
   * after the end is the end's doing and no failure.
   */
  start<T>(job: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const result = Promise.try(job, this.signal);
    const running = result.then(() => {}, (error) => {
      if (this.signal.aborted) return;
      this.#failure = { error };
      this.#failed.reject(error);
      this.end();
    }).finally(() => this.#running.delete(running));
    this.#running.add(running);
    return result;
  }

  /** Ends the jobs: aborts their signal and does not wait. */
  end(): void {
    this.#ending.abort();
  }

  /** Waits until every job is over, those started meanwhile too; throws the first failure. */
  async join(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    // Whoever still listens to the signal is let go.
    this.end();
    if (this.#failure) throw this.#failure.error;
  }

  /** Ends the jobs and waits for them. Throws nothing: a failure is told by `join`, `failed` or its job. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.end();
    await this.join().catch(() => {});
  }
}
