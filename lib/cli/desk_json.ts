/** A program at the desk: everything that comes is shown at once, as JSON lines. */
import type { Status } from "../client/conversation.ts";
import type { Dialogue } from "../client/conversations.ts";
import type { Delivery } from "../client/thread.ts";
import { mayFail } from "../flow/may_fail.ts";
import { Signal } from "../flow/signal.ts";
import { isCommand } from "./desk_commands.ts";
import type { DeskView, Front, Outcome } from "./desk_front.ts";
import { deliveryJson, eventJson } from "./message_words.ts";
import { readStdin } from "./stdin.ts";
import { StdinLines } from "./stdin_lines.ts";
import type { JsonEvent, Terminal } from "./terminal.ts";

/** The desk as JSON lines. */
export class DeskJson implements Front {
  readonly #view: DeskView;
  readonly #terminal: Terminal;
  readonly #finished = Promise.withResolvers<Outcome>();
  /** How far messages came, as it was told last. */
  readonly #told = new WeakMap<Dialogue, Delivery>();
  /** Whether the one we talk to has nothing more to say, or has left. */
  #peerIsDone = false;
  readonly #peerChanged = new Signal();

  constructor(view: DeskView, terminal: Terminal) {
    this.#view = view;
    this.#terminal = terminal;
  }

  async run(take: (line: string) => Promise<void>): Promise<Outcome> {
    const { only } = this.#view;
    const lines = new StdinLines();
    const takeAll = only === undefined
      ? (some: readonly string[]) => inOrder(some, take)
      // To one person each line is a message, whatever it looks like; those of one piece share a commit.
      : async (some: readonly string[]) => void await Promise.all(some.map(take));
    const input = readStdin((piece) => takeAll(lines.push(piece)), () => takeAll(lines.end()));
    const settled = input.done.then(() => this.#end(only)).then(() => this.#view.settled());
    mayFail(settled);
    const done = settled.then(async (failure) => {
      if (!failure && only !== undefined) await this.#untilPeerIsDone();
      return failure;
    });
    mayFail(done);
    try {
      const outcome = await Promise.race([this.#finished.promise, done, input.failed]);
      if (outcome === undefined) return "finished";
      return outcome instanceof Error ? { error: outcome } : outcome;
    } finally {
      input.stop();
    }
  }

  async read(dialogue: Dialogue): Promise<void> {
    const { name, thread } = dialogue;
    this.#told.set(dialogue, thread.delivery);
    const decoder = new TextDecoder();
    for await (const event of thread.events()) {
      this.#emit(name, eventJson(event, name, decoder));
      thread.taken(event);
      if (event.type === "end") this.#setPeerIsDone(true);
    }
  }

  onStatus(status: Status): void {
    if (status.type === "left") this.#setPeerIsDone(true);
    if (status.type === "connected" && status.again) this.#setPeerIsDone(false);
  }

  refresh(): void {}

  onDelivery(dialogue: Dialogue): void {
    const { name, thread: { delivery } } = dialogue;
    const told = this.#told.get(dialogue);
    if (!told) return;
    this.#told.set(dialogue, delivery);
    for (const event of deliveryJson(told, delivery)) this.#emit(name, event);
  }

  onUnread(): void {}

  finish(how: Outcome): void {
    this.#finished.resolve(how);
  }

  /** To one person we say that there is nothing more. */
  async #end(only: string | undefined): Promise<void> {
    if (only !== undefined) await this.#view.dialogue(only)?.thread.sendEnd();
  }

  async #untilPeerIsDone(): Promise<void> {
    while (!this.#peerIsDone) await this.#peerChanged.wait();
  }

  #setPeerIsDone(isDone: boolean): void {
    this.#peerIsDone = isDone;
    this.#peerChanged.notify();
  }

  #emit(name: string, event: JsonEvent): void {
    this.#terminal.emit(this.#view.only === undefined ? { ...event, with: name } : event);
  }
}

/** A program means its commands in order; the messages between two commands share a commit. */
async function inOrder(
  lines: readonly string[],
  take: (line: string) => Promise<void>,
): Promise<void> {
  const messages: Promise<void>[] = [];
  for (const line of lines) {
    if (!isCommand(line)) {
      messages.push(take(line));
      continue;
    }
    await Promise.all(messages.splice(0));
    await take(line);
  }
  await Promise.all(messages);
}
