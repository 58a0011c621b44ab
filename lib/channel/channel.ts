/** The channel that a handshake leads to: items both ways, a heartbeat and goodbyes (PROTOCOL.md 3.5, 3.6). */
import type { Bytes } from "../bytes.ts";
import { type Direction, RecordCipher } from "../crypto/record_cipher.ts";
import { verifyBy } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import type { Established } from "../handshake/state.ts";
import {
  CLOSE_DEADLINE,
  ITEM_BODY_LIMIT,
  KEY_REST_AFTER,
  PING_INTERVAL,
  PING_JITTER,
  PONG_INTERVAL,
  SILENCE_DEADLINE,
} from "../limits.ts";
import type { Endpoint } from "../wire/address.ts";
import { badFrame, decode, encode } from "../wire/layout.ts";
import { type CloseCode, closeLayout, type Item, ItemType } from "../wire/records.ts";
import type { Connection } from "./connection.ts";
import { Receiver } from "./receiver.ts";
import { Sender } from "./sender.ts";
import type { MonotonicClock } from "./transport.ts";

const EMPTY = new Uint8Array(0);
const PING: Item = { type: ItemType.ping, body: EMPTY };
const PONG: Item = { type: ItemType.pong, body: EMPTY };

/** The other side's last words: why, and the last message it sent and stored. */
export interface Goodbye {
  /** Why. */
  readonly code: CloseCode;
  /** The last message it sent; 0 where messages are not numbered. */
  readonly lastSent: bigint;
  /** The last of our messages that it has taken. */
  readonly lastStored: bigint;
}

/** One authenticated, encrypted, ordered conversation over one connection. */
export class Channel {
  /** How the handshake ended: who is there. */
  readonly established: Established;
  /** Told of every item as it is queued or given out, also of those that the channel keeps for itself. */
  onItem: ((direction: "sent" | "received", item: Item) => void) | undefined;
  readonly #connection: Connection;
  readonly #clock: MonotonicClock;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  /** Our place in the ping interval, so that a crowd does not beat in step. */
  readonly #pingInterval: number;
  #lastPong = -Infinity;
  #closedAt: number | undefined;
  /** Resolves when our goodbye is with the transport, or cannot be; at once where none was said. */
  #closing: Promise<void> = Promise.resolve();
  #goodbye: Goodbye | undefined;
  /** After a failure nothing more is given out: it would stand behind a gap. */
  #over = false;

  private constructor(
    connection: Connection,
    established: Established,
    clock: MonotonicClock,
    sender: Sender,
    receiver: Receiver,
  ) {
    this.established = established;
    this.#connection = connection;
    this.#clock = clock;
    this.#sender = sender;
    this.#receiver = receiver;
    // The session id is random and public to both ends: no second source of chance is needed.
    const spread = established.sessionId[0]! / 255 * 2 - 1;
    this.#pingInterval = PING_INTERVAL + spread * PING_JITTER;
  }

  /** The channel above a finished handshake; the connection belongs to it from now on. */
  static async open(
    connection: Connection,
    established: Established,
    clock: MonotonicClock,
  ): Promise<Channel> {
    const { suite, ours, theirs, role } = established;
    const signer = suite.signedRecords
      ? {
        sign: (data: Bytes) => ours.sign(data),
        verify: (signature: Bytes, data: Bytes) => verifyBy(theirs, signature, data),
      }
      : undefined;
    const [out, back]: [Direction, Direction] = role === "initiator"
      ? ["i2r", "r2i"]
      : ["r2i", "i2r"];
    const sealer = new RecordCipher(suite, out, signer, established.sendSecret);
    const opener = new RecordCipher(suite, back, signer, established.receiveSecret);
    await Promise.all([sealer.prepare(), opener.prepare()]);
    const sender = new Sender(connection, clock, sealer);
    const receiver = new Receiver(connection, clock, opener);
    return new Channel(connection, established, clock, sender, receiver);
  }

  /** Why the channel is over, when it failed. */
  get failure(): CifraError | undefined {
    return this.#connection.failure;
  }

  /** Our end of the connection; undefined where that is the relay. */
  get local(): Endpoint | undefined {
    return this.#connection.local;
  }

  /** The other side's last words, when it said them. */
  get goodbye(): Goodbye | undefined {
    return this.#goodbye;
  }

  /** Whether `send` takes more. */
  get isOpen(): boolean {
    return !this.#isClosing && !this.#connection.failure;
  }

  /** When something was last heard, by the channel's clock. */
  get lastHeard(): number {
    return this.#receiver.lastHeard;
  }

  /** Whether `receive` has something to give without waiting for the network. */
  get hasMore(): boolean {
    return this.#receiver.hasMore;
  }

  /** Length on the wire of the frame that carries one item with a body of this length. */
  frameLength(bodyLength: number): number {
    return this.#sender.frameLength(bodyLength);
  }

  /** Bytes accepted by `send` and not yet handed to the transport. */
  get queuedLength(): number {
    return this.#sender.queuedLength;
  }

