/** A server's mailbox and people with mail, in one process and without sockets: each word in the hand of the test. */
import { decodeUtf8, encodeUtf8 } from "../../lib/bytes.ts";
import { encodeHex } from "@std/encoding/hex";
import { MailboxLane } from "../../lib/client/mailbox_lane.ts";
import type { Apart, MailEvent } from "../../lib/client/mail_events.ts";
import { Postman } from "../../lib/client/postman.ts";
import type { Identity } from "../../lib/crypto/identity.ts";
import { systemRandom, timingSafeEqual } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import { Mailbox } from "../../lib/services/mailbox.ts";
import type { MailboxStore } from "../../lib/store/mailbox_store.ts";
import type { ConversationKey, MessageStore } from "../../lib/store/message_store.ts";
import type { MailboxRequest, MailboxResponse } from "../../lib/wire/mailbox_messages.ts";
import { keyOf as nameKeyOf } from "../store/server_samples.ts";
import { ManualTime } from "./clock.ts";
import { person } from "./handshake.ts";
import { emptyMailboxDisk, type MailboxDisk, MemoryMailbox } from "./memory_mailbox.ts";
import { MemoryMessages } from "./memory_messages.ts";
import { MemoryServerStore } from "./memory_server.ts";
import { cryptoIdle, turn } from "./turn.ts";

/** What the server says instead of something; by default that alone. */
export type Alter = (response: MailboxResponse, to: Anybody) => readonly MailboxResponse[];

/** Somebody with mail, wherever they keep it. */
export type Anybody = Correspondent<MessageStore>;

/** The turns in which nothing happens after which nothing more will. */
const CALM = 6;

/** One connection of somebody's. */
interface Connection {
  readonly who: Anybody;
  readonly lane: MailboxLane;
  isOver: boolean;
}

/** How a server differs from the usual. */
export interface PostRoomOptions {
  readonly quotas?: boolean;
  readonly budget?: number;
  /** Where the mailbox is kept; in memory by default. */
  readonly store?: MailboxStore;
  /** Of whoever shares it with the store. */
  readonly time?: ManualTime;
}

/** A server with a mailbox, and the time. */
export class PostRoom {
  readonly time: ManualTime;
  readonly names = new MemoryServerStore();
  readonly #options: PostRoomOptions;
  store: MailboxStore;
  mailbox: Mailbox<Connection>;
  /** How far the server's clock is ahead. */
  ahead = 0;
  /** The fingerprint of the server's key. */
  readonly fingerprint = new Uint8Array(32).fill(9);
  alter: Alter = (response) => [response];
  /** Whether the server hears this; what it does not hear is lost. */
  hears: (request: MailboxRequest, from: Anybody) => boolean = () => true;
  /** What is asked of the mailbox now, one after the other. */
  asked: MailboxRequest["type"] | undefined;
  /** Of a store in memory: see `copy`. */
  #disk = emptyMailboxDisk();
  #happened = 0;
  #last = Promise.resolve();

  constructor(options: PostRoomOptions = {}) {
    this.#options = options;
    this.time = options.time ?? new ManualTime();
    this.store = options.store ?? this.#emptyStore();
    this.mailbox = this.#begin();
  }

