/** What an authenticated liar, or the network, can do to the records of a channel (R1 to R12). */
import { assert, assertEquals } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { RecordCipher } from "../../lib/crypto/record_cipher.ts";
import type { SuiteName } from "../../lib/crypto/suite.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import {
  KEY_UPDATE_MIN_RECORDS,
  KEY_UPDATES_PER_MINUTE,
  PONG_INTERVAL,
  RECORD_MINIMUM,
  RECORDS_IN_FLIGHT,
  RECORDS_PER_KEY_HARD_LIMIT,
} from "../../lib/limits.ts";
import type { Channel } from "../../lib/channel/channel.ts";
import { Receiver } from "../../lib/channel/receiver.ts";
import { runHandshake } from "../../lib/channel/run_handshake.ts";
import { Connection } from "../../lib/channel/connection.ts";
import { startResponder } from "../../lib/handshake/responder.ts";
import { FRAME_HEADER_LENGTH, frameHeader, FrameKind } from "../../lib/wire/frame.ts";
import { encode } from "../../lib/wire/layout.ts";
import { CloseCode, closeLayout, type Item, ItemType } from "../../lib/wire/records.ts";
import { ends, EvilPeer, openEvilPair, test, withCiphers } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { scene, withFlippedBit } from "../testkit/handshake.ts";
import { pipe } from "../testkit/pipe.ts";
import { turn } from "../testkit/turn.ts";

const EMPTY = new Uint8Array(0);
const SUITES_THAT_DIFFER: readonly SuiteName[] = ["modern", "classic"];

function message(...content: readonly number[]): Item {
  return { type: ItemType.message, body: new Uint8Array(content) };
}

function bare(type: ItemType): Item {
  return { type, body: EMPTY };
}

/** Fails unless the channel gives out nothing more and has failed with this code. */
async function assertOver(channel: Channel, code: ErrorCode, msg?: string): Promise<void> {
  assertEquals(await channel.receive(), null, msg);
  assertEquals(channel.failure?.code, code, msg);
  assertEquals(channel.goodbye, undefined, msg);
}

/** The first bytes of the next `count` messages. */
async function firstBytes(channel: Channel, count: number): Promise<number[]> {
  const bytes: number[] = [];
  while (bytes.length < count) {
    const items = await channel.receive();
    assert(items, channel.failure?.message);
    bytes.push(...items.map(({ body }) => body[0]!));
  }
  return bytes;
}

