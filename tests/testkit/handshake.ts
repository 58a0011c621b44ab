/** The ladder without a network: two people, every frame between them, and a hand in the middle. */
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import {
  generateIdentity,
  type Identity,
  identityClassOf,
  type PublicIdentity,
  type StoredIdentity,
} from "../../lib/crypto/identity.ts";
import type { KemKeyPair } from "../../lib/crypto/kem.ts";
import { loadSuite, type Suite, type SuiteName } from "../../lib/crypto/suite.ts";
import { systemRandom, timingSafeEqual } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import { startInitiator } from "../../lib/handshake/initiator.ts";
import { step } from "../../lib/handshake/machine.ts";
import { startResponder } from "../../lib/handshake/responder.ts";
import type {
  Established,
  HandshakeEvent,
  HandshakeState,
  InitiatorConfig,
  ResponderConfig,
  Step,
} from "../../lib/handshake/state.ts";
import { encodeFrame, type Frame } from "../../lib/wire/frame.ts";
import { lineOf } from "../../lib/wire/line.ts";

/** Somebody with an identity for one suite. */
export interface Person {
  readonly suite: Suite;
  readonly identity: Identity;
  readonly stored: StoredIdentity;
}

export type Side = "initiator" | "responder";
export type MessageNumber = 1 | 2 | 3 | 4 | 5 | 6;

/** Both configurations of a ladder that succeeds; a test spreads them and spoils one field. */
export interface Scene {
  readonly alice: Person;
  readonly bob: Person;
  readonly initiator: InitiatorConfig;
  readonly responder: ResponderConfig;
}

/** One message on its way. */
export interface Passage {
  readonly message: MessageNumber;
  readonly from: Side;
  readonly frame: Frame;
}

/** What arrives instead of a passing frame; the frame itself where nothing is changed. */
export type Alter = (passage: Passage) => Frame | Promise<Frame>;

/** Who ended the ladder, at the receipt of which message, and why. */
export interface Refusal {
  readonly side: Side;
  readonly message: MessageNumber;
  readonly error: CifraError;
}

/** A ladder as far as it went. */
export interface Run {
  /** m1, m2 and so on, as they were sent. */
  readonly frames: readonly Frame[];
  /** Every state of each side, the first one included. */
  readonly states: Readonly<Record<Side, readonly HandshakeState[]>>;
  readonly events: Readonly<Record<Side, readonly HandshakeEvent[]>>;
  readonly refusal: Refusal | undefined;
}

const people = new Map<string, Promise<Person>>();
const suites = new Map<SuiteName, Promise<Suite>>();
const rsaKeys = new Map<string, Promise<KemKeyPair>>();

/** `make()` the first time, the same value from then on. */
function cached<K, V>(cache: Map<K, Promise<V>>, key: K, make: () => Promise<V>): Promise<V> {
  const value = cache.get(key) ?? make();
  cache.set(key, value);
  return value;
}

/** The suite called `name`. */
export function suiteOf(name: SuiteName): Promise<Suite> {
  return cached(suites, name, () => loadSuite(name));
}

/** The person called `name`, the same one each time within a test file. */
export function person(suiteName: SuiteName, name: string): Promise<Person> {
  return cached(people, `${suiteName} ${name}`, async () => {
    const suite = await suiteOf(suiteName);
    return { suite, ...await generateIdentity(identityClassOf(suite.signature)) };
  });
}

/** Ephemeral keys of `owner`: fresh ones in modern; one each in the others, where making them is slow. */
export function ephemeralKeys(suite: Suite, owner: string): () => Promise<KemKeyPair> {
  if (suite.name === "modern") return () => suite.kem.generate();
  return () => cached(rsaKeys, `${suite.name} ${owner}`, () => suite.kem.generate());
}

/** A check that lets through this identity and no other. */
export function only(expected: PublicIdentity): (candidate: PublicIdentity) => void {
  return (candidate) => {
    if (!timingSafeEqual(candidate.fingerprint, expected.fingerprint)) {
      throw new CifraError("identity_changed", "Cannot trust the other side: another identity");
    }
  };
}

/** Alice climbs to Bob, whom she knows; mode 1, no psk. Bob takes anybody. */
export async function scene(suiteName: SuiteName): Promise<Scene> {
  const [alice, bob] = await Promise.all([person(suiteName, "alice"), person(suiteName, "bob")]);
  const { suite } = alice;
  const common = {
    mode: 1,
    context: new Uint8Array(0),
    psk: new Uint8Array(32),
    random: systemRandom,
  } as const;
  const bobsSide = { ...bob, ephemeralKey: ephemeralKeys(suite, "bob") };
  return {
    alice,
    bob,
    initiator: {
      ...common,
      ours: { ...alice, ephemeralKey: ephemeralKeys(suite, "alice") },
      pinned: bob.identity,
      checkResponder: only(bob.identity),
    },
    responder: {
      ...common,
      ours: (id) => id === suite.id ? bobsSide : undefined,
      displayName: lineOf("bob's place"),
      checkInitiator: () => {},
    },
  };
}

