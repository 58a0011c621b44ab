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

/**
 * What waits for its turn, what a writer took back, and all that is needed to write to people who are not here
 * and to read what they left (PROTOCOL.md 3.12): one database, since a message and what opened it are one change.
 */
const VERSION_4: Step = [
  "ALTER TABLE message RENAME TO message_3",
  `
CREATE TABLE message (
  ordinal INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order in which they came; never used again
  side    INTEGER NOT NULL REFERENCES side (id),
  log     INTEGER NOT NULL REFERENCES log (id),
  number  INTEGER NOT NULL CHECK (number > 0),
  type    TEXT NOT NULL CHECK (type = 'text' OR type = 'end' OR type = 'taken back' OR type = 'gap'),
  -- Of a gap, which is what its writer cannot give any more: the first number that is missing; the last one
  -- is its number.
  gap_from INTEGER CHECK (gap_from BETWEEN 1 AND number),
  id      BLOB CHECK (length(id) = 16),  -- chosen at random by its writer; a gap has none
  written INTEGER NOT NULL,  -- milliseconds since 1970 by the clock of its writer; 0 for a gap
  content BLOB NOT NULL,  -- UTF-8; empty when it was taken back
  CHECK ((type = 'gap') = (gap_from IS NOT NULL)),
  CHECK ((type = 'gap') = (id IS NULL)),
  UNIQUE (side, id),  -- the same message never counts twice
  UNIQUE (log, number)
) STRICT`,
  `
INSERT INTO message (ordinal, side, log, number, type, gap_from, id, written, content)
SELECT ordinal, side, log, number, type, gap_from, id, written, content
FROM message_3 ORDER BY ordinal`,
  "DELETE FROM sqlite_sequence WHERE name = 'message'",
  "UPDATE sqlite_sequence SET name = 'message' WHERE name = 'message_3'",
  "DROP TABLE message_3",
  // Of a log that was made here, for what came under numbers that other messages have: the log of those. Its
  // own numbers count what it holds.
  "ALTER TABLE log ADD COLUMN beside INTEGER REFERENCES log (id)",
  `
CREATE TABLE early (
  -- Messages before which others are missing: not shown and not acknowledged until those are here.
  side    INTEGER NOT NULL REFERENCES side (id),
  log     INTEGER NOT NULL REFERENCES log (id),
  number  INTEGER NOT NULL CHECK (number > 0),
  type    TEXT NOT NULL CHECK (type = 'text' OR type = 'end' OR type = 'taken back'),
  id      BLOB NOT NULL CHECK (length(id) = 16),
  written INTEGER NOT NULL,
  content BLOB NOT NULL,
  PRIMARY KEY (log, number),
  UNIQUE (side, id)
) STRICT`,
  `
CREATE TABLE box (
  -- Where envelopes wait for this copy of the profile: one on each server.
  server   TEXT PRIMARY KEY,  -- the fingerprint of the server's key, in hexadecimal
  name     BLOB NOT NULL UNIQUE CHECK (length(name) = 16),  -- chosen at random
  pass_key BLOB NOT NULL CHECK (length(pass_key) = 32),  -- makes the passes of those who may write
  highest  INTEGER NOT NULL,  -- the highest number of a one-time prekey under it; 0 when there was none
  signed   INTEGER NOT NULL,  -- the number of the newest signed prekey; 0 when there was none
  anew     INTEGER NOT NULL CHECK (anew IN (0, 1))  -- 1 until the server has dropped older one-time prekeys
) STRICT`,
  `
CREATE TABLE prekey (
  -- The secrets of the keys with which others begin sessions.
  box    BLOB NOT NULL REFERENCES box (name) ON DELETE CASCADE,
  kind   TEXT NOT NULL CHECK (kind IN ('signed', 'once')),
  number INTEGER NOT NULL CHECK (number > 0),
  x25519    BLOB NOT NULL,  -- a scalar
  mlkem     BLOB NOT NULL,  -- a seed
  -- When it was replaced, or handed out, in milliseconds since 1970 by the clock of this machine and by that
  -- of the server; NULL as long as it was not.
  retired_here  INTEGER,
  retired_there INTEGER,
  CHECK ((retired_here IS NULL) = (retired_there IS NULL)),
  PRIMARY KEY (box, kind, number)
) STRICT`,
  `
CREATE TABLE reading (
  -- Sessions in which others write. They go forward alone: what was opened cannot be opened again.
  id         BLOB PRIMARY KEY CHECK (length(id) = 16),
  peer       TEXT NOT NULL,
  sender     BLOB NOT NULL CHECK (length(sender) = 32),  -- the fingerprint of the peer's key
  box        BLOB NOT NULL REFERENCES box (name) ON DELETE CASCADE,
  signed     INTEGER NOT NULL,  -- the numbers of the prekeys that it was begun with
  once       INTEGER NOT NULL,  -- 0 for none
  transcript BLOB NOT NULL CHECK (length(transcript) = 64),
  chain      BLOB NOT NULL,
  next       INTEGER NOT NULL CHECK (next > 0),  -- the place of the chain: envelopes before it are gone
  last_here  INTEGER NOT NULL,  -- when its last envelope came, by the clock of this machine
  last_there INTEGER NOT NULL   -- and by that of the server
) STRICT`,
  `
CREATE TABLE writing (
  -- The session in which we write to somebody over a server.
  peer       TEXT NOT NULL,
  server     TEXT NOT NULL,
  owner      BLOB NOT NULL CHECK (length(owner) = 32),  -- the fingerprint of the peer's key
  header     BLOB NOT NULL CHECK (length(header) = 1152),
  transcript BLOB NOT NULL CHECK (length(transcript) = 64),
  chain      BLOB NOT NULL,
  next       INTEGER NOT NULL,
  began      INTEGER NOT NULL,  -- milliseconds since 1970 by the clock of this machine
  PRIMARY KEY (peer, server)
) STRICT`,
  `
CREATE TABLE deposit (
  -- Envelopes that we left, or are about to leave, on servers.
  id        BLOB PRIMARY KEY CHECK (length(id) = 16),  -- chosen at random
  peer      TEXT NOT NULL,
  server    TEXT NOT NULL,
  box       BLOB NOT NULL CHECK (length(box) = 16),  -- the peer's
  log       INTEGER NOT NULL REFERENCES log (id),
  first     INTEGER NOT NULL,  -- the messages of it that are inside
  last      INTEGER NOT NULL,  -- 0 when there are none: a receipt
  at        INTEGER NOT NULL,  -- milliseconds since 1970 by the clock of this machine
  confirmed INTEGER NOT NULL CHECK (confirmed IN (0, 1)),  -- 1 when the server said that it has it
  paid      INTEGER NOT NULL CHECK (paid IN (0, 1)),  -- 1 when a receipt was owed, which it brings
  outdated  INTEGER NOT NULL CHECK (outdated IN (0, 1))  -- 1 when something inside was taken back since
) STRICT`,
  "CREATE INDEX deposit_of ON deposit (peer, server)",
  `
CREATE TABLE correspondent (
  -- What is known of somebody at a server.
  peer   TEXT NOT NULL,
  server TEXT NOT NULL,
  owner  BLOB NOT NULL CHECK (length(owner) = 32),  -- the fingerprint of the peer's key: all else is of that
  pass   BLOB CHECK (length(pass) = 16),  -- ours, at the peer's box; NULL when there is none
  highest_signed INTEGER NOT NULL,  -- the highest number of a signed prekey that was verified; 0 for none
  owed   INTEGER NOT NULL CHECK (owed IN (0, 1)),  -- 1 when a receipt is owed
  PRIMARY KEY (peer, server)
) STRICT`,
  `
CREATE TABLE sealing (
  -- One row when the contents of messages, the secrets of prekeys and the chains of sessions are sealed by the
  -- key of the profile: what that key is known by. Otherwise they are here as they are.
  proof BLOB NOT NULL
) STRICT`,
];

