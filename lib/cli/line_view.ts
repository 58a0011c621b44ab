/** How a line that is being typed is drawn: rows for any width, and the bytes that change one drawing into the next. */
import { painted } from "./colours.ts";
import { GRAPHEMES, TAB, widthOf } from "./page.ts";
import { sanitize } from "./sanitize.ts";

/** Stands before each line of a draft but the first. */
const MORE = "... ";
/** What a mark stands on that has no letter. */
const NOTHING = "\u25cc";
/** Rows are not made narrower than this: a wide letter must fit. */
const NARROWEST = 2;
/** With fewer rows nothing is said of what is left out. */
const ROWS_WITH_NOTES = 4;

/** What is drawn. */
export interface Drawn {
  readonly prompt: string;
  /** The draft, and where the cursor is in it. */
  readonly text: string;
  readonly cursor: number;
  /** Of the prompt: SGR parameters. */
  readonly colour?: string | undefined;
}

/** Where it is drawn; more rows are never taken. */
export interface Frame {
  readonly columns: number;
  readonly rows: number;
}

/** A row: what belongs to the prompt, and what was typed. */
export interface Row {
  readonly mark: string;
  readonly text: string;
}

/** What stands on the screen. */
export interface LineView {
  readonly rows: readonly Row[];
  /** Where the cursor is: in this row, behind this text. */
  readonly row: number;
  readonly before: string;
  /** Of the marks of the rows. */
  readonly colour?: string | undefined;
}

/** Nothing is drawn: the cursor is at the start of an empty row. */
export const EMPTY_VIEW: LineView = { rows: [{ mark: "", text: "" }], row: 0, before: "" };

/** Lays the line out: no row is wider than the frame, and what does not fit its rows is left out around the cursor. */
export function draw({ prompt, text, cursor, colour }: Drawn, frame: Frame): LineView {
  const width = Math.max(NARROWEST, frame.columns);
  const rows: { mark: string; text: string }[] = [];
  let place: { row: number; before: string } | undefined;
  let start = 0;
  for (const line of text.split("\n")) {
    let used = 0;
    rows.push({ mark: "", text: "" });
    const put = (part: "mark" | "text", shown: string) => {
      const needed = widthOf(shown);
      if (used + needed > width) {
        rows.push({ mark: "", text: "" });
        used = 0;
      }
      rows.at(-1)![part] += shown;
      used += needed;
    };
    const here = () => {
      const { mark, text } = rows.at(-1)!;
      place = { row: rows.length - 1, before: mark + text };
    };
    for (const mark of graphemesOf(start === 0 ? sanitize(prompt) : MORE)) {
      for (const piece of piecesOf(mark, width)) put("mark", piece);
    }
    let at = start;
    const isHarmless = sanitize(line) === line;
    for (const letter of graphemesOf(line)) {
      const [first = "", ...more] = piecesOf(shownOf(letter, isHarmless), width);
      if (at === cursor) {
        // The cursor is on the letter, which may have no room in this row.
        if (used + widthOf(first) > width) {
          rows.push({ mark: "", text: "" });
          used = 0;
        }
        here();
      }
      for (const piece of [first, ...more]) put("text", piece);
      at += letter.length;
    }
    if (at === cursor) {
      // Behind a full row the cursor has no place but in the next one.
      if (used >= width) rows.push({ mark: "", text: "" });
      here();
    }
    start = at + 1;
  }
  const { row, before } = place ?? { row: rows.length - 1, before: "" };
  return cutToFit({ rows, row, before, colour }, { columns: width, rows: frame.rows });
}

/** The bytes that take a view away: the cursor is at the start of its first row then. */
export function eraseView({ row }: LineView): string {
  return `${up(row)}\r\x1b[J`;
}

/** The bytes that draw a view where nothing is; the cursor is at the start of a row. */
export function showView(view: LineView): string {
  const { rows } = view;
  const all = rows.map((_, n) => shownStart(view, n, rowOf(view, n))).join("\r\n");
  return all +
    moveCursor({ ...view, row: rows.length - 1, before: rowOf(view, rows.length - 1) }, view);
}

