/** The options of every command that goes to a server: who we are, where it is, whether it is trusted. */
import {
  DEFAULT_PORT,
  parseServerAddress,
  type ServerAddress,
  serverSubject,
} from "../client/server_address.ts";
import { parseFingerprint } from "../crypto/identity.ts";
import { isSuiteName, SUITE_NAMES, type SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { requireName } from "../wire/names.ts";
import type { GivenOptions } from "./args.ts";
import { DESCRIPTOR_MAXIMUM } from "./secrets.ts";
import type { ServerChoice } from "./server_access.ts";

const DEFAULT_SERVER = `127.0.0.1:${DEFAULT_PORT}`;

/** What they say. */
export interface ServerOptions extends ServerChoice {
  readonly name: string;
  readonly server: ServerAddress;
  readonly suite: SuiteName;
  readonly state: string | undefined;
  /** The descriptor that gives the passphrase of our keys; undefined asks a person. */
  readonly passphraseFd: number | undefined;
}

/** What says who we are and where. */
export type ConnectingOptions = Pick<ServerOptions, "name" | "server" | "suite" | "state">;

/** How somebody would call `connect` with the same options, and those in `more`. */
export function connectCommand(options: ConnectingOptions, more: readonly string[]): string {
  const { name, server, suite, state } = options;
  const subject = serverSubject(server);
  const words = [
    "cifra",
    "connect",
    "--name",
    name,
    ...(subject === DEFAULT_SERVER ? [] : ["--server", subject]),
    ...(suite === "modern" ? [] : ["--suite", suite]),
    ...(state === undefined ? [] : ["--state", state]),
    ...more,
  ];
  return words.map((word) => /^[\w./:@%+,-]+$/.test(word) ? word : quote(word)).join(" ");
}

/** For a POSIX shell. */
function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** Reads them; throws `usage` and `bad_name`. */
export function parseServerOptions(given: GivenOptions): ServerOptions {
  const name = given.value("name");
  if (name === undefined) {
    throw new CifraError("usage", "--name is missing", {
      hint: "it says who you are, for example: --name alice",
    });
  }
  requireName(name);
  const suite = given.value("suite") ?? "modern";
  if (!isSuiteName(suite)) {
    throw new CifraError("usage", `--suite must be ${SUITE_NAMES.join(", ")}, got "${suite}"`);
  }
  const inviteFile = given.value("invite-file"), askInvite = given.flag("invite");
  const serverKey = given.value("server-key"), host = given.value("server");
  const isInvited = askInvite || inviteFile !== undefined;
  if (isInvited && (host !== undefined || serverKey !== undefined)) {
    throw new CifraError(
      "usage",
      "An invite names the server and its key: leave --server and --server-key out",
    );
  }
  const server = parseServerAddress(host ?? "127.0.0.1");
  const fingerprint = serverKey === undefined ? undefined : parseFingerprint(serverKey);
  return {
    name,
    server: fingerprint === undefined ? server : { ...server, fingerprint },
    inviteFile,
    askInvite,
    acceptNew: given.flag("accept-new"),
    suite,
    state: given.value("state"),
    passphraseFd: given.integer("passphrase-fd", 0, DESCRIPTOR_MAXIMUM),
  };
}
