/** A program at the desk: everything that comes is shown at once, as JSON lines. */
import type { Status } from "../client/conversation.ts";
import type { Dialogue } from "../client/conversations.ts";
import type { PeerEvent } from "../client/incoming.ts";
import { beyondRepair, type Delivery } from "../client/thread.ts";
import type { CifraError } from "../errors.ts";
import { mayFail } from "../flow/may_fail.ts";
import { Signal } from "../flow/signal.ts";
import type { Time } from "../flow/time.ts";
import { CONFIRMATION_PATIENCE } from "../limits.ts";
import type { DeskView, Front, Lines, Outcome } from "./desk_front.ts";
import { deliveryJson, eventJson, IN_THE_MIDDLE, undelivered } from "./message_words.ts";
import { readStdin } from "./stdin.ts";
import { StdinLines } from "./stdin_lines.ts";
import type { Request } from "./json_input.ts";
import type { JsonEvent, Terminal } from "./terminal.ts";

/** Characters of messages that wait for room on the disk while commands behind them are obeyed. */
const UNKEPT_LIMIT = 1024 * 1024;

/** The desk as JSON lines. */
export class DeskJson implements Front {
  readonly #view: DeskView;
  readonly #terminal: Terminal;
  readonly #time: Pick<Time, "after">;
  readonly #finished = Promise.withResolvers<Outcome>();
  /** How far messages came, as it was told last. */
  readonly #told = new WeakMap<Dialogue, Delivery>();
  /** Of a conversation in which we have nothing more to say, our last message. */
  readonly #lastSaid = new WeakMap<Dialogue, bigint>();
  /** Whether the one we talk to has nothing more to say, or has left. */
  #peerIsDone = false;
  /** That has changed, or how far our messages came. */
  readonly #peerChanged = new Signal();
  /** How the one we talk to went, the last time. */
  #went: "left" | "failed" = "left";
  /** Characters of messages that are not on disk yet, and whether they wait for room there. */
  #unkept = 0;
  #isDiskFull = false;
  readonly #keptChanged = new Signal();
  /** Rejects on a mistake in this program. */
  readonly #bug = Promise.withResolvers<never>();

  constructor(view: DeskView, terminal: Terminal, time: Pick<Time, "after">) {
    this.#view = view;
    this.#terminal = terminal;
    this.#time = time;
  }

  async run(lines: Lines): Promise<Outcome> {
    const { only } = this.#view;
    const written = new StdinLines();
    const takeAll = async (some: readonly string[]) => {
      // Whoever does not read what is told is not listened to either: the answers would have no end.
      await this.#terminal.room();
      await this.#inOrder(some, lines);
    };
    const input = readStdin((piece) => takeAll(written.push(piece)), async () => {
      await takeAll(written.end());
      // No command can come any more.
      await this.#kept(0);
    });
    const over = new AbortController();
    const settled = input.done.then(() => this.#end(only))
      .then(() => this.#settled(only, over.signal));
    mayFail(settled);
    const done = settled.then(async (failure) => {
      if (failure || only === undefined) return failure;
      await this.#untilPeerIsDone();
      return this.#unfinished(only);
    });
    mayFail(done);
    mayFail(this.#bug.promise);
    try {
      const outcome = await Promise.race([
        this.#finished.promise,
        done,
        input.failed,
        this.#bug.promise,
      ]);
      if (outcome === undefined) return "finished";
      return outcome instanceof Error ? { error: outcome } : outcome;
    } finally {
      over.abort();
      input.stop();
    }
  }

  async read(dialogue: Dialogue): Promise<void> {
    const { name, thread } = dialogue;
    this.#told.set(dialogue, thread.delivery);
    const decoder = new TextDecoder();
    const untaken = Promise.withResolvers<never>();
    // What nobody can read is not read: the next run shows it.
    const onWritten = (event: PeerEvent) => {
      try {
        thread.taken(event);
        if (event.type === "end") this.#setPeerIsDone(true);
      } catch (error) {
        untaken.reject(error);
      }
    };
    const telling = async () => {
      for await (const event of thread.events()) {
        this.#emit(name, eventJson(event, name, decoder), () => onWritten(event));
        // The desk ends a program to which nobody listens any more.
        if (!await this.#terminal.room()) return;
      }
      await this.#terminal.flushed();
    };
    await Promise.race([telling(), untaken.promise]);
  }

  onStatus(status: Status): void {
    if (status.type === "storing" && status.storing.who === "us") {
      this.#isDiskFull = status.storing.trouble !== undefined;
      this.#keptChanged.notify();
    }
    if (status.type === "left") {
      this.#went = status.failed ? "failed" : "left";
      this.#setPeerIsDone(true);
    }
    if (status.type === "connected" && status.again) this.#setPeerIsDone(false);
  }

  refresh(): void {}

  onDelivery(dialogue: Dialogue): void {
    const { name, thread } = dialogue;
    const { delivery } = thread;
    this.#peerChanged.notify();
    const told = this.#told.get(dialogue);
    if (!told) return;
    const now = this.#withoutEnd(dialogue, delivery);
    this.#told.set(dialogue, now);
    for (const event of deliveryJson(told, now)) {
      const ref = event.event === "queued" ? thread.takeRef(BigInt(event.number)) : undefined;
      this.#emit(name, ref === undefined ? event : { ...event, ref });
    }
  }

  onUnread(): void {}

  finish(how: Outcome): void {
    this.#finished.resolve(how);
  }

  /** To one person we say that there is nothing more. */
  async #end(only: string | undefined): Promise<void> {
    const dialogue = only === undefined ? undefined : this.#view.dialogue(only);
    if (!dialogue) return;
    this.#lastSaid.set(dialogue, dialogue.thread.delivery.queued);
    await dialogue.thread.sendEnd();
  }

  /**
   * A program means its commands in order; the messages between two commands share a commit. While the disk has no
   * room the commands behind messages are obeyed all the same, or nothing could end the program.
   */
  async #inOrder(texts: readonly string[], lines: Lines): Promise<void> {
    for (const text of texts) {
      const request = lines.read(text);
      if (request.line.type === "say") this.#say(request, request.line.text.length + 1, lines);
      else {
        await this.#kept(UNKEPT_LIMIT);
        await lines.obey(request);
      }
    }
    await this.#kept(UNKEPT_LIMIT);
  }

  #say(request: Request, length: number, lines: Lines): void {
    this.#unkept += length;
    lines.obey(request).catch(this.#bug.reject).finally(() => {
      this.#unkept -= length;
      this.#keptChanged.notify();
    });
  }

