/**
 * The conversations of a program: one, or in the lobby many at once. Each is a log of its own and comes and
 * goes without the others. In the lobby one in which both sides have said everything ends when the other side
 * leaves, and goes on where it was when either has something to say.
 */
import { CifraError } from "../errors.ts";
import { CONVERSATIONS_LIMIT } from "../limits.ts";
import { Limiter } from "../flow/limiter.ts";
import { mayFail } from "../flow/may_fail.ts";
import { CloseCode } from "../wire/records.ts";
import type { Conversation, Status } from "./conversation.ts";
import { lastArrived, type Thread } from "./thread.ts";

/** What there is to a conversation for who has many. */
export type LiveConversation = Pick<Conversation, "run" | "leave" | "hurry" | "path" | "failures">;

/** One conversation that is open. */
export interface Dialogue {
  readonly name: string;
  readonly thread: Thread;
  readonly conversation: LiveConversation;
  /** Our last message when it was opened. */
  readonly before: bigint;
  /** The same, if it had arrived by then: its state is no news. */
  readonly arrived: bigint | undefined;
  /** Aborted when it is over, so that nobody waits to show more of it. */
  readonly over: AbortSignal;
}

/** What conversations are made of. */
export interface ConversationsOptions {
  /** Throws `local`. */
  readonly openThread: (name: string) => Promise<Thread>;
  readonly converse: (
    name: string,
    thread: Thread,
    onStatus: (status: Status) => void,
  ) => LiveConversation;
  /** Reads the events of a conversation that begins; resolves when nobody will read more of them. */
  readonly onOpen: (dialogue: Dialogue) => Promise<void>;
  readonly onStatus: (dialogue: Dialogue, status: Status) => void;
  /** Told when one is over; `error` is what made it impossible. */
  readonly onEnd: (dialogue: Dialogue, error: CifraError | undefined) => void;
  /** Whether a conversation ends when the other side leaves and nothing between the two is unfinished. */
  readonly endsWithPeer: boolean;
  /** Whether files of theirs or ours are on their way. */
  readonly isCarrying: (name: string) => boolean;
  /** Whether somebody is looking at it: then it does not make room for another. */
  readonly isInUse: (name: string) => boolean;
}

/** A conversation with what ends it. */
interface Open {
  readonly dialogue: Dialogue;
  readonly over: AbortController;
  /** Resolves when it is over, and its log may be opened again. */
  readonly ended: Promise<void>;
}

/** All that are open, by the names of the others. */
export class Conversations {
  readonly #options: ConversationsOptions;
  readonly #opening = new Map<string, Promise<Dialogue>>();
  readonly #open = new Map<string, Open>();
  /** One at a time is begun, so that two do not take the same room. */
  readonly #beginning = new Limiter(1);
  readonly #bug = Promise.withResolvers<never>();
  #isLeaving = false;

