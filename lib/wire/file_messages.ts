/**
 * Files between two people (PROTOCOL.md 3.15): the words about a transfer, which stand in the logs, and the items
 * that carry its content over a channel.
 */
import type { Bytes } from "../bytes.ts";
import {
  FILE_BLOCK_MAXIMUM,
  FILE_BLOCK_MINIMUM,
  FILE_DIGESTS_LIMIT,
  FILE_NAME_LIMIT,
  FILE_PIECE_HEADER,
  MANIFEST_ENTRIES,
  MANIFEST_LIMIT,
} from "../limits.ts";
import {
  badFrame,
  bytes,
  decode,
  encode,
  flag,
  type Layout,
  moment,
  type Of,
  oneOf,
  rest,
  struct,
  tagged,
  u32,
  u53,
  u53OrUnknown,
  u64,
  u8,
} from "./layout.ts";
import { line } from "./line.ts";
import { FILE_ITEM_NUMBERS, FILE_WORD_NUMBERS, HoldReason, TransferFailure } from "./numbers.ts";

export { HoldReason, TransferFailure };

/** Length of a SHA-256 digest, in bytes. */
export const DIGEST_LENGTH = 32;

/** The id of the message that offers a transfer, and so of the transfer. */
const transfer = bytes(16);

const of = struct({ transfer });

/** What is said of a transfer in a log. */
const anyWord = tagged(FILE_WORD_NUMBERS, {
  offer: struct({
    files: u32,
    folders: u32,
    /** Sum of all sizes; undefined for a stream, whose size is not known. */
    bytes: u53OrUnknown,
    /** Of the manifest, in bytes. */
    manifestLength: u32,
    /** SHA-256 of the manifest. */
    manifestHash: bytes(DIGEST_LENGTH),
    /** For people: what it is called. */
    name: line(FILE_NAME_LIMIT),
  }),
  accept: of,
  refuse: of,
  done: struct({
    transfer,
    /** Entries that the sender could not read. */
    skipped: u32,
  }),
  cancel: of,
  failed: struct({ transfer, code: oneOf(TransferFailure, "failure of a transfer") }),
});
/** Such a word, decoded. */
export type FileWord = Of<typeof anyWord>;
/** What one side offers the other. */
export type FileOffer = Extract<FileWord, { readonly type: "offer" }>;

/** `layout` for values in which `wrong` finds nothing. */
function checked<T>(layout: Layout<T>, wrong: (value: T) => string | undefined): Layout<T> {
  return {
    ...layout,
    write(parts, value) {
      const why = wrong(value);
      if (why) throw new RangeError(`Cannot encode: ${why}`);
      layout.write(parts, value);
    },
    read(reader) {
      const value = layout.read(reader);
      const why = wrong(value);
      if (why) throw badFrame(why);
      return value;
    },
  };
}

/** What is said of a transfer in a log: the content of a message of the kind `file`. */
export const fileWord: Layout<FileWord> = checked(anyWord, wrongInWord);

function wrongInWord(word: FileWord): string | undefined {
  if (word.type !== "offer") return undefined;
  const { files, folders, bytes, manifestLength, name } = word;
  const entries = files + folders;
  if (entries < 1 || entries > MANIFEST_ENTRIES) return `an offer of ${entries} entries`;
  if (manifestLength < 1 || manifestLength > MANIFEST_LIMIT) {
    return `an offer with a manifest of ${manifestLength} bytes`;
  }
  if (bytes === undefined && (files !== 1 || folders !== 0)) {
    return "an offer of more than a stream that does not know its size";
  }
  return name === "" ? "an offer without a name" : undefined;
}

/** The content of a message of the kind `file`. */
export function encodeFileWord(word: FileWord): Bytes {
  return encode(fileWord, word);
}

/** What such a message says; throws `bad_frame`. */
export function fileWordOf({ content }: { readonly content: Bytes }): FileWord {
  return decode(fileWord, content);
}

