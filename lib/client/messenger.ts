/**
 * The messenger of one person: the lobby, the people who ask, and the conversations, over one `Person`. Its rules
 * say whom we answer, what a message does to the conversation that carries it, which logs are kept, and what of an
 * earlier run goes on. It shows nothing: the desk, the simulator and the tests are its `MessengerEvents`.
 */
import { CifraError } from "../errors.ts";
import { CONVERSATIONS_LIMIT } from "../limits.ts";
import type { MessageStore, SealedNews } from "../store/message_store.ts";
import type { TransferRow, TransferStep } from "../store/transfer_store.ts";
import { Signal } from "../flow/signal.ts";
import type { Line } from "../wire/line.ts";
import type { FileWord } from "../wire/file_messages.ts";
import { SERVER_NAME } from "../wire/names.ts";
import { LogKind } from "../wire/peer_messages.ts";
import type { CloseCode } from "../wire/records.ts";
import { NO_WORDS } from "./away_words.ts";
import type { Contacts } from "./contacts.ts";
import type { Status } from "./conversation.ts";
import {
  Conversations,
  type Dialogue,
  isDelivered,
  type LiveConversation,
} from "./conversations.ts";
import type { HomeStatus } from "./home.ts";
import { type Leftover, readLeftovers } from "./leftovers.ts";
import { type Attendance, type Changes, Lobby, type Offer } from "./lobby.ts";
import { type Acceptance, type Asking, Offers } from "./offers.ts";
import { Person, type PersonOptions } from "./person.ts";
import type { MailEvent, MailTrouble } from "./mail_events.ts";
import type { ServerLink } from "./server_link.ts";
import type { Decision, TransferEvent } from "./transfer_events.ts";
import { Transfers } from "./transfers.ts";
import type { Retraction, Thread } from "./thread.ts";

/** What a messenger tells. */
export interface MessengerEvents {
  /** What happens between us and the server. */
  onHome(status: HomeStatus): void;
  /** Who came and went in the lobby. */
  onChanges(changes: Changes): void;
  /** Somebody asks for us, told once: whether they were answered, or wait for an answer. */
  onAsking(asking: Asking, isAnswered: boolean): void;
  /** Reads the events of a conversation that begins; resolves when nobody will read more of them. */
  onOpen(dialogue: Dialogue): Promise<void>;
  /** What happens to the connection of a conversation. */
  onStatus(dialogue: Dialogue, status: Status): void;
  /** The conversation with the server itself is connected. */
  onServerAnswers(): void;
  /** How far our messages in a conversation came has changed. */
  onDelivery(dialogue: Dialogue): void;
  /** So many messages of somebody wait to be shown. */
  onUnread(name: string, unread: number): void;
  /** A conversation is over; `error` is what made it impossible. */
  onEnd(dialogue: Dialogue, error: CifraError | undefined): void;
  /** What happens to files between us and somebody. */
  onTransfer(row: TransferRow, event: TransferEvent): void;
  /** What happens to what is left at the server, beside messages and how far they came. */
  onMail(event: MailTrouble): void;
  /** An offer was not answered, or a conversation not opened, that no caller waits for. */
  onFailure(name: string, what: "answer" | "open", error: CifraError): void;
  /** Whether somebody looks at the conversation with `name`: then it does not make room for another. */
  isInUse(name: string): boolean;
}

