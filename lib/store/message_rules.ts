/** What every message store does alike, wherever it keeps its messages. */
import type { Bytes } from "../bytes.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import { CifraError } from "../errors.ts";
import { EARLY_MESSAGES, EARLY_MESSAGES_BYTES, MESSAGE_NUMBER_LIMIT } from "../limits.ts";
import { fileWordOf } from "../wire/file_messages.ts";
import { LAST_MOMENT } from "../wire/layout.ts";
import type { KeptMessage, NewMessage } from "../wire/peer_messages.ts";
import type {
  Direction,
  Gap,
  HistoryEntry,
  HistoryFilter,
  HistoryOffer,
  HistoryText,
} from "./message_store.ts";

/** Texts are shown whatever they are made of; who receives them has refused what is not UTF-8. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** How far the messages of a log have come; a received one is stored as soon as it is here. */
export interface Progress {
  readonly last: bigint;
  /** Everything up to here is stored by its reader. */
  readonly stored: bigint;
  /** Everything up to here was shown to its reader. */
  readonly read: bigint;
}

/** Throws `limit` for a number that no message can have. */
export function requireNumber(number: bigint): void {
  if (number > MESSAGE_NUMBER_LIMIT) throw tooLarge(number);
}

function tooLarge(number: bigint): CifraError {
  return new CifraError("limit", `A message cannot have the number ${number}: it is too large`);
}

/**
 * A copy that is the store's own: who gave the message may use its bytes again. What claims to be written
 * after the end of time gets its last moment.
 */
export function ownCopy<M extends NewMessage | KeptMessage>(message: M): M {
  const written = Math.max(0, Math.min(LAST_MOMENT, Math.floor(message.written)));
  return { ...message, id: message.id.slice(), content: message.content.slice(), written };
}

/**
 * Those of the messages of a log that are new where everything up to `have` has come. Or why all are refused:
 * `bad_state` when one is missing, `limit` when one cannot have its number.
 */
export function following<M extends { readonly number: bigint }>(
  have: bigint,
  messages: readonly M[],
): readonly M[] | CifraError {
  const after = messages.filter(({ number }) => number > have);
  for (const [i, { number }] of after.entries()) {
    const expected = have + BigInt(i) + 1n;
    if (number !== expected) {
      const gap = `wanted message ${expected}, got ${number}`;
      return new CifraError("bad_state", `The other side leaves a gap: ${gap}`);
    }
    if (number > MESSAGE_NUMBER_LIMIT) return tooLarge(number);
  }
  return after;
}

/** Where a log that is read stands when messages of it come. */
export interface SoFar {
  /** Everything up to here has come. */
  readonly have: bigint;
  /** The id of the message `have`; undefined when it never was here. */
  readonly haveId: Bytes | undefined;
  /** Whether the two sides have compared the log up to `have`, as they do before a channel carries it. */
  readonly isCompared: boolean;
  /** What waits for messages before it, by growing numbers, all of them beyond `have`. */
  readonly early: readonly KeptMessage[];
  /**
   * The id of the message that is kept under a number up to `have`, or that the number is in a gap; undefined when
   * nothing is kept of it.
   */
  idOf(number: bigint): Bytes | "gap" | undefined;
}

/** What becomes of messages of a log that have come. Those that stand nowhere here were here before. */
export interface Split {
  /** What the log goes on with, in order, with gaps for what is missing: to be stored, and shown. */
  readonly next: readonly (KeptMessage | Gap)[];
  /** What begins to wait, or is another message now, by growing numbers. */
  readonly early: readonly KeptMessage[];
  /**
   * What has come under a number that another message, or a gap, has: its writer, or the one of the other, was an old
   * copy. Both are to be shown, unless the id of one is known.
   */
  readonly aside: readonly KeptMessage[];
}

/**
 * Splits messages of a log, which have come by any way in any order, where its writer has none before number `first`
 * any more; 0 when it does not say. The log goes on only with what is known to follow what is here: its writer may be
 * an old copy that has given the number `have` to another message. What waits is let in as soon as nothing is missing
 * before it, and more of it is not kept than there is room for (PROTOCOL.md 3.12): it comes again.
 */
