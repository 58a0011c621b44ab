/**
 * Our place at the server, one for the whole program: connects, registers once, says whom we want, and hands
 * each word of the server to whom it concerns. Comes back by itself when the connection, the network or the
 * server has gone, and lets go of the server when nobody here needs it (PROTOCOL.md 3.7).
 */
import { CifraError, type ErrorCode, isLastWord } from "../errors.ts";
import { Backoff } from "../flow/backoff.ts";
import { aborted, delay } from "../flow/delay.ts";
import { mayFail } from "../flow/may_fail.ts";
import { Signal } from "../flow/signal.ts";
import { TokenBucket } from "../flow/token_bucket.ts";
import {
  HANDSHAKE_DEADLINE,
  OUR_LADDERS_BURST,
  OUR_LADDERS_PER_MINUTE,
  PRESENCE_LIMIT,
  SERVER_BACKOFF_MAXIMUM,
  SHUT_OUT_LOOK,
  SHUT_OUT_PAUSE,
  STEADY_AFTER,
  TOLD_PAUSE_KEPT,
} from "../limits.ts";
import type { Environment } from "../net/environment.ts";
import type { Endpoint } from "../wire/address.ts";
import type { Line } from "../wire/line.ts";
import { Capability, type Introduction, refusalError } from "../wire/rendezvous_messages.ts";
import { movedAway } from "./address_watch.ts";
import { type Door, NO_PORTS, type Ports } from "./door.ts";
import type { Registrar } from "./name_claim.ts";
import { Patience, toldPause } from "./patience.ts";
import type { ServerLink, ServerNews } from "./server_link.ts";
import { WantPace } from "./want_pace.ts";

/** A want, and one before it that was taken back when its introduction may have been on its way. */
const OWED_LIMIT = 2;

/** The server has sent us away, in order, and means this program: whoever talks stops as well. */
export const SENT_AWAY: ReadonlySet<ErrorCode> = new Set(["kicked", "banned", "replaced"]);

/** Which ways may be used between two people. */
export type RelayChoice = "allowed" | "only" | "never";

/** What the server says of our want, to whoever wants. */
export interface Wanter {
  /** The server knows whom we want; again after each reconnection. */
  onWaiting(): void;
  /** Both want each other: the want is fulfilled. `server` is where the relayed stream is, if there is one. */
  onIntroduction(introduction: Introduction, server: ServerLink): void;
  /** The other one is there with another suite; the want stays. */
  onSuiteMismatch(peerSuite: number, yourSuite: number): void;
  /** The other one does not want to talk now; the want stays. */
  onDeclined(): void;
  /** The server has ended the want. */
  onUnwanted(error: CifraError): void;
}

/** The news that are about no conversation. */
export type LobbyWord = Extract<ServerNews, { readonly type: "presence" | "offer" }>;

/** What happens between us and the server. */
export type HomeStatus =
  | {
    readonly type: "registered";
    readonly server: Endpoint;
    readonly title: Line;
    readonly observed: Endpoint;
    /** Where we listen and whence we dial; undefined for those who do neither. */
    readonly ports: Ports | undefined;
    /** The registration before did not last, and this one may not either: `steady` tells when it has. */
    readonly isShaky: boolean;
  }
  | { readonly type: "steady" }
  /** The server is lost, or was not reached yet. `retryIn` milliseconds until the next try. */
  | {
    readonly type: "server-lost";
    readonly error: CifraError;
    readonly retryIn: number;
    /** Whether we were registered before. */
    readonly again: boolean;
  }
  /** The server does not take us any more, or is another one, while people here talk without it. */
  | { readonly type: "shut-out"; readonly error: CifraError; readonly retryIn: number };

