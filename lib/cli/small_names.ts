/** Names have no capitals: one that is typed with some is meant without. */
import type { Command } from "./command.ts";
import { optionsOf } from "./command.ts";
import type { Option } from "./options.ts";
import { readName, readPeerName } from "./option_readers.ts";
import type { Terminal } from "./terminal.ts";

/** What would be a name without its capitals. */
const WITH_CAPITALS = /^(?=.*[A-Z])[A-Za-z0-9_-]+$/;

/** A name without capitals; says so when it had some. What is no name is left as it is. */
export function small(name: string, terminal: Terminal): string {
  if (!WITH_CAPITALS.test(name)) return name;
  const written = name.toLowerCase();
  terminal.say(`names have no capitals: ${name} is ${written}`, {
    event: "name-lowered",
    given: name,
    name: written,
  });
  return written;
}

/** Arguments whose options have names without capitals. */
export function withSmallNames(
  command: Command,
  args: readonly string[],
  terminal: Terminal,
): readonly string[] {
  const names = Object.entries(optionsOf(command)).filter(([, option]) => isName(option))
    .map(([name]) => `--${name}`);
  return args.map((arg, i) => {
    if (names.includes(args[i - 1]!)) return small(arg, terminal);
    const [, option, value] = /^(--[^=]+)=(.*)$/s.exec(arg) ?? [];
    if (option === undefined || !names.includes(option)) return arg;
    return `${option}=${small(value!, terminal)}`;
  });
}

function isName(option: Option): boolean {
  return option.kind === "text" && (option.read === readName || option.read === readPeerName);
}
