/** How a server's mailbox lies in its database. SQLite keeps the comments: whoever opens the file reads them. */
import type { Step } from "./sqlite_file.ts";

/**
 * Nobody's words can be read here. Who leaves something for whom can, until it is fetched: fingerprints are bytes
 * and stand once in a row, and what is gone leaves nothing behind.
 */
const VERSION_1: Step = [
  `
CREATE TABLE box (
  -- Where envelopes for one copy of a profile wait.
  key       INTEGER PRIMARY KEY AUTOINCREMENT,
  owner     BLOB NOT NULL CHECK (length(owner) = 32),  -- the fingerprint
  name      BLOB NOT NULL CHECK (length(name) = 16),
  pass_key  BLOB NOT NULL CHECK (length(pass_key) = 32),
  sequence  BLOB NOT NULL CHECK (length(sequence) = 8),  -- of its owner's claim to the name, big-endian
  not_after BLOB NOT NULL CHECK (length(not_after) = 8),  -- until when the claim holds, big-endian
  signature BLOB NOT NULL CHECK (length(signature) = 64),  -- of the claim, by the key of the owner
  present   INTEGER NOT NULL CHECK (present IN (0, 1)),  -- 1 for the one of its owner's that was opened last
  used      INTEGER NOT NULL,  -- times are milliseconds since 1970
  -- The number of the signed prekey, big-endian, 0 for none. The room for the prekey is taken from the beginning.
  signed    BLOB NOT NULL DEFAULT x'0000000000000000' CHECK (length(signed) = 8),
  prekey    BLOB NOT NULL DEFAULT (zeroblob(1288)) CHECK (length(prekey) = 1288),
  published INTEGER NOT NULL DEFAULT 0,
  -- The highest number of a one-time prekey that was ever here.
  highest   BLOB NOT NULL DEFAULT x'0000000000000000' CHECK (length(highest) = 8),
  UNIQUE (owner, name)
) STRICT`,
  "CREATE INDEX box_used ON box (used)",
  `
CREATE TABLE once (
  -- A prekey that is given to one person.
  box    INTEGER NOT NULL REFERENCES box ON DELETE CASCADE,
  number BLOB NOT NULL CHECK (length(number) = 8),  -- big-endian
  prekey BLOB NOT NULL CHECK (length(prekey) = 1288),
  UNIQUE (box, number)
) STRICT`,
  `
CREATE TABLE envelope (
  place  INTEGER PRIMARY KEY AUTOINCREMENT,
  id     BLOB NOT NULL CHECK (length(id) = 16),
  sender BLOB NOT NULL CHECK (length(sender) = 32),  -- the fingerprint
  box    INTEGER NOT NULL REFERENCES box ON DELETE CASCADE,
  passed INTEGER NOT NULL CHECK (passed IN (0, 1)),  -- 1 when the owner of the box had written to the sender before
  size   INTEGER NOT NULL CHECK (size = length(body)),
  since  INTEGER NOT NULL,
  body   BLOB NOT NULL,
  UNIQUE (sender, id)
) STRICT`,
  // Each has what its questions ask for, so that nothing long is read to count what is short.
  "CREATE INDEX envelope_box ON envelope (box, sender, place, size)",
  "CREATE INDEX envelope_sender ON envelope (sender, place, size)",
  "CREATE INDEX envelope_since ON envelope (since, size)",
  `
CREATE TABLE waiting (
  -- What waits in a box, kept up to date: to tell that a box is full takes no longer than to tell that there is none.
  box           INTEGER PRIMARY KEY REFERENCES box ON DELETE CASCADE,
  count         INTEGER NOT NULL DEFAULT 0,
  bytes         INTEGER NOT NULL DEFAULT 0,
  strange       INTEGER NOT NULL DEFAULT 0,  -- of it, what came without a pass
  strange_bytes INTEGER NOT NULL DEFAULT 0
) STRICT`,
  "CREATE TRIGGER box_opens AFTER INSERT ON box BEGIN INSERT INTO waiting (box) VALUES (NEW.key); END",
  `
CREATE TRIGGER envelope_comes AFTER INSERT ON envelope BEGIN
  UPDATE waiting SET count = count + 1, bytes = bytes + NEW.size,
    strange = strange + (1 - NEW.passed), strange_bytes = strange_bytes + (1 - NEW.passed) * NEW.size
  WHERE box = NEW.box;
END`,
  `
CREATE TRIGGER envelope_goes AFTER DELETE ON envelope BEGIN
  UPDATE waiting SET count = count - 1, bytes = bytes - OLD.size,
    strange = strange - (1 - OLD.passed), strange_bytes = strange_bytes - (1 - OLD.passed) * OLD.size
  WHERE box = OLD.box;
END`,
  `
CREATE TABLE handed_out (
  -- Apart from the envelope, which would be written anew with what is in it.
  place INTEGER PRIMARY KEY REFERENCES envelope ON DELETE CASCADE
) STRICT`,
];

/** The steps to the present version of a mailbox's database. */
export const MAILBOX_STEPS: readonly Step[] = [VERSION_1];