  constructor(options: ConversationsOptions) {
    this.#options = options;
    mayFail(this.#bug.promise);
  }

  /** Rejects on a mistake in this program. */
  get failed(): Promise<never> {
    return this.#bug.promise;
  }

  /** Those that are open. */
  *all(): Iterable<Dialogue> {
    for (const { dialogue } of this.#open.values()) yield dialogue;
  }

  /** The one with `name`, if it is open. */
  get(name: string): Dialogue | undefined {
    const open = this.#open.get(name);
    return open?.over.signal.aborted ? undefined : open?.dialogue;
  }

  /** Whether the log of `name` is open, or being opened: also of a conversation that is being ended. */
  isBusy(name: string): boolean {
    return this.#opening.has(name) || this.#open.has(name);
  }

  /** Whether there is one with `name`, or it is being begun. */
  has(name: string): boolean {
    return this.#opening.has(name) || this.get(name) !== undefined;
  }

  /**
   * The conversation with `name`, begun or gone on with if it is not open. Throws `limit` when there are
   * too many that are in use, `local`.
   */
  open(name: string): Promise<Dialogue> {
    const dialogue = this.get(name);
    if (dialogue) return Promise.resolve(dialogue);
    const known = this.#opening.get(name);
    if (known) return known;
    const opening = this.#begin(name).finally(() => this.#opening.delete(name));
    this.#opening.set(name, opening);
    return opening;
  }

  /** Says goodbye; what the other side does not have yet is kept. */
  async close(name: string, code?: CloseCode): Promise<void> {
    const opening = this.#opening.get(name);
    if (opening) await opening.catch(() => {});
    const open = this.#open.get(name);
    if (!open) return;
    open.over.abort();
    await open.dialogue.conversation.leave(code);
    await open.ended;
  }

  /** Says goodbye to everybody; nothing is begun any more. */
  async leave(code?: CloseCode): Promise<void> {
    this.#isLeaving = true;
    const names = [...this.#opening.keys(), ...this.#open.keys()];
    await Promise.all(names.map((name) => this.close(name, code)));
  }

  /** Resolves when the others have stored everything we wrote; to why one of them never will. */
  async settled(): Promise<CifraError | undefined> {
    const failures = await Promise.all([...this.all()].map(async ({ thread }) => {
      try {
        await thread.settled();
        return undefined;
      } catch (error) {
        if (error instanceof CifraError) return error;
        throw error;
      }
    }));
    return failures.find((failure) => failure !== undefined);
  }

  async #begin(name: string): Promise<Dialogue> {
    // The same log is never open twice.
    await this.#open.get(name)?.ended;
    return await this.#beginning.run(() => this.#enter(name));
  }

  async #enter(name: string): Promise<Dialogue> {
    this.#requireStaying();
    await this.#makeRoom();
    const thread = await this.#options.openThread(name);
    this.#requireStaying();
    const over = new AbortController();
    const conversation = this.#options.converse(name, thread, (status) => {
      this.#options.onStatus(dialogue, status);
      if (status.type !== "left" || !this.#options.endsWithPeer) return;
      if (this.#isFinished(dialogue)) this.close(name);
    });
    const before = thread.delivery.queued;
    const arrived = lastArrived(thread.delivery);
    const dialogue: Dialogue = { name, thread, conversation, before, arrived, over: over.signal };
    this.#opening.delete(name);
    const reading = this.#options.onOpen(dialogue);
    this.#open.set(name, { dialogue, over, ended: this.#run(dialogue, over, reading) });
    return dialogue;
  }

  #isFinished(dialogue: Dialogue): boolean {
    return isDelivered(dialogue) && !this.#options.isCarrying(dialogue.name);
  }

  #requireStaying(): void {
    if (this.#isLeaving) throw new CifraError("cut", "The conversations have ended");
  }

  /** Never throws. */
  async #run(dialogue: Dialogue, over: AbortController, reading: Promise<void>): Promise<void> {
    const { name, thread, conversation } = dialogue;
    reading.catch((error) => this.#bug.reject(error));
    let failure: CifraError | undefined;
    try {
      await conversation.run();
    } catch (error) {
      if (error instanceof CifraError) failure = error;
      else this.#bug.reject(error);
      await thread.leave(CloseCode.failed);
    }
    over.abort();
    // What has come is shown first: whoever reads the log next must not find it unread.
    await reading.catch(() => {});
    this.#open.delete(name);
    this.#options.onEnd(dialogue, failure);
  }

  /** Ends the oldest of those that nobody misses, if there are too many; throws `limit` if there is none. */
  async #makeRoom(): Promise<void> {
    while (this.#open.size >= CONVERSATIONS_LIMIT) {
      const ending = [...this.#open.values()].find(({ over }) => over.signal.aborted);
      if (ending) {
        await ending.ended;
        continue;
      }
      const idle = [...this.all()].find((dialogue) =>
        !dialogue.conversation.path && this.#isFinished(dialogue) &&
        !this.#options.isInUse(dialogue.name)
      );
      if (!idle) {
        throw new CifraError(
          "limit",
          `Cannot have more than ${CONVERSATIONS_LIMIT} conversations at once`,
          { hint: "end one that is over with /close NAME" },
        );
      }
      await this.close(idle.name);
    }
  }
}

/** Whether the other side has everything that we wrote. */
export function isDelivered({ thread: { delivery: { queued, stored } } }: Dialogue): boolean {
  return queued === stored;
}
