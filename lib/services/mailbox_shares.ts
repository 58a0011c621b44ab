/** Who may leave how much for whom (PROTOCOL.md 4): the rules of a deposit, within its transaction. */
import { decodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { passOf } from "../crypto/mailbox_pass.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import {
  WAITING_FOR_ONE,
  WAITING_FOR_ONE_BYTES,
  WAITING_FROM_STRANGERS,
  WAITING_FROM_STRANGERS_BYTES,
  WAITING_OF_PAIR,
  WAITING_OF_PAIR_BYTES,
  WAITING_OF_SENDER_BYTES,
  WAITING_OF_STRANGER,
  WAITING_OF_STRANGER_BYTES,
} from "../limits.ts";
import type { Box, Envelope, MailboxReader, MailboxWriter, Tally } from "../store/mailbox_store.ts";
import { DepositCode } from "../wire/mailbox_messages.ts";
import { boxNamed } from "./mailbox_boxes.ts";
import type { Request } from "./mailbox_terms.ts";

/** How much may wait. */
const OF_PAIR: Tally = { count: WAITING_OF_PAIR, bytes: WAITING_OF_PAIR_BYTES };
const OF_STRANGER: Tally = { count: WAITING_OF_STRANGER, bytes: WAITING_OF_STRANGER_BYTES };
const FOR_ONE: Tally = { count: WAITING_FOR_ONE, bytes: WAITING_FOR_ONE_BYTES };
const FROM_STRANGERS: Tally = {
  count: WAITING_FROM_STRANGERS,
  bytes: WAITING_FROM_STRANGERS_BYTES,
};
/** Stands for the pass key of a box that there is not. */
const NO_KEY = new Uint8Array(32);

/** A deposit that is stored, where, and what is gone for it. */
export interface Kept {
  readonly box: number;
  readonly place: number;
  readonly replaced: readonly Envelope[];
}

/**
 * Keeps an envelope of `sender` (a fingerprint) for `owner`, or says why not. `knows` tells whether the sender was
 * told of a box. Every owner is looked at alike, also one that there is not.
 */
export function keep(
  writer: MailboxWriter,
  sender: string,
  owner: string,
  { id, box: name, pass, replaces, envelope: body }: Request<"deposit">,
  now: number,
  knows: (box: number) => boolean,
): Kept | DepositCode {
  const boxes = writer.boxes(owner), waiting = writer.waitingFor(owner);
  const pair = writer.between(sender, owner);
  if (writer.envelope(sender, id)) return DepositCode.stored;
  const replaced = replacedBy(writer, sender, boxes, replaces);
  const size = body.length, freed = sizeOf(replaced);
  if (writer.leftBy(sender).bytes - freed + size > WAITING_OF_SENDER_BYTES) {
    return DepositCode.share;
  }
  if (size - freed > writer.room("envelopes")) return DepositCode.full;
  const box = boxNamed(boxes, name);
  const passed = isPass(box, sender, pass);
  if (!box) return DepositCode.noRoom;
  if (!box.isPresent) return passed || knows(box.key) ? DepositCode.moved : DepositCode.noRoom;
  if (!fits(without(pair, replaced), size, passed ? OF_PAIR : OF_STRANGER)) {
    return DepositCode.shareWithThem;
  }
  const left = {
    all: without(waiting.all, replaced),
    withoutPass: without(waiting.withoutPass, replaced.filter((envelope) => !envelope.passed)),
  };
  if (!hasRoom(left, size, passed)) return DepositCode.noRoom;
  for (const { place, id } of replaced) writer.take(place, id);
  const place = replaced.length > 0 ? Math.min(...replaced.map(({ place }) => place)) : undefined;
  const envelope = { id, sender, box: box.key, passed, since: now, body };
  return { box: box.key, place: writer.insert(envelope, place), replaced };
}

/** Takes what a sender (a fingerprint) has left under these ids; returns what is gone. */
export function takeBack(
  writer: MailboxWriter,
  sender: string,
  ids: readonly Bytes[],
): readonly Envelope[] {
  const gone: Envelope[] = [];
  for (const id of ids) {
    const envelope = writer.envelope(sender, id);
    if (!envelope) continue;
    writer.take(envelope.place, id);
    gone.push(envelope);
  }
  return gone;
}

/** Whether an envelope of this size finds room with a person of whom so much waits. */
export function hasRoom(
  { all, withoutPass }: ReturnType<MailboxReader["waitingFor"]>,
  size: number,
  passed: boolean,
): boolean {
  return fits(all, size, FOR_ONE) &&
    (passed || fits(withoutPass, size, FROM_STRANGERS));
}

/** Whether somebody (a fingerprint) has been written to by the owner of a box. */
export function isPass(box: Box | undefined, fingerprint: string, pass: Bytes): boolean {
  const expected = passOf(box?.passKey ?? NO_KEY, decodeHex(fingerprint));
  return timingSafeEqual(expected, pass) && box !== undefined;
}

/** What a sender has left in one of these boxes under these ids, each once. */
function replacedBy(
  reader: MailboxReader,
  sender: string,
  boxes: readonly Box[],
  ids: readonly Bytes[],
): readonly Envelope[] {
  const found = new Map<number, Envelope>();
  for (const id of ids) {
    const envelope = reader.envelope(sender, id);
    if (envelope && boxes.some(({ key }) => key === envelope.box)) {
      found.set(envelope.place, envelope);
    }
  }
  return [...found.values()];
}

function sizeOf(envelopes: readonly Envelope[]): number {
  return envelopes.reduce((sum, { size }) => sum + size, 0);
}

function without({ count, bytes }: Tally, envelopes: readonly Envelope[]): Tally {
  return { count: count - envelopes.length, bytes: bytes - sizeOf(envelopes) };
}

function fits({ count, bytes }: Tally, size: number, share: Tally): boolean {
  return count < share.count && bytes + size <= share.bytes;
}
