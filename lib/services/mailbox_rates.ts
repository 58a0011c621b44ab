/** How often somebody may leave something and ask for keys, and who has asked for which box. Rules over a clock. */
import { BoundedMap } from "../flow/bounded_map.ts";
import { SlidingWindow } from "../flow/sliding_window.ts";
import { TokenBucket } from "../flow/token_bucket.ts";
import {
  DEPOSITS_BURST,
  DEPOSITS_PER_MINUTE,
  KEYS_FOR_STRANGERS_PER_HOUR,
  KEYS_PAUSE,
  KEYS_PER_HOUR,
  SOURCES_REMEMBERED,
} from "../limits.ts";

const HOUR = 3_600_000;

/** What all identities have done lately. Times are milliseconds; memory is bounded. */
export class MailboxRates {
  readonly #areOn: boolean;
  readonly #deposits = new BoundedMap<string, TokenBucket>(SOURCES_REMEMBERED);
  readonly #asks = new SlidingWindow(HOUR, SOURCES_REMEMBERED);
  readonly #asksOfOne = new SlidingWindow(KEYS_PAUSE, SOURCES_REMEMBERED);
  readonly #once = new SlidingWindow(HOUR, SOURCES_REMEMBERED);
  readonly #asked = new BoundedMap<string, true>(SOURCES_REMEMBERED);

  /** Without quotas nobody waits; strangers still get only so many one-time prekeys. */
  constructor(quotas: boolean) {
    this.#areOn = quotas;
  }

  /** Somebody leaves something: how long until they may, in whole seconds; 0 when it is now, and counted. */
  deposit(sender: string, now: number): number {
    if (!this.#areOn) return 0;
    let bucket = this.#deposits.get(sender);
    if (!bucket) {
      bucket = new TokenBucket(DEPOSITS_BURST, DEPOSITS_PER_MINUTE, now);
      this.#deposits.set(sender, bucket);
    }
    return bucket.take(now) ? 0 : seconds(bucket.wait(now));
  }

  /** The same of somebody who asks for the keys of a name, whether there is anybody of that name or not. */
  ask(asker: string, name: string, now: number): number {
    if (!this.#areOn) return 0;
    const pair = `${asker} ${name}`;
    const last = this.#asksOfOne.times(pair, now).at(-1);
    const oldest = this.#asks.times(asker, now).at(-KEYS_PER_HOUR);
    // A clock that has gone back makes nobody wait for longer than from now on.
    const wait = Math.max(
      last === undefined ? 0 : Math.min(last - now, 0) + KEYS_PAUSE,
      oldest === undefined ? 0 : Math.min(oldest - now, 0) + HOUR,
    );
    if (wait > 0) return seconds(wait);
    this.#asksOfOne.count(pair, now);
    this.#asks.count(asker, now);
    return 0;
  }

  /** Whether a stranger may have a one-time prekey of somebody's at all. */
  mayHaveOnce(owner: string, now: number): boolean {
    return this.#once.times(owner, now).length < KEYS_FOR_STRANGERS_PER_HOUR;
  }

  /** A stranger got one. */
  gaveOnce(owner: string, now: number): void {
    this.#once.count(owner, now);
  }

  /** Somebody was told of a box. */
  toldOf(asker: string, box: number): void {
    this.#asked.set(`${asker} ${box}`, true);
  }

  /** Whether somebody was, as far as that is remembered. */
  knows(asker: string, box: number): boolean {
    return this.#asked.get(`${asker} ${box}`) ?? false;
  }
}

function seconds(wait: number): number {
  return Math.max(1, Math.ceil(wait / 1000));
}
