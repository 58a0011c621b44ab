/** Somebody who knows the protocol and does not keep to it: raw frames, the ladder in part, any record. */
import { concat } from "@std/bytes/concat";
import type { Bytes } from "../../lib/bytes.ts";
import { verifyBy } from "../../lib/crypto/identity.ts";
import { RecordCipher } from "../../lib/crypto/record_cipher.ts";
import type { SuiteName } from "../../lib/crypto/suite.ts";
import { startInitiator } from "../../lib/handshake/initiator.ts";
import { step } from "../../lib/handshake/machine.ts";
import { startResponder } from "../../lib/handshake/responder.ts";
import type {
  Established,
  HandshakeState,
  InitiatorConfig,
  ResponderConfig,
  Step,
} from "../../lib/handshake/state.ts";
import { FRAME_LIMIT_OPEN } from "../../lib/limits.ts";
import { Channel } from "../../lib/channel/channel.ts";
import { Connection } from "../../lib/channel/connection.ts";
import type { Transport } from "../../lib/channel/transport.ts";
import { ALERT_CODES } from "../../lib/wire/alert.ts";
import {
  encodeFrame,
  type Frame,
  FrameDecoder,
  frameHeader,
  FrameKind,
} from "../../lib/wire/frame.ts";
import { decodeItems, encodeItems, type Item, type ItemType } from "../../lib/wire/records.ts";
import { ManualTime } from "./clock.ts";
import {
  bothEnds,
  ephemeralKeys,
  type Person,
  runBothHandshakes,
  scene,
  type Side,
} from "./handshake.ts";
import { type LaneOptions, type Pipe, pipe } from "./pipe.ts";
import { cryptoIdle } from "./turn.ts";

/** A test that leaves no cipher at work behind. */
export function test(name: string, scene: () => Promise<void>): void {
  Deno.test(name, async () => {
    try {
      await scene();
    } finally {
      await cryptoIdle();
    }
  });
}

/** The name of the alert in this frame. */
export function alertName({ body }: Frame): string {
  const found = Object.entries(ALERT_CODES).find(([, code]) => code === body[0]);
  if (body.length !== (found?.[0] === "busy" ? 2 : 1) || !found) {
    throw new Error(`Not an alert: ${body}`);
  }
  return found[0];
}

/** How to climb to anybody who answers, in mode 1; a test changes what it wants to spoil. */
export function anyResponder(who: Person, owner: string): InitiatorConfig {
  return {
    mode: 1,
    context: new Uint8Array(0),
    psk: new Uint8Array(32),
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    ours: { ...who, ephemeralKey: ephemeralKeys(who.suite, owner) },
    pinned: undefined,
    checkResponder: () => {},
  };
}

/** One end of a connection, with nothing between the test and the wire. */
export class EvilPeer {
  readonly transport: Transport;
  readonly #decoder = new FrameDecoder(FRAME_LIMIT_OPEN);
  readonly #buffer = new Uint8Array(64 * 1024);
  #frames: Frame[] = [];

  constructor(transport: Transport) {
    this.transport = transport;
  }

  /** Connects to a port of this machine. */
  static async dial(port: number): Promise<EvilPeer> {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    conn.setNoDelay(true);
    let closed = false;
    return new EvilPeer({
      read: (buffer) => conn.read(buffer),
      write: (data) => conn.write(data),
      closeWrite: () => conn.closeWrite(),
      close: () => {
        if (!closed) conn.close();
        closed = true;
      },
    });
  }

  async send(bytes: Bytes): Promise<void> {
    for (let offset = 0; offset < bytes.length;) {
      offset += await this.transport.write(bytes.subarray(offset));
    }
  }

  sendFrame(kind: FrameKind, body: Bytes): Promise<void> {
    return this.send(encodeFrame(kind, body));
  }

  /** The next frame, or null at the end, orderly or not. */
  async nextFrame(): Promise<Frame | null> {
    while (this.#frames.length === 0) {
      const count = await this.#read();
      if (count === null) return null;
      this.#frames = this.#decoder.push(this.#buffer.slice(0, count));
    }
    return this.#frames.shift()!;
  }

