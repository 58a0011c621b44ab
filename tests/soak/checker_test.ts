import { assert, assertEquals, assertMatch } from "@std/assert";
import type { JsonEvent } from "../testkit/program.ts";
import { check, type Direction, isClean, type Run } from "./checker.ts";

function queued(...numbers: readonly number[]): JsonEvent[] {
  return numbers.map((number) => ({ event: "queued", number }));
}

function stored(number: number): JsonEvent {
  return { event: "stored", number };
}

function message(number: number, text: string, recovered = false): JsonEvent {
  return { event: "message", number, text, ...(recovered && { recovered }) };
}

function run(lines: readonly string[], ...events: readonly JsonEvent[]): Run {
  return { lines, events: [{ event: "registered" }, ...events] };
}

/** One run each: three lines, of which all arrive. */
function plain(...events: readonly JsonEvent[]): Direction {
  return {
    writer: [run(["a", "b", "c"], ...queued(1, 2, 3), stored(3))],
    reader: [run([], ...events)],
  };
}

const ALL = [message(1, "a"), message(2, "b"), message(3, "c")] as const;

Deno.test("check() finds nothing wrong where all arrived once and in order, and counts it", () => {
  const verdict = check(plain(...ALL));
  assert(isClean(verdict));
  const { submitted, queued, stored, shown, recovered } = verdict;
  assertEquals([submitted, queued, stored, shown, recovered], [3, 3, 3, 3, 0]);
});

Deno.test("check() lets a kill swallow what was not taken yet, and show once more what was", () => {
  const verdict = check({
    writer: [
      // Killed: "c" was on its disk, though it did not say so any more; "d" was not.
      run(["a", "b", "c", "d"], ...queued(1, 2)),
      run(["e"], stored(3), ...queued(4), stored(4)),
    ],
    reader: [
      run([], message(1, "a"), message(2, "b")),
      run([], message(2, "b", true), message(3, "c", true), message(4, "e")),
    ],
  });
  assertEquals(verdict, {
    submitted: 5,
    queued: 3,
    stored: 3,
    shown: 4,
    recovered: 1,
    lost: [],
    repeated: [],
    misordered: [],
    wrong: [],
  });
});

Deno.test("check() knows that the end of a program's input has a number and is no message", () => {
  const verdict = check({
    writer: [
      run(["a"], ...queued(1), stored(1)),
      run([], stored(2)),
      // Two ends are between, and one is after.
      run(["b"], ...queued(4), stored(4)),
      run([], stored(5)),
    ],
    reader: [run([], message(1, "a"), message(4, "b"))],
  });
  assert(isClean(verdict), JSON.stringify(verdict));
});

Deno.test("check() takes no number for an end that a run may not have come to", () => {
  const verdict = check({
    // It was killed before it told that "b" is queued.
    writer: [run(["a", "b"], ...queued(1), stored(1)), run(["c"], ...queued(3), stored(3))],
    reader: [run([], message(1, "a"), message(3, "c"))],
  });
  assertEquals(verdict.wrong, ["number 2 was passed over"]);
  const none = check({
    writer: [run([], ...queued(1))],
    reader: [run([])],
  });
  assertMatch(none.wrong.join(), /nothing was written/);
});

Deno.test("check() does not mind a program that could not begin", () => {
  const failed: Run = { lines: ["a"], events: [...queued(1), { event: "error", code: "cut" }] };
  const verdict = check({ writer: [failed, run([], stored(1))], reader: [run([], ALL[0])] });
  assert(isClean(verdict), JSON.stringify(verdict));
});

const FAULTS:
  readonly (readonly [string, Direction, "lost" | "repeated" | "misordered" | "wrong"])[] = [
    ["a message lost at the end", plain(...ALL.slice(0, 2)), "lost"],
    ["a message lost in the middle", plain(ALL[0], ALL[2]), "lost"],
    ["a message twice in one run", plain(...ALL, ALL[1]), "repeated"],
    ["two messages in the wrong order", plain(ALL[1], ALL[0], ALL[2]), "misordered"],
    ["a text that nobody wrote", plain(...ALL, message(4, "z")), "wrong"],
    ["a text under another's number", plain(message(1, "b"), message(2, "a"), ALL[2]), "wrong"],
    [
      "a recovered message without an earlier run",
      plain(message(1, "a", true), ...ALL.slice(1)),
      "wrong",
    ],
    ["a gap", plain(...ALL, { event: "gap", from: 4, to: 5 }), "wrong"],
    ["an error", plain(...ALL, { event: "error", code: "bad_state" }), "wrong"],
    [
      "a message of an earlier run without the remark",
      { ...plain(), reader: [run([], ...ALL), run([], ALL[2])] },
      "repeated",
    ],
    [
      "a message that comes after a later one of an earlier run",
      { ...plain(), reader: [run([], ALL[0], ALL[2]), run([], ALL[1])] },
      "misordered",
    ],
    [
      "an acknowledgement of what was never sent",
      {
        writer: [run(["a", "b", "c"], ...queued(1, 2, 3), stored(9))],
        reader: [run([], ...ALL)],
      },
      "wrong",
    ],
    [
      "a message that arrived and was never acknowledged",
      { writer: [run(["a", "b", "c"], ...queued(1, 2, 3), stored(2))], reader: [run([], ...ALL)] },
      "wrong",
    ],
    [
      "a number given twice",
      {
        writer: [run(["a"], ...queued(1)), run(["b"], ...queued(1), stored(1))],
        reader: [run([], ALL[0])],
      },
      "wrong",
    ],
    [
      "a number that was passed over",
      {
        writer: [run(["a", "b", "c"], ...queued(1)), run(["d"], ...queued(4), stored(4))],
        reader: [run([], ALL[0], message(3, "c"), message(4, "d"))],
      },
      "wrong",
    ],
  ];

for (const [name, direction, kind] of FAULTS) {
  Deno.test(`check() finds ${name}`, () => {
    const verdict = check(direction);
    assert(!isClean(verdict));
    assertMatch(verdict[kind].join("\n"), /\S/);
  });
}
