/** What came and was not shown, of all people together, in the order in which it came. */
import type { SuiteName } from "../crypto/suite.ts";
import type { MessageStore, Unshown } from "../store/message_store.ts";
import { type PeerEvent, toEvent } from "./incoming.ts";

/** Read from disk at a time, of each person. */
const PAGE = 64;

/** Something of somebody, to be shown. */
export interface Unread {
  readonly name: string;
  readonly event: PeerEvent;
  /** It was shown, and all of this person before it. */
  readonly markRead: () => void;
}

/**
 * The oldest first. A name in `passedOver` is left out from then on; nothing is marked but by `markRead`. Throws
 * `local`.
 */
export function* allUnshown(
  store: MessageStore,
  suite: SuiteName,
  names: Iterable<string>,
  passedOver: ReadonlySet<string>,
): Generator<Unread, void, void> {
  const pages = new Map<string, Unshown[]>();
  const page = (name: string, after: number) =>
    pages.set(name, [...store.unshown({ peer: name, suite }, after, PAGE)]);
  for (const name of names) page(name, 0);
  for (;;) {
    let name: string | undefined;
    for (const [other, [first]] of pages) {
      if (!first || passedOver.has(other)) continue;
      if (name === undefined || first.ordinal < pages.get(name)![0]!.ordinal) name = other;
    }
    if (name === undefined) return;
    const { ordinal, log, message } = pages.get(name)!.shift()!;
    const key = { peer: name, suite };
    yield {
      name,
      event: message.type === "gap" ? message : toEvent(message, ordinal <= store.doubtfulUpTo),
      markRead: () =>
        store.markRead(key, log, message.type === "gap" ? message.to : message.number),
    };
    if (pages.get(name)!.length === 0) page(name, ordinal);
  }
}
