/**
 * The numbers of what is said inside a channel (PROTOCOL.md 3.5 and 3.7). A number never changes its meaning.
 * Spoken for and not used yet: requests 7 to 17 and responses 11 to 18 (a mailbox), request 20 and item 11
 * (reaching others), response 19 (several servers as one), item 6 (a key agreement inside a channel).
 */

/** What a client asks of the server. */
export const REQUEST_NUMBERS = {
  register: 1,
  decline: 2,
  away: 3,
  signUp: 4,
  signIn: 5,
  proof: 6,
  want: 18,
  unwant: 19,
  who: 21,
} as const;

/** What the server answers, and tells unasked. */
export const RESPONSE_NUMBERS = {
  registered: 1,
  refused: 2,
  introduction: 3,
  suiteMismatch: 4,
  presence: 5,
  offer: 6,
  declined: 7,
  challenge: 8,
  signedIn: 9,
  signedUp: 10,
  unwanted: 20,
} as const;

/** Types of items. An unknown type is fatal: extensions raise the version instead. */
export const ItemType = {
  message: 1,
  ack: 2,
  ping: 3,
  pong: 4,
  keyUpdate: 5,
  close: 7,
  request: 8,
  response: 9,
  relay: 10,
} as const;
/** The number of a type of item. */
export type ItemType = typeof ItemType[keyof typeof ItemType];
