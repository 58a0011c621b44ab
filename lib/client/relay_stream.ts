/**
 * A byte stream to the other person through the server (PROTOCOL.md 3.9). The server forwards what
 * it cannot read; the reader gives credit for what it has taken off, so that nothing piles up between.
 */
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { Signal } from "../flow/signal.ts";
import { ITEM_BODY_LIMIT, RELAY_WINDOW } from "../limits.ts";
import type { Channel } from "../channel/channel.ts";
import type { Transport } from "../channel/transport.ts";
import { encode } from "../wire/layout.ts";
import { ItemType } from "../wire/records.ts";
import { type RelayItem, relayItem } from "../wire/relay_messages.ts";

/** Type and stream number in front of the data. */
const HEADER_LENGTH = 5;
const PIECE_LIMIT = ITEM_BODY_LIMIT - HEADER_LENGTH;

export class RelayStream implements Transport {
  readonly #channel: Channel;
  readonly #stream: number;
  readonly #onClose: () => void;
  #arrived: Bytes[] = [];
  #bytesHeld = 0;
  #owed = 0;
  #credit = RELAY_WINDOW;
  #over = false;
  /** Whether it is over because the server has no room for it. */
  #isFull = false;
  readonly #change = new Signal();

  /** The stream of one introduction over the channel to the server; `onClose` is called once. */
  constructor(channel: Channel, stream: number, onClose: () => void) {
    this.#channel = channel;
    this.#stream = stream;
    this.#onClose = onClose;
  }

  /** An item for this stream has come. Throws `limit` when it brings more than there was credit for. */
  take(item: RelayItem): void {
    switch (item.type) {
      case "data":
        if (this.#over) return;
        this.#bytesHeld += item.content.length;
        if (this.#bytesHeld + this.#owed > RELAY_WINDOW) {
          throw new CifraError("limit", "The server relays more than was asked for");
        }
        this.#arrived.push(item.content);
        break;
      case "credit":
        this.#credit += item.count;
        break;
      case "close":
        this.end();
        return;
      case "full":
        this.#isFull = true;
        this.end();
        return;
      default:
        item satisfies never;
    }
    this.#change.notify();
  }

  /** The channel to the server, or the stream, is over: what has arrived may still be read. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#change.notify();
    this.#onClose();
  }

  async read(buffer: Bytes): Promise<number | null> {
    for (;;) {
      const piece = this.#arrived.shift();
      if (piece) {
        const count = Math.min(piece.length, buffer.length);
        buffer.set(piece.subarray(0, count));
        if (count < piece.length) this.#arrived.unshift(piece.subarray(count));
        this.#giveCredit(count);
        return count;
      }
      if (this.#isFull) throw noRoom();
      if (this.#over) return null;
      await this.#change.wait();
    }
  }

  async write(data: Bytes): Promise<number> {
    while (this.#credit === 0 && !this.#over) await this.#change.wait();
    await this.#channel.ready();
    if (this.#isFull) throw noRoom();
    if (this.#over || !this.#channel.isOpen) {
      throw new CifraError("cut", "The server does not relay any more");
    }
    const content = data.subarray(0, Math.min(this.#credit, PIECE_LIMIT));
    this.#credit -= content.length;
    this.#send({ type: "data", stream: this.#stream, content });
    return content.length;
  }

  /** A goodbye inside the stream says as much; there is no half of a stream to end. */
  closeWrite(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.#arrived = [];
    if (this.#over) return;
    this.end();
    if (this.#channel.isOpen) this.#send({ type: "close", stream: this.#stream });
  }

  /** In strides: a credit for every small read would be as much traffic as the data. */
  #giveCredit(count: number): void {
    this.#bytesHeld -= count;
    this.#owed += count;
    if (this.#owed < RELAY_WINDOW / 4 || this.#over || !this.#channel.isOpen) return;
    this.#send({ type: "credit", stream: this.#stream, count: this.#owed });
    this.#owed = 0;
  }

  #send(item: RelayItem): void {
    this.#channel.send(ItemType.relay, encode(relayItem, item));
  }
}

function noRoom(): CifraError {
  return new CifraError("busy", "no room on the relay now");
}
