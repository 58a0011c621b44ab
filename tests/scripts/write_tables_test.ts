/** What is made from the table of commands and kept in the repository: that it is not stale. */
import { assertEquals, assertThrows } from "@std/assert";
import { COMMANDS } from "../../lib/cli/commands.ts";
import { formatted, optionsPage, taskOf, withTasks } from "../../scripts/write_tables.ts";

const ROOT = new URL("../../", import.meta.url);
const CONFIG = Deno.readTextFileSync(new URL("deno.json", ROOT));

Deno.test("every command has a task with its words and its permissions: deno task tables", () => {
  const { tasks } = JSON.parse(CONFIG);
  for (const command of COMMANDS) {
    assertEquals(tasks[command.name], taskOf(command, command.permissions));
  }
  assertEquals(withTasks(CONFIG), CONFIG);
});

Deno.test("every task that runs cifra is that of a command", () => {
  const tasks = Object.entries<{ command: string }>(JSON.parse(CONFIG).tasks);
  const ours = tasks.filter(([, { command }]) => /^deno run .*\bmain\.ts\b/.test(command));
  assertEquals(ours.map(([name]) => name), COMMANDS.map(({ name }) => name));
});

Deno.test("withTasks() replaces a task that is stale, and misses one that is not there", () => {
  const stale = CONFIG.replace("main.ts serve", "main.ts swerve").replace('"Explain', '"Confuse');
  assertEquals(withTasks(stale), CONFIG);
  assertThrows(() => withTasks(CONFIG.replace('"users"', '"losers"')), Error, "no task users");
});

Deno.test("lib/docs/options.md is what the table says: deno task tables", async () => {
  const page = await Deno.readTextFile(new URL("lib/docs/options.md", ROOT));
  assertEquals(page, await formatted(optionsPage()));
});
