/** Between the lobby and whoever sits in it: a person at a terminal, or a program on JSON lines. */
import type { Dialogue } from "../client/conversations.ts";
import type { CifraError } from "../errors.ts";
import type { Outcome } from "./talk.ts";

/** What is to be seen of the lobby. */
export interface LobbyView {
  readonly ourName: string;
  /** To whom plain text goes. */
  readonly focus: string | undefined;
  /** Names that may be typed. */
  readonly names: Iterable<string>;
  /** A name as people see it: marked when its key is verified. */
  label(name: string): string;
  /** The open conversation with somebody. */
  dialogue(name: string): Dialogue | undefined;
  /** Resolves when the others have everything that was written; to why they never will. */
  settled(): Promise<CifraError | undefined>;
}

/** Where the conversations are seen, and lines come from. */
export interface LobbyFront {
  /** Hands lines to `take` until there are no more, or `finish` is called. */
  run(take: (line: string) => Promise<void>): Promise<Outcome>;
  /** Reads what comes in a conversation, for as long as it is open. */
  read(dialogue: Dialogue): Promise<void>;
  /** To whom plain text goes, or how far it came, has changed. */
  refresh(): void;
  /** How far our messages to somebody came has changed. */
  onDelivery(dialogue: Dialogue): void;
  /** So many messages of somebody wait to be shown. */
  onUnread(name: string, unread: number): void;
  /** Takes no more lines; `how` is what `run` resolves to. */
  finish(how: Outcome): void;
}
