/** `cifra help` and `--help`: the table of commands as text for a terminal. */
import { CifraError } from "../errors.ts";
import { VERSION } from "../version.ts";
import { formatWord, parse } from "./args.ts";
import { closest } from "./closest.ts";
import { columnsOf } from "./columns.ts";
import { callOf, type Command } from "./command.ts";
import { COMMANDS, HELP } from "./commands.ts";
import type { Option } from "./options.ts";
import type { Terminal } from "./terminal.ts";

/** Columns, where the terminal has not fewer. */
const WIDTH = 80;
/** What is described stands left of this column, or on a line of its own. */
const COLUMN = 26;
/** With fewer columns than these it always stands on a line of its own, and what it means a little to the right. */
const NARROW = 60, COLUMN_OF_NARROW = 6;

/** The command called `name`. Throws `usage`. */
export function findCommand(name: string): typeof COMMANDS[number] {
  const command = COMMANDS.find((known) => known.name === name);
  if (command) return command;
  const meant = closest(name, COMMANDS.map((known) => known.name));
  throw new CifraError("usage", `Unknown command "${name}"`, {
    hint: meant ? `did you mean ${meant}?` : "cifra --help lists the commands",
  });
}

/** `cifra help [COMMAND]`; returns the exit code. */
export function help(args: readonly string[], terminal: Terminal): number {
  const [name] = parse(HELP, args).words;
  const columns = columnsOf();
  terminal.print(name === undefined ? overview(columns) : helpOf(findCommand(name), columns));
  return 0;
}

/** The help of cifra itself, in so many columns at the most where that can be. */
export function overview(columns?: number): string {
  const { wrap, described } = layoutFor(columns);
  return paragraphs([
    wrap(`cifra ${VERSION}: talk, encrypted end to end, over a server of your own`),
    "Usage: cifra COMMAND [options]",
    COMMANDS.map(({ name, does }) => described(name, does)).join("\n"),
    wrap("Every command has --help; cifra --version prints the version."),
    [
      wrap("In two terminals, after cifra serve in a third:"),
      "  cifra connect --name alice --to bob",
      "  cifra connect --name bob --to alice",
      wrap("or both without --to, for the lobby, where one can talk to several:"),
      "  cifra connect --name alice",
    ].join("\n"),
  ]);
}

/** The help of a command, in so many columns at the most where that can be: examples stay whole. */
export function helpOf(command: Command, columns?: number): string {
  const { wrap, described } = layoutFor(columns);
  const { does, actions, options, about, examples } = command;
  const lists: string[] = [];
  if (actions) {
    const rows = actions.rows.map(({ name, words, does }) =>
      described([name, ...words.map(formatWord)].join(" "), does)
    );
    lists.push([wrap(`${actions.title}:`), ...rows].join("\n"));
  }
  for (const [title, table] of Object.entries(options)) {
    const rows = Object.entries(table).map(([name, option]) =>
      described(formatOption(name, option), sentenceOf(option))
    );
    lists.push([wrap(`${title}:`), ...rows].join("\n"));
  }
  const own = described("-h, --help", "print this");
  if (Object.keys(options).length > 0) lists.push(`${lists.pop()!}\n${own}`);
  else lists.push(own);
  return paragraphs([
    wrap(`${callOf(command)}: ${does}`),
    wrap(`Usage: ${usageOf(command)}`, "  "),
    ...lists,
    ...about.map((text) => wrap(text)),
    [examples.length > 1 ? "Examples:" : "Example:", ...examples.map((line) => `  ${line}`)]
      .join("\n"),
  ]);
}

/** How a command is written: `cifra connect --name NAME [options]`. */
export function usageOf(command: Command): string {
  const { words = [], actions, options } = command;
  const required = Object.values(options).flatMap(Object.entries)
    .filter(([, option]) => option.kind === "text" && option.required !== undefined)
    .map(([name, option]) => formatOption(name, option));
  return [
    callOf(command),
    ...words.map(formatWord),
    ...(actions ? ["[ACTION]"] : []),
    ...required,
    ...(Object.keys(options).length > 0 ? ["[options]"] : []),
  ].join(" ");
}

/** An option as one writes it: `--port PORT`. */
export function formatOption(name: string, option: Option): string {
  return option.kind === "flag" ? `--${name}` : `--${name} ${option.value}`;
}

/** The default of an option in words, if there is one. */
export function defaultOf(option: Option): string | undefined {
  if (option.kind === "flag") return undefined;
  if (option.otherwise !== undefined || option.kind === "list") return option.otherwise;
  return option.default === undefined ? undefined : String(option.default);
}

function sentenceOf(option: Option): string {
  const repeats = option.kind === "list" ? "; may be repeated" : "";
  const standard = defaultOf(option);
  return `${option.does}${repeats}${standard === undefined ? "" : ` (default: ${standard})`}`;
}

/** How texts are laid out in so many columns; undefined or 0: nobody knows. */
function layoutFor(columns: number | undefined) {
  const width = Math.min(WIDTH, columns || WIDTH);
  const isNarrow = width < NARROW;
  const column = isNarrow ? COLUMN_OF_NARROW : COLUMN;
  return {
    /** Lines of `text`; those after the first are indented. */
    wrap: (text: string, indent = "") => wordsIn(text, width, indent).join("\n"),
    /** A name, and in a column of its own what it means. */
    described: (name: string, does: string): string => {
      const indent = " ".repeat(column);
      const lines = wordsIn(does, width, indent, indent);
      const label = `  ${name}`;
      // Two spaces at least stand between them.
      if (isNarrow || label.length > column - 2) return [label, ...lines].join("\n");
      return [label.padEnd(column) + lines[0]!.trimStart(), ...lines.slice(1)].join("\n");
    },
  };
}

/** Lines of `text` that are no longer than `width`, unless a word is. */
function wordsIn(text: string, width: number, indent: string, firstIndent = ""): string[] {
  const lines: string[] = [];
  let line = firstIndent;
  let isEmpty = true;
  for (const word of text.split(" ")) {
    if (!isEmpty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent;
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line];
}

function paragraphs(parts: readonly string[]): string {
  return parts.join("\n\n");
}
