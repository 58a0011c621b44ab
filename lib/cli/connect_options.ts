/** What the command line of `cifra connect` says. */
import type { Bytes } from "../bytes.ts";
import type { RelayChoice } from "../client/home.ts";
import type { Acceptance } from "../client/offers.ts";
import { CifraError } from "../errors.ts";
import { parse } from "./args.ts";
import type { Bell } from "./attention.ts";
import type { ColourChoice } from "./colours.ts";
import { CONNECT } from "./connect_command.ts";
import type { FileChoice } from "./file_options.ts";
import { type ServerOptions, serverOptions, wayOf } from "./server_options.ts";

/** What it says. */
export interface ConnectOptions extends ServerOptions {
  /** Undefined in the lobby. */
  readonly to: string | undefined;
  readonly hidden: boolean;
  readonly accept: Acceptance;
  readonly peerKey: Bytes | undefined;
  /** The folder where files are read and written, an absolute path; undefined: none are. */
  readonly files: string | undefined;
  /** Whose files are taken without asking, and up to how many bytes. */
  readonly acceptFiles: FileChoice["accept"];
  readonly limit: number | undefined;
  readonly receivePort: number | undefined;
  readonly sendPort: number | undefined;
  readonly advertised: readonly string[];
  readonly relay: RelayChoice;
  readonly keepHistory: boolean;
  /** Whether others are told what we have read. */
  readonly tellsRead: boolean;
  /** Lines of what was said before that are shown; 0 shows none. */
  readonly last: number;
  readonly times: boolean;
  readonly bell: Bell;
  readonly color: ColourChoice;
  readonly trace: boolean;
  readonly signUp: boolean;
  readonly signIn: boolean;
  readonly passwordFd: number | undefined;
}

/** Reads the arguments of `connect`; throws `usage` and `bad_name`. */
export function parseConnect(args: readonly string[]): ConnectOptions {
  const { given } = parse(CONNECT, args);
  const { name, to, "receive-port": receivePort, "send-port": sendPort } = given;
  if (name === to) {
    throw new CifraError("usage", "--name and --to must be two different names");
  }
  if (receivePort !== undefined && receivePort === sendPort) {
    throw new CifraError("usage", "--receive-port and --send-port must be two different ports");
  }
  return {
    ...serverOptions(given),
    to,
    hidden: given.hidden,
    accept: given.accept,
    peerKey: given["peer-key"],
    files: given.files,
    acceptFiles: given["accept-files"],
    limit: given.limit,
    receivePort,
    sendPort,
    ...wayOf(given),
    keepHistory: !given["no-history"],
    tellsRead: !given["no-receipts"],
    last: given.last,
    times: !given["no-times"],
    bell: given.bell,
    color: given.color,
    trace: given.trace,
    signUp: given["sign-up"],
    signIn: given["sign-in"],
    passwordFd: given["password-fd"],
  };
}
