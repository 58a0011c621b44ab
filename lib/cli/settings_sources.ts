/** Where settings are read: the environment, and cifra.toml. */
import { CifraError } from "../errors.ts";
import { platformFailure } from "../platform_errors.ts";
import { requireOursToWrite } from "../store/private_files.ts";
import { configFolder } from "../store/user_folders.ts";
import { readOption } from "./args.ts";
import { closest } from "./closest.ts";
import type { Option } from "./options.ts";
import { type Found, idOf, type Layer, type Setting, SETTINGS, variableOf } from "./settings.ts";
import { meant } from "./small_names.ts";
import { lowerFirst } from "./status_words.ts";

const FILE = "cifra.toml";
/** More than anybody writes by hand. */
const LARGEST_FILE = 64 * 1024;
const SECTIONS = ["connect", "serve"] as const;

/** The variables that are set. Throws `usage` and what the options' readers throw. */
export function environmentLayer(get: (name: string) => string | undefined): Layer {
  const layer = new Map<string, Found>();
  for (const [id, { name, option }] of SETTINGS) {
    const variable = variableOf(name);
    const text = get(variable);
    // An empty one is one that was taken back.
    if (text === undefined || text === "") continue;
    const texts = textsOfVariable(option, text);
    if (!texts) throw wrong(`The variable ${variable}`, "must be true or false", quote(text));
    check(name, option, texts, `Cannot use the variable ${variable}`);
    layer.set(id, { texts, source: { from: "environment", variable } });
  }
  return layer;
}

function textsOfVariable({ kind }: Option, text: string): readonly string[] | undefined {
  if (kind === "list") return text.split(",").map((part) => part.trim());
  if (kind !== "flag") return [text];
  if (["true", "1"].includes(text)) return [""];
  return ["false", "0"].includes(text) ? [] : undefined;
}

/** The file of settings of this user. */
export interface SettingsFile {
  readonly path: string;
  /** Undefined when there is none; `isAllowed` tells why. */
  readonly text: string | undefined;
  /** Whether Deno lets us look. */
  readonly isAllowed: boolean;
}

/**
 * Finds cifra.toml; undefined when the environment names no home. Throws `local` when it cannot be read, or when
 * somebody else may write it.
 */
export function findSettings(folder = configFolder()): SettingsFile | undefined {
  if (folder === undefined) return undefined;
  const path = `${folder}/${FILE}`;
  try {
    // Before it is opened: a pipe would keep us waiting.
    requireFile(path, Deno.statSync(path));
    requireOursToWrite(folder, Deno.statSync(folder));
    return { path, text: readOurs(path), isAllowed: true };
  } catch (cause) {
    if (cause instanceof CifraError) throw cause;
    if (cause instanceof Deno.errors.NotFound || cause instanceof Deno.errors.NotADirectory) {
      return { path, text: undefined, isAllowed: true };
    }
    // The tasks allow the usual folder; whoever allows less gets by without.
    if (cause instanceof Deno.errors.NotCapable) return { path, text: undefined, isAllowed: false };
    throw platformFailure(`Cannot read ${path}`, cause, {
      hint: "make it readable for you, or remove it",
    });
  }
}

/** Who writes the settings says which server is asked: looked at is what is read, whatever its path leads to by then. */
function readOurs(path: string): string {
  const file = Deno.openSync(path);
  try {
    const info = file.statSync();
    requireFile(path, info);
    requireOursToWrite(path, info);
    const bytes = new Uint8Array(LARGEST_FILE);
    let length = 0;
    for (let count; (count = file.readSync(bytes.subarray(length)));) length += count;
    return new TextDecoder().decode(bytes.subarray(0, length));
  } finally {
    file.close();
  }
}

function requireFile(path: string, { isFile, size }: Deno.FileInfo): void {
  if (!isFile) throw new CifraError("local", `Cannot use ${path}: must be a file`);
  if (size > LARGEST_FILE) {
    throw new CifraError("local", `Cannot use ${path}: it is larger than ${LARGEST_FILE} bytes`);
  }
}

