/**
 * A world in which everything happens in one order: virtual time, events one after the other, and after each
 * all that follows from it in promises. Nothing real is waited for, so the same seed is the same history.
 */
import { hmacSha512 } from "../../lib/crypto/platform.ts";
import { encodeHex } from "@std/encoding/hex";
import { encodeUtf8 } from "../../lib/bytes.ts";
import type { Time } from "../../lib/flow/time.ts";
import { Dice } from "./dice.ts";

/** Runs every promise reaction that is due; only from outside of one. */
const drain: () => void = (() => {
  const internal = (Deno as unknown as Record<symbol, { core: { runMicrotasks(): void } }>)[
    (Deno as unknown as { internal: symbol }).internal
  ]!;
  return () => internal.core.runMicrotasks();
})();

/** Runs `job` where promises can be drained, and settles as it does. */
export function outsideOfPromises<T>(job: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    setTimeout(() => {
      try {
        resolve(job());
      } catch (error) {
        reject(error);
      }
    }, 0);
  });
}

interface Event {
  readonly at: number;
  readonly order: number;
  action: (() => void) | undefined;
}

/** Time, chance and the order of things. */
export class World {
  readonly dice: Dice;
  now = 0;
  /** How many events there were. */
  count = 0;
  readonly #events: Event[] = [];
  #order = 0;
  #hash = new Uint8Array(64);
  readonly #onTrace: ((line: string) => void) | undefined;

  constructor(seed: number, onTrace?: (line: string) => void) {
    this.dice = new Dice(seed);
    this.#onTrace = onTrace;
  }

  /** What has happened so far, in one word: equal histories have equal ones. */
  get hash(): string {
    return encodeHex(this.#hash.subarray(0, 8));
  }

  /** Notes that something happened. */
  trace(line: string): void {
    this.#hash = hmacSha512(this.#hash, encodeUtf8(`${this.now.toFixed(3)} ${line}`));
    this.#onTrace?.(`${(this.now / 1000).toFixed(3).padStart(9)} ${line}`);
  }

  /** Calls `action` after so many milliseconds, unless the returned function is called before. */
  after(milliseconds: number, action: () => void): () => void {
    const event = { at: this.now + Math.max(0, milliseconds), order: this.#order++, action };
    this.#push(event);
    return () => {
      event.action = undefined!;
    };
  }

  /** Lets the world go on until `done` or for so many milliseconds; tells whether it was done. */
  run(milliseconds: number, done: () => boolean = () => false): boolean {
    const end = this.now + milliseconds;
    drain();
    while (!done()) {
      const next = this.#events[0];
      if (!next || next.at > end) {
        this.now = end;
        return done();
      }
      this.#pop();
      this.now = next.at;
      if (!next.action) continue;
      this.count++;
      next.action();
      drain();
    }
    return true;
  }

  // A binary heap: the earliest first, and of one moment the one that was asked for first.
  #push(event: Event): void {
    const heap = this.#events;
    let i = heap.push(event) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(heap[i]!, heap[parent]!)) return;
      [heap[i], heap[parent]] = [heap[parent]!, heap[i]!];
      i = parent;
    }
  }

  #pop(): void {
    const heap = this.#events;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    heap[0] = last;
    for (let i = 0;;) {
      const left = 2 * i + 1, right = left + 1;
      let least = i;
      if (left < heap.length && before(heap[left]!, heap[least]!)) least = left;
      if (right < heap.length && before(heap[right]!, heap[least]!)) least = right;
      if (least === i) return;
      [heap[i], heap[least]] = [heap[least]!, heap[i]!];
      i = least;
    }
  }
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** A new one each time: what waits for it must be forgotten with whoever waits. */
const never = () => new Promise<never>(() => {});

/**
 * A running program. It can be killed between any two things it does to the world, before one or after: what
 * it does later has no effect, and what it waits for never comes.
 */
export class Process {
  readonly world: World;
  readonly name: string;
  alive = true;
  /** Things it still does before it is killed; Infinity for none. */
  fuse = Infinity;
  readonly time: Time;
  readonly #onDeath: (() => void)[] = [];
  #asleep: (() => void)[] | undefined;

  constructor(world: World, name: string, clockSkew: number) {
    this.world = world;
    this.name = name;
    this.time = {
      now: () => world.now,
      date: () => Math.floor(1_790_000_000_000 + clockSkew + world.now),
      after: (milliseconds, action) => world.after(milliseconds, () => this.wake(action)),
    };
  }

  /** Something outside reaches the program: at once, or when it is awake again. */
  wake(action: () => void): void {
    if (!this.alive) return;
    if (this.#asleep) this.#asleep.push(action);
    else this.does(action);
  }

  /** The program does something; undefined when it did not, or was killed right after. */
  does<T>(action: () => T): T | undefined {
    if (!this.alive) return undefined;
    const last = --this.fuse <= 0;
    if (last && this.world.dice.oneIn(2)) {
      this.kill();
      return undefined;
    }
    const result = action();
    if (last) this.kill();
    return this.alive ? result : undefined;
  }

  /** The same for what takes its time; never settles for a program that was killed. */
  doesLater<T>(action: () => Promise<T>): Promise<T> {
    return this.does(action) ?? never();
  }

  onDeath(action: () => void): void {
    this.#onDeath.push(action);
  }

  kill(): void {
    if (!this.alive) return;
    this.world.trace(`${this.name} is killed`);
    this.alive = false;
    for (const action of this.#onDeath) action();
  }

  /** The lid is closed for so long: nothing reaches the program, its connections stay. */
  sleep(milliseconds: number): void {
    if (this.#asleep || !this.alive) return;
    this.world.trace(`${this.name} sleeps for ${milliseconds.toFixed(0)} ms`);
    this.#asleep = [];
    this.world.after(milliseconds, () => this.awake());
  }

  /** The lid is opened: everything that it has missed reaches the program, in order. */
  awake(): void {
    const missed = this.#asleep;
    if (!missed) return;
    this.#asleep = undefined;
    if (this.alive) this.world.trace(`${this.name} is awake`);
    for (const action of missed) this.world.after(0, () => this.wake(action));
  }
}
