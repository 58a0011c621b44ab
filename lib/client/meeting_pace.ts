/**
 * How soon two meet again: at once, as long as their channels bring something. After one that brought nothing,
 * however it ended and whoever ended it, nobody is met for a pause that grows. It outlives the conversation, which
 * the other side can end by a goodbye (PROTOCOL.md 3.8).
 */
import type { Random } from "../crypto/platform.ts";
import { Backoff } from "../flow/backoff.ts";
import { MEETING_BACKOFF_MAXIMUM } from "../limits.ts";

/** The pace of two. */
export class MeetingPace {
  /** Between meetings that came to nothing. */
  readonly backoff: Backoff;
  #closedUntil = -Infinity;
  /** Channels in a row that brought nothing. */
  #vain = 0;

  constructor(random: Random) {
    this.backoff = new Backoff(random, MEETING_BACKOFF_MAXIMUM);
  }

  /** Channels come and go, and bring nothing: more than one did, since one alone is a cut like any other. */
  get isShaky(): boolean {
    return this.#vain > 1;
  }

  /** Milliseconds for which nobody is met; 0 when they may. */
  closedFor(now: number): number {
    return Math.max(0, this.#closedUntil - now);
  }

  /** A channel brought nothing. Returns for how many milliseconds nobody is met. */
  inVain(now: number): number {
    const pause = this.backoff.next();
    this.#vain++;
    this.#closedUntil = now + pause;
    return pause;
  }

  /** A channel brought something, or has lasted. */
  worthwhile(): void {
    this.backoff.reset();
    this.#vain = 0;
    this.open();
  }

  /** Somebody here waits, or the network is another one: the pause is over, and the next is none the shorter. */
  open(): void {
    this.#closedUntil = -Infinity;
  }
}
