/** A stock of ephemeral keys for the suites whose keys are too slow to make for each handshake. */
import type { Kem, KemKeyPair } from "../crypto/kem.ts";
import { CifraError } from "../errors.ts";
import { mayFail } from "../flow/may_fail.ts";
import { EPHEMERAL_KEY_LIFETIME, EPHEMERAL_KEY_POOL, EPHEMERAL_KEY_USES } from "../limits.ts";

/**
 * Gives a fresh key while the stock lasts, otherwise the present one again, as often and as long as
 * PROTOCOL.md 3.7 allows. One key is made at a time, so asking fast costs one processor and not all; the
 * first one is made when the first handshake asks.
 */
export class EphemeralKeyStock {
  readonly #kem: Kem;
  readonly #clock: () => number;
  readonly #stock: KemKeyPair[] = [];
  #making: Promise<void> | undefined;
  #closed = false;
  #current: { readonly key: KemKeyPair; readonly since: number; uses: number } | undefined;

  constructor(kem: Kem, clock: () => number) {
    this.#kem = kem;
    this.#clock = clock;
  }

  /** An ephemeral key for one handshake. Throws `shutdown` when no more are made, and why one cannot be made. */
  async take(): Promise<KemKeyPair> {
    for (;;) {
      const fresh = this.#stock.shift();
      if (fresh) this.#current = { key: fresh, since: this.#clock(), uses: 0 };
      this.#restock();
      const current = this.#current;
      if (
        current && current.uses < EPHEMERAL_KEY_USES &&
        this.#clock() - current.since < EPHEMERAL_KEY_LIFETIME
      ) {
        current.uses++;
        return current.key;
      }
      if (!this.#making) throw new CifraError("shutdown", "No more ephemeral keys are made");
      await this.#making;
    }
  }

  /** Makes no more keys. */
  close(): void {
    this.#closed = true;
  }

  #restock(): void {
    if (this.#closed || this.#making || this.#stock.length >= EPHEMERAL_KEY_POOL) return;
    // A failure is told to those who wait in `take`; the next handshake that asks tries again.
    this.#making = mayFail(
      this.#kem.generate().then((key) => {
        this.#stock.push(key);
        this.#making = undefined;
        this.#restock();
      }, (error) => {
        this.#making = undefined;
        throw error;
      }),
    );
  }
}
