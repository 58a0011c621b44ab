import { assert, assertEquals } from "@std/assert";
import type { Key } from "../../lib/cli/key_decoder.ts";
import { emptyLine, type LineState, press } from "../../lib/cli/line_state.ts";
import { GRAPHEMES } from "../../lib/cli/page.ts";
import { PASSWORD_LIMIT } from "../../lib/limits.ts";
import { Dice } from "../simulation/dice.ts";
import { draftOf, keysOf, RULES, type } from "../testkit/keys.ts";

const UP = "\x1b[A", DOWN = "\x1b[B", RIGHT = "\x1b[C", LEFT = "\x1b[D";
const HOME = "\x1b[H", END = "\x1b[F", DELETE = "\x1b[3~", ALT_ENTER = "\x1b\r";
const paste = (text: string) => `\x1b[200~${text}\x1b[201~`;

/** What is typed, and the draft after it. */
const TABLE: Readonly<Record<string, string>> = {
  "abc": "abc|",
  [`abc${LEFT}x`]: "abx|c",
  [`abc${HOME}x${END}y${RIGHT}${RIGHT}z`]: "xabcyz|",
  [`abc${LEFT}${LEFT}${LEFT}${LEFT}${DELETE}`]: "|bc",
  "abc\x01\x06\x06\x02x\x05y": "axbcy|",
  "abc\x7f\x08": "a|",
  "\x7f\x7f": "|",
  "abc\x01\x04": "|bc",
  // A letter is a letter, however many code points it has.
  "aé你": "aé你|",
  "ae\u0301\x7f": "a|",
  "pass👩‍🚀🇪🇸\x7f": "pass👩‍🚀|",
  [`👩‍🚀你${LEFT}${LEFT}x`]: "x|👩‍🚀你",
  [`👩‍🚀你${HOME}${DELETE}`]: "|你",
  [`ab${LEFT}\u0301`]: "a\u0301|b",
  [`\u0301${HOME}a`]: "a\u0301|",
  [`🇪🇸${HOME}🇪`]: "🇪🇪|🇸",
  // Words.
  "one two-three\x1bb": "one two-|three",
  "one two-three\x1bb\x1bbx\x1bf": "one xtwo|-three",
  "one two-three\x1b[1;5D\x1b[1;5D\x1b[1;5D\x1b[1;5C": "one| two-three",
  "año día\x1bb": "año |día",
  "one two-three \x17": "one |",
  "one two-three\x1b\x7f": "one two-|",
  "one two\x01\x1bd": "| two",
  // Cut, and brought back.
  "one two\x15": "|",
  "one two\x15\x19\x19": "one twoone two|",
  "one two\x1bb\x0b": "one |",
  "one two\x17\x17\x19": "one two|",
  "one two\x01\x1bd\x1bd\x19": "one two|",
  "one two\x17x\x17\x19": "one x|",
  "one two\x03": "|",
  "one two\x03\x19": "one two|",
  "ab\x14": "ba|",
  "abc\x02\x02\x14": "ba|c",
  "a\x14": "a|",
  // Lines.
  [`one${ALT_ENTER}two`]: "one\ntwo|",
  [`one${ALT_ENTER}two${UP}x${DOWN}y`]: "onex\ntwoy|",
  [`one${ALT_ENTER}two\x01x${UP}${UP}`]: "o|ne\nxtwo",
  [`one${ALT_ENTER}two\x15`]: "one\n|",
  [`one${ALT_ENTER}two${HOME}\x7f`]: "one|two",
  [`one${ALT_ENTER}two${UP}${HOME}\x0b\x0b`]: "|two",
  // Pastes.
  [paste("one\r\n/quit\r")]: "one\n/quit\n|",
  [`a${paste("b\tc\x03\x1a\x04")}d`]: "ab\tcd|",
  "one\rtwo": "one\ntwo|",
  "one\\\rtwo": "one\ntwo|",
  // Nothing.
  "\t\x12\x00\x1c\x1f\x1b[15~\x1b[<0;1;1M\x1bz": "|",
};

