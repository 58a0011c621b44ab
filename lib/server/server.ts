/** The server at work: accepts connections, runs the handshake as responder, and lets the requests decide. */
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { encodeHex } from "@std/encoding/hex";
import { hmacSha512 } from "../crypto/platform.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { CifraError, type ErrorCode } from "../errors.ts";
import { startResponder } from "../handshake/responder.ts";
import { NO_PSK } from "../handshake/state.ts";
import {
  ASYMMETRIC_QUEUE,
  ASYMMETRIC_WAIT,
  CLOSE_DEADLINE,
  DAY,
  HANDSHAKE_SHARE_OF_INVITE,
  MAIL_EXPIRY_PAUSE,
  TURNED_AWAY_LIMIT,
} from "../limits.ts";
import type { Environment, Listening } from "../net/environment.ts";
import type { TcpTransport } from "../net/transports.ts";
import { Absence } from "../flow/absence.ts";
import { Limiter, type Rank } from "../flow/limiter.ts";
import { Ticker } from "../flow/ticker.ts";
import {
  type ConnectionCaps,
  ConnectionLimits,
  type Refusal,
  sourceOf,
} from "../services/connection_limits.ts";
import type { QuotaLimits } from "../services/quotas.ts";
import { type InsiderCaps, Insiders, isKnownForLong } from "../services/insiders.ts";
import { ban, forget, type Subject } from "../services/bans.ts";
import type { DirectoryRules } from "../services/directory.ts";
import { Invites, type Presented } from "../services/invites.ts";
import type { Lock } from "../services/password_lanes.ts";
import { Tickets } from "../services/tickets.ts";
import type { RelayLimits } from "../services/relay.ts";
import type { RendezvousLimits } from "../services/rendezvous.ts";
import { Channel } from "../channel/channel.ts";
import { runHandshake } from "../channel/run_handshake.ts";
import { Connection } from "../channel/connection.ts";
import type { PrivateFolder } from "../store/private_files.ts";
import type { MailboxCounts, MailboxStore } from "../store/mailbox_store.ts";
import type { ServerStore } from "../store/server_store.ts";
import { meaningOf } from "../platform_errors.ts";
import { FrameKind } from "../wire/frame.ts";
import { decodeClientPreface } from "../wire/handshake_messages.ts";
import type { Line } from "../wire/line.ts";
import { CloseCode } from "../wire/records.ts";
import type { ServerEvent } from "./events.ts";
import { loadServerKeys, type ServerKeys } from "./keys.ts";
import { Client } from "./client.ts";
import { Requests } from "./requests/requests.ts";

const NOTHING = new Uint8Array(0);

/** How a server behaves. */
export interface ServerBehaviour {
  readonly environment: Environment;
  /** Addresses to listen on; one that the machine lacks is left out if another is there. */
  readonly hosts: readonly string[];
  /** 0 takes any free port. */
  readonly port: number;
  readonly store: ServerStore;
  /** Where what is left for those who are not here is kept; without it nothing is. */
  readonly mail: MailboxStore | undefined;
  /** What the server calls itself, at most 32 bytes of UTF-8. */
  readonly displayName: Line;
  /** Only clients with an invite may come in. */
  readonly inviteOnly: boolean;
  readonly rules: DirectoryRules;
  readonly limits: ConnectionCaps & InsiderCaps & RelayLimits & QuotaLimits & RendezvousLimits;
  /** Handshake steps run at once. */
  readonly gateWidth: number;
  /** Whether events tell addresses as they are, instead of a tag that changes daily. */
  readonly logAddresses: boolean;
  readonly trace: boolean;
  readonly onEvent: (event: ServerEvent) => void;
}

/** How to run a server, and where its keys are. */
export interface ServerSetup extends ServerBehaviour {
  /** Holds the identity keys and the invite secret. */
  readonly folder: PrivateFolder;
  readonly allowClassic: boolean;
}

/** Somebody who is connected and has registered. */
export interface ActiveClient {
  readonly name: string;
  /** Names of those to whom they want to be introduced. */
  readonly wants: readonly string[];
  readonly isInLobby: boolean;
  readonly suite: SuiteName;
  /** 64 hexadecimal digits. */
  readonly fingerprint: string;
  /** Where they come from, as the log has it. */
  readonly source: string;
}