  /**
   * Queues one item; the queue is sealed and sent by itself, in order. The body must not change
   * afterwards. Throws the channel's failure, `limit` on a body beyond `ITEM_BODY_LIMIT`.
   */
  send(type: ItemType, body: Bytes): void {
    if (this.#connection.failure) throw this.#connection.failure;
    if (this.#isClosing) throw new CifraError("cut", "Cannot send: the channel is closing");
    if (body.length > ITEM_BODY_LIMIT) {
      throw new CifraError("limit", `Cannot send ${body.length} bytes: ${ITEM_BODY_LIMIT} at most`);
    }
    this.#enqueue({ type, body });
  }

  /** Resolves when there is room for more; a sender that can wait awaits this between sends. */
  ready(): Promise<void> {
    return this.#sender.ready();
  }

  /** Resolves when everything sent so far is with the transport; throws the channel's failure. */
  flush(): Promise<void> {
    return this.#sender.flush();
  }

  /**
   * The items of the next record, in order; views that stay valid. Null when the channel is over:
   * then `goodbye` tells of an orderly end, `failure` of any other. Heartbeats are answered inside.
   * `beforeWaiting` is called when there is nothing to give without waiting for the network.
   */
  async receive(beforeWaiting?: () => void): Promise<readonly Item[] | null> {
    try {
      while (!this.#goodbye && !this.#over) {
        const items = await this.#receiver.next(beforeWaiting);
        if (this.onItem) { for (const item of items) this.onItem("received", item); }
        const forOwner = items.every(isForOwner) ? items : await this.#takeOurs(items);
        if (forOwner.length > 0) return forOwner;
      }
    } catch (error) {
      this.fail(error);
    }
    return null;
  }

  /**
   * Says goodbye after everything queued and ends our output; resolves when the transport has all of it, also
   * for whoever asks once more. The other side's output may go on.
   */
  close(code: CloseCode, lastSent = 0n, lastStored = 0n): Promise<void> {
    if (this.isOpen) this.#closing = this.#sayGoodbye(code, lastSent, lastStored);
    return this.#closing;
  }

  async #sayGoodbye(code: CloseCode, lastSent: bigint, lastStored: bigint): Promise<void> {
    this.#closedAt = this.#clock();
    this.#enqueue({
      type: ItemType.close,
      body: encode(closeLayout, { code, lastSent, lastStored }),
    });
    try {
      await this.flush();
      await this.#connection.closeWrite();
    } catch {
      // The other side went first; there is nobody left to say goodbye to.
    }
    if (this.#goodbye) this.destroy();
  }

  /** Ends the channel with an error that the other side is told by its code. */
  fail(error: unknown): void {
    this.#over = true;
    this.#connection.fail(error);
    this.#sender.wake();
  }

  /** Lets go of the connection at once and overwrites what can be overwritten. */
  destroy(): void {
    this.#connection.close();
    this.#sender.destroy();
    this.#receiver.destroy();
  }

  /** Asks the other side for a sign of life, ahead of the heartbeat. */
  probe(): void {
    if (this.isOpen) this.#enqueue(PING);
  }

  /** Heartbeat, key age and deadlines; the owner calls it about once a second. */
  tick(now: number = this.#clock()): void {
    if (this.#connection.failure) return;
    this.#restIfIdle(now);
    this.#connection.enforceDeadlines(now);
    if (now - this.lastHeard > SILENCE_DEADLINE) {
      this.fail(new CifraError("timeout", "The other side has been silent for too long"));
    } else if (this.#closedAt !== undefined) {
      if (now - this.#closedAt > CLOSE_DEADLINE) this.destroy();
    } else if (
      now - this.#sender.lastSpoken > this.#pingInterval || this.#sender.keyIsOld(now)
    ) {
      this.#enqueue(PING);
    }
  }

  #enqueue(item: Item): void {
    this.#sender.enqueue(item);
    this.onItem?.("sent", item);
  }

  get #isClosing(): boolean {
    return this.#closedAt !== undefined;
  }

  /** A channel that says nothing for a while holds as little as it can. */
  #restIfIdle(now: number): void {
    if (!this.#sender.isIdle || !this.#receiver.isIdle) return;
    if (now - Math.max(this.lastHeard, this.#sender.lastSpoken) < KEY_REST_AFTER) return;
    this.#sender.rest();
    this.#receiver.rest();
  }

  /** Handles the items of a record that are for the channel itself; returns the rest. */
  async #takeOurs(items: readonly Item[]): Promise<readonly Item[]> {
    const forOwner: Item[] = [];
    for (const [i, item] of items.entries()) {
      const last = i === items.length - 1;
      switch (item.type) {
        case ItemType.ping:
        case ItemType.pong:
          if (item.body.length > 0) throw badFrame("a heartbeat has no body");
          if (item.type === ItemType.ping) this.#answerPing();
          break;
        case ItemType.keyUpdate:
          if (!last || item.body.length > 0) throw badFrame("a key update stands last and alone");
          await this.#receiver.followKeyUpdate();
          break;
        case ItemType.close:
          if (!last) throw badFrame("nothing follows a goodbye");
          this.#goodbye = decode(closeLayout, item.body);
          break;
        default:
          forOwner.push(item);
      }
    }
    return forOwner;
  }

  #answerPing(): void {
    const now = this.lastHeard;
    if (this.#isClosing || now - this.#lastPong < PONG_INTERVAL) return;
    this.#lastPong = now;
    this.#enqueue(PONG);
  }
}

function isForOwner({ type }: Item): boolean {
  return type <= ItemType.ack || type >= ItemType.request;
}
