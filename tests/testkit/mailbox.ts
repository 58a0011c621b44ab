/** What tests of the mailbox share. */
import type { Bytes } from "../../lib/bytes.ts";

/** `bytes` with one bit changed, counted from the lowest of the first byte. */
export function flipped(bytes: Bytes, bit: number): Bytes {
  const changed = bytes.slice();
  changed[bit >> 3]! ^= 1 << (bit & 7);
  return changed;
}
