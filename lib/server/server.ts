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
import { CLOSE_DEADLINE, FRAME_LIMIT_OPEN, SILENCE_DEADLINE } from "../limits.ts";
import { Listener, type TcpTransport } from "../net/tcp.ts";
import { Admission, type AdmissionLimits, sourceOf } from "../services/admission.ts";
import { EnvelopeKeyStock } from "../services/envelope_keys.ts";
import { Gate } from "../services/gate.ts";
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
import { peerAck, peerMessage } from "../wire/peer_messages.ts";
import { CloseCode, type Item, ItemType } from "../wire/records.ts";
import {
  decodeServerRequest,
  encodeServerResponse,
  REFUSAL_CODES,
  type RefusalCode,
  type ServerResponse,
} from "../wire/rendezvous_messages.ts";
import type { ServerEvent } from "./events.ts";

const NOTHING = new Uint8Array(0);
const NO_PSK = new Uint8Array(32);
const clock = () => performance.now();
const DAY = 24 * 3_600_000;

/** How to run a server. */
export interface ServerOptions {
  /** Addresses to listen on; one that the machine lacks is left out if another is there. */
  readonly hosts: readonly string[];
  /** 0 takes any free port. */
  readonly port: number;
  /** Holds the identity keys and the invite secret. */
  readonly folder: PrivateFolder;
  readonly store: Store;
  /** What the server calls itself, at most 32 bytes of UTF-8. */
  readonly displayName: string;
  readonly allowClassic: boolean;
  /** Only clients with the invite line may come in. */
  readonly inviteOnly: boolean;
  readonly limits: AdmissionLimits;
  /** Handshake steps run at once. */
  readonly gateWidth: number;
  /** Whether events tell addresses as they are, instead of a tag that changes daily. */
  readonly logAddresses: boolean;
  readonly trace: boolean;
  readonly onEvent: (event: ServerEvent) => void;
}

/** A client that is connected: until it has registered, only a connection. */
interface Session {
  readonly connection: Connection;
  channel: Channel | undefined;
  name: string | undefined;
}

/** A running server. */
export class Server {
  /** The fingerprint of the server in each suite it accepts. */
  readonly fingerprints: ReadonlyMap<SuiteName, Bytes>;
  /** The 32-byte secret of the invite line. */
  readonly inviteSecret: Bytes;
  readonly #options: ServerOptions;
  readonly #sides: ReadonlyMap<number, OurSide>;
  readonly #stocks: readonly EnvelopeKeyStock[];
  readonly #listener: Listener;
  readonly #invitePreface: Bytes;
  readonly #rendezvous: Rendezvous;
  readonly #admission: Admission;
  readonly #gate: Gate;
  readonly #sessions = new Set<Session>();
  readonly #byName = new Map<string, Session>();
  /** Connections being served, and who waits for them to end. */
  #present = 0;
  #empty: PromiseWithResolvers<void> | undefined;
  readonly #timer: ReturnType<typeof setInterval>;
  #tagKey: { readonly key: Bytes; readonly since: number } | undefined;
  #stopping = false;

