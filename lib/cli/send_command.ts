/** The row of `cifra send` in the table of commands. */
import { encodeUtf8 } from "../bytes.ts";
import { parseFingerprint } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import { FILE_NAME_LIMIT, MAIL_PATIENCE, TEXT_LIMIT, WAIT_PATIENCE } from "../limits.ts";
import { isLine } from "../wire/line.ts";
import { OF_A_MEETING } from "./allowances.ts";
import type { Command } from "./command.ts";
import { readName } from "./option_readers.ts";
import { GIVE_UP, KEPT, KEYS_IN_USE, OUTPUT, SERVER, STATE, WAY } from "./options.ts";

const LONGEST_WAIT = 1_000_000;
/** The name of a stream: one that the other side's disk can have. Throws `usage`. */
function readStreamName(name: string): string {
  const isOne = isLine(name) && !/[/\0]/.test(name) && name !== "." && name !== "..";
  if (isOne && encodeUtf8(name).length <= FILE_NAME_LIMIT) return name;
  throw new CifraError("usage", "--as must be the name of a file, without a folder");
}

export const SEND = {
  name: "send",
  does: "send files, or leave one message for somebody, here or away, and go",
  words: [{ name: "FILE", isOptional: true, isMany: true, isFile: true, isRead: true }],
  options: {
    "What, and to whom": {
      to: {
        kind: "text",
        value: "NAME",
        does: "who it is for",
        required: "it says who it is for, for example: --to bob",
        read: readName,
      },
      text: {
        kind: "text",
        value: "TEXT",
        does: "the message; other users of this machine can see it while the command runs",
        otherwise: "standard input",
      },
      as: {
        kind: "text",
        value: "TEXT",
        does: "send standard input, which - stands for, as a file of this name",
        excludes: ["text"],
        read: readStreamName,
      },
      "peer-key": {
        kind: "text",
        value: "KEY",
        does: "the fingerprint that the other person must have",
        read: parseFingerprint,
      },
      wait: {
        kind: "choice",
        value: "STATE",
        does: "do not go before the message is stored over there, or read",
        choices: ["stored", "read"],
        otherwise: "go when it is on the server",
      },
      "wait-for": {
        kind: "number",
        value: "SECONDS",
        from: 1,
        to: LONGEST_WAIT,
        does: "for so long at the most",
        needs: ["wait"],
        default: WAIT_PATIENCE / 1000,
      },
    },
    "You and the server": {
      ...SERVER,
      "accept-new": {
        ...SERVER["accept-new"],
        does: "trust a server, and a person, seen for the first time without asking",
      },
      "give-up": {
        ...GIVE_UP,
        does: "how long to wait for the server, and with files for the other person",
        otherwise: `${MAIL_PATIENCE / 1000} for a message, else as long as it takes`,
      },
    },
    "The way to the other person": WAY,
    "Keys, disk and output": { ...KEYS_IN_USE, ...STATE, ...KEPT, ...OUTPUT },
  },
  about: [
    "Files and folders stand before the options; what is in a folder comes with it, and links are " +
    "not followed. They go straight to the other person, who takes them: until then it waits, and " +
    "what is interrupted goes on with the same command, from where it was. It exits with 0 when the " +
    "other person has all of it on their disk, and with 1 when something but links in folders was left out or not taken.",
    `Without any, it is a message. The message is what comes on standard input, at most ${
      TEXT_LIMIT / 1024
    } KiB; at a terminal ` +
    "it is typed, and Ctrl-D ends it. It is on your disk before anything else happens, and then " +
    "left at the server, sealed, for 14 days or until it is fetched.",
    "Then it exits with 0 when the message is on the server or further, and with 1 when it is only kept " +
    "here: then it goes with the next command that connects.",
  ],
  examples: [
    "cifra send thesis.pdf photos --name alice --to bob",
    'cifra send --name alice --to bob --text "the oven is free"',
    "uptime | cifra send --name alice --to bob",
    "tar c . | cifra send - --as backup.tar --name alice --to bob",
    "make 2>&1 | tail -n 20 | cifra send --name alice --to bob --wait read",
  ],
  permissions: OF_A_MEETING,
} as const satisfies Command;
