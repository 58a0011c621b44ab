/** Frames over a transport: whole writes, deadlines, and one way to fail. */
import { type Bytes, writeAll } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { toCifraError } from "../platform_errors.ts";
import {
  FIRST_BYTE_DEADLINE,
  FRAME_DEADLINE,
  FRAME_LIMIT_HANDSHAKE,
  FRAME_LIMIT_OPEN,
  HANDSHAKE_DEADLINE,
  READ_BUFFER_MAXIMUM,
  READ_BUFFER_MINIMUM,
  WRITE_DEADLINE,
} from "../limits.ts";
import type { Endpoint } from "../wire/address.ts";
import { decodeAlert, encodeAlert } from "../wire/alert.ts";
import {
  encodeFrame,
  type Frame,
  FRAME_HEADER_LENGTH,
  FrameDecoder,
  FrameKind,
} from "../wire/frame.ts";
import type { MonotonicClock, Transport } from "./transport.ts";

const NOTHING = new Uint8Array(0);

/** Something that is said outside of the ladder and of the channel. */
export interface Word {
  /** Who said it. */
  readonly direction: "sent" | "received";
  /** What it is (PROTOCOL.md 3.2). */
  readonly name: "preface" | "alert";
  /** Bytes on the wire. */
  readonly length: number;
}

const WORDS: Readonly<Partial<Record<FrameKind, Word["name"]>>> = {
  [FrameKind.preface]: "preface",
  [FrameKind.alert]: "alert",
};

/**
 * One connection before and under a channel. It owns no timer: whoever owns the connection calls
 * `enforceDeadlines` about once a second, which keeps thousands of idle ones free of timers.
 */
export class Connection {
  readonly #transport: Transport;
  readonly #clock: MonotonicClock;
  readonly #decoder = new FrameDecoder(FRAME_LIMIT_HANDSHAKE);
  readonly #openedAt: number;
  readonly #firstByteDeadline: number;
  #readBuffer: Bytes = new Uint8Array(READ_BUFFER_MINIMUM);
  #ready: Frame[] = [];
  #open = false;
  #heardAnything = false;
  /** Whole ones: before the first we owe a stranger no answer, not even an alert. */
  #framesHeard = 0;
  /** Set with the first frame of the handshake itself: from then on the next one is due when we wait for it. */
  #underWay = false;
  /** Since when a frame of the handshake has been due or has been coming. */
  #frameSince: number | undefined;
  #writing: Promise<void> = Promise.resolve();
  #writeStartedAt: number | undefined;
  #failure: CifraError | undefined;
  #isToldWhy = false;
  /** Told of each preface and alert, which belong to no ladder and no channel, with the length of its frame. */
  onWord: ((word: Word) => void) | undefined;

  /** `firstByteDeadline` is longer where the other side may have a reason to keep us waiting. */
  constructor(
    transport: Transport,
    clock: MonotonicClock,
    firstByteDeadline: number = FIRST_BYTE_DEADLINE,
  ) {
    this.#transport = transport;
    this.#clock = clock;
    this.#firstByteDeadline = firstByteDeadline;
    this.#openedAt = clock();
  }

  /** Why the connection is over, once it is. */
  get failure(): CifraError | undefined {
    return this.#failure;
  }

  /** Whether `failure` is the other side's word, an alert, and not our judgement. */
  get isToldWhy(): boolean {
    return this.#isToldWhy;
  }

  /** Our end of it; undefined for what is relayed. */
  get local(): Endpoint | undefined {
    return this.#transport.local;
  }

