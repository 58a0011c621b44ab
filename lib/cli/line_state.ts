/** A line that is being typed, as a value: what each key makes of it. Nothing here knows of a terminal. */
import { encodeUtf8 } from "../bytes.ts";
import type { Key } from "./key_decoder.ts";
import { GRAPHEMES } from "./page.ts";

/** Lines that are remembered, at the most. */
export const HISTORY_LIMIT = 500;
/** The draft may be longer than what can be sent, so that it can be made shorter; what is much longer is left out. */
const ROOM = 4;

/** Where each code unit is a step of its own. */
const PLAIN = /^[\x20-\x7e\n]*$/;
const WORD = /[\p{L}\p{M}\p{N}_]/u;

/** The draft, and what editing it needs. */
export interface LineState {
  /** The draft: letters, tabs and line breaks (`\n`). */
  readonly text: string;
  /** Where the next letter goes: an index into `text`, between two graphemes. */
  readonly cursor: number;
  /** What was cut last, for Ctrl-Y. */
  readonly killed: string;
  /** The last key cut: what the next one cuts is joined to it. */
  readonly isKilling: boolean;
  /** Lines that were entered, the oldest first. */
  readonly history: readonly string[];
  /** Which of them is shown; `history.length` is the draft itself. */
  readonly place: number;
  /** Drafts that were left at their places for others, so that none is lost. */
  readonly drafts: ReadonlyMap<number, string>;
  /** The last key was Tab. */
  readonly isCompleting: boolean;
  /** Of the paste that is going on a part was left out. */
  readonly isCut: boolean;
  /** A line that was entered before is being looked for. */
  readonly search?: Search;
}

/** What is looked for among the lines that were entered. */
export interface Search {
  readonly words: string;
  /** Which of them was found; `history.length` when none was. */
  readonly place: number;
  /** The line before the search. */
  readonly before: LineState;
}

/** What is asked for. */
export interface LineRules {
  /** What Tab knows: beginnings of lines. */
  readonly completions: readonly string[];
  /** More of them, for the line as it stands. */
  readonly completeMore?: ((text: string) => readonly string[]) | undefined;
  /** Bytes of UTF-8 of the longest line that can be entered. */
  readonly limit: number;
  /** One answer is wanted: Enter never goes on, and Ctrl-C never only clears. */
  readonly isQuestion?: boolean;
  /** The answer may have several lines: what comes in one go is one, as a paste that the terminal does not mark. */
  readonly takesLines?: boolean;
  /** It is neither shown nor remembered. */
  readonly isSecret?: boolean;
}

/** What a key leads to beside a change of the line. */
export type LineAction =
  | { readonly type: "enter"; readonly text: string }
  /** Ctrl-D where nothing is typed. */
  | { readonly type: "end" }
  /** Ctrl-C where nothing is typed, or at a question. */
  | { readonly type: "interrupt" }
  | { readonly type: "suspend" }
  | { readonly type: "clear-screen" }
  /** What Tab could make of the line. */
  | { readonly type: "offer"; readonly words: readonly string[] }
  /** The draft cannot be entered as it is; `isCut`: a part of it was left out. */
  | { readonly type: "too-long"; readonly bytes: number; readonly isCut: boolean };

/** What a key did. */
export interface Pressed {
  readonly state: LineState;
  readonly action?: LineAction;
}

/** An empty line; `history` has the oldest line first. */
export function emptyLine(history: readonly string[] = []): LineState {
  return {
    text: "",
    cursor: 0,
    killed: "",
    isKilling: false,
    history,
    place: history.length,
    drafts: new Map(),
    isCompleting: false,
    isCut: false,
  };
}

/** What `key` makes of the line. Keys that mean nothing here change nothing. */
export function press(before: LineState, key: Key, rules: LineRules): Pressed {
  const isOfPaste = key.type !== "text" && key.type !== "press";
  const isCut = isOfPaste && before.isCut;
  const state = { ...before, isKilling: false, isCompleting: false, isCut };
  switch (key.type) {
    case "text":
      return insert(state, key.text, rules, true);
    case "paste":
      return insert(state, key.text, rules, false);
    case "pasted": {
      const bytes = encodeUtf8(state.text).length;
      const isOver = !rules.isSecret && (state.isCut || bytes > rules.limit);
      const whole = { ...state, isCut: false };
      if (!isOver) return { state: whole };
      return { state: whole, action: { type: "too-long", bytes, isCut: state.isCut } };
    }
    case "break":
      return rules.isQuestion && !rules.takesLines ? enter(state, rules) : goOn(state, rules);
    case "press":
      return pressNamed(before, state, key.name, rules);
  }
}

