/**
 * Lines as the terminal itself edits and shows them. What is shown there must be what is taken: a key that the
 * terminal does not know stands in its line as `^[[A` or the like, and nobody can tell what the line would be
 * without it.
 */
import { concat } from "@std/bytes/concat";
import { type Bytes, decodeUtf8 } from "../bytes.ts";

/** A line that the terminal has handed over at Enter. */
export interface EditedLine {
  readonly text: string;
  /** When it came, by `performance.now()`. */
  readonly at: number;
  /** Why what was shown is not what came, as the end of a sentence. */
  readonly problem?: string | undefined;
}

const LINE_FEED = 0x0a;
const RETURN = 0x0d;
/** Bytes of a line that a terminal takes, without its end; it shows what it drops behind them. */
const LONGEST = 4095;

/** What is no letter: C0 and C1 but the tab, which is shown as what it is. */
// deno-lint-ignore no-control-regex
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/;

/** Collects what the terminal hands over. */
export class EditedLines {
  /** Of a line that has no end yet: what was handed over at Ctrl-D. */
  #begun: Bytes[] = [];

  /** Takes a piece; returns the lines that end in it. */
  push(piece: Bytes, at: number): readonly EditedLine[] {
    const lines: EditedLine[] = [];
    let start = 0;
    for (let end; (end = piece.indexOf(LINE_FEED, start)) !== -1; start = end + 1) {
      lines.push({ at, ...read(concat([...this.#begun, piece.subarray(start, end)])) });
      this.#begun = [];
    }
    // The buffer is used again.
    if (start < piece.length) this.#begun.push(piece.slice(start));
    return lines;
  }

  /** What has no end yet is for nobody. */
  forget(): void {
    this.#begun = [];
  }
}

function read(whole: Bytes): Omit<EditedLine, "at"> {
  const bytes = whole.at(-1) === RETURN ? whole.subarray(0, -1) : whole;
  if (bytes.length >= LONGEST) {
    return { text: "", problem: `the terminal takes no more than ${LONGEST - 1} bytes in a line` };
  }
  let text: string;
  try {
    text = decodeUtf8(bytes);
  } catch {
    return { text: "", problem: "it is no text in UTF-8" };
  }
  const [control] = CONTROL.exec(text) ?? [];
  if (control === undefined) return { text };
  const shown = caret(control);
  return { text: "", problem: `the key that is shown as ${shown} does nothing here` };
}

/** A control as terminals show it. */
function caret(control: string): string {
  const code = control.charCodeAt(0);
  return code === 0x7f ? "^?" : code < 0x20 ? `^${String.fromCharCode(code + 0x40)}` : "nothing";
}
