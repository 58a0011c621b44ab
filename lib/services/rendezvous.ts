/**
 * The meeting place: a name is held for somebody else while its owner is connected, and two who have asked
 * for each other are introduced and forgotten. Whoever holds a name for nobody is in the lobby, and is told
 * who asks for it. Rules over what is in memory; no sockets, no clock of its own.
 */
import type { SuiteId } from "../crypto/suite.ts";
import type { Random } from "../crypto/platform.ts";
import { CifraError } from "../errors.ts";
import {
  DIAL_ATTEMPTS,
  INTRODUCTIONS_PER_HOUR,
  OFFERS_LIMIT,
  PORT_MINIMUM,
  SOURCES_REMEMBERED,
  WAITS_LIMIT,
} from "../limits.ts";
import type { NameKey } from "../store/server_store.ts";
import { addressScope, type Endpoint } from "../wire/address.ts";
import { Capability, type Introduction, type Registration } from "../wire/rendezvous_messages.ts";
import { staleRegistration } from "./directory.ts";
import { requireName, SERVER_NAME } from "../wire/names.ts";

const HOUR = 3_600_000;
/** 2026; tenths of a second since then fit 32 bits for thirteen years. */
const GENERATIONS_BEGAN = Date.UTC(2026, 0);
/** Wanted by those who are in the lobby. */
const NOBODY = "";

/** A registration with what the server knows about the one who made it. */
export interface Applicant<Holder> {
  /** Whatever stands for the connection. */
  readonly holder: Holder;
  readonly registration: Registration;
  /** The entry of the name in the directory: it is theirs. */
  readonly key: NameKey;
  readonly suite: SuiteId;
  readonly observed: Endpoint;
}

/** A name in somebody's hands, for as long as they are connected. */
export interface Held<Holder> extends Applicant<Holder> {
  readonly name: string;
  /** Empty in the lobby. */
  readonly wanted: string;
}

/** What a registration leads to, for the client itself and for others. */
export type Outcome<Holder> =
  /** `held.name` is held; its owner waits for `held.wanted`, or is in the lobby. */
  | { readonly type: "waiting"; readonly held: Held<Holder> }
  /** An older connection of the same identity, for the same person, gave way. */
  | { readonly type: "replaced"; readonly held: Held<Holder> }
  /** Both have asked for each other; each gets the other's record and both are forgotten. */
  | {
    readonly type: "introduced";
    readonly generation: number;
    /** Whether the server is to relay between the two. */
    readonly relay: boolean;
    readonly pair: readonly [Invitation<Holder>, Invitation<Holder>];
  }
  /** Both have asked for each other, with different suites; both go on waiting. */
  | {
    readonly type: "suite-mismatch";
    readonly pair: readonly [Held<Holder>, Held<Holder>];
  }
  /** `from` has asked for `to`, who is in the lobby. */
  | { readonly type: "offer"; readonly to: Held<Holder>; readonly from: Held<Holder> };

/** An introduction, addressed to the holder of `to`. */
export interface Invitation<Holder> {
  readonly to: Held<Holder>;
  readonly introduction: Introduction;
}

/** The rules of the rendezvous. */
export class Rendezvous<Holder> {
  readonly #random: Random;
  /** By name, and by whom it is held for. */
  readonly #held = new Map<string, Map<string, Held<Holder>>>();
  /** Who waits for a name, the one who asked first in front. */
  readonly #waiting = new Map<string, Set<Held<Holder>>>();
  readonly #byHolder = new Map<Holder, Held<Holder>>();
  /** When each identity was introduced lately; the oldest entry goes when there are too many. */
  readonly #introductions = new Map<string, number[]>();
  #generation = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** How many hold a name, those in the lobby included. */
  get size(): number {
    return this.#byHolder.size;
  }

  /** Everybody who holds a name. */
  get everybody(): Iterable<Held<Holder>> {
    return this.#byHolder.values();
  }

  /** What a connection holds. */
  heldBy(holder: Holder): Held<Holder> | undefined {
    return this.#byHolder.get(holder);
  }

