/**
 * What happens to files is said as it happens, and how far they have come now and then: drawn again where there is a
 * place for that, as an event each second for programs, a line each tenth where nothing is ever drawn again.
 */
import { encodeHex } from "@std/encoding/hex";
import type { Path } from "../client/connector.ts";
import type { TransferEvent, TransferProgress } from "../client/transfer_events.ts";
import type { Time } from "../flow/time.ts";
import type { TransferRow } from "../store/transfer_store.ts";
import {
  describeTime,
  progressJson,
  progressLine,
  Speedometer,
  type UnderWay,
} from "./file_progress.ts";
import { describeTransfer, isNothing, percentOf } from "./file_words.ts";
import type { JsonEvent, Terminal } from "./terminal.ts";

/** Milliseconds between two drawings, and between two events. */
const DRAWN_EVERY = 250;
const TOLD_EVERY = 1000;
/** A line each so many percent, and none before so many milliseconds. */
const STEP = 10;
const SAID_EVERY = 5000;

/** Whose files, and where they are told of. */
export interface FileVoiceOptions {
  readonly terminal: Pick<Terminal, "json" | "plain" | "say">;
  readonly time: Pick<Time, "now" | "after">;
  /** Tells a program; `about` is the other person. */
  readonly emit: (event: JsonEvent, about: string) => void;
  /** A name as people see it. */
  readonly label: (name: string) => string;
  /** How far a transfer is that is on its way. */
  readonly progress: (row: TransferRow) => TransferProgress | undefined;
  /** The way to somebody. */
  readonly way: (name: string) => Path | undefined;
  /** Draws what is on its way in place of what was drawn before; undefined: nothing is. */
  readonly draw: (underWay: UnderWay | undefined) => void;
}

/** A transfer that has moved in this run. */
interface Course {
  readonly row: TransferRow;
  readonly speed: Speedometer;
  /** When it began to move. */
  readonly at: number;
  /** How much of it is here, and has moved since: what comes anew counts again. */
  bytes: number;
  moved: number;
  /** It has moved since that was told. */
  isNews: boolean;
  /** What was said last. */
  percent: number;
  saidAt: number;
}

/** Tells of them. */
export class FileVoice {
  readonly #options: FileVoiceOptions;
  /** By the ids of transfers; the one that moved last is the last. */
  readonly #courses = new Map<string, Course>();
  /** Those that the other side takes, which is said once. */
  readonly #accepted = new Set<string>();
  #cancelTick: (() => void) | undefined;

  constructor(options: FileVoiceOptions) {
    this.#options = options;
  }

  /** Something has happened to a transfer. */
  tell(row: TransferRow, event: TransferEvent): void {
    const id = encodeHex(row.id);
    if (event.type === "moved") return this.#move(id, row);
    if (event.type === "accepted") {
      if (this.#accepted.has(id)) return;
      this.#accepted.add(id);
    }
    const [text, json] = describeTransfer(row, event, this.#options.label(row.peer));
    // What has moved and was left out in the end is nowhere.
    const isWhole = event.type === "received" && event.names.length > 0 ||
      event.type === "over" && row.state === "done" && row.direction === "sent" &&
        !isNothing(row);
    const took = isWhole ? this.#time(id) : undefined;
    if (event.type === "over" || event.type === "stuck") this.#rest(id);
    if (event.type === "over") this.#accepted.delete(id);
    const { terminal, emit } = this.#options;
    if (!terminal.json && text !== undefined) {
      terminal.say(took === undefined ? text : `${text}\n${took}`);
    } else if (terminal.json && json) emit(json, row.peer);
  }

  /** Nothing is told any more. */
  stop(): void {
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    this.#courses.clear();
    this.#options.draw(undefined);
  }

  #move(id: string, row: TransferRow): void {
    const progress = this.#options.progress(row);
    if (!progress) return;
    const now = this.#options.time.now();
    const { bytes } = progress;
    const course = this.#courses.get(id) ??
      {
        row,
        speed: new Speedometer(),
        at: now,
        bytes,
        moved: 0,
        isNews: true,
        percent: 0,
        saidAt: now,
      };
    course.isNews = true;
    course.moved += Math.max(0, bytes - course.bytes);
    course.bytes = bytes;
    this.#courses.delete(id);
    this.#courses.set(id, course);
    this.#tickLater();
  }

  /** It does not move any more. */
  #rest(id: string): void {
    this.#courses.delete(id);
    if (this.#courses.size > 0) return;
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    this.#options.draw(undefined);
  }

  #tickLater(): void {
    const { time, terminal } = this.#options;
    const pause = terminal.json ? TOLD_EVERY : DRAWN_EVERY;
    this.#cancelTick ??= time.after(pause, () => {
      this.#cancelTick = undefined;
      this.#tick();
    });
  }

  #tick(): void {
    const { terminal, time, progress, way, draw, emit } = this.#options;
    const now = time.now();
    let last: UnderWay | undefined;
    for (const course of this.#courses.values()) {
      if (!course.isNews) continue;
      course.isNews = false;
      const { row, speed } = course;
      const here = progress(row);
      if (!here) continue;
      speed.note(here.bytes, now);
      const more = this.#courses.size - 1;
      last = { row, progress: here, rate: speed.rate, path: way(row.peer), more };
      if (terminal.json) emit(progressJson(last), row.peer);
      else if (terminal.plain) this.#saySteps(course, last, now);
    }
    if (!last) return;
    if (!terminal.json && !terminal.plain) draw(last);
    // What rests says so itself; until then its place is kept.
    this.#tickLater();
  }

  #saySteps(course: Course, underWay: UnderWay, now: number): void {
    const { row: { bytes: total }, progress: { bytes } } = underWay;
    const percent = total === undefined ? course.percent + STEP : percentOf(total, bytes);
    if (now - course.saidAt < SAID_EVERY || percent < course.percent + STEP) return;
    course.percent = percent - percent % STEP;
    course.saidAt = now;
    this.#options.terminal.say(progressLine(underWay));
  }

  /** How long it took in this run; undefined when nothing of it moved. */
  #time(id: string): string | undefined {
    const course = this.#courses.get(id);
    if (!course || course.moved === 0) return undefined;
    return describeTime(course.moved, this.#options.time.now() - course.at);
  }
}