export function split(
  { have, haveId, isCompared, early, idOf }: SoFar,
  first: bigint,
  messages: readonly KeptMessage[],
): Split {
  const aside: KeptMessage[] = [];
  const follows = isCompared || first > have || haveId !== undefined &&
      messages.some(({ number, id }) => number === have && timingSafeEqual(id, haveId));
  // Its writer is an old copy for certain: what it goes on with is no part of the log that is here.
  const isForked = !follows && messages.some(({ number }) => number === have);
  const begin = have;
  // Nearly all comes in its turn, and nothing waits.
  const isInTurn = follows && early.length === 0 && first <= have + 1n &&
    messages.every(({ number }, i) => number === have + BigInt(i) + 1n);
  if (isInTurn) return { next: messages, early, aside };
  const waiting = new Map(early.map((message) => [message.number, message]));
  for (const message of messages) {
    const { number, id } = message;
    if (number <= have) {
      const kept = idOf(number);
      if (kept === "gap" || kept && !timingSafeEqual(kept, id)) aside.push(message);
      continue;
    }
    if (isForked) {
      aside.push(message);
      continue;
    }
    const other = waiting.get(number);
    const isSame = other !== undefined && timingSafeEqual(other.id, id);
    // What nobody has seen yet can still be taken back.
    if (isSame && message.type !== "taken back") continue;
    if (other && !isSame) aside.push(other);
    waiting.set(number, message);
  }
  const next: (KeptMessage | Gap)[] = [];
  const goOnFrom = (number: bigint) => {
    const gap = gapBetween(have, number);
    if (!gap) return;
    next.push(gap);
    have = gap.to;
  };
  // What waits right behind `have` follows it only if it has just come with it.
  const brought = new Set(follows ? messages.map(({ number }) => number) : []);
  const inOrder = [...waiting.values()].sort((a, b) => a.number < b.number ? -1 : 1);
  for (const message of inOrder) {
    goOnFrom(smaller(first, message.number));
    const isNext = message.number === have + 1n &&
      (have > begin || first > begin || brought.has(message.number));
    if (!isNext) break;
    next.push(message);
    have = message.number;
  }
  goOnFrom(first);
  const left = inOrder.filter(({ number }) => number > have);
  return { next, early: withRoom(left, new Set(early)), aside };
}

/**
 * What of a split is to be shown, in order: what is put aside before what goes on with its number, or behind it, since
 * its writer has said it before that.
 */
export function* toShow(
  { next, aside }: Pick<Split, "next" | "aside">,
): Generator<
  | { readonly isAside: true; readonly part: KeptMessage }
  | { readonly isAside: false; readonly part: KeptMessage | Gap }
> {
  const left = aside.toSorted((a, b) => a.number < b.number ? -1 : a.number > b.number ? 1 : 0);
  for (const part of next) {
    const upTo = part.type === "gap" ? part.to : part.number;
    while (left[0] && left[0].number <= upTo) yield { isAside: true, part: left.shift()! };
    yield { isAside: false, part };
  }
  for (const part of left) yield { isAside: true, part };
}

/**
 * The numbers that were let in after a channel had brought what they waited for, and that it has not brought itself.
 * The two logs were compared without them: another message under such a number is one that its writer may think was
 * taken. Not kept: over the next channel the logs are compared anew.
 */
export class LetIn<Log> {
  readonly #numbers = new Map<Log, { readonly after: bigint; readonly upTo: bigint }>();

  has(log: Log, number: bigint): boolean {
    const numbers = this.#numbers.get(log);
    return numbers !== undefined && numbers.after < number && number <= numbers.upTo;
  }

