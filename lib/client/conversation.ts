/**
 * Keeps two people talking: asks the server for the other one, meets it, and does so again whenever the
 * connection, the network, the server or the other program has gone, until this side leaves.
 */
import type { Bytes } from "../bytes.ts";
import {
  formatFingerprint,
  type Identity,
  identityClassOf,
  type PublicIdentity,
  readIdentity,
} from "../crypto/identity.ts";
import type { KemKeyPair } from "../crypto/kem.ts";
import type { Random } from "../crypto/platform.ts";
import type { Suite } from "../crypto/suite.ts";
import { CifraError, isChange, isFinal } from "../errors.ts";
import { MEETING_BACKOFF_MAXIMUM, MEETING_DEADLINE, MEETING_PATIENCE } from "../limits.ts";
import { aborted, delay } from "../flow/delay.ts";
import type { Environment, Listening } from "../net/environment.ts";
import type { Ticker } from "../flow/ticker.ts";
import { addressScope, type Endpoint } from "../wire/address.ts";
import { ID_LENGTH, LogKind, type LogPosition } from "../wire/peer_messages.ts";
import { CloseCode } from "../wire/records.ts";
import { Capability, type Introduction } from "../wire/rendezvous_messages.ts";
import { Backoff } from "../flow/backoff.ts";
import { Connector, type Meeting, type Path } from "./connector.ts";
import type { Ending, Thread } from "./thread.ts";
import { type Registrar, requireNameClaim } from "./name_claim.ts";
import { NO_PORTS, type Ports, type ServerLink, type ServerNews } from "./server_link.ts";
import type { Tracer } from "./trace.ts";

/** On the relay, a direct connection is looked for after this pause. */
const UPGRADE_PAUSE = 2000;
/** Somebody who is not who they were is waited for so long, to be told, and so long to have heard it. */
const REFUSAL_PATIENCE = 3000;
const REFUSAL_ECHO = 1000;
/** The beat of the ticker has stopped for longer than this: the machine was asleep. */
const SLEEP_GAP = 10_000;

/** What happens between the two, for a person to be told. */
export type Status =
  | {
    readonly type: "registered";
    readonly server: Endpoint;
    readonly title: string;
    readonly observed: Endpoint;
    /** Where we listen and whence we dial; undefined for those who do neither. */
    readonly ports: Ports | undefined;
  }
  /** The server knows whom we want, and will tell. */
  | { readonly type: "waiting" }
  | {
    readonly type: "suite-mismatch";
    readonly peerSuite: number;
    readonly yourSuite: number;
  }
  /** There is a channel; `again` after one was lost or left. */
  | {
    readonly type: "connected";
    readonly path: Path;
    readonly again: boolean;
    readonly fingerprint: Bytes;
    readonly sessionId: Bytes;
  }
  /** The conversation goes on over another path, without a break. */
  | { readonly type: "moved"; readonly path: Path }
  | { readonly type: "lost"; readonly error: CifraError }
  /** The other person has been told that we ask, and does not want to talk now; we go on waiting. */
  | { readonly type: "declined" }
  /** The other person's program said goodbye; `failed` when something went wrong there. */
  | { readonly type: "left"; readonly failed: boolean }
  /** `retryIn` milliseconds until the next try. */
  | { readonly type: "server-lost"; readonly error: CifraError; readonly retryIn: number }
  /** The server has introduced the two, and no way between them works; it is tried again. */
  | { readonly type: "no-way"; readonly failures: readonly string[] };

/** Which ways may be used. */
export type RelayChoice = "allowed" | "only" | "never";

/** What a conversation is made of. */
export interface ConversationOptions {
  readonly environment: Environment;
  readonly ticker: Ticker;
  readonly ourName: string;
  readonly peerName: string;
  readonly suite: Suite;
  readonly identity: Identity;
  readonly ephemeralKey: () => Promise<KemKeyPair>;
  readonly link: Thread;
  /** Connects to the server; throws when it cannot be reached or trusted. */
  readonly openServer: (sendPort: number | undefined) => Promise<ServerLink>;
  /** Registers under our name: one at a time, each with a higher number than all before. */
  readonly register: Registrar;
  /**
   * Whether the introduced identity is the person we know; throws `identity_changed` when not. Returns
   * what pins it once it has proved its key.
   */
  readonly checkPeer: (peer: PublicIdentity) => Promise<() => Promise<void>>;
  /** The port to listen on, 0 for any. */
  readonly receivePort: number;
  /** The port to dial from; undefined for any. */
  readonly sendPort: number | undefined;
  readonly advertised: readonly string[];
  readonly relay: RelayChoice;
  /** The server has taken us before: whatever passes is waited out from the beginning. */
  readonly patient?: boolean | undefined;
  readonly onStatus: (status: Status) => void;
  readonly trace?: Tracer | undefined;
}

