/** Whom a person does not want to hear of, in this run and those to come. */
import type { PrivateFolder } from "../store/private_files.ts";
import { compareNames, isName } from "../wire/names.ts";

/** In a profile's folder: a name a line. */
const FILE = "ignored";

/** The names of a profile. */
export class Ignored {
  readonly #folder: PrivateFolder;
  #names: ReadonlySet<string>;

  private constructor(folder: PrivateFolder, names: ReadonlySet<string>) {
    this.#folder = folder;
    this.#names = names;
  }

  /** Reads what is kept; lines that are no names count for nothing. Throws `local`. */
  static async open(folder: PrivateFolder): Promise<Ignored> {
    const text = await folder.read(FILE) ?? "";
    return new Ignored(folder, new Set(text.split("\n").filter(isName)));
  }

  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** Keeps that somebody is ignored, or is not any more; false when that was so. Throws `local`. */
  async set(name: string, isIgnored: boolean): Promise<boolean> {
    if (this.#names.has(name) === isIgnored) return false;
    const names = new Set(this.#names);
    if (isIgnored) names.add(name);
    else names.delete(name);
    const lines = [...names].sort(compareNames).map((each) => `${each}\n`);
    await this.#folder.write(FILE, lines.join(""));
    this.#names = names;
    return true;
  }
}