const block: Layout<number> = {
  write(parts, value) {
    if (!isBlock(value)) throw new RangeError(`No block has 2^${value} bytes`);
    u8.write(parts, value);
  },
  read(reader) {
    const value = u8.read(reader);
    if (!isBlock(value)) throw badFrame(`no block has 2^${value} bytes`);
    return value;
  },
};

function isBlock(value: number): boolean {
  return value === 0 || value >= FILE_BLOCK_MINIMUM && value <= FILE_BLOCK_MAXIMUM;
}

/** At least a byte: of pieces without any no credit would ever see the end. */
const content: Layout<Bytes> = {
  write(parts, value) {
    if (value.length === 0) throw new RangeError("Cannot encode content without a byte");
    rest.write(parts, value);
  },
  read(reader) {
    if (reader.remaining === 0) throw badFrame("content has a length");
    return rest.read(reader);
  },
};

const turn: Layout<number> = {
  write(parts, value) {
    if (value === 0) throw new RangeError("Cannot encode turn 0");
    u32.write(parts, value);
  },
  read(reader) {
    const value = u32.read(reader);
    if (value === 0) throw badFrame("turns begin with 1");
    return value;
  },
};

const hold = struct({ transfer, why: oneOf(HoldReason, "reason to go on later") });

/** Where something belongs: which `want` it follows, and the entry. */
const place = { transfer, turn, entry: u32 };

/** What is said of content on a channel. */
const anyItem = tagged(FILE_ITEM_NUMBERS, {
  /** To the sender: everything before this is on disk. */
  want: struct({
    ...place,
    offset: u53,
    /** Of the entry, as was told last; 0 of the manifest. */
    size: u53OrUnknown,
    modified: moment,
    /** Logarithm of the length of a block; 0 when there are no digests. */
    block,
    /** SHA-256 of each whole block before `offset`, one after the other. */
    digests: rest,
  }),
  /** To the sender: of all content on this channel so many bytes are dealt with. */
  taken: struct({ bytes: u64 }),
  /** To the sender: no more of this until the next `want`. */
  hold,
  /** To the receiver: the bytes of an entry from `offset` on. */
  data: struct({ ...place, offset: u53, content }),
  /** To the receiver: the source is another one now, and begins anew; without a size it is skipped. */
  changed: struct({ ...place, size: u53OrUnknown, modified: moment, executable: flag }),
  /** To the receiver: the size of an entry whose size was not known. */
  end: struct({ ...place, size: u53 }),
  /** To the receiver: the source cannot be read at the moment. */
  pause: hold,
});
/** The body of an item of the type `file`, decoded; content and digests are views of it. */
export type FileItem = Of<typeof anyItem>;

/** The body of an item of the type `file`. */
export const fileItem: Layout<FileItem> = checked(anyItem, wrongInItem);

function wrongInItem(item: FileItem): string | undefined {
  if (item.type !== "want") return undefined;
  const { offset, block, digests } = item;
  const count = digests.length / DIGEST_LENGTH;
  const due = block === 0 ? 0 : Math.floor(offset / 2 ** block);
  if (count !== due || count > FILE_DIGESTS_LIMIT || block > 0 && count === 0) {
    return `${count} digests of blocks before ${offset}`;
  }
  return undefined;
}

/** Puts what stands in front of content into `into`, which has its 33 bytes in front of the content. */
export function writeDataHeader(
  into: Bytes,
  { transfer, turn, entry, offset }: Omit<Extract<FileItem, { type: "data" }>, "type" | "content">,
): void {
  into[0] = FILE_ITEM_NUMBERS.data;
  into.set(transfer, 1);
  const view = new DataView(into.buffer, into.byteOffset, FILE_PIECE_HEADER);
  view.setUint32(17, turn);
  view.setUint32(21, entry);
  view.setBigUint64(25, BigInt(offset));
}
