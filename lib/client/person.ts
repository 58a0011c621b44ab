/**
 * One person at work: everything between a profile and the conversations that it has is put together here, for
 * the command line, the simulator and the tests alike.
 */
import type { Identity, PublicIdentity } from "../crypto/identity.ts";
import type { KemKeyPair } from "../crypto/kem.ts";
import type { Suite, SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { aborted } from "../flow/delay.ts";
import { BoundedMap } from "../flow/bounded_map.ts";
import { SharedPause } from "../flow/shared_pause.ts";
import type { Ticker } from "../flow/ticker.ts";
import { PACES_REMEMBERED, STORE_PAUSE_MAXIMUM, STORE_PAUSE_MINIMUM } from "../limits.ts";
import type { Environment } from "../net/environment.ts";
import type { MessageStore } from "../store/message_store.ts";
import type { LogKind } from "../wire/peer_messages.ts";
import { AddressWatch } from "./address_watch.ts";
import { Conversation, type Status } from "./conversation.ts";
import type { LiveConversation } from "./conversations.ts";
import { Door } from "./door.ts";
import { Home, type HomeOptions, type RelayChoice } from "./home.ts";
import { MeetingPace } from "./meeting_pace.ts";
import type { Registrar } from "./name_claim.ts";
import { Postman, type PostmanOptions } from "./postman.ts";
import type { ServerLink } from "./server_link.ts";
import { type Ending, Thread, type ThreadOptions } from "./thread.ts";
import type { Tracer } from "./trace.ts";

/** Who somebody is, where their server is, and how they want to be connected. */
export interface PersonOptions
  extends Pick<HomeOptions, "lobby" | "giveUpAfter" | "onStatus" | "onLobby"> {
  readonly environment: Environment;
  readonly ticker: Ticker;
  readonly name: string;
  readonly suite: Suite;
  readonly identity: Identity;
  readonly ephemeralKey: () => Promise<KemKeyPair>;
  /** Keeps what is written and read; without one nothing outlives the program. */
  readonly store: MessageStore | undefined;
  /** Connects to the server; throws when it cannot be reached or trusted. */
  readonly openServer: (sendPort: number | undefined) => Promise<ServerLink>;
  readonly register: Registrar;
  /** Whether an identity that was introduced as `name` is who we know, and what pins it; see `Contacts.check`. */
  readonly checkPeer: (name: string, peer: PublicIdentity) => Promise<() => Promise<void>>;
  /** The port to listen on; 0 for any. */
  readonly receivePort: number;
  /** The port to dial from; undefined for any. */
  readonly sendPort: number | undefined;
  /** Other addresses of this machine in its network. */
  readonly advertised: readonly string[];
  readonly relay: RelayChoice;
  readonly trace?: Tracer | undefined;
  /** Whether others are told what we have read; by default they are. */
  readonly tellsRead?: boolean | undefined;
  /** How what is left at the server goes together with the conversations; without it, or a store, none is. */
  readonly mail?: MailOptions | undefined;
}

/** What a person has to say of their mail. */
export type MailOptions = Pick<
  PostmanOptions,
  | "contacts"
  | "tellsRead"
  | "isWelcome"
  | "isRefused"
  | "isApart"
  | "apart"
  | "sealAfter"
  | "onSealed"
  | "onEvent"
>;

/** The identities of the other suites have no agreement key (PROTOCOL.md 3.12). */
const MAILBOX_SUITE: SuiteName = "modern";

/** What the owner of a thread is told. */
export type ThreadHooks = Pick<
  ThreadOptions,
  "onDelivery" | "onUnread" | "onStoring" | "ourAway" | "onAway" | "files"
>;

/** A person's program at work. */
export class Person {
  readonly home: Home;
  /** Undefined where nothing can be left: without a store, and in suites that have no mailbox. */
  readonly postman: Postman | undefined;
  readonly #options: PersonOptions;
  readonly #door: Door | undefined;
  readonly #storePause: SharedPause;
  readonly #addresses: AddressWatch;
  readonly #conversations = new Set<Conversation>();
  readonly #leaving = new AbortController();
  /** How soon we meet whom again, by name: whoever ends a conversation does not begin anew with it. */
  readonly #paces = new BoundedMap<string, MeetingPace>(PACES_REMEMBERED);

  constructor(options: PersonOptions) {
    const { environment, ticker, relay, receivePort, sendPort } = options;
    this.#options = options;
    this.#door = relay === "only"
      ? undefined
      : new Door({ environment, ticker, receivePort, sendPort });
    this.#storePause = new SharedPause(
      environment.time,
      STORE_PAUSE_MINIMUM,
      STORE_PAUSE_MAXIMUM,
    );
    this.#addresses = new AddressWatch(environment.network, ticker);
    this.postman = postmanOf(options);
    this.home = new Home({
      ...options,
      ourName: options.name,
      door: this.#door,
      isTalking: () => this.#isTalking(),
      onRegistered: (link, sequence) => this.#carryMail(link, sequence),
    });
  }

  /** The suite that the person uses. */
  get suite(): Suite {
    return this.#options.suite;
  }

  /** Stays at the server for whoever needs it, until `leave`. Throws like `Home.run`. */
  async run(): Promise<void> {
    const unwatch = this.#addresses.add((gone) => this.home.readdress(gone));
    try {
      await this.home.run();
    } finally {
      unwatch();
      this.postman?.giveUp();
      this.#door?.close();
    }
  }

  /** Ends `run`; conversations are to be left before. */
  leave(): void {
    this.#leaving.abort();
    this.home.leave();
  }

  /** As long as the connection lasts; a disk that is full is waited for. */
  async #carryMail(link: ServerLink, sequence: bigint): Promise<void> {
    while (this.postman && link.isOpen && !this.#leaving.signal.aborted) {
      try {
        return await this.postman.work(link, sequence);
      } catch (error) {
        if (!(error instanceof CifraError)) throw error;
        if (error.code !== "local") return link.channel.fail(error);
        await this.#storePause.wait(this.#leaving.signal);
      }
    }
  }

  /** Opens the messages of a conversation, where they were when the last program ended. Throws `local`. */
  async openThread(peerName: string, kind: LogKind, hooks: ThreadHooks = {}): Promise<Thread> {
    const { store, suite, tellsRead, environment: { random, time } } = this.#options;
    const key = { peer: peerName, suite: suite.name };
    const storePause = this.#storePause;
    return await Thread.open({ store, key, kind, random, time, storePause, tellsRead, ...hooks });
  }

  /** A conversation with somebody; it begins with `run`. */
  converse(
    peerName: string,
    thread: Thread,
    onStatus: (status: Status) => void,
  ): Conversation {
    const { name, checkPeer } = this.#options;
    const conversation = new Conversation({
      ...this.#options,
      home: this.home,
      door: this.#door,
      addresses: this.#addresses,
      ourName: name,
      peerName,
      thread,
      checkPeer: (peer) => checkPeer(peerName, peer),
      pace: this.#paceOf(peerName),
      onStatus,
    });
    this.#conversations.add(conversation);
    return conversation;
  }

  #paceOf(peerName: string): MeetingPace {
    let pace = this.#paces.get(peerName);
    if (!pace) {
      this.#paces.set(peerName, pace = new MeetingPace(this.#options.environment.random));
    }
    return pace;
  }

  /** Whether a conversation goes on that needs no server. */
  #isTalking(): boolean {
    for (const conversation of this.#conversations) {
      if (conversation.isOver) this.#conversations.delete(conversation);
    }
    return [...this.#conversations].some(({ goesOn }) => goesOn);
  }

  /**
   * A conversation with the server itself, which answers OK; it begins with `run` and cannot go on when the
   * server has gone. `onConnected` is told once who the server is.
   */
  talkToServer(thread: Thread, onConnected: (server: ServerLink) => void): LiveConversation {
    const { home } = this;
    const left = new AbortController();
    const release = home.hold();
    return {
      path: undefined,
      failures: [],
      hurry: () => home.hurry(),
      leave: async (code) => {
        left.abort();
        const leaving = thread.leave(code);
        // Now: the server's goodbye that answers ours is no loss.
        release();
        await leaving;
      },
      run: async () => {
        const untick = this.#options.ticker.add((now) => thread.tick(now));
        try {
          const leaving = aborted(left.signal).then(() => undefined);
          const server = await Promise.race([home.registered(), leaving]);
          if (!server) return;
          onConnected(server);
          const ending = await thread.attachServer(server.lane);
          // Whoever says goodbye first is answered with one.
          if (!left.signal.aborted) requireDone(ending, server);
        } finally {
          untick();
          release();
        }
      },
    };
  }
}

function postmanOf(options: PersonOptions): Postman | undefined {
  const { name: ourName, suite, store, mail } = options;
  if (!store || !mail || suite.name !== MAILBOX_SUITE) return undefined;
  return new Postman({ ...options, ...mail, store, suite: suite.name, ourName });
}

/** A server that we have not left, and that says goodbye, has left us. */
function requireDone(ending: Ending, { channel }: ServerLink): void {
  if (ending.type === "done") return;
  if (ending.type === "cut" && !channel.goodbye) throw ending.error;
  throw new CifraError("shutdown", "The server left");
}
