/** How text is laid out on a terminal: only its first row begins at the edge, however wide the terminal is. */
import { assert, assertEquals } from "@std/assert";
import { harmless, jsonLine, page, resultLines, widthOf } from "../../lib/cli/page.ts";
import widths from "../vectors/widths.json" with { type: "json" };

const INDENT = "   ";

function rows(mark: string, text: string, columns?: number): string[] {
  return page(mark, text, { columns, indent: INDENT }).split("\n");
}

/** What a terminal of so many columns makes of it: where each row begins that a person sees. */
function beginnings(text: string, columns: number): string[] {
  return text.split("\n").flatMap((line) => {
    const seen: string[] = [];
    let width = Infinity;
    for (const letter of line) {
      if (width + widthOf(letter) > columns) {
        seen.push("");
        width = 0;
      }
      width += widthOf(letter);
      seen[seen.length - 1] += letter;
    }
    return seen;
  });
}

Deno.test("a text that fits is left as it is, and so is one that no terminal shows", () => {
  for (const text of ["", "hello", "a  b   c", "   code { }", "x".repeat(75)]) {
    assertEquals(rows("bob: ", text, 80), [`bob: ${text}`]);
  }
  for (const columns of [undefined, 0]) {
    assertEquals(rows("bob: ", "x ".repeat(500), columns), [`bob: ${"x ".repeat(500)}`]);
  }
});

Deno.test("a long text is broken between words, and every row but the first is indented", () => {
  assertEquals(rows("bob: ", "the quick brown fox jumps over it", 20), [
    "bob: the quick brown",
    "   fox jumps over it",
  ]);
  assertEquals(rows("bob: ", "one\ntwo and three and four\n  five", 20), [
    "bob: one",
    "   two and three and",
    "   four",
    "  five",
  ]);
});

Deno.test("a word that is longer than a row is broken where the row ends", () => {
  assertEquals(rows("b: ", "x".repeat(40), 20), [
    "b: " + "x".repeat(17),
    INDENT + "x".repeat(17),
    INDENT + "x".repeat(6),
  ]);
});

Deno.test("a fingerprint is broken between its groups alone, at every width", () => {
  const key = "7xdz-xhoa-zqkd-5dba-uyxy-a4f4-qgn7-zutf-u2ce-msln-72zf-b2g5-uf3a";
  const texts = [key, `first contact with bob, known by the key ${key}; compare`, `a\n   ${key}`];
  for (let columns = 20; columns <= 110; columns++) {
    for (const text of [...texts, ...texts.map((each) => `¡${each}!`)]) {
      const laid = rows("-- ", text, columns);
      for (const row of laid) {
        assert(row.length <= columns, row);
        for (const word of row.match(/[a-z2-7-]*[2-7][a-z2-7-]*/g) ?? []) {
          if (/^-+$/.test(word)) continue;
          assert(/^(?:[a-z2-7]{4}-)*(?:[a-z2-7]{4})?$/.test(word), `${columns}: ${row}`);
        }
      }
      assert(laid.map((row) => row.trim()).join("").includes(key), laid.join("\n"));
    }
  }
  assertEquals(rows("", `key ${key}`, 40), [
    "key 7xdz-xhoa-zqkd-5dba-uyxy-a4f4-qgn7-",
    "   zutf-u2ce-msln-72zf-b2g5-uf3a",
  ]);
});

Deno.test("lines of results are broken between words alone, and what is copied stays whole", () => {
  const line = `cifra1:192.168.1.20:7411:${"7xdz".repeat(13)}:${"DoNO".repeat(10)}`;
  const text =
    `${line}\n0123: good for one person, 7 days\nhelp                      lists them all`;
  for (const columns of [undefined, 0, 300]) assertEquals(resultLines(text, columns), text);
  assertEquals(resultLines(text, 40).split("\n"), [
    line,
    "0123: good for one person, 7 days",
    "help                      lists them all",
  ]);
  assertEquals(
    resultLines(text, 20).split("\n"),
    [
      line,
      "0123: good for one",
      "   person, 7 days",
      "help",
      "   lists them all",
    ],
  );
  assertEquals(resultLines(`invite ${line}`, 40).split("\n"), ["invite", `   ${line}`]);
});

Deno.test("a letter is not torn from its marks, nor half an emoji put into the next row", () => {
  const text = "e\u0301".repeat(30);
  assertEquals(rows("b: ", text, 20).join("").replaceAll(" ", ""), `b:${text}`);
  for (const row of rows("", "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}".repeat(10), 20)) {
    assert(/^ *(\u{1f468}\u200d\u{1f469}\u200d\u{1f467})+$/u.test(row), row);
    assert(widthOf(row) <= 20);
  }
});

Deno.test("a letter that is wider than a row is broken all the same", () => {
  const chain = Array.from({ length: 100 }, () => "\u{1f468}").join("\u200d");
  for (const row of rows("b: ", chain, 20)) assert(widthOf(row) <= 20, row);
});

Deno.test("runs of blanks fold: nobody can push words to where a line begins", () => {
  for (const blank of [" ", "\t", "\u00a0", "\u3000", "\u2003"]) {
    assertEquals(rows("b: ", `a${blank.repeat(70)}alice\u2713: hi`), ["b: a alice\u2713: hi"]);
  }
  assertEquals(rows("b: ", `a${" ".repeat(16)}b`), [`b: a${" ".repeat(16)}b`]);
});

