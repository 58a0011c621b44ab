/** The programs of a simulated world: a server, and people who talk, each as the real one is put together. */
import type { Bytes } from "../../lib/bytes.ts";
import type { Status } from "../../lib/client/conversation.ts";
import type { HomeStatus, RelayChoice } from "../../lib/client/home.ts";
import type { PeerEvent } from "../../lib/client/incoming.ts";
import type { MailTrouble } from "../../lib/client/mail_events.ts";
import { Messenger } from "../../lib/client/messenger.ts";
import { claimName, type Registrar } from "../../lib/client/name_claim.ts";
import type { Delivery, Thread } from "../../lib/client/thread.ts";
import { ServerLink } from "../../lib/client/server_link.ts";
import type { Identity } from "../../lib/crypto/identity.ts";
import { timingSafeEqual } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import { STRANGERS_TOTAL } from "../../lib/limits.ts";
import type { Environment } from "../../lib/net/environment.ts";
import { Limiter } from "../../lib/flow/limiter.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import { MemoryMessages, type MessagesSnapshot } from "../testkit/memory_messages.ts";
import { emptyMailboxDisk, type MailboxDisk } from "../testkit/memory_mailbox.ts";
import { MemoryServerStore } from "../testkit/memory_server.ts";
import { serverOf } from "../testkit/server_setup.ts";
import { LogKind, textOf } from "../../lib/wire/peer_messages.ts";
import { simulatedSuite } from "./crypto.ts";
import { LyingMailbox } from "./mailbox.ts";
import type { Internet } from "./network.ts";
import type { Oracle } from "./oracle.ts";
import { Process, type World } from "./world.ts";
import { lineOf } from "../../lib/wire/line.ts";

const SERVER_PORT = 7411;

/** What everybody in a world shares. */
export interface Scenery {
  readonly world: World;
  readonly internet: Internet;
  readonly oracle: Oracle;
}

function environmentOf({ world, internet }: Scenery, process: Process, host: string): Environment {
  return {
    time: process.time,
    network: internet.network(process, host),
    random: (length) => world.dice.bytes(length),
  };
}

/** The server. Whose a name is, and what waits in its mailbox, outlives its process; the rest dies with it. */
export class ServerHost {
  readonly host: string;
  readonly #scenery: Scenery;
  readonly #identity: Identity;
  /** What is on its disk. */
  readonly #store = new MemoryServerStore();
  #mail: MailboxDisk = emptyMailboxDisk();
  #mailCopy: MailboxDisk | undefined;
  /** Whether its mailbox drops, repeats and reorders what was left there. */
  lies = false;
  process: Process | undefined;

  constructor(scenery: Scenery, host: string, identity: Identity) {
    this.#scenery = scenery;
    this.host = host;
    this.#identity = identity;
  }

  get isUp(): boolean {
    return this.process?.alive === true;
  }

  /** A copy of the mailbox is made, which may be put back. */
  copyMail(): void {
    this.#mailCopy = structuredClone(this.#mail);
  }

