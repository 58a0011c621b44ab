/**
 * Pieces of a byte stream for one output: while one write is under way those that come are joined, and go with the
 * next. Each write of the platform waits for a thread of its own: of a fast stream that costs more than a copy.
 */
import type { Bytes } from "../bytes.ts";
import { Signal } from "../flow/signal.ts";

/** Bytes that wait for the write under way, and are written together. */
export const JOINED_LIMIT = 512 * 1024;

interface Waiting {
  readonly bytes: Bytes;
  readonly onWritten: () => void;
}

/** An output of joined writes. */
export class JoinedOutput {
  readonly #write: (bytes: Bytes) => Promise<void>;
  readonly #onFailure: (error: unknown) => void;
  #waiting: Waiting[] = [];
  #size = 0;
  #isWriting = false;
  #failure: { readonly error: unknown } | undefined;
  /** Where pieces are joined; it is the write's while one is under way. */
  #joined: Bytes | undefined;
  readonly #progress = new Signal();

  /**
   * `write` resolves when all of what it is given is written, and must not keep it any longer; what it throws is told
   * to `onFailure`, once.
   */
  constructor(write: (bytes: Bytes) => Promise<void>, onFailure: (error: unknown) => void) {
    this.#write = write;
    this.#onFailure = onFailure;
  }

  /**
   * A piece, which must not change until it is written: then `onWritten` is called, in the order of the pieces.
   * Resolves when there is room for more; throws why nothing is written any more.
   */
  async push(bytes: Bytes, onWritten: () => void): Promise<void> {
    this.#requireNoFailure();
    this.#waiting.push({ bytes, onWritten });
    this.#size += bytes.length;
    if (!this.#isWriting) void this.#writeAll();
    while (this.#size >= JOINED_LIMIT && !this.#failure) await this.#progress.wait();
    this.#requireNoFailure();
  }

  /** Resolves when everything is written; throws why it is not. */
  async drained(): Promise<void> {
    while (this.#isWriting && !this.#failure) await this.#progress.wait();
    this.#requireNoFailure();
  }

  #requireNoFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    try {
      while (this.#waiting.length > 0) {
        const pieces = this.#take();
        // There is room from now on: what comes is for the next write.
        this.#progress.notify();
        await this.#write(this.#join(pieces));
        for (const { onWritten } of pieces) onWritten();
      }
    } catch (error) {
      this.#failure = { error };
      this.#onFailure(error);
    } finally {
      this.#isWriting = false;
      this.#progress.notify();
    }
  }

  /** The first pieces, as many as fit, one at least. */
  #take(): readonly Waiting[] {
    let length = 0, count = 0;
    for (const { bytes } of this.#waiting) {
      if (count > 0 && length + bytes.length > JOINED_LIMIT) break;
      length += bytes.length;
      count++;
    }
    this.#size -= length;
    return this.#waiting.splice(0, count);
  }

  #join(pieces: readonly Waiting[]): Bytes {
    if (pieces.length === 1) return pieces[0]!.bytes;
    this.#joined ??= new Uint8Array(JOINED_LIMIT);
    let length = 0;
    for (const { bytes } of pieces) {
      this.#joined.set(bytes, length);
      length += bytes.length;
    }
    return this.#joined.subarray(0, length);
  }
}
