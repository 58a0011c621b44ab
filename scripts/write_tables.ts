/** Writes what is made from the tables of the code: pages in lib/docs/, and the tasks of deno.json. `deno task tables`. */
import { flagsFor } from "../lib/cli/allowances.ts";
import { callOf, type Command, type Permissions } from "../lib/cli/command.ts";
import { COMMANDS, EXIT_CODES } from "../lib/cli/commands.ts";
import { formatWord } from "../lib/cli/args.ts";
import { argumentOf, SLASH_COMMANDS } from "../lib/cli/desk_commands.ts";
import { defaultOf, formatOption, usageOf } from "../lib/cli/help.ts";
import type { Option } from "../lib/cli/options.ts";
import { eventsSchema } from "../lib/cli/events_schema.ts";
import { ERRORS } from "../lib/errors.ts";
import { AWAY_LIMIT } from "../lib/limits.ts";
import { CONSOLE_COMMANDS } from "../lib/server/console.ts";
import { jsonPage } from "./json_page.ts";
import { code, madeFrom, table } from "./markdown.ts";
import { settingsPage } from "./settings_page.ts";

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

/** For people; what they do is in `lib/cli/line_state.ts`. */
const KEYS: readonly string[][] = [
  ["by a letter", "left, right; Ctrl-B, Ctrl-F"],
  ["by a word", "Ctrl-left, Ctrl-right; Alt-B, Alt-F"],
  ["to the start, the end of the line", "Home, End; Ctrl-A, Ctrl-E"],
  ["remove a letter", "Backspace, Delete; Ctrl-H, Ctrl-D"],
  ["cut a word", "Ctrl-W (up to a blank), Alt-Backspace; Alt-D"],
  ["cut what is before, behind the cursor", "Ctrl-U, Ctrl-K"],
  ["put in what was cut", "Ctrl-Y"],
  ["exchange two letters", "Ctrl-T"],
  ["lines that were typed before", "up, down; Ctrl-P, Ctrl-N"],
  ["look for one of them; again: an older one; Ctrl-G: none", "Ctrl-R"],
  ["complete a command, a name or a path; twice: show what there is", "Tab"],
  ["a new line in the same message", "Alt-Enter, or a backslash before Enter"],
  ["clear the screen", "Ctrl-L"],
  ["clear the line (Ctrl-Y brings it back), and leave when it is empty", "Ctrl-C"],
  ["leave, when the line is empty", "Ctrl-D"],
  ["stop; `fg` in the shell goes on", "Ctrl-Z"],
];

/** The pages that are made, by their path, as Markdown that is not formatted yet. */
export const PAGES: Readonly<Record<string, () => string>> = {
  "lib/docs/options.md": optionsPage,
  "lib/docs/errors.md": errorsPage,
  "lib/docs/slash_commands.md": slashCommandsPage,
  "lib/docs/console_commands.md": consoleCommandsPage,
  "lib/docs/settings.md": settingsPage,
  "lib/docs/json.md": jsonPage,
};

/** The schema of events, by its path and as a text. */
export const SCHEMA_FILE = "lib/cli/events.schema.json";

/** What is in it. */
export function schemaText(): string {
  return `${JSON.stringify(eventsSchema(), null, 2)}\n`;
}

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
    "A pipe (`connect` without a terminal and without `--json`) ends with 0 when nothing is missing: " +
    "what was sent has arrived, and what came has come to its end. When the other side leaves in the " +
    "middle of its stream, before sending anything, or before taking everything, it ends with 1, in " +
    "whatever order the other side left; what had come by then is on stdout all the same. A pipe that " +
    "a signal ends before that exits with 130, also by SIGTERM, at which other commands end in order " +
    "and with 0. With `--json`, a byte stream that broke off is an `error` at the end, and 1.",
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
  const rows = Object.entries(SLASH_COMMANDS).map(([word, command]) => {
    const { does, inLobby, atTerminal } = command;
    const where = [inLobby ? "in the lobby" : "everywhere", ...atTerminal ? ["at a terminal"] : []];
    return [code(word + argumentOf(command, { isLobby: true })), does, where.join(", ")];
  });
  return [
    "# Slash commands",
    madeFrom("lib/cli/desk_commands.ts"),
    "What can be typed in `cifra connect`. In the lobby a command may name a person; without a " +
    "name it is about the person you are talking to. With one person (`--to`) commands take no " +
    "name. With `--json`, lines on stdin are commands in the lobby alone.",
    table(["command", "what it does", "where"], rows),
    "`bob: hello` in the lobby sends to bob, whoever else you are talking to. A line that ends " +
    "with `\\` goes on in the next one. `//` sends a line that starts with `/`. Several lines are " +
    "never a command: a paste is put in as it is, and Enter sends it as one message.",
    "`/away back at two` tells the server, and by it the lobby, that you are away. The words go " +
    "encrypted to those you are connected with, also to whoever connects until you are `/back`. " +
    "They are no message: who is not connected meanwhile does not get them, and nothing of them is " +
    `kept. They are one line of ${AWAY_LIMIT} bytes at most.`,
    "## Keys",
    "At a prompt of cifra, also that of `cifra serve`:",
    table(["what it does", "keys"], KEYS),
    "With `--plain`, and on a terminal that calls itself `dumb`, the terminal itself edits lines: " +
    "nothing on the screen is drawn again, there is no prompt, and how far a message came is not " +
    "shown. What comes begins below what is half typed, and Ctrl-R shows that again. Lines that " +
    "come within a tenth of a second are one paste. The other keys above do nothing: a line with " +
    "one of them in it, which the terminal shows as `^[[A` or the like, is refused, and so is one " +
    "that is longer than the terminal takes.",
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

/** Text as `deno fmt` has it. */
export async function formatted(text: string, kind: "md" | "json" = "md"): Promise<string> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext", kind, "-"],
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
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
  await Deno.writeTextFile(new URL(SCHEMA_FILE, ROOT), await formatted(schemaText(), "json"));
}