  private constructor(
    options: ServerOptions,
    sides: ReadonlyMap<number, OurSide>,
    stocks: readonly EnvelopeKeyStock[],
    listener: Listener,
    inviteSecret: Bytes,
    invitePreface: Bytes,
  ) {
    this.#options = options;
    this.#sides = sides;
    this.#stocks = stocks;
    this.#listener = listener;
    this.inviteSecret = inviteSecret;
    this.#invitePreface = invitePreface;
    this.fingerprints = new Map(
      [...sides.values()].map(({ suite, identity }) => [suite.name, identity.fingerprint]),
    );
    this.#rendezvous = new Rendezvous(options.store, systemRandom);
    // The early drop need not be unpredictable, only spread.
    this.#admission = new Admission(options.limits, Math.random);
    this.#gate = new Gate(options.gateWidth, clock);
    this.#timer = setInterval(() => this.#tick(), 1000);
    listener.acceptAll((transport) => this.#serve(transport), (error) => {
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
        const stock = new EnvelopeKeyStock(suite.kem, clock);
        stocks.push(stock);
        envelopeKey = () => stock.take();
      }
      sides.set(SUITE_IDS[name], { suite, identity, envelopeKey });
    }
    const inviteSecret = await loadInviteSecret(options.folder);
    const preface = encodeInvitePreface(inviteSecret);
    const listener = Listener.open(options.hosts, options.port);
    return new Server(options, sides, stocks, listener, inviteSecret, preface);
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
    for (const stock of this.#stocks) stock.close();
    for (const { channel } of this.#sessions) {
      if (channel) channel.close(CloseCode.shutdown);
    }
    this.#empty = Promise.withResolvers();
    if (this.#present === 0) this.#empty.resolve();
    const impatience = setTimeout(() => {
      for (const { connection } of this.#sessions) connection.close();
    }, CLOSE_DEADLINE);
    await this.#empty.promise;
    clearTimeout(impatience);
    clearInterval(this.#timer);
  }

  #tick(): void {
    const now = performance.now();
    for (const { channel, connection } of this.#sessions) {
      if (channel) channel.tick(now);
      else connection.enforceDeadlines(now);
    }
  }

  /** One connection from its first byte to its last. Never throws. */
  async #serve(transport: TcpTransport): Promise<void> {
    const { host } = transport.remote;
    const source = sourceOf(host);
    const refusal = this.#admission.admit(source, performance.now());
    if (refusal) {
      transport.close();
      this.#options.onEvent({
        event: "refused-connection",
        source: this.#tag(host),
        reason: refusal,
      });
      return;
    }
    const connection = new Connection(transport, clock);
    const session: Session = { connection, channel: undefined, name: undefined };
    this.#sessions.add(session);
    this.#present++;
    try {
      const channel = await this.#greet(connection, host);
      this.#admission.authenticated(source, performance.now());
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
      this.#admission.left(source, performance.now(), authenticated, code);
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
    const { trace, onEvent, displayName } = this.#options;
    const tag = trace ? this.#tag(host) : "";
    const established = await climb(
      connection,
      startResponder({
        mode: invited ? 3 : 1,
        context: NOTHING,
        psk: invited ? this.inviteSecret : NO_PSK,
        random: systemRandom,
        ours: (id) => this.#sides.get(id),
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
    return await Channel.open(connection, lean, clock);
  }

  /** From m7 to the goodbye. */
  async #attend(session: Session, channel: Channel, transport: TcpTransport): Promise<void> {
    const first = await channel.receive();
    if (!first) return;
    const item = first[0]!;
    if (item.type !== ItemType.request || first.length > 1) throw outOfTurn();
    try {
      if (!await this.#register(session, channel, transport, item.body)) return;
      for (;;) {
        const items = await channel.receive();
        if (!items) break;
        for (const next of items) this.#answer(channel, next);
        // What it does not read, it cannot make us say more of.
        await channel.flush();
      }
    } finally {
      this.#leave(session, channel);
    }
    if (channel.goodbye) await channel.close(CloseCode.done);
  }

  /** m7 in, m8 out, and whatever follows from it for this client and others. */
  async #register(
    session: Session,
    channel: Channel,
    transport: TcpTransport,
    body: Bytes,
  ): Promise<boolean> {
    const registration = decodeServerRequest(body);
    const { theirs: identity, suite } = channel.established;
    const client = shortFingerprint(identity.fingerprint);
    const observed = transport.remote;
    let outcomes: readonly Outcome[];
    try {
      const applicant = { registration, identity, suite: suite.id, observed };
      outcomes = this.#rendezvous.register(applicant, Date.now());
    } catch (error) {
      if (!(error instanceof CifraError)) throw error;
      const source = this.#tag(observed.host);
      const { code } = error;
      this.#options.onEvent({ event: "registration-refused", source, client, code });
      this.#dismiss(channel, code, error.message);
      await channel.receive();
      return false;
    }
    const previous = this.#byName.get(registration.name);
    session.name = registration.name;
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
      } else if (outcome.type === "replaced") {
        if (previous?.channel) {
          previous.name = undefined;
          const text = "The same identity has connected again";
          this.#dismiss(previous.channel, "replaced", text);
        }
        this.#options.onEvent({ event: "replaced", name: outcome.name });
      } else this.#tellPair(outcome);
    }
    return true;
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
    for (const { to, introduction } of outcome.pair) {
      this.#tell(to, { type: "introduction", ...introduction });
      const session = this.#byName.get(to);
      this.#byName.delete(to);
      if (!session) continue;
      session.name = undefined;
      session.channel?.close(CloseCode.done);
    }
    const { generation } = outcome;
    this.#options.onEvent({ event: "introduced", names, generation });
  }

  /** Sends to whoever holds `name`. */
  #tell(name: string, response: ServerResponse): void {
    const channel = this.#byName.get(name)?.channel;
    if (channel) respond(channel, response);
  }

  /** A registered client may speak to the server, if it asked for that; each message is answered OK. */
  #answer(channel: Channel, item: Item): void {
    if (item.type === ItemType.ack) return;
    if (item.type !== ItemType.message) throw outOfTurn();
    const { number, type } = decode(peerMessage, item.body);
    channel.send(ItemType.ack, encode(peerAck, { number }));
    const reply = type === "end"
      ? { type: "end" as const, number }
      : { type: "text" as const, number, content: encodeUtf8("OK") };
    channel.send(ItemType.message, encode(peerMessage, reply));
  }

  #leave(session: Session, channel: Channel): void {
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
    const now = performance.now();
    if (!this.#tagKey || now - this.#tagKey.since > DAY) {
      this.#tagKey = { key: systemRandom(32), since: now };
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

/** Says something to a client. One who has just gone away misses nothing that it could use. */
function respond(channel: Channel, response: ServerResponse): void {
  if (channel.isOpen) channel.send(ItemType.response, encodeServerResponse(response));
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
