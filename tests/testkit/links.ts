/** Two conversations that find each other again and again, as their programs would let them. */
import { concat } from "@std/bytes/concat";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import type { FileLane } from "../../lib/client/file_dock.ts";
import type { PeerEvent } from "../../lib/client/incoming.ts";
import { type Delivery, type Ending, type Storing, Thread } from "../../lib/client/thread.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import { SharedPause } from "../../lib/flow/shared_pause.ts";
import { STORE_PAUSE_MAXIMUM, STORE_PAUSE_MINIMUM } from "../../lib/limits.ts";
import type { Channel } from "../../lib/channel/channel.ts";
import { type Commit, MemoryMessages } from "./memory_messages.ts";
import type { MessageStore } from "../../lib/store/message_store.ts";
import { encode } from "../../lib/wire/layout.ts";
import type { Line } from "../../lib/wire/line.ts";
import {
  LogKind,
  type LogPosition,
  peerAck,
  type PeerMessage,
  peerMessage,
} from "../../lib/wire/peer_messages.ts";
import { CloseCode, closeLayout, type Item, ItemType } from "../../lib/wire/records.ts";
import { openChannels, openEvilPair } from "./adversary.ts";
import { ManualTime } from "./clock.ts";
import type { Lane, Pipe } from "./pipe.ts";

/** What they write was written at this time. */
export const WRITTEN = Date.UTC(2030, 0, 1);
/** A log that nobody has. */
export const NO_LOG: Bytes = new Uint8Array(16);
/** The id of no message. */
export const NO_ID: Bytes = new Uint8Array(16);

/** A disk that writes at once, until the test holds it or fills it. */
export class TestDisk {
  #held: PromiseWithResolvers<void> | undefined;
  #waiting = 0;
  /** Whether it refuses to write. */
  full = false;
  /** How. */
  refusal = new CifraError("local", "The disk is full");
  /** How often it has refused. */
  refused = 0;

  readonly commit: Commit = async (work) => {
    this.#waiting++;
    await this.#held?.promise;
    this.#waiting--;
    if (this.full) {
      this.refused++;
      throw this.refusal;
    }
    work();
  };

  /** Commits that have been asked for and are not done. */
  get waiting(): number {
    return this.#waiting;
  }

  /** From now on nothing is written. */
  hold(): void {
    this.#held ??= Promise.withResolvers();
  }

  /** What was held is written, and the rest as well. */
  release(): void {
    this.#held?.resolve();
    this.#held = undefined;
  }
}

/** How a person's end differs from the usual: a chat that is kept. */
export interface PersonOptions {
  readonly store?: MessageStore | undefined;
  readonly kind?: LogKind;
  readonly clock?: ManualTime;
  readonly onDelivery?: (delivery: Delivery) => void;
  readonly onStoring?: (storing: Storing) => void;
  readonly ourAway?: () => Line;
  readonly onAway?: (words: Line) => void;
  readonly tellsRead?: boolean;
  readonly files?: FileLane;
}

/** As a person's program has it. */
export function storePauseOf(clock: ManualTime): SharedPause {
  return new SharedPause(clock, STORE_PAUSE_MINIMUM, STORE_PAUSE_MAXIMUM);
}

/** Opens a conversation with `peer`. */
export function openLink(peer: string, options: PersonOptions = {}): Promise<Thread> {
  const { kind = LogKind.kept, clock = new ManualTime() } = options;
  const { onDelivery, onStoring, ourAway, onAway, tellsRead, files } = options;
  const store = "store" in options ? options.store : new MemoryMessages();
  return Thread.open({
    store,
    kind,
    key: { peer, suite: "modern" },
    random: systemRandom,
    time: { now: clock.now, date: () => WRITTEN },
    storePause: storePauseOf(clock),
    onStoring,
    ourAway,
    onAway,
    onDelivery,
    tellsRead,
    files,
  });
}

/** A channel between two conversations. */
export interface Meeting {
  readonly pipe: Pipe;
  readonly clock: ManualTime;
  readonly channels: { readonly alice: Channel; readonly bob: Channel };
  readonly endings: Promise<readonly [Ending, Ending]>;
  /** Cuts it for both at once; resolves when both know. */
  cut(): Promise<readonly [Ending, Ending]>;
}

/** What a meeting may be told beforehand. */
export interface MeetingOptions {
  /** Called when both have said where they stand, and neither has gone on. */
  readonly before?: (pipe: Pipe) => Promise<void> | void;
  /** What Alice hears of where Bob stands; without it, what he says. */
  readonly welcome?: (said: LogPosition) => LogPosition;
}

/** Lets two conversations meet as a ladder would: Alice says where she stands, then Bob. */
export async function meet(
  alice: Thread,
  bob: Thread,
  { before, welcome: heard = (said) => said }: MeetingOptions = {},
): Promise<Meeting> {
  const { alice: left, bob: right, pipe, clock } = await openChannels();
  const hello = alice.position();
  const welcome = heard({ ...bob.position(hello.log) });
  await before?.(pipe);
  const attached = [bob.attach(right, hello), alice.attach(left, welcome)] as const;
  // As their owner does: a channel that has ended is let go.
  attached[0].then(() => right.destroy());
  attached[1].then(() => left.destroy());
  const endings = Promise.all([attached[1], attached[0]]);
  return {
    pipe,
    clock,
    channels: { alice: left, bob: right },
    endings,
    cut: () => {
      pipe.toLeft.break();
      pipe.toRight.break();
      return endings;
    },
  };
}

