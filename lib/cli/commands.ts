/**
 * The table of commands. Parser, help, completions, man page, lib/docs/options.md and the tasks of deno.json
 * are made from it or checked against it.
 */
import { parseFingerprint } from "../crypto/identity.ts";
import { STRONGEST_FIRST } from "../crypto/suite.ts";
import {
  ADVERTISED_ADDRESSES,
  CONNECTIONS_PER_KEY,
  CONNECTIONS_PER_SOURCE,
  CONNECTIONS_TOTAL,
  DEFAULT_PORT,
  HANDSHAKES_PER_MINUTE,
  INTRODUCTIONS_PER_HOUR,
  LOG_FILE_LIMIT,
  LOG_FILES,
  NEW_NAMES_PER_DAY,
  PAST_SHOWN,
  PIPE_PATIENCE,
  PORT_MINIMUM,
  RELAY_RATE,
  RELAY_RATE_PER_SOURCE,
  RELAYED_PAIRS,
  RELAYED_PER_KEY,
  RELAYED_PER_SOURCE,
  STORE_BUDGET,
  STRANGERS_PER_SOURCE,
  STRANGERS_TOTAL,
  USERS_PATIENCE,
} from "../limits.ts";
import { NEVER_DIALLED } from "../net/never_dialled.ts";
import { lineOf } from "../wire/line.ts";
import { VARIABLES_OF_TASKS } from "./allowances.ts";
import { BELLS } from "./attention.ts";
import type { Command, Permissions } from "./command.ts";
import {
  readAdvertised,
  readCount,
  readHost,
  readInviteHost,
  readName,
  readPeerName,
  readTitle,
} from "./option_readers.ts";
import {
  ACCOUNT,
  COLOR,
  GIVE_UP,
  KEYS_IN_USE,
  OUTPUT,
  PLAIN,
  PROFILE,
  SERVER,
  settings,
  STATE,
  WRITES_FILE,
} from "./options.ts";
import { readMoment } from "./wall_clock.ts";

const MIB = 1024 * 1024;
/** Lines that are held in memory to be shown: of a conversation that is opened, and of a history. */
const PAST_MOST = 1000;
const HISTORY_MOST = 10_000;
const NO_PERMISSIONS: Permissions = { net: false, sys: [], env: [], files: "none" };
/** Of somebody who dials where others say. */
const DIALS = { net: true, denyNet: NEVER_DIALLED } as const;
const OF_A_PERSON = { sys: ["uid"], env: VARIABLES_OF_TASKS } as const;

/** Any number of something that is at least one. */
const COUNT = { kind: "number", value: "N", from: 1, to: 1_000_000 } as const;
/** The same, or 0 for something else. */
const COUNT_OR_ZERO = { kind: "number", value: "N", from: 0, to: 1_000_000 } as const;
const ANY_PORT = { kind: "number", value: "PORT", from: 0, to: 65_535 } as const;
const OWN_PORT = { kind: "number", value: "PORT", from: PORT_MINIMUM, to: 65_535 } as const;

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

