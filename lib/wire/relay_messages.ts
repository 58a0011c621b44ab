/** The items of relayed streams (PROTOCOL.md 3.9): the server forwards them unchanged within a pair, and counts. */
import type { Bytes } from "../bytes.ts";
import { badFrame, type Layout, type Of, rest, struct, tagged, u32 } from "./layout.ts";
import { RELAY_NUMBERS } from "./numbers.ts";

/** The generation of the introduction names the stream. */
const stream = u32;

/** At least a byte: of pieces without any no credit would ever see the end. */
const content: Layout<Bytes> = {
  write: rest.write,
  read(reader) {
    if (reader.remaining === 0) throw badFrame("relayed data has a length");
    return rest.read(reader);
  },
};

/** At least a byte: credit of none says nothing, however often. */
const count: Layout<number> = {
  write: u32.write,
  read(reader) {
    const value = u32.read(reader);
    if (value === 0) throw badFrame("credit is for something");
    return value;
  },
};

/** The body of an item of type `relay`. */
export const relayItem = tagged(
  RELAY_NUMBERS,
  {
    /** A piece of the byte stream; at most as many bytes as the other side has given credit for. */
    data: struct({ stream, content }),
    /** So many bytes were taken off, and as many more may come. */
    credit: struct({ stream, count }),
    /** Nothing more either way. */
    close: struct({ stream }),
    /** From the server: it has no place for this stream, which is over. */
    full: struct({ stream }),
  },
);
/** Such a body, decoded. */
export type RelayItem = Of<typeof relayItem>;
