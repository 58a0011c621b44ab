/**
 * From a candidate to a channel: the handshake in mode 2 between two who have been introduced, and the first
 * word of each, which says where its log stands (PROTOCOL.md 3.8).
 */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { Channel } from "../channel/channel.ts";
import type { Connection } from "../channel/connection.ts";
import { runHandshake } from "../channel/run_handshake.ts";
import type { Identity, PublicIdentity } from "../crypto/identity.ts";
import type { KemKeyPair } from "../crypto/kem.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import type { Suite } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import type { Time } from "../flow/time.ts";
import { startInitiator } from "../handshake/initiator.ts";
import { startResponder } from "../handshake/responder.ts";
import type { HandshakeEvent } from "../handshake/state.ts";
import { HANDSHAKE_DEADLINE } from "../limits.ts";
import type { Environment } from "../net/environment.ts";
import {
  type Ends,
  peerContext,
  type PeerPreface,
  peerPreface,
  peerPrefaceToken,
  rendezvousIdOf as deriveRendezvousId,
} from "../wire/handshake_messages.ts";
import { decode, encode } from "../wire/layout.ts";
import { lineOf } from "../wire/line.ts";
import { type LogPosition, peerHello, peerWelcome } from "../wire/peer_messages.ts";
import { CloseCode, type Item, ItemType } from "../wire/records.ts";
import type { Introduction } from "../wire/rendezvous_messages.ts";
import { traceItems, type Tracer } from "./trace.ts";

/** Two who have been introduced, as one of them sees it. */
export interface IntroducedPair {
  readonly environment: Environment;
  readonly ourName: string;
  readonly suite: Suite;
  readonly identity: Identity;
  readonly ephemeralKey: () => Promise<KemKeyPair>;
  readonly introduction: Introduction;
  /** The peer's identity, read from the introduction and found good. */
  readonly peer: PublicIdentity;
  /** Where our side of the conversation stands; `theirLog` is the peer's log, once it is known. */
  readonly position: (theirLog?: Bytes) => LogPosition;
  readonly trace?: Tracer | undefined;
}

/** A channel to the peer, fresh from the handshake. */
export interface Met {
  readonly channel: Channel;
  /** Where the peer's side of the conversation stands. */
  readonly theirs: LogPosition;
  /** Where ours stood when we said so. */
  readonly ours: LogPosition;
}

/** Whether this side is the initiator, whoever dials: the one with the lower fingerprint. */
export function isInitiator({ identity, peer }: IntroducedPair): boolean {
  return encodeHex(identity.fingerprint) < encodeHex(peer.fingerprint);
}

/** What names this introduction; the server sends nothing that we say to others as it is. */
export function rendezvousIdOf(pair: IntroducedPair): Bytes {
  const { rendezvousKey, generation } = pair.introduction;
  return deriveRendezvousId(rendezvousKey, generation, endsOf(pair));
}

function endsOf(pair: IntroducedPair): Ends {
  const { identity, peer } = pair;
  const [initiator, responder] = isInitiator(pair) ? [identity, peer] : [peer, identity];
  return { initiator: initiator.fingerprint, responder: responder.fingerprint };
}

/** Our preface: which introduction we come from, and that we were introduced. */
export function prefaceOf(pair: IntroducedPair): Bytes {
  const { introduction: { rendezvousKey }, identity } = pair;
  const token = peerPrefaceToken(rendezvousKey, identity.fingerprint);
  return encode(peerPreface, { rendezvousId: rendezvousIdOf(pair), token });
}

/** Whether a preface is that of the peer of this introduction; in constant time. */
export function isPrefaceOfPeer(
  pair: IntroducedPair,
  { rendezvousId, token }: PeerPreface,
): boolean {
  const { introduction: { rendezvousKey }, peer } = pair;
  return timingSafeEqual(token, peerPrefaceToken(rendezvousKey, peer.fingerprint)) &&
    timingSafeEqual(rendezvousId, rendezvousIdOf(pair));
}

