/** What two people's programs say to each other after the ladder (PROTOCOL.md 3.8). */
import { NAME_LIMIT } from "../limits.ts";
import { type Of, rest, struct, tagged, text, u64 } from "./layout.ts";

const name = text(NAME_LIMIT);

/** m7 between peers: who speaks to whom, and the last message of the other side that is stored here. */
export const peerHello = struct({ from: name, to: name, have: u64 });

/** m8 between peers: the same counter the other way. */
export const peerWelcome = struct({ have: u64 });

/** A message: text of the chat, a piece of a byte stream, or the end of that stream. */
export const peerMessage = tagged(
  { text: 1, bytes: 2, end: 3 },
  {
    text: struct({ number: u64, content: rest }),
    bytes: struct({ number: u64, content: rest }),
    end: struct({ number: u64 }),
  },
);
export type PeerMessage = Of<typeof peerMessage>;

/** Everything up to this message has reached its destination. */
export const peerAck = struct({ number: u64 });
