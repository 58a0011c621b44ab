/** By what an offer names its manifest (PROTOCOL.md 3.15), and by what a disk tells one transfer from another. */
import { encodeHex } from "@std/encoding/hex";
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { sha256 } from "../crypto/platform.ts";
import type { ConversationKey } from "../store/conversation_key.ts";
import { ID_LENGTH } from "../wire/peer_messages.ts";

/** SHA-256 of all these bytes. */
export function digestOf(bytes: Bytes): Bytes {
  const hash = sha256();
  hash.update(bytes);
  return hash.digest();
}

/**
 * Names the folder in which a transfer is put together, 16 bytes. The other side chooses the id, and may choose one that
 * another transfer has, of somebody else's or in another suite.
 */
export function stagingId({ peer, suite }: ConversationKey, id: Bytes): Bytes {
  const whole = JSON.stringify([peer, suite, encodeHex(id)]);
  return digestOf(encodeUtf8(whole)).slice(0, ID_LENGTH);
}