/** Our two ports, and the open one. */
interface Place extends Ports {
  readonly listener: Listening | undefined;
}

interface Live {
  readonly meeting: Meeting;
  readonly path: Path;
  readonly since: number;
}

/** A conversation that is being had. */
export class Conversation {
  readonly #options: ConversationOptions;
  /** Between tries of the server, and between introductions that came to nothing. */
  readonly #backoff: Backoff;
  readonly #meetings: Backoff;
  #place: Place | undefined;
  #server: ServerLink | undefined;
  #point: Connector | undefined;
  #live: Live | undefined;
  #met = false;
  #registered = false;
  /** Aborted when there is a channel again, or the conversation is over. */
  #searching = new AbortController();
  #pausing = new AbortController();
  readonly #over = Promise.withResolvers<void>();
  #isLeaving = false;
  /** Somebody who is not who they were is still to be told. */
  #cancelRefusal: (() => void) | undefined;
  #lastBeat: number;

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.environment.random);
    this.#meetings = new Backoff(options.environment.random, MEETING_BACKOFF_MAXIMUM);
    this.#lastBeat = options.environment.time.now();
    this.#registered = options.patient ?? false;
  }

  /** The way the conversation goes at the moment; undefined while there is none. */
  get path(): Path | undefined {
    return this.#live?.path;
  }

  /** What was tried in vain since the last introduction, a line for each way. */
  get failures(): readonly string[] {
    return this.#point?.failures ?? [];
  }

  /**
   * Looks for the other person and keeps the conversation up until `leave`. Throws what makes it impossible:
   * before the first registration everything that goes wrong with the server (unless it is patient),
   * afterwards only what no waiting helps against.
   */
  async run(): Promise<void> {
    const untick = this.#options.ticker.add((now) => this.#tick(now));
    const searching = this.#search();
    searching.catch(() => {});
    try {
      await Promise.race([searching, this.#over.promise]);
    } finally {
      this.#end();
      this.#cancelRefusal?.();
      untick();
      this.#point?.close();
      this.#place?.listener?.close();
      await this.#dropServer();
    }
  }

  /** Says goodbye, after everything sent, and ends `run`. */
  async leave(code?: CloseCode): Promise<void> {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    this.#point?.rest();
    this.#searching.abort();
    await this.#options.link.leave(code);
    this.#end();
  }

  /** Somebody is there and waits: the next try is made at once. */
  hurry(): void {
    this.#backoff.reset();
    this.#pausing.abort();
  }

  #end(): void {
    this.#isLeaving = true;
    this.#searching.abort();
    this.#pausing.abort();
    this.#over.resolve();
  }

  #fail(error: unknown): void {
    this.#over.reject(error);
    this.#end();
  }

  #tick(now: number): void {
    this.#options.link.tick(now);
    this.#live?.meeting.channel.tick(now);
    const asleep = now - this.#lastBeat > SLEEP_GAP;
    this.#lastBeat = now;
    if (!asleep || this.#live) return;
    this.#point?.seek({ relay: false, after: 0 });
    this.hurry();
  }

  /** Asks the server for the other one whenever there is no channel. */
  async #search(): Promise<void> {
    while (!this.#isLeaving) {
      if (this.#live) {
        if (this.#live.path.type !== "relay") await this.#dropServer();
        await aborted(this.#pausing.signal);
        this.#pausing = new AbortController();
        continue;
      }
      let failure: CifraError | undefined;
      try {
        await this.#askServer();
      } catch (error) {
        if (!(error instanceof CifraError) || isFinal(error.code, this.#registered)) throw error;
        failure = error;
        await this.#dropServer();
      }
      if (this.#live || this.#isLeaving) continue;
      const pause = failure ? this.#backoff.next() : this.#meetings.next();
      if (failure) this.#tell({ type: "server-lost", error: failure, retryIn: pause });
      await delay(this.#options.environment.time, pause, this.#pausing.signal);
      this.#pausing = new AbortController();
    }
  }

  /** Registers and waits for an introduction, until there is a channel or the meeting came to nothing. */
  async #askServer(): Promise<void> {
    this.#searching = new AbortController();
    const { signal } = this.#searching;
    const server = await this.#openServer();
    if (signal.aborted) return;
    await this.#register(server);
    // The other side may have come by the way it knew in the meantime.
    if (signal.aborted) return await this.#stopAsking(server);
    this.#tell({ type: "waiting" });
    for (;;) {
      const news = await server.nextNews(signal);
      if (!news) return await this.#stopAsking(server);
      if (news.type === "suite-mismatch") {
        this.#tell(mismatch(news));
        continue;
      }
      if (news.type === "declined") {
        this.#tell({ type: "declined" });
        continue;
      }
      if (news.type !== "introduction") continue;
      await this.#introduce(server, news.introduction);
      return await this.#awaitMeeting(signal);
    }
  }

  /** Waits until there is a channel, or nothing is under way any more that could become one. */
  async #awaitMeeting(signal: AbortSignal): Promise<void> {
    const { time } = this.#options.environment;
    const end = time.now() + MEETING_DEADLINE;
    do await delay(time, MEETING_PATIENCE, signal); while (
      !signal.aborted && this.#point?.isBusy && time.now() < end
    );
    if (!signal.aborted) this.#tell({ type: "no-way", failures: this.failures });
  }

  /**
   * There is a channel while the server still looks for the other one. It may have introduced the two by
   * now: the other one, told first, lets nobody in from the introduction before, and we must not miss it.
   */
  async #stopAsking(server: ServerLink): Promise<void> {
    const introduction = await server.leave();
    if (introduction && !this.#isLeaving) await this.#introduce(server, introduction);
  }

  async #openServer(): Promise<ServerLink> {
    if (this.#server?.isOpen) return this.#server;
    await this.#dropServer();
    const { relay, sendPort } = this.#options;
    const from = relay === "only" ? undefined : this.#place?.sendPort ?? sendPort ??
      this.#options.environment.network.findFreePort("0.0.0.0");
    const server = await this.#options.openServer(from);
    if (this.#isLeaving) {
      await server.close();
      throw new CifraError("cut", "The conversation has ended");
    }
    this.#server = server;
    this.#place ??= this.#takePlace(server, from);
    return server;
  }

  /** Opens our receive port; those who only relay have none. */
  #takePlace(server: ServerLink, sendPort: number | undefined): Place {
    const { environment: { network }, advertised, receivePort } = this.#options;
    if (sendPort === undefined) {
      return { listener: undefined, ...NO_PORTS };
    }
    // Somebody on the server's own machine may still be looked for from elsewhere.
    const onlyHere = isHere(server) && advertised.length === 0;
    const listener = onlyHere
      ? network.listen(["127.0.0.1", "::1"], receivePort)
      : listenEverywhere(this.#options);
    listener.acceptAll((transport) => {
      if (this.#point) this.#point.welcome(transport);
      else transport.close();
    });
    return { listener, receivePort: listener.port, sendPort };
  }

  async #register(server: ServerLink): Promise<void> {
    const { ourName, peerName, relay, advertised } = this.#options;
    const { receivePort, sendPort } = this.#place!;
    const fromSendPort = !isHere(server) && server.local.port === sendPort;
    const capabilities = (relay === "never" ? 0 : Capability.relay) |
      (relay === "only" ? Capability.hidden : 0) | (fromSendPort ? Capability.punch : 0);
    const observed = await this.#options.register((word) =>
      server.register({
        name: ourName,
        wanted: peerName,
        receivePort,
        sendPort,
        capabilities,
        advertised,
        ...word,
      })
    );
    this.#registered = true;
    this.#backoff.reset();
    const { displayName: title } = server.channel.established;
    const ports = relay === "only" ? undefined : { receivePort, sendPort };
    this.#tell({ type: "registered", server: server.remote, title, observed, ports });
  }

  /** Both have been told of each other: this introduction takes the place of the one before. */
  async #introduce(server: ServerLink, introduction: Introduction): Promise<void> {
    const { environment, ticker, ourName, peerName, suite, identity, relay } = this.#options;
    if (introduction.peerName !== peerName) {
      throw new CifraError("bad_state", "The server introduced somebody who was not asked for");
    }
    const stream = introduction.relay && relay !== "never" && server.isOpen
      ? server.relay(introduction.generation)
      : undefined;
    const peer = await readIdentity(introduction.bundle, identityClassOf(suite.signature));
    await requireNameClaim(introduction, peer);
    let pin: () => Promise<void>;
    let stranger = false;
    try {
      pin = await this.#options.checkPeer(peer);
    } catch (error) {
      // Whatever it is that keeps us from knowing who that is, no waiting helps against it.
      if (!(error instanceof CifraError) || !isChange(error.code)) return this.#fail(error);
      stranger = true;
      pin = () => Promise.reject(error);
      // They are told as well, once they have shown that they have that key.
      this.#cancelRefusal ??= environment.time.after(REFUSAL_PATIENCE, () => this.#fail(error));
    }
    this.#point?.close();
    const point = new Connector({
      environment,
      ticker,
      ourName,
      suite,
      identity,
      ephemeralKey: this.#options.ephemeralKey,
      introduction,
      peer,
      sendPort: relay === "only" ? undefined : this.#place!.sendPort,
      allowLoopback: isHere(server),
      relay: stream,
      // What was said before is not the business of a stranger.
      position: (theirLog) =>
        stranger ? nowhere(environment.random) : this.#options.link.position(theirLog),
      live: () => this.#live,
      onMeeting: (meeting) => {
        // Who is not pinned is not heard.
        pin().then(
          () => this.#goOn(point, meeting),
          (error) => this.#turnAway(meeting, error),
        ).catch((error) => this.#fail(error));
      },
      trace: this.#options.trace,
    });
    this.#point = point;
    if (!this.#live) point.seek({ relay: stream !== undefined, after: 0 });
    else if (this.#live.path.type === "relay") point.seek({ relay: false, after: UPGRADE_PAUSE });
  }

  /** Says goodbye to somebody who is not who we know, or cannot be written down. */
  async #turnAway({ channel }: Meeting, error: unknown): Promise<void> {
    const { time } = this.#options.environment;
    const isStranger = error instanceof CifraError && isChange(error.code);
    await channel.close(isStranger ? CloseCode.stranger : CloseCode.failed);
    // Until they have gone: a connection that is torn down may take our word with it.
    const deaf = (async () => {
      while (await channel.receive());
    })();
    const echo = new AbortController();
    await Promise.race([deaf, delay(time, REFUSAL_ECHO, echo.signal)]);
    echo.abort();
    channel.destroy();
    this.#fail(error);
  }

  /** A channel is there: the conversation goes on over it. */
  #goOn(point: Connector, meeting: Meeting): void {
    const { channel, path } = meeting;
    if (this.#isLeaving || this.#point !== point) return channel.destroy();
    const live = { meeting, path, since: this.#options.environment.time.now() };
    const moved = this.#live !== undefined;
    this.#live = live;
    this.#options.link.attach(channel, meeting.theirs).then((ending) => this.#ended(live, ending));
    const { theirs: { fingerprint }, sessionId } = channel.established;
    if (moved) this.#tell({ type: "moved", path });
    else this.#tell({ type: "connected", path, again: this.#met, fingerprint, sessionId });
    this.#met = true;
    this.#backoff.reset();
    this.#meetings.reset();
    this.#searching.abort();
    if (path.type === "relay") point.seek({ relay: false, after: UPGRADE_PAUSE });
    // Whoever asks the server leaves it in order.
    else if (moved) this.#dropServer();
    this.#pausing.abort();
  }

  #ended(live: Live, ending: Ending): void {
    live.meeting.channel.destroy();
    if (this.#live !== live) return;
    this.#live = undefined;
    const { broken } = this.#options.link;
    if (broken) return this.#fail(broken);
    if (this.#isLeaving || ending.type === "done") return;
    if (ending.type === "unwelcome") {
      return this.#fail(this.#unwelcome(live.meeting.channel.established.theirs));
    }
    if (ending.type === "cut") {
      this.#tell({ type: "lost", error: ending.error });
      // Perhaps only the connection is gone: the other side listens where it did.
      this.#point?.seek({ relay: false, after: 0 });
    } else {
      this.#point?.close();
      this.#point = undefined;
      this.#tell({ type: "left", failed: ending.type === "failed" });
    }
    this.#pausing.abort();
  }

  /** What we are told when the other side knows us by another key. */
  #unwelcome(theirs: PublicIdentity): CifraError {
    const { peerName, identity } = this.#options;
    return new CifraError(
      "identity_changed",
      `${peerName} refuses to talk: this is not the key by which ${peerName} knows you\n` +
        `  yours:  ${formatFingerprint(identity.fingerprint)}\n` +
        `  theirs: ${formatFingerprint(theirs.fingerprint)}`,
      {
        hint: `if you have your old keys, bring them with cifra keys import; otherwise tell ` +
          `${peerName} another way that the key has changed, and what it is`,
      },
    );
  }

  async #dropServer(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.close();
  }

  #tell(status: Status): void {
    if (!this.#isLeaving) this.#options.onStatus(status);
  }
}

/** What somebody is told who is not to know what was said before. */
function nowhere(random: Random): LogPosition {
  return {
    log: random(ID_LENGTH),
    kind: LogKind.kept,
    first: 1n,
    readLog: new Uint8Array(ID_LENGTH),
    have: 0n,
    haveId: new Uint8Array(ID_LENGTH),
  };
}

/** Judged by the connection and not by the name: any name may mean this machine. */
function isHere({ remote }: ServerLink): boolean {
  return addressScope(remote.host) === "loopback";
}

function listenEverywhere(
  { environment: { network }, receivePort }: ConversationOptions,
): Listening {
  try {
    return network.listen(["::"], receivePort);
  } catch {
    // A machine without IPv6; or the port is in use, which the second try tells.
    return network.listen(["0.0.0.0"], receivePort);
  }
}

function mismatch(news: Extract<ServerNews, { type: "suite-mismatch" }>): Status {
  const { peerSuite, yourSuite } = news;
  return { type: "suite-mismatch", peerSuite, yourSuite };
}