Deno.test("each key makes of the draft what it should", () => {
  for (const [typed, draft] of Object.entries(TABLE)) {
    const { state, actions } = type(keysOf(typed));
    assertEquals([draftOf(state), actions], [draft, []], JSON.stringify(typed));
  }
});

Deno.test("Enter enters, and a new line begins", () => {
  const { state, actions } = type(keysOf("hello\r"));
  assertEquals([draftOf(state), actions], ["|", [{ type: "enter", text: "hello" }]]);
  assertEquals(type(keysOf("\r")).actions, [{ type: "enter", text: "" }]);
  const joined = type(keysOf("four\\\r", "five\\\r", "six\r")).actions;
  assertEquals(joined, [{ type: "enter", text: "four\nfive\nsix" }]);
  // Enter comes at the end of what is typed, wherever the cursor is.
  assertEquals(type(keysOf(`ab${LEFT}\r`)).actions, [{ type: "enter", text: "ab" }]);
});

Deno.test("a paste is one message of several lines, and only Enter sends it", () => {
  const { state, actions } = type(keysOf(paste("/quit\r"), paste("one\rtwo\r")));
  assertEquals([draftOf(state), actions], ["/quit\none\ntwo\n|", []]);
  assertEquals(type(keysOf("\r"), RULES, state).actions, [
    { type: "enter", text: "/quit\none\ntwo" },
  ]);
  // In pieces, also of a terminal that does not mark it.
  const pieces = ["\x1b[20", "0~on", "e\r", "\ntwo", "\x1b[2", "01~"];
  assertEquals(draftOf(type(keysOf(...pieces)).state), "one\ntwo|");
  assertEquals(type(keysOf("one\rtwo\r")).actions, [{ type: "enter", text: "one\ntwo" }]);
});

Deno.test("Ctrl-C clears the line and then leaves; Ctrl-D leaves an empty one; Ctrl-Z suspends", () => {
  const does = (typed: string) => type(keysOf(typed)).actions.map(({ type }) => type);
  assertEquals(does("half\x03"), []);
  assertEquals(does("half\x03\x03"), ["interrupt"]);
  assertEquals(does("\x03"), ["interrupt"]);
  assertEquals(does("half\x04"), []);
  assertEquals(does("half\x15\x04"), ["end"]);
  assertEquals(does("half\x1a\x0c"), ["suspend", "clear-screen"]);
});

Deno.test("a question wants one answer: Ctrl-C never clears, and no line goes on", () => {
  const rules = { ...RULES, isQuestion: true };
  assertEquals(type(keysOf("half\x03"), rules).actions, [{ type: "interrupt" }]);
  assertEquals(type(keysOf("a\\\r"), rules).actions, [{ type: "enter", text: "a\\" }]);
  assertEquals(type(keysOf(`a${ALT_ENTER}`), rules).state.text, "a");
  // What was typed ahead is the answer to the next question.
  assertEquals(type(keysOf("y\rn\r"), rules).actions.length, 2);
  // Unless a mail may come in its place.
  const pasted = type(keysOf("Hi,\rthe line\r"), { ...rules, takesLines: true });
  assertEquals(pasted.actions, [{ type: "enter", text: "Hi,\nthe line" }]);
});

