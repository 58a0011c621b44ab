/**
 * Two introduced programs find each other: both listen, both dial, and the one with the lower
 * fingerprint chooses which connection is used (PROTOCOL.md 3.8).
 */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import type { Identity, PublicIdentity } from "../crypto/identity.ts";
import type { KemKeyPair } from "../crypto/kem.ts";
import type { Suite } from "../crypto/suite.ts";
import { systemRandom, timingSafeEqual } from "../crypto/platform.ts";
import { CifraError, toCifraError } from "../errors.ts";
import { startInitiator } from "../handshake/initiator.ts";
import { startResponder } from "../handshake/responder.ts";
import type { LadderEvent } from "../handshake/state.ts";
import { MEETING_DEADLINE, PREFACE_DEADLINE } from "../limits.ts";
import { dialFrom, type Listener, type TcpTransport } from "../net/tcp.ts";
import { delay } from "../net/delay.ts";
import type { Ticker } from "../net/ticker.ts";
import { Channel } from "../session/channel.ts";
import { climb } from "../session/climb.ts";
import { Connection } from "../session/connection.ts";
import { addressScope, type Endpoint, formatEndpoint } from "../wire/address.ts";
import { FrameKind } from "../wire/frame.ts";
import {
  decodePeerPreface,
  peerContext,
  peerPreface,
  peerPrefaceToken,
} from "../wire/handshake_messages.ts";
import { decode, encode } from "../wire/layout.ts";
import { peerHello, peerWelcome } from "../wire/peer_messages.ts";
import { type Item, ItemType } from "../wire/records.ts";
import type { Introduction } from "../wire/rendezvous_messages.ts";
import type { Tracer } from "./trace.ts";

/** Strangers that may knock at the receive port at once; each has three seconds for its preface. */
const KNOCKING_LIMIT = 16;
const REDIAL_PAUSE = 500;

/** What is needed to meet a peer. */
export interface MeetOptions {
  readonly ourName: string;
  readonly suite: Suite;
  readonly identity: Identity;
  readonly envelopeKey: () => Promise<KemKeyPair>;
  readonly introduction: Introduction;
  /** The peer's identity, read from the introduction and found good. */
  readonly peer: PublicIdentity;
  /** Our receive port, open since before the registration. */
  readonly listener: Listener;
  /** The local port of our dials. */
  readonly sendPort: number;
  /** Whether the server is on this machine, so that the peer may be too (attack A13). */
  readonly allowLoopback: boolean;
  readonly ticker: Ticker;
  readonly trace?: Tracer | undefined;
}

/** A channel to the peer, and the way it goes. */
export interface Meeting {
  readonly channel: Channel;
  readonly remote: Endpoint;
  /** Which of the two dialled. */
  readonly dialledBy: "us" | "peer";
  readonly close: () => void;
}

/** A connection on which both sides have shown that they come from the same introduction. */
interface Candidate {
  readonly connection: Connection;
  readonly transport: TcpTransport;
  readonly dialledBy: "us" | "peer";
}

/** Meets the peer; throws `unreachable` when no connection works within the deadline. */
export async function meet(options: MeetOptions): Promise<Meeting> {
  const attempt = new Attempt(options);
  try {
    return await attempt.run();
  } finally {
    attempt.stop();
  }
}

class Attempt {
  readonly #options: MeetOptions;
  readonly #isInitiator: boolean;
  readonly #candidates = new Set<Candidate>();
  /** Those at our receive port who have not yet shown that they come from the introduction. */
  readonly #strangers = new Set<Connection>();
  readonly #giveUp = new AbortController();
  readonly #outcome = Promise.withResolvers<Meeting>();
  readonly #failures = new Map<string, string>();
  #untick: () => void;
  #winner: Candidate | undefined;
  /** Initiator: the handshake under way, so that there is one at a time. */
  #climbing = false;
  /** Responder: the candidate whose m1 came last; a later one takes its place. */
  #latest: Candidate | undefined;

  constructor(options: MeetOptions) {
    this.#options = options;
    const ours = encodeHex(options.identity.fingerprint);
    this.#isInitiator = ours < encodeHex(options.peer.fingerprint);
    const deadline = performance.now() + MEETING_DEADLINE;
    this.#untick = options.ticker.add((now) => {
      for (const { connection } of this.#candidates) connection.enforceDeadlines(now);
      for (const stranger of this.#strangers) stranger.enforceDeadlines(now);
      if (now > deadline) this.#outcome.reject(this.#noWay());
    });
  }

