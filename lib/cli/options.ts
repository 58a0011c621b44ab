/** What an option is, and the groups of options that several commands share. */
import { parseServerAddress } from "../client/server_address.ts";
import { parseFingerprint } from "../crypto/identity.ts";
import { STRONGEST_FIRST } from "../crypto/suite.ts";
import { ADVERTISED_ADDRESSES, DEFAULT_PORT } from "../limits.ts";
import { readAdvertised, readName } from "./option_readers.ts";

/** The largest descriptor that may be named. */
const DESCRIPTOR_MAXIMUM = 255;

/** The part of the settings to which an option belongs: that of one half, or what both share. */
export type Section = "both" | "connect" | "serve";

/** What every option has. */
interface Described {
  /** What it does: a clause without full stop. */
  readonly does: string;
  /** It makes sense only beside one of these. */
  readonly needs?: readonly string[];
  /** It makes no sense beside any of these. */
  readonly excludes?: readonly string[];
  /** The sentence that explains `excludes`; the parser has one for those that need no explanation. */
  readonly conflict?: string;
  /**
   * It may stand in cifra.toml, under its own name in this section, and in a variable of the environment. Never
   * with a secret, and not with what is meant once.
   */
  readonly setting?: Section;
  /** Without any of these it is as it was the last time. */
  readonly isRemembered?: true;
}

/** What every option with a value has. */
interface Valued extends Described {
  /** What stands for the value in help, such as `PORT`. */
  readonly value: string;
  /** The default, in words, where it is not a value of its own. */
  readonly otherwise?: string;
  /** The value is a path, and Deno must allow this access to it. */
  readonly access?: Access;
}

/** What a program does with a path. */
export interface Access {
  readonly path: "file" | "folder";
  readonly permissions: readonly ("read" | "write")[];
  /** How many files there are, if not one: the path, then the path with `.1` and so on. */
  readonly files?: number;
  /** Files of others come to this folder: nobody but its owner may have it in hand. */
  readonly receives?: true;
}

/** Given or not. */
export interface Flag extends Described {
  readonly kind: "flag";
}

/** Any text; `read` checks it and may turn it into something else. */
export interface Text extends Valued {
  readonly kind: "text";
  readonly default?: string;
  /** It cannot be left out; the text is the hint for whoever does. */
  readonly required?: string;
  /** It says what is to be run, for which Deno must allow to start the shell. */
  readonly runs?: true;
  /** Throws `usage` or `bad_name`. */
  readonly read?: (text: string) => unknown;
}

/** A whole number. */
export interface WholeNumber extends Valued {
  readonly kind: "number";
  readonly from: number;
  readonly to: number;
  readonly default?: number;
}

/** One of a few words. */
export interface Choice extends Valued {
  readonly kind: "choice";
  readonly choices: readonly string[];
  readonly default?: string;
}

/** Texts: the option may be repeated. */
export interface List extends Valued {
  readonly kind: "list";
  /** So many at most. */
  readonly most?: number;
  /** Throws `usage`. */
  readonly read?: (text: string) => unknown;
}

export type Option = Flag | Text | WholeNumber | Choice | List;

/** Options by name, without the dashes. */
export type OptionTable = Readonly<Record<string, Option>>;

type Read<O, Plain> = O extends { readonly read: (text: string) => infer T } ? T : Plain;
type Absent<O> = O extends { readonly default: unknown } | { readonly required: string } ? never
  : undefined;

/** What the parser makes of an option. */
export type Value<O> = O extends { readonly kind: "flag" } ? boolean
  : O extends { readonly kind: "list" } ? readonly Read<O, string>[]
  : O extends { readonly kind: "number" } ? number | Absent<O>
  : O extends { readonly choices: readonly (infer C)[] } ? C | Absent<O>
  : Read<O, string> | Absent<O>;

/** The same options, which may be settings as well. */
export function settings<S extends Section, const T extends OptionTable>(
  setting: S,
  table: T,
): { readonly [N in keyof T]: T[N] & { readonly setting: S } } {
  const rows = Object.entries(table).map(([name, option]) => [name, { ...option, setting }]);
  return Object.fromEntries(rows);
}

const DESCRIPTOR = { kind: "number", value: "N", from: 0, to: DESCRIPTOR_MAXIMUM } as const;

/** `path` names a file that is read. */
const READS_FILE = { path: "file", permissions: ["read"] } as const satisfies Access;
/** `path` names a file that is written. */
export const WRITES_FILE = { path: "file", permissions: ["write"] } as const satisfies Access;

