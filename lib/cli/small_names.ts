/** Names have no capitals: one that is typed with some is meant without. */
import { withoutCapitals } from "../wire/names.ts";
import { type Command, optionsOf, type Word } from "./command.ts";
import type { Option } from "./options.ts";
import { readName, readPeerName } from "./option_readers.ts";
import type { Terminal } from "./terminal.ts";

/** A name without capitals; says so when it had some. */
export function small(name: string, terminal: Terminal): string {
  const written = withoutCapitals(name);
  if (written === name) return name;
  terminal.say(`names have no capitals: ${name} is ${written}`, {
    event: "name-lowered",
    given: name,
    name: written,
  });
  return written;
}

/** Arguments in which `lower` was applied to each name, of an option or a word. */
export function withSmallNames(
  command: Command,
  args: readonly string[],
  lower: (name: string) => string,
): readonly string[] {
  const names = Object.entries(optionsOf(command)).filter(([, option]) => isName(option))
    .map(([name]) => `--${name}`);
  const action = command.actions?.rows.find(({ name }) => name === args[0]);
  return args.map((arg, i) => {
    const word = action?.words[i - 1];
    if (names.includes(args[i - 1]!) || word && isName(word)) return lower(arg);
    const [, option, value] = /^(--[^=]+)=(.*)$/s.exec(arg) ?? [];
    if (option === undefined || !names.includes(option)) return arg;
    return `${option}=${lower(value!)}`;
  });
}

/** The values of an option, without capitals where they are names. */
export function meant(option: Option, texts: readonly string[]): readonly string[] {
  return isName(option) ? texts.map(withoutCapitals) : texts;
}

/** Whether the value of an option, or a word, is a name. */
function isName(option: Option | Word): boolean {
  return "read" in option && (option.read === readName || option.read === readPeerName);
}
