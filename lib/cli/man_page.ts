/** `cifra man`: the table of commands as a manual page, in the roff of man(7). */
import { VERSION } from "../version.ts";
import { formatWord, parse } from "./args.ts";
import { callOf, type Command } from "./command.ts";
import { COMMANDS, EXIT_CODES, MAN } from "./commands.ts";
import { defaultOf, formatOption, usageOf } from "./help.ts";
import type { Terminal } from "./terminal.ts";

/** Prints the page; returns the exit code. */
export function man(args: readonly string[], terminal: Terminal): number {
  parse(MAN, args);
  terminal.print(manPage());
  return 0;
}

/** The page. It has no date: the same program always prints the same page. */
export function manPage(): string {
  return [
    `.TH CIFRA 1 "" "cifra ${VERSION}" "User Commands"`,
    ".SH NAME",
    "cifra \\- talk, encrypted end to end, over a server of your own",
    ".SH SYNOPSIS",
    ...COMMANDS.flatMap((command) => [bold(usageOf(command)), ".br"]).slice(0, -1),
    ".SH DESCRIPTION",
    line("Every command takes --help."),
    ...COMMANDS.flatMap(section),
    ".SH EXIT STATUS",
    ...EXIT_CODES.flatMap(([code, means]) => tagged(String(code), means)),
  ].join("\n");
}

function section(command: Command): string[] {
  const { does, about, actions, options, examples } = command;
  const lines = [line(`.SH "${callOf(command).toUpperCase()}"`), line(capital(`${does}.`))];
  for (const text of about) lines.push(".PP", line(text));
  if (actions) {
    lines.push(line(`.SS "${actions.title}"`));
    for (const { name, words, does } of actions.rows) {
      lines.push(...tagged([name, ...words.map(formatWord)].join(" "), `${does}.`));
    }
  }
  for (const [title, table] of Object.entries(options)) {
    lines.push(line(`.SS "${title}"`));
    for (const [name, option] of Object.entries(table)) {
      const standard = defaultOf(option);
      const repeats = option.kind === "list" ? "; may be repeated" : "";
      const more = standard === undefined ? "" : ` The default: ${standard}.`;
      lines.push(...tagged(formatOption(name, option), `${option.does}${repeats}.${more}`));
    }
  }
  lines.push(line(`.SS "Examples"`), ".nf", ...examples.map((text) => line(text)), ".fi");
  return lines;
}

function tagged(tag: string, text: string): string[] {
  return [".TP", bold(tag), line(capital(text))];
}

function bold(text: string): string {
  return `\\fB${line(text)}\\fR`;
}

/** A line, with the characters as they are that roff would take for others. */
function line(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-")
    .replaceAll("~", "\\(ti").replaceAll("^", "\\(ha").replaceAll("'", "\\(aq");
}

function capital(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}
