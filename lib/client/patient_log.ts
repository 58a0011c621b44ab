/**
 * Puts what is written into our log, in order: on a full disk it waits in memory, and is kept when there is
 * room, so that nobody has to write it twice.
 */
import { CifraError } from "../errors.ts";
import type { SharedPause } from "../flow/shared_pause.ts";
import { CONVERSATION_WINDOW } from "../limits.ts";
import type { TransferStep } from "../store/transfer_store.ts";
import type { NewMessage, NewPiece } from "../wire/peer_messages.ts";
import type { Outgoing } from "./outgoing.ts";

interface Written {
  readonly message: NewMessage | NewPiece;
  /** Of a transfer, about which the message is. */
  readonly step: TransferStep | undefined;
  readonly kept: PromiseWithResolvers<bigint>;
}

/** The way into a log. */
export class PatientLog {
  readonly #log: Pick<Outgoing, "append">;
  readonly #pause: SharedPause;
  readonly #onTrouble: () => void;
  readonly #leaving = new AbortController();
  #written: Written[] = [];
  #bytes = 0;
  #keeping: Promise<void> | undefined;
  #trouble: CifraError | undefined;

  /** `onTrouble` is called when `trouble` has changed. */
  constructor(log: Pick<Outgoing, "append">, pause: SharedPause, onTrouble: () => void) {
    this.#log = log;
    this.#pause = pause;
    this.#onTrouble = onTrouble;
  }

  /** Why what was written is not kept yet: `local`. */
  get trouble(): CifraError | undefined {
    return this.#trouble;
  }

  /** How many wait, when they cannot be kept at the moment. */
  get waiting(): number {
    return this.#trouble ? this.#written.length : 0;
  }

  /**
   * Resolves to the number of the message when it is kept. Throws `local` when too much waits already, and when it
   * is not kept when `stop` was called.
   */
  append(message: NewMessage | NewPiece, step?: TransferStep): Promise<bigint> {
    if (this.#trouble && this.#bytes > CONVERSATION_WINDOW) return Promise.reject(this.#trouble);
    const kept = Promise.withResolvers<bigint>();
    this.#written.push({ message, step, kept });
    this.#bytes += message.content.length;
    this.#keeping ??= this.#keepAll();
    return kept.promise;
  }

  /** Waits for nothing any more: what cannot be kept now is refused. Resolves when that is done. */
  async stop(): Promise<void> {
    this.#leaving.abort();
    await this.#keeping;
  }

  async #keepAll(): Promise<void> {
    while (this.#written.length > 0) {
      // Asked for in one go, they share a commit.
      const batch = [...this.#written];
      const asked = batch.map(({ message, step }) => this.#log.append(message, step));
      const results = await Promise.allSettled(asked);
      const failed = results.findIndex(isRefusal);
      // What follows a message that is not kept must not be kept before it.
      const done = failed < 0 ? results.length : failed;
      this.#written = this.#written.slice(done);
      for (const [i, { message, kept }] of batch.slice(0, done).entries()) {
        this.#bytes -= message.content.length;
        const result = results[i]!;
        if (result.status === "fulfilled") kept.resolve(result.value);
        else kept.reject(result.reason);
      }
      const refusal = results[done];
      this.#setTrouble(refusal?.status === "rejected" ? refusal.reason : undefined);
      if (!this.#trouble) continue;
      if (this.#leaving.signal.aborted) this.#refuseAll(this.#trouble);
      else await this.#pause.wait(this.#leaving.signal);
    }
    this.#keeping = undefined;
  }

  #refuseAll(error: CifraError): void {
    for (const { kept } of this.#written.splice(0)) kept.reject(error);
    this.#bytes = 0;
  }

  #setTrouble(error: CifraError | undefined): void {
    const isNews = (error === undefined) !== (this.#trouble === undefined);
    this.#trouble = error;
    if (isNews) this.#onTrouble();
  }
}

function isRefusal(result: PromiseSettledResult<bigint>): boolean {
  return result.status === "rejected" && result.reason instanceof CifraError &&
    result.reason.code === "local";
}