for (const suite of SUITES_THAT_DIFFER) {
  test(`R1 ${suite}: every bit of a record's body counts`, async () => {
    const { mallory } = await openEvilPair(suite);
    const frame = await mallory.sealItems(message(1, 2, 3));
    for (let bit = FRAME_HEADER_LENGTH * 8; bit < frame.length * 8; bit++) {
      const { bob, pipe } = await openEvilPair(suite);
      pipe.toRight.deliver(withFlippedBit(frame, bit));
      await assertOver(bob, "auth_failed", `bit ${bit}`);
    }
  });

  test(`R1 ${suite}: every bit of a record's header counts`, async () => {
    const { mallory } = await openEvilPair(suite);
    const frame = await mallory.sealItems(message(1, 2, 3));
    for (let bit = 0; bit < FRAME_HEADER_LENGTH * 8; bit++) {
      const { bob, pipe } = await openEvilPair(suite);
      pipe.toRight.deliver(withFlippedBit(frame, bit));
      // A length that grew waits for what never comes.
      pipe.toRight.end();
      assertEquals(await bob.receive(), null, `bit ${bit}`);
      const codes: ErrorCode[] = ["auth_failed", "bad_frame", "bad_state", "cut"];
      assert(codes.includes(bob.failure!.code), `bit ${bit}: ${bob.failure?.code}`);
    }
  });

  test(`R2 ${suite}: a record replayed, dropped, swapped or doubled ends the channel`, async () => {
    const { mallory } = await openEvilPair(suite);
    const records: Bytes[] = [];
    for (let n = 0; n < 4; n++) records.push(await mallory.sealItems(message(n)));
    const orders: readonly { readonly order: readonly number[]; readonly good: number }[] = [
      { order: [0, 0], good: 1 },
      { order: [0, 1, 2, 0], good: 3 },
      { order: [0, 1, 1, 2], good: 2 },
      { order: [1], good: 0 },
      { order: [0, 2, 3], good: 1 },
      { order: [1, 0], good: 0 },
      { order: [0, 2, 1, 3], good: 1 },
    ];
    for (const { order, good } of orders) {
      const { bob, pipe } = await openEvilPair(suite);
      for (const n of order) pipe.toRight.deliver(records[n]!);
      const expected = Array.from({ length: good }, (_, i) => i);
      assertEquals(await firstBytes(bob, good), expected, `${order}`);
      await assertOver(bob, "auth_failed", `${order}`);
    }
  });

  test(`R3 ${suite}: a record of the other direction is not ours`, async () => {
    const { mallory, bob, pipe } = await openEvilPair(suite);
    bob.send(ItemType.message, new Uint8Array([9]));
    await bob.flush();
    pipe.toRight.deliver(pipe.toLeft.bytes);
    await assertOver(bob, "auth_failed");
    // The same bytes are good where they were meant to go.
    assertEquals(await mallory.receive(), [message(9)]);
  });

  test(`R4 ${suite}: a record under the previous key is refused after a key update`, async () => {
    const { initiator } = await ends(suite);
    const { mallory, bob, pipe } = await openEvilPair(suite);
    const old = new RecordCipher(
      initiator.suite,
      "i2r",
      initiator.suite.signedRecords
        ? { sign: (data) => initiator.ours.sign(data), verify: () => Promise.resolve(false) }
        : undefined,
      initiator.sendSecret,
    );
    await old.prepare();
    old.testOnlySetCounter(1);
    pipe.toRight.deliver(await mallory.sealItems(message(1), bare(ItemType.keyUpdate)));
    await mallory.sealer.update();
    const [inOrder, late] = [
      await mallory.sealItems(message(2)),
      await mallory.sealItems(message(3)),
    ];
    pipe.toRight.deliver(inOrder);
    assertEquals(await firstBytes(bob, 2), [1, 2]);
    const inner = new Uint8Array(64);
    inner.set([ItemType.message, 0, 0, 0, 1, 66]);
    const header = frameHeader(FrameKind.record, old.sealedLength(inner.length));
    pipe.toRight.deliver(concat([header, await old.seal(header, inner)]));
    pipe.toRight.deliver(late);
    await assertOver(bob, "auth_failed");
  });

  test(`R11 ${suite}: a record with a shorter or longer end is refused`, async () => {
    const { mallory } = await openEvilPair(suite);
    const frame = await mallory.sealItems(message(5));
    const body = frame.slice(FRAME_HEADER_LENGTH);
    const kept = [
      0,
      1,
      4,
      15,
      16,
      17,
      31,
      32,
      48,
      63,
      64,
      ...[1, 4, 8, 12, 15].map((n) => body.length - n),
    ];
    const bodies = [
      ...kept.map((length) => body.slice(0, length)),
      concat([body, new Uint8Array(1)]),
    ];
    for (const cut of bodies) {
      const { mallory: liar, bob } = await openEvilPair(suite);
      await liar.peer.sendFrame(FrameKind.record, cut);
      const code = cut.length < RECORD_MINIMUM ? "bad_frame" : "auth_failed";
      await assertOver(bob, code, `${cut.length} bytes`);
      // Nothing whole has come over this connection yet: then nobody is told anything.
      const said = code === "bad_frame" ? undefined : code;
      assertEquals(await liar.peer.lastWords(), said);
    }
  });
}

