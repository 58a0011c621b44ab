/** What is said to a mailbox, and what comes of it (PROTOCOL.md 3.12). */
import type { CifraError } from "../errors.ts";
import type { NameKey } from "../store/server_store.ts";
import type { MailboxRequest, MailboxResponse } from "../wire/mailbox_messages.ts";

/** The request of one type. */
export type Request<Type extends MailboxRequest["type"]> = Extract<
  MailboxRequest,
  { readonly type: Type }
>;

/** The response of one type. */
export type Response<Type extends MailboxResponse["type"]> = Extract<
  MailboxResponse,
  { readonly type: Type }
>;

/** Somebody who asks: the name and the key of a registration. */
export type Asker = Pick<NameKey, "name" | "fingerprint">;

/** An answer that may be news for somebody else. */
export interface Answered<Type extends MailboxResponse["type"], Holder> {
  readonly answer: Response<Type>;
  /** Who has something to fetch with `next` now. */
  readonly wake: Holder | undefined;
  /** Why the disk did not take it, for the operator. */
  readonly failure?: CifraError;
}
