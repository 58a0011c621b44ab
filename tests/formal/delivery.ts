/**
 * Searches every history of the delivery model, breadth first: whether something wrong is ever shown, counted or
 * dropped, and whether from every state, with no further fault, all can still be delivered. Each scenario and each
 * ablation has a result that it must have (tests/formal/README.md). Ends with 1 when something differs.
 *
 *     deno run --v8-flags=--max-old-space-size=8000 tests/formal/delivery.ts [WORDS OF A SCENARIO]
 */
import {
  type Ablation,
  begin,
  isDelivered,
  type Scenario,
  type State,
  wrongIn,
} from "./delivery_state.ts";
import { stepsFrom } from "./delivery_steps.ts";

/** What a search has found. */
export interface Finding {
  /** `holds`, what is wrong in a state, or `stuck`. */
  readonly verdict: string;
  readonly states: number;
  /** The steps to the state where it is wrong, or from which all cannot be delivered. */
  readonly path: readonly string[];
}

/** A search and what it must find. */
export interface Case {
  readonly what: string;
  readonly scenario: Scenario;
  readonly without?: readonly Ablation[];
  readonly expected: string;
}

const MAILBOX_ALONE: Scenario = { messages: 2, faults: { "reader crashes": 1 }, lazy: true };
const SERVER_ALONE: Scenario = { messages: 2, faults: { "server crashes": 1 } };
const EXPIRY: Scenario = { messages: 2, faults: { expiry: 2 } };
const HOSTILE: Scenario = { messages: 2, faults: { drop: 1, reorder: 1, replay: 1 }, window: 2 };
/** Two are lost in a row: of one the next envelope has what was in it. */
const HOLE: Scenario = { messages: 3, faults: { drop: 2 } };
const OLD_WRITER: Scenario = { messages: 1, faults: { "old writer": 1 } };
/** The copy says two things, so that one can be lost before the other. */
const FORKED: Scenario = { messages: 3, faults: { drop: 2 }, isForked: true };
const OLD_WRITER_LIVE: Scenario = { ...OLD_WRITER, live: true };

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  "writer crashes": { messages: 2, faults: { "writer crashes": 1 }, live: true },
  "reader crashes": { ...MAILBOX_ALONE, live: true },
  "reader crashes, mailbox alone": MAILBOX_ALONE,
  "server crashes, mailbox alone": SERVER_ALONE,
  "server crashes": { ...SERVER_ALONE, live: true },
  "all crash": {
    messages: 1,
    faults: { "writer crashes": 1, "reader crashes": 1, "server crashes": 1 },
    live: true,
    lazy: true,
  },
  "cuts": { messages: 2, faults: { cut: 2 }, live: true },
  "expiry, mailbox alone": EXPIRY,
  "expiry": { messages: 2, faults: { expiry: 1, cut: 1 }, live: true },
  "hostile server, mailbox alone": HOSTILE,
  "hostile server, reader crashes": {
    messages: 2,
    faults: { "reader crashes": 1, reorder: 1, replay: 1 },
    window: 2,
  },
  "hostile server": { messages: 2, faults: { reorder: 1, replay: 1 }, live: true, window: 2 },
  "lost machine, mailbox alone": {
    messages: 2,
    faults: { "lost machine": 1, "reader crashes": 1 },
  },
  "lost machine": { messages: 2, faults: { "lost machine": 1 }, live: true },
  "old copy of the reader, mailbox alone": { messages: 2, faults: { "old reader": 1 } },
  "old copy of the reader": { messages: 1, faults: { "old reader": 1 }, live: true },
  "old copy of the writer, mailbox alone": OLD_WRITER,
  "old copy of the writer": OLD_WRITER_LIVE,
  "old copy of the writer, whose envelopes are lost, mailbox alone": FORKED,
  "old copy of the writer, whose envelopes are lost": {
    ...FORKED,
    faults: { drop: 1 },
    live: true,
  },
};

