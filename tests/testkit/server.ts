/** A real server on this machine, inside the test's own process, and honest clients for it. */
import { assertEquals } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import { startInitiator } from "../../lib/handshake/initiator.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import { dial } from "../../lib/net/tcp.ts";
import type { ServerEvent } from "../../lib/server/events.ts";
import { Server, type ServerOptions } from "../../lib/server/server.ts";
import { Channel } from "../../lib/session/channel.ts";
import { climb } from "../../lib/session/climb.ts";
import { Connection } from "../../lib/session/connection.ts";
import { MemoryStore } from "../../lib/store/memory.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { FrameKind } from "../../lib/wire/frame.ts";
import { encodeInvitePreface } from "../../lib/wire/handshake_messages.ts";
import { CloseCode, type Item, ItemType } from "../../lib/wire/records.ts";
import {
  decodeServerResponse,
  encodeServerRequest,
  type Registration,
  type ServerResponse,
} from "../../lib/wire/rendezvous_messages.ts";
import { anyResponder, cryptoIdle } from "./adversary.ts";
import type { Person } from "./ladder.ts";

/** Longest wait for an event that must come. */
const PATIENCE = 10_000;

/** Runs `job` with a private folder of its own. */
export async function withFolder<T>(job: (path: string) => Promise<T>): Promise<T> {
  const path = await Deno.makeTempDir({ prefix: "cifra-test-" });
  try {
    await Deno.chmod(path, 0o700);
    return await job(path);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

/** The options that a test may change. */
export type TestServerOptions = Partial<Omit<ServerOptions, "folder" | "onEvent">>;

/** A server, its port, and everything it told. */
export class TestServer {
  readonly server: Server;
  readonly events: ServerEvent[];
  readonly #waiting: Set<() => void>;

  constructor(server: Server, events: ServerEvent[], waiting: Set<() => void>) {
    this.server = server;
    this.events = events;
    this.#waiting = waiting;
  }

  get port(): number {
    return this.server.endpoints[0]!.port;
  }

  /** The events of one type so far. */
  all<E extends ServerEvent["event"]>(event: E): Extract<ServerEvent, { event: E }>[] {
    return this.events.filter((told): told is Extract<ServerEvent, { event: E }> =>
      told.event === event
    );
  }

  /** Resolves when `count` events of this type have been told. */
  async told(event: ServerEvent["event"], count = 1): Promise<void> {
    await this.#until(() => this.all(event).length >= count, `${count} of ${event}`);
  }

  async #until(holds: () => boolean, what: string): Promise<void> {
    if (holds()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const check = () => holds() && resolve();
    const timer = setTimeout(
      () => reject(new Error(`Not told in time: ${what}; but ${JSON.stringify(this.events)}`)),
      PATIENCE,
    );
    this.#waiting.add(check);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(check);
    }
  }
}

/** Runs `scene` against a server of its own, which must not have had a bug when it ends. */
export async function withServer(
  scene: (server: TestServer) => Promise<void>,
  options: TestServerOptions = {},
): Promise<void> {
  await withFolder(async (path) => {
    const events: ServerEvent[] = [];
    const waiting = new Set<() => void>();
    const server = await Server.start({
      environment: systemEnvironment,
      hosts: ["127.0.0.1"],
      port: 0,
      folder: await PrivateFolder.open(path),
      store: new MemoryStore(),
      displayName: "test server",
      allowClassic: true,
      inviteOnly: false,
      limits: NO_RATE,
      gateWidth: 4,
      logAddresses: false,
      trace: false,
      onEvent: (event) => {
        events.push(event);
        for (const check of [...waiting]) check();
      },
      ...options,
    });
    const test = new TestServer(server, events, waiting);
    try {
      await scene(test);
    } finally {
      await server.stop();
      await cryptoIdle();
    }
    assertEquals(test.all("bug"), []);
  });
}

/** The limits of a server as it is shipped, but without a rate for each source. */
export const NO_RATE = {
  connections: 1024,
  strangers: 64,
  strangersPerSource: 8,
  handshakesPerMinute: 0,
  relayedPairs: 16,
  relayRate: 0,
};

let lastSequence = 0n;

/** A registration that a server takes; each has a higher sequence number than those before. */
export function registrationOf(
  name: string,
  wanted: string,
  changes: Partial<Registration> = {},
): Registration {
  lastSequence++;
  return {
    name,
    wanted,
    receivePort: 40_000,
    sendPort: 40_001,
    capabilities: 0,
    registrationSequence: lastSequence,
    advertised: [],
    ...changes,
  };
}

/** A client that keeps to the protocol. */
export class TestClient {
  readonly channel: Channel;
  readonly #items: Item[] = [];

  private constructor(channel: Channel) {
    this.channel = channel;
  }

  /** Connects and climbs; throws what ended the ladder. */
  static async connect(
    { port }: { readonly port: number },
    who: Person,
    invite?: Bytes,
  ): Promise<TestClient> {
    const connection = new Connection(await dial("127.0.0.1", port), () => performance.now());
    try {
      if (invite) await connection.sendFrame(FrameKind.preface, await encodeInvitePreface(invite));
      const config = anyResponder(who, "client");
      const start = await startInitiator(invite ? { ...config, mode: 3, psk: invite } : config);
      const established = await climb(connection, start);
      return new TestClient(await Channel.open(connection, established, () => performance.now()));
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** Connects and registers; resolves when the server has answered `registered`. */
  static async registered(
    server: { readonly port: number },
    who: Person,
    name: string,
    wanted: string,
    changes: Partial<Registration> = {},
  ): Promise<TestClient> {
    const client = await TestClient.connect(server, who);
    const response = await client.register(registrationOf(name, wanted, changes));
    assertEquals(response.type, "registered");
    return client;
  }

  /** m7, and what the server answers. */
  async register(registration: Registration): Promise<ServerResponse> {
    this.channel.send(
      ItemType.request,
      encodeServerRequest({ type: "register", ...registration }),
    );
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
