/** Limits of the mailbox, each with its reason (PROTOCOL.md 4). Times are milliseconds. */
import { DAY } from "../limits.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** How many envelopes, and how many bytes of them. */
export interface Share {
  readonly count: number;
  readonly bytes: number;
}

/** What waits from one sender for one person: a day of talk; without a pass, a first contact. */
export const SHARE_OF_PAIR: Share = { count: 256, bytes: 1 * MIB };
export const SHARE_OF_STRANGER: Share = { count: 64, bytes: 256 * KIB };
/** What waits for one person, and what of it came without a pass: strangers cannot shut friends out. */
export const SHARE_OF_PERSON: Share = { count: 2048, bytes: 8 * MIB };
export const SHARE_OF_STRANGERS: Share = { count: 512, bytes: 2 * MIB };
/** What waits from one sender in all, in bytes. */
export const SHARE_OF_SENDER = 16 * MIB;
/** The smallest envelope: where it finds no room, the box is full. */
export const ENVELOPE_MINIMUM = 1715;
/** Deposits of one identity: at once, and in a minute; twice a fast typist. */
export const DEPOSITS_BURST = 60;
export const DEPOSITS_PER_MINUTE = 60;
/** An envelope is kept so long: a holiday; secrets need not live longer. */
export const ENVELOPE_LIFETIME = 14 * DAY;
/** A box that is not opened for so long goes, and a signed prekey that is so old is handed out no more. */
export const BOX_LIFETIME = 60 * DAY;
/** Boxes of one identity: one for each machine, and some that old copies left behind. */
export const BOXES_LIMIT = 8;
/** One-time prekeys in stock, and below how many their owner is told to bring more: one upload is one item. */
export const STOCK_LIMIT = 40;
export const STOCK_LOW = 20;
/** The same person's keys are asked for once in so long: a session lasts a day. */
export const ASK_PAUSE = 10 * 60_000;
/** Keys that one asks for in an hour. */
export const ASKS_PER_HOUR = 20;
/** One-time prekeys that strangers get of one person in an hour, and how many they never get: a drain costs them alone. */
export const STRANGERS_ONCE_PER_HOUR = 10;
export const STRANGERS_ONCE_RESERVE = 10;
/** Handed out over one connection and not settled. */
export const WINDOW: Share = { count: 16, bytes: 512 * KIB };
/** Envelopes that a sender is told of in one answer. */
export const LEFT_PAGE = 250;
/** What is removed in one transaction when its time is over: nobody waits long for it. */
export const ENVELOPES_AT_ONCE = 64;
export const BOXES_AT_ONCE = 8;
