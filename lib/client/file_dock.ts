/**
 * Where the content of files meets a conversation (PROTOCOL.md 3.15): a `Thread` has the words about transfers in its
 * logs, and hands items of content to a lane, without looking at them.
 */
import type { Bytes } from "../bytes.ts";
import type { Time } from "../flow/time.ts";
import { type FileWord, fileWordOf } from "../wire/file_messages.ts";
import type { KeptMessage } from "../wire/peer_messages.ts";
import { ItemType } from "../wire/records.ts";
import { outOfTurn } from "./incoming.ts";

/** What a channel that carries a conversation does for a lane. */
export interface FileCarrier {
  /** Whether `send` takes more: the channel is open, and this lane is on it. */
  readonly isOpen: boolean;
  /** Queues the body of an item of content, which must not change until it is sent; does nothing when not open. */
  send(body: Bytes): void;
  /** Resolves when there is room for more. */
  ready(): Promise<void>;
  /** Whether something is sent that the other side has not taken: silence is not waited out as long then. */
  noteUnderWay(isUnderWay: boolean): void;
  /** Ends the channel with an error that the other side is told by its code. */
  fail(error: unknown): void;
}

/** The content of all transfers between two people. */
export interface FileLane {
  /** Grows whenever content was taken, here or over there: the channel was not in vain. */
  readonly progress: bigint;
  /** A channel carries the conversation from now on, and both know of each other's logs. */
  attach(carrier: FileCarrier): void;
  /** The channel is gone, or about to say goodbye: what was under way counts as not sent. */
  detach(): void;
  /**
   * An item of content came, after all messages before it were stored or held. It keeps what it cannot deal with at
   * once, as far as there is credit for it: messages do not wait. Throws what ends the channel.
   */
  take(body: Bytes): void;
  /**
   * A word of the other side is on disk, by a channel or an envelope, and the transfer stands as it says; `id` is
   * that of its message. Told in order, whether anybody looks or not, and not again after a restart.
   */
  hear(id: Bytes, word: FileWord): void;
}

/** What a lane needs of a channel; a thread's `Carrier` is one. */
interface Channel {
  readonly isOpen: boolean;
  send(type: ItemType, body: Bytes): void;
  ready(): Promise<void>;
  fail(error: unknown): void;
}

/** Where the lane of a conversation, if it has one, is on one channel after the other. */
export class FileDock {
  readonly #lane: FileLane | undefined;
  readonly #time: Pick<Time, "now">;
  #carrier: Channel | undefined;
  /** Of the channels that it has left: what comes by them then was on its way. */
  readonly #left = new WeakSet<Channel>();
  #underWaySince: number | undefined;

  /** Without a lane all content is out of turn. */
  constructor(lane: FileLane | undefined, time: Pick<Time, "now">) {
    this.#lane = lane;
    this.#time = time;
  }

  /** As that of the lane; 0 without one. */
  get progress(): bigint {
    return this.#lane?.progress ?? 0n;
  }

  /** Since when content is under way that is not taken, by the clock of the channel; Infinity when none is. */
  get underWaySince(): number {
    return this.#underWaySince ?? Infinity;
  }

  /** The lane is on this channel from now on. */
  attach(carrier: Channel): void {
    if (!this.#lane) return;
    this.#carrier = carrier;
    const isOn = () => this.#carrier === carrier && carrier.isOpen;
    this.#lane.attach({
      get isOpen() {
        return isOn();
      },
      send: (body) => {
        if (isOn()) carrier.send(ItemType.file, body);
      },
      ready: () => carrier.ready(),
      noteUnderWay: (isUnderWay) => {
        if (!isUnderWay) this.#underWaySince = undefined;
        else if (isOn()) this.#underWaySince = this.#time.now();
      },
      fail: (error) => carrier.fail(error),
    });
  }

  /** The lane leaves this channel, if it is on it. */
  detach(carrier: Channel): void {
    this.#left.add(carrier);
    if (this.#carrier !== carrier) return;
    this.#carrier = undefined;
    this.#underWaySince = undefined;
    this.#lane?.detach();
  }

  /** Content came over this channel. Throws `bad_state` when nobody takes it, and what the lane throws. */
  take(carrier: Channel, body: Bytes): void {
    if (this.#carrier === carrier) this.#lane?.take(body);
    else if (!this.#left.has(carrier)) throw outOfTurn();
  }

  /** These messages of the other side are new, and on disk. */
  hear(messages: readonly KeptMessage[]): void {
    for (const message of messages) {
      if (message.type === "file") this.#lane?.hear(message.id, fileWordOf(message));
    }
  }
}
