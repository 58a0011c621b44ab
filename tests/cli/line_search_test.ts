import { assertEquals } from "@std/assert";
import { pressOrSearch } from "../../lib/cli/line_search.ts";
import { emptyLine, type LineState } from "../../lib/cli/line_state.ts";
import { keysOf, RULES } from "../testkit/keys.ts";

const HISTORY = ["bob: hello", "carol: dinner?", "bob: HELLO again", "/users"];

/** The draft after these keys, what is looked for, and what was entered. */
function searched(keys: string, rules = RULES, draft = "half") {
  let state: LineState = { ...emptyLine(HISTORY), text: draft, cursor: draft.length };
  const entered: string[] = [];
  for (const key of keysOf(keys)) {
    const pressed = pressOrSearch(state, key, rules);
    state = pressed.state;
    if (pressed.action?.type === "enter") entered.push(pressed.action.text);
  }
  return [state.text, state.search?.words, ...entered];
}

Deno.test("Ctrl-R finds the newest line, older ones when it is pressed again", () => {
  assertEquals(searched("\x12"), ["half", ""]);
  assertEquals(searched("\x12hello"), ["bob: HELLO again", "hello"]);
  assertEquals(searched("\x12hello\x12"), ["bob: hello", "hello"]);
  // There is no older one.
  assertEquals(searched("\x12hello\x12\x12"), ["bob: hello", "hello"]);
  assertEquals(searched("\x12hello\x7f\x7f"), ["bob: HELLO again", "hel"]);
});

Deno.test("what was found is entered or edited, and without a find the draft is back", () => {
  assertEquals(searched("\x12din\r"), ["", undefined, "carol: dinner?"]);
  assertEquals(searched("\x12din\x1b[D\x1b[D!"), ["carol: dinne!r?", undefined]);
  for (const key of ["\x07", "\x03"]) assertEquals(searched(`\x12din${key}`), ["half", undefined]);
});

Deno.test("at a question nothing is looked for", () => {
  assertEquals(searched("\x12din", { ...RULES, isQuestion: true }), ["halfdin", undefined]);
  assertEquals(searched("\x12din", { ...RULES, isSecret: true }), ["halfdin", undefined]);
});