/** A running server. */
export class Server {
  /** The fingerprint of the server in each suite it accepts. */
  readonly fingerprints: ReadonlyMap<SuiteName, Bytes>;
  /** Who may come in with what. */
  readonly invites: Invites;
  readonly #options: ServerBehaviour;
  readonly #keys: ServerKeys;
  readonly #listener: Listening;
  readonly #requests: Requests;
  readonly #connectionLimits: ConnectionLimits<Connection>;
  readonly #insiders: Insiders<Client>;
  readonly #tickets: Tickets;
  readonly #gate: Limiter;
  readonly #ticker: Ticker;
  /** When what has waited too long is looked for next. */
  #expiresAt = -Infinity;
  readonly #absence: Absence;
  /** Connections without a finished handshake, with the address each comes from, and clients, which have one. */
  readonly #strangers = new Map<Connection, string>();
  readonly #clients = new Set<Client>();
  /** Strangers that wait for a step of ours. */
  readonly #working = new Set<Connection>();
  /** Connections that found no room, until they are told so. */
  readonly #turnedAway = new Set<Connection>();
  /** Connections being served, and who waits for them to end. */
  #present = 0;
  #empty: PromiseWithResolvers<void> | undefined;
  #tagKey: { readonly key: Bytes; readonly since: number } | undefined;
  /** Milliseconds since 1970. */
  readonly #started: number;
  #stopping = false;

