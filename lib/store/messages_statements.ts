/** The statements over the database of messages, what their rows hold, and the messages that rows stand for. */
import type { Bytes } from "../bytes.ts";
import type { KeptMessage } from "../wire/peer_messages.ts";
import type { AtRest } from "./at_rest.ts";
import type { Progress } from "./message_rules.ts";
import type { Gap } from "./message_store.ts";
import type { SqliteFile } from "./sqlite_file.ts";

/** A log, and how far it has come. */
export interface LogRow extends Progress {
  readonly id: bigint;
  readonly side: bigint;
  readonly name: Bytes;
  readonly lastId: Bytes | null;
}

/** A message. */
export interface MessageRow {
  readonly number: bigint;
  readonly id: Bytes;
  readonly type: KeptMessage["type"];
  readonly written: bigint;
  readonly content: Bytes;
}

/** What is missing of a log: `number` is the last of it. */
export type GapRow = { readonly type: "gap"; readonly number: bigint; readonly gapFrom: bigint };

/** What has a number in a log: a message, or a gap that the number is in or before. */
export interface AtRow {
  readonly number: bigint;
  readonly id: Bytes | null;
  readonly gapFrom: bigint | null;
}

/** What waits to be shown, and in which log. */
export type UnshownRow = (MessageRow | GapRow) & {
  readonly ordinal: bigint;
  readonly log: bigint;
  readonly name: Bytes;
};

/** The statements of a message store, prepared once. */
export type Statements = ReturnType<typeof prepareStatements>;

