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

/** Where lines are written. */
export interface Output {
  write(bytes: Bytes): Promise<number>;
}

/** How a line is written. */
export interface Writing {
  /** Called when the system has it, after those of the lines before. */
  readonly onWritten?: (() => void) | undefined;
  /** Where, if not where the others go: of a terminal there is stdout and stderr. */
  readonly to?: Output;
}

interface Waiting extends Writing {
  readonly bytes: Bytes;
}

/** What becomes of lines, and of those for which there is no room. */
export interface QueueEvents {
  /** Writing has failed, or the reader has left too much; nothing is written any more. */
  readonly onFailure: (error: unknown) => void;
  /** So many lines were left out because the queue was full, and now there is room to say so. */
  readonly onDropped: (lines: number) => void;
}

/** The lines for one output. */
export class OutputQueue {
  readonly #to: Output;
  readonly #events: QueueEvents;
  #waiting: Waiting[] = [];
  /** Bytes that are not written, those under way included. */
  #size = 0;
  #dropped = 0;
  #isWriting = false;
  #isClosed = false;
  readonly #progress = new Signal();

  constructor(to: Output, events: QueueEvents) {
    this.#to = to;
    this.#events = events;
  }

  /** Whether whoever can wait should. */
  get isFull(): boolean {
    return this.#size >= QUEUE_FULL;
  }

  /** Whether something is being written, also when nobody waits for it any more. */
  get isBusy(): boolean {
    return this.#isWriting;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** A line that must come out. */
  push(bytes: Bytes, writing: Writing = {}): void {
    if (this.#isClosed) return;
    if (this.#size >= QUEUE_LIMIT) return this.#fail(new ReaderPauses());
    this.#size += bytes.length;
    this.#waiting.push({ ...writing, bytes });
    if (!this.#isWriting) void this.#write();
  }

  /** A line that is left out, and counted, when the queue is full: false then. */
  offer(bytes: Bytes, writing: Writing = {}): boolean {
    if (this.#isClosed) return false;
    if (this.isFull) {
      this.#dropped++;
      return false;
    }
    this.push(bytes, writing);
    return true;
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

  /** Resolves when nothing is being written; `close` hurries nobody here. */
  async idle(): Promise<void> {
    while (this.#isWriting) await this.#progress.wait();
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
        const { to = this.#to } = lines[0]!;
        await writeAll(to, concat(lines.map(({ bytes }) => bytes)));
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

  /** The first lines for the same place, as many as make a piece, one at least. */
  #take(): readonly Waiting[] {
    let length = 0, count = 0;
    for (const { bytes, to } of this.#waiting) {
      if (count > 0 && (length >= PIECE || to !== this.#waiting[0]!.to)) break;
      length += bytes.length;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  #tellDropped(): void {
    if (this.#dropped === 0 || this.#size > QUEUE_FULL / 2) return;
    const lines = this.#dropped;
    this.#dropped = 0;
    this.#events.onDropped(lines);
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
