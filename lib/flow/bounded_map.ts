/** A map that never grows beyond a number of entries: what strangers send cannot fill the memory. */

/** Holds at most so many entries; for a new one, the one that was set or got least recently goes. */
export class BoundedMap<K, V> {
  readonly #limit: number;
  readonly #mayGo: (value: V) => boolean;
  /** In the order of last use. */
  readonly #entries = new Map<K, V>();

  /** An entry of which `mayGo` is false stays; only where all of them stay is the map larger. */
  constructor(limit: number, mayGo: (value: V) => boolean = () => true) {
    this.#limit = limit;
    this.#mayGo = mayGo;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The value of a key, which is thereby used. */
  get(key: K): V | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) this.#use(key, value);
    return value;
  }

  /** Sets a key; returns the key that went for it, when one did. */
  set(key: K, value: V): K | undefined {
    this.#use(key, value);
    if (this.#entries.size <= this.#limit) return undefined;
    for (const [oldest, its] of this.#entries) {
      if (oldest === key || !this.#mayGo(its)) continue;
      this.#entries.delete(oldest);
      return oldest;
    }
    return undefined;
  }

  delete(key: K): boolean {
    return this.#entries.delete(key);
  }

  /** Entries, the one least recently used first. */
  [Symbol.iterator](): Iterator<[K, V]> {
    return this.#entries[Symbol.iterator]();
  }

  /** A Map keeps the order of insertion: inserted again, the entry is the last to go. */
  #use(key: K, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
  }
}
