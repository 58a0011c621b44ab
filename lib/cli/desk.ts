/**
 * The desk: one conversation or many, at a terminal, for a program or as a pipe. It joins the parts: `Typing` takes
 * lines, `Conversations` carry them, the front shows what comes, and the voice tells what happens.
 */
import type { Contacts } from "../client/contacts.ts";
import type { Status } from "../client/conversation.ts";
import { Conversations, type Dialogue, type LiveConversation } from "../client/conversations.ts";
import type { HomeStatus, LobbyWord } from "../client/home.ts";
import { readLeftovers } from "../client/leftovers.ts";
import { Lobby, type Offer } from "../client/lobby.ts";
import { type Acceptance, type Asking, Offers } from "../client/offers.ts";
import type { Person } from "../client/person.ts";
import type { Thread } from "../client/thread.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { aborted } from "../flow/delay.ts";
import { mayFail } from "../flow/may_fail.ts";
import { Throttle } from "../flow/throttle.ts";
import { CONVERSATIONS_LIMIT } from "../limits.ts";
import { systemEnvironment } from "../net/environment.ts";
import type { MessageStore } from "../store/message_store.ts";
import { SERVER_NAME } from "../wire/names.ts";
import { LogKind } from "../wire/peer_messages.ts";
import { CloseCode } from "../wire/records.ts";
import type { DeskView, Front, Outcome } from "./desk_front.ts";
import { DeskJson } from "./desk_json.ts";
import { DeskTerminal } from "./desk_terminal.ts";
import { DeskVoice } from "./desk_voice.ts";
import { CHANGES_PAUSE, describeCrowd } from "./lobby_words.ts";
import { describeUndelivered, undelivered } from "./message_words.ts";
import { describeOffers, offerJson } from "./offer_words.ts";
import { Pipe } from "./pipe.ts";
import { Roster } from "./roster.ts";
import { type People, sorted } from "./running.ts";
import type { Terminal } from "./terminal.ts";
import { Typing } from "./typing.ts";

/** Who sits down, and what for. */
export interface DeskOptions {
  readonly ourName: string;
  readonly suite: SuiteName;
  /** With whom alone; undefined in the lobby. */
  readonly only: string | undefined;
  readonly contacts: Contacts;
  readonly terminal: Terminal;
  readonly store: MessageStore;
  /** In the lobby: the others are not told of us. */
  readonly hidden: boolean;
  readonly accept: Acceptance;
  /** Milliseconds without a connection after which a pipe ends. */
  readonly giveUpAfter: number;
  /** Aborted by SIGINT and SIGTERM. */
  readonly interrupted: AbortSignal;
  /** Puts the person together, who tells the desk what the server says. */
  readonly person: (desk: Pick<Desk, "onHome" | "onLobby">) => Person;
}

/** One sitting. */
export class Desk implements DeskView {
  readonly only: string | undefined;
  readonly ourName: string;
  readonly #options: DeskOptions;
  readonly #person: Person;
  readonly #lobby: Lobby;
  readonly #conversations: Conversations;
  readonly #offers: Offers;
  readonly #roster: Roster;
  readonly #typing: Typing;
  readonly #voice: DeskVoice;
  readonly #front: Front;
  /** Names of those who ask for us and were not announced yet. */
  readonly #untold = new Set<string>();
  readonly #telling: Throttle;
  readonly #registered = Promise.withResolvers<void>();
  /** Rejects when staying makes no sense any more. */
  readonly #failed = Promise.withResolvers<never>();
  /** Why a conversation ended in which something was still to be delivered. */
  #unfinished: CifraError | undefined;
  /** Said at the end: which messages were not delivered. */
  #lastWords: readonly string[] = [];

