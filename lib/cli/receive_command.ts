/** The row of `cifra receive` in the table of commands. */
import { parseFingerprint } from "../crypto/identity.ts";
import { OF_A_MEETING } from "./allowances.ts";
import type { Command } from "./command.ts";
import { LIMIT } from "./file_options.ts";
import { readFolder } from "./here.ts";
import { readName } from "./option_readers.ts";
import { GIVE_UP, KEPT, KEYS_IN_USE, OUTPUT, SERVER, STATE, WAY } from "./options.ts";

export const RECEIVE = {
  name: "receive",
  does: "take files that others send",
  options: {
    "From whom, and where to": {
      from: {
        kind: "text",
        value: "NAME",
        does: "ask for this person, and take what they offer",
        otherwise: "be in the lobby, and take what those offer whom --accept says",
        read: readName,
      },
      into: {
        kind: "text",
        value: "DIR",
        does: "the folder it comes to; nothing in it is ever replaced",
        default: ".",
        otherwise: "where the command is given",
        access: { path: "folder", permissions: ["read", "write"], receives: true },
        read: readFolder,
      },
      accept: {
        kind: "choice",
        value: "WHOM",
        does: "whose files are taken without asking: those of known people, of all, or none",
        choices: ["known", "all", "none"],
        otherwise: "known, or whom --from names",
      },
      ...LIMIT,
      keep: { kind: "flag", does: "stay when all has come, and take what comes next" },
      "peer-key": {
        kind: "text",
        value: "KEY",
        does: "the fingerprint that the other person must have",
        needs: ["from"],
        read: parseFingerprint,
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
        does: "how long to wait for the server, and for somebody to be there",
        otherwise: "as long as it takes",
      },
    },
    "The way to the other person": WAY,
    "Keys, disk and output": { ...KEYS_IN_USE, ...STATE, ...KEPT, ...OUTPUT },
  },
  about: [
    "It ends when what has begun to come is there, with 0 when nothing of it is missing. What was " +
    "interrupted goes on the next time, from where it was, into the folder where it began. What is " +
    "not taken without asking is asked about at a terminal, and elsewhere left until somebody says.",
    "While it comes it lies in a folder .cifra-ID in that folder; it gets its names when all of it " +
    "is there. A name that this system cannot have, or that is taken, is changed, and that is said.",
  ],
  examples: [
    "cifra receive --name bob --from alice",
    "cifra receive --name bob --into ~/Downloads --accept known --limit 2GB --keep",
  ],
  permissions: OF_A_MEETING,
} as const satisfies Command;
