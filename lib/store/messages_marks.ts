/**
 * How far each log had come at least, in a small file beside the database: whoever opens the database finds
 * out that it lost its newest messages, as when its write-ahead log is gone or damaged.
 */
import { decodeHex, encodeHex } from "@std/encoding/hex";
import { type Bytes, decodeUtf8, encodeUtf8, writeAllSync } from "../bytes.ts";
import { isSuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import type { ConversationKey, Direction } from "./message_store.ts";
import { findPrivate } from "./private_files.ts";

/** What it is called in the folder of a profile. */
export const MARKS_FILE = "messages.marks";
/** Bytes of a line, each of which has its place by the id of its side. */
const LINE_LENGTH = 104;
const LARGEST_FILE = 16 * 1024 * 1024;

/** How far the newest log of one direction of a conversation has come. */
export interface Mark extends ConversationKey {
  /** The id of the side in the database. */
  readonly side: bigint;
  readonly direction: Direction;
  readonly log: Bytes;
  /** The number of its last message. */
  readonly last: bigint;
}

/**
 * The file of marks. A mark is written between the transaction that it tells of and word of that, without a wait
 * for the disk: it outlives the program, and may say less than there is, never more. A file that cannot be
 * written is no reason to refuse a message: then there are no marks.
 */
export class MessageMarks {
  readonly #file: Deno.FsFile | undefined;

  private constructor(file: Deno.FsFile | undefined) {
    this.#file = file;
  }

  /** Opens the marks in `folder`. Throws `local` for a file that others can read, or a link. */
  static open(folder: string): MessageMarks {
    const path = `${folder}/${MARKS_FILE}`;
    try {
      findPrivate(path, "isFile");
      const options = { read: true, write: true, create: true, mode: 0o600 };
      return new MessageMarks(Deno.openSync(path, options));
    } catch (error) {
      if (error instanceof CifraError) throw error;
      return new MessageMarks(undefined);
    }
  }

  /** The marks that can be read. A line that is damaged is as good as none. */
  read(): readonly Mark[] {
    const file = this.#file;
    if (!file) return [];
    const marks: Mark[] = [];
    try {
      const bytes = new Uint8Array(Math.min(file.statSync().size, LARGEST_FILE));
      file.seekSync(0, Deno.SeekMode.Start);
      for (let filled = 0; filled < bytes.length;) {
        const count = file.readSync(bytes.subarray(filled));
        if (count === null) break;
        filled += count;
      }
      for (let side = 1; side * LINE_LENGTH <= bytes.length; side++) {
        const line = bytes.subarray((side - 1) * LINE_LENGTH, side * LINE_LENGTH);
        const mark = parse(BigInt(side), line);
        if (mark) marks.push(mark);
      }
    } catch {
      // What is read counts.
    }
    return marks;
  }

  /** Writes a mark in the place of the one that its side had. */
  write(mark: Mark): void {
    this.#writeLine(mark.side, format(mark));
  }

  /** Removes the mark of a side, before its log is made shorter. */
  erase(side: bigint): void {
    this.#writeLine(side, blank);
  }

  close(): void {
    this.#file?.close();
  }

  #writeLine(side: bigint, line: Bytes): void {
    const offset = (Number(side) - 1) * LINE_LENGTH;
    if (!this.#file || offset >= LARGEST_FILE) return;
    try {
      this.#file.seekSync(offset, Deno.SeekMode.Start);
      writeAllSync(this.#file, line);
    } catch {
      // The disk may be full; half a line is as good as none.
    }
  }
}

const blank = encodeUtf8(" ".repeat(LINE_LENGTH - 1) + "\n");

/** One line of text, so that a person can read the file. */
function format({ peer, suite, direction, log, last }: Mark): Bytes {
  const words = [peer.padEnd(32), suite.padEnd(7), direction.padEnd(8), encodeHex(log)];
  const line = `${words.join(" ")} ${String(last).padStart(LINE_LENGTH - 84)}\n`;
  // No name on the wire is longer.
  return line.length === LINE_LENGTH ? encodeUtf8(line) : blank;
}

function parse(side: bigint, line: Bytes): Mark | undefined {
  let text: string;
  try {
    text = decodeUtf8(line);
  } catch {
    return undefined;
  }
  const found = /^(\S+) +(\S+) +(sent|received) +([0-9a-f]{32}) +(\d{1,19})\n$/.exec(text);
  if (!found) return undefined;
  const [, peer, suite, direction, log, last] = found;
  if (!isSuiteName(suite!)) return undefined;
  return {
    side,
    peer: peer!,
    suite,
    direction: direction as Direction,
    log: decodeHex(log!),
    last: BigInt(last!),
  };
}