  /** Resolves when all messages are on disk, or no more than `most` characters of them wait for room there. */
  async #kept(most: number): Promise<void> {
    while (this.#unkept > (this.#isDiskFull ? most : 0)) await this.#keptChanged.wait();
  }

  /** The end has a number like a message, and is none. */
  #withoutEnd(dialogue: Dialogue, { queued, ...rest }: Delivery): Delivery {
    const last = this.#lastSaid.get(dialogue) ?? queued;
    const said = (number: bigint) => number < last ? number : last;
    return {
      queued: said(queued),
      sent: said(rest.sent),
      onServer: said(rest.onServer),
      stored: said(rest.stored),
      read: said(rest.read),
    };
  }

  /** Resolves when the others have what was written, or as good as that; to why they never will. */
  async #settled(only: string | undefined, over: AbortSignal): Promise<CifraError | undefined> {
    const settled = this.#view.settled();
    if (only === undefined) return await settled;
    mayFail(settled);
    return await Promise.race([settled, this.#unconfirmed(only, over)]);
  }

  /**
   * Resolves, and tells how far it came, when all that was written waits on the server for one who is done, and who
   * has not said for a while that they have it: whoever is killed when they leave says it when they come again.
   */
  async #unconfirmed(name: string, over: AbortSignal): Promise<undefined> {
    while (!over.aborted) {
      if (!this.#isOnServer(name)) {
        await this.#peerChanged.wait(over);
        continue;
      }
      const patience = new AbortController();
      const cancel = this.#time.after(CONFIRMATION_PATIENCE, () => patience.abort());
      const either = AbortSignal.any([patience.signal, over]);
      while (this.#isOnServer(name) && !either.aborted) await this.#peerChanged.wait(either);
      cancel();
      if (patience.signal.aborted) break;
    }
    const dialogue = this.#view.dialogue(name);
    if (over.aborted || !dialogue) return;
    const messages = undelivered(this.#withoutEnd(dialogue, dialogue.thread.delivery));
    if (messages > 0) this.#emit(name, { event: "unconfirmed", to: name, messages });
  }

  #isOnServer(name: string): boolean {
    const delivery = this.#view.dialogue(name)?.thread.delivery;
    return this.#peerIsDone && delivery !== undefined && delivery.onServer === delivery.queued;
  }

  /** Why what came is not all that was to come: of a byte stream only its end says so. */
  #unfinished(only: string): CifraError | undefined {
    if (this.#view.dialogue(only)?.thread.theirStream !== "middle") return undefined;
    return beyondRepair(`${only} ${this.#went} ${IN_THE_MIDDLE}`);
  }

  async #untilPeerIsDone(): Promise<void> {
    while (!this.#peerIsDone) await this.#peerChanged.wait();
  }

  #setPeerIsDone(isDone: boolean): void {
    this.#peerIsDone = isDone;
    this.#peerChanged.notify();
  }

  #emit(name: string, event: JsonEvent, onWritten?: () => void): void {
    const told = this.#view.only === undefined ? { ...event, with: name } : event;
    this.#terminal.emit(told, onWritten);
  }
}