  /** A channel has brought messages up to one number, and the log has come up to another. */
  note(log: Log, brought: bigint, reached: bigint): void {
    if (reached <= brought) return;
    const after = smaller(brought, this.#numbers.get(log)?.after ?? brought);
    this.#numbers.set(log, { after, upTo: reached });
  }
}

/** Those that are not `kept` already and for which there is room beside those that are. */
function withRoom(left: readonly KeptMessage[], kept: ReadonlySet<KeptMessage>): KeptMessage[] {
  const stay = left.filter((message) => kept.has(message));
  let count = stay.length;
  let bytes = stay.reduce((sum, { content }) => sum + content.length, 0);
  return left.filter((message) => {
    if (kept.has(message)) return false;
    const { length } = message.content;
    if (count + 1 > EARLY_MESSAGES || bytes + length > EARLY_MESSAGES_BYTES) return false;
    count++;
    bytes += length;
    return true;
  });
}

/** What is missing where a log goes on with number `first` after `have`; undefined when nothing is. */
export function gapBetween(have: bigint, first: bigint): Gap | undefined {
  return first > have + 1n ? { type: "gap", from: have + 1n, to: first - 1n } : undefined;
}

/** How far our log is stored over there when what is lost next, and cannot come any more, counts as stored. */
export function pastLost(stored: bigint, missing: readonly Gap[]): bigint {
  for (const { from, to } of missing) {
    if (from > stored + 1n) break;
    stored = larger(stored, to);
  }
  return stored;
}

/** `now` moved forward as the reader of a log says; never back, and never beyond the last message. */
export function advanced<P extends Progress>(now: P, stored: bigint, read: bigint): P {
  const newStored = larger(now.stored, smaller(stored, now.last));
  return { ...now, stored: newStored, read: larger(now.read, smaller(read, newStored)) };
}

/** The messages whose contents fit in `byteLimit`, but at least one. */
export function within(messages: Iterable<KeptMessage>, byteLimit: number): KeptMessage[] {
  const fitting: KeptMessage[] = [];
  let length = 0;
  for (const message of messages) {
    length += message.content.length;
    if (fitting.length > 0 && length > byteLimit) break;
    fitting.push(message);
  }
  return fitting;
}

/** The messages up to the first that does not follow the one before it, `from` being the first. */
export function* withoutGaps(
  from: bigint,
  messages: Iterable<KeptMessage>,
): Generator<KeptMessage> {
  let next = from;
  for (const message of messages) {
    if (message.number !== next) return;
    yield message;
    next++;
  }
}

/** A message as a line of the history: a text, or an offer of files; undefined for any other. */
export function historyLine(
  side: { readonly peer: string; readonly direction: Direction },
  message: KeptMessage,
  progress: Progress,
): HistoryText | HistoryOffer | undefined {
  const { type, id, number, written, content } = message;
  const { peer, direction } = side;
  const said = { peer, direction, number, written, state: state() };
  if (type === "text") return { type, ...said, text: decoder.decode(content) };
  const word = type === "file" ? fileWordOf(message) : undefined;
  if (word?.type !== "offer") return undefined;
  const { name, files, folders, bytes } = word;
  return { type: "offer", ...said, id, name, files, folders, bytes };

  function state(): HistoryText["state"] {
    if (direction === "received") return "received";
    if (number <= progress.read) return "read";
    return number <= progress.stored ? "stored" : "queued";
  }
}

/** Whether a line of the history, of a log that has come so far, is one that is looked for. */
export function finds(
  { search, since, isPast, isNew }: HistoryFilter,
): (entry: HistoryEntry, progress: Progress) => boolean {
  const wanted = search === undefined ? undefined : folded(search);
  return (entry, { read }) => {
    if (entry.type === "gap") {
      return wanted === undefined && since === undefined && !isNew && (!isPast || entry.to <= read);
    }
    const { state, number, written } = entry;
    if (isNew && (state !== "received" || number <= read)) return false;
    if (isPast && state === "received" && number > read) return false;
    if (since !== undefined && written < since) return false;
    return wanted === undefined ||
      folded(entry.type === "text" ? entry.text : entry.name).includes(wanted);
  };
}

/**
 * A text without what a search does not see: case, and how Unicode happens to write it. Lowered, raised and lowered
 * again letters are alike that have more than one small or capital form, such as the sharp s; the sigma at the end
 * of a word is one that only its place makes another.
 */
export function folded(text: string): string {
  return text.normalize("NFKC").toLowerCase().toUpperCase().toLowerCase().replaceAll("ς", "σ")
    .normalize("NFKC");
}

/** The larger number. */
export const larger = (a: bigint, b: bigint): bigint => a > b ? a : b;
const smaller = (a: bigint, b: bigint): bigint => a < b ? a : b;