Deno.test("the history is walked by up and down, and no draft is lost on the way", () => {
  let { state } = type(keysOf("one\r", "two\r", "two\r", "\r"));
  assertEquals(state.history, ["one", "two"]);
  const after = (...typed: readonly string[]) => {
    ({ state } = type(keysOf(...typed), RULES, state));
    return draftOf(state);
  };
  assertEquals(after("half", UP), "two|");
  assertEquals(after(UP), "one|");
  assertEquals(after(UP), "one|");
  assertEquals(after("!", DOWN, "?", DOWN), "half|");
  assertEquals(after(DOWN), "half|");
  assertEquals(after("\x10\x10"), "one!|");
  assertEquals(after("\x0e"), "two?|");
  const { actions } = type(keysOf("\r"), RULES, state);
  assertEquals(actions, [{ type: "enter", text: "two?" }]);
  // What was half typed when another line was entered is behind it.
  assertEquals(after("\r", UP, UP), "half|");
  assertEquals(state.history, ["one", "two", "half", "two?"]);
  // A message of several lines comes back whole.
  assertEquals(after("\x0e\x0e", paste("a\rb"), "\r", UP), "a\nb|");
});

Deno.test("Tab completes, and offers what it could be when it is pressed again", () => {
  const rules = { ...RULES, completions: ["/path", "/verify", "/verified", "/to bob", "bob: "] };
  const after = (typed: string) => {
    const { state, actions } = type(keysOf(typed), rules);
    return [draftOf(state), ...actions.flatMap((does) => does.type === "offer" ? does.words : [])];
  };
  assertEquals(after("/pa\t"), ["/path|"]);
  assertEquals(after("/v\t"), ["/verif|"]);
  assertEquals(after("/v\t\t"), ["/verif|"]);
  assertEquals(after("/v\t\t\t"), ["/verif|", "/verify", "/verified"]);
  assertEquals(after("b\t"), ["bob: |"]);
  assertEquals(after("x\t\t"), ["x|"]);
  assertEquals(after("/path\t\t"), ["/path|"]);
  assertEquals(after(`/pa${LEFT}\t\t`), ["/p|a"]);
});

Deno.test("what is too long is told, and what is much too long is left out", () => {
  const rules = { ...RULES, limit: 10 };
  assertEquals(type(keysOf(paste("x".repeat(10))), rules).actions, []);
  const over = type(keysOf(paste("x".repeat(11))), rules);
  assertEquals(over.actions, [{ type: "too-long", bytes: 11, isCut: false }]);
  assertEquals(over.state.text.length, 11);
  assertEquals(type(keysOf(paste("ñ".repeat(6))), rules).actions.length, 1);
  const cut = type(keysOf("\x1b[200~", "x".repeat(35), "y".repeat(35), "z", "\x1b[201~"), rules);
  assertEquals(cut.state.text, "x".repeat(35) + "y".repeat(5));
  assertEquals(cut.actions.at(-1), { type: "too-long", bytes: 40, isCut: true });
  // Half of a letter does not stay.
  assertEquals(type(keysOf("x".repeat(39) + "👩‍🚀"), rules).state.text, "x".repeat(39));
  assertEquals(type(keysOf("\x01\x7f\x04y"), rules, cut.state).state.text.length, 40);
});

Deno.test("a secret is what was typed, as far as it was not taken back, and leaves no trace", () => {
  const rules = { completions: ["abc"], limit: PASSWORD_LIMIT, isQuestion: true, isSecret: true };
  const lines: Readonly<Record<string, string>> = {
    "abc\r": "abc",
    "\r": "",
    "a b  c \r": "a b  c ",
    "abd\x7fc\r": "abc",
    "abd\x08c\r": "abc",
    "\x7f\x7fabc\r": "abc",
    "ñandúú\x7f\r": "ñandú",
    "pass👩‍🚀\x7f\r": "pass",
    "wrong\x15right\r": "right",
    "\x15\x15\r": "",
    // Tab, NUL and Ctrl-D with something typed are no letters; nor are F5, Alt-x and an arrow up.
    "a\tb\x00\x04\x1b[15~\x1bx\x1b[Ac\r": "abc",
    [`${paste("from a\tsafe")}\r`]: "from a\tsafe",
  };
  for (const [typed, secret] of Object.entries(lines)) {
    const { state, actions } = type(keysOf(typed), rules);
    assertEquals(actions, [{ type: "enter", text: secret }], JSON.stringify(typed));
    assertEquals(state, emptyLine());
  }
  const does = (typed: string) => type(keysOf(typed), rules).actions.map(({ type }) => type);
  assertEquals(does("half\x03"), ["interrupt"]);
  assertEquals(does("half\x1b[\x03"), ["interrupt"]);
  assertEquals(does("half\x04"), []);
  assertEquals(does("\x04"), ["end"]);
  assertEquals(does("gone\x15\x04"), ["end"]);
  // One that is too long is seen to be: more of it is kept than may be entered.
  const long = type(keysOf(`${"x".repeat(100_000)}\r`), rules).actions;
  assert(long[0]!.type === "enter" && long[0]!.text.length > PASSWORD_LIMIT);
});

