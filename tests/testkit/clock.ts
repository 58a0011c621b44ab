/** Time in the hand of a test. */
import type { Time } from "../../lib/flow/time.ts";
import { turn } from "./turn.ts";

/** Milliseconds that pass at once while somebody waits. */
const STEP = 10;
/** Turns of the event loop between two steps of the time: in each is done what waits for no time. */
const TURNS = 5;
/** Breaths in a second that passes. */
const BREATHS = 10;
/** Steps in which it must come to what somebody waits for. */
const PATIENCE = 8000;

/** Between two steps of the time: what can be done at once is done. */
async function breathe(): Promise<void> {
  for (let turns = 0; turns < TURNS; turns++) await turn();
}

/** The same where whole programs talk to each other through sockets: a moment of real time. */
export function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Time that stands still until it is told to go on, or until somebody waits for something with it. */
export class ManualTime implements Time {
  readonly #breathe: () => Promise<void>;
  #now = 0;
  #slept = 0;
  #alarms = new Map<number, { readonly at: number; readonly action: () => void }>();
  #last = 0;

  constructor(between: () => Promise<void> = breathe) {
    this.#breathe = between;
  }

  /** Alarms that have not gone off. */
  get pending(): number {
    return this.#alarms.size;
  }

  // Handed around by themselves, as the system's are.
  readonly now = (): number => this.#now + this.#slept;

  readonly date = (): number => Date.UTC(2030, 0, 1) + this.now();

  readonly after = (milliseconds: number, action: () => void): () => void => {
    const id = ++this.#last;
    this.#alarms.set(id, { at: this.#now + milliseconds, action });
    return () => this.#alarms.delete(id);
  };

  /** Goes on; each alarm on the way goes off at its moment. */
  advance(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (;;) {
      const due = [...this.#alarms].filter(([, { at }]) => at <= end)
        .sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) break;
      const [id, { at, action }] = due;
      this.#alarms.delete(id);
      this.#now = at;
      action();
    }
    this.#now = end;
  }

  /** The machine sleeps: nothing goes off, and what was set goes off so much later. */
  sleep(milliseconds: number): void {
    this.#slept += milliseconds;
  }

  /** Lets so much time pass, and everybody do in it what is to be done. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.now() + milliseconds;
    while (this.now() < end) {
      this.advance(1000);
      for (let breaths = 0; breaths < BREATHS; breaths++) await this.#breathe();
    }
  }

  /** Lets time pass until the condition holds; in longer steps where nothing else is under way. */
  async until(condition: () => boolean, what: string, step = STEP): Promise<void> {
    for (let steps = 0; !condition(); steps++) {
      if (steps === PATIENCE) throw new Error(`It never came to this: ${what}`);
      this.advance(step);
      await this.#breathe();
    }
  }

  /** Lets time pass until the promise is settled. */
  async during<T>(promise: Promise<T>, what: string, step = STEP): Promise<T> {
    let settled = false;
    const settle = () => settled = true;
    promise.then(settle, settle);
    await this.until(() => settled, what, step);
    return await promise;
  }
}