test("R5: a receiver stops at 2^22 records under one key", async () => {
  for (const [left, good] of [[2, 2], [0, 0]] as const) {
    const { mallory, bob, pipe, ciphers } = await withCiphers(openEvilPair);
    for (const cipher of ciphers) cipher.testOnlySetCounter(RECORDS_PER_KEY_HARD_LIMIT - left);
    for (let n = 0; n < left; n++) pipe.toRight.deliver(await mallory.sealItems(message(n)));
    let error: unknown;
    try {
      await mallory.sealItems(message(9));
    } catch (thrown) {
      error = thrown;
    }
    assert(error instanceof CifraError && error.code === "limit", "a sender stops as well");
    // One more of any content: the key is at its end before it is looked at.
    pipe.toRight.deliver(concat([frameHeader(FrameKind.record, 80), new Uint8Array(80)]));
    assertEquals(await firstBytes(bob, good), [0, 1].slice(0, good));
    await assertOver(bob, "limit");
    assertEquals((await mallory.receive()) as string, "limit");
  }
});

test("R5: counters far beyond 2^20 still make different nonces in step", async () => {
  const { initiator, responder } = await ends("modern");
  const header = frameHeader(FrameKind.record, 80);
  const inner = new Uint8Array(64).fill(1);
  const sealer = new RecordCipher(initiator.suite, "i2r", undefined, initiator.sendSecret);
  const opener = new RecordCipher(initiator.suite, "i2r", undefined, responder.receiveSecret);
  await Promise.all([sealer.prepare(), opener.prepare()]);
  const seen = new Set<string>();
  for (const counter of [0, 255, 256, 65535, 65536, 2 ** 20, RECORDS_PER_KEY_HARD_LIMIT - 1]) {
    sealer.testOnlySetCounter(counter);
    opener.testOnlySetCounter(counter);
    const sealed = await sealer.seal(header, inner);
    assertEquals(await opener.open(header, sealed), inner);
    seen.add(sealed.toString());
  }
  assertEquals(seen.size, 7);
});

test("R6: a record with another inside than the document's is a bad frame", async () => {
  const padded = (bytes: readonly number[], length = 64) => {
    const inner = new Uint8Array(length);
    inner.set(bytes);
    return inner;
  };
  const cases: Readonly<Record<string, Bytes>> = {
    "padding alone": padded([]),
    "type 0 with a body": padded([0, 0, 0, 0, 1, 7]),
    "a body beyond the record": padded([1, 0, 0, 0, 60]),
    "a body of 4 GiB": padded([1, 255, 255, 255, 255]),
    "padding that is not zero": padded([1, 0, 0, 0, 1, 7, 0, 9]),
    "padding too long": padded([1, 0, 0, 0, 1, 7], 128),
    "padding too short": padded([1, 0, 0, 0, 60], 127),
    "no padding": padded([1, 0, 0, 0, 60], 65),
    "half an item header": new Uint8Array([1, 0, 0, 0, 56, ...Array(56).fill(7), 1, 0, 0]),
    "type 6": padded([6, 0, 0, 0, 0]),
    "type 11": padded([11, 0, 0, 0, 0]),
    "type 255": padded([255, 0, 0, 0, 0]),
    "an unknown type behind a good item": padded([1, 0, 0, 0, 1, 7, 6, 0, 0, 0, 0]),
    "a ping with a body": padded([3, 0, 0, 0, 1, 7]),
    "a pong with a body": padded([4, 0, 0, 0, 1, 7]),
    "a key update with a body": padded([5, 0, 0, 0, 1, 7]),
    "a key update before another item": padded([5, 0, 0, 0, 0, 1, 0, 0, 0, 0]),
    "a goodbye too short": padded([7, 0, 0, 0, 1, 0]),
    "a goodbye too long": padded([7, 0, 0, 0, 18]),
    "a goodbye of an unknown kind": padded([7, 0, 0, 0, 17, 5]),
    "a goodbye before another item": padded([7, 0, 0, 0, 17, ...Array(17).fill(0), 3, 0, 0, 0, 0]),
  };
  for (const [name, inner] of Object.entries(cases)) {
    const { mallory, bob } = await openEvilPair();
    await mallory.peer.send(await mallory.seal(inner));
    await assertOver(bob, "bad_frame", name);
    assertEquals(await mallory.peer.lastWords(), "bad_frame", name);
  }
});

