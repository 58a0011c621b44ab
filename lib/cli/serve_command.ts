/** The row of `cifra serve` in the table of commands. */
import {
  CONNECTIONS_PER_KEY,
  CONNECTIONS_PER_SOURCE,
  CONNECTIONS_TOTAL,
  DEFAULT_PORT,
  HANDSHAKES_PER_MINUTE,
  INTRODUCTIONS_PER_HOUR,
  LOG_FILE_LIMIT,
  LOG_FILES,
  MAILBOX_BUDGET,
  NEW_NAMES_PER_DAY,
  RELAY_RATE,
  RELAY_RATE_PER_SOURCE,
  RELAYED_PAIRS,
  RELAYED_PER_KEY,
  RELAYED_PER_SOURCE,
  STORE_BUDGET,
  STRANGERS_PER_SOURCE,
  STRANGERS_TOTAL,
} from "../limits.ts";
import { lineOf } from "../wire/line.ts";
import { VARIABLES_OF_TASKS } from "./allowances.ts";
import type { Command } from "./command.ts";
import { readCount, readHost, readInviteHost, readTitle } from "./option_readers.ts";
import { OUTPUT, PLAIN, settings, STATE, WRITES_FILE } from "./options.ts";

const MIB = 1024 * 1024;
/** Any number of something that is at least one. */
const COUNT = { kind: "number", value: "N", from: 1, to: 1_000_000 } as const;
/** The same, or 0 for something else. */
const COUNT_OR_ZERO = { kind: "number", value: "N", from: 0, to: 1_000_000 } as const;
const ANY_PORT = { kind: "number", value: "PORT", from: 0, to: 65_535 } as const;

