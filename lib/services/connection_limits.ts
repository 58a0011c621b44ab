/**
 * The porch of a server: which connections it takes before they have finished their handshake (PROTOCOL.md
 * 4). When the porch is full, the oldest that has said least gives way to a newcomer, but nobody who waits for us.
 * Who has climbed the ladder costs its source nothing. A source from which too many fail or that misbehaves is in
 * doubt: from there only those come further who prove that they are acquainted. Rules over a clock.
 */
import { formatAddress, parseAddress } from "../wire/address.ts";
import { encodeHex } from "@std/encoding/hex";
import { type ErrorCode, penaltyOf } from "../errors.ts";
import { BoundedMap } from "../flow/bounded_map.ts";
import { TokenBucket } from "../flow/token_bucket.ts";
import {
  HANDSHAKE_ASKING,
  HANDSHAKE_BURST,
  HANDSHAKE_SHARE_OF_KEY,
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
  /** Handshakes that fail a minute from one source, with a burst of half as many. */
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
  /** There is no place at all, or none for a stranger: all of them wait for us. */
  | { readonly type: "full" | "crowded" }
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
  /** What it has shown, an invite or a ticket: it does not give way to those who have shown nothing. */
  acquaintance: TokenBucket | undefined;
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
  readonly #said: (stranger: Stranger) => number | undefined;
  /** A source with strangers is still being counted, and stays. */
  readonly #sources = new BoundedMap<string, Source>(
    SOURCES_REMEMBERED,
    ({ strangers }) => strangers === 0,
  );
  /** Failures of those who are acquainted, by what they proved it with, and how often each identity comes. */
  readonly #acquainted = new BoundedMap<string, TokenBucket>(SOURCES_REMEMBERED);
  /** The oldest first. */
  readonly #porch = new Map<Stranger, Visit>();
  #inside = 0;

  /** `said` tells how far a stranger has come; undefined while it waits for us, when it does not give way. */
  constructor(limits: ConnectionCaps, said: (stranger: Stranger) => number | undefined) {
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
    const isSourceFull = strangersPerSource > 0 && state.strangers >= strangersPerSource;
    const isPorchFull = strangers > 0 && this.#porch.size >= strangers;
    if (isSourceFull || isPorchFull) {
      const least = this.#least((visit) => !isSourceFull || visit.source === source);
      if (least === undefined) return { type: "crowded" };
      this.#take(least);
      out.push(least);
    }
    const doubt = this.#doubt(state, now);
    this.#porch.set(stranger, { source, doubt, acquaintance: undefined });
    state.strangers++;
    return { type: "in", out };
  }

  /** Why a stranger comes no further unless it proves that it is acquainted. */
  doubtOf(stranger: Stranger): Doubt | undefined {
    return this.#porch.get(stranger)?.doubt;
  }

  /**
   * A stranger has proved with `what` that it is acquainted: no doubt about its source concerns it, unless those
   * who proved it with that have failed more often than a source may, or `share` times as often.
   */
  acquainted(stranger: Stranger, what: string, now: number, share = 1): void {
    const visit = this.#porch.get(stranger);
    if (!visit) return;
    const bucket = this.#bucketOf(what, now, share);
    if (this.#limits.handshakesPerMinute > 0 && bucket.wait(now) > 0) return;
    visit.doubt = undefined;
    visit.acquaintance = bucket;
  }

  /** Whether a stranger has shown that it is acquainted. */
  isAcquainted(stranger: Stranger): boolean {
    return this.#porch.get(stranger)?.acquaintance !== undefined;
  }

  /** In how many seconds it is worth coming again from a source: one, when nothing is wrong with it. */
  patienceOf(source: string, now: number): number {
    const { penalty, bucket } = this.#source(source, now);
    const wait = this.#limits.handshakesPerMinute > 0 ? bucket.wait(now) : 0;
    return Math.max(1, Math.ceil(Math.max(penalty - PENALTY_THRESHOLD, wait) / 1000));
  }

  /** An identity has climbed the ladder: in how many seconds it may do so again, 0 when it may at once. */
  comes(key: string, now: number): number {
    if (this.#limits.handshakesPerMinute === 0) return 0;
    const bucket = this.#bucketOf(`key ${key}`, now, HANDSHAKE_SHARE_OF_KEY);
    return bucket.take(now) ? 0 : Math.ceil(bucket.wait(now) / 1000);
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

  /** A client registers once more, which costs its source as much as one that fails; false when that is too often. */
  registersAgain(source: string, now: number): boolean {
    if (this.#limits.handshakesPerMinute === 0) return true;
    return this.#source(source, now).bucket.take(now);
  }

  /** A stranger has gone, for this reason; one that had to give way has gone before. */
  left(stranger: Stranger, now: number, failure?: ErrorCode): void {
    const visit = this.#take(stranger);
    // A source in doubt does not pay for more of the same, or nobody new would ever come from it again.
    if (!visit || visit.doubt) return;
    this.#pay(visit.source, visit.acquaintance, now, failure);
  }

  /** One who was inside has gone, or counts no more. */
  leftInside(): void {
    this.#inside--;
  }

  /**
   * A client has gone that took no name: it has cost as much as a stranger that failed for this reason, or, when
   * it was answered and has gone in order, as one who only asked.
   */
  tookNoName(source: string, now: number, failure: ErrorCode | undefined): void {
    this.#pay(source, undefined, now, failure ?? "shutdown");
  }

  #pay(
    source: string,
    acquaintance: TokenBucket | undefined,
    now: number,
    failure: ErrorCode | undefined,
  ): void {
    const state = this.#source(source, now);
    (acquaintance ?? state.bucket).charge(costOf(failure), now);
    // It is time: it runs off by itself.
    if (!this.#limits.penalties || isHere(source)) return;
    state.penalty = Math.min(PENALTY_MAXIMUM, state.penalty + penaltyFor(failure));
  }

  #doubt({ penalty, bucket }: Source, now: number): Doubt | undefined {
    if (penalty > PENALTY_THRESHOLD) return "source-penalty";
    if (this.#limits.handshakesPerMinute > 0 && bucket.wait(now) > 0) return "source-rate";
    return undefined;
  }

  /** Whoever has said least, the oldest of these; undefined when all of them wait for us. */
  #least(isMeant: (visit: Visit) => boolean): Stranger | undefined {
    let least: Stranger | undefined, fewest = Infinity;
    for (const [stranger, visit] of this.#porch) {
      if (!isMeant(visit)) continue;
      const heard = this.#said(stranger);
      if (heard === undefined) continue;
      const said = heard + (visit.acquaintance ? ACQUAINTED : 0);
      if (said < fewest) [least, fewest] = [stranger, said];
    }
    return least;
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

  #bucketOf(what: string, now: number, share: number): TokenBucket {
    let bucket = this.#acquainted.get(what);
    if (!bucket) this.#acquainted.set(what, bucket = this.#newBucket(now, share));
    return bucket;
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

/** What a handshake costs that ended for this reason: what was our own fault costs nothing. */
function costOf(failure: ErrorCode | undefined): number {
  if (failure === "busy") return 0;
  return failure === "shutdown" ? HANDSHAKE_ASKING : 1;
}