test("of thousands of records that come in one piece, a few are opened at once, and all in order", async () => {
  const between = pipe();
  const clock = () => 0;
  const connection = new Connection(between.right, clock);
  connection.markOpen();
  let now = 0, most = 0, opened = 0;
  const cipher = {
    ready: true,
    open: async () => {
      most = Math.max(most, ++now);
      const inner = new Uint8Array(64);
      inner.set([ItemType.message, 0, 0, 0, 1, opened++ & 0xff]);
      await turn();
      now--;
      return inner;
    },
  };
  const receiver = new Receiver(connection, clock, cipher as unknown as RecordCipher);
  const record = concat([frameHeader(FrameKind.record, 80), new Uint8Array(80)]);
  between.toRight.deliver(concat(Array(5000).fill(record)));
  for (let n = 0; n < 5000; n++) {
    assertEquals((await receiver.next())[0]!.body[0], n & 0xff);
  }
  // Beside the one that is waited for.
  assert(most <= RECORDS_IN_FLIGHT + 1, `${most} at once`);
});

test("R7: a second key update before 64 records are through is refused", async () => {
  for (const records of [0, 1, KEY_UPDATE_MIN_RECORDS - 2]) {
    const { mallory, bob } = await openEvilPair();
    await mallory.send(ItemType.keyUpdate);
    await mallory.sealer.update();
    for (let n = 0; n < records; n++) await mallory.send(ItemType.message, new Uint8Array([n]));
    await mallory.send(ItemType.keyUpdate);
    assertEquals((await firstBytes(bob, records)).length, records);
    await assertOver(bob, "limit", `${records} records`);
    assertEquals(await mallory.receive(), "limit");
  }
});

test("R7: ten key updates a minute are taken, and no more", async () => {
  const { mallory, bob, clock } = await openEvilPair();
  const round = async () => {
    for (let n = 1; n < KEY_UPDATE_MIN_RECORDS; n++) {
      await mallory.send(ItemType.message, new Uint8Array([n]));
    }
    await mallory.send(ItemType.keyUpdate);
    await mallory.sealer.update();
    assertEquals((await firstBytes(bob, KEY_UPDATE_MIN_RECORDS - 1)).length, 63);
  };
  for (let n = 0; n < KEY_UPDATES_PER_MINUTE; n++) await round();
  // The last update is taken with the record behind it.
  await mallory.send(ItemType.message, new Uint8Array([1]));
  await firstBytes(bob, 1);
  clock.advance(60_000);
  await round();
  for (let n = 1; n < KEY_UPDATES_PER_MINUTE; n++) await round();
  await mallory.send(ItemType.message, new Uint8Array([1]));
  await firstBytes(bob, 1);
  await round();
  await assertOver(bob, "limit");
});

test("R8: a storm of pings gets at most one pong a second", async () => {
  const { mallory, bob, pipe, clock } = await openEvilPair();
  let pongs = 0;
  let pinged = 0;
  const bound = () => 1 + Math.floor(clock.now() / PONG_INTERVAL);
  for (let round = 0; round < 40; round++) {
    const pings = Array.from({ length: 250 }, () => bare(ItemType.ping));
    pinged += pings.length;
    pipe.toRight.deliver(await mallory.sealItems(...pings, message(round)));
    assertEquals(await firstBytes(bob, 1), [round]);
    await bob.flush();
    clock.advance(PONG_INTERVAL / 4);
  }
  bob.send(ItemType.message, new Uint8Array([77]));
  await bob.flush();
  for (let last = false; !last;) {
    const items = await mallory.receive();
    assert(Array.isArray(items));
    for (const { type } of items as readonly Item[]) {
      if (type === ItemType.pong) pongs++;
      else last = true;
    }
  }
  assertEquals(pinged, 10_000);
  assert(pongs >= 9 && pongs <= bound(), `${pongs} pongs`);
  bob.destroy();
});

