/** Sealed messages for somebody who is not connected: the envelope, and what is in it (PROTOCOL.md 3.12). */
import type { Bytes } from "../bytes.ts";
import { PASS_LENGTH } from "../crypto/mailbox_pass.ts";
import { ENVELOPE_SALT_LENGTH } from "../crypto/mailbox_session.ts";
import {
  CONTENT_LIMIT,
  CONTENT_MINIMUM,
  ENVELOPE_OVERHEAD,
  ITEM_HEADER_LENGTH,
  SESSION_ENVELOPES,
} from "../limits.ts";
import {
  badFrame,
  bytes,
  decode,
  encode,
  type Layout,
  type Of,
  oneOf,
  rest,
  struct,
  u16,
  u64,
} from "./layout.ts";
import { personName } from "./line.ts";
import {
  decodeMessage,
  encodeMessage,
  type KeptMessage,
  messageLength,
  position,
} from "./peer_messages.ts";
import { ItemType, paddedLength, readItems, writeItems } from "./records.ts";

/** Length of the name of a box, in bytes. */
export const BOX_LENGTH = 16;
/** Length of a session's header, in bytes. */
export const SESSION_HEADER_LENGTH = 1152;
/** What is sealed is bound to the bytes in front of it: so many. */
export const ENVELOPE_HEAD_LENGTH = 1 + SESSION_HEADER_LENGTH + 2 + ENVELOPE_SALT_LENGTH;

/** How a session was begun: the same in each envelope of it. */
export const sessionHeader = struct({
  box: bytes(BOX_LENGTH),
  /** Number of the signed prekey. */
  signed: u64,
  /** Number of the one-time prekey, 0 for none. */
  once: u64,
  /** X25519 key of the sender, made for this session. */
  ephemeral: bytes(32),
  /** ML-KEM-768 ciphertext. */
  ciphertext: bytes(1088),
});
/** A session's header, decoded. */
export type SessionHeader = Of<typeof sessionHeader>;

/** The place of an envelope in its session. */
const place: Layout<number> = {
  write(parts, value) {
    if (value >= SESSION_ENVELOPES) throw new RangeError(`A session has no envelope ${value}`);
    u16.write(parts, value);
  },
  read(reader) {
    const value = reader.u16();
    if (value >= SESSION_ENVELOPES) throw badFrame(`a session has no envelope ${value}`);
    return value;
  },
};

/** All that follows; with all but `overhead` bytes of it padded content. A view of the message. */
function padded(overhead: number): Layout<Bytes> {
  const isPadded = (length: number) =>
    length <= CONTENT_LIMIT && paddedLength(length, CONTENT_MINIMUM) === length;
  return {
    write(parts, value) {
      if (!isPadded(value.length - overhead)) {
        throw new RangeError(`No envelope has ${value.length} bytes there`);
      }
      parts.push(value);
    },
    read(reader) {
      const value = rest.read(reader);
      if (!isPadded(value.length - overhead)) {
        throw badFrame(`no envelope has ${value.length} bytes there`);
      }
      return value;
    },
  };
}

/** An envelope that is passed on as it stands: its length alone is checked. */
export const wholeEnvelope = padded(ENVELOPE_OVERHEAD);

/** An envelope, for its reader. */
export const envelope = struct({
  version: oneOf({ first: 1 }, "version of an envelope"),
  /** A `sessionHeader`. */
  header: bytes(SESSION_HEADER_LENGTH),
  /** Its place in its session, from 0. */
  n: place,
  salt: bytes(ENVELOPE_SALT_LENGTH),
  /** The content, sealed; a view of the envelope. */
  sealed: padded(ENVELOPE_OVERHEAD - ENVELOPE_HEAD_LENGTH),
});

// A kept log and no other comes by the mailbox.
const { kind: _, ...standing } = position;

/** What is in an envelope: who writes to whom, where both logs stand, and messages. */
export const envelopeContent = struct({
  from: personName,
  to: personName,
  ...standing,
  /** Everything up to it was shown to the sender; 0 when that is not told. */
  read: u64,
  /** What the recipient shows to the server when it leaves something for the sender; zeros for none. */
  pass: bytes(PASS_LENGTH),
  /** Messages as items, and padding. */
  items: rest,
});

/** What is in an envelope, decoded. Without messages it is a receipt. */
export interface Content extends Omit<Of<typeof envelopeContent>, "items"> {
  /** In their order, without a gap, the first not before `first`. */
  readonly messages: readonly KeptMessage[];
}

/** Length of a content before it is padded; at most `CONTENT_LIMIT` has an encoding. */
export function contentLength(content: Content): number {
  return headOf(content).length +
    content.messages.reduce((sum, each) => sum + ITEM_HEADER_LENGTH + messageLength(each), 0);
}

/** The content of an envelope, padded. Throws RangeError on a value that has no encoding. */
export function encodeContent(content: Content): Bytes {
  const disorder = disorderOf(content);
  if (disorder) throw new RangeError(`Cannot encode an envelope: ${disorder}`);
  const length = contentLength(content);
  if (length > CONTENT_LIMIT) throw new RangeError(`${length} bytes do not fit an envelope`);
  const inner = new Uint8Array(paddedLength(length, CONTENT_MINIMUM));
  const head = headOf(content);
  inner.set(head);
  const items = content.messages.map((message) => ({
    type: ItemType.message,
    body: encodeMessage(message),
  }));
  writeItems(items, inner, head.length);
  return inner;
}

/** Reads the content of an envelope; the bytes of messages are views of it. Throws `bad_frame`. */
export function decodeContent(inner: Bytes): Content {
  const { items, ...head } = decode(envelopeContent, inner);
  const messages = readItems(inner, inner.length - items.length, CONTENT_MINIMUM)
    .map(({ type, body }) => {
      if (type !== ItemType.message) throw badFrame(`item ${type} in an envelope`);
      const message = decodeMessage(body);
      if (message.type === "bytes") throw badFrame("a piece of a byte stream in an envelope");
      return message;
    });
  const content = { ...head, messages };
  const disorder = disorderOf(content);
  if (disorder) throw badFrame(disorder);
  return content;
}

function headOf(content: Content): Bytes {
  return encode(envelopeContent, { ...content, items: new Uint8Array(0) });
}

/** What is wrong with the numbers. */
function disorderOf({ first, messages }: Content): string | undefined {
  if (first === 0n) return "a log begins with 1";
  if (messages[0] && messages[0].number < first) return "a message is before the first";
  const isNext = messages.every(({ number }, i) =>
    i === 0 || number === messages[i - 1]!.number + 1n
  );
  return isNext ? undefined : "messages are not one after the other";
}
