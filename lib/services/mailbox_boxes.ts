/** Boxes and their prekeys (PROTOCOL.md 3.12): rules within a transaction. */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { BOX_LIFETIME, BOXES_OF_ONE, ONE_TIME_PREKEYS } from "../limits.ts";
import type { Box, MailboxReader, MailboxWriter, OpenedBox } from "../store/mailbox_store.ts";
import { BoxState, type PublishedPrekey } from "../wire/mailbox_messages.ts";
import type { Request, Response } from "./mailbox_terms.ts";

/** Bytes of a prekey. */
const PREKEY_LENGTH = 1288;

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
  box: OpenedBox,
  now: number,
): Opened | undefined {
  const boxes = writer.boxes(owner);
  const known = boxNamed(boxes, box.name);
  if (!known && writer.room("keys") === 0) return undefined;
  // The one that was not used for longest.
  if (!known && boxes.length >= BOXES_OF_ONE) writer.remove(boxes.at(-1)!.key);
  const present = boxes.find(({ isPresent }) => isPresent);
  const wasOther = present !== undefined && present.key !== known?.key;
  return { key: writer.open(owner, box, now), wasOther };
}

/**
 * Keeps prekeys for a box of somebody's; returns its key, or why that cannot be. Those whose numbers are not above
 * those that were published before are passed over, and one-time ones also where there is no room for them.
 */
export function publishIn(
  writer: MailboxWriter,
  owner: string,
  { box: name, anew, signed: [signed], once }: Request<"publish">,
  now: number,
): number | "no such box" | "too many" {
  const box = boxNamed(writer.boxes(owner), name);
  if (!box) return "no such box";
  const fresh = growing(box.highest, once);
  const kept = anew === 1 ? 0 : writer.stock(box.key).count;
  if (kept + fresh.length > ONE_TIME_PREKEYS) return "too many";
  if (anew === 1) writer.dropOnce(box.key);
  if (signed && signed.number > signedNumber(box)) writer.sign(box.key, signed, now);
  if (fresh.length * PREKEY_LENGTH <= writer.room("keys")) writer.addOnce(box.key, fresh);
  return box.key;
}

/** How a box of somebody's stands. */
export function standingOf(
  reader: MailboxReader,
  owner: string,
  key: number | undefined,
  now: number,
): Response<"box"> {
  const boxes = reader.boxes(owner);
  const box = boxes.find((box) => box.key === key);
  if (!box) {
    const nothing = { signed: 0n, next: 0n, highest: 0n, stock: 0, waiting: 0, elsewhere: 0 };
    return { type: "box", state: BoxState.none, ...nothing, now: BigInt(now) };
  }
  const { count: stock, next } = reader.stock(box.key);
  const waiting = reader.waitingIn(box.key);
  return {
    type: "box",
    state: isOutdone(box, boxes) ? BoxState.moved : BoxState.open,
    signed: signedNumber(box),
    next,
    highest: box.highest,
    stock,
    waiting,
    elsewhere: reader.waitingFor(owner).all.count - waiting,
    now: BigInt(now),
  };
}

/** The present one of somebody's boxes, if its signed prekey may be handed out. */
export function presentBox(
  boxes: readonly Box[],
  now: number,
): (Box & { readonly signed: PublishedPrekey }) | undefined {
  const box = boxes.find(({ isPresent }) => isPresent);
  if (!box?.signed || now - box.published > BOX_LIFETIME) return undefined;
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
function growing(highest: bigint, prekeys: readonly PublishedPrekey[]): readonly PublishedPrekey[] {
  const fresh: PublishedPrekey[] = [];
  for (const prekey of prekeys) {
    if (prekey.number > (fresh.at(-1)?.number ?? highest)) fresh.push(prekey);
  }
  return fresh;
}
