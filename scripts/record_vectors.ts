/**
 * The test vectors of the records that follow the handshake between peers, tests/vectors/records/: a short
 * conversation with a key update in each direction. m7 and m8 were the first record of theirs.
 */
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { encodeUtf8 } from "../lib/bytes.ts";
import { type Direction, nextTrafficSecret } from "../lib/crypto/record_cipher.ts";
import { loadSuite } from "../lib/crypto/suite.ts";
import { encode } from "../lib/wire/layout.ts";
import { peerAck, type PeerMessage, peerMessage } from "../lib/wire/peer_messages.ts";
import { CloseCode, closeLayout, type Item, ItemType } from "../lib/wire/records.ts";
import { recordKey } from "../tests/handshake/reference.ts";
import type {
  RecordsDirection,
  RecordsFile,
  RecordVector,
  VectorFile,
} from "../tests/handshake/vector_file.ts";
import { fixed, sealRecord } from "./vector_parts.ts";

const EMPTY = new Uint8Array(0);
const WRITTEN = BigInt(Date.UTC(2026, 0, 31, 12));
/** A text of so many bytes fills its bucket: 128 bytes less the headers of item and message. */
const FULL = 128 - 5 - 33;

function message(value: PeerMessage): Item {
  return { type: ItemType.message, body: encode(peerMessage, value) };
}

function text(writer: string, number: bigint, content: string): Item {
  const id = fixed(`message ${number} of ${writer}`, 16);
  return message({ type: "text", number, id, written: WRITTEN, content: encodeUtf8(content) });
}

function ack(stored: bigint, read: bigint): Item {
  return { type: ItemType.ack, body: encode(peerAck, { stored, read }) };
}

function close(lastSent: bigint, lastStored: bigint): Item {
  const body = encode(closeLayout, { code: CloseCode.done, lastSent, lastStored });
  return { type: ItemType.close, body };
}

const PING: Item = { type: ItemType.ping, body: EMPTY };
const PONG: Item = { type: ItemType.pong, body: EMPTY };
const KEY_UPDATE: Item = { type: ItemType.keyUpdate, body: EMPTY };

/** Alice goes on where m7 says: her messages 1 to 3 are stored, and she has none of Bob's. */
const CONVERSATION: Readonly<Record<Direction, readonly (readonly Item[])[]>> = {
  i2r: [
    [text("alice", 4n, "Ahoj Bobe, jak se máš? 🦊")],
    [text("alice", 5n, ""), ack(1n, 0n), PING, KEY_UPDATE],
    [ack(1n, 1n), message({ type: "end", number: 6n, id: fixed("message 6 of alice", 16) })],
    [close(6n, 1n)],
  ],
  r2i: [
    [text("bob", 1n, "b".repeat(FULL))],
    [ack(5n, 4n), PONG, KEY_UPDATE],
    [ack(6n, 6n)],
    [close(1n, 6n)],
  ],
};

/** The records of one suite, after the run of mode 2 in `handshake`; `captured` is the file as it was. */
export async function makeRecordsFile(
  { suite: name, runs }: VectorFile,
  captured?: RecordsFile,
): Promise<RecordsFile> {
  const suite = await loadSuite(name);
  const run = runs.find(({ mode }) => mode === 2)!;
  const senders = { i2r: run.initiator, r2i: run.responder };
  const ofDirection = async (direction: Direction): Promise<RecordsDirection> => {
    let traffic = run.traffic[direction];
    const keys = [{ traffic, ...recordKey(name, traffic) }];
    const records: RecordVector[] = [];
    let counter = 1;
    for (const items of CONVERSATION[direction]) {
      const sealed = await sealRecord({
        suite,
        direction,
        sender: senders[direction],
        traffic,
        counter,
        items,
        captured: captured?.[direction].records[records.length]?.frame,
      });
      const plain = items.map(({ type, body }) => ({ type, body: encodeHex(body) }));
      records.push({ key: keys.length - 1, counter, items: plain, ...sealed });
      counter++;
      if (items.at(-1) !== KEY_UPDATE) continue;
      traffic = encodeHex(nextTrafficSecret(decodeHex(traffic)));
      keys.push({ traffic, ...recordKey(name, traffic) });
      counter = 0;
    }
    return { keys, records };
  };
  return { suite: name, i2r: await ofDirection("i2r"), r2i: await ofDirection("r2i") };
}
