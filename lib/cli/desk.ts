/**
 * The desk: one conversation or many, at a terminal, for a program or as a pipe. What is typed goes to whom it
 * is for, what comes is shown by the front, and what there is to be said is said once.
 */
import { decodeUtf8 } from "../bytes.ts";
import type { Contacts } from "../client/contacts.ts";
import type { Status } from "../client/conversation.ts";
import { type Carrier, Conversations, type Dialogue } from "../client/conversations.ts";
import type { HomeStatus, LobbyWord } from "../client/home.ts";
import { Lobby, type Offer } from "../client/lobby.ts";
import type { Person } from "../client/person.ts";
import type { Thread } from "../client/thread.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { aborted } from "../flow/delay.ts";
import { CONVERSATIONS_LIMIT } from "../limits.ts";
import { systemEnvironment } from "../net/environment.ts";
import type { MessageStore } from "../store/message_store.ts";
import { formatEndpoint } from "../wire/address.ts";
import { SERVER_NAME } from "../wire/names.ts";
import { LogKind } from "../wire/peer_messages.ts";
import { CloseCode } from "../wire/records.ts";
import { type DeskActions, helpOf, type Line, readLine } from "./desk_commands.ts";
import type { DeskView, Front, Outcome } from "./desk_front.ts";
import { DeskJson } from "./desk_json.ts";
import { DeskTerminal } from "./desk_terminal.ts";
import { DeskVoice } from "./desk_voice.ts";
import {
  CHANGES_PAUSE,
  describeCrowd,
  describeUsers,
  type Listed,
  VERIFIED_MARK,
} from "./lobby_words.ts";
import { describeUndelivered, undelivered } from "./message_words.ts";
import { type Acceptance, Offers } from "./offers.ts";
import { Pipe } from "./pipe.ts";
import { type People, sorted } from "./running.ts";
import { describePath, describeWay } from "./status_words.ts";
import type { Terminal } from "./terminal.ts";

/** Of messages that wait to be delivered about so many bytes are shown. */
const QUEUED_SHOWN = 2000;

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
export class Desk implements DeskView, DeskActions {
  readonly only: string | undefined;
  readonly ourName: string;
  readonly #options: DeskOptions;
  readonly #person: Person;
  readonly #lobby: Lobby;
  readonly #conversations: Conversations;
  readonly #offers: Offers;
  readonly #voice: DeskVoice;
  readonly #front: Front;
  readonly #registered = Promise.withResolvers<void>();
  /** Rejects when staying makes no sense any more. */
  readonly #failed = Promise.withResolvers<never>();
  /** Messages that wait to be shown. */
  readonly #unread = new Map<string, number>();
  /** Messages of ours that are kept for somebody with whom no conversation is open. */
  readonly #kept = new Map<string, number>();
  /** All with whom there ever was a conversation, or is to be. */
  readonly #names: Set<string>;
  /** Those whose waiting messages were shown. */
  readonly #looked = new WeakSet<Dialogue>();
  #focus: string | undefined;
  /** Why a conversation ended in which something was still to be delivered. */
  #unfinished: CifraError | undefined;
  /** What is said at the end of messages that were not delivered. */
  #lastWords: readonly string[] = [];

