/** Writes what is made from the tables of the code: pages in lib/docs/, and the tasks of deno.json. `deno task tables`. */
import { flagsFor } from "../lib/cli/allowances.ts";
import { callOf, type Command, type Permissions } from "../lib/cli/command.ts";
import { COMMANDS, EXIT_CODES } from "../lib/cli/commands.ts";
import { formatWord } from "../lib/cli/args.ts";
import { SLASH_COMMANDS } from "../lib/cli/desk_commands.ts";
import { defaultOf, formatOption, usageOf } from "../lib/cli/help.ts";
import type { Option } from "../lib/cli/options.ts";
import { SETTINGS, variableOf } from "../lib/cli/settings.ts";
import { ERRORS } from "../lib/errors.ts";
import { CONSOLE_COMMANDS } from "../lib/server/console.ts";

const ROOT = new URL("../", import.meta.url);
/** A task of deno.json. */
export interface Task {
  readonly description: string;
  readonly command: string;
}

/** The task that runs a command with what it needs and no more. */
export function taskOf(command: Command, permissions: Permissions): Task {
  const { name, does, examples } = command;
  const words = [
    // Nothing is fetched while it runs: `import` is no way out.
    "deno run --no-prompt --cached-only --frozen",
    ...flagsFor(permissions),
    `main.ts ${name}`,
  ];
  const example = examples[0]!.replace("cifra ", "deno task ");
  const description = `${does[0]!.toUpperCase()}${does.slice(1)}: ${example}`;
  return { description, command: words.join(" ") };
}

/** The text of deno.json with the tasks as they should be. Throws when one of them is not there. */
export function withTasks(text: string): string {
  let written = text;
  for (const command of COMMANDS) {
    const entry = new RegExp(`^    "${command.name}": \\{\\n.*\\n.*\\n    \\}`, "m");
    if (!entry.test(written)) throw new Error(`deno.json has no task ${command.name}`);
    const task = JSON.stringify(taskOf(command, command.permissions), null, 2);
    written = written.replace(
      entry,
      () => `    "${command.name}": ${task.replaceAll("\n", "\n    ")}`,
    );
  }
  return written;
}

/** The pages that are made, by their path, as Markdown that is not formatted yet. */
export const PAGES: Readonly<Record<string, () => string>> = {
  "lib/docs/options.md": optionsPage,
  "lib/docs/errors.md": errorsPage,
  "lib/docs/slash_commands.md": slashCommandsPage,
  "lib/docs/console_commands.md": consoleCommandsPage,
  "lib/docs/settings.md": settingsPage,
};

function optionsPage(): string {
  return [
    "# Commands and options",
    madeFrom("lib/cli/commands.ts"),
    "Where an option names a path, the last column is what Deno has to allow for it when cifra runs " +
    "from its source; the tasks allow the default state folder alone.",
    ...COMMANDS.map(section),
    "The exit codes are in [errors.md](errors.md).",
    "",
  ].join("\n\n");
}

type ErrorRow = typeof ERRORS[keyof typeof ERRORS];

const FAULTS: Readonly<Record<ErrorRow["fault"], string>> = {
  ours: "This machine, or whoever gave the command",
  transport: "The network, or the load of the moment",
  protocol: "The other side broke the protocol, or speaks another one",
  refusal: "The other side said no",
  trust: "The other side is not whom we know",
};

const ENDS: Readonly<Record<ErrorRow["final"], string>> = {
  "always": "yes",
  "at first": "only before the first registration",
  "never": "no",
};

function errorsPage(): string {
  return [
    "# Errors and exit codes",
    madeFrom("lib/errors.ts` and `lib/cli/commands.ts"),
    "An error is a sentence, a code, and often a hint of what to try next. On a terminal they are " +
    "the lines `error:` and `hint:`; with `--json` they are the keys `message`, `code` and `hint` " +
    "of the event `error`. Codes are stable words for programs to test. The place where an error " +
    "happens may know a better hint than the one below.",
    "## Exit codes",
    table(["exit code", "meaning"], EXIT_CODES.map(([code, means]) => [String(code), means])),
    "## Codes",
    "_Ends_ says whether the error ends a program that talks to one person; after any other error " +
    "the program tries again. In the lobby an error about one person ends that conversation alone. " +
    "The numbers are those of [PROTOCOL.md](../PROTOCOL.md): alerts in 3.2, refusals in 3.7.",
    ...Object.entries(FAULTS).flatMap(([fault, title]) => [
      `### ${title}`,
      table(
        ["code", "what to try", "ends", "exit code", "alert", "refusal"],
        Object.entries(ERRORS).filter(([, row]) => row.fault === fault).map(errorRow),
      ),
    ]),
    "",
  ].join("\n\n");
}

