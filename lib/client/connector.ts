/**
 * Two introduced programs find each other: both let the other in, both dial, the server relays if it must, and
 * the one with the lower fingerprint chooses which connection carries the conversation (PROTOCOL.md 3.8).
 * One connector serves one introduction, for as long as no newer one takes its place.
 */
import { CifraError } from "../errors.ts";
import { toCifraError } from "../platform_errors.ts";
import {
  CANDIDATES_LIMIT,
  CHANNEL_GRACE,
  DIAL_ATTEMPTS,
  MEETING_DEADLINE,
  PORT_MINIMUM,
  PUNCH_PAUSE,
  PUNCH_TRIES,
  RELAY_HEAD_START,
} from "../limits.ts";
import { Connection } from "../channel/connection.ts";
import type { Transport } from "../channel/transport.ts";
import { Backoff } from "../flow/backoff.ts";
import { delay } from "../flow/delay.ts";
import { Limiter } from "../flow/limiter.ts";
import type { Ticker } from "../flow/ticker.ts";
import { addressScope, type Endpoint, formatEndpoint, siteOf } from "../wire/address.ts";
import { FRAME_HEADER_LENGTH, FrameKind } from "../wire/frame.ts";
import { decodePeerPreface } from "../wire/handshake_messages.ts";
import type { Door } from "./door.ts";
import { traceWords } from "./trace.ts";
import {
  initiate,
  type IntroducedPair,
  isInitiator,
  isPrefaceOfPeer,
  type Met,
  prefaceOf,
  rendezvousIdOf,
  respond,
} from "./peer_handshake.ts";

/** The way a conversation goes. */
export type Path =
  | { readonly type: "direct"; readonly remote: Endpoint; readonly dialledBy: "us" | "peer" }
  /** Both dialled at the same moment, from send port to send port. */
  | { readonly type: "punched"; readonly remote: Endpoint }
  /** Through the server, which forwards what it cannot read. */
  | { readonly type: "relay" };

/** A channel to the peer, and the way it goes. */
export interface Meeting extends Met {
  readonly path: Path;
}

