/** The row of `cifra inbox` in the table of commands. */
import { MAIL_PATIENCE } from "../limits.ts";
import { DIALS, OF_A_PERSON } from "./allowances.ts";
import type { Command } from "./command.ts";
import { readName } from "./option_readers.ts";
import { COLOR, GIVE_UP, KEPT, KEYS_IN_USE, OUTPUT, SERVER, STATE } from "./options.ts";

export const INBOX = {
  name: "inbox",
  does: "print what was left for you, and what is unread",
  options: {
    "What": {
      from: {
        kind: "text",
        value: "NAME",
        does: "only what this person wrote",
        otherwise: "what everybody wrote",
        read: readName,
      },
      accept: {
        kind: "choice",
        value: "WHOM",
        does: "whose mail is opened: that of people you know, or of all, who are known by their " +
          "keys from then on",
        choices: ["known", "all"],
        default: "known",
      },
      follow: { kind: "flag", does: "stay, and print what comes" },
      exec: {
        kind: "text",
        value: "COMMAND",
        does: "print nothing, but run this in the shell for each message, which is its standard " +
          "input; the message is read when the command succeeds",
        runs: true,
        excludes: ["json"],
        conflict: "With --exec nothing is printed: leave --json out",
      },
      early: {
        kind: "flag",
        does: "only show messages that wait for others before them, as they are; nothing changes",
        excludes: ["follow", "exec"],
      },
    },
    "You and the server": { ...SERVER, "give-up": { ...GIVE_UP, default: MAIL_PATIENCE / 1000 } },
    "Keys, disk and output": { ...KEYS_IN_USE, ...STATE, ...KEPT, ...COLOR, ...OUTPUT },
  },
  about: [
    "What is printed is read from then on, and whoever wrote it is told, unless you say " +
    "--no-receipts. What has no reader any more, as when a pipe is closed, stays unread. It exits " +
    "with 0 also when there is nothing.",
    "A command of --exec finds the name of the writer in CIFRA_FROM, when it was written in " +
    "CIFRA_WRITTEN and its number in CIFRA_NUMBER. When it fails the message stays unread, what the " +
    "same person wrote after it waits as well, and the exit code is 1.",
  ],
  examples: [
    "cifra inbox --name alice",
    "cifra inbox --name alice --from bob --exec 'cat >> bob.txt'",
    "cifra inbox --name alice --follow --json",
  ],
  permissions: { ...DIALS, ...OF_A_PERSON, files: "state", runs: true, suspends: true },
} as const satisfies Command;
