/**
 * The relay: byte streams between pairs that were introduced, forwarded unread (PROTOCOL.md 3.9). Credit
 * from the reader bounds what the server can come to hold, and held-back credit keeps a pair to its rate.
 * Rules alone; no sockets, no clock of its own.
 */
import { CifraError } from "../errors.ts";
import { RELAY_IDLE, RELAY_WINDOW, RELAY_WINDOW_PIECES } from "../limits.ts";

/** How much is relayed. */
export interface RelayLimits {
  /** Pairs at once; 0 relays nothing. */
  readonly relayedPairs: number;
  /** The same of one key, and of one source; 0 for no limit. */
  readonly relayedPerKey: number;
  readonly relayedPerSource: number;
  /** Bytes a second for a pair in one direction; 0 for no limit. */
  readonly relayRate: number;
  /** Bytes a second for all that comes from one source; 0 for no limit. */
  readonly relayRatePerSource: number;
}

/** One of the two of a pair. */
export interface RelayParty<S> {
  readonly client: S;
  readonly name: string;
  /** The fingerprint of its identity. */
  readonly key: string;
  /** Where it comes from; undefined on this machine, where everybody comes from one place. */
  readonly source: string | undefined;
}

/** Something to be said to one side of a pair. */
export type RelayOutput<S> =
  /** The item is forwarded as it came. */
  | { readonly to: S; readonly type: "forward" }
  | { readonly to: S; readonly type: "credit"; readonly stream: number; readonly count: number }
  | { readonly to: S; readonly type: "close"; readonly stream: number }
  /** There is no place for the pair: its stream is over. */
  | { readonly to: S; readonly type: "full"; readonly stream: number };

/** A pair that is over, for the log. */
export interface RelayedPair {
  readonly stream: number;
  readonly names: readonly [string, string];
  readonly bytes: number;
}

/** One direction of a stream, seen from its writer. */
interface Lane<S> {
  readonly writer: S;
  readonly reader: S;
  /** Bytes the writer may still send. */
  credit: number;
  /** Bytes forwarded for which the reader has given no credit back. */
  unread: number;
  /** The pieces these came in, about: what the reader has taken counts as pieces of average length. */
  pieces: number;
  /** Credit of the reader that is held back. */
  owed: number;
  /** What may be given back: of the pair, and of the source. */
  readonly allowances: readonly Allowance[];
}

/** A rate as a bucket of bytes, two seconds deep. */
class Allowance {
  /** Bytes a second. */
  readonly rate: number;
  #bytes: number;
  #filledAt: number;

  constructor(rate: number, now: number) {
    this.rate = rate;
    this.#bytes = 2 * rate;
    this.#filledAt = now;
  }

  /** What may be taken at `now`. */
  at(now: number): number {
    return Math.min(2 * this.rate, this.#bytes + (now - this.#filledAt) / 1000 * this.rate);
  }

  take(count: number, now: number): void {
    this.#bytes = this.at(now) - count;
    this.#filledAt = now;
  }
}

interface Pair<S> {
  readonly stream: number;
  readonly names: readonly [string, string];
  readonly lanes: readonly [Lane<S>, Lane<S>];
  /** Where the two come from. */
  readonly sources: readonly string[];
  /** The keys and sources in whose share a place counts, each once. */
  readonly shares: readonly string[];
  hasPlace: boolean;
  /** When it was opened, or a byte last came. */
  usedAt: number;
  bytes: number;
}

/** All relayed pairs; `S` is a client of the server. */
export class Relay<S> {
  readonly #limits: RelayLimits;
  readonly #pairs = new Map<number, Pair<S>>();
  readonly #streamsOf = new Map<S, Set<number>>();
  #places = 0;
  /** By key and by source: the places taken. */
  readonly #taken = new Map<string, number>();
  /** By source: its rate, and how many lanes go by it. */
  readonly #sources = new Map<string, { readonly allowance: Allowance; lanes: number }>();

  constructor(limits: RelayLimits) {
    this.#limits = limits;
  }

  /** Whether anything is relayed at all. */
  get isOn(): boolean {
    return this.#limits.relayedPairs > 0;
  }

