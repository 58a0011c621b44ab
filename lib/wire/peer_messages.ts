/** What two people's programs say to each other after the ladder (PROTOCOL.md 3.8). */
import { NAME_LIMIT } from "../limits.ts";
import { bytes, type Of, rest, struct, tagged, text, u64, u8 } from "./layout.ts";

const name = text(NAME_LIMIT);

/** Length of a log's id and of a message's id, in bytes. */
export const ID_LENGTH = 16;

/** How a log is kept by the one who writes it. */
export const LogKind = {
  /** On disk, until the other side has stored it: it outlives the program. */
  kept: 1,
  /** In memory: a byte stream, gone with the program. */
  live: 2,
} as const;
export type LogKind = typeof LogKind[keyof typeof LogKind];

/** Where the messages of one direction stand. */
const position = {
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
export const peerHello = struct({ from: name, to: name, ...position });

/** m8 between peers: the same from the other side. */
export const peerWelcome = struct(position);

/** Where the logs of one side stand, as it tells the other. */
export type LogPosition = Of<typeof peerWelcome>;

/** A message: text of the chat, a piece of a byte stream, or the end of what a program has to say. */
export const peerMessage = tagged(
  { text: 1, bytes: 2, end: 3 },
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
  },
);
export type PeerMessage = Of<typeof peerMessage>;

/** Everything up to `stored` is safe over there, and everything up to `read` was shown. */
export const peerAck = struct({ stored: u64, read: u64 });
