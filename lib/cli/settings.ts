/**
 * Settings: options that need not be typed each time. What the command line leaves out is taken from the
 * environment, from cifra.toml, or from the last time, in this order, and stands among the arguments then as if it
 * had been typed: whoever reads options knows nothing of settings.
 */
import { isNoWord } from "./args.ts";
import { type Command, optionsOf } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import type { Option, OptionTable, Section } from "./options.ts";

/** Where a value comes from. */
export type Source =
  | { readonly from: "environment"; readonly variable: string }
  /** `line` counts from 1; 0 where it could not be found. */
  | { readonly from: "file"; readonly path: string; readonly line: number }
  | { readonly from: "remembered" };

/** One setting that is set. */
export interface Found {
  /** As the command line would have it, an element for each time; of a flag an empty one, and none for no. */
  readonly texts: readonly string[];
  readonly source: Source;
}

/** What one source says, by `idOf` a setting. */
export type Layer = ReadonlyMap<string, Found>;

/** A row of the settings. */
export interface Setting {
  readonly section: Section;
  /** The key in the file, which is the name of the option. */
  readonly name: string;
  readonly option: Option;
}

/** All settings by `idOf`, in the order of the commands. */
export const SETTINGS: ReadonlyMap<string, Setting> = collect();

function collect(): ReadonlyMap<string, Setting> {
  const settings = new Map<string, Setting>();
  for (const command of COMMANDS as readonly Command[]) {
    for (const [name, option] of Object.entries(optionsOf(command))) {
      const { setting: section } = option;
      if (section === undefined || settings.has(idOf(section, name))) continue;
      settings.set(idOf(section, name), { section, name, option });
    }
  }
  return settings;
}

/** Such as `serve.port`; a setting of both halves has its name alone. */
export function idOf(section: Section, name: string): string {
  return section === "both" ? name : `${section}.${name}`;
}

/** The variable of the environment: `CIFRA_MAX_CONNECTIONS`. The two halves share those they both have. */
export function variableOf(name: string): string {
  return `CIFRA_${name.toUpperCase().replaceAll("-", "_")}`;
}

/** A command line with its settings. */
export interface Completed {
  readonly args: readonly string[];
  /** The settings that stand in it, by the names of their options; a flag that is off too. */
  readonly taken: ReadonlyMap<string, Found>;
  /** Options that were typed. */
  readonly typed: ReadonlySet<string>;
}

/**
 * Adds to `args` what they leave out and one of the `layers` has, the first of them before the others. An option
 * that was typed, or comes from a layer before, wins over those that make no sense beside it; one that needs
 * another, and does not find it, is left out.
 */
export function complete(
  command: Command,
  args: readonly string[],
  layers: readonly Layer[],
): Completed {
  const options = takenBy(command, args);
  const typed = typedIn(args);
  const present = new Set([...typed].filter((name) => !args.includes(`--${name}=false`)));
  const taken = new Map<string, Found>();
  for (const layer of layers) {
    const now: string[] = [];
    for (const [name, option] of Object.entries(options)) {
      if (option.setting === undefined || typed.has(name) || taken.has(name)) continue;
      const found = layer.get(idOf(option.setting, name));
      if (!found || isExcluded(options, name, present)) continue;
      taken.set(name, found);
      if (found.texts.length > 0) now.push(name);
    }
    for (const name of now) present.add(name);
  }
  for (const name of taken.keys()) {
    const { needs } = options[name]!;
    if (needs && !needs.some((other) => present.has(other))) taken.delete(name);
  }
  const added = [...taken].flatMap(([name, { texts }]) =>
    texts.map((text) => options[name]!.kind === "flag" ? `--${name}` : `--${name}=${text}`)
  );
  const first = args.findIndex(isNoWord);
  const at = first === -1 ? args.length : first;
  return { args: [...args.slice(0, at), ...added, ...args.slice(at)], taken, typed };
}

/** The options that make sense in this command line. */
function takenBy(command: Command, args: readonly string[]): OptionTable {
  const options = optionsOf(command);
  if (!command.actions) return options;
  const { rows, otherwise } = command.actions;
  const [word = "-"] = args;
  const name = word.startsWith("-") ? otherwise : word;
  if (name === undefined) return options;
  const action = rows.find((row) => row.name === name);
  // What is unknown is for the parser to tell.
  const names = action?.options.filter((name) => !action.typed?.includes(name)) ?? [];
  return Object.fromEntries(Object.entries(options).filter(([name]) => names.includes(name)));
}

function typedIn(args: readonly string[]): ReadonlySet<string> {
  return new Set(args.flatMap((arg) => /^--([^=]+)/.exec(arg)?.[1] ?? []));
}

function isExcluded(options: OptionTable, name: string, present: ReadonlySet<string>): boolean {
  const { excludes = [] } = options[name]!;
  if (excludes.some((other) => present.has(other))) return true;
  return [...present].some((other) => options[other]?.excludes?.includes(name));
}
