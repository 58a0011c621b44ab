/** Keys at a line, where Ctrl-R looks for what was entered before: newest first, whatever its case. */
import type { Key } from "./key_decoder.ts";
import { type LineRules, type LineState, press, type Pressed } from "./line_state.ts";
import { GRAPHEMES } from "./page.ts";

/** What `key` makes of a line, also of one that is being looked for. */
export function pressOrSearch(state: LineState, key: Key, rules: LineRules): Pressed {
  if (state.search) return pressSearching(state, key, rules);
  const isSearch = key.type === "press" && key.name === "ctrl-r";
  if (!isSearch || rules.isQuestion || rules.isSecret) return press(state, key, rules);
  return { state: { ...state, search: { words: "", place: state.history.length, before: state } } };
}

function pressSearching(state: LineState, key: Key, rules: LineRules): Pressed {
  const { words, place, before } = state.search!;
  const newest = state.history.length - 1;
  if (key.type === "text" || key.type === "paste") {
    return { state: found(state, words + key.text, Math.min(place, newest)) };
  }
  // What a paste brings beside letters.
  if (key.type !== "press") return { state };
  switch (key.name) {
    case "ctrl-r":
      return { state: words === "" ? state : found(state, words, place - 1) };
    case "backspace": {
      const letters = [...GRAPHEMES.segment(words)].map(({ segment }) => segment);
      return { state: found(state, letters.slice(0, -1).join(""), newest) };
    }
    case "ctrl-g":
    case "ctrl-c":
    case "escape":
      return { state: before };
  }
  // Every other key is for the line that was found.
  const { search: _, ...line } = state;
  return press(line, key, rules);
}

/** The newest line with `words` in it that is not newer than the one at `from`; without one the line stays. */
function found(state: LineState, words: string, from: number): LineState {
  const { history, search } = state;
  const wanted = words.toLowerCase();
  const place = wanted === ""
    ? -1
    : history.findLastIndex((line, n) => n <= from && line.toLowerCase().includes(wanted));
  if (place < 0) return { ...state, search: { ...search!, words } };
  const text = history[place]!;
  return { ...state, text, cursor: text.length, search: { ...search!, words, place } };
}
