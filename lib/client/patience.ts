/**
 * How long trouble with a server is waited out, for whoever starts as for whoever has lost it: after each failure
 * a pause, until it has lasted too long. What the server says of when to come again goes before our own pauses.
 */
import type { Random } from "../crypto/platform.ts";
import { CifraError, isLastWord } from "../errors.ts";
import { Backoff } from "../flow/backoff.ts";
import { delay } from "../flow/delay.ts";
import { RETRY_SPREAD, SERVER_BACKOFF_MAXIMUM } from "../limits.ts";
import type { Environment } from "../net/environment.ts";

/** What patience has with a server. */
export interface PatienceOptions {
  /** Our own pauses. */
  readonly backoff: Backoff;
  readonly random: Random;
  /** Milliseconds of trouble without a break after which it is given up: 0 at the first; undefined never. */
  readonly giveUpAfter: number | undefined;
}

/** Trouble with one server. */
export class Patience {
  readonly #options: PatienceOptions;
  #since: number | undefined;

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  /**
   * There was trouble at `now`, by a clock that never jumps: milliseconds until the next try. Throws `error` when
   * it has lasted too long, or will have before the server can be asked again.
   */
  pause(error: CifraError, now: number): number {
    const { backoff, giveUpAfter = Infinity } = this.#options;
    const since = this.#since ??= now;
    const left = since + giveUpAfter - now;
    const earliest = toldPause(error);
    if (left <= 0 || earliest > left) throw error;
    return Math.min(earliest > 0 ? earliest + this.#spread(earliest) : backoff.next(), left);
  }

  /** It is over: the server has taken us, or nobody needs it. */
  over(): void {
    this.#since = undefined;
  }

  /** A crowd that is told one time comes one by one. */
  #spread(earliest: number): number {
    return this.#options.random(1)[0]! / 256 * Math.min(earliest, RETRY_SPREAD);
  }
}

/** After how many milliseconds whoever refused us wants to be asked again, and not before; 0 when it did not say. */
export function toldPause({ code, retryAfter = 0 }: CifraError): number {
  // Numbers that are behind are caught up with, not waited for.
  return code === "stale_registration" ? 0 : retryAfter * 1000;
}

/**
 * Does a job again and again while waiting can help, as `Home` comes back to its server; `onTrouble` is told each
 * time, with the milliseconds until the next try. Throws what no waiting helps against, trouble that has lasted
 * too long, and `interrupted`.
 */
export async function insist<T>(
  job: () => Promise<T>,
  { time, random }: Pick<Environment, "time" | "random">,
  { giveUpAfter, interrupted, onTrouble }: {
    readonly giveUpAfter: number | undefined;
    readonly interrupted: AbortSignal;
    readonly onTrouble: (error: CifraError, retryIn: number) => void;
  },
): Promise<T> {
  const backoff = new Backoff(random, SERVER_BACKOFF_MAXIMUM);
  const patience = new Patience({ backoff, random, giveUpAfter });
  for (;;) {
    try {
      return await job();
    } catch (error) {
      if (!(error instanceof CifraError) || isLastWord(error, false)) throw error;
      const retryIn = patience.pause(error, time.now());
      onTrouble(error, retryIn);
      await delay(time, retryIn, interrupted);
      if (interrupted.aborted) throw new CifraError("interrupted", "Interrupted");
    }
  }
}
