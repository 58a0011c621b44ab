/**
 * Keeps two people talking: wants the other one at the server, meets it, and does so again whenever the
 * connection, the network, the server or the other program has gone, until this side leaves (PROTOCOL.md 3.8).
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
import type { Backoff } from "../flow/backoff.ts";
import { delay } from "../flow/delay.ts";
import type { Ticker } from "../flow/ticker.ts";
import {
  MEETING_DEADLINE,
  MEETING_PATIENCE,
  REFUSAL_PATIENCE,
  STEADY_AFTER,
  TOLD_PAUSE_KEPT,
  UPGRADE_PAUSE,
} from "../limits.ts";
import type { Environment } from "../net/environment.ts";
import type { Line } from "../wire/line.ts";
import { ID_LENGTH, LogKind, type LogPosition } from "../wire/peer_messages.ts";
import { CloseCode } from "../wire/records.ts";
import type { Introduction } from "../wire/rendezvous_messages.ts";
import { type AddressWatch, movedAway } from "./address_watch.ts";
import { Connector, type Meeting, type Path } from "./connector.ts";
import type { Door } from "./door.ts";
import type { Home, RelayChoice, Wanter } from "./home.ts";
import { MeetingPace } from "./meeting_pace.ts";
import { requireNameClaim } from "./name_claim.ts";
import type { ServerLink } from "./server_link.ts";
import type { Ending, Storing, Thread } from "./thread.ts";
import type { Tracer } from "./trace.ts";

/** Somebody who was told that they are not who they were has so long to have heard it. */
const REFUSAL_ECHO = 1000;
/** The beat of the ticker has stopped for longer than this: the machine was asleep. */
const SLEEP_GAP = 10_000;

/** What happens between the two, for a person to be told. */
export type Status =
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
    /** Those before brought nothing, and this one may not either: `steady` tells when it has. */
    readonly isShaky: boolean;
  }
  | { readonly type: "steady" }
  /** The conversation goes on over another path, without a break. */
  | { readonly type: "moved"; readonly path: Path }
  | { readonly type: "lost"; readonly error: CifraError }
  /** The other person has been told that we ask, and does not want to talk now; we go on waiting. */
  | { readonly type: "declined" }
  /** The other person's program said goodbye; `failed` when something went wrong there. */
  | { readonly type: "left"; readonly failed: boolean }
  /** The other person is away, and says why or until when; with no words: not any more. */
  | { readonly type: "away"; readonly words: Line }
  /** One of the two cannot store at the moment, or can again; nothing is lost. */
  | { readonly type: "storing"; readonly storing: Storing }
  /** The other one is new and cannot be written down, and is heard when they can be: tried again after growing pauses. */
  | { readonly type: "unpinned"; readonly error: CifraError }
  /** The server does not look for the other one now; it is asked again `retryIn` milliseconds later. */
  | { readonly type: "unwanted"; readonly error: CifraError; readonly retryIn: number }
  /** The server has introduced the two, and no way between them works; it is tried again. */
  | { readonly type: "no-way"; readonly failures: readonly string[] };

/** What a conversation is made of. */
export interface ConversationOptions {
  readonly environment: Environment;
  readonly ticker: Ticker;
  readonly home: Pick<
    Home,
    "want" | "unwant" | "forget" | "hold" | "hurry" | "startOver" | "worthwhile"
  >;
  /** Our ports; undefined for those who only relay. */
  readonly door: Pick<Door, "expect" | "sendPort"> | undefined;
  readonly relay: RelayChoice;
  /** Our own addresses at our site, for those who cannot see them. */
  readonly advertised: readonly string[];
  readonly ourName: string;
  readonly peerName: string;
  readonly suite: Suite;
  readonly identity: Identity;
  readonly ephemeralKey: () => Promise<KemKeyPair>;
  readonly thread: Thread;
  readonly addresses: Pick<AddressWatch, "add">;
  /**
   * Whether the introduced identity is the person we know; throws `identity_changed` or `suite_downgrade` when
   * not. Returns what pins it once it has proved its key.
   */
  readonly checkPeer: (peer: PublicIdentity) => Promise<() => Promise<void>>;
  readonly onStatus: (status: Status) => void;
  /** How soon the two meet again; the one of their last conversation, if there was one. */
  readonly pace?: MeetingPace | undefined;
  readonly trace?: Tracer | undefined;
}

