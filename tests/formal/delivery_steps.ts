/** What can happen next in the model of delivery: the steps from a state. */
import { begin, heard, open, take, takeNewBox } from "./delivery_rules.ts";
import {
  type Ablation,
  type Envelope,
  type Fault,
  PREKEYS,
  range,
  type Scenario,
  start,
  type State,
  total,
} from "./delivery_state.ts";

/** One step. */
export interface Step {
  readonly what: string;
  readonly isFault: boolean;
  readonly to: State;
}

/** Every step from a state. */
export function stepsFrom(from: State, scenario: Scenario, without: ReadonlySet<Ablation>): Step[] {
  const steps: Step[] = [];
  const text = JSON.stringify(from);
  /** Adds a step; `change` returns false when it leads nowhere new. */
  const step = (what: string, change: (state: State) => void | false, fault?: Fault) => {
    const to: State = JSON.parse(text);
    if (change(to) === false) return;
    if (fault) to.faults[fault] = (to.faults[fault] ?? 0) + 1;
    steps.push({ what, isFault: fault !== undefined, to });
  };
  const may = (fault: Fault) => (from.faults[fault] ?? 0) < (scenario.faults[fault] ?? 0);
  const context = { from, scenario, without, step, may };
  writerSteps(context);
  serverSteps(context);
  readerSteps(context);
  channelSteps(context);
  crashSteps(context);
  copySteps(context);
  return steps;
}

interface Context {
  readonly from: State;
  readonly scenario: Scenario;
  readonly without: ReadonlySet<Ablation>;
  readonly step: (what: string, change: (state: State) => void | false, fault?: Fault) => void;
  readonly may: (fault: Fault) => boolean;
}

function writerSteps({ from, scenario, without, step }: Context): void {
  const { writer, reader, server } = from;
  if (writer.up && from.lastId < total(scenario)) {
    step("written", (to) => void to.writer.messages.push(++to.lastId));
  }
  if (!writer.up || !server.up) return;
  const waiting = new Set(server.waiting.map(({ id }) => id));
  if (!from.channel && !from.deposit) {
    const covered = writer.deposits.filter(({ id }) => waiting.has(id))
      .flatMap(({ numbers }) => numbers);
    const open = range(writer.stored + 1, writer.messages.length)
      .filter((number) => !covered.includes(number));
    const isAgain = open.some((number) =>
      writer.deposits.some(({ numbers }) => numbers.includes(number))
    );
    // Receipts come first: a writer waits a day before it seals again what waits no more. Too early: one try.
    const isEarly = isAgain && (server.receipt !== null || reader.owed > 0 ||
      from.handedOut.length > 0 || from.settled.length > 0);
    const sealsAgain = !without.has("never sealed again");
    const maySeal = !isAgain || sealsAgain && (!isEarly || !from.faults["too early"]);
    // Sealed for a box that is not the present one.
    const isMoved = writer.deposits.some(({ id, box }) => waiting.has(id) && box !== server.box);
    if (open.length > 0 && maySeal || isMoved && sealsAgain) {
      step(isAgain ? "sealed again" : "sealed", (to) => {
        if (isEarly) to.faults["too early"] = 1;
        return seal(to, { isNew: isAgain || isMoved, isMoved, open, waiting }, without);
      });
    }
  }
  if (server.receipt) {
    step("the writer takes a receipt", (to) => {
      const { log, have, id } = to.server.receipt!;
      to.server.receipt = null;
      heard(to, log, have, id, without);
    });
  }
}

function seal(
  to: State,
  { isNew, isMoved, open, waiting }: {
    readonly isNew: boolean;
    readonly isMoved: boolean;
    readonly open: number[];
    readonly waiting: ReadonlySet<number>;
  },
  without: ReadonlySet<Ablation>,
): void | false {
  const { writer, server } = to;
  if (isNew || writer.session === 0 || writer.box !== server.box) {
    if (server.nextPrekey > PREKEYS) return false;
    writer.session = server.nextPrekey++;
    writer.index = 0;
    writer.box = server.box;
  }
  const first = writer.stored + 1;
  const said = isMoved ? range(first, writer.messages.length) : open;
  // With the one before it, by which its reader knows what it follows.
  const isBehind = said[0]! > first && !without.has("whatever it follows");
  const numbers = isBehind ? [said[0]! - 1, ...said] : said;
  const replaces = isMoved ? writer.deposits.map(({ id }) => id) : [];
  const id = ++to.lastEnvelope;
  writer.deposits = writer.deposits.filter((deposit) =>
    waiting.has(deposit.id) && !isMoved || deposit.numbers.some((number) => number > writer.stored)
  );
  writer.deposits.push({ id, numbers, box: writer.box });
  to.deposit = {
    id,
    session: writer.session,
    index: writer.index++,
    box: writer.box,
    log: writer.log,
    first,
    messages: numbers.map((number) => [number, writer.messages[number - 1]!]),
    replaces,
  };
}

