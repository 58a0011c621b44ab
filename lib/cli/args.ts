/**
 * The parser reads command lines strictly, by the table of commands: an unknown argument is a usage error, and so
 * are options that make no sense together.
 */
import { parseArgs } from "@std/cli/parse-args";
import { CifraError } from "../errors.ts";
import { closest } from "./closest.ts";
import { type Action, callOf, type Command, optionsOf, type Word } from "./command.ts";
import type { Option, OptionTable, Value } from "./options.ts";

type Merged<S> = (S extends unknown ? (each: S) => void : never) extends (all: infer I) => void ? I
  : never;

/** The options of a command by name, with the defaults of those that were not given. */
export type Given<C extends Command> = {
  readonly [N in keyof Merged<C["options"][keyof C["options"]]>]: Value<
    Merged<C["options"][keyof C["options"]]>[N]
  >;
};

type ActionOf<C extends Command> = C extends { actions: { rows: readonly { name: infer N }[] } }
  ? N | (C extends { actions: { otherwise: string } } ? never : undefined)
  : undefined;

/** A command line. */
export interface Parsed<C extends Command> {
  readonly action: ActionOf<C>;
  /** The arguments that are no options. */
  readonly words: readonly string[];
  readonly given: Given<C>;
}

/**
 * Reads the arguments of `command`: an action and words first, then options. Throws `usage`, and what the
 * options' own readers throw.
 */
export function parse<const C extends Command>(command: C, args: readonly string[]): Parsed<C> {
  const first = args.findIndex(isNoWord);
  const words = first === -1 ? [...args] : args.slice(0, first);
  const action = takeAction(command, words);
  const options = optionsOf(command);
  const texts = collect(command, options, args.slice(first === -1 ? args.length : first));
  requireWords(command, action, words);
  requireAction(command, action, texts);
  const given = readValues(options, texts);
  requireTogether(options, texts);
  // The types of the table and of its values are one: see `Value`.
  return { action: action?.name, words, given } as unknown as Parsed<C>;
}

/** Whether an argument is none of the words that stand first; `-` alone is one, and means standard input. */
export function isNoWord(arg: string): boolean {
  return arg === "" || arg.startsWith("-") && arg !== "-";
}

/** Takes the action from the front of `words`. */
function takeAction({ name, actions }: Command, words: string[]): Action | undefined {
  if (!actions) return undefined;
  const word = words[0] ?? actions.otherwise;
  if (word === undefined) return undefined;
  const action = actions.rows.find((known) => known.name === word);
  if (!action) {
    const names = actions.rows.map((known) => known.name);
    const meant = closest(word, names);
    throw new CifraError("usage", `Unknown action "${word}" of ${name}`, {
      hint: meant ? `did you mean ${meant}?` : `one of ${names.join(", ")}`,
    });
  }
  words.shift();
  return action;
}

/** The texts of every option that was given; a flag has an empty one. */
function collect(
  command: Command,
  options: OptionTable,
  args: readonly string[],
): ReadonlyMap<string, readonly string[]> {
  const names = Object.keys(options);
  const flags = names.filter((name) => options[name]!.kind === "flag");
  const valued = names.filter((name) => options[name]!.kind !== "flag");
  const refuse = (argument: string) => refuseArgument(command, argument, names);
  const given = parseArgs(withoutFlagValues(args, flags), {
    boolean: flags,
    string: valued,
    // Collected, so that one given twice is seen and not silently the last.
    collect: valued,
    unknown: refuse,
  });
  // What follows a bare "--" is never an option.
  if (given._.length > 0) refuse(String(given._[0]));
  const texts = new Map<string, readonly string[]>();
  for (const name of names) {
    const all = given[name] as boolean | readonly string[] | undefined;
    if (all === true) texts.set(name, [""]);
    if (typeof all !== "object" || all.length === 0) continue;
    if (options[name]!.kind !== "list" && all.length > 1) {
      throw new CifraError("usage", `--${name} was given more than once`);
    }
    texts.set(name, all);
  }
  return texts;
}

/** `--hidden=false` takes back what the settings say, and `--hidden=true` is `--hidden`. Throws `usage`. */
function withoutFlagValues(args: readonly string[], flags: readonly string[]): readonly string[] {
  return args.flatMap((arg) => {
    const [, name, value] = /^--([^=]+)=(.*)$/s.exec(arg) ?? [];
    if (name === undefined || !flags.includes(name)) return [arg];
    if (value === "true") return [`--${name}`];
    if (value === "false") return [];
    throw new CifraError("usage", `--${name} takes no value`);
  });
}

