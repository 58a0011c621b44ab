/** cifra: an encrypted messenger for machines that share a network. One program with a table of commands. */
import { columnsOf } from "./lib/cli/columns.ts";
import { requireDeno } from "./lib/cli/deno_version.ts";
import type { CommandName } from "./lib/cli/commands.ts";
import { findCommand, helpOf, overview } from "./lib/cli/help.ts";
import { confine } from "./lib/cli/permissions.ts";
import { prepareToStop } from "./lib/cli/suspend.ts";
import { exitCodeOfInterruption } from "./lib/cli/signals.ts";
import { withSettings } from "./lib/cli/with_settings.ts";
import { Terminal } from "./lib/cli/terminal.ts";
import { isPlatformError } from "./lib/platform_errors.ts";
import { cosmeticVariable } from "./lib/store/variables.ts";
import { VERSION } from "./lib/version.ts";

/** Runs a command; returns the exit code. */
type Run = (args: readonly string[], terminal: Terminal) => number | Promise<number>;

/** What runs each command, loaded when it is needed. */
const RUNS: Readonly<Record<CommandName, () => Promise<Run>>> = {
  serve: async () => (await import("./lib/cli/serve.ts")).serve,
  connect: async () => (await import("./lib/cli/connect.ts")).connect,
  send: async () => (await import("./lib/cli/send.ts")).send,
  receive: async () => (await import("./lib/cli/receive.ts")).receive,
  transfers: async () => (await import("./lib/cli/transfers.ts")).transfers,
  inbox: async () => (await import("./lib/cli/inbox.ts")).inbox,
  users: async () => (await import("./lib/cli/users.ts")).users,
  history: async () => (await import("./lib/cli/history.ts")).history,
  keys: async () => (await import("./lib/cli/keys.ts")).keys,
  config: async () => (await import("./lib/cli/config.ts")).config,
  help: async () => (await import("./lib/cli/help.ts")).help,
  completions: async () => (await import("./lib/cli/completions.ts")).completions,
  man: async () => (await import("./lib/cli/man_page.ts")).man,
};

/** Whoever ends the program is done with it. */
const INTERRUPTED = 130;

async function main([name, ...args]: readonly string[]): Promise<number> {
  const terminal = new Terminal(args.includes("--json"), undefined, {
    plain: args.includes("--plain") || cosmeticVariable("TERM") === "dumb",
    noColor: cosmeticVariable("NO_COLOR"),
  });
  terminal.waitForNobody();
  const code = await perform(name, args, terminal)
    .then(async (code) => {
      await terminal.flushed();
      if (terminal.failure) throw terminal.failure;
      return code;
    })
    .catch(async (error) => {
      const { interrupted } = terminal;
      const code = interrupted?.aborted
        ? endedBy(error, interrupted, terminal)
        : terminal.fail(error);
      await terminal.flushed();
      return code;
    })
    .finally(() => terminal.close());
  await terminal.flushed();
  // What was typed for a program that failed must not be obeyed by the shell.
  if (code !== 0 && code !== INTERRUPTED) await terminal.forgetTyped?.();
  return code;
}

/** A signal that ends the program is no failure to be told. */
function endedBy(error: unknown, interrupted: AbortSignal, terminal: Terminal): number {
  try {
    return exitCodeOfInterruption(error, interrupted);
  } catch {
    return terminal.fail(error);
  }
}

async function perform(
  name: string | undefined,
  args: readonly string[],
  terminal: Terminal,
): Promise<number> {
  if (name === undefined || name === "--help" || name === "-h") {
    terminal.print(overview(columnsOf()));
    return name === undefined ? 2 : 0;
  }
  if (name === "--version") {
    terminal.print(`cifra ${VERSION}`);
    return 0;
  }
  // An executable brings its own Deno: whoever built it answers for that, and whoever has it cannot change it.
  if (!Deno.build.standalone) requireDeno(Deno.version.deno);
  const command = findCommand(name);
  if (args.includes("--help") || args.includes("-h")) {
    terminal.print(helpOf(command, columnsOf()));
    return 0;
  }
  if (command.permissions && "suspends" in command.permissions) prepareToStop();
  const all = await withSettings(command, args, terminal);
  confine(command, all);
  const run = await RUNS[command.name]();
  return await run(all, terminal);
}

// Otherwise a limit on the size of files ends the program without a word; so it is an error of whoever writes.
if (Deno.build.os !== "windows") Deno.addSignalListener("SIGXFSZ", () => {});
// What fails where nobody waits for it, and outside the program, is no mistake of ours that a stack would explain.
addEventListener("unhandledrejection", async (event) => {
  if (!isPlatformError(event.reason)) return;
  event.preventDefault();
  const terminal = new Terminal(Deno.args.includes("--json"));
  terminal.waitForNobody();
  // Whoever does not read why it ends keeps nothing from ending.
  terminal.drops = true;
  const code = terminal.fail(event.reason);
  await terminal.flushed();
  Deno.exit(code);
});
Deno.exit(await main(Deno.args));
