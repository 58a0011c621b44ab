/**
 * What we and the mailbox of our server say to each other over one connection (PROTOCOL.md 3.12): questions have
 * their answers, and nothing is said that was not asked for, but how our box stands and what was left in it.
 */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { Signal } from "../flow/signal.ts";
import { HANDED_OUT_BYTES, HANDED_OUT_LIMIT } from "../limits.ts";
import type { MailboxRequest, MailboxResponse } from "../wire/mailbox_messages.ts";

/** What waits in memory of the answers to one question: so many parts of a server are never more than it has room for. */
const PARTS_LIMIT = 64;

/** The part of a server's connection that is about the mailbox. */
export class MailboxLane {
  readonly #send: (request: MailboxRequest) => void;
  readonly #responses: MailboxResponse[] = [];
  readonly #arrived = new Signal();
  /** By name, how often keys were asked for and not answered. */
  readonly #asked = new Map<string, number>();
  /** Envelopes that were left and not answered. */
  readonly #left = new Set<string>();
  /** Envelopes that were handed to us and not settled, with their lengths. */
  readonly #held = new Map<string, number>();
  #heldBytes = 0;
  #isOpen = false;
  /** How often the box was opened without an answer. */
  #openings = 0;
  /** Questions of what is ours that were not answered to the end. */
  #askedMine = 0;
  #hasEnded = false;

  /** `send` puts a request on its way; it is not called any more after `end`. */
  constructor(send: (request: MailboxRequest) => void) {
    this.#send = send;
  }

  /** Whether nothing can be said any more. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Says something, unless it is over. */
  say(request: MailboxRequest): void {
    if (this.#hasEnded) return;
    switch (request.type) {
      case "open":
        this.#isOpen = true;
        this.#openings++;
        this.#beginDelivery();
        break;
      case "ask":
        this.#asked.set(request.name, (this.#asked.get(request.name) ?? 0) + 1);
        break;
      case "deposit":
        this.#left.add(encodeHex(request.id));
        break;
      case "settle":
        for (const { id } of request.settled) this.#letGo(id);
        break;
      case "mine":
        this.#askedMine++;
        break;
      case "publish":
      case "withdraw":
        break;
      default:
        request satisfies never;
    }
    this.#send(request);
  }

  /** The mailbox has said something. Throws `bad_state` for what was not asked for, `limit` for too much. */
  take(response: MailboxResponse): void {
    if (!this.#isExpected(response)) {
      throw new CifraError("bad_state", "The mailbox answers what it was not asked");
    }
    if (response.type === "envelope") {
      // It was on its way when the box was opened again: it comes once more, in its turn.
      if (this.#openings > 0) return;
      this.#hold(response.id, response.envelope.length);
    }
    if (response.type === "box" && this.#openings > 0) this.#openings--;
    // How the box stands now is all that counts.
    if (response.type === "box" && this.#responses.at(-1)?.type === "box") this.#responses.pop();
    if (this.#responses.length >= PARTS_LIMIT + this.#left.size) throw tooMuch();
    this.#responses.push(response);
    this.#arrived.notify();
  }

  /** What it says next; undefined at the end, and when `signal` is aborted before. */
  async next(signal: AbortSignal): Promise<MailboxResponse | undefined> {
    while (!signal.aborted) {
      const response = this.#responses.shift();
      if (response || this.#hasEnded) return response;
      await this.#arrived.wait(signal);
    }
    return undefined;
  }

  /** Nothing more will come. */
  end(): void {
    this.#hasEnded = true;
    this.#arrived.notify();
  }

  #isExpected(response: MailboxResponse): boolean {
    switch (response.type) {
      case "box":
      case "envelope":
        return this.#isOpen;
      case "keys": {
        const asked = this.#asked.get(response.name) ?? 0;
        if (asked > 1) this.#asked.set(response.name, asked - 1);
        else this.#asked.delete(response.name);
        return asked > 0;
      }
      case "deposited":
        return this.#left.delete(encodeHex(response.id));
      case "mine":
        if (this.#askedMine === 0) return false;
        if (response.more === 0) this.#askedMine--;
        return true;
    }
  }

  /** All that was handed out and not settled is handed out again, the oldest first. */
  #beginDelivery(): void {
    const others = this.#responses.filter(({ type }) => type !== "envelope");
    this.#responses.splice(0, Infinity, ...others);
    this.#held.clear();
    this.#heldBytes = 0;
  }

  #hold(id: Bytes, length: number): void {
    this.#letGo(id);
    this.#held.set(encodeHex(id), length);
    this.#heldBytes += length;
    if (this.#held.size > HANDED_OUT_LIMIT || this.#heldBytes > HANDED_OUT_BYTES) throw tooMuch();
  }

  #letGo(id: Bytes): void {
    const key = encodeHex(id);
    this.#heldBytes -= this.#held.get(key) ?? 0;
    this.#held.delete(key);
  }
}

function tooMuch(): CifraError {
  return new CifraError("limit", "The mailbox hands out more than may wait here");
}
