/** Two who have been introduced to each other, on this machine: each with a door, and a connector. */
import { assertEquals } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";
import {
  Connector,
  type ConnectorOptions,
  type Meeting,
  type Path,
} from "../../lib/client/connector.ts";
import { rendezvousIdOf } from "../../lib/client/peer_handshake.ts";
import { Door } from "../../lib/client/door.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import type { SuiteName } from "../../lib/crypto/suite.ts";
import type { InitiatorConfig, ResponderConfig } from "../../lib/handshake/state.ts";
import type { Time } from "../../lib/flow/time.ts";
import { type Listening, type Network, systemEnvironment } from "../../lib/net/environment.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import type { Transport } from "../../lib/channel/transport.ts";
import { peerContext, peerPreface, peerPrefaceToken } from "../../lib/wire/handshake_messages.ts";
import { encode } from "../../lib/wire/layout.ts";
import type { LogPosition } from "../../lib/wire/peer_messages.ts";
import { ItemType } from "../../lib/wire/records.ts";
import type { Introduction } from "../../lib/wire/rendezvous_messages.ts";
import { anyResponder } from "./adversary.ts";
import { ephemeralKeys, type Person, person } from "./handshake.ts";
import { openLink } from "./links.ts";
import { until } from "./until.ts";
import { NOBODYS_WORD } from "./server.ts";
import { TestNetwork } from "./test_network.ts";
import { lineOf } from "../../lib/wire/line.ts";

const LOCALHOST = "127.0.0.1";
export const GENERATION = 7;

/** How one of the two differs from the usual: who can be dialled at their port. */
export interface GuestChange {
  /** Of what this one was told. */
  readonly introduction?: Partial<Introduction>;
  readonly relay?: Transport;
  readonly network?: Network;
  readonly near?: readonly string[];
  /** Whoever only relays has no door. */
  readonly hasDoor?: boolean;
}

export interface CoupleOptions {
  readonly suite?: SuiteName;
  readonly low?: GuestChange;
  readonly high?: GuestChange;
  readonly time?: Time;
}

/** A door of which the test can close the port for a while. */
class TestDoor {
  readonly door: Door;
  readonly port: number;
  readonly #network: TestNetwork;
  #take: Parameters<Listening["acceptAll"]>[0] = () => {};
  #listener: Listening;

  constructor(network: TestNetwork, time: Time, ticker: Ticker) {
    this.#network = network;
    this.#listener = network.listen([LOCALHOST], 0);
    const given: Listening = {
      port: this.#listener.port,
      endpoints: this.#listener.endpoints,
      acceptAll: (take) => {
        this.#take = take;
        return this.#listener.acceptAll(take);
      },
      close: () => this.#listener.close(),
    };
    const { dial, dialFrom, findFreePort } = systemEnvironment.network;
    this.door = new Door({
      environment: {
        time,
        random: systemRandom,
        network: { listen: () => given, dial, dialFrom, findFreePort, addresses: () => [] },
      },
      ticker,
      receivePort: 0,
      sendPort: findFreePort(LOCALHOST),
    });
    this.port = this.door.open(true).receivePort;
  }

  /** Nobody can come in any more. */
  shut(): void {
    this.#listener.close();
  }

  /** Opens the same port again. */
  reopen(): void {
    this.#listener = this.#network.listen([LOCALHOST], this.port);
    this.#listener.acceptAll(this.#take);
  }
}

/** One of the two. */
export class Guest {
  readonly who: Person;
  readonly options: ConnectorOptions;
  readonly connector: Connector;
  readonly network: TestNetwork;
  readonly door: Door;
  readonly meetings: Meeting[] = [];
  /** What this one says of where its conversation stands. */
  readonly position: LogPosition;
  /** The logs for which it was asked where it stands. */
  readonly askedFor: (Bytes | undefined)[] = [];
  #live: { readonly path: Path; readonly since: number } | undefined;
  readonly #door: TestDoor;

  constructor(
    who: Person,
    options: Pick<ConnectorOptions, "ourName" | "introduction" | "peer">,
    { time, ticker, position }: {
      readonly time: Time;
      readonly ticker: Ticker;
      readonly position: LogPosition;
    },
    { network, door }: Place,
    change: GuestChange,
  ) {
    this.who = who;
    this.#door = door;
    this.door = door.door;
    this.network = network;
    const { suite, identity } = who;
    this.position = position;
    this.options = {
      environment: { time, network: this.network, random: systemRandom },
      ticker,
      suite,
      identity,
      ephemeralKey: ephemeralKeys(suite, "client"),
      door: change.hasDoor === false ? undefined : this.door,
      near: change.near ?? [LOCALHOST],
      relay: change.relay,
      position: (theirLog) => {
        this.askedFor.push(theirLog);
        return this.position;
      },
      live: () => this.#live,
      onMeeting: (meeting) => {
        this.meetings.push(meeting);
        this.#live = { path: meeting.path, since: time.now() };
      },
      ...options,
      introduction: { ...options.introduction, ...change.introduction },
    };
    this.connector = new Connector(this.options);
  }

  /** Where it can be dialled. */
  get port(): number {
    return this.#door.port;
  }

  /** Whence it dials. */
  get sendPort(): number {
    return this.door.sendPort;
  }