function serverSteps({ from, scenario, step, may }: Context): void {
  const { reader, server, handedOut, settled } = from;
  if (server.up && from.deposit) {
    step("the server stores", (to) => {
      const { replaces, ...envelope } = to.deposit!;
      to.deposit = null;
      to.server.waiting = to.server.waiting.filter(({ id }) => !replaces.includes(id));
      if (!to.server.waiting.some(({ id }) => id === envelope.id)) to.server.waiting.push(envelope);
    });
  }
  if (server.up && reader.up) {
    const window = scenario.window ?? 1;
    // What waits in another box is never handed out: its writer moves it.
    const next = server.waiting.filter(({ id, box }) =>
      box === reader.box && !handedOut.some((other) => other.id === id) && !settled.includes(id)
    );
    const handOut = (what: string, envelope: Envelope, fault?: Fault) =>
      step(what, (to) => void to.handedOut.push(envelope), fault);
    if (next[0] && handedOut.length < window) handOut("the server hands out", next[0]);
    if (next[1] && may("reorder")) handOut("REORDER", next[1], "reorder");
    if (handedOut.length < window && may("replay")) {
      for (const envelope of server.gone) handOut("REPLAY", envelope, "replay");
    }
  }
  if (server.up && settled.length > 0) {
    step("the server deletes", (to) => {
      const id = to.settled.shift();
      const envelope = to.server.waiting.find((each) => each.id === id);
      if (envelope && scenario.faults.replay) {
        to.server.gone = [...to.server.gone, envelope].slice(-2);
      }
      to.server.waiting = to.server.waiting.filter((each) => each.id !== id);
    });
  }
  for (const fault of ["expiry", "drop"] as const) {
    if (!may(fault)) continue;
    for (const { id } of server.waiting) {
      step(fault.toUpperCase(), (to) => {
        to.server.waiting = to.server.waiting.filter((each) => each.id !== id);
      }, fault);
    }
  }
}

function readerSteps({ from, scenario, without, step }: Context): void {
  const { reader, server, handedOut, settled } = from;
  if (!reader.up) return;
  // Beside a channel with its writer nothing is opened: m7 and m8 would not know of it.
  const envelope = from.channel && !without.has("opened beside a channel")
    ? undefined
    : handedOut[0];
  if (envelope) {
    const { id, session, box } = envelope;
    const isThere = server.waiting.some((each) => each.id === id);
    if (without.has("settled before it is stored") && isThere && !settled.includes(id)) {
      step("settled too early", (to) => void to.settled.push(id));
    }
    const isErasable = reader.prekeys.includes(session) && box === reader.box;
    if (without.has("secret erased before it is stored") && isErasable) {
      step("erased too early", (to) => {
        to.reader.prekeys = to.reader.prekeys.filter((prekey) => prekey !== session);
        to.reader.volatile = session;
      });
    } else {
      step("opened, stored and erased", (to) => open(to, to.handedOut.shift()!, without));
    }
  }
  if (server.up && reader.owed) {
    step("the reader sends a receipt", (to) => {
      const log = to.reader.owed;
      const { have, id } = to.reader.logs[log] ?? { have: 0, id: 0 };
      to.server.receipt = { log, have, id };
      to.reader.owed = 0;
    });
  }
  const at = reader.shownInMemory ?? reader.shown;
  if (at < reader.toShow.length) {
    step("shown", (to) => {
      const id = to.reader.toShow[at]!;
      to.seen.push(at < to.reader.remarkedBefore ? -id : id);
      if (scenario.lazy) to.reader.shownInMemory = at + 1;
      else to.reader.shown = at + 1;
    });
  }
  if (at > reader.shown) step("that it was shown is on disk", (to) => void (to.reader.shown = at));
}