function errorRow([name, row]: readonly [string, ErrorRow]): string[] {
  const { final, exitCode } = row;
  const hint = typeof row.hint === "string" ? row.hint : `_${row.hint.none}_`;
  const refusal = "refusal" in row ? row.refusal : undefined;
  const special = refusal && "hint" in refusal ? `; refused by a server: ${refusal.hint}` : "";
  return [
    code(name),
    hint + special,
    ENDS[final],
    String(exitCode),
    "alert" in row ? String(row.alert.number) : "",
    refusal ? String(refusal.number) : "",
  ];
}

function slashCommandsPage(): string {
  const rows = Object.entries(SLASH_COMMANDS).map(([word, { does, about, inLobby }]) => {
    const argument = about === undefined ? "" : about === "focus" ? " [NAME]" : " NAME";
    return [code(word + argument), does, inLobby ? "in the lobby" : "everywhere"];
  });
  return [
    "# Slash commands",
    madeFrom("lib/cli/desk_commands.ts"),
    "What can be typed in `cifra connect`. In the lobby a command may name a person; without a " +
    "name it is about the person you are talking to. With one person (`--to`) commands take no " +
    "name. With `--json`, lines on stdin are commands in the lobby alone.",
    table(["command", "what it does", "where"], rows),
    "`bob: hello` in the lobby sends to bob, whoever else you are talking to. A line that ends " +
    "with `\\` goes on in the next one. `//` sends a line that starts with `/`.",
    "",
  ].join("\n\n");
}

function consoleCommandsPage(): string {
  const rows = [...CONSOLE_COMMANDS.values()].map(({ usage, does }) => [code(usage), does]);
  return [
    "# Commands of the server's console",
    madeFrom("lib/server/console.ts"),
    "They are typed on the terminal of `cifra serve`, or in `cifra serve console` on the same " +
    "machine. `cifra serve console` also takes them from a pipe, a line each, and exits with 1 " +
    "when one of them fails.",
    table(["command", "what it does"], rows),
    "",
  ].join("\n\n");
}

function settingsPage(): string {
  const sections = ["both", "connect", "serve"] as const;
  const titles = {
    both: "Above all sections",
    connect: "[connect]: for connect, users, history and keys",
    serve: "[serve]: for serve",
  };
  return [
    "# Settings",
    madeFrom("lib/cli/commands.ts"),
    "What need not be typed each time. A value is taken from the first of these that has one:",
    "1. the option on the command line, such as `--server 192.168.1.20`;\n" +
    "2. a variable of the environment, such as `CIFRA_SERVER=192.168.1.20`;\n" +
    "3. the file `cifra.toml`, in which that is a line below `[connect]`: " +
    '`server = "192.168.1.20"`;\n' +
    "4. what was used the last time, of `name` and `server`: `cifra connect --to bob` is enough;\n" +
    "5. the default.",
    "`cifra config` prints each value and where it comes from, and in its first line where the file " +
    "is looked for:",
    "- `$XDG_CONFIG_HOME/cifra/cifra.toml`, or else `~/.config/cifra/cifra.toml`, on Linux;\n" +
    "- `~/Library/Application Support/cifra/cifra.toml` on macOS;\n" +
    "- `%APPDATA%\\cifra\\cifra.toml` on Windows.",
    [
      "```toml",
      'state = "/home/alice/cifra"',
      "",
      "[connect]",
      'name = "alice"',
      'server = "192.168.1.20"',
      "no-history = true",
      "",
      "[serve]",
      'host = ["0.0.0.0"]',
      'title = "Lab 3"',
      "http = 7412",
      "```",
    ].join("\n"),
    "A key is the name of the option without its dashes. A flag is `true` or `false`, a number a " +
    "number, what may be repeated a list; in a variable a flag is also `1` or `0`, and a list has " +
    "commas. What is unknown or of a wrong kind is an error that names the file and the line " +
    "(exit code 2), whatever the command. Of variables only those below are looked at; what both halves have, as " +
    "`CIFRA_TRACE`, is for both. The file must " +
    "be yours or root's, and nobody else may write it.",
    "An option that was typed wins over settings that make no sense beside it: `--invite` needs no " +
    "`--server` taken back. A flag of the settings is taken back by `=false`, as in " +
    "`--no-history=false`. A setting that needs an option which is not there, such as " +
    "`receive-port` without `--to`, waits for one.",
    "The last time is kept for each name when a server has let it in. A program on a terminal says " +
    "who it is and where, and where there are several names takes the one that was used last. " +
    "Whoever has none is asked.",
    "Passwords, passphrases and invite lines are no settings: they are secrets. Neither are " +
    "options that are meant once, such as `--sign-up`.",
    ...sections.flatMap((section) => [
      `## ${titles[section]}`,
      table(
        ["key", "variable", "what it does", "default"],
        [...SETTINGS.values()].filter((row) => row.section === section).map((
          { name, option },
        ) => [
          code(name),
          code(variableOf(name)),
          `${option.does}${option.kind === "list" ? "; may be repeated" : ""}`,
          defaultOf(option) ?? "",
        ]),
      ),
    ]),
    "",
  ].join("\n\n");
}