const ABLATIONS: readonly Case[] = [
  // What the server has reaches its reader without its writer; a deposit that was lost before it was stored does not.
  {
    what: "the writer does not come back, reader crashes",
    scenario: MAILBOX_ALONE,
    without: ["never sealed again"],
    expected: "holds",
  },
  {
    what: "the writer does not come back, server crashes",
    scenario: SERVER_ALONE,
    without: ["never sealed again"],
    expected: "stuck",
  },
  {
    what: "settled before it is stored, the writer does not come back",
    scenario: MAILBOX_ALONE,
    without: ["settled before it is stored", "never sealed again"],
    expected: "stuck",
  },
  {
    what: "settled before it is stored",
    scenario: MAILBOX_ALONE,
    without: ["settled before it is stored"],
    expected: "holds",
  },
  {
    what: "secret erased before it is stored, the writer does not come back",
    scenario: MAILBOX_ALONE,
    without: ["secret erased before it is stored", "never sealed again"],
    expected: "stuck",
  },
  {
    what: "secret erased before it is stored",
    scenario: MAILBOX_ALONE,
    without: ["secret erased before it is stored"],
    expected: "holds",
  },
  {
    what: "never sealed again, expiry",
    scenario: EXPIRY,
    without: ["never sealed again"],
    expected: "stuck",
  },
  {
    what: "early ones are shown at once",
    scenario: HOLE,
    without: ["early ones are shown at once"],
    expected: "shown out of order",
  },
  {
    what: "a hole is jumped",
    scenario: HOLE,
    without: ["a hole is jumped"],
    expected: "acknowledged and not there",
  },
  {
    what: "no memory of numbers and sessions",
    scenario: HOSTILE,
    without: ["no memory of numbers and sessions"],
    expected: "shown twice without a remark",
  },
  {
    what: "receipts by number alone",
    scenario: OLD_WRITER,
    without: ["receipts by number alone"],
    expected: "acknowledged and not there",
  },
  {
    what: "a taken number is passed over whatever its id",
    scenario: OLD_WRITER_LIVE,
    without: ["a taken number is passed over whatever its id"],
    expected: "opened and dropped",
  },
  {
    what: "taken whatever it follows",
    scenario: FORKED,
    without: ["whatever it follows"],
    expected: "acknowledged and not there",
  },
  {
    what: "opened beside a channel",
    scenario: OLD_WRITER_LIVE,
    without: ["opened beside a channel"],
    expected: "acknowledged and not there",
  },
];

/** Every search. */
export const CASES: readonly Case[] = [
  ...Object.entries(SCENARIOS).map(([what, scenario]) => ({ what, scenario, expected: "holds" })),
  ...ABLATIONS,
];

/** Visits every state. Throws RangeError when there are more than `limit`. */
export function search({ scenario, without = [] }: Case, limit = 700_000): Finding {
  const ablations = new Set(without);
  const texts = [JSON.stringify(begin(scenario))];
  const places = new Map([[texts[0]!, 0]]);
  /** How each state was first reached, and from where it is reached without a fault. */
  const first: { readonly from: number; readonly what: string }[] = [{ from: -1, what: "" }];
  const reachedFrom: number[][] = [[]];
  const delivered: number[] = [];
  for (let place = 0; place < texts.length; place++) {
    const state: State = JSON.parse(texts[place]!);
    const wrong = wrongIn(state, scenario);
    if (wrong) return { verdict: wrong, states: texts.length, path: pathTo(place) };
    if (isDelivered(state, scenario)) delivered.push(place);
    for (const { what, isFault, to } of stepsFrom(state, scenario, ablations)) {
      const text = JSON.stringify(to);
      let next = places.get(text);
      if (next === undefined) {
        next = texts.length;
        if (next === limit) throw new RangeError(`More than ${limit} states`);
        places.set(text, next);
        texts.push(text);
        first.push({ from: place, what });
        reachedFrom.push([]);
      }
      if (!isFault) reachedFrom[next]!.push(place);
    }
  }
  const good = new Uint8Array(texts.length);
  for (let place = delivered.pop(); place !== undefined; place = delivered.pop()) {
    if (good[place]) continue;
    good[place] = 1;
    delivered.push(...reachedFrom[place]!);
  }
  const stuck = good.indexOf(0);
  const verdict = stuck < 0 ? "holds" : "stuck";
  return { verdict, states: texts.length, path: stuck < 0 ? [] : pathTo(stuck) };

  function pathTo(place: number): string[] {
    const path: string[] = [];
    for (let at = place; at > 0; at = first[at]!.from) path.unshift(first[at]!.what);
    return path;
  }
}

if (import.meta.main) {
  const wanted = Deno.args.join(" ");
  let failed = 0;
  for (const each of CASES) {
    if (wanted && each.what !== wanted) continue;
    const began = performance.now();
    const { verdict, states, path } = search(each);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const isGood = verdict === each.expected;
    if (!isGood) failed++;
    const mark = isGood ? "ok  " : "FAIL";
    console.log(`${mark} ${each.what}: ${verdict} (${states} states, ${seconds} s)`);
    if (!isGood) console.log(`     expected ${each.expected}`);
    if (path.length > 0) console.log(`     ${path.join(", ")}`);
  }
  if (failed) Deno.exit(1);
}
