/** A client that has climbed the ladder, and what is said to it. */
import type { Bytes } from "../bytes.ts";
import { CifraError, type ErrorCode } from "../errors.ts";
import {
  ACCOUNT_DEADLINE,
  HANDED_OUT_BYTES,
  NAMELESS_DEADLINE,
  OUTBOUND_QUEUE_HIGH_WATER,
  REGISTRATION_DEADLINE,
  RELAY_WINDOW,
} from "../limits.ts";
import type { Challenge } from "../services/accounts.ts";
import type { Presented } from "../services/invites.ts";
import type { Channel } from "../channel/channel.ts";
import type { Endpoint } from "../wire/address.ts";
import { lineOf } from "../wire/line.ts";
import { encodeMailboxResponse, type MailboxResponse } from "../wire/mailbox_messages.ts";
import { CloseCode, ItemType } from "../wire/records.ts";
import {
  encodeServerResponse,
  REFUSAL_CODES,
  refusalFor,
  type ServerResponse,
} from "../wire/rendezvous_messages.ts";

/** Somebody's program, for as long as it is connected. */
export class Client {
  readonly channel: Channel;
  /** Where it comes from, as we see it. */
  readonly observed: Endpoint;
  /** The invite with which it came. */
  readonly invite: Presented | undefined;
  /** The name and the sequence of its registration, once it has one. */
  name: string | undefined;
  sequence = 0n;
  /** Whether it has opened a box of the mailbox, and how many of its deposits wait for the disk. */
  hasOpenedBox = false;
  deposits = 0;
  /** Whether its place was given to somebody else: it is not counted any more. */
  hasGivenWay = false;
  /** A sign-in under way. */
  challenge: Challenge | undefined;
  /** The number of its last message to the server; 0 when there was none. */
  heard = 0n;
  /** How many streams are relayed for it. */
  streams = 0;
  /** Until when it must have registered, by the clock of the server; no answer makes that later than `#end`. */
  #patience: number;
  readonly #end: number;
  #isAnswered = false;

  constructor(
    channel: Channel,
    observed: Endpoint,
    invite: Presented | undefined,
    now: number,
  ) {
    this.channel = channel;
    this.observed = observed;
    this.invite = invite;
    this.#patience = now + REGISTRATION_DEADLINE;
    this.#end = now + NAMELESS_DEADLINE;
  }

  /** Whether the client was told anything; a client that fails before counts as a stranger. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  /** Heartbeat and deadlines, about once a second. */
  tick(now: number): void {
    this.channel.tick(now);
    if (this.name !== undefined || now <= this.#patience || !this.channel.isOpen) return;
    this.channel.fail(new CifraError("timeout", "The client does not say who it is"));
  }

  /** The client was answered about an account: it may take its time to derive a key from a password. */
  wait(now: number): void {
    this.#patience = Math.min(now + ACCOUNT_DEADLINE, this.#end);
  }

  /**
   * Sends an item. A client that has gone misses nothing that it could use. A client that reads nothing,
   * while others give us reason to go on talking, is not kept: its queue would have no end.
   */
  say(type: ItemType, body: Bytes): void {
    const { channel } = this;
    if (!channel.isOpen) return;
    // What is relayed is bounded by its credit, and what is handed out by what is not settled.
    const handedOut = this.hasOpenedBox ? HANDED_OUT_BYTES : 0;
    const limit = OUTBOUND_QUEUE_HIGH_WATER + handedOut + this.streams * RELAY_WINDOW;
    if (channel.queuedLength > limit) {
      channel.fail(new CifraError("slow_reader", "The client does not take what it is sent"));
    } else channel.send(type, body);
  }

  /** Answers a request, or tells news. */
  respond(response: ServerResponse): void {
    this.#isAnswered = true;
    this.say(ItemType.response, encodeServerResponse(response));
  }

  /** Answers a request to the mailbox, or hands out what waits there. */
  respondMail(response: MailboxResponse): void {
    this.say(ItemType.response, encodeMailboxResponse(response));
  }

  /** Tells the client why it has to go, and says goodbye. */
  dismiss(code: ErrorCode, reason: string, retryAfter = 0): void {
    this.respond({ type: "refused", ...refusal(code, reason, retryAfter) });
    this.channel.close(CloseCode.failed);
  }

  /** Tells the client that a want of its is over, and why. */
  unwant(peerName: string, code: ErrorCode, reason: string, retryAfter = 0): void {
    this.respond({ type: "unwanted", peerName, ...refusal(code, reason, retryAfter) });
  }
}

function refusal(code: ErrorCode, reason: string, retryAfter: number) {
  return { code: REFUSAL_CODES[refusalFor(code) ?? "refused"], retryAfter, reason: lineOf(reason) };
}
