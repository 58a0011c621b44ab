/** Reading standard input, piece by piece, no faster than it is taken. */
import type { Bytes } from "../bytes.ts";
import { platformFailure } from "../platform_errors.ts";
import { mayFail } from "../flow/may_fail.ts";

const BUFFER = 256 * 1024;

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

/** Hands each piece to `onPiece`, and waits for it; the piece is valid until then. */
export function readStdin(
  onPiece: (piece: Bytes) => Promise<void>,
  onEnd: () => Promise<unknown>,
): Reading {
  let stopped = false;
  let taking = false;
  const failed = Promise.withResolvers<never>();
  mayFail(failed.promise);
  const done = (async () => {
    try {
      for (;;) {
        const piece = await nextPiece().catch((cause) => {
          throw platformFailure("Cannot read standard input", cause);
        });
        if (stopped) return;
        pieceTaken();
        if (piece === null) break;
        taking = true;
        await onPiece(piece);
        taking = false;
      }
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
