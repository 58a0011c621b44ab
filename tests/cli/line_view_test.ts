import { assert, assertEquals } from "@std/assert";
import {
  changeView,
  draw,
  type Drawn,
  EMPTY_VIEW,
  eraseView,
  type LineView,
  reflow,
  showView,
} from "../../lib/cli/line_view.ts";
import { emptyLine, type LineState, press } from "../../lib/cli/line_state.ts";
import { widthOf } from "../../lib/cli/page.ts";
import { Dice } from "../simulation/dice.ts";
import { keysOf, RULES } from "../testkit/keys.ts";
import { letters, Screen } from "../testkit/screen.ts";

/** The rows of a view, with `|` where the cursor is. */
function rowsOf({ rows, row, before }: LineView): string[] {
  return rows.map(({ mark, text }, n) =>
    n === row ? `${before}|${(mark + text).slice(before.length)}` : mark + text
  );
}

/** A draft with its cursor at `|`, drawn behind `a> ` in that many columns. */
function drawn(draft: string, columns: number, rows = 24): string[] {
  const cursor = draft.indexOf("|");
  return rowsOf(draw({ prompt: "a> ", text: draft.replace("|", ""), cursor }, { columns, rows }));
}

Deno.test("draw() breaks the line where the window ends, and knows where the cursor is", () => {
  assertEquals(drawn("hello|", 80), ["a> hello|"]);
  assertEquals(drawn("|", 80), ["a> |"]);
  assertEquals(drawn("he|llo", 6), ["a> he|l", "lo"]);
  assertEquals(drawn("hel|lo", 6), ["a> hel", "|lo"]);
  // Behind a full row the cursor is in the next.
  assertEquals(drawn("hel|", 6), ["a> hel", "|"]);
  assertEquals(drawn("|hel", 6), ["a> |hel"]);
  assertEquals(drawn("one\ntw|o", 80), ["a> one", "... tw|o"]);
  assertEquals(drawn("one|\n", 80), ["a> one|", "... "]);
  assertEquals(drawn("one\n|", 80), ["a> one", "... |"]);
  // A wide letter has two columns, and no row has half of it; a mark on a letter has none.
  assertEquals(drawn("你好|", 6), ["a> 你", "好|"]);
  assertEquals(drawn("你|好", 6), ["a> 你", "|好"]);
  assertEquals(drawn("e\u0301e\u0301e\u0301|", 6), ["a> e\u0301e\u0301e\u0301", "|"]);
  assertEquals(drawn("a\tb|", 80), ["a> a    b|"]);
  // A prompt that is wider than the window is drawn all the same.
  assertEquals(drawn("x|", 2), ["a>", " x", "|"]);
});

Deno.test("draw() shows nothing that drives a terminal or hides", () => {
  assertEquals(drawn("a\u202eb\u200b|", 80), ["a> a\\u{202e}b\\u{200b}|"]);
  // What a script needs is left as it is.
  assertEquals(drawn("می\u200cخواهم|", 80), ["a> می\u200cخواهم|"]);
});

Deno.test("draw() leaves out what does not fit the rows, around the cursor", () => {
  const page = Array.from({ length: 30 }, (_, n) => `line ${n}`).join("\n");
  assertEquals(drawn(`${page}|`, 80, 5), [
    "... 26 more",
    "... line 26",
    "... line 27",
    "... line 28",
    "... line 29|",
  ]);
  assertEquals(drawn(`|${page}`, 80, 5).slice(-2), ["... line 3", "... 26 more"]);
  const middle = drawn(page.replace("line 15", "line| 15"), 80, 5);
  assertEquals(middle, [
    "... 14 more",
    "... line 14",
    "... line| 15",
    "... line 16",
    "... 13 more",
  ]);
  assertEquals(drawn(`${page}|`, 80, 1), ["... line 29|"]);
});

Deno.test("changeView() only writes what was added, and only moves the cursor when it moved", () => {
  const view = (text: string, cursor = text.length) =>
    draw({ prompt: "a> ", text, cursor }, { columns: 10, rows: 24 });
  assertEquals(changeView(view("he"), view("hel")), "l");
  assertEquals(changeView(view("he"), view("he")), "");
  assertEquals(changeView(view("he"), view("he", 1)), "\ra> h");
  assert(changeView(view("he"), view("hé")).startsWith("\r\x1b[J"));
  // Where the row ends there is more to do.
  assert(changeView(view("hello "), view("hello x")).includes("\x1b[J"));
});

interface Situation {
  readonly screen: Screen;
  readonly above: string[];
  view: LineView;
  columns: number;
}