  constructor(options: DeskOptions) {
    const { terminal, store, suite, only, contacts, ourName } = options;
    this.#options = options;
    this.ourName = ourName;
    this.only = this.#focus = only;
    this.#failed.promise.catch(() => {});
    this.#names = new Set(store.peers(suite));
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
        if (only === undefined) this.#voice.changes(changes, (name) => this.#names.has(name));
        this.#front.refresh();
      },
      onOffer: (offer) => this.#onOffer(offer),
    });
    this.#conversations = new Conversations({
      openThread: (name) => this.#openThread(name),
      converse: (name, thread, onStatus) => this.#converse(name, thread, onStatus),
      onOpen: (dialogue) => {
        this.#names.add(dialogue.name);
        return this.#front.read(dialogue);
      },
      onStatus: ({ name }, status) => {
        this.#front.refresh();
        this.#front.onStatus(status);
        this.#voice.status(name, status, contacts.isVerified(name));
      },
      onEnd: (dialogue, error) => this.#onEnd(dialogue, error),
      endsWithPeer: only === undefined,
      isInUse: (name) => name === this.#focus,
    });
    this.#offers = new Offers({
      contacts,
      ourSuite: suite,
      terminal,
      accept: options.accept,
      isOpen: (name) => this.#conversations.has(name),
      begin: (name) => this.#answer(name),
      decline: (name) => this.#person.home.decline(name),
    });
  }

  get focus(): string | undefined {
    return this.#focus;
  }

  get names(): Iterable<string> {
    return new Set([...this.#names, ...this.#lobby.people.keys(), ...this.#offers.names]);
  }

  label(name: string): string {
    return this.#options.contacts.isVerified(name) ? `${name}${VERIFIED_MARK}` : name;
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
    failing.catch(() => {});
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
      front = this.#front.run((line) => this.#take(line));
      front.catch(() => {});
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
      this.#offers.stop();
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
    if (this.only !== undefined) await this.#person.home.who();
    return sorted(this.#lobby.people);
  }

  // What is typed.

  users(): void {
    this.#listUsers().catch((error) => this.#voice.fail("cannot list who is here", error));
  }

  async turnTo(name: string | undefined): Promise<void> {
    if (name === undefined) this.#voice.say("talking to nobody", { event: "focus" });
    else {
      const text = `talking to ${this.label(name)}: ${this.#describeState(name)}`;
      this.#voice.say(text, { event: "focus" }, name);
    }
    this.#focus = name;
    this.#front.refresh();
    const dialogue = name === undefined ? undefined : await this.#start(name);
    if (dialogue && !this.#looked.has(dialogue)) this.#showQueued(dialogue);
    this.#front.refresh();
  }

  async refuse(name: string): Promise<void> {
    const asked = this.#offers.refuse(name);
    await this.#end(name);
    const told = asked ? `${name} is told` : `if ${name} asks, ${name} is told`;
    const text = `${told} that you do not want to talk now; /to ${name} when you do`;
    this.#voice.say(text, { event: "refused" }, name);
  }

  async close(name: string): Promise<void> {
    const dialogue = this.#conversations.get(name);
    if (!dialogue) return this.#voice.complain(`There is no conversation with ${name}`);
    this.#offers.close(name);
    await this.#end(name);
    const { delivery } = dialogue.thread;
    const kept = describeUndelivered(delivery, name);
    this.#voice.say(
      `the conversation with ${name} is closed${kept ? `; ${kept}` : ""}`,
      { event: "closed", undelivered: undelivered(delivery) },
      name,
    );
  }

  setAway(isAway: boolean): void {
    this.#person.home.setAway(isAway);
    const text = this.#options.hidden
      ? "nobody sees that: you are hidden"
      : isAway
      ? "the others see that you are away; /back when you are not"
      : "welcome back";
    this.#voice.say(text, { event: isAway ? "away" : "back" });
  }

  async verify(name: string): Promise<void> {
    const text = await this.#describeWords(name);
    this.#voice.say(text, { event: "verify", text }, name);
  }

  async markVerified(name: string): Promise<void> {
    const isMarked = await this.#options.contacts.markVerified(name);
    const text = isMarked
      ? `${name} is verified: shown as ${this.label(name)} from now on`
      : `${name} is not known here yet: there is nothing to mark`;
    this.#front.refresh();
    this.#voice.say(text, { event: "verified", text }, name);
  }

  path(name: string): void {
    const conversation = this.#conversations.get(name)?.conversation;
    const text = name === SERVER_NAME
      ? this.#describeServer()
      : conversation
      ? describeWay(conversation.path, conversation.failures, name)
      : "there is no conversation";
    const said = this.only === undefined ? `${name}: ${text}` : text;
    this.#voice.say(said, { event: "path", text }, name);
  }

  help(): void {
    const text = helpOf({ isLobby: this.only === undefined });
    this.#voice.say(text, { event: "help", text });
  }

  quit(): void {
    this.#front.finish("finished");
  }

  /** A line that somebody typed, or a program wrote. */
  async #take(line: string): Promise<void> {
    try {
      await this.#obey(this.#read(line));
    } catch (error) {
      this.#voice.fail("that cannot be done", error);
    }
  }

  #read(line: string): Line {
    // A program that talks to one person has nothing to say to the desk.
    if (this.#options.terminal.json && this.only !== undefined) {
      return { type: "say", name: undefined, text: line };
    }
    const isLobby = this.only === undefined;
    return readLine(line, { isLobby, isKnown: (name) => this.#isSomebody(name) });
  }

  async #obey(line: Line): Promise<void> {
    switch (line.type) {
      case "nothing":
        return;
      case "say":
        return await this.#send(line.name ?? this.#focus, line.text);
      case "wrong":
        return this.#voice.complain(line.reason);
      case "command":
        return await this.#command(line);
    }
  }

  async #command(
    { word, command, name: named }: Extract<Line, { readonly type: "command" }>,
  ): Promise<void> {
    // Nobody is refused because they are the one who is talked to.
    const name = named ?? (command.about === "focus" ? this.#focus : undefined);
    if (name === this.ourName) return this.#voice.complain("That is you");
    if (name === undefined && command.about && !command.mayBeNobody) {
      return this.#voice.complain(`Who? For example: ${word} bob`);
    }
    await command.run(this, name ?? "");
  }

  /** A program means whom it names; a person may have mistyped. */
  #isSomebody(name: string): boolean {
    if (this.#options.terminal.json || name === this.ourName) return true;
    return this.#names.has(name) || this.#lobby.people.has(name) || this.#offers.has(name);
  }

  async #send(name: string | undefined, text: string): Promise<void> {
    if (name === undefined) {
      return this.#voice.complain("NOT SENT: say to whom, with /to bob or bob: hello");
    }
    if (name === this.ourName) return this.#voice.complain("NOT SENT: that is you");
    const dialogue = await this.#start(name);
    if (!dialogue) return;
    try {
      await dialogue.thread.sendText(text);
    } catch (error) {
      return this.#voice.fail("NOT SENT", error, name);
    }
    // It has ended meanwhile, because the other side left: it is begun anew for this message.
    if (dialogue.over.aborted) await this.#start(name);
    else if (!dialogue.thread.isAttached) dialogue.conversation.hurry();
  }

  // Conversations.

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
          this.#unread.set(peer, thread.unread);
          this.#front.onUnread(peer, thread.unread);
        },
      },
    );
    this.#unread.set(peer, thread.unread);
    return thread;
  }

  #converse(peer: string, thread: Thread, onStatus: (status: Status) => void): Carrier {
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

  async #end(name: string): Promise<void> {
    if (this.#focus === name) this.#focus = undefined;
    this.#front.refresh();
    await this.#conversations.close(name);
  }

  #onEnd({ name, thread }: Dialogue, error: CifraError | undefined): void {
    const kept = undelivered(thread.delivery);
    this.#kept.set(name, kept);
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

  async #leave(code: CloseCode): Promise<void> {
    const dialogues = [...this.#conversations.all()];
    await this.#conversations.leave(code);
    if (!this.#options.terminal.interactive && this.only !== undefined) return;
    this.#lastWords = dialogues.flatMap(({ name, thread }) =>
      name === SERVER_NAME ? [] : describeUndelivered(thread.delivery, name) ?? []
    );
  }

  /** What earlier runs left: messages to be read, and messages that are still to be delivered. */
  async #resume(): Promise<void> {
    const { terminal, suite, store } = this.#options;
    const unread: string[] = [], unfinished: string[] = [];
    for (const peer of [...this.#names].sort()) {
      if (peer === SERVER_NAME) continue;
      const key = { peer, suite };
      const count = store.unread(key);
      if (count > 0) unread.push(peer);
      this.#unread.set(peer, count);
      const { last, stored } = await store.outgoing(key);
      this.#kept.set(peer, Number(last - stored));
      // A program is shown everything, and so has everything opened that there is to show.
      if (last > stored || count > 0 && terminal.json) unfinished.push(peer);
    }
    for (const name of unfinished.slice(0, CONVERSATIONS_LIMIT)) await this.#start(name);
    for (const name of unread) this.#front.onUnread(name, this.#unreadOf(name));
    const rest = unfinished.slice(CONVERSATIONS_LIMIT);
    if (rest.length === 0) return;
    const text = `for ${rest.length} more something is kept, which /to NAME delivers: ` +
      describeCrowd(rest);
    this.#voice.say(text, { event: "kept", with: rest });
  }

  // What there is to be told.

  #unreadOf(name: string): number {
    return this.#unread.get(name) ?? 0;
  }

  #describeState(name: string): string {
    const path = this.#conversations.get(name)?.conversation.path;
    const unread = this.#unreadOf(name);
    const isHere = this.#lobby.people.has(name) || this.#offers.has(name);
    return [
      path ? describePath(path, name) : "not connected yet",
      ...(path || isHere ? [] : ["not in the lobby"]),
      ...(unread > 0 ? [`${unread} unread`] : []),
    ].join(", ");
  }

  #describeServer(): string {
    const { link } = this.#person.home;
    return link ? `server ${formatEndpoint(link.remote)}` : "not connected";
  }

  async #describeWords(name: string): Promise<string> {
    const words = await this.#options.contacts.words(name);
    if (!words) return `${name} is not known here yet: there is nothing to compare`;
    return [
      `read these words to ${name}; they must be the same there:`,
      words.slice(0, 6).join(" "),
      words.slice(6).join(" "),
      this.#howMarked(name),
    ].join("\n");
  }

  #howMarked(name: string): string {
    if (name === SERVER_NAME) return "(of a server, compare the key that it prints)";
    if (this.#options.suite === "classic") return "(keys for study are never marked)";
    if (this.#options.contacts.isVerified(name)) {
      return "they were the same before: marked as verified";
    }
    return "if they are, /verified marks that; not marked so far";
  }

  /** What was written before this conversation was opened, and has not arrived. */
  #showQueued(dialogue: Dialogue): void {
    const { name, before, thread: { delivery: { stored } } } = dialogue;
    const { terminal, suite, store } = this.#options;
    this.#looked.add(dialogue);
    if (terminal.json || before <= stored) return;
    const texts = store.read({ peer: name, suite }, stored + 1n, QUEUED_SHOWN)
      .filter(({ number, type }) => number <= before && type === "text")
      .map(({ content }) => decodeUtf8(content));
    if (texts.length === 0) return;
    const isAll = BigInt(texts.length) === before - stored;
    const title = `you wrote, and ${name} does not have it yet:`;
    terminal.say([title, ...texts, ...isAll ? [] : ["..."]].join("\n"));
  }

  async #listUsers(): Promise<void> {
    const { home } = this.#person;
    const { terminal, contacts } = this.#options;
    // Somebody wants to know.
    if (!home.link) home.hurry();
    await this.people();
    const listed = [...this.names].sort().map((name): Listed => {
      const dialogue = this.#conversations.get(name);
      return {
        name,
        isVerified: contacts.isVerified(name),
        state: this.#lobby.people.get(name),
        unread: this.#unreadOf(name),
        undelivered: dialogue ? undelivered(dialogue.thread.delivery) : this.#kept.get(name) ?? 0,
        connected: dialogue && dialogue.conversation.path !== undefined,
        asks: this.#offers.has(name),
      };
    }).filter(({ state, unread, undelivered, connected, asks }) =>
      state !== undefined || unread + undelivered > 0 || connected !== undefined || asks
    );
    const isConnected = home.link !== undefined;
    if (terminal.json) return terminal.emit({ event: "users", isConnected, people: listed });
    terminal.say(describeUsers(listed, isConnected));
  }
}
