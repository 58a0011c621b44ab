/**
 * The porch of a server: which connections it takes before they have finished their handshake (PROTOCOL.md
 * 4). When the porch is full, the oldest that has said least gives way to a newcomer. A source that comes too
 * often or misbehaves is in doubt: from there only those come further who prove that they are acquainted.
 * Rules over a clock.
 */
import { formatAddress, parseAddress } from "../wire/address.ts";
import { encodeHex } from "@std/encoding/hex";
import { type ErrorCode, penaltyOf } from "../errors.ts";
import { BoundedMap } from "../flow/bounded_map.ts";
import { TokenBucket } from "../flow/token_bucket.ts";
import {
  HANDSHAKE_BURST,
  HANDSHAKES_PER_MINUTE,
  PENALTY_AUTH,
  PENALTY_MALFORMED,
  PENALTY_MAXIMUM,
  PENALTY_NONE,
  PENALTY_THRESHOLD,
  SOURCES_REMEMBERED,
} from "../limits.ts";

/** The limits an operator can set, each of which 0 or false switches off; the rest are constants. */
export interface ConnectionCaps {
  /** All connections, with those inside. */
  readonly connections: number;
  /** Connections that have not finished their handshake. */
  readonly strangers: number;
  /** The same from one source. */
  readonly strangersPerSource: number;
  /** Handshakes a minute from one source, with a burst of half as many. */
  readonly handshakesPerMinute: number;
  /** Whether failed handshakes count against their source. */
  readonly penalties: boolean;
}

/** Why a connection does not come further: there is no place for it, or its source is in doubt. */
export type Refusal = "full" | "crowded" | Doubt;
/** Why a source is in doubt. */
export type Doubt = "source-rate" | "source-penalty";

/** What becomes of a newcomer. */
export type Admission<Stranger> =
  | { readonly type: "full" }
  /** It is on the porch, and those who had to give way are not any more. */
  | { readonly type: "in"; readonly out: readonly Stranger[] };

interface Source {
  strangers: number;
  readonly bucket: TokenBucket;
  penalty: number;
  penaltyAt: number;
}

interface Visit {
  readonly source: string;
  doubt: Doubt | undefined;
  /** Whether it has shown an invite or a ticket: it does not give way to those who have not. */
  isAcquainted: boolean;
}

/**
 * The source that an address counts for: an IPv4 address, or the /64 of an IPv6 one, in hexadecimal. All
 * addresses of the server's own machine are one, for everybody there has all of them.
 */
export function sourceOf(host: string): string {
  const bytes = parseAddress(host);
  if (!bytes) return host;
  // Not what addressScope() calls loopback: an IPv6 address that stands for such a one may come from anywhere.
  const isOurs = bytes.length === 4 ? bytes[0] === 127 : formatAddress(bytes) === "::1";
  if (isOurs) return HERE;
  return encodeHex(bytes.length === 4 ? bytes : bytes.subarray(0, 8));
}

/** Whether a source is the server's own machine: everybody on it comes from there. */
export function isHere(source: string): boolean {
  return source === HERE;
}

const HERE = "here";

