/** Which server may be trusted: one that is pinned, one that the person names, or one the person is asked about. */
import type { Bytes } from "../bytes.ts";
import {
  formatFingerprint,
  generateIdentity,
  identityClassOf,
  type PublicIdentity,
} from "../crypto/identity.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import { CifraError } from "../errors.ts";
import type { Pins } from "./pins.ts";
import { isLoopback, serverSubject } from "./server_address.ts";
import { unproven } from "./server_dial.ts";
import { type ServerDialOptions, ServerLink } from "./server_link.ts";

/** How to reach a server, and whom to ask when it is not known. */
export interface TrustOptions extends Omit<ServerDialOptions, "pinned" | "checkServer"> {
  readonly servers: Pins;
  /** Trust a server that was never seen before, without asking. */
  readonly acceptNew: boolean;
  /** The server whose keys for this suite lie in our own state folder, if there is one. */
  readonly ownServer: () => Promise<PublicIdentity | undefined>;
  /**
   * Asks a person whether this is the fingerprint of the server, which is known by its key for another suite, if
   * it is; absent where there is nobody to ask.
   */
  readonly ask?: ((fingerprint: string, knownIn?: string) => Promise<boolean>) | undefined;
  /** Told when a server is trusted from now on; `knownAs` is where its key was known before. */
  readonly onPinned: (subject: string, fingerprint: string, knownAs?: string) => void;
}

/**
 * Connects to a server that may be trusted, and pins it once it has proved its key. Who is not pinned shows its
 * identity before we show ours. Throws `identity_unknown`, `identity_changed`, `suite_downgrade` when it is not
 * the one we know, `unreachable` and the errors of the ladder.
 */
export async function openServer(options: TrustOptions): Promise<ServerLink> {
  const { address, servers, suite } = options;
  const { fingerprint: named } = address;
  const subject = serverSubject(address);
  const pinned = await servers.find(subject, suite.name);
  if (pinned && (!named || timingSafeEqual(pinned.fingerprint, named))) {
    return await openPinned(options, pinned);
  }

  servers.requireUndamaged();
  if (named) {
    // Also with an invite: its secret in m2 proves no more than that somebody was invited.
    const server = await probe(options);
    if (!timingSafeEqual(server.fingerprint, named)) {
      throw otherThanNamed(subject, named, server.fingerprint);
    }
    return await pin(options, await openPinned(options, server, otherThanNamed));
  }
  if (options.acceptNew) return await pin(options, await ServerLink.open(options));
  const others = servers.inOtherSuites(subject, suite.name);
  const [other] = others;
  // Whoever is known by a key that holds is not met by one that does not, whatever a person would answer.
  if (other && (!options.ask || suite.name === "classic")) {
    throw otherSuite(subject, suite.name, other);
  }

  // Anybody may listen on this machine: what makes a server ours is that we hold its keys.
  const own = isLoopback(address) ? await options.ownServer() : undefined;
  const link = own && await openIfProven(options, own);
  if (link) return await pin(options, link);

  const server = await probe(options);
  const { fingerprint } = server;
  const known = servers.everybody.find((one) =>
    one.suite === suite.name && timingSafeEqual(one.fingerprint, fingerprint)
  );
  if (!known) await requireYes(options, subject, formatFingerprint(fingerprint), other?.suite);
  return await pin(options, await openPinned(options, server), known?.subject);
}

async function requireYes(
  { ask }: TrustOptions,
  subject: string,
  fingerprint: string,
  knownIn: string | undefined,
): Promise<void> {
  if (!ask) throw unknownServer(subject, fingerprint);
  if (await ask(fingerprint, knownIn)) return;
  throw new CifraError("identity_unknown", `Not connected: ${subject} is not trusted`);
}

/** Pins the server at the other end for its address. */
async function pin(
  { address, servers, suite, environment, onPinned }: TrustOptions,
  link: ServerLink,
  knownAs?: string,
): Promise<ServerLink> {
  const subject = serverSubject(address);
  try {
    await servers.pin(subject, suite.name, link.identity, new Date(environment.time.date()));
  } catch (error) {
    await link.leave();
    throw error;
  }
  onPinned(subject, formatFingerprint(link.identity.fingerprint), knownAs);
  return link;
}

