/** The client's connection to its server: the ladder, the registration, the wait, and what is relayed. */
import type { Bytes } from "../bytes.ts";
import type { Identity, PublicIdentity } from "../crypto/identity.ts";
import type { KemKeyPair } from "../crypto/kem.ts";
import type { SaltedPassword } from "../crypto/password.ts";
import type { PasswordCost } from "../crypto/scram.ts";
import type { Suite } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { startInitiator } from "../handshake/initiator.ts";
import { HANDSHAKE_DEADLINE, PORT_MINIMUM, RESPONSES_LIMIT } from "../limits.ts";
import type { Environment } from "../net/environment.ts";
import type { TcpTransport } from "../net/transports.ts";
import type { Ticker } from "../flow/ticker.ts";
import { Channel } from "../channel/channel.ts";
import { runHandshake } from "../channel/run_handshake.ts";
import { Connection } from "../channel/connection.ts";
import { canonicalAddress, type Endpoint, formatEndpoint } from "../wire/address.ts";
import { FrameKind } from "../wire/frame.ts";
import { encodeInvitePreface } from "../wire/handshake_messages.ts";
import { decode } from "../wire/layout.ts";
import { CloseCode, type Item, ItemType } from "../wire/records.ts";
import { relayItem } from "../wire/relay_messages.ts";
import {
  decodeServerResponse,
  encodeServerRequest,
  type Introduction,
  PersonState,
  refusalError,
  type Registration,
  type ServerRequest,
  type ServerResponse,
  type SignUp,
} from "../wire/rendezvous_messages.ts";
import { RelayStream } from "./relay_stream.ts";
import { isLoopback, type ServerAddress } from "./server_address.ts";
import type { Tracer } from "./trace.ts";

const NO_CONTEXT = new Uint8Array(0);
const NO_PSK = new Uint8Array(32);

/** The port to listen on and the port to dial from. */
export interface Ports {
  readonly receivePort: number;
  readonly sendPort: number;
}

/** Registered by those who neither listen nor dial: the wire has no empty port. */
export const NO_PORTS: Ports = { receivePort: PORT_MINIMUM, sendPort: PORT_MINIMUM + 1 };

/** How to reach a server, and who is asking. */
export interface ServerDialOptions {
  readonly environment: Environment;
  readonly address: ServerAddress;
  readonly suite: Suite;
  readonly identity: Identity;
  readonly ephemeralKey: () => Promise<KemKeyPair>;
  readonly ticker: Ticker;
  /** Dial from there, so that the server sees where our dials come from; any port if that is not possible. */
  readonly sendPort?: number | undefined;
  /** The identity the server must prove before it learns ours. */
  readonly pinned?: PublicIdentity | undefined;
  /** Throws when the server, as it has shown itself, is not to be trusted. */
  readonly checkServer?: ((server: PublicIdentity) => void) | undefined;
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
  }
  /** Somebody asks for us, who are in the lobby. */
  | {
    readonly type: "offer";
    readonly peerName: string;
    readonly suite: number;
    readonly bundle: Bytes;
  }
  /** Somebody does not want to talk to us now. */
  | { readonly type: "declined"; readonly peerName: string }
  /** We no longer want somebody: the server says why. */
  | { readonly type: "unwanted"; readonly peerName: string; readonly error: CifraError }
  /** Who came and went; `complete` when whoever is not named is not here. */
  | { readonly type: "presence"; readonly complete: boolean; readonly people: readonly Person[] };

/** Somebody in the lobby. */
export interface Person {
  readonly name: string;
  readonly state: "here" | "away" | "gone";
}

/** An open channel to the server. */
export class ServerLink {
  readonly channel: Channel;
  /** Our end of the connection. */
  readonly local: Endpoint;
  /** The server's end of it. */
  readonly remote: Endpoint;
  readonly #trace: Tracer | undefined;
  readonly #untick: () => void;
  readonly #responses: ServerResponse[] = [];
  readonly #relayed = new Map<number, RelayStream>();
  #reading: Promise<void> | undefined;
  /** Whether a registration waits for its answer, and the first tick that found it waiting. */
  #asking = false;
  #askedAt: number | undefined;
  #ended = false;
  #news: PromiseWithResolvers<void> | undefined;

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

  /** Connects and climbs the ladder. Throws `unreachable`, the errors of the ladder and of `checkServer`. */
  static async open(options: ServerDialOptions): Promise<ServerLink> {
    const { environment, address, suite, identity, ephemeralKey, ticker, trace } = options;
    const { time, random } = environment;
    const secret = address.inviteSecret;
    // Before the dial: making an RSA key may take longer than a server waits for a first byte.
    const start = await startInitiator({
      mode: secret ? 3 : 1,
      context: NO_CONTEXT,
      psk: secret ?? NO_PSK,
      random,
      ours: { suite, identity, ephemeralKey },
      pinned: options.pinned,
      checkResponder: options.checkServer ?? (() => {}),
    });
    const transport = await dialServer(options);
    // A server that makes its first RSA key may be silent for as long as a handshake takes.
    const connection = new Connection(transport, time.now, HANDSHAKE_DEADLINE);
    let tick = (now: number) => connection.enforceDeadlines(now);
    const untick = ticker.add((now) => tick(now));
    try {
      if (secret) await connection.sendFrame(FrameKind.preface, encodeInvitePreface(secret));
      const established = await runHandshake(connection, start, {
        onEvent: trace && ((event) => trace({ with: "server", ...event })),
      });
      const channel = await Channel.open(connection, established, time.now);
      const link = new ServerLink(channel, transport, trace, untick);
      tick = (now) => link.#tick(now);
      return link;
    } catch (error) {
      untick();
      connection.close();
      throw explainRefusal(error, suite.name, secret !== undefined);
    }
  }

