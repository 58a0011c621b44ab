import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { CifraError } from "../../lib/errors.ts";
import { SERVER_STEPS } from "../../lib/store/server_schema.ts";
import { SqliteFile, type Step } from "../../lib/store/sqlite_file.ts";
import { withFolder } from "../testkit/server.ts";

const NAME = "notes.db";
const CREATE: Step = ["CREATE TABLE note (text TEXT NOT NULL) STRICT"];
const ADD_COLOUR: Step = [
  "ALTER TABLE note ADD COLUMN colour TEXT",
  "UPDATE note SET colour = 'yellow'",
];
const RENAME: Step = ["ALTER TABLE note RENAME COLUMN text TO words"];
const FAIL: Step = ["DELETE FROM note", "INSERT INTO nowhere VALUES (1)"];

/** Opens the notes with these steps, runs `sql`, and closes. */
async function write(path: string, steps: readonly Step[], ...sql: string[]): Promise<void> {
  const file = await SqliteFile.open(path, NAME, { steps });
  try {
    for (const statement of sql) file.transaction(() => file.prepare(statement).run());
  } finally {
    file.close();
  }
}

/** What stands in the file, by a program that knows nothing of steps. */
function inspect(path: string): { readonly version: number; readonly notes: object[] } {
  const database = new DatabaseSync(`${path}/${NAME}`, { readOnly: true });
  const { user_version } = database.prepare("PRAGMA user_version").get()!;
  const notes = database.prepare("SELECT * FROM note").all().map((row) => ({ ...row }));
  database.close();
  return { version: Number(user_version), notes };
}

/** Writes another number where the version stands. */
function stamp(path: string, version: number): void {
  const database = new DatabaseSync(`${path}/${NAME}`);
  database.exec(`PRAGMA user_version = ${version}`);
  database.close();
}

async function refusal(path: string, steps: readonly Step[]): Promise<CifraError> {
  const before = await Deno.readFile(`${path}/${NAME}`);
  const error = await assertRejects(() => write(path, steps), CifraError);
  assertEquals(error.code, "local");
  assertStringIncludes(error.message, `${path}/${NAME}`);
  assertEquals(await Deno.readFile(`${path}/${NAME}`), before);
  return error;
}

Deno.test("open() runs the steps from the version that it finds to its own", async () => {
  const steps = [CREATE, ADD_COLOUR, RENAME];
  for (let found = 1; found <= 3; found++) {
    await withFolder(async (path) => {
      const column = found === 3 ? "words" : "text";
      await write(path, steps.slice(0, found), `INSERT INTO note (${column}) VALUES ('hello')`);
      assertEquals(inspect(path).version, found);
      await write(path, steps);
      // A step that has run does not run again: a note of version 2 or 3 has no colour.
      const colour = found === 1 ? "yellow" : null;
      assertEquals(inspect(path), { version: 3, notes: [{ words: "hello", colour }] });
    });
  }
});

Deno.test("open() makes a new database with all the steps", async () => {
  await withFolder(async (path) => {
    await write(path, [CREATE, ADD_COLOUR, RENAME], "INSERT INTO note VALUES ('hello', 'red')");
    assertEquals(inspect(path), { version: 3, notes: [{ words: "hello", colour: "red" }] });
  });
});

Deno.test("open() leaves a database as it was when a later step fails", async () => {
  await withFolder(async (path) => {
    await write(path, [CREATE], "INSERT INTO note VALUES ('hello')");
    const { message, hint } = await refusal(path, [CREATE, ADD_COLOUR, FAIL]);
    assertMatch(message, /damaged; it was left as it is/);
    assertStringIncludes(hint!, "bring it back from a copy");
    assertEquals(inspect(path), { version: 1, notes: [{ text: "hello" }] });
    // And the next program, whose steps are right, goes on from there.
    await write(path, [CREATE, ADD_COLOUR]);
    assertEquals(inspect(path), { version: 2, notes: [{ text: "hello", colour: "yellow" }] });
  });
});

Deno.test("open() refuses a newer database with a sentence, and does not touch it", async () => {
  await withFolder(async (path) => {
    await write(path, [CREATE, ADD_COLOUR], "INSERT INTO note VALUES ('hello', 'red')");
    const { message, hint } = await refusal(path, [CREATE]);
    assertMatch(message, /a newer cifra made it \(version 2, this one knows 1\)/);
    assertStringIncludes(hint!, "use the newer cifra");
  });
});

Deno.test("open() refuses a version number that is damaged, and changes nothing", async () => {
  const steps = [CREATE, ADD_COLOUR, RENAME];
  const wrong: [number, RegExp][] = [
    [0, /not a database of cifra's/],
    [-1, /not a database of cifra's/],
    [-(2 ** 31), /not a database of cifra's/],
    [2 ** 31 - 1, /newer cifra/],
    // Too low: the steps find columns that should not be there yet.
    [1, /damaged/],
    [2, /damaged/],
  ];
  for (const [version, expected] of wrong) {
    await withFolder(async (path) => {
      await write(path, steps, "INSERT INTO note VALUES ('hello', 'red')");
      stamp(path, version);
      assertMatch((await refusal(path, steps)).message, expected);
      stamp(path, 3);
      await write(path, steps);
      assertEquals(inspect(path).notes, [{ words: "hello", colour: "red" }]);
    });
  }
});

Deno.test("openToRead() leaves an older database as it is, and says that it is not current", async () => {
  await withFolder(async (path) => {
    await write(path, [CREATE], "INSERT INTO note VALUES ('hello')");
    for (const [steps, isCurrent] of [[[CREATE], true], [[CREATE, ADD_COLOUR], false]] as const) {
      const file = SqliteFile.openToRead(`${path}/${NAME}`, { steps });
      assertEquals(file.isCurrent, isCurrent);
      file.close();
    }
    assertEquals(inspect(path), { version: 1, notes: [{ text: "hello" }] });
  });
});

Deno.test("a server's memory is made by its steps, one statement each", async () => {
  await withFolder(async (path) => {
    const file = await SqliteFile.open(path, NAME, { steps: SERVER_STEPS });
    const found = file.prepare("SELECT name FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY 1")
      .all().map(({ name }) => name);
    file.close();
    assertEquals(found, ["account", "ban", "invite", "name_key", "name_key_skeleton"]);
  });
});

Deno.test("after a change that need not wait for the disk, the next one waits again, also when it failed", async () => {
  await withFolder(async (path) => {
    const file = await SqliteFile.open(path, NAME, { steps: [CREATE] });
    // What SQLite answers: 1 is NORMAL, 2 is FULL.
    const synchronous = () => Number(file.prepare("PRAGMA synchronous").get()!.synchronous);
    assertEquals(synchronous(), 2);
    assertEquals(file.unsyncedTransaction(synchronous), 1);
    assertEquals(synchronous(), 2);
    assertThrows(
      () => file.unsyncedTransaction(() => file.prepare("INSERT INTO note VALUES (NULL)").run()),
      Error,
      "NOT NULL",
    );
    assertEquals(synchronous(), 2);
    file.close();
  });
});