/** What a home is made of. */
export interface HomeOptions {
  readonly environment: Environment;
  readonly ourName: string;
  /** Connects to the server; throws when it cannot be reached or trusted. */
  readonly openServer: (sendPort: number | undefined) => Promise<ServerLink>;
  /** Registers under our name: one at a time, each with a higher number than all before. */
  readonly register: Registrar;
  /** Our ports; undefined for those who neither listen nor dial. */
  readonly door: Door | undefined;
  readonly relay: RelayChoice;
  readonly advertised: readonly string[];
  /** Whether we are in the lobby, and whether the others are told. */
  readonly lobby: "absent" | "listed" | "unlisted";
  /** Milliseconds of trouble with the server after which `run` gives up, see `Patience`; undefined never. */
  readonly giveUpAfter?: number | undefined;
  /** Whether people here talk who need no server: then none ends the program. */
  readonly isTalking?: (() => boolean) | undefined;
  readonly onStatus: (status: HomeStatus) => void;
  /** Told of each registration, with its sequence: what else is done on a connection begins here. */
  readonly onRegistered?: ((link: ServerLink, sequence: bigint) => void) | undefined;
  /** Presence and offers, in order; the next one is taken when this one has been. */
  readonly onLobby: (word: LobbyWord) => Promise<void> | void;
}

/** Our place at the server. */
export class Home {
  readonly #options: HomeOptions;
  readonly #backoff: Backoff;
  readonly #patience: Patience;
  /** Our own ladders: who comes and goes here, however often, does not make us climb more than the server lets us. */
  readonly #ladders: TokenBucket;
  readonly #wanters = new Map<string, Wanter>();
  /** Who is wanted. */
  readonly #wanted = new Set<string>();
  readonly #wantPace: WantPace;
  /** Wants that wait for their turn on the present connection, by name, and what takes them back. */
  readonly #waiting = new Map<string, () => void>();
  /** Introductions that the present connection owes us, by name. */
  readonly #owed = new Map<string, number>();
  /** Those here who need the server. */
  readonly #guests = new Set<symbol>();
  readonly #changed = new Signal();
  readonly #leaving = new AbortController();
  /** Ends the present pause; whoever hurries us at another time has nothing to end. */
  #hurrying: AbortController | undefined;
  /** Ends it whatever the server has said: what was refused was another network. */
  #moving: AbortController | undefined;
  /** Aborted when nobody needs the server any more. */
  #visit: AbortController | undefined;
  #link: ServerLink | undefined;
  /** Whether m8 has come: on the present connection, and ever. */
  #isRegistered = false;
  #wasRegistered = false;
  /** The last registration was lost soon, and the present one is no better so far. */
  #isShaky = false;
  /** The present registration was worth it. */
  #isSettled = false;
  #isAway = false;
  /** The network is another one than at the last try. */
  #isMoved = false;
  /** Told why the server is lost: those who wait for who is there. */
  readonly #asking = new Set<(error: CifraError) => void>();
  /** How often it was told who is in the lobby. */
  #presences = 0;

  constructor(options: HomeOptions) {
    this.#options = options;
    const { environment: { random, time }, giveUpAfter } = options;
    this.#backoff = new Backoff(random, SERVER_BACKOFF_MAXIMUM);
    this.#patience = new Patience({ backoff: this.#backoff, random, giveUpAfter });
    this.#wantPace = new WantPace(time.now());
    this.#ladders = new TokenBucket(OUR_LADDERS_BURST, OUR_LADDERS_PER_MINUTE, time.now());
  }

  /** The connection on which we are registered; undefined while there is none. */
  get link(): ServerLink | undefined {
    return this.#isRegistered && this.#link?.isOpen ? this.#link : undefined;
  }

  /**
   * Keeps us registered whenever somebody here holds the server, until `leave`. Throws what no waiting helps
   * against, unless and until nobody talks any more, and trouble that has lasted for longer than `giveUpAfter`.
   */
  async run(): Promise<void> {
    const { time } = this.#options.environment;
    const { signal } = this.#leaving;
    while (!signal.aborted) {
      if (this.#guests.size === 0) {
        this.#patience.over();
        await this.#changed.wait(signal);
        continue;
      }
      try {
        const turn = this.#ladders.wait(time.now());
        if (turn > 0) {
          await delay(time, turn, signal);
          continue;
        }
        this.#ladders.take(time.now());
        await this.#stay();
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof CifraError)) throw error;
        if (!isLastWord(error, this.#wasRegistered)) await this.#pause(error);
        else if (SENT_AWAY.has(error.code)) throw error;
        else await this.#sitOut(error);
      }
    }
  }