  /**
   * Takes a registration at `now` (milliseconds since 1970); `mayRelay` tells whether the server has room
   * for another relayed pair. Outcomes come in the order in which they are to be told. Throws `bad_name`,
   * `bad_address`, `stale_registration`, `limit`; then nothing has changed.
   */
  register(
    applicant: Applicant<Holder>,
    now: number,
    mayRelay: boolean,
  ): readonly Outcome<Holder>[] {
    const { holder, registration, key } = applicant;
    const { wanted, receivePort, sendPort } = registration;
    const { name, fingerprint } = key;
    const inLobby = wanted === NOBODY && can(applicant, Capability.lobby);
    if (wanted !== SERVER_NAME && !inLobby) requireName(wanted);
    if (wanted === name) {
      throw new CifraError("bad_name", "Cannot wait for oneself");
    }
    requirePorts(receivePort, sendPort);
    this.#requireNewest(applicant);
    // Before anything changes, and whether the other is here or not: else waiting would be free.
    if (!inLobby) this.#requireFewIntroductions(fingerprint, now);
    const outcomes: Outcome<Holder>[] = [];
    this.leave(holder);
    const older = this.#held.get(name)?.get(wanted);
    if (older) {
      this.#release(older);
      outcomes.push({ type: "replaced", held: older });
    }
    const held: Held<Holder> = { ...applicant, name, wanted };
    this.#hold(held);
    outcomes.push({ type: "waiting", held });
    if (inLobby) {
      const asking = [...this.#waiting.get(name) ?? []].slice(-OFFERS_LIMIT);
      for (const from of asking) outcomes.push({ type: "offer", to: held, from });
      return outcomes;
    }
    const mutual = this.#held.get(wanted)?.get(name);
    if (mutual) {
      if (mutual.suite === held.suite) {
        for (const introduced of [held, mutual]) this.#count(introduced.key.fingerprint, now);
      }
      outcomes.push(this.#bringTogether(held, mutual, now, mayRelay));
    } else {
      const lobby = this.#held.get(wanted)?.get(NOBODY);
      if (lobby) outcomes.push({ type: "offer", to: lobby, from: held });
    }
    return outcomes;
  }

  /** A connection has ended, or holds nothing any more; returns what it held. */
  leave(holder: Holder): Held<Holder> | undefined {
    const held = this.#byHolder.get(holder);
    if (held) this.#release(held);
    return held;
  }

  /** Everything that is held under a name. */
  under(name: string): readonly Held<Holder>[] {
    return [...this.#held.get(name)?.values() ?? []];
  }

  /** The one named `from` who waits for `wanted`. */
  waiting(from: string, wanted: string): Held<Holder> | undefined {
    return this.#held.get(from)?.get(wanted);
  }

  /** Throws `stale_registration` unless it is later than all of this name, `limit` when it waits for many. */
  #requireNewest({ holder, registration, key }: Applicant<Holder>): void {
    const others = this.under(key.name);
    for (const other of others) {
      if (other.key.suite !== key.suite) continue;
      const { registrationSequence: last } = other.registration;
      const { registrationSequence: sequence } = registration;
      if (sequence <= last) throw staleRegistration(sequence, last);
    }
    if (registration.wanted === NOBODY) return;
    const more = others.filter((other) =>
      other.holder !== holder && other.wanted !== registration.wanted && other.wanted !== NOBODY
    );
    if (more.length >= WAITS_LIMIT) {
      throw new CifraError("limit", `Cannot wait for more than ${WAITS_LIMIT} people at once`);
    }
  }

  #hold(held: Held<Holder>): void {
    const { name, wanted } = held;
    at(this.#held, name, () => new Map()).set(wanted, held);
    at(this.#waiting, wanted, () => new Set()).add(held);
    this.#byHolder.set(held.holder, held);
  }

  #release(held: Held<Holder>): void {
    const { name, wanted } = held;
    const ofName = this.#held.get(name), forWanted = this.#waiting.get(wanted);
    ofName?.delete(wanted);
    if (ofName?.size === 0) this.#held.delete(name);
    forWanted?.delete(held);
    if (forWanted?.size === 0) this.#waiting.delete(wanted);
    this.#byHolder.delete(held.holder);
  }

  #bringTogether(
    a: Held<Holder>,
    b: Held<Holder>,
    now: number,
    mayRelay: boolean,
  ): Outcome<Holder> {
    if (a.suite !== b.suite) return { type: "suite-mismatch", pair: [a, b] };
    this.#release(a);
    this.#release(b);
    // The clock as the floor: the number grows even over a restart with nothing stored.
    this.#generation = Math.max(
      this.#generation + 1,
      Math.floor((now - GENERATIONS_BEGAN) / 100),
    );
    const generation = this.#generation;
    const rendezvousId = this.#random(16);
    const rendezvousKey = this.#random(32);
    const hidden = can(a, Capability.hidden) || can(b, Capability.hidden);
    const relay = can(a, Capability.relay) && can(b, Capability.relay) && mayRelay;
    const about = (peer: Held<Holder>, reader: Held<Holder>): Introduction => ({
      peerName: peer.name,
      rendezvousId,
      rendezvousKey,
      generation,
      bundle: peer.key.bundle,
      claim: {
        sequence: peer.key.sequence,
        notAfter: BigInt(peer.key.notAfter),
        signature: peer.key.signature,
      },
      receivePort: peer.registration.receivePort,
      sendPort: peer.registration.sendPort,
      addresses: hidden ? [] : addressesFor(peer, reader),
      punch: hidden ? [] : punchFor(peer),
      relay: relay ? 1 : 0,
    });
    const toA = { to: a, introduction: about(b, a) };
    const toB = { to: b, introduction: about(a, b) };
    return { type: "introduced", generation, relay, pair: [toA, toB] };
  }

