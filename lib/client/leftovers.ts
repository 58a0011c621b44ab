/** What earlier runs left in the store: messages that wait to be read, and messages that are not delivered. */
import type { SuiteName } from "../crypto/suite.ts";
import type { ConversationKey, MessageStore } from "../store/message_store.ts";
import { SERVER_NAME } from "../wire/names.ts";
import { textOf } from "../wire/peer_messages.ts";

/** Of messages that wait to be delivered about so many bytes are shown. */
const QUEUED_SHOWN = 2000;

/** What is left of the conversation with somebody. */
export interface Leftover {
  readonly name: string;
  /** Messages of theirs that wait to be shown. */
  readonly unread: number;
  /** Messages of ours that they do not have yet. */
  readonly undelivered: number;
}

/** What is left of each conversation, by name. Throws `local`. */
export async function readLeftovers(
  store: MessageStore,
  suite: SuiteName,
): Promise<readonly Leftover[]> {
  const leftovers: Leftover[] = [];
  for (const name of [...store.peers(suite)].sort()) {
    if (name === SERVER_NAME) continue;
    const key = { peer: name, suite };
    const { last, stored } = await store.outgoing(key);
    leftovers.push({ name, unread: store.unread(key), undelivered: Number(last - stored) });
  }
  return leftovers;
}

/**
 * Our texts after `stored` up to `last`, which the other side does not have: the first ones, and whether these are
 * all.
 */
export function queuedTexts(
  store: MessageStore,
  key: ConversationKey,
  stored: bigint,
  last: bigint,
): { readonly texts: readonly string[]; readonly isAll: boolean } {
  const messages = store.read(key, stored + 1n, QUEUED_SHOWN)
    .filter(({ number }) => number <= last);
  const texts = messages.filter(({ type }) => type === "text").map(textOf);
  return { texts, isAll: BigInt(messages.length) === last - stored };
}
