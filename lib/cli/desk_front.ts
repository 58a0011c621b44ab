/** Between the desk and whoever sits at it: a person at a terminal, a program on JSON lines, or a pipe. */
import type { Bytes } from "../bytes.ts";
import type { Status } from "../client/conversation.ts";
import type { Dialogue } from "../client/conversations.ts";
import type { CifraError } from "../errors.ts";
import type { HistoryEntry } from "../store/message_store.ts";
import type { UnderWay } from "./file_progress.ts";
import type { Request } from "./json_input.ts";

/** How a sitting ended for the one who had it here. */
export type Outcome =
  | "finished"
  | "interrupted"
  /** The other side left, and nothing was missing. */
  | "left"
  | { readonly error: CifraError };

/** What is to be seen of the desk. */
export interface DeskView {
  readonly ourName: string;
  /** With whom alone we talk; undefined in the lobby. */
  readonly only: string | undefined;
  /** To whom plain text goes. */
  readonly focus: string | undefined;
  /** The folder where files are read and written; undefined: none are. */
  readonly files: string | undefined;
  /** Names that may be typed. */
  readonly names: Iterable<string>;
  /** A name as people see it: marked when its key is verified. */
  label(name: string): string;
  /** The open conversation with somebody. */
  dialogue(name: string): Dialogue | undefined;
  /** The last lines of what was said with somebody, and seen. */
  past(name: string): readonly HistoryEntry[];
  /**
   * The newest texts and offers that came from somebody and were not shown, the oldest first, so many at most; undefined
   * when they cannot be read.
   */
  newest(name: string, count: number): readonly string[] | undefined;
  /** Whether an offer of somebody waits for an answer. */
  isOffered(name: string, offer: Bytes): boolean;
  /** Resolves when the others have everything that was written; to why they never will. */
  settled(): Promise<CifraError | undefined>;
  /** Says goodbye to everybody; resolves when everything that came has been read. */
  leave(): Promise<void>;
}

/** What lines come to. */
export interface Lines {
  /** What a line means now; each is read once. */
  read(text: string): Request;
  /** Does it; resolves when what follows may build on it. */
  obey(request: Request): Promise<void>;
}

/** Where the conversations are seen, and lines come from. */
export interface Front {
  /** Hands on lines until there are no more, or `finish` is called. */
  run(lines: Lines): Promise<Outcome>;
  /** Reads what comes in a conversation, for as long as it is open. */
  read(dialogue: Dialogue): Promise<void>;
  /** Who wrote what a person was shown last. */
  readonly lastFrom?: string | undefined;
  /** What happens to the connection of a conversation. */
  onStatus(status: Status): void;
  /** To whom plain text goes, or how far it came, has changed. */
  refresh(): void;
  /** How far our messages to somebody came has changed. */
  onDelivery(dialogue: Dialogue): void;
  /** So many messages of somebody wait to be shown. */
  onUnread(name: string, unread: number): void;
  /** What is on its way of files; undefined: nothing. */
  onFiles?(underWay: UnderWay | undefined): void;
  /** Takes no more lines; `how` is what `run` resolves to. */
  finish(how: Outcome): void;
}
