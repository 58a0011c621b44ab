/** One line on a terminal where nobody types: it is drawn again in its place, and what is said stands above it. */
import { columnsOf } from "./columns.ts";
import { progressLine, type UnderWay } from "./file_progress.ts";
import { GRAPHEMES, harmless, widthOf } from "./page.ts";
import { screen } from "./screen.ts";
import type { Terminal } from "./terminal.ts";

const USUAL_COLUMNS = 80;
/** To the start of the row, and clears it. */
const AGAIN = "\r\x1b[K";

/** The line; elsewhere than on a terminal that may be drawn on there is none. */
export class ProgressLine {
  readonly #terminal: Terminal;
  readonly #isThere: boolean;
  #line = "";

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#isThere = terminal.interactive && !terminal.plain;
    if (this.#isThere) terminal.printAround = (text) => this.#printAround(text);
  }

  /** Draws how far files are; undefined takes the line away. Somebody who is asked is not disturbed. */
  draw(underWay: UnderWay | undefined): void {
    if (!this.#isThere || this.#terminal.prompts.size > 0) return;
    const line = underWay ? cut(harmless(progressLine(underWay))) : "";
    if (line === this.#line) return;
    if (screen.redraw(AGAIN + line)) this.#line = line;
  }

  /** Leaves an empty row. */
  close(): void {
    this.draw(undefined);
    if (this.#isThere) this.#terminal.printAround = undefined;
  }

  #printAround(text: string): void {
    screen.offer(this.#line === "" ? `${text}\n` : `${AGAIN}${text}\n${this.#line}`);
  }
}

/** As much as fits in a row. */
function cut(text: string): string {
  const columns = (columnsOf(Deno.stdout) || USUAL_COLUMNS) - 1;
  let shown = "";
  for (const { segment } of GRAPHEMES.segment(text)) {
    if (widthOf(shown + segment) > columns) break;
    shown += segment;
  }
  return shown;
}