test("R8: a flood of pongs, which nobody asked for, does nothing", async () => {
  const { mallory, bob, pipe } = await openEvilPair();
  for (let n = 0; n < 20; n++) {
    pipe.toRight.deliver(await mallory.sealItems(...Array(500).fill(bare(ItemType.pong))));
  }
  pipe.toRight.deliver(await mallory.sealItems(message(1)));
  assertEquals(await firstBytes(bob, 1), [1]);
  assertEquals(pipe.toLeft.bytes.length, 0);
});

test("R9: a record on the ladder is out of turn at every step", async () => {
  const record = concat([frameHeader(FrameKind.record, 80), new Uint8Array(80)]);
  const { initiator, responder } = await scene("modern");
  for (const last of [1, 3] as const) {
    const between = pipe();
    const connection = new Connection(between.right, new ManualTime().now);
    const peer = new EvilPeer(between.left);
    const climbing = runHandshake(connection, startResponder(responder))
      .then(() => undefined, (error) => error as CifraError);
    await peer.runHandshake(initiator, last);
    await peer.send(record);
    assertEquals((await climbing)?.code, "bad_state");
    assertEquals(await peer.lastWords(), "bad_state");
  }
  const between = pipe();
  const connection = new Connection(between.right, new ManualTime().now);
  between.toRight.deliver(record);
  const refused = await runHandshake(connection, startResponder(responder))
    .then(() => undefined, (error) => error as CifraError);
  assertEquals(refused?.code, "bad_state");
});

test("R10: nothing counts after a goodbye", async () => {
  const { mallory, bob, pipe } = await openEvilPair();
  const goodbye = {
    type: ItemType.close,
    body: encode(closeLayout, { code: CloseCode.done, lastSent: 1n, lastStored: 0n }),
  };
  pipe.toRight.deliver(await mallory.sealItems(message(1), goodbye));
  pipe.toRight.deliver(await mallory.sealItems(message(2)));
  pipe.toRight.deliver(new Uint8Array(100).fill(0xff));
  assertEquals(await firstBytes(bob, 1), [1]);
  for (let again = 0; again < 3; again++) assertEquals(await bob.receive(), null);
  assertEquals(bob.goodbye, { code: CloseCode.done, lastSent: 1n, lastStored: 0n });
});

/** What `classic` signs for a record (protocol.md 3.5), written here a second time. */
async function signedInput(counter: number, sealed: Bytes): Promise<Bytes> {
  const sequence = new Uint8Array(8);
  new DataView(sequence.buffer).setBigUint64(0, BigInt(counter));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-512", sealed));
  return concat([encodeUtf8("cifra/1 rec"), encodeUtf8("i2r"), sequence, hash]);
}

/** HKDF-SHA-512 without salt. */
async function expand(secret: Bytes, info: string, length: number): Promise<Bytes> {
  const key = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const how = { name: "HKDF", hash: "SHA-512", salt: EMPTY, info: encodeUtf8(info) };
  return new Uint8Array(await crypto.subtle.deriveBits(how, key, length * 8));
}

/** Sends records of `classic` made by hand: the block cipher, the MAC and the signature each on their own. */
async function classicByHand() {
  const { initiator } = await ends("classic");
  const key = await expand(initiator.sendSecret, "key", 64);
  const macKey = await crypto.subtle.importKey(
    "raw",
    key.slice(0, 32),
    { name: "HMAC", hash: "SHA-512" },
    false,
    ["sign"],
  );
  const blockKey = await crypto.subtle.importKey("raw", key.slice(32), "AES-CBC", false, [
    "encrypt",
  ]);
  const iv = new Uint8Array(16).fill(3);
  return {
    iv,
    /** Whole blocks under AES-CBC, with no padding but what is given. */
    async blocks(plaintext: Bytes): Promise<Bytes> {
      const encrypted = await crypto.subtle.encrypt({ name: "AES-CBC", iv }, blockKey, plaintext);
      return new Uint8Array(encrypted).slice(0, plaintext.length);
    },
    /** IV, ciphertext and MAC, for a record with a signature behind them. */
    async sealed(ciphertext: Bytes): Promise<Bytes> {
      const header = frameHeader(FrameKind.record, 16 + ciphertext.length + 32 + 64);
      const length = new Uint8Array(8);
      length[7] = header.length * 8;
      const input = concat([header, iv, ciphertext, length]);
      const mac = new Uint8Array(await crypto.subtle.sign("HMAC", macKey, input)).slice(0, 32);
      return concat([iv, ciphertext, mac]);
    },
    async signed(sealed: Bytes, counter = 0): Promise<Bytes> {
      return concat([sealed, await initiator.ours.sign(await signedInput(counter, sealed))]);
    },
  };
}

