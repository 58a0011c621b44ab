/**
 * Text as it goes to a terminal: harmless, and laid out so that only its first line begins at the edge. Terminals
 * and prompts take nothing else, so that nobody who prints can forget it (PROTOCOL.md, attack A22).
 */
import { painted } from "./colours.ts";
import { sanitize } from "./sanitize.ts";

/** What may be printed as it stands; made here alone. */
export type Shown = string & { readonly isShown: true };

/** Rows are not made narrower than this. */
const NARROWEST = 20;
/** More blanks in a row than this fold into one: they must not push text to where lines begin. */
const BLANKS = 16;
const BLANK_RUN = new RegExp(`[\\p{Zs}\\t]{${BLANKS + 1},}`, "gu");
/** How a tab is shown. */
export const TAB = " ".repeat(4);
/** A fingerprint, or the beginning of one, as people read it. */
const FINGERPRINT = /\b([a-z2-7]{4}(?:-[a-z2-7]{4}){2,})\b/;
const PLAIN = /^[\x20-\x7e]*$/;
/** Scripts of which some terminal draws a letter, or a mark on it, in two columns. */
const WIDE_SCRIPTS = [
  ...["Han", "Hangul", "Hiragana", "Katakana", "Bopomofo", "Yi", "Tangut", "Nushu"],
  "Khitan_Small_Script",
].map((script) => String.raw`\p{Script_Extensions=${script}}`).join("");
/** Marks that came with Unicode 13 or later, in the basic plane: older terminals give them a column. */
const YOUNG = String
  .raw`\u0897-\u089f\u08ca-\u08d2\u0b55\u0c3c\u0d81\u0ece\u180f\u1abf-\u1aff\u1dfa\ua82c`;
/**
 * Certainly drawn in no column of its own: marks that have been such for long, and what is never drawn where it
 * is needed. The numeral signs of Arabic, Syriac and Kaithi are formats that are drawn.
 */
const NO_COLUMN = new RegExp(
  String
    .raw`[[[[\p{Mn}\p{Me}]--[\u{10000}-\u{10ffff}]]\p{Default_Ignorable_Code_Point}]--[${WIDE_SCRIPTS}${YOUNG}\p{Cn}\xad]]`,
  "v",
);
/**
 * Known to be drawn in one column at the most: letters and marks of narrow scripts, symbols of blocks that hold
 * nothing wide. Regular expressions know no widths, and an upper bound is what is wanted: a row must never be
 * longer than it is taken for. Two Khmer signs are wide on some terminals.
 */
const ONE_COLUMN = new RegExp(
  String
    .raw`[[\p{L}\p{M}\p{Nd}\u0020-\u22ff\u2500-\u25ff\u2700-\u28ff]--[${WIDE_SCRIPTS}\p{Emoji_Presentation}\p{Extended_Pictographic}\p{Cn}\uff00-\uffef\u17a4\u17d8]]`,
  "v",
);
/** The one sign that some terminals draw in three columns: a Khmer "and so on". */
const THREE_COLUMNS = "\u17d8";
/** Makes what stands before it wide. */
const EMOJI_STYLE = "\ufe0f";
/** What a person sees as one letter. */
export const GRAPHEMES = new Intl.Segmenter("und", { granularity: "grapheme" });

/** How a text is laid out. */
export interface Layout {
  /** Of a row; 0 or undefined: nobody knows, and whoever shows the text breaks its lines. */
  readonly columns: number | undefined;
  /** Stands before every row but the first. */
  readonly indent: string;
  /** Its blanks are ours and stand for columns: they do not fold. */
  readonly isTable?: boolean;
  /** A word that is longer than a row is left to the terminal, so that it can be copied as one. */
  readonly keepsWords?: boolean;
}

/** A text of results: harmless, its lines as they are. */
export function harmless(text: string): Shown {
  return sanitize(text) as Shown;
}

/** Lines of results of our own, each of which begins at the edge and is broken between words alone. */
export function resultLines(text: string, columns: number | undefined): Shown {
  const layout = { columns, indent: "   ", isTable: true, keepsWords: true };
  const rows = text.split("\n").map((line) => page("", line, layout)).join("\n");
  return rows.replaceAll(/ +$/gm, "") as Shown;
}