/** Handshakes as far as it goes: to the top, or to the first refusal. */
export async function runBothHandshakes(
  { initiator, responder }: Pick<Scene, "initiator" | "responder">,
  alter: Alter = ({ frame }) => frame,
): Promise<Run> {
  const first = await startInitiator(initiator);
  const frames: Frame[] = [];
  const states: Record<Side, HandshakeState[]> = {
    initiator: [first.state],
    responder: [startResponder(responder)],
  };
  const events: Record<Side, HandshakeEvent[]> = { initiator: [...first.events], responder: [] };
  let from: Side = "initiator";
  let sent: Step = first;
  let refusal: Refusal | undefined;
  for (const message of [1, 2, 3, 4, 5, 6] as const) {
    const [frame] = sent.send;
    if (!frame || sent.send.length !== 1) throw new Error(`m${message} is not one frame`);
    frames.push(frame);
    const to: Side = from === "initiator" ? "responder" : "initiator";
    const arriving = await alter({ message, from, frame });
    const result = await stepOrRefuse(states[to].at(-1)!, arriving);
    if (result instanceof CifraError) {
      refusal = { side: to, message, error: result };
      break;
    }
    states[to].push(result.state);
    events[to].push(...result.events);
    from = to;
    sent = result;
  }
  return { frames, states, events, refusal };
}

/**
 * A run whose m6 is spoiled on its way, so that every waiting state is still whole (the last one wipes
 * its chain key when it succeeds). `frames` holds the true m6.
 */
export async function runToTheLastStep(
  configs: Pick<Scene, "initiator" | "responder">,
): Promise<Run> {
  const run = await runBothHandshakes(
    configs,
    ({ message, frame }) => message === 6 ? flipBit(frame, 0) : frame,
  );
  if (run.refusal?.message !== 6) throw run.refusal?.error ?? new Error("m6 was not spoiled");
  return run;
}

/** The next step, or the CifraError that refuses it; anything else thrown is a bug and stays thrown. */
export async function stepOrRefuse(
  state: HandshakeState,
  frame: Frame,
): Promise<Step | CifraError> {
  try {
    return await step(state, frame);
  } catch (error) {
    if (error instanceof CifraError) return error;
    throw error;
  }
}

/** Both ends of a ladder that went all the way; throws what ended it otherwise. */
export function bothEnds({ states, refusal }: Run): Readonly<Record<Side, Established>> {
  const initiator = states.initiator.at(-1);
  const responder = states.responder.at(-1);
  if (refusal) throw refusal.error;
  if (initiator?.name !== "established" || responder?.name !== "established") {
    throw new Error("The ladder ended below the top");
  }
  return { initiator, responder };
}

/** The state of `side` that waits for `message`. */
export function stateBefore(run: Run, message: MessageNumber): HandshakeState {
  const side = receiverOf(message);
  const state = run.states[side].find(({ name }) => name === `expect-m${message}`);
  if (!state) throw new Error(`Nobody waited for m${message}`);
  return state;
}

/** Who takes `message`. */
export function receiverOf(message: MessageNumber): Side {
  return message % 2 === 1 ? "responder" : "initiator";
}

/** `frame` with one bit of its body turned over. */
export function flipBit({ kind, body }: Frame, bit: number): Frame {
  return { kind, body: withFlippedBit(body, bit) };
}

/** `bytes` with one bit turned over, counted from the first byte's highest. */
export function withFlippedBit(bytes: Bytes, bit: number): Bytes {
  const flipped = bytes.slice();
  flipped[bit >> 3]! ^= 0x80 >> (bit & 7);
  return flipped;
}

/** `bytes` with `patch` laid over it from `offset` on. */
export function overlay(bytes: Bytes, offset: number, patch: Bytes): Bytes {
  const patched = bytes.slice();
  patched.set(patch, offset);
  return patched;
}

/** An alter that replaces the body of one message. */
export function replaceBody(
  message: MessageNumber,
  replace: (body: Bytes) => Bytes | Promise<Bytes>,
): Alter {
  return async (passage) =>
    passage.message === message
      ? { kind: passage.frame.kind, body: await replace(passage.frame.body) }
      : passage.frame;
}

/** A frame as the wire carries it. */
export function frameBytes({ kind, body }: Frame): Bytes {
  return encodeFrame(kind, body);
}

/** Fixed bytes, different for each label. */
export function testBytes(label: string, length = 32): Bytes {
  const bytes = new Uint8Array(length);
  const text = encodeUtf8(label);
  for (let i = 0; i < length; i++) bytes[i] = (text[i % text.length]! + i * 7) & 0xff;
  return bytes;
}
