/**
 * Writes what is made from the table of commands: lib/docs/options.md, and the tasks of deno.json.
 * `deno task tables`.
 */
import {
  callOf,
  type Command,
  COMMANDS,
  EXIT_CODES,
  type Permissions,
} from "../lib/cli/commands.ts";
import { formatWord } from "../lib/cli/args.ts";
import { defaultOf, formatOption, usageOf } from "../lib/cli/help.ts";
import type { Option } from "../lib/cli/options.ts";

const ROOT = new URL("../", import.meta.url);
const STATE_FOLDERS = [
  "$HOME/.local/state/cifra",
  "$XDG_STATE_HOME/cifra",
  "$HOME/Library/Application Support/cifra",
  "$LOCALAPPDATA/cifra",
].join(",");

/** A task of deno.json. */
export interface Task {
  readonly description: string;
  readonly command: string;
}

/** The task that runs a command with what it needs and no more. */
export function taskOf(command: Command, permissions: Permissions): Task {
  const { name, does, examples } = command;
  const { net, sys, env, files, flags = [] } = permissions;
  const folders = files === "state" ? `="${STATE_FOLDERS}"` : "";
  const words = [
    "deno run --no-prompt",
    ...flags,
    ...(net ? ["--allow-net"] : []),
    ...(sys.length > 0 ? [`--allow-sys=${sys.join(",")}`] : []),
    ...(env.length > 0 ? [`--allow-env=${env.join(",")}`] : []),
    ...(files === "none" ? [] : [`--allow-read${folders}`, `--allow-write${folders}`]),
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

/** Every option as Markdown, not formatted yet. */
export function optionsPage(): string {
  return [
    "# Commands and options",
    "Made from `lib/cli/commands.ts` by `deno task tables`; a test tells when it is stale.",
    "Where an option names a path, the last column is what Deno has to allow for it when cifra runs " +
    "from its source; the tasks allow the default state folder alone.",
    ...COMMANDS.map(section),
    "## Exit codes",
    table(["code", "meaning"], EXIT_CODES.map(([code, means]) => [String(code), means])),
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
  await Deno.writeTextFile(new URL("lib/docs/options.md", ROOT), await formatted(optionsPage()));
}
