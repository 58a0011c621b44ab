/** Two who have been introduced to each other, on this machine: each with a port, and a point to meet at. */
import { assertEquals } from "@std/assert";
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../../lib/bytes.ts";
import {
  Connector,
  type ConnectorOptions,
  type Meeting,
  type Path,
} from "../../lib/client/connector.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import type { SuiteName } from "../../lib/crypto/suite.ts";
import type { InitiatorConfig } from "../../lib/handshake/state.ts";
import type { Time } from "../../lib/flow/time.ts";
import type { Listening, Network } from "../../lib/net/environment.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import type { Transport } from "../../lib/channel/transport.ts";
import { peerContext, peerPreface, peerPrefaceToken } from "../../lib/wire/handshake_messages.ts";
import { encode } from "../../lib/wire/layout.ts";
import type { LogPosition } from "../../lib/wire/peer_messages.ts";
import { ItemType } from "../../lib/wire/records.ts";
import type { Introduction } from "../../lib/wire/rendezvous_messages.ts";
import { anyResponder } from "./adversary.ts";
import { ephemeralKeys, type Person, person } from "./handshake.ts";
import { openLink, until } from "./links.ts";
import { NOBODYS_WORD } from "./server.ts";
import { TestNetwork } from "./test_network.ts";

const LOCALHOST = "127.0.0.1";
export const GENERATION = 7;

/** How one of the two differs from the usual: who can be dialled at their port. */
export interface GuestChange {
  /** Of what this one was told. */
  readonly introduction?: Partial<Introduction>;
  readonly relay?: Transport;
  readonly network?: Network;
  readonly allowLoopback?: boolean;
  /** Who only waits has no port to dial from. */
  readonly dials?: boolean;
}

export interface CoupleOptions {
  readonly suite?: SuiteName;
  readonly low?: GuestChange;
  readonly high?: GuestChange;
  readonly time?: Time;
}

/** One of the two. */
export class Guest {
  readonly who: Person;
  readonly options: ConnectorOptions;
  readonly point: Connector;
  readonly network: TestNetwork;
  readonly meetings: Meeting[] = [];
  readonly sendPort: number;
  /** What this one says of where its conversation stands. */
  readonly position: LogPosition;
  /** The logs for which it was asked where it stands. */
  readonly askedFor: (Bytes | undefined)[] = [];
  #live: { readonly path: Path; readonly since: number } | undefined;
  #listener: Listening;

  constructor(
    who: Person,
    options: Pick<ConnectorOptions, "ourName" | "introduction" | "peer">,
    { time, ticker, position }: {
      readonly time: Time;
      readonly ticker: Ticker;
      readonly position: LogPosition;
    },
    { listener, sendPort }: Place,
    change: GuestChange,
  ) {
    this.who = who;
    this.#listener = listener;
    this.sendPort = sendPort;
    this.network = new TestNetwork(change.network);
    const { suite, identity } = who;
    this.position = position;
    this.options = {
      environment: { time, network: this.network, random: systemRandom },
      ticker,
      suite,
      identity,
      ephemeralKey: ephemeralKeys(suite, "client"),
      sendPort: change.dials === false ? undefined : sendPort,
      allowLoopback: change.allowLoopback ?? true,
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
    this.point = new Connector(this.options);
    this.listen();
  }

  /** Where it can be dialled. */
  get port(): number {
    return this.#listener.port;
  }

  get path(): Path | undefined {
    return this.#live?.path;
  }

  /** Begins to look for the other one. */
  seek({ relay = true, after = 0 } = {}): void {
    this.point.seek({ relay, after });
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
    this.#listener.close();
  }

  /** Opens the same port again. */
  undeafen(): void {
    this.#listener = systemEnvironment.network.listen([LOCALHOST], this.port);
    this.listen();
  }

  listen(): void {
    this.#listener.acceptAll((transport) => void this.point.welcome(this.network.count(transport)));
  }

  end(): void {
    this.point.close();
    this.#listener.close();
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
  readonly listener: Listening;
  readonly sendPort: number;
}

function place(): Place {
  const { network } = systemEnvironment;
  return { listener: network.listen([LOCALHOST], 0), sendPort: network.findFreePort(LOCALHOST) };
}

/** Introduces two; both can be dialled, and neither looks for the other yet. */
export async function introduce(options: CoupleOptions = {}): Promise<Couple> {
  const { suite = "modern", time = systemEnvironment.time } = options;
  const people = [await person(suite, "alice"), await person(suite, "bob")];
  people.sort((a, b) =>
    encodeHex(a.identity.fingerprint) < encodeHex(b.identity.fingerprint) ? -1 : 1
  );
  const who = { low: people[0]!, high: people[1]! };
  const rendezvousId = systemRandom(16), rendezvousKey = systemRandom(32);
  const ticker = new Ticker(time);
  const places = { low: place(), high: place() };
  const standings = {
    low: (await openLink("high")).position(),
    high: (await openLink("low")).position(),
  };
  const guest = (name: "low" | "high"): Guest => {
    const other = name === "low" ? "high" : "low";
    const change = options[name] ?? {};
    const introduction: Introduction = {
      peerName: other,
      rendezvousId,
      rendezvousKey,
      generation: GENERATION,
      bundle: who[other].identity.bundle,
      claim: NOBODYS_WORD,
      receivePort: places[other].listener.port,
      sendPort: places[other].sendPort,
      addresses: [LOCALHOST],
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
  { identity, introduction }: Pick<ConnectorOptions, "identity" | "introduction">,
  changes: { readonly id?: Bytes; readonly generation?: number } = {},
): Bytes {
  return encode(peerPreface, {
    rendezvousId: changes.id ?? introduction.rendezvousId,
    generation: changes.generation ?? introduction.generation,
    token: peerPrefaceToken(introduction.rendezvousKey, identity.fingerprint),
  });
}

/** How the guest climbs towards the other as the initiator. */
export function initiatorOf({ who, options }: Guest): InitiatorConfig {
  const { introduction, peer, identity } = options;
  const { rendezvousId, generation, rendezvousKey } = introduction;
  return {
    ...anyResponder(who, options.ourName),
    mode: 2,
    psk: rendezvousKey,
    context: peerContext(rendezvousId, generation, identity.fingerprint, peer.fingerprint),
  };
}