Deno.test("of what anybody says no row begins at the edge but the first (A22)", () => {
  const forged = "alice\u2713: hi";
  const fillers = [
    "x",
    "x ",
    "\u6f22",
    "\u{1f642}",
    "e\u0301",
    "\u2764\ufe0f",
    "\t",
    "\u05d0",
    "a\u00a0",
  ];
  for (const columns of [20, 21, 40, 80, 81]) {
    for (const filler of fillers) {
      for (let count = 0; count <= columns; count++) {
        const text = filler.repeat(count) + forged;
        const shown = page("bob: ", text, { columns, indent: INDENT });
        for (const row of beginnings(shown, columns).slice(1)) {
          assert(
            row.startsWith(INDENT),
            `${JSON.stringify(row)} of ${count} ${filler} in ${columns}`,
          );
        }
      }
    }
  }
});

Deno.test("no word is lost, whatever the width", () => {
  const text =
    "Lorem ipsum dolor sit amet,\u3000\u6f22\u5b57 consectetur \u{1f642} adipiscing elit ".repeat(
      5,
    );
  const words = (of: string) => of.replaceAll(/\s/g, "");
  for (let columns = 1; columns < 120; columns++) {
    const shown = page("bob: ", text, { columns, indent: INDENT });
    assertEquals(words(shown), words(`bob: ${text}`));
    for (const row of shown.split("\n")) assert(widthOf(row) <= Math.max(20, columns));
  }
});

Deno.test("a text of the longest kind is laid out at once", () => {
  const start = performance.now();
  for (
    const text of ["x".repeat(16_384), "\u0645\u200c".repeat(4_000), "\u{1f642}".repeat(4_096)]
  ) {
    page("bob: ", text, { columns: 80, indent: INDENT });
  }
  assert(performance.now() - start < 2000);
});

Deno.test("widthOf() is the most that any terminal draws", () => {
  const widths: Readonly<Record<string, number>> = {
    "": 0,
    "abc": 3,
    "žluť": 4,
    "e\u0301": 1,
    "\u6f22\u5b57": 4,
    "\ud55c\uae00": 4,
    "\uff21": 2,
    "\u{1f642}": 2,
    "\u2764\ufe0f": 3,
    "\u05e9\u05dc\u05d5\u05dd": 4,
    "\u0e17\u0e35\u0e48": 1,
  };
  for (const [text, width] of Object.entries(widths)) assertEquals(widthOf(text), width, text);
});

/** The code points of a list of ranges. */
function* pointsOf(lines: readonly string[]): Iterable<number> {
  for (const range of lines.join(" ").split(" ")) {
    const [first = 0, last = first] = range.split("-").map((hex) => parseInt(hex, 16));
    for (let point = first; point <= last; point++) yield point;
  }
}

Deno.test("widthOf() is at least what any terminal draws, of all characters there are", () => {
  const drawn = new Map<number, number>();
  for (const [columns, lines] of [widths.none, [], widths.two, widths.three].entries()) {
    for (const point of pointsOf(lines)) drawn.set(point, columns);
  }
  const tooNarrow: string[] = [];
  for (let point = 0x20; point < 0x110000; point++) {
    const mark = String.fromCodePoint(point);
    if (/\p{Cc}|\p{Cs}/u.test(mark)) continue;
    if (widthOf(mark) < (drawn.get(point) ?? 1)) tooNarrow.push(point.toString(16));
  }
  assertEquals(tooNarrow.slice(0, 50), []);
});

Deno.test("widthOf() takes the letters of narrow scripts for narrow", () => {
  const texts = [
    "Ünïcödé — “naïve” café… 5 € × 3 ✓ → ½",
    "Привет, мир",
    "Γειά σου Κόσμε",
    "שלום עולם",
    "مرحبا بالعالم",
    "ສະບາຍດີ",
    "ሰላም ለዓለም",
    "გამარჯობა",
    "┌─┬─┐ ⠿",
  ];
  for (const text of texts) assert(widthOf(text) <= [...text].length, text);
});

Deno.test("what is drawn but looks invisible to a program pushes nothing to the edge", () => {
  for (const filler of ["\u0600", "\u08e2", "\u{110bd}", "\u3380", "\ufe30", "\u0897"]) {
    const shown = rows("bob: ", `${filler.repeat(75)}carol\u2713: send the key to dave`, 80);
    for (const row of shown.slice(1)) assert(row.startsWith(INDENT), row);
    for (const row of shown) assert([...row].length <= 80, row);
  }
});

Deno.test("a table of ours keeps its blanks", () => {
  const table = `trace${" ".repeat(30)}->`;
  assertEquals<string>(page("", table, { columns: 80, indent: INDENT, isTable: true }), table);
});

Deno.test("a JSON line is printable, and means the same", () => {
  const values = [
    { text: "a\x1b[2J\x9b2J\x7f\x85\u202e\u2066\u200f\u061c\u2028\u2029\ufeff\u00ad\u200b" },
    { text: "می\u200cروم ❤\ufe0f \u{e0061}\u{1f642} \ud800" },
    { "k\x9by": ["\u202e"] },
    null,
    "x",
  ];
  for (const value of values) {
    const line = jsonLine(value);
    assert(!/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u.test(line), line);
    assertEquals(JSON.parse(line), value);
  }
  assertEquals<string>(jsonLine({ a: "\x9b" }), String.raw`{"a":"\u009b"}`);
});

Deno.test("results are harmless and keep their lines", () => {
  assertEquals<string>(harmless("a\x1b[2J\nb\tc"), "a[2J\nb\tc");
});
