/** The client's connection to its server: the handshake, what is asked and answered, the server's news, what is relayed. */
import type { Bytes } from "../bytes.ts";
import type { Identity, PublicIdentity } from "../crypto/identity.ts";
import type { KemKeyPair } from "../crypto/kem.ts";
import type { Suite } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { Signal } from "../flow/signal.ts";
import type { Time } from "../flow/time.ts";
import type { Ticker } from "../flow/ticker.ts";
import { startInitiator } from "../handshake/initiator.ts";
import { NO_PSK } from "../handshake/state.ts";
import { HANDSHAKE_DEADLINE, RESPONSES_LIMIT } from "../limits.ts";
import type { TcpTransport } from "../net/transports.ts";
import { Channel } from "../channel/channel.ts";
import { Connection } from "../channel/connection.ts";
import { runHandshake } from "../channel/run_handshake.ts";
import { type Endpoint, formatEndpoint } from "../wire/address.ts";
import { FrameKind } from "../wire/frame.ts";
import { encodeInvitePreface, encodeTicketPreface } from "../wire/handshake_messages.ts";
import { decode } from "../wire/layout.ts";
import { CloseCode, type Item, ItemType } from "../wire/records.ts";
import { relayItem } from "../wire/relay_messages.ts";
import {
  decodeMailboxResponse,
  encodeMailboxRequest,
  isMailboxResponse,
} from "../wire/mailbox_messages.ts";
import {
  decodeServerResponse,
  encodeServerRequest,
  type Introduction,
  refusalError,
  type Registration,
  type ServerRequest,
  type ServerResponse,
} from "../wire/rendezvous_messages.ts";
import { NO_PORTS } from "./door.ts";
import { MailboxLane } from "./mailbox_lane.ts";
import { RelayStream } from "./relay_stream.ts";
import { isLoopback } from "./server_address.ts";
import { dialServer, explainRefusal, type ServerPlace, unproven } from "./server_dial.ts";
import { ServerLane } from "./server_lane.ts";
import type { TicketHolder } from "./ticket_holder.ts";
import { traceItems, type Tracer, traceWords } from "./trace.ts";

const NO_CONTEXT = new Uint8Array(0);

/** How to reach a server, and who is asking. */
export interface ServerDialOptions extends ServerPlace {
  readonly suite: Suite;
  readonly identity: Identity;
  readonly ephemeralKey: () => Promise<KemKeyPair>;
  readonly ticker: Ticker;
  /** The identity the server must prove before it learns ours. */
  readonly pinned?: PublicIdentity | undefined;
  /** Throws when the server, as it has shown itself, is not to be trusted. */
  readonly checkServer?: ((server: PublicIdentity) => void) | undefined;
  readonly trace?: Tracer | undefined;
  /** Where the ticket of this server for this identity is kept; without it none is shown. */
  readonly tickets?: TicketHolder | undefined;
}

/** Answers to what was asked; everything else that a server says is news. */
const ANSWERS = ["registered", "refused", "challenge", "signedIn", "signedUp", "known"] as const;
type Answer = Extract<ServerResponse, { readonly type: typeof ANSWERS[number] }>;

/** What the server says without having been asked just now (PROTOCOL.md 3.7, 3.11). */
export type ServerNews = Exclude<ServerResponse, Answer>;

/** An open channel to the server. One reader takes what comes, and hands each word to whom it concerns. */
export class ServerLink {
  readonly channel: Channel;
  /** Our end of the connection. */
  readonly local: Endpoint;
  /** The server's end of it. */
  readonly remote: Endpoint;
  readonly #time: Pick<Time, "after">;
  readonly #trace: Tracer | undefined;
  readonly #tickets: TicketHolder | undefined;
  readonly #untick: () => void;
  readonly #answers: Answer[] = [];
  readonly #news: ServerNews[] = [];
  readonly #arrived = new Signal();
  readonly #relayed = new Map<number, RelayStream>();
  #lane: ServerLane | undefined;
  #mailbox: MailboxLane | undefined;
  readonly #reading: Promise<void>;
  /** Whether something was asked and not answered, and the first tick that found it so. */
  #isAsking = false;
  #askedAt: number | undefined;
  #ended = false;
  /** The server has registered us: what is news begins. */
  #isRegistered = false;
  #isRefused = false;

