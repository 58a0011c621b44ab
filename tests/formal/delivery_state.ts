/**
 * How messages are delivered by two ways, a channel and the mailbox (PROTOCOL.md 3.8, 3.12): one writer, one reader and
 * one server as a state. Numbers stand for what is random in truth: ids of messages, names of logs and boxes, sessions.
 */

/** What may go wrong, and how often in one history. */
export type Fault =
  | "writer crashes"
  | "reader crashes"
  | "server crashes"
  | "cut"
  | "expiry"
  | "drop"
  | "reorder"
  | "replay"
  | "lost machine"
  | "old reader"
  | "old writer";

/** What happens in a history. */
export interface Scenario {
  /** Messages that are written; an old copy of the writer writes one more. */
  readonly messages: number;
  readonly faults: Readonly<Partial<Record<Fault, number>>>;
  /**
   * The reader has the first message of the log from another copy of the writer, and has told nobody: the writer knows
   * nothing of it, nor that it is one of `messages`.
   */
  readonly isForked?: boolean;
  /** Whether there is a channel between the two at times. */
  readonly live?: boolean;
  /** Whether it comes on disk later than on the screen that something was shown. */
  readonly lazy?: boolean;
  /** Envelopes handed out and not opened; 1 unless said otherwise. */
  readonly window?: number;
}

/** A rule that is left out, or broken. */
export type Ablation =
  | "settled before it is stored"
  | "secret erased before it is stored"
  | "never sealed again"
  | "early ones are shown at once"
  | "a hole is jumped"
  | "no memory of numbers and sessions"
  | "receipts by number alone"
  | "a taken number is passed over whatever its id"
  | "whatever it follows"
  | "opened beside a channel";

/** A message. */
export type Message = readonly [number: number, id: number];

/** Messages that are sealed for a box. */
export interface Envelope {
  id: number;
  session: number;
  index: number;
  box: number;
  log: number;
  first: number;
  messages: Message[];
}

/** How far somebody has a log. */
export interface ReadLog {
  have: number;
  id: number;
  numbers: Record<string, number>;
  early: Record<string, number>;
}

interface Writer {
  up: boolean;
  log: number;
  stored: number;
  /** Ids of the messages 1, 2, … of this log. */
  messages: number[];
  session: number;
  index: number;
  box: number;
  deposits: { id: number; numbers: number[]; box: number }[];
}

interface Reader {
  up: boolean;
  box: number;
  /** One-time prekeys, each for one session, and the next place in each session. */
  prekeys: number[];
  sessions: Record<string, number>;
  logs: Record<string, ReadLog>;
  /** Ids that are on disk, and those of them that are shown in this order, and how far that came. */
  ids: number[];
  toShow: number[];
  shown: number;
  /** The same in memory, where that is ahead. */
  shownInMemory: number | null;
  /** Shown before this, it was before a crash: shown again it has a remark. */
  remarkedBefore: number;
  /** The log of which a receipt is owed, 0 for none. */
  owed: number;
  /** A session whose secret is in memory alone. */
  volatile: number;
  /** A message that was opened and not kept. */
  dropped: number;
}

interface Server {
  up: boolean;
  waiting: Envelope[];
  box: number;
  nextPrekey: number;
  receipt: { log: number; have: number; id: number } | null;
  /** Envelopes that a hostile server has kept. */
  gone: Envelope[];
}

/** Where everybody stands, and what is under way. */
export interface State {
  writer: Writer;
  reader: Reader;
  server: Server;
  channel: { next: number; toReader: Message[]; ack: number | null } | null;
  deposit: (Envelope & { replaces: number[] }) | null;
  handedOut: Envelope[];
  settled: number[];
  writersCopy: Writer | null;
  readersCopy: Reader | null;
  lastId: number;
  lastEnvelope: number;
  lastLog: number;
  gaps: number;
  /** What was shown: ids, negative with a remark. */
  seen: number[];
  faults: Partial<Record<Fault | "too early", number>>;
  /** Ids that need not be delivered: the disk on which they were is gone. */
  forgotten: number[];
}

/** One-time prekeys in one history: a new box has those that were not handed out. */
export const PREKEYS = 8;

/** Where it begins: nothing is written, but what another copy of the writer wrote. */
export function begin({ isForked = false }: Scenario): State {
  const state = start();
  if (!isForked) return state;
  const { reader, server } = state;
  const id = state.lastId = server.nextPrekey++;
  reader.prekeys = range(server.nextPrekey, PREKEYS);
  reader.sessions = { [id]: 1 };
  reader.logs = { [state.lastLog]: { have: 1, id, numbers: { 1: id }, early: {} } };
  reader.ids = [id];
  reader.toShow = [id];
  return state;
}

/** Nothing is written. */
export function start(): State {
  return {
    writer: {
      up: true,
      log: 1,
      stored: 0,
      messages: [],
      session: 0,
      index: 0,
      box: 0,
      deposits: [],
    },
    reader: {
      up: true,
      box: 1,
      prekeys: range(1, PREKEYS),
      sessions: {},
      logs: {},
      ids: [],
      toShow: [],
      shown: 0,
      shownInMemory: null,
      remarkedBefore: 0,
      owed: 0,
      volatile: 0,
      dropped: 0,
    },
    server: { up: true, waiting: [], box: 1, nextPrekey: 1, receipt: null, gone: [] },
    channel: null,
    deposit: null,
    handedOut: [],
    settled: [],
    writersCopy: null,
    readersCopy: null,
    lastId: 0,
    lastEnvelope: 0,
    lastLog: 1,
    gaps: 0,
    seen: [],
    faults: {},
    forgotten: [],
  };
}

/** How many messages there are in the end. */
export function total({ messages, faults }: Scenario): number {
  return messages + (faults["old writer"] ? 1 : 0);
}

/** What is wrong with a state; undefined when nothing is. */
export function wrongIn(state: State, { faults, isForked }: Scenario): string | undefined {
  const { writer, reader, forgotten } = state;
  const seen = state.seen.filter((id) => id > 0);
  const hasOldReader = faults["old reader"] || faults["lost machine"];
  if (!hasOldReader && new Set(seen).size < seen.length) return "shown twice without a remark";
  // Ids grow as messages are written. What an old copy has left aside may come late.
  const isInOrder = seen.every((id, i) => i === 0 || id >= seen[i - 1]!);
  if (!hasOldReader && !faults["old writer"] && !isForked && !isInOrder) {
    return "shown out of order";
  }
  const delivered = writer.messages.slice(0, writer.stored);
  const isThere = delivered.every((id) => reader.ids.includes(id) || forgotten.includes(id));
  if (!isThere) return "acknowledged and not there";
  if (reader.dropped && !reader.ids.includes(reader.dropped)) return "opened and dropped";
  return undefined;
}

/** Whether everything is written, shown and acknowledged. */
export function isDelivered(state: State, scenario: Scenario): boolean {
  const { writer, reader, seen, forgotten } = state;
  const isSeen = (id: number) =>
    [id, -id].some((each) => seen.includes(each)) || forgotten.includes(id);
  return state.lastId === total(scenario) && writer.up &&
    writer.stored === writer.messages.length && writer.messages.every(isSeen) &&
    reader.shown === reader.toShow.length &&
    Object.values(reader.logs).every(({ early }) =>
      Object.keys(early).length === 0 || forgotten.length > 0
    );
}

/** The whole numbers from one to another, both included. */
export function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);
}
