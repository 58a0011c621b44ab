/** Lines out of pieces of stdin, however they are cut. */
import { TEXT_LIMIT } from "../limits.ts";

/** Takes pieces, gives lines. One that is too long to be a message, and may never end, is cut once. */
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
      if (!this.#skipping) lines.push(line);
      this.#skipping = false;
    }
    if (this.#partial.length > TEXT_LIMIT) {
      // Told once, with what there is of it, which is too long already; the rest is passed over.
      if (!this.#skipping) lines.push(this.#partial);
      this.#skipping = true;
      this.#partial = "";
    }
    return lines;
  }

  /** The last line, if it has no end of its own. */
  end(): readonly string[] {
    return this.#partial !== "" && !this.#skipping ? [this.#partial] : [];
  }
}
