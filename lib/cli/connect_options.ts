/** What the command line of `cifra connect` says. */
import type { RelayChoice } from "../client/conversation.ts";
import { DEFAULT_PORT } from "../client/server_address.ts";
import type { Bytes } from "../bytes.ts";
import { parseFingerprint } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import { ADVERTISED_ADDRESSES, PORT_MINIMUM } from "../limits.ts";
import { addressScope, canonicalAddress } from "../wire/address.ts";
import { requireName, SERVER_NAME } from "../wire/names.ts";
import { type GivenOptions, parseOptions } from "./args.ts";
import { type Acceptance, isAcceptance } from "./lobby_offers.ts";
import { DESCRIPTOR_MAXIMUM } from "./secrets.ts";
import { parseServerOptions, type ServerOptions } from "./server_options.ts";

/** Seconds without a connection after which a pipe ends. */
const PIPE_PATIENCE = 300;
/** Options about one person, and those about many. */
const FOR_ONE_PERSON = ["peer-key", "receive-port", "send-port", "give-up"];
const FOR_THE_LOBBY = ["hidden", "accept"];

export const CONNECT_HELP = `cifra connect: find a person and talk, encrypted end to end

Usage: cifra connect --name NAME [--to NAME] [options]

  --name NAME           who you are; your identity is made on first use
  --to NAME             whom you want; "server" talks to the server itself; without it you are in
                        the lobby, where you see who is there and talk to several people
  --hidden              in the lobby: the others are not told that you are there
  --accept WHOM         in the lobby, whose calls are answered by themselves: known (default), all, none
  --server HOST[:PORT]  the meeting place (default 127.0.0.1:${DEFAULT_PORT})
  --server-key KEY      the fingerprint that the server must have
  --invite              ask for the server's invite line; once is enough
  --invite-file FILE    read the invite line from a file
  --peer-key KEY        the fingerprint that the other person must have
  --accept-new          trust a server seen for the first time without asking
  --sign-up             leave your keys with the server under a password, or change that password
  --sign-in             fetch your keys from the server to this machine, with that password
  --password-fd N       read the password from this descriptor: 0 is the first line of standard
                        input, others must be pipes; without it you are asked
  --passphrase-fd N     the same for the passphrase of your keys (see cifra keys)
  --suite SUITE         modern (default), rsa, or classic, which is for study
  --receive-port PORT   listen for the other person there (default: any free port)
  --send-port PORT      dial from there (default: any free port)
  --advertise ADDRESS   another address of this machine in its network; may be repeated
  --relay-only          go through the server alone: the other person does not learn your address
  --no-relay            never go through the server
  --no-history          keep nothing of what was said once both sides have it
  --give-up SECONDS     a pipe that has lost its connection waits so long for it (default ${PIPE_PATIENCE})
  --state DIR           keep keys there (default: the state folder of this user)
  --trace               show every protocol message; never a secret
  --json                one JSON object per line on stdout; lines on stdin are messages

In the lobby /help lists what can be done. On a terminal you chat; what you write is kept until the other person has it, also over restarts.
With a pipe on stdin or stdout it is an encrypted pipe:
  tar c . | cifra connect --name alice --to bob
  cifra connect --name bob --to alice | tar x
`;

/** What it says. */
export interface ConnectOptions extends ServerOptions {
  /** Undefined in the lobby. */
  readonly to: string | undefined;
  readonly hidden: boolean;
  readonly accept: Acceptance;
  readonly peerKey: Bytes | undefined;
  readonly receivePort: number | undefined;
  readonly sendPort: number | undefined;
  readonly advertised: readonly string[];
  readonly relay: RelayChoice;
  readonly keepHistory: boolean;
  /** Milliseconds. */
  readonly giveUpAfter: number;
  readonly trace: boolean;
  readonly signUp: boolean;
  readonly signIn: boolean;
  readonly passwordFd: number | undefined;
}

/** Reads the arguments of `connect`; throws `usage` and `bad_name`. */
export function parseConnect(args: readonly string[]): ConnectOptions {
  const given = parseOptions(args, {
    flags: [
      "accept-new",
      "invite",
      "relay-only",
      "no-relay",
      "no-history",
      "hidden",
      "sign-up",
      "sign-in",
      "trace",
      "json",
      "help",
    ],
    values: [
      "name",
      "to",
      "server",
      "server-key",
      "invite-file",
      "peer-key",
      "suite",
      "receive-port",
      "send-port",
      "give-up",
      "accept",
      "state",
      "password-fd",
      "passphrase-fd",
    ],
    lists: ["advertise"],
  });
  const options = parseServerOptions(given);
  const to = given.value("to");
  if (to === undefined) refuseTogether(given, FOR_ONE_PERSON, "only makes sense with --to");
  else refuseTogether(given, FOR_THE_LOBBY, "only makes sense without --to");
  const accept = given.value("accept") ?? "known";
  if (!isAcceptance(accept)) {
    throw new CifraError("usage", `--accept must be known, all or none, got "${accept}"`);
  }
  if (to !== undefined && to !== SERVER_NAME) requireName(to);
  if (options.name === to) {
    throw new CifraError("usage", "--name and --to must be two different names");
  }
  const receivePort = given.integer("receive-port", PORT_MINIMUM, 65_535);
  const sendPort = given.integer("send-port", PORT_MINIMUM, 65_535);
  if (receivePort !== undefined && receivePort === sendPort) {
    throw new CifraError("usage", "--receive-port and --send-port must be two different ports");
  }
  if (given.flag("relay-only") && given.flag("no-relay")) {
    throw new CifraError("usage", "--relay-only and --no-relay leave no way to go");
  }
  const signUp = given.flag("sign-up"), signIn = given.flag("sign-in");
  if (signUp && signIn) {
    throw new CifraError("usage", "--sign-up makes an account and --sign-in uses it: one of them");
  }
  const passwordFd = given.integer("password-fd", 0, DESCRIPTOR_MAXIMUM);
  if (passwordFd !== undefined && !signUp && !signIn) {
    throw new CifraError("usage", "--password-fd only makes sense with --sign-up or --sign-in");
  }
  const giveUp = given.integer("give-up", 1, 1_000_000) ?? PIPE_PATIENCE;
  const peerKey = given.value("peer-key");
  return {
    ...options,
    to,
    hidden: given.flag("hidden"),
    accept,
    peerKey: peerKey === undefined ? undefined : parseFingerprint(peerKey),
    receivePort,
    sendPort,
    advertised: advertisedAddresses(given.list("advertise")),
    relay: given.flag("relay-only") ? "only" : given.flag("no-relay") ? "never" : "allowed",
    keepHistory: !given.flag("no-history"),
    giveUpAfter: giveUp * 1000,
    trace: given.flag("trace"),
    signUp,
    signIn,
    passwordFd,
  };
}

function refuseTogether(given: GivenOptions, options: readonly string[], why: string): void {
  const found = options.find((option) =>
    option === "hidden" ? given.flag(option) : given.value(option) !== undefined
  );
  if (found !== undefined) throw new CifraError("usage", `--${found} ${why}`);
}

function advertisedAddresses(texts: readonly string[]): readonly string[] {
  if (texts.length > ADVERTISED_ADDRESSES) {
    throw new CifraError("usage", `--advertise may be given ${ADVERTISED_ADDRESSES} times at most`);
  }
  return texts.map((text) => {
    const address = canonicalAddress(text);
    if (!address || addressScope(address) !== "private") {
      throw new CifraError(
        "usage",
        `--advertise must be an address of a private network, got "${text}"`,
      );
    }
    return address;
  });
}
