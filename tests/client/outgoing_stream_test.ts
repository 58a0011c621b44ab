/** Streams that are sent: as they come, with an end, again from a little before, and not at all when that is gone. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Piece, Want } from "../../lib/client/file_flow.ts";
import { OutgoingStream } from "../../lib/client/outgoing_stream.ts";
import type { Decision, TransferEvent } from "../../lib/client/transfer_events.ts";
import type { Thread } from "../../lib/client/thread.ts";
import { Transfers } from "../../lib/client/transfers.ts";
import type { CifraError } from "../../lib/errors.ts";
import { StreamSource } from "../../lib/files/stream_source.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import type { TransferRow } from "../../lib/store/transfer_store.ts";
import { fileItem } from "../../lib/wire/file_messages.ts";
import { decode } from "../../lib/wire/layout.ts";
import { Dice } from "../simulation/dice.ts";
import { cutAfter, Ear, meet, openLink } from "../testkit/links.ts";
import { MemoryMessages } from "../testkit/memory_messages.ts";
import { turn } from "../testkit/turn.ts";
import { within } from "../testkit/time_limit.ts";
import { until } from "../testkit/until.ts";

const TRANSFER = new Uint8Array(16).fill(7);

function want(entry: number, offset: number): Want {
  const nothing = { size: undefined, modified: 0, block: 0, digests: new Uint8Array(0) };
  return { type: "want", transfer: TRANSFER, turn: 1, entry, offset, ...nothing };
}

/** What is sent from there, until nothing comes for a while. */
async function drain(stream: StreamSource, from: Want, lost: CifraError[] = []) {
  const outflow = new OutgoingStream({
    want: from,
    manifest: new Uint8Array([1, 2, 3]),
    stream,
    wake: () => {},
    onProgress: () => {},
    onGone: (error) => lost.push(error),
  });
  const told: string[] = [];
  for (let idle = 0; idle < 20;) {
    const pieces: readonly Piece[] | undefined = outflow.next(8, 4);
    if (pieces?.length === 0) return [...told, "over"];
    if (!pieces) {
      idle++;
      await turn();
    }
    for (const { body, length } of pieces ?? []) {
      const item = decode(fileItem, body);
      if (item.type === "data") {
        assertEquals([item.content.length, length <= 4], [length, true]);
        told.push(`${item.entry}@${item.offset} ${item.content.join(" ")}`);
      } else if (item.type === "end") told.push(`end ${item.size}`);
    }
  }
  outflow.close();
  return told;
}

function streamOf(
  ...pieces: readonly (readonly number[])[]
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return ReadableStream.from(pieces.map((piece) => new Uint8Array(piece)));
}

Deno.test("a stream is its manifest, what comes of it in pieces, and its length", async () => {
  const stream = new StreamSource(streamOf([1, 2, 3, 4, 5, 6], [7]));
  assertEquals(await drain(stream, want(0, 0)), [
    "0@0 1 2 3",
    "1@0 1 2 3 4",
    "1@4 5 6",
    "1@6 7",
    "end 7",
    "over",
  ]);
  // Another channel, which has the manifest and a part of the rest.
  assertEquals(await drain(stream, want(1, 5)), ["1@5 6 7", "end 7", "over"]);
  assertEquals(await drain(stream, want(1, 7)), ["end 7", "over"]);
  const empty = new StreamSource(streamOf());
  assertEquals(await drain(empty, want(0, 2)), ["0@2 3", "end 0", "over"]);
});

Deno.test("what is not kept of a stream cannot be sent, and what it never had is not wanted", async () => {
  const stream = new StreamSource(streamOf([1, 2, 3, 4, 5, 6, 7, 8, 9]), 4);
  assertEquals((await drain(stream, want(1, 0))).at(-1), "over");
  const lost: CifraError[] = [];
  assertEquals(await drain(stream, want(1, 1), lost), ["over"]);
  assertEquals(lost.map(({ code }) => code), ["local"]);
  for (const [entry, offset] of [[0, 4], [1, 10], [2, 0]] as const) {
    const make = () =>
      new OutgoingStream({
        want: want(entry, offset),
        manifest: new Uint8Array(3),
        stream,
        wake: () => {},
        onProgress: () => {},
        onGone: () => {},
      });
    assertThrows(make, Error, "not there");
  }
});

/** One of two people. */
class Side {
  readonly told: [TransferRow, TransferEvent][] = [];
  readonly transfers: Transfers;
  readonly #store = new MemoryMessages();
  thread!: Thread;

  constructor(decide: () => Decision) {
    this.transfers = new Transfers({
      kept: undefined,
      ...systemEnvironment,
      store: this.#store.transfers,
      suite: "modern",
      say: async (_peer, word, step) => void await this.thread.sendFileWord(word, step),
      onEvent: (row, event) => this.told.push([row, event]),
      decide,
    });
  }

  async begin(peer: string): Promise<void> {
    this.thread = await openLink(peer, { store: this.#store, files: this.transfers.lane(peer) });
    new Ear(this.thread);
  }

  async end(): Promise<void> {
    await this.thread.leave();
    await this.transfers.close();
  }

  isOver(): boolean {
    return this.told.some(([, { type }]) => type === "over");
  }
}

Deno.test(
  "over cuts at any byte a stream of unknown length comes whole",
  within(30, async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const dice = new Dice(seed);
      const into = await Deno.makeTempDir();
      const alice = new Side(() => "ask"), bob = new Side(() => ({ into }));
      await Promise.all([alice.begin("bob"), bob.begin("alice")]);
      const bytes = new Uint8Array(dice.below(400_000)).map(() => dice.below(256));
      const pieces: Uint8Array<ArrayBuffer>[] = [];
      for (let at = 0; at < bytes.length;) {
        const end = Math.min(bytes.length, at + 1 + dice.below(50_000));
        pieces.push(bytes.slice(at, end));
        at = end;
      }
      await alice.transfers.offerStream("bob", "backup.tar", ReadableStream.from(pieces));
      for (let tries = 0; !alice.isOver() && tries < 40; tries++) {
        const { pipe, endings, cut } = await meet(alice.thread, bob.thread);
        if (tries < 20) cutAfter(pipe, pipe.toRight, dice.below(150_000), "break");
        const over = until(() => alice.isOver(), "it is over");
        over.catch(() => {});
        await Promise.race([over, endings]);
        await cut();
      }
      assert(alice.isOver(), `seed ${seed}`);
      assertEquals(alice.transfers.all()[0]!.state, "done", `seed ${seed}`);
      assertEquals(await Deno.readFile(`${into}/backup.tar`), bytes, `seed ${seed}`);
      await Promise.all([alice.end(), bob.end()]);
      await Deno.remove(into, { recursive: true });
    }
  }),
);