/** What a file says. Throws `usage`, with the line, for what is unknown or wrong, and like the options' readers. */
export async function fileLayer(path: string, text: string): Promise<Layer> {
  const layer = new Map<string, Found>();
  const lines = new Lines(text);
  if (lines.twice) throw givenTwice(path, lines.twice);
  const add = (section: Setting["section"], name: string, value: unknown) => {
    const line = lines.of(section, name);
    const place = placeOf(path, line);
    const id = idOf(section, name);
    const setting = SETTINGS.get(id);
    if (!setting) throw unknownKey(place, section, name);
    const { option } = setting;
    const texts = textsOfValue(option, value);
    if (!texts) {
      throw wrong(`Cannot use ${place}: ${name}`, `must be ${wanted(option)}`, got(value));
    }
    check(name, option, texts, `Cannot use ${place}`);
    layer.set(id, { texts, source: { from: "file", path, line } });
  };
  for (const [key, value] of Object.entries(await parseToml(path, text))) {
    const section = SECTIONS.find((known) => known === key);
    if (section === undefined) {
      if (isTable(value)) throw unknownSection(placeOf(path, lines.ofTable(key)), key);
      add("both", key, value);
    } else if (isTable(value)) {
      for (const [name, each] of Object.entries(value)) add(section, name, each);
    } else {
      const place = placeOf(path, lines.of("both", key));
      throw wrong(`Cannot use ${place}: ${key}`, `is a section: write [${key}]`, got(value));
    }
  }
  return layer;
}

async function parseToml(path: string, text: string): Promise<Record<string, unknown>> {
  const { parse } = await import("@std/toml/parse");
  try {
    // Editors of some systems begin a file with a mark that is no part of it.
    return withPrototypes(parse(withMarks(text.replace(/^\ufeff/, ""))));
  } catch (cause) {
    const [, line, , reason] = /^Parse error on line (\d+), column (\d+): ([\s\S]*)$/.exec(
      String((cause as Error).message),
    ) ??
      [];
    throw new CifraError("usage", `Cannot read ${path} at line ${line ?? "?"} or before`, {
      cause,
      hint: `it is written in TOML, such as: port = 7411, name = "alice"${
        reason ? ` (${lowerFirst(reason.split("\n")[0]!)})` : ""
      }`,
    });
  }
}

/** The parser passes over this key without a word; it is unknown like others, and told as such. */
const PROTOTYPE = "__proto__";
const MARKED = "__proto__-";

function withMarks(text: string): string {
  return text.replaceAll(PROTOTYPE, MARKED);
}

/** What was parsed as it was written. */
function withPrototypes(table: Record<string, unknown>): Record<string, unknown> {
  const written = (text: string) => text.replaceAll(MARKED, PROTOTYPE);
  const restore = (value: unknown): unknown =>
    typeof value === "string"
      ? written(value)
      : Array.isArray(value)
      ? value.map(restore)
      : isTable(value)
      ? withPrototypes(value)
      : value;
  return Object.fromEntries(
    Object.entries(table).map(([key, value]) => [written(key), restore(value)]),
  );
}

/** Two lines that say the same, of which the parser would take the last, or complain in words of its own. */
interface Twice {
  readonly what: string;
  readonly line: number;
  readonly before: number;
}

/** Where keys stand in a text, as nearly as can be told without parsing it. */
class Lines {
  readonly #at = new Map<string, number>();
  #twice: Twice | undefined;

