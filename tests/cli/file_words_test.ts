/** What is said of files, and how they are named. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import type { TransferEvent } from "../../lib/client/transfer_events.ts";
import { chooseTransfer } from "../../lib/cli/file_desk.ts";
import { decideBy, readSize } from "../../lib/cli/file_options.ts";
import { clock, progressLine, progressMark, Speedometer } from "../../lib/cli/file_progress.ts";
import {
  describeLeftOut,
  describeLinks,
  describeOffer,
  describeTransfer,
  sizeOf,
} from "../../lib/cli/file_words.ts";
import { TransferFailure } from "../../lib/wire/file_messages.ts";
import type { TransferRow } from "../../lib/store/transfer_store.ts";
import { lineOf } from "../../lib/wire/line.ts";

function row(changes: Partial<TransferRow> = {}): TransferRow {
  return {
    peer: "bob",
    suite: "modern",
    id: new Uint8Array(16).fill(0x3f),
    direction: "received",
    state: "offered",
    failure: undefined,
    name: lineOf("thesis.pdf"),
    files: 1,
    folders: 0,
    bytes: 2_100_000,
    manifestLength: 30,
    manifestHash: new Uint8Array(32),
    place: "",
    entry: 0,
    skipped: 0,
    isTold: true,
    began: 0,
    ended: undefined,
    ...changes,
  };
}

Deno.test("sizes are read as they are written", () => {
  const shown = [[0, "0 B"], [999, "999 B"], [1000, "1.0 kB"], [999_600, "1.0 MB"], [
    2_100_000,
    "2.1 MB",
  ], [3e12, "3.0 TB"]] as const;
  for (const [bytes, text] of shown) assertEquals(sizeOf(bytes), text);
  const read = [["1000", 1000], ["500MB", 5e8], ["2 GiB", 2 ** 31], ["1.5k", 1500], [
    "3tb",
    3e12,
  ]] as const;
  for (const [text, bytes] of read) assertEquals(readSize(text), bytes, text);
  for (const text of ["", "x", "-1", "1 XB", "1e9", "9".repeat(13), "99999999TiB"]) {
    assertThrows(() => readSize(text), Error, "must be a size");
  }
});

Deno.test("an offer is said with its size and how to take it, while it waits", () => {
  assertEquals(
    describeOffer(row(), "bob", true),
    'bob offers "thesis.pdf" (2.1 MB): /take 3f3f or /decline 3f3f',
  );
  const photos = row({ name: lineOf("photos"), files: 312, bytes: 1_200_000_000 });
  assertEquals(describeOffer(photos, "bob", false), 'bob offers "photos" (312 files, 1.2 GB)');
  assertEquals(
    describeOffer(row({ bytes: undefined }), "bob", false),
    'bob offers "thesis.pdf" (size not known)',
  );
});

Deno.test("what is left out of an offer is listed, up to a number of lines", () => {
  const skipped = Array.from(
    { length: 12 },
    (_, i) => ({ path: `/${i}`, why: "permission denied" }),
  );
  const lines = describeLeftOut({ skipped });
  assertEquals([lines[0], lines.length], ["left out: /0: permission denied", 11]);
  assertEquals(lines.slice(10), ["left out: 2 more"]);
  assertEquals(describeLeftOut({ skipped: [] }), []);
  assertEquals(describeLinks({ skipped, links: 1, linked: ["/in/x"] }), [
    "not followed: a link in folders",
    "not followed: /in/x",
  ]);
  const many = describeLinks({ skipped: [], links: 12, linked: Array(10).fill("/in/x") });
  assertEquals([many[0], many.length, many.at(-1)], [
    "not followed: 12 links in folders",
    12,
    "not followed: 2 more",
  ]);
  assertEquals(describeLinks({ skipped: [], links: 0, linked: [] }), []);
});

Deno.test("each end of a transfer is said once, by whoever did not bring it about", () => {
  const over = (changes: Partial<TransferRow>, who: "us" | "peer") =>
    describeTransfer(row(changes), { type: "over", who }, "bob")[0];
  assertEquals(over({ state: "done", direction: "sent" }, "peer"), "bob has all of thesis.pdf");
  assertEquals(
    over({ state: "done", direction: "sent", skipped: 2 }, "peer"),
    "bob has all of thesis.pdf, but for 2 that could not be read",
  );
  assertEquals(
    over({ state: "done", direction: "sent", files: 1, folders: 0, skipped: 1 }, "peer"),
    "bob has nothing of thesis.pdf: it could not be read",
  );
  assertEquals(over({ state: "done" }, "us"), undefined);
  assertEquals(
    over({ state: "refused", direction: "sent" }, "peer"),
    "bob does not take thesis.pdf",
  );
  assertEquals(over({ state: "refused" }, "us"), undefined);
  assertEquals(over({ state: "cancelled" }, "peer"), '"thesis.pdf" is cancelled by bob');
  assertEquals(
    over({ state: "failed", failure: TransferFailure.gone }, "peer"),
    '"thesis.pdf" failed: what was offered is not there any more',
  );
});

Deno.test("what could not be sent is named at the sender; of nothing that came no names are said", () => {
  const [skipped] = describeTransfer(
    row({ direction: "sent" }),
    { type: "skipped", entry: lineOf("log") },
    "bob",
  );
  assertEquals(
    skipped,
    "thesis.pdf: log is left out: it is not there any more, or changes all the time",
  );
  const [received, json] = describeTransfer(row(), { type: "received", names: [] }, "bob");
  assertEquals(received, 'nothing of "thesis.pdf" has come from bob');
  assertEquals(json?.names, []);
});

Deno.test("progress is a line with how much, how fast and how long", () => {
  const speed = new Speedometer();
  speed.note(0, 0);
  assertEquals(speed.rate, undefined);
  speed.note(1_000_000, 1000);
  const underWay = {
    row: row(),
    progress: { bytes: 1_500_000, entry: undefined, offset: 0 },
    rate: speed.rate,
    path: { type: "relay" } as const,
    more: 1,
  };
  assertEquals(
    progressLine(underWay),
    '"thesis.pdf"  \u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2591\u2591\u2591  71 %  1.5 MB of 2.1 MB  ' +
      "1.0 MB/s  0:01 left  relay  and 1 more",
  );
  assertEquals(progressMark(underWay), '(71 % of "thesis.pdf", 0:01 left, and 1 more)');
  const stream = { ...underWay, row: row({ bytes: undefined }), more: 0 };
  assertEquals(progressMark(stream), '(1.5 MB of "thesis.pdf")');
  assertEquals([clock(61), clock(3600), clock(0.2)], ["1:01", "1:00:00", "0:01"]);
});

Deno.test("a name that others chose is one line in quotes, wherever it stands", () => {
  const sent = 'a\nbob has changed his key: "x"\x1b[2J\u202e';
  const shown = "\"a\ufffdbob has changed his key: 'x'\ufffd[2J\ufffd\"";
  const photos = row({ name: lineOf("photos"), files: 2, place: "/f" });
  const name = lineOf(sent);
  const said = (event: TransferEvent) => describeTransfer(photos, event, "bob")[0];
  assertEquals(
    said({ type: "skipped", entry: name }),
    `"photos": ${shown} is not there any more at bob, or changes all the time`,
  );
  assertEquals(
    said({ type: "received", names: [{ sent, written: "a_b" }] }),
    `"a_b" of bob is in /f\n${shown} is called "a_b" there`,
  );
  assertStringIncludes(
    describeTransfer(
      { ...photos, direction: "sent" },
      { type: "outgrown", entry: name },
      "bob",
    )[0]!,
    `photos: ${name} has grown far beyond what was offered, and is left out`,
  );
  const progress = { bytes: 1, entry: name, offset: 0 };
  const underWay = { row: photos, progress, rate: undefined, path: undefined, more: 0 };
  assertStringIncludes(progressLine(underWay), `"photos": ${shown}  `);
  const ours = { ...underWay, row: { ...photos, direction: "sent" as const } };
  assertStringIncludes(progressLine(ours), `photos: ${name}  `);
});

Deno.test("a transfer is meant by the beginning of its id, or by being the only one", () => {
  const other = row({ id: new Uint8Array(16).fill(0xa1), peer: "carol", direction: "sent" });
  const choose = (id: string, peer: string | undefined, is: "offered to us" | "not over") =>
    chooseTransfer([row(), other, row({ state: "done", id: new Uint8Array(16) })], {
      id,
      peer,
      is,
    });
  assertEquals(choose("3f", "carol", "offered to us"), row());
  assertEquals(choose("", undefined, "offered to us"), row());
  assertEquals(choose("", "carol", "offered to us"), "There is no offer of carol");
  assertEquals(
    choose("a1", undefined, "offered to us"),
    "There is no offer whose ID begins with a1",
  );
  assertEquals(choose("A1", undefined, "not over"), other);
  assertEquals(
    choose("", undefined, "not over"),
    'Which of them? 3f3f ("thesis.pdf" (2.1 MB)), a1a1 (thesis.pdf (2.1 MB))',
  );
});

Deno.test("what is taken without asking is what was said, up to its size", () => {
  const isKnown = (name: string) => name === "bob";
  const decide = (
    accept: "known" | "all" | "none",
    limit?: number,
    folder: string | undefined = "/f",
  ) => decideBy({ accept, limit, folder, isKnown });
  assertEquals(decide("known")(row()), { into: "/f" });
  assertEquals(decide("known")(row({ peer: "carol" })), "ask");
  assertEquals(decide("all")(row({ peer: "carol" })), { into: "/f" });
  assertEquals(decide("none")(row()), "ask");
  assertEquals(decide("all", 2_100_000)(row()), { into: "/f" });
  assertEquals(decide("all", 2_099_999)(row()), "ask");
  assertEquals(decide("all", 1e15)(row({ bytes: undefined })), "ask");
  assertEquals(decide("all")(row({ bytes: undefined })), { into: "/f" });
});
