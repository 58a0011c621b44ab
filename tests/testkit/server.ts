/** A real server on this machine, inside the test's own process, and honest clients for it. */
import { assertEquals } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import { NOWHERE, type Place } from "../../lib/wire/name_claim.ts";
import { claimName } from "../../lib/client/name_claim.ts";
import type { Identity } from "../../lib/crypto/identity.ts";
import { startInitiator } from "../../lib/handshake/initiator.ts";
import { dial } from "../../lib/net/dial.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import type { ServerEvent } from "../../lib/server/events.ts";
import type { Server, ServerSetup } from "../../lib/server/server.ts";
import { Channel } from "../../lib/channel/channel.ts";
import { runHandshake } from "../../lib/channel/run_handshake.ts";
import { Connection } from "../../lib/channel/connection.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { FrameKind } from "../../lib/wire/frame.ts";
import { encodeInvitePreface, encodeTicketPreface } from "../../lib/wire/handshake_messages.ts";
import { encode } from "../../lib/wire/layout.ts";
import { peerMessage } from "../../lib/wire/peer_messages.ts";
import { CloseCode, type Item, ItemType } from "../../lib/wire/records.ts";
import {
  decodeServerResponse,
  encodeServerRequest,
  type Registration,
  type ServerRequest,
  type ServerResponse,
  type VouchedClaim,
} from "../../lib/wire/rendezvous_messages.ts";
import { anyResponder } from "./adversary.ts";
import { cryptoIdle } from "./turn.ts";
import type { ManualTime } from "./clock.ts";
import type { Person } from "./handshake.ts";
import { serverIn } from "./server_setup.ts";
import { until } from "./until.ts";

/** Runs `job` with a private folder of its own, in `dir` or where the system has such folders. */
export async function withFolder<T>(
  job: (path: string) => Promise<T>,
  dir?: string,
): Promise<T> {
  const path = await Deno.makeTempDir({ prefix: "cifra-test-", ...dir ? { dir } : {} });
  try {
    await Deno.chmod(path, 0o700);
    return await job(path);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

/** The options that a test may change. */
export interface TestServerOptions extends Partial<Omit<ServerSetup, "folder" | "onEvent">> {
  /** The server's time, in the hand of the test. */
  readonly time?: ManualTime;
}

/** All that a server told. */
export class ServerEvents {
  readonly events: readonly ServerEvent[];

  constructor(events: readonly ServerEvent[]) {
    this.events = events;
  }

  /** The events of one type so far. */
  all<E extends ServerEvent["event"]>(event: E): Extract<ServerEvent, { event: E }>[] {
    return this.events.filter((told): told is Extract<ServerEvent, { event: E }> =>
      told.event === event
    );
  }

  /** Resolves when `count` events of this type have been told. */
  async told(event: ServerEvent["event"], count = 1): Promise<void> {
    await until(() => this.all(event).length >= count, `${count} of ${event}`).catch((cause) => {
      throw new Error(`The server told only ${JSON.stringify(this.events)}`, { cause });
    });
  }
}

/** A server, its port, and everything it told. */
export class TestServer extends ServerEvents {
  readonly server: Server;
  /** What the clock of the server shows. */
  readonly date: () => number;

  constructor(server: Server, events: readonly ServerEvent[], date: () => number = Date.now) {
    super(events);
    this.server = server;
    this.date = date;
  }

  get port(): number {
    return this.server.endpoints[0]!.port;
  }
}

/** Runs `scene` against a server of its own, which must not have had a bug when it ends. */
export async function withServer(
  scene: (server: TestServer) => Promise<void>,
  options: TestServerOptions = {},
): Promise<void> {
  const { time, ...changes } = options;
  const environment = time ? { ...systemEnvironment, time } : systemEnvironment;
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    const events: ServerEvent[] = [];
    const onEvent = (event: ServerEvent) => void events.push(event);
    const server = await serverIn(folder, { environment, ...changes, onEvent });
    const test = new TestServer(server, events, (changes.environment ?? environment).time.date);
    try {
      await scene(test);
    } finally {
      // After a scene that failed there are clients, for which the server waits in its own time.
      await (time ? time.during(server.stop(), "the server stops") : server.stop());
      await cryptoIdle();
    }
    assertEquals(test.all("bug"), []);
  });
}

/** A registration before its owner has signed it; one that has a claim keeps it. */
export type Wish = Omit<Registration, "claim"> & { readonly claim?: VouchedClaim };

/** Statements are signed at this time, whatever a test's clock shows: they hold in 2030 as they do now. */
const SIGNED_AT = Date.UTC(2090, 0, 1);

let lastSequence = 0n;

/** A number for a registration, higher than those before. */
export function nextSequence(): bigint {
  return ++lastSequence;
}

/** Where those are who are nowhere in particular. */
export const PLACE: Place = { receivePort: 40_000, sendPort: 40_001, advertised: [] };

