/**
 * What a profile keeps of its conversations, behind one narrow interface: what we wrote and the other
 * side may not have yet, what it wrote and we may not have shown yet, and the history of both. A
 * conversation is named by the other person's name and the suite: nothing written for one suite is ever
 * sent in another.
 */
import type { Bytes } from "../bytes.ts";
import type { SuiteName } from "../crypto/suite.ts";
import type { Content } from "../wire/envelope.ts";
import type { KeptMessage, NewMessage } from "../wire/peer_messages.ts";
import type { ConversationKey, Direction } from "./conversation_key.ts";
import type { Mailbag, Moment, ReadingSession } from "./mailbag.ts";
import type { TransferRow, TransferStore } from "./transfer_store.ts";

export type { ConversationKey, Direction };

/** Where our log to one person stands. */
export interface OutgoingState {
  /** 16 random bytes that name the log. */
  readonly log: Bytes;
  /** The last message; 0 when there is none. */
  readonly last: bigint;
  /** Everything up to here is stored over there; what follows is kept here until it is. */
  readonly stored: bigint;
  /** Everything up to here was shown over there. */
  readonly read: bigint;
}

/** Where one log of the other person stands. */
export interface IncomingState {
  readonly log: Bytes;
  /** Everything up to here is stored here. */
  readonly have: bigint;
  /** The id of message `have`, also when it is not kept any more; undefined when it never was here. */
  readonly haveId: Bytes | undefined;
  /** Everything up to here was shown. */
  readonly read: bigint;
}

/**
 * Messages of the other side that were stored here once, or on a lost copy, and cannot come any more; or messages
 * of ours that are lost.
 */
export interface Gap {
  readonly type: "gap";
  /** The first number that is missing. */
  readonly from: bigint;
  /** The last one. */
  readonly to: bigint;
}

/** The newest messages of a log, which the store had and has no more, as when its file lost its end. */
export interface Lost extends ConversationKey {
  readonly direction: Direction;
  /** The first number that is missing. */
  readonly from: bigint;
  /** The last one that is known to have been there. */
  readonly to: bigint;
}

/** What an envelope said, between people whose names were compared; a pass of zeros changes nothing. */
export type SealedContent = Omit<Content, "from" | "to">;

/** An envelope that was opened. */
export interface OpenedEnvelope {
  /** Its session, moved on: the place of the envelope is behind it. */
  readonly session: ReadingSession;
  readonly content: SealedContent;
  /** When it came. */
  readonly at: Moment;
}

/** What an envelope has changed. */
export interface SealedNews {
  /** The messages that are new, in the order in which they are to be shown. */
  readonly fresh: readonly KeptMessage[];
  /** How many of the log wait, since others before them are missing. */
  readonly early: number;
  /** Where the writer's log stands now. */
  readonly incoming: IncomingState;
  /** Where ours stands. */
  readonly outgoing: OutgoingState;
  /** Whether ours turned out to be an old copy, and is another now. */
  readonly isRestarted: boolean;
}

/** What is stored and waits to be shown. */
export interface Backlog {
  /** Texts, words about transfers, and ends of what a program had to say; no gaps. */
  readonly messages: number;
  /** Of their contents. */
  readonly bytes: number;
}

/** A received message, or a gap, that waits to be shown. */
export interface Unshown {
  /** Grows in the order in which these were stored; means nothing else. */
  readonly ordinal: number;
  readonly log: Bytes;
  readonly message: KeptMessage | Gap;
}

/** One line of the history: a text, an offer of files, or what is missing of the other side's log. */
export type HistoryEntry = HistoryText | HistoryOffer | HistoryGap;

/** Something that was said. */
interface HistoryMessage {
  readonly peer: string;
  readonly direction: Direction;
  readonly number: bigint;
  /** Milliseconds since 1970, by the clock of who wrote it. */
  readonly written: number;
  /** Of what we sent: how far it came. */
  readonly state: "queued" | "stored" | "read" | "received";
}

/** A text that was said. */
export interface HistoryText extends HistoryMessage {
  readonly type: "text";
  readonly text: string;
}

/** Files that were offered; what became of them stands in the transfers. */
export interface HistoryOffer
  extends HistoryMessage, Pick<TransferRow, "id" | "name" | "files" | "folders" | "bytes"> {
  readonly type: "offer";
}

/** What is missing of what `peer` said. */
export interface HistoryGap extends Gap {
  readonly peer: string;
}

/** Which lines of the history are wanted: those for which all of this is so. */
export interface HistoryFilter {
  /** What was said with this person. */
  readonly peer?: string | undefined;
  /** What has this text in it, whatever the case and the Unicode form of either. */
  readonly search?: string | undefined;
  /** What was written then or later, in milliseconds since 1970, by the clock of who wrote it. */
  readonly since?: number | undefined;
  /** What we have seen: what we wrote, and what came and was shown. */
  readonly isPast?: boolean | undefined;
  /** What came and was not shown. */
  readonly isNew?: boolean | undefined;
  /** The newest of these alone, so many. They are held in memory. */
  readonly last?: number | undefined;
}

/**
 * Each method that changes something is one transaction; the promise resolves when it is on disk, and
 * rejects, with nothing changed, with `local` when it cannot be. Changes asked for in one turn of the event loop
 * share a commit and keep their order. After a failure that leaves the state in doubt every call rejects.
 */
