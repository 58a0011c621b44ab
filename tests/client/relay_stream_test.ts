import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { type Bytes, writeAll } from "../../lib/bytes.ts";
import { RelayStream } from "../../lib/client/relay_stream.ts";
import { CifraError } from "../../lib/errors.ts";
import { ITEM_BODY_LIMIT, RELAY_WINDOW } from "../../lib/limits.ts";
import type { Channel } from "../../lib/channel/channel.ts";
import { decode } from "../../lib/wire/layout.ts";
import { CloseCode, ItemType } from "../../lib/wire/records.ts";
import { type RelayItem, relayItem } from "../../lib/wire/relay_messages.ts";
import { openChannels, test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { turn } from "../testkit/turn.ts";

const STREAM = 9;
const PIECE_LIMIT = ITEM_BODY_LIMIT - 5;

/** A stream over a channel, and what the server hears of it. */
class Scene implements Disposable {
  readonly stream: RelayStream;
  readonly time = new ManualTime();
  readonly channel: Channel;
  readonly #server: Channel;
  #heard: RelayItem[] = [];
  /** How often the stream said that it is over. */
  endings = 0;

  constructor(channel: Channel, server: Channel) {
    this.channel = channel;
    this.#server = server;
    this.stream = new RelayStream(channel, STREAM, this.time, () => this.endings++);
  }

  static async open(): Promise<Scene> {
    const { alice, bob } = await openChannels();
    return new Scene(alice, bob);
  }

  /** The server passes on a piece of so many bytes, or these. */
  data(content: Bytes | number): void {
    const bytes = typeof content === "number" ? new Uint8Array(content) : content;
    this.stream.take({ type: "data", stream: STREAM, content: bytes });
  }

  credit(count: number): void {
    this.stream.take({ type: "credit", stream: STREAM, count });
  }

  /** The next thing the server hears of the stream; undefined when the channel is over. */
  async heard(): Promise<RelayItem | undefined> {
    if (this.#heard.length === 0) {
      const items = await this.#server.receive();
      if (!items) return undefined;
      for (const { type, body } of items) {
        assertEquals(type, ItemType.relay);
        this.#heard.push(decode(relayItem, body));
      }
    }
    const item = this.#heard.shift()!;
    assertEquals(item.stream, STREAM);
    return item;
  }

  /** All that the server still hears until the channel ends, which it does now. */
  async rest(): Promise<RelayItem[]> {
    if (this.channel.isOpen) await this.channel.close(CloseCode.done);
    const items: RelayItem[] = [];
    for (let item = await this.heard(); item; item = await this.heard()) items.push(item);
    return items;
  }

  /** Reads so many bytes, at most `step` at a time. */
  async read(length: number, step = length): Promise<Bytes> {
    const pieces: Bytes[] = [];
    for (let left = length; left > 0;) {
      const buffer = new Uint8Array(Math.min(step, left));
      const count = await this.stream.read(buffer);
      assert(count !== null && count > 0, `${left} of ${length} bytes are missing`);
      pieces.push(buffer.slice(0, count));
      left -= count;
    }
    return concat(pieces);
  }

  [Symbol.dispose](): void {
    this.channel.destroy();
    this.#server.destroy();
  }
}

function count(items: readonly RelayItem[], type: "credit" | "data"): number {
  return items.reduce((sum, item) => {
    if (item.type !== type) return sum;
    return sum +
      (item.type === "credit" ? item.count : (item as { content: Bytes }).content.length);
  }, 0);
}

/** Bytes of which no two places nearby are equal. */
function pattern(length: number): Bytes {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
}

function contents(items: readonly RelayItem[]): (Bytes | false)[] {
  return items.map((item) => item.type === "data" && item.content);
}

test("write() sends pieces that fit a record, and says how much it took", async () => {
  using scene = await Scene.open();
  const bytes = pattern(PIECE_LIMIT + 10);
  assertEquals(await scene.stream.write(bytes.subarray(0, 3)), 3);
  assertEquals(await scene.stream.write(bytes), PIECE_LIMIT);
  assertEquals(await scene.stream.write(bytes.subarray(PIECE_LIMIT)), 10);
  // What stood at the end of something longer goes by itself when nothing follows.
  scene.time.advance(0);
  assertEquals(contents(await scene.rest()), [
    bytes.subarray(0, 3),
    bytes.subarray(0, PIECE_LIMIT),
    bytes.subarray(PIECE_LIMIT),
  ]);
});

test("the end of a long write goes with the next one, and whole pieces go on", async () => {
  using scene = await Scene.open();
  const bytes = pattern(RELAY_WINDOW);
  const long = PIECE_LIMIT + 100;
  for (let at = 0; at < 3 * long; at += long) {
    await writeAll(scene.stream, bytes.subarray(at, at + long));
  }
  scene.time.advance(0);
  await writeAll(scene.stream, bytes.subarray(0, 7));
  const sent = contents(await scene.rest()) as Bytes[];
  assertEquals(sent.map(({ length }) => length), [PIECE_LIMIT, PIECE_LIMIT, PIECE_LIMIT, 300, 7]);
  assertEquals(concat(sent), concat([bytes.subarray(0, 3 * long), bytes.subarray(0, 7)]));
});

test("a small write behind a long one brings along what waits", async () => {
  using scene = await Scene.open();
  const bytes = pattern(PIECE_LIMIT + 100);
  await writeAll(scene.stream, bytes);
  await writeAll(scene.stream, bytes.subarray(0, 7));
  const sent = contents(await scene.rest()) as Bytes[];
  assertEquals(sent.map(({ length }) => length), [PIECE_LIMIT, 107]);
});

test("the end of a long write is sent before the end of our output, and not after the end of all", async () => {
  for (const end of ["closeWrite", "close", "end"] as const) {
    using scene = await Scene.open();
    await writeAll(scene.stream, pattern(PIECE_LIMIT + 100));
    await scene.stream[end]();
    scene.time.advance(0);
    const total = end === "closeWrite" ? PIECE_LIMIT + 100 : PIECE_LIMIT;
    assertEquals(count(await scene.rest(), "data"), total);
  }
});

test("write() takes no more than there is credit for, and waits for more, not to send in crumbs", async () => {
  using scene = await Scene.open();
  const bytes = new Uint8Array(2 * RELAY_WINDOW);
  let written = 0;
  while (written + PIECE_LIMIT <= RELAY_WINDOW) {
    written += await scene.stream.write(bytes.subarray(written));
  }
  const left = RELAY_WINDOW - written;
  let more: number | undefined;
  const waiting = scene.stream.write(bytes).then((taken) => more = taken);
  for (const credit of [0, PIECE_LIMIT - left - 1]) {
    scene.credit(credit);
    for (let turns = 0; turns < 10; turns++) await turn();
    assertEquals(more, undefined);
  }
  scene.credit(1);
  assertEquals(await waiting, PIECE_LIMIT);
  // What is short needs no more than its length.
  scene.credit(5);
  assertEquals(await scene.stream.write(bytes.subarray(0, 5)), 5);
  scene.time.advance(0);
  assertEquals(count(await scene.rest(), "data"), written + PIECE_LIMIT + 5);
});

test("read() gives what has come in order, in pieces of any size", async () => {
  for (const step of [1, 7, 1000, 5000]) {
    using scene = await Scene.open();
    const bytes = pattern(4096);
    scene.data(bytes.subarray(0, 1));
    scene.data(bytes.subarray(1, 1000));
    scene.data(bytes.subarray(1000));
    assertEquals(await scene.read(bytes.length, step), bytes);
  }
});

test("read() waits for what comes", async () => {
  using scene = await Scene.open();
  const reading = scene.read(3);
  await turn();
  scene.credit(1);
  scene.data(pattern(3));
  assertEquals(await reading, pattern(3));
});

test("read() gives credit in strides, and never more than it took off", async () => {
  using scene = await Scene.open();
  const stride = PIECE_LIMIT;
  scene.data(RELAY_WINDOW);
  await scene.read(stride - 1, 100);
  await scene.read(1);
  assertEquals(await scene.heard(), { type: "credit", stream: STREAM, count: stride });
  // So much may come again, and not a byte more.
  scene.data(stride);
  assertThrows(() => scene.data(1), CifraError);
  await scene.read(RELAY_WINDOW - 10, 5000);
  const credits = count(await scene.rest(), "credit");
  assert(credits <= RELAY_WINDOW - 10 && credits > RELAY_WINDOW - 10 - stride, `${credits}`);
});

test("take() refuses more than there was credit for", async () => {
  for (const taken of [0, 1000]) {
    using scene = await Scene.open();
    scene.data(RELAY_WINDOW - 1);
    // What was taken off and not credited may not come again.
    if (taken > 0) await scene.read(taken);
    scene.data(1);
    const error = assertThrows(() => scene.data(1), CifraError);
    assertEquals(error.code, "limit");
  }
});

test("after the other side's end, what has come may still be read", async () => {
  using scene = await Scene.open();
  const bytes = pattern(RELAY_WINDOW / 2);
  scene.data(bytes);
  scene.stream.take({ type: "close", stream: STREAM });
  assertEquals(scene.endings, 1);
  scene.data(1);
  assertEquals(await scene.read(bytes.length, 10_000), bytes);
  for (let n = 0; n < 3; n++) assertEquals(await scene.stream.read(new Uint8Array(9)), null);
  // Nobody wants credit any more, nor to hear that it is over.
  scene.stream.close();
  assertEquals(scene.endings, 1);
  assertEquals(await scene.rest(), []);
});

test("an end wakes whoever reads and whoever waits for credit", async () => {
  for (const end of ["close", "end", "take"] as const) {
    using scene = await Scene.open();
    const reading = scene.stream.read(new Uint8Array(1));
    await writeAll(scene.stream, new Uint8Array(RELAY_WINDOW));
    const writing = assertRejects(() => scene.stream.write(new Uint8Array(1)), CifraError);
    await turn();
    if (end === "take") scene.stream.take({ type: "close", stream: STREAM });
    else scene.stream[end]();
    assertEquals(await reading, null);
    assertEquals((await writing).code, "cut");
    assertEquals(scene.endings, 1);
  }
});

test("close() tells the other side once, and forgets what was not read", async () => {
  using scene = await Scene.open();
  await scene.stream.write(new Uint8Array(5));
  scene.data(100);
  // There is no half of a stream to end.
  await scene.stream.closeWrite();
  await scene.stream.write(new Uint8Array(1));
  scene.stream.close();
  scene.stream.close();
  assertEquals(scene.endings, 1);
  assertEquals(await scene.stream.read(new Uint8Array(9)), null);
  const error = await assertRejects(() => scene.stream.write(new Uint8Array(1)), CifraError);
  assertEquals(error.code, "cut");
  const said = (await scene.rest()).map(({ type }) => type);
  assertEquals(said, ["data", "data", "close"]);
});

test("a stream over a channel that has gone says nothing and can be read to its end", async () => {
  for (const how of ["close", "destroy", "fail"] as const) {
    using scene = await Scene.open();
    scene.data(RELAY_WINDOW);
    if (how === "close") await scene.channel.close(CloseCode.done);
    else if (how === "destroy") scene.channel.destroy();
    else scene.channel.fail(new CifraError("limit", "Enough"));
    const error = await assertRejects(() => scene.stream.write(new Uint8Array(1)), CifraError);
    assertEquals(error.code, "cut");
    // No credit can be given.
    await scene.read(RELAY_WINDOW);
    scene.stream.close();
    assertEquals(await scene.rest(), []);
  }
});

test("a channel that takes no more lets nobody write, and wakes them when it fails", async () => {
  const { alice, bob, pipe } = await openChannels("modern", { capacity: 1 });
  pipe.toRight.stall();
  const stream = new RelayStream(alice, STREAM, new ManualTime(), () => {});
  // Three windows fit under the mark up to which a channel takes what is sent.
  stream.take({ type: "credit", stream: STREAM, count: 100 * RELAY_WINDOW });
  let written = 0, failed: unknown;
  const writing = (async () => {
    for (;;) written += await stream.write(new Uint8Array(PIECE_LIMIT));
  })().catch((error) => failed = error);
  for (let turns = 0; turns < 50; turns++) await turn();
  const stopped = written;
  for (let turns = 0; turns < 50; turns++) await turn();
  assertEquals(written, stopped);
  assert(written < 5 * RELAY_WINDOW, `${written}`);
  alice.destroy();
  bob.destroy();
  await writing;
  assert(failed instanceof CifraError && failed.code === "cut");
});

test("a stream for which the server has no room says so, to who reads and who writes", async () => {
  using scene = await Scene.open();
  const reading = assertRejects(() => scene.stream.read(new Uint8Array(1)), CifraError);
  scene.stream.take({ type: "full", stream: STREAM });
  assertEquals((await reading).message, "no room on the relay now");
  const error = await assertRejects(() => scene.stream.write(new Uint8Array(1)), CifraError);
  assertEquals([error.code, error.message], ["busy", "no room on the relay now"]);
  assertEquals(scene.endings, 1);
});
