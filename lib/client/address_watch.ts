/**
 * Notices that this machine is elsewhere, as in another Wi-Fi: a connection from an address that it has no more
 * is dead, and nobody says so.
 */
import { CifraError } from "../errors.ts";
import type { Ticker } from "../flow/ticker.ts";
import type { Network } from "../net/environment.ts";
import { addressScope } from "../wire/address.ts";

/** Told which addresses are gone, when some are gone or there are others. */
export type Moved = (gone: ReadonlySet<string>) => void;

/** Looks about once a second, for as long as anybody wants to know. */
export class AddressWatch {
  readonly #network: Pick<Network, "addresses">;
  readonly #ticker: Pick<Ticker, "add">;
  readonly #listeners = new Set<Moved>();
  #known: ReadonlySet<string> = new Set();
  #untick: (() => void) | undefined;

  constructor(network: Pick<Network, "addresses">, ticker: Pick<Ticker, "add">) {
    this.#network = network;
    this.#ticker = ticker;
  }

  /** Tells `listener` until the returned function is called. */
  add(listener: Moved): () => void {
    this.#listeners.add(listener);
    if (!this.#untick) {
      this.#known = this.#look();
      this.#untick = this.#ticker.add(() => this.#compare());
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#untick?.();
      this.#untick = undefined;
    };
  }

  #compare(): void {
    const before = this.#known, now = this.#known = this.#look();
    const gone = before.difference(now);
    if (gone.size === 0 && now.size === before.size) return;
    for (const listener of [...this.#listeners]) listener(gone);
  }

  /** Those by which others can be reached. */
  #look(): ReadonlySet<string> {
    const reaches = (address: string) => ["private", "public"].includes(addressScope(address));
    return new Set(this.#network.addresses().filter(reaches));
  }
}

/** Why a connection is over that began at an address which this machine has no more. */
export function movedAway(): CifraError {
  return new CifraError("cut", "This machine has another address now");
}
