/** How the memory of a server lies in its database. SQLite keeps the comments: whoever opens the file reads them. */
import { skeletonOf } from "../wire/names.ts";
import type { Step } from "./sqlite_file.ts";

/** As secret as what it holds: verifiers of passwords, at which its thief can guess, and keys sealed under them. */
const VERSION_1: Step = [
  `
CREATE TABLE name_key (
  -- A key that owns a name: the first that took it, and those that it vouched for.
  name        TEXT NOT NULL,
  skeleton    TEXT NOT NULL,  -- what the name looks like: names that look alike have the same
  suite       TEXT NOT NULL CHECK (suite IN ('modern', 'rsa', 'classic')),
  fingerprint TEXT NOT NULL UNIQUE CHECK (length(fingerprint) = 64),  -- hexadecimal
  bundle      BLOB NOT NULL,     -- the public identity
  sequence    BLOB NOT NULL CHECK (length(sequence) = 8),  -- of the owner's claim, big-endian, growing
  not_after   INTEGER NOT NULL,  -- until when the claim holds
  signature   BLOB NOT NULL,     -- of the claim, by the key
  created     INTEGER NOT NULL,  -- times are milliseconds since 1970
  last_seen   INTEGER NOT NULL,
  PRIMARY KEY (name, suite)
) STRICT, WITHOUT ROWID`,
  "CREATE INDEX name_key_skeleton ON name_key (skeleton)",
  `
CREATE TABLE account (
  -- What proves that somebody knows a password. The password cannot be read from it, only guessed.
  name       TEXT PRIMARY KEY,
  salt       BLOB NOT NULL CHECK (length(salt) = 16),
  memory     INTEGER NOT NULL,  -- KiB that a guess costs
  passes     INTEGER NOT NULL,
  stored_key BLOB NOT NULL CHECK (length(stored_key) = 64),
  server_key BLOB NOT NULL CHECK (length(server_key) = 64),
  backup     BLOB NOT NULL,     -- the owner's keys, sealed under the password; empty for none
  created    INTEGER NOT NULL
) STRICT, WITHOUT ROWID`,
  `
CREATE TABLE invite (
  id      TEXT PRIMARY KEY CHECK (length(id) = 32),  -- hexadecimal; the secret is not here
  serial  BLOB NOT NULL CHECK (length(serial) = 16),
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  uses    INTEGER NOT NULL CHECK (uses >= 0)  -- how many more may come in with it
) STRICT, WITHOUT ROWID`,
  `
CREATE TABLE ban (
  kind    TEXT NOT NULL CHECK (kind IN ('name', 'key')),
  subject TEXT NOT NULL,
  since   INTEGER NOT NULL,
  PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID`,
];

/** Claims were signed under another label: each owner signs anew with their next registration. */
const VERSION_2: Step = ["UPDATE name_key SET not_after = 0"];

/**
 * More names look alike, and each registration is counted, not each claim alone. Two names that look alike
 * from now on stay with their owners.
 */
const VERSION_3: Step = [
  // Of the last registration, which need not have brought a claim to keep; big-endian.
  "ALTER TABLE name_key ADD COLUMN last_sequence BLOB NOT NULL DEFAULT x'0000000000000000'",
  "UPDATE name_key SET last_sequence = sequence",
  (database) =>
    database.function("skeleton_of", { deterministic: true }, (name) => skeletonOf(String(name))),
  "UPDATE name_key SET skeleton = skeleton_of(name)",
];

/**
 * The line that a server prints is an invite like the others, and by which invite somebody came is known. A ban
 * of a key says for whose sake it was made, so that it can be lifted by that name when the name is forgotten.
 */
const VERSION_4: Step = [
  "ALTER TABLE name_key ADD COLUMN invite TEXT",
  "ALTER TABLE invite ADD COLUMN standing INTEGER NOT NULL DEFAULT 0", // 1 for the one that is printed
  "ALTER TABLE ban ADD COLUMN name TEXT",
  `UPDATE ban SET name =
    (SELECT name FROM name_key WHERE kind = 'key' AND name_key.fingerprint = subject)`,
];

/** The steps to the present version of a server's database. */
export const SERVER_STEPS: readonly Step[] = [VERSION_1, VERSION_2, VERSION_3, VERSION_4];