/** The porch of a server; `Stranger` is whatever stands for a connection. */
export class ConnectionLimits<Stranger> {
  readonly #limits: ConnectionCaps;
  readonly #said: (stranger: Stranger) => number;
  /** A source with strangers is still being counted, and stays. */
  readonly #sources = new BoundedMap<string, Source>(
    SOURCES_REMEMBERED,
    ({ strangers }) => strangers === 0,
  );
  /** Handshakes of those who are acquainted, by what they proved it with. */
  readonly #acquainted = new BoundedMap<string, TokenBucket>(SOURCES_REMEMBERED);
  /** The oldest first. */
  readonly #porch = new Map<Stranger, Visit>();
  #inside = 0;

  /** `said` tells how far a stranger has come. */
  constructor(limits: ConnectionCaps, said: (stranger: Stranger) => number) {
    this.#limits = limits;
    this.#said = said;
  }

  /** All connections, those inside included. */
  get connections(): number {
    return this.#porch.size + this.#inside;
  }

  /** Takes a newcomer onto the porch. */
  admit(stranger: Stranger, source: string, now: number): Admission<Stranger> {
    const { connections, strangers, strangersPerSource } = this.#limits;
    if (connections > 0 && this.connections >= connections) return { type: "full" };
    const state = this.#source(source, now);
    const out: Stranger[] = [];
    if (strangersPerSource > 0 && state.strangers >= strangersPerSource) {
      out.push(this.#least((visit) => visit.source === source));
    } else if (strangers > 0 && this.#porch.size >= strangers) out.push(this.#least(() => true));
    for (const each of out) this.#take(each);
    const doubt = this.#doubt(state, now);
    this.#porch.set(stranger, { source, doubt, isAcquainted: false });
    state.strangers++;
    return { type: "in", out };
  }

  /** Why a stranger comes no further unless it proves that it is acquainted. */
  doubtOf(stranger: Stranger): Doubt | undefined {
    return this.#porch.get(stranger)?.doubt;
  }

  /**
   * A stranger has proved with `what` that it is acquainted: no doubt about its source concerns it, unless
   * what it proved it with is used more often than a source may come, or `share` times as often.
   */
  acquainted(stranger: Stranger, what: string, now: number, share = 1): void {
    const visit = this.#porch.get(stranger);
    if (!visit) return;
    const { handshakesPerMinute } = this.#limits;
    let bucket = this.#acquainted.get(what);
    if (!bucket) this.#acquainted.set(what, bucket = this.#newBucket(now, share));
    if (handshakesPerMinute > 0 && !bucket.take(now)) return;
    visit.doubt = undefined;
    visit.isAcquainted = true;
  }

  /**
   * The stranger has shown who it is: it is inside, and no longer counts against its source. False when it
   * had to give way before.
   */
  authenticated(stranger: Stranger): boolean {
    if (!this.#take(stranger)) return false;
    this.#inside++;
    return true;
  }

  /** A client registers once more, which costs its source as much as a handshake; false when that is too often. */
  registersAgain(source: string, now: number): boolean {
    if (this.#limits.handshakesPerMinute === 0) return true;
    return this.#source(source, now).bucket.take(now);
  }

  /** A stranger has gone, for this reason; one that had to give way has gone before. */
  left(stranger: Stranger, now: number, failure?: ErrorCode): void {
    const visit = this.#take(stranger);
    // A source in doubt does not pay for more of the same, or nobody new would ever come from it again.
    if (visit && !visit.doubt) this.penalize(visit.source, now, failure);
  }

  /** One who was inside has gone, or counts no more. */
  leftInside(): void {
    this.#inside--;
  }

  /** A source pays for a failure: that of a stranger, or of a client before it was told anything. */
  penalize(source: string, now: number, failure: ErrorCode | undefined): void {
    if (!this.#limits.penalties || isHere(source)) return;
    const state = this.#source(source, now);
    state.penalty = Math.min(PENALTY_MAXIMUM, state.penalty + penaltyFor(failure));
  }

  #doubt({ penalty, bucket }: Source, now: number): Doubt | undefined {
    if (penalty > PENALTY_THRESHOLD) return "source-penalty";
    if (this.#limits.handshakesPerMinute > 0 && !bucket.take(now)) return "source-rate";
    return undefined;
  }

  /** Whoever has said least, the oldest of these. */
  #least(isMeant: (visit: Visit) => boolean): Stranger {
    let least: Stranger | undefined, fewest = Infinity;
    for (const [stranger, visit] of this.#porch) {
      if (!isMeant(visit)) continue;
      const said = this.#said(stranger) + (visit.isAcquainted ? ACQUAINTED : 0);
      if (said < fewest) [least, fewest] = [stranger, said];
    }
    return least!;
  }

  #take(stranger: Stranger): Visit | undefined {
    const visit = this.#porch.get(stranger);
    if (!visit) return undefined;
    this.#porch.delete(stranger);
    const state = this.#sources.get(visit.source);
    if (state) state.strangers--;
    return visit;
  }

  #source(source: string, now: number): Source {
    const state = this.#sources.get(source) ?? {
      strangers: 0,
      bucket: this.#newBucket(now),
      penalty: 0,
      penaltyAt: now,
    };
    // A penalty is time: it runs off by itself.
    state.penalty = Math.max(0, state.penalty - (now - state.penaltyAt));
    state.penaltyAt = now;
    this.#sources.set(source, state);
    return state;
  }

  #newBucket(now: number, share = 1): TokenBucket {
    const perMinute = share * this.#limits.handshakesPerMinute;
    const burst = Math.max(1, perMinute * HANDSHAKE_BURST / HANDSHAKES_PER_MINUTE);
    return new TokenBucket(burst, perMinute, now);
  }
}

/** More than anybody says on the porch. */
const ACQUAINTED = 1000;

const PENALTIES = { auth: PENALTY_AUTH, malformed: PENALTY_MALFORMED, pardoned: 0 };

function penaltyFor(failure: ErrorCode | undefined): number {
  const penalty = failure && penaltyOf(failure);
  return penalty ? PENALTIES[penalty] : PENALTY_NONE;
}