/** The bytes that make one view of another, as few as is easy: what is only added is only written. */
export function changeView(from: LineView, to: LineView): string {
  const last = to.rows.length - 1;
  const isSame = from.rows.length === to.rows.length &&
    to.rows.every((_, n) => n === last || rowOf(from, n) === rowOf(to, n));
  if (isSame && rowOf(from, last) === rowOf(to, last)) return moveCursor(from, to);
  const isAtEnd = (view: LineView) => view.row === last && view.before === rowOf(view, last);
  const isPainted = to.colour === undefined || from.rows[last]?.mark === to.rows[last]!.mark;
  if (isSame && isPainted && isAtEnd(from) && isAtEnd(to) && to.before.startsWith(from.before)) {
    const added = to.before.slice(from.before.length);
    // What belongs to the letter before it must be written with that.
    if (/^[\x20-\x7e]+$/.test(added)) return added;
  }
  return eraseView(from) + showView(to);
}

/**
 * How the cursor stands when the terminal was made narrower: most terminals break rows that are too long for them
 * anew, so that more of them are above the cursor. Rows never join, because they end where we ended them.
 */
export function reflow(view: LineView, columns: number): LineView {
  // The cursor is on the letter behind it, if there is one.
  const [letter = ""] = graphemesOf(rowOf(view, view.row).slice(view.before.length));
  let above = rowsTaken(view.before + letter, columns) - 1;
  for (let n = 0; n < view.row; n++) above += rowsTaken(rowOf(view, n), columns);
  return { ...view, row: above };
}

function moveCursor(from: LineView, to: LineView): string {
  if (from.row === to.row && from.before === to.before) return "";
  const rows = from.row > to.row ? up(from.row - to.row) : down(to.row - from.row);
  // Written again, what is before the cursor brings it to the right place, whatever the terminal takes letters for.
  return `${rows}\r${shownStart(to, to.row, to.before)}`;
}

function rowsTaken(text: string, columns: number): number {
  const width = Math.max(NARROWEST, columns);
  let rows = 1, used = 0;
  for (const letter of graphemesOf(text)) {
    // The least that terminals take: with too few rows something stays, with too many somebody's line goes.
    const needed = Math.min(2, widthOf(letter));
    if (used + needed > width) {
      rows++;
      used = 0;
    }
    used += needed;
  }
  return rows;
}

/** Leaves rows out, so that those around the cursor fit. */
function cutToFit(view: LineView, frame: Frame): LineView {
  const most = Math.max(1, frame.rows);
  const count = view.rows.length;
  if (count <= most) return view;
  const first = Math.max(0, Math.min(view.row - (most >> 1), count - most));
  const rows = view.rows.slice(first, first + most);
  const row = view.row - first;
  if (most >= ROWS_WITH_NOTES) {
    const note = (n: number) => ({ mark: `... ${n} more`.slice(0, frame.columns), text: "" });
    if (first > 0) rows[0] = note(first + 1);
    const below = count - first - most;
    if (below > 0) rows[most - 1] = note(below + 1);
  }
  return { ...view, rows, row };
}

/** The beginning of a row as it is written: what belongs to the prompt is in its colour. */
function shownStart({ rows, colour }: LineView, n: number, start: string): string {
  if (colour === undefined) return start;
  const { length } = rows[n]!.mark;
  return painted(start.slice(0, length), colour) + start.slice(length);
}

function rowOf({ rows }: LineView, n: number): string {
  const { mark, text } = rows[n]!;
  return mark + text;
}

/** A letter as it may be written to a terminal. */
function shownOf(letter: string, isHarmless: boolean): string {
  if (letter === "\t") return TAB;
  const shown = isHarmless ? letter : sanitize(letter);
  // A mark on nothing would be drawn on what stands before it.
  return /^[\p{M}\p{Cf}]/u.test(shown) ? NOTHING + shown : shown;
}

/** What is wider than a row, in parts that are not. */
function piecesOf(shown: string, width: number): Iterable<string> {
  return widthOf(shown) <= width ? [shown] : shown;
}

function* graphemesOf(text: string): Iterable<string> {
  if (/^[\x20-\x7e]*$/.test(text)) return yield* text;
  for (const { segment } of GRAPHEMES.segment(text)) yield segment;
}

function up(rows: number): string {
  return rows === 0 ? "" : `\x1b[${rows}A`;
}

function down(rows: number): string {
  return rows === 0 ? "" : `\x1b[${rows}B`;
}