/** Lets two meet until both have everything of each other; resolves to the channels that took. */
export async function exchange(initiator: Thread, responder: Thread): Promise<number> {
  for (let channels = 1;; channels++) {
    const { endings, cut } = await meet(initiator, responder);
    const settled = Promise.all([initiator.settled(), responder.settled()]).then(() => true);
    if (await Promise.race([settled, endings.then(() => false)])) {
      await cut();
      return channels;
    }
  }
}

/** What a conversation has heard so far; it goes on listening until it ends. */
export class Ear {
  readonly heard: PeerEvent[] = [];
  readonly ended: Promise<void>;
  readonly #waiting = new Set<() => void>();

  constructor(link: Thread, take = true) {
    this.ended = (async () => {
      for await (const event of link.events()) {
        this.heard.push(event);
        if (take) link.taken(event);
        for (const wake of this.#waiting) wake();
      }
    })();
  }

  /** Resolves when this many events have been heard. */
  async count(events: number): Promise<void> {
    while (this.heard.length < events) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** The texts so far, other events by their names. */
  get words(): string[] {
    return this.heard.map((event) => {
      if (event.type === "text") return event.text;
      return event.type === "gap" ? `gap ${event.from}-${event.to}` : event.type;
    });
  }

  /** The pieces of a stream so far. */
  get pieces(): Bytes[] {
    return this.heard.flatMap((event) => event.type === "bytes" ? [event.bytes] : []);
  }
}

/**
 * Ends both directions of a pipe once `count` more bytes have been written to one of its lanes: `break`
 * also loses what was not read yet, `end` does not.
 */
export function cutAfter(between: Pipe, lane: Lane, count: number, how: "break" | "end"): void {
  const write = lane.write.bind(lane);
  let left = count;
  lane.write = async (data) => {
    if (left === 0) throw new Deno.errors.BrokenPipe("The pipe is cut");
    const taken = await write(data.subarray(0, left));
    left -= taken;
    if (left === 0) { for (const each of [between.toLeft, between.toRight]) each[how](); }
    return taken;
  };
}

/** The item of a message. */
export function messageItem(message: PeerMessage): Item {
  return { type: ItemType.message, body: encode(peerMessage, message) };
}

/** The item of a text. */
export function textItem(number: bigint, text: string, id: Bytes = systemRandom(16)): Item {
  const content = encodeUtf8(text);
  return messageItem({ type: "text", number, id, written: BigInt(WRITTEN), content });
}

/** The item of an acknowledgement. */
export function ackItem(stored: bigint, read = 0n): Item {
  return { type: ItemType.ack, body: encode(peerAck, { stored, read }) };
}

/** The item of a goodbye. */
export function goodbyeItem(
  lastSent: bigint,
  lastStored: bigint,
  code: CloseCode = CloseCode.done,
): Item {
  return { type: ItemType.close, body: encode(closeLayout, { code, lastSent, lastStored }) };
}

/** Where somebody stands who has a chat and has read nothing. */
export function freshPosition(change: Partial<LogPosition> = {}): LogPosition {
  const log = new Uint8Array(16).fill(0x6d);
  const nothing = { readLog: NO_LOG, have: 0n, haveId: NO_ID };
  return { log, kind: LogKind.kept, first: 1n, ...nothing, ...change };
}

/** Bob, and in Alice's place somebody who says what the test wants. */
export async function meetEvil(bob: Thread, theirs: LogPosition) {
  const { mallory, bob: channel, pipe, clock } = await openEvilPair();
  const ending = bob.attach(channel, theirs);
  ending.then(() => channel.destroy());
  return {
    mallory,
    channel,
    pipe,
    clock,
    ending,
    /** Says these items in one record. */
    say: async (...items: readonly Item[]) => {
      pipe.toRight.deliver(await mallory.sealItems(...items));
    },
    /** Says each of these items in a record of its own, all there at once. */
    sayAtOnce: async (...items: readonly Item[]) => {
      const records: Bytes[] = [];
      for (const item of items) records.push(await mallory.sealItems(item));
      pipe.toRight.deliver(concat(records));
    },
    /** Items up to one that fits; fails when the other side leaves first. */
    hearUntil: async (wanted: (item: Item) => boolean): Promise<Item[]> => {
      const heard: Item[] = [];
      for (;;) {
        const items = await mallory.receive();
        if (!Array.isArray(items)) throw new Error(`The other side left: ${items}`);
        heard.push(...items as readonly Item[]);
        if (items.some(wanted)) return heard;
      }
    },
    /** The alert or undefined, after everything else that is still said. */
    lastWords: async (): Promise<string | undefined> => {
      let said = await mallory.receive();
      while (Array.isArray(said)) said = await mallory.receive();
      return typeof said === "string" ? said : undefined;
    },
  };
}