/** Who has the messenger, and how they want to talk. */
export interface MessengerOptions
  extends Omit<PersonOptions, "store" | "checkPeer" | "mail" | "onStatus" | "onLobby"> {
  readonly store: MessageStore;
  readonly contacts: Pick<Contacts, "judge" | "check" | "meet" | "knownAs">;
  /** Whether what we write is left at the server for those who are not here, and what was left for us is read. */
  readonly usesMailbox: boolean;
  /** Whether others are told what we have read. */
  readonly tellsRead: boolean;
  /** How long somebody must be out of reach before what we write is left at the server; see `PostmanOptions`. */
  readonly sealAfter?: number | undefined;
  readonly accept: Acceptance;
  /** The folder of keys and messages, of which nothing is sent. */
  readonly kept?: string | undefined;
  /** What is done with files that are offered; by default it is asked. */
  readonly decide?: ((row: TransferRow) => Decision) | undefined;
  /** See `TransferContext.limit`. */
  readonly fileLimit?: number | undefined;
  /** Whom we refused before this run; by default nobody. */
  readonly refused?: Iterable<string>;
  /** How people are written to; what is said to the server is live, whatever this says. */
  readonly kind: LogKind;
  /** Whether messages are shown as they come, so that unread ones open their conversation. */
  readonly showsAll: boolean;
  /** Between two `onChanges` at least so many milliseconds pass. */
  readonly changesPause: number;
  readonly events: MessengerEvents;
}

/** All with whom one person talks. */
export class Messenger {
  readonly #options: MessengerOptions;
  readonly #person: Person;
  /** Files between us and others. */
  readonly transfers: Transfers;
  readonly #lobby: Lobby;
  readonly #conversations: Conversations;
  readonly #offers: Offers;
  readonly #isInLobby: boolean;
  /** The server has said something, or is lost. */
  readonly #news = new Signal();
  #isLeaving = false;
  /** Why we are away, or until when. */
  #awayWords = NO_WORDS;
  /** Why a conversation ended in which something was still to be delivered. */
  #unfinished: CifraError | undefined;

