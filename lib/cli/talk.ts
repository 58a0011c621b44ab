/** What `connect` hands to whoever talks: a person at a terminal, a program on JSON lines, or a pipe. */
import type { Delivery, Thread } from "../client/thread.ts";
import type { Status } from "../client/conversation.ts";
import type { CifraError } from "../errors.ts";
import type { CloseCode } from "../wire/records.ts";
import type { Terminal } from "./terminal.ts";

/** A conversation, as its user needs it. */
export interface Talk {
  readonly link: Thread;
  readonly terminal: Terminal;
  readonly ourName: string;
  readonly peerName: string;
  /** Aborted by SIGINT and SIGTERM. */
  readonly interrupted: AbortSignal;
  /** Says goodbye, after everything sent. */
  readonly leave: (code?: CloseCode) => Promise<void>;
  /** Somebody waits: try at once to connect. */
  readonly hurry: () => void;
  /** The other one's name as it is shown: marked, when their key was verified. */
  readonly label: () => string;
  /** What `/verify` and `/path` print. */
  readonly verify: () => Promise<string>;
  /** What `/verified` does, and prints. */
  readonly markVerified: () => Promise<string>;
  readonly path: () => string;
}

/** How a conversation ended for the one who had it here. */
export type Outcome =
  | "finished"
  | "interrupted"
  /** The other side left, and nothing was missing. */
  | "left"
  | { readonly error: CifraError };

/** Whoever talks. */
export interface Talker {
  /** Talks until one side leaves or everything has been said. */
  run(): Promise<Outcome>;
  /** Told what happens to the connection. */
  onStatus(status: Status): void;
  /** Told when our messages have come further. */
  onDelivery(delivery: Delivery): void;
  /** The conversation has come to a bad end: gives the terminal back. */
  abandon(): Promise<void>;
}
