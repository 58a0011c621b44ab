/** Makes foreign text harmless: it can neither drive a terminal nor reorder what is read. */

/** C0 and C1 controls but newline and tab. */
// deno-lint-ignore no-control-regex
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;
/** Marks that change direction or cannot be seen: shown as what they are. */
const INVISIBLE =
  /[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;
/** The one invisible mark that people use: it joins emoji into one. */
const JOINED_EMOJI =
  /(?<=[\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f])\u200d(?=\p{Extended_Pictographic})/gu;
/** Stands in for a joiner that may stay while the others are escaped. */
const PLACEHOLDER = "\x00";

/**
 * Removes control characters (newline and tab stay), and writes marks that reorder or hide text as
 * escapes (PROTOCOL.md, attack A22).
 */
export function sanitize(text: string): string {
  return text
    .replaceAll("\r\n", "\n")
    .replace(CONTROLS, "")
    .replace(JOINED_EMOJI, PLACEHOLDER)
    .replace(INVISIBLE, (mark) => `\\u{${mark.codePointAt(0)!.toString(16)}}`)
    .replaceAll(PLACEHOLDER, "\u200d");
}

/** Sanitises a byte stream that goes to a terminal; what is not UTF-8 becomes a replacement mark. */
export class StreamSanitizer {
  readonly #decoder = new TextDecoder();

  /** The harmless form of the next piece. */
  push(piece: Uint8Array): string {
    return sanitize(this.#decoder.decode(piece, { stream: true }));
  }
}