  /** Ends `run`, and with it the connection; what is under way to conversations still reaches them. */
  leave(): void {
    this.#leaving.abort();
    this.#changed.notify();
    this.#visit?.abort();
    this.#moving?.abort();
  }

  /** Asks the server for `name` from now on, over all reconnections, until an introduction or `unwant`. */
  want(name: string, wanter: Wanter): void {
    this.#wanters.set(name, wanter);
    this.#wanted.add(name);
    if (this.link) this.#ask(this.link, name);
  }

  /** Does not ask for `name` any more. An introduction that is on its way still reaches its wanter. */
  unwant(name: string): void {
    if (this.#wanted.delete(name) && !this.#stopWaiting(name)) this.link?.unwant(name);
  }

  /** A conversation is over: nobody wants to hear of `name` any more. */
  forget(name: string): void {
    this.unwant(name);
    this.#wanters.delete(name);
  }

  /** Keeps the connection, for whatever it is needed, until the returned function is called. */
  hold(): () => void {
    const guest = Symbol();
    this.#guests.add(guest);
    this.#reconsider();
    return () => {
      this.#guests.delete(guest);
      this.#reconsider();
    };
  }

  /** Resolves when we are registered, to the connection; `undefined` when we leave before. */
  async registered(): Promise<ServerLink | undefined> {
    while (!this.#leaving.signal.aborted) {
      if (this.link) return this.link;
      await this.#changed.wait(this.#leaving.signal);
    }
    return undefined;
  }

  /**
   * Asks who is in the lobby; resolves when `onLobby` has been told, or we leave. Throws why there is no answer:
   * the server cannot be reached, or is silent (`timeout`).
   */
  async who(): Promise<void> {
    const { time } = this.#options.environment;
    const release = this.hold();
    const before = this.#presences;
    let asked: ServerLink | undefined;
    let failure: CifraError | undefined;
    const fail = (error: CifraError) => {
      failure = error;
      this.#changed.notify();
    };
    this.#asking.add(fail);
    const cancel = time.after(
      HANDSHAKE_DEADLINE,
      () => fail(new CifraError("timeout", "The server does not say who is there")),
    );
    try {
      while (this.#presences === before && !this.#leaving.signal.aborted) {
        if (failure) throw failure;
        const { link } = this;
        if (link !== asked) link?.who();
        asked = link;
        await this.#changed.wait(this.#leaving.signal);
      }
    } finally {
      cancel();
      this.#asking.delete(fail);
      release();
    }
  }

  /**
   * Somebody waits: the next try is made at once, but not so soon after another that was hurried, nor within a
   * minute against what the server has said.
   */
  hurry(): void {
    this.#hurrying?.abort();
  }

  /** The network may be another one than before: as if nothing had been tried yet. */
  startOver(): void {
    this.#backoff.reset();
    this.#moving?.abort();
  }

  /** This machine has other addresses: what comes from one that is `gone` is dead, and the next try is made at once. */
  readdress(gone: ReadonlySet<string>): void {
    const link = this.#link;
    if (link && !gone.has(link.channel.local?.host ?? "")) return;
    this.#isMoved = true;
    this.#backoff.reset();
    if (link) link.channel.fail(movedAway());
    else this.#visit?.abort();
    this.#moving?.abort();
  }

  /** What came through the server was worth it: should it be gone soon, that is no trouble with the server. */
  worthwhile(): void {
    if (this.#isShaky && this.#isRegistered) this.#options.onStatus({ type: "steady" });
    this.#settle();
  }

  /** Away from the keyboard, or back; the others in the lobby are told. */
  setAway(isAway: boolean): void {
    this.#isAway = isAway;
    this.link?.setAway(isAway);
  }

  /** Lets somebody who asks for us know that we do not want to talk to them now. */
  decline(name: string): void {
    this.link?.decline(name);
  }

  #reconsider(): void {
    this.#changed.notify();
    if (this.#guests.size === 0) this.#visit?.abort();
  }

  /** The trouble is over; `worthwhile` tells of it as well. */
  #settle(): void {
    this.#backoff.reset();
    this.#patience.over();
    this.#isShaky = false;
    this.#isSettled = true;
  }

  /** One connection, from the dial until nobody needs it or it is gone. */
  async #stay(): Promise<void> {
    const visit = this.#visit = new AbortController();
    this.#isMoved = false;
    const link = await this.#open(visit.signal);
    if (!link) return;
    this.#link = link;
    let forget: (() => void) | undefined;
    try {
      await abandon(this.#register(link), visit.signal);
      forget = this.#options.environment.time.after(STEADY_AFTER, () => this.worthwhile());
      for (;;) {
        const news = await link.nextNews(visit.signal);
        if (!news) break;
        await this.#hear(news, link);
      }
      // Who leaves has lost nothing.
      if (this.#isRegistered) this.#settle();
    } catch (error) {
      if (this.#isRegistered && !this.#isSettled) this.#isShaky = true;
      // The server is told what it did wrong; its own last words are answered with a goodbye.
      if (!link.isDismissed) link.channel.fail(error);
      throw error;
    } finally {
      forget?.();
      this.#isRegistered = false;
      this.#link = undefined;
      for (const name of [...this.#waiting.keys()]) this.#stopWaiting(name);
      // The server may have introduced two before it heard that we go: whoever was told first waits for the other.
      for (const news of await link.leave()) {
        if (news.type !== "introduction" || this.#owedFor(news.peerName) === 0) continue;
        await this.#hear(news, link);
      }
      this.#owed.clear();
    }
  }

  /** Undefined when nobody needs the connection any more before it is there. */
  async #open(signal: AbortSignal): Promise<ServerLink | undefined> {
    const opening = this.#options.openServer(this.#options.door?.sendPort);
    const link = await abandon(opening, signal);
    if (!link) opening.then((late) => late.leave(), () => {});
    return link;
  }

  async #register(link: ServerLink): Promise<void> {
    const { ourName, door, relay, lobby, register } = this.#options;
    // Whoever is hidden says nowhere where it is.
    const advertised = relay === "only" ? [] : this.#options.advertised;
    // Somebody on the server's own machine may still be looked for from elsewhere.
    const ports = door?.open(link.isHere && advertised.length === 0) ?? NO_PORTS;
    const fromSendPort = door !== undefined && !link.isHere && link.local.port === ports.sendPort;
    const capabilities = (relay === "never" ? 0 : Capability.relay) |
      (relay === "only" ? Capability.hidden : 0) |
      (fromSendPort ? Capability.punch : 0) |
      (lobby === "absent" ? 0 : Capability.lobby) |
      (lobby === "unlisted" ? Capability.unlisted : 0);
    const place = { ...ports, advertised };
    let sequence = 0n;
    const observed = await register(place, (word) => {
      sequence = word.registrationSequence;
      return link.register({ name: ourName, ...place, capabilities, ...word });
    });
    // Nobody has waited for the answer any more.
    if (this.#link !== link) return;
    this.#wasRegistered = true;
    this.#isRegistered = true;
    this.#isSettled = false;
    if (this.#isAway) link.setAway(true);
    const { displayName: title } = link.channel.established;
    this.#options.onStatus({
      type: "registered",
      server: link.remote,
      title,
      observed,
      ports: door && ports,
      isShaky: this.#isShaky,
    });
    for (const name of this.#wanted) this.#ask(link, name);
    this.#options.onRegistered?.(link, sequence);
    this.#changed.notify();
  }

  /** Says a want when it is its turn. */
  #ask(link: ServerLink, name: string): void {
    if (this.#waiting.has(name)) return;
    const { time } = this.#options.environment;
    const wait = this.#wantPace.turn(name, time.now());
    if (wait === 0) return this.#say(link, name);
    const cancel = time.after(wait, () => {
      this.#waiting.delete(name);
      this.#ask(link, name);
    });
    this.#waiting.set(name, cancel);
  }

  /** Whether a want was waiting for its turn. */
  #stopWaiting(name: string): boolean {
    this.#waiting.get(name)?.();
    return this.#waiting.delete(name);
  }

  #say(link: ServerLink, name: string): void {
    this.#owed.set(name, Math.min(this.#owedFor(name) + 1, OWED_LIMIT));
    link.want(name);
    this.#wanters.get(name)?.onWaiting();
  }

  /** Hands a word of the server to whom it concerns; what concerns nobody any more is passed over. */
  async #hear(news: ServerNews, link: ServerLink): Promise<void> {
    switch (news.type) {
      case "offer":
        return await this.#options.onLobby(news);
      case "presence":
        await this.#options.onLobby(news);
        // A part that is not full is the last one.
        if (news.people.length >= PRESENCE_LIMIT) return;
        this.#presences++;
        return this.#changed.notify();
      case "introduction": {
        this.#requireOwed(news.peerName);
        // A want is answered once: a server must not aim us at one address after the other.
        this.#owed.set(news.peerName, this.#owedFor(news.peerName) - 1);
        this.#wanted.delete(news.peerName);
        const { type: _, ...introduction } = news;
        const wanter = this.#wanters.get(news.peerName);
        if (wanter) return wanter.onIntroduction(introduction, link);
        // Nobody reads what the other side may send.
        if (introduction.relay) link.relay(introduction.generation).close();
        return;
      }
      case "suiteMismatch":
        return this.#wanters.get(news.peerName)?.onSuiteMismatch(news.peerSuite, news.yourSuite);
      case "declined":
        return this.#wanters.get(news.peerName)?.onDeclined();
      case "unwanted":
        this.#requireOwed(news.peerName);
        if (!this.#wanted.delete(news.peerName)) return;
        return this.#wanters.get(news.peerName)?.onUnwanted(refusalError(news));
      default:
        news satisfies never;
    }
  }

  #owedFor(name: string): number {
    return this.#owed.get(name) ?? 0;
  }

  #requireOwed(name: string): void {
    if (this.#owedFor(name) > 0) return;
    throw new CifraError("bad_state", "The server answers for somebody who was not asked for");
  }

  /**
   * The server has other rules than when it took us, or another key: those who talk go on without it, and it may
   * be put right. Throws `error` when nobody talks any more.
   */
  async #sitOut(error: CifraError): Promise<void> {
    const { environment: { time }, isTalking = () => false, onStatus } = this.#options;
    const { signal } = this.#leaving;
    if (!isTalking()) throw error;
    onStatus({ type: "shut-out", error, retryIn: SHUT_OUT_PAUSE });
    for (const fail of this.#asking) fail(error);
    for (const end = time.now() + SHUT_OUT_PAUSE; time.now() < end && !signal.aborted;) {
      await delay(time, SHUT_OUT_LOOK, signal);
      if (!isTalking()) throw error;
    }
  }

  async #pause(error: CifraError): Promise<void> {
    const { time } = this.#options.environment;
    const began = time.now();
    const retryIn = this.#isMoved ? 0 : this.#patience.pause(error, began);
    const hurrying = this.#hurrying = new AbortController();
    const { signal: moved } = this.#moving = new AbortController();
    this.#options.onStatus({ type: "server-lost", error, retryIn, again: this.#wasRegistered });
    for (const fail of this.#asking) fail(error);
    await delay(time, retryIn, AbortSignal.any([hurrying.signal, moved]));
    if (!hurrying.signal.aborted || moved.aborted) return;
    const now = time.now();
    const kept = toldPause(error) > 0 ? began + TOLD_PAUSE_KEPT - now : 0;
    const wait = Math.min(began + retryIn - now, Math.max(kept, this.#backoff.hurryIn(now)));
    if (wait > 0) await delay(time, wait, moved);
    this.#backoff.hurried(time.now());
  }
}

/** What the job resolves to; undefined when `signal` is aborted before: then nobody waits for the job any more. */
async function abandon<T>(job: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  mayFail(job);
  return await Promise.race([job, aborted(signal).then(() => undefined)]);
}
