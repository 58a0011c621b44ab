/** Programs on pipes: our stdin goes there, what comes goes to stdout, until both have ended. */
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import type { Status } from "../client/conversation.ts";
import type { Dialogue } from "../client/conversations.ts";
import type { PeerEvent } from "../client/incoming.ts";
import { beyondRepair, type Thread } from "../client/thread.ts";
import { CifraError } from "../errors.ts";
import { mayFail } from "../flow/may_fail.ts";
import type { Time } from "../flow/time.ts";
import type { DeskView, Front, Outcome } from "./desk_front.ts";
import {
  describeFileWord,
  describeGap,
  describeTakenBack,
  IN_THE_MIDDLE,
  SHOWN_BEFORE,
} from "./message_words.ts";
import { lowerFirst } from "./status_words.ts";
import { readStdin } from "./stdin.ts";
import { JoinedOutput } from "./joined_output.ts";
import type { Terminal } from "./terminal.ts";

/** Milliseconds for which a signal lets our reader take what has come. */
const LAST_PATIENCE = 500;

/** A conversation as two byte streams. */
export class Pipe implements Front {
  readonly #view: DeskView;
  readonly #terminal: Terminal;
  readonly #time: Pick<Time, "after">;
  readonly #giveUpAfter: number;
  readonly #finished = Promise.withResolvers<Outcome>();
  readonly #peerEnded = Promise.withResolvers<void>();
  readonly #gone = Promise.withResolvers<{ readonly failed: boolean }>();
  readonly #failed = Promise.withResolvers<never>();
  /** Resolves when a signal has come, and our reader has had its time. */
  readonly #interrupted = Promise.withResolvers<void>();
  #stopPatience: () => void = () => {};
  /** Resolves when all that came has been written. */
  #writing: Promise<void> = Promise.resolve();
  /** What of stdin the other side has been sent. */
  #said: "nothing" | "some" | "all" = "nothing";
  /** Ends the wait for another connection. */
  #stopWaiting: (() => void) | undefined;

