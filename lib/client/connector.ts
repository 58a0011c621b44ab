/**
 * Where two introduced programs find each other, for as long as their conversation lasts: both listen,
 * both dial, the server relays if it must, and the one with the lower fingerprint chooses which
 * connection carries the conversation (PROTOCOL.md 3.8).
 */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import type { Identity, PublicIdentity } from "../crypto/identity.ts";
import type { KemKeyPair } from "../crypto/kem.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import type { Suite } from "../crypto/suite.ts";
import { CifraError, toCifraError } from "../errors.ts";
import { startInitiator } from "../handshake/initiator.ts";
import { startResponder } from "../handshake/responder.ts";
import type { HandshakeEvent } from "../handshake/state.ts";
import {
  CHANNEL_GRACE,
  DIAL_ATTEMPTS,
  MEETING_DEADLINE,
  PREFACE_DEADLINE,
  PUNCH_PAUSE,
  PUNCH_TRIES,
  RELAY_HEAD_START,
} from "../limits.ts";
import { delay } from "../flow/delay.ts";
import type { Environment } from "../net/environment.ts";
import type { TcpTransport } from "../net/transports.ts";
import type { Ticker } from "../flow/ticker.ts";
import { Channel } from "../channel/channel.ts";
import { runHandshake } from "../channel/run_handshake.ts";
import { Connection } from "../channel/connection.ts";
import type { Transport } from "../channel/transport.ts";
import { addressScope, type Endpoint, formatEndpoint } from "../wire/address.ts";
import { FrameKind } from "../wire/frame.ts";
import {
  decodePeerPreface,
  peerContext,
  peerPreface,
  peerPrefaceToken,
} from "../wire/handshake_messages.ts";
import { decode, encode } from "../wire/layout.ts";
import { type LogPosition, peerHello, peerWelcome } from "../wire/peer_messages.ts";
import { type Item, ItemType } from "../wire/records.ts";
import type { Introduction } from "../wire/rendezvous_messages.ts";
import { Backoff } from "../flow/backoff.ts";
import type { Tracer } from "./trace.ts";

/** Strangers that may knock at the receive port at once; each has three seconds for its preface. */
const KNOCKING_LIMIT = 16;
/** Connections from the introduction at once: more than both can need, whoever has seen a preface go by. */
const CANDIDATES_LIMIT = 32;

/** The way a conversation goes. */
export type Path =
  | { readonly type: "direct"; readonly remote: Endpoint; readonly dialledBy: "us" | "peer" }
  /** Both dialled at the same moment, from send port to send port. */
  | { readonly type: "punched"; readonly remote: Endpoint }
  /** Through the server, which forwards what it cannot read. */
  | { readonly type: "relay" };

/** A channel to the peer, fresh from the ladder. */
export interface Meeting {
  readonly channel: Channel;
  readonly path: Path;
  /** Where the peer's side of the conversation stands. */
  readonly theirs: LogPosition;
}

/** What is needed to meet a peer. */
export interface ConnectorOptions {
  readonly environment: Environment;
  readonly ticker: Ticker;
  readonly ourName: string;
  readonly suite: Suite;
  readonly identity: Identity;
  readonly ephemeralKey: () => Promise<KemKeyPair>;
  readonly introduction: Introduction;
  /** The peer's identity, read from the introduction and found good. */
  readonly peer: PublicIdentity;
  /** The local port of our dials; undefined when we do not dial. */
  readonly sendPort: number | undefined;
  /** Whether the server is on this machine, so that the peer may be too (attack A13). */
  readonly allowLoopback: boolean;
  /** The relayed stream of this introduction, if there is one. */
  readonly relay: Transport | undefined;
  /** Where our side of the conversation stands; `theirLog` is the peer's log, once it is known. */
  readonly position: (theirLog?: Bytes) => LogPosition;
  /** What carries the conversation at present, and since when by the monotonic clock. */
  readonly live: () => { readonly path: Path; readonly since: number } | undefined;
  /** Told of each channel; it takes the place of the one before. */
  readonly onMeeting: (meeting: Meeting) => void;
  readonly trace?: Tracer | undefined;
}