  /** From now on these two may be relayed to each other. A place is taken by the first byte. */
  open(stream: number, a: RelayParty<S>, b: RelayParty<S>, now: number): void {
    const lane = (writer: RelayParty<S>, reader: RelayParty<S>): Lane<S> => ({
      writer: writer.client,
      reader: reader.client,
      credit: RELAY_WINDOW,
      unread: 0,
      pieces: 0,
      owed: 0,
      allowances: this.#allowances(writer.source, now),
    });
    this.#pairs.set(stream, {
      stream,
      names: [a.name, b.name],
      lanes: [lane(a, b), lane(b, a)],
      sources: [a, b].flatMap(({ source }) => source ?? []),
      shares: [...new Set([a, b].flatMap(sharesOf))],
      hasPlace: false,
      usedAt: now,
      bytes: 0,
    });
    for (const { client } of [a, b]) {
      const streams = this.#streamsOf.get(client) ?? new Set();
      this.#streamsOf.set(client, streams.add(stream));
    }
  }

  /**
   * `length` bytes of data from a client. Throws `limit` when it had no credit for them or cuts them too
   * small. `first` tells that these are the first of their pair, `ended`
   * that there is no place for it.
   */
  data(
    from: S,
    stream: number,
    length: number,
    now: number,
  ): {
    readonly outputs: readonly RelayOutput<S>[];
    readonly first?: RelayedPair;
    readonly ended?: RelayedPair;
  } {
    const pair = this.#pairs.get(stream);
    const lane = pair?.lanes.find(({ writer }) => writer === from);
    if (!pair || !lane) return { outputs: [{ to: from, type: "close", stream }] };
    if (!pair.hasPlace && !this.#takePlace(pair)) {
      this.#remove(pair);
      const outputs = pair.lanes.map(({ writer }) => ({
        to: writer,
        type: "full" as const,
        stream,
      }));
      return { outputs, ended: pair };
    }
    pair.usedAt = now;
    if (length > lane.credit) throw broken("more than it had credit for");
    if (lane.pieces >= RELAY_WINDOW_PIECES) throw broken("too many small pieces");
    lane.credit -= length;
    lane.unread += length;
    lane.pieces++;
    const isFirst = pair.bytes === 0;
    pair.bytes += length;
    return { outputs: [{ to: lane.reader, type: "forward" }], ...(isFirst && { first: pair }) };
  }

  /** A reader has taken `count` bytes off. Throws `limit` when there were not as many. */
  credit(from: S, stream: number, count: number, now: number): readonly RelayOutput<S>[] {
    const lane = this.#pairs.get(stream)?.lanes.find(({ reader }) => reader === from);
    if (!lane) return [{ to: from, type: "close", stream }];
    if (count > lane.unread) throw broken("credit for more than it was sent");
    lane.pieces = Math.ceil(lane.pieces * (1 - count / lane.unread));
    lane.unread -= count;
    lane.owed += count;
    return this.#release(stream, lane, now);
  }

  /** A client ends a stream: the other one is told. */
  close(from: S, stream: number): { outputs: readonly RelayOutput<S>[]; ended?: RelayedPair } {
    const pair = this.#pairs.get(stream);
    const lane = pair?.lanes.find(({ writer }) => writer === from);
    if (!pair || !lane) return { outputs: [] };
    this.#remove(pair);
    return { outputs: [{ to: lane.reader, type: "close", stream }], ended: pair };
  }

  /** Pairs of which no byte has come for a minute are over. */
  expire(now: number): readonly { outputs: readonly RelayOutput<S>[]; ended: RelayedPair }[] {
    const idle = [...this.#pairs.values()].filter(({ usedAt }) => now - usedAt >= RELAY_IDLE);
    return idle.map((pair) => {
      this.#remove(pair);
      const { stream, lanes } = pair;
      const outputs = lanes.map(({ writer }) => ({ to: writer, type: "close" as const, stream }));
      return { outputs, ended: pair };
    });
  }

  /** Takes a place for a pair; false when there is none, or the share of a key or a source is used up. */
  #takePlace(pair: Pair<S>): boolean {
    const { relayedPairs, relayedPerKey, relayedPerSource } = this.#limits;
    if (this.#places >= relayedPairs) return false;
    const isFree = (share: string) => {
      const most = share.startsWith(KEY) ? relayedPerKey : relayedPerSource;
      return most === 0 || (this.#taken.get(share) ?? 0) < most;
    };
    if (!pair.shares.every(isFree)) return false;
    for (const share of pair.shares) this.#taken.set(share, (this.#taken.get(share) ?? 0) + 1);
    this.#places++;
    return pair.hasPlace = true;
  }

  #remove(pair: Pair<S>): void {
    const { stream, lanes, shares, sources } = pair;
    this.#pairs.delete(stream);
    for (const { writer } of lanes) {
      const streams = this.#streamsOf.get(writer);
      streams?.delete(stream);
      if (streams?.size === 0) this.#streamsOf.delete(writer);
    }
    for (const source of sources) {
      const known = this.#sources.get(source);
      if (known && --known.lanes === 0) this.#sources.delete(source);
    }
    if (!pair.hasPlace) return;
    this.#places--;
    for (const share of shares) {
      const left = this.#taken.get(share)! - 1;
      if (left > 0) this.#taken.set(share, left);
      else this.#taken.delete(share);
    }
  }

  /** The rates by which a lane goes: its own, and that of its source, which others go by as well. */
  #allowances(source: string | undefined, now: number): readonly Allowance[] {
    const { relayRate, relayRatePerSource } = this.#limits;
    const allowances = relayRate > 0 ? [new Allowance(relayRate, now)] : [];
    if (source === undefined || relayRatePerSource === 0) return allowances;
    let known = this.#sources.get(source);
    if (!known) {
      known = { allowance: new Allowance(relayRatePerSource, now), lanes: 0 };
      this.#sources.set(source, known);
    }
    known.lanes++;
    return [...allowances, known.allowance];
  }

  /** The streams of a client; only those with one peer, when its name is given. */
  streamsOf(client: S, peerName?: string): readonly number[] {
    const streams = [...this.#streamsOf.get(client) ?? []];
    if (peerName === undefined) return streams;
    return streams.filter((stream) => {
      const { names, lanes } = this.#pairs.get(stream)!;
      return names[lanes[0].writer === client ? 1 : 0] === peerName;
    });
  }

  /** Credits that were held back and may be given now. */
  release(now: number): readonly RelayOutput<S>[] {
    return [...this.#pairs.values()].flatMap(({ stream, lanes }) =>
      lanes.flatMap((lane) => this.#release(stream, lane, now))
    );
  }

  /** Milliseconds until there is something to release; undefined when nothing is held back. */
  nextRelease(now: number): number | undefined {
    let next: number | undefined;
    for (const { lanes } of this.#pairs.values()) {
      for (const lane of lanes) {
        if (lane.owed === 0) continue;
        const stride = strideOf(lane);
        const waits = lane.allowances.map((each) => (stride - each.at(now)) / each.rate * 1000);
        next = Math.min(next ?? Infinity, Math.max(1, ...waits));
      }
    }
    return next;
  }

  #release(stream: number, lane: Lane<S>, now: number): readonly RelayOutput<S>[] {
    const allowed = lane.allowances.map((each) => Math.floor(each.at(now)));
    const count = Math.min(lane.owed, ...allowed);
    if (count === 0 || count < strideOf(lane)) return [];
    for (const each of lane.allowances) each.take(count, now);
    lane.owed -= count;
    lane.credit += count;
    return [{ to: lane.writer, type: "credit", stream, count }];
  }
}

const KEY = "key ";

function sharesOf({ key, source }: RelayParty<unknown>): readonly string[] {
  return [KEY + key, ...source === undefined ? [] : [`source ${source}`]];
}

/** What is given back at least: a credit costs as much as a piece of data, so not in crumbs. */
function strideOf({ owed, allowances }: Lane<unknown>): number {
  return Math.min(owed, RELAY_WINDOW / 4, ...allowances.map(({ rate }) => 2 * rate));
}

function broken(what: string): CifraError {
  return new CifraError("limit", `Cannot relay: the client sent ${what}`);
}
