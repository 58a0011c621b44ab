/** The bytes of a stream that is sent, such as standard input: read once, and its last part kept. */
import type { Bytes } from "../bytes.ts";
import { STREAM_WINDOW } from "../limits.ts";
import { FileFailure, fileFailure } from "./file_failure.ts";

/**
 * A stream that can be read again from a little before the furthest place that anybody has read. It is not read
 * ahead: whoever asks for bytes waits for them, and the other end of the pipe waits for whoever asks.
 */
export class StreamSource {
  readonly #reader: ReadableStreamDefaultReader<Bytes>;
  /** The last bytes of the stream; the one at n stands at n modulo its length. */
  readonly #ring: Bytes;
  /** Read from the stream, and not yet in the ring. */
  #rest: Bytes = new Uint8Array(0);
  #end = 0;
  #isWhole = false;
  #reading: Promise<void> | undefined;

  /** `window`: bytes that are kept. */
  constructor(stream: ReadableStream<Bytes>, window: number = STREAM_WINDOW) {
    this.#reader = stream.getReader();
    this.#ring = new Uint8Array(window);
  }

  /** Bytes in all; undefined before the end was seen. */
  get size(): number | undefined {
    return this.#isWhole ? this.#end : undefined;
  }

  /**
   * Puts bytes from `offset` on into `into`, at least one; their number, 0 at the end of the stream. Throws `local`
   * (FileFailure, "gone") where they are no longer kept, or beyond what anybody has read, and when the stream fails.
   */
  async read(offset: number, into: Bytes): Promise<number> {
    while (offset === this.#end && !this.#isWhole) {
      if (this.#rest.length > 0) this.#keep();
      else await (this.#reading ??= this.#more());
    }
    const window = this.#ring.length;
    if (offset < this.#end - window || offset > this.#end) {
      throw new FileFailure("Cannot send this stream again: its beginning is not kept", {
        trouble: "gone",
        hint: "send it anew, from a file if it is long",
      });
    }
    const at = offset % window;
    const part = this.#ring.subarray(at, at + Math.min(this.#end - offset, into.length));
    into.set(part);
    return part.length;
  }

  /** Lets go of the stream: nobody reads it any more. */
  async close(): Promise<void> {
    await this.#reader.cancel().catch(() => {});
  }

  async #more(): Promise<void> {
    try {
      const { value, done } = await this.#reader.read();
      if (done) this.#isWhole = true;
      else this.#rest = value;
    } catch (error) {
      throw fileFailure("Cannot read the stream", error);
    } finally {
      this.#reading = undefined;
    }
  }

  /** Puts what was read last into the ring: never so much that nothing is left of what was read before. */
  #keep(): void {
    const at = this.#end % this.#ring.length;
    const length = Math.min(this.#ring.length - at, Math.ceil(this.#ring.length / 2));
    const part = this.#rest.subarray(0, length);
    this.#ring.set(part, at);
    this.#end += part.length;
    this.#rest = this.#rest.subarray(part.length);
  }
}
