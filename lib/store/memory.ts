import type { HeldName, Store } from "./store.ts";

/** A store that lives and dies with its process. */
export class MemoryStore implements Store {
  readonly #byName = new Map<string, HeldName>();
  readonly #byFingerprint = new Map<string, HeldName>();
  #generation = 0;

  findByName(name: string): HeldName | undefined {
    return this.#byName.get(name);
  }

  findByFingerprint(fingerprint: string): HeldName | undefined {
    return this.#byFingerprint.get(fingerprint);
  }

  hold(held: HeldName): void {
    this.#byName.set(held.name, held);
    this.#byFingerprint.set(held.fingerprint, held);
  }

  release(name: string): void {
    const held = this.#byName.get(name);
    if (!held) return;
    this.#byName.delete(name);
    this.#byFingerprint.delete(held.fingerprint);
  }

  nextGeneration(floor: number): number {
    this.#generation = Math.max(this.#generation + 1, floor);
    return this.#generation;
  }
}
