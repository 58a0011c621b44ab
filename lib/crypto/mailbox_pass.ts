/** Passes: how a server knows whom the owner of a box has written to, and keeps no list (PROTOCOL.md 3.12). */
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { hmacSha512 } from "./platform.ts";

/** Length of a pass, in bytes. */
export const PASS_LENGTH = 16;

const PASS_LABEL = encodeUtf8("cifra/1 pass\0");

/** The pass of whoever has this fingerprint, for the box whose owner chose `passKey`, 32 random bytes. */
export function passOf(passKey: Bytes, fingerprint: Bytes): Bytes {
  return hmacSha512(passKey, PASS_LABEL, fingerprint).slice(0, PASS_LENGTH);
}
