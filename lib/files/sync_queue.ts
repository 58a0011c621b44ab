/** Files that are written and not yet on the disk itself: put there many at a time, while others are written. */
import { SYNCED_AT_ONCE, UNSYNCED_BYTES, UNSYNCED_FILES } from "../limits.ts";
import { mayFail } from "../flow/may_fail.ts";

/** Waits for the disk itself on behalf of all who write. */
export class SyncQueue {
  readonly #synced: (upTo: number) => void;
  readonly #mayMiss: () => boolean;
  #paths: string[] = [];
  #bytes = 0;
  /** All that was added before this entry is complete. */
  #upTo = 0;
  #running: Promise<void> | undefined;

  /** `synced` is told before which entry all is on the disk; `mayMiss`: whether some files may be gone again. */
  constructor(synced: (upTo: number) => void, mayMiss: () => boolean) {
    this.#synced = synced;
    this.#mayMiss = mayMiss;
  }

  /**
   * Adds a file of so many bytes, of the last entry before `upTo`. A promise: the disk is behind, and nothing should
   * be written before it resolves. It rejects as the disk does.
   */
  add(path: string, bytes: number, upTo: number): Promise<void> | undefined {
    this.#paths.push(path);
    this.#bytes += bytes;
    this.#upTo = upTo;
    if (this.#paths.length < UNSYNCED_FILES && this.#bytes < UNSYNCED_BYTES) return undefined;
    if (!this.#running) return void mayFail(this.#start());
    return this.#running.then(() => void mayFail(this.#start()));
  }

  /** Resolves when all that was added is on the disk; rejects as it does. */
  async flush(): Promise<void> {
    if (this.#paths.length > 0) await this.#start();
    else await this.#running;
  }

  /** Forgets what was added; resolves when nothing runs any more. */
  async clear(): Promise<void> {
    this.#paths = [];
    this.#bytes = 0;
    await this.#running?.catch(() => {});
  }

  #start(): Promise<void> {
    const paths = this.#paths;
    const upTo = this.#upTo;
    this.#paths = [];
    this.#bytes = 0;
    const before = this.#running;
    const run = async () => {
      // What is told of the later ones is told of the earlier ones too.
      await before;
      await syncAll(paths, this.#mayMiss);
      this.#synced(upTo);
      if (this.#running === running) this.#running = undefined;
    };
    const running = run();
    // A failure stays until the queue is made anew: nobody may believe what comes after it.
    return this.#running = running;
  }
}

/** Puts files or folders on the disk itself, some of them at once. Throws the platform's errors. */
export async function syncAll(
  paths: readonly string[],
  mayMiss: () => boolean = () => false,
): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < paths.length) {
      try {
        await syncPath(paths[next++]!);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound && mayMiss())) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(SYNCED_AT_ONCE, paths.length) }, lane));
}

/** Puts the file or folder at `path` on the disk itself. Throws the platform's errors. */
export async function syncPath(path: string): Promise<void> {
  // Windows wants the right to write.
  const file = Deno.openSync(path, Deno.build.os === "windows" ? { write: true } : { read: true });
  try {
    await file.sync();
  } finally {
    file.close();
  }
}
