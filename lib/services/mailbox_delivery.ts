/**
 * What one connection is handed out of a box, in which order (PROTOCOL.md 3.12): in each round the oldest envelope of
 * each sender, each once, and no more at a time than is settled. Rules over a store.
 */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { HANDED_OUT_BYTES, HANDED_OUT_LIMIT } from "../limits.ts";
import type { Envelope, MailboxReader } from "../store/mailbox_store.ts";

/** The envelopes of one sender that were not handed out yet: those after a place, as far as they were not before. */
interface Lane {
  readonly sender: string;
  after: number;
}

/** A connection that has a box alone. */
export class MailboxDelivery {
  readonly box: number;
  /** The fingerprint of the box's owner. */
  readonly owner: string;
  /** Whether the owner is to be told how the box stands. */
  isBoxDue = false;
  /** Whether anything was handed out since the owner was told last. */
  hasHandedOut = false;
  readonly #store: MailboxReader;
  /** The sender whose turn it is in front. */
  readonly #lanes: Lane[];
  /** By id, what was handed out and is not settled. */
  readonly #inHand = new Map<string, Envelope>();
  #bytesInHand = 0;
  /** By place, the id of what was handed out and waits still: it is not offered again. */
  readonly #offered = new Map<number, string>();

  constructor(store: MailboxReader, box: number, owner: string) {
    this.#store = store;
    this.box = box;
    this.owner = owner;
    this.#lanes = store.senders(box).map((sender) => ({ sender, after: 0 }));
  }

  /** Envelopes that it remembers: no more than wait in the box, and in its hand. */
  get size(): number {
    return new Set([...this.#offered.values(), ...this.#inHand.keys()]).size;
  }

  /** Something has come to the box, at a place that may lie before what was handed out. */
  arrived(sender: string, place: number): void {
    const lane = this.#lanes.find((lane) => lane.sender === sender);
    if (lane) lane.after = Math.min(lane.after, place - 1);
    else this.#lanes.push({ sender, after: place - 1 });
  }

  /** What was at a place is gone. */
  left(place: number, id: Bytes): void {
    if (this.#offered.get(place) === encodeHex(id)) this.#offered.delete(place);
  }

  /** Forgets what is gone, when much went at once. */
  refresh(): void {
    for (const [place, id] of this.#offered) {
      const envelope = this.#store.at(place);
      if (!envelope || encodeHex(envelope.id) !== id) this.#offered.delete(place);
    }
  }

  /**
   * Hands out the next envelope: undefined when there is none, `"full"` when something has to be settled first. Those
   * of senders whom `isKnown` does not know are passed over.
   */
  next(isKnown: (sender: string) => boolean): Envelope | "full" | undefined {
    for (let lane = this.#lanes[0]; lane; lane = this.#lanes[0]) {
      const envelope = isKnown(lane.sender) ? this.#nextOf(lane) : undefined;
      if (!envelope) {
        this.#lanes.shift();
        continue;
      }
      const id = encodeHex(envelope.id);
      const isFull = this.#inHand.size >= HANDED_OUT_LIMIT ||
        this.#bytesInHand + envelope.size > HANDED_OUT_BYTES;
      // Two senders may have chosen the same id: nobody could tell which of them is settled.
      if (isFull || this.#inHand.has(id)) return "full";
      lane.after = envelope.place;
      this.#lanes.push(this.#lanes.shift()!);
      this.#inHand.set(id, envelope);
      this.#bytesInHand += envelope.size;
      this.#offered.set(envelope.place, id);
      this.hasHandedOut = true;
      return envelope;
    }
    return undefined;
  }

  /** Takes something out of the hand of the connection; undefined when it is not there. */
  settle(id: Bytes): Envelope | undefined {
    const key = encodeHex(id);
    const envelope = this.#inHand.get(key);
    if (!envelope) return undefined;
    this.#inHand.delete(key);
    this.#bytesInHand -= envelope.size;
    return envelope;
  }

  #nextOf(lane: Lane): Envelope | undefined {
    for (;;) {
      const envelope = this.#store.next(this.box, lane.sender, lane.after);
      if (!envelope || this.#offered.get(envelope.place) !== encodeHex(envelope.id)) {
        return envelope;
      }
      lane.after = envelope.place;
    }
  }
}
