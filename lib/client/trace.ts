import type { Bytes } from "../bytes.ts";
import type { Channel } from "../channel/channel.ts";
import type { Connection } from "../channel/connection.ts";
import type { HandshakeEvent } from "../handshake/state.ts";
import { ItemType } from "../wire/records.ts";

/** One protocol message as a watcher sees it: a step of the ladder, or what is said in the channel above it. */
export interface TraceEvent {
  /** `server`, or the name of the peer. */
  readonly with: string;
  /** 1 to 8 are the steps of the ladder; what comes after them has no number. */
  readonly message: HandshakeEvent["message"] | 7 | 8 | undefined;
  readonly direction: HandshakeEvent["direction"];
  readonly name: string;
  readonly algorithm: string;
  /** Length of the frame on the wire; of an item that shares a frame with others, as if it went alone. */
  readonly length: number;
  readonly transcript?: Bytes;
  readonly fingerprint?: Bytes;
  /** Public facts inside the message: ports, addresses, names. */
  readonly detail?: string;
}

/** Told of every protocol message as it happens. */
export type Tracer = (event: TraceEvent) => void;

/** What each item is called; requests and responses of a server are told by their own names. */
const NAMES: Readonly<Partial<Record<ItemType, string>>> = {
  [ItemType.message]: "message",
  [ItemType.ack]: "receipt",
  [ItemType.ping]: "keep-alive",
  [ItemType.pong]: "keep-alive, answered",
  [ItemType.keyUpdate]: "key update",
  [ItemType.close]: "close",
  [ItemType.relay]: "relayed",
  [ItemType.storing]: "whether it can store",
  [ItemType.away]: "words of being away",
};

/** Tells of the prefaces and alerts of a connection from now on, which belong to no ladder and no channel. */
export function traceWords(trace: Tracer | undefined, connection: Connection, who: string): void {
  if (!trace) return;
  connection.onWord = (word) =>
    trace({ with: who, message: undefined, algorithm: "no cipher", ...word });
}

/** Tells what goes over a channel from now on: its kind and its size, never what is in it. */
export function traceItems(trace: Tracer | undefined, channel: Channel, who: string): void {
  if (!trace) return;
  channel.onItem = (direction, { type, body }) => {
    const name = NAMES[type];
    if (name === undefined) return;
    trace({
      with: who,
      message: undefined,
      direction,
      name,
      algorithm: channel.established.suite.aead.name,
      length: channel.frameLength(body.length),
      ...(body.length > 0 && { detail: `${body.length} B inside` }),
    });
  };
}