export const SERVE = {
  name: "serve",
  does: "run the server",
  actions: {
    title: "While a server runs, on its machine",
    rows: [
      {
        name: "console",
        does: "give it commands, as on its own terminal; help lists them",
        words: [],
        options: ["state", "plain", "json"],
        unneeded: ["networkInterfaces"],
      },
      {
        name: "invite",
        does: "print a new invite line (7 days, for one person)",
        words: [
          { name: "DAYS", isOptional: true, read: readCount },
          { name: "USES", isOptional: true, read: readCount },
        ],
        options: ["state", "json"],
        unneeded: ["networkInterfaces"],
      },
    ],
  },
  options: {
    "Where it listens": settings("serve", {
      host: {
        kind: "list",
        value: "ADDRESS",
        does: "listen there; 0.0.0.0 for the whole network",
        otherwise: "127.0.0.1 and ::1, this machine alone",
        read: readHost,
      },
      port: { ...ANY_PORT, does: "listen there; 0 takes any free port", default: DEFAULT_PORT },
      "invite-host": {
        kind: "text",
        value: "HOST",
        does: "the name or address of this machine in the invite line",
        otherwise: "the likeliest of its addresses",
        read: readInviteHost,
      },
      title: {
        kind: "text",
        value: "NAME",
        does: "what clients see as the name of the server",
        default: lineOf("cifra server"),
        read: readTitle,
      },
      http: {
        ...ANY_PORT,
        does: "answer GET /healthz and /metrics there, for this machine alone; 0 takes any port",
      },
    }),
    "Who may come in": settings("serve", {
      admission: {
        kind: "choice",
        value: "MODE",
        does: "open: everybody; invite: whoever has an invite line; accounts: whoever has, or " +
          "makes, an account",
        choices: ["open", "invite", "accounts"],
        otherwise: "open on this machine alone, invite on a network",
      },
      "allow-classic": {
        kind: "flag",
        does: "also accept the suite classic, which is for study",
      },
    }),
    "Limits": settings("serve", {
      "max-connections": {
        ...COUNT_OR_ZERO,
        does: "clients at once; 0 sets no limit",
        default: CONNECTIONS_TOTAL,
      },
      "max-connections-per-key": {
        ...COUNT_OR_ZERO,
        does: "the same, of one key; 0 sets no limit",
        default: CONNECTIONS_PER_KEY,
      },
      "max-connections-per-address": {
        ...COUNT_OR_ZERO,
        does: "the same, from one address; 0 sets no limit",
        default: CONNECTIONS_PER_SOURCE,
      },
      "max-strangers": {
        ...COUNT_OR_ZERO,
        does: "clients that have not shown who they are, at once; 0 sets no limit",
        default: STRANGERS_TOTAL,
      },
      "max-strangers-per-address": {
        ...COUNT_OR_ZERO,
        does: "the same, from one address; 0 sets no limit",
        default: STRANGERS_PER_SOURCE,
      },
      "handshakes-per-minute": {
        ...COUNT_OR_ZERO,
        does: "handshakes from one address that come to nothing; 0 sets no limit",
        default: HANDSHAKES_PER_MINUTE,
      },
      "no-penalties": {
        kind: "flag",
        does: "do not count failed handshakes against their address",
      },
      "no-quotas": {
        kind: "flag",
        does: "let each client ask, write and change its password as often as it likes",
      },
      "new-names-per-day": {
        ...COUNT_OR_ZERO,
        does: "new names from one address; 0 sets no limit",
        default: NEW_NAMES_PER_DAY,
      },
      "introductions-per-hour": {
        ...COUNT_OR_ZERO,
        does: "people somebody may meet for the first time; 0 sets no limit",
        default: INTRODUCTIONS_PER_HOUR,
      },
      "no-relay": {
        kind: "flag",
        does: "do not forward between people who cannot reach each other",
      },
      "max-relayed": {
        ...COUNT,
        does: "pairs of people to forward between, at once",
        default: RELAYED_PAIRS,
      },
      "max-relayed-per-key": {
        ...COUNT_OR_ZERO,
        does: "the same, of one key; 0 sets no limit",
        default: RELAYED_PER_KEY,
      },
      "max-relayed-per-address": {
        ...COUNT_OR_ZERO,
        does: "the same, from one address; 0 sets no limit",
        default: RELAYED_PER_SOURCE,
      },
      "relay-rate": {
        ...COUNT_OR_ZERO,
        value: "MIB",
        does: "MiB a second for each of them; 0 sets no limit",
        default: RELAY_RATE / MIB,
      },
      "relay-rate-per-address": {
        ...COUNT_OR_ZERO,
        value: "MIB",
        does: "MiB a second for all from one address; 0 sets no limit",
        default: RELAY_RATE_PER_SOURCE / MIB,
      },
    }),
    "Disk and output": {
      state: { ...STATE.state, does: "where keys, names and accounts are kept" },
      budget: {
        ...COUNT,
        value: "MIB",
        does: "MiB of disk for names and accounts",
        default: STORE_BUDGET / MIB,
        setting: "serve",
      },
      "no-mailbox": {
        kind: "flag",
        does: "keep nothing for people who are not here",
        setting: "serve",
      },
      "mailbox-budget": {
        ...COUNT,
        value: "MIB",
        does: "MiB of disk for what is left for people who are not here",
        default: MAILBOX_BUDGET / MIB,
        setting: "serve",
      },
      backup: {
        kind: "text",
        value: "FILE",
        does:
          "copy the database of names and accounts to a file and exit; also while a server runs",
        access: WRITES_FILE,
      },
      log: {
        kind: "text",
        value: "FILE",
        does: `log there as well, as JSON lines: up to ${LOG_FILES} files of ${
          LOG_FILE_LIMIT / MIB
        } MiB`,
        access: { path: "file", permissions: ["read", "write"], files: LOG_FILES },
        setting: "serve",
      },
      ...settings("serve", {
        "log-ip": { kind: "flag", does: "log addresses, not tags for them" },
        "log-people": { kind: "flag", does: "log who asks for whom and who was introduced" },
        trace: { kind: "flag", does: "log every step of the handshakes; never a secret" },
      }),
      ...PLAIN,
      ...OUTPUT,
    },
  },
  about: ["On its terminal the server takes commands; help lists them."],
  examples: [
    'cifra serve --host 0.0.0.0 --title "Lab 3"',
    "cifra serve invite 30 25",
  ],
  permissions: {
    net: true,
    sys: ["uid", "networkInterfaces"],
    env: VARIABLES_OF_TASKS,
    files: "state",
    suspends: true,
    // A server holds much and computes little.
    flags: ["--v8-flags=--optimize-for-size"],
  },
} as const satisfies Command;
