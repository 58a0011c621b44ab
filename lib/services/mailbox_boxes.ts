/** Boxes and their prekeys (PROTOCOL.md 3.12): rules within a transaction. */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import type { Box, MailboxReader, MailboxWriter, Prekey } from "../store/mailbox_store.ts";
import { BOX_LIFETIME, BOXES_LIMIT, STOCK_LIMIT } from "./mailbox_limits.ts";
import { type BoxStanding, BoxState, type Published } from "./mailbox_terms.ts";

/** A box that was opened. */
export interface Opened {
  readonly key: number;
  /** Whether another one was the present one. */
  readonly wasOther: boolean;
}

/** Opens a box of somebody's; undefined when there is no room for it. */
export function openBox(
  writer: MailboxWriter,
  owner: string,
  name: Bytes,
  passKey: Bytes,
  now: number,
): Opened | undefined {
  const boxes = writer.boxes(owner);
  const known = boxNamed(boxes, name);
  if (!known && writer.room("keys") === 0) return undefined;
  // The one that was not used for longest.
  if (!known && boxes.length >= BOXES_LIMIT) writer.remove(boxes.at(-1)!.key);
  const present = boxes.find(({ isPresent }) => isPresent);
  const wasOther = present !== undefined && present.key !== known?.key;
  return { key: writer.open(owner, name, passKey, now), wasOther };
}

/**
 * Keeps prekeys for a box of somebody's; returns its key, or why that cannot be. Those whose numbers are not above
 * those that were published before are passed over, and one-time ones also where there is no room for them.
 */
export function publishIn(
  writer: MailboxWriter,
  owner: string,
  { box: name, anew, signed, once }: Published,
  now: number,
): number | "no such box" | "too many" {
  const box = boxNamed(writer.boxes(owner), name);
  if (!box) return "no such box";
  const fresh = growing(box.highest, once);
  const kept = anew ? 0 : writer.stock(box.key).count;
  if (kept + fresh.length > STOCK_LIMIT) return "too many";
  if (anew) writer.dropOnce(box.key);
  if (signed && signed.number > signedNumber(box)) writer.sign(box.key, signed, now);
  const size = fresh.reduce((sum, { bytes }) => sum + bytes.length, 0);
  if (size <= writer.room("keys")) writer.addOnce(box.key, fresh);
  return box.key;
}

/** How a box of somebody's stands. */
export function standingOf(
  reader: MailboxReader,
  owner: string,
  key: number | undefined,
  now: number,
): BoxStanding {
  const boxes = reader.boxes(owner);
  const box = boxes.find((box) => box.key === key);
  if (!box) {
    const nothing = { signed: 0n, next: 0n, highest: 0n, stock: 0, waiting: 0, elsewhere: 0 };
    return { state: BoxState.none, ...nothing, now };
  }
  const { count: stock, next } = reader.stock(box.key);
  const waiting = reader.waitingIn(box.key);
  return {
    state: isOutdone(box, boxes) ? BoxState.anotherWas : BoxState.open,
    signed: signedNumber(box),
    next,
    highest: box.highest,
    stock,
    waiting,
    elsewhere: reader.waitingFor(owner).all.count - waiting,
    now,
  };
}

/** The present one of somebody's boxes, if its signed prekey may be handed out. */
export function presentBox(
  boxes: readonly Box[],
  now: number,
): (Box & { readonly signed: Prekey }) | undefined {
  const box = boxes.find(({ isPresent }) => isPresent);
  if (!box?.signed || now - box.signed.published > BOX_LIFETIME) return undefined;
  return isOutdone(box, boxes) ? undefined : { ...box, signed: box.signed };
}

/** The box of this name. */
export function boxNamed(boxes: readonly Box[], name: Bytes): Box | undefined {
  const wanted = encodeHex(name);
  return boxes.find((box) => encodeHex(box.name) === wanted);
}

/** Whether senders know a higher number of a signed prekey: they would refuse the one of this box. */
function isOutdone(box: Box, boxes: readonly Box[]): boolean {
  return boxes.some((other) => signedNumber(other) > signedNumber(box));
}

function signedNumber({ signed }: Box): bigint {
  return signed?.number ?? 0n;
}

/** Those whose numbers are above `highest`, and grow. */
function growing(highest: bigint, prekeys: readonly Prekey[]): readonly Prekey[] {
  const fresh: Prekey[] = [];
  for (const prekey of prekeys) {
    if (prekey.number > (fresh.at(-1)?.number ?? highest)) fresh.push(prekey);
  }
  return fresh;
}
