/** What comes of a transfer from somebody who sends what costs them nothing, and us much. */
import { assertEquals, assertThrows } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import { digestOf } from "../../lib/client/file_digest.ts";
import type { FileCarrier } from "../../lib/client/file_dock.ts";
import { FileFlow } from "../../lib/client/file_flow.ts";
import { IncomingTransfer } from "../../lib/client/incoming_transfer.ts";
import { CifraError } from "../../lib/errors.ts";
import { Staging } from "../../lib/files/staging.ts";
import { SharedPause } from "../../lib/flow/shared_pause.ts";
import { AgreedSize, mostOf } from "../../lib/client/agreed_size.ts";
import { FILE_CHANGES_LIMIT, FILE_GROWTH, FILE_ITEMS_WAITING } from "../../lib/limits.ts";
import { type FileItem, fileItem } from "../../lib/wire/file_messages.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import { lineOf } from "../../lib/wire/line.ts";
import { encodeManifest, type ManifestEntry } from "../../lib/wire/manifest.ts";
import { ManualTime } from "../testkit/clock.ts";
import { within } from "../testkit/time_limit.ts";
import { Place } from "../testkit/transfers.ts";
import { until } from "../testkit/until.ts";

const TRANSFER = new Uint8Array(16).fill(7);

function entry(name: string, size: number | undefined = 10): ManifestEntry {
  return { type: "file", executable: 0, parent: 0, size, modified: 0, name };
}

/** A receiver of these entries on one channel; `gate`: the disk is not there before. */
async function receive(
  entries: readonly ManifestEntry[],
  gate: Promise<void> = Promise.resolve(),
  limit?: number,
) {
  const place = new Place();
  const time = new ManualTime();
  const { manifest, summary } = encodeManifest(entries);
  const failures: CifraError[] = [], said: FileItem[] = [], happened: string[] = [];
  const carrier = {
    isOpen: true,
    send: (body: Bytes) => void said.push(decode(fileItem, body)),
    fail: (error: CifraError) => void failures.push(error),
    ready: () => Promise.resolve(),
    noteUnderWay: () => {},
  } as unknown as FileCarrier;
  const flow = new FileFlow(carrier, { give: () => undefined, held: () => {} }, time);
  const incoming = new IncomingTransfer({
    transfer: TRANSFER,
    offer: {
      type: "offer",
      ...summary,
      manifestLength: manifest.length,
      manifestHash: digestOf(manifest),
      name: lineOf("x"),
    },
    manifest: undefined,
    pause: new SharedPause(time, 1, 1),
    open: async (_manifest, known) => {
      await gate;
      return await Staging.open({ folder: place.target, id: TRANSFER, entries: known });
    },
    onProgress: () => {},
    onTrouble: () => {},
    onPause: () => {},
    onSkipped: ({ name }) => void happened.push(`skipped ${name}`),
    onDone: (_names, skipped) => void happened.push(`done ${skipped}`),
    limit,
    onTooLarge: () => void happened.push("too large"),
    onLie: (error) => void happened.push(error.code),
  });
  const hear = (item: FileItem) => flow.hear(encode(fileItem, item));
  const data = (entry: number, offset: number, content: Bytes) =>
    hear({ type: "data", transfer: TRANSFER, turn: 1, entry, offset, content });
  const change = (entry: number, size: number | undefined) =>
    hear({ type: "changed", transfer: TRANSFER, turn: 1, entry, size, modified: 1, executable: 0 });
  incoming.attach(flow);
  await until(() => said.some(({ type }) => type === "want"), "it is wanted");
  data(0, 0, manifest);
  const end = async () => {
    flow.end();
    await incoming.close();
    place[Symbol.dispose]();
  };
  return { data, change, failures, happened, end };
}

const codes = (failures: readonly CifraError[]) => failures.map(({ code }) => code);

Deno.test(
  "each entry may change as often as is agreed, and then be gone",
  within(20, async () => {
    const { data, change, failures, happened, end } = await receive([entry("a"), entry("b")]);
    for (const number of [1, 2]) {
      if (number === 2) data(number, 0, new Uint8Array(5));
      for (let i = 0; i < FILE_CHANGES_LIMIT; i++) change(number, 20 + i);
      change(number, undefined);
    }
    await until(() => happened.includes("done 2"), "both are skipped");
    assertEquals(happened, ["skipped a", "skipped b", "done 2"]);
    assertEquals(failures, []);
    await end();
  }),
);

Deno.test(
  "an entry that changes without end ends the channel",
  within(20, async () => {
    const { change, failures, end } = await receive([entry("a"), entry("b")]);
    for (let i = 0; i <= FILE_CHANGES_LIMIT; i++) change(1, 20 + i);
    await until(() => failures.length > 0, "it is refused");
    assertEquals(codes(failures), ["limit"]);
    await end();
  }),
);

Deno.test(
  "an entry that is gone does not change, and is not gone twice",
  within(20, async () => {
    for (const size of [undefined, 30]) {
      const { change, failures, happened, end } = await receive([entry("a"), entry("b")]);
      change(1, undefined);
      change(1, size);
      await until(() => failures.length > 0, "it is refused");
      assertEquals([codes(failures), happened], [["limit"], ["skipped a"]]);
      await end();
    }
  }),
);

Deno.test(
  "what waits for the disk has an end, also when it has no content",
  within(20, async () => {
    const gate = Promise.withResolvers<void>();
    const { change, failures, end } = await receive([entry("a")], gate.promise);
    for (let i = 0; i < FILE_ITEMS_WAITING + 2; i++) change(1, 20);
    const { code } = assertThrows(() => change(1, 20), CifraError);
    assertEquals(code, "limit");
    gate.resolve();
    await until(() => failures.length > 0, "what waits is refused");
    await end();
  }),
);

Deno.test("the sum of all sizes grows by a tenth and 1 MiB, and what becomes smaller makes room", () => {
  assertEquals([mostOf(0), mostOf(1000)], [FILE_GROWTH, 1100 + FILE_GROWTH]);
  const agreed = new AgreedSize([{ size: 10 }, { size: undefined }, { size: 30 }], 50);
  assertEquals(agreed.takes(1, 21), false);
  assertEquals(agreed.takes(1, 20), true);
  assertEquals(agreed.takes(2, 1), false);
  assertEquals(agreed.takes(3, 5), true);
  assertEquals(agreed.takes(2, 25), true);
});

Deno.test(
  "a transfer that grows beyond what was accepted has failed, and the channel goes on",
  within(20, async () => {
    const offered = [entry("a"), entry("b")];
    const most = mostOf(20);
    for (const [limit, fits] of [[undefined, most - 10], [25, 15], [5, 10]] as const) {
      const { data, change, failures, happened, end } = await receive(offered, undefined, limit);
      change(1, fits);
      data(1, 0, new Uint8Array(5));
      change(1, fits + 1);
      data(1, 0, new Uint8Array(5));
      await until(() => happened.length > 0, "it is refused");
      assertEquals([happened, failures], [["too large"], []], `${limit}`);
      await end();
    }
  }),
);

Deno.test(
  "a stream that is longer than what is taken has failed, and the channel goes on",
  within(20, async () => {
    const stream = [{ ...entry("a"), size: undefined }];
    const { data, failures, happened, end } = await receive(stream, undefined, 1000);
    data(1, 0, new Uint8Array(1000));
    data(1, 1000, new Uint8Array(1));
    await until(() => happened.length > 0, "it is refused");
    assertEquals([happened, failures], [["too large"], []]);
    await end();
  }),
);