/** How to look for the peer. */
export interface SeekOptions {
  /** Also through the server. */
  readonly relay: boolean;
  /** Milliseconds before the first dial. */
  readonly after: number;
}

/** A connection on which both sides have shown that they come from the same introduction. */
interface Candidate {
  readonly connection: Connection;
  readonly path: Path;
}

/** The meeting place of one introduction. */
export class Connector {
  readonly #options: ConnectorOptions;
  readonly #isInitiator: boolean;
  readonly #candidates = new Set<Candidate>();
  /** Those at our receive port who have not yet shown that they come from the introduction. */
  readonly #strangers = new Set<Connection>();
  readonly #failures = new Map<string, string>();
  readonly #untick: () => void;
  #relay: Transport | undefined;
  #seeking: AbortController | undefined;
  #closed = false;
  /** Initiator: the handshake under way, so that there is one at a time. */
  #handshaking = false;
  /** Responder: the candidate whose m1 came last; a later one takes its place. */
  #latest: Candidate | undefined;

  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.#relay = options.relay;
    const ours = encodeHex(options.identity.fingerprint);
    this.#isInitiator = ours < encodeHex(options.peer.fingerprint);
    this.#untick = options.ticker.add((now) => {
      for (const { connection } of this.#candidates) connection.enforceDeadlines(now);
      for (const stranger of this.#strangers) stranger.enforceDeadlines(now);
    });
  }

  /** What was tried in vain, a line for each way. */
  get failures(): readonly string[] {
    return [...this.#failures].map(([where, why]) => `${where}: ${why}`);
  }

  /** Whether a connection is there that may become the channel. */
  get isBusy(): boolean {
    return this.#candidates.size > 0;
  }

  /** Looks for the peer from now on, until `rest`. */
  seek({ relay, after }: SeekOptions): void {
    this.rest();
    if (this.#closed) return;
    const { introduction: { addresses, receivePort, punch }, sendPort } = this.#options;
    const seeking = new AbortController();
    this.#seeking = seeking;
    const { signal } = seeking;
    if (sendPort !== undefined) {
      for (const host of addresses.slice(0, DIAL_ATTEMPTS - punch.length)) {
        this.#dial(sendPort, { host, port: receivePort }, after, signal);
      }
      for (const endpoint of punch) this.#punch(sendPort, endpoint, after, signal);
    }
    if (relay) this.#tryRelay(sendPort === undefined ? 0 : RELAY_HEAD_START, signal);
  }

  /** Stops looking. Whoever comes to our receive port from this introduction is still let in. */
  rest(): void {
    this.#seeking?.abort();
    this.#seeking = undefined;
  }

  /** Ends it: nobody is let in any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.rest();
    this.#untick();
    for (const stranger of this.#strangers) stranger.close();
    for (const { connection } of this.#candidates) connection.close();
    this.#relay?.close();
    this.#relay = undefined;
  }

  /** Dials one address until it answers; and again when what came of it has failed. */
  #dial(sendPort: number, remote: Endpoint, after: number, signal: AbortSignal): Promise<void> {
    return this.#knock(sendPort, remote, after, signal, {
      path: { type: "direct", remote, dialledBy: "us" },
      // The other side may be busy with another candidate for as long as the meeting takes.
      greet: (connection) => connection.sendFrame(FrameKind.preface, this.#preface()),
      quickTries: 0,
    });
  }

  /**
   * Dials the peer's send port from ours while the peer does the same: each NAT takes what comes for an
   * answer to what went out. Nobody listens there, so it works only when both dial at once.
   */
  #punch(sendPort: number, remote: Endpoint, after: number, signal: AbortSignal): Promise<void> {
    return this.#knock(sendPort, remote, after, signal, {
      path: { type: "punched", remote },
      greet: (connection) => this.#exchangePrefaces(connection),
      quickTries: PUNCH_TRIES,
    });
  }

  /** Dials again and again; the first tries, of those that fail in a row, follow each other quickly. */
  async #knock(
    sendPort: number,
    remote: Endpoint,
    after: number,
    signal: AbortSignal,
    { path, greet, quickTries }: {
      readonly path: Path;
      readonly greet: (connection: Connection) => Promise<void>;
      readonly quickTries: number;
    },
  ): Promise<void> {
    const { environment: { time, network, random } } = this.#options;
    if (!this.#mayDial(remote)) return;
    const backoff = new Backoff(random);
    await delay(time, after, signal);
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        const transport = await network.dialFrom(sendPort, remote, signal);
        const connection = this.#connection(transport, signal);
        await greet(connection);
        await this.#consider({ connection, path });
        attempt = 0;
      } catch (error) {
        this.#failed(remote, error, signal);
      }
      await delay(time, attempt < quickTries ? PUNCH_PAUSE : backoff.next(), signal);
    }
  }

  /** There is one stream for an introduction: when it has failed, it takes another introduction. */
  async #tryRelay(headStart: number, signal: AbortSignal): Promise<void> {
    await delay(this.#options.environment.time, headStart, signal);
    const relay = this.#relay;
    if (signal.aborted || !relay) return;
    this.#relay = undefined;
    const connection = this.#connection(relay, signal);
    try {
      await this.#exchangePrefaces(connection);
      await this.#consider({ connection, path: { type: "relay" } });
    } catch (error) {
      connection.close();
      if (!signal.aborted) this.#failures.set("relay", toCifraError(error).message);
    }
  }

  #mayDial({ host, port }: Endpoint): boolean {
    const scope = addressScope(host);
    const ordinary = scope === "private" || scope === "public";
    if (ordinary || (scope === "loopback" && this.#options.allowLoopback)) return true;
    this.#failures.set(formatEndpoint({ host, port }), `a ${scope} address is not dialled`);
    return false;
  }

  /** A connection that ends with the search, unless it has become a candidate by then. */
  #connection(transport: Transport, signal: AbortSignal): Connection {
    const { time } = this.#options.environment;
    const connection = new Connection(transport, time.now, MEETING_DEADLINE);
    if (signal.aborted) connection.close();
    return connection;
  }

  #failed(remote: Endpoint, error: unknown, signal: AbortSignal): void {
    if (!signal.aborted) this.#failures.set(formatEndpoint(remote), toCifraError(error).message);
  }

  /** Somebody knocks at our receive port: a good preface in time, or not a byte of answer. */
  async welcome(transport: TcpTransport): Promise<void> {
    if (this.#closed || this.#strangers.size >= KNOCKING_LIMIT) return transport.close();
    const { time } = this.#options.environment;
    const connection = new Connection(transport, time.now, PREFACE_DEADLINE);
    this.#strangers.add(connection);
    try {
      await this.#expectPreface(connection);
    } catch (error) {
      connection.fail(error, { silently: true });
      return;
    } finally {
      this.#strangers.delete(connection);
    }
    const { remote } = transport;
    const path = { type: "direct", remote, dialledBy: "peer" } as const;
    await this.#consider({ connection, path }).catch((error) => {
      this.#failures.set(`from ${formatEndpoint(remote)}`, toCifraError(error).message);
    });
  }

  /** Where nobody is the one who dialled, both say first where they come from. */
  async #exchangePrefaces(connection: Connection): Promise<void> {
    this.#strangers.add(connection);
    try {
      await connection.sendFrame(FrameKind.preface, this.#preface());
      await this.#expectPreface(connection);
    } catch (error) {
      throw connection.fail(error, { silently: true });
    } finally {
      this.#strangers.delete(connection);
    }
  }

  #preface(): Bytes {
    const { introduction, identity } = this.#options;
    const { rendezvousId, generation, rendezvousKey } = introduction;
    const token = peerPrefaceToken(rendezvousKey, identity.fingerprint);
    return encode(peerPreface, { rendezvousId, generation, token });
  }

  async #expectPreface(connection: Connection): Promise<void> {
    const { kind, body } = await connection.nextFrame();
    if (kind === FrameKind.preface && this.#isFromPeer(body)) return;
    throw new CifraError(
      "auth_failed",
      "Cannot take connection: it is not from this introduction",
    );
  }

  #isFromPeer(body: Bytes): boolean {
    const { introduction, peer } = this.#options;
    const { rendezvousId, generation, token } = decodePeerPreface(body);
    const expected = peerPrefaceToken(introduction.rendezvousKey, peer.fingerprint);
    return timingSafeEqual(token, expected) && generation === introduction.generation &&
      timingSafeEqual(rendezvousId, introduction.rendezvousId);
  }

  /** Resolves when the candidate carries the conversation; throws when nothing came of it. */
  async #consider(candidate: Candidate): Promise<void> {
    const { connection } = candidate;
    const isFull = this.#candidates.size >= CANDIDATES_LIMIT;
    if (this.#closed || isFull || this.#isSettled()) connection.close();
    if (connection.failure) throw connection.failure;
    this.#candidates.add(candidate);
    try {
      if (this.#isInitiator) await this.#choose(candidate);
      else await this.#answer(candidate);
    } catch (error) {
      throw connection.fail(error);
    } finally {
      this.#candidates.delete(candidate);
    }
  }

  /**
   * Whether there is no need of another connection: the present one is direct, and so young that the
   * other was under way with it. One that comes later says that the peer has lost the present one.
   */
  #isSettled(): boolean {
    const live = this.#options.live();
    if (!live || live.path.type === "relay") return false;
    return this.#options.environment.time.now() - live.since < CHANNEL_GRACE;
  }

  /** Initiator: m1 on one candidate at a time, the next one only when this one has failed. */
  async #choose(candidate: Candidate): Promise<void> {
    while (this.#handshaking) {
      this.#turn ??= Promise.withResolvers();
      await this.#turn.promise;
    }
    if (candidate.connection.failure) throw candidate.connection.failure;
    if (this.#isSettled()) throw superfluous();
    this.#handshaking = true;
    try {
      this.#win(candidate, ...await this.#handshakeAsInitiator(candidate));
    } finally {
      this.#handshaking = false;
      this.#turn?.resolve();
      this.#turn = undefined;
    }
  }

  /** Those who wait for the handshake under way. */
  #turn: PromiseWithResolvers<void> | undefined;

  async #handshakeAsInitiator({ connection }: Candidate): Promise<[Channel, LogPosition]> {
    const { environment, ourName, introduction, position } = this.#options;
    const established = await runHandshake(
      connection,
      await startInitiator({
        ...this.#common(),
        ours: this.#options,
        pinned: this.#options.peer,
        checkResponder: (responder) => this.#requirePeer(responder),
      }),
      { onEvent: this.#traceHandshake() },
    );
    const channel = await Channel.open(connection, established, environment.time.now);
    const to = introduction.peerName;
    const hello = encode(peerHello, { from: ourName, to, ...position() });
    channel.send(ItemType.request, hello);
    this.#traceRecord(channel, 7, "sent", "registration", hello.length);
    const welcome = await this.#only(channel, ItemType.response);
    const theirs = decode(peerWelcome, welcome.body);
    this.#traceRecord(channel, 8, "received", "ok", welcome.body.length);
    return [channel, theirs];
  }

  /** Responder: answers m1 on any candidate; one that comes later replaces one still unfinished. */
  async #answer(candidate: Candidate): Promise<void> {
    const { connection } = candidate;
    connection.unread(await connection.nextFrame());
    this.#latest?.connection.close();
    this.#latest = candidate;
    try {
      const [channel, theirs] = await this.#handshakeAsResponder(candidate);
      if (this.#latest !== candidate) throw superfluous();
      this.#win(candidate, channel, theirs);
    } finally {
      if (this.#latest === candidate) this.#latest = undefined;
    }
  }

  async #handshakeAsResponder({ connection }: Candidate): Promise<[Channel, LogPosition]> {
    const { environment, ourName, introduction, suite, position } = this.#options;
    const established = await runHandshake(
      connection,
      startResponder({
        ...this.#common(),
        ours: (id) => id === suite.id ? this.#options : undefined,
        displayName: "",
        checkInitiator: (initiator) => this.#requirePeer(initiator),
      }),
      { onEvent: this.#traceHandshake() },
    );
    const channel = await Channel.open(connection, established, environment.time.now);
    const hello = await this.#only(channel, ItemType.request);
    this.#traceRecord(channel, 7, "received", "registration", hello.body.length);
    const { from, to, ...theirs } = decode(peerHello, hello.body);
    if (from !== introduction.peerName || to !== ourName) {
      throw new CifraError("auth_failed", "Cannot take connection: it is meant for somebody else");
    }
    const welcome = encode(peerWelcome, position(theirs.log));
    channel.send(ItemType.response, welcome);
    this.#traceRecord(channel, 8, "sent", "ok", welcome.length);
    await channel.flush();
    return [channel, theirs];
  }

  #common() {
    const { environment: { random }, introduction, identity, peer } = this.#options;
    const { rendezvousId, generation, rendezvousKey } = introduction;
    const [initiator, responder] = this.#isInitiator
      ? [identity.fingerprint, peer.fingerprint]
      : [peer.fingerprint, identity.fingerprint];
    return {
      mode: 2 as const,
      context: peerContext(rendezvousId, generation, initiator, responder),
      psk: rendezvousKey,
      random,
    };
  }

  #requirePeer(identity: PublicIdentity): void {
    if (!timingSafeEqual(identity.fingerprint, this.#options.peer.fingerprint)) {
      throw new CifraError("auth_failed", "Cannot trust the peer: it is not the one introduced");
    }
  }

  /** The one item that both sides expect as their first in each direction. */
  async #only(channel: Channel, type: ItemType): Promise<Item> {
    const items = await channel.receive();
    if (!items) throw channel.failure ?? new CifraError("cut", "The peer hung up");
    if (items.length > 1 || items[0]!.type !== type) {
      throw new CifraError("bad_state", "The peer said something out of turn");
    }
    return items[0]!;
  }

  /** The channel carries the conversation from here on; every other connection goes. */
  #win(winner: Candidate, channel: Channel, theirs: LogPosition): void {
    if (this.#closed) {
      channel.destroy();
      throw superfluous();
    }
    this.#candidates.delete(winner);
    this.rest();
    for (const { connection } of this.#candidates) connection.close();
    if (winner.path.type !== "relay") {
      this.#relay?.close();
      this.#relay = undefined;
    }
    this.#failures.clear();
    this.#options.onMeeting({ channel, path: winner.path, theirs });
  }

  #traceHandshake(): ((event: HandshakeEvent) => void) | undefined {
    const { trace, introduction } = this.#options;
    return trace && ((event) => trace({ with: introduction.peerName, ...event }));
  }

  #traceRecord(
    channel: Channel,
    message: 7 | 8,
    direction: "sent" | "received",
    name: string,
    bodyLength: number,
  ): void {
    this.#options.trace?.({
      with: this.#options.introduction.peerName,
      message,
      direction,
      name,
      algorithm: channel.established.suite.aead.name,
      length: channel.frameLength(bodyLength),
    });
  }
}

function superfluous(): CifraError {
  return new CifraError("replaced", "Another connection was chosen");
}
