/**
 * The table of commands; the longest rows stand in files of their own. Parser, help, completions, man page,
 * lib/docs/options.md and the tasks of deno.json are made from it or checked against it.
 */
import { USERS_PATIENCE } from "../limits.ts";
import { DIALS, OF_A_PERSON } from "./allowances.ts";
import type { Command, Permissions } from "./command.ts";
import { CONNECT } from "./connect_command.ts";
import { INBOX } from "./inbox_command.ts";
import { KEYS } from "./keys_command.ts";
import { readPeerName } from "./option_readers.ts";
import { COLOR, GIVE_UP, KEYS_IN_USE, OUTPUT, PROFILE, SERVER, STATE } from "./options.ts";
import { RECEIVE } from "./receive_command.ts";
import { SEND } from "./send_command.ts";
import { SERVE } from "./serve_command.ts";
import { TRANSFERS } from "./transfers_command.ts";
import { readMoment } from "./wall_clock.ts";

/** Lines of a history that are held in memory to be shown. */
const HISTORY_MOST = 10_000;
const NO_PERMISSIONS: Permissions = { net: false, sys: [], env: [], files: "none" };

export const USERS = {
  name: "users",
  does: "print who is in the lobby, for scripts",
  options: {
    "Whom": {
      all: {
        kind: "flag",
        does: "everybody the server knows, here or not, with suite and fingerprint of each key",
      },
    },
    "You and the server": { ...SERVER, "give-up": { ...GIVE_UP, default: USERS_PATIENCE / 1000 } },
    "Keys and output": { ...KEYS_IN_USE, ...STATE, ...OUTPUT },
  },
  about: [
    'Each line is a name, and a tab and "away" for those who are away. The others are not told ' +
    "that you looked.",
    'With --all a line has a name, "here", "away" or "gone", a suite and a fingerprint, with tabs ' +
    "between them. Where somebody is it does not say, and who is hidden is gone like others.",
  ],
  examples: ["cifra users --name alice", "cifra users --name alice --all --json"],
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
      "passphrase-fd": KEYS_IN_USE["passphrase-fd"],
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
  // The socket of a running program counts as network: given up before anybody's words are read.
  permissions: { net: true, ...OF_A_PERSON, files: "state" },
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
  SEND,
  RECEIVE,
  TRANSFERS,
  INBOX,
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
