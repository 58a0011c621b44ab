/** What is said in a conversation, and how far it has come: in words for people, and as events for programs. */
import { encodeHex } from "@std/encoding/hex";
import type { Bytes } from "../bytes.ts";
import type { PeerEvent } from "../client/incoming.ts";
import type { Delivery } from "../client/thread.ts";
import { larger } from "../store/message_rules.ts";
import type { HistoryEntry, HistoryOffer, Lost } from "../store/message_store.ts";
import type { FileWord } from "../wire/file_messages.ts";
import { describeOffer, nameOf } from "./file_words.ts";
import { GRAPHEMES, widthOf } from "./page.ts";
import { sanitize, type StreamSanitizer } from "./sanitize.ts";
import type { JsonEvent, Terminal } from "./terminal.ts";

/** Follows a message that an earlier run may have shown before it was killed. */
export const SHOWN_BEFORE =
  "(this message may have been shown before, when the program last ended)";

/** How somebody left whose byte stream has begun, and has no end. */
export const IN_THE_MIDDLE = "in the middle of the stream: what came is not complete";

/**
 * Shows a person what the other side said, or did; `shown` is that side's byte stream so far, `isOpen` tells whether
 * an offer waits for an answer.
 */
export function showEvent(
  event: PeerEvent,
  label: string,
  shown: StreamSanitizer,
  terminal: Terminal,
  isOpen: (offer: Bytes) => boolean = () => false,
): void {
  switch (event.type) {
    case "text":
      terminal.message(label, event.text, event.written > 0 ? { written: event.written } : {});
      if (event.recovered) terminal.say(SHOWN_BEFORE);
      return;
    case "bytes": {
      const text = shown.push(event.bytes).replace(/\n$/, "");
      if (text !== "") terminal.message(label, text);
      return;
    }
    case "end":
      return terminal.say(`${label} has nothing more to send`);
    case "taken back":
      return terminal.say(describeTakenBack(label));
    case "file":
      // What becomes of an offer is told when it happens, whoever is looked at.
      if (event.word.type !== "offer") return;
      return terminal.say(describeOffer({ ...event.word, id: event.id }, label, isOpen(event.id)));
    case "gap":
      return terminal.say(describeGap(event, label));
    case "restarted":
      return terminal.say(
        event.who === "peer"
          ? `${label} has restarted; the rest of what was being sent will not come`
          : `the beginning of what ${label} is sending went to an earlier run of this program`,
      );
    default:
      // Whatever returns from here counts as read.
      event satisfies never;
  }
}

/** Shows what was said, and seen, before. */
export function showPast(
  entries: readonly HistoryEntry[],
  { ourName, label }: { readonly ourName: string; readonly label: string },
  terminal: Terminal,
): void {
  if (entries.length === 0) return;
  terminal.say(`said before, with ${label}:`);
  for (const entry of entries) {
    if (entry.type === "gap") {
      terminal.say(describeGap(entry, label));
      continue;
    }
    const isOurs = entry.direction === "sent";
    if (entry.type === "offer") {
      terminal.say(describeOffered(entry, isOurs ? ourName : label));
      continue;
    }
    const { text, written, state } = entry;
    const from = isOurs ? `${ourName}${state === "queued" ? " (queued)" : ""}` : label;
    terminal.message(from, text, { written, isOurs, isPast: true });
  }
}

/** Columns of what is shown of a message that nobody looks at. */
const PREVIEW = 40;

/** That somebody has written, and of the newest message its beginning: at the end, where it passes for no word of ours. */
export function describeUnread(name: string, unread: number, newest: string | undefined): string {
  const count = unread > 1 ? `${unread} unread, ` : "";
  return newest === undefined
    ? `${name} has written${unread > 1 ? ` (${unread} unread)` : ""}: /to ${name}`
    : `${name} has written (${count}/to ${name}): ${preview(newest)}`;
}

/** Lines of which the beginning is told when they were not sent. */
const UNSENT_SHOWN = 10;

/** Which messages were not sent, by their beginnings: a line for each of a few. */
export function describeUnsent(texts: readonly string[]): readonly string[] {
  if (texts.length === 1) return [`it was: ${preview(texts[0]!)}`];
  const more = texts.length - UNSENT_SHOWN;
  return [
    `${texts.length} messages:`,
    ...texts.slice(0, UNSENT_SHOWN).map(preview),
    ...(more > 0 ? [`and ${more} more`] : []),
  ];
}

/** The beginning of a message, in one line. */
function preview(text: string): string {
  const line = sanitize(text).replace(/\s+/gu, " ").trim();
  let shown = "";
  for (const { segment } of GRAPHEMES.segment(line.slice(0, 8 * PREVIEW))) {
    if (widthOf(shown + segment) > PREVIEW) return `${shown.trimEnd()}\u2026`;
    shown += segment;
  }
  return shown;
}

/** The same for a program; `decoder` is for the byte stream alone. */
export function eventJson(event: PeerEvent, peerName: string, decoder: TextDecoder): JsonEvent {
  switch (event.type) {
    case "text": {
      const { number, text, written, recovered } = event;
      return {
        event: "message",
        from: peerName,
        number: Number(number),
        text,
        ...(written > 0 && { written: new Date(written).toISOString() }),
        ...(recovered && { recovered }),
      };
    }
    case "bytes": {
      const text = decoder.decode(event.bytes, { stream: true });
      return { event: "message", from: peerName, number: Number(event.number), text };
    }
    case "end":
      return { event: "peer-ended" };
    case "taken back":
      return { event: "taken-back", number: Number(event.number) };
    case "file":
      return fileJson(event, peerName);
    case "gap":
      return { event: "gap", from: Number(event.from), to: Number(event.to) };
    case "restarted":
      return event.who === "peer" ? { event: "peer-restarted" } : { event: "restarted" };
  }
}

