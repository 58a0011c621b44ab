/**
 * Who is inside: connections that have climbed the ladder. So many of one key and of one source at the most,
 * and some places are left to keys that the server has known for long, one for each (PROTOCOL.md 4). Whoever has
 * no name yet gives way, the oldest first, and then the newest of whoever holds most. Rules over what is in
 * memory; no sockets, no clock.
 */
import { CifraError } from "../errors.ts";
import { DAY, KNOWN_KEYS_RESERVE } from "../limits.ts";
import { isHere } from "./connection_limits.ts";

/** The limits an operator can set; 0 sets none. */
export interface InsiderCaps {
  /** All connections, strangers included. */
  readonly connections: number;
  readonly connectionsPerKey: number;
  readonly connectionsPerSource: number;
}

/** Somebody who comes in. */
export interface Insider {
  /** The fingerprint of its identity. */
  readonly key: string;
  /** Where it comes from. So many as like come from this machine, and give way to others like any source. */
  readonly source: string;
  /** Whether the server has known the key for long: `isKnownForLong`. */
  readonly isKnown: boolean;
}

/**
 * Whether a key that the server knows since `created` was there before this run of it, or for a day: whoever
 * wants all places cannot make such keys when it wants them. Milliseconds since 1970.
 */
export function isKnownForLong(created: number, started: number, now: number): boolean {
  return created < started || now - created >= DAY;
}

interface Place<Holder> extends Insider {
  readonly holder: Holder;
  isNamed: boolean;
}

/** Everybody inside; `Holder` is whatever stands for a connection. The oldest stands first everywhere. */
export class Insiders<Holder> {
  readonly #caps: InsiderCaps;
  readonly #places = new Map<Holder, Place<Holder>>();
  readonly #nameless = new Set<Place<Holder>>();
  readonly #byKey = new Map<string, Set<Place<Holder>>>();
  readonly #bySource = new Map<string, Set<Place<Holder>>>();
  /** Keys known for long that are inside: each has one place that counts for nobody. */
  readonly #known = new Set<string>();

  constructor(caps: InsiderCaps) {
    this.#caps = caps;
  }

  /** Those who have not registered. */
  get nameless(): readonly Holder[] {
    return [...this.#nameless].map(({ holder }) => holder);
  }

  /**
   * Takes a place; returns those who had to give way for it, who have none any more. Throws `limit` when
   * nobody has to; then nothing has changed.
   */
  enter(holder: Holder, insider: Insider): readonly Holder[] {
    const { key, source, isKnown } = insider;
    const { connections, connectionsPerKey, connectionsPerSource } = this.#caps;
    const out = new Set<Place<Holder>>();
    const crowds = [
      { crowd: this.#byKey.get(key), most: connectionsPerKey, what: "of this key" },
      {
        crowd: this.#bySource.get(source),
        most: isHere(source) ? 0 : connectionsPerSource,
        what: "from this address",
      },
    ];
    for (const { crowd, most, what } of crowds) {
      if (!crowd || most === 0 || crowd.size < most) continue;
      const oldest = [...crowd].find(({ isNamed }) => !isNamed);
      if (!oldest) throw full(`There are ${crowd.size} connections ${what}`);
      out.add(oldest);
    }
    const forNewcomers = connections === 0
      ? Infinity
      : connections - Math.floor(connections * KNOWN_KEYS_RESERVE);
    const leaving = [...out].filter((place) => !this.#isKept(place)).length;
    const isRoom = this.#places.size - this.#known.size - leaving < forNewcomers;
    if (!isRoom && !(isKnown && !this.#known.has(key))) {
      const least = this.#oldestNewcomer(out) ?? this.#oneTooMany(key, source);
      if (!least) throw full("The last places are for those whom this server has known for long");
      out.add(least);
    }
    for (const place of out) this.leave(place.holder);
    this.#take({ ...insider, holder, isNamed: false });
    return [...out].map((place) => place.holder);
  }

  /**
   * Whoever is to give way when there is no room at all to somebody from `source` whose key is not known yet;
   * it has no place any more.
   */
  giveWay(source: string): Holder | undefined {
    const least = this.#oldestNewcomer(new Set()) ?? first(this.#nameless) ??
      this.#oneTooMany(undefined, source);
    if (least) this.leave(least.holder);
    return least?.holder;
  }

  /** A connection has registered: it does not give way any more. */
  named(holder: Holder): void {
    const place = this.#places.get(holder);
    if (!place) return;
    place.isNamed = true;
    this.#nameless.delete(place);
  }

  /** A connection has gone; false when it had no place. */
  leave(holder: Holder): boolean {
    const place = this.#places.get(holder);
    if (!place) return false;
    this.#places.delete(holder);
    this.#nameless.delete(place);
    remove(this.#byKey, place.key, place);
    remove(this.#bySource, place.source, place);
    if (!this.#byKey.has(place.key)) this.#known.delete(place.key);
    return true;
  }

  #take(place: Place<Holder>): void {
    this.#places.set(place.holder, place);
    this.#nameless.add(place);
    if (place.isKnown) this.#known.add(place.key);
    add(this.#byKey, place.key, place);
    add(this.#bySource, place.source, place);
  }

  /** Whether it is the only place of a key known for long. */
  #isKept({ key }: Place<Holder>): boolean {
    return this.#known.has(key) && this.#byKey.get(key)!.size === 1;
  }

  #oldestNewcomer(except: ReadonlySet<Place<Holder>>): Place<Holder> | undefined {
    for (const place of this.#nameless) {
      if (!this.#isKept(place) && !except.has(place)) return place;
    }
    return undefined;
  }

  /**
   * The newest place of the key that holds most, or else of the source: if that is more than `key` and
   * `source` would hold with one more. Places that are kept do not count.
   */
  #oneTooMany(key: string | undefined, source: string): Place<Holder> | undefined {
    const sides = [[this.#byKey, key], [this.#bySource, source]] as const;
    for (const [crowds, own] of sides) {
      let most: readonly Place<Holder>[] = [];
      let ours = 0;
      for (const [whose, crowd] of crowds) {
        const places = [...crowd].filter((place) => !this.#isKept(place));
        if (places.length > most.length) most = places;
        if (whose === own) ours = places.length;
      }
      if (most.length > ours + 1) return most.at(-1);
    }
    return undefined;
  }
}

function full(what: string): CifraError {
  return new CifraError("limit", `${what}; come back when one has ended`);
}

function first<T>(values: Iterable<T>): T | undefined {
  for (const value of values) return value;
  return undefined;
}

function add<T>(map: Map<string, Set<T>>, key: string, value: T): void {
  const values = map.get(key);
  if (values) values.add(value);
  else map.set(key, new Set([value]));
}

function remove<T>(map: Map<string, Set<T>>, key: string, value: T): void {
  const values = map.get(key);
  values?.delete(value);
  if (values?.size === 0) map.delete(key);
}