  constructor(options: DeskOptions) {
    const { terminal, store, suite, only, contacts, ourName } = options;
    this.#options = options;
    this.ourName = ourName;
    this.only = only;
    mayFail(this.#failed.promise);
    this.#telling = new Throttle(systemEnvironment.time, CHANGES_PAUSE, () => this.#tellOffers());
    this.#front = this.#makeFront();
    this.#voice = new DeskVoice(this, terminal, suite);
    this.#person = options.person(this);
    this.#lobby = new Lobby({
      time: systemEnvironment.time,
      ourName,
      suite: this.#person.suite,
      changesPause: terminal.json ? 0 : CHANGES_PAUSE,
      onChanges: (changes) => {
        for (const name of changes.left) this.#offers.forget(name);
        if (only === undefined) {
          this.#voice.changes(changes, (name) => this.#roster.isClose(name));
        }
        this.#front.refresh();
      },
      onOffer: (offer) => this.#onOffer(offer),
    });
    this.#conversations = new Conversations({
      openThread: (name) => this.#openThread(name),
      converse: (name, thread, onStatus) => this.#converse(name, thread, onStatus),
      onOpen: (dialogue) => {
        this.#roster.add(dialogue.name);
        return this.#front.read(dialogue);
      },
      onStatus: ({ name }, status) => {
        this.#front.refresh();
        this.#front.onStatus(status);
        this.#voice.status(name, status, contacts.isVerified(name));
      },
      onEnd: (dialogue, error) => this.#onEnd(dialogue, error),
      endsWithPeer: only === undefined,
      isInUse: (name) => name === this.focus,
    });
    this.#offers = new Offers({
      contacts,
      accept: options.accept,
      isOpen: (name) => this.#conversations.has(name),
      begin: (name) => this.#answer(name),
      decline: (name) => this.#person.home.decline(name),
      onAsking: (asking, isAnswered) => this.#onAsking(asking, isAnswered),
    });
    const parts = {
      contacts,
      conversations: this.#conversations,
      lobby: this.#lobby,
      offers: this.#offers,
    };
    this.#roster = new Roster({ ...parts, names: store.peers(suite) });
    this.#typing = new Typing({
      ...options,
      ...parts,
      home: this.#person.home,
      roster: this.#roster,
      voice: this.#voice,
      front: this.#front,
      start: (name) => this.#start(name),
      look: () => this.#look(),
    });
  }

  get focus(): string | undefined {
    return this.#typing.focus;
  }

  get names(): Iterable<string> {
    return this.#roster.names;
  }

  label(name: string): string {
    return this.#roster.label(name);
  }

  dialogue(name: string): Dialogue | undefined {
    return this.#conversations.get(name);
  }

  async settled(): Promise<CifraError | undefined> {
    return await this.#conversations.settled() ?? this.#unfinished;
  }

  async leave(): Promise<void> {
    await this.#leave(CloseCode.done);
  }

  /** Stays until the front is done, a signal comes or staying is impossible. */
  async run(): Promise<Outcome> {
    const { interrupted, terminal } = this.#options;
    const onSignal = () => this.#front.finish("interrupted");
    interrupted.addEventListener("abort", onSignal);
    const release = this.only === undefined ? this.#person.home.hold() : undefined;
    const staying = this.#person.run();
    staying.catch((error) => this.#failed.reject(error));
    const failing = Promise.race([this.#failed.promise, this.#conversations.failed]);
    mayFail(failing);
    const ending = aborted(interrupted).then(() => "interrupted" as const);
    let front: Promise<Outcome> | undefined;
    try {
      if (this.only !== undefined) await this.#conversations.open(this.only);
      if (this.only === undefined || terminal.interactive) {
        // Until then the terminal may have to ask whether a server is to be trusted.
        const first = await Promise.race([this.#registered.promise, failing, ending]);
        if (first === "interrupted") return first;
      }
      if (this.only === undefined) await this.#resume();
      front = this.#front.run((line) => this.#typing.take(line));
      mayFail(front);
      const outcome = await Promise.race([front, failing, ending]);
      await this.#leave(CloseCode.done);
      return outcome;
    } catch (error) {
      await this.#leave(CloseCode.failed);
      throw error;
    } finally {
      this.#front.finish("finished");
      await front?.catch(() => {});
      interrupted.removeEventListener("abort", onSignal);
      this.#telling.stop();
      this.#lobby.stop();
      release?.();
      this.#person.leave();
      await staying.catch(() => {});
      for (const text of this.#lastWords) terminal.say(text);
    }
  }

  /** Told by the person's home. */
  onHome(status: HomeStatus): void {
    this.#voice.home(status);
    if (status.type !== "registered") return;
    this.#lobby.returned();
    this.#registered.resolve();
  }

  /** Told by the person's home, of the lobby. */
  async onLobby(word: LobbyWord): Promise<void> {
    await this.#lobby.take(word);
  }

  /** Who is in the lobby: as we see it there, or as the server answers. */
  async people(): Promise<People> {
    await this.#look();
    return sorted(this.#lobby.people);
  }

  async #look(): Promise<boolean> {
    const { home } = this.#person;
    if (this.only === undefined) return home.link !== undefined;
    await home.who();
    return true;
  }

  #makeFront(): Front {
    const { terminal, giveUpAfter } = this.#options;
    if (terminal.interactive) return new DeskTerminal(this, terminal);
    return terminal.json ? new DeskJson(this, terminal) : new Pipe(this, terminal, giveUpAfter);
  }

  async #openThread(peer: string): Promise<Thread> {
    const { terminal } = this.#options;
    // What a pipe carries, and what is said to a server, is not kept.
    const isKept = peer !== SERVER_NAME && (terminal.interactive || terminal.json);
    const thread: Thread = await this.#person.openThread(
      peer,
      isKept ? LogKind.kept : LogKind.live,
      {
        onDelivery: () => {
          const dialogue = this.#conversations.get(peer);
          if (dialogue) this.#front.onDelivery(dialogue);
        },
        onUnread: () => {
          this.#roster.setUnread(peer, thread.unread);
          this.#front.onUnread(peer, thread.unread);
        },
      },
    );
    this.#roster.setUnread(peer, thread.unread);
    return thread;
  }

  #converse(peer: string, thread: Thread, onStatus: (status: Status) => void): LiveConversation {
    if (peer !== SERVER_NAME) return this.#person.converse(peer, thread, onStatus);
    const { terminal, contacts } = this.#options;
    return this.#person.talkToServer(thread, (server) => {
      contacts.meet(peer, server.identity.fingerprint);
      terminal.say("the server answers every message", { event: "connected", to: peer });
    });
  }

  /** Begins a conversation or goes on with it; says so when that cannot be. */
  async #start(name: string): Promise<Dialogue | undefined> {
    this.#offers.welcome(name);
    try {
      return await this.#conversations.open(name);
    } catch (error) {
      this.#voice.fail(`no conversation with ${name}`, error, name);
      return undefined;
    }
  }

  /** Begins a conversation with somebody who asks and is welcome; false when there is no room. */
  async #answer(name: string): Promise<boolean> {
    try {
      await this.#conversations.open(name);
      return true;
    } catch (error) {
      if (error instanceof CifraError && error.code === "limit") return false;
      throw error;
    }
  }

  #onEnd({ name, thread }: Dialogue, error: CifraError | undefined): void {
    const kept = undelivered(thread.delivery);
    this.#roster.setKept(name, kept);
    if (error) {
      // With one person alone there is nothing else to stay for.
      if (this.only !== undefined) return this.#failed.reject(error);
      if (kept > 0) this.#unfinished = error;
      this.#voice.fail(`the conversation with ${name} has ended`, error, name);
    }
    this.#voice.over(name);
    this.#front.refresh();
  }

  #onOffer(offer: Offer): void {
    const open = this.#conversations.get(offer.name);
    if (open) return open.conversation.hurry();
    this.#offers.take(offer).catch((error) => {
      this.#voice.fail(`cannot answer ${offer.name}`, error, offer.name);
    });
  }

  #onAsking(asking: Asking, isAnswered: boolean): void {
    const { terminal } = this.#options;
    if (terminal.json) return terminal.emit(offerJson(asking, isAnswered));
    if (isAnswered) return;
    this.#untold.add(asking.name);
    this.#telling.touch();
  }

  #tellOffers(): void {
    const { terminal, suite } = this.#options;
    const offers = [...this.#untold].flatMap((name) => this.#offers.get(name) ?? []);
    this.#untold.clear();
    for (const text of describeOffers(offers, suite)) terminal.say(text);
  }

  async #leave(code: CloseCode): Promise<void> {
    const dialogues = [...this.#conversations.all()];
    await this.#conversations.leave(code);
    if (!this.#options.terminal.interactive && this.only !== undefined) return;
    this.#lastWords = dialogues.flatMap(({ name, thread }) =>
      name === SERVER_NAME ? [] : describeUndelivered(thread.delivery, name) ?? []
    );
  }

  /** Tells what earlier runs left, and goes on with what is unfinished. */
  async #resume(): Promise<void> {
    const { terminal, suite, store } = this.#options;
    const leftovers = await readLeftovers(store, suite);
    this.#roster.takeOver(leftovers);
    // A program is shown every message, so each conversation with unread ones is opened for it.
    const unfinished = leftovers.filter(({ unread, undelivered }) =>
      undelivered > 0 || unread > 0 && terminal.json
    ).map(({ name }) => name);
    for (const name of unfinished.slice(0, CONVERSATIONS_LIMIT)) await this.#start(name);
    for (const { name, unread } of leftovers) {
      if (unread > 0) this.#front.onUnread(name, this.#roster.unreadOf(name));
    }
    const rest = unfinished.slice(CONVERSATIONS_LIMIT);
    if (rest.length === 0) return;
    const text = `messages for ${rest.length} more people are kept; /to NAME delivers them: ` +
      describeCrowd(rest);
    this.#voice.say(text, { event: "kept", with: rest });
  }
}