function refuseArgument(command: Command, argument: string, names: readonly string[]): never {
  const isOption = argument.startsWith("-");
  const many = command.words?.find(({ isMany }) => isMany);
  if (!isOption && many) {
    throw new CifraError("usage", `Cannot take "${argument}" there`, {
      hint: `files stand before the options: ${callOf(command)} ${many.name} --to NAME`,
    });
  }
  const meant = isOption ? closest(argument.replace(/^-+|=.*$/g, ""), names) : undefined;
  throw new CifraError("usage", `Unknown argument "${argument}"`, {
    hint: meant ? `did you mean --${meant}?` : `${callOf(command)} --help lists what there is`,
  });
}

function requireWords(
  command: Command,
  action: Action | undefined,
  words: readonly string[],
): void {
  const wanted = (action ?? command).words ?? [];
  if (wanted.length === 0 && !action && words.length > 0) refuseArgument(command, words[0]!, []);
  const least = wanted.filter(({ isOptional }) => !isOptional).length;
  const most = wanted.at(-1)?.isMany ? Infinity : wanted.length;
  if (words.length < least || words.length > most) {
    const line = [callOf(command), ...(action ? [action.name] : []), ...wanted.map(formatWord)];
    throw new CifraError("usage", `Write: ${line.join(" ")}`);
  }
  for (const [index, word] of words.entries()) {
    const { name, choices, read } = wanted[Math.min(index, wanted.length - 1)]!;
    if (choices && !choices.includes(word)) throw notAChoice(name, choices, word);
    read?.(word);
  }
}

/** A word as help shows it. */
export function formatWord({ name, isOptional, isMany }: Word): string {
  const written = isMany ? `${name}...` : name;
  return isOptional ? `[${written}]` : written;
}

function requireAction(
  { actions }: Command,
  action: Action | undefined,
  texts: ReadonlyMap<string, unknown>,
): void {
  if (!action) return;
  const wrong = [...texts.keys()].find((name) => !action.options.includes(name));
  if (wrong === undefined) return;
  const takers = actions!.rows.filter(({ options }) => options.includes(wrong));
  const which = takers.length > 0
    ? `with ${takers.map(({ name }) => name).join(" or ")}`
    : `without ${action.name}`;
  throw new CifraError("usage", `--${wrong} only makes sense ${which}`);
}

/** The value of each option. */
function readValues(
  options: OptionTable,
  texts: ReadonlyMap<string, readonly string[]>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([name, option]) => [
      name,
      readOption(name, option, texts.get(name) ?? []),
    ]),
  );
}

/** The value of one option from the texts that it was given, or its default. Throws like `parse`. */
export function readOption(name: string, option: Option, texts: readonly string[]): unknown {
  const [text] = texts;
  if (option.kind !== "flag" && texts.includes("")) {
    throw new CifraError("usage", `--${name} needs a value`);
  }
  switch (option.kind) {
    case "flag":
      return text !== undefined;
    case "list": {
      const { most = Infinity, read } = option;
      if (texts.length > most) {
        throw new CifraError("usage", `--${name} may be given ${most} times at most`);
      }
      return read ? texts.map(read) : texts;
    }
    case "number":
      return text === undefined ? option.default : readNumber(name, option, text);
    case "choice":
      if (text !== undefined && !option.choices.includes(text)) {
        throw notAChoice(`--${name}`, option.choices, text);
      }
      return text ?? option.default;
    case "text": {
      const { required, read } = option;
      const value = text ?? option.default;
      if (value === undefined && required !== undefined) {
        throw new CifraError("usage", `--${name} is missing`, { hint: required });
      }
      return value !== undefined && read ? read(value) : value;
    }
  }
}

function readNumber(
  name: string,
  { from, to }: { readonly from: number; readonly to: number },
  text: string,
): number {
  const number = Number(text);
  if (/^\d{1,9}$/.test(text) && number >= from && number <= to) return number;
  throw new CifraError(
    "usage",
    `--${name} must be a whole number from ${from} to ${to}, got "${text}"`,
  );
}

function notAChoice(what: string, choices: readonly string[], text: string): CifraError {
  const meant = closest(text, choices);
  return new CifraError("usage", `${what} must be ${either(choices)}, got "${text}"`, {
    ...(meant && { hint: `did you mean ${meant}?` }),
  });
}

/** `a, b or c`. */
function either(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

/** Throws `usage` where an option lacks one that it needs, or stands beside one that it excludes. */
function requireTogether(options: OptionTable, texts: ReadonlyMap<string, unknown>): void {
  for (const name of texts.keys()) {
    const { needs, excludes = [], conflict } = options[name]!;
    if (needs && !needs.some((other) => texts.has(other))) {
      const others = either(needs.map((other) => `--${other}`));
      throw new CifraError("usage", `--${name} only makes sense with ${others}`);
    }
    const other = excludes.find((other) => texts.has(other));
    if (other !== undefined) {
      throw new CifraError("usage", conflict ?? `--${name} only makes sense without --${other}`);
    }
  }
}
