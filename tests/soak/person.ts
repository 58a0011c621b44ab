/** Somebody whose program is killed and started again, and who remembers what it was given and told. */
import { DatabaseSync } from "node:sqlite";
import type { CastOptions, JsonEvent, Program, Scene } from "../testkit/program.ts";
import { check, type Run, type Verdict } from "./checker.ts";

/** What is told of each message, and not of what happens. */
const OF_MESSAGES: ReadonlySet<unknown> = new Set(["queued", "sent", "stored", "read", "message"]);
/** Lines of one write. */
const FEED = 10;

interface Life {
  readonly program: Program;
  readonly lines: string[];
  /** Parsed once it has ended. */
  events: readonly JsonEvent[] | undefined;
}

/** One side of a conversation on lines of JSON, over all its runs. */
export class Person {
  readonly name: string;
  readonly #scene: Scene;
  readonly #to: string;
  readonly #args: readonly string[];
  readonly #cast: CastOptions;
  readonly #lives: Life[] = [];
  #lines = 0;

  /** Nothing runs before `start`. */
  constructor(
    scene: Scene,
    name: string,
    to: string,
    args: readonly string[] = [],
    cast: CastOptions = {},
  ) {
    this.name = name;
    this.#scene = scene;
    this.#to = to;
    this.#args = args;
    this.#cast = cast;
  }

  /** What runs now. */
  get program(): Program {
    return this.#life.program;
  }

  /** Lines written so far, in all runs. */
  get lines(): number {
    return this.#lines;
  }

  /** Every run so far, as the checker wants it. */
  get runs(): Run[] {
    return this.#lives.map(({ program, lines, events }) => ({
      lines,
      events: events ?? program.events,
    }));
  }

  /** Starts the program, for the first time or again. */
  start(): Program {
    const program = this.#scene.connect(this.name, this.#to, ["--json", ...this.#args], this.#cast);
    this.#lives.push({ program, lines: [], events: undefined });
    return program;
  }

  /** Gives the program so many lines, each of them new. A program that dies may take none. */
  async write(count: number): Promise<void> {
    const { program, lines } = this.#life;
    const fresh = Array.from({ length: count }, () => `${this.name} ${this.#lines++}`);
    lines.push(...fresh);
    await program.write(fresh.map((line) => `${line}\n`).join("")).catch(() => {});
  }

  /**
   * Gives the program so many lines, a few at a time, so that a kill finds some on disk, some under way
   * and some not taken.
   */
  async feed(count: number): Promise<void> {
    for (let left = count; left > 0; left -= FEED) await this.write(Math.min(FEED, left));
  }

  /** Kills the program without a word, and waits until it is dead. */
  async kill(): Promise<void> {
    const life = this.#life;
    life.program.kill("SIGKILL");
    await life.program.exit();
    life.events = life.program.events;
  }

  /** Lines of this run that are about no message: a person reads them one by one. */
  get statusLines(): number {
    return this.program.events.filter(({ event }) => !OF_MESSAGES.has(event)).length;
  }

  /** Holds this person's file of messages, as a backup does, until the returned function is called. */
  async holdStore(): Promise<() => void> {
    const state = this.#scene.stateOf(this.name);
    const backup = new DatabaseSync(`${state}/profiles/${this.name}/messages.db`);
    for (;;) {
      try {
        backup.exec("BEGIN IMMEDIATE");
        return () => backup.close();
      } catch {
        // The program is writing just now.
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }

  /** Copies the profile of this person, who has ended; the returned function puts it back. */
  async copyProfile(): Promise<() => Promise<void>> {
    const state = this.#scene.stateOf(this.name);
    const profile = `${state}/profiles/${this.name}`, copy = `${state}/${this.name}.copy`;
    const take = async (from: string, to: string) => {
      await Deno.mkdir(to, { mode: 0o700 });
      for await (const { name, isFile } of Deno.readDir(from)) {
        if (isFile) await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
      }
    };
    await take(profile, copy);
    return async () => {
      await Deno.remove(profile, { recursive: true });
      await take(copy, profile);
      await Deno.remove(copy, { recursive: true });
    };
  }

  /** Waits until this run has shown so many more messages. */
  async showsMore(count: number): Promise<void> {
    const goal = this.#shown + count;
    await this.program.until(`${count} more messages`, () => this.#shown >= goal);
  }

  /** Waits until this run has shown a message with this text. */
  async showsLine(text: string): Promise<void> {
    const line = `"text":${JSON.stringify(text)}`;
    await this.program.until(`the message "${text}"`, () => this.program.stdout.includes(line));
  }

  get #life(): Life {
    const life = this.#lives.at(-1);
    if (!life) throw new Error(`${this.name} was never started`);
    return life;
  }

  get #shown(): number {
    return this.program.stdout.split('{"event":"message"').length - 1;
  }
}

/** Ends both programs in order, once each has written a last line and has seen the other's. */
export async function finish(alice: Person, bob: Person): Promise<void> {
  await Promise.all([alice.write(1), bob.write(1)]);
  await Promise.all([
    alice.showsLine(`${bob.name} ${bob.lines - 1}`),
    bob.showsLine(`${alice.name} ${alice.lines - 1}`),
  ]);
  await Promise.all([alice.program.endInput(), bob.program.endInput()]);
  await Promise.all([alice.program.exits(0), bob.program.exits(0)]);
}

/** What became of both directions: what alice wrote, and what bob did. */
export function verdicts(alice: Person, bob: Person): readonly [Verdict, Verdict] {
  return [
    check({ writer: alice.runs, reader: bob.runs }),
    check({ writer: bob.runs, reader: alice.runs }),
  ];
}