/** Keys that take away, or bring something else. */
const TAKES_AWAY =
  /^(enter|alt-enter|backspace|delete|ctrl-[cdhkptuwyn]|alt-(backspace|d)|ctrl-delete|up|down|tab)$/;

Deno.test("whatever is typed, the cursor stands between letters, and nothing is lost but by a key that takes it", () => {
  const seed = Number(Deno.env.get("CIFRA_SEED") ?? Math.trunc(Math.random() * 2 ** 32));
  const dice = new Dice(seed);
  const parts = [
    ...["a", "b ", "\u0301", "你", "👩‍🚀", "\u200d", "🇪", "🇸", "\ufe0f", "ñ", "\t", "\\", "-"],
    ...[UP, DOWN, LEFT, RIGHT, HOME, END, DELETE, ALT_ENTER, "\r", "\n", "\x7f", "\x1b", "\x1b["],
    ...[
      "\x1bb",
      "\x1bf",
      "\x1bd",
      "\x1b\x7f",
      "\x1b[1;5C",
      "\x1b[200~",
      "\x1b[201~",
      "\x9b",
      "\x1b]",
    ],
    ...Array.from({ length: 32 }, (_, byte) => String.fromCharCode(byte)),
  ];
  try {
    for (let round = 0; round < 300; round++) {
      const text = Array.from({ length: 60 }, () => parts[dice.below(parts.length)]!).join("");
      const bytes = new TextEncoder().encode(text);
      for (let i = dice.below(4); i > 0; i--) bytes[dice.below(bytes.length)] = dice.below(256);
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < bytes.length;) {
        const end = Math.min(bytes.length, at + 1 + dice.below(9));
        pieces.push(bytes.subarray(at, end));
        at = end;
      }
      let state = emptyLine(["an old line"]);
      for (const key of keysOf(...pieces)) {
        const before = state;
        ({ state } = press(state, key, { ...RULES, completions: ["a b", "a c"] }));
        assertSound(state);
        assertKept(before, key, state);
      }
    }
  } catch (error) {
    throw new Error(`CIFRA_SEED=${seed}`, { cause: error });
  }
});

function assertSound({ text, cursor }: LineState): void {
  // deno-lint-ignore no-control-regex
  assert(!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(text), JSON.stringify(text));
  const { length } = text;
  const edges = [...GRAPHEMES.segment(text)].map(({ index }) => index);
  assert([...edges, length].includes(cursor), `${JSON.stringify(text)} at ${cursor}`);
}

function assertKept(before: LineState, key: Key, { text, place }: LineState): void {
  if (key.type === "press") {
    if (!TAKES_AWAY.test(key.name)) assertEquals(text, before.text, key.name);
    return;
  }
  if (key.type === "pasted") return assertEquals(text, before.text);
  const added = key.type === "break" ? "\n" : key.text;
  const left = before.text.slice(0, before.cursor);
  const kept = key.type === "break" ? left.replace(/\\$/, "") : left;
  assertEquals(text, kept + added + before.text.slice(before.cursor));
  assertEquals(place, before.place);
}
