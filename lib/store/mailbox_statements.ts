/** The statements of a mailbox's database, and what their rows mean. */
import type { StatementSync } from "node:sqlite";
import { concat } from "@std/bytes/concat";
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import type { Box, Envelope, Tally } from "./mailbox_store.ts";
import type { PublishedPrekey } from "../wire/mailbox_messages.ts";
import type { SqliteFile } from "./sqlite_file.ts";
import { u64Bytes, u64Number } from "./u64.ts";

/** Prepares them, once. */
export function prepareStatements(file: SqliteFile) {
  return {
    boxes: file.prepare("SELECT * FROM box WHERE owner = ? ORDER BY used DESC, key DESC"),
    stock: file.prepare("SELECT count(*) AS count, min(number) AS next FROM once WHERE box = ?"),
    waitingFor: file.prepare(
      `SELECT coalesce(sum(count), 0) AS count, coalesce(sum(bytes), 0) AS bytes,
        coalesce(sum(strange), 0) AS strange, coalesce(sum(strange_bytes), 0) AS strange_bytes
      FROM box JOIN waiting ON waiting.box = box.key WHERE owner = ?`,
    ),
    waitingIn: file.prepare("SELECT count FROM waiting WHERE box = ?"),
    between: file.prepare(
      `SELECT count(*) AS count, coalesce(sum(size), 0) AS bytes FROM envelope
      WHERE box IN (SELECT key FROM box WHERE owner = ?2) AND sender = ?1`,
    ),
    leftBy: file.prepare(
      "SELECT count(*) AS count, coalesce(sum(size), 0) AS bytes FROM envelope WHERE sender = ?",
    ),
    left: file.prepare(
      `SELECT envelope.place, id, present, handed_out.place IS NOT NULL AS handed
      FROM envelope JOIN box ON box.key = envelope.box LEFT JOIN handed_out USING (place)
      WHERE sender = ? AND envelope.place > ? ORDER BY envelope.place LIMIT ?`,
    ),
    envelope: file.prepare(
      "SELECT place, id, sender, box, passed, size, since FROM envelope WHERE sender = ? AND id = ?",
    ),
    at: file.prepare(
      "SELECT place, id, sender, box, passed, size, since FROM envelope WHERE place = ?",
    ),
    senders: file.prepare(
      "SELECT sender FROM envelope WHERE box = ? GROUP BY sender ORDER BY min(place)",
    ),
    next: file.prepare(
      `SELECT place, id, sender, box, passed, size, since FROM envelope
      WHERE box = ? AND sender = ? AND place > ? ORDER BY place LIMIT 1`,
    ),
    body: file.prepare("SELECT body FROM envelope WHERE place = ?"),
    pages: file.prepare("PRAGMA page_count"),
    freePages: file.prepare("PRAGMA freelist_count"),
    counts: file.prepare(
      `SELECT (SELECT count(*) FROM box) AS boxes, count(*) AS count,
        coalesce(sum(size), 0) AS bytes FROM envelope`,
    ),

    putBox: file.prepare(
      `INSERT INTO box (owner, name, pass_key, sequence, not_after, signature, present, used)
      VALUES (?, ?, ?, ?, ?, ?, 1, ?)
      ON CONFLICT (owner, name) DO UPDATE SET pass_key = excluded.pass_key,
        sequence = excluded.sequence, not_after = excluded.not_after,
        signature = excluded.signature, used = excluded.used
      RETURNING key`,
    ),
    makePresent: file.prepare("UPDATE box SET present = (key = ?2) WHERE owner = ?1"),
    use: file.prepare("UPDATE box SET used = ?2 WHERE key = ?1"),
    removeBox: file.prepare("DELETE FROM box WHERE key = ?"),
    removeUnused: file.prepare(
      `DELETE FROM box WHERE key IN
        (SELECT key FROM box WHERE used < ? ORDER BY used LIMIT ?)`,
    ),
    sign: file.prepare("UPDATE box SET signed = ?2, prekey = ?3, published = ?4 WHERE key = ?1"),
    addOnce: file.prepare("INSERT INTO once VALUES (?, ?, ?)"),
    setHighest: file.prepare("UPDATE box SET highest = max(highest, ?2) WHERE key = ?1"),
    takeOnce: file.prepare(
      `DELETE FROM once WHERE box = ?1 AND number = (SELECT min(number) FROM once WHERE box = ?1)
      RETURNING prekey`,
    ),
    dropOnce: file.prepare("DELETE FROM once WHERE box = ?"),
    insert: file.prepare(
      `INSERT INTO envelope (place, id, sender, box, passed, size, since, body)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    take: file.prepare("DELETE FROM envelope WHERE place = ? AND id = ?"),
    expire: file.prepare(
      `DELETE FROM envelope WHERE place IN
        (SELECT place FROM envelope WHERE since < ? ORDER BY since LIMIT ?)`,
    ),
    forgetBoxes: file.prepare("DELETE FROM box WHERE owner = ?"),
    forgetLeft: file.prepare("DELETE FROM envelope WHERE sender = ?"),
    handOut: file.prepare(
      "INSERT OR IGNORE INTO handed_out SELECT place FROM envelope WHERE place = ? AND id = ?",
    ),
  } satisfies Record<string, StatementSync>;
}

/** All of them, by what they do. */
export type Statements = ReturnType<typeof prepareStatements>;

/** What stands for a `?`. */
export type Value = number | bigint | Bytes | null;

/** A box; numbers of 64 bits are bytes. */
export interface BoxRow {
  readonly key: bigint;
  readonly name: Bytes;
  readonly pass_key: Bytes;
  readonly sequence: Bytes;
  readonly not_after: Bytes;
  readonly signature: Bytes;
  readonly present: bigint;
  readonly used: bigint;
  readonly signed: Bytes;
  readonly prekey: Bytes;
  readonly published: bigint;
  readonly highest: Bytes;
}

/** An envelope that waits. */
export interface EnvelopeRow {
  readonly place: bigint;
  readonly id: Bytes;
  readonly sender: Bytes;
  readonly box: bigint;
  readonly passed: bigint;
  readonly size: bigint;
  readonly since: bigint;
}

/** An envelope as its sender is told of it. */
export interface LeftRow {
  readonly place: bigint;
  readonly id: Bytes;
  readonly present: bigint;
  readonly handed: bigint;
}

/** How many there are, and how long. */
export interface TallyRow {
  readonly count: bigint;
  readonly bytes: bigint;
}

/** The box of a row. */
export function toBox(owner: string, row: BoxRow): Box {
  return {
    key: Number(row.key),
    owner,
    name: row.name,
    passKey: row.pass_key,
    claim: {
      sequence: u64Number(row.sequence),
      notAfter: u64Number(row.not_after),
      signature: row.signature,
    },
    isPresent: row.present === 1n,
    used: Number(row.used),
    signed: u64Number(row.signed) === 0n ? undefined : toPrekey(row.prekey),
    published: Number(row.published),
    highest: u64Number(row.highest),
  };
}

/** A prekey in 1288 bytes, as on the wire. */
export function prekeyBytes({ number, x25519, mlkem, signature }: PublishedPrekey): Bytes {
  return concat([u64Bytes(number), x25519, mlkem, signature]);
}

/** The prekey in these bytes. */
export function toPrekey(bytes: Bytes): PublishedPrekey {
  return {
    number: u64Number(bytes),
    x25519: bytes.slice(8, 40),
    mlkem: bytes.slice(40, 1224),
    signature: bytes.slice(1224),
  };
}

/** The envelope of a row. */
export function toEnvelope({ place, id, sender, box, passed, size, since }: EnvelopeRow): Envelope {
  return {
    place: Number(place),
    id,
    sender: encodeHex(sender),
    box: Number(box),
    passed: passed === 1n,
    size: Number(size),
    since: Number(since),
  };
}

/** The tally of a row. */
export function toTally({ count, bytes }: TallyRow): Tally {
  return { count: Number(count), bytes: Number(bytes) };
}