/** The inside of a good record of `classic`, with PKCS #7 padding to whole blocks. */
function classicPlaintext(): Bytes {
  const plaintext = new Uint8Array(80).fill(16, 64);
  plaintext.set([ItemType.message, 0, 0, 0, 1, 42]);
  return plaintext;
}

/** What Bob makes of one record body in `classic`: a message's byte, or the code of his failure. */
async function classicVerdict(body: Bytes): Promise<number | ErrorCode> {
  const { mallory, bob } = await openEvilPair("classic");
  await mallory.peer.sendFrame(FrameKind.record, body);
  const items = await bob.receive();
  return items ? items[0]!.body[0]! : bob.failure!.code;
}

test("R12: a record of classic made by hand is good when all of it is good", async () => {
  const { blocks, sealed, signed } = await classicByHand();
  const record = await signed(await sealed(await blocks(classicPlaintext())));
  assertEquals(await classicVerdict(record), 42);
});

test("R12: classic refuses a good MAC with a bad signature, and the reverse", async () => {
  const { blocks, sealed, signed } = await classicByHand();
  const good = await sealed(await blocks(classicPlaintext()));
  const otherCounter = await signed(good, 1);
  assertEquals(await classicVerdict(otherCounter), "auth_failed");
  assertEquals(await classicVerdict(concat([good, new Uint8Array(64)])), "auth_failed");
  assertEquals(await classicVerdict(concat([good, new Uint8Array(64).fill(255)])), "auth_failed");
  for (const at of [0, 15, 16, 95, 96, good.length - 1]) {
    const spoiled = good.slice();
    spoiled[at]! ^= 0x80;
    assertEquals(await classicVerdict(await signed(spoiled)), "auth_failed", `byte ${at}`);
  }
});

test("R12: classic tells nothing about padding, good or bad, under a good MAC", async () => {
  const { blocks, sealed, signed } = await classicByHand();
  const paddings = [0, 1, 2, 15, 17, 32, 80, 255];
  for (const padding of paddings) {
    const plaintext = classicPlaintext();
    plaintext.fill(padding, 64);
    if (padding === 1) plaintext.fill(0, 64, 79);
    const record = await signed(await sealed(await blocks(plaintext)));
    const verdict = await classicVerdict(record);
    // Padding by one byte is legal CBC, and then the inside is 79 bytes, which no record has.
    const expected = padding === 1 || padding === 2 || padding === 15 ? "bad_frame" : "auth_failed";
    assertEquals(verdict, expected, `padding ${padding}`);
  }
});

test("R12: classic with fewer blocks than one is refused", async () => {
  const { sealed, signed } = await classicByHand();
  for (const length of [0, 8, 15, 17]) {
    const record = await signed(await sealed(new Uint8Array(length)));
    assertEquals(await classicVerdict(record), "auth_failed", `${length} bytes`);
  }
});

test("a channel's alert reaches the other channel as its failure", async () => {
  const { mallory, bob } = await openEvilPair();
  await mallory.peer.sendFrame(FrameKind.alert, new Uint8Array([8]));
  await assertOver(bob, "limit");
  await turn();
  assertEquals(await mallory.peer.readToEnd(), EMPTY);
});
