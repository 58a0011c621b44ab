/**
 * The rendezvous: a name is held while its owner is connected, and two who want each other are
 * introduced. Registrations (who is here) and wants (who wants whom) are kept apart: a connection has one
 * registration and may have many wants. Rules over what is in memory; no sockets, no clock of its own.
 */
import type { Random } from "../crypto/platform.ts";
import { CifraError } from "../errors.ts";
import { BoundedMap } from "../flow/bounded_map.ts";
import { SlidingWindow } from "../flow/sliding_window.ts";
import { TokenBucket } from "../flow/token_bucket.ts";
import {
  MEETINGS_BURST,
  MEETINGS_PER_MINUTE,
  OFFERS_LIMIT,
  PORT_MINIMUM,
  SOURCES_REMEMBERED,
  WANTS_LIMIT,
  WANTS_PER_MINUTE,
} from "../limits.ts";
import { RENDEZVOUS_KEY_LENGTH } from "../wire/handshake_messages.ts";
import { requireName } from "../wire/names.ts";
import { Capability, type Introduction } from "../wire/rendezvous_messages.ts";
import { staleRegistration } from "./directory.ts";
import { can, introductionTo, type Registered } from "./introduction.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** 2026; tenths of a second since then fit 32 bits for thirteen years. */
const GENERATIONS_BEGAN = Date.UTC(2026, 0);

/** Somebody wants to be introduced to somebody. */
export interface Want<Holder> {
  /** The connection over which it was said. */
  readonly holder: Holder;
  readonly name: string;
  readonly peerName: string;
}

/** What a registration or a want leads to, for the client itself and for others. */
export type RendezvousOutcome<Holder> =
  /** An older registration of the same name gave way in the lobby, with all that it wanted. */
  | { readonly type: "replaced"; readonly registered: Registered<Holder> }
  /** Another connection of the same name wants the same now. */
  | { readonly type: "taken-over"; readonly want: Want<Holder> }
  /** Both want each other; each gets the other's record, and both wants are forgotten. */
  | {
    readonly type: "introduced";
    readonly generation: number;
    /** Whether the server is to relay between the two. */
    readonly relay: boolean;
    readonly pair: readonly [Invitation<Holder>, Invitation<Holder>];
  }
  /** Both want each other, with different suites; both wants stay. */
  | {
    readonly type: "suite-mismatch";
    readonly pair: readonly [Registered<Holder>, Registered<Holder>];
  }
  /** `from` wants `to`, who is in the lobby. */
  | { readonly type: "offer"; readonly to: Registered<Holder>; readonly from: Registered<Holder> };

/** An introduction, addressed to the holder of `to`. */
export interface Invitation<Holder> {
  readonly to: Registered<Holder>;
  readonly introduction: Introduction;
}

/** The limits an operator can set, each of which 0 or false switches off. */
export interface RendezvousLimits {
  /** People to whom an identity is introduced for the first time, in an hour. */
  readonly introductionsPerHour: number;
  /** Whether it counts how often somebody asks, and how often two meet again. */
  readonly quotas: boolean;
}

/** The rules of the rendezvous. */
export class Rendezvous<Holder> {
  readonly #limits: RendezvousLimits;
  readonly #random: Random;
  readonly #registered = new Map<Holder, Registered<Holder>>();
  /** By name: an identity has one, and may have several connections. */
  readonly #holders = new Map<string, Set<Holder>>();
  /** Who is in the lobby, by name. */
  readonly #lobby = new Map<string, Registered<Holder>>();
  /** By the name of whoever wants, and of whoever is wanted. */
  readonly #wants = new Map<string, Map<string, Want<Holder>>>();
  /** By whoever is wanted, the one who asked first in front. */
  readonly #wantsFor = new Map<string, Set<Want<Holder>>>();
  readonly #declined = new WeakSet<Want<Holder>>();
  /** How often each identity wanted somebody, and was introduced to somebody new. */
  readonly #asked = new SlidingWindow(MINUTE, SOURCES_REMEMBERED);
  readonly #introduced = new SlidingWindow(HOUR, SOURCES_REMEMBERED);
  /** Pairs that were introduced, and how soon they may be once more. */
  readonly #met = new BoundedMap<string, TokenBucket>(SOURCES_REMEMBERED);
  #generation = 0;

  constructor(random: Random, limits: RendezvousLimits) {
    this.#limits = limits;
    this.#random = random;
  }

  /** Everybody who is registered. */
  get everybody(): Iterable<Registered<Holder>> {
    return this.#registered.values();
  }

  /** The registration of a connection. */
  registeredBy(holder: Holder): Registered<Holder> | undefined {
    return this.#registered.get(holder);
  }

  /** Whom a connection wants. */
  wantsOf(holder: Holder): readonly string[] {
    return this.#wantsBy(holder).map(({ peerName }) => peerName);
  }