  constructor(text: string) {
    let table = "";
    /** The quotes that end a text of several lines. */
    let quotes: string | undefined;
    for (const [index, line] of text.split("\n").entries()) {
      const isText = quotes !== undefined;
      const said = isText ? line : line.replace(/^\s*#.*/, "");
      for (const [mark] of said.matchAll(/"""|'''/g)) {
        if (quotes === undefined) quotes = mark;
        else if (quotes === mark) quotes = undefined;
      }
      if (isText) continue;
      const [, header] = /^\s*\[+\s*["']?([\w-]+)["']?\s*\]/.exec(line) ?? [];
      if (header !== undefined) table = header;
      const [, key, value = ""] = /^\s*([\w."'-]+)\s*=\s*(.*)/.exec(line) ?? [];
      const name = header !== undefined ? `[${header}]` : key?.replaceAll(/["']/g, "");
      if (name === undefined) continue;
      const whole = header !== undefined || table === "" ? name : `${table}.${name}`;
      this.#add(whole, name, index + 1);
      for (const inner of keysWithin(value)) this.#add(`${whole}.${inner}`, inner, index + 1);
    }
  }

  #add(whole: string, what: string, line: number): void {
    const before = this.#at.get(whole);
    if (before === undefined) this.#at.set(whole, line);
    else this.#twice ??= { what, line, before };
  }

  /** The first that stands there twice. */
  get twice(): Twice | undefined {
    return this.#twice;
  }

  /** From 1; 0 when it was not found. */
  of(section: Setting["section"], name: string): number {
    return this.#at.get(idOf(section, name)) ?? this.#at.get(section) ?? 0;
  }

  ofTable(name: string): number {
    return this.#at.get(`[${name}]`) ?? this.#at.get(name) ?? 0;
  }
}

/** The keys of a table that stands in one line, as `{ name = "alice" }`. */
function keysWithin(value: string): readonly string[] {
  if (!value.startsWith("{")) return [];
  const tokens = value.matchAll(/("(?:[^"\\]|\\.)*"|'[^']*'|[\w-]+)(\s*=)?/g);
  return [...tokens].flatMap(([, token, is]) => is ? token!.replaceAll(/^["']|["']$/g, "") : []);
}

/** A file and a line, for people. */
export function placeOf(path: string, line: number): string {
  return line === 0 ? path : `${path}, line ${line}`;
}

function textsOfValue({ kind }: Option, value: unknown): readonly string[] | undefined {
  switch (kind) {
    case "flag":
      return typeof value === "boolean" ? value ? [""] : [] : undefined;
    case "number":
      return typeof value === "number" ? [String(value)] : undefined;
    case "text":
    case "choice":
      return typeof value === "string" ? [value] : undefined;
    case "list": {
      const values: readonly unknown[] = Array.isArray(value) ? value : [value];
      return values.every((each) => typeof each === "string") ? values : undefined;
    }
  }
}

const WANTED: Readonly<Record<Option["kind"], string>> = {
  flag: "true or false",
  number: "a whole number",
  text: "a text in quotes",
  choice: "a text in quotes",
  list: "a text in quotes, or a list of such texts",
};

function wanted({ kind }: Option): string {
  return WANTED[kind];
}

/** A value as it is written, not at length. */
function got(value: unknown): string {
  if (isTable(value)) return "a table";
  const text = value instanceof Date ? "a date" : JSON.stringify(value) ?? "nothing";
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Date);
}

/** The value passes the same reader as on the command line. */
function check(name: string, option: Option, texts: readonly string[], where: string): void {
  try {
    if (texts.length > 0) readOption(name, option, meant(option, texts));
  } catch (error) {
    if (!(error instanceof CifraError)) throw error;
    const { code, message, hint } = error;
    const said = lowerFirst(message.replaceAll(`--${name}`, name));
    throw new CifraError(code, `${where}: ${said}`, {
      cause: error,
      ...(hint !== undefined && { hint }),
    });
  }
}

function wrong(what: string, wanted: string, got: string): CifraError {
  return new CifraError("usage", `${what} ${wanted}, got ${got}`);
}

function givenTwice(path: string, { what, line, before }: Twice): CifraError {
  const message = `Cannot use ${placeOf(path, line)}: ${what} stands in line ${before} already`;
  return new CifraError("usage", message, { hint: "keep one of the two" });
}

function unknownSection(place: string, name: string): CifraError {
  const meant = closest(name, SECTIONS);
  return new CifraError("usage", `Cannot use ${place}: unknown section [${name}]`, {
    hint: meant ? `did you mean [${meant}]?` : "there are [connect] and [serve]",
  });
}

function unknownKey(place: string, section: Setting["section"], name: string): CifraError {
  const where = section === "both" ? "" : ` in [${section}]`;
  const rows = [...SETTINGS.values()];
  const elsewhere = rows.find((row) => row.name === name);
  const meant = closest(name, rows.filter((row) => row.section === section).map((row) => row.name));
  return new CifraError("usage", `Cannot use ${place}: unknown key "${name}"${where}`, {
    hint: elsewhere
      ? `it stands ${
        elsewhere.section === "both" ? "above all sections" : `in [${elsewhere.section}]`
      }`
      : meant
      ? `did you mean ${meant}?`
      : "cifra config lists what there is",
  });
}

function quote(text: string): string {
  return JSON.stringify(text);
}