/** m1 to m8 as the initiator. Throws the errors of the handshake, `bad_state`, `cut`, `timeout`. */
export async function initiate(pair: IntroducedPair, connection: Connection): Promise<Met> {
  const { environment, ourName, introduction, peer, position, trace } = pair;
  const established = await runHandshake(
    connection,
    await startInitiator({
      ...configOf(pair),
      ours: pair,
      pinned: peer,
      checkResponder: (responder) => requirePeer(pair, responder),
    }),
    { onEvent: traceHandshake(pair) },
  );
  const channel = await Channel.open(connection, established, environment.time.now);
  const to = introduction.peerName;
  const ours = position();
  const hello = encode(peerHello, { from: ourName, to, ...ours });
  channel.send(ItemType.request, hello);
  traceRecord(trace, channel, to, 7, "sent", hello.length);
  const welcome = await only(channel, ItemType.response, environment.time);
  traceRecord(trace, channel, to, 8, "received", welcome.body.length);
  traceItems(trace, channel, to);
  return { channel, theirs: decode(peerWelcome, welcome.body), ours };
}

/** m1 to m8 as the responder. Throws the errors of the handshake, `bad_state`, `auth_failed`, `cut`, `timeout`. */
export async function respond(pair: IntroducedPair, connection: Connection): Promise<Met> {
  const { environment, ourName, introduction, suite, position, trace } = pair;
  const established = await runHandshake(
    connection,
    startResponder({
      ...configOf(pair),
      ours: (id) => id === suite.id ? pair : undefined,
      displayName: lineOf(""),
      checkInitiator: (initiator) => requirePeer(pair, initiator),
    }),
    { onEvent: traceHandshake(pair) },
  );
  const channel = await Channel.open(connection, established, environment.time.now);
  const hello = await only(channel, ItemType.request, environment.time);
  const { peerName } = introduction;
  traceRecord(trace, channel, peerName, 7, "received", hello.body.length);
  const { from, to, ...theirs } = decode(peerHello, hello.body);
  if (from !== peerName || to !== ourName) {
    throw new CifraError("auth_failed", "Cannot take connection: it is meant for somebody else");
  }
  const ours = position(theirs.log);
  const welcome = encode(peerWelcome, ours);
  channel.send(ItemType.response, welcome);
  traceRecord(trace, channel, peerName, 8, "sent", welcome.length);
  traceItems(trace, channel, peerName);
  await channel.flush();
  return { channel, theirs, ours };
}

function configOf(pair: IntroducedPair) {
  const { environment: { random }, introduction: { generation, rendezvousKey } } = pair;
  const { initiator, responder } = endsOf(pair);
  return {
    mode: 2 as const,
    context: peerContext(rendezvousIdOf(pair), generation, initiator, responder),
    psk: rendezvousKey,
    random,
  };
}

function requirePeer({ peer }: IntroducedPair, identity: PublicIdentity): void {
  if (timingSafeEqual(identity.fingerprint, peer.fingerprint)) return;
  throw new CifraError("auth_failed", "Cannot trust the peer: it is not the one introduced");
}

/**
 * The one item that both sides expect as their first in each direction. The deadlines of the handshake end with
 * m6: without one of its own, a peer that says nothing more would keep all other candidates waiting.
 */
async function only(channel: Channel, type: ItemType, time: Time): Promise<Item> {
  const cancel = time.after(HANDSHAKE_DEADLINE, () => {
    channel.fail(new CifraError("timeout", "The peer does not say where its log stands"));
  });
  const items = await channel.receive().finally(cancel);
  if (channel.goodbye) await channel.close(CloseCode.done);
  if (!items) throw channel.failure ?? new CifraError("cut", "The peer hung up");
  if (items.length > 1 || items[0]!.type !== type) {
    throw new CifraError("bad_state", "The peer said something out of turn");
  }
  return items[0]!;
}

function traceHandshake(
  { trace, introduction }: IntroducedPair,
): ((event: HandshakeEvent) => void) | undefined {
  return trace && ((event) => trace({ with: introduction.peerName, ...event }));
}

function traceRecord(
  trace: Tracer | undefined,
  channel: Channel,
  peerName: string,
  message: 7 | 8,
  direction: "sent" | "received",
  bodyLength: number,
): void {
  trace?.({
    with: peerName,
    message,
    direction,
    name: message === 7 ? "registration" : "ok",
    algorithm: channel.established.suite.aead.name,
    length: channel.frameLength(bodyLength),
  });
}
