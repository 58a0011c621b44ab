/**
 * A prompt where the terminal itself edits lines and shows them, as for a screen reader: nothing is drawn, nothing
 * of what stands on the screen changes, and what is shown is what is taken.
 */
import type { CifraError } from "../errors.ts";
import type { EditedLine } from "./edited_lines.ts";
import { keyboard } from "./keyboard.ts";
import type { PromptEvents, PromptOptions } from "./line_editor.ts";
import { harmless, type Shown } from "./page.ts";
import { screen } from "./screen.ts";
import type { Terminal } from "./terminal.ts";

/** Milliseconds in which lines come of one paste, which the terminal does not mark. */
export const PASTE_PAUSE = 100;
/** Milliseconds in which nobody types a letter: a row that was empty before them is empty after them. */
const LETTER_PAUSE = 30;
/** A text may be longer than what can be used, since there may be more in it; in UTF-16 units. */
const ROOM = 4;

/** An open prompt. */
export class PlainPrompt {
  readonly #options: PromptOptions;
  readonly #terminal: Terminal;
  readonly #events: PromptEvents;
  readonly #releases: (() => void)[] = [];
  /** Lines that ended with a backslash: the next one goes on there. */
  #begun = "";
  /** Lines that came together, and to which another may belong. */
  #lines: EditedLine[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Somebody else has the screen. */
  #isAway = false;
  #isClosed = false;
  readonly #openedAt = performance.now();
  /** When a row was certainly empty, by `performance.now()`. */
  #freshAt = -Infinity;

  constructor(options: PromptOptions, terminal: Terminal, events: PromptEvents) {
    this.#options = options;
    this.#terminal = terminal;
    this.#events = events;
    const holder = {
      interrupt: () => events.onInterrupt(),
      complain: ({ message, hint }: CifraError) => terminal.say(`${message}: ${hint}`),
    };
    this.#releases.push(keyboard.hold(holder, { raw: false }));
    this.#ask();
    const release = keyboard.listen({
      // Keys come one by one where nothing is shown of them: what nobody saw is no line.
      onKey: () => {},
      onLine: (line) => this.#onLine(line),
      onPause: () => {},
      onEnd: () => this.#onEnd(),
      onResize: () => {},
      onContinued: () => {},
      onAway: () => void (this.#isAway = true),
      onBack: () => {
        this.#isAway = false;
        this.#ask();
      },
    }, { isFresh: options.isFresh });
    this.#releases.unshift(release);
  }

  /**
   * Prints below what may be half typed, which the terminal alone knows and repeats at Ctrl-R: an empty row too many
   * is better than a line of somebody that begins in the middle of ours.
   */
  printAround(text: Shown): void {
    if (this.#isClosed || this.#isAway) return void screen.offer(`${text}\n`);
    const isFresh = performance.now() - this.#freshAt < LETTER_PAUSE;
    screen.offer(isFresh ? `${text}\n` : `\n${text}\n`);
    this.#freshAt = performance.now();
  }

  /** There is no prompt to be seen but that of a question. */
  setPrompt(): void {}

  /** What was entered is entered, though more might have come. */
  enter(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#freshAt = performance.now();
    const lines = this.#lines;
    this.#lines = [];
    const { isQuestion, limit, refused = "not taken" } = this.#options;
    const room = ROOM * limit - this.#begun.length;
    const length = lines.reduce((sum, { text }) => sum + text.length + 1, -1);
    const problem = lines.find((line) => line.problem !== undefined)?.problem ??
      (length > room ? `it is longer than the ${limit} bytes that fit` : undefined);
    if (problem !== undefined) {
      // What was before it is gone as well: nobody knows any more where it would go on.
      this.#begun = "";
      return this.#terminal.say(`${refused}: ${problem}; type it again`);
    }
    // A backslash asks for the line break that is there.
    const goesOn = (text: string) => !isQuestion && text.endsWith("\\");
    const text = this.#begun +
      lines.map(({ text }, i) => i < lines.length - 1 && goesOn(text) ? text.slice(0, -1) : text)
        .join("\n");
    this.#begun = goesOn(text) ? `${text.slice(0, -1)}\n` : "";
    // The last line of a paste has an end as well.
    if (this.#begun === "") this.#events.onMessage(text.replace(/\n+$/, ""));
  }

  /** Whoever has entered something has entered it; what has no end yet is dropped. */
  close(): void {
    if (this.#isClosed) return;
    this.enter();
    this.#isClosed = true;
    for (const release of this.#releases) release();
  }

  #onLine(line: EditedLine): void {
    const last = this.#lines.at(-1);
    // What was typed before anybody asked comes at once, though it was no paste.
    if (last && line.at < this.#openedAt && line.at - last.at > PASTE_PAUSE) this.enter();
    if (this.#isClosed) return;
    this.#lines.push(line);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      // On a busy machine the pause is over before what came in it was read: that comes first.
      this.#timer = setTimeout(() => this.enter());
    }, PASTE_PAUSE);
  }

  #onEnd(): void {
    if (this.#isClosed) return;
    this.enter();
    this.#events.onEnd();
  }

  #ask(): void {
    if (this.#options.isQuestion) screen.write(`${harmless(this.#options.prompt)}\n`);
  }
}