  #emptyStore(): MemoryMailbox {
    return this.#storeOn(emptyMailboxDisk());
  }

  #storeOn(disk: MailboxDisk): MemoryMailbox {
    const { budget = Infinity } = this.#options;
    this.#disk = disk;
    return new MemoryMailbox({ budget, disk });
  }

  #begin(): Mailbox<Connection> {
    const { quotas = false } = this.#options;
    return new Mailbox({ store: this.store, names: this.names, quotas });
  }

  /** The server's mailbox is gone, with all that was in it; nobody is connected. */
  lose(): void {
    this.restart(this.#emptyStore());
  }

  /** The server begins again with what is in this store; nobody is connected. */
  restart(store: MailboxStore): void {
    this.store = store;
    this.mailbox = this.#begin();
  }

  /** Milliseconds since 1970, by the server's clock. */
  get date(): number {
    return this.time.date() + this.ahead;
  }

  /** A copy of the server's mailbox is made; the returned function puts it back, while nobody is connected. */
  copy(): () => void {
    const copy = structuredClone(this.#disk);
    return () => this.restart(this.#storeOn(copy));
  }

  /** What the server's mailbox is called in a profile. */
  get server(): string {
    return encodeHex(this.fingerprint);
  }

  /** Somebody with a profile of their own. */
  async somebody(name: string, options: CorrespondentOptions = {}): Promise<Correspondent> {
    return await this.keeper(name, options.store ?? new MemoryMessages(), options);
  }

  /** The same, with messages that are kept in this store. */
  async keeper<Store extends MessageStore>(
    name: string,
    store: Store,
    options: CorrespondentOptions = {},
  ): Promise<Correspondent<Store>> {
    const { identity } = await person("modern", options.as ?? name);
    const key = { fingerprint: encodeHex(identity.fingerprint), bundle: identity.bundle };
    this.names.putKey(nameKeyOf(name, key));
    return new Correspondent(this, name, identity, store, options);
  }

  /** Two who know each other. */
  async pair(
    alices: CorrespondentOptions = {},
    bobs: CorrespondentOptions = {},
  ): Promise<readonly [Correspondent, Correspondent]> {
    const alice = await this.somebody("alice", alices), bob = await this.somebody("bob", bobs);
    alice.knows(bob);
    bob.knows(alice);
    return [alice, bob];
  }

  connect(who: Anybody): Connection {
    const connection: Connection = {
      who,
      isOver: false,
      lane: new MailboxLane((request) => {
        this.#happened++;
        who.asked.push(request);
        if (!this.hears(request, who)) return;
        this.#last = this.#last.then(() => this.#obey(connection, request)).catch((error) => {
          // Nobody is told of what a server that was killed cannot do any more.
          if (!connection.isOver) throw error;
        });
      }),
    };
    return connection;
  }

  disconnect(connection: Connection): void {
    connection.isOver = true;
    connection.lane.end();
    this.mailbox.leave(connection);
  }

  /** Says something to somebody, whatever the mailbox has. */
  say({ lane, who, isOver }: Connection, response: MailboxResponse): void {
    if (isOver) return;
    for (const each of this.alter(response, who)) {
      this.#happened++;
      who.heard.push(each);
      try {
        lane.take(each);
      } catch (error) {
        who.failure ??= error as Error;
        lane.end();
      }
    }
  }

  async #obey(connection: Connection, request: MailboxRequest): Promise<void> {
    if (connection.isOver) return;
    this.asked = request.type;
    const { who: { name, identity } } = connection, now = this.date;
    const fingerprint = encodeHex(identity.fingerprint), asker = { name, fingerprint };
    const { mailbox } = this;
    switch (request.type) {
      case "open": {
        const check = () => Promise.resolve();
        const { sequence } = connection.who;
        const box = await mailbox.open(connection, fingerprint, request, sequence, check, now);
        this.say(connection, box);
        break;
      }
      case "publish":
        this.say(connection, await mailbox.publish(fingerprint, request, now));
        break;
      case "ask":
      case "deposit": {
        const { answer, wake } = request.type === "ask"
          ? await mailbox.ask(asker, request, now)
          : await mailbox.deposit(asker, request, now);
        this.say(connection, answer);
        if (wake) this.#hand(wake);
        break;
      }
      case "settle":
        await mailbox.settle(connection, request);
        break;
      case "mine":
        for (const part of mailbox.mine(fingerprint)) this.say(connection, part);
        break;
      case "withdraw":
        await mailbox.withdraw(fingerprint, request);
        break;
    }
    this.#hand(connection);
  }

  #hand(connection: Connection): void {
    for (let next; (next = this.mailbox.next(connection, this.date));) {
      this.say(connection, next);
    }
  }

  /** Resolves when nobody has anything to do before more time passes. */
  async calm(): Promise<void> {
    let quiet = 0;
    for (let before = -1; quiet < CALM; quiet = before === this.#happened ? quiet + 1 : 0) {
      before = this.#happened;
      await cryptoIdle();
      await this.#last;
      await turn();
    }
  }

  /** Lets time pass, a moment at a time, and everybody do in it what is to be done. */
  async pass(milliseconds: number, step = 1000): Promise<void> {
    for (let passed = 0; passed < milliseconds; passed += step) {
      await this.calm();
      this.time.advance(Math.min(step, milliseconds - passed));
    }
    await this.calm();
  }
}

