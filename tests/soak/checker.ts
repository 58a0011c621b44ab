/**
 * Whether a conversation lost, repeated, invented or reordered anything, judged by nothing but the lines
 * that its programs were given and the events that they told. Pure, so that it can be tried on logs
 * that were made to be wrong.
 */
import type { JsonEvent } from "../testkit/program.ts";

/** One run of a program, from its start to its end or its death. */
export interface Run {
  /** What it was given on stdin; no line is ever given twice. */
  readonly lines: readonly string[];
  /** What it told. */
  readonly events: readonly JsonEvent[];
}

/** One direction of a conversation: the runs of who writes and of who reads, in order. */
export interface Direction {
  readonly writer: readonly Run[];
  readonly reader: readonly Run[];
}

/** What became of one direction; counts are of messages. */
export interface Verdict {
  /** Lines that were given to the writer; a kill may come before it takes them. */
  readonly submitted: number;
  /** Whose writer said that they are on its disk: none of these may be lost. */
  readonly queued: number;
  /** Whose writer was told that they are on the other disk. */
  readonly stored: number;
  readonly shown: number;
  /** Shown once more, and said to be so, since a kill came between. */
  readonly recovered: number;
  readonly lost: readonly string[];
  readonly repeated: readonly string[];
  readonly misordered: readonly string[];
  /** Everything else that must not be: invented texts, gaps, errors, false acknowledgements. */
  readonly wrong: readonly string[];
}

/** Whether nothing at all is wrong. */
export function isClean({ lost, repeated, misordered, wrong }: Verdict): boolean {
  return lost.length + repeated.length + misordered.length + wrong.length === 0;
}

/** Judges one direction, after everything should have arrived. */
export function check({ writer, reader }: Direction): Verdict {
  const wrong: string[] = [];
  const written = readWriter(writer, wrong);
  const read = readReader(reader, wrong);
  const positions = new Map(writer.flatMap(({ lines }) => lines).map((line, i) => [line, i]));
  const misordered = [...read.misordered];
  let position = -1;
  let number = 0;
  for (const [next, text] of read.shown) {
    const place = positions.get(text);
    const expected = written.texts.get(next) ?? text;
    if (place === undefined) wrong.push(`${next} "${text}" was never written`);
    else if (expected !== text) wrong.push(`${next} is "${text}" and was "${expected}"`);
    else if (place < position) misordered.push(`"${text}" came late`);
    else position = place;
    for (let skipped = number + 1; skipped < next; skipped++) {
      // What is known to be queued is looked for below; an end has a number and is no message.
      if (!written.texts.has(skipped) && !written.ends.has(skipped)) {
        wrong.push(`number ${skipped} was passed over`);
      }
    }
    number = Math.max(number, next);
  }
  const lost = [...written.texts].filter(([number]) => !read.shown.has(number))
    .map(([number, text]) => `${number} "${text}"`);
  const last = Math.max(0, ...written.texts.keys());
  if (written.stored < last) wrong.push(`${last} is queued, and only ${written.stored} stored`);
  for (const state of ["stored", "read"] as const) {
    const told = written[state];
    if (told > Math.max(number, last, ...written.ends) + written.untoldEnds) {
      wrong.push(`${told} was never sent, but ${state}`);
    }
  }
  return {
    submitted: positions.size,
    queued: written.texts.size,
    stored: [...written.texts.keys()].filter((number) => number <= written.stored).length,
    shown: read.shown.size,
    recovered: read.recovered,
    lost,
    repeated: read.repeated,
    misordered,
    wrong,
  };
}

interface Written {
  /** Text of every number that was said to be queued. */
  readonly texts: ReadonlyMap<number, string>;
  /** Numbers of ends, which are told by those after them alone. */
  readonly ends: ReadonlySet<number>;
  /** How many ends there may be after the last message. */
  readonly untoldEnds: number;
  readonly stored: number;
  readonly read: number;
}

/** A program numbers its lines in the order in which it takes them. */
function readWriter(runs: readonly Run[], wrong: string[]): Written {
  const texts = new Map<number, string>();
  const ends = new Set<number>();
  const last = { queued: 0, stored: 0, read: 0 };
  /** Runs since the last message that have taken all of their lines: each may have said that this was all. */
  let untoldEnds = 0;
  for (const { lines, events } of runs) {
    let taken = 0;
    for (const told of events) {
      const { event } = told;
      if (event !== "queued" && event !== "stored" && event !== "read") continue;
      const number = told["number"] as number;
      // What is stored is told again by a later run; a number is given once.
      if (number < last[event] || (event === "queued" && number === last.queued)) {
        wrong.push(`${event} went back from ${last[event]} to ${number}`);
      }
      if (event === "queued") {
        for (let end = number - 1; end > last.queued && untoldEnds > 0; end--, untoldEnds--) {
          ends.add(end);
        }
        untoldEnds = 0;
      }
      last[event] = Math.max(last[event], number);
      if (event !== "queued") continue;
      const line = lines[taken++];
      if (line === undefined) wrong.push(`${number} was queued, and nothing was written`);
      else texts.set(number, line);
    }
    if (taken === lines.length) untoldEnds++;
    wrong.push(...complaints(events));
  }
  return { texts, ends, untoldEnds, stored: last.stored, read: last.read };
}

interface Read {
  /** By number, in the order in which each was first shown. */
  readonly shown: ReadonlyMap<number, string>;
  readonly recovered: number;
  readonly repeated: readonly string[];
  readonly misordered: readonly string[];
}

function readReader(runs: readonly Run[], wrong: string[]): Read {
  const shown = new Map<number, string>();
  const repeated: string[] = [], misordered: string[] = [];
  let recovered = 0;
  let last = 0;
  runs.forEach(({ events }, run) => {
    let lastOfRun = 0;
    for (const told of events) {
      if (told.event !== "message") continue;
      const number = told["number"] as number;
      const text = told["text"] as string;
      const isRecovered = told["recovered"] === true;
      if (isRecovered && run === 0) {
        wrong.push(`"${text}" is from an earlier run, of which there is none`);
      }
      if (number <= lastOfRun) (shown.has(number) ? repeated : misordered).push(`"${text}"`);
      else if (shown.has(number)) {
        if (isRecovered) recovered++;
        else repeated.push(`"${text}"`);
      } else if (number < last) misordered.push(`"${text}"`);
      const before = shown.get(number);
      if (before !== undefined && before !== text) {
        wrong.push(`${number} is "${before}" and "${text}"`);
      }
      if (before === undefined) shown.set(number, text);
      lastOfRun = Math.max(lastOfRun, number);
      last = Math.max(last, number);
    }
    wrong.push(...complaints(events));
  });
  return { shown, recovered, repeated, misordered };
}

/**
 * What no fault of the network may lead to. Before its first registration a program may fail: nobody
 * waits for a server that was never there.
 */
function complaints(events: readonly JsonEvent[]): string[] {
  const registered = events.some(({ event }) => event === "registered");
  return events.filter(({ event }) =>
    event === "gap" || event === "peer-restarted" || (event === "error" && registered)
  ).map((event) => JSON.stringify(event));
}
