/**
 * Lines that wait for their reader, in order, while the program goes on: a reader that pauses, such as a log that
 * somebody scrolls in, must not stop those who talk.
 */
import { concat } from "@std/bytes/concat";
import { type Bytes, writeAll } from "../bytes.ts";
import { Signal } from "../flow/signal.ts";

/** Bytes beyond which the queue is full; whoever can wait does. */
export const QUEUE_FULL = 1024 * 1024;
/** Bytes that are kept for a reader at all, of whoever cannot wait. */
export const QUEUE_LIMIT = 16 * QUEUE_FULL;
/** Written at once, when as much is there: what a pipe holds. */
const PIECE = 64 * 1024;

interface Waiting {
  readonly bytes: Bytes;
  readonly onWritten: (() => void) | undefined;
}

/** What becomes of lines, and of those for which there is no room. */
export interface QueueEvents {
  /** Writing has failed, or the reader has left too much; nothing is written any more. */
  readonly onFailure: (error: unknown) => void;
  /** Lines were left out because the queue was full: what is said of it, now that there is room. */
  readonly describeDropped?: (lines: number) => Bytes;
}

/** The lines for one output. */
export class OutputQueue {
  readonly #to: { write(bytes: Bytes): Promise<number> };
  readonly #events: QueueEvents;
  #waiting: Waiting[] = [];
  /** Bytes that are not written, those under way included. */
  #size = 0;
  #dropped = 0;
  #isWriting = false;
  #isClosed = false;
  readonly #progress = new Signal();

  /** With `describeDropped` lines are dropped when the queue is full. */
  constructor(to: { write(bytes: Bytes): Promise<number> }, events: QueueEvents) {
    this.#to = to;
    this.#events = events;
  }

  /** Whether whoever can wait should. */
  get isFull(): boolean {
    return this.#size >= QUEUE_FULL;
  }

  /** A line; `onWritten` is called when the system has it, after those of the lines before. */
  push(bytes: Bytes, onWritten?: () => void): void {
    if (this.#isClosed) return;
    if (this.#events.describeDropped && this.isFull) {
      this.#dropped++;
      return;
    }
    if (this.#size >= QUEUE_LIMIT) return this.#fail(new ReaderPauses());
    this.#size += bytes.length;
    this.#waiting.push({ bytes, onWritten });
    if (!this.#isWriting) void this.#write();
  }

  /** Resolves when the queue is not full; false when nothing is written any more. */
  async room(): Promise<boolean> {
    while (this.isFull && !this.#isClosed) await this.#progress.wait();
    return !this.#isClosed;
  }

  /** Resolves when everything is written, or nothing is any more. */
  async drained(): Promise<void> {
    while ((this.#isWriting || this.#size > 0) && !this.#isClosed) await this.#progress.wait();
  }

  /** Nothing is written any more, and nobody waits for it. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
    this.#progress.notify();
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    try {
      // Lines that are said in one go are written in one go.
      await Promise.resolve();
      while (this.#waiting.length > 0) {
        const lines = this.#take();
        await writeAll(this.#to, concat(lines.map(({ bytes }) => bytes)));
        for (const { bytes, onWritten } of lines) {
          this.#size -= bytes.length;
          if (!this.#isClosed) onWritten?.();
        }
        this.#tellDropped();
        this.#progress.notify();
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isWriting = false;
      this.#progress.notify();
    }
  }

  /** The first lines, as many as make a piece, one at least. */
  #take(): readonly Waiting[] {
    let length = 0, count = 0;
    while (count < this.#waiting.length && (count === 0 || length < PIECE)) {
      length += this.#waiting[count++]!.bytes.length;
    }
    return this.#waiting.splice(0, count);
  }

  #tellDropped(): void {
    if (this.#dropped === 0 || this.#size > QUEUE_FULL / 2) return;
    const bytes = this.#events.describeDropped!(this.#dropped);
    this.#dropped = 0;
    this.push(bytes);
  }

  #fail(error: unknown): void {
    if (this.#isClosed) return;
    this.close();
    this.#events.onFailure(error);
  }
}

/** A reader has left more than is kept for it. */
export class ReaderPauses extends Error {
  override readonly name = "ReaderPauses";
}