/** How somebody differs from the usual. */
export interface CorrespondentOptions {
  readonly store?: MemoryMessages;
  readonly tellsRead?: boolean;
  readonly apart?: Apart;
  /** Whose key they have. */
  readonly as?: string;
}

/** Somebody with mail. */
export class Correspondent<Store extends MessageStore = MemoryMessages> {
  readonly name: string;
  readonly identity: Identity;
  readonly room: PostRoom;
  store: Store;
  postman: Postman;
  /** How far the clock of this machine is ahead. */
  ahead = 0;
  /** What the server was asked, and what it said, over all connections. */
  readonly asked: MailboxRequest[] = [];
  readonly heard: MailboxResponse[] = [];
  readonly events: MailEvent[] = [];
  onEvent: (event: MailEvent) => void = () => {};
  /** Whom they know, by which key. */
  readonly pins = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly welcome = new Set<string>();
  readonly refused = new Set<string>();
  /** Those with whom a channel is open. */
  readonly channels = new Set<string>();
  readonly sealed: [string, bigint][] = [];
  /** Why no judgement can be made. */
  blind: CifraError | undefined;
  /** What is waited for where the disk is full. */
  hasRoom: Promise<void> = Promise.resolve();
  /** What ended the work over the last connection. */
  failure: Error | undefined;
  readonly #options: CorrespondentOptions;
  #connection: Connection | undefined;
  #working: Promise<void> = Promise.resolve();
  /** Of the last registration. */
  sequence = 0n;

  constructor(
    room: PostRoom,
    name: string,
    identity: Identity,
    store: Store,
    options: CorrespondentOptions,
  ) {
    this.room = room;
    this.name = name;
    this.identity = identity;
    this.#options = options;
    this.store = store;
    this.postman = this.#newPostman();
  }

