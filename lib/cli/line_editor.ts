/**
 * The line being typed on a terminal: editing, history, completion, and other people's lines printed
 * above it without disturbing it. `node:readline` does the editing.
 */
import process from "node:process";
import { createInterface, type Interface, type Key } from "node:readline";
import type { Shown } from "./page.ts";

/** What a person can do at the prompt. */
export interface LineEditorEvents {
  /** One message: a line, several joined by a final backslash, or everything pasted at once. */
  readonly onMessage: (text: string) => void;
  /** End of input: Ctrl-D. */
  readonly onEnd: () => void;
  /** Ctrl-C. */
  readonly onInterrupt: () => void;
}

/**
 * `readline` keeps the number of rows above the cursor; after printing there are none. Every key goes
 * through `_ttyWrite`, which programs may replace.
 */
type OpenReadline = Interface & {
  prevRows: number;
  _ttyWrite: (text: string | undefined, key: Key) => void;
};

/** An open prompt. */
export class LineEditor {
  readonly #readline: OpenReadline;
  #prompt: string;
  #lines: string[] = [];
  #flushing = false;
  #closed = false;
  /** There is no line any more: input has come to its end, or this was closed. */
  #over = false;

  constructor(prompt: string, completions: readonly string[], events: LineEditorEvents) {
    this.#prompt = prompt;
    this.#readline = createInterface({
      input: process.stdin,
      output: process.stdout,
      prompt,
      terminal: true,
      historySize: 500,
      completer: (line: string) => [completions.filter((word) => word.startsWith(line)), line],
    }) as OpenReadline;
    insertPastesWhole(this.#readline);
    this.#readline.on("line", (line) => this.#takeLine(line, events));
    this.#readline.on("SIGINT", () => events.onInterrupt());
    this.#readline.on("close", () => {
      this.#over = true;
      if (!this.#closed) events.onEnd();
    });
    this.#readline.prompt();
  }

  /** Prints above the line being typed, and draws that again as it was. */
  printAround(text: Shown): void {
    if (this.#over) {
      process.stdout.write(`${text}\n`);
      return;
    }
    const { rows } = this.#readline.getCursorPos();
    if (rows > 0) process.stdout.moveCursor(0, -rows);
    process.stdout.cursorTo(0);
    process.stdout.clearScreenDown();
    process.stdout.write(`${text}\n`);
    this.#readline.prevRows = 0;
    this.#readline.prompt(true);
  }

  /** From now on this stands before the line; also before the one being typed. */
  setPrompt(prompt: string): void {
    if (prompt === this.#prompt || this.#over) return;
    this.#prompt = prompt;
    if (this.#lines.length > 0) return;
    this.#readline.setPrompt(prompt);
    this.#readline.prompt(true);
  }

  /** Gives the terminal back as it was. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    process.stdout.cursorTo(0);
    process.stdout.clearScreenDown();
    this.#readline.close();
    process.stdin.pause();
  }

  #takeLine(line: string, events: LineEditorEvents): void {
    this.#lines.push(line);
    if (this.#flushing) return;
    this.#flushing = true;
    // Lines that were pasted come in one go: they are one message.
    setTimeout(() => {
      this.#flushing = false;
      if (this.#over) return;
      if (this.#lines.at(-1)!.endsWith("\\")) {
        this.#readline.setPrompt("... ");
        this.#readline.prompt();
        return;
      }
      const text = this.#lines.map((part) => part.replace(/\\$/, "")).join("\n");
      this.#lines = [];
      this.#readline.setPrompt(this.#prompt);
      this.#readline.prompt();
      events.onMessage(text);
    }, 0);
  }
}

/**
 * Joins letters that arrive in one go. Each insertion measures the whole line, so that letter by letter a
 * pasted line of a few thousand would keep the program from everything else for many seconds.
 */
function insertPastesWhole(readline: OpenReadline): void {
  const write = readline._ttyWrite.bind(readline);
  let letters = "";
  const insert = () => {
    if (letters === "") return;
    const text = letters;
    letters = "";
    write(text, {});
  };
  readline._ttyWrite = (text, key) => {
    const isLetter = text !== undefined && text >= " " && text !== "\x7f" && !key.ctrl && !key.meta;
    if (!isLetter) {
      insert();
      return write(text, key);
    }
    if (letters === "") queueMicrotask(insert);
    letters += text;
  };
}
