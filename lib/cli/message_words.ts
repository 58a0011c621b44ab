/** What a person sees of a conversation, as text: the same with one other person and with many. */
import type { PeerEvent } from "../client/incoming.ts";
import type { Delivery } from "../client/thread.ts";
import { sanitize, type StreamSanitizer } from "./sanitize.ts";

/** What the other side said, or did; `shown` is that side's byte stream so far. Undefined: nothing to see. */
export function describeEvent(
  event: PeerEvent,
  peerName: string,
  shown: StreamSanitizer,
): string | undefined {
  switch (event.type) {
    case "text":
      return attribute(peerName, sanitize(event.text));
    case "bytes": {
      const text = shown.push(event.bytes).replace(/\n$/, "");
      return text === "" ? undefined : attribute(peerName, text);
    }
    case "end":
      return `-- ${peerName} has nothing more to send`;
    case "gap":
      return `-- ${describeGap(event)} of ${peerName} are not on this machine any more`;
    case "restarted":
      return `-- ${peerName} began anew; the rest of what was being sent does not come`;
  }
}

/** Which messages are missing. */
export function describeGap({ from, to }: { readonly from: bigint; readonly to: bigint }): string {
  return from === to ? `message ${from}` : `messages ${from} to ${to}`;
}

/**
 * Stands before a prompt: how far the last message came. Empty when that is `arrived`, the last one that
 * had arrived before this run.
 */
export function deliveryMark(delivery: Delivery, arrived: bigint | undefined): string {
  const { queued, sent, stored, read } = delivery;
  const waiting = queued - sent;
  if (waiting > 1n) return `(${waiting} queued) `;
  const state = waiting > 0n
    ? "queued"
    : stored < queued
    ? "sent"
    : read < queued
    ? "stored"
    : "read";
  return queued === arrived ? "" : `(${state}) `;
}

/** What is said at the end of messages that have not arrived; undefined when all have. */
export function describeUndelivered(delivery: Delivery, peerName: string): string | undefined {
  const left = delivery.queued - delivery.stored;
  if (left === 0n) return undefined;
  const messages = left === 1n ? "1 message is" : `${left} messages are`;
  return `${messages} not delivered yet; kept here until you and ${peerName} are connected again`;
}

/** A name before the first line, and the others indented: no line can pretend to be another's. */
function attribute(name: string, text: string): string {
  return `${name}: ${text.replaceAll("\n", `\n${" ".repeat(name.length + 2)}`)}`;
}