/** What must be on the screen. */
function assertShown({ screen, above, view, columns }: Situation, line: Drawn): void {
  const wanted = view.rows.map(({ mark, text }) => mark + text);
  const rows = screen.rows;
  const shown = [...above, ...wanted.map((row) => row.trimEnd())];
  while (shown.at(-1) === "") shown.pop();
  assertEquals(rows, shown, JSON.stringify({ columns, line }));
  assertEquals(screen.cursor, [above.length + view.row, widthOf(view.before)]);
}

Deno.test("whatever is typed, arrives and is resized, the screen shows the lines, the draft and the cursor", () => {
  const seed = Number(Deno.env.get("CIFRA_SEED") ?? Math.trunc(Math.random() * 2 ** 32));
  const dice = new Dice(seed);
  const keys = [
    ...[
      "a",
      "b",
      " c",
      "\u0301",
      "你",
      "😀",
      "\u200b",
      "ñ",
      "\t",
      "\u202e",
      "long word ".repeat(3),
    ],
    ...[
      "\x1b[A",
      "\x1b[B",
      "\x1b[C",
      "\x1b[D",
      "\x1b[H",
      "\x1b[F",
      "\x7f",
      "\x1b\r",
      "\x17",
      "\x15",
    ],
    "\x1b[200~one\rtwo 你好\rthree\x1b[201~",
  ];
  try {
    for (let round = 0; round < 200; round++) {
      let state: LineState = emptyLine(["what was said before"]);
      let prompt = "alice> ";
      const columns = 10 + dice.below(40);
      const situation: Situation = {
        screen: new Screen(columns),
        above: [],
        view: EMPTY_VIEW,
        columns,
      };
      const redraw = (isNew: boolean, before = "") => {
        const { text, cursor } = state;
        const frame = { columns: situation.columns, rows: Infinity };
        const next = draw({ prompt, text, cursor }, frame);
        for (const row of next.rows) assert(widthOf(row.mark + row.text) <= situation.columns);
        situation.screen.write(
          isNew || before !== ""
            ? eraseView(situation.view) + before + showView(next)
            : changeView(situation.view, next),
        );
        situation.view = next;
        assertShown(situation, { prompt, text, cursor });
      };
      redraw(true);
      for (let step = 0; step < 40; step++) {
        const what = dice.below(12);
        if (what === 0) {
          // Somebody else's line; never wider than the narrowest window, so that it does not wrap.
          situation.above.push(`bob: ${step}`);
          redraw(false, `bob: ${step}\r\n`);
        } else if (what === 1) {
          const columns = 10 + dice.below(40);
          situation.screen.resize(columns);
          if (columns < situation.columns) situation.view = reflow(situation.view, columns);
          situation.columns = columns;
          redraw(true);
        } else if (what === 2) {
          prompt = ["alice> ", "(queued) alice to bob✓> ", "> "][dice.below(3)]!;
          redraw(false);
        } else {
          for (const key of keysOf(keys[dice.below(keys.length)]!)) {
            ({ state } = press(state, key, RULES));
          }
          redraw(false);
        }
      }
    }
  } catch (error) {
    throw new Error(`CIFRA_SEED=${seed}`, { cause: error });
  }
});

Deno.test("the terminal of the tests wraps as one does", () => {
  const screen = new Screen(4);
  screen.write("ab你c\r\nx");
  assertEquals([screen.rows, screen.cursor], [["ab你", "c", "x"], [2, 1]]);
  screen.resize(8);
  assertEquals([screen.rows, screen.cursor], [["ab你c", "x"], [1, 1]]);
  screen.resize(3);
  assertEquals(screen.rows, ["ab", "你c", "x"]);
  assertEquals(letters("e\u0301x"), ["e\u0301", "x"]);
});

Deno.test("the prompt is in its colour however the line changes, and what was typed is not", () => {
  const frame = { columns: 6, rows: 24 };
  const colour = "32";
  const seen = (bytes: string) => {
    // deno-lint-ignore no-control-regex
    const marks = bytes.matchAll(/\x1b\[32m([^\x1b]*)\x1b\[0m/g);
    return [...marks].map(([, mark]) => mark);
  };
  const of = (text: string, cursor = text.length, prompt = "a> ") =>
    draw({ prompt, text, cursor, colour }, frame);
  assertEquals(seen(changeView(EMPTY_VIEW, of(""))), ["a> "]);
  assertEquals(seen(showView(of("hello"))), ["a> "]);
  assertEquals(seen(changeView(of("he"), of("he", 0))), ["a> "]);
  assertEquals(seen(changeView(of("h"), of("h", 1, "b> "))), ["b> "]);
  // Only what is added is written.
  assertEquals(changeView(of("h"), of("he")), "e");
  assertEquals(seen(showView(of("a\nb"))), ["a> ", "... "]);
});