function madeFrom(source: string): string {
  return `Made from \`${source}\` by \`deno task tables\`; a test tells when it is stale.`;
}

function section(command: Command): string {
  const { does, actions, options, about, examples } = command;
  const parts = [`## ${callOf(command)}`, `${does[0]!.toUpperCase()}${does.slice(1)}.`, ...about];
  parts.push(["```sh", `${usageOf(command)}`, "```"].join("\n"));
  if (actions) {
    const rows = actions.rows.map(({ name, words, does }) => [
      code([name, ...words.map(formatWord)].join(" ")),
      does,
    ]);
    parts.push(`### ${actions.title}`, table(["action", "what it does"], rows));
  }
  for (const [title, group] of Object.entries(options)) {
    const rows = Object.entries(group).map(([name, option]) => optionRow(command, name, option));
    parts.push(`### ${title}`, table(["option", "what it does", "default", "only", "needs"], rows));
  }
  parts.push(["```sh", ...examples, "```"].join("\n"));
  return parts.join("\n\n");
}

function optionRow(command: Command, name: string, option: Option): string[] {
  const { does, needs, excludes } = option;
  const repeats = option.kind === "list" ? "; may be repeated" : "";
  const dashed = (others: readonly string[]) =>
    others.map((other) => code(`--${other}`)).join(", ");
  const takers = command.actions?.rows.filter(({ options }) => options.includes(name)) ?? [];
  const isForSome = command.actions?.otherwise !== undefined &&
    takers.length < command.actions.rows.length;
  const only = [
    ...(isForSome ? [`with ${takers.map((taker) => code(taker.name)).join(", ")}`] : []),
    ...(needs ? [`with ${dashed(needs)}`] : []),
    ...(excludes ? [`without ${dashed(excludes)}`] : []),
  ].join("; ");
  const access = option.kind === "flag" ? undefined : option.access;
  const allowed = access?.permissions.map((permission) => code(`--allow-${permission}`)).join(", ");
  return [
    code(formatOption(name, option)),
    `${does}${repeats}`,
    defaultOf(option) ?? "",
    only,
    allowed ?? "",
  ];
}

/** A table without the columns that are empty in every row. */
function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const kept = heads.map((_, column) => rows.some((row) => row[column] !== ""));
  const line = (cells: readonly string[]) =>
    `| ${cells.filter((_, column) => kept[column]).join(" | ").replaceAll("\n", " ")} |`;
  return [line(heads), line(heads.map(() => "---")), ...rows.map(line)].join("\n");
}

function code(text: string): string {
  return `\`${text}\``;
}

/** Text as `deno fmt` has it. */
export async function formatted(markdown: string): Promise<string> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext", "md", "-"],
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(markdown));
  await writer.close();
  const { success, stdout, stderr } = await process.output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

if (import.meta.main) {
  const tasks = new URL("deno.json", ROOT);
  await Deno.writeTextFile(tasks, withTasks(await Deno.readTextFile(tasks)));
  await Deno.mkdir(new URL("lib/docs/", ROOT), { recursive: true });
  for (const [path, page] of Object.entries(PAGES)) {
    await Deno.writeTextFile(new URL(path, ROOT), await formatted(page()));
  }
}
