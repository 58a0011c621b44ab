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
  /** What a reader had before an old copy of their profile was put back: it may be gone, or come again. */
  readonly forgotten: Set<number>;
  /** What a writer had said before an old copy was put back that does not know of it: it may come, at any time. */
  readonly loose: Set<number>;
  /**
   * From here on it was said by a program that had come back from an old copy. Until its log is begun anew that may
   * stand aside, where nothing waits for what is lost before it: it comes, but in another order.
   */
  astray: number;
  /** What has left the outbox of the writer, and is at the reader. */
  readonly arrived: Set<number>;
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

  /** The program said that so many messages were read; each message was counted once at the most. */
  read(from: string, to: string, number: bigint): void {
    const { shown, forgotten } = this.#direction(from, to);
    const most = new Set([...shown.keys(), ...forgotten]).size;
    if (number > most) fail("I2", `${from} was told that ${to} has read ${number}, not ${most}`);
  }

  /**
   * The writer's program has let go of all that is not in its outbox; `waiting` is on the reader's disk and was not
   * shown.
   */
  left(
    from: string,
    to: string,
    outbox: ReadonlySet<string>,
    waiting: ReadonlySet<string>,
  ): void {
    const { accepted, texts, shown, forgotten, loose, arrived } = this.#direction(from, to);
    for (const index of accepted) {
      if (arrived.has(index) || loose.has(index) || outbox.has(texts[index]!)) continue;
      const isThere = shown.has(index) || forgotten.has(index) || waiting.has(texts[index]!);
      if (!isThere) fail("I2", `${from} has let go of what ${to} does not have: ${texts[index]}`);
      arrived.add(index);
    }
  }

  /** What the program of somebody has said to have by now; for `putBack`. */
  said(from: string): ReadonlySet<string> {
    const said = this.#of(({ writer }) => writer === from)
      .flatMap(({ direction: { accepted, texts } }) => [...accepted].map((index) => texts[index]!));
    return new Set(said);
  }

  /**
   * The profile of somebody is an old copy again, from when they had said this. `waiting` was on their disk and was
   * not shown.
   */
  putBack(name: string, said: ReadonlySet<string>, waiting: ReadonlySet<string>): void {
    for (const { writer, reader, direction } of this.#of(() => true)) {
      const { order, shown, forgotten, loose } = direction;
      if (reader === name) {
        for (const index of shown.keys()) forgotten.add(index);
        for (const text of waiting) forgotten.add(order.get(text)!);
      }
      if (writer !== name) continue;
      for (const [text, index] of order) if (!said.has(text)) loose.add(index);
      direction.astray = Math.min(direction.astray, order.size);
    }
  }

  #of(wanted: (ends: { readonly writer: string; readonly reader: string }) => boolean) {
    return [...this.#directions].map(([key, direction]) => {
      const [writer, reader] = key.split(" to ") as [string, string];
      return { writer, reader, direction };
    }).filter(wanted);
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
    const { order, shown, run, mayCome, accepted, forgotten, loose, astray } = direction;
    const index = order.get(text);
    if (index === undefined) fail("I5", `${to} was shown what ${from} never said: ${text}`);
    if (run.has(index)) fail("I3", `${to} was shown ${text} twice by one run`);
    run.add(index);
    const before = shown.get(index) ?? 0;
    if (forgotten.has(index)) {
      if (recovered) this.recovered++;
    } else if (before > 0) {
      // It may be shown again, with a remark, by a program whose last run was killed around it.
      if (!recovered) fail("I3", `${to} was shown ${text} twice`);
      if (!mayCome.has(index)) fail("I3", `${to} was shown ${text} again, without need`);
      this.recovered++;
    } else if (!loose.has(index)) {
      if (index < direction.last && index < astray) {
        fail("I4", `${to} was shown ${text} out of order`);
      }
      for (let i = direction.last + 1; i < Math.min(index, astray); i++) {
        if (!accepted.has(i) || forgotten.has(i) || loose.has(i)) continue;
        fail("I4", `${to} was shown ${text} before ${direction.texts[i]}`);
      }
      direction.last = Math.max(direction.last, index);
    }
    shown.set(index, before + 1);
  }

  /** The program says that messages are missing. */
  gap(from: string, to: string): void {
    if (this.#direction(from, to).forgotten.size > 0) return;
    fail("I4", `${to} was told that messages of ${from} are gone, and none are`);
  }

  /** Whether everything that was accepted has been shown. */
  get isQuiet(): boolean {
    return [...this.#directions.values()].every((direction) => missing(direction).length === 0);
  }

  /** At the end, after enough quiet time: everything that was accepted was shown. */
  finish(): void {
    for (const [key, direction] of this.#directions) {
      const [first] = missing(direction);
      if (first !== undefined) fail("I1", `lost from ${key}: ${direction.texts[first]}`);
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
        forgotten: new Set(),
        loose: new Set(),
        astray: Infinity,
        arrived: new Set(),
      };
      this.#directions.set(key, direction);
    }
    return direction;
  }
}

/** What was accepted and has to come, and has not. */
function missing({ accepted, shown, forgotten, loose }: Direction): readonly number[] {
  return [...accepted].filter((index) =>
    !shown.has(index) && !forgotten.has(index) && !loose.has(index)
  );
}

function fail(invariant: string, what: string): never {
  throw new Violation(`${invariant}: ${what}`);
}
