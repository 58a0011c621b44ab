/** A line that is typed without being shown, byte by byte, as a terminal in raw mode gives it. */
import { decodeUtf8 } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { PASSWORD_LIMIT } from "../limits.ts";

/** What a byte did. */
export type Typed = "more" | "done" | "interrupt" | "end";

const ESCAPE = 0x1b;

/** A line, and where in an escape sequence it is. */
export class SecretLine {
  #bytes: number[] = [];
  /** Keys such as the arrows send several bytes, which are no part of a password. */
  #escape: "none" | "begun" | "sequence" = "none";

  /** Takes a byte: a letter, or a key that ends or edits the line. */
  push(byte: number): Typed {
    if (this.#escape !== "none" && byte >= 0x20) {
      this.#skip(byte);
      return "more";
    }
    this.#escape = "none";
    switch (byte) {
      case 0x03: // Ctrl-C
        return "interrupt";
      case 0x04: // Ctrl-D
        return this.#bytes.length === 0 ? "end" : "more";
      case 0x0a:
      case 0x0d:
        return "done";
      case 0x08:
      case 0x7f:
        this.#erase();
        return "more";
      case 0x15: // Ctrl-U
        this.#bytes = [];
        return "more";
      case ESCAPE:
        this.#escape = "begun";
        return "more";
    }
    if (byte >= 0x20 && this.#bytes.length <= PASSWORD_LIMIT) this.#bytes.push(byte);
    return "more";
  }

  /** The line. Throws `usage` when it is not text, or too long. */
  take(): string {
    if (this.#bytes.length > PASSWORD_LIMIT) {
      throw new CifraError("usage", `A password must have at most ${PASSWORD_LIMIT} bytes`);
    }
    try {
      return decodeUtf8(new Uint8Array(this.#bytes));
    } catch {
      throw new CifraError("usage", "A password must be text in UTF-8");
    } finally {
      this.#bytes = [];
    }
  }

  #skip(byte: number): void {
    const opens = byte === 0x5b || byte === 0x4f; // [ and O
    if (this.#escape === "begun") this.#escape = opens ? "sequence" : "none";
    else if (byte >= 0x40) this.#escape = "none";
  }

  /** The last letter, however many bytes it has. */
  #erase(): void {
    while (((this.#bytes.pop() ?? 0) & 0xc0) === 0x80);
  }
}