  /** Everything that still comes, until the other side ends or resets the connection. */
  async readToEnd(): Promise<Bytes> {
    const pieces: Bytes[] = this.#frames.map(({ kind, body }) => encodeFrame(kind, body));
    for (let count = await this.#read(); count !== null; count = await this.#read()) {
      pieces.push(this.#buffer.slice(0, count));
    }
    return concat(pieces);
  }

  /** What the other side says before it ends: the name of its alert, or undefined for silence. */
  async lastWords(): Promise<string | undefined> {
    let alert: string | undefined;
    for (let frame = await this.nextFrame(); frame; frame = await this.nextFrame()) {
      if (alert !== undefined) throw new Error("Something follows the alert");
      if (frame.kind === FrameKind.alert) alert = alertName(frame);
    }
    return alert;
  }

  close(): void {
    this.transport.close();
  }

  /** A reset is an end like any other: the other side had not read everything we sent. */
  async #read(): Promise<number | null> {
    try {
      return await this.transport.read(this.#buffer);
    } catch (error) {
      const gone = error instanceof Deno.errors.ConnectionReset ||
        error instanceof Deno.errors.BrokenPipe;
      if (gone) return null;
      throw error;
    }
  }

  /**
   * Handshakes until our message `last` is sent: 1, 3, 5, or 6 for the whole ladder. Fails when the other
   * side says anything else than the ladder.
   */
  async runHandshake(config: InitiatorConfig, last: 1 | 3 | 5 | 6 = 6): Promise<Step> {
    let current = await startInitiator(config);
    for (let sent = 1;; sent += 2) {
      for (const { kind, body } of current.send) await this.sendFrame(kind, body);
      if (sent === last || current.state.name === "established") return current;
      const frame = await this.nextFrame();
      if (!frame) throw new Error("The other side left the ladder");
      if (frame.kind === FrameKind.alert) throw new Error(`Alert: ${alertName(frame)}`);
      current = await step(current.state, frame);
    }
  }

  /** The whole ladder as the responder, and the keys that come out. */
  async answerHandshake(config: ResponderConfig): Promise<EvilChannel> {
    let state: HandshakeState = startResponder(config);
    while (state.name !== "established") {
      const frame = await this.nextFrame();
      if (!frame) throw new Error("The other side left the ladder");
      const next = await step(state, frame);
      for (const { kind, body } of next.send) await this.sendFrame(kind, body);
      state = next.state;
    }
    return await EvilChannel.open(this, state);
  }

  /** The whole ladder, and the keys that come out. */
  async handshakeAll(config: InitiatorConfig): Promise<EvilChannel> {
    const { state } = await this.runHandshake(config);
    if (state.name !== "established") throw new Error("The ladder did not end");
    return await EvilChannel.open(this, state);
  }
}

/** A channel of which the test decides every record. */
export class EvilChannel {
  readonly peer: EvilPeer;
  readonly established: Established;
  readonly sealer: RecordCipher;
  readonly opener: RecordCipher;

  private constructor(
    peer: EvilPeer,
    established: Established,
    sealer: RecordCipher,
    opener: RecordCipher,
  ) {
    this.peer = peer;
    this.established = established;
    this.sealer = sealer;
    this.opener = opener;
  }

  static async open(peer: EvilPeer, established: Established): Promise<EvilChannel> {
    const { suite, ours, theirs, role } = established;
    const signer = suite.signedRecords
      ? {
        sign: (data: Bytes) => ours.sign(data),
        verify: (signature: Bytes, data: Bytes) => verifyBy(theirs, signature, data),
      }
      : undefined;
    const [out, back] = role === "initiator" ? ["i2r", "r2i"] as const : ["r2i", "i2r"] as const;
    const sealer = new RecordCipher(suite, out, signer, established.sendSecret);
    const opener = new RecordCipher(suite, back, signer, established.receiveSecret);
    await Promise.all([sealer.prepare(), opener.prepare()]);
    return new EvilChannel(peer, established, sealer, opener);
  }