  /** Who the server is. */
  get identity(): PublicIdentity {
    return this.channel.established.theirs;
  }

  /** Whether the server may still be asked something. */
  get isOpen(): boolean {
    return this.channel.isOpen && !this.#ended;
  }

  /**
   * m7 and m8: says who and where we are; resolves to our address as the server sees it. Throws what the
   * server refuses it with.
   */
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
      detail: `${registration.name}, receive port ${registration.receivePort}, ` +
        `send port ${registration.sendPort}`,
    });
    channel.send(ItemType.request, body);
    this.#asking = true;
    const response = await this.#nextResponse().finally(() => this.#asking = false);
    if (response?.type !== "registered") throw unexpected();
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

  /**
   * Waits until the server has something to say, or `signal` is aborted: then there is no news. Throws why
   * there will be none.
   */
  async nextNews(signal: AbortSignal): Promise<ServerNews | undefined> {
    this.#reading ??= this.#readAll();
    const wake = () => this.#wake();
    signal.addEventListener("abort", wake);
    const response = await this.#nextResponse(signal).finally(() =>
      signal.removeEventListener("abort", wake)
    );
    if (!response) return undefined;
    switch (response.type) {
      case "suiteMismatch":
        return { ...response, type: "suite-mismatch" };
      case "offer":
      case "declined":
        return response;
      case "unwanted":
        return {
          type: "unwanted",
          peerName: response.peerName,
          error: refusalError(response),
        };
      case "presence":
        return {
          type: "presence",
          complete: response.complete === 1,
          people: response.people.map(({ name, state }) => ({ name, state: stateOf(state) })),
        };
      case "introduction":
        break;
      default:
        throw unexpected();
    }
    const { type, ...introduction } = response;
    const length = this.channel.frameLength(introduction.bundle.length);
    this.#trace?.({
      with: "server",
      message: undefined,
      direction: "received",
      name: type,
      algorithm: this.channel.established.suite.aead.name,
      length,
      detail: `${introduction.peerName} at ` + describeAddresses(introduction),
    });
    return { type, introduction };
  }

  /** Wants to be introduced to somebody; the introduction, or why there is none, is news. */
  want(name: string): void {
    this.#send({ type: "want", name });
  }

  /** No longer wants to be introduced to somebody. */
  unwant(name: string): void {
    this.#send({ type: "unwant", name });
  }

  /** Asks who is in the lobby: the answer is news, a complete `presence`. */
  who(): void {
    this.#send({ type: "who" });
  }

  /** Does not want to talk to somebody who has asked. */
  decline(name: string): void {
    this.#send({ type: "decline", name });
  }

  /** In the lobby: away from the keyboard, or back. */
  setAway(isAway: boolean): void {
    this.#send({ type: "away", away: isAway ? 1 : 0 });
  }

  #send(request: ServerRequest): void {
    this.channel.send(ItemType.request, encodeServerRequest(request));
  }

  /** Makes an account, or gives it another password. Throws what the server refuses it with. */
  async signUp(request: SignUp): Promise<void> {
    const response = await this.#ask({ type: "signUp", ...request });
    if (response?.type !== "signedUp") throw unexpected();
  }

  /**
   * Proves a password, which `derive` works up, to the server and the server's knowledge of it to us.
   * Resolves to the keys that were left with the server, sealed. Throws `wrong_password`, `limit`;
   * `auth_failed` when the server does not know the account.
   */
  async signIn(
    name: string,
    nonce: Bytes,
    derive: (cost: PasswordCost) => Promise<SaltedPassword>,
  ): Promise<{ readonly backup: Bytes; readonly key: SaltedPassword }> {
    const challenge = await this.#ask({ type: "signIn", name, nonce });
    if (challenge?.type !== "challenge") throw unexpected();
    const { salt, memory, passes, nonce: serverNonce } = challenge;
    const cost = { salt, memory, passes };
    const key = await derive(cost);
    const { exporter } = this.channel.established;
    const exchange = { name, clientNonce: nonce, serverNonce, cost, exporter };
    const answer = await this.#ask({ type: "proof", proof: key.prove(exchange) });
    if (answer?.type !== "signedIn") throw unexpected();
    if (!key.isSigned(exchange, answer.signature)) {
      throw new CifraError("auth_failed", "The server does not know this account", {
        hint: "it may not be the server that you mean: compare its key",
      });
    }
    return { backup: answer.backup, key };
  }

  #ask(request: ServerRequest): Promise<ServerResponse | undefined> {
    this.#send(request);
    return this.#nextResponse();
  }

  /** The relayed stream of an introduction that was received on this link. */
  relay(stream: number): RelayStream {
    const known = this.#relayed.get(stream);
    if (known) return known;
    const relayed = new RelayStream(this.channel, stream, () => this.#relayed.delete(stream));
    if (this.#ended) relayed.end();
    else this.#relayed.set(stream, relayed);
    return relayed;
  }

  /** Says goodbye to the server and returns the introduction that was under way, if there was one. */
  async leave(): Promise<Introduction | undefined> {
    this.#reading ??= this.#readAll();
    await this.channel.close(CloseCode.done);
    await this.#reading;
    const last = this.#responses.findLast(({ type }) => type === "introduction");
    if (last?.type !== "introduction") return undefined;
    const { type: _, ...introduction } = last;
    return introduction;
  }

  /** Leaves the server, whatever is under way. */
  async close(): Promise<void> {
    await this.channel.close(CloseCode.done);
    this.#untick();
    this.channel.destroy();
    this.#endStreams();
    await this.#reading;
  }

  /** A server that does not answer is not waited for as long as one that has nothing to say. */
  #tick(now: number): void {
    this.channel.tick(now);
    this.#askedAt = this.#asking ? this.#askedAt ?? now : undefined;
    if (this.#askedAt === undefined || now - this.#askedAt <= HANDSHAKE_DEADLINE) return;
    this.channel.fail(new CifraError("timeout", "The server does not answer"));
  }

  /** From the first wait on somebody always reads: what is relayed may come at any time. */
  async #readAll(): Promise<void> {
    for (;;) {
      const items = await this.channel.receive();
      if (!items) break;
      try {
        for (const item of items) this.#take(item);
      } catch (error) {
        this.channel.fail(error);
      }
    }
    this.#endStreams();
    this.#wake();
  }

  #take(item: Item): void {
    if (item.type === ItemType.relay) {
      const relayed = decode(relayItem, item.body);
      // Of a stream that is over here the server may not know yet.
      this.#relayed.get(relayed.stream)?.take(relayed);
    } else if (item.type === ItemType.response && this.#responses.length < RESPONSES_LIMIT) {
      const response = decodeServerResponse(item.body);
      // What the other side sends may be right behind: it must find the stream.
      if (response.type === "introduction" && response.relay) this.relay(response.generation);
      this.#responses.push(response);
      this.#wake();
    } else throw unexpected();
  }

  #endStreams(): void {
    this.#ended = true;
    for (const relayed of [...this.#relayed.values()]) relayed.end();
  }

  async #nextResponse(signal?: AbortSignal): Promise<ServerResponse | undefined> {
    while (this.#responses.length === 0) {
      if (signal?.aborted) return undefined;
      if (this.#ended) throw this.#ending();
      if (this.#reading) {
        this.#news ??= Promise.withResolvers();
        await this.#news.promise;
      } else {
        const items = await this.channel.receive();
        if (!items) throw this.#ending();
        for (const item of items) this.#take(item);
      }
    }
    const response = this.#responses.shift()!;
    if (response.type === "refused") throw refusalError(response);
    return response;
  }

  #ending(): CifraError {
    if (this.channel.goodbye?.code === CloseCode.shutdown) {
      return new CifraError("shutdown", "The server is shutting down");
    }
    return this.channel.failure ?? new CifraError("cut", "The server ended the connection");
  }

  #wake(): void {
    this.#news?.resolve();
    this.#news = undefined;
  }
}

/** From the send port when there is a way that others could take, and otherwise from any port. */
async function dialServer(options: ServerDialOptions): Promise<TcpTransport> {
  const { environment: { network }, address, sendPort } = options;
  const host = canonicalAddress(address.host);
  if (sendPort !== undefined && host && !isLoopback(address)) {
    try {
      return await network.dialFrom(sendPort, { host, port: address.port });
    } catch (error) {
      // The port of a connection that has just ended is not free at once: then from any other.
      const busy = /EADDRINUSE|EADDRNOTAVAIL|EINVAL/.test(String((error as Error).cause));
      if (!busy) throw error;
    }
  }
  return await network.dial(address.host, address.port);
}

function stateOf(state: number): Person["state"] {
  if (state === PersonState.here) return "here";
  return state === PersonState.away ? "away" : "gone";
}

function describeAddresses({ addresses, receivePort, punch, relay }: Introduction): string {
  const places = [
    ...addresses.map((host) => formatEndpoint({ host, port: receivePort })),
    ...punch.map((endpoint) => `${formatEndpoint(endpoint)} by punching`),
    ...(relay ? ["the relay"] : []),
  ];
  return places.join(", ") || "no address";
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
  return new CifraError("bad_state", "The server said something out of turn");
}
