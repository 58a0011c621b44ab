/** The row of `cifra transfers` in the table of commands. */
import { DIALS, OF_A_PERSON } from "./allowances.ts";
import type { Command } from "./command.ts";
import { KEYS_IN_USE, OUTPUT, PROFILE, STATE } from "./options.ts";

const EVERYWHERE = ["name", "suite", "passphrase-fd", "state", "json"] as const;

export const TRANSFERS = {
  name: "transfers",
  does: "list files that are not over there or here yet, and cancel them",
  actions: {
    title: "Actions",
    otherwise: "list",
    rows: [
      {
        name: "list",
        does: "print what is offered and what is on its way, the oldest first",
        words: [],
        options: [...EVERYWHERE, "all"],
      },
      {
        name: "cancel",
        does: "end one, whoever sends it; the other side is told",
        words: [{ name: "ID" }],
        options: EVERYWHERE,
      },
    ],
  },
  options: {
    "Options": {
      all: { kind: "flag", does: "also what is over, with list" },
      ...PROFILE,
      ...KEYS_IN_USE,
      ...STATE,
      ...OUTPUT,
    },
  },
  about: [
    "A line has the beginning of an id, with whom, what, and how it stands. While another cifra runs " +
    "as the same person, that one is asked. Where none does, the other side learns of what is " +
    "cancelled when somebody connects the next time.",
  ],
  examples: ["cifra transfers --name alice", "cifra transfers cancel 3f2a --name alice"],
  permissions: { ...DIALS, ...OF_A_PERSON, files: "state" },
} as const satisfies Command;
