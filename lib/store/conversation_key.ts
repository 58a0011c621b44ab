/** How a conversation is named in what a profile keeps. */
import type { SuiteName } from "../crypto/suite.ts";

/** Which way something went. */
export type Direction = "sent" | "received";

/** Whose conversation it is. */
export interface ConversationKey {
  /** The other person's name. */
  readonly peer: string;
  readonly suite: SuiteName;
}