/** Prepares all of them. Throws `local`. */
export function prepareStatements(file: SqliteFile) {
  const log = "log.id, log.side, log.name, log.last, log.last_id AS lastId, log.stored, log.read";
  const message = "message.number, message.id, message.type, message.written, message.content";
  const prepare = (sql: string) => file.prepare(sql);
  return {
    side: prepare("SELECT id FROM side WHERE peer = ? AND suite = ? AND direction = ?"),
    insertSide: prepare(
      "INSERT INTO side (peer, suite, direction) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    ),
    setCurrent: prepare("UPDATE side SET log = ?1 WHERE id = ?2 AND log IS NOT ?1"),
    current: prepare(`
      SELECT ${log} FROM side JOIN log ON log.id = side.log
      WHERE side.peer = ? AND side.suite = ? AND side.direction = ?`),
    named: prepare(`
      SELECT ${log} FROM side JOIN log ON log.side = side.id
      WHERE side.peer = ? AND side.suite = ? AND side.direction = 'received' AND log.name = ?`),
    beside: prepare(`
      SELECT ${log} FROM log WHERE side = ? AND beside = ?`),
    insertBeside: prepare(`
      INSERT INTO log (side, name, last, stored, read, beside) VALUES (?, ?, 0, 0, 0, ?)`),
    namedLog: prepare(`
      SELECT ${log} FROM side JOIN log ON log.side = side.id
      WHERE side.peer = ? AND side.suite = ? AND side.direction = ? AND log.name = ?`),
    insertLog: prepare(
      "INSERT INTO log (side, name, last, stored, read) VALUES (?, ?, 0, 0, 0)",
    ),
    setLast: prepare("UPDATE log SET last = ? WHERE id = ?"),
    setHave: prepare("UPDATE log SET last = ?1, stored = ?1, last_id = ?2 WHERE id = ?3"),
    setProgress: prepare("UPDATE log SET stored = ?, read = ? WHERE id = ?"),
    insertMessage: prepare(`
      INSERT INTO message (side, log, number, id, type, written, content)
      VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (side, id) DO NOTHING`),
    insertGap: prepare(`
      INSERT INTO message (side, log, gap_from, number, type, written, content)
      VALUES (?, ?, ?, ?, 'gap', 0, x'')`),
    isKept: prepare("SELECT 1 FROM message WHERE side = ? AND id = ?"),
    // The message of a number, or the gap that it is in.
    at: prepare(`
      SELECT number, id, gap_from AS gapFrom FROM message WHERE log = ? AND number >= ?
      ORDER BY number LIMIT 1`),
    hasEarly: prepare("SELECT 1 FROM early WHERE side = ? LIMIT 1"),
    early: prepare(`
      SELECT number, id, type, written, content FROM early WHERE log = ? ORDER BY number`),
    countEarly: prepare("SELECT count(*) AS count FROM early WHERE log = ?"),
    earlyOf: prepare(`
      SELECT early.number, early.id, early.type, early.written, early.content
      FROM side JOIN early ON early.side = side.id
      WHERE side.peer = ? AND side.suite = ? AND side.direction = 'received'
      ORDER BY early.log, early.number`),
    setEarly: prepare(`
      INSERT OR REPLACE INTO early (side, log, number, id, type, written, content)
      VALUES (?, ?, ?, ?, ?, ?, ?)`),
    dropEarly: prepare("DELETE FROM early WHERE side = ? AND id = ?"),
    messagesFrom: prepare(`
      SELECT ${message} FROM message WHERE log = ? AND number >= ? AND type <> 'gap'
      ORDER BY number`),
    gapsAfter: prepare(`
      SELECT type, number, gap_from AS gapFrom FROM message
      WHERE log = ? AND number > ? AND type = 'gap' ORDER BY number`),
    moveMessages: prepare(`
      UPDATE message SET log = ?1, number = number - ?2, gap_from = max(1, gap_from - ?2)
      WHERE log = ?3 AND number > ?2`),
    takeBack: prepare(`
      UPDATE message SET type = 'taken back', content = x''
      WHERE log = ? AND number = ? AND type = 'text'`),
    deleteUnstored: prepare("DELETE FROM message WHERE log = ? AND number > ?"),
    deleteStored: prepare(`
      DELETE FROM message WHERE log = :log AND number <= :stored
      AND number > (SELECT stored FROM log WHERE id = :log)`),
    deleteRead: prepare(`
      DELETE FROM message WHERE log = :log AND number <= :read
      AND number > (SELECT read FROM log WHERE id = :log)`),
    // Along the ordinals, from the first that can be one: a page costs no more for a long history, or for
    // much that waits after it. The unary + keeps the planner from sorting instead.
    unshown: prepare(`
      WITH read_log AS (
        SELECT log.id, log.read FROM side JOIN log ON log.side = side.id
        WHERE side.peer = :peer AND side.suite = :suite AND side.direction = 'received'
      )
      SELECT message.ordinal, message.log, log.name, message.gap_from AS gapFrom, ${message}
      FROM message CROSS JOIN log ON log.id = +message.log
      WHERE message.ordinal > :after AND message.number > log.read
        AND +message.log IN (SELECT id FROM read_log)
        AND message.ordinal >= (
          SELECT min((
            SELECT ordinal FROM message WHERE log = read_log.id AND number > read_log.read
            ORDER BY number LIMIT 1
          )) FROM read_log
        )
      ORDER BY message.ordinal`),
    logsOf: prepare(`
      SELECT ${log} FROM side JOIN log ON log.side = side.id
      WHERE side.peer = ? AND side.suite = ? AND side.direction = ?`),
    unreadAfter: prepare(`
      SELECT count(*) FILTER (WHERE type = 'text' OR type = 'file') AS texts, count(*) AS messages,
        coalesce(sum(max(length(content) - ?, 0)), 0) AS bytes
      FROM message WHERE log = ? AND number > ? AND type <> 'gap'`),
    unstored: prepare(`
      SELECT log.id, side.peer, log.last, log.stored, log.read FROM side JOIN log ON log.id = side.log
      WHERE side.suite = ? AND side.direction = 'sent' AND log.stored < log.last`),
    peers: prepare("SELECT DISTINCT peer FROM side WHERE suite = ?"),
    doubtful: prepare("SELECT doubtful FROM run"),
    setDoubtful: prepare("UPDATE run SET doubtful = ?1 WHERE doubtful IS NOT ?1"),
    lastOrdinal: prepare("SELECT seq FROM sqlite_sequence WHERE name = 'message'"),
  };
}

function keptMessage(row: MessageRow, atRest: AtRest, table: "message" | "early"): KeptMessage {
  const { number, id, type, written } = row;
  const content = atRest.unseal(table, id, row.content);
  return { number, id, type, written: Number(written), content };
}

/** The message or the gap of a row. */
export function messageOrGap(row: MessageRow | GapRow, atRest: AtRest): KeptMessage | Gap {
  return row.type === "gap" ? gapOf(row) : keptMessage(row, atRest, "message");
}

/** The gap of a row. */
export function gapOf({ gapFrom, number }: GapRow): Gap {
  return { type: "gap", from: gapFrom, to: number };
}

/** The messages of rows, in their order. */
export function* keptMessages(
  rows: Iterable<MessageRow>,
  atRest: AtRest,
  table: "message" | "early",
): Iterable<KeptMessage> {
  for (const row of rows) yield keptMessage(row, atRest, table);
}
