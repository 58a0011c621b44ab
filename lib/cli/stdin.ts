/** Reading standard input, piece by piece, no faster than it is taken. */
import type { Bytes } from "../bytes.ts";
import { platformFailure } from "../platform_errors.ts";
import { mayFail } from "../flow/may_fail.ts";
import type { Time } from "../flow/time.ts";
import { STREAM_PIECE_LIMIT } from "../limits.ts";

/** What a read of a file fills: whole pieces of a stream. */
const BUFFER = 4 * STREAM_PIECE_LIMIT;
/** Milliseconds for which the rest of a piece waits for what fills it. */
const REST_PATIENCE = 2;

const buffer = new Uint8Array(BUFFER);
let next: Promise<Bytes | null> | undefined;

/**
 * The next piece of stdin, null at its end; the same one until it is taken. A reading that has begun cannot be
 * given up, so whoever stops leaves it to whoever comes next. Rejects with what Deno throws.
 */
export function nextPiece(): Promise<Bytes | null> {
  next ??= Deno.stdin.read(buffer).then((count) =>
    count === null ? null : buffer.subarray(0, count)
  );
  return next;
}

/** The next piece is taken; it is valid until `nextPiece` is called again. */
export function pieceTaken(): void {
  next = undefined;
}

/** A reading of stdin. */
export interface Reading {
  /** Resolves when stdin has ended and all of it is taken. */
  readonly done: Promise<void>;
  /** Rejects when stdin cannot be read, or what was read cannot be taken; never resolves. */
  readonly failed: Promise<never>;
  /** Whether something was read that is not taken yet. */
  readonly isTaking: () => boolean;
  readonly stop: () => void;
}

/**
 * Hands each piece to `onPiece`, and waits for it; the piece is valid until then. With `time` the pieces are whole
 * ones of a stream, as long as more is coming: a pipe gives 64 KiB at a time, which would be one and a crumb.
 */
export function readStdin(
  onPiece: (piece: Bytes) => Promise<void>,
  onEnd: () => Promise<unknown>,
  time?: Pick<Time, "after">,
): Reading {
  let stopped = false;
  let taking = false;
  const failed = Promise.withResolvers<never>();
  mayFail(failed.promise);
  const rest = time && new Rest();
  const hand = async (piece: Bytes) => {
    taking = true;
    await onPiece(piece);
    taking = false;
  };
  const done = (async () => {
    try {
      for (;;) {
        const reading = nextPiece();
        if (rest && rest.length > 0 && !await comesSoon(reading, time) && !stopped) {
          await hand(rest.take());
        }
        const piece = await reading.catch((cause) => {
          throw platformFailure("Cannot read standard input", cause);
        });
        if (stopped) return;
        pieceTaken();
        if (piece === null) break;
        for (const part of rest ? rest.cut(piece) : [piece]) await hand(part);
        // Whoever asks is to know of what waits for more.
        if (rest) taking = rest.length > 0;
      }
      if (rest && rest.length > 0) await hand(rest.take());
      await onEnd();
    } catch (error) {
      if (!stopped) failed.reject(error);
      throw error;
    }
  })();
  // Whoever waits for it also waits for `failed`.
  mayFail(done);
  return {
    done,
    failed: failed.promise,
    isTaking: () => taking,
    stop: () => void (stopped = true),
  };
}

/** Whether something, the end or a failure included, comes while the rest of a piece may wait. */
function comesSoon(reading: Promise<unknown>, time: Pick<Time, "after">): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = time.after(REST_PATIENCE, () => resolve(false));
    const come = () => {
      cancel();
      resolve(true);
    };
    reading.then(come, come);
  });
}

/** What is left when whole pieces of a stream are cut off, and waits for what comes next. */
class Rest {
  readonly #buffer = new Uint8Array(STREAM_PIECE_LIMIT);
  length = 0;

  /** Whole pieces, one or more at a time, each valid until the next is asked for; keeps the rest. */
  *cut(bytes: Bytes): Generator<Bytes, void, void> {
    let from = 0;
    if (this.length > 0) {
      from = this.#fill(bytes);
      if (this.length < STREAM_PIECE_LIMIT) return;
      yield this.take();
    }
    const whole = bytes.length - (bytes.length - from) % STREAM_PIECE_LIMIT;
    if (whole > from) yield bytes.subarray(from, whole);
    this.#fill(bytes.subarray(whole));
  }

  /** All that waits, valid until more is cut. */
  take(): Bytes {
    const taken = this.#buffer.subarray(0, this.length);
    this.length = 0;
    return taken;
  }

  #fill(bytes: Bytes): number {
    const count = Math.min(STREAM_PIECE_LIMIT - this.length, bytes.length);
    this.#buffer.set(bytes.subarray(0, count), this.length);
    this.length += count;
    return count;
  }
}
