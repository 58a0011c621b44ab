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

function queueTo(reader: Reader): { readonly queue: OutputQueue; readonly errors: unknown[] } {
  const errors: unknown[] = [];
  const queue = new OutputQueue(reader, {
    onFailure: (error) => void errors.push(error),
    onDropped: (lines) => queue.push(encodeUtf8(`${lines} left out\n`)),
  });
  return { queue, errors };
}

Deno.test("lines are written in order, and those that are said in one go at once", async () => {
  const reader = new Reader();
  const { queue, errors } = queueTo(reader);
  const written: number[] = [];
  for (const n of [1, 2, 3]) {
    queue.push(encodeUtf8(`${n}\n`), { onWritten: () => written.push(n) });
  }
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
  for (let n = 0; !queue.isFull; n++) queue.push(LONG, { onWritten: () => written++ });
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
  const { queue, errors } = queueTo(reader);
  while (!queue.isFull) assert(queue.offer(LONG));
  for (let n = 0; n < 7; n++) assert(!queue.offer(encodeUtf8("lost\n")));
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

Deno.test("of what must come out, a reader that leaves too much is an error", async () => {
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
  queue.push(encodeUtf8("1\n"), { onWritten: () => written++ });
  await turn();
  const gone = new Error("gone");
  reader.break(gone);
  await queue.drained();
  queue.push(encodeUtf8("2\n"), { onWritten: () => written++ });
  await queue.drained();
  assertEquals([errors, written, reader.text], [[gone], 0, ""]);
  assertEquals(await queue.room(), false);
});

Deno.test("close() leaves what is not written, and nobody waits for it", async () => {
  const reader = new Reader();
  reader.pause();
  const { queue, errors } = queueTo(reader);
  let written = 0;
  queue.push(encodeUtf8("1\n"), { onWritten: () => written++ });
  queue.push(LONG, { onWritten: () => written++ });
  await turn();
  const drained = queue.drained();
  queue.close();
  await drained;
  reader.goOn();
  await turn();
  assertEquals([written, errors], [0, []]);
});

Deno.test("lines for two places come in their order, each where it belongs", async () => {
  const order: string[] = [];
  const place = (name: string) => ({
    write(bytes: Uint8Array): Promise<number> {
      order.push(`${name}:${decodeUtf8(bytes.slice())}`);
      return Promise.resolve(bytes.length);
    },
  });
  const out = place("out"), err = place("err");
  const queue = new OutputQueue(out, { onFailure: () => {}, onDropped: () => {} });
  for (const [n, to] of [out, out, err, out].entries()) queue.push(encodeUtf8(`${n}`), { to });
  await queue.drained();
  assertEquals(order, ["out:01", "err:2", "out:3"]);
});

Deno.test("something is being written until the reader takes it, also when nobody waits any more", async () => {
  const reader = new Reader();
  reader.pause();
  const { queue } = queueTo(reader);
  assert(!queue.isBusy);
  queue.push(encodeUtf8("1\n"));
  await turn();
  let isIdle = false;
  const idle = queue.idle().then(() => isIdle = true);
  queue.close();
  await queue.drained();
  await turn();
  assertEquals([queue.isBusy, isIdle], [true, false]);
  reader.goOn();
  await idle;
  assert(!queue.isBusy);
});