/** A registration that a server takes; each has a higher sequence number than those before. */
export function registrationOf(name: string, changes: Partial<Wish> = {}): Wish {
  return {
    name,
    ...PLACE,
    capabilities: 0,
    registrationSequence: nextSequence(),
    ...changes,
  };
}

/** The owner's word that a name is theirs; `others` vouch for it. */
export function claimOf(
  { identity }: { readonly identity: Identity },
  name: string,
  sequence: bigint,
  others: readonly { readonly identity: Identity }[] = [],
  place: Place = NOWHERE,
): Promise<VouchedClaim> {
  const ours = { identity, others: others.map(({ identity }) => identity) };
  return claimName(name, ours, sequence, SIGNED_AT, place);
}

/** For introductions that nobody checks. */
export const NOBODYS_WORD = { sequence: 1n, notAfter: 0n, signature: new Uint8Array(64) };

/** A registration with the claim of its owner. */
export async function signed(
  who: { readonly identity: Identity },
  wish: Wish,
): Promise<Registration> {
  const { name, registrationSequence, claim } = wish;
  return { ...wish, claim: claim ?? await claimOf(who, name, registrationSequence, [], wish) };
}

/** A client that keeps to the protocol. */
export class TestClient {
  readonly channel: Channel;
  readonly #who: Person;
  readonly #items: Item[] = [];
  #said = 0n;

  private constructor(channel: Channel, who: Person) {
    this.channel = channel;
    this.#who = who;
  }

  /** Connects and climbs; throws what ended the ladder. */
  static async connect(
    { port, date = Date.now }: { readonly port: number; readonly date?: () => number },
    who: Person,
    invite?: Bytes,
    ticket?: Parameters<typeof encodeTicketPreface>[0],
  ): Promise<TestClient> {
    const config = anyResponder(who, "client");
    // Before the dial: a busy machine may make an RSA key for longer than a server waits for a first byte.
    const start = await startInitiator(invite ? { ...config, mode: 3, psk: invite } : config);
    const connection = new Connection(await dial("127.0.0.1", port), () => performance.now());
    try {
      if (invite) {
        const preface = encodeInvitePreface(invite, date(), start.send[0]!.body);
        await connection.sendFrame(FrameKind.preface, preface);
      }
      if (ticket) {
        const preface = encodeTicketPreface(ticket, start.send[0]!.body);
        await connection.sendFrame(FrameKind.preface, preface);
      }
      const established = await runHandshake(connection, start);
      const channel = await Channel.open(connection, established, () => performance.now());
      return new TestClient(channel, who);
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /**
   * Connects, registers, and wants somebody, unless `wanted` is empty; resolves when the server has
   * answered `registered`.
   */
  static async registered(
    server: { readonly port: number },
    who: Person,
    name: string,
    wanted: string,
    changes: Partial<Wish> = {},
  ): Promise<TestClient> {
    const client = await TestClient.connect(server, who);
    const response = await client.register(registrationOf(name, changes));
    assertEquals(response.type, "registered");
    if (wanted !== "") client.want(wanted);
    return client;
  }

  /** m7 with the owner's claim, and what the server answers. */
  async register(wish: Wish): Promise<ServerResponse> {
    return await this.ask({ type: "register", ...await signed(this.#who, wish) });
  }

  /** Wants to be introduced to somebody. */
  want(name: string): void {
    this.send({ type: "want", name });
  }

  /** Asks the server for something. */
  send(request: ServerRequest): void {
    this.channel.send(ItemType.request, encodeServerRequest(request));
  }

  /** A request, and what the server says next. */
  async ask(request: ServerRequest): Promise<ServerResponse> {
    this.send(request);
    return await this.next();
  }

  /** The next response; throws at the end. */
  async next(): Promise<ServerResponse> {
    const item = await this.nextItem();
    assertEquals(item.type, ItemType.response);
    return decodeServerResponse(item.body);
  }

  /** The next item of any type; throws at the end. */
  async nextItem(): Promise<Item> {
    if (this.#items.length === 0) {
      const items = await this.channel.receive();
      if (!items) throw this.channel.failure ?? new Error("The server said goodbye");
      this.#items.push(...items);
    }
    return this.#items.shift()!;
  }

  /** Says something to the server; fails unless it is answered before anything else comes. */
  async assertAnswered(): Promise<void> {
    const end = { type: "end", number: ++this.#said, id: new Uint8Array(16) } as const;
    this.channel.send(ItemType.message, encode(peerMessage, end));
    assertEquals((await this.nextItem()).type, ItemType.ack);
    assertEquals((await this.nextItem()).type, ItemType.message);
  }

  /** How the channel ends when nothing else is said: the server's close code, or its failure's code. */
  async ending(): Promise<number | string> {
    assertEquals(this.#items, []);
    assertEquals(await this.channel.receive(), null);
    return this.channel.goodbye?.code ?? this.channel.failure!.code;
  }

  /** Leaves in order. */
  async leave(): Promise<void> {
    await this.channel.close(CloseCode.done);
    this.channel.destroy();
  }
}