export const CONNECT = {
  name: "connect",
  does: "find people and talk, encrypted end to end",
  options: {
    "You and the server": {
      ...SERVER,
      ...ACCOUNT,
      "give-up": {
        ...GIVE_UP,
        otherwise: `${PIPE_PATIENCE / 1000} for a pipe, else as long as it takes`,
      },
    },
    "With one person": {
      to: {
        kind: "text",
        value: "NAME",
        does: 'talk to this person, or with "server" to the server itself',
        otherwise: "be in the lobby, see who is there and talk to several people",
        read: readPeerName,
      },
      "peer-key": {
        kind: "text",
        value: "KEY",
        does: "the fingerprint that the other person must have",
        needs: ["to"],
        read: parseFingerprint,
      },
      "receive-port": {
        ...OWN_PORT,
        does: "listen for the other person there",
        needs: ["to"],
        otherwise: "any free port",
        setting: "connect",
      },
      "send-port": {
        ...OWN_PORT,
        does: "dial from there",
        needs: ["to"],
        otherwise: "any free port",
        setting: "connect",
      },
    },
    "In the lobby, without --to": settings("connect", {
      hidden: {
        kind: "flag",
        does: "the others are not told that you are there",
        excludes: ["to"],
      },
      accept: {
        kind: "choice",
        value: "WHOM",
        does: "whose calls are answered automatically: known people, all, or none",
        choices: ["known", "all", "none"],
        default: "known",
        excludes: ["to"],
      },
    }),
    "The way to the other person": settings("connect", {
      advertise: {
        kind: "list",
        value: "ADDRESS",
        does: "another address of this machine in its network",
        most: ADVERTISED_ADDRESSES,
        read: readAdvertised,
      },
      "relay-only": {
        kind: "flag",
        does: "go through the server alone: the other person does not learn your address",
        excludes: ["no-relay"],
        conflict: "--relay-only and --no-relay leave no way to go",
      },
      "no-relay": { kind: "flag", does: "never go through the server" },
    }),
    "Keys, disk and output": {
      ...KEYS_IN_USE,
      ...STATE,
      ...settings("connect", {
        "no-history": {
          kind: "flag",
          does: "keep nothing of what was said once both sides have it",
        },
        last: {
          kind: "number",
          value: "N",
          from: 0,
          to: PAST_MOST,
          does: "so many lines of what was said before are shown when you turn to somebody",
          default: PAST_SHOWN,
        },
        bell: {
          kind: "choice",
          value: "WHEN",
          does: "ring for all messages, for mentions of your name, or off; /bell changes it",
          choices: BELLS,
          default: "off",
        },
        "no-times": { kind: "flag", does: "show no time beside what is said" },
        trace: {
          kind: "flag",
          does: "show every protocol message by its kind and size; never what is in it",
        },
      }),
      ...PLAIN,
      ...COLOR,
      json: {
        kind: "flag",
        does:
          "one JSON object per line on stdout; lines on stdin are messages, or commands in the " +
          "lobby",
      },
    },
  },
  about: [
    "On a terminal you chat, and /help lists what else can be done. What you write is kept until " +
    "the other person has it, also over restarts. With a pipe on stdin or stdout it is an " +
    "encrypted pipe.",
  ],
  examples: [
    "cifra connect --name alice --to bob",
    "tar c . | cifra connect --name alice --to bob",
    "cifra connect --name bob --to alice | tar x",
  ],
  permissions: {
    ...DIALS,
    ...OF_A_PERSON,
    // A machine that has moved to another network is noticed by its addresses.
    sys: ["uid", "networkInterfaces"],
    files: "state",
    suspends: true,
  },
} as const satisfies Command;

export const USERS = {
  name: "users",
  does: "print who is in the lobby, for scripts",
  options: {
    "You and the server": { ...SERVER, "give-up": { ...GIVE_UP, default: USERS_PATIENCE / 1000 } },
    "Keys and output": { ...KEYS_IN_USE, ...STATE, ...OUTPUT },
  },
  about: [
    'Each line is a name, and a tab and "away" for those who are away. The others are not told ' +
    "that you looked.",
  ],
  examples: ["cifra users --name alice"],
  permissions: { ...DIALS, ...OF_A_PERSON, files: "state" },
} as const satisfies Command;

export const HISTORY = {
  name: "history",
  does: "print what was said, as it is kept on this machine",
  options: {
    "Options": {
      with: {
        kind: "text",
        value: "NAME",
        does: "only what was said with this person",
        otherwise: "with everybody",
        read: readPeerName,
      },
      search: {
        kind: "text",
        value: "TEXT",
        does: "only messages with this text in them, whatever its case and Unicode form",
      },
      last: {
        kind: "number",
        value: "N",
        from: 1,
        to: HISTORY_MOST,
        does: "only the newest, so many of them",
        otherwise: "all",
      },
      since: {
        kind: "text",
        value: "WHEN",
        does: "only what was written then or later: 2026-11-21, 2026-11-21T10:03, 10:03, 2h, 3d",
        read: (text: string) => readMoment(text),
      },
      ...PROFILE,
      ...STATE,
      ...COLOR,
      ...OUTPUT,
    },
  },
  about: [
    "Times are those of whoever wrote the message. What the other side does not have yet is " +
    "marked (queued).",
  ],
  examples: ["cifra history --with bob --search dinner"],
  permissions: { net: false, ...OF_A_PERSON, files: "state" },
} as const satisfies Command;

const OF_KEYS = ["name", "state", "json"] as const;
const WITH_PASSPHRASE = [...OF_KEYS, "passphrase-fd"] as const;
/** All but verify, which asks at a socket file: that counts as network. */
const OFFLINE = ["net"] as const;

