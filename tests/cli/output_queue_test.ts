/** Lines that wait for a reader who pauses. */
import { assert, assertEquals } from "@std/assert";
import { decodeUtf8, encodeUtf8 } from "../../lib/bytes.ts";
import { OutputQueue, QUEUE_FULL, QUEUE_LIMIT, ReaderPauses } from "../../lib/cli/output_queue.ts";
import { turn } from "../testkit/turn.ts";

/** A reader that takes what it is given when the test says so, and so many bytes at most. */
class Reader {
  text = "";
  writes = 0;
  #gate: PromiseWithResolvers<void> | undefined;
  readonly #most: number;

  constructor(most = Infinity) {
    this.#most = most;
  }

  pause(): void {
    this.#gate ??= Promise.withResolvers();
  }

  goOn(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  break(error: Error): void {
    this.#gate?.reject(error);
  }

  async write(bytes: Uint8Array): Promise<number> {
    await this.#gate?.promise;
    this.writes++;
    const taken = bytes.slice(0, this.#most);
    this.text += decodeUtf8(taken);
    return taken.length;
  }
}

/** A line of so many bytes, as there is a piece of its own for it. */
const LONG = encodeUtf8("x".repeat(65_536));

function queueTo(
  reader: Reader,
  drops = false,
): { readonly queue: OutputQueue; readonly errors: unknown[] } {
  const errors: unknown[] = [];
  const queue = new OutputQueue(reader, {
    onFailure: (error) => void errors.push(error),
    ...drops && { describeDropped: (lines) => encodeUtf8(`${lines} left out\n`) },
  });
  return { queue, errors };
}

Deno.test("lines are written in order, and those that are said in one go at once", async () => {
  const reader = new Reader();
  const { queue, errors } = queueTo(reader);
  const written: number[] = [];
  for (const n of [1, 2, 3]) queue.push(encodeUtf8(`${n}\n`), () => written.push(n));
  assertEquals([reader.text, written], ["", []]);
  await queue.drained();
  assertEquals([reader.text, reader.writes, written], ["1\n2\n3\n", 1, [1, 2, 3]]);
  queue.push(encodeUtf8("4\n"));
  await queue.drained();
  assertEquals([reader.text, errors], ["1\n2\n3\n4\n", []]);
});

Deno.test("what a write takes in part is written to its end", async () => {
  const reader = new Reader(3);
  const { queue } = queueTo(reader);
  for (const word of ["alice", "bob"]) queue.push(encodeUtf8(`${word}\n`));
  await queue.drained();
  assertEquals(reader.text, "alice\nbob\n");
});

Deno.test("a reader that pauses keeps nobody waiting; what it has not taken is not written", async () => {
  const reader = new Reader();
  reader.pause();
  const { queue } = queueTo(reader);
  let written = 0;
  for (let n = 0; !queue.isFull; n++) queue.push(LONG, () => written++);
  let hasRoom = false;
  const room = queue.room().then((has) => hasRoom = has);
  await turn();
  assertEquals([written, hasRoom], [0, false]);
  reader.goOn();
  await room;
  assert(written > 0 && !queue.isFull);
  await queue.drained();
  assertEquals(reader.text.length, QUEUE_FULL);
});

Deno.test("what finds the queue full is left out and counted, and that is said when there is room", async () => {
  const reader = new Reader();
  reader.pause();
  const { queue, errors } = queueTo(reader, true);
  while (!queue.isFull) queue.push(LONG);
  for (let n = 0; n < 7; n++) queue.push(encodeUtf8("lost\n"));
  await turn();
  reader.goOn();
  await queue.drained();
  assertEquals(reader.text.replaceAll("x", ""), "7 left out\n");
  assertEquals(reader.text.length, QUEUE_FULL + "7 left out\n".length);
  queue.push(encodeUtf8("later\n"));
  await queue.drained();
  assert(reader.text.endsWith("left out\nlater\n"));
  assertEquals(errors, []);
});

Deno.test("without dropping, a reader that leaves too much is an error", async () => {
  const reader = new Reader();
  reader.pause();
  const { queue, errors } = queueTo(reader);
  for (let size = 0; size < QUEUE_LIMIT; size += LONG.length) queue.push(LONG);
  assertEquals(errors, []);
  queue.push(encodeUtf8("more\n"));
  assert(errors[0] instanceof ReaderPauses);
  // Whoever waits goes on.
  assertEquals(await queue.room(), false);
  await queue.drained();
  reader.goOn();
  await turn();
});

Deno.test("a failure is told once, and nothing is written after it", async () => {
  const reader = new Reader();
  reader.pause();
  const { queue, errors } = queueTo(reader);
  let written = 0;
  queue.push(encodeUtf8("1\n"), () => written++);
  await turn();
  const gone = new Error("gone");
  reader.break(gone);
  await queue.drained();
  queue.push(encodeUtf8("2\n"), () => written++);
  await queue.drained();
  assertEquals([errors, written, reader.text], [[gone], 0, ""]);
  assertEquals(await queue.room(), false);
});

Deno.test("close() leaves what is not written, and nobody waits for it", async () => {
  const reader = new Reader();
  reader.pause();
  const { queue, errors } = queueTo(reader);
  let written = 0;
  queue.push(encodeUtf8("1\n"), () => written++);
  queue.push(LONG, () => written++);
  await turn();
  const drained = queue.drained();
  queue.close();
  await drained;
  reader.goOn();
  await turn();
  assertEquals([written, errors], [0, []]);
});