/** What carries a conversation. */
interface Live extends Meeting {
  readonly since: number;
  /** How far the conversation had come when this began to carry it. */
  readonly progress: bigint;
}

/** A conversation that is being had. */
export class Conversation implements Wanter {
  readonly #options: ConversationOptions;
  readonly #pace: MeetingPace;
  readonly #backoff: Backoff;
  readonly #over = Promise.withResolvers<void>();
  #state: StateName = "waiting";
  /** Of the latest introduction. */
  #connector: Connector | undefined;
  #live: Live | undefined;
  /** The channel that is known to have been worth it. */
  #proven: Live | undefined;
  #wasLive = false;
  /** Introductions are looked at one after the other. */
  #introducing: Promise<void> = Promise.resolve();
  /** Lets go of the server. */
  #release: (() => void) | undefined;
  /** What the present state waits for. */
  #cancelAlarm: (() => void) | undefined;
  /** The server has said that asking it earlier is useless. */
  #notBefore = 0;
  /** When it said so. */
  #unwantedAt = 0;
  /** Whoever was just lost may be found again without the server. */
  #goesOnUntil = -Infinity;
  /** When a rest is over. */
  #restsUntil = 0;
  /** What was told of the present want. */
  readonly #toldOfWant = new Set<Status["type"]>();
  /** Why the other one cannot be written down, as it was told. */
  #unpinned: string | undefined;
  #isLeaving = false;
  /** The channel that is there has ended with the address that it came from. */
  #isMoved = false;
  #lastBeat: number;

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.#pace = options.pace ?? new MeetingPace(options.environment.random);
    this.#backoff = this.#pace.backoff;
    this.#lastBeat = options.environment.time.now();
  }

  /** The way the conversation goes at the moment; undefined while there is none. */
  get path(): Path | undefined {
    return this.#live?.path;
  }

  /** Whether it has ended for good. */
  get isOver(): boolean {
    return this.#state === "over";
  }

  /** Whether the two talk without the server, or did a moment ago: who dials again may find the other. */
  get goesOn(): boolean {
    if (this.#live) return this.#live.path.type !== "relay";
    return this.#options.environment.time.now() < this.#goesOnUntil;
  }

  /** What was tried in vain since the last introduction, a line for each way. */
  get failures(): readonly string[] {
    return this.#connector?.failures ?? [];
  }

  /** Keeps the conversation up until `leave`. Throws what no waiting helps against. */
  async run(): Promise<void> {
    const { ticker, home, peerName, addresses, environment: { time } } = this.#options;
    const untick = ticker.add((now) => this.#tick(now));
    const unwatch = addresses.add((gone) => this.#readdress(gone));
    this.#enter(this.#pace.closedFor(time.now()) > 0 ? "resting" : "waiting");
    try {
      await this.#over.promise;
    } finally {
      untick();
      unwatch();
      this.#connector?.close();
      home.forget(peerName);
      this.#release?.();
      this.#cancelAlarm?.();
    }
  }

  /** Says goodbye, after everything sent, and ends `run`. */
  async leave(code?: CloseCode): Promise<void> {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    this.#connector?.rest();
    await this.#options.thread.leave(code);
    this.#over.resolve();
    this.#on("ended");
  }

  /**
   * Somebody is there and waits: the next try is made at once, but not so soon after another that was hurried. For
   * the `peer`, who asks for us, no pause is cut short that its channels or the server have made.
   */
  hurry(who: "person" | "peer" = "person"): void {
    if (who === "person") this.#options.home.hurry();
    if (this.#state !== "resting") return;
    const now = this.#options.environment.time.now();
    const told = who === "peer"
      ? Math.max(this.#notBefore, now + this.#pace.closedFor(now))
      : Math.min(this.#notBefore, this.#unwantedAt + TOLD_PAUSE_KEPT);
    const end = Math.max(now + this.#backoff.hurryIn(now), told);
    if (end <= now) this.#goOn("hurried");
    else if (end < this.#restsUntil) this.#restUntil(end, "hurried");
  }

  /** The network may be another one than before: as if nothing had been tried yet. */
  #startOver(): void {
    this.#connector?.seek({ relay: false, after: 0 });
    this.#options.home.startOver();
    this.#backoff.reset();
    this.#pace.open();
    this.#notBefore = 0;
    this.hurry();
  }

  /** The server has been told whom we want. */
  onWaiting(): void {
    this.#toldOfWant.clear();
    this.#tell({ type: "waiting" });
  }

  onSuiteMismatch(peerSuite: number, yourSuite: number): void {
    this.#tellOnce({ type: "suite-mismatch", peerSuite, yourSuite });
  }

  onDeclined(): void {
    this.#tellOnce({ type: "declined" });
  }

  onUnwanted(error: CifraError): void {
    if (isFinal(error.code, true)) this.#fail(error);
    else this.#rest(error);
  }

  onIntroduction(introduction: Introduction, server: ServerLink): void {
    const offered = introduction.relay && server.isOpen
      ? server.relay(introduction.generation)
      : undefined;
    const stream = this.#options.relay === "never" ? undefined : offered;
    if (!stream) offered?.close();
    const near = [server.remote.host, ...this.#options.advertised];
    this.#introducing = this.#introducing
      .then(() => this.#introduce(introduction, { relay: stream, near }))
      .catch((error) => {
        stream?.close();
        if (error instanceof CifraError && error.code === "auth_failed") this.#rest(error);
        else this.#fail(error);
      });
  }

  /** The two have been told of each other: this introduction takes the place of the one before. */
  async #introduce(
    introduction: Introduction,
    way: Pick<ConstructorParameters<typeof Connector>[0], "relay" | "near">,
  ): Promise<void> {
    const { environment, suite, thread } = this.#options;
    const peer = await readIdentity(introduction.bundle, identityClassOf(suite.signature));
    await requireNameClaim(introduction, peer);
    let pin: () => Promise<void>;
    let impostor: CifraError | undefined;
    try {
      pin = await this.#options.checkPeer(peer);
    } catch (error) {
      if (!(error instanceof CifraError) || !isChange(error.code)) throw error;
      impostor = error;
      pin = () => Promise.reject(error);
    }
    // Whoever we are talking to has proved the key we know: no server ends that.
    const isNoise = impostor !== undefined && this.#live !== undefined;
    if (this.#isLeaving || this.#state === "over" || isNoise) return way.relay?.close();
    this.#connector?.close();
    const connector = new Connector({
      ...this.#options,
      ...way,
      introduction,
      peer,
      // What was said before is not the business of an impostor.
      position: (theirLog) =>
        impostor ? unknownPosition(environment.random) : thread.position(theirLog),
      live: () => this.#live,
      mayMeet: () => this.#mayMeet(),
      onMeeting: (meeting) => {
        // Nobody is heard before they are pinned.
        pin().then(
          () => this.#meet(connector, meeting),
          (error) => this.#turnAway(connector, meeting, error),
        ).catch((error) => this.#fail(error));
      },
    });
    this.#connector = connector;
    const closedFor = this.#pace.closedFor(environment.time.now());
    if (!this.#live) connector.seek({ relay: way.relay !== undefined, after: closedFor });
    else if (this.#live.path.type === "relay") {
      connector.seek({ relay: false, after: UPGRADE_PAUSE });
    }
    if (!impostor) {
      // What was on its way when the pause began changes nothing about it.
      if (closedFor === 0 || this.#state !== "resting") this.#on("introduced");
      return;
    }
    this.#on("impostor");
    // The impostor is told as well, once it has shown that it has that key.
    this.#cancelAlarm ??= environment.time.after(REFUSAL_PATIENCE, () => this.#fail(impostor));
  }

  /** A channel is there: the conversation goes on over it. */
  #meet(connector: Connector, meeting: Meeting): void {
    const { channel, path } = meeting;
    if (this.#isLeaving || this.#connector !== connector || this.#state === "refusing") {
      return channel.destroy();
    }
    if (!this.#mayMeet()) return channel.destroy();
    const { thread, environment } = this.#options;
    const hadOne = this.#live !== undefined;
    // Whoever puts one channel in the place of another, again and again, is as one who hangs up.
    if (this.#live && !this.#prove(this.#live) && this.#live.path.type !== "relay") {
      this.#pace.inVain(environment.time.now());
    }
    const live = { ...meeting, since: environment.time.now(), progress: thread.progress };
    this.#live = live;
    const { theirs: position, ours } = meeting;
    thread.attach(channel, position, ours).then((ending) => this.#ended(live, ending));
    const { theirs: { fingerprint }, sessionId } = channel.established;
    if (hadOne) this.#tell({ type: "moved", path });
    else {
      const { isShaky } = this.#pace;
      const again = this.#wasLive;
      this.#tell({ type: "connected", path, again, fingerprint, sessionId, isShaky });
    }
    this.#wasLive = true;
    this.#unpinned = undefined;
    if (path.type === "relay") connector.seek({ relay: false, after: UPGRADE_PAUSE });
    this.#on("met");
  }

  /** The channel has ended under the conversation. */
  #ended(live: Live, ending: Ending): void {
    live.channel.destroy();
    if (this.#live !== live) return;
    this.#live = undefined;
    const { broken } = this.#options.thread;
    if (broken) return this.#fail(broken);
    if (this.#isLeaving) return;
    const wasWorthwhile = this.#prove(live) || this.#isMoved;
    this.#isMoved = false;
    switch (ending.type) {
      case "done":
        return;
      case "unwelcome":
        return this.#fail(this.#unwelcome(live.channel.established.theirs));
      case "cut":
        if (live.path.type !== "relay") {
          this.#goesOnUntil = this.#options.environment.time.now() + MEETING_DEADLINE;
        }
        this.#tell({ type: "lost", error: ending.error });
        return this.#comeBack(wasWorthwhile, ending.error);
      case "left":
      case "failed":
        this.#dropConnector();
        if (!wasWorthwhile) this.#pace.inVain(this.#options.environment.time.now());
        this.#tell({ type: "left", failed: ending.type === "failed" });
        // Whoever was told may have left in turn: then nobody is asked for.
        if (!this.#isLeaving) this.#on(wasWorthwhile ? "lost" : "in-vain");
        return;
      default:
        ending satisfies never;
    }
  }

  /** Whether a channel has brought something, or has lasted; the first time it is known, the pauses are short again. */
  #prove(live: Live): boolean {
    if (this.#proven === live) return true;
    const { thread, home, environment: { time } } = this.#options;
    if (thread.progress === live.progress && time.now() - live.since <= STEADY_AFTER) return false;
    this.#proven = live;
    const { isShaky } = this.#pace;
    this.#pace.worthwhile();
    if (live.path.type === "relay") home.worthwhile();
    if (isShaky) this.#tell({ type: "steady" });
    return true;
  }

  /** Whether a channel is welcome now, from whichever side it comes. */
  #mayMeet(): boolean {
    return this.#pace.closedFor(this.#options.environment.time.now()) === 0;
  }

  /** The channel was cut: another one is looked for at once, unless this one brought nothing. */
  #comeBack(wasWorthwhile: boolean, { code }: CifraError): void {
    // With trouble of our own, such as a full disk, the next channel ends as this one did.
    const isOurs = code === "local";
    if (wasWorthwhile && !isOurs) {
      this.#pace.worthwhile();
      // Perhaps only the connection is gone: the other side listens where it did.
      this.#connector?.seek({ relay: false, after: 0 });
      this.#on("lost");
      return;
    }
    const pause = this.#pace.inVain(this.#options.environment.time.now());
    this.#on("in-vain");
    if (isOurs) this.#dropConnector();
    else this.#connector?.seek({ relay: false, after: pause });
  }

  /** Neither side finds the other any more by the last introduction. */
  #dropConnector(): void {
    this.#connector?.close();
    this.#connector = undefined;
  }

  /** Says goodbye to somebody who is not who we know, or cannot be written down. */
  async #turnAway(connector: Connector, { channel }: Meeting, error: unknown): Promise<void> {
    const { time } = this.#options.environment;
    const isImpostor = error instanceof CifraError && isChange(error.code);
    // Our disk may be there again: nobody has to begin anew for that.
    const isOurs = error instanceof CifraError && error.code === "local";
    if (isOurs) this.#restUnpinned(connector, error);
    await channel.close(isImpostor ? CloseCode.stranger : CloseCode.failed);
    // Until they have gone: a connection that is torn down may take our word with it.
    const deaf = (async () => {
      while (await channel.receive());
    })();
    const echo = new AbortController();
    await Promise.race([deaf, delay(time, REFUSAL_ECHO, echo.signal)]);
    echo.abort();
    channel.destroy();
    if (!isOurs) this.#fail(error);
  }

  /** Whoever was turned away asks again at once: no hurry of theirs makes our pauses shorter. */
  #restUnpinned(connector: Connector, error: CifraError): void {
    if (this.#live || this.#connector !== connector) return;
    this.#dropConnector();
    const pause = this.#on("in-vain");
    if (pause !== undefined) this.#notBefore = this.#options.environment.time.now() + pause;
    if (this.#unpinned === error.message) return;
    this.#unpinned = error.message;
    this.#tell({ type: "unpinned", error });
  }

  /** The server does not look for the other one now: it is asked again later. */
  #rest(error: CifraError): void {
    if (TRANSITIONS[this.#state].unwanted === undefined) return;
    this.#unwantedAt = this.#options.environment.time.now();
    this.#notBefore = this.#unwantedAt + 1000 * (error.retryAfter ?? 0);
    const retryIn = this.#on("unwanted") ?? 0;
    this.#tell({ type: "unwanted", error, retryIn });
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

  #tick(now: number): void {
    this.#options.thread.tick(now);
    this.#live?.channel.tick(now);
    if (this.#live) this.#prove(this.#live);
    const wasAsleep = now - this.#lastBeat > SLEEP_GAP;
    this.#lastBeat = now;
    if (!wasAsleep || this.#live) return;
    this.#startOver();
  }

  /** This machine has other addresses: what comes from one that is `gone` is dead, and nobody says so. */
  #readdress(gone: ReadonlySet<string>): void {
    if (!this.#live) return this.#startOver();
    const { channel } = this.#live;
    if (!channel.local || !gone.has(channel.local.host)) return;
    this.#isMoved = true;
    channel.fail(movedAway());
  }

  #fail(error: unknown): void {
    this.#over.reject(error);
    this.#on("ended");
  }

  /** Once for each want: a server that says it again and again has nothing new to say. */
  #tellOnce(status: Status): void {
    if (this.#toldOfWant.has(status.type)) return;
    this.#toldOfWant.add(status.type);
    this.#tell(status);
  }

  #tell(status: Status): void {
    if (!this.#isLeaving && this.#state !== "over") this.#options.onStatus(status);
  }

  // The machine: an event that the present state has no transition for changes nothing.

  /** Returns the pause in milliseconds when the conversation rests now. */
  #on(event: EventName): number | undefined {
    const next = TRANSITIONS[this.#state][event];
    return next && this.#enter(next);
  }

  #enter(state: StateName): number | undefined {
    const { home, peerName } = this.#options;
    this.#cancelAlarm?.();
    this.#cancelAlarm = undefined;
    this.#state = state;
    // Two who talk directly need no server.
    if (state === "over" || this.#live && this.#live.path.type !== "relay") {
      this.#release?.();
      this.#release = undefined;
    } else this.#release ??= home.hold();
    if (state === "waiting") home.want(peerName, this);
    else home.unwant(peerName);
    if (state === "meeting") this.#watch(this.#options.environment.time.now() + MEETING_DEADLINE);
    if (state === "resting") return this.#pause();
    return undefined;
  }

  /** Waits until nothing is under way any more that could become a channel. */
  #watch(end: number): void {
    const { time } = this.#options.environment;
    this.#cancelAlarm = time.after(MEETING_PATIENCE, () => {
      if (this.#connector?.isBusy && time.now() < end) return this.#watch(end);
      this.#tell({ type: "no-way", failures: this.failures });
      this.#on("in-vain");
    });
  }

  #pause(): number {
    const { time } = this.#options.environment;
    const now = time.now();
    const rest = this.#pace.closedFor(now) || this.#backoff.next();
    const pause = Math.max(rest, this.#notBefore - now);
    this.#restUntil(time.now() + pause, "rested");
    return pause;
  }

  #restUntil(end: number, why: "rested" | "hurried"): void {
    const { time } = this.#options.environment;
    this.#restsUntil = end;
    this.#cancelAlarm?.();
    this.#cancelAlarm = time.after(end - time.now(), () => this.#goOn(why));
  }

  #goOn(why: "rested" | "hurried"): void {
    if (why === "hurried") {
      this.#backoff.hurried(this.#options.environment.time.now());
      this.#pace.open();
    }
    this.#on(why);
  }
}

/** What somebody is told who is not to know what was said before. */
function unknownPosition(random: Random): LogPosition {
  return {
    log: random(ID_LENGTH),
    kind: LogKind.kept,
    first: 1n,
    readLog: new Uint8Array(ID_LENGTH),
    have: 0n,
    haveId: new Uint8Array(ID_LENGTH),
  };
}

/** What a conversation may be doing. */
export type StateName =
  /** The server is asked for the peer; the way of the last introduction is tried as well. */
  | "waiting"
  /** Both have been introduced and look for each other. */
  | "meeting"
  /** The meeting came to nothing, or the server does not look for the peer now: we ask again later. */
  | "resting"
  /** A channel carries the conversation. */
  | "live"
  /** The peer is not who we know: it is met once, to be told. */
  | "refusing"
  | "over";

/** What may happen to it. */
export type EventName =
  /** By an identity that is the peer's. */
  | "introduced"
  /** By an identity that is not the one we know. */
  | "impostor"
  /** There is a channel, the first one or another. */
  | "met"
  /** The channel is cut, or the peer has left. */
  | "lost"
  /** Nothing is under way any more that could become a channel, or the channel brought nothing. */
  | "in-vain"
  /** The server has ended our want. */
  | "unwanted"
  | "rested"
  /** Somebody here waits. */
  | "hurried"
  /** We leave, or something has happened that no waiting helps against. */
  | "ended";

/** From which state an event leads to which. */
export const TRANSITIONS: Readonly<
  Record<StateName, Readonly<Partial<Record<EventName, StateName>>>>
> = {
  waiting: {
    introduced: "meeting",
    impostor: "refusing",
    met: "live",
    unwanted: "resting",
    ended: "over",
  },
  meeting: {
    introduced: "meeting",
    impostor: "refusing",
    met: "live",
    "in-vain": "resting",
    ended: "over",
  },
  resting: {
    introduced: "meeting",
    impostor: "refusing",
    met: "live",
    rested: "waiting",
    hurried: "waiting",
    ended: "over",
  },
  live: { met: "live", lost: "waiting", "in-vain": "resting", ended: "over" },
  refusing: { ended: "over" },
  over: {},
};
