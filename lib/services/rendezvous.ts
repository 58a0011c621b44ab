/**
 * The meeting place: names are held while their owner is connected, and two who have asked for each
 * other are introduced and forgotten. Rules over a store; no sockets, no clock of its own.
 */
import { encodeHex } from "@std/encoding/hex";
import type { PublicIdentity } from "../crypto/identity.ts";
import type { SuiteId } from "../crypto/suite.ts";
import type { Random } from "../crypto/platform.ts";
import { CifraError } from "../errors.ts";
import {
  DIAL_ATTEMPTS,
  INTRODUCTIONS_PER_HOUR,
  PORT_MINIMUM,
  SOURCES_REMEMBERED,
} from "../limits.ts";
import type { HeldName, Store } from "../store/store.ts";
import { addressScope, type Endpoint } from "../wire/address.ts";
import { Capability, type Introduction, type Registration } from "../wire/rendezvous_messages.ts";
import { requireName, SERVER_NAME } from "./names.ts";

const HOUR = 3_600_000;
/** 2026; tenths of a second since then fit 32 bits for thirteen years. */
const GENERATIONS_BEGAN = Date.UTC(2026, 0);

/** A registration with what the server knows about the one who made it. */
export interface Applicant {
  readonly registration: Registration;
  readonly identity: PublicIdentity;
  readonly suite: SuiteId;
  readonly observed: Endpoint;
}

/** What a registration leads to, for the client itself and for others. */
export type Outcome =
  /** `name` is held; its owner waits for `wanted`. */
  | { readonly type: "waiting"; readonly name: string; readonly wanted: string }
  /** An older connection of the same identity gave way. */
  | { readonly type: "replaced"; readonly name: string }
  /** Both have asked for each other; each gets the other's record and both names are free again. */
  | {
    readonly type: "introduced";
    readonly generation: number;
    /** Whether the server is to relay between the two. */
    readonly relay: boolean;
    readonly pair: readonly [Invitation, Invitation];
  }
  /** Both have asked for each other, with different suites; both go on waiting. */
  | { readonly type: "suite-mismatch"; readonly pair: readonly [Mismatch, Mismatch] };

/** An introduction, addressed to the holder of `to`. */
export interface Invitation {
  readonly to: string;
  readonly introduction: Introduction;
}

/** The news of a suite mismatch, addressed to the holder of `to`. */
export interface Mismatch {
  readonly to: string;
  readonly peerName: string;
  readonly yourSuite: SuiteId;
  readonly peerSuite: SuiteId;
}

/** The rules of the rendezvous. */
export class Rendezvous {
  readonly #store: Store;
  readonly #random: Random;
  /** When each identity was introduced lately; the oldest entry goes when there are too many. */
  readonly #introductions = new Map<string, number[]>();

  constructor(store: Store, random: Random) {
    this.#store = store;
    this.#random = random;
  }

  /**
   * Takes a registration at `now` (milliseconds since 1970); `mayRelay` tells whether the server has room
   * for another relayed pair. Outcomes come in the order in which they
   * are to be told. Throws `bad_name`, `bad_address`, `name_taken`, `stale_registration`, `limit`.
   */
  register(applicant: Applicant, now: number, mayRelay: boolean): readonly Outcome[] {
    const { registration, identity, suite, observed } = applicant;
    const { name, wanted, receivePort, sendPort, registrationSequence } = registration;
    requireName(name);
    if (wanted !== SERVER_NAME) requireName(wanted);
    if (wanted === name) {
      throw new CifraError("bad_name", "Cannot wait for oneself", { hint: "choose another --to" });
    }
    requirePorts(receivePort, sendPort);
    const fingerprint = encodeHex(identity.fingerprint);
    const outcomes: Outcome[] = [];
    const isNewer = this.#requireFree(name, fingerprint, registrationSequence);
    // Before anything changes, and whether the other is here or not: else waiting would be free.
    this.#requireFewIntroductions(fingerprint, now);
    if (isNewer) {
      this.#store.release(name);
      outcomes.push({ type: "replaced", name });
    }
    const held: HeldName = {
      name,
      wanted,
      fingerprint,
      bundle: identity.bundle,
      suite,
      observed,
      receivePort,
      sendPort,
      capabilities: registration.capabilities,
      advertised: registration.advertised.filter((host) => addressScope(host) === "private"),
      registrationSequence,
    };
    const other = wanted === SERVER_NAME ? undefined : this.#store.findByName(wanted);
    const mutual = other?.wanted === name ? other : undefined;
    if (mutual?.suite === suite) {
      for (const introduced of [fingerprint, mutual.fingerprint]) this.#count(introduced, now);
    }
    this.#store.hold(held);
    outcomes.push({ type: "waiting", name, wanted });
    if (mutual) outcomes.push(this.#bringTogether(held, mutual, now, mayRelay));
    return outcomes;
  }

  /** The owner of `name` has left. */
  leave(name: string): void {
    this.#store.release(name);
  }

  /** Whether an older registration of the same identity has to go; throws if the name is another's. */
  #requireFree(name: string, fingerprint: string, sequence: bigint): boolean {
    const holder = this.#store.findByName(name);
    if (holder && holder.fingerprint !== fingerprint) {
      throw new CifraError("name_taken", `The name "${name}" is in use by another identity`, {
        hint: "choose another --name, or wait until it is free",
      });
    }
    const own = this.#store.findByFingerprint(fingerprint);
    if (own && own.name !== name) {
      throw new CifraError("name_taken", `This identity is here as "${own.name}" already`, {
        hint: "use one name for one identity",
      });
    }
    if (holder && sequence <= holder.registrationSequence) {
      throw new CifraError(
        "stale_registration",
        "This registration is older than the present one",
        {
          hint: "connect again",
        },
      );
    }
    return holder !== undefined;
  }

