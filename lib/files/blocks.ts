/** Digests of the blocks of a file: what both sides have of it is told by them, so that a transfer goes on there. */
import type { Bytes } from "../bytes.ts";
import { sha256 } from "../crypto/platform.ts";
import { FILE_BLOCK_MAXIMUM, FILE_BLOCK_MINIMUM, FILE_DIGESTS_LIMIT } from "../limits.ts";
import { DIGEST_LENGTH } from "../wire/file_messages.ts";
import { Turns } from "./turns.ts";

/** What is read at once. */
const PIECE = 2 ** 18;

/** Reads from an offset into a buffer: how many bytes, fewer than asked only where there are no more. */
export type ReadAt = (offset: number, into: Bytes) => number;

/** The digests of the first blocks of a file. */
export interface BlockDigests {
  /** Logarithm of the length of a block; 0 when there are no digests. */
  readonly block: number;
  /** SHA-256 of each block, one after the other. */
  readonly digests: Bytes;
}

/** The smallest blocks of which so many bytes have no more than one question carries; 0: not one whole block. */
export function blockFor(length: number): number {
  if (length < 2 ** FILE_BLOCK_MINIMUM) return 0;
  const fitting = Math.ceil(Math.log2(length / FILE_DIGESTS_LIMIT));
  return Math.min(Math.max(fitting, FILE_BLOCK_MINIMUM), FILE_BLOCK_MAXIMUM);
}

/** The digests of the whole blocks within the first `length` bytes of what `read` reads. */
export async function digestBlocks(read: ReadAt, length: number): Promise<BlockDigests> {
  const block = blockFor(length);
  const count = block === 0 ? 0 : Math.min(Math.floor(length / 2 ** block), FILE_DIGESTS_LIMIT);
  const digests = new Uint8Array(count * DIGEST_LENGTH);
  const hasher = new BlockHasher(read);
  for (let i = 0; i < count; i++) {
    const digest = await hasher.next(2 ** block);
    if (!digest) {
      return { block: i === 0 ? 0 : block, digests: digests.slice(0, i * DIGEST_LENGTH) };
    }
    digests.set(digest, i * DIGEST_LENGTH);
  }
  return { block, digests };
}

/** How many of the first bytes of what `read` reads are those whose digests the other side has told. */
export async function equalUntil(
  read: ReadAt,
  { block, digests }: BlockDigests,
): Promise<number> {
  if (block === 0) return 0;
  const hasher = new BlockHasher(read);
  for (let at = 0; at < digests.length; at += DIGEST_LENGTH) {
    const digest = await hasher.next(2 ** block);
    if (!digest?.every((byte, i) => byte === digests[at + i])) {
      return at / DIGEST_LENGTH * 2 ** block;
    }
  }
  return digests.length / DIGEST_LENGTH * 2 ** block;
}

/** Digests one block after the other, in turns. */
class BlockHasher {
  readonly #read: ReadAt;
  readonly #piece = new Uint8Array(PIECE);
  readonly #turns = new Turns();
  #offset = 0;

  constructor(read: ReadAt) {
    this.#read = read;
  }

  /** The digest of the next block; undefined when there is less. */
  async next(length: number): Promise<Bytes | undefined> {
    const hash = sha256();
    for (let done = 0; done < length;) {
      const turn = this.#turns.next();
      if (turn) await turn;
      const piece = this.#piece.subarray(0, length - done);
      const read = this.#read(this.#offset, piece);
      if (read === 0) return undefined;
      hash.update(piece.subarray(0, read));
      done += read;
      this.#offset += read;
    }
    return hash.digest();
  }
}