function pressNamed(
  before: LineState,
  state: LineState,
  name: string,
  rules: LineRules,
): Pressed {
  const { text, cursor } = state;
  switch (name) {
    case "enter":
      return enter(state, rules);
    case "alt-enter":
      return rules.isQuestion ? { state } : insert(state, "\n", rules, true);
    case "ctrl-c":
      if (rules.isQuestion || text === "") return { state, action: { type: "interrupt" } };
      return { state: { ...emptyLine(remembered(state)), killed: text } };
    case "ctrl-d":
      if (text === "") return { state, action: { type: "end" } };
      // The rest of a secret cannot be seen.
      return { state: rules.isSecret ? state : remove(state, cursor, following(text, cursor)) };
    case "ctrl-z":
      return { state, action: { type: "suspend" } };
    case "ctrl-l":
      return { state, action: { type: "clear-screen" } };
    case "tab":
      return rules.isSecret ? { state } : complete(before, state, rules);
    case "up":
    case "ctrl-p":
      return { state: rules.isSecret ? state : moveUp(state) };
    case "down":
    case "ctrl-n":
      return { state: rules.isSecret ? state : moveDown(state) };
    case "left":
    case "ctrl-b":
      return { state: { ...state, cursor: previous(text, cursor) } };
    case "right":
    case "ctrl-f":
      return { state: { ...state, cursor: following(text, cursor) } };
    case "home":
    case "ctrl-a":
      return { state: { ...state, cursor: lineStart(text, cursor) } };
    case "end":
    case "ctrl-e":
      return { state: { ...state, cursor: lineEnd(text, cursor) } };
    case "alt-b":
    case "alt-left":
    case "ctrl-left":
      return { state: { ...state, cursor: wordBefore(text, cursor, WORD) } };
    case "alt-f":
    case "alt-right":
    case "ctrl-right":
      return { state: { ...state, cursor: wordAfter(text, cursor) } };
    case "backspace":
      return { state: remove(state, previous(text, cursor), cursor) };
    case "delete":
      return { state: remove(state, cursor, following(text, cursor)) };
    case "ctrl-u":
      // Of a secret, which nobody sees, all of it.
      return { state: kill(before, state, rules.isSecret ? 0 : lineStart(text, cursor), cursor) };
    case "ctrl-k": {
      const end = lineEnd(text, cursor);
      return { state: kill(before, state, cursor, end === cursor ? following(text, cursor) : end) };
    }
    case "ctrl-w":
      return { state: kill(before, state, wordBefore(text, cursor, /\S/u), cursor) };
    case "alt-backspace":
      return { state: kill(before, state, wordBefore(text, cursor, WORD), cursor) };
    case "alt-d":
    case "ctrl-delete":
      return { state: kill(before, state, cursor, wordAfter(text, cursor)) };
    case "ctrl-y":
      return insert(state, state.killed, rules, false);
    case "ctrl-t":
      return { state: rules.isSecret ? state : swap(state) };
    default:
      return { state };
  }
}

/** Puts text at the cursor, as far as there is room. */
function insert(state: LineState, added: string, rules: LineRules, isTyped: boolean): Pressed {
  const { text, cursor } = state;
  // Of a paste nothing follows what was left out.
  const most = state.isCut && !isTyped ? 0 : Math.max(0, ROOM * rules.limit - text.length);
  const end = most < added.length && boundary(added, most) !== most ? previous(added, most) : most;
  const fitting = added.slice(0, end);
  const whole = text.slice(0, cursor) + fitting + text.slice(cursor);
  // What was added may have become one letter with what follows.
  const next = {
    ...state,
    text: whole,
    cursor: boundary(whole, cursor + fitting.length),
    isCut: state.isCut || !isTyped && fitting !== added,
  };
  if (fitting === added || !isTyped || rules.isSecret) return { state: next };
  return {
    state: next,
    action: { type: "too-long", bytes: encodeUtf8(whole).length, isCut: true },
  };
}

/** A line break at the cursor, in the place of the backslash that asks for one. */
function goOn(state: LineState, rules: LineRules): Pressed {
  const { text, cursor } = state;
  const asks = text[cursor - 1] === "\\";
  return insert(asks ? remove(state, cursor - 1, cursor) : state, "\n", rules, false);
}

function enter(state: LineState, rules: LineRules): Pressed {
  const { text } = state;
  if (text.endsWith("\\") && !rules.isQuestion) {
    const joined = `${text.slice(0, -1)}\n`;
    return { state: { ...state, text: joined, cursor: joined.length } };
  }
  if (rules.isSecret) return { state: emptyLine(), action: { type: "enter", text } };
  // The last line of a paste has an end as well.
  const entered = text.replace(/\n+$/, "");
  const next = { ...emptyLine(remembered(state, entered)), killed: state.killed };
  return { state: next, action: { type: "enter", text: entered } };
}

/** The history with what was left half typed for one of its lines, and with what is entered. */
function remembered({ history, place, drafts }: LineState, text = ""): readonly string[] {
  const lines = [...history];
  const left = place === history.length ? "" : drafts.get(history.length) ?? "";
  for (const line of [left, text]) {
    if (line !== "" && line !== lines.at(-1)) lines.push(line);
  }
  return lines.slice(-HISTORY_LIMIT);
}

