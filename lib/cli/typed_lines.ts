/** Lines that were typed at the desk, kept for the next run: never an answer to a question, so no password. */
import { encodeUtf8 } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import type { PrivateFolder } from "../store/private_files.ts";
import { HISTORY_LIMIT } from "./line_state.ts";

/** In a profile's folder: a line of JSON for each, the oldest first. */
const FILE = "typed-lines";
/** Bytes; a longer line, such as a page that was pasted, is not kept. */
const LONGEST = 2048;
const LARGEST = 256 * 1024;

/** The lines of a profile. */
export class TypedLines {
  readonly #folder: PrivateFolder;
  #lines: readonly string[];
  #isStale = false;
  #writing: Promise<void> | undefined;

  private constructor(folder: PrivateFolder, lines: readonly string[]) {
    this.#folder = folder;
    this.#lines = lines;
  }

  /** Reads what is kept; what cannot be read is forgotten, since it is kept for comfort alone. */
  static async open(folder: PrivateFolder): Promise<TypedLines> {
    return new TypedLines(folder, parse(await folder.read(FILE).catch(noneIfLocal) ?? ""));
  }

  /** Removes what earlier runs have kept there. Throws `local`. */
  static async remove(folder: PrivateFolder): Promise<void> {
    await folder.remove(FILE);
  }

  /** The oldest first. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** Keeps a line, on disk some time later. */
  add(line: string): void {
    if (line === "" || line === this.#lines.at(-1) || encodeUtf8(line).length > LONGEST) return;
    this.#lines = bounded([...this.#lines, line]);
    this.#isStale = true;
    this.#writing ??= this.#write();
  }

  /** Resolves when everything is on disk, or cannot be. */
  async close(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false;
      // A disk that is full is told of where it matters.
      await this.#folder.write(FILE, format(this.#lines)).catch(noneIfLocal);
    }
    this.#writing = undefined;
  }
}

function noneIfLocal(error: unknown): undefined {
  if (!(error instanceof CifraError)) throw error;
}

function bounded(lines: readonly string[]): readonly string[] {
  const kept = lines.slice(-HISTORY_LIMIT);
  let bytes = 0;
  const first = kept.findLastIndex((line) =>
    (bytes += encodeUtf8(format([line])).length) > LARGEST
  );
  return kept.slice(first + 1);
}

function format(lines: readonly string[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

function parse(text: string): readonly string[] {
  const lines = text.split("\n").flatMap((line) => {
    try {
      const value: unknown = JSON.parse(line);
      return typeof value === "string" ? [value] : [];
    } catch {
      return [];
    }
  });
  return bounded(lines);
}
