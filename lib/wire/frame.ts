/** Frames: `u32 length | u8 kind | body`, the length counting kind and body (PROTOCOL.md 3.2). */
import type { Bytes } from "../bytes.ts";
import { FRAME_BUFFER_START, RECORD_MINIMUM } from "../limits.ts";
import { badFrame } from "./layout.ts";
import { FrameKind } from "./numbers.ts";

export { FrameKind };

/** Length of the header, in bytes. */
export const FRAME_HEADER_LENGTH = 5;

const KNOWN_KINDS: ReadonlySet<number> = new Set(Object.values(FrameKind));

/** One decoded frame. */
export interface Frame {
  /** What it carries. */
  readonly kind: FrameKind;
  /** Everything after the header. */
  readonly body: Bytes;
}

/** The header of a frame with a body of this length; records use it as additional data. */
export function frameHeader(kind: FrameKind, bodyLength: number): Bytes {
  const header = new Uint8Array(FRAME_HEADER_LENGTH);
  new DataView(header.buffer).setUint32(0, bodyLength + 1);
  header[4] = kind;
  return header;
}

/** A whole frame. */
export function encodeFrame(kind: FrameKind, body: Bytes): Bytes {
  const frames = new FrameBatch();
  frames.add(kind, body);
  return frames.bytes;
}

/**
 * Whole frames one after the other, in one place that is used again: `bytes` belongs to whoever writes it, and holds
 * nothing else until the write is over; only then may `clear` be called.
 */
export class FrameBatch {
  #buffer: Bytes = new Uint8Array(0);
  #length = 0;
  #count = 0;

  /** How many frames there are. */
  get count(): number {
    return this.#count;
  }

  /** The frames, as they go on the wire; a view. */
  get bytes(): Bytes {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Puts one more at the end. */
  add(kind: FrameKind, body: Bytes): void {
    const start = this.#length + FRAME_HEADER_LENGTH;
    this.#reserve(start + body.length);
    this.#buffer.set(frameHeader(kind, body.length), this.#length);
    this.#buffer.set(body, start);
    this.#length = start + body.length;
    this.#count++;
  }

  /** What was there is written. */
  clear(): void {
    this.#length = this.#count = 0;
  }

  #reserve(length: number): void {
    if (length <= this.#buffer.length) return;
    // Where there is more than one there will be more.
    const grown = new Uint8Array(this.#count > 0 ? Math.max(length, 4 * this.#length) : length);
    grown.set(this.bytes);
    this.#buffer = grown;
  }
}

/**
 * Cuts a byte stream into frames, fed with pieces of any size. The length is checked as soon as the
 * header is there, before anything is allocated for the body.
 */
export class FrameDecoder {
  /** Largest length field accepted; raised once the other side is authenticated. */
  limit: number;
  // The header as numbers and not as bytes: every connection has a decoder, and most of them are idle.
  #headerFilled = 0;
  #length = 0;
  #kind = 0;
  #body: Bytes | undefined;
  #bodyFilled = 0;
  #bodyLength = 0;
  #failure: unknown;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Whether a bad frame has come: nothing after it can be read. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Whether a frame has begun and not ended: an end of input now is a cut. */
  get midFrame(): boolean {
    return this.#headerFilled > 0;
  }

  /**
   * Takes `piece` and returns the frames it completes; throws `bad_frame`. Frames before a bad one are
   * returned, however the bytes were cut, and every call after that throws.
   */
  push(piece: Bytes): Frame[] {
    if (this.#failure) throw this.#failure;
    const frames: Frame[] = [];
    try {
      for (let offset = 0; offset < piece.length;) offset += this.#take(piece, offset, frames);
    } catch (error) {
      this.#failure = error;
      if (frames.length === 0) throw error;
    }
    return frames;
  }

  /** Takes what belongs together at `offset`, and says how much that was. */
  #take(piece: Bytes, offset: number, frames: Frame[]): number {
    let taken = 0;
    if (this.#headerFilled < FRAME_HEADER_LENGTH) {
      taken = this.#takeHeader(piece, offset);
      if (this.#headerFilled < FRAME_HEADER_LENGTH) return taken;
    }
    taken += this.#takeBody(piece, offset + taken);
    if (this.#bodyFilled === this.#bodyLength) {
      frames.push({ kind: this.#kind as FrameKind, body: this.#body ?? new Uint8Array(0) });
      this.#headerFilled = 0;
      this.#length = 0;
      this.#body = undefined;
    }
    return taken;
  }

  #takeHeader(piece: Bytes, offset: number): number {
    const count = Math.min(FRAME_HEADER_LENGTH - this.#headerFilled, piece.length - offset);
    for (const byte of piece.subarray(offset, offset + count)) {
      this.#headerFilled++;
      // The length is judged with its fourth byte, the kind with the fifth: neither waits for more.
      if (this.#headerFilled <= 4) this.#length = this.#length * 256 + byte;
      if (this.#headerFilled === 4) this.#requireLength();
      if (this.#headerFilled === 5) this.#requireKind(byte);
    }
    return count;
  }

  #requireLength(): void {
    if (this.#length < 1 || this.#length > this.limit) {
      throw badFrame(`length must be 1 to ${this.limit}, got ${this.#length}`);
    }
    this.#bodyLength = this.#length - 1;
    this.#bodyFilled = 0;
  }

  #requireKind(kind: number): void {
    if (!KNOWN_KINDS.has(kind)) throw badFrame(`unknown kind ${kind}`);
    // Too short to be one: each would cost its receiver as much as one that opens.
    if (kind === FrameKind.record && this.#bodyLength < RECORD_MINIMUM) {
      throw badFrame(`a record has at least ${RECORD_MINIMUM} bytes, got ${this.#bodyLength}`);
    }
    this.#kind = kind;
  }

  #takeBody(piece: Bytes, offset: number): number {
    const count = Math.min(this.#bodyLength - this.#bodyFilled, piece.length - offset);
    this.#reserve(this.#bodyFilled + count);
    this.#body?.set(piece.subarray(offset, offset + count), this.#bodyFilled);
    this.#bodyFilled += count;
    return count;
  }

  /** Grows the body's buffer with what has arrived, never with what a header merely claims. */
  #reserve(needed: number): void {
    const capacity = this.#body?.length ?? 0;
    if (needed <= capacity) return;
    const wanted = Math.max(needed, capacity * 2, FRAME_BUFFER_START);
    const grown = new Uint8Array(Math.min(this.#bodyLength, wanted));
    if (this.#body) grown.set(this.#body.subarray(0, this.#bodyFilled));
    this.#body = grown;
  }
}