  /** The next program finds an old copy of the mailbox, or none when there is no copy. */
  putMailBack(): void {
    this.#scenery.world.trace(
      this.#mailCopy ? "an old mailbox is put back" : "the mailbox is lost",
    );
    this.#mail = this.#mailCopy ? structuredClone(this.#mailCopy) : emptyMailboxDisk();
  }

  start(): void {
    const { world } = this.#scenery;
    world.trace("the server starts");
    const process = new Process(world, "server", 0);
    this.process = process;
    const suite = simulatedSuite(world.dice);
    const side = {
      suite,
      identity: this.#identity,
      ephemeralKey: () => suite.kem.generate(),
    };
    serverOf([side], {
      environment: environmentOf(this.#scenery, process, this.host),
      hosts: [this.host],
      port: SERVER_PORT,
      store: this.#store,
      mail: new LyingMailbox(
        { commit: (work) => commit(world, process, work), disk: this.#mail },
        world.dice,
        () => this.lies,
      ),
      displayName: lineOf("simulated"),
      limits: {
        connections: 100,
        connectionsPerKey: 0,
        connectionsPerSource: 0,
        strangers: STRANGERS_TOTAL,
        strangersPerSource: STRANGERS_TOTAL,
        handshakesPerMinute: 0,
        penalties: true,
        quotas: true,
        introductionsPerHour: 0,
        relayedPairs: 10,
        relayedPerKey: 0,
        relayedPerSource: 0,
        relayRatePerSource: 0,
        relayRate: 0,
      },
      gateWidth: 2,
      onEvent: (event) => {
        if (event.event !== "bug") return;
        if (process.alive) throw new Error(`a bug in the server: ${event.reason}`);
      },
    }, world.dice.bytes(32));
  }
}

/** Who somebody is, and how they want to be connected. */
export interface TalkerOptions {
  readonly name: string;
  readonly host: string;
  readonly identity: Identity;
  readonly relay: RelayChoice;
  readonly keepHistory: boolean;
  readonly usesMailbox: boolean;
}

/** A copy of a profile, and what its owner had said by then. */
interface ProfileCopy {
  readonly disk: MessagesSnapshot;
  readonly said: ReadonlySet<string>;
}

/** Counts what comes by envelopes. */
class Messages extends MemoryMessages {
  mailed = 0;

  override async receiveSealed(
    ...opened: Parameters<MemoryMessages["receiveSealed"]>
  ): ReturnType<MemoryMessages["receiveSealed"]> {
    const news = await super.receiveSealed(...opened);
    this.mailed += news?.fresh.length ?? 0;
    return news;
  }
}

/** Somebody who talks to one other person, in as many runs of the program as it takes. */
export class Talker {
  readonly options: TalkerOptions;
  readonly #scenery: Scenery;
  readonly #server: ServerHost;
  readonly #serverIdentity: Identity;
  peer!: Talker;
  process: Process | undefined;
  /** Since when there is a channel, in the present run. */
  connectedSince: number | undefined;
  /** Ways in which they were connected. */
  readonly paths = new Set<string>();
  /** Milliseconds by which their clock is wrong, from the next run on. */
  clockSkew = 0;
  /** How many messages came by the mailbox. */
  mailed = 0;
  #messenger: Messenger | undefined;
  #store: Messages | undefined;
  #disk: MessagesSnapshot | undefined;
  #copy: ProfileCopy | undefined;
  #wasPutBack = false;
  #registration = 0n;
  #log: Bytes | undefined;
  /** A copy of the disk of a store that is closed, until the next run. */
  #closed: (() => MemoryMessages) | undefined;

  constructor(
    scenery: Scenery,
    options: TalkerOptions,
    server: ServerHost,
    serverIdentity: Identity,
  ) {
    this.#scenery = scenery;
    this.options = options;
    this.#server = server;
    this.#serverIdentity = serverIdentity;
  }

  get isUp(): boolean {
    return this.process?.alive === true;
  }

  /** How much of a log of ours is on this person's disk. */
  have(log: Bytes | undefined): bigint {
    return this.#reading?.incoming(this.#key, log)?.have ?? 0n;
  }

  /** What is on this person's disk and was not shown. */
  get waiting(): ReadonlySet<string> {
    const waiting = this.#reading?.unshown(this.#key, 0, Infinity) ?? [];
    return new Set(
      waiting.flatMap(({ message }) => message.type === "text" ? [textOf(message)] : []),
    );
  }

  /** What this person has written and does not know to be stored over there. */
  get outbox(): ReadonlySet<string> {
    const outbox = this.#reading?.read(this.#key, 0n, Infinity) ?? [];
    return new Set(outbox.map(textOf));
  }

  get #key() {
    return { peer: this.peer.options.name, suite: "modern" } as const;
  }

  /** What a closed store does not tell any more, a copy of its disk does. */
  get #reading(): MemoryMessages | undefined {
    return this.#closed?.() ?? this.#store;
  }

  /** A copy of the profile is made, which may be put back. */
  copyProfile(): void {
    if (!this.#store) return;
    const { world, oracle } = this.#scenery;
    world.trace(`${this.options.name} makes a copy`);
    this.#copy = { disk: this.#store.snapshot(), said: oracle.said(this.options.name) };
  }

  /** The next run of the program finds an old copy of the profile, if there is one. */
  putBack(): void {
    const { world, oracle } = this.#scenery;
    const { name, keepHistory } = this.options;
    if (!this.#copy) return;
    world.trace(`${name} goes back to a copy`);
    oracle.putBack(name, this.#copy.said, this.waiting);
    this.#closed = undefined;
    this.#store = new Messages({ keepHistory, snapshot: this.#copy.disk });
    this.#wasPutBack = true;
  }

  /** The program starts, with what is on the disk. */
  async start(): Promise<void> {
    const { world, oracle } = this.#scenery;
    const { name, host, identity, relay, keepHistory, usesMailbox } = this.options;
    const peerName = this.peer.options.name;
    this.#disk = this.#store?.snapshot();
    this.#closed = undefined;
    // Those of an earlier run are not this one's.
    this.#messenger = undefined;
    world.trace(`${name} starts`);
    const process = new Process(world, name, this.clockSkew);
    this.process = process;
    this.connectedSince = undefined;
    process.onDeath(() => this.connectedSince = undefined);
    oracle.runs(name, peerName);
    const environment = environmentOf(this.#scenery, process, host);
    const suite = simulatedSuite(world.dice);
    const store = new Messages({
      keepHistory,
      random: environment.random,
      snapshot: this.#disk,
      commit: (work) => commit(world, process, work),
    });
    this.#store = store;
    process.onDeath(() => this.mailed += store.mailed);
    const ticker = new Ticker(process.time);
    const ending = Promise.withResolvers<void>();
    const messenger = new Messenger({
      environment,
      ticker,
      name,
      suite,
      identity,
      ephemeralKey: () => suite.kem.generate(),
      store,
      openServer: (sendPort) =>
        ServerLink.open({
          environment,
          address: {
            host: this.#server.host,
            port: SERVER_PORT,
            fingerprint: undefined,
            inviteSecret: undefined,
          },
          suite,
          identity,
          ephemeralKey: () => suite.kem.generate(),
          ticker,
          sendPort,
          pinned: this.#serverIdentity,
        }),
      register: this.#registrar(process),
      contacts: {
        judge: () => Promise.resolve("known"),
        check: (_name, peer) => {
          const known = timingSafeEqual(peer.fingerprint, this.peer.options.identity.fingerprint);
          if (!known) throw new Error(`${name} was introduced to a stranger`);
          return Promise.resolve(() => Promise.resolve());
        },
        meet: () => {},
        knownAs: () => this.peer.options.identity.fingerprint,
      },
      usesMailbox,
      tellsRead: true,
      receivePort: 0,
      sendPort: undefined,
      advertised: [],
      relay,
      lobby: "absent",
      accept: "none",
      kind: LogKind.kept,
      showsAll: true,
      changesPause: 0,
      events: {
        onHome: (status) => process.does(() => this.#happened(status)),
        onStatus: (_dialogue, status) => process.does(() => this.#happened(status)),
        onOpen: ({ thread }) => {
          this.#log = thread.position().log;
          return this.#listen(thread, process);
        },
        onDelivery: ({ thread }) => process.does(() => this.#delivered(thread.delivery)),
        onEnd: (_dialogue, error) => error ? ending.reject(error) : ending.resolve(),
        onFailure: (_name, _what, error) => {
          // Whoever leaves opens nothing any more.
          if (this.#messenger === messenger) ending.reject(error);
        },
        onChanges: () => {},
        onAsking: () => {},
        onServerAnswers: () => {},
        onMail: (event) => process.does(() => world.trace(`${name} has mail: ${told(event)}`)),
        onTransfer: () => {},
        onUnread: () => {},
        isInUse: () => true,
      },
    });
    try {
      const staying = messenger.run();
      const failing = Promise.race([staying.then(() => new Promise(() => {})), messenger.failed]);
      await Promise.race([messenger.open(peerName), failing]);
      this.#messenger = messenger;
      await Promise.race([ending.promise, failing]);
    } catch (error) {
      // Before the first registration a server that is not there ends the program; somebody starts it again.
      if (!(error instanceof CifraError)) throw error;
      world.trace(`${name} gives up: ${error.code} ${error.message}`);
      process.kill();
    }
  }

  /** Registrations of one run of the program: one after the other, numbered over all runs. */
  #registrar({ time }: Process): Registrar {
    const { name, identity } = this.options;
    const registering = new Limiter(1);
    return (place, job) =>
      registering.run(async () => {
        const date = BigInt(time.date());
        const registrationSequence = date > this.#registration ? date : this.#registration + 1n;
        this.#registration = registrationSequence;
        const ours = { identity, others: [] };
        const claim = await claimName(name, ours, registrationSequence, time.date(), place);
        return await job({ registrationSequence, claim });
      });
  }

  /** Types a line, if the program runs. */
  async say(text: string): Promise<void> {
    const { oracle } = this.#scenery;
    const process = this.process, messenger = this.#messenger;
    if (!process?.alive || !messenger) return;
    const { name } = this.options, peer = this.peer.options.name;
    oracle.submitted(name, peer, text);
    try {
      await messenger.send(peer, text);
    } catch (error) {
      if (error instanceof CifraError) return;
      throw error;
    }
    process.does(() => oracle.accept(name, peer, text));
  }

  /** Says goodbye, after everything sent, and ends the program. */
  async leave(): Promise<void> {
    const process = this.process, store = this.#store;
    // Another run may begin before this one is over.
    const messenger = this.#messenger;
    if (!process?.alive || !messenger || !store) return;
    this.#scenery.world.trace(`${this.options.name} leaves`);
    // Nobody types any more.
    this.#messenger = undefined;
    await messenger.leave();
    messenger.stop();
    const copy = () => new MemoryMessages({ snapshot: store.snapshot() });
    if (this.#store === store) this.#closed = copy;
    await store.close();
    if (this.#store === store) {
      const last = copy();
      this.#closed = () => last;
    }
    if (!process.alive) return;
    this.#scenery.oracle.ends(this.options.name, this.peer.options.name);
    process.kill();
  }

  async #listen(thread: Thread, process: Process): Promise<void> {
    for await (const event of thread.events()) {
      process.does(() => this.#show(event));
      if (process.alive) thread.taken(event);
    }
  }

  #show(event: PeerEvent): void {
    const { oracle, world } = this.#scenery;
    const from = this.peer.options.name, to = this.options.name;
    if (event.type === "gap") oracle.gap(from, to);
    if (event.type !== "text") return;
    world.trace(`${to} is shown ${event.text.slice(0, 12)}${event.recovered ? " again" : ""}`);
    oracle.show(from, to, event.text, event.recovered);
  }

  #delivered({ stored, read }: Delivery): void {
    if (stored === 0n) return;
    const { oracle } = this.#scenery;
    const from = this.options.name, to = this.peer.options.name;
    // An old copy begins a log anew, which is not the one that was there when it was opened, or has read less.
    if (!this.#wasPutBack && !this.peer.#wasPutBack) {
      oracle.stored(from, to, stored, this.peer.have(this.#log));
    }
    oracle.read(from, to, read);
    this.checkOutbox();
  }

  /** What is not in the outbox any more is at the other side. */
  checkOutbox(): void {
    const from = this.options.name, to = this.peer.options.name;
    this.#scenery.oracle.left(from, to, this.outbox, this.peer.waiting);
  }

  #happened(status: Status | HomeStatus): void {
    const { world } = this.#scenery;
    const { name } = this.options;
    switch (status.type) {
      case "connected":
      case "moved":
        if (status.type === "connected") this.connectedSince = world.now;
        this.paths.add(status.path.type);
        world.trace(`${name} ${status.type}: ${status.path.type}`);
        return;
      case "lost":
      case "left":
        this.connectedSince = undefined;
        world.trace(`${name} ${status.type}`);
        return;
      default:
        world.trace(`${name} ${status.type}`);
    }
  }
}

function told(event: MailTrouble): string {
  const why = "error" in event ? `, ${event.error.message}` : "";
  return `${event.type}${why}`;
}

/** A disk: takes its time, and may lose power before, or after, or between the doing and the telling. */
function commit(world: World, process: Process, work: () => void): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  world.after(world.dice.between(0.05, 3), () => {
    // A disk goes on while the lid closes.
    process.does(work);
    process.wake(resolve);
  });
  return promise;
}
