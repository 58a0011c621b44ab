/** `connect` without `--to`: the lobby, and the conversations that are had from there. */
import { Conversation, type RelayChoice, type Status } from "../client/conversation.ts";
import { Conversations, type Dialogue } from "../client/conversations.ts";
import { Lobby, type LobbyNews } from "../client/lobby.ts";
import type { Registrar } from "../client/name_claim.ts";
import { type Delivery, Thread } from "../client/thread.ts";
import type { Profile } from "../client/profile.ts";
import type { ServerAddress } from "../client/server_address.ts";
import type { ServerLink } from "../client/server_link.ts";
import type { Tracer } from "../client/trace.ts";
import { Limiter } from "../flow/limiter.ts";
import { decodeUtf8 } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { CONVERSATIONS_LIMIT } from "../limits.ts";
import { aborted } from "../flow/delay.ts";
import { systemEnvironment } from "../net/environment.ts";
import type { Ticker } from "../flow/ticker.ts";
import { SERVER_NAME } from "../wire/names.ts";
import type { MessageStore } from "../store/message_store.ts";
import { LogKind } from "../wire/peer_messages.ts";
import { CloseCode } from "../wire/records.ts";
import type { Acquaintances } from "./acquaintances.ts";
import { type AboutSomebody, type LobbyCommand, readCommand } from "./lobby_commands.ts";
import type { LobbyFront, LobbyView } from "./lobby_front.ts";
import { LobbyJson } from "./lobby_json.ts";
import { LobbyTerminal } from "./lobby_terminal.ts";
import { type Acceptance, Offers } from "./lobby_offers.ts";
import { LobbyVoice } from "./lobby_voice.ts";
import {
  CHANGES_PAUSE,
  describeCrowd,
  describeUsers,
  type Listed,
  LOBBY_HELP,
} from "./lobby_words.ts";
import { describeUndelivered } from "./lines.ts";
import { sanitize } from "./sanitize.ts";
import type { ServerAccess } from "./server_access.ts";
import { describePath, describeWay } from "./status.ts";
import type { Outcome } from "./talk.ts";
import type { Terminal } from "./terminal.ts";

/** Connections to the server that are being made at once: it takes a crowd for an attack. */
const KNOCKS = 4;
/** Of messages that wait to be delivered about so many bytes are shown. */
const QUEUED_SHOWN = 2000;

/** How somebody wants to be in the lobby. */
export interface LobbyChoice {
  readonly hidden: boolean;
  readonly accept: Acceptance;
  readonly advertised: readonly string[];
  readonly relay: RelayChoice;
  readonly keepHistory: boolean;
}

/** What `connect` hands over. */
export interface LobbySetting {
  readonly choice: LobbyChoice;
  readonly profile: Profile;
  readonly terminal: Terminal;
  readonly ticker: Ticker;
  readonly address: ServerAddress;
  readonly access: ServerAccess;
  readonly acquaintances: Acquaintances;
  /** Aborted by SIGINT and SIGTERM. */
  readonly interrupted: AbortSignal;
  readonly trace: Tracer | undefined;
}

/** Opens the store, and stays in the lobby until it is left. */
export async function stayInLobby(setting: LobbySetting): Promise<Outcome> {
  const store = await setting.profile.openMessages(setting.choice.keepHistory);
  return await new LobbyTalk(setting, store).run();
}

/** One stay. */
export class LobbyTalk implements LobbyView {
  readonly #setting: LobbySetting;
  readonly #store: MessageStore;
  readonly #register: Registrar;
  readonly #knocks = new Limiter(KNOCKS);
  readonly #lobby: Lobby;
  readonly #conversations: Conversations;
  readonly #offers: Offers;
  readonly #voice: LobbyVoice;
  readonly #front: LobbyFront;
  readonly #registered = Promise.withResolvers<void>();
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

