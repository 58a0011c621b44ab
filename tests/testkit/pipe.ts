/** Two transports joined in memory, with a hand on the bytes between them. */
import { concat } from "@std/bytes/concat";
import type { Bytes } from "../../lib/bytes.ts";
import type { Transport } from "../../lib/channel/transport.ts";

/** How a lane behaves; without options it takes and gives as much as it is offered. */
export interface LaneOptions {
  /** Bytes taken by one `write` at the most. */
  readonly writeLimit?: number;
  /** Bytes given by one `read` at the most. */
  readonly readLimit?: number;
  /** Bytes under way at the most: beyond this a write waits for the reader. */
  readonly capacity?: number;
}

/** One direction of a pipe. */
export class Lane {
  /** Every piece a write has taken, in order, held back or not. */
  readonly written: Bytes[] = [];
  readonly #options: LaneOptions;
  #queue: Bytes[] = [];
  #length = 0;
  #ended = false;
  #broken = false;
  #stalled = false;
  #held: Bytes[] | undefined;
  #change = Promise.withResolvers<void>();

  constructor(options: LaneOptions = {}) {
    this.#options = options;
  }

  /** All bytes written so far. */
  get bytes(): Bytes {
    return concat(this.written);
  }

  /** Bytes delivered and not yet read. */
  get length(): number {
    return this.#length;
  }

  /** The writer has ended this direction. */
  get ended(): boolean {
    return this.#ended;
  }

  /** From now on what is written does not arrive; `deliver` decides what does. */
  hold(): void {
    this.#held ??= [];
  }

  /** What was held back since the last call. */
  takeHeld(): Bytes {
    return concat(this.#held?.splice(0) ?? []);
  }

  /** Lets everything held back arrive, and what follows as well. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const piece of held) this.deliver(piece);
  }

  /** Puts bytes before the reader, whoever wrote them. */
  deliver(bytes: Bytes): void {
    if (bytes.length === 0) return;
    this.#queue.push(bytes.slice());
    this.#length += bytes.length;
    this.#changed();
  }

  /** From now on writes do not finish. */
  stall(): void {
    this.#stalled = true;
  }

  /** Writes finish again. */
  resume(): void {
    this.#stalled = false;
    this.#changed();
  }

  /** End of input, once everything delivered has been read. */
  end(): void {
    this.#ended = true;
    this.#changed();
  }

  /** Both sides of this direction fail at once, as after a reset. */
  break(): void {
    this.#broken = true;
    this.#changed();
  }

  async write(data: Bytes): Promise<number> {
    const { writeLimit = Infinity, capacity = Infinity } = this.#options;
    while (!this.#broken && !this.#ended && (this.#stalled || this.#length >= capacity)) {
      await this.#change.promise;
    }
    if (this.#broken || this.#ended) throw new Deno.errors.BrokenPipe("The pipe is broken");
    const taken = data.slice(0, Math.min(writeLimit, capacity - this.#length));
    this.written.push(taken);
    if (this.#held) this.#held.push(taken);
    else this.deliver(taken);
    return taken.length;
  }

  async read(buffer: Bytes): Promise<number | null> {
    const { readLimit = Infinity } = this.#options;
    for (;;) {
      if (this.#broken) throw new Deno.errors.ConnectionReset("The pipe is broken");
      const first = this.#queue.shift();
      if (first) {
        const count = Math.min(first.length, buffer.length, readLimit);
        buffer.set(first.subarray(0, count));
        if (count < first.length) this.#queue.unshift(first.subarray(count));
        this.#length -= count;
        this.#changed();
        return count;
      }
      if (this.#ended) return null;
      await this.#change.promise;
    }
  }

  #changed(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }
}

/** One end of a pipe. */
export class PipeEnd implements Transport {
  readonly output: Lane;
  readonly input: Lane;
  /** How often it was closed. */
  closed = 0;

  constructor(output: Lane, input: Lane) {
    this.output = output;
    this.input = input;
  }

  read(buffer: Bytes): Promise<number | null> {
    return this.input.read(buffer);
  }

  write(data: Bytes): Promise<number> {
    return this.output.write(data);
  }

  closeWrite(): Promise<void> {
    this.output.end();
    return Promise.resolve();
  }

  /** As a socket does it: our pending operations fail, the other side sees the end of input. */
  close(): void {
    this.closed++;
    this.output.end();
    this.input.break();
  }
}

/** Both ends, and both directions between them. */
export interface Pipe {
  readonly left: PipeEnd;
  readonly right: PipeEnd;
  readonly toRight: Lane;
  readonly toLeft: Lane;
}

/** A pipe; the options hold for both directions. */
export function pipe(options: LaneOptions = {}): Pipe {
  const toRight = new Lane(options), toLeft = new Lane(options);
  return {
    left: new PipeEnd(toRight, toLeft),
    right: new PipeEnd(toLeft, toRight),
    toRight,
    toLeft,
  };
}
