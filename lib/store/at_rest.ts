/** How the words and the secrets of a profile lie in its database of messages: as they are, or sealed by its key. */
import { concat } from "@std/bytes/concat";
import { encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import type { PrekeyKind } from "../crypto/prekeys.ts";
import type { ProfileKey } from "../crypto/profile_key.ts";
import { CifraError } from "../errors.ts";
import type { SqliteFile } from "./sqlite_file.ts";

/** What is sealed: the column, and what names its row, so that no value passes for another. */
type Column =
  | "message"
  | "early"
  | "x25519"
  | "mlkem"
  | "reading"
  | "writing"
  | "transferName"
  | "place"
  | "manifest";

const PREKEY_NAME = "CAST(lower(hex(box)) || ' ' || kind || ' ' || number AS BLOB)";
const TRANSFER_NAME = "CAST(peer || ' ' || suite || ' ' || lower(hex(id)) AS BLOB)";
/** Rows that are changed at a time, when the whole database is sealed, or is not any longer. */
const PAGE = 256;
/** What shows that a key is the one: any byte, in a place where nothing else is. */
const PROOF = Uint8Array.of(1), NOWHERE = new Uint8Array(0);

/** Every column that is sealed, where it is, and what its rows are named by. */
const COLUMNS = [
  { column: "message", table: "message", value: "content", name: "id" },
  { column: "early", table: "early", value: "content", name: "id" },
  { column: "x25519", table: "prekey", value: "x25519", name: PREKEY_NAME },
  { column: "mlkem", table: "prekey", value: "mlkem", name: PREKEY_NAME },
  { column: "reading", table: "reading", value: "chain", name: "id" },
  { column: "writing", table: "writing", value: "chain", name: "header" },
  { column: "transferName", table: "transfer", value: "name", name: TRANSFER_NAME },
  { column: "place", table: "transfer", value: "place", name: TRANSFER_NAME },
  { column: "manifest", table: "transfer", value: "manifest", name: TRANSFER_NAME },
] as const;

/** What a prekey is named by: as `PREKEY_NAME` has it. */
export function prekeyName(box: Bytes, kind: PrekeyKind, number: bigint): Bytes {
  return encodeUtf8(`${encodeHex(box)} ${kind} ${number}`);
}

/** What a transfer is named by: as `TRANSFER_NAME` has it. */
export function transferName(
  { peer, suite }: { readonly peer: string; readonly suite: string },
  id: Bytes,
): Bytes {
  return encodeUtf8(`${peer} ${suite} ${encodeHex(id)}`);
}

/** Seals what goes into an open database, and opens what comes out. */
export class AtRest {
  /** Bytes that a value that is not empty has more there than it is long. */
  readonly overhead: number;
  readonly #key: ProfileKey | undefined;

  private constructor(key: ProfileKey | undefined) {
    this.#key = key;
    this.overhead = key?.overhead ?? 0;
  }

  /**
   * For a database that is to be sealed if there is a key: when it was not, all that is in it is sealed first, in
   * one transaction. Throws `usage` when it is sealed and there is no key, `local` when it is by another one.
   */
  static open(file: SqliteFile, key: ProfileKey | undefined): AtRest {
    if (requireKey(file, key) || !key) return new AtRest(key);
    const sealed = new AtRest(key);
    file.transaction(() => {
      convert(file, (column, name, value) => sealed.seal(column, name, value));
      file.prepare("INSERT INTO sealing VALUES (?)").run(key.seal(NOWHERE, PROOF));
    });
    return sealed;
  }

  /** For whoever reads alone. Throws as `open` does. */
  static openToRead(file: SqliteFile, key: ProfileKey | undefined): AtRest {
    return new AtRest(requireKey(file, key) ? key : undefined);
  }

  /** Has a sealed database lie there as it is, for a profile whose passphrase goes. Throws as `open` does. */
  static unseal(file: SqliteFile, key: ProfileKey): void {
    if (!requireKey(file, key)) return;
    const sealed = new AtRest(key);
    file.transaction(() => {
      convert(file, (column, name, value) => sealed.unseal(column, name, value));
      file.prepare("DELETE FROM sealing").run();
    });
  }

  /** The form in which a value is kept. */
  seal(column: Column, name: Bytes, value: Bytes): Bytes {
    return this.#key ? this.#key.seal(placeOf(column, name), value) : value;
  }

  /** The value that is kept in this form; throws `local` when that is damaged. */
  unseal(column: Column, name: Bytes, kept: Bytes): Bytes {
    if (!this.#key) return kept;
    try {
      return this.#key.open(placeOf(column, name), kept);
    } catch (cause) {
      throw new CifraError("local", "Cannot read what this profile keeps: it is damaged", {
        cause,
        hint: "restore messages.db from a backup, or move it away to begin a new one",
      });
    }
  }
}

function placeOf(column: Column, name: Bytes): Bytes {
  return concat([encodeUtf8(`${column}\0`), name]);
}

/** Whether the database is sealed by this key. */
function requireKey(file: SqliteFile, key: ProfileKey | undefined): boolean {
  const row = file.use(() => file.prepare("SELECT proof FROM sealing").get()) as
    | { readonly proof: Bytes }
    | undefined;
  if (!row) return false;
  if (!key) {
    throw new CifraError("usage", "The messages of this profile are sealed by a passphrase");
  }
  try {
    key.open(NOWHERE, row.proof);
  } catch (cause) {
    throw new CifraError("local", `Cannot read ${file.path}: another key has sealed it`, {
      cause,
      hint: "bring back the key that was beside it, from a backup of the profile",
    });
  }
  return true;
}

/** Puts another form of each value in its place. */
function convert(
  file: SqliteFile,
  change: (column: Column, name: Bytes, value: Bytes) => Bytes,
): void {
  for (const { column, table, value, name } of COLUMNS) {
    const page = file.prepare(`
      SELECT rowid AS place, ${name} AS name, ${value} AS value FROM ${table}
      WHERE rowid > ? AND ${value} <> x'' ORDER BY rowid LIMIT ${PAGE}`);
    const set = file.prepare(`UPDATE ${table} SET ${value} = ? WHERE rowid = ?`);
    let last = -1n;
    for (;;) {
      const rows = page.all(last) as unknown[] as {
        readonly place: bigint;
        readonly name: Bytes;
        readonly value: Bytes;
      }[];
      for (const row of rows) {
        last = row.place;
        set.run(change(column, row.name, row.value), row.place);
      }
      if (rows.length < PAGE) break;
    }
  }
}
