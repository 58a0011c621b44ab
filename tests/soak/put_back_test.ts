/** What a profile that was put back may have forgotten, and what it may not have done. */
import { assertEquals } from "@std/assert";
import { type Aftermath, checkPutBack } from "./put_back.ts";

const side = (changes: Partial<Aftermath> = {}): Aftermath => ({
  lines: [],
  events: [],
  shownBefore: [],
  isOld: false,
  ...changes,
});
const message = (text: string, recovered = false) => ({ event: "message", text, recovered });
const WRITER = side({ lines: ["a", "b", "c"] });

const CASES: readonly (readonly [string, Partial<Aftermath>, readonly string[]])[] = [
  ["all", { events: [message("a"), message("b"), message("c")] }, []],
  ["a hole", { events: [message("a"), message("c")] }, ['"b" was shown 0 times']],
  [
    "one twice",
    { events: ["a", "b", "b", "c"].map((text) => message(text)) },
    ['"b" was shown 2 times'],
  ],
  ["a late one", { events: ["a", "c", "b"].map((text) => message(text)) }, ["out of order"]],
  [
    "an earlier one, by one who remembers",
    { events: ["x", "a", "b", "c"].map((text) => message(text)), shownBefore: ["x"] },
    ['"x" was shown before'],
  ],
  [
    "an earlier one, with the remark",
    { events: [message("x", true), message("a"), message("b"), message("c")], shownBefore: ["x"] },
    [],
  ],
  [
    "an earlier one and a gap, by one who does not remember",
    {
      events: [{ event: "gap" }, ...["x", "a", "b", "c"].map((text) => message(text))],
      shownBefore: ["x"],
      isOld: true,
    },
    [],
  ],
  [
    "a gap, by one who remembers, and an error",
    { events: [message("a"), { event: "gap" }, message("b"), message("c"), { event: "error" }] },
    ['{"event":"gap"}', '{"event":"error"}'],
  ],
];
for (const [what, reader, expected] of CASES) {
  Deno.test(`checkPutBack() judges ${what}`, () => {
    assertEquals(checkPutBack(WRITER, side(reader)), expected);
  });
}
