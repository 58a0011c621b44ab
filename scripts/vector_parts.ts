/** What the scripts that write test vectors share. */
import { concat } from "@std/bytes/concat";
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { createHash } from "node:crypto";
import type { Bytes } from "../lib/bytes.ts";
import { type Direction, RecordCipher } from "../lib/crypto/record_cipher.ts";
import type { Suite } from "../lib/crypto/suite.ts";
import { frameHeader, FrameKind } from "../lib/wire/frame.ts";
import { encodeItems, type Item } from "../lib/wire/records.ts";
import { openRecord, recordKey } from "../tests/handshake/reference.ts";
import { identityOf, type VectorRecord, type VectorSide } from "../tests/handshake/vector_file.ts";

/** Bytes with nothing up the sleeve: the start of SHA-512("cifra/1 vector " ‖ label). */
export function fixed(label: string, length = 32): Bytes {
  const digest = createHash("sha512").update(`cifra/1 vector ${label}`).digest();
  return new Uint8Array(digest.subarray(0, length));
}

/** One record: who seals it, under which secret, as which of its key, and what is inside. */
export interface RecordToSeal {
  readonly suite: Suite;
  readonly direction: Direction;
  readonly sender: VectorSide;
  /** The traffic secret, in hexadecimal. */
  readonly traffic: string;
  readonly counter: number;
  readonly items: readonly Item[];
  /** The frame as it was: kept while it opens to the same, since `classic` draws randomness. */
  readonly captured?: string | undefined;
}

/** Seals a record. Throws unless the document's formulas open it. */
export async function sealRecord(record: RecordToSeal): Promise<VectorRecord> {
  const { suite, direction, sender, traffic, counter, items, captured } = record;
  const inner = encodeItems(items);
  const open = (frame: string) =>
    openRecord({
      suite: suite.name,
      direction,
      keys: recordKey(suite.name, traffic),
      counter,
      signer: sender.identity.bundle,
    }, frame);
  if (captured && opensTo(encodeHex(inner), () => open(captured))) {
    return { inner: encodeHex(inner), frame: captured };
  }
  const { sign } = await identityOf(sender);
  const signer = { sign, verify: () => Promise.resolve(false) };
  const cipher = new RecordCipher(suite, direction, signer, decodeHex(traffic));
  await cipher.prepare();
  cipher.testOnlySetCounter(counter);
  const header = frameHeader(FrameKind.record, cipher.sealedLength(inner.length));
  const frame = encodeHex(concat([header, await cipher.seal(header, inner)]));
  if (open(frame) !== encodeHex(inner)) throw new Error("A record does not open");
  return { inner: encodeHex(inner), frame };
}

function opensTo(inner: string, open: () => string): boolean {
  try {
    return open() === inner;
  } catch {
    return false;
  }
}