  /** Whether a connection is in the lobby. */
  isInLobby(holder: Holder): boolean {
    const registered = this.#registered.get(holder);
    return registered !== undefined && can(registered, Capability.lobby);
  }

  /**
   * Takes a registration; what its connection wants already stays. Outcomes come in the order in which they
   * are to be told. Throws `bad_address`, `stale_registration`; then nothing has changed.
   */
  register(applicant: Registered<Holder>): readonly RendezvousOutcome<Holder>[] {
    const { holder, registration, key: { name } } = applicant;
    requirePorts(registration.receivePort, registration.sendPort);
    this.#requireNewest(applicant);
    const before = this.#registered.get(holder);
    if (before && before.key.name !== name) this.leave(holder);
    const isInLobby = can(applicant, Capability.lobby);
    const older = isInLobby ? this.#lobby.get(name) : undefined;
    const outcomes: RendezvousOutcome<Holder>[] = [];
    if (older && older.holder !== holder) {
      this.leave(older.holder);
      outcomes.push({ type: "replaced", registered: older });
    }
    this.#registered.set(holder, applicant);
    at(this.#holders, name, () => new Set()).add(holder);
    if (isInLobby) {
      this.#lobby.set(name, applicant);
      for (const from of this.#asking(name)) outcomes.push({ type: "offer", to: applicant, from });
    } else if (this.#lobby.get(name)?.holder === holder) this.#lobby.delete(name);
    return outcomes;
  }

  /**
   * A registered connection wants `peerName`, at `now` (milliseconds since 1970); `mayRelay` tells whether
   * the server relays at all. Throws `bad_name`, `limit`; then nothing has changed.
   */
  want(
    holder: Holder,
    peerName: string,
    now: number,
    mayRelay: boolean,
  ): readonly RendezvousOutcome<Holder>[] {
    const registered = this.#registered.get(holder)!;
    const { name, fingerprint } = registered.key;
    requireName(peerName);
    if (peerName === name) throw new CifraError("bad_name", "Cannot wait for oneself");
    const earlier = this.#wants.get(name)?.get(peerName);
    if (!earlier && (this.#wants.get(name)?.size ?? 0) >= WANTS_LIMIT) {
      throw new CifraError("limit", `Cannot wait for more than ${WANTS_LIMIT} people at once`);
    }
    // Whether the other is here or not: else waiting would be free.
    this.#requirePatience(fingerprint, pairOf(name, peerName), now);
    this.#asked.count(fingerprint, now);
    const outcomes: RendezvousOutcome<Holder>[] = [];
    if (earlier) {
      this.#release(earlier);
      if (earlier.holder !== holder) outcomes.push({ type: "taken-over", want: earlier });
    }
    const want = { holder, name, peerName };
    at(this.#wants, name, () => new Map()).set(peerName, want);
    at(this.#wantsFor, peerName, () => new Set()).add(want);
    const mutual = this.#wants.get(peerName)?.get(name);
    if (mutual) outcomes.push(this.#bringTogether(want, mutual, now, mayRelay));
    else {
      const to = this.#lobby.get(peerName);
      if (to) outcomes.push({ type: "offer", to, from: registered });
    }
    return outcomes;
  }

  /** A connection no longer wants `peerName`. */
  unwant(holder: Holder, peerName: string): void {
    const name = this.#registered.get(holder)?.key.name;
    const want = name === undefined ? undefined : this.#wants.get(name)?.get(peerName);
    if (want?.holder === holder) this.#release(want);
  }

  /** The want of `peerName` for whoever is registered on a connection, if there is one. */
  wantFor(holder: Holder, peerName: string): Want<Holder> | undefined {
    const name = this.#registered.get(holder)?.key.name;
    return name === undefined ? undefined : this.#wants.get(peerName)?.get(name);
  }

  /** Somebody does not want to talk to `peerName`; the want that is to be told so, once. */
  decline(holder: Holder, peerName: string): Want<Holder> | undefined {
    const want = this.wantFor(holder, peerName);
    // Once is enough: more would be a way to flood whoever asks.
    if (!want || this.#declined.has(want)) return undefined;
    this.#declined.add(want);
    return want;
  }

  /** A connection has ended: its registration and its wants with it. Returns the registration. */
  leave(holder: Holder): Registered<Holder> | undefined {
    const registered = this.#registered.get(holder);
    if (!registered) return undefined;
    for (const want of this.#wantsBy(holder)) this.#release(want);
    const { name } = registered.key;
    this.#registered.delete(holder);
    const holders = this.#holders.get(name)!;
    holders.delete(holder);
    if (holders.size === 0) this.#holders.delete(name);
    if (this.#lobby.get(name)?.holder === holder) this.#lobby.delete(name);
    return registered;
  }

  /** Throws `limit`, with the seconds to wait, when somebody asks too often, or meets too many. */
  #requirePatience(fingerprint: string, pair: string, now: number): void {
    const { introductionsPerHour, quotas } = this.#limits;
    const lately = (window: SlidingWindow) => ({ times: window.times(fingerprint, now), now });
    if (quotas) requireFewer("people asked for", WANTS_PER_MINUTE, MINUTE, lately(this.#asked));
    const met = this.#met.get(pair);
    if (!met) {
      requireFewer("new people", introductionsPerHour, HOUR, lately(this.#introduced));
      return;
    }
    const wait = quotas ? met.wait(now) : 0;
    if (wait > 0) {
      throw new CifraError("limit", "The two of you were introduced again and again", {
        retryAfter: Math.ceil(wait / 1000),
      });
    }
  }

  /** The two are introduced: somebody new for both, or once more. */
  #count(a: Registered<Holder>, b: Registered<Holder>, now: number): void {
    const pair = pairOf(a.key.name, b.key.name);
    const met = this.#met.get(pair);
    if (met) return void met.take(now);
    this.#met.set(pair, new TokenBucket(MEETINGS_BURST, MEETINGS_PER_MINUTE, now));
    for (const { key } of [a, b]) this.#introduced.count(key.fingerprint, now);
  }

  /** Throws `stale_registration` unless it is later than all others of this identity. */
  #requireNewest({ registration, key }: Registered<Holder>): void {
    for (const holder of this.#holders.get(key.name) ?? []) {
      const other = this.#registered.get(holder)!;
      if (other.key.suite !== key.suite) continue;
      const { registrationSequence: last } = other.registration;
      const { registrationSequence: sequence } = registration;
      if (sequence <= last) throw staleRegistration(sequence, last);
    }
  }

  /** Those who want `name` and are not wanted in return, the last of them. */
  #asking(name: string): readonly Registered<Holder>[] {
    const wants = [...this.#wantsFor.get(name) ?? []]
      .filter((want) => !this.#wants.get(name)?.has(want.name));
    return wants.slice(-OFFERS_LIMIT).map(({ holder }) => this.#registered.get(holder)!);
  }

  #wantsBy(holder: Holder): readonly Want<Holder>[] {
    const name = this.#registered.get(holder)?.key.name;
    const ofName = name === undefined ? undefined : this.#wants.get(name)?.values();
    return [...ofName ?? []].filter((want) => want.holder === holder);
  }

  #release(want: Want<Holder>): void {
    const { name, peerName } = want;
    const ofName = this.#wants.get(name), forPeer = this.#wantsFor.get(peerName);
    ofName?.delete(peerName);
    if (ofName?.size === 0) this.#wants.delete(name);
    forPeer?.delete(want);
    if (forPeer?.size === 0) this.#wantsFor.delete(peerName);
  }

  #bringTogether(
    one: Want<Holder>,
    other: Want<Holder>,
    now: number,
    mayRelay: boolean,
  ): RendezvousOutcome<Holder> {
    const a = this.#registered.get(one.holder)!, b = this.#registered.get(other.holder)!;
    if (a.suite !== b.suite) return { type: "suite-mismatch", pair: [a, b] };
    for (const want of [one, other]) this.#release(want);
    this.#count(a, b, now);
    // The clock as the floor: the number grows even over a restart with nothing stored.
    this.#generation = Math.max(
      this.#generation + 1,
      Math.floor((now - GENERATIONS_BEGAN) / 100),
    );
    const relay = can(a, Capability.relay) && can(b, Capability.relay) && mayRelay;
    const meeting = {
      rendezvousKey: this.#random(RENDEZVOUS_KEY_LENGTH),
      generation: this.#generation,
      relay: relay ? 1 : 0,
    };
    const toA = { to: a, introduction: introductionTo(a, b, meeting) };
    const toB = { to: b, introduction: introductionTo(b, a, meeting) };
    return { type: "introduced", generation: this.#generation, relay, pair: [toA, toB] };
  }
}

function requirePorts(receivePort: number, sendPort: number): void {
  if (receivePort < PORT_MINIMUM || sendPort < PORT_MINIMUM || receivePort === sendPort) {
    throw new CifraError(
      "bad_address",
      `Cannot use ports ${receivePort} and ${sendPort}: must be two different ones from ${PORT_MINIMUM} up`,
    );
  }
}

/** Two names, whichever of them asks. */
function pairOf(one: string, other: string): string {
  return one < other ? `${one} ${other}` : `${other} ${one}`;
}

/**
 * Throws `limit` when something has happened `limit` times within the period (milliseconds) that ends now; 0 is
 * no limit.
 */
function requireFewer(
  what: string,
  limit: number,
  period: number,
  { times, now }: { readonly times: readonly number[]; readonly now: number },
): void {
  const oldest = limit === 0 ? undefined : times.at(-limit);
  if (oldest === undefined) return;
  throw new CifraError("limit", `Too many ${what} in one ${period === HOUR ? "hour" : "minute"}`, {
    retryAfter: Math.ceil((oldest + period - now) / 1000),
  });
}

/** The value of a key, made if there is none. */
function at<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, value = make());
  return value;
}