function channelSteps({ from, scenario, without, step, may }: Context): void {
  const { writer, reader, server, channel } = from;
  if (scenario.live && writer.up && reader.up && server.up && !channel) {
    step("a channel", (to) => openChannel(to, without));
  }
  if (!channel) return;
  if (channel.next <= writer.messages.length && channel.toReader.length < 2) {
    step("sent over the channel", ({ writer, channel }) => {
      const number = channel!.next++;
      channel!.toReader.push([number, writer.messages[number - 1]!]);
    });
  }
  if (channel.toReader.length > 0) {
    step("taken from the channel", (to) => {
      const [number, id] = to.channel!.toReader.shift()!;
      const log = to.reader.logs[to.writer.log]!;
      if (number > log.have) take(to, log, number, id);
      to.channel!.ack = log.have;
    });
  }
  if (channel.ack !== null) {
    step("acknowledged", ({ writer, channel }) => {
      writer.stored = Math.max(writer.stored, channel!.ack!);
      channel!.ack = null;
    });
  }
  const isDone = channel.next > writer.messages.length && channel.toReader.length === 0 &&
    channel.ack === null;
  const end = (to: State) => void (to.channel = null);
  if (isDone) step("the channel ends", end);
  else if (may("cut")) step("CUT", end, "cut");
}

/** m7 and m8: both hear where the other is. */
function openChannel(to: State, without: ReadonlySet<Ablation>): void | false {
  const { writer, reader } = to;
  const { log, stored } = writer;
  const known = reader.logs[log];
  // An old copy has begun a new log: the channel is ended.
  if (known && !heard(to, log, known.have, known.id, without)) return;
  const { have } = begin(to, log, writer.stored + 1);
  const hasNothing = have === writer.messages.length && have === stored;
  if (hasNothing) return false;
  to.channel = { next: Math.max(have, writer.stored) + 1, toReader: [], ack: null };
}

function crashSteps({ from, step, may }: Context): void {
  const { writer, reader, server, settled } = from;
  if (writer.up && may("writer crashes")) {
    step("CRASH of the writer", (to) => {
      to.writer.up = false;
      to.channel = null;
    }, "writer crashes");
  }
  if (!writer.up) step("the writer starts", (to) => void (to.writer.up = true));
  const isCut = writer.up && server.up;
  if (from.deposit && (may("cut") || !isCut)) {
    step("a deposit is lost", (to) => void (to.deposit = null), isCut ? "cut" : undefined);
  }
  if (reader.up && may("reader crashes")) {
    const crash = (to: State) => {
      to.reader = { ...to.reader, up: false, shownInMemory: null, volatile: 0 };
      to.channel = null;
      to.handedOut = [];
    };
    step("CRASH of the reader", (to) => {
      crash(to);
      to.settled = [];
    }, "reader crashes");
    if (settled.length > 0) {
      step("CRASH of the reader, what it settled arrives", crash, "reader crashes");
    }
  }
  if (!reader.up) {
    step("the reader starts", ({ reader }) => {
      reader.up = true;
      reader.remarkedBefore = reader.toShow.length;
    });
  }
  if (server.up && may("server crashes")) {
    step("CRASH of the server", (to) => {
      to.server.up = false;
      cutOff(to);
    }, "server crashes");
  }
  if (!server.up) step("the server starts", (to) => void (to.server.up = true));
}

function copySteps({ from, step, may }: Context): void {
  if (may("old reader")) {
    if (!from.readersCopy) {
      step("the reader is copied", (to) => {
        to.readersCopy = { ...to.reader, shownInMemory: null };
      });
    } else {
      step("OLD COPY of the reader", (to) => {
        const { readersCopy: copy, reader, seen } = to;
        to.forgotten.push(...reader.ids.filter((id) => !copy!.ids.includes(id)));
        to.forgotten.push(...reader.ids.filter((id) => !seen.includes(id)));
        to.reader = { ...copy!, up: true, remarkedBefore: copy!.toShow.length };
        to.readersCopy = null;
        cutOff(to);
        // It finds at the server numbers that it has not given out.
        takeNewBox(to);
      }, "old reader");
    }
  }
  if (may("lost machine")) {
    step("THE READER'S MACHINE IS LOST", (to) => {
      to.forgotten.push(...to.reader.ids);
      to.reader = { ...start().reader, prekeys: to.reader.prekeys };
      cutOff(to);
      takeNewBox(to);
    }, "lost machine");
  }
  if (may("old writer")) {
    if (!from.writersCopy) {
      step("the writer is copied", (to) => void (to.writersCopy = { ...to.writer }));
    } else {
      step("OLD COPY of the writer", (to) => {
        const { writersCopy: copy, writer } = to;
        to.forgotten.push(...writer.messages.filter((id) => !copy!.messages.includes(id)));
        to.writer = { ...copy!, up: true };
        to.writersCopy = null;
        to.channel = null;
      }, "old writer");
    }
  }
}

function cutOff(to: State): void {
  to.channel = null;
  to.handedOut = [];
  to.settled = [];
}
