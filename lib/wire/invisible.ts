/**
 * What hides, reorders or covers what stands beside it in a line of text, by its Unicode properties; what the scripts
 * of the world need is none of it.
 */

/** The flags of England, Scotland and Wales: a black flag, and letters that cannot be seen. */
const FLAG =
  /\u{1f3f4}\u{e0067}\u{e0062}(?:\u{e0065}\u{e006e}\u{e0067}|\u{e0073}\u{e0063}\u{e0074}|\u{e0077}\u{e006c}\u{e0073})\u{e007f}/v;
/**
 * What cannot be seen, as one code point: formats (but for the numeral signs of Arabic, Syriac and Kaithi, which
 * can), what is never drawn, separators, a Braille pattern without a dot, half a character.
 */
const INVISIBLE =
  /[[\p{Cf}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}\p{Cs}\u2800]--[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}]]/v;
const FLAG_OR_INVISIBLE = new RegExp(`${FLAG.source}|${INVISIBLE.source}`, "gv");

/** Scripts whose letters a joiner (U+200D) or non-joiner (U+200C) between them shapes. */
const SHAPED = [
  ...["Arabic", "Syriac", "Nko", "Mandaic", "Mongolian", "Adlam"],
  ...["Devanagari", "Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada"],
  ...["Malayalam", "Sinhala", "Khmer", "Myanmar", "Tibetan"],
];

/** Where what cannot be seen is needed: each of these matches such a code point at its place. */
const NEEDED = new RegExp(
  [
    ...SHAPED.map((script) => {
      const letter = String.raw`[[\p{L}\p{M}\p{N}]&&\p{Script_Extensions=${script}}]`;
      return String.raw`(?<=${letter})[\u200c\u200d](?=${letter})`;
    }),
    // Behind a virama also at the end of a word.
    String.raw`(?<=[\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca])[\u200c\u200d]`,
    // Joins emoji into one.
    String
      .raw`(?<=\p{Extended_Pictographic}\ufe0f?\p{Emoji_Modifier}?)\u200d(?=\p{Extended_Pictographic})`,
    // Text or picture; and a key.
    String.raw`(?<=[\p{Emoji}--\p{Emoji_Component}])[\ufe0e\ufe0f]`,
    String.raw`(?<=[0-9#*])\ufe0f(?=\u20e3)`,
    // A form of a Chinese or Mongolian letter.
    String.raw`(?<=\p{Ideographic})[\ufe00-\ufe02\u{e0100}-\u{e01ef}]`,
    String.raw`(?<=[\p{L}&&\p{Script_Extensions=Mongolian}])[\u180b-\u180f]`,
  ].join("|"),
  "vy",
);

const RTL_SCRIPTS = [
  "Hebrew",
  "Arabic",
  "Syriac",
  "Thaana",
  "Nko",
  "Samaritan",
  "Mandaic",
  "Adlam",
];
const RTL = `[\\p{L}&&[${RTL_SCRIPTS.map((name) => `\\p{Script_Extensions=${name}}`).join("")}]]`;
const RIGHT_TO_LEFT = new RegExp(RTL, "v");
const LTR = String.raw`[[\p{L}\p{N}]--${RTL}]`;
/** A mark of direction that stands alone, and not inside a word that runs from left to right. */
const DIRECTION = new RegExp(
  String
    .raw`(?<!\p{Cf})(?:(?<!${LTR})[\u200e\u200f\u061c]|[\u200e\u200f\u061c](?!${LTR}))(?!\p{Cf})`,
  "vy",
);
const ISOLATE = /[\u2066-\u2069]/;

/** Marks on one letter beyond those that any language puts there. */
const PILE = /(\p{M}{8})\p{M}+/gu;

/** `text` with U+FFFD in the place of the marks that pile up on one letter and would cover other lines. */
export function cutPiles(text: string): string {
  return text.replace(PILE, "$1\ufffd");
}

/**
 * One line with `written` in the place of each code point that cannot be seen and is not needed. What the scripts of
 * the world need between their letters, and what makes one emoji of several, stays.
 */
export function replaceInvisible(line: string, written: (codePoint: number) => string): string {
  if (!INVISIBLE.test(line)) return line;
  const closed = RIGHT_TO_LEFT.test(line) ? closedIsolates(line) : undefined;
  return line.replace(FLAG_OR_INVISIBLE, (found, offset: number) => {
    const isFlag = found.length > 2;
    const isNeeded = isFlag || matchesAt(NEEDED, line, offset) ||
      closed !== undefined && (closed.has(offset) || matchesAt(DIRECTION, line, offset));
    return isNeeded ? found : written(found.codePointAt(0)!);
  });
}

function matchesAt(pattern: RegExp, line: string, offset: number): boolean {
  pattern.lastIndex = offset;
  return pattern.test(line);
}

/** Where the isolates of a line stand that end in it, and their ends: nothing outside is turned around by them. */
function closedIsolates(line: string): ReadonlySet<number> {
  const closed = new Set<number>();
  const open: number[] = [];
  for (let at = 0; at < line.length; at++) {
    if (!ISOLATE.test(line[at]!)) continue;
    if (line[at] !== "\u2069") open.push(at);
    else if (open.length > 0) closed.add(open.pop()!).add(at);
  }
  return closed;
}
