/**
 * Who is inside: connections that have climbed the ladder. So many of one key and of one source at the most,
 * and some places are left to keys that the server knew before (PROTOCOL.md 4). Whoever has no name yet gives
 * way, the oldest first. Rules over what is in memory; no sockets, no clock.
 */
import { CifraError } from "../errors.ts";
import { KNOWN_KEYS_RESERVE } from "../limits.ts";

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
  /** Where it comes from; undefined on this machine, where everybody comes from one place. */
  readonly source: string | undefined;
  /** Whether the server knew the key before. */
  readonly isKnown: boolean;
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
  #newcomers = 0;

  constructor(caps: InsiderCaps) {
    this.#caps = caps;
  }

  /** Those who have not registered. */
  get nameless(): readonly Holder[] {
    return [...this.#nameless].map(({ holder }) => holder);
  }

  /**
   * Takes a place; returns those who had to give way for it, who have none any more. Throws `limit` when
   * there is nobody without a name who could; then nothing has changed.
   */
  enter(holder: Holder, insider: Insider): readonly Holder[] {
    const { key, source, isKnown } = insider;
    const { connections, connectionsPerKey, connectionsPerSource } = this.#caps;
    const out = new Set<Place<Holder>>();
    const crowds = [
      { crowd: this.#byKey.get(key), most: connectionsPerKey, what: "of this key" },
      {
        crowd: source === undefined ? undefined : this.#bySource.get(source),
        most: connectionsPerSource,
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
    const isRoom = this.#newcomers - [...out].filter((place) => !place.isKnown).length <
      forNewcomers;
    if (!isKnown && !isRoom) {
      const oldest = this.#oldestNewcomer(out);
      if (!oldest) throw full("The last places are for those whom this server knows");
      out.add(oldest);
    }
    for (const place of out) this.leave(place.holder);
    this.#take({ ...insider, holder, isNamed: false });
    return [...out].map((place) => place.holder);
  }

  /** Whoever is to give way when there is no room at all; it has no place any more. */
  giveWay(): Holder | undefined {
    const oldest = this.#oldestNewcomer(new Set()) ?? first(this.#nameless);
    if (oldest) this.leave(oldest.holder);
    return oldest?.holder;
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
    if (!place.isKnown) this.#newcomers--;
    remove(this.#byKey, place.key, place);
    if (place.source !== undefined) remove(this.#bySource, place.source, place);
    return true;
  }

  #take(place: Place<Holder>): void {
    this.#places.set(place.holder, place);
    this.#nameless.add(place);
    if (!place.isKnown) this.#newcomers++;
    add(this.#byKey, place.key, place);
    if (place.source !== undefined) add(this.#bySource, place.source, place);
  }

  #oldestNewcomer(except: ReadonlySet<Place<Holder>>): Place<Holder> | undefined {
    for (const place of this.#nameless) if (!place.isKnown && !except.has(place)) return place;
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
