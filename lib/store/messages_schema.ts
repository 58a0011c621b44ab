/** How messages lie in their database. SQLite keeps the comments: whoever opens the file reads them there. */
import type { FileKind, Step } from "./sqlite_file.ts";

const VERSION_1: Step = [
  `
CREATE TABLE side (
  -- One direction of the conversation with one person in one suite.
  id        INTEGER PRIMARY KEY,
  peer      TEXT NOT NULL,  -- the other person's name
  suite     TEXT NOT NULL,  -- nothing written for one suite is sent in another
  direction TEXT NOT NULL CHECK (direction IN ('sent', 'received')),
  log       INTEGER REFERENCES log (id),  -- the one that is written, or was read last
  UNIQUE (peer, suite, direction)
) STRICT`,
  `
CREATE TABLE log (
  -- Messages numbered from 1. Its writer begins another one when its copy of this one is too old.
  id     INTEGER PRIMARY KEY,
  side   INTEGER NOT NULL REFERENCES side (id),
  name   BLOB NOT NULL CHECK (length(name) = 16),  -- chosen at random by its writer
  last   INTEGER NOT NULL,  -- number of the last message that is known here
  stored INTEGER NOT NULL,  -- everything up to here is stored by its reader
  shown  INTEGER NOT NULL,  -- everything up to here was shown to its reader
  -- Of a log that is read: the id of its last message, which stays when the message goes; NULL when that
  -- never came here.
  last_id BLOB CHECK (length(last_id) = 16),
  CHECK (0 <= shown AND shown <= stored AND stored <= last),
  UNIQUE (side, name)
) STRICT`,
  `
CREATE TABLE message (
  place   INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order in which they came; never used again
  side    INTEGER NOT NULL REFERENCES side (id),
  log     INTEGER NOT NULL REFERENCES log (id),
  number  INTEGER NOT NULL CHECK (number > 0),
  id      BLOB NOT NULL CHECK (length(id) = 16),  -- chosen at random by its writer
  type    TEXT NOT NULL CHECK (type IN ('text', 'end')),
  written INTEGER NOT NULL,  -- milliseconds since 1970 by the clock of its writer
  content BLOB NOT NULL,  -- UTF-8
  UNIQUE (side, id),  -- the same message never counts twice
  UNIQUE (log, number)
) STRICT`,
];

/**
 * What is missing of the other side's log has a row as well: it is shown like a message, and in its turn. The
 * types are not in an IN: of more than two values SQLite makes a table, anew for each message that is written.
 */
const VERSION_2: Step = [
  "ALTER TABLE log RENAME COLUMN shown TO read",
  "ALTER TABLE message RENAME TO message_1",
  `
CREATE TABLE message (
  ordinal INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order in which they came; never used again
  side    INTEGER NOT NULL REFERENCES side (id),
  log     INTEGER NOT NULL REFERENCES log (id),
  number  INTEGER NOT NULL CHECK (number > 0),
  type    TEXT NOT NULL CHECK (type = 'text' OR type = 'end' OR type = 'gap'),
  -- Of a gap, which is what its writer cannot give any more: the first number that is missing; the last one
  -- is its number.
  gap_from INTEGER CHECK (gap_from BETWEEN 1 AND number),
  id      BLOB CHECK (length(id) = 16),  -- chosen at random by its writer; a gap has none
  written INTEGER NOT NULL,  -- milliseconds since 1970 by the clock of its writer; 0 for a gap
  content BLOB NOT NULL,  -- UTF-8
  CHECK ((type = 'gap') = (gap_from IS NOT NULL)),
  CHECK ((type = 'gap') = (id IS NULL)),
  UNIQUE (side, id),  -- the same message never counts twice
  UNIQUE (log, number)
) STRICT`,
  `
INSERT INTO message (ordinal, side, log, number, type, id, written, content)
SELECT place, side, log, number, type, id, written, content FROM message_1 ORDER BY place`,
  "DELETE FROM sqlite_sequence WHERE name = 'message'",
  "UPDATE sqlite_sequence SET name = 'message' WHERE name = 'message_1'",
  "DROP TABLE message_1",
];

/** Where an earlier run may have shown what nobody wrote down. */
const VERSION_3: Step = [
  `
CREATE TABLE run (
  -- One row, by the program that had the file last.
  -- What waits to be shown up to this ordinal may have been shown; NULL, which is all of it, from the
  -- beginning of a run until it ends in order.
  doubtful INTEGER
) STRICT`,
  "INSERT INTO run VALUES (NULL)",
];

/** The steps to the present version of a database of messages. */
export const MESSAGES_STEPS: readonly Step[] = [VERSION_1, VERSION_2, VERSION_3];
/** What such a database is. */
export const MESSAGES_KIND: FileKind = { steps: MESSAGES_STEPS };
/** What it is called in the folder of a profile. */
export const MESSAGES_FILE = "messages.db";
