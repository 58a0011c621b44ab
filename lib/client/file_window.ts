/**
 * How much of the content of files may be under way on one channel (PROTOCOL.md 3.15): what its way carries in a moment,
 * measured by what the other side says that it has dealt with, so that a message which is typed meanwhile waits for no
 * more than that.
 */
import { CifraError } from "../errors.ts";
import {
  FILE_PIECE_LIMIT,
  FILE_WINDOW_LIMIT,
  FILE_WINDOW_MINIMUM,
  FILE_WINDOW_TIME,
} from "../limits.ts";

const FIRST = 64 * 1024;
const FIRST_PIECE = 1024;
/** Nothing is concluded from a shorter time, in milliseconds. */
const SAMPLE = 20;
/** For so long a way with nothing on it is still in use. */
const REST = 5;

/** Bytes of which it is measured when they come. */
interface Mark {
  /** The sum of all that was sent up to here. */
  readonly sent: number;
  readonly at: number;
}

/** The window of one direction of one channel, in bytes of content; times in milliseconds of a clock that never jumps. */
export class FileWindow {
  #sent = 0;
  #taken = 0;
  #size = FIRST;
  #mark: Mark | undefined;
  /** The shortest time from sending something until it was dealt with. */
  #trip = Infinity;
  /** Since when nothing is under way. */
  #idleSince = -Infinity;
  /** Since when it is measured how much is taken, and what had been taken then. */
  #since: Mark | undefined;

  /** Bytes that are sent and not dealt with over there. */
  get underWay(): number {
    return this.#sent - this.#taken;
  }

  /** What may be sent now; not below 0. */
  get room(): number {
    return Math.max(0, this.#size - this.underWay);
  }

  /** Bytes that the other side has dealt with. */
  get taken(): number {
    return this.#taken;
  }

  /** How long a piece may be, so that two of them fit. The first ones are short: they measure how long the way is. */
  get pieceLimit(): number {
    if (this.#trip === Infinity) return FIRST_PIECE;
    return Math.min(FILE_PIECE_LIMIT, Math.floor(this.#size / 2));
  }

  /** So many bytes are sent. */
  send(length: number, now: number): void {
    // A pause in what there was to send says nothing about the way.
    if (now - this.#idleSince > REST) this.#since = { sent: this.#taken, at: now };
    this.#idleSince = Infinity;
    this.#sent += length;
    this.#mark ??= { sent: this.#sent, at: now };
  }

  /** The other side has dealt with `total` bytes since the channel began. Throws `bad_state` for what was never sent. */
  take(total: bigint, now: number): void {
    if (total > BigInt(this.#sent) || total < BigInt(this.#taken)) {
      throw new CifraError("bad_state", "The other side has taken what was not sent");
    }
    const wasFull = this.room < this.pieceLimit;
    this.#taken = Number(total);
    if (this.underWay === 0) this.#idleSince = Math.min(this.#idleSince, now);
    const mark = this.#mark;
    if (mark && this.#taken >= mark.sent) {
      this.#trip = Math.min(this.#trip, now - mark.at);
      this.#mark = undefined;
    }
    this.#measure(wasFull, now);
  }

  #measure(wasFull: boolean, now: number): void {
    const since = this.#since;
    if (
      !since || this.#trip === Infinity || now - since.at < SAMPLE || this.#taken === since.sent
    ) return;
    const rate = (this.#taken - since.sent) / (now - since.at);
    // The way is longer than a moment where its ends are far from each other: it is kept full all the same.
    const fits = rate * Math.max(FILE_WINDOW_TIME, 2 * this.#trip);
    // What was sent without haste shows how much there was to send, not what the way carries.
    if (wasFull || fits > this.#size) {
      this.#size = Math.round(Math.min(FILE_WINDOW_LIMIT, Math.max(FILE_WINDOW_MINIMUM, fits)));
    }
    this.#since = { sent: this.#taken, at: now };
  }
}
