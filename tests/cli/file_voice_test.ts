/** How far files have come is told now and then: to programs, on a screen, and where nothing is drawn again. */
import { assertEquals } from "@std/assert";
import type { UnderWay } from "../../lib/cli/file_progress.ts";
import { FileVoice } from "../../lib/cli/file_voice.ts";
import type { JsonEvent } from "../../lib/cli/terminal.ts";
import type { TransferRow } from "../../lib/store/transfer_store.ts";
import { ManualTime } from "../testkit/clock.ts";

const ROW = {
  id: new Uint8Array(16).fill(1),
  peer: "bob",
  direction: "received",
  state: "accepted",
  name: "film",
  files: 1,
  bytes: 1000,
  place: "/f",
} as TransferRow;

function voice(kind: { readonly json?: boolean; readonly plain?: boolean }) {
  const clock = new ManualTime();
  const said: string[] = [], emitted: JsonEvent[] = [], drawn: (UnderWay | undefined)[] = [];
  let bytes = 0;
  const files = new FileVoice({
    terminal: {
      json: kind.json ?? false,
      plain: kind.plain ?? false,
      say: (text) => void said.push(text),
    },
    time: clock,
    emit: (event) => emitted.push(event),
    label: (name) => name,
    progress: () => ({ bytes, entry: undefined, offset: bytes }),
    way: () => undefined,
    draw: (underWay) => drawn.push(underWay),
  });
  /** Moves on for so many milliseconds, a byte each 10. */
  const move = (milliseconds: number) => {
    for (let i = 0; i < milliseconds; i += 10) {
      bytes++;
      files.tell(ROW, { type: "moved" });
      clock.advance(10);
    }
  };
  const beginAnew = () => void (bytes = 0);
  return { files, move, beginAnew, said, emitted, drawn };
}

Deno.test("a program is told of a transfer once a second", () => {
  const { files, move, emitted, drawn } = voice({ json: true });
  move(3050);
  assertEquals(emitted.map(({ event, bytes }) => [event, bytes]), [
    ["file-progress", 100],
    ["file-progress", 200],
    ["file-progress", 300],
  ]);
  assertEquals(emitted.at(-1)!.rate, 100);
  files.stop();
  assertEquals(drawn, [undefined]);
});

Deno.test("on a screen it is drawn again, until it is over", () => {
  const { files, move, drawn, said } = voice({});
  move(1000);
  assertEquals(drawn.map((each) => each?.progress.bytes), [25, 50, 75, 100]);
  files.tell({ ...ROW, state: "cancelled" }, { type: "over", who: "peer" });
  assertEquals(drawn.at(-1), undefined);
  assertEquals(said, ['"film" is cancelled by bob']);
});

Deno.test("where nothing is drawn again it is a line each tenth, and none for what is short", () => {
  const short = voice({ plain: true });
  short.move(3000);
  assertEquals(short.said, []);
  short.files.stop();
  const { files, move, said, drawn } = voice({ plain: true });
  move(9900);
  assertEquals(said.map((line) => /\d+ %/.exec(line)?.[0]), ["50 %"]);
  assertEquals(drawn, []);
  files.stop();
});

Deno.test("at the end it is said how long it took", () => {
  const { files, move, said } = voice({});
  move(10_000);
  files.tell(ROW, { type: "received", names: [{ sent: "film", written: "film (2)" }] });
  assertEquals(said, [
    '"film (2)" of bob is in /f\n"film" is called "film (2)" there\n999 B in 0:10, 100 B/s',
  ]);
  files.stop();
});

Deno.test("what has come is what has moved, also when it began anew or was offered as less", () => {
  const { files, move, beginAnew, said } = voice({});
  move(5000);
  beginAnew();
  move(1000);
  const names = [{ sent: "film", written: "film" }];
  files.tell({ ...ROW, bytes: 1 }, { type: "received", names });
  assertEquals(said[0]!.split("\n").at(-1), "598 B in 6.00 s, 100 B/s");
  files.stop();
  const short = voice({});
  short.move(10);
  short.files.tell(ROW, { type: "received", names });
  assertEquals(short.said[0]!.split("\n").length, 1);
  short.files.stop();
});

Deno.test("of what was left out in the end it is not said how long it took", () => {
  const { files, move, said } = voice({});
  move(10_000);
  files.tell(ROW, { type: "received", names: [] });
  const done = {
    ...ROW,
    direction: "sent",
    state: "done",
    files: 1,
    folders: 0,
    skipped: 1,
  } as const;
  move(20_000);
  files.tell(done, { type: "over", who: "peer" });
  assertEquals(said, [
    'nothing of "film" has come from bob',
    "bob has nothing of film: it could not be read",
  ]);
  files.stop();
});
