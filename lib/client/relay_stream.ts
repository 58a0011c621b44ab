/**
 * A byte stream to the other person through the server (PROTOCOL.md 3.9). The server forwards what
 * it cannot read; the reader gives credit for what it has taken off, so that nothing piles up between.
 */
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import type { Time } from "../flow/time.ts";
import { Signal } from "../flow/signal.ts";
import { ITEM_BODY_LIMIT, RELAY_WINDOW } from "../limits.ts";
import type { Channel } from "../channel/channel.ts";
import type { Transport } from "../channel/transport.ts";
import { encode } from "../wire/layout.ts";
import { ItemType } from "../wire/records.ts";
import { type RelayItem, relayItem } from "../wire/relay_messages.ts";

/** Type and stream number in front of the data. */
const HEADER_LENGTH = 5;
const NOTHING = new Uint8Array(0);
const PIECE_LIMIT = ITEM_BODY_LIMIT - HEADER_LENGTH;
/** Credit is given back for a whole item at least: for that its writer waits. */
const STRIDE = PIECE_LIMIT;

export class RelayStream implements Transport {
  readonly #channel: Channel;
  readonly #stream: number;
  readonly #time: Pick<Time, "after">;
  readonly #onClose: () => void;
  #arrived: Bytes[] = [];
  #bytesHeld = 0;
  #owed = 0;
  #credit = RELAY_WINDOW;
  /** The end of a long write, which waits for the next one. */
  #rest: Bytes = NOTHING;
  #cancelRest: () => void = () => {};
  /** Whether the write before took a piece of something longer, and this one goes on with it. */
  #isLong = false;
  #over = false;
  /** Whether it is over because the server has no room for it. */
  #isFull = false;
  readonly #change = new Signal();

  /** The stream of one introduction over the channel to the server; `onClose` is called once. */
  constructor(
    channel: Channel,
    stream: number,
    time: Pick<Time, "after">,
    onClose: () => void,
  ) {
    this.#time = time;
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
    this.#cancelRest();
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

  /**
   * The end of a long write waits a moment for the next one: several records go with a write, and what is left of
   * them when whole pieces are cut off would be an item of its own, sealed and opened twice.
   */
  async write(data: Bytes): Promise<number> {
    const count = Math.min(data.length, PIECE_LIMIT - this.#rest.length);
    // Not in crumbs: more comes when what was sent has been read.
    while (this.#credit < count && !this.#over) await this.#change.wait();
    await this.#channel.ready();
    if (this.#isFull) throw noRoom();
    if (this.#over || !this.#channel.isOpen) {
      throw new CifraError("cut", "The server does not relay any more");
    }
    this.#credit -= count;
    const content = data.subarray(0, count);
    if (this.#isLong && count < PIECE_LIMIT && this.#rest.length === 0) this.#keepRest(content);
    else this.#sendData(content);
    this.#isLong = count < data.length;
    return count;
  }

  /** Credit for it is taken already. */
  #keepRest(content: Bytes): void {
    this.#rest = content.slice();
    this.#cancelRest = this.#time.after(0, () => this.#sendRest());
  }

  #sendRest(): void {
    if (this.#rest.length > 0 && !this.#over && this.#channel.isOpen) this.#sendData(NOTHING);
  }

  /** Sends what has waited, and this behind it. */
  #sendData(content: Bytes): void {
    const body = new Uint8Array(HEADER_LENGTH + this.#rest.length + content.length);
    body.set(encode(relayItem, { type: "data", stream: this.#stream, content: NOTHING }));
    body.set(this.#rest, HEADER_LENGTH);
    body.set(content, HEADER_LENGTH + this.#rest.length);
    this.#rest = NOTHING;
    this.#cancelRest();
    this.#channel.send(ItemType.relay, body);
  }

  /** A goodbye inside the stream says as much; there is no half of a stream to end. */
  closeWrite(): Promise<void> {
    this.#sendRest();
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
    if (this.#owed < STRIDE || this.#over || !this.#channel.isOpen) return;
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
