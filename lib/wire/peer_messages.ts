/** What two people's programs say to each other after the ladder (PROTOCOL.md 3.8). */
import { type Bytes, decodeUtf8 } from "../bytes.ts";
import { AWAY_LIMIT, TEXT_LIMIT } from "../limits.ts";
import {
  badFrame,
  bytes,
  decode,
  encode,
  LAST_MOMENT,
  type Of,
  oneOf,
  rest,
  struct,
  tagged,
  u64,
  u8,
} from "./layout.ts";
import { fileWordOf } from "./file_messages.ts";
import { line, personName } from "./line.ts";
import { LogKind, MESSAGE_NUMBERS, StoringState } from "./numbers.ts";

export { LogKind, StoringState };

/** Length of a log's id and of a message's id, in bytes. */
export const ID_LENGTH = 16;

/** Where the messages of one direction stand, and those of the other: fields of a message. */
export const position = {
  /** The log that this side writes, 16 random bytes chosen when it was begun. */
  log: bytes(ID_LENGTH),
  kind: u8,
  /** The oldest message of it that the other side may not have: those before are gone here. */
  first: u64,
  /** The log of the other side that was last read here; zeros when none was. */
  readLog: bytes(ID_LENGTH),
  /** The last message of that log that is stored here. */
  have: u64,
  /**
   * The id of that message, by which its writer knows that it is the one it means. Zeros when there is
   * none, or it is a piece of a byte stream, or its content never came here.
   */
  haveId: bytes(ID_LENGTH),
};

/** m7 between peers: who speaks to whom, and where both directions stand. */
export const peerHello = struct({ from: personName, to: personName, ...position });

/** m8 between peers: the same from the other side. */
export const peerWelcome = struct(position);

/** Where the logs of one side stand, as it tells the other. */
export type LogPosition = Of<typeof peerWelcome>;

/** A message as it lies on the wire; programs use `Message`. */
export const peerMessage = tagged(
  MESSAGE_NUMBERS,
  {
    text: struct({
      number: u64,
      /** Chosen once, when it was written: the same message never counts twice. */
      id: bytes(ID_LENGTH),
      /** When it was written, in milliseconds since 1970 by the writer's clock: for display alone. */
      written: u64,
      content: rest,
    }),
    bytes: struct({ number: u64, content: rest }),
    end: struct({ number: u64, id: bytes(ID_LENGTH) }),
    takenBack: struct({ number: u64, id: bytes(ID_LENGTH) }),
    /** A word about a transfer (PROTOCOL.md 3.15). */
    file: struct({ number: u64, id: bytes(ID_LENGTH), written: u64, content: rest }),
  },
);
/** A message as it is decoded. */
export type PeerMessage = Of<typeof peerMessage>;

/** A message of a chat before it has a number. `end`: this run of the program has nothing more to say. */
export interface NewMessage {
  readonly type: "text" | "end" | "file";
  /** 16 random bytes, chosen once. */
  readonly id: Bytes;
  /** Milliseconds since 1970, by the clock of whoever wrote it; 0 when it did not say. */
  readonly written: number;
  /** UTF-8; a `fileWord` for `file`; empty for `end`. */
  readonly content: Bytes;
}

/**
 * A message of a chat, as it is sent, stored and received; numbers begin with 1. `taken back`: its writer
 * replaced it before it was stored by its reader; it has no content.
 */
export interface KeptMessage extends Omit<NewMessage, "type"> {
  readonly type: NewMessage["type"] | "taken back";
  readonly number: bigint;
}

/** A piece of a byte stream before it has a number. */
export interface NewPiece {
  readonly type: "bytes";
  readonly content: Bytes;
}

/** A piece of a byte stream. */
export interface Piece extends NewPiece {
  readonly number: bigint;
}

/** What stands in a log. */
export type Message = KeptMessage | Piece;

const NOTHING = new Uint8Array(0);

/** The body of a message's item. */
export function encodeMessage(message: Message): Bytes {
  const { type, number, content } = message;
  switch (type) {
    case "text":
    case "file": {
      const { id, written } = message;
      return encode(peerMessage, { type, number, id, written: BigInt(written), content });
    }
    case "bytes":
      return encode(peerMessage, { type, number, content });
    case "end":
      return encode(peerMessage, { type, number, id: message.id });
    case "taken back":
      return encode(peerMessage, { type: "takenBack", number, id: message.id });
  }
}

/**
 * The message in an item; its bytes are views of `body`. Throws `bad_frame`, also for a text that is longer
 * than `TEXT_LIMIT` or is not UTF-8, and for a word about a transfer that is none. A clock that is far off is still a clock; a time that no date has is none.
 */
export function decodeMessage(body: Bytes): Message {
  const message = decode(peerMessage, body);
  switch (message.type) {
    case "text":
    case "file": {
      if (message.type === "text") textOf(message);
      else fileWordOf(message);
      const { written } = message;
      return { ...message, written: written > BigInt(LAST_MOMENT) ? 0 : Number(written) };
    }
    case "bytes":
      return message;
    case "end":
      return { ...message, written: 0, content: NOTHING };
    case "takenBack":
      return { ...message, type: "taken back", written: 0, content: NOTHING };
  }
}

/** What a text says. Throws `bad_frame` when it is too long or is not UTF-8. */
export function textOf({ content }: { readonly content: Bytes }): string {
  if (content.length > TEXT_LIMIT) throw badFrame("a text is too long");
  try {
    return decodeUtf8(content);
  } catch {
    throw badFrame("a text is not UTF-8");
  }
}

/** Length of the body that `encodeMessage` makes of a message. */
export function messageLength({ type, content }: Message): number {
  const header = 1 + 8, id = ID_LENGTH, written = 8;
  switch (type) {
    case "text":
    case "file":
      return header + id + written + content.length;
    case "bytes":
      return header + content.length;
    case "end":
    case "taken back":
      return header + id;
  }
}

/** Whether its sender can store what comes. */
export const peerStoring = struct({ state: oneOf(StoringState, "state of storing") });

/** Why its sender is away, or until when; empty: is back, or has no words. */
export const peerAway = struct({ words: line(AWAY_LIMIT) });

/** Everything up to `stored` is safe over there, and everything up to `read` was shown. */
export const peerAck = struct({ stored: u64, read: u64 });