  constructor(options: MessengerOptions) {
    const { environment: { time }, name: ourName, suite, contacts, accept, events } = options;
    this.#options = options;
    this.#isInLobby = options.lobby !== "absent";
    this.transfers = new Transfers({
      ...options.environment,
      store: options.store.transfers,
      suite: suite.name,
      say: (peer, word, step) => this.#say(peer, word, step),
      onEvent: (row, event) => events.onTransfer(row, event),
      decide: options.decide ?? (() => "ask"),
      limit: options.fileLimit,
      kept: options.kept,
    });
    this.#person = new Person({
      ...options,
      checkPeer: (name, peer) => contacts.check(name, peer),
      mail: !options.usesMailbox ? undefined : {
        contacts,
        tellsRead: options.tellsRead,
        ...(options.sealAfter !== undefined && { sealAfter: options.sealAfter }),
        isWelcome: (name) => this.#conversations.has(name),
        isRefused: (name) => this.#offers.isRefused(name),
        isApart: (name) => this.#isApart(name),
        apart: (name, work) => this.#apart(name, work),
        onSealed: (name, number) => this.#conversations.get(name)?.thread.noteSealed(number),
        onEvent: (event) => this.#onMail(event),
      },
      onStatus: (status) => {
        if (status.type === "registered") this.#lobby.returned();
        this.#news.notify();
        // Our goodbye to the server in a conversation is answered with one, which is no loss.
        if (!this.#isLeaving || status.type === "registered") events.onHome(status);
      },
      onLobby: async (word) => {
        await this.#lobby.take(word);
        this.#news.notify();
      },
    });
    this.#lobby = new Lobby({
      time,
      ourName,
      suite,
      changesPause: options.changesPause,
      onChanges: (changes) => {
        for (const name of changes.left) this.#offers.forget(name);
        events.onChanges(changes);
      },
      onOffer: (offer) => this.#onOffer(offer),
    });
    this.#conversations = new Conversations({
      openThread: (name) => this.#openThread(name),
      converse: (name, thread, onStatus) => this.#converse(name, thread, onStatus),
      onOpen: (dialogue) => events.onOpen(dialogue),
      onStatus: (dialogue, status) => events.onStatus(dialogue, status),
      onEnd: (dialogue, error) => {
        if (error && !isDelivered(dialogue)) this.#unfinished = error;
        this.#person.postman?.parted(dialogue.name);
        events.onEnd(dialogue, error);
      },
      endsWithPeer: this.#isInLobby,
      isCarrying: (name) => this.transfers.isCarrying(name),
      isInUse: (name) => name === SERVER_NAME || events.isInUse(name),
    });
    this.#offers = new Offers({
      time,
      contacts,
      accept,
      refused: options.refused ?? [],
      isOpen: (name) => this.#conversations.has(name),
      askAgain: (offer) => this.#onOffer(offer),
      begin: (name) => this.#answer(name),
      decline: (name) => this.#person.home.decline(name),
      onAsking: (asking, isAnswered) => events.onAsking(asking, isAnswered),
      onTrouble: (name, error) => events.onFailure(name, "answer", error),
    });
  }

  /** The connection on which we are registered; undefined while there is none. */
  get server(): ServerLink | undefined {
    return this.#person.home.link;
  }

  /** Who is in the lobby beside us, as it was told last. */
  get people(): ReadonlyMap<string, Attendance> {
    return this.#lobby.people;
  }

  /** Whether it was ever told who is in the lobby. */
  get isTold(): boolean {
    return this.#lobby.isTold;
  }

  /** Who asks for us and has not been answered. */
  get offers(): Pick<Offers, "names" | "get" | "has"> {
    return this.#offers;
  }

  /** Rejects on a mistake in this program. */
  get failed(): Promise<never> {
    return this.#conversations.failed;
  }

  /** The conversations that are open. */
  all(): Iterable<Dialogue> {
    return this.#conversations.all();
  }

  /** The conversation with `name`, if it is open. */
  get(name: string): Dialogue | undefined {
    return this.#conversations.get(name);
  }

  /** Stays at the server, in the lobby or for the conversations, until `stop`. Throws like `Home.run`. */
  async run(): Promise<void> {
    const release = this.#isInLobby ? this.#person.home.hold() : undefined;
    try {
      await this.#person.run();
    } finally {
      release?.();
    }
  }

  /** Says goodbye to everybody; no conversation is begun any more. */
  async leave(code?: CloseCode): Promise<void> {
    this.#isLeaving = true;
    const { home, postman } = this.#person;
    // Conversations let go of the server when they end; what is still to be left needs it longer.
    const release = postman && (home.link || postman.owes) ? home.hold() : undefined;
    try {
      await this.#conversations.leave(code);
      await this.transfers.close();
      if (!home.link) home.hurry();
      await postman?.leave();
    } finally {
      release?.();
    }
  }

  /** Ends `run`; conversations are to be left before. */
  stop(): void {
    this.#lobby.stop();
    this.#offers.stop();
    this.#person.leave();
  }

  /** Somebody waits for the server: without a connection the next try is made at once. */
  hurry(): void {
    if (!this.server) this.#person.home.hurry();
  }

  /** What we say of being away to those with whom there is a channel; empty when we are not, or say nothing. */
  get awayWords(): Line {
    return this.#awayWords;
  }

  /**
   * Away from the keyboard, or back; the others in the lobby are told. `words` are for those alone with whom there is a
   * channel, or will be; without them those that were said before stand until we are back.
   */
  setAway(isAway: boolean, words: Line = this.#awayWords): void {
    this.#person.home.setAway(isAway);
    this.#awayWords = isAway ? words : NO_WORDS;
    for (const { thread } of this.all()) thread.tellAway();
  }

  /**
   * Learns who is in the lobby: there the server tells it, and the first time is waited for; from outside we ask.
   * False without a connection, when what was told last stands. Throws like `Home.who`.
   */
  async look(): Promise<boolean> {
    if (this.#isInLobby) {
      while (this.server && !this.#lobby.isTold) await this.#news.wait();
      return this.server !== undefined;
    }
    await this.#person.home.who();
    return true;
  }

  /** Begins a conversation or goes on with it, whatever was refused before. Throws `limit`, `local`. */
  async open(name: string): Promise<Dialogue> {
    this.#offers.welcome(name);
    const dialogue = await this.#conversations.open(name);
    this.#person.postman?.welcome(name);
    return dialogue;
  }

  /**
   * Keeps a text for `name` and sends it; opens the conversation before, or hurries it after, where that is needed.
   * `ref` is what its writer calls it: see `Thread.takeRef`. Throws `limit`, `local`: then the text is not kept.
   */
  async send(name: string, text: string, ref?: unknown): Promise<void> {
    const { thread, conversation, over } = await this.open(name);
    await thread.sendText(text, ref);
    // The conversation ended meanwhile, because the other side left: this message begins it anew.
    if (over.aborted) await this.#goOn(name);
    else if (!thread.isAttached) conversation.hurry();
  }

  /** Says something of a transfer, as a text is sent. */
  async #say(name: string, word: FileWord, step: TransferStep): Promise<void> {
    const { thread, conversation, over } = await this.open(name);
    await thread.sendFileWord(word, step);
    if (over.aborted) await this.#goOn(name);
    else if (!thread.isAttached) conversation.hurry();
  }

  /** Takes a message to somebody back, by default the last one. Throws `limit`, `local`. */
  async takeBack(name: string, number?: bigint): Promise<Retraction> {
    const { thread } = await this.open(name);
    const job = () => thread.takeBack(number);
    return await (this.#person.postman?.between(name, job) ?? job());
  }

  /** Somebody is declined, now and whenever they ask again; returns whether they had asked. */
  async refuse(name: string): Promise<boolean> {
    const asked = this.#offers.refuse(name);
    await this.#end(name);
    return asked;
  }

  /** Ends the conversation with somebody, who is not answered by themselves when they ask again. */
  async close(name: string): Promise<void> {
    this.#offers.close(name);
    await this.#end(name);
  }

  /** The server is said goodbye to for all that goes over its connection: in the lobby it stays, and answers. */
  async #end(name: string): Promise<void> {
    if (name !== SERVER_NAME || !this.#isInLobby) await this.#conversations.close(name);
  }

  /**
   * Ends the conversation with somebody, and drops what they do not have yet; resolves to how many messages that
   * were. Throws `local`.
   */
  async forget(name: string): Promise<number> {
    await this.close(name);
    const { store, suite } = this.#options;
    const count = await store.forget({ peer: name, suite: suite.name });
    // What of it waits at the server is taken away.
    this.#person.postman?.touch(name);
    return count;
  }

  /** Resolves when the others have everything that was written; to why they never will. */
  async settled(): Promise<CifraError | undefined> {
    return await this.#conversations.settled() ?? this.#unfinished;
  }

  /** What earlier runs left of each conversation, by name. Throws `local`. */
  async leftovers(): Promise<readonly Leftover[]> {
    const { store, suite } = this.#options;
    return await readLeftovers(store, suite.name);
  }

  /** Goes on with what is unfinished of an earlier run; returns the names for whom there is no room. */
  async resume(leftovers: readonly Leftover[]): Promise<readonly string[]> {
    const { showsAll } = this.#options;
    const carrying = this.transfers.unfinished();
    const unfinished = leftovers.filter(({ name, unread, undelivered }) =>
      !this.#offers.isRefused(name) &&
      (undelivered > 0 || unread > 0 && showsAll || carrying.has(name))
    ).map(({ name }) => name);
    for (const name of unfinished.slice(0, CONVERSATIONS_LIMIT)) await this.#goOn(name);
    return unfinished.slice(CONVERSATIONS_LIMIT);
  }

  async #goOn(name: string): Promise<void> {
    try {
      await this.open(name);
    } catch (error) {
      this.#fail(name, "open", error);
    }
  }

  /** Begins a conversation with somebody who asks and is welcome; false when there is no room. */
  async #answer(name: string): Promise<boolean> {
    try {
      await this.#conversations.open(name);
      this.#person.postman?.welcome(name);
      return true;
    } catch (error) {
      if (error instanceof CifraError && error.code === "limit") return false;
      throw error;
    }
  }

  /** Whoever asks while a conversation is open has lost us: the conversation wants them as soon as it may. */
  #onOffer(offer: Offer): void {
    const open = this.#conversations.get(offer.name);
    if (open) return open.conversation.hurry("peer");
    this.#offers.take(offer).catch((error) => this.#fail(offer.name, "answer", error));
  }

  async #openThread(peer: string): Promise<Thread> {
    const { kind, events } = this.#options;
    const ourKind = peer === SERVER_NAME ? LogKind.live : kind;
    const postman = ourKind === LogKind.kept ? this.#person.postman : undefined;
    let wasAttached = false, unread = 0;
    const thread: Thread = await this.#person.openThread(peer, ourKind, {
      files: ourKind === LogKind.kept ? this.transfers.lane(peer) : undefined,
      onDelivery: ({ queued, stored }) => {
        const dialogue = this.#conversations.get(peer);
        if (dialogue) events.onDelivery(dialogue);
        if (wasAttached && !thread.isAttached) {
          postman?.told(peer);
          postman?.parted(peer);
        } else if (queued > stored) postman?.touch(peer);
        wasAttached = thread.isAttached;
      },
      onUnread: () => {
        events.onUnread(peer, thread.unread);
        const hasRead = thread.unread < unread;
        unread = thread.unread;
        // Over a channel they are told by it.
        if (hasRead && !thread.isAttached) postman?.hasRead(peer);
      },
      onStoring: (storing) => {
        const dialogue = this.#conversations.get(peer);
        if (dialogue) events.onStatus(dialogue, { type: "storing", storing });
      },
      ourAway: () => this.#awayWords,
      onAway: (words) => {
        const dialogue = this.#conversations.get(peer);
        if (dialogue) events.onStatus(dialogue, { type: "away", words });
      },
    });
    unread = thread.unread;
    if (postman) thread.noteOnServer(await postman.onServer(peer).catch(() => 0n));
    return thread;
  }

  #converse(peer: string, thread: Thread, onStatus: (status: Status) => void): LiveConversation {
    if (peer !== SERVER_NAME) return this.#person.converse(peer, thread, onStatus);
    const { contacts, events } = this.#options;
    return this.#person.talkToServer(thread, (server) => {
      contacts.meet(peer, server.identity.fingerprint);
      events.onServerAnswers();
    });
  }

  /** Whether no channel carries a conversation, and it is not just being opened or ended. */
  #isApart(name: string): boolean {
    const open = this.#conversations.get(name);
    return open ? !open.thread.isAttached : !this.#conversations.isBusy(name);
  }

  /** Changes the logs of a conversation, unless a channel carries it or it is just being opened or ended. */
  async #apart<T extends SealedNews | undefined>(
    name: string,
    work: () => Promise<T>,
  ): Promise<{ readonly done: T } | undefined> {
    const open = this.#conversations.get(name);
    if (open) return await open.thread.whileApart(work);
    return this.#conversations.isBusy(name) ? undefined : { done: await work() };
  }

  #onMail(event: MailEvent): void {
    const { store, suite, events } = this.#options;
    switch (event.type) {
      case "came":
        if (this.#conversations.has(event.name)) return;
        // In the lobby it is shown in a conversation of its own; elsewhere it waits, unread.
        if (this.#isInLobby) this.#goOn(event.name);
        else events.onUnread(event.name, store.unread({ peer: event.name, suite: suite.name }));
        return;
      case "left":
        this.#noteOnServer(event.name);
        return;
      case "stranger":
        return this.#onOffer({
          name: event.name,
          suite: suite.id,
          identity: event.sender,
          hasLeft: true,
        });
      case "drained":
        // What earlier runs have left is known to be there.
        for (const { name } of this.#conversations.all()) this.#noteOnServer(name);
        return;
      default:
        return events.onMail(event);
    }
  }

  async #noteOnServer(name: string): Promise<void> {
    const onServer = await this.#person.postman?.onServer(name).catch(() => 0n);
    this.#conversations.get(name)?.thread.noteOnServer(onServer ?? 0n);
  }

  /** Tells an expected failure; throws what is none. */
  #fail(name: string, what: "answer" | "open", error: unknown): void {
    if (!(error instanceof CifraError)) throw error;
    this.#options.events.onFailure(name, what, error);
  }
}
