/** Command-line options, strictly: what is not known is a usage error, and so is what makes no sense. */
import { parseArgs } from "@std/cli/parse-args";
import { CifraError } from "../errors.ts";

/** Which options a command has. */
export interface OptionNames {
  readonly flags: readonly string[];
  readonly values: readonly string[];
  /** Options that may be given several times. */
  readonly lists?: readonly string[];
}

/** The options that were given. */
export interface GivenOptions {
  flag(name: string): boolean;
  value(name: string): string | undefined;
  list(name: string): readonly string[];
  /** A whole number from `minimum` to `maximum`; throws `usage`. */
  integer(name: string, minimum: number, maximum: number): number | undefined;
}

/** Parses `args`; throws `usage` on an unknown option, a missing value or a stray argument. */
export function parseOptions(args: readonly string[], names: OptionNames): GivenOptions {
  const { flags, values, lists = [] } = names;
  const refuse = (argument: string): never => {
    const known = [...flags, ...values, ...lists].map((name) => `--${name}`).join(" ");
    throw new CifraError("usage", `Unknown argument "${argument}"`, { hint: `known: ${known}` });
  };
  const given = parseArgs(args, {
    boolean: flags,
    string: [...values, ...lists],
    // Collected, so that one given twice is seen and not silently the last.
    collect: [...values, ...lists],
    unknown: refuse,
  });
  // What follows a bare "--" is never an option.
  if (given._.length > 0) refuse(String(given._[0]));
  const all = (name: string) => (given[name] ?? []) as readonly string[];
  for (const name of [...values, ...lists]) {
    if (all(name).includes("")) throw new CifraError("usage", `--${name} needs a value`);
    if (!lists.includes(name) && all(name).length > 1) {
      throw new CifraError("usage", `--${name} was given more than once`);
    }
  }
  return {
    flag: (name) => given[name] === true,
    value: (name) => all(name)[0],
    list: all,
    integer(name, minimum, maximum) {
      const text = all(name)[0];
      if (text === undefined) return undefined;
      const number = Number(text);
      if (!/^\d{1,9}$/.test(text) || number < minimum || number > maximum) {
        throw new CifraError(
          "usage",
          `--${name} must be a whole number from ${minimum} to ${maximum}, got "${text}"`,
        );
      }
      return number;
    },
  };
}
