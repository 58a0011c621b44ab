/**
 * A conversation over a channel: messages numbered from 1 in each direction, acknowledged when the
 * program has taken them, and never more under way than the receiver is ready to hold.
 */
import { type Bytes, decodeUtf8, encodeUtf8 } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { CONVERSATION_WINDOW, ITEM_BODY_LIMIT, TEXT_LIMIT } from "../limits.ts";
import type { Channel } from "../session/channel.ts";
import { badFrame, decode, encode } from "../wire/layout.ts";
import { peerAck, type PeerMessage, peerMessage } from "../wire/peer_messages.ts";
import { CloseCode, type Item, ItemType } from "../wire/records.ts";

/** Largest piece of a byte stream in one message: a record, less the headers inside it. */
export const STREAM_PIECE_LIMIT = ITEM_BODY_LIMIT - 9;
/** While more is coming, an acknowledgement waits until this much has been taken. */
const ACK_STRIDE = CONVERSATION_WINDOW / 4;

/** What the other side does, in order. `taken` says that the program is done with it. */
export type PeerEvent =
  | { readonly type: "text"; readonly number: bigint; readonly text: string }
  | { readonly type: "bytes"; readonly number: bigint; readonly bytes: Bytes }
  /** Its byte stream is complete; text may still follow. */
  | { readonly type: "end"; readonly number: bigint };

/** How a conversation ended. */
export type Ending =
  /** The other side said goodbye and everything has arrived on both sides. */
  | { readonly type: "left" }
  | { readonly type: "shutdown" }
  | { readonly type: "cut"; readonly error: CifraError };

/** One conversation. */
export class PeerLink {
  readonly #channel: Channel;
  #lastSent = 0n;
  /** Sizes of messages sent and not acknowledged, oldest first. */
  readonly #underWay: number[] = [];
  #bytesUnderWay = 0;
  #lastAcknowledged = 0n;
  #lastReceived = 0n;
  #lastTaken = 0n;
  /** The last message that the other side knows to be taken. */
  #lastTold = 0n;
  /** Sizes of messages received and not yet taken, oldest first. */
  readonly #held: number[] = [];
  #bytesHeld = 0;
  #takenSinceAck = 0;
  #progress: PromiseWithResolvers<void> | undefined;
  #ending: Ending | undefined;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** How the conversation ended, once `events` is exhausted. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  /** The number of the last message sent. */
  get lastSent(): bigint {
    return this.#lastSent;
  }

  /** The last of our messages that the other side has taken; all before it are taken too. */
  get lastAcknowledged(): bigint {
    return this.#lastAcknowledged;
  }

  /** Sends a text; returns its number. Throws `limit` beyond 16 KiB, or the channel's failure. */
  sendText(text: string): bigint {
    const content = encodeUtf8(text);
    if (content.length > TEXT_LIMIT) {
      throw new CifraError(
        "limit",
        `Cannot send this message: must be at most ${TEXT_LIMIT} bytes, got ${content.length}`,
        { hint: "send it in parts, or through a pipe: cifra connect ... < file" },
      );
    }
    return this.#send({ type: "text", number: this.#lastSent + 1n, content });
  }

  /** Sends a text as `sendText` does, and resolves when there is room for the next. */
  async sendTextWithRoom(text: string): Promise<void> {
    this.sendText(text);
    await this.#room();
  }

  /** Sends a piece of a byte stream of any length; resolves when there is room for the next. */
  async sendBytes(bytes: Bytes): Promise<void> {
    for (let offset = 0; offset < bytes.length; offset += STREAM_PIECE_LIMIT) {
      const content = bytes.subarray(offset, offset + STREAM_PIECE_LIMIT);
      this.#send({ type: "bytes", number: this.#lastSent + 1n, content });
      await this.#room();
    }
  }

  /** Says that our byte stream is complete. */
  sendEnd(): void {
    this.#send({ type: "end", number: this.#lastSent + 1n });
  }

