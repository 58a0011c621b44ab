/**
 * How many wrong passwords are taken before nobody is listened to for a while (PROTOCOL.md 3.10). A thief is
 * held up where it comes from; who has signed in from somewhere before is not held up by what others do.
 */
import { CifraError } from "../errors.ts";
import { BoundedMap } from "../flow/bounded_map.ts";
import { SlidingWindow } from "../flow/sliding_window.ts";
import { TokenBucket } from "../flow/token_bucket.ts";
import {
  PASSWORD_TRIES,
  PASSWORD_TRIES_NAME,
  PASSWORD_TRIES_NAME_PER_MINUTE,
  PASSWORD_TRIES_PERIOD,
  PASSWORD_TRIES_SOURCE,
  SOURCES_REMEMBERED,
} from "../limits.ts";

/** Somebody who tries to sign in. */
export interface Attempt {
  /** Whatever the client calls itself, whether there is an account or not. */
  readonly name: string;
  /** Where it comes from; without a space. */
  readonly source: string;
  /** What the source is called in the log. */
  readonly tag: string;
  /** Whether it has shown a key that owns the name: that needs no password to do as it likes. */
  readonly isOwner: boolean;
}

/** What is not listened to for a while, or is slowed down. */
export interface Lock {
  /** Undefined for all names. */
  readonly name: string | undefined;
  /** As the log has it; undefined for all sources. */
  readonly tag: string | undefined;
  /** Milliseconds until one more try is taken; of a name that is slowed down 0 when one is taken now. */
  readonly remaining: number;
}

/** One count, by what key. */
interface Lane {
  /** How many more are taken. */
  left(key: string, now: number): number;
  /** Milliseconds until one more is taken; 0 when it is taken now. */
  remaining(key: string, now: number): number;
  count(key: string, now: number): void;
  clear(key: string): void;
  /** Those that are shut or slowed down, and for how long. */
  shut(now: number): Iterable<readonly [string, number]>;
}

/** So many in a time, and then none until that is over. */
class ShutLane implements Lane {
  readonly #period: number;
  readonly #most: number;
  readonly #failures: SlidingWindow;

  constructor(period: number, most: number) {
    this.#period = period;
    this.#most = most;
    this.#failures = new SlidingWindow(period, SOURCES_REMEMBERED);
  }

  left(key: string, now: number): number {
    return Math.max(0, this.#most - this.#failures.times(key, now).length);
  }

  remaining(key: string, now: number): number {
    const oldest = this.#failures.times(key, now).at(-this.#most);
    return oldest === undefined ? 0 : oldest + this.#period - now;
  }

  count(key: string, now: number): void {
    this.#failures.count(key, now);
  }

  clear(key: string): void {
    this.#failures.forget(key);
  }

  *shut(now: number): Iterable<readonly [string, number]> {
    for (const key of this.#failures.keys) {
      const remaining = this.remaining(key, now);
      if (remaining > 0) yield [key, remaining];
    }
  }
}

/** So many at once, and then one after the other: whoever spends them for others does not shut it. */
class SlowLane implements Lane {
  readonly #burst: number;
  readonly #perMinute: number;
  readonly #buckets = new BoundedMap<string, TokenBucket>(SOURCES_REMEMBERED);

  constructor(burst: number, perMinute: number) {
    this.#burst = burst;
    this.#perMinute = perMinute;
  }

  left(key: string, now: number): number {
    return this.#buckets.get(key)?.left(now) ?? this.#burst;
  }

