/** The meeting place at work: accepts, climbs the ladder as responder, and lets the services decide. */
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { shortFingerprint } from "../crypto/identity.ts";
import { loadSuite, SUITE_IDS, type SuiteName } from "../crypto/suite.ts";
import { hmacSha512, systemRandom, timingSafeEqual } from "../crypto/platform.ts";
import { decodeBase64Url, encodeBase64Url } from "@std/encoding/base64url";
import { encodeHex } from "@std/encoding/hex";
import { CifraError } from "../errors.ts";
import { startResponder } from "../handshake/responder.ts";
import type { OurSide } from "../handshake/state.ts";
import {
  CLOSE_DEADLINE,
  FRAME_LIMIT_OPEN,
  OUTBOUND_QUEUE_HIGH_WATER,
  SILENCE_DEADLINE,
} from "../limits.ts";
import type { Environment, Listening } from "../net/environment.ts";
import type { TcpTransport } from "../net/tcp.ts";
import { Ticker } from "../net/ticker.ts";
import { Admission, type AdmissionLimits, sourceOf } from "../services/admission.ts";
import { EnvelopeKeyStock } from "../services/envelope_keys.ts";
import { Gate } from "../services/gate.ts";
import { Relay, type RelayLimits, type RelayOutput } from "../services/relay.ts";
import { type Outcome, Rendezvous } from "../services/rendezvous.ts";
import { Channel } from "../session/channel.ts";
import { climb } from "../session/climb.ts";
import { Connection } from "../session/connection.ts";
import { loadIdentity } from "../store/identity_file.ts";
import type { PrivateFolder } from "../store/private_files.ts";
import type { Store } from "../store/store.ts";
import { FrameKind } from "../wire/frame.ts";
import { encodeInvitePreface } from "../wire/handshake_messages.ts";
import { decode, encode } from "../wire/layout.ts";
import { ID_LENGTH, peerAck, peerMessage } from "../wire/peer_messages.ts";
import { CloseCode, type Item, ItemType } from "../wire/records.ts";
import { relayItem } from "../wire/relay_messages.ts";
import {
  Capability,
  decodeServerRequest,
  encodeServerResponse,
  REFUSAL_CODES,
  type RefusalCode,
  type ServerResponse,
} from "../wire/rendezvous_messages.ts";
import type { ServerEvent } from "./events.ts";

const NOTHING = new Uint8Array(0);
const NO_PSK = new Uint8Array(32);
const DAY = 24 * 3_600_000;

/** How a server behaves. */
export interface ServerBehaviour {
  readonly environment: Environment;
  /** Addresses to listen on; one that the machine lacks is left out if another is there. */
  readonly hosts: readonly string[];
  /** 0 takes any free port. */
  readonly port: number;
  readonly store: Store;
  /** What the server calls itself, at most 32 bytes of UTF-8. */
  readonly displayName: string;
  /** Only clients with the invite line may come in. */
  readonly inviteOnly: boolean;
  readonly limits: AdmissionLimits & RelayLimits;
  /** Handshake steps run at once. */
  readonly gateWidth: number;
  /** Whether events tell addresses as they are, instead of a tag that changes daily. */
  readonly logAddresses: boolean;
  readonly trace: boolean;
  readonly onEvent: (event: ServerEvent) => void;
}

/** How to run a server, and where its keys are. */
export interface ServerOptions extends ServerBehaviour {
  /** Holds the identity keys and the invite secret. */
  readonly folder: PrivateFolder;
  readonly allowClassic: boolean;
}

/** The keys of a server. */
export interface ServerKeys {
  /** One side for each suite that is accepted, by its number. */
  readonly sides: ReadonlyMap<number, OurSide>;
  /** What supplies envelope keys, to be closed with the server. */
  readonly stocks: readonly EnvelopeKeyStock[];
  /** The 32-byte secret of the invite line. */
  readonly inviteSecret: Bytes;
}

/** A client that is connected: until it has registered, only a connection. */
interface Session {
  readonly connection: Connection;
  channel: Channel | undefined;
  name: string | undefined;
  /** Whether it stays after an introduction, and may be relayed. */
  stays: boolean;
}

