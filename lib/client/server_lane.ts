/**
 * The messages between us and the server itself, as a channel of their own: what a thread needs to carry a
 * conversation with somebody who answers OK (PROTOCOL.md 3.7). Everything else on that channel goes past it.
 */
import type { Bytes } from "../bytes.ts";
import type { Channel, Goodbye } from "../channel/channel.ts";
import { CifraError } from "../errors.ts";
import { Signal } from "../flow/signal.ts";
import { RESPONSES_LIMIT } from "../limits.ts";
import type { ItemType } from "../wire/numbers.ts";
import type { CloseCode, Item } from "../wire/records.ts";
import type { Carrier } from "./thread.ts";

/** The part of a server's channel that carries messages and acknowledgements. */
export class ServerLane implements Carrier {
  readonly #channel: Channel;
  readonly #arrived = new Signal();
  #items: Item[] = [];
  #ended = false;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** An item for this lane has come. Throws `limit` when more come than the reader takes off. */
  take(item: Item): void {
    if (this.#items.length >= RESPONSES_LIMIT) {
      throw new CifraError("limit", "The server answers more than it was asked");
    }
    this.#items.push(item);
    this.#arrived.notify();
  }

  /** Nothing more will come. */
  end(): void {
    this.#ended = true;
    this.#arrived.notify();
  }

  /** Everything that has come; null when nothing more will. `beforeWaiting` is called when nothing is there. */
  async receive(beforeWaiting?: () => void): Promise<readonly Item[] | null> {
    while (this.#items.length === 0) {
      if (this.#ended) return null;
      beforeWaiting?.();
      await this.#arrived.wait();
    }
    const items = this.#items;
    this.#items = [];
    return items;
  }

  get hasMore(): boolean {
    return this.#items.length > 0;
  }

  get isOpen(): boolean {
    return this.#channel.isOpen;
  }

  get failure(): CifraError | undefined {
    return this.#channel.failure;
  }

  get goodbye(): Goodbye | undefined {
    return this.#channel.goodbye;
  }

  get lastHeard(): number {
    return this.#channel.lastHeard;
  }

  send(type: ItemType, body: Bytes): void {
    this.#channel.send(type, body);
  }

  async ready(): Promise<void> {
    await this.#channel.ready();
  }

  /** Says goodbye for the whole channel: who talks to the server itself does nothing else with it. */
  async close(code: CloseCode, lastSent: bigint, lastStored: bigint): Promise<void> {
    await this.#channel.close(code, lastSent, lastStored);
  }

  probe(): void {
    this.#channel.probe();
  }

  fail(error: unknown): void {
    this.#channel.fail(error);
  }

  destroy(): void {
    this.#channel.destroy();
  }
}
