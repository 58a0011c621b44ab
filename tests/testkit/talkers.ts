/** A server and people who talk, in this process and over its sockets, in a time that the test lets run. */
import type { Conversation, Status as ConversationStatus } from "../../lib/client/conversation.ts";
import type { HomeStatus, RelayChoice } from "../../lib/client/home.ts";
import { Person, type PersonOptions } from "../../lib/client/person.ts";
import { ServerLink } from "../../lib/client/server_link.ts";
import type { Thread } from "../../lib/client/thread.ts";
import type { PublicIdentity } from "../../lib/crypto/identity.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import type { SuiteName } from "../../lib/crypto/suite.ts";
import { CifraError } from "../../lib/errors.ts";
import type { Environment } from "../../lib/net/environment.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import type { ServerEvent } from "../../lib/server/events.ts";
import type { Server, ServerBehaviour } from "../../lib/server/server.ts";
import { MemoryMessages } from "./memory_messages.ts";
import type { MessageStore } from "../../lib/store/message_store.ts";
import { LogKind } from "../../lib/wire/peer_messages.ts";
import type { CloseCode } from "../../lib/wire/records.ts";
import { ManualTime, pause } from "./clock.ts";
import { ephemeralKeys, type Person as Who, person } from "./handshake.ts";
import { Ear } from "./links.ts";
import { claimOf, nextSequence, ServerEvents } from "./server.ts";
import { serverOf } from "./server_setup.ts";
import { TestNetwork } from "./test_network.ts";

const LOCALHOST = "127.0.0.1";

/** A server that can go and come back, always the same one at the same port. */
export class ServerHouse {
  readonly #suites: readonly SuiteName[];
  readonly #changes: Partial<ServerBehaviour>;
  readonly #told: ServerEvent[] = [];
  /** What it told, over all its lives. */
  readonly log = new ServerEvents(this.#told);
  #port = 0;
  #present: Server | undefined;

  private constructor(suites: readonly SuiteName[], changes: Partial<ServerBehaviour>) {
    this.#suites = suites;
    this.#changes = changes;
  }

  static async open(
    suites: readonly SuiteName[] = ["modern"],
    changes: Partial<ServerBehaviour> = {},
  ): Promise<ServerHouse> {
    const house = new ServerHouse(suites, changes);
    await house.start();
    return house;
  }

  get port(): number {
    return this.#port;
  }

  /** Clients connected, strangers included; none while the server is away. */
  get connections(): number {
    return this.#present?.connections ?? 0;
  }

  async start(): Promise<void> {
    const sides = await Promise.all(this.#suites.map(async (name) => {
      const { suite, identity } = await person(name, "server");
      return { suite, identity, ephemeralKey: ephemeralKeys(suite, "server") };
    }));
    const onEvent = (event: ServerEvent) => void this.#told.push(event);
    this.#present = serverOf(sides, { ...this.#changes, port: this.#port, onEvent });
    this.#port = this.#present.endpoints[0]!.port;
  }

  async stop(): Promise<void> {
    await this.#present?.stop();
    this.#present = undefined;
  }
}

/** What happens to a program, between it and the server or the other one. */
type Status = ConversationStatus | HomeStatus;

/** How somebody differs from the usual. */
export interface TalkerOptions {
  readonly time: ManualTime;
  readonly relay?: RelayChoice;
  readonly suite?: SuiteName;
  /** They have another key, for this suite, by which their name is known. */
  readonly knownBy?: SuiteName;
  readonly kind?: LogKind;
  /** What another run of the same program has kept. */
  readonly store?: MessageStore;
  /** Whether the introduced person is the right one, and what pins them. */
  readonly checkPeer?: (peer: PublicIdentity) => Promise<() => Promise<void>>;
  readonly beforeServer?: () => Promise<void>;
}

/** What surrounds a program, and what it did there. */
interface Surroundings {
  readonly time: ManualTime;
  readonly network: TestNetwork;
  readonly statuses: Status[];
  /** How often the server was asked for. */
  readonly asked: () => number;
}