function remove(state: LineState, from: number, to: number): LineState {
  const text = state.text.slice(0, from) + state.text.slice(to);
  return { ...state, text, cursor: boundary(text, from) };
}

/** Removes what Ctrl-Y brings back; `before` is the line before the key. */
function kill(before: LineState, state: LineState, from: number, to: number): LineState {
  if (from === to) return { ...state, isKilling: before.isKilling };
  const cut = state.text.slice(from, to);
  const isBackwards = to === state.cursor;
  const killed = !before.isKilling ? cut : isBackwards ? cut + state.killed : state.killed + cut;
  return { ...remove(state, from, to), killed, isKilling: true };
}

/** Exchanges the two letters around the cursor. */
function swap(state: LineState): LineState {
  const { text } = state;
  const end = state.cursor === lineEnd(text, state.cursor)
    ? state.cursor
    : following(text, state.cursor);
  const middle = previous(text, end);
  const start = previous(text, middle);
  if (start === middle || text.slice(start, end).includes("\n")) return state;
  const swapped = text.slice(0, start) + text.slice(middle, end) + text.slice(start, middle) +
    text.slice(end);
  return { ...state, text: swapped, cursor: boundary(swapped, end) };
}

function complete(
  before: LineState,
  state: LineState,
  { completions, completeMore }: LineRules,
): Pressed {
  const { text, cursor } = state;
  if (cursor !== text.length) return { state };
  const words = [...completions, ...completeMore?.(text) ?? []]
    .filter((word) => word.startsWith(text));
  if (words.length === 0) return { state };
  const shared = words.reduce(sharedStart);
  if (shared.length > text.length) {
    return { state: { ...state, text: shared, cursor: shared.length } };
  }
  if (words.length === 1) return { state };
  const next = { ...state, isCompleting: true };
  return before.isCompleting ? { state: next, action: { type: "offer", words } } : { state: next };
}

function sharedStart(a: string, b: string): string {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return a.slice(0, length);
}

/** To the line above; from the first one to what was entered before. */
function moveUp(state: LineState): LineState {
  const start = lineStart(state.text, state.cursor);
  if (start > 0) return moveTo(state, lineStart(state.text, start - 1));
  return recall(state, state.place - 1);
}

function moveDown(state: LineState): LineState {
  const end = lineEnd(state.text, state.cursor);
  if (end < state.text.length) return moveTo(state, end + 1);
  return recall(state, state.place + 1);
}

/** To the line that starts at `start`, as far in it as now. */
function moveTo(state: LineState, start: number): LineState {
  const { text, cursor } = state;
  const into = cursor - lineStart(text, cursor);
  return { ...state, cursor: boundary(text, Math.min(start + into, lineEnd(text, start))) };
}

function recall(state: LineState, place: number): LineState {
  const { history, text } = state;
  if (place < 0 || place > history.length) return state;
  const drafts = new Map(state.drafts).set(state.place, text);
  const shown = drafts.get(place) ?? history[place] ?? "";
  return { ...state, text: shown, cursor: shown.length, place, drafts };
}

function lineStart(text: string, at: number): number {
  return at === 0 ? 0 : text.lastIndexOf("\n", at - 1) + 1;
}

function lineEnd(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end;
}

function wordBefore(text: string, at: number, letter: RegExp): number {
  let isIn = false;
  while (at > 0) {
    const start = previous(text, at);
    const isLetter = letter.test(text.slice(start, at));
    if (isIn && !isLetter) break;
    isIn ||= isLetter;
    at = start;
  }
  return at;
}

function wordAfter(text: string, at: number): number {
  let isIn = false;
  while (at < text.length) {
    const end = following(text, at);
    const isLetter = WORD.test(text.slice(at, end));
    if (isIn && !isLetter) break;
    isIn ||= isLetter;
    at = end;
  }
  return at;
}

/** The start of the grapheme before `at`. */
function previous(text: string, at: number): number {
  if (at <= 0) return 0;
  if (PLAIN.test(text.slice(Math.max(0, at - 2), at + 1))) return at - 1;
  return GRAPHEMES.segment(text).containing(at - 1)!.index;
}

/** The end of the grapheme at `at`. */
function following(text: string, at: number): number {
  if (at >= text.length) return text.length;
  if (PLAIN.test(text.slice(at, at + 2))) return at + 1;
  const { index, segment } = GRAPHEMES.segment(text).containing(at)!;
  return index + segment.length;
}

/** `at`, or the end of the grapheme in whose middle it is. */
function boundary(text: string, at: number): number {
  if (at <= 0 || at >= text.length) return Math.max(0, Math.min(at, text.length));
  const { index, segment } = GRAPHEMES.segment(text).containing(at)!;
  return index === at ? at : index + segment.length;
}