  get path(): Path | undefined {
    return this.#live?.path;
  }

  /** Begins to look for the other one. */
  seek({ relay = true, after = 0 } = {}): void {
    this.connector.seek({ relay, after });
  }

  /** The meeting with this number, once there is one. */
  async meeting(number = 0): Promise<Meeting> {
    await until(() => this.meetings.length > number, `meeting ${number}`);
    return this.meetings[number]!;
  }

  /** The channel is gone: nothing carries the conversation any more. */
  lose(): void {
    for (const { channel } of this.meetings) channel.destroy();
    this.#live = undefined;
  }

  /** Nobody can be dialled here any more. */
  deafen(): void {
    this.#door.shut();
  }

  /** Opens the same port again. */
  undeafen(): void {
    this.#door.reopen();
  }

  end(): void {
    this.connector.close();
    this.door.close();
    for (const { channel } of this.meetings) channel.destroy();
  }
}

/** Two who have been introduced: `low` has the lower fingerprint, and so is the initiator. */
export interface Couple extends Disposable {
  readonly low: Guest;
  readonly high: Guest;
  readonly ticker: Ticker;
}

interface Place {
  readonly network: TestNetwork;
  readonly door: TestDoor;
}

/** Introduces two; both can be dialled, and neither looks for the other yet. */
export async function introduce(options: CoupleOptions = {}): Promise<Couple> {
  const { suite = "modern", time = systemEnvironment.time } = options;
  const people = [await person(suite, "alice"), await person(suite, "bob")];
  people.sort((a, b) =>
    encodeHex(a.identity.fingerprint) < encodeHex(b.identity.fingerprint) ? -1 : 1
  );
  const who = { low: people[0]!, high: people[1]! };
  const rendezvousKey = systemRandom(32);
  const ticker = new Ticker(time);
  const place = (change?: GuestChange): Place => {
    const network = new TestNetwork(change?.network);
    return { network, door: new TestDoor(network, time, ticker) };
  };
  const places = { low: place(options.low), high: place(options.high) };
  const standings = {
    low: (await openLink("high")).position(),
    high: (await openLink("low")).position(),
  };
  const guest = (name: "low" | "high"): Guest => {
    const other = name === "low" ? "high" : "low";
    const change = options[name] ?? {};
    const introduction: Introduction = {
      peerName: other,
      rendezvousKey,
      generation: GENERATION,
      bundle: who[other].identity.bundle,
      claim: NOBODYS_WORD,
      receivePort: places[other].door.port,
      sendPort: places[other].door.door.sendPort,
      advertised: [],
      observed: [LOCALHOST],
      punch: [],
      relay: change.relay ? 1 : 0,
    };
    const { identity: peer } = who[other];
    const told = { ourName: name, introduction, peer };
    return new Guest(
      who[name],
      told,
      { time, ticker, position: standings[name] },
      places[name],
      change,
    );
  };
  const low = guest("low"), high = guest("high");
  return {
    low,
    high,
    ticker,
    [Symbol.dispose]: () => {
      low.end();
      high.end();
    },
  };
}

/** Fails unless the two meetings are the two ends of one conversation. */
export async function assertTogether(a: Meeting, b: Meeting): Promise<void> {
  assertEquals(a.channel.established.sessionId, b.channel.established.sessionId);
  for (const [from, to] of [[a, b], [b, a]] as const) {
    from.channel.send(ItemType.message, new Uint8Array([1, 2, 3]));
    const items = await to.channel.receive();
    assertEquals(items?.map(({ body }) => [...body]), [[1, 2, 3]]);
  }
}

/** A preface as a peer with this introduction sends it. */
export function prefaceOf(
  options: ConnectorOptions,
  changes: { readonly id?: Bytes; readonly generation?: number } = {},
): Bytes {
  const { identity, introduction } = options;
  const { generation = introduction.generation } = changes;
  const meant = { ...options, introduction: { ...introduction, generation } };
  return encode(peerPreface, {
    rendezvousId: changes.id ?? rendezvousIdOf(meant),
    token: peerPrefaceToken(introduction.rendezvousKey, identity.fingerprint),
  });
}

/** How the guest climbs towards the other as the initiator. */
export function initiatorOf({ who, options }: Guest): InitiatorConfig {
  const { introduction, peer, identity } = options;
  const { generation, rendezvousKey } = introduction;
  return {
    ...anyResponder(who, options.ourName),
    mode: 2,
    psk: rendezvousKey,
    context: peerContext(
      rendezvousIdOf(options),
      generation,
      identity.fingerprint,
      peer.fingerprint,
    ),
  };
}

/** How the guest climbs towards the other as the responder. */
export function responderOf({ who: { suite }, options }: Guest): ResponderConfig {
  const { introduction, peer, identity, ephemeralKey } = options;
  const { generation, rendezvousKey } = introduction;
  return {
    mode: 2,
    psk: rendezvousKey,
    context: peerContext(
      rendezvousIdOf(options),
      generation,
      peer.fingerprint,
      identity.fingerprint,
    ),
    random: systemRandom,
    ours: (id) => id === suite.id ? { suite, identity, ephemeralKey } : undefined,
    displayName: lineOf(""),
    checkInitiator: () => {},
  };
}
