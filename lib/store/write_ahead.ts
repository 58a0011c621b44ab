/** When the write-ahead log of a database is emptied: what was deleted may still be in it. */
import { MESSAGES_SETTLE_AFTER, MESSAGES_TIDY_PAUSE } from "../limits.ts";
import type { SqliteFile } from "./sqlite_file.ts";

/** Calls `action` once after `milliseconds`, unless the returned function is called before. */
export type After = (milliseconds: number, action: () => void) => () => void;

/**
 * Transactions within `MESSAGES_SETTLE_AFTER` from which on the write-ahead log is left to SQLite, which moves
 * it into the file by itself: to cut a log that grows again at once costs each transaction more.
 */
const BUSY = 100;

/** Empties the write-ahead log of a database some time after each change, and when it is asked to. */
export class WriteAhead {
  readonly #file: SqliteFile;
  readonly #after: After;
  readonly #mayWait: boolean;
  /** Transactions since the log was emptied, or should have been. */
  #unsettled = 0;
  #stopSettling: (() => void) | undefined;
  /** Runs while the log was emptied lately because somebody asked. */
  #stopResting: (() => void) | undefined;
  #isAsked = false;

  /** `mayWait`: nothing is deleted, so that a busy database may leave it to SQLite. */
  constructor(file: SqliteFile, after: After, mayWait: boolean) {
    this.#file = file;
    this.#after = after;
    this.#mayWait = mayWait;
  }

  /** A transaction was committed. */
  noteCommit(): void {
    this.#unsettled++;
    this.#settleLater();
  }

  /** Empties the log, or tries again later: what is in the database is not to lie in its log alone. */
  settle(): void {
    this.#stopSettling?.();
    this.#stopSettling = undefined;
    const isBusy = this.#mayWait && this.#unsettled >= BUSY;
    this.#unsettled = 0;
    if (isBusy || !this.#file.emptyLog()) this.#settleLater();
  }

  #settleLater(): void {
    this.#stopSettling ??= this.#after(MESSAGES_SETTLE_AFTER, () => this.settle());
  }

  /** Empties the log at once, or when it was asked to less than `MESSAGES_TIDY_PAUSE` ago, after that. */
  tidy(): void {
    this.#isAsked = true;
    if (!this.#stopResting) this.#tidyNow();
  }

  #tidyNow(): void {
    if (!this.#isAsked) return;
    this.#isAsked = !this.#file.emptyLog();
    this.#stopResting = this.#after(MESSAGES_TIDY_PAUSE, () => {
      this.#stopResting = undefined;
      this.#tidyNow();
    });
  }

  /** Stops what was to happen later. */
  stop(): void {
    this.#stopSettling?.();
    this.#stopResting?.();
  }
}
