/** By what an offer names its manifest (PROTOCOL.md 3.15). */
import type { Bytes } from "../bytes.ts";
import { sha256 } from "../crypto/platform.ts";

/** SHA-256 of all these bytes. */
export function digestOf(bytes: Bytes): Bytes {
  const hash = sha256();
  hash.update(bytes);
  return hash.digest();
}