/** A line of JSON, without its end: what drives a terminal, or cannot be seen, stands in it as `\uXXXX`. */
export function jsonLine(value: unknown): Shown {
  const escaped = JSON.stringify(value).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu,
    (mark) =>
      Array.from({ length: mark.length }, (_, i) => escapeUnit(mark.charCodeAt(i))).join(""),
  );
  return escaped as Shown;
}

/** `mark`, which says whose words follow, and the words; of all their rows only the first begins at the edge. */
export function page(mark: string, text: string, layout: Layout): Shown {
  const { columns, indent, isTable } = layout;
  const width = columns ? Math.max(NARROWEST, columns) : Infinity;
  const rows = sanitize(mark + text).split("\n").flatMap((line, n) => {
    // What is indented already stands as it was written.
    const own = n === 0 || line.startsWith("  ") ? line : indent + line;
    return wrap(isTable ? own : own.replace(BLANK_RUN, " "), width, layout);
  });
  return rows.join("\n") as Shown;
}

/**
 * A text whose first parts are these, each in its colour. Where they do not stand at its beginning, as when a row
 * had no room for them, it is left as it is.
 */
export function paintStart(
  shown: Shown,
  parts: readonly (readonly [text: string, colour: string])[],
): Shown {
  const start = parts.map(([text]) => text).join("");
  if (!shown.startsWith(start)) return shown;
  const colours = parts.map(([text, colour]) => painted(text, colour)).join("");
  return colours + shown.slice(start.length) as Shown;
}

/** The most columns in which any terminal draws a text: one that draws less wraps nothing. */
export function widthOf(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const mark of text) {
    if (mark === EMOJI_STYLE) width++;
    else if (mark === THREE_COLUMNS) width += 3;
    else if (!NO_COLUMN.test(mark)) width += ONE_COLUMN.test(mark) ? 1 : 2;
  }
  return width;
}

/** Breaks a line between words, or inside one that is longer than a row, unless it `keepsWords`. */
function wrap(line: string, width: number, { indent, keepsWords }: Layout): readonly string[] {
  if (width === Infinity || widthOf(line) <= width && !line.includes("\t")) return [line];
  const rows: string[] = [];
  let row = "";
  let rowWidth = 0;
  /** Where a row may end: behind its last word. */
  let lastBreak = 0;
  for (const piece of piecesOf(line, width - indent.length)) {
    const isBlank = /^[\p{Zs}\t]$/u.test(piece);
    const shown = piece === "\t" ? TAB : piece;
    const pieceWidth = widthOf(shown);
    if (rowWidth + pieceWidth > width && (!keepsWords || isBlank || lastBreak > 0)) {
      const word = row.slice(lastBreak).trimStart();
      const fits = widthOf(indent + word) + pieceWidth <= width;
      const isInWord = !isBlank && lastBreak > 0 && (keepsWords || fits);
      // A row does not begin with blanks.
      const over = isInWord ? word : "";
      rows.push(isInWord ? row.slice(0, lastBreak) : row);
      row = indent + over;
      rowWidth = widthOf(row);
      lastBreak = 0;
    }
    if (isBlank) {
      if (rows.length > 0 && row === indent) continue;
      if (row.trim() !== "") lastBreak = row.length;
    }
    row += shown;
    rowWidth += pieceWidth;
  }
  return row === indent ? rows : [...rows, row];
}

/**
 * What stays together: what a person sees as one letter, unless that is wider than a row; and a group of a
 * fingerprint, which people compare by groups.
 */
function* piecesOf(line: string, width: number): Iterable<string> {
  if (FINGERPRINT.test(line)) {
    // Between the others stand those that match.
    for (const [n, part] of line.split(FINGERPRINT).entries()) {
      if (n % 2 === 1) yield* part.match(/.{4}-?/g)!;
      else yield* piecesOf(part, width);
    }
    return;
  }
  if (PLAIN.test(line)) return yield* line;
  for (const { segment } of GRAPHEMES.segment(line)) {
    if (widthOf(segment) <= width) yield segment;
    else yield* segment;
  }
}

function escapeUnit(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, "0")}`;
}
