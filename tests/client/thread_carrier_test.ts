import { assertEquals } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import type { Goodbye } from "../../lib/channel/channel.ts";
import type { Carrier, Thread } from "../../lib/client/thread.ts";
import type { CifraError } from "../../lib/errors.ts";
import { CONVERSATION_WINDOW } from "../../lib/limits.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import { lineOf } from "../../lib/wire/line.ts";
import { LogKind, peerAck, peerAway, peerMessage } from "../../lib/wire/peer_messages.ts";
import { CloseCode, type Item, ItemType } from "../../lib/wire/records.ts";
import { test } from "../testkit/adversary.ts";
import { ackItem, Ear, freshPosition, messageItem, openLink, textItem } from "../testkit/links.ts";
import { until } from "../testkit/until.ts";
import { turn } from "../testkit/turn.ts";

/** A carrier with nothing below it: the test says what is heard, and sees what is said. */
class ScriptedCarrier implements Carrier {
  readonly said: Item[] = [];
  isOpen = true;
  /** Whether more is coming than was given out. */
  hasMore = false;
  lastHeard = 0;
  goodbye: Goodbye | undefined;
  failure: CifraError | undefined;
  readonly #heard: (readonly Item[] | null)[] = [];
  #wake: (() => void) | undefined;

  /** These come as one record. */
  hear(...items: readonly Item[]): void {
    this.#heard.push(items);
    this.#wake?.();
  }

  end(): void {
    this.isOpen = false;
    this.#heard.push(null);
    this.#wake?.();
  }