/** What is said of files, for a program: `transfer` is the id of the message that offers them. */
function fileJson(
  { id, word }: Extract<PeerEvent, { readonly type: "file" }>,
  from: string,
): JsonEvent {
  const transfer = encodeHex(word.type === "offer" ? id : word.transfer);
  const said = { event: "file", from, word: word.type, transfer } as const;
  switch (word.type) {
    case "offer": {
      const { name, files, folders, bytes } = word;
      return { ...said, name, files, folders, ...(bytes !== undefined && { bytes }) };
    }
    case "done":
      return { ...said, skipped: word.skipped };
    case "failed":
      return { ...said, code: word.code };
    default:
      return said;
  }
}

const FILE_WORDS: Readonly<Record<Exclude<FileWord["type"], "offer">, string>> = {
  accept: "takes what you offered",
  refuse: "does not take what you offered",
  done: "has all of what you sent",
  cancel: "has cancelled a transfer",
  failed: "cannot go on with a transfer",
};

/** That files were offered before, as a sentence without full stop. */
export function describeOffered(
  offer: Pick<HistoryOffer, "name" | "files" | "bytes">,
  who: string,
): string {
  return `${who} offered ${nameOf({ ...offer, direction: "received" })}`;
}

/** What somebody says of files, where no files are taken: a sentence without full stop. */
export function describeFileWord(word: FileWord, who: string): string {
  return word.type === "offer"
    ? `${who} offers ${nameOf({ ...word, direction: "received" })}: cifra receive --from ${who} ` +
      "takes it"
    : `${who} ${FILE_WORDS[word.type]}`;
}

/** That somebody took a message back before it was here, as a sentence without full stop. */
export function describeTakenBack(who: string): string {
  return `${who} took a message back before it came here`;
}

/** Which messages of somebody are missing, as a sentence without full stop. */
export function describeGap(
  { from, to }: { readonly from: bigint; readonly to: bigint },
  who: string,
): string {
  const which = from === to ? `message ${from} of ${who}` : `messages ${from} to ${to} of ${who}`;
  // From the first one on nothing of theirs was ever here: somebody with our keys has taken it.
  if (from === 1n) return `${which} went to another machine or profile of yours`;
  return `${which} ${from === to ? "is" : "are"} not on this machine any more`;
}

/**
 * Stands before a prompt: how far the last message came. Empty when that is `arrived`, the last one that
 * had arrived before this run.
 */
export function deliveryMark(delivery: Delivery, arrived: bigint | undefined): string {
  const { queued, sent, onServer, stored, read } = delivery;
  const waiting = queued - larger(sent, onServer);
  if (waiting > 1n) return `(${waiting} queued) `;
  const state = waiting > 0n
    ? "queued"
    : sent < queued
    ? "on server"
    : stored < queued
    ? "sent"
    : read < queued
    ? "stored"
    : "read";
  return queued === arrived ? "" : `(${state}) `;
}

/** How far messages come after they are queued, and the events of that. */
const STATES = [
  ["sent", "sent"],
  ["onServer", "on-server"],
  ["stored", "stored"],
  ["read", "read"],
] as const;

/** What has changed from `before` to `after`, an event for each queued message and one for each other state. */
export function deliveryJson(
  before: Delivery,
  after: Delivery,
): readonly (JsonEvent & { readonly number: number })[] {
  const events: (JsonEvent & { readonly number: number })[] = [];
  const add = (event: string, number: bigint) => events.push({ event, number: Number(number) });
  for (let number = before.queued; number < after.queued;) add("queued", ++number);
  for (const [state, event] of STATES) {
    // What is stored over there is on the server no more.
    const isNews =
      after[state] > (state === "onServer" ? larger(before[state], after.stored) : before[state]);
    if (isNews) add(event, after[state]);
  }
  return events;
}

/** Messages of ours that the other side does not have yet. */
export function undelivered({ queued, stored }: Delivery): number {
  return Number(queued - stored);
}

/** What is said at the end of messages that have not arrived; undefined when all have. */
export function describeUndelivered(delivery: Delivery, peerName: string): string | undefined {
  const left = undelivered(delivery);
  if (left === 0) return undefined;
  const messages = left === 1 ? "1 message is" : `${left} messages are`;
  return delivery.onServer === delivery.queued
    ? `${messages} on the server for ${peerName}, who was not here`
    : `${messages} not delivered yet; kept here until you and ${peerName} are connected again`;
}

/** The words that two people compare, in two lines. */
export function describeComparison(peerName: string, words: readonly string[]): string {
  return [
    `read these words to ${peerName}; they must be the same there:`,
    `   ${words.slice(0, 6).join(" ")}`,
    `   ${words.slice(6).join(" ")}`,
  ].join("\n");
}

/** What the store of messages lost: the newest ones of one direction. */
export function describeLost({ peer, direction, from, to }: Lost): string {
  const count = to - from + 1n;
  const messages = count === 1n ? "1 message" : `${count} messages`;
  return direction === "sent"
    ? `${messages} that you wrote to ${peer} are lost: the end of the file of messages is missing; ` +
      `${peer} will be told which of them did not arrive`
    : `${messages} of ${peer} are lost: the end of the file of messages is missing`;
}

/** The same for programs. */
export function lostJson({ peer, suite, direction, from, to }: Lost): JsonEvent {
  return { event: "messages-lost", peer, suite, direction, from: Number(from), to: Number(to) };
}
