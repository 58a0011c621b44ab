/** A map that never grows beyond a number of entries: what strangers send cannot fill the memory. */

/**
 * An entry, in a list by last use. The order of a Map would do as well, but a key that is deleted and inserted
 * again leaves a hole there, which every later use of that key passes until the Map is made anew: with ten
 * thousands of entries, one key that is used again and again costs a hundred times as much as others.
 */
interface Entry<K, V> {
  readonly key: K;
  value: V;
  older: Entry<K, V> | undefined;
  newer: Entry<K, V> | undefined;
}

/** Holds at most so many entries; for a new one, the one that was set or got least recently goes. */
export class BoundedMap<K, V> {
  readonly #limit: number;
  readonly #mayGo: (value: V) => boolean;
  readonly #entries = new Map<K, Entry<K, V>>();
  #oldest: Entry<K, V> | undefined;
  #newest: Entry<K, V> | undefined;

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
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#unlink(entry);
    this.#append(entry);
    return entry.value;
  }

  /** Sets a key; returns the key that went for it, when one did. */
  set(key: K, value: V): K | undefined {
    let entry = this.#entries.get(key);
    if (entry) {
      entry.value = value;
      this.#unlink(entry);
    } else {
      entry = { key, value, older: undefined, newer: undefined };
      this.#entries.set(key, entry);
    }
    this.#append(entry);
    if (this.#entries.size <= this.#limit) return undefined;
    for (let old = this.#oldest; old && old !== entry; old = old.newer) {
      if (!this.#mayGo(old.value)) continue;
      this.delete(old.key);
      return old.key;
    }
    return undefined;
  }

  delete(key: K): boolean {
    const entry = this.#entries.get(key);
    if (!entry) return false;
    this.#unlink(entry);
    return this.#entries.delete(key);
  }

  /** Entries, the one least recently used first. */
  *[Symbol.iterator](): Iterator<[K, V]> {
    for (let entry = this.#oldest; entry; entry = entry.newer) yield [entry.key, entry.value];
  }

  /** It is the one used last. */
  #append(entry: Entry<K, V>): void {
    entry.older = this.#newest;
    if (this.#newest) this.#newest.newer = entry;
    else this.#oldest = entry;
    this.#newest = entry;
  }

  #unlink(entry: Entry<K, V>): void {
    const { older, newer } = entry;
    if (older) older.newer = newer;
    else this.#oldest = newer;
    if (newer) newer.older = older;
    else this.#newest = older;
    entry.older = entry.newer = undefined;
  }
}
