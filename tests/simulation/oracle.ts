/**
 * Sees everything that is submitted, told and shown, and says what is wrong with it: the invariants I1 to I8
 * that a conversation must keep over every fault.
 */

/** One direction: from one person to another. */
interface Direction {
  /** Texts in the order in which they were submitted, and whether the program said that it has them. */
  readonly texts: string[];
  readonly order: Map<string, number>;
  readonly accepted: Set<number>;
  /** How often each was shown, leaving out what was shown again with a remark. */
  readonly shown: Map<number, number>;
  /** The last one that was shown for the first time. */
  last: number;
  /** Shown by the present run of the reader's program. */
  run: Set<number>;
  /** Shown by runs that were killed since the last one that ended in order. */
  readonly mayCome: Set<number>;
}

/** What is wrong, by the name of its invariant. */
export class Violation extends Error {
  override readonly name = "Violation";
}

/** The checker of one history. */
export class Oracle {
  readonly #directions = new Map<string, Direction>();
  #acknowledged = 0;

  /** Messages that somebody was told to be stored at the other side. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Messages whose submission returned. */
  get accepted(): number {
    return this.#sum((direction) => direction.accepted.size);
  }

  /** Messages that were shown once more with the remark that they may have been seen. */
  recovered = 0;

  /** A text is handed to the program; no two are equal. */
  submitted(from: string, to: string, text: string): void {
    const { texts, order } = this.#direction(from, to);
    order.set(text, texts.length);
    texts.push(text);
  }

  /** The program said that it has it. */
  accept(from: string, to: string, text: string): void {
    const { accepted, order } = this.#direction(from, to);
    accepted.add(order.get(text)!);
  }

  /** The program said that everything up to a number is stored at the other side; `have` is what is there. */
  stored(from: string, to: string, number: bigint, have: bigint): void {
    if (have < number) fail("I2", `${from} was told that ${to} has stored ${number}, not ${have}`);
    this.#acknowledged = Math.max(this.#acknowledged, Number(number));
  }

  /** A new run of the reader's program begins. */
  runs(reader: string, from: string): void {
    const direction = this.#direction(from, reader);
    for (const index of direction.run) direction.mayCome.add(index);
    direction.run = new Set();
  }

  /** The reader's program has ended in order: what it showed is never shown again. */
  ends(reader: string, from: string): void {
    const direction = this.#direction(from, reader);
    direction.run = new Set();
    direction.mayCome.clear();
  }

  /** The program shows a text. */
  show(from: string, to: string, text: string, recovered: boolean): void {
    const direction = this.#direction(from, to);
    const { order, shown, run, mayCome, accepted } = direction;
    const index = order.get(text);
    if (index === undefined) fail("I5", `${to} was shown what ${from} never said: ${text}`);
    if (run.has(index)) fail("I3", `${to} was shown ${text} twice by one run`);
    run.add(index);
    const before = shown.get(index) ?? 0;
    if (before > 0) {
      // It may be shown again, with a remark, by a program whose last run was killed around it.
      if (!recovered) fail("I3", `${to} was shown ${text} twice`);
      if (!mayCome.has(index)) fail("I3", `${to} was shown ${text} again, without need`);
      this.recovered++;
    } else {
      if (index < direction.last) fail("I4", `${to} was shown ${text} out of order`);
      for (let i = direction.last + 1; i < index; i++) {
        if (accepted.has(i)) fail("I4", `${to} was shown ${text} before ${direction.texts[i]}`);
      }
      direction.last = index;
    }
    shown.set(index, before + 1);
  }

  /** The program says that messages are missing. */
  gap(from: string, to: string): void {
    fail("I4", `${to} was told that messages of ${from} are gone, and none are`);
  }

  /** Whether everything that was accepted has been shown. */
  get isQuiet(): boolean {
    for (const { accepted, shown } of this.#directions.values()) {
      for (const index of accepted) if (!shown.has(index)) return false;
    }
    return true;
  }

  /** At the end, after enough quiet time: everything that was accepted was shown. */
  finish(): void {
    for (const [key, { texts, accepted, shown }] of this.#directions) {
      for (const index of accepted) {
        if (!shown.has(index)) fail("I1", `lost from ${key}: ${texts[index]}`);
      }
    }
  }

  #sum(count: (direction: Direction) => number): number {
    return [...this.#directions.values()].reduce((sum, each) => sum + count(each), 0);
  }

  #direction(from: string, to: string): Direction {
    const key = `${from} to ${to}`;
    let direction = this.#directions.get(key);
    if (!direction) {
      direction = {
        texts: [],
        order: new Map(),
        accepted: new Set(),
        shown: new Map(),
        last: -1,
        run: new Set(),
        mayCome: new Set(),
      };
      this.#directions.set(key, direction);
    }
    return direction;
  }
}

function fail(invariant: string, what: string): never {
  throw new Violation(`${invariant}: ${what}`);
}
