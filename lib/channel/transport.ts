import type { Bytes } from "../bytes.ts";
import type { Endpoint } from "../wire/address.ts";

/** A byte stream both ways, as the network floor provides it. */
export interface Transport {
  /** Our end of it, where it has one of its own. */
  readonly local?: Endpoint | undefined;
  /** Fills part of `buffer`; null at the end of input. May give one byte. */
  read(buffer: Bytes): Promise<number | null>;
  /** Takes part of `data` and says how much. */
  write(data: Bytes): Promise<number>;
  /** Ends our output; the other side may still send. */
  closeWrite(): Promise<void>;
  /** Ends both ways at once; pending reads and writes fail. Safe to call again. */
  close(): void;
}

/** Milliseconds of a clock that never jumps; only differences mean anything. */
export type MonotonicClock = () => number;
