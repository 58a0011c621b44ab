/** What is made from the tables of the code and kept in the repository: that it is not stale. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { COMMANDS } from "../../lib/cli/commands.ts";
import { SLASH_COMMANDS } from "../../lib/cli/desk_commands.ts";
import { ERRORS } from "../../lib/errors.ts";
import { CONSOLE_COMMANDS } from "../../lib/server/console.ts";
import {
  formatted,
  PAGES,
  SCHEMA_FILE,
  schemaText,
  taskOf,
  withTasks,
} from "../../scripts/write_tables.ts";

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

for (const [path, page] of Object.entries(PAGES)) {
  Deno.test(`${path} is what the tables say: deno task tables`, async () => {
    assertEquals(await Deno.readTextFile(new URL(path, ROOT)), await formatted(page()));
  });
}

Deno.test("the schema of events is what their table says: deno task tables", async () => {
  const made = await formatted(schemaText(), "json");
  assertEquals(await Deno.readTextFile(new URL(SCHEMA_FILE, ROOT)), made);
});

Deno.test("every code, slash command and console command has a row", () => {
  const expected = {
    "lib/docs/errors.md": Object.keys(ERRORS),
    "lib/docs/slash_commands.md": Object.keys(SLASH_COMMANDS),
    "lib/docs/console_commands.md": [...CONSOLE_COMMANDS.keys()],
  };
  for (const [path, words] of Object.entries(expected)) {
    const rows = PAGES[path]!().split("\n").filter((line) => line.startsWith("| `"));
    assertEquals(rows.length, words.length, path);
    for (const word of words) {
      assert(rows.some((row) => new RegExp(`^\\| \`${word}[ \`]`).test(row)), `${path}: ${word}`);
    }
  }
});