/** A running server. */
export class Server {
  /** The fingerprint of the server in each suite it accepts. */
  readonly fingerprints: ReadonlyMap<SuiteName, Bytes>;
  /** The 32-byte secret of the invite line. */
  readonly inviteSecret: Bytes;
  readonly #options: ServerBehaviour;
  readonly #keys: ServerKeys;
  readonly #listener: Listening;
  readonly #invitePreface: Bytes;
  readonly #rendezvous: Rendezvous;
  readonly #relay: Relay<Session>;
  readonly #admission: Admission;
  readonly #gate: Gate;
  readonly #ticker: Ticker;
  readonly #sessions = new Set<Session>();
  readonly #byName = new Map<string, Session>();
  /** Connections being served, and who waits for them to end. */
  #present = 0;
  #empty: PromiseWithResolvers<void> | undefined;
  #cancelRelease: (() => void) | undefined;
  #tagKey: { readonly key: Bytes; readonly since: number } | undefined;
  #stopping = false;

  /** Opens the port and serves with these keys. Throws `local` when the port cannot be had. */
  constructor(options: ServerBehaviour, keys: ServerKeys) {
    const { time, network, random } = options.environment;
    this.#options = options;
    this.#keys = keys;
    this.inviteSecret = keys.inviteSecret;
    this.#invitePreface = encodeInvitePreface(keys.inviteSecret);
    this.fingerprints = new Map(
      [...keys.sides.values()].map(({ suite, identity }) => [suite.name, identity.fingerprint]),
    );
    this.#rendezvous = new Rendezvous(options.store, random);
    this.#relay = new Relay(options.limits);
    this.#admission = new Admission(options.limits, () => random(1)[0]! / 256);
    this.#gate = new Gate(options.gateWidth, time.now);
    this.#listener = network.listen(options.hosts, options.port);
    this.#ticker = new Ticker(time);
    this.#ticker.add((now) => this.#tick(now));
    this.#listener.acceptAll((transport) => this.#serve(transport), (error) => {
      options.onEvent({ event: "accept-trouble", reason: error.name });
    });
  }

  /** Loads keys, opens the port and serves. Throws `local` when the folder or the port cannot be had. */
  static async start(options: ServerOptions): Promise<Server> {
    const names: SuiteName[] = options.allowClassic
      ? ["modern", "rsa", "classic"]
      : ["modern", "rsa"];
    const sides = new Map<number, OurSide>();
    const stocks: EnvelopeKeyStock[] = [];
    for (const name of names) {
      const suite = await loadSuite(name);
      const { identity } = await loadIdentity(options.folder, suite);
      let envelopeKey = () => suite.kem.generate();
      if (name !== "modern") {
        // An RSA key takes too long to be made for each handshake.
        const stock = new EnvelopeKeyStock(suite.kem, options.environment.time.now);
        stocks.push(stock);
        envelopeKey = () => stock.take();
      }
      sides.set(SUITE_IDS[name], { suite, identity, envelopeKey });
    }
    const inviteSecret = await loadInviteSecret(options.folder);
    return new Server(options, { sides, stocks, inviteSecret });
  }

  /** Where it listens. */
  get endpoints() {
    return this.#listener.endpoints;
  }

  /** Clients connected, strangers included. */
  get connections(): number {
    return this.#admission.connections;
  }

  /** Says goodbye to everybody, and resolves when all have gone or two seconds have passed. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#listener.close();
    for (const stock of this.#keys.stocks) stock.close();
    for (const { channel } of this.#sessions) {
      if (channel) channel.close(CloseCode.shutdown);
    }
    this.#empty = Promise.withResolvers();
    if (this.#present === 0) this.#empty.resolve();
    const patient = this.#options.environment.time.after(CLOSE_DEADLINE, () => {
      for (const { connection } of this.#sessions) connection.close();
    });
    await this.#empty.promise;
    patient();
    this.#cancelRelease?.();
    this.#ticker.stop();
  }

  #tick(now: number): void {
    for (const { channel, connection } of this.#sessions) {
      if (channel) channel.tick(now);
      else connection.enforceDeadlines(now);
    }
  }

  /** One connection from its first byte to its last. Never throws. */
  async #serve(transport: TcpTransport): Promise<void> {
    const { host } = transport.remote;
    const source = sourceOf(host);
    const { now } = this.#options.environment.time;
    const refusal = this.#admission.admit(source, now());
    if (refusal) {
      transport.close();
      this.#options.onEvent({
        event: "refused-connection",
        source: this.#tag(host),
        reason: refusal,
      });
      return;
    }
    const connection = new Connection(transport, now);
    const session: Session = { connection, channel: undefined, name: undefined, stays: false };
    this.#sessions.add(session);
    this.#present++;
    try {
      const channel = await this.#greet(connection, host);
      this.#admission.authenticated(source, now());
      session.channel = channel;
      if (this.#stopping) channel.close(CloseCode.shutdown);
      await this.#attend(session, channel, transport);
    } catch (error) {
      const failure = connection.fail(error);
      if (!(error instanceof CifraError)) {
        this.#options.onEvent({ event: "bug", reason: (error as Error).name });
      } else if (!session.channel) {
        const tag = this.#tag(host);
        this.#options.onEvent({ event: "handshake-failed", source: tag, code: failure.code });
      }
    } finally {
      this.#sessions.delete(session);
      const authenticated = session.channel !== undefined;
      const code = connection.failure?.code;
      this.#admission.left(source, now(), authenticated, code);
      session.channel?.destroy();
      this.#present--;
      if (this.#present === 0) this.#empty?.resolve();
    }
  }

  /** Up the ladder: with an invite's preface in mode 3, without one in mode 1. */
  async #greet(connection: Connection, host: string): Promise<Channel> {
    const first = await connection.nextFrame();
    const invited = first.kind === FrameKind.preface;
    if (invited && !timingSafeEqual(first.body, this.#invitePreface)) {
      throw connection.fail(
        new CifraError("auth_failed", "Cannot admit client: its invite is not ours"),
        { silently: true },
      );
    }
    if (!invited) {
      if (this.#options.inviteOnly) {
        throw new CifraError("invite_required", "Cannot admit client: it has no invite");
      }
      connection.unread(first);
    }
    const { environment: { time, random }, trace, onEvent, displayName } = this.#options;
    const tag = trace ? this.#tag(host) : "";
    const established = await climb(
      connection,
      startResponder({
        mode: invited ? 3 : 1,
        context: NOTHING,
        psk: invited ? this.inviteSecret : NO_PSK,
        random,
        ours: (id) => this.#keys.sides.get(id),
        displayName,
        checkInitiator: () => {},
      }),
      {
        run: (job) => this.#gate.run(job),
        onEvent: trace ? (step) => onEvent({ event: "trace", source: tag, step }) : undefined,
      },
    );
    // Thousands wait here: what the server has no use for is not kept for each of them.
    const lean = { ...established, transcript: NOTHING, exporter: NOTHING };
    return await Channel.open(connection, lean, time.now);
  }

  /** From m7 to the goodbye. */
  async #attend(session: Session, channel: Channel, transport: TcpTransport): Promise<void> {
    const first = await channel.receive();
    if (!first) return;
    const item = first[0]!;
    if (item.type !== ItemType.request || first.length > 1) throw outOfTurn();
    let answered = 0n;
    try {
      if (!this.#register(session, channel, transport, item.body)) return await lastWords(channel);
      for (;;) {
        const items = await channel.receive();
        if (!items) break;
        for (const next of items) {
          // Sent away meanwhile: it may not ask for anything more.
          if (!channel.isOpen) return await lastWords(channel);
          if (next.type === ItemType.relay) this.#forward(session, next);
          else if (next.type !== ItemType.request) answered = this.#answer(channel, next, answered);
          else if (!this.#registerAgain(session, channel, transport, next.body)) {
            return await lastWords(channel);
          }
        }
        // What it does not read, it cannot make us say more of.
        await channel.flush();
      }
    } finally {
      this.#leave(session, channel);
    }
    if (channel.goodbye) await channel.close(CloseCode.done, answered, answered);
  }

  /** The same on a channel that has registered before. */
  #registerAgain(
    session: Session,
    channel: Channel,
    transport: TcpTransport,
    body: Bytes,
  ): boolean {
    const { host } = transport.remote;
    const { time } = this.#options.environment;
    if (this.#admission.registersAgain(sourceOf(host), time.now())) {
      return this.#register(session, channel, transport, body);
    }
    this.#dismiss(channel, "limit", "Too many registrations from this address; wait a minute");
    return false;
  }

  /** m7 in, m8 out, and whatever follows from it for this client and others. False: it was refused. */
  #register(
    session: Session,
    channel: Channel,
    transport: TcpTransport,
    body: Bytes,
  ): boolean {
    const registration = decodeServerRequest(body);
    const { theirs: identity, suite } = channel.established;
    const client = shortFingerprint(identity.fingerprint);
    const observed = transport.remote;
    // Whoever asks for somebody has nobody at present.
    this.#endStreams(session);
    let outcomes: readonly Outcome[];
    try {
      const applicant = { registration, identity, suite: suite.id, observed };
      const now = this.#options.environment.time.date();
      outcomes = this.#rendezvous.register(applicant, now, this.#relay.hasRoom);
    } catch (error) {
      if (!(error instanceof CifraError)) throw error;
      const source = this.#tag(observed.host);
      const { code } = error;
      this.#options.onEvent({ event: "registration-refused", source, client, code });
      this.#dismiss(channel, code, error.message);
      return false;
    }
    const previous = this.#byName.get(registration.name);
    session.name = registration.name;
    session.stays = (registration.capabilities & Capability.relay) !== 0;
    this.#byName.set(registration.name, session);
    respond(channel, {
      type: "registered",
      observed,
      frameLimit: FRAME_LIMIT_OPEN,
      silenceDeadline: SILENCE_DEADLINE / 1000,
    });
    const source = this.#tag(observed.host);
    for (const outcome of outcomes) {
      if (outcome.type === "waiting") {
        const { name, wanted } = outcome;
        const event = "registered" as const;
        this.#options.onEvent({ event, source, name, wanted, client, suite: suite.name });
      } else if (outcome.type === "replaced") this.#replace(outcome.name, previous, session);
      else this.#tellPair(outcome);
    }
    return true;
  }

  /** The identity that holds `name` has registered again, here or on a newer connection. */
  #replace(name: string, previous: Session | undefined, session: Session): void {
    if (previous?.channel && previous !== session) {
      previous.name = undefined;
      const text = "The same identity has connected again";
      this.#dismiss(previous.channel, "replaced", text);
    }
    this.#options.onEvent({ event: "replaced", name });
  }

  #tellPair(outcome: Extract<Outcome, { readonly pair: unknown }>): void {
    const names = [outcome.pair[1].to, outcome.pair[0].to] as const;
    if (outcome.type === "suite-mismatch") {
      for (const { to, peerName, peerSuite, yourSuite } of outcome.pair) {
        this.#tell(to, { type: "suiteMismatch", peerName, peerSuite, yourSuite });
      }
      this.#options.onEvent({ event: "suite-mismatch", names });
      return;
    }
    const { generation } = outcome;
    const [a, b] = names.map((name) => ({ name, session: this.#byName.get(name) }));
    if (outcome.relay && a?.session && b?.session) {
      const now = this.#options.environment.time.now();
      const one = { name: a.name, session: a.session };
      this.#relay.open(generation, one, { name: b.name, session: b.session }, now);
    }
    for (const { to, introduction } of outcome.pair) {
      this.#tell(to, { type: "introduction", ...introduction });
      const session = this.#byName.get(to);
      this.#byName.delete(to);
      if (!session) continue;
      session.name = undefined;
      if (!session.stays) session.channel?.close(CloseCode.done);
    }
    this.#options.onEvent({ event: "introduced", names, generation });
  }

  /** What is relayed is counted and goes on as it came: it is not ours to read. */
  #forward(session: Session, item: Item): void {
    const relayed = decode(relayItem, item.body);
    const { stream } = relayed;
    const now = this.#options.environment.time.now();
    switch (relayed.type) {
      case "data": {
        const { outputs, first } = this.#guard(
          session,
          stream,
          () => this.#relay.data(session, stream, relayed.content.length),
        );
        if (first) {
          const { names } = first;
          this.#options.onEvent({ event: "relaying", names, generation: stream });
        }
        return this.#put(outputs, ownBytes(item.body));
      }
      case "credit":
        this.#put(this.#guard(
          session,
          stream,
          () => this.#relay.credit(session, stream, relayed.count, now),
        ));
        return this.#planRelease();
      case "close":
        return this.#endStream(session, stream);
    }
  }

  /** One who breaks the rules of a stream ends it for both. */
  #guard<T>(session: Session, stream: number, job: () => T): T {
    try {
      return job();
    } catch (error) {
      this.#endStream(session, stream);
      throw error;
    }
  }

  #put(outputs: readonly RelayOutput<Session>[], body: Bytes = NOTHING): void {
    for (const output of outputs) {
      const content = output.type === "forward" ? body : encode(relayItem, output);
      if (output.to.channel) say(output.to.channel, ItemType.relay, content);
    }
  }

  /** Credit that is held back is given at its moment, not with the next tick: the rate is to be reached. */
  #planRelease(): void {
    if (this.#cancelRelease) return;
    const { time } = this.#options.environment;
    const wait = this.#relay.nextRelease(time.now());
    if (wait === undefined) return;
    this.#cancelRelease = time.after(wait, () => {
      this.#cancelRelease = undefined;
      this.#put(this.#relay.release(time.now()));
      this.#planRelease();
    });
  }

  #endStreams(session: Session): void {
    for (const stream of this.#relay.streamsOf(session)) this.#endStream(session, stream);
  }

  #endStream(session: Session, stream: number): void {
    const { outputs, ended } = this.#relay.close(session, stream);
    this.#put(outputs);
    if (!ended || ended.bytes === 0) return;
    const { names, bytes } = ended;
    this.#options.onEvent({ event: "relayed", names, generation: stream, bytes });
  }

  /** Sends to whoever holds `name`. */
  #tell(name: string, response: ServerResponse): void {
    const channel = this.#byName.get(name)?.channel;
    if (channel) respond(channel, response);
  }

  /**
   * A registered client may speak to the server, if it asked for that; each message is answered OK. Returns
   * the number of the last one answered, which was `answered` before.
   */
  #answer(channel: Channel, item: Item, answered: bigint): bigint {
    if (item.type === ItemType.ack) return answered;
    if (item.type !== ItemType.message) throw outOfTurn();
    const { number, type } = decode(peerMessage, item.body);
    channel.send(ItemType.ack, encode(peerAck, { stored: number, read: number }));
    const { random, time } = this.#options.environment;
    const id = random(ID_LENGTH);
    const reply = type === "end" ? { type: "end" as const, number, id } : {
      type: "text" as const,
      number,
      id,
      written: BigInt(time.date()),
      content: encodeUtf8("OK"),
    };
    channel.send(ItemType.message, encode(peerMessage, reply));
    return number;
  }

  #leave(session: Session, channel: Channel): void {
    this.#endStreams(session);
    const { name } = session;
    if (name === undefined) return;
    this.#byName.delete(name);
    this.#rendezvous.leave(name);
    const code = channel.failure?.code ?? "goodbye";
    this.#options.onEvent({ event: "left", name, code });
  }

  #dismiss(channel: Channel, code: CifraError["code"], reason: string): void {
    const refusal = code in REFUSAL_CODES ? code as RefusalCode : "refused";
    respond(channel, { type: "refused", code: REFUSAL_CODES[refusal], retryAfter: 0, reason });
    channel.close(CloseCode.failed);
  }

  /** An address for the log: as it is when the operator asked for that, otherwise a daily tag. */
  #tag(host: string): string {
    if (this.#options.logAddresses) return host;
    const { time, random } = this.#options.environment;
    const now = time.now();
    if (!this.#tagKey || now - this.#tagKey.since > DAY) {
      this.#tagKey = { key: random(32), since: now };
    }
    const mac = hmacSha512(this.#tagKey.key, encodeUtf8(host));
    return encodeHex(mac.subarray(0, 4));
  }
}

