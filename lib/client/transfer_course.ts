/** One transfer on its way, in either direction. */
import { lineOf } from "../wire/line.ts";
import type { ManifestEntry } from "../wire/manifest.ts";
import type { TransferProgress } from "./transfer_events.ts";
import { Trouble } from "./trouble.ts";

/** Where a transfer is that is on its way, and what holds it up. */
export class TransferCourse {
  /** Of us, and of the other side. */
  readonly ours = new Trouble();
  readonly theirs = new Trouble();
  /** Entries of which it was told that they are left out: they may be wanted once more. */
  readonly leftOut = new Set<ManifestEntry>();
  #entries: readonly ManifestEntry[] = [];
  #entry = 0;
  #offset = 0;
  /** Of all entries before. */
  #before = 0;

  /** What it consists of, once that is known. */
  begin(entries: readonly ManifestEntry[]): void {
    this.#entries = entries;
    this.#entry = this.#before = this.#offset = 0;
  }

  /** All before this place is here, or sent. */
  moveTo(entry: number, offset: number): void {
    if (entry < this.#entry) this.#entry = this.#before = 0;
    for (; this.#entry < entry; this.#entry++) {
      this.#before += this.#entries[this.#entry - 1]?.size ?? 0;
    }
    this.#offset = offset;
  }

  /** How far it has come. */
  get progress(): TransferProgress {
    const offset = this.#offset;
    const entry = this.#entries[this.#entry - 1];
    return { bytes: this.#before + offset, entry: entry && lineOf(entry.name), offset };
  }
}
