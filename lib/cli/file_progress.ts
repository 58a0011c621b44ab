/** How far files are, for people and for programs, and at the end how long it took. */
import { encodeHex } from "@std/encoding/hex";
import type { Path } from "../client/connector.ts";
import type { TransferProgress } from "../client/transfer_events.ts";
import type { TransferRow } from "../store/transfer_store.ts";
import { calledBy, percentOf, sizeOf } from "./file_words.ts";
import { type Line, lineOf } from "../wire/line.ts";
import type { JsonEvent } from "./terminal.ts";

/** Speed is that of the last so many milliseconds. */
const LATELY = 3000;
const BAR = 10;
/** Letters of a name that stand beside a prompt. */
const MARKED = 24;

/** The speed of one transfer. */
export class Speedometer {
  readonly #marks: { readonly at: number; readonly bytes: number }[] = [];

  /** So many bytes are here now; times in milliseconds. */
  note(bytes: number, at: number): void {
    // A file that began anew.
    if (bytes < (this.#marks.at(-1)?.bytes ?? 0)) this.#marks.length = 0;
    this.#marks.push({ bytes, at });
    while (this.#marks.length > 2 && at - this.#marks[0]!.at > LATELY) this.#marks.shift();
  }

  /** Bytes a second; undefined before there is one. */
  get rate(): number | undefined {
    const first = this.#marks[0], last = this.#marks.at(-1);
    if (!first || !last || last.at - first.at < 100) return undefined;
    return 1000 * (last.bytes - first.bytes) / (last.at - first.at);
  }
}

/** What is on its way: the transfer that moved last. */
export interface UnderWay {
  readonly row: Pick<TransferRow, "id" | "peer" | "direction" | "name" | "bytes" | "files">;
  readonly progress: TransferProgress;
  /** Bytes a second; undefined before there is one. */
  readonly rate: number | undefined;
  readonly path: Path | undefined;
  /** How many others are on their way. */
  readonly more: number;
}

/** A line such as `thesis.pdf  ███████░░░  71 %  310 MB/s  0:02 left  direct`. */
export function progressLine({ row, progress, rate, path, more }: UnderWay): string {
  const { bytes, entry } = progress;
  const name = calledBy(row), { direction } = row;
  const isPart = row.files > 1 && entry !== undefined && entry !== row.name;
  const parts = [isPart ? `${name}: ${calledBy({ name: entry, direction })}` : name];
  if (row.bytes === undefined) parts.push(sizeOf(bytes));
  else {
    const percent = percentOf(row.bytes, bytes);
    const full = Math.floor(percent / (100 / BAR));
    parts.push("\u2588".repeat(full) + "\u2591".repeat(BAR - full));
    parts.push(`${percent} %`.padStart(4));
    parts.push(`${sizeOf(bytes)} of ${sizeOf(row.bytes)}`);
  }
  if (rate !== undefined) parts.push(`${sizeOf(rate)}/s`);
  const left = timeLeft(row.bytes, bytes, rate);
  if (left !== undefined) parts.push(`${left} left`);
  if (path) parts.push(path.type);
  if (more > 0) parts.push(`and ${more} more`);
  return parts.join("  ");
}

/** The same beside a prompt, without blanks at its end: `(71 % of thesis.pdf, 0:02 left)`. */
export function progressMark({ row, progress: { bytes }, rate, more }: UnderWay): string {
  const done = row.bytes === undefined ? sizeOf(bytes) : `${percentOf(row.bytes, bytes)} %`;
  const { direction } = row;
  const name = calledBy({ name: shortened(row.name), direction });
  const left = timeLeft(row.bytes, bytes, rate);
  const others = more > 0 ? `, and ${more} more` : "";
  return `(${done} of ${name}${left === undefined ? "" : `, ${left} left`}${others})`;
}

function shortened(name: Line): Line {
  return name.length > MARKED ? lineOf(`${name.slice(0, MARKED - 1)}\u2026`) : name;
}

/** The same for a program. */
export function progressJson({ row, progress, rate }: UnderWay): JsonEvent {
  const { id, peer, direction, name, bytes: total } = row;
  return {
    event: "file-progress",
    transfer: encodeHex(id),
    peer,
    direction,
    name,
    bytes: progress.bytes,
    ...(total !== undefined && { total }),
    ...(progress.entry && { entry: progress.entry }),
    ...(rate !== undefined && { rate: Math.round(rate) }),
  };
}

function timeLeft(
  total: number | undefined,
  bytes: number,
  rate: number | undefined,
): string | undefined {
  const left = (total ?? 0) - bytes;
  return left > 0 && rate !== undefined && rate > 0 ? clock(left / rate) : undefined;
}

/** Seconds as `0:02`, `1:10:00`. */
export function clock(seconds: number): string {
  const whole = Math.min(359_999, Math.ceil(seconds));
  const two = (value: number) => `${value}`.padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60, hours = Math.floor(whole / 3600);
  return hours > 0
    ? `${hours}:${two(minutes)}:${two(whole % 60)}`
    : `${minutes}:${two(whole % 60)}`;
}

/** What is said when all of it has come: how much, how long, how fast. */
export function describeTime(bytes: number, milliseconds: number): string {
  const seconds = milliseconds / 1000;
  const time = seconds < 10 ? `${seconds.toFixed(2)} s` : clock(seconds);
  return `${sizeOf(bytes)} in ${time}, ${sizeOf(1000 * bytes / Math.max(1, milliseconds))}/s`;
}
