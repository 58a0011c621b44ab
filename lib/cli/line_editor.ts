/**
 * The line being typed on a terminal, and other people's lines printed above it without disturbing it. What keys do
 * is in `line_state.ts`, how it looks in `line_view.ts`; here the two meet the keyboard and the screen.
 */
import type { CifraError } from "../errors.ts";
import { keyboard } from "./keyboard.ts";
import type { Key } from "./key_decoder.ts";
import { pressOrSearch } from "./line_search.ts";
import { emptyLine, type LineAction, type LineRules, type LineState } from "./line_state.ts";
import {
  changeView,
  draw,
  type Drawn,
  EMPTY_VIEW,
  eraseView,
  type Frame,
  type LineView,
  reflow,
  showView,
} from "./line_view.ts";
import { page, type Shown } from "./page.ts";
import { screen } from "./screen.ts";
import type { Terminal } from "./terminal.ts";

/** The terminal tells a paste from typing while this is on. */
const MARK_PASTES = "\x1b[?2004h";
const DO_NOT_MARK_PASTES = "\x1b[?2004l";
const CLEAR_SCREEN = "\x1b[H\x1b[2J";
/** What Tab offers is listed up to so many words. */
const OFFERED = 200;
const USUAL_FRAME: Frame = { columns: 80, rows: 24 };

/** What is asked for, and how. */
export interface PromptOptions {
  /** Stands before what is typed; one line. */
  readonly prompt: string;
  /** Of the prompt: SGR parameters. */
  readonly colour?: string | undefined;
  /** What stands before the prompt once a line is entered, such as the time. */
  readonly stamp?: () => string;
  /** Stands before a line that was entered; the prompt that stood before it, without this. */
  readonly entered?: () => string;
  /** Beginnings of lines that Tab knows; looked into at each press. */
  readonly completions?: readonly string[];
  /** More of them, for the line as it stands. */
  readonly completeMore?: (text: string) => readonly string[];
  /** Lines that were entered before, the oldest first. */
  readonly history?: readonly string[];
  /** Bytes of the longest line. */
  readonly limit: number;
  /** One answer is wanted: Enter never goes on in another line, and Ctrl-C never only clears. */
  readonly isQuestion?: boolean;
  /** The answer may have several lines, as a paste has. */
  readonly takesLines?: boolean;
  /** What was typed before it was asked is no answer. */
  readonly isFresh?: boolean;
  /** It is neither shown nor remembered. */
  readonly isSecret?: boolean;
  /** How it is said that a line was not taken. */
  readonly refused?: string;
}

/** What a person can do at a prompt. */
export interface PromptEvents {
  /** What was typed: a line, several joined by a final backslash, or a paste of several. */
  readonly onMessage: (text: string) => void;
  /** End of input: Ctrl-D, or the terminal has gone. */
  readonly onEnd: () => void;
  /** Ctrl-C where it clears nothing. */
  readonly onInterrupt: () => void;
}

/** An open prompt. */
export class LineEditor {
  readonly #options: PromptOptions;
  readonly #terminal: Terminal;
  readonly #events: PromptEvents;
  readonly #rules: LineRules;
  readonly #releases: (() => void)[] = [];
  #prompt: string;
  #state: LineState;
  #view: LineView = EMPTY_VIEW;
  #frame = USUAL_FRAME;
  /** Somebody else has the screen. */
  #isAway = false;
  #isClosed = false;
  /** The line is drawn again as soon as the screen takes it. */
  #isLate = false;

  constructor(options: PromptOptions, terminal: Terminal, events: PromptEvents) {
    this.#options = options;
    this.#terminal = terminal;
    this.#events = events;
    this.#prompt = options.prompt;
    this.#state = emptyLine(options.history);
    this.#rules = { ...options, completions: options.completions ?? [] };
    const holder = {
      interrupt: () => events.onInterrupt(),
      complain: ({ message, hint }: CifraError) => terminal.say(`${message}: ${hint}`),
    };
    this.#releases.push(keyboard.hold(holder, { raw: true }));
    this.#begin();
    const release = keyboard.listen({
      onKey: (key) => this.#onKey(key),
      onLine: () => {},
      onPause: () => this.#redraw(),
      onEnd: () => this.#onEnd(),
      onResize: () => this.#redraw(),
      onContinued: () => this.#drawAnew(),
      onAway: () => this.#leave(),
      onBack: () => this.#begin(),
    }, { isFresh: options.isFresh });
    this.#releases.unshift(release);
  }