  #newPostman(): Postman {
    const { room: { time: { now, after } }, store, identity, name } = this;
    return new Postman({
      environment: { time: { now, after, date: () => this.date }, random: systemRandom },
      store,
      suite: "modern",
      identity,
      ourName: name,
      contacts: {
        judge: (name, peer) => {
          if (this.blind) return Promise.reject(this.blind);
          const known = this.pins.get(name);
          if (!peer || !known) return Promise.resolve("stranger");
          return Promise.resolve(timingSafeEqual(known, peer.fingerprint) ? "known" : "changed");
        },
        check: (name, peer) => {
          const known = this.pins.get(name);
          if (known && !timingSafeEqual(known, peer.fingerprint)) {
            return Promise.reject(new CifraError("identity_changed", `${name} has another key`));
          }
          return Promise.resolve(() => {
            this.pins.set(name, peer.fingerprint.slice());
            return Promise.resolve();
          });
        },
        knownAs: (name) => this.pins.get(name),
      },
      tellsRead: this.#options.tellsRead ?? true,
      isWelcome: (name) => this.welcome.has(name),
      isRefused: (name) => this.refused.has(name),
      isApart: (name) => !this.channels.has(name),
      apart: this.#options.apart ??
        (async (name, work) => this.channels.has(name) ? undefined : { done: await work() }),
      onSealed: (name, number) => void this.sealed.push([name, number]),
      onEvent: (event) => {
        this.events.push(event);
        this.onEvent(event);
      },
    });
  }

  /** Milliseconds since 1970, by the clock of this machine. */
  get date(): number {
    return this.room.time.date() + this.ahead;
  }

  /** The connection that there is. */
  get connection(): Connection {
    return this.#connection!;
  }

  knows({ name, identity }: Anybody): void {
    this.pins.set(name, identity.fingerprint.slice());
  }

  /** Comes to the server. */
  come(): Promise<void> {
    this.failure = undefined;
    const connection = this.#connection = this.room.connect(this);
    // As a registration of this moment has it, and higher than all before.
    const now = BigInt(this.date);
    this.sequence = now > this.sequence ? now : this.sequence + 1n;
    const link = { identity: { ...this.identity, fingerprint: this.room.fingerprint } };
    this.#working = this.#work(connection, { ...link, mailbox: connection.lane });
    return this.room.calm();
  }

  /** As a program does: a disk that is full is waited for. */
  async #work(
    connection: Connection,
    link: Parameters<Postman["work"]>[0],
  ): Promise<void> {
    while (!connection.isOver) {
      try {
        return await this.postman.work(link, this.sequence);
      } catch (error) {
        const isFull = error instanceof CifraError && error.code === "local";
        if (isFull && !connection.isOver) await this.hasRoom;
        else {
          this.failure ??= error as Error;
          this.room.disconnect(connection);
        }
      }
    }
  }

  /** The connection goes without a word. */
  async cut(): Promise<void> {
    this.room.disconnect(this.connection);
    await this.#working;
  }

  /** Leaves in order, and comes with another program next time. */
  async leave(): Promise<void> {
    const left = this.postman.leave();
    await this.room.calm();
    // As long as a program waits for the server's answers.
    await this.room.time.during(left, `${this.name} leaves`);
    if (this.#connection) await this.cut();
    this.postman = this.#newPostman();
  }

  /** Is killed, and comes back with what is on disk, or with an earlier copy of it. */
  async dies(this: Correspondent, snapshot = this.store.snapshot()): Promise<void> {
    this.stops();
    await this.room.calm();
    this.comesBack(new MemoryMessages({ snapshot }));
  }

  /** Is killed: of what was under way nothing is waited for. */
  stops(): void {
    if (this.#connection) this.room.disconnect(this.#connection);
    this.#connection = undefined;
    this.postman.leave();
  }

  /** Another program, with what a store has. */
  comesBack(store: Store): void {
    this.store = store;
    this.postman = this.#newPostman();
  }

  /** Comes for a while, and goes. */
  async visits(milliseconds = 8000): Promise<void> {
    await this.come();
    await this.room.pass(milliseconds);
    await this.leave();
  }

  /** Writes to somebody; the postman hears of it. */
  async says(to: { readonly name: string }, ...texts: readonly string[]): Promise<void> {
    const messages = texts.map((text) => ({
      type: "text" as const,
      id: systemRandom(16),
      written: this.date,
      content: encodeUtf8(text),
    }));
    await this.store.append(keyOf(to.name), messages);
    this.postman.touch(to.name);
  }

  /** Leaves each of these texts in an envelope of its own. */
  async leavesEach(to: { readonly name: string }, ...texts: readonly string[]): Promise<void> {
    for (const text of texts) {
      await this.says(to, text);
      await this.room.pass(4000);
    }
  }

  /** A channel with somebody is there. */
  meets({ name }: { readonly name: string }): void {
    this.channels.add(name);
  }

  /** It has ended. */
  parts({ name }: { readonly name: string }): void {
    this.channels.delete(name);
    this.postman.parted(name);
  }

  /** What came from somebody and was not shown, in order. */
  unread(from: { readonly name: string }): string[] {
    return this.store.unshown(keyOf(from.name), 0, 5000).map(({ message }) =>
      message.type === "text" ? decodeUtf8(message.content) : message.type
    );
  }

  /** Shows all of it, and has that on disk. */
  async shows(from: { readonly name: string }): Promise<string[]> {
    const words = this.reads(from);
    await this.store.outgoing(keyOf(from.name));
    return words;
  }

  /** Shows all of it. */
  reads(from: { readonly name: string }): string[] {
    const key = keyOf(from.name), words = this.unread(from);
    for (const { log, message } of this.store.unshown(key, 0, 5000)) {
      this.store.markRead(key, log, message.type === "gap" ? message.to : message.number);
    }
    this.postman.hasRead(from.name);
    return words;
  }

  /** How far our log to somebody is. */
  async standing(to: { readonly name: string }) {
    const { stored, read, last } = await this.store.outgoing(keyOf(to.name));
    return { stored: Number(stored), read: Number(read), last: Number(last) };
  }

  /** How often the server was asked this. */
  count(type: MailboxRequest["type"]): number {
    return this.requests(type).length;
  }

  requests<T extends MailboxRequest["type"]>(
    type: T,
  ): Extract<MailboxRequest, { readonly type: T }>[] {
    return this.asked.filter((each): each is Extract<MailboxRequest, { readonly type: T }> =>
      each.type === type
    );
  }

  /** The events of a kind so far, by the names that they are about. */
  told(type: MailEvent["type"]): string[] {
    return this.events.filter((event) => event.type === type)
      .map((event) => "name" in event ? event.name : "");
  }
}

export function keyOf(peer: string): ConversationKey {
  return { peer, suite: "modern" };
}