  #bringTogether(a: HeldName, b: HeldName, now: number, mayRelay: boolean): Outcome {
    if (a.suite !== b.suite) {
      const toA = { to: a.name, peerName: b.name, yourSuite: a.suite, peerSuite: b.suite };
      const toB = { to: b.name, peerName: a.name, yourSuite: b.suite, peerSuite: a.suite };
      return { type: "suite-mismatch", pair: [toA, toB] };
    }
    this.#store.release(a.name);
    this.#store.release(b.name);
    // The clock as the floor: the number grows even over a restart with nothing stored.
    const generation = this.#store.nextGeneration(
      Math.max(0, Math.floor((now - GENERATIONS_BEGAN) / 100)),
    );
    const rendezvousId = this.#random(16);
    const rendezvousKey = this.#random(32);
    const hidden = can(a, Capability.hidden) || can(b, Capability.hidden);
    const relay = can(a, Capability.relay) && can(b, Capability.relay) && mayRelay;
    const about = (peer: HeldName, reader: HeldName): Introduction => ({
      peerName: peer.name,
      rendezvousId,
      rendezvousKey,
      generation,
      bundle: peer.bundle,
      receivePort: peer.receivePort,
      sendPort: peer.sendPort,
      addresses: hidden ? [] : addressesFor(peer, reader),
      punch: hidden ? [] : punchFor(peer),
      relay: relay ? 1 : 0,
    });
    const toA = { to: a.name, introduction: about(b, a) };
    const toB = { to: b.name, introduction: about(a, b) };
    return { type: "introduced", generation, relay, pair: [toA, toB] };
  }

  #requireFewIntroductions(fingerprint: string, now: number): void {
    if (this.#recentIntroductions(fingerprint, now).length >= INTRODUCTIONS_PER_HOUR) {
      throw new CifraError("limit", "Too many introductions in one hour", {
        hint: "wait some minutes",
      });
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
      { hint: "leave --receive-port and --send-port out, and free ones are chosen" },
    );
  }
}

function can({ capabilities }: HeldName, capability: number): boolean {
  return (capabilities & capability) !== 0;
}

/** Where the peer's dials come from, as the server sees it. Like an address, it is one that the server observed. */
function punchFor(peer: HeldName): readonly Endpoint[] {
  const scope = addressScope(peer.observed.host);
  const useful = can(peer, Capability.punch) && (scope === "public" || scope === "private");
  return useful && peer.observed.port >= PORT_MINIMUM ? [peer.observed] : [];
}

/**
 * Where `reader` may dial `peer`: where the server saw it, and what it advertised, the latter only
 * inside one site, so that nobody can be sent to a stranger's machine (attack A13).
 */
function addressesFor(peer: HeldName, reader: HeldName): readonly string[] {
  const isLoopback = (host: string) => addressScope(host) === "loopback";
  const readerHost = reader.observed.host;
  const peerHost = peer.observed.host;
  const addresses: string[] = [];
  if (!isLoopback(peerHost) || isLoopback(readerHost)) addresses.push(peerHost);
  const oneSite = peerHost === readerHost || isLoopback(peerHost) ||
    addressScope(peerHost) === "private" && addressScope(readerHost) === "private";
  if (oneSite) addresses.push(...peer.advertised);
  return [...new Set(addresses)].slice(0, DIAL_ATTEMPTS);
}