  /** How much was heard: 0 for nothing, 1 for part of a frame, and 2 more for each whole one. */
  get heard(): number {
    return (this.#heardAnything ? 1 : 0) + 2 * this.#framesHeard;
  }

  /** The handshake is done: larger frames are welcome and its deadlines no longer count. */
  markOpen(): void {
    this.#open = true;
    this.#decoder.limit = FRAME_LIMIT_OPEN;
  }

  /** The next frame of a handshake; throws `cut` at the end of input. */
  async nextFrame(): Promise<Frame> {
    const frames = await this.nextFrames();
    if (frames === null) throw this.fail(endOfInput());
    const [next, ...others] = frames;
    this.#ready.unshift(...others);
    this.#tell("received", next!);
    if (next!.kind !== FrameKind.preface) this.#underWay = true;
    return next!;
  }

  /** Puts a frame back that turned out to be somebody else's to read. */
  unread(frame: Frame): void {
    this.#ready.unshift(frame);
  }

  /** The next frames, at least one, in order; null at an end of input between frames. */
  async nextFrames(): Promise<Frame[] | null> {
    try {
      while (this.#ready.length === 0) {
        if (this.#failure) throw this.#failure;
        if (this.#decoder.failed) this.#decoder.push(NOTHING);
        if (this.#underWay && !this.#open) this.#frameSince ??= this.#clock();
        // Awaited here and not in a function of its own: thousands of connections wait at this place.
        const count = await this.#transport.read(this.#readBuffer);
        if (this.#failure) throw this.#failure;
        if (count === null) {
          if (this.#decoder.midFrame) throw endOfInput();
          return null;
        }
        this.#take(count);
      }
    } catch (error) {
      throw this.fail(error);
    }
    this.#heedAlert();
    const alert = this.#ready.findIndex(({ kind }) => kind === FrameKind.alert);
    return this.#ready.splice(0, alert === -1 ? this.#ready.length : alert);
  }

  /** Decodes what has just been read. */
  #take(count: number): void {
    this.#heardAnything = true;
    const frames = this.#decoder.push(this.#readBuffer.subarray(0, count));
    this.#resizeReadBuffer(count);
    if (frames.length > 0) {
      this.#framesHeard += frames.length;
      this.#ready.push(...frames);
    }
    const since = frames.length > 0 ? undefined : this.#frameSince;
    this.#frameSince = this.#decoder.midFrame ? since ?? this.#clock() : undefined;
  }

  /** An alert ends the connection, in its turn: what came before it counts. */
  #heedAlert(): void {
    const { kind, body } = this.#ready[0]!;
    if (kind !== FrameKind.alert) return;
    this.#tell("received", { kind, body });
    let told: unknown;
    try {
      told = decodeAlert(body);
    } catch (error) {
      told = error;
    }
    this.#isToldWhy = this.#failure === undefined;
    throw this.fail(told, { silently: true });
  }

  /** Sends one frame; resolves when the transport has taken all of it. */
  sendFrame(kind: FrameKind, body: Bytes): Promise<void> {
    this.#tell("sent", { kind, body });
    return this.write(encodeFrame(kind, body));
  }

  /** Writes whole frames; concurrent calls never interleave. Throws the connection's failure. */
  write(data: Bytes): Promise<void> {
    // The chain must go on after a failure, and each caller sees the failure through its own link.
    const written = this.#writing.then(() => this.#writeAll(data));
    this.#writing = written.catch(() => {});
    return written;
  }

  /**
   * Ends the connection because of `cause`: tells the other side by an alert, once, unless it told us
   * first, has not yet said anything we understood, or is being written to. Returns the error that
   * stays. Nobody waits for the alert.
   */
  fail(cause: unknown, { silently = false } = {}): CifraError {
    if (this.#failure) return this.#failure;
    const failure = toCifraError(cause);
    this.#failure = failure;
    const midFrame = this.#writeStartedAt !== undefined;
    if (silently || this.#framesHeard === 0 || failure.code === "cut" || midFrame) {
      this.#transport.close();
    } else {
      const body = encodeAlert(failure);
      this.#tell("sent", { kind: FrameKind.alert, body });
      this.#writing = this.#push(encodeFrame(FrameKind.alert, body))
        .then(() => this.#transport.closeWrite())
        .catch(() => {})
        .finally(() => this.#transport.close());
    }
    return failure;
  }

  #tell(direction: Word["direction"], { kind, body }: Frame): void {
    const name = WORDS[kind];
    if (name) this.onWord?.({ direction, name, length: FRAME_HEADER_LENGTH + body.length });
  }

  /** Ends our output, after everything written so far; throws what the transport throws. */
  async closeWrite(): Promise<void> {
    await this.#writing;
    await this.#transport.closeWrite();
  }

  /** Ends the connection without a word. */
  close(): void {
    this.#failure ??= new CifraError("cut", "Connection closed");
    this.#transport.close();
  }

  /** Fails the connection when one of its deadlines (PROTOCOL.md 4) has passed. */
  enforceDeadlines(now: number = this.#clock()): void {
    if (this.#failure) return;
    const late = this.#lateness(now);
    if (late) this.fail(new CifraError("timeout", `Connection gave up: ${late}`));
  }

  #lateness(now: number): string | undefined {
    if (this.#writeStartedAt !== undefined && now - this.#writeStartedAt > WRITE_DEADLINE) {
      return "the other side takes no data";
    }
    if (this.#open) return undefined;
    if (!this.#heardAnything && now - this.#openedAt > this.#firstByteDeadline) {
      return "the other side says nothing";
    }
    if (this.#frameSince !== undefined && now - this.#frameSince > FRAME_DEADLINE) {
      return this.#decoder.midFrame ? "a message does not end" : "the next message does not come";
    }
    if (now - this.#openedAt > HANDSHAKE_DEADLINE) return "the key agreement takes too long";
    return undefined;
  }

  /** Grows with the flow, and shrinks again: an idle connection holds 512 bytes. */
  #resizeReadBuffer(count: number): void {
    const size = this.#readBuffer.length;
    if (count === size && size < READ_BUFFER_MAXIMUM && this.#open) {
      this.#readBuffer = new Uint8Array(Math.min(size * 8, READ_BUFFER_MAXIMUM));
    } else if (count < size / 64 && size > READ_BUFFER_MINIMUM) {
      this.#readBuffer = new Uint8Array(READ_BUFFER_MINIMUM);
    }
  }

  async #writeAll(data: Bytes): Promise<void> {
    if (this.#failure) throw this.#failure;
    try {
      await this.#push(data);
    } catch (error) {
      throw this.fail(error, { silently: true });
    }
  }

  async #push(data: Bytes): Promise<void> {
    this.#writeStartedAt = this.#clock();
    try {
      await writeAll({
        write: async (rest) => {
          const count = await this.#transport.write(rest);
          // Whatever is taken gives the rest as much time again.
          this.#writeStartedAt = this.#clock();
          return count;
        },
      }, data);
    } finally {
      this.#writeStartedAt = undefined;
    }
  }
}

/** The other side went away without saying so. */
export function endOfInput(): CifraError {
  return new CifraError("cut", "Connection ended without a goodbye", {
    hint: "the other side or the network went away; connect again",
  });
}
