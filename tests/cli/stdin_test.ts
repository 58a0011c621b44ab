/** Standard input that is cut into whole pieces of a stream. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { concat } from "@std/bytes/concat";
import type { Bytes } from "../../lib/bytes.ts";
import { CifraError } from "../../lib/errors.ts";
import { pieceTaken, readStdin } from "../../lib/cli/stdin.ts";
import { STREAM_PIECE_LIMIT } from "../../lib/limits.ts";
import { ManualTime } from "../testkit/clock.ts";
import { turn } from "../testkit/turn.ts";
import { until } from "../testkit/until.ts";

/** Stands in the place of stdin while `job` runs, which gives what is read: bytes, the end, or a failure. */
async function withInput(
  job: (give: (what: Bytes | null | Error) => Promise<void>) => Promise<void>,
): Promise<void> {
  const { read } = Deno.stdin;
  let asked = Promise.withResolvers<(what: Bytes | null | Error) => void>();
  Deno.stdin.read = (buffer) =>
    new Promise((resolve, reject) => {
      asked.resolve((what) => {
        asked = Promise.withResolvers();
        if (what instanceof Error) return reject(what);
        if (what) buffer.set(what);
        resolve(what && what.length);
      });
    });
  try {
    await job(async (what) => (await asked.promise)(what));
  } finally {
    Deno.stdin.read = read;
    // Whoever stops leaves a reading to whoever comes next.
    pieceTaken();
  }
}

/** Reads in whole pieces; what is handed on is kept. */
function reader() {
  const time = new ManualTime();
  const pieces: Bytes[] = [];
  const reading = readStdin(
    async (piece) => {
      // Whoever takes it may take its time; it must not change meanwhile.
      await turn();
      pieces.push(piece.slice());
    },
    () => Promise.resolve(),
    time,
  );
  return { time, pieces, reading };
}

function random(length: number): Bytes {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i += 65_536) crypto.getRandomValues(bytes.subarray(i, i + 65_536));
  return bytes;
}

Deno.test("readStdin() makes whole pieces of what a pipe gives, and hands on the last rest at the end", async () => {
  await withInput(async (give) => {
    const { pieces, reading } = reader();
    const lengths = [65_536, 65_536, 1, 4 * STREAM_PIECE_LIMIT, STREAM_PIECE_LIMIT - 1, 65_536, 7];
    const given = lengths.map(random);
    for (const bytes of given) await give(bytes);
    await give(null);
    await reading.done;
    assertEquals(concat(pieces), concat(given));
    for (const { length } of pieces.slice(0, -1)) assertEquals(length % STREAM_PIECE_LIMIT, 0);
    assert(pieces.at(-1)!.length < STREAM_PIECE_LIMIT);
  });
});

Deno.test("readStdin() hands on the rest of a piece when nothing follows for a moment", async () => {
  await withInput(async (give) => {
    const { time, pieces, reading } = reader();
    const given = [random(5), random(3), random(STREAM_PIECE_LIMIT + 1)];
    await give(given[0]!);
    await until(() => time.pending === 1, "the rest waits");
    assertEquals([pieces.length, reading.isTaking()], [0, true]);
    time.advance(2);
    await until(() => pieces.length === 1, "it was handed on");
    await until(() => !reading.isTaking(), "nothing waits");
    await give(given[1]!);
    await until(() => time.pending === 1, "the next one waits");
    await give(given[2]!);
    await until(() => time.pending === 1 && pieces.length === 2, "one is whole");
    await give(null);
    await reading.done;
    assertEquals(concat(pieces), concat(given));
    assertEquals(pieces.map(({ length }) => length), [5, STREAM_PIECE_LIMIT, 4]);
    assertEquals(time.pending, 0);
  });
});

Deno.test("readStdin() tells that it cannot read on while the rest of a piece waits", async () => {
  await withInput(async (give) => {
    const { pieces, reading } = reader();
    await give(random(5));
    await give(new Error("torn"));
    await assertRejects(() => reading.failed, CifraError, "Cannot read standard input");
    // It was not taken: whoever asks is told.
    assertEquals([pieces.length, reading.isTaking()], [0, true]);
  });
});

Deno.test("readStdin() hands on nothing that waits when it has been stopped", async () => {
  await withInput(async (give) => {
    const { time, pieces, reading } = reader();
    await give(random(5));
    await until(() => time.pending === 1, "the rest waits");
    reading.stop();
    time.advance(2);
    for (let turns = 0; turns < 5; turns++) await turn();
    assertEquals(pieces, []);
    await give(null);
  });
});
