/** What happens to files between two people: in words for people, and as events for programs. */
import { encodeHex } from "@std/encoding/hex";
import type { TransferEvent } from "../client/transfer_events.ts";
import { reportOf } from "../errors.ts";
import type { Skipped } from "../files/tree.ts";
import type { TransferRow, TransferState } from "../store/transfer_store.ts";
import { HoldReason, TransferFailure } from "../wire/file_messages.ts";
import { lineOf, quoted } from "../wire/line.ts";
import { lowerFirst } from "./status_words.ts";
import type { JsonEvent } from "./terminal.ts";

/** Letters of an id by which people name a transfer. */
const SHORT = 4;
/** Lines of what is left out. */
const LEFT_OUT_SHOWN = 10;
const UNITS = ["kB", "MB", "GB", "TB", "PB"];

/** A number of bytes as people read it: `2.1 MB`. */
export function sizeOf(bytes: number): string {
  if (bytes < 999.5) return `${Math.round(bytes)} B`;
  let value = bytes, unit = -1;
  do {
    value /= 1000;
    unit++;
  } while (value >= 999.5 && unit < UNITS.length - 1);
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

/** How much of it is here; never 100, since the end is told when all of it is on the disk. */
export function percentOf(total: number, bytes: number): number {
  return total === 0 ? 99 : Math.min(99, Math.floor(100 * bytes / total));
}

/** A transfer as it stands in a sentence: in quotes as the other side calls it, so that it cannot pass for the rest. */
export function calledBy({ name, direction }: Pick<TransferRow, "name" | "direction">): string {
  return direction === "received" ? quoted(name) : name;
}

/** What a transfer is: `thesis.pdf (2.1 MB)`, `"photos" (312 files, 1.2 GB)` of somebody else. */
export function nameOf(
  transfer: Pick<TransferRow, "name" | "direction" | "files"> & {
    readonly bytes?: number | undefined;
  },
): string {
  const { files, bytes } = transfer;
  const size = bytes === undefined ? "size not known" : sizeOf(bytes);
  return `${calledBy(transfer)} (${files === 1 ? "" : `${files} files, `}${size})`;
}

/** How people name a transfer: the beginning of its id. */
export function shortId({ id }: Pick<TransferRow, "id">): string {
  return encodeHex(id).slice(0, SHORT);
}

const WHY_THERE: Readonly<Record<HoldReason, string>> = {
  [HoldReason.notNow]: "wants no more at the moment",
  [HoldReason.full]: "has no room on the disk",
  [HoldReason.denied]: "may not use the file or folder",
  [HoldReason.other]: "cannot use the disk at the moment",
};

const WHY_FAILED: Readonly<Record<TransferFailure, string>> = {
  [TransferFailure.manifest]: "its list of files is not one that cifra makes",
  [TransferFailure.tooLarge]: "it is, or has become, larger than what is taken",
  [TransferFailure.gone]: "what was offered is not there any more",
  [TransferFailure.other]: "something went wrong",
};

/** How an offer is taken, or not, for the person to whom it is made. */
export function howToTake({ id }: Pick<TransferRow, "id">): string {
  return `/take ${shortId({ id })} or /decline ${shortId({ id })}`;
}

/** That somebody offers files, as a sentence without full stop; `isOpen`: it waits for an answer. */
export function describeOffer(
  offer: Pick<TransferRow, "id" | "name" | "files" | "bytes">,
  who: string,
  isOpen: boolean,
): string {
  const what = nameOf({ ...offer, direction: "received" });
  return `${who} offers ${what}${isOpen ? `: ${howToTake(offer)}` : ""}`;
}

/** What an offer of ours leaves out of what was to be sent, a line each; of many the first ones. */
export function describeLeftOut(
  { skipped }: { readonly skipped: readonly Skipped[] },
): readonly string[] {
  const more = skipped.length - LEFT_OUT_SHOWN;
  return [
    ...skipped.slice(0, LEFT_OUT_SHOWN).map(({ path, why }) => `left out: ${lineOf(path)}: ${why}`),
    ...(more > 0 ? [`left out: ${more} more`] : []),
  ];
}

/** Links inside of folders, which nobody has asked for: how many, and the first ones, a line each. */
export function describeLinks(
  { skipped, links, linked }: {
    readonly skipped: readonly Skipped[];
    readonly links: number;
    readonly linked: readonly string[];
  },
): readonly string[] {
  const inside = links - skipped.filter(({ why }) => why.startsWith("it is a link")).length;
  if (inside === 0) return [];
  const more = inside - linked.length;
  return [
    `not followed: ${inside === 1 ? "a link" : `${inside} links`} in folders`,
    ...linked.map((path) => `not followed: ${path}`),
    ...(more > 0 ? [`not followed: ${more} more`] : []),
  ];
}

/** What was offered by us, for a program. */
export function offeredJson(
  row: TransferRow,
  { skipped, links }: { readonly skipped: readonly Skipped[]; readonly links: number },
): JsonEvent {
  const { files, folders, bytes } = row;
  return {
    event: "file-offered",
    ...aboutOf(row),
    files,
    folders,
    ...(bytes !== undefined && { bytes }),
    leftOut: skipped.map(({ path, why }) => `${path}: ${why}`),
    links,
  };
}

/** That an offer is not taken without asking, for a program. */
export function waitsJson(row: TransferRow): JsonEvent {
  const { files, folders, bytes } = row;
  const size = { files, folders, ...(bytes !== undefined && { bytes }) };
  return { event: "file-waits", ...aboutOf(row), ...size };
}

/** A transfer as other programs are told of it. */
export interface TransferFacts extends Pick<TransferRow, "peer" | "direction" | "name" | "state"> {
  /** The id of the message that offers it, in hexadecimal. */
  readonly transfer: string;
  readonly files: number;
  readonly folders: number;
  readonly bytes?: number;
  /** Bytes that are here, or sent, of what is on its way. */
  readonly done?: number;
  /** The folder it comes to. */
  readonly into?: string;
  /** Why it has failed. */
  readonly why?: string;
  readonly skipped: number;
  /** ISO 8601. */
  readonly began?: string;
  readonly ended?: string;
}

/** What there is to tell of one; `here`: bytes of what is on its way. */
export function transferFacts(row: TransferRow, here: number | undefined): TransferFacts {
  const { files, folders, bytes, direction, state, place, failure, skipped, began, ended } = row;
  return {
    ...aboutOf(row),
    state,
    files,
    folders,
    ...(bytes !== undefined && { bytes }),
    ...(here !== undefined && { done: here }),
    ...(direction === "received" && place !== "" && { into: place }),
    ...(failure !== undefined && { why: WHY_FAILED[failure] }),
    skipped,
    ...(began > 0 && { began: new Date(began).toISOString() }),
    ...(ended !== undefined && { ended: new Date(ended).toISOString() }),
  };
}

/** One transfer in a list: what, with whom, and how it stands. */
export function transferLine(facts: TransferFacts): string {
  const { transfer, peer, direction, bytes, done } = facts;
  const how = done === undefined
    ? stateOf(facts)
    : bytes === undefined
    ? sizeOf(done)
    : `${percentOf(bytes, done)} %`;
  const whom = direction === "sent" ? `to ${peer}` : `from ${peer}`;
  return `${transfer.slice(0, SHORT)}  ${whom}  ${nameOf(facts)}  ${how}`;
}

function aboutOf({ id, peer, direction, name }: TransferRow) {
  return { transfer: encodeHex(id), peer, direction, name };
}

/** How a transfer stands. */
export function stateOf(
  { state, direction, why }: Pick<TransferFacts, "state" | "direction" | "why">,
): string {
  const words: Readonly<Record<TransferState, string>> = {
    offered: direction === "sent" ? "offered, and not accepted yet" : "offered to you",
    accepted: "on its way",
    done: "done",
    refused: "refused",
    cancelled: "cancelled",
    failed: why === undefined ? "failed" : `failed: ${why}`,
  };
  return words[state];
}

/** Whether all there was of a transfer that is done was left out. */
export function isNothing(
  { files, folders, skipped }: Pick<TransferRow, "files" | "folders" | "skipped">,
): boolean {
  return skipped > 0 && skipped === files && folders === 0;
}

/** One event for people, undefined where it is not for them, and for programs; `label` is the other person. */
export function describeTransfer(
  row: TransferRow,
  event: TransferEvent,
  label: string,
): readonly [string | undefined, JsonEvent | undefined] {
  const { place } = row, name = calledBy(row);
  const about = aboutOf(row);
  switch (event.type) {
    case "offered":
      // The conversation shows the offer itself, in its order.
      if (!event.isAccepted) return [undefined, undefined];
      return [`${nameOf(row)} of ${label} is taken`, { event: "file-accepted", ...about }];
    case "crowded":
      return [
        `${label} offers too much at once: ${name} and what follows is refused`,
        { event: "file-refused", ...about },
      ];
    case "accepted":
      return [`${label} takes ${name}`, { event: "file-accepted", ...about }];
    case "moved":
      return [undefined, undefined];
    case "stuck":
      return describeStuck(row, event, label, about);
    case "skipped":
      return [
        row.direction === "sent"
          ? `${name}: ${event.entry} is left out: it is not there any more, or changes all the time`
          : `${name}: ${
            quoted(event.entry)
          } is not there any more at ${label}, or changes all the time`,
        { event: "file-skipped", ...about, entry: event.entry },
      ];
    case "outgrown":
      return [
        `${name}: ${event.entry} has grown far beyond what was offered, and is left out: send it anew`,
        { event: "file-skipped", ...about, entry: event.entry },
      ];
    case "received": {
      const changed = event.names.filter(({ sent, written }) => sent !== written);
      const names = event.names.map(({ written }) => written);
      const json = { event: "file-received", ...about, into: place, names } as const;
      if (names.length === 0) return [`nothing of ${name} has come from ${label}`, json];
      return [
        [
          `${names.map(shown).join(", ")} of ${label} ${
            names.length === 1 ? "is" : "are"
          } in ${place}`,
          ...changed.map(({ sent, written }) => `${shown(sent)} is called ${shown(written)} there`),
        ].join("\n"),
        json,
      ];
    }
    case "over":
      return [
        describeOver(row, event.who, label),
        {
          event: "file-over",
          ...about,
          state: row.state,
          who: event.who,
          ...(row.failure !== undefined && { why: WHY_FAILED[row.failure] }),
          ...(row.state === "done" && { skipped: row.skipped }),
        },
      ];
  }
}

function shown(path: string): string {
  return quoted(lineOf(path));
}

function describeStuck(
  row: TransferRow,
  event: Extract<TransferEvent, { readonly type: "stuck" }>,
  label: string,
  about: Readonly<Record<string, unknown>>,
): readonly [string, JsonEvent] {
  const name = calledBy(row);
  const goesOn = [`${name} goes on`, { event: "file-unstuck", ...about }] as const;
  if (event.who === "peer") {
    if (event.why === undefined) return goesOn;
    const why = WHY_THERE[event.why];
    return [
      `${name} waits: ${label} ${why}; it goes on by itself`,
      { event: "file-stuck", ...about, who: "peer", why },
    ];
  }
  const { error } = event;
  if (!error) return goesOn;
  const hint = error.hint === undefined ? "" : `\n${error.hint}`;
  return [
    `${name} waits: ${lowerFirst(error.message)}${hint}`,
    { event: "file-stuck", ...about, who: "us", ...reportOf(error) },
  ];
}

function describeOver(row: TransferRow, who: "us" | "peer", label: string): string | undefined {
  const { state, failure, skipped, direction } = row, name = calledBy(row);
  const whom = who === "us" ? "you" : label;
  switch (state) {
    case "done": {
      if (direction === "sent" && isNothing(row)) {
        return `${label} has nothing of ${name}: it could not be read`;
      }
      const without = skipped === 0 ? "" : `, but for ${skipped} that could not be read`;
      return direction === "sent" ? `${label} has all of ${name}${without}` : undefined;
    }
    case "refused":
      return who === "us" ? undefined : `${label} does not take ${name}`;
    case "cancelled":
      return `${name} is cancelled by ${whom}`;
    case "failed":
      return `${name} failed: ${WHY_FAILED[failure ?? TransferFailure.other]}`;
    default:
      return undefined;
  }
}