  #requireFewIntroductions(fingerprint: string, now: number): void {
    if (this.#recentIntroductions(fingerprint, now).length >= INTRODUCTIONS_PER_HOUR) {
      throw new CifraError("limit", "Too many introductions in one hour");
    }
  }

  #recentIntroductions(fingerprint: string, now: number): number[] {
    return (this.#introductions.get(fingerprint) ?? []).filter((at) => now - at < HOUR);
  }

  #count(fingerprint: string, now: number): void {
    const recent = [...this.#recentIntroductions(fingerprint, now), now];
    // Re-inserted, so that the map stays in the order of last use.
    this.#introductions.delete(fingerprint);
    this.#introductions.set(fingerprint, recent);
    if (this.#introductions.size > SOURCES_REMEMBERED) {
      this.#introductions.delete(this.#introductions.keys().next().value!);
    }
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

function can({ registration }: Applicant<unknown>, capability: number): boolean {
  return (registration.capabilities & capability) !== 0;
}

/** The value of a key, made if there is none. */
function at<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, value = make());
  return value;
}

/** Where the peer's dials come from, as the server sees it. Like an address, it is one that the server observed. */
function punchFor(peer: Held<unknown>): readonly Endpoint[] {
  const scope = addressScope(peer.observed.host);
  const useful = can(peer, Capability.punch) && (scope === "public" || scope === "private");
  return useful && peer.observed.port >= PORT_MINIMUM ? [peer.observed] : [];
}

/**
 * Where `reader` may dial `peer`: where the server saw it, and what it advertised, the latter only
 * inside one site, so that nobody can be sent to a stranger's machine (attack A13).
 */
function addressesFor(peer: Held<unknown>, reader: Held<unknown>): readonly string[] {
  const isLoopback = (host: string) => addressScope(host) === "loopback";
  const readerHost = reader.observed.host;
  const peerHost = peer.observed.host;
  const addresses: string[] = [];
  if (!isLoopback(peerHost) || isLoopback(readerHost)) addresses.push(peerHost);
  const oneSite = peerHost === readerHost || isLoopback(peerHost) ||
    addressScope(peerHost) === "private" && addressScope(readerHost) === "private";
  if (oneSite) {
    const { advertised } = peer.registration;
    addresses.push(...advertised.filter((host) => addressScope(host) === "private"));
  }
  return [...new Set(addresses)].slice(0, DIAL_ATTEMPTS);
}