  /** Without a connection for `giveUpAfter` milliseconds, after there was one, it ends. */
  constructor(
    view: DeskView,
    terminal: Terminal,
    time: Pick<Time, "after">,
    giveUpAfter: number,
  ) {
    this.#view = view;
    this.#terminal = terminal;
    this.#time = time;
    this.#giveUpAfter = giveUpAfter;
    mayFail(this.#failed.promise);
  }

  async run(): Promise<Outcome> {
    const { thread } = this.#view.dialogue(this.#view.only!)!;
    // With a pipe on stdout alone, as in `connect | tar x`, nobody sits there to type.
    const input = this.#terminal.takesInput
      ? readStdin((piece) => this.#send(thread, piece), () => this.#end(thread), this.#time)
      : undefined;
    const sent = input ? input.done : thread.sendEnd();
    const said = Promise.all([sent.then(() => thread.settled()), this.#peerEnded.promise]);
    mayFail(said);
    try {
      const first = await Promise.race([
        said.then(() => "finished" as const),
        this.#finished.promise,
        this.#gone.promise,
        this.#failed.promise,
        ...(input ? [input.failed] : []),
      ]);
      await this.#view.leave();
      if (first === "interrupted") return first;
      // The other side may leave only with all its messages delivered; they are still being written.
      await this.#writing;
      if (typeof first === "string" || "error" in first) return first;
      const missing = this.#missing(thread, input?.isTaking() ?? false);
      if (!first.failed && missing === undefined) return "left";
      const how = first.failed ? "failed" : "left";
      const what = missing ?? "before taking everything";
      return { error: beyondRepair(`${this.#view.only} ${how} ${what}`) };
    } finally {
      this.#stopWaiting?.();
      this.#stopPatience();
      input?.stop();
    }
  }

  read(dialogue: Dialogue): Promise<void> {
    this.#writing = this.#write(dialogue);
    return this.#writing.catch((error) => this.#failed.reject(error));
  }

  onStatus(status: Status): void {
    if (status.type === "left") this.#gone.resolve(status);
    // What comes and goes without bringing anything is no end of the wait.
    const isBack = status.type === "connected" && !status.isShaky || status.type === "steady";
    if (isBack) {
      this.#stopWaiting?.();
      this.#stopWaiting = undefined;
    }
    if (status.type === "lost") {
      const giveUp = () => this.#failed.reject(this.#neverCameBack(status.error));
      this.#stopWaiting ??= this.#time.after(this.#giveUpAfter, giveUp);
    }
  }

  async #send(thread: Thread, piece: Bytes): Promise<void> {
    this.#said = "some";
    await thread.sendBytes(piece);
  }

  async #end(thread: Thread): Promise<void> {
    await thread.sendEnd();
    if (this.#said === "some") this.#said = "all";
  }

  /**
   * What was not done when the other side left; undefined when nothing is missing. Both directions of a pipe end
   * with a word: without it what came may be half of something, however orderly its writer left. Who writes messages
   * gives no such word, and whoever only sends need not be told that nothing comes.
   */
  #missing({ theirStream, delivery }: Thread, isTaking: boolean): string | undefined {
    if (theirStream === "middle") return IN_THE_MIDDLE;
    if (theirStream === "nothing" && this.#said === "nothing") return "before sending anything";
    const isCutShort = theirStream !== undefined && this.#said === "some";
    const isUnderWay = isTaking || delivery.stored < delivery.queued;
    return isCutShort || isUnderWay ? "before taking everything" : undefined;
  }

  refresh(): void {}

  onDelivery(): void {}

  onUnread(): void {}

  finish(how: Outcome): void {
    this.#finished.resolve(how);
    if (how !== "interrupted") return;
    this.#stopPatience = this.#time.after(LAST_PATIENCE, this.#interrupted.resolve);
  }

  /** Why the wait is over; the hint of a connection that was cut is for those who can go on with another. */
  #neverCameBack({ message, code }: CifraError): CifraError {
    const wait = this.#giveUpAfter > 0 ? ` within ${this.#giveUpAfter / 1000} s` : "";
    return new CifraError(
      code,
      `${this.#view.only} did not come back${wait} (${lowerFirst(message)})`,
      { hint: "run the command again on both sides, or wait longer with --give-up" },
    );
  }

  /** To stdout, no faster than its reader takes it. */
  async #write({ thread }: Dialogue): Promise<void> {
    const interrupted = this.#interrupted.promise.then(() => false);
    const beforeInterrupt = (work: Promise<void>) =>
      Promise.race([work.then(() => true), interrupted]);
    const output = new JoinedOutput(
      (bytes) => this.#terminal.write(bytes, this.#view.only!),
      // When it is the last piece that cannot be written, nobody waits for room.
      (error) => this.#failed.reject(error),
    );
    const take = async (event: PeerEvent) => {
      if (event.type === "bytes") {
        return await output.push(event.bytes, () => thread.taken(event));
      }
      await output.drained();
      await this.#show(event);
      thread.taken(event);
    };
    for await (const event of thread.events()) {
      if (!await beforeInterrupt(take(event))) return;
    }
    await beforeInterrupt(output.drained());
  }

  async #show(event: Exclude<PeerEvent, { readonly type: "bytes" }>): Promise<void> {
    const terminal = this.#terminal, peer = this.#view.only!;
    switch (event.type) {
      case "end":
        terminal.say(`${peer} has nothing more to send`);
        return this.#peerEnded.resolve();
      case "text":
        await terminal.write(encodeUtf8(event.text + "\n"), peer);
        if (event.recovered) terminal.say(SHOWN_BEFORE);
        return;
      case "gap":
        return terminal.say(describeGap(event, peer));
      case "taken back":
        return terminal.say(describeTakenBack(peer));
      case "file":
        return terminal.say(describeFileWord(event.word, peer));
      case "restarted":
        throw beyondRepair(
          event.who === "peer"
            ? `${peer}'s program has restarted: its stream is incomplete`
            : `This program was started again in the middle of ${peer}'s stream, whose beginning went ` +
              "to the run before",
        );
      default:
        // Whatever returns from here counts as read.
        event satisfies never;
    }
  }
}
