/** What happens to what is left at servers, and what carrying it takes of a program. */
import type { Identity, PublicIdentity } from "../crypto/identity.ts";
import type { SuiteName } from "../crypto/suite.ts";
import type { CifraError } from "../errors.ts";
import type { Environment } from "../net/environment.ts";
import type { MessageStore, SealedNews } from "../store/message_store.ts";
import type { Contacts } from "./contacts.ts";

/**
 * Runs what changes the logs of a conversation unless a channel carries it, in which case it resolves to undefined
 * without having run it.
 */
export type Apart = <T extends SealedNews | undefined>(
  name: string,
  work: () => Promise<T>,
) => Promise<{ readonly done: T } | undefined>;

/** What the postman has to tell. */
export type MailEvent =
  /** Somebody has left this. */
  | { readonly type: "came"; readonly name: string; readonly news: SealedNews }
  /** Something waits for the person's word: its writer is a stranger. */
  | { readonly type: "stranger"; readonly name: string; readonly sender: PublicIdentity }
  /** It is not opened: the key of its writer is not the one we know. */
  | { readonly type: "changed"; readonly name: string; readonly error: CifraError }
  /** It cannot be opened here; somebody we know is asked for it again. */
  | { readonly type: "unopened"; readonly name: string }
  /** What is on the server for somebody has changed. */
  | { readonly type: "left"; readonly name: string }
  /** Nothing can be left for somebody at the moment. */
  | { readonly type: "trouble"; readonly name: string; readonly error: CifraError }
  /** So many envelopes wait for another machine, or an earlier copy, of ours; their writers bring them here. */
  | { readonly type: "elsewhere"; readonly count: number }
  /** All that waited when we came has been read. */
  | { readonly type: "drained" }
  /** The server keeps nothing for those who are not here. */
  | { readonly type: "none" };

/** What a person is told in words; what came is shown as messages, and what was left at the prompt. */
export type MailTrouble = Exclude<
  MailEvent,
  { readonly type: "came" | "left" | "stranger" | "drained" }
>;

/** Whose mail it is, and how it goes together with the conversations. */
export interface MailContext {
  readonly environment: Pick<Environment, "time" | "random">;
  readonly store: MessageStore;
  readonly suite: SuiteName;
  readonly identity: Identity;
  readonly ourName: string;
  readonly contacts: Pick<Contacts, "judge" | "check" | "knownAs">;
  /** Whether others are told what we have read. */
  readonly tellsRead: boolean;
  /** Whether the person has agreed to hear from a stranger of this name. */
  readonly isWelcome: (name: string) => boolean;
  /** Whether the person has refused to hear from somebody. */
  readonly isRefused: (name: string) => boolean;
  /** Whether no channel carries the conversation with somebody. */
  readonly isApart: (name: string) => boolean;
  readonly apart: Apart;
  /** Messages to somebody up to this number may be over there soon, though no channel has carried them. */
  readonly onSealed: (name: string, number: bigint) => void;
  readonly onEvent: (event: MailEvent) => void;
}
