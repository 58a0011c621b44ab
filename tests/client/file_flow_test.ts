/** The content of files on one channel: turns, credit, and what no other side may say. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import { FileFlow, type Inflow, type Outflow, type Want } from "../../lib/client/file_flow.ts";
import { CifraError } from "../../lib/errors.ts";
import { FILE_WINDOW_LIMIT, FILE_WORDS_PER_MINUTE } from "../../lib/limits.ts";
import { type FileItem, fileItem, HoldReason } from "../../lib/wire/file_messages.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import { ManualTime } from "../testkit/clock.ts";
import { turn } from "../testkit/turn.ts";

const ONE = new Uint8Array(16).fill(1), TWO = new Uint8Array(16).fill(2);

function want(transfer: Bytes, turn = 1): Want {
  const digests = new Uint8Array(0);
  return {
    type: "want",
    transfer,
    turn,
    entry: 0,
    offset: 0,
    size: 0,
    modified: 0,
    block: 0,
    digests,
  };
}

function data(transfer: Bytes, length: number, turn = 1): FileItem {
  return { type: "data", transfer, turn, entry: 0, offset: 0, content: new Uint8Array(length) };
}

/** Gives pieces of its transfer for ever. */
class Endless implements Outflow {
  isClosed = false;
  readonly #transfer: Bytes;

  constructor(transfer: Bytes) {
    this.#transfer = transfer;
  }

  next(_limit: number, pieceLimit: number) {
    const length = Math.min(1000, pieceLimit);
    return [{ body: encode(fileItem, data(this.#transfer, length)), length }];
  }

  close(): void {
    this.isClosed = true;
  }
}

/** Takes everything, at once or never. */
class Mouth implements Inflow {
  readonly taken: FileItem[] = [];
  readonly #isSlow: boolean;

  constructor(isSlow = false) {
    this.#isSlow = isSlow;
  }

  take(item: FileItem): Promise<void> | undefined {
    this.taken.push(item);
    return this.#isSlow ? new Promise(() => {}) : undefined;
  }

  detach(): void {}
}

/** A flow, and what it says to the other side. */
function open() {
  const time = new ManualTime();
  const said: FileItem[] = [];
  const given: Endless[] = [];
  const held: string[] = [];
  const flow = new FileFlow(
    {
      isOpen: true,
      send: (body) => void said.push(decode(fileItem, body)),
      ready: () => Promise.resolve(),
      noteUnderWay: () => {},
      fail: (error) => {
        throw error;
      },
    },
    {
      give: ({ transfer }) => {
        given.push(new Endless(transfer));
        return given.at(-1);
      },
      held: ({ transfer }) => void held.push(String(transfer[0])),
    },
    time,
  );
  const hear = (item: FileItem) => flow.hear(encode(fileItem, item));
  return { flow, hear, said, given, held, time };
}

/** The code with which something is refused. */
function refusal(job: () => void): string {
  return assertThrows(job, CifraError).code;
}

function lengthOf(items: readonly FileItem[]): number {
  return items.reduce((sum, item) => sum + (item.type === "data" ? item.content.length : 0), 0);
}

Deno.test("no more is under way than there is a window, and two transfers take turns", async () => {
  const { flow, hear, said } = open();
  hear(want(ONE));
  hear(want(TWO));
  await turn();
  const before = lengthOf(said);
  assert(before > 0 && before <= 64 * 1024);
  hear({ type: "taken", bytes: BigInt(before) });
  await turn();
  assert(lengthOf(said) > before);
  const order = said.flatMap((item) => item.type === "data" ? [item.transfer[0]] : []);
  assertEquals(order.slice(0, 6), [1, 2, 1, 2, 1, 2]);
  flow.end();
});

Deno.test("held or wanted anew, the old turn ends; the channel gone, all end", async () => {
  const { flow, hear, given, held } = open();
  hear(want(ONE));
  hear(want(ONE, 2));
  assertEquals(given.map(({ isClosed }) => isClosed), [true, false]);
  hear({ type: "hold", transfer: ONE, why: HoldReason.full });
  assertEquals([given[1]!.isClosed, held], [true, ["1"]]);
  hear(want(TWO));
  await turn();
  flow.end();
  assert(given[2]!.isClosed);
});

Deno.test("what is dealt with is told by stride, and after a moment", () => {
  const { flow, hear, said, time } = open();
  const mouth = new Mouth();
  flow.ask(want(ONE), mouth);
  hear(data(ONE, 100));
  hear(data(ONE, 50));
  assertEquals(said.length, 1);
  time.advance(5);
  assertEquals(said.at(-1), { type: "taken", bytes: 150n });
  flow.drop("01".repeat(16));
  hear(data(ONE, 25));
  time.advance(5);
  assertEquals(said.at(-1), { type: "taken", bytes: 175n });
  assertEquals(mouth.taken.length, 2);
  assertEquals(time.pending, 0);
  flow.end();
});

Deno.test("what was never wanted, or taken, is refused; so is a turn that does not grow", () => {
  const { flow, hear } = open();
  assertEquals(refusal(() => hear(data(ONE, 10))), "bad_state");
  assertEquals(
    refusal(() => hear({ type: "end", transfer: ONE, turn: 1, entry: 1, size: 1 })),
    "bad_state",
  );
  assertEquals(
    refusal(() => hear({ type: "pause", transfer: ONE, why: HoldReason.other })),
    "bad_state",
  );
  assertEquals(refusal(() => hear({ type: "taken", bytes: 1n })), "bad_state");
  hear(want(ONE, 5));
  assertEquals(refusal(() => hear(want(ONE, 5))), "bad_state");
  assertEquals(refusal(() => hear(want(ONE, 4))), "bad_state");
  flow.end();
});

Deno.test("more than there is credit for, and words without end, are refused", () => {
  const { flow, hear } = open();
  flow.ask(want(ONE), new Mouth(true));
  let sent = 0;
  for (; sent + 60_000 <= FILE_WINDOW_LIMIT; sent += 60_000) hear(data(ONE, 60_000));
  assertEquals(refusal(() => hear(data(ONE, 60_000))), "limit");
  for (let i = 1; i <= FILE_WORDS_PER_MINUTE; i++) hear(want(TWO, i));
  assertEquals(refusal(() => hear(want(TWO, 1000))), "limit");
  flow.end();
});
