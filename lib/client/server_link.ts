/** The client's connection to its server: trust, the ladder, the registration, the wait. */
import type { Bytes } from "../bytes.ts";
import {
  formatFingerprint,
  generateIdentity,
  type Identity,
  identityClassOf,
  type PublicIdentity,
} from "../crypto/identity.ts";
import type { KemKeyPair } from "../crypto/kem.ts";
import { systemRandom, timingSafeEqual } from "../crypto/platform.ts";
import { CifraError } from "../errors.ts";
import { startInitiator } from "../handshake/initiator.ts";
import { HANDSHAKE_DEADLINE } from "../limits.ts";
import { dial, type TcpTransport } from "../net/tcp.ts";
import type { Ticker } from "../net/ticker.ts";
import { Channel } from "../session/channel.ts";
import { climb } from "../session/climb.ts";
import { Connection } from "../session/connection.ts";
import { type Endpoint, formatEndpoint } from "../wire/address.ts";
import { FrameKind } from "../wire/frame.ts";
import { encodeInvitePreface } from "../wire/handshake_messages.ts";
import { CloseCode, type Item, ItemType } from "../wire/records.ts";
import {
  decodeServerResponse,
  encodeServerRequest,
  type Introduction,
  refusalOf,
  type Registration,
  type ServerResponse,
} from "../wire/rendezvous_messages.ts";
import type { Profile } from "./profile.ts";
import { isLoopback, type ServerAddress, serverSubject } from "./server_address.ts";
import type { Tracer } from "./trace.ts";

const NO_CONTEXT = new Uint8Array(0);
const NO_PSK = new Uint8Array(32);

/** How to reach a server, and whom to ask when it is not known. */
export interface ServerLinkOptions {
  readonly address: ServerAddress;
  readonly profile: Profile;
  readonly envelopeKey: () => Promise<KemKeyPair>;
  readonly ticker: Ticker;
  /** Trust a server that was never seen before, without asking. */
  readonly acceptNew: boolean;
  /** Asks a person whether this is the fingerprint of the server; absent where there is nobody to ask. */
  readonly ask?: ((fingerprint: string) => Promise<boolean>) | undefined;
  /** Told when a server is trusted from now on, and why. */
  readonly onPinned: (subject: string, fingerprint: string) => void;
  readonly trace?: Tracer | undefined;
}

/** The last word of the server while we wait. */
export type ServerNews =
  | { readonly type: "introduction"; readonly introduction: Introduction }
  | {
    readonly type: "suite-mismatch";
    readonly peerName: string;
    readonly peerSuite: number;
    readonly yourSuite: number;
  };

/** An open channel to the server. */
export class ServerLink {
  readonly channel: Channel;
  /** Our end of the connection. */
  readonly local: Endpoint;
  /** The server's end of it. */
  readonly remote: Endpoint;
  readonly #trace: Tracer | undefined;
  readonly #untick: () => void;
  readonly #heard: Item[] = [];

  private constructor(
    channel: Channel,
    transport: TcpTransport,
    trace: Tracer | undefined,
    untick: () => void,
  ) {
    this.channel = channel;
    this.local = transport.local;
    this.remote = transport.remote;
    this.#trace = trace;
    this.#untick = untick;
  }

  /**
   * Connects and climbs the ladder. Throws `identity_unknown`, `identity_changed`, `suite_downgrade`
   * when the server is not the one we know, `unreachable` and the errors of the ladder.
   */
  static async open(options: ServerLinkOptions): Promise<ServerLink> {
    const { address, profile, ask } = options;
    const { servers, suite } = profile;
    const subject = serverSubject(address);
    const pinned = await servers.find(subject, suite.name);
    const expected = address.fingerprint ?? pinned?.fingerprint;
    if (expected) return await this.#openKnown(options, pinned, expected);

    servers.requireUndamaged();
    if (!options.acceptNew) {
      const others = servers.inOtherSuites(subject, suite.name);
      if (others.length > 0) throw otherSuite(subject, suite.name, others[0]!);
      if (!isLoopback(address)) {
        const stranger = await this.#probe(options);
        const fingerprint = formatFingerprint(stranger.fingerprint);
        if (!ask) throw unknownServer(subject, fingerprint);
        if (!await ask(fingerprint)) {
          throw new CifraError("identity_unknown", `Not connected: ${subject} is not trusted`);
        }
        await servers.pin(subject, suite.name, stranger, new Date());
        options.onPinned(subject, fingerprint);
        return await this.#openKnown(options, stranger, stranger.fingerprint);
      }
    }
    const link = await this.#connect(options, profile.identity, undefined, () => {});
    await link.#pin(options);
    return link;
  }

