/** A server's database as earlier versions had it: what each later step added is taken away again. */
import { DatabaseSync } from "node:sqlite";

/** By version, what leads back to the one before it. */
const UNDO: Readonly<Record<number, readonly string[]>> = {
  4: [
    "ALTER TABLE name_key DROP COLUMN invite",
    "ALTER TABLE invite DROP COLUMN standing",
    "ALTER TABLE ban DROP COLUMN name",
  ],
  3: ["ALTER TABLE name_key DROP COLUMN last_sequence"],
};

/** Makes the closed database in the folder `path` one of `version`, without what came later. */
export function goBack(path: string, version: number): void {
  const database = new DatabaseSync(`${path}/server.db`);
  const present = Number(database.prepare("PRAGMA user_version").get()?.user_version);
  for (let from = present; from > version; from--) {
    for (const statement of UNDO[from] ?? []) database.exec(statement);
  }
  database.exec(`PRAGMA user_version = ${version}`);
  database.close();
}
