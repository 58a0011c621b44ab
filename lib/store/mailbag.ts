/**
 * What a profile keeps to write to people who are not here and to read what they left (PROTOCOL.md 3.12): boxes with
 * their prekeys, sessions both ways, what lies on servers, and what is known of those it is for. All of it is of the
 * suite `modern`; what was said stands in the MessageStore, in the same database. A server is named by the
 * fingerprint of its key in hexadecimal, a person by the name that is known there.
 */
import type { Bytes } from "../bytes.ts";
import type { SessionState } from "../crypto/mailbox_session.ts";
import type { PrekeyKind, StoredPrekey } from "../crypto/prekeys.ts";

/**
 * A moment in milliseconds since 1970, by the clock of this machine and by that of the server. Nothing is destroyed
 * for its age before both say so: either may be years off.
 */
export interface Moment {
  readonly here: number;
  readonly there: number;
}

/** Where envelopes wait for this copy of the profile on one server. */
export interface Box {
  /** 16 random bytes. */
  readonly name: Bytes;
  /** 32 random bytes, which make the passes of those who may write. */
  readonly passKey: Bytes;
  /** The highest number of a one-time prekey under it; 0 when there was none. */
  readonly highest: bigint;
  /** The number of the newest signed prekey; 0 when there was none. */
  readonly signed: bigint;
  /** Whether the server is still to drop the one-time prekeys that it has from an earlier copy. */
  readonly anew: boolean;
}

/** A prekey of ours, with a number of at most `MESSAGE_NUMBER_LIMIT`. */
export interface KeptPrekey extends StoredPrekey {
  readonly kind: PrekeyKind;
}

/** A session in which somebody writes to us. */
export interface ReadingSession extends SessionState {
  /** 16 bytes that the header comes down to. */
  readonly id: Bytes;
  readonly peer: string;
  /** The fingerprint of the peer's key. */
  readonly sender: Bytes;
  /** Ours, and the numbers of the prekeys that the session was begun with; `once` is 0 for none. */
  readonly box: Bytes;
  readonly signed: bigint;
  readonly once: bigint;
}

/** The session in which we write to somebody. */
export interface WritingSession extends SessionState {
  /** The fingerprint of the peer's key. */
  readonly owner: Bytes;
  /** 1152 bytes. */
  readonly header: Bytes;
  /** When it was begun, by the clock of this machine. */
  readonly began: number;
}

/** An envelope that we are about to leave on a server. */
export interface NewDeposit {
  /** 16 random bytes. */
  readonly id: Bytes;
  /** The peer's. */
  readonly box: Bytes;
  /** Our log, and the messages of it that are inside; `last` is 0 for a receipt. */
  readonly log: Bytes;
  readonly first: bigint;
  readonly last: bigint;
  /** By the clock of this machine. */
  readonly at: number;
}

/** An envelope that is there, or may be. */
export interface Deposit extends NewDeposit {
  readonly peer: string;
  /** Whether the server has said that it has it. */
  readonly isConfirmed: boolean;
  /** Whether a message inside was taken back since: it is to be replaced. */
  readonly isOutdated: boolean;
}

/** What is known of somebody at a server. */
export interface Correspondent {
  /** The fingerprint of the peer's key: all else is of that. */
  readonly owner: Bytes;
  /** Our pass there, 16 bytes; undefined when we have none. */
  readonly pass: Bytes | undefined;
  /** The highest number of a signed prekey that was verified: one below is refused. 0 for none. */
  readonly highestSigned: bigint;
  /** Whether a receipt is owed. */
  readonly isOwed: boolean;
}

/**
 * Each method that changes something is one transaction, on disk when its promise resolves; nothing has changed when
 * it rejects, with `local`, or with `limit` for a number that cannot be kept. Opening an envelope is
 * `MessageStore.receiveSealed`.
 */
export interface Mailbag {
  /** The box on a server; undefined when there was none yet. */
  box(server: string): Box | undefined;
  /** Another box on a server: what belonged to the one before goes, secrets and sessions. */
  beginBox(server: string, name: Bytes, passKey: Bytes): Promise<void>;
  /**
   * Prekeys that are about to be published (C1), each kind by growing numbers; `box` tells the highest ones
   * afterwards. Rejects with `bad_state` when one has a number that is not beyond those, or there is no box.
   */
  addPrekeys(server: string, prekeys: readonly KeptPrekey[]): Promise<void>;
  /** The server has dropped what it had from an earlier copy: no longer `anew`. */
  noteAnew(server: string): Promise<void>;
  /** The prekey that a header names; undefined when it is not here, or not any more. */
  prekey(box: Bytes, kind: PrekeyKind, number: bigint): KeptPrekey | undefined;
  /** Prekeys of a server's box that are not retired, by growing numbers: to be published, unless they are. */
  prekeys(server: string, kind: PrekeyKind): readonly KeptPrekey[];
  /**
   * When the newest signed prekey took the place of one before it, by the clock of this machine as it was then;
   * undefined when none before it is here.
   */
  signedSince(server: string): number | undefined;
  /**
   * The server gives out the signed prekey `signed`, and one-time prekeys from `once` on: those before are retired,
   * from now on unless they are already.
   */
  retire(server: string, before: { signed: bigint; once: bigint }, now: Moment): Promise<void>;
  /**
   * Destroys what is too old: secrets of prekeys that were retired, of signed ones too that have enough newer ones,
   * and sessions in which nothing came for long, or whose prekey is gone.
   */
  expire(now: Moment): Promise<void>;

  /** The session of this id in which somebody writes to us. */
  reading(id: Bytes): ReadingSession | undefined;
  /** The session in which we write to somebody over a server. */
  writing(peer: string, server: string): WritingSession | undefined;
  /** A session in the place of the one before, begun with the signed prekey of this number (C2). */
  begin(peer: string, server: string, session: WritingSession, signed: bigint): Promise<void>;
  /**
   * The session has sealed an envelope, and stands at `next` now (C3, C6): no receipt is owed until the
   * envelope turns out not to have arrived. Rejects with `bad_state` when the session is there no more or stands there
   * already, or the log is none of ours.
   */
  seal(
    peer: string,
    server: string,
    session: Pick<WritingSession, "header" | "chain" | "next">,
    deposit: NewDeposit,
  ): Promise<void>;
  /** The server has an envelope, and has dropped those that it replaces (C4). */
  confirm(id: Bytes, replaced: readonly Bytes[]): Promise<void>;
  /** Envelopes that were refused, are gone, or are withdrawn (C4, C7). What is unknown is passed over. */
  drop(ids: readonly Bytes[]): Promise<void>;
  /** What lies on a server, or may lie there, oldest first. */
  deposits(server: string): readonly Deposit[];

  /** What is known of somebody at a server. */
  correspondent(peer: string, server: string): Correspondent | undefined;
  /** A receipt is owed to somebody whose key has this fingerprint. */
  owe(peer: string, server: string, owner: Bytes): Promise<void>;
  /** The names of those at a server to whom a receipt is owed, in no order. */
  owed(server: string): readonly string[];
}