  async run(): Promise<Meeting> {
    const { introduction, listener } = this.#options;
    listener.acceptAll((transport) => this.#welcome(transport));
    for (const host of introduction.addresses) {
      this.#dial({ host, port: introduction.receivePort });
    }
    return await this.#outcome.promise;
  }

  /** Lets go of every connection but the chosen one. */
  stop(): void {
    this.#untick();
    this.#giveUp.abort();
    this.#options.listener.close();
    for (const stranger of this.#strangers) stranger.close();
    for (const candidate of this.#candidates) {
      if (candidate !== this.#winner) candidate.connection.close();
    }
  }

  /** Dials one address until it answers or the meeting is over. */
  async #dial(remote: Endpoint): Promise<void> {
    const { sendPort, allowLoopback, introduction, identity } = this.#options;
    const where = formatEndpoint(remote);
    const scope = addressScope(remote.host);
    const ordinary = scope === "private" || scope === "public";
    if (!ordinary && !(scope === "loopback" && allowLoopback)) {
      this.#failures.set(where, `a ${scope} address is not dialled`);
      return;
    }
    const { signal } = this.#giveUp;
    while (!signal.aborted) {
      try {
        const transport = await dialFrom(sendPort, remote, signal);
        if (signal.aborted) return transport.close();
        // The other side may be busy with another candidate for as long as the meeting takes.
        const connection = new Connection(transport, () => performance.now(), MEETING_DEADLINE);
        const { rendezvousId, generation, rendezvousKey } = introduction;
        const token = peerPrefaceToken(rendezvousKey, identity.fingerprint);
        const preface = encode(peerPreface, { rendezvousId, generation, token });
        await connection.sendFrame(FrameKind.preface, preface);
        return this.#consider({ connection, transport, dialledBy: "us" });
      } catch (error) {
        this.#failures.set(where, toCifraError(error).message);
      }
      await delay(REDIAL_PAUSE, signal);
    }
  }

  /** Somebody knocks at our receive port: a good preface in time, or not a byte of answer. */
  async #welcome(transport: TcpTransport): Promise<void> {
    const { aborted } = this.#giveUp.signal;
    if (aborted || this.#strangers.size >= KNOCKING_LIMIT) return transport.close();
    const connection = new Connection(transport, () => performance.now(), PREFACE_DEADLINE);
    this.#strangers.add(connection);
    try {
      const { kind, body } = await connection.nextFrame();
      if (kind !== FrameKind.preface || !this.#isFromPeer(body)) {
        throw new CifraError(
          "auth_failed",
          "Cannot take connection: it is not from this introduction",
        );
      }
      this.#consider({ connection, transport, dialledBy: "peer" });
    } catch (error) {
      connection.fail(error, { silently: true });
    } finally {
      this.#strangers.delete(connection);
    }
  }

  #isFromPeer(body: Bytes): boolean {
    const { introduction, peer } = this.#options;
    const { rendezvousId, generation, token } = decodePeerPreface(body);
    const expected = peerPrefaceToken(introduction.rendezvousKey, peer.fingerprint);
    return timingSafeEqual(token, expected) && generation === introduction.generation &&
      timingSafeEqual(rendezvousId, introduction.rendezvousId);
  }

  #consider(candidate: Candidate): void {
    if (this.#giveUp.signal.aborted) return candidate.connection.close();
    this.#candidates.add(candidate);
    if (this.#isInitiator) this.#climbNext();
    else this.#answer(candidate);
  }

  /** Initiator: m1 on one candidate at a time, the next one only when this one has failed. */
  async #climbNext(): Promise<void> {
    if (this.#climbing || this.#winner) return;
    this.#climbing = true;
    for (const candidate of this.#candidates) {
      if (candidate.connection.failure) continue;
      try {
        const channel = await this.#climbAsInitiator(candidate);
        this.#win(candidate, channel);
        break;
      } catch (error) {
        this.#dismiss(candidate, error);
      }
    }
    this.#climbing = false;
  }

  async #climbAsInitiator({ connection }: Candidate): Promise<Channel> {
    const { ourName, introduction } = this.#options;
    const established = await climb(
      connection,
      await startInitiator({
        ...this.#common(),
        ours: this.#options,
        pinned: this.#options.peer,
        checkResponder: (responder) => this.#requirePeer(responder),
      }),
      { onEvent: this.#traceLadder() },
    );
    const channel = await Channel.open(connection, established, () => performance.now());
    const hello = encode(peerHello, { from: ourName, to: introduction.peerName, have: 0n });
    channel.send(ItemType.request, hello);
    this.#traceRecord(channel, 7, "sent", "registration", hello.length);
    const welcome = await this.#only(channel, ItemType.response);
    decode(peerWelcome, welcome.body);
    this.#traceRecord(channel, 8, "received", "ok", welcome.body.length);
    return channel;
  }

  /** Responder: answers m1 on any candidate; one that comes later replaces one still unfinished. */
  async #answer(candidate: Candidate): Promise<void> {
    const { connection } = candidate;
    try {
      connection.unread(await connection.nextFrame());
      if (this.#winner) return connection.close();
      this.#latest?.connection.close();
      this.#latest = candidate;
      const channel = await this.#climbAsResponder(candidate);
      if (this.#latest === candidate) this.#win(candidate, channel);
    } catch (error) {
      this.#dismiss(candidate, error);
    }
  }

  async #climbAsResponder({ connection }: Candidate): Promise<Channel> {
    const { ourName, introduction, suite } = this.#options;
    const established = await climb(
      connection,
      startResponder({
        ...this.#common(),
        ours: (id) => id === suite.id ? this.#options : undefined,
        displayName: "",
        checkInitiator: (initiator) => this.#requirePeer(initiator),
      }),
      { onEvent: this.#traceLadder() },
    );
    const channel = await Channel.open(connection, established, () => performance.now());
    const hello = await this.#only(channel, ItemType.request);
    this.#traceRecord(channel, 7, "received", "registration", hello.body.length);
    const { from, to } = decode(peerHello, hello.body);
    if (from !== introduction.peerName || to !== ourName) {
      throw new CifraError("auth_failed", "Cannot take connection: it is meant for somebody else");
    }
    const welcome = encode(peerWelcome, { have: 0n });
    channel.send(ItemType.response, welcome);
    this.#traceRecord(channel, 8, "sent", "ok", welcome.length);
    await channel.flush();
    return channel;
  }

  #common() {
    const { introduction, identity, peer } = this.#options;
    const { rendezvousId, generation, rendezvousKey } = introduction;
    const [initiator, responder] = this.#isInitiator
      ? [identity.fingerprint, peer.fingerprint]
      : [peer.fingerprint, identity.fingerprint];
    return {
      mode: 2 as const,
      context: peerContext(rendezvousId, generation, initiator, responder),
      psk: rendezvousKey,
      random: systemRandom,
    };
  }

  #requirePeer(identity: PublicIdentity): void {
    if (!timingSafeEqual(identity.fingerprint, this.#options.peer.fingerprint)) {
      throw new CifraError("auth_failed", "Cannot trust the peer: it is not the one introduced");
    }
  }

  /** The one item that both sides expect as their first in each direction. */
  async #only(channel: Channel, type: ItemType): Promise<Item> {
    const items = await channel.receive();
    if (!items) throw channel.failure ?? new CifraError("cut", "The peer hung up");
    if (items.length > 1 || items[0]!.type !== type) {
      throw new CifraError("bad_state", "The peer said something out of turn");
    }
    return items[0]!;
  }

  #win(candidate: Candidate, channel: Channel): void {
    this.#winner = candidate;
    const untick = this.#options.ticker.add((now) => channel.tick(now));
    this.#outcome.resolve({
      channel,
      remote: candidate.transport.remote,
      dialledBy: candidate.dialledBy,
      close: () => {
        untick();
        channel.destroy();
      },
    });
  }

  #dismiss(candidate: Candidate, error: unknown): void {
    const { connection, dialledBy, transport: { remote } } = candidate;
    const failure = connection.fail(error);
    this.#candidates.delete(candidate);
    this.#failures.set(formatEndpoint(remote), failure.message);
    if (dialledBy === "peer") return;
    // The other side may only have had no room: strangers knock at its port too.
    delay(REDIAL_PAUSE, this.#giveUp.signal).then(() => this.#dial(remote));
  }

  #noWay(): CifraError {
    const { introduction } = this.#options;
    const tried = [...this.#failures].map(([where, why]) => `\n  ${where}: ${why}`).join("");
    return new CifraError(
      "unreachable",
      `Cannot reach ${introduction.peerName} directly, nor be reached${tried}`,
      {
        hint: "one of the two machines must accept connections on its receive port; choose one " +
          "that the firewall lets through with --receive-port",
      },
    );
  }

  #traceLadder(): ((event: LadderEvent) => void) | undefined {
    const { trace, introduction } = this.#options;
    return trace && ((event) => trace({ with: introduction.peerName, ...event }));
  }

  #traceRecord(
    channel: Channel,
    message: 7 | 8,
    direction: "sent" | "received",
    name: string,
    bodyLength: number,
  ): void {
    this.#options.trace?.({
      with: this.#options.introduction.peerName,
      message,
      direction,
      name,
      algorithm: channel.established.suite.aead.name,
      length: channel.frameLength(bodyLength),
    });
  }
}
