/**
 * The words of who is away, ours and theirs, in one conversation: told on each of its channels, and kept nowhere
 * (PROTOCOL.md 3.8).
 */
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { TokenBucket } from "../flow/token_bucket.ts";
import { AWAY_HEARD_PER_MINUTE, AWAY_SAID_PER_MINUTE } from "../limits.ts";
import { decode, encode } from "../wire/layout.ts";
import { type Line, lineOf } from "../wire/line.ts";
import { peerAway } from "../wire/peer_messages.ts";
import { type Item, ItemType } from "../wire/records.ts";
import { outOfTurn } from "./incoming.ts";

/** The words of who is not away, or has none. */
export const NO_WORDS: Line = lineOf("");

/** What the words of a conversation are made of. */
export interface AwayOptions {
  /** Our words, as they are now; `NO_WORDS` while we are not away. */
  readonly ours: () => Line;
  /** Told when theirs are others than before. */
  readonly onTheirs: (words: Line) => void;
  /** In milliseconds. */
  readonly now: () => number;
}

/** What says our words. */
interface Speaker {
  readonly isOpen: boolean;
  send(type: ItemType, body: Bytes): void;
}

/** A channel to the other side, and what of this was said on it. */
interface Lane {
  readonly speaker: Speaker;
  /** What we said last. */
  said: Line;
  readonly saying: TokenBucket;
  readonly hearing: TokenBucket;
  /** Whether they have said anything, if not this. */
  hasSpoken: boolean;
}

/** What both sides say of being away. */
export class AwayWords {
  readonly #options: AwayOptions;
  #lane: Lane | undefined;
  #theirs: Line = NO_WORDS;

  constructor(options: AwayOptions) {
    this.#options = options;
  }

  /** The words of the other side, as they were heard last. */
  get theirs(): Line {
    return this.#theirs;
  }

  /** Over this channel to the other side from now on, on which nothing was said yet behind m7 and m8. */
  begin(speaker: Speaker): void {
    const now = this.#options.now();
    this.#lane = {
      speaker,
      said: NO_WORDS,
      saying: new TokenBucket(AWAY_SAID_PER_MINUTE, AWAY_SAID_PER_MINUTE, now),
      hearing: new TokenBucket(AWAY_HEARD_PER_MINUTE, AWAY_HEARD_PER_MINUTE, now),
      hasSpoken: false,
    };
    this.say();
  }

  /** The channel is over; `isGone`: with their program, and whatever it said of this. */
  end(isGone: boolean): void {
    this.#lane = undefined;
    if (isGone) this.#theirs = NO_WORDS;
  }

  /** Says our words, unless they were said last. Words that change too often are said by a later call. */
  say(): void {
    const { ours, now } = this.#options;
    const lane = this.#lane;
    const words = ours();
    if (!lane?.speaker.isOpen || words === lane.said || !lane.saying.take(now())) return;
    lane.said = words;
    lane.speaker.send(ItemType.away, encode(peerAway, { words }));
  }

  /** Takes theirs. Throws `bad_frame`, `bad_state` of a server, `limit` when they are said again and again. */
  hear(item: Item): void {
    const lane = this.#lane;
    if (!lane) throw outOfTurn();
    if (!lane.hearing.take(this.#options.now())) {
      throw new CifraError("limit", "The other side says again and again why it is away");
    }
    lane.hasSpoken = true;
    this.#setTheirs(decode(peerAway, item.body).words);
  }

  /** They have said something else: whoever has words says them first. */
  hearOther(): void {
    if (!this.#lane || this.#lane.hasSpoken) return;
    this.#lane.hasSpoken = true;
    this.#setTheirs(NO_WORDS);
  }

  #setTheirs(words: Line): void {
    if (words === this.#theirs) return;
    this.#theirs = words;
    this.#options.onTheirs(words);
  }
}
