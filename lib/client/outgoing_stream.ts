/**
 * A stream that is sent, such as standard input: the manifest of its one entry, then what comes of it, and at its end
 * how long it was (PROTOCOL.md 3.15).
 */
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import type { StreamSource } from "../files/stream_source.ts";
import { FILE_PIECE_HEADER } from "../limits.ts";
import { fileItem, writeDataHeader } from "../wire/file_messages.ts";
import { encode } from "../wire/layout.ts";
import type { Outflow, Piece, Want } from "./file_flow.ts";

/** What is to be sent. */
export interface OutgoingStreamOptions {
  readonly want: Want;
  readonly manifest: Bytes;
  readonly stream: StreamSource;
  /** There is more to send, where there was nothing. */
  readonly wake: () => void;
  /** All before this place has been said. */
  readonly onProgress: (entry: number, offset: number) => void;
  /** It cannot be read from where it is wanted, and never will be. */
  readonly onGone: (error: CifraError) => void;
}

/** A stream of ours on its way; the next one reads on where it is wanted. */
export class OutgoingStream implements Outflow {
  readonly #options: OutgoingStreamOptions;
  /** Of the manifest. */
  #told: number;
  #offset: number;
  /** Read, and not sent yet. */
  readonly #ready: Piece[] = [];
  #isReading = false;
  /** There is nothing more to read. */
  #isOver = false;

  /** Throws `bad_state` when it is wanted from where it has nothing. */
  constructor(options: OutgoingStreamOptions) {
    const { want: { entry, offset }, manifest, stream: { size } } = options;
    const isThere = entry === 0
      ? offset <= manifest.length
      : entry === 1 && offset <= (size ?? Infinity);
    if (!isThere) {
      throw new CifraError(
        "bad_state",
        "The other side wants a part of a stream that is not there",
      );
    }
    this.#options = options;
    this.#told = entry === 0 ? offset : manifest.length;
    // Its blocks are not looked at: of most of them nothing is kept here.
    this.#offset = entry === 0 ? 0 : offset;
  }

  next(limit: number, pieceLimit: number): readonly Piece[] | undefined {
    const { manifest } = this.#options;
    const pieces: Piece[] = [];
    let room = limit;
    while (this.#told < manifest.length && room > 0) {
      const part = manifest.subarray(this.#told, this.#told + Math.min(room, pieceLimit));
      pieces.push(this.#piece(0, this.#told, part));
      this.#told += part.length;
      room -= part.length;
    }
    if (pieces.length > 0) return pieces;
    // What was read may be longer than there is room by now; so much is always there.
    for (let piece; (piece = this.#ready[0]) && (room > 0 || piece.length === 0);) {
      pieces.push(piece);
      this.#ready.shift();
      room -= piece.length;
    }
    if (this.#ready.length === 0 && !this.#isReading && !this.#isOver) {
      this.#read(limit, pieceLimit);
    }
    if (pieces.length > 0) return pieces;
    return this.#isOver && !this.#isReading ? [] : undefined;
  }

  close(): void {
    this.#isOver = true;
    this.#ready.length = 0;
  }

  /** Reads so many bytes at most; what has come by then goes. Never rejects but on a mistake of ours. */
  async #read(limit: number, pieceLimit: number): Promise<void> {
    this.#isReading = true;
    const { stream, wake, onProgress, onGone } = this.#options;
    try {
      for (let room = limit; room > 0 && !this.#isOver;) {
        const content = new Uint8Array(FILE_PIECE_HEADER + Math.min(room, pieceLimit));
        const length = await stream.read(this.#offset, content.subarray(FILE_PIECE_HEADER));
        if (this.#isOver) break;
        if (length === 0) this.#end();
        else {
          const body = content.subarray(0, FILE_PIECE_HEADER + length);
          this.#ready.push({ body: this.#head(body, 1, this.#offset), length });
          this.#offset += length;
          room -= length;
          onProgress(1, this.#offset);
        }
        if (length < pieceLimit) break;
      }
    } catch (error) {
      if (!(error instanceof CifraError)) throw error;
      this.#isOver = true;
      onGone(error);
    } finally {
      this.#isReading = false;
      wake();
    }
  }

  #end(): void {
    const { want: { transfer, turn } } = this.#options;
    const end = { type: "end", transfer, turn, entry: 1, size: this.#offset } as const;
    this.#ready.push({ body: encode(fileItem, end), length: 0 });
    this.#isOver = true;
  }

  #piece(entry: number, offset: number, part: Bytes): Piece {
    const body = new Uint8Array(FILE_PIECE_HEADER + part.length);
    body.set(part, FILE_PIECE_HEADER);
    return { body: this.#head(body, entry, offset), length: part.length };
  }

  #head(body: Bytes, entry: number, offset: number): Bytes {
    const { want: { transfer, turn } } = this.#options;
    writeDataHeader(body, { transfer, turn, entry, offset });
    return body;
  }
}
