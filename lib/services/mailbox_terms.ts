/** What is said to a mailbox, and what it answers (PROTOCOL.md 3.12). */
import type { Bytes } from "../bytes.ts";
import type { CifraError } from "../errors.ts";
import type { Prekey } from "../store/mailbox_store.ts";
import type { NameKey } from "../store/server_store.ts";

/** What becomes of a deposit: the codes of `deposited`. */
export const DepositCode = {
  stored: 0,
  /** The name, or the box, is unknown or full; or has no more room for those without a pass. */
  noRoom: 1,
  /** The sender's own share with this person is used up. */
  pairFull: 2,
  /** The sender's own share of the server is used up. */
  senderFull: 3,
  tooMany: 4,
  serverFull: 5,
  /** The box was there and is not the present one. */
  notPresent: 6,
} as const;
/** One of them. */
export type DepositCode = typeof DepositCode[keyof typeof DepositCode];

/** What a recipient says of an envelope: the verdicts of `settle`. */
export const Verdict = { taken: 1, notNow: 2, cannotBeOpened: 3 } as const;
/** One of them. */
export type Verdict = typeof Verdict[keyof typeof Verdict];

/** How an envelope is that somebody has left: the states of `mine`. */
export const LeftState = { waits: 1, handedOut: 2, notPresent: 3 } as const;
/** One of them. */
export type LeftState = typeof LeftState[keyof typeof LeftState];

/** Whether there is a mailbox: the states of `box`. */
export const BoxState = {
  none: 0,
  open: 1,
  /** Senders know a higher number of a signed prekey: a new one has to be published. */
  anotherWas: 2,
} as const;
/** One of them. */
export type BoxState = typeof BoxState[keyof typeof BoxState];

/** How a box stands, as its owner is told: `box`. */
export interface BoxStanding {
  readonly state: BoxState;
  /** The number of the signed prekey; 0 for none. */
  readonly signed: bigint;
  /** The lowest number of a one-time prekey in stock; 0 for none. */
  readonly next: bigint;
  readonly highest: bigint;
  readonly stock: number;
  readonly waiting: number;
  /** What waits for the same identity in other boxes. */
  readonly elsewhere: number;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** What `publish` brings. */
export interface Published {
  /** The name of the box: 16 bytes. */
  readonly box: Bytes;
  /** Whether earlier one-time prekeys go. */
  readonly anew: boolean;
  readonly signed: Prekey | undefined;
  /** In the order of their numbers. */
  readonly once: readonly Prekey[];
}

/** Somebody who asks: the name and the key of a registration. */
export type Asker = Pick<NameKey, "name" | "fingerprint">;

/** Keys of somebody, as `keys` tells them. */
export interface FoundKeys {
  /** The owner, with the statement that the name is theirs. */
  readonly owner: NameKey;
  readonly box: Bytes;
  readonly signed: Prekey;
  readonly once: Prekey | undefined;
}

/** What an `ask` leads to. */
export interface Asked<Holder> {
  /** Undefined whatever the reason is. */
  readonly found: FoundKeys | undefined;
  /** Seconds; 0 unless it was asked too often. */
  readonly retryAfter: number;
  /** Who has something to fetch with `next` now. */
  readonly wake: Holder | undefined;
}

/** What `deposit` brings. */
export interface Deposit {
  /** 16 bytes, as are the names of boxes, passes and ids of others. */
  readonly id: Bytes;
  /** Of the recipient. */
  readonly name: string;
  readonly box: Bytes;
  /** Zeros for none. */
  readonly pass: Bytes;
  readonly replaces: readonly Bytes[];
  /** Its length is one that envelopes have. */
  readonly envelope: Bytes;
}

/** What a deposit leads to. */
export interface Deposited<Holder> {
  readonly code: DepositCode;
  /** Seconds; 0 unless the code is `tooMany`. */
  readonly retryAfter: number;
  /** Who has something to fetch with `next` now. */
  readonly wake: Holder | undefined;
  /** Why the disk did not take it, for the operator. */
  readonly failure?: CifraError;
}

/** Something to tell the connection that has a box: `box`, or `envelope`. */
export type Delivered =
  | { readonly type: "box"; readonly standing: BoxStanding }
  | {
    readonly type: "envelope";
    readonly id: Bytes;
    /** The sender, with the statement that the name is theirs. */
    readonly sender: NameKey;
    /** Milliseconds since 1970. */
    readonly since: number;
    readonly envelope: Bytes;
  };

/** Part of what somebody has left: `mine`. */
export interface LeftPage {
  readonly more: boolean;
  readonly left: readonly { readonly id: Bytes; readonly state: LeftState }[];
}