  constructor(setting: LobbySetting, store: MessageStore) {
    const { profile, terminal, choice } = setting;
    this.#setting = setting;
    this.#store = store;
    this.#names = new Set(store.peers(profile.suite.name));
    this.#register = profile.registrar(systemEnvironment.time.date);
    this.#front = terminal.json ? new LobbyJson(this, terminal) : new LobbyTerminal(this, terminal);
    this.#voice = new LobbyVoice(terminal, profile.suite.name);
    this.#lobby = new Lobby({
      environment: systemEnvironment,
      ourName: profile.name,
      suite: profile.suite,
      openServer: () => this.#openServer(undefined),
      register: this.#register,
      hidden: choice.hidden,
      changesPause: terminal.json ? 0 : CHANGES_PAUSE,
      onNews: (news) => this.#onNews(news),
    });
    this.#conversations = new Conversations({
      openLink: (name) => this.#openLink(name),
      converse: (name, link, onStatus) => this.#converse(name, link, onStatus),
      onOpen: (dialogue) => {
        this.#names.add(dialogue.name);
        return this.#front.read(dialogue);
      },
      onStatus: ({ name }, status) => {
        this.#front.refresh();
        this.#voice.status(name, status, name === this.#focus);
      },
      onEnd: (dialogue, error) => this.#onEnd(dialogue, error),
      isInUse: (name) => name === this.#focus,
    });
    this.#offers = new Offers({
      profile,
      terminal,
      accept: choice.accept,
      isOpen: (name) => this.#conversations.has(name),
      begin: (name) => this.#answer(name),
      decline: (name) => this.#lobby.decline(name),
    });
  }

  get ourName(): string {
    return this.#setting.profile.name;
  }

  get focus(): string | undefined {
    return this.#focus;
  }

  label(name: string): string {
    return this.#setting.acquaintances.label(name);
  }

  dialogue(name: string): Dialogue | undefined {
    return this.#conversations.get(name);
  }

  get names(): Iterable<string> {
    return new Set([...this.#names, ...this.#lobby.people.keys(), ...this.#offers.names]);
  }

  async settled(): Promise<CifraError | undefined> {
    return await this.#conversations.settled() ?? this.#unfinished;
  }

  /** Stays until the front is done, a signal comes or staying is impossible. */
  async run(): Promise<Outcome> {
    const { interrupted } = this.#setting;
    const onSignal = () => this.#front.finish("interrupted");
    interrupted.addEventListener("abort", onSignal);
    const staying = this.#lobby.run();
    staying.catch(() => {});
    const ending = aborted(interrupted).then(() => "interrupted" as const);
    const failing = Promise.race([
      staying.then(() => new Promise<never>(() => {})),
      this.#conversations.failed,
    ]);
    failing.catch(() => {});
    let front: Promise<Outcome> | undefined;
    try {
      // Until then the terminal may have to ask whether a server is to be trusted.
      const first = await Promise.race([this.#registered.promise, failing, ending]);
      if (first === "interrupted") return first;
      await this.#resume();
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
      this.#lobby.leave();
      await staying.catch(() => {});
      for (const text of this.#lastWords) this.#setting.terminal.say(text);
    }
  }

  async #leave(code: CloseCode): Promise<void> {
    // Nobody who asks now is answered any more.
    this.#lobby.leave();
    const dialogues = [...this.#conversations.all()];
    await this.#conversations.leave(code);
    this.#lastWords = dialogues.flatMap(({ name, link }) =>
      describeUndelivered(link.delivery, name) ?? []
    );
  }

  /** What earlier runs left: messages to be read, and messages that are still to be delivered. */
  async #resume(): Promise<void> {
    const { terminal, profile: { suite } } = this.#setting;
    const unread: string[] = [], unfinished: string[] = [];
    for (const peer of [...this.#names].sort()) {
      if (peer === SERVER_NAME) continue;
      const key = { peer, suite: suite.name };
      const count = this.#store.unread(key);
      if (count > 0) unread.push(peer);
      this.#unread.set(peer, count);
      const { last, stored } = await this.#store.outgoing(key);
      this.#kept.set(peer, Number(last - stored));
      // A program is shown everything, and so has everything opened that there is to show.
      if (last > stored || count > 0 && terminal.json) unfinished.push(peer);
    }
    for (const name of unfinished.slice(0, CONVERSATIONS_LIMIT)) await this.#start(name);
    for (const name of unread) this.#front.onUnread(name, this.unreadOf(name));
    const rest = unfinished.slice(CONVERSATIONS_LIMIT);
    if (rest.length === 0) return;
    const names = describeCrowd(rest);
    this.#voice.say(
      `for ${rest.length} more something is kept, which /to NAME delivers: ${names}`,
      {
        event: "kept",
        with: rest,
      },
    );
  }

  /** How many messages of somebody wait to be shown. */
  unreadOf(name: string): number {
    return this.#unread.get(name) ?? 0;
  }

  async #openServer(sendPort: number | undefined): Promise<ServerLink> {
    const { access, address } = this.#setting;
    return await this.#knocks.run(() => access.open(address, sendPort));
  }

  async #openLink(peer: string): Promise<Thread> {
    const link: Thread = await Thread.open({
      store: this.#store,
      key: { peer, suite: this.#setting.profile.suite.name },
      kind: LogKind.kept,
      random: systemEnvironment.random,
      time: systemEnvironment.time,
      onDelivery: () => {
        const dialogue = this.#conversations.get(peer);
        if (dialogue) this.#front.onDelivery(dialogue);
      },
      onUnread: () => {
        this.#unread.set(peer, link.unread);
        this.#front.onUnread(peer, link.unread);
      },
    });
    this.#unread.set(peer, link.unread);
    return link;
  }

  #converse(peerName: string, link: Thread, onStatus: (status: Status) => void): Conversation {
    const { profile, access, acquaintances, ticker, choice, trace } = this.#setting;
    return new Conversation({
      environment: systemEnvironment,
      ticker,
      ourName: profile.name,
      peerName,
      suite: profile.suite,
      identity: profile.identity,
      ephemeralKey: access.ephemeralKey,
      link,
      openServer: (from) => this.#openServer(from),
      register: this.#register,
      checkPeer: (peer) => acquaintances.check(peerName, peer),
      receivePort: 0,
      sendPort: undefined,
      advertised: choice.advertised,
      relay: choice.relay,
      patient: true,
      onStatus,
      trace,
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

  /** A line that somebody typed, or a program wrote. */
  async #take(line: string): Promise<void> {
    try {
      await this.#obey(readCommand(line, (name) => this.#isSomebody(name)));
    } catch (error) {
      this.#voice.fail("that cannot be done", error);
    }
  }

  async #obey(command: LobbyCommand): Promise<void> {
    switch (command.type) {
      case "nothing":
        return;
      case "say":
        return await this.#send(command.name ?? this.#focus, command.text);
      case "to":
        return await this.#turnTo(command.name);
      case "users":
        return this.#sayUsers();
      case "away":
      case "back":
        return this.#setAway(command.type === "away");
      case "quit":
        return this.#front.finish("finished");
      case "help":
        return this.#voice.say(LOBBY_HELP, { event: "help", text: LOBBY_HELP });
      case "wrong":
        return this.#voice.complain(command.reason);
      default: {
        // Nobody is refused because they are the one who is talked to.
        const name = command.name ?? (command.type === "refuse" ? undefined : this.#focus);
        if (name === undefined) {
          return this.#voice.complain(`Who? For example: /${command.type} bob`);
        }
        if (name === this.ourName) return this.#voice.complain("That is you");
        return await this.#about(command.type, name);
      }
    }
  }

  async #about(
    what: AboutSomebody,
    name: string,
  ): Promise<void> {
    const { acquaintances } = this.#setting;
    switch (what) {
      case "refuse":
        return await this.#refuse(name);
      case "close":
        return await this.#close(name);
      case "verify": {
        const text = await acquaintances.verify(name);
        return this.#voice.say(text, { event: "verify", with: name, text });
      }
      case "verified": {
        const text = await acquaintances.markVerified(name);
        this.#front.refresh();
        return this.#voice.say(text, { event: "verified", with: name, text });
      }
      case "path": {
        const text = this.#describePath(name);
        return this.#voice.say(`${name}: ${text}`, { event: "path", with: name, text });
      }
    }
  }

  #setAway(isAway: boolean): void {
    this.#lobby.setAway(isAway);
    const text = this.#setting.choice.hidden
      ? "nobody sees that: you are hidden"
      : isAway
      ? "the others see that you are away; /back when you are not"
      : "welcome back";
    this.#voice.say(text, { event: isAway ? "away" : "back" });
  }

  /** A program means whom it names; a person may have mistyped. */
  #isSomebody(name: string): boolean {
    if (this.#setting.terminal.json || name === this.ourName) return true;
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
      await dialogue.link.sendText(text);
    } catch (error) {
      return this.#voice.fail("NOT SENT", error, name);
    }
    // It has ended meanwhile, because the other side left: it is begun anew for this message.
    if (dialogue.over.aborted) await this.#start(name);
    else if (!dialogue.link.isAttached) dialogue.conversation.hurry();
  }

  async #turnTo(name: string | undefined): Promise<void> {
    if (name === this.ourName) return this.#voice.complain("That is you");
    if (name === undefined) this.#voice.say("talking to nobody", { event: "focus" });
    else {
      this.#voice.say(`talking to ${this.label(name)}: ${this.#describeState(name)}`, {
        event: "focus",
        with: name,
      });
    }
    this.#focus = name;
    this.#front.refresh();
    const dialogue = name === undefined ? undefined : await this.#start(name);
    if (dialogue && !this.#looked.has(dialogue)) this.#showQueued(dialogue);
    this.#front.refresh();
  }

  #describeState(name: string): string {
    const path = this.#conversations.get(name)?.conversation.path;
    const unread = this.unreadOf(name);
    const isHere = this.#lobby.people.has(name) || this.#offers.has(name);
    return [
      path ? describePath(path, name) : "not connected yet",
      ...(path || isHere ? [] : ["not in the lobby"]),
      ...(unread > 0 ? [`${unread} unread`] : []),
    ].join(", ");
  }

  /** What was written before this conversation was opened, and has not arrived. */
  #showQueued(dialogue: Dialogue): void {
    const { name, before, link: { delivery: { stored } } } = dialogue;
    const { terminal, profile: { suite } } = this.#setting;
    this.#looked.add(dialogue);
    if (terminal.json || before <= stored) return;
    const key = { peer: name, suite: suite.name };
    const texts = this.#store.read(key, stored + 1n, QUEUED_SHOWN)
      .filter(({ number, type }) => number <= before && type === "text")
      .map(({ content }) => `   ${sanitize(decodeUtf8(content)).replaceAll("\n", "\n   ")}`);
    if (texts.length === 0) return;
    const isAll = BigInt(texts.length) === before - stored;
    terminal.say(
      [`you wrote, and ${name} does not have it yet:`, ...texts, ...isAll ? [] : ["   ..."]]
        .join("\n"),
    );
  }

  async #refuse(name: string): Promise<void> {
    const asked = this.#offers.refuse(name);
    await this.#end(name);
    const told = asked ? `${name} is told` : `if ${name} asks, ${name} is told`;
    this.#voice.say(`${told} that you do not want to talk now; /to ${name} when you do`, {
      event: "refused",
      with: name,
    });
  }

  async #close(name: string): Promise<void> {
    const dialogue = this.#conversations.get(name);
    if (!dialogue) return this.#voice.complain(`There is no conversation with ${name}`);
    this.#offers.close(name);
    await this.#end(name);
    const { delivery } = dialogue.link;
    const kept = describeUndelivered(delivery, name);
    this.#voice.say(`the conversation with ${name} is closed${kept ? `; ${kept}` : ""}`, {
      event: "closed",
      with: name,
      undelivered: undelivered(delivery),
    });
  }

  async #end(name: string): Promise<void> {
    if (this.#focus === name) this.#focus = undefined;
    this.#front.refresh();
    await this.#conversations.close(name);
  }

  #onNews(news: LobbyNews): void {
    switch (news.type) {
      case "registered":
        this.#voice.registered(news);
        return this.#registered.resolve();
      case "server-lost":
        return this.#voice.serverLost(news);
      case "changes":
        for (const name of news.changes.left) this.#offers.forget(name);
        this.#voice.changes(news, (name) => this.#names.has(name));
        return this.#front.refresh();
      case "offer": {
        const { offer } = news;
        const open = this.#conversations.get(offer.name);
        if (open) return open.conversation.hurry();
        this.#offers.take(offer).catch((error) => {
          this.#voice.fail(`cannot answer ${offer.name}`, error, offer.name);
        });
      }
    }
  }

  #sayUsers(): void {
    const { people, isConnected } = this.#lobby;
    const { terminal, acquaintances } = this.#setting;
    // Somebody wants to know.
    if (!isConnected) this.#lobby.hurry();
    const listed = [...this.names].sort().map((name): Listed => {
      const dialogue = this.#conversations.get(name);
      const delivery = dialogue?.link.delivery;
      return {
        name,
        isVerified: acquaintances.isVerified(name),
        state: people.get(name),
        unread: this.unreadOf(name),
        undelivered: delivery ? undelivered(delivery) : this.#kept.get(name) ?? 0,
        connected: dialogue && dialogue.conversation.path !== undefined,
        asks: this.#offers.has(name),
      };
    }).filter(({ state, unread, undelivered, connected, asks }) =>
      state !== undefined || unread + undelivered > 0 || connected !== undefined || asks
    );
    if (terminal.json) return terminal.emit({ event: "users", isConnected, people: listed });
    terminal.say(describeUsers(listed, isConnected));
  }

  #describePath(name: string): string {
    const conversation = this.#conversations.get(name)?.conversation;
    if (!conversation) return "there is no conversation";
    return describeWay(conversation.path, conversation.failures, name);
  }

  #onEnd({ name, link }: Dialogue, error: CifraError | undefined): void {
    const kept = undelivered(link.delivery);
    this.#kept.set(name, kept);
    if (error) {
      if (kept > 0) this.#unfinished = error;
      this.#voice.fail(`the conversation with ${name} has ended`, error, name);
    }
    this.#voice.over(name);
    this.#front.refresh();
  }
}

/** Messages of ours that the other side does not have yet. */
function undelivered({ queued, stored }: Delivery): number {
  return Number(queued - stored);
}
