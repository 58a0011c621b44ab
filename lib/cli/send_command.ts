/** The row of `cifra send` in the table of commands. */
import { parseFingerprint } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import { MAIL_PATIENCE, TEXT_LIMIT, WAIT_PATIENCE } from "../limits.ts";
import { DIALS, OF_A_PERSON } from "./allowances.ts";
import type { Command } from "./command.ts";
import { readName } from "./option_readers.ts";
import { GIVE_UP, KEPT, KEYS_IN_USE, OUTPUT, SERVER, STATE } from "./options.ts";

const LONGEST_WAIT = 1_000_000;
/** A word that was meant as a text would be sent as one, or as a file, by whatever happens to lie there. */
function refuseFile(word: string): never {
  throw new CifraError("usage", `"${word}" stands for a file, and files cannot be sent yet`, {
    hint: "a text comes on standard input or after --text; what is longer goes through a pipe: " +
      "cifra connect --to NAME < FILE",
  });
}

export const SEND = {
  name: "send",
  does: "leave one message for somebody, here or away, and go",
  refuseWord: refuseFile,
  options: {
    "What, and to whom": {
      to: {
        kind: "text",
        value: "NAME",
        does: "who the message is for",
        required: "it says who the message is for, for example: --to bob",
        read: readName,
      },
      text: {
        kind: "text",
        value: "TEXT",
        does: "the message; other users of this machine can see it while the command runs",
        otherwise: "standard input",
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
      "give-up": { ...GIVE_UP, default: MAIL_PATIENCE / 1000 },
    },
    "Keys, disk and output": { ...KEYS_IN_USE, ...STATE, ...KEPT, ...OUTPUT },
  },
  about: [
    `The message is what comes on standard input, at most ${
      TEXT_LIMIT / 1024
    } KiB; at a terminal ` +
    "it is typed, and Ctrl-D ends it. It is on your disk before anything else happens, and then " +
    "left at the server, sealed, for 14 days or until it is fetched.",
    "It exits with 0 when the message is on the server or further, and with 1 when it is only kept " +
    "here: then it goes with the next command that connects.",
  ],
  examples: [
    'cifra send --name alice --to bob --text "the oven is free"',
    "uptime | cifra send --name alice --to bob",
    "make 2>&1 | tail -n 20 | cifra send --name alice --to bob --wait read",
  ],
  permissions: { ...DIALS, ...OF_A_PERSON, files: "state" },
} as const satisfies Command;
