/** What the writer makes of a word of the reader, and the reader of messages: the rules that are tried (PROTOCOL.md 3.8, 3.12). */
import {
  type Ablation,
  type Envelope,
  PREKEYS,
  range,
  type ReadLog,
  type State,
} from "./delivery_state.ts";

/** Another box, with prekeys under numbers that were not used. */
export function takeNewBox({ reader, server }: State): void {
  reader.box = server.box = Math.max(reader.box, server.box) + 1;
  reader.prekeys = range(server.nextPrekey, PREKEYS);
  reader.sessions = {};
}

/** The writer hears how far a log is stored. False: it is an old copy, and has begun its log anew. */
export function heard(
  to: State,
  log: number,
  have: number,
  id: number,
  without: ReadonlySet<Ablation>,
): boolean {
  const { writer } = to;
  if (log !== writer.log) return true;
  const isOurs = have <= writer.stored || writer.messages[have - 1] === id || id === 0;
  if (isOurs || without.has("receipts by number alone")) {
    writer.stored = Math.max(writer.stored, Math.min(have, writer.messages.length));
    return true;
  }
  writer.messages = writer.messages.slice(writer.stored);
  writer.stored = 0;
  writer.log = ++to.lastLog;
  writer.deposits = [];
  writer.session = 0;
  to.channel = null;
  return false;
}

/** The reader goes on with a log. */
export function begin(to: State, log: number, first: number): ReadLog {
  const known = to.reader.logs[log] ??= { have: 0, id: 0, numbers: {}, early: {} };
  if (first > known.have + 1) {
    known.have = first - 1;
    known.id = 0;
    to.gaps++;
    pull(to, known);
  }
  return known;
}

/** The reader stores a message whose turn it is, and those that waited for it. */
export function take(to: State, log: ReadLog, number: number, id: number): void {
  log.have = number;
  log.id = id;
  log.numbers[number] = id;
  keep(to, id);
  pull(to, log);
}

function pull(to: State, log: ReadLog): void {
  for (let id = log.early[log.have + 1]; id !== undefined; id = log.early[log.have + 1]) {
    delete log.early[++log.have];
    log.id = id;
    log.numbers[log.have] = id;
    keep(to, id);
  }
  for (const [number, id] of Object.entries(log.early)) {
    if (Number(number) > log.have) continue;
    delete log.early[number];
    keep(to, id);
  }
}

function keep({ reader }: State, id: number): void {
  if (reader.ids.includes(id)) return;
  reader.ids.push(id);
  reader.toShow.push(id);
}

/** One transaction: the session or the one-time secret, the messages, what is owed. Then it is settled. */
export function open(to: State, envelope: Envelope, without: ReadonlySet<Ablation>): void {
  const { reader, server, settled } = to;
  const { id, session, index, box, log, first, messages } = envelope;
  const isSettled = without.has("settled before it is stored") || settled.includes(id) ||
    !server.waiting.some((each) => each.id === id);
  if (!isSettled) settled.push(id);
  reader.owed = log;
  // What does not open is settled, and a receipt says what is missing.
  if (box !== reader.box) return;
  const next = reader.sessions[session];
  const remembers = !without.has("no memory of numbers and sessions");
  if (next === undefined) {
    if (!reader.prekeys.includes(session) && reader.volatile !== session) return;
    reader.prekeys = reader.prekeys.filter((prekey) => prekey !== session);
  } else if (index < next && remembers) return;
  reader.sessions[session] = Math.max(next ?? 0, index + 1);
  reader.volatile = 0;
  const known = begin(to, log, first);
  const follows = first > known.have || without.has("whatever it follows") ||
    messages.some(([number, id]) => number === known.have && id === known.id);
  // Its writer is an old copy: what it goes on with is no part of the log that is here.
  const isForked = !follows && messages.some(([number]) => number === known.have);
  for (const [number, id] of messages) {
    if (isForked && number > known.have) keep(to, id);
    else if (remembers) place(to, known, number, id, follows, without);
    else {
      reader.toShow.push(id);
      if (!reader.ids.includes(id)) reader.ids.push(id);
      known.have = Math.max(known.have, number);
      known.numbers[number] = id;
    }
  }
}

/** Where a message of an envelope goes. */
function place(
  to: State,
  log: ReadLog,
  number: number,
  id: number,
  /** Whether the envelope goes on with what is here. */
  follows: boolean,
  without: ReadonlySet<Ablation>,
): void {
  const { reader } = to;
  if (number <= log.have) {
    const taken = log.numbers[number];
    const isAside = taken !== undefined && taken !== id && !reader.ids.includes(id);
    if (!isAside) return;
    if (without.has("a taken number is passed over whatever its id")) reader.dropped = id;
    else keep(to, id);
  } else if (number === log.have + 1 && follows) take(to, log, number, id);
  else if (without.has("early ones are shown at once")) {
    reader.ids.push(id);
    reader.toShow.push(id);
    log.numbers[number] = id;
  } else if (without.has("a hole is jumped")) take(to, log, number, id);
  else if (log.early[number] === undefined || log.early[number] === id) log.early[number] = id;
  else keep(to, id);
}
