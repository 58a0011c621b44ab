/** Lines out of pieces of stdin, however they are cut. */
import { LINE_LIMIT } from "./json_input.ts";

/**
 * Takes pieces of UTF-8, gives lines without their ends, LF or CRLF; a mark at the beginning (BOM) is no part of
 * them. What is no UTF-8 becomes U+FFFD. A line beyond `LINE_LIMIT`, which may never end, is cut once.
 */
export class StdinLines {
  readonly #decoder = new TextDecoder();
  #partial = "";
  #skipping = false;

  /** The lines that end in this piece. */
  push(piece: Uint8Array): readonly string[] {
    const parts = (this.#partial + this.#decoder.decode(piece, { stream: true })).split("\n");
    this.#partial = parts.pop()!;
    const lines: string[] = [];
    for (const line of parts) {
      if (!this.#skipping) lines.push(withoutReturn(line));
      this.#skipping = false;
    }
    if (this.#partial.length > LINE_LIMIT) {
      // Told once, with what there is of it, which is too long already; the rest is passed over.
      if (!this.#skipping) lines.push(this.#partial);
      this.#skipping = true;
      this.#partial = "";
    }
    return lines;
  }

  /** The last line, if it has no end of its own. */
  end(): readonly string[] {
    // Half a character that is still waited for will not be a whole one.
    const last = this.#partial + this.#decoder.decode();
    return last !== "" && !this.#skipping ? [withoutReturn(last)] : [];
  }
}

function withoutReturn(line: string): string {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}
