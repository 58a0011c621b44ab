/**
 * Text of strangers, made harmless: it drives no terminal, hides nothing and reorders nothing. What cannot be seen
 * is shown as an escape; what the scripts of the world need is left as it is.
 */
import { cutPiles, replaceInvisible } from "../wire/invisible.ts";

/** What most text is made of, and what needs no care. */
const PLAIN = /^[\x20-\x7e\n\t]*$/;
/** C0 and C1 controls but newline and tab. */
// deno-lint-ignore no-control-regex
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/**
 * Removes control characters (newline and tab stay), writes what hides or reorders text as escapes, and cuts piles
 * of marks (PROTOCOL.md, attack A22). Made harmless twice, a text is the same.
 */
export function sanitize(text: string): string {
  if (PLAIN.test(text)) return text;
  return cutPiles(text.replaceAll("\r\n", "\n").replace(CONTROLS, ""))
    .split("\n").map(escapeInvisible).join("\n");
}

/** One line, with escapes for what cannot be seen and is not needed. */
function escapeInvisible(line: string): string {
  return replaceInvisible(line, (codePoint) => `\\u{${codePoint.toString(16)}}`);
}

/** Sanitises a byte stream that goes to a terminal; what is not UTF-8 becomes a replacement mark. */
export class StreamSanitizer {
  readonly #decoder = new TextDecoder();

  /** The harmless form of the next piece. What is needed only beside the letters of another piece is escaped. */
  push(piece: Uint8Array): string {
    return sanitize(this.#decoder.decode(piece, { stream: true }));
  }
}