async function loadInviteSecret(folder: PrivateFolder): Promise<Bytes> {
  const text = await folder.read("invite.secret");
  if (text !== undefined) return parseInviteSecret(folder, text);
  const secret = systemRandom(32);
  await folder.write("invite.secret", encodeBase64Url(secret) + "\n");
  return secret;
}

/** Waits until a client that was sent away has gone; what it still says is nobody's business. */
async function lastWords(channel: Channel): Promise<void> {
  while (await channel.receive());
}

/**
 * Says something to a client. One who has just gone away misses nothing that it could use. One who reads
 * nothing, while others give us reason to go on talking, is not kept: the queue would have no end.
 */
function say(channel: Channel, type: ItemType, body: Bytes): void {
  if (!channel.isOpen) return;
  if (channel.queuedLength > OUTBOUND_QUEUE_HIGH_WATER) {
    channel.fail(new CifraError("slow_reader", "The client does not take what it is sent"));
  } else channel.send(type, body);
}

function respond(channel: Channel, response: ServerResponse): void {
  say(channel, ItemType.response, encodeServerResponse(response));
}

/** A small piece of a large record must not keep all of the record in memory while it waits. */
function ownBytes(bytes: Bytes): Bytes {
  return bytes.length < bytes.buffer.byteLength / 2 ? bytes.slice() : bytes;
}

function outOfTurn(): CifraError {
  return new CifraError("bad_state", "Cannot take this message: it is out of turn");
}

function parseInviteSecret(folder: PrivateFolder, text: string): Bytes {
  try {
    const secret = decodeBase64Url(text.trim());
    if (secret.length === 32) return secret;
  } catch {
    // Not even base64url: damaged all the same.
  }
  throw new CifraError("local", `Cannot read the invite secret in ${folder.path}: it is damaged`, {
    hint: "remove the file invite.secret; earlier invite lines then stop working",
  });
}
