/**
 * The relay: byte streams between pairs that were introduced, forwarded unread (PROTOCOL.md 3.9). Credit
 * from the reader bounds what the server can come to hold, and held-back credit keeps a pair to its rate.
 * Rules alone; no sockets, no clock of its own.
 */
import { CifraError } from "../errors.ts";
import { RELAY_WINDOW, RELAY_WINDOW_PIECES } from "../limits.ts";

/** How much is relayed. */
export interface RelayLimits {
  /** Pairs at once; 0 relays nothing. */
  readonly relayedPairs: number;
  /** Bytes a second for a pair in one direction; 0 for no limit. */
  readonly relayRate: number;
}

/** Something to be said to one side of a pair. */
export type RelayOutput<S> =
  /** The item is forwarded as it came. */
  | { readonly to: S; readonly type: "forward" }
  | { readonly to: S; readonly type: "credit"; readonly stream: number; readonly count: number }
  | { readonly to: S; readonly type: "close"; readonly stream: number };

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
  /** The rate as a bucket: what may be given back now, and since when that is so. */
  allowance: number;
  filledAt: number;
}

interface Pair<S> {
  readonly stream: number;
  readonly names: readonly [string, string];
  readonly lanes: readonly [Lane<S>, Lane<S>];
  bytes: number;
}

/** All relayed pairs; `S` is a client of the server. */
export class Relay<S> {
  readonly #limits: RelayLimits;
  readonly #pairs = new Map<number, Pair<S>>();
  readonly #streamsOf = new Map<S, Set<number>>();

  constructor(limits: RelayLimits) {
    this.#limits = limits;
  }

  /** Whether another pair may be opened. */
  get hasRoom(): boolean {
    return this.#pairs.size < this.#limits.relayedPairs;
  }

  /** From now on these two are relayed to each other. */
  open(
    stream: number,
    a: { readonly client: S; readonly name: string },
    b: { readonly client: S; readonly name: string },
    now: number,
  ): void {
    const lane = (writer: S, reader: S): Lane<S> => ({
      writer,
      reader,
      credit: RELAY_WINDOW,
      unread: 0,
      pieces: 0,
      owed: 0,
      allowance: 2 * this.#limits.relayRate,
      filledAt: now,
    });
    const lanes = [lane(a.client, b.client), lane(b.client, a.client)] as const;
    this.#pairs.set(stream, { stream, names: [a.name, b.name], lanes, bytes: 0 });
    for (const { client } of [a, b]) {
      const streams = this.#streamsOf.get(client) ?? new Set();
      this.#streamsOf.set(client, streams.add(stream));
    }
  }

  /**
   * `length` bytes of data from a client. Throws `limit` when it had no credit for them or cuts them too
   * small, `bad_frame` when there are none. `first` tells that these are the first of their pair.
   */
  data(
    from: S,
    stream: number,
    length: number,
  ): { readonly outputs: readonly RelayOutput<S>[]; readonly first?: RelayedPair } {
    if (length === 0) throw new CifraError("bad_frame", "Cannot relay: data of no length");
    const pair = this.#pairs.get(stream);
    const lane = pair?.lanes.find(({ writer }) => writer === from);
    if (!pair || !lane) return { outputs: [{ to: from, type: "close", stream }] };
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
    if (count > 0) lane.pieces = Math.ceil(lane.pieces * (1 - count / lane.unread));
    lane.unread -= count;
    lane.owed += count;
    return this.#release(stream, lane, now);
  }

  /** A client ends a stream: the other one is told. */
  close(from: S, stream: number): { outputs: readonly RelayOutput<S>[]; ended?: RelayedPair } {
    const pair = this.#pairs.get(stream);
    const lane = pair?.lanes.find(({ writer }) => writer === from);
    if (!pair || !lane) return { outputs: [] };
    this.#pairs.delete(stream);
    for (const { writer } of pair.lanes) {
      const streams = this.#streamsOf.get(writer);
      streams?.delete(stream);
      if (streams?.size === 0) this.#streamsOf.delete(writer);
    }
    return { outputs: [{ to: lane.reader, type: "close", stream }], ended: pair };
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
        const missing = this.#stride(lane) - this.#allowance(lane, now);
        const wait = Math.max(1, missing / this.#limits.relayRate * 1000);
        next = Math.min(next ?? Infinity, wait);
      }
    }
    return next;
  }

  #release(stream: number, lane: Lane<S>, now: number): readonly RelayOutput<S>[] {
    let count = lane.owed;
    if (this.#limits.relayRate > 0) {
      lane.allowance = this.#allowance(lane, now);
      lane.filledAt = now;
      count = Math.min(count, Math.floor(lane.allowance));
      if (count < this.#stride(lane)) return [];
      lane.allowance -= count;
    }
    if (count === 0) return [];
    lane.owed -= count;
    lane.credit += count;
    return [{ to: lane.writer, type: "credit", stream, count }];
  }

  /** What is given back at least: a credit costs as much as a piece of data, so not in crumbs. */
  #stride({ owed }: Lane<S>): number {
    return Math.min(owed, RELAY_WINDOW / 4, 2 * this.#limits.relayRate);
  }

  #allowance({ allowance, filledAt }: Lane<S>, now: number): number {
    const { relayRate } = this.#limits;
    return Math.min(2 * relayRate, allowance + (now - filledAt) / 1000 * relayRate);
  }
}

function broken(what: string): CifraError {
  return new CifraError("limit", `Cannot relay: the client sent ${what}`);
}
