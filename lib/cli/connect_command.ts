/** The row of `cifra connect` in the table of commands. */
import { parseFingerprint } from "../crypto/identity.ts";
import { PAST_SHOWN, PIPE_PATIENCE, PORT_MINIMUM } from "../limits.ts";
import { OF_A_MEETING, STREAM_HEAP } from "./allowances.ts";
import { BELLS } from "./attention.ts";
import type { Command } from "./command.ts";
import { FILES } from "./file_options.ts";
import { readPeerName } from "./option_readers.ts";
import {
  ACCOUNT,
  COLOR,
  GIVE_UP,
  KEPT,
  KEYS_IN_USE,
  PLAIN,
  SERVER,
  settings,
  STATE,
  WAY,
} from "./options.ts";

/** Lines that are held in memory to be shown when a conversation is opened. */
const PAST_MOST = 1000;
const OWN_PORT = { kind: "number", value: "PORT", from: PORT_MINIMUM, to: 65_535 } as const;

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
    "The way to the other person": WAY,
    "Files": FILES,
    "Keys, disk and output": {
      ...KEYS_IN_USE,
      ...STATE,
      ...KEPT,
      ...settings("connect", {
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
    ...OF_A_MEETING,
    flags: [`--v8-flags=${STREAM_HEAP}`],
  },
} as const satisfies Command;