  /** Opens the port and serves with these keys. Throws `local` when the port cannot be had. */
  constructor(options: ServerBehaviour, keys: ServerKeys) {
    const { time, network, random } = options.environment;
    this.#options = options;
    this.#keys = keys;
    this.#started = time.date();
    this.invites = new Invites(options.store, keys.inviteSecret, random);
    this.fingerprints = new Map(
      [...keys.sides.values()].map(({ suite, identity }) => [suite.name, identity.fingerprint]),
    );
    this.#connectionLimits = new ConnectionLimits(
      options.limits,
      (connection) => this.#working.has(connection) ? undefined : connection.heard,
    );
    this.#insiders = new Insiders(options.limits);
    this.#tickets = new Tickets(random, keys.ticketSecret);
    this.#requests = new Requests({
      ...options,
      invites: this.invites,
      connectionLimits: this.#connectionLimits,
      insiders: this.#insiders,
      tickets: this.#tickets,
      saltSecret: keys.saltSecret,
      tag: (host) => this.#tag(host),
    });
    this.#gate = new Limiter(options.gateWidth, {
      length: ASYMMETRIC_QUEUE,
      patience: ASYMMETRIC_WAIT,
      clock: time.now,
    });
    this.#listener = network.listen(options.hosts, options.port);
    this.#absence = new Absence(time.now());
    this.#ticker = new Ticker(time);
    this.#ticker.add((now) => this.#tick(now));
    this.#listener.acceptAll((transport) => this.#serve(transport), (error) => {
      options.onEvent({ event: "accept-trouble", reason: meaningOf(error).why });
    });
  }

  /** Loads keys, opens the port and serves. Throws `local` when the folder or the port cannot be had. */
  static async start(options: ServerSetup): Promise<Server> {
    const { folder, allowClassic, environment: { time } } = options;
    return new Server(options, await loadServerKeys({ folder, allowClassic, now: time.now }));
  }

  /** Where it listens. */
  get endpoints() {
    return this.#listener.endpoints;
  }

  /** Clients connected, strangers included. */
  get connections(): number {
    return this.#connectionLimits.connections;
  }

  /** Everybody who is here under a name, once for each connection, and whom they want. */
  *people(): Iterable<ActiveClient> {
    for (const { host, ...person } of this.#requests.everybody()) {
      yield { ...person, source: this.#tag(host) };
    }
  }

  /** Everybody who is connected, has shown a key and has not registered. */
  *nameless(): Iterable<Pick<ActiveClient, "suite" | "fingerprint" | "source">> {
    for (const { channel: { established }, observed } of this.#insiders.nameless) {
      const { suite, theirs } = established;
      const fingerprint = encodeHex(theirs.fingerprint);
      yield { suite: suite.name, fingerprint, source: this.#tag(observed.host) };
    }
  }

  /** Ends the connections from a source as the log has it; they may come back. Returns how many those were. */
  kickFrom(source: string): number {
    const chosen = [...this.#clients].filter(({ observed: { host } }) =>
      this.#tag(host) === source
    );
    return this.#requests.dismiss(chosen, "kicked");
  }

  /** What is not listened to because of wrong passwords. */
  locks(): readonly Lock[] {
    return this.#requests.passwordLanes.locks(this.#options.environment.time.now());
  }

  /** Listens again to those who try to sign in under a name, or from a source; returns how many locks were lifted. */
  unlock(which: Pick<Lock, "name" | "tag">): number {
    return this.#requests.passwordLanes.lift(which, this.#options.environment.time.now());
  }

  /** Ends the connections of a name or a key, which may come back; returns how many those were. */
  kick(subject: Subject): number {
    return this.#sendAway(subject, "kicked");
  }

  /** Keeps a name with the keys that own it out, or a key. Returns how many connections that ended. */
  ban(subject: Subject): number {
    const { store, environment: { time } } = this.#options;
    ban(store, subject, time.date());
    return this.#sendAway(subject, "banned");
  }

  /** Makes a name free, or takes a key from it, and ends their connections; false when it is not known. */
  forget(subject: Subject): boolean {
    this.#forgetMail(subject);
    if (!forget(this.#options.store, subject)) return false;
    this.#sendAway(subject, "kicked");
    return true;
  }

  /** How much waits in the mailbox; undefined where there is none. */
  get mail(): MailboxCounts | undefined {
    return this.#requests.mailbox?.counts();
  }

  /** Says goodbye to everybody, and resolves when all have gone or two seconds have passed. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#listener.close();
    for (const stock of this.#keys.stocks) stock.close();
    for (const { channel } of this.#clients) channel.close(CloseCode.shutdown);
    this.#empty = Promise.withResolvers();
    if (this.#present === 0) this.#empty.resolve();
    const patient = this.#options.environment.time.after(CLOSE_DEADLINE, () => {
      for (const connection of this.#strangers.keys()) connection.close();
      for (const connection of this.#turnedAway) connection.close();
      for (const { channel } of this.#clients) channel.destroy();
    });
    await this.#empty.promise;
    patient();
    this.#requests.stop();
    this.#ticker.stop();
  }

  #sendAway(subject: Subject, code: "kicked" | "banned"): number {
    const { store } = this.#options;
    // Whoever is about to get the name has it on disk already.
    const owners = subject.kind === "name" ? store.keysOf(subject.name) : [];
    const isMeant = ({ name, channel: { established: { theirs } } }: Client) => {
      const fingerprint = encodeHex(theirs.fingerprint);
      return subject.kind === "name"
        ? name === subject.name || owners.some((owner) => owner.fingerprint === fingerprint)
        : fingerprint === subject.fingerprint;
    };
    return this.#requests.dismiss([...this.#clients].filter(isMeant), code);
  }

  /** Before the name is forgotten, by which the keys are found. */
  #forgetMail(subject: Subject): void {
    const { mailbox } = this.#requests;
    if (!mailbox) return;
    const forgetting = subject.kind === "name"
      ? mailbox.forget(subject.name)
      : mailbox.forgetKey(subject.fingerprint);
    forgetting.catch((error) => this.#mailFailed(error));
  }

  /** At the start, and then every hour. */
  #expireMail(): void {
    const { environment: { time } } = this.#options;
    this.#expiresAt = time.now() + MAIL_EXPIRY_PAUSE;
    this.#requests.mailbox?.expire(time.date()).catch((error) => this.#mailFailed(error));
  }

  #mailFailed(error: unknown): void {
    if (!(error instanceof CifraError)) throw error;
    this.#options.onEvent({ event: "mailbox-failed", reason: error.message });
  }

  #tick(now: number): void {
    if (now >= this.#expiresAt) this.#expireMail();
    this.#absence.look(now);
    if (this.#absence.isCatchingUp(now)) return;
    for (const connection of this.#strangers.keys()) connection.enforceDeadlines(now);
    for (const connection of this.#turnedAway) connection.enforceDeadlines(now);
    for (const client of this.#clients) client.tick(now);
    this.#requests.tick(now);
  }

  /** One connection from its first byte to its last. Never throws. */
  async #serve(transport: TcpTransport): Promise<void> {
    const { host } = transport.remote;
    const source = sourceOf(host);
    const { now } = this.#options.environment.time;
    const since = now();
    this.#absence.look(since);
    const connection = new Connection(transport, now);
    if (!this.#admit(connection, host)) return await this.#apologize(connection, source);
    this.#strangers.set(connection, host);
    this.#present++;
    let client: Client | undefined;
    let isBug = false;
    try {
      const greeted = await this.#greet(connection, host);
      if (!greeted) return;
      // It may have had to give way at the last moment.
      if (!this.#connectionLimits.authenticated(connection)) return;
      this.#strangers.delete(connection);
      client = new Client(greeted.channel, transport.remote, greeted.invite, now());
      this.#clients.add(client);
      this.#enter(client, source);
      if (this.#stopping) client.channel.close(CloseCode.shutdown);
      await this.#requests.attend(client);
    } catch (error) {
      connection.fail(error);
      isBug = !(error instanceof CifraError);
      if (isBug) this.#options.onEvent({ event: "bug", reason: (error as Error).name });
    } finally {
      // A stranger that had to give way, or was turned away, has left before.
      const isStranger = this.#strangers.delete(connection);
      const failure = client?.channel.goodbye ? undefined : connection.failure;
      // Whoever does not trust our key, and says so, has not failed to prove its own.
      const isOurKey = connection.isToldWhy && failure?.code === "auth_failed";
      const cost = isOurKey ? "shutdown" : this.#blame(failure?.code, since);
      if (isStranger) this.#connectionLimits.left(connection, now(), cost);
      if (client) {
        this.#clients.delete(client);
        this.#insiders.leave(client);
        if (!client.hasGivenWay) this.#connectionLimits.leftInside();
      }
      const isFailed = failure && (isStranger || client && !client.isAnswered);
      if (client && client.name === undefined && !client.hasGivenWay) {
        this.#connectionLimits.tookNoName(source, now(), isFailed ? cost : undefined);
      }
      if (isFailed) {
        const { code } = failure;
        const event = { event: "handshake-failed", source: this.#tag(host), code } as const;
        // Whoever only asks for the key, as at every first visit, has not failed.
        if (!isBug && code !== "shutdown") this.#options.onEvent(event);
      }
      client?.channel.destroy();
      this.#leaves();
    }
  }

  /** What a failure counts as of a connection that was accepted at `since`. */
  #blame(failure: ErrorCode | undefined, since: number): ErrorCode | undefined {
    const now = this.#options.environment.time.now();
    this.#absence.look(now);
    const isGivenUp = failure === "cut" || failure === "timeout";
    // We did not answer in time, and that is nobody's failure but ours.
    return isGivenUp && this.#absence.concerns(since) ? "busy" : failure;
  }

  /** Takes a connection onto the porch, for which others may have to give way; false when it is closed. */
  #admit(connection: Connection, host: string): boolean {
    const { now } = this.#options.environment.time;
    const source = sourceOf(host);
    const admit = () => this.#connectionLimits.admit(connection, source, now());
    let admission = admit();
    if (admission.type === "full" && this.#makeRoom(source)) admission = admit();
    if (admission.type !== "in") {
      const { type: reason } = admission;
      this.#options.onEvent({ event: "refused-connection", source: this.#tag(host), reason });
      return false;
    }
    for (const each of admission.out) this.#turnAway(each, this.#strangers.get(each)!, "crowded");
    return true;
  }

  /** Tells a connection for which there is no room when to come again, once it has said anything. Never throws. */
  async #apologize(connection: Connection, source: string): Promise<void> {
    const { now } = this.#options.environment.time;
    if (this.#stopping || this.#turnedAway.size >= TURNED_AWAY_LIMIT) return connection.close();
    this.#turnedAway.add(connection);
    this.#present++;
    try {
      const { kind } = await connection.nextFrame();
      // What is not read when a connection is closed takes our last word with it.
      if (kind === FrameKind.preface) await connection.nextFrame();
      this.#sendOff(connection, source, now());
    } catch {
      connection.close();
    } finally {
      this.#turnedAway.delete(connection);
      this.#leaves();
    }
  }

  /** Says that there is no room now, and hangs up. */
  #sendOff(connection: Connection, source: string, now: number): void {
    const retryAfter = this.#connectionLimits.patienceOf(source, now);
    connection.fail(new CifraError("busy", "There is no room at the moment", { retryAfter }));
  }

  #leaves(): void {
    this.#present--;
    if (this.#present === 0) this.#empty?.resolve();
  }

  /** Closes a connection without a byte. */
  #turnAway(connection: Connection, host: string, reason: Refusal): void {
    this.#strangers.delete(connection);
    connection.close();
    this.#options.onEvent({ event: "refused-connection", source: this.#tag(host), reason });
  }

  /** A client takes a place inside, or is told that there is none for it. */
  #enter(client: Client, source: string): void {
    const { theirs: { fingerprint } } = client.channel.established;
    const key = encodeHex(fingerprint);
    const retryAfter = this.#connectionLimits.comes(key, this.#options.environment.time.now());
    try {
      if (retryAfter > 0) {
        throw new CifraError("limit", "This key comes again and again", { retryAfter });
      }
      const { store, environment: { time } } = this.#options;
      const created = store.keyWith(key)?.created;
      const isKnown = created !== undefined &&
        isKnownForLong(created, this.#started, time.date());
      const out = this.#insiders.enter(client, { key, source, isKnown });
      for (const each of out) this.#sendOut(each);
    } catch (error) {
      if (!(error instanceof CifraError)) throw error;
      client.dismiss(error.code, error.message, error.retryAfter);
    }
  }

  /** There is no room at all for one from this source: somebody else goes. False when nobody has to. */
  #makeRoom(source: string): boolean {
    const client = this.#insiders.giveWay(source);
    if (client) this.#sendOut(client);
    return client !== undefined;
  }

  /** Ends the connection of a client that had to give way. */
  #sendOut(client: Client): void {
    client.hasGivenWay = true;
    this.#connectionLimits.leftInside();
    client.channel.fail(new CifraError("busy", "The server is full, and others hold less of it"));
  }

  /**
   * The handshake: with an invite's preface in mode 3, without one in mode 1. Undefined when its source is in
   * doubt and the connection does not prove that it is acquainted.
   */
  async #greet(
    connection: Connection,
    host: string,
  ): Promise<{ readonly channel: Channel; readonly invite: Presented | undefined } | undefined> {
    const first = await connection.nextFrame();
    let invite: Presented | undefined, known: string | undefined;
    if (first.kind === FrameKind.preface) {
      ({ invite, known } = await this.#presented(connection, first.body));
    } else connection.unread(first);
    const { environment: { time, random }, trace, onEvent, displayName } = this.#options;
    if (invite) {
      const what = `invite ${invite.id}`;
      this.#connectionLimits.acquainted(connection, what, time.now(), HANDSHAKE_SHARE_OF_INVITE);
    }
    if (known !== undefined) {
      this.#connectionLimits.acquainted(connection, `ticket ${known}`, time.now());
    }
    const doubt = this.#connectionLimits.doubtOf(connection);
    if (doubt) {
      this.#connectionLimits.left(connection, time.now());
      this.#strangers.delete(connection);
      onEvent({ event: "refused-connection", source: this.#tag(host), reason: doubt });
      this.#sendOff(connection, sourceOf(host), time.now());
      return undefined;
    }
    // Whose ladder is begun is served first, and before newcomers those whom we know.
    let rank: Rank = this.#connectionLimits.isAcquainted(connection) ? 1 : 2;
    const run = async <T>(job: () => Promise<T>): Promise<T> => {
      this.#working.add(connection);
      try {
        return await this.#gate.run(job, rank);
      } finally {
        rank = 0;
        this.#working.delete(connection);
      }
    };
    const tag = trace ? this.#tag(host) : "";
    const established = await runHandshake(
      connection,
      startResponder({
        mode: invite ? 3 : 1,
        context: NOTHING,
        psk: invite?.secret ?? NO_PSK,
        random,
        ours: (id) => this.#keys.sides.get(id),
        displayName,
        checkInitiator: ({ fingerprint }) => {
          if (known === undefined || encodeHex(fingerprint) === known) return;
          throw new CifraError("auth_failed", "Cannot admit client: its ticket is another's");
        },
      }),
      {
        run,
        onEvent: trace ? (step) => onEvent({ event: "trace", source: tag, step }) : undefined,
      },
    );
    // Thousands wait here: what the server has no use for is not kept for each of them.
    const lean = { ...established, transcript: NOTHING };
    return { channel: await Channel.open(connection, lean, time.now), invite };
  }

  /**
   * What a preface presents, bound to the m1 behind it. An invite that does not hold is hung up on; a ticket
   * that does not hold shows nothing.
   */
  async #presented(
    connection: Connection,
    body: Bytes,
  ): Promise<{ readonly invite?: Presented; readonly known?: string }> {
    try {
      const preface = decodeClientPreface(body);
      const m1 = await connection.nextFrame();
      connection.unread(m1);
      const now = this.#options.environment.time.date();
      if (preface.type === "ticket") {
        const known = this.#tickets.presented(preface, m1.body, now);
        return known !== undefined && this.#isWelcome(known) ? { known } : {};
      }
      const invite = this.invites.presented(preface, m1.body, now);
      if (invite) return { invite };
    } catch (error) {
      if (!(error instanceof CifraError) || error.code !== "bad_frame") throw error;
    }
    const error = new CifraError("auth_failed", "Cannot admit client: its invite is not ours");
    throw connection.fail(error, { silently: true });
  }

  #isWelcome(fingerprint: string): boolean {
    const { store } = this.#options;
    return store.keyWith(fingerprint) !== undefined && !store.isBanned("key", fingerprint);
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