  private constructor(
    channel: Channel,
    transport: TcpTransport,
    { trace, tickets, environment }: Pick<ServerDialOptions, "trace" | "tickets" | "environment">,
    untick: () => void,
  ) {
    this.channel = channel;
    this.local = transport.local;
    this.remote = transport.remote;
    this.#time = environment.time;
    this.#trace = trace;
    this.#tickets = tickets;
    this.#untick = untick;
    traceItems(trace, channel, "server");
    this.#reading = this.#readAll();
  }

  /** Connects and runs the handshake. Throws `unreachable`, the errors of the handshake and of `checkServer`. */
  static async open(options: ServerDialOptions): Promise<ServerLink> {
    const { environment, address, suite, identity, ephemeralKey, ticker, trace } = options;
    const { time, random } = environment;
    // Whom the server knows needs no invite, which may have ended since.
    const secret = options.tickets?.isThere ? undefined : address.inviteSecret;
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
    traceWords(trace, connection, "server");
    let tick = (now: number) => connection.enforceDeadlines(now);
    const untick = ticker.add((now) => tick(now));
    try {
      const m1 = start.send[0]!.body;
      // A ticket is shown once: whoever sees it twice could tell that it is one person.
      const ticket = secret ? undefined : await options.tickets?.take();
      if (secret) {
        const preface = encodeInvitePreface(secret, time.date(), m1);
        await connection.sendFrame(FrameKind.preface, preface);
      } else if (ticket) {
        await connection.sendFrame(FrameKind.preface, encodeTicketPreface(ticket, m1));
      }
      const established = await runHandshake(connection, start, {
        onEvent: trace && ((event) => trace({ with: "server", ...event })),
      });
      const channel = await Channel.open(connection, established, time.now);
      const link = new ServerLink(channel, transport, options, untick);
      tick = (now) => link.#tick(now);
      return link;
    } catch (error) {
      untick();
      connection.close();
      const explained = explainRefusal(error, suite.name, secret !== undefined);
      throw unproven(explained, options.pinned !== undefined);
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

  /** Whether the server has ended this by its own words: a refusal, or a goodbye. */
  get isDismissed(): boolean {
    return this.#isRefused || this.channel.goodbye !== undefined;
  }

  /** Whether the server runs on this machine: judged by the connection, for any name may mean this machine. */
  get isHere(): boolean {
    return isLoopback({ host: this.remote.host });
  }

  /**
   * m7 and m8: says who we are and where; resolves to our address as the server sees it. Throws what the
   * server refuses it with.
   */
  async register(registration: Registration): Promise<Endpoint> {
    const { channel } = this;
    const { receivePort, sendPort } = registration;
    const body = encodeServerRequest({ type: "register", ...registration });
    this.#traceRecord("sent", "registration", body.length, {
      message: 7,
      detail: `${registration.name}, ${describePorts(receivePort, sendPort, this.remote.port)}`,
    });
    channel.send(ItemType.request, body);
    const answer = await this.#nextAnswer();
    if (answer.type !== "registered") throw unexpected();
    await this.#tickets?.keep(answer);
    this.#traceRecord("received", "ok", 0, {
      message: 8,
      detail: `seen at ${formatEndpoint(answer.observed)}`,
    });
    return answer.observed;
  }

  /** Asks for somebody, until an introduction, `unwant` or an `unwanted` among the news. */
  want(name: string): void {
    this.#say({ type: "want", name }, `wants ${name}`);
  }

  /** Does not ask for somebody any more; an introduction may be on its way already. */
  unwant(name: string): void {
    this.#say({ type: "unwant", name }, `does not want ${name} any more`);
  }

  /** Asks who is in the lobby; the answer is a complete presence among the news. */
  who(): void {
    this.#say({ type: "who" }, "asks who is there");
  }

  /** In the lobby: does not want to talk to somebody who has asked. */
  decline(name: string): void {
    this.#say({ type: "decline", name }, `declines ${name}`);
  }

  /** In the lobby: away from the keyboard, or back. */
  setAway(isAway: boolean): void {
    this.#say({ type: "away", away: isAway ? 1 : 0 }, isAway ? "is away" : "is back");
  }

  /** Sends a request and resolves to the server's answer. Throws what the server refuses it with. */
  async ask(request: ServerRequest): Promise<Answer> {
    const body = encodeServerRequest(request);
    this.#traceRecord("sent", request.type, body.length);
    this.channel.send(ItemType.request, body);
    return await this.#nextAnswer();
  }

  /** The next piece of news; undefined when `signal` is aborted before. Throws why there will be none. */
  async nextNews(signal: AbortSignal): Promise<ServerNews | undefined> {
    for (;;) {
      const news = this.#news.shift();
      if (news) return news;
      if (signal.aborted) return undefined;
      const refused = this.#isAsking ? undefined : this.#refused;
      if (this.#ended || refused) throw refused ?? this.#ending();
      await this.#arrived.wait(signal);
    }
  }

  /** What we say to the server itself, and it to us: the same lane at each call. */
  get lane(): ServerLane {
    if (!this.#lane) {
      this.#lane = new ServerLane(this.channel);
      if (this.#ended) this.#lane.end();
    }
    return this.#lane;
  }

  /** What we and the server's mailbox say to each other, from now on: the same lane at each call. */
  get mailbox(): MailboxLane {
    if (!this.#mailbox) {
      this.#mailbox = new MailboxLane((request) => {
        if (!this.isOpen) return;
        const body = encodeMailboxRequest(request);
        this.#traceRecord("sent", request.type, body.length);
        this.channel.send(ItemType.request, body);
      });
      if (this.#ended) this.#mailbox.end();
    }
    return this.#mailbox;
  }

  /** The relayed stream of an introduction that was received on this link. */
  relay(stream: number): RelayStream {
    const known = this.#relayed.get(stream);
    if (known) return known;
    const relayed = new RelayStream(
      this.channel,
      stream,
      this.#time,
      () => this.#relayed.delete(stream),
    );
    if (this.#ended) relayed.end();
    else this.#relayed.set(stream, relayed);
    return relayed;
  }

  /** Says goodbye to the server and returns the news that was under way. */
  async leave(): Promise<readonly ServerNews[]> {
    await this.channel.close(CloseCode.done);
    await this.#reading;
    this.#untick();
    this.channel.destroy();
    return this.#news.splice(0);
  }

  /** A server that does not answer is not waited for as long as one that has nothing to say. */
  #tick(now: number): void {
    this.channel.tick(now);
    this.#askedAt = this.#isAsking ? this.#askedAt ?? now : undefined;
    if (this.#askedAt === undefined || now - this.#askedAt <= HANDSHAKE_DEADLINE) return;
    this.channel.fail(new CifraError("timeout", "The server does not answer"));
  }

  #say(request: ServerRequest, detail: string): void {
    if (!this.isOpen) return;
    const body = encodeServerRequest(request);
    this.#traceRecord("sent", request.type, body.length, { detail });
    this.channel.send(ItemType.request, body);
  }

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
    this.#ended = true;
    for (const relayed of [...this.#relayed.values()]) relayed.end();
    this.#lane?.end();
    this.#mailbox?.end();
    this.#arrived.notify();
  }

  #take(item: Item): void {
    switch (item.type) {
      case ItemType.relay: {
        const relayed = decode(relayItem, item.body);
        // Of a stream that is over here the server may not know yet.
        return this.#relayed.get(relayed.stream)?.take(relayed);
      }
      case ItemType.message:
      case ItemType.ack:
        if (!this.#lane) throw unexpected();
        return this.#lane.take(item);
      case ItemType.response:
        return isMailboxResponse(item.body)
          ? this.#takeMail(item.body)
          : this.#takeResponse(item.body);
      default:
        throw unexpected();
    }
  }

  #takeMail(body: Bytes): void {
    const response = decodeMailboxResponse(body);
    this.#traceRecord("received", response.type, body.length);
    if (!this.#mailbox) throw unexpected();
    this.#mailbox.take(response);
  }

  #takeResponse(body: Bytes): void {
    const response = decodeServerResponse(body);
    if (response.type !== "registered" && response.type !== "introduction") {
      this.#traceRecord("received", response.type, body.length);
    }
    if (this.#answers.length + this.#news.length >= RESPONSES_LIMIT) throw unexpected();
    if (isAnswer(response)) {
      // A refusal may come unasked: it ends the registration. Every other answer would pass for the next one's.
      const isAwaited = this.#isAsking && this.#answers.length === 0;
      if (!isAwaited && response.type !== "refused") throw unexpected();
      if (response.type === "refused") this.#isRefused = true;
      if (response.type === "registered") this.#isRegistered = true;
      this.#answers.push(response);
    } else {
      if (!this.#isRegistered) throw unexpected();
      if (response.type === "introduction") {
        this.#traceRecord("received", "introduction", response.bundle.length, {
          detail: `${response.peerName} at ${describeAddresses(response)}`,
        });
        // What the other side sends may be right behind: it must find the stream.
        if (response.relay) this.relay(response.generation);
      }
      this.#news.push(response);
    }
    this.#arrived.notify();
  }

  async #nextAnswer(): Promise<Answer> {
    this.#isAsking = true;
    try {
      for (;;) {
        const answer = this.#answers.shift();
        if (answer?.type === "refused") throw refusalError(answer);
        if (answer) return answer;
        if (this.#ended) throw this.#ending();
        await this.#arrived.wait();
      }
    } finally {
      this.#isAsking = false;
    }
  }

  /** A refusal that has come and that nobody has been told of. */
  get #refused(): CifraError | undefined {
    const refused = this.#answers.find(({ type }) => type === "refused");
    return refused?.type === "refused" ? refusalError(refused) : undefined;
  }

  /** Why there is nothing more: a refusal that nobody waited for, a goodbye, or a connection that is gone. */
  #ending(): CifraError {
    if (this.#refused) return this.#refused;
    if (this.channel.goodbye?.code === CloseCode.shutdown) {
      return new CifraError("shutdown", "The server is shutting down");
    }
    return this.channel.failure ?? new CifraError("cut", "The server ended the connection");
  }

  #traceRecord(
    direction: "sent" | "received",
    name: string,
    bodyLength: number,
    { message, detail }: { readonly message?: 7 | 8; readonly detail?: string } = {},
  ): void {
    this.#trace?.({
      with: "server",
      message,
      direction,
      name,
      algorithm: this.channel.established.suite.aead.name,
      length: this.channel.frameLength(bodyLength),
      ...(detail !== undefined && { detail }),
    });
  }
}

function isAnswer(response: ServerResponse): response is Answer {
  return (ANSWERS as readonly string[]).includes(response.type);
}

function describeAddresses(
  { observed, advertised, receivePort, punch, relay }: Introduction,
): string {
  const places = [
    ...[...observed, ...advertised].map((host) => formatEndpoint({ host, port: receivePort })),
    ...punch.map((endpoint) => `${formatEndpoint(endpoint)} by punching`),
    ...(relay ? ["the relay"] : []),
  ];
  return places.join(", ") || "no address";
}

/** Why the channel ends on which a server says what nobody has asked for: `bad_state`. */
export function unexpected(): CifraError {
  return new CifraError("bad_state", "The server said something out of turn");
}

/** Which ports are used, and a filter for whoever captures what goes over them. */
function describePorts(receivePort: number, sendPort: number, serverPort: number): string {
  const hasPorts = receivePort !== NO_PORTS.receivePort;
  const ports = [serverPort, ...hasPorts ? [receivePort, sendPort] : []];
  const filter = ports.map((port) => `tcp port ${port}`).join(" or ");
  const ours = hasPorts
    ? `receive port ${receivePort}, send port ${sendPort}`
    : "no ports of our own";
  return `${ours}; capture filter: ${filter}`;
}