  /** Connects to a server whose fingerprint is known, from a pin or from the person. */
  static async #openKnown(
    options: ServerLinkOptions,
    pinned: PublicIdentity | undefined,
    expected: Bytes,
  ): Promise<ServerLink> {
    const { profile } = options;
    const subject = serverSubject(options.address);
    const pinFits = pinned !== undefined && timingSafeEqual(pinned.fingerprint, expected);
    const check = (responder: PublicIdentity) => {
      if (timingSafeEqual(responder.fingerprint, expected)) return;
      throw changedServer(subject, expected, responder.fingerprint);
    };
    try {
      const known = pinFits ? pinned : undefined;
      const link = await this.#connect(options, profile.identity, known, check);
      if (!pinFits) await link.#pin(options);
      return link;
    } catch (error) {
      if (!(error instanceof CifraError) || error.code !== "auth_failed" || !pinFits) throw error;
      // It could not prove that it is the server we know, before we said who we are. To tell the
      // person which key it has instead, knock once more under a name made up for the purpose.
      const stranger = await this.#probe(options).catch(() => undefined);
      if (!stranger || timingSafeEqual(stranger.fingerprint, expected)) throw error;
      throw changedServer(subject, expected, stranger.fingerprint);
    }
  }

  /** Learns the identity of a server without showing it ours: under one made up for a single handshake. */
  static async #probe(options: ServerLinkOptions): Promise<PublicIdentity> {
    const { identity } = await generateIdentity(identityClassOf(options.profile.suite.signature));
    let responder: PublicIdentity | undefined;
    const connecting = this.#connect(options, identity, undefined, (answering) => {
      responder = answering;
      throw new CifraError("identity_unknown", "Only asking");
    });
    const refusal = await connecting.then(unexpected, (error) => error);
    if (!responder) throw refusal;
    return responder;
  }

  static async #connect(
    options: ServerLinkOptions,
    identity: Identity,
    pinned: PublicIdentity | undefined,
    checkResponder: (responder: PublicIdentity) => void,
  ): Promise<ServerLink> {
    const { address, profile, envelopeKey, ticker, trace } = options;
    const secret = address.inviteSecret;
    // Before the dial: making an RSA key may take longer than a server waits for a first byte.
    const start = await startInitiator({
      mode: secret ? 3 : 1,
      context: NO_CONTEXT,
      psk: secret ?? NO_PSK,
      random: systemRandom,
      ours: { suite: profile.suite, identity, envelopeKey },
      pinned,
      checkResponder,
    });
    const transport = await dial(address.host, address.port);
    const connection = patientConnection(transport);
    let tick = (now: number) => connection.enforceDeadlines(now);
    const untick = ticker.add((now) => tick(now));
    try {
      if (secret) await connection.sendFrame(FrameKind.preface, encodeInvitePreface(secret));
      const established = await climb(connection, start, {
        onEvent: trace && ((event) => trace({ with: "server", ...event })),
      });
      const channel = await Channel.open(connection, established, () => performance.now());
      tick = (now) => channel.tick(now);
      return new ServerLink(channel, transport, trace, untick);
    } catch (error) {
      untick();
      connection.close();
      throw explainRefusal(error, profile.suite.name, secret !== undefined);
    }
  }

  /** The fingerprint of the server. */
  get fingerprint(): Bytes {
    return this.channel.established.theirs.fingerprint;
  }

  /** m7 and m8: takes a name and says whom we wait for; resolves to our address as the server sees it. */
  async register(registration: Registration): Promise<Endpoint> {
    const { channel } = this;
    const body = encodeServerRequest({ type: "register", ...registration });
    const algorithm = channel.established.suite.aead.name;
    this.#trace?.({
      with: "server",
      message: 7,
      direction: "sent",
      name: "registration",
      algorithm,
      length: channel.frameLength(body.length),
      detail: `${registration.name} wants ${registration.wanted}, receive port ` +
        `${registration.receivePort}, send port ${registration.sendPort}`,
    });
    channel.send(ItemType.request, body);
    const response = await this.#nextResponse();
    if (response.type !== "registered") throw unexpected();
    this.#trace?.({
      with: "server",
      message: 8,
      direction: "received",
      name: "ok",
      algorithm,
      length: channel.frameLength(0),
      detail: `seen at ${formatEndpoint(response.observed)}`,
    });
    return response.observed;
  }

  /** Waits, for as long as it takes, until the server has something to say. */
  async nextNews(): Promise<ServerNews> {
    const response = await this.#nextResponse();
    if (response.type === "suiteMismatch") return { ...response, type: "suite-mismatch" };
    if (response.type !== "introduction") throw unexpected();
    const { type, ...introduction } = response;
    const length = this.channel.frameLength(introduction.bundle.length);
    this.#trace?.({
      with: "server",
      message: undefined,
      direction: "received",
      name: type,
      algorithm: this.channel.established.suite.aead.name,
      length,
      detail: `${introduction.peerName} at ` +
        introduction.addresses.map((host) =>
          formatEndpoint({ host, port: introduction.receivePort })
        ).join(", "),
    });
    return { type, introduction };
  }

  /** Leaves the server. */
  async close(): Promise<void> {
    this.#untick();
    await this.channel.close(CloseCode.done);
    this.channel.destroy();
  }

  async #nextResponse(): Promise<ServerResponse> {
    // What the server says in one go shares a record.
    if (this.#heard.length === 0) {
      const items = await this.channel.receive();
      if (!items) throw this.#ending();
      this.#heard.push(...items);
    }
    const item = this.#heard.shift()!;
    if (item.type !== ItemType.response) throw unexpected();
    const response = decodeServerResponse(item.body);
    if (response.type === "refused") {
      const hint = response.retryAfter > 0 ? `try again in ${response.retryAfter} s` : undefined;
      throw new CifraError(
        refusalOf(response.code),
        `The server refused: ${response.reason}`,
        hint === undefined ? {} : { hint },
      );
    }
    return response;
  }

  #ending(): CifraError {
    if (this.channel.goodbye?.code === CloseCode.shutdown) {
      return new CifraError("shutdown", "The server is shutting down", {
        hint: "connect again when it is back",
      });
    }
    return this.channel.failure ?? new CifraError("cut", "The server ended the connection");
  }

  async #pin({ address, profile, onPinned }: ServerLinkOptions): Promise<void> {
    const subject = serverSubject(address);
    const { theirs } = this.channel.established;
    await profile.servers.pin(subject, profile.suite.name, theirs, new Date());
    onPinned(subject, formatFingerprint(theirs.fingerprint));
  }
}

/** A server that makes its first RSA key may be silent for as long as a handshake takes. */
function patientConnection(transport: TcpTransport): Connection {
  return new Connection(transport, () => performance.now(), HANDSHAKE_DEADLINE);
}

/** A server that hangs up before its first word has no room, or has had enough of us. */
function explainRefusal(error: unknown, suite: string, invited: boolean): unknown {
  if (!(error instanceof CifraError)) return error;
  if (error.code === "suite_refused") {
    return new CifraError("suite_refused", `The server does not accept the suite ${suite}`, {
      cause: error,
      hint: suite === "classic"
        ? "the server must be started with --allow-classic"
        : "use the suite that the server offers",
    });
  }
  if (error.code !== "cut") return error;
  return new CifraError("cut", "The server hung up during the key agreement", {
    cause: error,
    hint: invited
      ? "it may be full, or the invite is no longer good: ask for a new line and use --invite"
      : "it may be full or refuse this address for a while; try again in a minute",
  });
}

function unexpected(): CifraError {
  return new CifraError("bad_state", "The server said something out of turn", {
    hint: "use the same version of cifra on both sides",
  });
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
