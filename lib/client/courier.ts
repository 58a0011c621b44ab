/**
 * Leaves and fetches mail, and talks to nobody: for a command that does one thing and ends. The same person, logs and
 * postman as in a conversation, without a port of ours, and nobody is asked for.
 */
import type { MessageStore } from "../store/message_store.ts";
import { LogKind } from "../wire/peer_messages.ts";
import type { MailEvent } from "./mail_events.ts";
import { type MailOptions, Person, type PersonOptions } from "./person.ts";
import type { Thread } from "./thread.ts";

/** Whose mail it is, and what is told of it. */
export interface CourierOptions extends
  Pick<
    PersonOptions,
    | "environment"
    | "ticker"
    | "name"
    | "suite"
    | "identity"
    | "ephemeralKey"
    | "openServer"
    | "register"
    | "giveUpAfter"
    | "onStatus"
  >,
  Pick<MailOptions, "contacts" | "tellsRead" | "isWelcome" | "isRefused" | "onEvent"> {
  readonly store: MessageStore;
  /** How far our messages to somebody came has changed. */
  readonly onDelivery: (name: string) => void;
}

/** The mail of one person. */
export class Courier {
  readonly #options: CourierOptions;
  readonly #person: Person;
  readonly #threads = new Map<string, Thread>();
  #leaving: Promise<void> | undefined;

  constructor(options: CourierOptions) {
    this.#options = options;
    this.#person = new Person({
      ...options,
      checkPeer: () => Promise.reject(new Error("Nobody is asked for")),
      receivePort: 0,
      sendPort: undefined,
      advertised: [],
      relay: "only",
      lobby: "absent",
      onLobby: () => {},
      mail: {
        contacts: options.contacts,
        tellsRead: options.tellsRead,
        isWelcome: options.isWelcome,
        isRefused: options.isRefused,
        onSealed: (name, number) => this.#threads.get(name)?.noteSealed(number),
        // Nobody who may come is waited for.
        sealAfter: 0,
        isApart: () => true,
        apart: async (name, work) => {
          const thread = this.#threads.get(name);
          return thread ? await thread.whileApart(work) : { done: await work() };
        },
        onEvent: (event) => this.#onEvent(event),
      },
    });
  }

  /** Stays at the server until `stop`. Throws like `Home.run`. */
  async run(): Promise<void> {
    const release = this.#person.home.hold();
    try {
      await this.#person.run();
    } finally {
      release();
    }
  }

  /** Keeps a text for somebody, and leaves it; resolves to its number when it is on disk. Throws like `Thread.sendText`. */
  async write(name: string, text: string): Promise<bigint> {
    const thread = await this.#threadWith(name);
    return await thread.sendText(text);
  }

  /** How far our messages to somebody to whom we have written came. */
  delivery(name: string): Thread["delivery"] | undefined {
    return this.#threads.get(name)?.delivery;
  }

  /** We have read more of somebody, who is told. */
  hasRead(name: string): void {
    this.#person.postman?.hasRead(name);
  }

  /** Leaves what is still to be left, for a short time, and ends `run`. Throws `local`. */
  leave(): Promise<void> {
    return this.#leaving ??= this.#leave();
  }

  async #leave(): Promise<void> {
    for (const thread of this.#threads.values()) await thread.leave();
    try {
      await this.#person.postman?.leave();
    } finally {
      this.#person.leave();
    }
  }

  async #threadWith(name: string): Promise<Thread> {
    const known = this.#threads.get(name);
    if (known) return known;
    const thread = await this.#person.openThread(name, LogKind.kept, {
      onDelivery: ({ queued, stored }) => {
        if (queued > stored) this.#person.postman?.touch(name);
        this.#options.onDelivery(name);
      },
    });
    this.#threads.set(name, thread);
    return thread;
  }

  #onEvent(event: MailEvent): void {
    if (event.type === "left") void this.#noteOnServer(event.name);
    this.#options.onEvent(event);
  }

  async #noteOnServer(name: string): Promise<void> {
    const onServer = await this.#person.postman?.onServer(name).catch(() => 0n);
    this.#threads.get(name)?.noteOnServer(onServer ?? 0n);
  }
}
