/**
 * What an identity may ask for, over all its connections (PROTOCOL.md 4): a bucket for requests and one for
 * messages to the server, whose owner waits for its turn, and so many sign-ups of a name. Rules over a clock.
 */
import { CifraError } from "../errors.ts";
import { BoundedMap } from "../flow/bounded_map.ts";
import { SlidingWindow } from "../flow/sliding_window.ts";
import { TokenBucket } from "../flow/token_bucket.ts";
import {
  MESSAGES_BURST,
  MESSAGES_PER_MINUTE,
  REQUESTS_BURST,
  REQUESTS_PER_MINUTE,
  SIGN_UPS_PER_HOUR,
  SOURCES_REMEMBERED,
} from "../limits.ts";

const HOUR = 3_600_000;

const BUCKETS = {
  request: { burst: REQUESTS_BURST, perMinute: REQUESTS_PER_MINUTE },
  message: { burst: MESSAGES_BURST, perMinute: MESSAGES_PER_MINUTE },
} as const;

/** What is counted, by its bucket. */
export type Counted = keyof typeof BUCKETS;

/** Whether quotas hold at all: `--no-quotas`. */
export interface QuotaLimits {
  readonly quotas: boolean;
}

/** What all identities have asked for lately. */
export class Quotas {
  readonly #areOn: boolean;
  readonly #buckets = new BoundedMap<string, TokenBucket>(2 * SOURCES_REMEMBERED);
  readonly #signUps = new SlidingWindow(HOUR, SOURCES_REMEMBERED);

  constructor({ quotas }: QuotaLimits) {
    this.#areOn = quotas;
  }

  /** An identity asks for something: how long its turn is away, in milliseconds. */
  turn(what: Counted, fingerprint: string, now: number): number {
    if (!this.#areOn) return 0;
    const key = `${what} ${fingerprint}`;
    let bucket = this.#buckets.get(key);
    if (!bucket) {
      const { burst, perMinute } = BUCKETS[what];
      this.#buckets.set(key, bucket = new TokenBucket(burst, perMinute, now));
    }
    return bucket.borrow(now);
  }

  /** Throws `limit` when the owner of a name has signed up too often lately. */
  requireSignUp(name: string, now: number): void {
    const oldest = this.#signUps.times(name, now).at(-SIGN_UPS_PER_HOUR);
    if (oldest === undefined || !this.#areOn) return;
    const retryAfter = Math.ceil((oldest + HOUR - now) / 1000);
    throw new CifraError("limit", "The password of this name was changed too often", {
      retryAfter,
    });
  }

  /** The owner of a name has signed up: nobody else can use this up. */
  signedUp(name: string, now: number): void {
    this.#signUps.count(name, now);
  }
}
