/**
 * Which connections a server takes: few strangers (connections without a finished handshake) at once, fewer
 * of one source, and none for a while of a source that misbehaves (PROTOCOL.md 4). Rules over a clock.
 */
import { parseAddress } from "../wire/address.ts";
import { encodeHex } from "@std/encoding/hex";
import { type ErrorCode, penaltyOf } from "../errors.ts";
import { BoundedMap } from "../flow/bounded_map.ts";
import {
  EARLY_DROP_FROM,
  EARLY_DROP_PROBABILITY,
  HANDSHAKE_BURST,
  HANDSHAKES_PER_MINUTE,
  PENALTY_AUTH,
  PENALTY_MALFORMED,
  PENALTY_MAXIMUM,
  PENALTY_NONE,
  PENALTY_THRESHOLD,
  SOURCES_REMEMBERED,
} from "../limits.ts";

/** The limits an operator can set; the rest are constants. */
export interface ConnectionCaps {
  readonly connections: number;
  /** Connections that have not finished their handshake; from a quarter of it on, some are dropped. */
  readonly strangers: number;
  /** The same from one source. */
  readonly strangersPerSource: number;
  /** Handshakes a minute from one source, with a burst of half as many; 0 counts none. */
  readonly handshakesPerMinute: number;
}

/** Why a connection was refused at the door. */
export type Refusal = "full" | "early-drop" | "source-busy" | "source-rate" | "source-penalty";

interface Source {
  unauthenticated: number;
  tokens: number;
  refilledAt: number;
  penalty: number;
  penaltyAt: number;
}

/** The source that an address counts for: an IPv4 address, or the /64 of an IPv6 one, in hexadecimal. */
export function sourceOf(host: string): string {
  const bytes = parseAddress(host);
  if (!bytes) return host;
  return encodeHex(bytes.length === 4 ? bytes : bytes.subarray(0, 8));
}

/** Whether a source is the server's own machine: everybody on it comes from there. */
export function isHere(source: string): boolean {
  return /^7f.{6}$/.test(source) || source === LOOPBACK_64;
}

/** The /64 in which ::1 lies, and nobody of another machine. */
const LOOPBACK_64 = "0".repeat(16);

/** The door of a server. */
export class ConnectionLimits {
  readonly #limits: ConnectionCaps;
  readonly #chance: () => number;
  /** A source with strangers is still being counted, and stays. */
  readonly #sources = new BoundedMap<string, Source>(
    SOURCES_REMEMBERED,
    ({ unauthenticated }) => unauthenticated === 0,
  );
  #connections = 0;
  #unauthenticated = 0;

  /** `chance` gives numbers in [0, 1) for the random early drop. */
  constructor(limits: ConnectionCaps, chance: () => number) {
    this.#limits = limits;
    this.#chance = chance;
  }

  get connections(): number {
    return this.#connections;
  }

  /** Lets a connection from `source` in, counting it as a stranger, or says why not. */
  admit(source: string, now: number): Refusal | undefined {
    if (this.#connections >= this.#limits.connections) return "full";
    const { strangers, strangersPerSource } = this.#limits;
    if (this.#unauthenticated >= strangers) return "early-drop";
    const crowded = this.#unauthenticated >= strangers * EARLY_DROP_FROM;
    if (crowded && this.#chance() < EARLY_DROP_PROBABILITY) return "early-drop";
    const state = this.#source(source, now);
    if (state.penalty > PENALTY_THRESHOLD) return "source-penalty";
    if (state.unauthenticated >= strangersPerSource) return "source-busy";
    if (this.#limits.handshakesPerMinute > 0) {
      if (state.tokens < 1) return "source-rate";
      state.tokens--;
    }
    state.unauthenticated++;
    this.#unauthenticated++;
    this.#connections++;
    return undefined;
  }

  /** The stranger has shown who it is: it no longer counts against its source. */
  authenticated(source: string, now: number): void {
    this.#source(source, now).unauthenticated--;
    this.#unauthenticated--;
  }

  /** A client registers once more, which costs its source as much as a handshake; false when that is too often. */
  registersAgain(source: string, now: number): boolean {
    if (this.#limits.handshakesPerMinute === 0) return true;
    const state = this.#source(source, now);
    if (state.tokens < 1) return false;
    state.tokens--;
    return true;
  }

  /** A connection ended; `failure` is the reason when it was never authenticated. */
  left(source: string, now: number, authenticated: boolean, failure?: ErrorCode): void {
    this.#connections--;
    if (authenticated) return;
    this.#unauthenticated--;
    this.#source(source, now).unauthenticated--;
    this.penalize(source, now, failure);
  }

  /** A source pays for a failure: that of a stranger, or of a client before it was told anything. */
  penalize(source: string, now: number, failure: ErrorCode | undefined): void {
    const state = this.#source(source, now);
    state.penalty = Math.min(PENALTY_MAXIMUM, state.penalty + penaltyFor(failure));
  }

  #source(source: string, now: number): Source {
    const state = this.#sources.get(source) ?? {
      unauthenticated: 0,
      tokens: this.#burst,
      refilledAt: now,
      penalty: 0,
      penaltyAt: now,
    };
    const refill = (now - state.refilledAt) / 60_000 * this.#limits.handshakesPerMinute;
    state.tokens = Math.min(this.#burst, state.tokens + refill);
    state.refilledAt = now;
    // A penalty is time: it runs off by itself.
    state.penalty = Math.max(0, state.penalty - (now - state.penaltyAt));
    state.penaltyAt = now;
    this.#sources.set(source, state);
    return state;
  }

  get #burst(): number {
    const { handshakesPerMinute } = this.#limits;
    return Math.max(1, handshakesPerMinute * HANDSHAKE_BURST / HANDSHAKES_PER_MINUTE);
  }
}

const PENALTIES = { auth: PENALTY_AUTH, malformed: PENALTY_MALFORMED, pardoned: 0 };

function penaltyFor(failure: ErrorCode | undefined): number {
  const penalty = failure && penaltyOf(failure);
  return penalty ? PENALTIES[penalty] : PENALTY_NONE;
}
