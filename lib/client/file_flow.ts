/**
 * The content of files over one channel (PROTOCOL.md 3.15): what the other side wants of us, piece by piece and in
 * turns, and what comes for us. It begins and ends with the channel; what goes on over the next one is known by the
 * transfers.
 */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { Signal } from "../flow/signal.ts";
import type { Time } from "../flow/time.ts";
import { TokenBucket } from "../flow/token_bucket.ts";
import { FILE_WINDOW_LIMIT, FILE_WORDS_PER_MINUTE } from "../limits.ts";
import { type FileItem, fileItem } from "../wire/file_messages.ts";
import { decode, encode } from "../wire/layout.ts";
import type { FileCarrier } from "./file_dock.ts";
import { FileWindow } from "./file_window.ts";

/** It is said how much is dealt with when it is so much more than was said, and after so many milliseconds. */
const TAKEN_STRIDE = 256 * 1024;
const TAKEN_AFTER = 5;
/** Pieces read at a time where the window has room for many. */
const AT_ONCE = 4;

/** What the other side asks for. */
export type Want = Extract<FileItem, { readonly type: "want" }>;
/** What comes of a transfer. */
export type Delivered = Extract<FileItem, { readonly type: "data" | "changed" | "end" | "pause" }>;
/** What is said of a transfer to its sender. */
export type Asked = Want | Extract<FileItem, { readonly type: "hold" }>;

/** Something of a transfer that is to be said next. */
export interface Piece {
  /** The body of an item of type `file`. */
  readonly body: Bytes;
  /** Bytes of content in it. */
  readonly length: number;
}

/** Content of ours that somebody wants, from where they want it. */
export interface Outflow {
  /**
   * The next pieces, at most `limit` bytes of content in all and `pieceLimit` in one: none when all is said, undefined
   * when there is nothing at the moment; then `wake` tells when there is. Throws nothing: what cannot be read is
   * said to the other side, or waited for.
   */
  next(limit: number, pieceLimit: number): readonly Piece[] | undefined;
  /** It is not wanted any more, or from elsewhere. */
  close(): void;
}

/** Content that comes to us. */
export interface Inflow {
  /**
   * Takes what has come, in order; undefined when it is dealt with, otherwise a promise that resolves when it is. Throws
   * or rejects with `bad_state` on what the other side must not send; anything else is the business of the transfer.
   */
  take(item: Delivered): Promise<void> | undefined;
  /** The channel is gone. */
  detach(): void;
}

/** What is asked of the transfers with the person at the other end. */
export interface FlowEnds {
  /**
   * Begins to give what is wanted, and calls `wake` when there is more of it; undefined for a transfer that is not ours
   * to give. Throws `bad_state` for what is not in it.
   */
  readonly give: (want: Want, wake: () => void) => Outflow | undefined;
  /** The other side wants no more of a transfer before it says so again. */
  readonly held: (hold: Extract<FileItem, { readonly type: "hold" }>) => void;
  /** More of what is under way was taken. */
  readonly taken?: () => void;
}

/** Files over one channel. */
export class FileFlow {
  readonly #carrier: FileCarrier;
  readonly #ends: FlowEnds;
  readonly #time: Pick<Time, "now" | "after">;
  readonly #window = new FileWindow();
  readonly #words: TokenBucket;
  readonly #sendable = new Signal();
  /** What they want of us, the next to be sent first; by the id of the transfer. */
  readonly #outflows = new Map<string, Outflow>();
  /** The last turn of each transfer that they wanted. */
  readonly #turns = new Map<string, number>();
  /** What we want of them, and wanted. */
  readonly #inflows = new Map<string, Inflow | undefined>();
  /** Content that has come, that is dealt with, and of which that is told. */
  #come = 0;
  #dealt = 0;
  #told = 0;
  #cancelTelling: (() => void) | undefined;
  #isOver = false;

  constructor(carrier: FileCarrier, ends: FlowEnds, time: Pick<Time, "now" | "after">) {
    this.#carrier = carrier;
    this.#ends = ends;
    this.#time = time;
    this.#words = new TokenBucket(FILE_WORDS_PER_MINUTE, FILE_WORDS_PER_MINUTE, time.now());
    this.#sendAll();
  }

  /** Bytes of content that were taken, here and over there. */
  get progress(): number {
    return this.#dealt + this.#window.taken;
  }

  /** Bytes of content of ours that were sent, and that the other side has not said it took. */
  get underWay(): number {
    return this.#window.underWay;
  }

  /** Says what we want of a transfer, or that we want no more; `inflow` takes what comes of it from now on. */
  ask(asked: Asked, inflow: Inflow): void {
    this.#inflows.set(encodeHex(asked.transfer), inflow);
    this.#say(asked);
  }

