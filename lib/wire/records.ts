/** What stands inside a record: one or more items, then zero padding (PROTOCOL.md 3.5). An envelope has them too. */
import type { Bytes } from "../bytes.ts";
import {
  ITEM_HEADER_LENGTH,
  PADDING_MINIMUM,
  PADDING_STEP,
  RECORD_INNER_LIMIT,
} from "../limits.ts";
import { badFrame, oneOf, struct, u64 } from "./layout.ts";
import { CloseCode, ItemType } from "./numbers.ts";

export { CloseCode, ItemType };

const KNOWN_TYPES: ReadonlySet<number> = new Set(Object.values(ItemType));

/** One thing said inside a channel. */
export interface Item {
  /** What it is. */
  readonly type: ItemType;
  /** At most `ITEM_BODY_LIMIT` bytes. */
  readonly body: Bytes;
}

/** Bytes an item takes inside a record. */
export function itemLength(item: Item): number {
  return ITEM_HEADER_LENGTH + item.body.length;
}

/**
 * The padded length of `length` bytes: `smallest`, a power of two, and then twice as much each time up to 4 KiB, then
 * multiples of 4 KiB.
 */
export function paddedLength(length: number, smallest = PADDING_MINIMUM): number {
  if (length > PADDING_STEP) return Math.ceil(length / PADDING_STEP) * PADDING_STEP;
  let bucket = smallest;
  while (bucket < length) bucket *= 2;
  return bucket;
}

/**
 * The plaintext of a record: `u8 type | u32 length | body` for each item, then zeros. Stands in `scratch`
 * when it is given, so that a long stream does not allocate for every record.
 */
export function encodeItems(items: readonly Item[], scratch?: Bytes): Bytes {
  let length = 0;
  for (const item of items) length += itemLength(item);
  if (length > RECORD_INNER_LIMIT) throw new RangeError(`${length} bytes do not fit a record`);
  const padded = paddedLength(length);
  const inner = scratch ? scratch.subarray(0, padded).fill(0, length) : new Uint8Array(padded);
  writeItems(items, inner, 0);
  return inner;
}

/** Puts items one after the other into `inner`, the first at `offset`. */
export function writeItems(items: readonly Item[], inner: Bytes, offset: number): void {
  for (const { type, body } of items) {
    inner[offset] = type;
    inner[offset + 1] = body.length >>> 24;
    inner[offset + 2] = body.length >>> 16;
    inner[offset + 3] = body.length >>> 8;
    inner[offset + 4] = body.length;
    inner.set(body, offset + ITEM_HEADER_LENGTH);
    offset += ITEM_HEADER_LENGTH + body.length;
  }
}

/** The items of a record's plaintext, as views of it; throws `bad_frame` on any other encoding. */
export function decodeItems(inner: Bytes): Item[] {
  const items = readItems(inner, 0, PADDING_MINIMUM);
  if (items.length === 0) throw badFrame("a record is empty");
  return items;
}

/**
 * The items that stand in `inner` from `offset` on, as views of it, up to its padding; none are possible. Throws
 * `bad_frame` on an unknown type, and when `inner` is not the smallest bucket that holds them, `smallest` or above.
 */
export function readItems(inner: Bytes, offset: number, smallest: number): Item[] {
  const view = new DataView(inner.buffer, inner.byteOffset, inner.byteLength);
  const items: Item[] = [];
  while (offset < inner.length && inner[offset] !== 0) {
    const type = inner[offset]!;
    if (!KNOWN_TYPES.has(type)) throw badFrame(`unknown item ${type}`);
    const start = offset + ITEM_HEADER_LENGTH;
    if (start > inner.length) throw badFrame("an item ends beyond its record");
    const end = start + view.getUint32(offset + 1);
    if (end > inner.length) throw badFrame("an item ends beyond its record");
    items.push({ type: type as ItemType, body: inner.subarray(start, end) });
    offset = end;
  }
  if (inner.length !== paddedLength(offset, smallest)) throw badFrame("wrong padding");
  for (let i = offset; i < inner.length; i++) {
    if (inner[i] !== 0) throw badFrame("wrong padding");
  }
  return items;
}

/** The last words of a channel; the counters tell the other side whether anything is missing. */
export const closeLayout = struct({
  code: oneOf(CloseCode, "close code"),
  lastSent: u64,
  lastStored: u64,
});
