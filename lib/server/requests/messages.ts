/** What is said to the server itself (PROTOCOL.md 3.7): each message is answered OK. */
import { encodeUtf8 } from "../../bytes.ts";
import { decode, encode } from "../../wire/layout.ts";
import { decodeMessage, encodeMessage, ID_LENGTH, peerAck } from "../../wire/peer_messages.ts";
import { type Item, ItemType } from "../../wire/records.ts";
import type { Client } from "../client.ts";
import type { Context } from "./context.ts";
import { outOfTurn } from "./refusals.ts";

const OK = encodeUtf8("OK");
const NOTHING = new Uint8Array(0);

/**
 * Answers a message, and an end with an end. Throws `bad_state` when its number is not the next one,
 * `bad_frame` on what cannot be read.
 */
export function answer(
  { environment: { random, time } }: Context,
  client: Client,
  item: Item,
): void {
  const { number, type } = decodeMessage(item.body);
  // A client that was cut off goes on with the number of what was not answered.
  const isNext = client.heard === 0n ? number > 0n : number === client.heard + 1n;
  // Nothing is sent to a server: a word about that is as wrong as a number.
  if (!isNext || type === "file") throw outOfTurn();
  client.heard = number;
  client.say(ItemType.ack, encode(peerAck, { stored: number, read: number }));
  const reply = { number, id: random(ID_LENGTH), written: time.date() };
  const body = type === "end"
    ? encodeMessage({ ...reply, type: "end", content: NOTHING })
    : encodeMessage({ ...reply, type: "text", content: OK });
  client.say(ItemType.message, body);
}

/** Takes the acknowledgement of an answer. Throws `bad_state` when there was no such answer. */
export function acknowledge(client: Client, item: Item): void {
  const { stored, read } = decode(peerAck, item.body);
  if (stored > client.heard || read > stored) throw outOfTurn();
}
