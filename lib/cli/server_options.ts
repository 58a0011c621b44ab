/** The options of every command that goes to a server: who we are, where it is, whether it is trusted. */
import type { RelayChoice } from "../client/home.ts";
import { type ServerAddress, serverSubject } from "../client/server_address.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { DEFAULT_PORT } from "../limits.ts";
import type { Given } from "./args.ts";
import type { USERS } from "./commands.ts";
import type { CONNECT } from "./connect_command.ts";
import type { INBOX } from "./inbox_command.ts";
import type { RECEIVE } from "./receive_command.ts";
import type { SEND } from "./send_command.ts";
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

/** How connections to others are made. */
export function wayOf(
  given: Pick<Given<typeof CONNECT>, "advertise" | "relay-only" | "no-relay">,
): { readonly advertised: readonly string[]; readonly relay: RelayChoice } {
  return {
    advertised: given.advertise,
    relay: given["relay-only"] ? "only" : given["no-relay"] ? "never" : "allowed",
  };
}

/** What the options that all of these commands have say together. */
export function serverOptions(
  given:
    | Given<typeof USERS>
    | Given<typeof CONNECT>
    | Given<typeof SEND>
    | Given<typeof RECEIVE>
    | Given<typeof INBOX>,
): ServerOptions {
  const { server, "server-key": fingerprint, "give-up": giveUp } = given;
  return {
    name: given.name,
    server: fingerprint === undefined ? server : { ...server, fingerprint },
    inviteFile: given["invite-file"],
    askInvite: given.invite,
    acceptNew: given["accept-new"],
    suite: given.suite,
    state: given.state,
    passphraseFd: given["passphrase-fd"],
    giveUpAfter: giveUp === undefined ? undefined : giveUp * 1000,
  };
}
