/** Keys at a line, as easily written as they are pressed. */
import { encodeUtf8 } from "../../lib/bytes.ts";
import { type Key, KeyDecoder } from "../../lib/cli/key_decoder.ts";
import {
  emptyLine,
  type LineAction,
  type LineRules,
  type LineState,
  press,
} from "../../lib/cli/line_state.ts";

export const RULES: LineRules = { completions: [], limit: 1000 };

/** The keys of what a terminal sends. */
export function keysOf(...pieces: readonly (string | Uint8Array)[]): readonly Key[] {
  const decoder = new KeyDecoder();
  const bytes = (piece: string | Uint8Array) =>
    typeof piece === "string" ? encodeUtf8(piece) : piece;
  return pieces.flatMap((piece) => decoder.push(bytes(piece)));
}

/** Presses them; what came of it. */
export function type(
  keys: readonly Key[],
  rules: LineRules = RULES,
  state: LineState = emptyLine(),
): { readonly state: LineState; readonly actions: readonly LineAction[] } {
  const actions: LineAction[] = [];
  for (const key of keys) {
    const pressed = press(state, key, rules);
    state = pressed.state;
    if (pressed.action) actions.push(pressed.action);
  }
  return { state, actions };
}

/** A draft with `|` where the cursor is. */
export function draftOf({ text, cursor }: LineState): string {
  return `${text.slice(0, cursor)}|${text.slice(cursor)}`;
}
