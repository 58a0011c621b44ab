/** A file of messages as cifra made them in version 1, with a queue in it that must not be lost. */
import { DatabaseSync } from "node:sqlite";
import { encodeUtf8 } from "../../lib/bytes.ts";

/** The layout of version 1, word for word: a copy, since the step in the program must not change either. */
const SCHEMA = `
CREATE TABLE side (
  id        INTEGER PRIMARY KEY,
  peer      TEXT NOT NULL,
  suite     TEXT NOT NULL,
  direction TEXT NOT NULL CHECK (direction IN ('sent', 'received')),
  log       INTEGER REFERENCES log (id),
  UNIQUE (peer, suite, direction)
) STRICT;

CREATE TABLE log (
  id     INTEGER PRIMARY KEY,
  side   INTEGER NOT NULL REFERENCES side (id),
  name   BLOB NOT NULL CHECK (length(name) = 16),
  last   INTEGER NOT NULL,
  stored INTEGER NOT NULL,
  shown  INTEGER NOT NULL,
  last_id BLOB CHECK (length(last_id) = 16),
  CHECK (0 <= shown AND shown <= stored AND stored <= last),
  UNIQUE (side, name)
) STRICT;

CREATE TABLE message (
  place   INTEGER PRIMARY KEY AUTOINCREMENT,
  side    INTEGER NOT NULL REFERENCES side (id),
  log     INTEGER NOT NULL REFERENCES log (id),
  number  INTEGER NOT NULL CHECK (number > 0),
  id      BLOB NOT NULL CHECK (length(id) = 16),
  type    TEXT NOT NULL CHECK (type IN ('text', 'end')),
  written INTEGER NOT NULL,
  content BLOB NOT NULL,
  UNIQUE (side, id),
  UNIQUE (log, number)
) STRICT;

PRAGMA user_version = 1;
`;

export const BOB = { peer: "bob", suite: "modern" } as const;
export const OUR_LOG = new Uint8Array(16).fill(1);
export const THEIR_LOG = new Uint8Array(16).fill(2);
/** More than any message that is left: the last ones were deleted. */
export const LAST_ORDINAL = 1_000_000;

const SENT = 1, RECEIVED = 2;

/** The id of a message of one side; nothing is random here. */
export function idOf(side: number, number: number): Uint8Array<ArrayBuffer> {
  return encodeUtf8(`${side} ${number}`.padStart(16, "0"));
}

/** The text of one of our messages, or of Bob's. */
export function textOf(side: number, number: number, size: number): string {
  return `${side} ${number} `.padEnd(size, "x");
}

/**
 * Makes `messages.db` in `path`: `count` messages of ours to Bob, of which 2 are stored over there and 1 was
 * shown, and `count` of his, of which 3 were shown here; the last of each is an end.
 */
export async function makeVersion1(path: string, count: number, size = 20): Promise<void> {
  const file = `${path}/messages.db`;
  await Deno.writeFile(file, new Uint8Array(0), { mode: 0o600, createNew: true });
  const database = new DatabaseSync(file);
  database.exec(`PRAGMA journal_mode = WAL; BEGIN; ${SCHEMA}`);
  const side = database.prepare("INSERT INTO side VALUES (?, 'bob', 'modern', ?, ?)");
  const log = database.prepare("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)");
  const message = database.prepare("INSERT INTO message VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)");
  side.run(SENT, "sent", null);
  side.run(RECEIVED, "received", null);
  log.run(SENT, SENT, OUR_LOG, count, 2, 1, null);
  log.run(RECEIVED, RECEIVED, THEIR_LOG, count, count, 3, idOf(RECEIVED, count));
  database.exec("UPDATE side SET log = id");
  for (let n = 1; n <= count; n++) {
    for (const which of [SENT, RECEIVED]) {
      const type = n === count ? "end" : "text";
      const content = type === "end" ? "" : textOf(which, n, size);
      message.run(which, which, n, idOf(which, n), type, 1000 * n, encodeUtf8(content));
    }
  }
  database.exec(`UPDATE sqlite_sequence SET seq = ${LAST_ORDINAL} WHERE name = 'message'; COMMIT`);
  database.close();
}