  /** Prints above the line being typed, and draws that again as it was. */
  printAround(text: Shown): void {
    const shown = `${text}\n`;
    if (this.#isClosed || this.#isAway) return void screen.offer(shown);
    this.#fit();
    const next = this.#drawn();
    const lines = shown.replaceAll("\n", "\r\n");
    // What is left out has changed nothing.
    if (screen.offer(eraseView(this.#view) + lines + showView(next))) this.#view = next;
  }

  /** From now on this stands before the line; also before the one being typed. */
  setPrompt(prompt: string): void {
    if (prompt === this.#prompt) return;
    this.#prompt = prompt;
    this.#redraw();
  }

  /** Enter is never waited with. */
  enter(): void {}

  /** Gives the terminal back as it was. */
  close(): void {
    if (this.#isClosed) return;
    if (!this.#isAway) this.#leave();
    this.#isClosed = true;
    for (const release of this.#releases) release();
  }

  #onKey(key: Key): void {
    if (this.#isClosed) return;
    const { state, action } = pressOrSearch(this.#state, key, this.#rules);
    const before = this.#state;
    this.#state = state;
    if (action) this.#act(action, before);
  }

  #act(action: LineAction, before: LineState): void {
    switch (action.type) {
      case "enter":
        this.#commit(before);
        return this.#events.onMessage(action.text);
      case "end":
        return this.#events.onEnd();
      case "interrupt":
        return this.#events.onInterrupt();
      case "suspend":
        return void keyboard.suspend();
      case "clear-screen":
        if (this.#isAway) return;
        screen.write(CLEAR_SCREEN);
        this.#view = EMPTY_VIEW;
        return this.#redraw();
      case "offer":
        return this.#offer(action.words);
      case "too-long": {
        const what = `${action.bytes} bytes are more than the ${this.#rules.limit} that fit`;
        return this.#terminal.say(
          action.isCut ? `${what}, and the end of the paste was left out` : what,
        );
      }
      default:
        action satisfies never;
    }
  }

  #onEnd(): void {
    if (!this.#isClosed) this.#events.onEnd();
  }

  /** What was entered stays on the screen, whole, and a new line begins. */
  #commit({ text }: LineState): void {
    if (this.#isAway) return;
    const stamp = this.#options.stamp?.() ?? "";
    this.#fit();
    const { prompt, ...shown } = this.#shown(text);
    const before = this.#options.entered?.() ?? prompt;
    const whole = draw({ ...shown, prompt: stamp + before, cursor: shown.text.length }, {
      ...this.#frame,
      rows: Infinity,
    });
    screen.write(`${changeView(this.#view, whole)}\r\n`);
    this.#view = EMPTY_VIEW;
  }

  #offer(words: readonly string[]): void {
    const all = words.slice(0, OFFERED).join("  ");
    const text = words.length > OFFERED ? `${all}  ... (${words.length})` : all;
    const { columns } = this.#frame;
    this.printAround(page("", text, { columns, indent: "" }));
  }

  /** Takes the screen: at the start of an empty row. */
  #begin(): void {
    this.#isAway = false;
    this.#view = EMPTY_VIEW;
    if (this.#isClosed) return;
    // Something may stand in the row already, such as what was typed while nobody hid it.
    this.#drawAnew();
  }

  /** Leaves the screen as if nothing had been typed. */
  #leave(): void {
    this.#fit();
    screen.write(eraseView(this.#view) + DO_NOT_MARK_PASTES);
    this.#view = EMPTY_VIEW;
    this.#isAway = true;
  }

  #redraw(): void {
    if (this.#isClosed || this.#isAway) return;
    const isSame = this.#fit();
    const next = this.#drawn();
    const change = isSame ? changeView(this.#view, next) : eraseView(this.#view) + showView(next);
    if (screen.redraw(change)) this.#view = next;
    else void this.#redrawLater();
  }

  async #redrawLater(): Promise<void> {
    if (this.#isLate) return;
    this.#isLate = true;
    await screen.room();
    this.#isLate = false;
    this.#redraw();
  }

  /** For a terminal that somebody else had, and who left our row as it was, or an empty one. */
  #drawAnew(): void {
    if (this.#isClosed || this.#isAway) return;
    this.#fit();
    const next = this.#drawn();
    screen.write(MARK_PASTES + eraseView(this.#view) + showView(next));
    this.#view = next;
  }

  /** Looks whether the window has another size; false: it has, and everything must be drawn again. */
  #fit(): boolean {
    const frame = frameNow();
    const { columns, rows } = this.#frame;
    if (frame.columns === columns && frame.rows === rows) return true;
    this.#frame = frame;
    if (frame.columns < columns) this.#view = reflow(this.#view, frame.columns);
    return false;
  }

  #drawn(): LineView {
    const { text, cursor } = this.#state;
    const { columns, rows } = this.#frame;
    const shown = this.#shown(text);
    // Above it there is room for what others say.
    return draw({ ...shown, cursor: shown.text === text ? cursor : 0 }, {
      columns,
      rows: rows - 1,
    });
  }

  #shown(text: string): Pick<Drawn, "prompt" | "text" | "colour"> {
    const { isSecret, colour } = this.#options;
    const { search } = this.#state;
    const prompt = search ? `looking for "${search.words}": ` : this.#prompt;
    return { prompt, text: isSecret ? "" : text, colour };
  }
}

/** How large the window is. */
function frameNow(): Frame {
  try {
    const { columns, rows } = Deno.consoleSize();
    return columns > 0 && rows > 0 ? { columns, rows } : USUAL_FRAME;
  } catch {
    return USUAL_FRAME;
  }
}
