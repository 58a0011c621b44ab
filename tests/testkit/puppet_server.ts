/** A server at a real port that climbs the ladder with whoever comes, and then says what the test wants. */
import type { Bytes } from "../../lib/bytes.ts";
import type { Identity, PublicIdentity } from "../../lib/crypto/identity.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { startResponder } from "../../lib/handshake/responder.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import type { TcpTransport } from "../../lib/net/transports.ts";
import { Channel } from "../../lib/channel/channel.ts";
import { runHandshake } from "../../lib/channel/run_handshake.ts";
import { Connection } from "../../lib/channel/connection.ts";
import { FrameKind } from "../../lib/wire/frame.ts";
import { encode } from "../../lib/wire/layout.ts";
import { CloseCode, type Item, ItemType } from "../../lib/wire/records.ts";
import { type RelayItem, relayItem } from "../../lib/wire/relay_messages.ts";
import {
  decodeServerRequest,
  encodeServerResponse,
  type Introduction,
  type Registration,
  type ServerRequest,
  type ServerResponse,
} from "../../lib/wire/rendezvous_messages.ts";
import { anyResponder } from "./adversary.ts";
import { ephemeralKeys, type Person, person } from "./handshake.ts";
import { NOBODYS_WORD } from "./server.ts";
import { lineOf } from "../../lib/wire/line.ts";

/** What `registered` says when nobody asks. */
export const REGISTERED = {
  type: "registered",
  observed: { host: "127.0.0.1", port: 5000 },
  frameLimit: 65_536,
  silenceDeadline: 60,
  ticket: new Uint8Array(68),
  ticketKey: new Uint8Array(32),
} as const satisfies ServerResponse;

/** An introduction of this generation, to somebody called bob. */
export function introductionOf(generation: number, bob: PublicIdentity, relay = 1): Introduction {
  return {
    peerName: "bob",
    rendezvousKey: systemRandom(32),
    generation,
    bundle: bob.bundle,
    claim: NOBODYS_WORD,
    receivePort: 4000,
    sendPort: 4001,
    advertised: [],
    observed: ["127.0.0.1"],
    punch: [],
    relay,
  };
}

/** The server's end of one connection. */
export class PuppetChannel {
  readonly channel: Channel;
  readonly transport: TcpTransport;
  readonly #items: Item[] = [];

  constructor(channel: Channel, transport: TcpTransport) {
    this.channel = channel;
    this.transport = transport;
  }

  respond(...responses: readonly ServerResponse[]): void {
    for (const response of responses) {
      this.channel.send(ItemType.response, encodeServerResponse(response));
    }
  }

  /** A response as no encoder makes it. */
  respondRaw(body: Bytes): void {
    this.channel.send(ItemType.response, body);
  }

  relay(item: RelayItem): void {
    this.channel.send(ItemType.relay, encode(relayItem, item));
  }

  /** The next item; undefined when the channel is over. */
  async next(): Promise<Item | undefined> {
    if (this.#items.length === 0) this.#items.push(...await this.channel.receive() ?? []);
    return this.#items.shift();
  }

  /** The next item, a request; undefined when the channel is over. */
  async request(): Promise<ServerRequest | undefined> {
    const item = await this.next();
    if (!item) return undefined;
    if (item.type !== ItemType.request) throw new Error(`Not a request: ${item.type}`);
    return decodeServerRequest(item.body);
  }

  /** Waits for a registration and says yes; resolves to the registration. */
  async register(): Promise<Registration> {
    const request = await this.request();
    if (request?.type !== "register") throw new Error("Not a registration");
    this.respond(REGISTERED);
    return request;
  }

  /** Answers the goodbye of whoever leaves; resolves to how the channel ended. */
  async letGo(): Promise<"goodbye" | string> {
    const how = await this.end();
    await this.channel.close(CloseCode.done);
    return how;
  }

  /** Everything until the channel is over; resolves to how it ended. */
  async end(): Promise<"goodbye" | string> {
    while (await this.next());
    return this.channel.goodbye ? "goodbye" : this.channel.failure!.code;
  }
}

/** One that takes connections, one after the other. */
export class PuppetServer implements AsyncDisposable {
  readonly who: Person;
  /** The fingerprints of those who have shown who they are, whether they came in afterwards or not. */
  readonly seen: Bytes[] = [];
  /** The last of them. */
  visitor: PublicIdentity | undefined;
  readonly #listener = systemEnvironment.network.listen(["127.0.0.1"], 0);
  readonly #arrived: TcpTransport[] = [];
  readonly #channels: Channel[] = [];
  readonly #connections: TcpTransport[] = [];
  #change = Promise.withResolvers<void>();

  private constructor(who: Person) {
    this.who = who;
    this.#listener.acceptAll((transport) => {
      this.#connections.push(transport);
      this.#arrived.push(transport);
      this.#change.resolve();
      this.#change = Promise.withResolvers();
    });
  }

  static async open(name = "server"): Promise<PuppetServer> {
    return new PuppetServer(await person("modern", name));
  }

  get identity(): Identity {
    return this.who.identity;
  }

  get port(): number {
    return this.#listener.port;
  }

  /** The next connection, before a byte has been read from it. */
  async arrival(): Promise<TcpTransport> {
    while (this.#arrived.length === 0) await this.#change.promise;
    return this.#arrived.shift()!;
  }

  /** The next connection, after the ladder. Throws what ended that. */
  async accept(): Promise<PuppetChannel> {
    const transport = await this.arrival();
    const now = () => performance.now();
    const connection = new Connection(transport, now);
    const first = await connection.nextFrame();
    // Whoever has been here has a ticket; the puppet lets everybody in.
    if (first.kind !== FrameKind.preface) connection.unread(first);
    const { mode, context, psk, random } = anyResponder(this.who, "server");
    const { suite, identity } = this.who;
    const ours = { suite, identity, ephemeralKey: ephemeralKeys(suite, "server") };
    const established = await runHandshake(
      connection,
      startResponder({
        mode,
        context,
        psk,
        random,
        ours: (id) => id === suite.id ? ours : undefined,
        displayName: lineOf("puppet"),
        checkInitiator: (initiator) => {
          this.visitor = initiator;
          this.seen.push(initiator.fingerprint);
        },
      }),
    );
    const channel = await Channel.open(connection, established, now);
    this.#channels.push(channel);
    return new PuppetChannel(channel, transport);
  }

  /** Takes everybody from now on; those whose ladder does not end are passed over. */
  async takeAll(): Promise<void> {
    for (;;) await this.accept().catch(() => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const channel of this.#channels) channel.destroy();
    for (const transport of this.#connections) transport.close();
    return Promise.resolve();
  }
}
