/**
 * The terminal at which a person types: one for the program, like its keyboard. Everything that is written to it
 * comes out in one order, and while it is frozen (Ctrl-S, a window that nobody reads) the program goes on.
 */
import { encodeUtf8, writeAllSync } from "../bytes.ts";
import { codeOf } from "../platform_errors.ts";
import { OutputQueue, type QueueEvents } from "./output_queue.ts";

class Screen {
  #queue: OutputQueue | undefined;
  #hasGone = false;

  /** From now on nobody waits for it: what is written waits in the queue, which is the same at each call. */
  waitForNobody(events: QueueEvents): OutputQueue {
    return this.#queue ??= new OutputQueue({ write: (bytes) => this.#write(bytes) }, events);
  }

  /** Whether something is being written: whoever changes the terminal meanwhile would wait for it. */
  get isBusy(): boolean {
    return this.#queue?.isBusy ?? false;
  }

  /** Resolves when nothing is being written; on a terminal that is frozen only when it goes on. */
  async idle(): Promise<void> {
    await this.#queue?.idle();
  }

  /** Resolves when everything is on it; false when that will not be: it has gone, or nobody has waited for it. */
  async shown(): Promise<boolean> {
    await this.#queue?.drained();
    return !this.#hasGone && !this.#queue?.isClosed;
  }

  /** Nothing more comes onto it. */
  close(): void {
    this.#queue?.close();
  }

  /** Resolves when `redraw` writes again. */
  async room(): Promise<void> {
    await this.#queue?.room();
  }

  /** Writes in any case. */
  write(text: string): void {
    if (text === "") return;
    const bytes = encodeUtf8(text);
    if (this.#queue) return this.#queue.push(bytes);
    try {
      writeAllSync(place(), bytes);
    } catch (error) {
      this.#lose(error);
    }
  }

  /** Writes what will be drawn anew when there is room; false when there is none now. */
  redraw(text: string): boolean {
    if (this.#queue?.isFull) return false;
    this.write(text);
    return true;
  }

  /** Writes a line of somebody; false when there is no room, and it is counted as one that was left out. */
  offer(text: string): boolean {
    if (this.#queue) return this.#queue.offer(encodeUtf8(text));
    this.write(text);
    return true;
  }

  async #write(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
    try {
      return await place().write(bytes);
    } catch (error) {
      this.#lose(error);
      return bytes.length;
    }
  }

  #lose(error: unknown): void {
    // Whoever typed here has gone, with the terminal.
    if (!isGone(error)) throw error;
    this.#hasGone = true;
  }
}

/** Where it is: at stdout, or at stderr where that one is a pipe. */
function place(): typeof Deno.stdout {
  return Deno.stdout.isTerminal() ? Deno.stdout : Deno.stderr;
}

/** Whether what was written has no reader any more, or no terminal. */
export function isGone(error: unknown): boolean {
  return ["EIO", "EPIPE"].includes(codeOf(error) ?? "");
}

/** The screen of this program. */
export const screen = new Screen();
