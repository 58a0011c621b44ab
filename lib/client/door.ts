/**
 * Our two ports, one pair for the whole program: where we listen and from where we dial. Whoever comes in says
 * with its preface which introduction it comes from, in time, or gets not a byte of answer (PROTOCOL.md 3.8).
 */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { Connection } from "../channel/connection.ts";
import { CifraError } from "../errors.ts";
import { Signal } from "../flow/signal.ts";
import type { Ticker } from "../flow/ticker.ts";
import { EARLY_LIMIT, PORT_MINIMUM, PREFACE_DEADLINE, UNADMITTED_LIMIT } from "../limits.ts";
import type { Environment, Listening } from "../net/environment.ts";
import type { TcpTransport } from "../net/transports.ts";
import type { Endpoint } from "../wire/address.ts";
import { FrameKind } from "../wire/frame.ts";
import { decodePeerPreface, type PeerPreface } from "../wire/handshake_messages.ts";

/** The port to listen on and the port to dial from. */
export interface Ports {
  readonly receivePort: number;
  readonly sendPort: number;
}

/** Registered by those who neither listen nor dial: the wire has no empty port. */
export const NO_PORTS: Ports = { receivePort: PORT_MINIMUM, sendPort: PORT_MINIMUM + 1 };

/** Who is looked for by one introduction. */
export interface Expectation {
  /** 16 bytes: the introduction. */
  readonly rendezvousId: Bytes;
  /** Whether a preface is that of the peer of this introduction. */
  readonly isFromPeer: (preface: PeerPreface) => boolean;
  /** Takes the connection over. */
  readonly admit: (connection: Connection, remote: Endpoint) => void;
}

/** Which ports to use. */
export interface DoorOptions {
  readonly environment: Environment;
  readonly ticker: Ticker;
  /** The port to listen on; 0 for any. */
  readonly receivePort: number;
  /** The port to dial from; undefined for any. */
  readonly sendPort: number | undefined;
}

/** The door of a program. */
export class Door {
  /** The local port of all dials. */
  readonly sendPort: number;
  readonly #options: DoorOptions;
  readonly #expected = new Map<string, Expectation>();
  /** Connections that nobody has admitted yet. */
  readonly #unknown = new Set<Connection>();
  /** Those of them whose introduction the server may have told the peer earlier than us. */
  readonly #early = new Set<Connection>();
  /** There is another expectation, or time has passed. */
  readonly #changed = new Signal();
  readonly #untick: () => void;
  #listener: Listening | undefined;
  #isClosed = false;

  constructor(options: DoorOptions) {
    this.#options = options;
    const { ticker, sendPort } = options;
    this.sendPort = sendPort ?? findSendPort(options);
    this.#untick = ticker.add((now) => {
      for (const connection of this.#unknown) connection.enforceDeadlines(now);
      this.#changed.notify();
    });
  }

  /**
   * Listens, if it does not yet; `onlyHere`: for this machine alone. Throws `local` when the port cannot be
   * had.
   */
  open(onlyHere: boolean): Ports {
    // A port that is free for dialling is free for listening too: the two must differ.
    while (!this.#listener) {
      const listener = this.#listen(onlyHere);
      if (listener.port === this.sendPort && this.#options.receivePort === 0) listener.close();
      else this.#listener = listener;
    }
    return { receivePort: this.#listener.port, sendPort: this.sendPort };
  }

  /** Lets in who comes from this introduction, until the returned function is called. */
  expect(expectation: Expectation): () => void {
    const id = encodeHex(expectation.rendezvousId);
    this.#expected.set(id, expectation);
    this.#changed.notify();
    return () => {
      if (this.#expected.get(id) === expectation) this.#expected.delete(id);
    };
  }

  /** Lets nobody in any more. */
  close(): void {
    this.#isClosed = true;
    this.#untick();
    this.#listener?.close();
    for (const connection of this.#unknown) connection.close();
    this.#changed.notify();
  }

  #listen(onlyHere: boolean): Listening {
    const listener = onlyHere
      ? this.#options.environment.network.listen(["127.0.0.1", "::1"], this.#options.receivePort)
      : this.#listenEverywhere();
    listener.acceptAll((transport) => this.#greet(transport));
    return listener;
  }

  #listenEverywhere(): Listening {
    const { environment: { network }, receivePort } = this.#options;
    try {
      return network.listen(["::"], receivePort);
    } catch {
      // A machine without IPv6; or the port is in use, which the second try tells.
      return network.listen(["0.0.0.0"], receivePort);
    }
  }

  async #greet(transport: TcpTransport): Promise<void> {
    if (this.#isClosed || this.#unknown.size >= UNADMITTED_LIMIT) return transport.close();
    const { time } = this.#options.environment;
    const end = time.now() + PREFACE_DEADLINE;
    const connection = new Connection(transport, time.now, PREFACE_DEADLINE);
    this.#unknown.add(connection);
    try {
      const { kind, body } = await connection.nextFrame();
      const preface = kind === FrameKind.preface ? decodePeerPreface(body) : undefined;
      const expectation = preface && await this.#expectationOf(preface, connection, end);
      if (!expectation?.isFromPeer(preface!)) {
        throw new CifraError("auth_failed", "The connection is from no introduction of ours");
      }
      expectation.admit(connection, transport.remote);
    } catch (error) {
      connection.fail(error, { silently: true });
    } finally {
      this.#unknown.delete(connection);
    }
  }

  /** Who is looked for by the introduction of this preface, if we hear of that before `end`. */
  async #expectationOf(
    { rendezvousId }: PeerPreface,
    connection: Connection,
    end: number,
  ): Promise<Expectation | undefined> {
    const { time } = this.#options.environment;
    const id = encodeHex(rendezvousId);
    if (this.#expected.has(id) || this.#early.size >= EARLY_LIMIT) return this.#expected.get(id);
    this.#early.add(connection);
    while (!this.#expected.has(id) && !connection.failure && time.now() < end) {
      await this.#changed.wait();
    }
    this.#early.delete(connection);
    return connection.failure ? undefined : this.#expected.get(id);
  }
}

function findSendPort({ environment: { network }, receivePort }: DoorOptions): number {
  for (;;) {
    const port = network.findFreePort("0.0.0.0");
    if (port !== receivePort) return port;
  }
}