  /** Resolves when the other side has taken everything we sent; throws the channel's failure. */
  async settled(): Promise<void> {
    while (this.#lastAcknowledged < this.#lastSent) await this.#awaitProgress();
  }

  /**
   * What the other side says, in order. Whoever iterates must go on iterating: this is also what
   * answers heartbeats and takes acknowledgements. Each event is to be followed by `taken`.
   */
  async *events(): AsyncGenerator<PeerEvent, void, void> {
    try {
      for (;;) {
        // What follows a message need not be one: nobody waits for an acknowledgement for ever.
        const items = await this.#channel.receive(() => this.#acknowledgeTaken());
        if (!items) break;
        for (const item of items) {
          const event = this.#read(item);
          if (event) yield event;
        }
      }
    } catch (error) {
      if (!(error instanceof CifraError)) throw error;
      this.#channel.fail(error);
    }
    this.#ending = this.#judgeEnding();
    this.#wake();
  }

  /** The program is done with the message of this number and all before it. */
  taken(number: bigint): void {
    while (this.#lastTaken < number) {
      const size = this.#held.shift()!;
      this.#bytesHeld -= size;
      this.#takenSinceAck += size;
      this.#lastTaken++;
    }
    // In a flood one acknowledgement serves many messages; otherwise each is told at once.
    if (this.#channel.hasMore && this.#takenSinceAck < ACK_STRIDE) return;
    this.#acknowledgeTaken();
  }

  /** Says goodbye, after everything sent. */
  async leave(): Promise<void> {
    await this.#channel.close(CloseCode.done, this.#lastSent, this.#lastTaken);
  }

  /** Tells the other side what has been taken, unless it knows. */
  #acknowledgeTaken(): void {
    if (this.#lastTold === this.#lastTaken || !this.#channel.isOpen) return;
    this.#takenSinceAck = 0;
    this.#lastTold = this.#lastTaken;
    this.#channel.send(ItemType.ack, encode(peerAck, { number: this.#lastTaken }));
  }

  #send(message: PeerMessage): bigint {
    const body = encode(peerMessage, message);
    this.#channel.send(ItemType.message, body);
    this.#lastSent = message.number;
    this.#underWay.push(body.length);
    this.#bytesUnderWay += body.length;
    return message.number;
  }

  #read(item: Item): PeerEvent | undefined {
    if (item.type === ItemType.ack) {
      this.#acknowledge(decode(peerAck, item.body).number);
      return undefined;
    }
    if (item.type !== ItemType.message) throw outOfTurn();
    const message = decode(peerMessage, item.body);
    const { number } = message;
    // The channel loses and reorders nothing, so any other number is a broken program.
    if (number !== this.#lastReceived + 1n) throw outOfTurn();
    this.#lastReceived = number;
    this.#held.push(item.body.length);
    this.#bytesHeld += item.body.length;
    // An honest sender stops at the window; what it sent before our acknowledgement may be on the way.
    if (this.#bytesHeld > 2 * CONVERSATION_WINDOW) {
      throw new CifraError("limit", "The other side sends more than was asked for");
    }
    switch (message.type) {
      case "text":
        return { type: "text", number, text: readText(message.content) };
      case "bytes":
        return { type: "bytes", number, bytes: message.content };
      case "end":
        return { type: "end", number };
    }
  }

  #acknowledge(number: bigint): void {
    if (number > this.#lastSent) throw outOfTurn();
    while (this.#lastAcknowledged < number) {
      this.#lastAcknowledged++;
      this.#bytesUnderWay -= this.#underWay.shift()!;
    }
    this.#wake();
  }

  async #room(): Promise<void> {
    await this.#channel.ready();
    while (this.#bytesUnderWay > CONVERSATION_WINDOW) await this.#awaitProgress();
  }

  async #awaitProgress(): Promise<void> {
    if (this.#ending || this.#channel.failure) {
      throw this.#channel.failure ?? new CifraError("cut", "The other side left");
    }
    this.#progress ??= Promise.withResolvers();
    await this.#progress.promise;
  }

  #wake(): void {
    this.#progress?.resolve();
    this.#progress = undefined;
  }

  /** A goodbye whose counters disagree with ours is no goodbye (PROTOCOL.md 3.6). */
  #judgeEnding(): Ending {
    const { goodbye, failure } = this.#channel;
    if (!goodbye) return { type: "cut", error: failure ?? cut("The connection was cut") };
    if (goodbye.code === CloseCode.shutdown) return { type: "shutdown" };
    if (goodbye.lastSent !== this.#lastReceived || goodbye.lastStored > this.#lastSent) {
      return {
        type: "cut",
        error: cut("The other side left, and some of its messages are missing"),
      };
    }
    this.#acknowledge(goodbye.lastStored);
    return { type: "left" };
  }
}

function readText(content: Bytes): string {
  if (content.length > TEXT_LIMIT) throw badFrame("a text is too long");
  try {
    return decodeUtf8(content);
  } catch {
    throw badFrame("a text is not UTF-8");
  }
}

function cut(message: string): CifraError {
  return new CifraError("cut", message, { hint: "connect again" });
}

function outOfTurn(): CifraError {
  return new CifraError("bad_state", "The other side said something out of turn");
}
