/** A server's memory with many names, made in one go: as a server that has run for years would leave it. */
import { DatabaseSync } from "node:sqlite";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { SqliteServerStore } from "../../lib/store/sqlite_server.ts";
import { accountOf, keyOf, NOW } from "./server_samples.ts";

/** The n-th of the names; in the order of their numbers. */
export function nameOf(n: number): string {
  return `n${String(n).padStart(6, "0")}`;
}

/** Puts `count` names into a store's folder, and an account to every tenth. */
export async function writeManyNames(path: string, count: number): Promise<void> {
  (await SqliteServerStore.open(await PrivateFolder.open(path))).close();
  const database = new DatabaseSync(`${path}/server.db`);
  const key = database.prepare(
    "INSERT INTO name_key VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
  );
  const account = database.prepare("INSERT INTO account VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  database.exec("BEGIN");
  for (let n = 0; n < count; n++) {
    const { name, skeleton, suite, fingerprint, bundle, notAfter, signature } = keyOf(nameOf(n));
    const sequence = new Uint8Array(8);
    new DataView(sequence.buffer).setBigUint64(0, BigInt(n));
    key.run(
      name,
      skeleton,
      suite,
      fingerprint,
      bundle,
      sequence,
      notAfter,
      signature,
      NOW + n,
      NOW + n,
      sequence,
    );
    if (n % 10 !== 0) continue;
    const { salt, memory, passes, storedKey, serverKey, backup, created } = accountOf(name);
    account.run(name, salt, memory, passes, storedKey, serverKey, backup, created);
  }
  database.exec("COMMIT");
  database.close();
}
