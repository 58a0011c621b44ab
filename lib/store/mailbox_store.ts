/** What a server keeps for its mailbox, behind one narrow interface: boxes, prekeys, envelopes (PROTOCOL.md 3.12). */
import type { Bytes } from "../bytes.ts";
import type { PublishedPrekey } from "../wire/mailbox_messages.ts";
import type { NameClaim } from "../wire/name_claim.ts";

/** Where envelopes for one copy of a profile wait. */
export interface Box {
  /** What the store calls it; never used again for another one. */
  readonly key: number;
  /** The fingerprint of its owner: 64 hexadecimal digits. */
  readonly owner: string;
  /** 16 bytes, chosen by its owner. */
  readonly name: Bytes;
  /** 32 bytes, from which its owner makes passes. */
  readonly passKey: Bytes;
  /** The claim of its owner to the name, for no place. */
  readonly claim: NameClaim;
  /** Whether it is the one of its owner's that was opened last. */
  readonly isPresent: boolean;
  /** When it was in use last: milliseconds since 1970. */
  readonly used: number;
  readonly signed: PublishedPrekey | undefined;
  /** When that came here: milliseconds since 1970; 0 without one. */
  readonly published: number;
  /** The highest number of a one-time prekey that was ever published in it; 0 for none. */
  readonly highest: bigint;
}

/** What `open` brings for a box. */
export type OpenedBox = Pick<Box, "name" | "passKey" | "claim">;

/** One-time prekeys of a box. */
export interface Stock {
  readonly count: number;
  /** The lowest number; 0 when there are none. */
  readonly next: bigint;
}

/** Envelopes, and the bytes of them. */
export interface Tally {
  readonly count: number;
  readonly bytes: number;
}

/** An envelope that comes to a box. */
export interface NewEnvelope {
  /** 16 bytes, chosen by its sender. */
  readonly id: Bytes;
  /** The fingerprint of its sender: 64 hexadecimal digits. */
  readonly sender: string;
  /** The key of the box. */
  readonly box: number;
  /** Whether it came with a pass. */
  readonly passed: boolean;
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly body: Bytes;
}

/** An envelope that waits, without what is in it. */
export interface Envelope extends Omit<NewEnvelope, "body"> {
  /** Its place in the order of all envelopes. One that replaces another takes that one's. */
  readonly place: number;
  /** Bytes of what is in it. */
  readonly size: number;
}

/** An envelope as its sender is told of it. */
export interface Left {
  readonly place: number;
  readonly id: Bytes;
  readonly wasHandedOut: boolean;
  /** Whether it waits in the present box of its recipient. */
  readonly isPresent: boolean;
}

/** How much there is. */
export interface MailboxCounts extends Tally {
  readonly boxes: number;
}

/** What may be read at any time. All methods throw `local`. */
export interface MailboxReader {
  /** The boxes of somebody, the one that was used last in front. */
  boxes(owner: string): readonly Box[];
  stock(box: number): Stock;
  /** All that waits for somebody, and what of it came without a pass. */
  waitingFor(owner: string): { readonly all: Tally; readonly withoutPass: Tally };
  waitingIn(box: number): number;
  /** What waits for somebody from one sender. */
  between(sender: string, owner: string): Tally;
  /** What waits from one sender, for whomever. */
  leftBy(sender: string): Tally;
  /** The next of what waits from one sender, after a place: `limit` at most, in order. */
  left(sender: string, after: number, limit: number): readonly Left[];
  envelope(sender: string, id: Bytes): Envelope | undefined;
  at(place: number): Envelope | undefined;
  /** Whose envelopes wait in a box, whoever has the oldest in front. */
  senders(box: number): readonly string[];
  /** The first envelope of a sender in a box after a place. */
  next(box: number, sender: string, after: number): Envelope | undefined;
  body(place: number): Bytes | undefined;
  /** Bytes for which there is room. Keys have more of it, so that envelopes cannot shut anybody out. */
  room(what: "keys" | "envelopes"): number;
  counts(): MailboxCounts;
}

/** What can be done in a change. All methods throw `local`. */
export interface MailboxWriter extends MailboxReader {
  /** Adds a box, or gives it another pass key and claim; it is the present one from now on. Returns its key. */
  open(owner: string, box: OpenedBox, now: number): number;
  /** A box was in use. */
  use(box: number, now: number): void;
  /** Removes a box with all that is in it. */
  remove(box: number): void;
  /** The same with boxes that were not used since `before`, `limit` at most; returns how many. */
  removeUnused(before: number, limit: number): number;
  sign(box: number, prekey: PublishedPrekey, now: number): void;
  /** Adds one-time prekeys, whose numbers the box must not have. */
  addOnce(box: number, prekeys: readonly PublishedPrekey[]): void;
  /** Removes the one-time prekey with the lowest number, and returns it. */
  takeOnce(box: number): PublishedPrekey | undefined;
  dropOnce(box: number): void;
  /** Adds an envelope, at a place that is free or behind all others; returns its place. */
  insert(envelope: NewEnvelope, place?: number): number;
  /** Removes an envelope if it is the one of this id that is at this place. */
  take(place: number, id: Bytes): void;
  /** Removes envelopes that came before a time, `limit` at most; returns how many. */
  expire(before: number, limit: number): number;
  /** Removes the boxes of somebody, and all that they have left. */
  forget(fingerprint: string): void;
}

/** The memory of a mailbox. */
export interface MailboxStore extends MailboxReader {
  /**
   * Makes a change, together with others that are asked for at the same time; resolves to what `work` returns when
   * that is on disk. `work` touches nothing but the store, and what it throws, or the disk, undoes all of them:
   * their promises reject.
   */
  change<T>(work: (writer: MailboxWriter) => T): Promise<T>;
  /** An envelope was handed out. On disk a second later, unless it is gone by then. */
  handedOut(place: number, id: Bytes): void;
  /** What was asked for before is on disk, or its promise has rejected. */
  close(): void;
}