/** Whose profile a command is about, where the only one there is will do. */
export const PROFILE = {
  name: {
    kind: "text",
    value: "NAME",
    does: "whose profile",
    otherwise: "the only one, or the one used last",
    read: readName,
    setting: "connect",
    isRemembered: true,
  },
} as const satisfies OptionTable;

/** Where everything is kept. */
export const STATE = {
  state: {
    kind: "text",
    value: "DIR",
    does: "where keys and messages are kept",
    otherwise: "the state folder of this user",
    access: { path: "folder", permissions: ["read", "write"] },
    setting: "both",
  },
} as const satisfies OptionTable;

/** How long a program without a connection waits for one. */
export const GIVE_UP = {
  kind: "number",
  value: "SECONDS",
  from: 0,
  to: 1_000_000,
  does: "how long to wait for the server, and a pipe for a lost connection; 0 does not wait",
  setting: "connect",
} as const;

/** Who we are, where the server is, and whether it is trusted. */
export const SERVER = {
  name: {
    kind: "text",
    value: "NAME",
    does: "who you are; your identity is made on first use",
    required: "it says who you are, for example: --name alice",
    read: readName,
    setting: "connect",
    isRemembered: true,
  },
  server: {
    kind: "text",
    value: "HOST[:PORT]",
    does: "the server",
    default: "127.0.0.1",
    otherwise: `127.0.0.1:${DEFAULT_PORT}`,
    read: parseServerAddress,
    setting: "connect",
    isRemembered: true,
  },
  "server-key": {
    kind: "text",
    value: "KEY",
    does: "the fingerprint that the server must have",
    read: parseFingerprint,
    setting: "connect",
  },
  invite: {
    kind: "flag",
    does: "ask for the server's invite line; once is enough",
    excludes: ["server", "server-key"],
    conflict: "An invite names the server and its key: leave --server and --server-key out",
  },
  "invite-file": {
    kind: "text",
    value: "FILE",
    does: "read the invite line from a file",
    access: READS_FILE,
    excludes: ["server", "server-key"],
    conflict: "An invite names the server and its key: leave --server and --server-key out",
  },
  "accept-new": {
    kind: "flag",
    does: "trust a server seen for the first time without asking",
  },
} as const satisfies OptionTable;

/** The keys that are used. */
export const KEYS_IN_USE = {
  suite: {
    kind: "choice",
    value: "SUITE",
    does: "modern, rsa, or classic, which is for study",
    choices: STRONGEST_FIRST,
    default: "modern",
    setting: "connect",
  },
  "passphrase-fd": {
    ...DESCRIPTOR,
    does: "read the passphrase of your keys from this descriptor: 0 is the first line of " +
      "standard input, others must be pipes",
    otherwise: "ask",
  },
} as const satisfies OptionTable;

/** What is kept of what is said, and what others are told of it. */
export const KEPT = settings("connect", {
  "no-history": {
    kind: "flag",
    does: "keep nothing of what was said once both sides have it",
  },
  "no-receipts": {
    kind: "flag",
    does: "tell nobody what you have read",
  },
});

/** The password of an account. */
export const ACCOUNT = {
  "sign-up": {
    kind: "flag",
    does: "leave your keys with the server under a password, or change that password",
  },
  "sign-in": {
    kind: "flag",
    does: "fetch your keys from the server to this machine, with that password",
    excludes: ["sign-up"],
    conflict: "--sign-up makes an account and --sign-in uses it: one of them",
  },
  "password-fd": {
    ...DESCRIPTOR,
    does: "read the password from this descriptor, like --passphrase-fd",
    needs: ["sign-up", "sign-in"],
    otherwise: "ask",
  },
} as const satisfies OptionTable;

/** How connections to others are made. */
export const WAY = settings("connect", {
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
});

/** Where a person types. */
export const PLAIN = {
  plain: {
    kind: "flag",
    does:
      "for screen readers: what stands on the screen stays as it is, and the terminal edits lines",
    setting: "both",
  },
} as const satisfies OptionTable;

/** Whether names are in colour. */
export const COLOR = {
  color: {
    kind: "choice",
    value: "WHEN",
    does: "names in colour: auto is on a terminal, unless NO_COLOR is set",
    choices: ["auto", "always", "never"],
    default: "auto",
    setting: "connect",
  },
} as const satisfies OptionTable;

/** How a command tells what it finds. */
export const OUTPUT = {
  json: { kind: "flag", does: "one JSON object per line on stdout" },
} as const satisfies OptionTable;
