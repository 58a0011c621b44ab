/** Pieces that are joined while a write is under way. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { concat } from "@std/bytes/concat";
import type { Bytes } from "../../lib/bytes.ts";
import { JOINED_LIMIT, JoinedOutput } from "../../lib/cli/joined_output.ts";
import { turn } from "../testkit/turn.ts";

/** An output that takes what it is given when the test says so. */
class Reader {
  readonly writes: number[] = [];
  readonly #taken: Bytes[] = [];
  readonly errors: unknown[] = [];
  #gate: PromiseWithResolvers<void> | undefined;
  readonly output = new JoinedOutput(async (bytes) => {
    this.writes.push(bytes.length);
    await this.#gate?.promise;
    // As late as a system may look.
    this.#taken.push(bytes.slice());
  }, (error) => void this.errors.push(error));

  get bytes(): number[] {
    return [...concat(this.#taken)];
  }

  pause(): void {
    this.#gate = Promise.withResolvers();
  }

  goOn(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  break(error: Error): void {
    this.#gate?.reject(error);
  }
}

function piece(n: number, length = 3): Bytes {
  return new Uint8Array(length).fill(n);
}

Deno.test("pieces that come while one is written are written together, and each is told in order", async () => {
  const reader = new Reader();
  const { output } = reader;
  const written: number[] = [];
  reader.pause();
  for (const n of [1, 2, 3, 4]) await output.push(piece(n), () => written.push(n));
  await turn();
  assertEquals([reader.writes, written], [[3], []]);
  reader.goOn();
  await output.drained();
  assertEquals([reader.writes, written], [[3, 9], [1, 2, 3, 4]]);
  assertEquals(reader.bytes, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
  await output.push(piece(5), () => written.push(5));
  await output.drained();
  assertEquals([reader.writes, written.at(-1)], [[3, 9, 3], 5]);
});

Deno.test("what is being written is not what the next pieces are joined in", async () => {
  const reader = new Reader();
  const { output } = reader;
  reader.pause();
  for (const n of [1, 2, 3]) void output.push(piece(n), () => {});
  reader.goOn();
  reader.pause();
  await turn();
  // The second write has 2 and 3 joined; these come meanwhile.
  for (const n of [4, 5]) void output.push(piece(n), () => {});
  await turn();
  reader.goOn();
  await output.drained();
  assertEquals(reader.bytes, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]);
});

Deno.test("whoever pushes waits while as much waits as is written together", async () => {
  const reader = new Reader();
  const { output } = reader;
  reader.pause();
  void output.push(piece(1), () => {});
  await turn();
  let pushed = 0;
  const pushing = (async () => {
    for (; pushed < 8; pushed++) await output.push(piece(2, JOINED_LIMIT / 4 - 1), () => {});
  })();
  for (let turns = 0; turns < 10; turns++) await turn();
  assertEquals(pushed, 4);
  reader.goOn();
  await pushing;
  await output.drained();
  assertEquals(reader.bytes.length, 3 + 8 * (JOINED_LIMIT / 4 - 1));
  assert(Math.max(...reader.writes) <= JOINED_LIMIT);
});

Deno.test("a piece of any length is written, by itself", async () => {
  const reader = new Reader();
  await reader.output.push(piece(1, 2 * JOINED_LIMIT), () => {});
  await reader.output.drained();
  assertEquals(reader.writes, [2 * JOINED_LIMIT]);
});

Deno.test("a failure is told once, to whoever waits for room, and to whoever comes after", async () => {
  const reader = new Reader();
  const { output } = reader;
  reader.pause();
  const written: number[] = [];
  void output.push(piece(1), () => written.push(1));
  await turn();
  const waiting = output.push(piece(2, JOINED_LIMIT), () => written.push(2));
  const torn = new Error("torn");
  reader.break(torn);
  assertEquals(await waiting.catch((error) => error), torn);
  await assertRejects(() => output.push(piece(3), () => written.push(3)), Error, "torn");
  await assertRejects(() => output.drained(), Error, "torn");
  assertEquals([reader.errors, written], [[torn], []]);
});