/** Files between people (PROTOCOL.md 3.15): words about them are messages, and what they made of each transfer. */
const VERSION_5: Step = [
  "ALTER TABLE message RENAME TO message_4",
  `
CREATE TABLE message (
  ordinal INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order in which they came; never used again
  side    INTEGER NOT NULL REFERENCES side (id),
  log     INTEGER NOT NULL REFERENCES log (id),
  number  INTEGER NOT NULL CHECK (number > 0),
  type    TEXT NOT NULL CHECK (type = 'text' OR type = 'end' OR type = 'taken back' OR type = 'file'
    OR type = 'gap'),
  -- Of a gap, which is what its writer cannot give any more: the first number that is missing; the last one
  -- is its number.
  gap_from INTEGER CHECK (gap_from BETWEEN 1 AND number),
  id      BLOB CHECK (length(id) = 16),  -- chosen at random by its writer; a gap has none
  written INTEGER NOT NULL,  -- milliseconds since 1970 by the clock of its writer; 0 for a gap
  content BLOB NOT NULL,  -- UTF-8, or a word about a transfer; empty when it was taken back
  CHECK ((type = 'gap') = (gap_from IS NOT NULL)),
  CHECK ((type = 'gap') = (id IS NULL)),
  UNIQUE (side, id),  -- the same message never counts twice
  UNIQUE (log, number)
) STRICT`,
  `
INSERT INTO message (ordinal, side, log, number, type, gap_from, id, written, content)
SELECT ordinal, side, log, number, type, gap_from, id, written, content
FROM message_4 ORDER BY ordinal`,
  "DELETE FROM sqlite_sequence WHERE name = 'message'",
  "UPDATE sqlite_sequence SET name = 'message' WHERE name = 'message_4'",
  "DROP TABLE message_4",
  "ALTER TABLE early RENAME TO early_4",
  `
CREATE TABLE early (
  -- Messages before which others are missing: not shown and not acknowledged until those are here.
  side    INTEGER NOT NULL REFERENCES side (id),
  log     INTEGER NOT NULL REFERENCES log (id),
  number  INTEGER NOT NULL CHECK (number > 0),
  type    TEXT NOT NULL CHECK (type = 'text' OR type = 'end' OR type = 'taken back' OR type = 'file'),
  id      BLOB NOT NULL CHECK (length(id) = 16),
  written INTEGER NOT NULL,
  content BLOB NOT NULL,
  PRIMARY KEY (log, number),
  UNIQUE (side, id)
) STRICT`,
  `
INSERT INTO early (side, log, number, type, id, written, content)
SELECT side, log, number, type, id, written, content FROM early_4`,
  "DROP TABLE early_4",
  `
CREATE TABLE transfer (
  -- Files that one of two people has offered the other.
  id        BLOB NOT NULL CHECK (length(id) = 16),  -- of the message that offers it
  peer      TEXT NOT NULL,
  suite     TEXT NOT NULL,
  direction TEXT NOT NULL CHECK (direction IN ('sent', 'received')),
  state     TEXT NOT NULL
    CHECK (state IN ('offered', 'accepted', 'done', 'refused', 'cancelled', 'failed')),
  failure   INTEGER,  -- the code of why it failed; NULL when it has not
  name      BLOB NOT NULL,  -- UTF-8, how its sender calls it
  files     INTEGER NOT NULL,
  folders   INTEGER NOT NULL,
  bytes     INTEGER,  -- NULL when that is not known
  manifest_length INTEGER NOT NULL,
  manifest_hash   BLOB NOT NULL CHECK (length(manifest_hash) = 32),
  manifest  BLOB,  -- NULL until it is here
  place     BLOB NOT NULL,  -- UTF-8: of what is sent, where it is; of what comes, where it goes; or empty
  entry     INTEGER NOT NULL,  -- of what comes: those before it are whole here; of what is sent: asked for last
  skipped   INTEGER NOT NULL,  -- entries that the sender could not read
  told      INTEGER NOT NULL CHECK (told IN (0, 1)),  -- 1 when our log has our last word about it
  began     INTEGER NOT NULL,  -- milliseconds since 1970, by the clock of who said so
  ended     INTEGER,
  PRIMARY KEY (peer, suite, id)
) STRICT`,
];

/** The steps to the present version of a database of messages. */
export const MESSAGES_STEPS: readonly Step[] = [
  VERSION_1,
  VERSION_2,
  VERSION_3,
  VERSION_4,
  VERSION_5,
];
/** What such a database is. */
export const MESSAGES_KIND: FileKind = { steps: MESSAGES_STEPS };
/** What it is called in the folder of a profile. */
export const MESSAGES_FILE = "messages.db";
