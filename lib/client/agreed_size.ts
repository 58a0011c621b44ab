/** How large a transfer may become while it is sent: whoever accepted it accepted a size (PROTOCOL.md 3.15, A29). */
import { FILE_GROWTH, FILE_GROWTH_PART, FILE_SIZE_LIMIT } from "../limits.ts";

/** The most bytes that what was offered with so many may have, as files grow while they are sent. */
export function mostOf(offered: number): number {
  const most = offered + Math.floor(offered / FILE_GROWTH_PART) + FILE_GROWTH;
  return Math.min(most, FILE_SIZE_LIMIT);
}

/** The sizes of all entries, as they were told last. */
export class AgreedSize {
  readonly #sizes: number[];
  readonly #most: number;
  #sum: number;

  /** `most`: what their sum may be, in bytes. */
  constructor(entries: readonly { readonly size: number | undefined }[], most: number) {
    this.#sizes = entries.map(({ size = 0 }) => size);
    this.#sum = this.#sizes.reduce((sum, size) => sum + size, 0);
    this.#most = most;
  }

  /** Whether this entry may have so many bytes; then it has. What is skipped keeps its place. */
  takes(entry: number, size: number): boolean {
    const sum = this.#sum - this.#sizes[entry - 1]! + size;
    // What becomes smaller is none too many, whatever the sum was before.
    if (sum > this.#most && sum > this.#sum) return false;
    this.#sizes[entry - 1] = size;
    this.#sum = sum;
    return true;
  }
}
