/** A client that is connected, and what is said to it. */
import type { Bytes } from "../bytes.ts";
import { CifraError, type ErrorCode } from "../errors.ts";
import { OUTBOUND_QUEUE_HIGH_WATER } from "../limits.ts";
import type { Challenge } from "../services/accounts.ts";
import type { Presented } from "../services/invites.ts";
import type { Channel } from "../channel/channel.ts";
import type { Connection } from "../channel/connection.ts";
import type { Endpoint } from "../wire/address.ts";
import { CloseCode, ItemType } from "../wire/records.ts";
import {
  encodeServerResponse,
  REFUSAL_CODES,
  refusalFor,
  type ServerResponse,
} from "../wire/rendezvous_messages.ts";

/** Until it has registered, only a connection. */
export interface Client {
  readonly connection: Connection;
  /** Where it comes from, as we see it. */
  readonly observed: Endpoint;
  channel: Channel | undefined;
  /** The invite with which it came. */
  invite: Presented | undefined;
  /** The name of its latest registration. */
  name: string | undefined;
  /** Whether it stays after an introduction, and may be relayed. */
  stays: boolean;
  /** A sign-in under way. */
  challenge: Challenge | undefined;
}

/**
 * Says something to a client. One who has just gone away misses nothing that it could use. One who reads
 * nothing, while others give us reason to go on talking, is not kept: the queue would have no end.
 */
export function say({ channel }: Client, type: ItemType, body: Bytes): void {
  if (!channel?.isOpen) return;
  if (channel.queuedLength > OUTBOUND_QUEUE_HIGH_WATER) {
    channel.fail(new CifraError("slow_reader", "The client does not take what it is sent"));
  } else channel.send(type, body);
}

/** Answers a request, or tells news. */
export function respond(client: Client, response: ServerResponse): void {
  say(client, ItemType.response, encodeServerResponse(response));
}

/** Tells a client why it has to go, and says goodbye. */
export function dismiss(
  client: Client,
  code: ErrorCode,
  reason: string,
  retryAfter = 0,
): void {
  const number = REFUSAL_CODES[refusalFor(code) ?? "refused"];
  respond(client, { type: "refused", code: number, retryAfter, reason });
  client.channel?.close(CloseCode.failed);
}