  /** What comes of a transfer is passed over from now on: it is over. */
  drop(transfer: string): void {
    if (this.#inflows.has(transfer)) this.#inflows.set(transfer, undefined);
    this.#end(transfer);
  }

  /** Tells the other side that content of ours cannot be read at the moment. */
  pause(paused: Extract<FileItem, { readonly type: "pause" }>): void {
    this.#say(paused);
  }

  /** The other side has said something of files. Throws `bad_frame`, `bad_state`, `limit`. */
  hear(body: Bytes): void {
    const item = decode(fileItem, body);
    switch (item.type) {
      case "want":
        this.#countWord();
        return this.#give(item);
      case "hold":
        this.#countWord();
        this.#end(encodeHex(item.transfer));
        return this.#ends.held(item);
      case "taken":
        this.#window.take(item.bytes, this.#time.now());
        this.#carrier.noteUnderWay(this.#window.underWay > 0);
        this.#ends.taken?.();
        return this.#sendable.notify();
      case "pause":
        this.#countWord();
        return this.#receive(item);
      case "data":
      case "changed":
      case "end":
        return this.#receive(item);
    }
  }

  /** The channel is gone. */
  end(): void {
    this.#isOver = true;
    this.#cancelTelling?.();
    for (const transfer of [...this.#outflows.keys()]) this.#end(transfer);
    for (const inflow of this.#inflows.values()) inflow?.detach();
    this.#inflows.clear();
    this.#sendable.notify();
  }

  #countWord(): void {
    if (this.#words.take(this.#time.now())) return;
    throw new CifraError("limit", "The other side asks for files again and again");
  }

  #say(item: FileItem): void {
    if (!this.#isOver) this.#carrier.send(encode(fileItem, item));
  }

  #give(want: Want): void {
    const id = encodeHex(want.transfer);
    if (want.turn <= (this.#turns.get(id) ?? 0)) throw outOfTurn();
    this.#end(id);
    const outflow = this.#ends.give(want, () => this.#sendable.notify());
    // Of what is over, or was never offered, the log says all there is to say.
    if (!outflow) return;
    this.#turns.set(id, want.turn);
    this.#outflows.set(id, outflow);
    this.#sendable.notify();
  }

  #end(transfer: string): void {
    this.#outflows.get(transfer)?.close();
    this.#outflows.delete(transfer);
  }

  /** Sends what is wanted, as far as the window has room, some of each in turn. Never rejects. */
  async #sendAll(): Promise<void> {
    while (!this.#isOver) {
      if (!this.#sendSome()) await this.#sendable.wait();
      else await this.#carrier.ready();
    }
  }

  /** Whether there was something to send, and room for it. */
  #sendSome(): boolean {
    const { room, pieceLimit } = this.#window;
    if (room < pieceLimit || !this.#carrier.isOpen) return false;
    for (const [id, outflow] of [...this.#outflows]) {
      const pieces = outflow.next(Math.min(room, AT_ONCE * pieceLimit), pieceLimit);
      if (!pieces) continue;
      // The others come before it the next time.
      this.#outflows.delete(id);
      if (pieces.length === 0) outflow.close();
      else this.#outflows.set(id, outflow);
      for (const { body, length } of pieces) {
        if (length > 0 && this.#window.underWay === 0) this.#carrier.noteUnderWay(true);
        this.#carrier.send(body);
        this.#window.send(length, this.#time.now());
      }
      return true;
    }
    return false;
  }

  #receive(item: Delivered): void {
    const id = encodeHex(item.transfer);
    if (!this.#inflows.has(id)) throw outOfTurn();
    const length = item.type === "data" ? item.content.length : 0;
    this.#come += length;
    if (this.#come - this.#told > FILE_WINDOW_LIMIT) {
      throw new CifraError("limit", "The other side sends more of a file than was asked for");
    }
    const done = this.#inflows.get(id)?.take(item);
    if (!done) return this.#deal(length);
    done.then(() => this.#deal(length), (error) => this.#fail(error));
  }

  #fail(error: unknown): void {
    if (!(error instanceof CifraError)) throw error;
    if (!this.#isOver) this.#carrier.fail(error);
  }

  #deal(length: number): void {
    this.#dealt += length;
    if (this.#isOver || this.#dealt === this.#told) return;
    if (this.#dealt - this.#told >= TAKEN_STRIDE) return this.#tellTaken();
    this.#cancelTelling ??= this.#time.after(TAKEN_AFTER, () => this.#tellTaken());
  }

  #tellTaken(): void {
    this.#cancelTelling?.();
    this.#cancelTelling = undefined;
    this.#told = this.#dealt;
    this.#say({ type: "taken", bytes: BigInt(this.#told) });
  }
}

function outOfTurn(): CifraError {
  return new CifraError("bad_state", "The other side said something of a file out of turn");
}
