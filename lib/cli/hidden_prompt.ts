/**
 * A prompt for a secret where nothing on the screen is ever drawn again, as for a screen reader: the question is
 * written once, and nothing of the answer.
 */
import type { CifraError } from "../errors.ts";
import { keyboard } from "./keyboard.ts";
import type { Key } from "./key_decoder.ts";
import type { PromptEvents, PromptOptions } from "./line_editor.ts";
import { emptyLine, type LineRules, press } from "./line_state.ts";
import { harmless, type Shown } from "./page.ts";
import { screen } from "./screen.ts";
import type { Terminal } from "./terminal.ts";

/** Keys that a person expects who sees nothing: there is no cursor that could be elsewhere than at the end. */
const KNOWN: ReadonlySet<string> = new Set([
  ...["enter", "backspace", "ctrl-u", "ctrl-c", "ctrl-d", "ctrl-z"],
]);

/** An open prompt. */
export class HiddenPrompt {
  readonly #options: PromptOptions;
  readonly #events: PromptEvents;
  readonly #rules: LineRules;
  readonly #releases: (() => void)[] = [];
  #state = emptyLine();
  #isAway = false;
  #isClosed = false;

  constructor(options: PromptOptions, terminal: Terminal, events: PromptEvents) {
    this.#options = options;
    this.#events = events;
    this.#rules = { ...options, completions: [], isSecret: true };
    const holder = {
      interrupt: () => events.onInterrupt(),
      complain: ({ message, hint }: CifraError) => terminal.say(`${message}: ${hint}`),
    };
    this.#releases.push(keyboard.hold(holder, { raw: true }));
    this.#ask();
    const release = keyboard.listen({
      onKey: (key) => this.#onKey(key),
      onLine: () => {},
      onPause: () => {},
      onEnd: () => this.#end(),
      onResize: () => {},
      onContinued: () => this.#ask(),
      onAway: () => {
        this.#isAway = true;
        screen.write("\r\n");
      },
      onBack: () => {
        this.#isAway = false;
        this.#ask();
      },
      // Lines that were typed before were shown: they are no secret.
    }, { isFresh: true });
    this.#releases.unshift(release);
  }

  /** Prints below the question, and asks it again. */
  printAround(text: Shown): void {
    if (this.#isClosed || this.#isAway) return void screen.offer(`${text}\n`);
    screen.offer(`\n${text}\n`.replaceAll("\n", "\r\n"));
    this.#ask();
  }

  /** The question stays as it stands there. */
  setPrompt(): void {}

  /** Nothing waits for more. */
  enter(): void {}

  /** Gives the terminal back as it was. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (!this.#isAway) screen.write("\r\n");
    for (const release of this.#releases) release();
  }

  #onKey(key: Key): void {
    if (this.#isClosed || key.type === "press" && !KNOWN.has(key.name)) return;
    const { state, action } = press(this.#state, key, this.#rules);
    this.#state = state;
    switch (action?.type) {
      case "enter":
        return this.#events.onMessage(action.text);
      case "end":
        return this.#events.onEnd();
      case "interrupt":
        return this.#events.onInterrupt();
      case "suspend":
        return void keyboard.suspend();
    }
  }

  #end(): void {
    if (!this.#isClosed) this.#events.onEnd();
  }

  #ask(): void {
    screen.write(harmless(this.#options.prompt));
  }
}
