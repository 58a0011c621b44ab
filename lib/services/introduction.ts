/**
 * What each of two is told about the other, so that they can meet (PROTOCOL.md 3.7): who the other is, and
 * the ways to it. Rules over two registrations.
 */
import type { SuiteId } from "../crypto/suite.ts";
import { PORT_MINIMUM } from "../limits.ts";
import type { NameKey } from "../store/server_store.ts";
import { addressScope, type Endpoint } from "../wire/address.ts";
import { Capability, type Introduction, type Registration } from "../wire/rendezvous_messages.ts";

/** A registration with what the server knows about the one who made it. */
export interface Registered<Holder> {
  /** Whatever stands for the connection. */
  readonly holder: Holder;
  readonly registration: Registration;
  /** The entry of the name in the directory: it is theirs. */
  readonly key: NameKey;
  readonly suite: SuiteId;
  readonly observed: Endpoint;
}

/** What belongs to the introduction and not to one of the two: the same for both. */
export type MeetingTerms = Pick<
  Introduction,
  "rendezvousKey" | "generation" | "relay"
>;

/** Whether a registration has a capability: a bit of `Capability`. */
export function can({ registration }: Registered<unknown>, capability: number): boolean {
  return (registration.capabilities & capability) !== 0;
}

/** Tells `reader` about `peer`. */
export function introductionTo(
  reader: Registered<unknown>,
  peer: Registered<unknown>,
  meeting: MeetingTerms,
): Introduction {
  const { key: { name, bundle }, registration } = peer;
  const { receivePort, sendPort, advertised, registrationSequence: sequence } = registration;
  const { notAfter, signature } = registration.claim;
  const isHidden = can(reader, Capability.hidden) || can(peer, Capability.hidden);
  return {
    ...meeting,
    peerName: name,
    bundle,
    // What the peer says of itself is passed on whole: the reader checks the signature over it.
    claim: { sequence, notAfter, signature },
    receivePort,
    sendPort,
    advertised,
    observed: isHidden ? [] : observedFor(peer, reader),
    punch: isHidden ? [] : punchFor(peer),
  };
}

/** Where the peer's dials come from, as the server sees it. Like an address, it is one that the server observed. */
function punchFor(peer: Registered<unknown>): readonly Endpoint[] {
  const scope = addressScope(peer.observed.host);
  const useful = can(peer, Capability.punch) && (scope === "public" || scope === "private");
  return useful && peer.observed.port >= PORT_MINIMUM ? [peer.observed] : [];
}

/** Where the server saw the peer; its own machine is told to those who are on it as well (attack A13). */
function observedFor(peer: Registered<unknown>, reader: Registered<unknown>): readonly string[] {
  const isLoopback = ({ observed }: Registered<unknown>) =>
    addressScope(observed.host) === "loopback";
  return !isLoopback(peer) || isLoopback(reader) ? [peer.observed.host] : [];
}
