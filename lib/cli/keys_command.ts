/** The row of `cifra keys` in the table of commands. */
import { STRONGEST_FIRST } from "../crypto/suite.ts";
import { OF_A_PERSON } from "./allowances.ts";
import type { Command } from "./command.ts";
import { readName } from "./option_readers.ts";
import { KEYS_IN_USE, OUTPUT, PROFILE, STATE } from "./options.ts";

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