  remaining(key: string, now: number): number {
    return Math.ceil(this.#buckets.get(key)?.wait(now) ?? 0);
  }

  count(key: string, now: number): void {
    const bucket = this.#buckets.get(key) ??
      new TokenBucket(this.#burst, this.#perMinute, now);
    bucket.take(now);
    this.#buckets.set(key, bucket);
  }

  clear(key: string): void {
    this.#buckets.delete(key);
  }

  *shut(now: number): Iterable<readonly [string, number]> {
    for (const [key, bucket] of this.#buckets) {
      // Between two tries it is slowed down all the same.
      if (bucket.left(now) <= 1) yield [key, this.remaining(key, now)];
    }
  }
}

/** The wrong passwords of a server. */
export class PasswordLanes {
  readonly #pairs = new ShutLane(PASSWORD_TRIES_PERIOD, PASSWORD_TRIES);
  readonly #sources = new ShutLane(PASSWORD_TRIES_PERIOD, PASSWORD_TRIES_SOURCE);
  readonly #names = new SlowLane(PASSWORD_TRIES_NAME, PASSWORD_TRIES_NAME_PER_MINUTE);
  /** Whose owner has been where. */
  readonly #visits = new BoundedMap<string, true>(SOURCES_REMEMBERED);
  /** By source, what it was called when it failed last. */
  readonly #tags = new BoundedMap<string, string>(SOURCES_REMEMBERED);

  /** Throws `limit` while no proof of this attempt would be listened to; times in milliseconds. */
  require(attempt: Attempt, now: number): void {
    const remaining = this.remaining(attempt, now);
    if (remaining === 0) return;
    throw new CifraError("limit", "Too many wrong passwords", {
      retryAfter: inSeconds(remaining),
    });
  }

  /** Milliseconds until an attempt like this is listened to; 0 when it is now. */
  remaining(attempt: Attempt, now: number): number {
    return Math.max(...this.#lanesOf(attempt).map(([lane, key]) => lane.remaining(key, now)), 0);
  }

  /** A wrong password; returns how many more are taken. */
  failed(attempt: Attempt, now: number): number {
    this.#tags.set(attempt.source, attempt.tag);
    const lanes = this.#lanesOf(attempt);
    for (const [lane, key] of lanes) lane.count(key, now);
    return Math.min(...lanes.map(([lane, key]) => lane.left(key, now)), PASSWORD_TRIES);
  }

  /** The right password: what was wrong before from there counts no more. */
  succeeded({ name, source }: Attempt): void {
    this.visited(name, source);
    this.#pairs.clear(`${source} ${name}`);
  }

  /** The owner of a name is at a source. */
  visited(name: string, source: string): void {
    this.#visits.set(`${source} ${name}`, true);
  }

  /** What is shut `now`, or slowed down: names alone, from all sources. */
  locks(now: number): readonly Lock[] {
    const tagOf = (source: string) => this.#tags.get(source) ?? "somewhere";
    const locks: Lock[] = [];
    for (const [pair, remaining] of this.#pairs.shut(now)) {
      const space = pair.indexOf(" ");
      locks.push({ name: pair.slice(space + 1), tag: tagOf(pair.slice(0, space)), remaining });
    }
    for (const [source, remaining] of this.#sources.shut(now)) {
      locks.push({ name: undefined, tag: tagOf(source), remaining });
    }
    for (const [name, remaining] of this.#names.shut(now)) {
      locks.push({ name, tag: undefined, remaining });
    }
    return locks;
  }

  /** Lifts the locks of a name, or of a source as the log has it; returns how many those were. */
  lift({ name, tag }: Pick<Lock, "name" | "tag">, now: number): number {
    let count = 0;
    for (const [pair] of [...this.#pairs.shut(now)]) {
      const space = pair.indexOf(" ");
      const isMeant = name === pair.slice(space + 1) ||
        tag !== undefined && tag === this.#tags.get(pair.slice(0, space));
      if (isMeant) this.#pairs.clear(pair);
      if (isMeant) count++;
    }
    for (const [source] of [...this.#sources.shut(now)]) {
      if (tag === undefined || this.#tags.get(source) !== tag) continue;
      this.#sources.clear(source);
      count++;
    }
    for (const [shut] of [...this.#names.shut(now)]) {
      if (shut !== name) continue;
      this.#names.clear(shut);
      count++;
    }
    return count;
  }

  #lanesOf({ name, source, isOwner }: Attempt): readonly (readonly [Lane, string])[] {
    if (isOwner) return [];
    const pair = `${source} ${name}`;
    const own = [this.#pairs, pair] as const;
    if (this.#visits.get(pair)) return [own];
    return [own, [this.#sources, source], [this.#names, name]];
  }
}

/** As a refusal says it: whole seconds, in two bytes. */
export function inSeconds(milliseconds: number): number {
  return Math.min(Math.ceil(milliseconds / 1000), 0xffff);
}
