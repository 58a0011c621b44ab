/**
 * How many wrong passwords are taken before nobody is listened to for a while (PROTOCOL.md 3.10). A thief is
 * held up where it comes from; who has signed in from somewhere before is not held up by what others do.
 */
import { CifraError } from "../errors.ts";
import { BoundedMap } from "../flow/bounded_map.ts";
import { SlidingWindow } from "../flow/sliding_window.ts";
import {
  PASSWORD_TRIES,
  PASSWORD_TRIES_NAME,
  PASSWORD_TRIES_NAME_PERIOD,
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

/** What is not listened to for a while. */
export interface Lock {
  /** Undefined for all names. */
  readonly name: string | undefined;
  /** As the log has it; undefined for all sources. */
  readonly tag: string | undefined;
  /** Milliseconds until one more try is taken. */
  readonly remaining: number;
}

/** One count: how many are taken in which time, by what key. */
class Lane {
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

  /** Milliseconds until one more is taken; 0 when it is taken now. */
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

  /** Those that are shut, and for how long. */
  *shut(now: number): Iterable<readonly [string, number]> {
    for (const key of this.#failures.keys) {
      const remaining = this.remaining(key, now);
      if (remaining > 0) yield [key, remaining];
    }
  }
}

/** The wrong passwords of a server. */
export class PasswordLanes {
  readonly #pairs = new Lane(PASSWORD_TRIES_PERIOD, PASSWORD_TRIES);
  readonly #sources = new Lane(PASSWORD_TRIES_PERIOD, PASSWORD_TRIES_SOURCE);
  readonly #names = new Lane(PASSWORD_TRIES_NAME_PERIOD, PASSWORD_TRIES_NAME);
  /** Whose owner has been where. */
  readonly #visits = new BoundedMap<string, true>(SOURCES_REMEMBERED);
  /** By source, what it was called when it failed last. */
  readonly #tags = new BoundedMap<string, string>(SOURCES_REMEMBERED);

  /** Throws `limit` while no proof of this attempt would be listened to; times in milliseconds. */
  require(attempt: Attempt, now: number): void {
    const retryAfter = this.#retryAfter(attempt, now);
    if (retryAfter > 0) throw new CifraError("limit", "Too many wrong passwords", { retryAfter });
  }

  /** A wrong password; returns how many more are taken, and when there is none, after how many seconds one is. */
  failed(attempt: Attempt, now: number): { readonly left: number; readonly retryAfter: number } {
    this.#tags.set(attempt.source, attempt.tag);
    const lanes = this.#lanesOf(attempt);
    for (const [lane, key] of lanes) lane.count(key, now);
    const left = Math.min(...lanes.map(([lane, key]) => lane.left(key, now)), PASSWORD_TRIES);
    return { left, retryAfter: this.#retryAfter(attempt, now) };
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

  /** What is shut `now`. */
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

  /** Seconds until a proof of this attempt is listened to, as a refusal says them; 0 when it is now. */
  #retryAfter(attempt: Attempt, now: number): number {
    const waits = this.#lanesOf(attempt).map(([lane, key]) => lane.remaining(key, now));
    return Math.min(Math.ceil(Math.max(0, ...waits) / 1000), 0xffff);
  }

  #lanesOf({ name, source, isOwner }: Attempt): readonly (readonly [Lane, string])[] {
    if (isOwner) return [];
    const pair = `${source} ${name}`;
    const own = [this.#pairs, pair] as const;
    if (this.#visits.get(pair)) return [own];
    return [own, [this.#sources, source], [this.#names, name]];
  }
}