export const KEYS = {
  name: "keys",
  does: "your keys, and those of the people you know",
  actions: {
    title: "What to do",
    otherwise: "show",
    rows: [
      {
        name: "show",
        does: "print your fingerprints, and where your keys are (the default)",
        words: [],
        options: WITH_PASSPHRASE,
        unneeded: OFFLINE,
      },
      {
        name: "peers",
        does: "print whom you know, by which key, and whether you have compared words",
        words: [],
        options: WITH_PASSPHRASE,
        unneeded: OFFLINE,
      },
      {
        name: "verify",
        does: "print the words to compare; mark the person when you say that they are the same",
        words: [{ name: "PERSON", read: readName }],
        options: [...WITH_PASSPHRASE, "suite", "yes"],
      },
      {
        name: "unpin",
        does: "forget a person's key: whoever comes next by that name is new to you",
        words: [{ name: "PERSON", read: readName }],
        options: WITH_PASSPHRASE,
        unneeded: OFFLINE,
      },
      {
        name: "passphrase",
        does: "seal your keys on this disk by a passphrase, change it, or remove it",
        words: [],
        options: WITH_PASSPHRASE,
        unneeded: OFFLINE,
      },
      {
        name: "export",
        does: "write all your keys to a file for another machine, sealed by a passphrase",
        words: [{ name: "FILE", isFile: true }],
        options: WITH_PASSPHRASE,
        unneeded: OFFLINE,
      },
      {
        name: "import",
        does: "take your keys from such a file",
        words: [{ name: "FILE", isFile: true }],
        options: WITH_PASSPHRASE,
        unneeded: OFFLINE,
        // The file says whose they are.
        typed: ["name"],
      },
    ],
  },
  options: {
    "Options": {
      ...PROFILE,
      suite: {
        kind: "choice",
        value: "SUITE",
        does: "the key for this suite, with verify",
        choices: STRONGEST_FIRST,
        otherwise: "modern, if there is one",
      },
      yes: { kind: "flag", does: "the words are the same, do not ask, with verify" },
      "passphrase-fd": {
        ...KEYS_IN_USE["passphrase-fd"],
        does:
          "read passphrases from this descriptor, a line for each, in the order in which they " +
          "would be asked for: 0 is standard input, others must be pipes",
      },
      ...STATE,
      ...OUTPUT,
    },
  },
  about: [
    "A passphrase protects your keys where somebody else gets at this disk. Without it nobody can " +
    "read them, not even you. What was on the disk before it was set may still be found there.",
    "This command uses no network. It gives up the permission at once, except for verify, which asks " +
    "a running cifra connect over a socket file on this machine.",
  ],
  examples: [
    "cifra keys verify bob",
    "cifra keys export alice.keys --name alice",
  ],
  permissions: { net: true, ...OF_A_PERSON, files: "all" },
} as const satisfies Command;

export const CONFIG = {
  name: "config",
  does: "print every setting and where it comes from",
  options: { "Options": { ...STATE, ...OUTPUT } },
  about: [
    "An option wins over a variable such as CIFRA_SERVER, that over the file cifra.toml, and that " +
    "over what was used the last time. Secrets are no settings.",
  ],
  examples: ["cifra config"],
  permissions: { net: false, ...OF_A_PERSON, files: "looked at" },
} as const satisfies Command;

/** The shells that completions are made for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

export const HELP = {
  name: "help",
  does: "explain a command",
  words: [{ name: "COMMAND", isOptional: true }],
  options: {},
  about: ["Every command takes --help as well."],
  examples: ["cifra help connect"],
  permissions: NO_PERMISSIONS,
} as const satisfies Command;

export const COMPLETIONS = {
  name: "completions",
  does: "print completions for a shell",
  words: [{ name: "SHELL", choices: SHELLS }],
  options: {},
  about: [
    "For bash, add the first example to ~/.bashrc. For zsh, save them as _cifra in a folder of " +
    "your $fpath. For fish, save them as cifra.fish in ~/.config/fish/completions.",
  ],
  examples: [
    "source <(cifra completions bash)",
    "cifra completions fish > ~/.config/fish/completions/cifra.fish",
  ],
  permissions: NO_PERMISSIONS,
} as const satisfies Command;

export const MAN = {
  name: "man",
  does: "print the manual page",
  options: {},
  about: ["It is written in roff, for man, mandoc or groff."],
  examples: ["cifra man > ~/.local/share/man/man1/cifra.1", "cifra man | man -l -"],
  permissions: NO_PERMISSIONS,
} as const satisfies Command;

/** Every command, in the order of help. */
export const COMMANDS = [
  SERVE,
  CONNECT,
  USERS,
  HISTORY,
  KEYS,
  CONFIG,
  HELP,
  COMPLETIONS,
  MAN,
] as const;

export type CommandName = typeof COMMANDS[number]["name"];

/** The exit codes of every command, and what they mean. */
export const EXIT_CODES: readonly (readonly [number, string])[] = [
  [0, "done"],
  [1, "failed"],
  [2, "wrong command line, or wrong settings"],
  [3, "somebody is not who we know"],
  [130, "interrupted"],
];
