/** The mailbox of a simulated server: it outlives its program, may be put back, and may lie. */
import type { Bytes } from "../../lib/bytes.ts";
import type { Envelope, NewEnvelope } from "../../lib/store/mailbox_store.ts";
import { MemoryMailbox, type MemoryMailboxOptions } from "../testkit/memory_mailbox.ts";
import type { Dice } from "./dice.ts";

/** Lets go of what it has taken, keeps what is to go, and hands out in another order, as long as `lies` says so. */
export class LyingMailbox extends MemoryMailbox {
  readonly #dice: Dice;
  readonly #lies: () => boolean;

  constructor(options: MemoryMailboxOptions, dice: Dice, lies: () => boolean) {
    super(options);
    this.#dice = dice;
    this.#lies = lies;
  }

  override insert(envelope: NewEnvelope, at?: number): number {
    const place = super.insert(envelope, at);
    if (this.#isLying(4)) super.take(place, envelope.id);
    return place;
  }

  override take(place: number, id: Bytes): void {
    if (!this.#isLying(3)) super.take(place, id);
  }

  override next(box: number, sender: string, after: number): Envelope | undefined {
    const next = super.next(box, sender, after);
    const later = next && this.#isLying(3) ? super.next(box, sender, next.place) : undefined;
    return later ?? next;
  }

  #isLying(once: number): boolean {
    return this.#lies() && this.#dice.oneIn(once);
  }
}