  send(type: ItemType, body: Bytes): void {
    this.said.push({ type, body });
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  async receive(beforeWaiting: () => void): Promise<readonly Item[] | null> {
    while (this.#heard.length === 0) {
      beforeWaiting();
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#heard.shift()!;
  }

  probe(): void {}

  close(_code: CloseCode, lastSent: bigint, lastStored: bigint): Promise<void> {
    this.goodbye = { code: CloseCode.done, lastSent: 0n, lastStored: lastSent };
    this.lastStored = lastStored;
    this.end();
    return Promise.resolve();
  }
  /** What our goodbye said. */
  lastStored: bigint | undefined;

  fail(error: unknown): void {
    this.failure = error as CifraError;
    this.end();
  }

  destroy(): void {
    this.end();
  }

  /** The numbers of the messages that were said. */
  get numbers(): bigint[] {
    const messages = this.said.filter(({ type }) => type === ItemType.message);
    return messages.map(({ body }) => decode(peerMessage, body).number);
  }

  /** The acknowledgements that were said: stored and read. */
  get acks(): (readonly [bigint, bigint])[] {
    const acks = this.said.filter(({ type }) => type === ItemType.ack);
    return acks.map(({ body }) => decode(peerAck, body)).map(({ stored, read }) => [stored, read]);
  }
}

/** A thread to a server. */
function serverThread(): Promise<Thread> {
  return openLink("server", { kind: LogKind.live, store: undefined });
}

test("with a server, which says no hello, both go on with the next message over the next channel", async () => {
  const thread = await serverThread();
  const ear = new Ear(thread);
  const first = new ScriptedCarrier();
  const ended = thread.attachServer(first);
  await thread.sendText("one");
  await thread.sendText("two");
  await until(() => first.numbers.length === 2, "both are sent");
  first.hear(ackItem(1n, 1n), textItem(1n, "OK"));
  await ear.count(1);
  // Two was lost with the channel: it goes again over the next one, and the answer has its number.
  first.end();
  assertEquals((await ended).type, "cut");
  const second = new ScriptedCarrier();
  thread.attachServer(second);
  await until(() => second.numbers.length === 1, "two goes again");
  second.hear(ackItem(2n, 2n), textItem(2n, "OK again"));
  await thread.settled();
  await ear.count(2);
  assertEquals([first.numbers, second.numbers], [[1n, 2n], [2n]]);
  assertEquals(ear.words, ["OK", "OK again"]);
  await until(() => second.acks.length > 0, "the answer is acknowledged");
  assertEquals(second.acks.at(-1), [2n, 2n]);
  await thread.leave();
  assertEquals(second.lastStored, 2n);
});

test("an answer of a server that leaves a gap ends the channel", async () => {
  const thread = await serverThread();
  const carrier = new ScriptedCarrier();
  const ended = thread.attachServer(carrier);
  carrier.hear(textItem(2n, "where is the first?"));
  assertEquals((await ended).type, "cut");
  assertEquals(carrier.failure?.code, "bad_state");
});

test("a server is not told why we are away, and has nothing of the kind to tell", async () => {
  const ourAway = () => lineOf("back at two");
  const told: string[] = [];
  const onAway = (words: string) => void told.push(words);
  const thread = await openLink("server", {
    kind: LogKind.live,
    store: undefined,
    ourAway,
    onAway,
  });
  const carrier = new ScriptedCarrier();
  const ended = thread.attachServer(carrier);
  thread.tellAway();
  thread.tick(0);
  await thread.sendText("one");
  await until(() => carrier.numbers.length > 0, "the message");
  assertEquals(carrier.said.map(({ type }) => type), [ItemType.message]);
  carrier.hear({ type: ItemType.away, body: encode(peerAway, { words: lineOf("I serve") }) });
  assertEquals((await ended).type, "cut");
  assertEquals([carrier.failure?.code, told], ["bad_state", []]);
});

/** Bob, who takes a stream that comes in pieces of 1000 bytes, or as many as are asked for. */
async function readingStream(length = 1000) {
  const bob = await openLink("alice", { kind: LogKind.live });
  const carrier = new ScriptedCarrier();
  bob.attach(carrier, freshPosition({ kind: LogKind.live }));
  const ear = new Ear(bob);
  let last = 0;
  /** So many pieces come in one record, and are taken. */
  const hear = async (count: number) => {
    const pieces = Array.from({ length: count }, () => {
      const number = BigInt(++last);
      return messageItem({ type: "bytes", number, content: new Uint8Array(length) });
    });
    carrier.hear(...pieces);
    await ear.count(last);
    await turn();
  };
  return { bob, carrier, hear };
}

/** Pieces whose bodies are a stride, as its sender counts them. */
const STRIDE = Math.ceil(CONVERSATION_WINDOW / 4 / (1000 + 9));

test("of a stream one acknowledgement serves a stride of pieces, whether more is coming or not", async () => {
  const { bob, carrier, hear } = await readingStream();
  // The first is told at once, as the first of every channel is.
  await hear(1);
  for (const hasMore of [true, false]) {
    carrier.hasMore = hasMore;
    await hear(STRIDE);
  }
  await hear(10);
  const acknowledged = [1, 1 + STRIDE, 1 + 2 * STRIDE].map(BigInt);
  assertEquals(carrier.acks, acknowledged.map((n) => [n, n] as const));
  await bob.leave();
});

test("small pieces of a stream count as their sender counts them, with what stands around them", async () => {
  const { bob, carrier, hear } = await readingStream(91);
  await hear(1);
  await hear(Math.ceil(CONVERSATION_WINDOW / 4 / 100));
  assertEquals(carrier.acks.length, 2);
  await bob.leave();
});

test("of a stream that rests the next tick tells what was taken, once, and then the next piece is told at once", async () => {
  const { bob, carrier, hear } = await readingStream();
  await hear(1);
  await hear(3);
  assertEquals(carrier.acks, [[1n, 1n]]);
  for (let n = 0; n < 3; n++) bob.tick(n);
  assertEquals(carrier.acks, [[1n, 1n], [4n, 4n]]);
  await hear(1);
  await hear(1);
  assertEquals(carrier.acks, [[1n, 1n], [4n, 4n], [5n, 5n]]);
  await bob.leave();
});

test("no tick acknowledges anything on a channel of which it is not known yet where the logs go on", async () => {
  const { bob, carrier, hear } = await readingStream();
  await hear(3);
  carrier.end();
  await until(() => !bob.isAttached, "the channel is gone");
  const { promise: opened, resolve: open } = Promise.withResolvers<undefined>();
  const opening = bob.whileApart(() => opened);
  const next = new ScriptedCarrier();
  bob.attach(next, freshPosition({ kind: LogKind.live }));
  bob.tick(0);
  for (let turns = 0; turns < 5; turns++) await turn();
  assertEquals(next.said, []);
  open(undefined);
  await opening;
  await until(() => next.acks.length > 0, "what was taken is told");
  assertEquals(next.acks, [[3n, 3n]]);
  await bob.leave();
});

test("the end of a stream is acknowledged at once", async () => {
  const { bob, carrier, hear } = await readingStream();
  await hear(5);
  carrier.hear(messageItem({ type: "end", number: 6n, id: new Uint8Array(16).fill(1) }));
  await until(() => carrier.acks.at(-1)?.[0] === 6n, "the end is acknowledged");
  await bob.leave();
});
