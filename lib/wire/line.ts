/**
 * Words of the other side that stand in one line: a title, a reason, a name (PROTOCOL.md 1, attack A22). They are
 * printable when they are decoded, so that whoever shows them later has nothing to remember.
 */
import { encodeUtf8 } from "../bytes.ts";
import { NAME_LIMIT } from "../limits.ts";
import { badFrame, type Layout, readUtf8, variable } from "./layout.ts";
import { isName } from "./names.ts";

/** One line that can be seen: nothing in it ends a line, drives a terminal, hides or reorders. It may be empty. */
export type Line = string & { readonly isPrintable: true };

/** What no line has: controls, format characters, surrogates, separators of lines, and what is not drawn. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
const EACH_UNPRINTABLE = new RegExp(UNPRINTABLE, "gu");

/** Whether `text` is one printable line. */
export function isLine(text: string): text is Line {
  return !UNPRINTABLE.test(text);
}

/** `text` as one printable line: U+FFFD stands for each code point that a line cannot have. */
export function lineOf(text: string): Line {
  return text.replace(EACH_UNPRINTABLE, "\ufffd") as Line;
}

/** A line as it stands inside a sentence of ours: its end cannot be mistaken. */
export function quoted(line: Line): string {
  return `"${line.replaceAll('"', "'")}"`;
}

/** `line(limit)`: a variable field that holds one printable line of UTF-8, at most `limit` bytes. */
export function line(limit: number): Layout<Line> {
  const raw = variable(limit);
  return {
    write(parts, value) {
      if (!isLine(value)) throw new RangeError("Cannot encode what is not one printable line");
      raw.write(parts, encodeUtf8(value));
    },
    read(reader) {
      const value = readUtf8(raw.read(reader));
      if (!isLine(value)) throw badFrame("words are not one printable line");
      return value;
    },
  };
}

/** `name(32)`: a line that is a name which somebody could have. */
export const personName: Layout<string> = {
  write(parts, value) {
    if (!isName(value)) throw new RangeError("Cannot encode what is no name");
    anyName.write(parts, value);
  },
  read(reader) {
    const value = anyName.read(reader);
    if (!isName(value)) throw badFrame("a name is none that somebody could have");
    return value;
  },
};

/** A line where a name belongs: whoever is asked decides whether there is such a name. */
export const anyName: Layout<string> = line(NAME_LIMIT);