export interface MessageStore {
  /** Where our log stands; begins one, with an id of `random`, when there is none. */
  outgoing(key: ConversationKey): Promise<OutgoingState>;
  /** Appends to our log; resolves to the number of the last message. */
  append(key: ConversationKey, messages: readonly NewMessage[]): Promise<bigint>;
  /**
   * Messages of ours from number `from` on, in order, at least one if there is one, until `byteLimit` is reached or
   * one is missing.
   */
  read(key: ConversationKey, from: bigint, byteLimit: number): readonly KeptMessage[];
  /** What is missing of our log after what is stored over there, as `lost` told of it; in order. */
  missing(key: ConversationKey): readonly Gap[];
  /**
   * The other side has stored and shown this much. Never goes back. On disk some time later: when it is
   * lost, the other side says it again.
   */
  acknowledge(key: ConversationKey, stored: bigint, read: bigint): void;
  /**
   * Begins a new log with what is not stored over there, numbered from 1, the ids unchanged: for when
   * the other side has another log of this name than we do, because ours came back from an old copy.
   */
  restart(key: ConversationKey): Promise<OutgoingState>;
  /**
   * Replaces a text of ours by one without content that says that it was taken back, under its number and its id.
   * False when there is none of this number any more that is not known to be stored over there. Envelopes that hold
   * it are outdated with that: whoever seals one for this person ends that first.
   */
  takeBack(key: ConversationKey, number: bigint): Promise<boolean>;
  /**
   * Deletes what is not stored over there and begins a new log, since the other side may know the numbers in the
   * old one; resolves to how many messages that were. For whoever has the log open nowhere.
   */
  forget(key: ConversationKey): Promise<number>;

  /** Where the given log of the other person stands, or without `log` the one read last. */
  incoming(key: ConversationKey, log?: Bytes): IncomingState | undefined;
  /**
   * Stores messages of a log that came over a channel, in one transaction, and those that waited for them: the
   * content of one whose id is stored already is passed over, and so are those up to `have`, unless another is kept
   * under that number. Resolves to those that are new, in order. Rejects, with nothing stored, with `bad_state` when
   * one is missing and `limit` when a number is too large.
   */
  receive(
    key: ConversationKey,
    log: Bytes,
    messages: readonly KeptMessage[],
  ): Promise<readonly KeptMessage[]>;
  /**
   * Stores all that an envelope has changed (C5), in one transaction: what opened it is gone, its messages are stored,
   * wait, or stand aside, what it says of our log counts as in m7, and a receipt is owed if there were messages. Of
   * somebody with whom no channel is open. Resolves to undefined when the session had come so far before or is gone;
   * then a receipt is owed, and nothing else has changed. Rejects with `limit` when a number is too large.
   */
  receiveSealed(key: ConversationKey, opened: OpenedEnvelope): Promise<SealedNews | undefined>;
  /** What waits for messages before it, of all logs of somebody, each by growing numbers. Nobody was told of it. */
  early(key: ConversationKey): readonly KeptMessage[];
  /**
   * The other side cannot give messages before number `first` any more: go on from there. What is missing
   * is stored as a gap, which waits to be shown like a message.
   */
  skip(key: ConversationKey, log: Bytes, first: bigint): Promise<void>;
  /** Everything up to `number` of this log was shown, gaps among it. On disk some time later. */
  markRead(key: ConversationKey, log: Bytes, number: bigint): void;
  /**
   * At most `limit` messages and gaps that are stored and not known to be shown, in the order in which they were
   * stored, beginning after the ordinal `after`; 0 begins with the first.
   */
  unshown(key: ConversationKey, after: number, limit: number): readonly Unshown[];
  /** How many texts and words about transfers are stored and not known to be shown. */
  unread(key: ConversationKey): number;
  /** All that is stored and not known to be shown. */
  backlog(key: ConversationKey): Backlog;
  /** The names of those for whom something of ours is not known to be stored over there, in no order. */
  unstored(suite: SuiteName): readonly string[];
  /** The names of those with whom there is, or was to be, a conversation in this suite; in no order. */
  peers(suite: SuiteName): readonly string[];
  /** The ordinal of what was stored last, in any conversation; 0 when there is none. */
  lastOrdinal(): number;
  /**
   * What waits to be shown up to this ordinal may have been shown by an earlier run that did not close the store;
   * one that did has not shown what it left. 0 when there is no doubt.
   */
  readonly doubtfulUpTo: number;
  /** What was found missing when the store was opened. The numbers of what we wrote are not given again. */
  readonly lost: readonly Lost[];

  /** What else there is to keep for people who are not here. */
  readonly mailbag: Mailbag;
  /** Files between us and others. */
  readonly transfers: TransferStore;
  /** What was deleted is to be gone from the disk as well: soon, and at once when that was not asked for lately. */
  tidy(): void;

  /** What was said, oldest first: texts, offers of files, and where neither words nor a time are asked for, gaps. */
  history(filter: HistoryFilter): Iterable<HistoryEntry>;

  /** Puts on disk what is not there yet, and closes. Nothing may be called afterwards. */
  close(): Promise<void>;
}