/** A program as it is put together on this machine, with a network of its own. */
export interface Program {
  readonly program: Omit<
    PersonOptions,
    "store" | "checkPeer" | "lobby" | "onStatus" | "onLobby"
  >;
  readonly network: TestNetwork;
  /** How often the server was asked for. */
  readonly asked: () => number;
}

/** What the program of `name` is made of, who is `who` and comes to the server at `port`. */
export function programOf(
  name: string,
  { port }: { readonly port: number },
  { time, relay = "allowed", who, others = [], beforeServer }:
    & Pick<TalkerOptions, "time" | "relay" | "beforeServer">
    & { readonly who: Who; readonly others?: readonly Who[] },
): Program {
  const { suite, identity } = who;
  const ephemeralKey = ephemeralKeys(suite, name);
  const network = new TestNetwork();
  const ticker = new Ticker(time);
  const environment: Environment = { time, network, random: systemRandom };
  const address = { host: LOCALHOST, port, fingerprint: undefined, inviteSecret: undefined };
  let asked = 0;
  const program: Program["program"] = {
    environment,
    ticker,
    name,
    suite,
    identity,
    ephemeralKey,
    openServer: async (sendPort) => {
      asked++;
      await beforeServer?.();
      return await ServerLink.open({
        environment,
        address,
        suite,
        identity,
        ephemeralKey,
        ticker,
        sendPort,
      });
    },
    register: async (place, job) => {
      const registrationSequence = nextSequence();
      const claim = await claimOf(who, name, registrationSequence, others, place);
      return await job({ registrationSequence, claim });
    },
    receivePort: 0,
    sendPort: undefined,
    advertised: [],
    relay,
  };
  return { program, network, asked: () => asked };
}

/** Somebody's program, from its start to its end. */
export class Talker {
  readonly name: string;
  readonly time: ManualTime;
  readonly network: TestNetwork;
  readonly statuses: Status[];
  readonly thread: Thread;
  readonly ear: Ear;
  readonly person: Person;
  readonly conversation: Conversation;
  /** Why the program ended; undefined when it was left. */
  readonly ended: Promise<unknown>;
  readonly #asked: () => number;

  private constructor(
    name: string,
    peerName: string,
    { time, network, statuses, asked }: Surroundings,
    person: Person,
    thread: Thread,
  ) {
    this.name = name;
    this.time = time;
    this.network = network;
    this.statuses = statuses;
    this.#asked = asked;
    this.person = person;
    this.thread = thread;
    this.ear = new Ear(thread);
    this.conversation = person.converse(peerName, thread, (status) => void statuses.push(status));
    const running = [person.run(), this.conversation.run()];
    // A person ends when they are left; their conversation ends the program.
    running[0]!.catch(() => {});
    const failed = running[0]!.then(() => running[1]);
    this.ended = Promise.race([failed, running[1]]).then(() => undefined, (error) => error);
  }

  /** Starts the program of somebody who wants to talk to `peerName`. */
  static async start(
    name: string,
    peerName: string,
    server: { readonly port: number },
    options: TalkerOptions,
  ): Promise<Talker> {
    const { suite = "modern", knownBy } = options;
    const statuses: Status[] = [];
    const { program, network, asked } = programOf(name, server, {
      ...options,
      who: await person(suite, name),
      others: knownBy ? [await person(knownBy, name)] : [],
    });
    const checkPeer = options.checkPeer ?? (() => Promise.resolve(() => Promise.resolve()));
    const somebody = new Person({
      ...program,
      store: options.store ?? new MemoryMessages(),
      checkPeer: (_name, peer) => checkPeer(peer),
      lobby: "absent",
      onStatus: (status) => void statuses.push(status),
      onLobby: () => {},
    });
    const thread = await somebody.openThread(peerName, options.kind ?? LogKind.kept);
    const surroundings = { time: options.time, network, statuses, asked };
    return new Talker(name, peerName, surroundings, somebody, thread);
  }

  /** How often the server was asked for. */
  get asked(): number {
    return this.#asked();
  }

  /** The statuses so far by their names. */
  get news(): string[] {
    return this.statuses.map(({ type }) => type);
  }

