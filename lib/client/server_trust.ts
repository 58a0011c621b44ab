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
import { type ServerDialOptions, ServerLink } from "./server_link.ts";

/** How to reach a server, and whom to ask when it is not known. */
export interface TrustOptions extends Omit<ServerDialOptions, "pinned" | "checkServer"> {
  readonly servers: Pins;
  /** Trust a server that was never seen before, without asking. */
  readonly acceptNew: boolean;
  /** Asks a person whether this is the fingerprint of the server; absent where there is nobody to ask. */
  readonly ask?: ((fingerprint: string) => Promise<boolean>) | undefined;
  /** Told when a server is trusted from now on, and why. */
  readonly onPinned: (subject: string, fingerprint: string) => void;
}

/**
 * Connects to a server that may be trusted, and pins it. Throws `identity_unknown`, `identity_changed`,
 * `suite_downgrade` when it is not the one we know, `unreachable` and the errors of the ladder.
 */
export async function openServer(options: TrustOptions): Promise<ServerLink> {
  const { address, servers, suite, ask } = options;
  const subject = serverSubject(address);
  const pinned = await servers.find(subject, suite.name);
  const expected = address.fingerprint ?? pinned?.fingerprint;
  if (expected) return await openKnown(options, pinned, expected);

  servers.requireUndamaged();
  if (!options.acceptNew) {
    const others = servers.inOtherSuites(subject, suite.name);
    if (others.length > 0) throw otherSuite(subject, suite.name, others[0]!);
    if (!isLoopback(address)) {
      const stranger = await probe(options);
      const fingerprint = formatFingerprint(stranger.fingerprint);
      if (!ask) throw unknownServer(subject, fingerprint);
      if (!await ask(fingerprint)) {
        throw new CifraError("identity_unknown", `Not connected: ${subject} is not trusted`);
      }
      await pin(options, stranger);
      return await openKnown(options, stranger, stranger.fingerprint);
    }
  }
  const link = await ServerLink.open(options);
  await pin(options, link.identity);
  return link;
}

/** Connects to a server whose fingerprint is known, from a pin or from the person. */
async function openKnown(
  options: TrustOptions,
  pinned: PublicIdentity | undefined,
  expected: Bytes,
): Promise<ServerLink> {
  const subject = serverSubject(options.address);
  const pinFits = pinned !== undefined && timingSafeEqual(pinned.fingerprint, expected);
  const checkServer = (responder: PublicIdentity) => {
    if (timingSafeEqual(responder.fingerprint, expected)) return;
    throw changedServer(subject, expected, responder.fingerprint);
  };
  try {
    const link = await ServerLink.open({
      ...options,
      pinned: pinFits ? pinned : undefined,
      checkServer,
    });
    if (!pinFits) await pin(options, link.identity);
    return link;
  } catch (error) {
    if (!(error instanceof CifraError) || error.code !== "auth_failed" || !pinFits) throw error;
    // It could not prove that it is the server we know, before we said who we are. To tell the
    // person which key it has instead, knock once more under a name made up for the purpose.
    const stranger = await probe(options).catch(() => undefined);
    if (!stranger || timingSafeEqual(stranger.fingerprint, expected)) throw error;
    throw changedServer(subject, expected, stranger.fingerprint);
  }
}

/** Learns the identity of a server without showing it ours: under one made up for a single handshake. */
async function probe(options: TrustOptions): Promise<PublicIdentity> {
  const { identity } = await generateIdentity(identityClassOf(options.suite.signature));
  let responder: PublicIdentity | undefined;
  const checkServer = (answering: PublicIdentity) => {
    responder = answering;
    throw new CifraError("identity_unknown", "Only asking");
  };
  try {
    await ServerLink.open({ ...options, identity, sendPort: undefined, checkServer });
  } catch (error) {
    if (responder) return responder;
    throw error;
  }
  throw new TypeError("A server was not checked");
}

async function pin(
  { address, servers, suite, environment, onPinned }: TrustOptions,
  server: PublicIdentity,
): Promise<void> {
  const subject = serverSubject(address);
  await servers.pin(subject, suite.name, server, new Date(environment.time.date()));
  onPinned(subject, formatFingerprint(server.fingerprint));
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