/** What is needed to find a peer. */
export interface ConnectorOptions extends IntroducedPair {
  readonly ticker: Ticker;
  /** Where the peer is let in and from where it is dialled; undefined for those who only relay. */
  readonly door: Pick<Door, "expect" | "sendPort"> | undefined;
  /** Addresses at our own site: the server's, and those that we advertise (attack A13). */
  readonly near: readonly string[];
  /** The relayed stream of this introduction, if there is one. */
  readonly relay: Transport | undefined;
  /** What carries the conversation at present, and since when by the monotonic clock. */
  readonly live: () => { readonly path: Path; readonly since: number } | undefined;
  /** Whether a channel is wanted now; always, where it is not said. Whoever comes at another time gets no byte. */
  readonly mayMeet?: (() => boolean) | undefined;
  /** Told of each channel; it takes the place of the one before. */
  readonly onMeeting: (meeting: Meeting) => void;
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

/** The search for the peer of one introduction. */
export class Connector {
  readonly #options: ConnectorOptions;
  readonly #isInitiator: boolean;
  readonly #candidates = new Set<Candidate>();
  /** Connections that we made and on which the other side has not shown yet where it comes from. */
  readonly #greeting = new Set<Connection>();
  readonly #failures = new Map<string, string>();
  readonly #untick: () => void;
  readonly #stopExpecting: () => void;
  /** The initiator runs one handshake at a time, on the next candidate only when one has failed. */
  readonly #handshakes = new Limiter(1);
  #relay: Transport | undefined;
  #seeking: AbortController | undefined;
  #isClosed = false;
  /** Responder: the candidate whose m1 came last; a later one takes its place. */
  #latest: Candidate | undefined;

  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.#relay = options.relay;
    this.#isInitiator = isInitiator(options);
    this.#untick = options.ticker.add((now) => {
      for (const { connection } of this.#candidates) connection.enforceDeadlines(now);
      for (const connection of this.#greeting) connection.enforceDeadlines(now);
    });
    this.#stopExpecting = options.door?.expect({
      rendezvousId: rendezvousIdOf(options),
      isFromPeer: (preface) => isPrefaceOfPeer(options, preface),
      admit: (connection, remote) => this.#admit(connection, remote),
    }) ?? (() => {});
  }

  /** What was tried in vain, a line for each way. */
  get failures(): readonly string[] {
    return [...this.#failures].map(([where, why]) => `${where}: ${why}`);
  }

  /** Whether the peer is at the other end of a connection that may become the channel. */
  get isBusy(): boolean {
    return this.#candidates.size > 0;
  }

  /** Looks for the peer from now on, until `rest`. */
  seek({ relay, after }: SeekOptions): void {
    this.rest();
    if (this.#isClosed) return;
    const { introduction: { observed, advertised, receivePort, punch }, door } = this.#options;
    const seeking = new AbortController();
    this.#seeking = seeking;
    const { signal } = seeking;
    if (door) {
      // Whoever advertises a public address may mean a stranger's machine.
      const own = advertised.filter((host) => addressScope(host) === "private");
      const hosts = [...new Set([...observed, ...own])];
      for (const host of hosts.slice(0, DIAL_ATTEMPTS - punch.length)) {
        this.#dial(door.sendPort, { host, port: receivePort }, after, signal);
      }
      for (const endpoint of punch) this.#punch(door.sendPort, endpoint, after, signal);
    }
    if (relay) this.#tryRelay(door ? RELAY_HEAD_START : 0, signal);
  }

  /** Stops looking. Whoever comes to our receive port from this introduction is still let in. */
  rest(): void {
    this.#seeking?.abort();
    this.#seeking = undefined;
  }

  /** Ends it: nobody is let in any more. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.rest();
    this.#untick();
    this.#stopExpecting();
    for (const connection of this.#greeting) connection.close();
    for (const { connection } of this.#candidates) connection.close();
    this.#relay?.close();
    this.#relay = undefined;
  }

  /** Dials one address until it answers; and again when what came of it has failed. */
  #dial(sendPort: number, remote: Endpoint, after: number, signal: AbortSignal): Promise<void> {
    return this.#dialAgain(sendPort, remote, after, signal, {
      path: { type: "direct", remote, dialledBy: "us" },
      quickTries: 0,
    });
  }

  /**
   * Dials the peer's send port from ours while the peer does the same: each NAT takes what comes for an
   * answer to what went out. Nobody listens there, so it works only when both dial at once.
   */
  #punch(sendPort: number, remote: Endpoint, after: number, signal: AbortSignal): Promise<void> {
    return this.#dialAgain(sendPort, remote, after, signal, {
      path: { type: "punched", remote },
      quickTries: PUNCH_TRIES,
    });
  }

  /** Dials again and again; the first tries, of those that fail in a row, follow each other quickly. */
  async #dialAgain(
    sendPort: number,
    remote: Endpoint,
    after: number,
    signal: AbortSignal,
    { path, quickTries }: { readonly path: Path; readonly quickTries: number },
  ): Promise<void> {
    const { environment: { time, network, random } } = this.#options;
    if (!this.#mayDial(remote)) return;
    const backoff = new Backoff(random);
    await delay(time, after, signal);
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        const transport = await network.dialFrom(sendPort, remote, signal);
        const connection = this.#connection(transport, signal);
        await this.#exchangePrefaces(connection);
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

  /** Whether no server can aim us by this address at what only we can reach. */
  #mayDial(remote: Endpoint): boolean {
    const why = this.#whyNot(remote);
    if (why !== undefined) this.#failures.set(formatEndpoint(remote), `${why} is not dialled`);
    return why === undefined;
  }

  #whyNot({ host, port }: Endpoint): string | undefined {
    if (port < PORT_MINIMUM) return `a port below ${PORT_MINIMUM}`;
    const scope = addressScope(host);
    if (scope === "public") return undefined;
    const ours = this.#options.near.map(siteOf);
    const isPrivate = scope === "private";
    // Whoever comes to a server of this machine comes from our own site.
    if (isPrivate && ours.includes("loopback")) return undefined;
    if ((isPrivate || scope === "loopback") && ours.includes(siteOf(host))) return undefined;
    return isPrivate ? "a private address of another site than the server's" : `a ${scope} address`;
  }

  /** A connection that ends with the search, unless it has become a candidate by then. */
  #connection(transport: Transport, signal: AbortSignal): Connection {
    const { time } = this.#options.environment;
    const connection = new Connection(transport, time.now, MEETING_DEADLINE);
    traceWords(this.#options.trace, connection, this.#options.introduction.peerName);
    if (signal.aborted) connection.close();
    return connection;
  }

  #failed(remote: Endpoint, error: unknown, signal: AbortSignal): void {
    if (!signal.aborted) this.#failures.set(formatEndpoint(remote), toCifraError(error).message);
  }

  /** The peer has come to our door, with a good preface. */
  #admit(connection: Connection, remote: Endpoint): void {
    const path = { type: "direct", remote, dialledBy: "peer" } as const;
    const admitted = async () => {
      if (this.#isEnough) return connection.close();
      traceWords(this.#options.trace, connection, this.#options.introduction.peerName);
      const preface = prefaceOf(this.#options);
      // The door has read theirs, which is as long as ours.
      const length = FRAME_HEADER_LENGTH + preface.length;
      connection.onWord?.({ direction: "received", name: "preface", length });
      await connection.sendFrame(FrameKind.preface, preface);
      await this.#consider({ connection, path });
    };
    admitted().catch((error) => {
      this.#failures.set(`from ${formatEndpoint(remote)}`, toCifraError(error).message);
    });
  }

  /**
   * Both say first where they come from. Whoever answers a dial and is not the peer delays nothing: no time tells
   * the server what there is at an address that it has named.
   */
  async #exchangePrefaces(connection: Connection): Promise<void> {
    this.#greeting.add(connection);
    try {
      await connection.sendFrame(FrameKind.preface, prefaceOf(this.#options));
      const { kind, body } = await connection.nextFrame();
      if (kind === FrameKind.preface && isPrefaceOfPeer(this.#options, decodePeerPreface(body))) {
        return;
      }
      throw new CifraError(
        "auth_failed",
        "Cannot take connection: it is not from this introduction",
      );
    } catch (error) {
      throw connection.fail(error, { silently: true });
    } finally {
      this.#greeting.delete(connection);
    }
  }

  /** Resolves when the candidate carries the conversation; throws when nothing came of it. */
  async #consider(candidate: Candidate): Promise<void> {
    const { connection } = candidate;
    if (this.#isEnough) connection.close();
    if (connection.failure) throw connection.failure;
    this.#candidates.add(candidate);
    try {
      if (this.#isInitiator) await this.#handshakes.run(() => this.#initiate(candidate));
      else await this.#respond(candidate);
    } catch (error) {
      throw connection.fail(error);
    } finally {
      this.#candidates.delete(candidate);
    }
  }

  /** Whether nothing can come of another candidate. */
  get #isEnough(): boolean {
    const { mayMeet = () => true } = this.#options;
    return this.#isClosed || this.#candidates.size >= CANDIDATES_LIMIT || this.#isSettled() ||
      !mayMeet();
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

  async #initiate(candidate: Candidate): Promise<void> {
    const { connection } = candidate;
    if (connection.failure) throw connection.failure;
    if (this.#isSettled()) throw superfluous();
    this.#win(candidate, await initiate(this.#options, connection));
  }

  /** Answers m1 on any candidate; one that comes later replaces one still unfinished. */
  async #respond(candidate: Candidate): Promise<void> {
    const { connection } = candidate;
    connection.unread(await connection.nextFrame());
    this.#latest?.connection.close();
    this.#latest = candidate;
    try {
      const met = await respond(this.#options, connection);
      if (this.#latest !== candidate) throw superfluous();
      this.#win(candidate, met);
    } finally {
      if (this.#latest === candidate) this.#latest = undefined;
    }
  }

  /** The channel carries the conversation from here on; every other connection goes. */
  #win(winner: Candidate, met: Met): void {
    if (this.#isClosed) {
      met.channel.destroy();
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
    this.#options.onMeeting({ ...met, path: winner.path });
  }
}

function superfluous(): CifraError {
  return new CifraError("replaced", "Another connection was chosen");
}
