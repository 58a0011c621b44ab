/**
 * Every number of the wire that says what something is, but those of alerts and refusals, which stand in the
 * table of errors. A number never changes its meaning; an unknown one is `bad_frame` where nothing else is said.
 */

/** Kinds of frames (PROTOCOL.md 3.2). */
export const FrameKind = {
  m1: 0x01,
  m2: 0x02,
  m3: 0x03,
  m4: 0x04,
  m5: 0x05,
  m6: 0x06,
  preface: 0x10,
  alert: 0x15,
  record: 0x17,
} as const;
/** The number of a kind of frame. */
export type FrameKind = typeof FrameKind[keyof typeof FrameKind];

/** Types of items (PROTOCOL.md 3.5). An unknown type is fatal: extensions raise the version instead. */
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
  storing: 12,
  away: 13,
  file: 14,
} as const;
/** The number of a type of item. */
export type ItemType = typeof ItemType[keyof typeof ItemType];

/**
 * Why a channel is closed (PROTOCOL.md 3.6); `stranger`: the key of the other side is not the one that is known.
 */
export const CloseCode = { done: 0, replaced: 1, shutdown: 2, failed: 3, stranger: 4 } as const;
/** The number of a reason. */
export type CloseCode = typeof CloseCode[keyof typeof CloseCode];

/** What a client asks of the server (PROTOCOL.md 3.7, 3.12). */
export const REQUEST_NUMBERS = {
  register: 1,
  decline: 2,
  away: 3,
  signUp: 4,
  signIn: 5,
  proof: 6,
  open: 7,
  publish: 8,
  ask: 9,
  deposit: 10,
  settle: 11,
  mine: 12,
  withdraw: 13,
  want: 18,
  unwant: 19,
  who: 21,
  known: 22,
} as const;

/** What the server answers, and tells unasked (PROTOCOL.md 3.7, 3.12). */
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
  box: 11,
  keys: 12,
  deposited: 13,
  envelope: 14,
  mine: 15,
  unwanted: 20,
  known: 21,
} as const;

/** Bits of `capabilities` in m7 (PROTOCOL.md 3.7); unknown ones are ignored. */
export const Capability = {
  /** Can be relayed. */
  relay: 1,
  /** Wants the relay alone: nobody is given its address. */
  hidden: 2,
  /** Dialled the server from its send port. */
  punch: 4,
  /** Is in the lobby: told who comes and goes, and who asks for it. */
  lobby: 8,
  /** In the lobby, and not announced. */
  unlisted: 16,
} as const;

/** What `presence` says of somebody (PROTOCOL.md 3.11). */
export const PersonState = { here: 1, away: 2, gone: 3 } as const;
/** The number of a state. */
export type PersonState = typeof PersonState[keyof typeof PersonState];

/** How a box stands (PROTOCOL.md 3.12): there is no mailbox, it is open, or it is and was not the present one. */
export const BoxState = { none: 0, open: 1, moved: 2 } as const;
/** The number of a state. */
export type BoxState = typeof BoxState[keyof typeof BoxState];

/** What became of an envelope that was handed out (PROTOCOL.md 3.12). */
export const Verdict = { taken: 1, later: 2, unopened: 3 } as const;
/** The number of a verdict. */
export type Verdict = typeof Verdict[keyof typeof Verdict];

/** Where a deposit of ours is (PROTOCOL.md 3.12); `elsewhere`: in a box that is not the present one. */
export const DepositState = { waits: 1, handedOut: 2, elsewhere: 3 } as const;
/** The number of a state. */
export type DepositState = typeof DepositState[keyof typeof DepositState];

/** What became of a deposit (PROTOCOL.md 3.12). */
export const DepositCode = {
  stored: 0,
  /** Unknown, full, or not for those without a pass: nothing tells which. */
  noRoom: 1,
  /** Our share with this person. */
  shareWithThem: 2,
  /** Our share of the server. */
  share: 3,
  tooFast: 4,
  /** The server has no room. */
  full: 5,
  /** The box is not the present one. */
  moved: 6,
} as const;
/** The number of a code. */
export type DepositCode = typeof DepositCode[keyof typeof DepositCode];

/** How a log is kept by the one who writes it (PROTOCOL.md 3.8). */
export const LogKind = {
  /** On disk, until the other side has stored it: it outlives the program. */
  kept: 1,
  /** In memory: a byte stream, gone with the program. */
  live: 2,
} as const;
/** The number of a kind. */
export type LogKind = typeof LogKind[keyof typeof LogKind];

/** Kinds of messages (PROTOCOL.md 3.8). */
export const MESSAGE_NUMBERS = { text: 1, bytes: 2, end: 3, takenBack: 4, file: 5 } as const;

/** What is said of a transfer in a log (PROTOCOL.md 3.15). */
export const FILE_WORD_NUMBERS = {
  offer: 1,
  accept: 2,
  refuse: 3,
  done: 4,
  cancel: 5,
  failed: 6,
} as const;

/** What is said of its content on a channel (PROTOCOL.md 3.15). */
export const FILE_ITEM_NUMBERS = {
  want: 1,
  taken: 2,
  hold: 3,
  data: 4,
  changed: 5,
  end: 6,
  pause: 7,
} as const;

/** Why a transfer has failed (PROTOCOL.md 3.15). */
export const TransferFailure = { manifest: 1, tooLarge: 2, gone: 3, other: 4 } as const;
/** The number of a failure. */
export type TransferFailure = typeof TransferFailure[keyof typeof TransferFailure];

/** Why one side of a transfer goes on later (PROTOCOL.md 3.15). */
export const HoldReason = { notNow: 0, full: 1, denied: 2, other: 3 } as const;
/** The number of a reason. */
export type HoldReason = typeof HoldReason[keyof typeof HoldReason];

/** What an entry of a manifest is (PROTOCOL.md 3.15). */
export const ENTRY_NUMBERS = { file: 1, folder: 2 } as const;

/** Whether somebody can store what comes, and if not, why (PROTOCOL.md 3.8). */
export const StoringState = { again: 0, full: 1, inUse: 2, failing: 3 } as const;
/** The number of a state. */
export type StoringState = typeof StoringState[keyof typeof StoringState];

/** What is said of a relayed stream (PROTOCOL.md 3.9). */
export const RELAY_NUMBERS = { data: 1, credit: 2, close: 3, full: 4 } as const;

/** Numbers that are spoken for, and unknown in this version (PROTOCOL.md 3.7, 6). */
export const SPOKEN_FOR = [
  { of: "request", from: 14, to: 17, for: "files in a mailbox" },
  { of: "response", from: 16, to: 18, for: "files in a mailbox" },
  { of: "request", from: 20, to: 20, for: "reaching others" },
  { of: "item", from: 11, to: 11, for: "reaching others" },
  { of: "response", from: 19, to: 19, for: "several servers as one" },
  { of: "item", from: 6, to: 6, for: "a key agreement inside a channel" },
  { of: "frame", from: 0x11, to: 0x11, for: "a puzzle for initiators under load" },
] as const;
