/** A terminal in memory: what programs write to it, and what it shows after that and after it was resized. */
import { GRAPHEMES, widthOf } from "../../lib/cli/page.ts";

/** A row: its letters, and whether it goes on in the next because there was no room. */
interface Line {
  letters: string[];
  wraps: boolean;
}

/** Has no rows above the first one: whatever scrolls away stays. Knows what our editor writes, and throws on else. */
export class Screen {
  #columns: number;
  #lines: Line[] = [{ letters: [], wraps: false }];
  #row = 0;
  /** In columns. */
  #column = 0;

  constructor(columns: number) {
    this.#columns = columns;
  }

  write(output: string): void {
    // deno-lint-ignore no-control-regex
    for (const [text, numbers, final] of output.matchAll(/\x1b\[(\??[\d;]*)([A-Za-z])|[\s\S]/gu)) {
      if (final === undefined) this.#put(text);
      else this.#obey(numbers!, final);
    }
  }

  /** As most terminals do: rows that were wrapped join, rows that are too long wrap, the cursor stays on its letter. */
  resize(columns: number): void {
    const lines: Line[] = [];
    let cursor: readonly [number, number] | undefined;
    for (let n = 0; n < this.#lines.length; n++) {
      // A whole line of its wrapped rows.
      const cells: string[] = [];
      let at: number | undefined;
      for (;; n++) {
        const { letters, wraps } = this.#lines[n]!;
        if (n === this.#row) at = widthOf(cells.join("")) + this.#column;
        cells.push(...letters);
        if (!wraps || n + 1 >= this.#lines.length) break;
      }
      let line: Line = { letters: [], wraps: false };
      let width = 0, total = 0;
      lines.push(line);
      for (const cell of cells) {
        if (width + widthOf(cell) > columns) {
          line.wraps = true;
          lines.push(line = { letters: [], wraps: false });
          width = 0;
        }
        if (at !== undefined && total === at) cursor = [lines.length - 1, width];
        line.letters.push(cell);
        width += widthOf(cell);
        total += widthOf(cell);
      }
      if (at !== undefined && at >= total) {
        cursor = [lines.length - 1, Math.min(columns, width + at - total)];
      }
    }
    this.#columns = columns;
    this.#lines = lines;
    [this.#row, this.#column] = cursor!;
  }

  /** What it shows, without what is empty at the end. */
  get rows(): string[] {
    const rows = this.#lines.map(({ letters }) => letters.join("").trimEnd());
    while (rows.at(-1) === "") rows.pop();
    return rows;
  }

  /** Row and column of the cursor. */
  get cursor(): readonly [number, number] {
    return [this.#row, this.#column];
  }

  #put(text: string): void {
    if (text === "\r") {
      this.#column = 0;
    } else if (text === "\n") {
      this.#goTo(this.#row + 1);
    } else if (widthOf(text) === 0) {
      // It belongs to the letter before the cursor.
      this.#line.letters[this.#cut(this.#column).length - 1] += text;
    } else {
      if (this.#column + widthOf(text) > this.#columns) {
        this.#line.wraps = true;
        this.#goTo(this.#row + 1);
        this.#column = 0;
      }
      const before = this.#cut(this.#column);
      const rest = this.#line.letters.slice(before.length);
      this.#line.letters = [...before, text, ...rest.slice(1)];
      this.#column += widthOf(text);
    }
  }

  #obey(numbers: string, final: string): void {
    const count = Number(numbers || "1");
    if (final === "A") this.#row = Math.max(0, this.#row - count);
    else if (final === "B") this.#goTo(this.#row + count);
    else if (final === "J" && numbers === "") {
      this.#line.letters = this.#cut(this.#column);
      this.#line.wraps = false;
      this.#lines.splice(this.#row + 1);
    } else if (!numbers.startsWith("?")) throw new Error(`ESC [ ${numbers} ${final}`);
  }

  /** The letters of the row before a column. */
  #cut(column: number): string[] {
    const letters: string[] = [];
    let width = 0;
    for (const letter of this.#line.letters) {
      if (width + widthOf(letter) > column) break;
      letters.push(letter);
      width += widthOf(letter);
    }
    while (width++ < column) letters.push(" ");
    return letters;
  }

  #goTo(row: number): void {
    while (this.#lines.length <= row) this.#lines.push({ letters: [], wraps: false });
    this.#row = row;
  }

  get #line(): Line {
    return this.#lines[this.#row]!;
  }
}

/** The graphemes of a text. */
export function letters(text: string): string[] {
  return [...GRAPHEMES.segment(text)].map(({ segment }) => segment);
}