  /** The statuses of one type so far. */
  all<T extends Status["type"]>(type: T): Extract<Status, { readonly type: T }>[] {
    return this.statuses.filter((status): status is Extract<Status, { readonly type: T }> =>
      status.type === type
    );
  }

  /** Lets time pass until there were so many statuses of this type; gives the last of them. */
  async told<T extends Status["type"]>(
    type: T,
    count = 1,
    step?: number,
  ): Promise<Extract<Status, { readonly type: T }>> {
    const what = `${count} of ${type} for ${this.name}`;
    await this.time.until(() => this.all(type).length >= count, what, step);
    return this.all(type)[count - 1]!;
  }

  /** Lets time pass until these texts were heard, and no others. */
  async hears(...texts: readonly string[]): Promise<void> {
    const what = () => `${this.name} hears ${texts} and not ${this.ear.words}`;
    await this.time.until(() => this.ear.words.length >= texts.length, what());
    const words = this.ear.words;
    if (words.join("\n") !== texts.join("\n")) throw new Error(what());
  }

  say(text: string): Promise<bigint> {
    return this.thread.sendText(text);
  }

  /** Ends the program in order; returns why the conversation had ended, if that was not the reason. */
  async leave(code?: CloseCode): Promise<unknown> {
    await this.time.during(this.conversation.leave(code), `${this.name} leaves`);
    const error = await this.time.during(this.ended, `the conversation of ${this.name} ends`);
    // As the program does when it did not leave by itself.
    await this.time.during(this.thread.leave(code), `${this.name} leaves the other one`);
    this.person.leave();
    await this.time.during(this.ear.ended, `${this.name} has heard everything`);
    return error;
  }

  /** The program dies: nobody hears of it but by the loss of its connections. */
  async die(): Promise<void> {
    this.network.cut();
    this.network.refuses = () => true;
    await this.leave();
  }
}

/**
 * Runs a scene with a server and the people it starts, and ends all of them. `changes` are how the server differs
 * from the usual, which may be that it lives in the time of the scene.
 */
export async function talk(
  scene: (stage: Stage) => Promise<void>,
  suites?: readonly SuiteName[],
  changes?: (time: ManualTime) => Partial<ServerBehaviour>,
): Promise<void> {
  const time = new ManualTime(pause);
  const server = await ServerHouse.open(suites, changes?.(time));
  const stage = new Stage(server, time);
  try {
    await scene(stage);
  } finally {
    await stage.end();
  }
}

/** Where a scene is played. */
export class Stage {
  readonly server: ServerHouse;
  readonly time: ManualTime;
  readonly #talkers: Talker[] = [];

  constructor(server: ServerHouse, time: ManualTime) {
    this.server = server;
    this.time = time;
  }

  async start(
    name: string,
    peerName: string,
    options: Omit<TalkerOptions, "time"> = {},
  ): Promise<Talker> {
    const talker = await Talker.start(name, peerName, this.server, { ...options, time: this.time });
    this.#talkers.push(talker);
    return talker;
  }

  /** Alice and Bob, connected. */
  async pair(options: Omit<TalkerOptions, "time"> = {}): Promise<readonly [Talker, Talker]> {
    const alice = await this.start("alice", "bob", options);
    const bob = await this.start("bob", "alice", options);
    await alice.told("connected");
    await bob.told("connected");
    return [alice, bob];
  }

  /** Lets time pass until nobody is at the server. */
  async leftServer(): Promise<void> {
    await this.time.until(() => this.server.connections === 0, "all have left the server");
  }

  async end(): Promise<void> {
    for (const talker of this.#talkers) await talker.leave();
    await this.server.stop();
    for (const { network, name } of this.#talkers) {
      const what = `${name} has closed everything`;
      await this.time.until(() => network.open === 0 && network.listening === 0, what);
    }
    if (this.time.pending > 0) throw new Error(`${this.time.pending} alarms are left`);
    const bugs = this.server.log.all("bug");
    if (bugs.length > 0) throw new Error(JSON.stringify(bugs));
  }
}

/** Throws unless `error` is a CifraError; gives its code. */
export function codeOf(error: unknown): string {
  if (error instanceof CifraError) return error.code;
  throw error ?? new Error("No error");
}
