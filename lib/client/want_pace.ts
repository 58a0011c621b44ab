/**
 * How often wants are said to a server, of which it takes only so many: whoever comes and goes at the other end of
 * a conversation uses up neither its own share nor that of others (PROTOCOL.md 4).
 */
import { BoundedMap } from "../flow/bounded_map.ts";
import { TokenBucket } from "../flow/token_bucket.ts";
import {
  MEETINGS_BURST,
  MEETINGS_PER_MINUTE,
  OUR_WANTS_BURST,
  OUR_WANTS_PER_MINUTE,
  PACES_REMEMBERED,
} from "../limits.ts";

/** The pace of all wants of a program. */
export class WantPace {
  readonly #all: TokenBucket;
  readonly #byName = new BoundedMap<string, TokenBucket>(PACES_REMEMBERED);

  constructor(now: number) {
    this.#all = new TokenBucket(OUR_WANTS_BURST, OUR_WANTS_PER_MINUTE, now);
  }

  /** Takes the turn of a want for `name`; milliseconds until there is one, 0 when it is taken. */
  turn(name: string, now: number): number {
    let own = this.#byName.get(name);
    if (!own) {
      own = new TokenBucket(MEETINGS_BURST, MEETINGS_PER_MINUTE, now);
      this.#byName.set(name, own);
    }
    const wait = Math.max(own.wait(now), this.#all.wait(now));
    if (wait > 0) return Math.ceil(wait);
    own.take(now);
    this.#all.take(now);
    return 0;
  }
}
