/** Changes to a database, together: those asked for in one turn of the event loop are one transaction. */
import { clearImmediate, setImmediate } from "node:timers";
import type { SqliteFile } from "./sqlite_file.ts";

interface Change {
  /** Makes the change; returns what tells of it once it is on disk. */
  readonly run: () => () => void;
  readonly reject: (error: unknown) => void;
}

/** The queue in front of a database's transactions. */
export class GroupCommit {
  readonly #file: SqliteFile;
  readonly #prologue: () => () => void;
  #queue: Change[] = [];
  #turn: ReturnType<typeof setImmediate> | undefined;

  /**
   * `prologue` is what every transaction begins with; it returns what is to be done when that is on disk.
   */
  constructor(file: SqliteFile, prologue: () => () => void) {
    this.#file = file;
    this.#prologue = prologue;
  }

  /** Whether no change waits for its transaction. */
  get idle(): boolean {
    return this.#queue.length === 0;
  }

  /**
   * Runs `work`, which touches nothing but the database, in the next transaction; resolves to its result
   * when that is on disk. What `work` or the database throws undoes the whole transaction and rejects all
   * that is in it.
   */
  change<T>(work: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const run = () => {
      const result = work();
      return () => resolve(result);
    };
    this.#queue.push({ run, reject });
    this.schedule();
    return promise;
  }

  /** Has a transaction in this turn, also without a change. */
  schedule(): void {
    this.#turn ??= setImmediate(() => this.flush());
  }

  /** Commits what waits, at once; the promises tell how that went. */
  flush(): void {
    clearImmediate(this.#turn);
    this.#turn = undefined;
    const batch = this.#queue;
    this.#queue = [];
    let told: (() => void)[];
    try {
      told = this.#file.transaction(() => [this.#prologue(), ...batch.map(({ run }) => run())]);
    } catch (error) {
      for (const { reject } of batch) reject(error);
      return;
    }
    for (const tell of told) tell();
  }
}