  /** The frame of a record with this plaintext, right or wrong. */
  async seal(inner: Bytes): Promise<Bytes> {
    const header = frameHeader(FrameKind.record, this.sealer.sealedLength(inner.length));
    return concat([header, await this.sealer.seal(header, inner)]);
  }

  /** The frame of a record with these items. */
  sealItems(...items: readonly Item[]): Promise<Bytes> {
    return this.seal(encodeItems(items));
  }

  /** Sends one item in a record of its own. */
  async send(type: ItemType, body: Bytes = new Uint8Array(0)): Promise<void> {
    await this.peer.send(await this.sealItems({ type, body }));
  }

  /** The items of the next record; the name of an alert; null at the end. */
  async receive(): Promise<readonly Item[] | string | null> {
    const frame = await this.peer.nextFrame();
    if (!frame) return null;
    if (frame.kind === FrameKind.alert) return alertName(frame);
    if (frame.kind !== FrameKind.record) throw new Error(`Not a record: ${frame.kind}`);
    const header = frameHeader(FrameKind.record, frame.body.length);
    return decodeItems(await this.opener.open(header, frame.body));
  }
}

const ladders = new Map<SuiteName, Promise<Readonly<Record<Side, Established>>>>();

/** Both ends of one finished ladder; the secrets are copies, so that it serves any number of channels. */
export async function ends(suite: SuiteName): Promise<Readonly<Record<Side, Established>>> {
  const finished = ladders.get(suite) ?? scene(suite).then(runBothHandshakes).then(bothEnds);
  ladders.set(suite, finished);
  const { initiator, responder } = await finished;
  const copy = (established: Established) => ({
    ...established,
    sendSecret: established.sendSecret.slice(),
    receiveSecret: established.receiveSecret.slice(),
  });
  return { initiator: copy(initiator), responder: copy(responder) };
}

/** Two open channels, and what is between them. */
export interface ChannelPair {
  readonly alice: Channel;
  readonly bob: Channel;
  readonly pipe: Pipe;
  readonly clock: ManualTime;
}

/** Alice (initiator, left) and Bob (responder, right) with an open channel over a pipe. */
export async function openChannels(
  suite: SuiteName = "modern",
  lanes: LaneOptions = {},
): Promise<ChannelPair> {
  const clock = new ManualTime();
  const between = pipe(lanes);
  const { initiator, responder } = await ends(suite);
  const [alice, bob] = await Promise.all([
    openChannel(between.left, initiator, clock),
    openChannel(between.right, responder, clock),
  ]);
  return { alice, bob, pipe: between, clock };
}

/** A channel of ours as a finished ladder leaves it. */
export function openChannel(
  transport: Transport,
  established: Established,
  clock: ManualTime,
): Promise<Channel> {
  const connection = new Connection(transport, clock.now);
  connection.markOpen();
  return Channel.open(connection, established, clock.now);
}

/** What `open` makes, and the ciphers that were prepared for it, in no particular order. */
export async function withCiphers<T>(
  open: () => Promise<T>,
): Promise<T & { readonly ciphers: readonly RecordCipher[] }> {
  const { prototype } = RecordCipher;
  const { prepare } = prototype;
  const ciphers = new Set<RecordCipher>();
  prototype.prepare = function () {
    ciphers.add(this);
    return prepare.call(this);
  };
  try {
    return { ...await open(), ciphers: [...ciphers] };
  } finally {
    prototype.prepare = prepare;
  }
}

/** Mallory, who holds Alice's keys, on the left, and Bob with an ordinary channel on the right. */
export interface EvilPair {
  readonly mallory: EvilChannel;
  readonly bob: Channel;
  readonly pipe: Pipe;
  readonly clock: ManualTime;
}

/** A channel whose other end says what the test wants. */
export async function openEvilPair(
  suite: SuiteName = "modern",
  lanes: LaneOptions = {},
): Promise<EvilPair> {
  const clock = new ManualTime();
  const between = pipe(lanes);
  const { initiator, responder } = await ends(suite);
  const [mallory, bob] = await Promise.all([
    EvilChannel.open(new EvilPeer(between.left), initiator),
    openChannel(between.right, responder, clock),
  ]);
  return { mallory, bob, pipe: between, clock };
}