/** Connects if this server answers; another one does not learn who we are. */
async function openIfProven(
  options: TrustOptions,
  pinned: PublicIdentity,
): Promise<ServerLink | undefined> {
  try {
    return await ServerLink.open({ ...options, pinned });
  } catch (error) {
    if (error instanceof CifraError && error.code === "auth_failed") return undefined;
    // It is not pinned yet: this is a first visit.
    throw unproven(error, false);
  }
}

/** Connects to a server whose identity is known; another one does not learn ours, and is told by `refused`. */
async function openPinned(
  options: TrustOptions,
  pinned: PublicIdentity,
  refused = changedServer,
): Promise<ServerLink> {
  const { fingerprint: expected } = pinned;
  const changed = (presented: Bytes) =>
    refused(serverSubject(options.address), expected, presented);
  const checkServer = (responder: PublicIdentity) => {
    if (!timingSafeEqual(responder.fingerprint, expected)) throw changed(responder.fingerprint);
  };
  try {
    return await ServerLink.open({ ...options, pinned, checkServer });
  } catch (error) {
    if (!(error instanceof CifraError) || error.code !== "auth_failed") throw error;
    // It could not prove that it is the server we know, before we said who we are. To tell the
    // person which key it has instead, knock once more under a name made up for the purpose.
    const stranger = await probe(options).catch(() => undefined);
    if (!stranger || timingSafeEqual(stranger.fingerprint, expected)) throw error;
    throw changed(stranger.fingerprint);
  }
}

/** Learns the identity of a server without showing it ours: under one made up for a single handshake. */
async function probe(options: TrustOptions): Promise<PublicIdentity> {
  const { identity } = await generateIdentity(identityClassOf(options.suite.signature));
  let responder: PublicIdentity | undefined;
  const checkServer = (answering: PublicIdentity) => {
    responder = answering;
    // The word of a program that ends: whoever only asks has done nothing for which its source should pay.
    throw new CifraError("shutdown", "Only asking");
  };
  try {
    await ServerLink.open({
      ...options,
      identity,
      sendPort: undefined,
      tickets: undefined,
      checkServer,
    });
  } catch (error) {
    if (responder) return responder;
    throw error;
  }
  throw new TypeError("A server was not checked");
}

function unknownServer(subject: string, fingerprint: string): CifraError {
  return new CifraError(
    "identity_unknown",
    `The server ${subject} is not known here; its fingerprint is ${fingerprint}`,
    {
      hint: "compare it with what the server prints, then pass --server-key FINGERPRINT, " +
        "or use --invite with the server's invite line, or --accept-new to trust it as it is",
    },
  );
}

function changedServer(subject: string, expected: Bytes, presented: Bytes): CifraError {
  return new CifraError(
    "identity_changed",
    `The server ${subject} has another key than before\n` +
      `  expected:  ${formatFingerprint(expected)}\n` +
      `  presented: ${formatFingerprint(presented)}`,
    {
      hint: "somebody may be in the middle: ask whoever runs the server; if the key was really " +
        "changed, pass --server-key with the new fingerprint",
    },
  );
}

/** The person has said which key it has, on the command line or by an invite line: there was none before. */
function otherThanNamed(subject: string, named: Bytes, presented: Bytes): CifraError {
  return new CifraError(
    "identity_changed",
    `The server ${subject} does not have the key that you gave\n` +
      `  given:     ${formatFingerprint(named)}\n` +
      `  presented: ${formatFingerprint(presented)}`,
    {
      hint: "the key or the address may be mistyped, or somebody may be in the middle: compare " +
        "the key that you gave with whoever runs the server",
    },
  );
}

function otherSuite(
  subject: string,
  suite: string,
  known: { readonly suite: string; readonly fingerprint: Bytes },
): CifraError {
  return new CifraError(
    "suite_downgrade",
    `The server ${subject} is known by its ${known.suite} key, not by one for ${suite}\n` +
      `  known: ${formatFingerprint(known.fingerprint)} (${known.suite})`,
    {
      hint: `if you mean to use ${suite}, pass --server-key with the ${suite} fingerprint that ` +
        "the server prints",
    },
  );
}
