/**
 * The one place that prints: results to stdout, talk to stderr, JSON lines to stdout on request. Whatever is
 * printed passes `page.ts`, so that nobody who prints has to think of it: foreign text neither drives the
 * terminal nor begins a line (PROTOCOL.md, attack A22).
 */
import { type Bytes, encodeUtf8, writeAll, writeAllSync } from "../bytes.ts";
import { CifraError, exitCodeOf, reportOf } from "../errors.ts";
import { mayFail } from "../flow/may_fail.ts";
import { isPlatformError, platformFailure } from "../platform_errors.ts";
import { type Bell, titleBytes } from "./attention.ts";
import { columnsOf } from "./columns.ts";
import { type ColourChoice, colourOf, FAINT, OUR_COLOUR, wantsColours } from "./colours.ts";
import { type Output, OutputQueue, ReaderPauses } from "./output_queue.ts";
import { harmless, jsonLine, page, paintStart, type Shown } from "./page.ts";
import { StreamSanitizer } from "./sanitize.ts";
import { screen } from "./screen.ts";
import { dayOf, timeOf } from "./wall_clock.ts";

/** One JSON line; keys are documented in lib/docs/json.md. */
export type JsonEvent = { readonly event: string } & Readonly<Record<string, unknown>>;

/** Stands before what the program itself says. */
const OURS = "-- ";
const INDENT = " ".repeat(OURS.length);
/** Stands before what was said, and seen, before. */
const PAST = "| ";
/** Milliseconds for which a program that is to end waits for whoever reads what it said. */
const LAST_PATIENCE = 500;
/** Milliseconds between two rings. */
const BELL_PAUSE = 1000;
/** Rows of talk have no more columns, however wide the terminal is: it may be made narrower later. */
const WIDEST = 100;

/** How a person wants to see what is said. */
export interface Looks {
  /** Names are in colour. */
  readonly colours: boolean;
  /** Each line has its time, and the day stands where it changes. */
  readonly times: boolean;
}

/** What is known of somebody's words. */
export interface Said {
  /** Milliseconds since 1970, by the writer's clock; by default now. */
  readonly written?: number;
  readonly isOurs?: boolean;
  /** They were seen before. */
  readonly isPast?: boolean;
}

/** Where a command's words go. */
export class Terminal {
  readonly json: boolean;
  /** Both ends are a person's. */
  readonly interactive: boolean;
  /** Lines are typed as the terminal itself edits them, and nothing is ever drawn again: for screen readers. */
  plain: boolean;
  /** Aborted by the signal that ends the program: nobody is asked any more. */
  interrupted: AbortSignal | undefined;
  /** Set while a line is being typed: prints around it. */
  printAround: ((text: Shown) => void) | undefined;
  /** What ends each open prompt, the newest last. */
  readonly prompts = new Set<() => void>();
  /** Drops what is typed to nobody any more; set once somebody was asked. */
  forgetTyped: (() => Promise<void>) | undefined;
  /** How what is said looks; plain, unless a command asks for more. */
  looks: Looks = { colours: false, times: false };
  /** For what the bell rings. */
  bell: Bell = "off";
  #rungAt = 0;
  /** As the title of the window has it. */
  #unread = 0;
  /** The day of what was shown last. */
  #day = dayOf(Date.now());
  /** Of the bytes that go to a terminal. */
  readonly #stream = new StreamSanitizer();
  readonly #noColor: string | undefined;
  readonly #columnsOf: typeof columnsOf;
  /** Results that wait for whoever reads stdout; undefined while they are written at once. */
  #results: OutputQueue | undefined;
  /** Talk that waits for whoever reads stderr: the same where both are the screen. */
  #saying: OutputQueue | undefined;
  /** Results are left out when too many wait. */
  drops = false;
  #hasGivenUp = false;
  #failure: CifraError | undefined;
  /** The message of the failure that was told last, as one that ends the program. */
  #told: string | undefined;
  readonly #failed = Promise.withResolvers<never>();
  /** Tells in words what was told as an event, if that cannot be written. */
  #unwritten: (() => void) | undefined;

  /** `columns` tells how wide an output is, for tests. */
  constructor(
    json: boolean,
    columns = columnsOf,
    { plain = false, noColor }: {
      readonly plain?: boolean;
      readonly noColor?: string | undefined;
    } = {},
  ) {
    this.json = json;
    this.plain = plain;
    this.#noColor = noColor;
    this.#columnsOf = columns;
    this.interactive = !json && Deno.stdin.isTerminal() && Deno.stdout.isTerminal();
    mayFail(this.#failed.promise);
  }

  /** Why results cannot be written any more: `local`. What nobody can read is not printed, and must not count as read. */
  get failure(): CifraError | undefined {
    return this.#failure;
  }

  /** Rejects with `failure` as soon as there is one. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Whether stdin is a pipe or a file: a person types at a terminal that shows what comes, or not at all. */
  get takesInput(): boolean {
    return this.interactive || !Deno.stdin.isTerminal();
  }

  /**
   * From now on a reader that pauses keeps nobody waiting: what is said waits for it in a queue that has an end. Talk
   * that finds it full is left out, and counted, as are results with `drops`; otherwise whoever has many results waits
   * for `room`.
   */
  waitForNobody(): void {
    if (this.#results) return;
    const events = {
      onFailure: (error: unknown) => this.#failResults(error),
      onDropped: (lines: number) => this.#tellDropped(lines),
    };
    const shown = screen.waitForNobody(events);
    this.#results = Deno.stdout.isTerminal() ? shown : new OutputQueue(Deno.stdout, events);
    this.#saying = Deno.stderr.isTerminal() ? shown : new OutputQueue(TALK, events);
  }

  /** Resolves when there is room for more results; false when nobody reads them any more. */
  async room(): Promise<boolean> {
    if (this.#results && !await this.#results.room()) return false;
    return this.#failure === undefined;
  }

  /**
   * Resolves when everything that was said is written, or cannot be. A reader that pauses is waited for a moment only
   * when a signal has come, or what it does not read is left out: false when it has not read everything.
   */
  async flushed(): Promise<boolean> {
    const queues = [this.#results, this.#saying].flatMap((queue) => queue ?? []);
    if (queues.length === 0) return true;
    if (this.#hasGivenUp) return false;
    const all = Promise.all([...queues.map((queue) => queue.drained()), screen.shown()]);
    if (await this.#inTime(all, { hurries: this.drops })) return true;
    this.#hasGivenUp = true;
    for (const queue of queues) queue.close();
    screen.close();
    return false;
  }

  /** Rings, once a second at the most. */
  ring(): void {
    const now = Date.now();
    if (!this.interactive || Math.abs(now - this.#rungAt) < BELL_PAUSE) return;
    this.#rungAt = now;
    screen.write("\x07");
  }

  /** Tells in the title of the window how many messages wait; 0 gives it back. Never with `plain`. */
  setUnread(count: number): void {
    if (!this.interactive || this.plain) return;
    screen.write(titleBytes(this.#unread, count));
    this.#unread = count;
  }

  /** Whether there are colours on stdout. */
  wantsColours(choice: ColourChoice): boolean {
    const isTerminal = Deno.stdout.isTerminal();
    return wantsColours(choice, {
      isTerminal,
      isDumb: this.plain,
      noColor: this.#noColor,
    });
  }

  /** Ends what is still being typed, and gives the terminal back as it was. */
  close(): void {
    for (const close of [...this.prompts].reverse()) close();
  }

  /** Talk for people; with --json the same as an event for programs. */
  say(text: string, event?: JsonEvent): void {
    if (this.json) {
      if (event) this.emit(event);
      return;
    }
    const isPrompting = this.printAround !== undefined || this.interactive;
    this.#talk(this.#page(isPrompting ? OURS : "cifra: ", text));
  }

  /** What somebody said, under their name: no line of it can pass for another's or for ours. */
  message(
    from: string,
    text: string,
    { written = Date.now(), isOurs = false, isPast = false }: Said = {},
  ): void {
    const beside = (isPast ? PAST : "") + this.stamp(written);
    const shown = this.#page(`${beside}${from}: `, text);
    this.#talk(this.looks.colours ? paintNames(shown, beside, from, isOurs) : shown);
  }

  /** What stands before a line of that moment; says which day it is when that has changed. */
  stamp(written: number): string {
    if (!this.looks.times) return "";
    const day = dayOf(written);
    if (day !== this.#day) this.say(day);
    this.#day = day;
    return `${timeOf(written)} `;
  }

  /** Rows of a trace, laid out for so many columns. */
  trace(layOut: (columns: number | undefined) => string, event: JsonEvent): void {
    if (this.json) return this.emit(event);
    const columns = this.#columns;
    this.#talk(page("", layOut(columns), { columns, indent: INDENT, isTable: true }));
  }

  /** One JSON line on stdout; `onWritten` is called when it is written, in the order of the lines. */
  emit(event: JsonEvent, onWritten?: () => void): void {
    this.#printResult(jsonLine(event), onWritten);
  }

  /** Lines of results on stdout. */
  print(text: string): void {
    const shown = harmless(text);
    if (this.printAround) this.printAround(shown);
    else this.#printResult(shown);
  }

  /** Words as results on stdout, laid out for whoever looks: `mark` says what they are. */
  page(mark: string, text: string, indent: string): Shown {
    const columns = this.#columnsOf(Deno.stdout);
    return page(mark, text, { columns: columns && Math.min(columns, WIDEST), indent });
  }

  /** The same for somebody's words; `beside` stands before whose they are, `after` behind. */
  saying(
    beside: string,
    { from, isOurs, after }: {
      readonly from: string;
      readonly isOurs: boolean;
      readonly after: string;
    },
    text: string,
    indent: string,
  ): Shown {
    const shown = this.page(`${beside}${from}${after}: `, text, indent);
    return this.looks.colours ? paintNames(shown, beside, from, isOurs) : shown;
  }

  /**
   * Results on stdout, a line each; resolves when the reader has taken them. Throws `local`, and `interrupted` when a
   * signal comes and the reader pauses.
   */
  async results(lines: readonly Shown[]): Promise<void> {
    const writing = this.#writeResults(encodeUtf8(lines.map(lineOf).join("")));
    if (!await this.#inTime(mayFail(writing))) throw new CifraError("interrupted", "Interrupted");
  }

  /**
   * Bytes that somebody sends as results on stdout; resolves when the reader has taken them. On a terminal they
   * are words like others, under the name of whose they are. Throws `local`.
   */
  async write(bytes: Bytes, from: string): Promise<void> {
    if (this.#columnsOf(Deno.stdout) === undefined) return await this.#writeResults(bytes);
    const text = this.#stream.push(bytes).replace(/\n$/, "");
    if (text !== "") await this.results([this.page(`${from}: `, text, INDENT)]);
  }

  /** A failure was told at the end: `fail` need not tell the same again. */
  hasTold({ message }: CifraError): void {
    this.#told = message;
  }

  /** Says what went wrong and what to try, once, and returns the exit code for it. */
  fail(error: unknown): number {
    if (!(error instanceof CifraError) && !isPlatformError(error)) throw error;
    const failure = platformFailure("Cannot go on", error);
    const { code, message, hint } = failure;
    if (message === this.#told) return exitCodeOf(code);
    this.#told = message;
    const inWords = () => {
      this.#printTalk(lineOf(this.#page("error: ", message)));
      if (hint !== undefined) this.#printTalk(lineOf(this.#page("hint: ", hint)));
    };
    if (this.json) this.emit({ event: "error", ...reportOf(failure) });
    // Where no event can be read, somebody may read this.
    if (!this.json || this.#failure) inWords();
    else this.#unwritten = inWords;
    return exitCodeOf(code);
  }

  /** A result is short and must come out in order: it is written at once, or waits for its turn. */
  #printResult(text: Shown, onWritten?: () => void): void {
    if (this.#failure) return;
    const line = encodeUtf8(lineOf(text));
    if (this.#results) {
      const writing = { to: Deno.stdout, onWritten };
      if (this.drops) this.#results.offer(line, writing);
      else this.#results.push(line, writing);
      return;
    }
    try {
      writeAllSync(Deno.stdout, line);
    } catch (error) {
      return this.#failResults(error);
    }
    onWritten?.();
  }

  /** Waits for a reader; once a signal has come, or with `hurries`, only for a moment: false then. Throws as `reading`. */
  async #inTime(reading: Promise<unknown>, { hurries = false } = {}): Promise<boolean> {
    const { interrupted } = this;
    const late = Promise.withResolvers<false>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const hurry = () => void (timer ??= setTimeout(() => late.resolve(false), LAST_PATIENCE));
    if (interrupted?.aborted || hurries) hurry();
    else interrupted?.addEventListener("abort", hurry);
    try {
      return await Promise.race([reading.then(() => true), late.promise]);
    } finally {
      clearTimeout(timer);
      interrupted?.removeEventListener("abort", hurry);
    }
  }

  #tellDropped(lines: number): void {
    if (this.json) {
      const time = new Date().toISOString();
      return this.emit({ time, event: "suppressed", suppressed: lines } as JsonEvent);
    }
    const were = lines === 1 ? "line was" : "lines were";
    this.say(`${lines} ${were} left out: nobody read them in time`);
  }

  #failResults(error: unknown): void {
    this.#failure = error instanceof ReaderPauses
      ? new CifraError("local", "Cannot write to standard output: its reader does not take it")
      : unwritten(error);
    this.#failed.reject(this.#failure);
    this.#unwritten?.();
  }

  async #writeResults(bytes: Bytes): Promise<void> {
    const queue = this.#results;
    if (queue && Deno.stdout.isTerminal()) {
      let isWritten = false;
      queue.push(bytes, { to: Deno.stdout, onWritten: () => void (isWritten = true) });
      await queue.drained();
      if (this.#failure) throw this.#failure;
      if (!isWritten) throw new CifraError("interrupted", "Interrupted");
      return;
    }
    // What was printed before comes before it.
    await queue?.drained();
    try {
      await writeAll(Deno.stdout, bytes);
    } catch (error) {
      this.#failResults(error);
      throw this.#failure;
    }
  }

  #talk(text: Shown): void {
    if (this.printAround) this.printAround(text);
    else this.#printTalk(lineOf(text));
  }

  #printTalk(text: Shown): void {
    if (this.#saying) this.#saying.offer(encodeUtf8(text), { to: TALK });
    else printTalk(text);
  }

  #page(mark: string, text: string): Shown {
    const columns = this.#columns;
    return page(mark, text, { columns: columns && Math.min(columns, WIDEST), indent: INDENT });
  }

  /** Where talk goes. */
  get #columns(): number | undefined {
    return this.#columnsOf(this.printAround ? Deno.stdout : Deno.stderr);
  }
}

/** `from` begins with a name; marks may follow. */
function paintNames(shown: Shown, beside: string, from: string, isOurs: boolean): Shown {
  const [name = ""] = /^[a-z0-9_-]*/.exec(from) ?? [];
  return paintStart(shown, [[beside, FAINT], [from, isOurs ? OUR_COLOUR : colourOf(name)]]);
}

function lineOf(text: Shown): Shown {
  return `${text}\n` as Shown;
}

/** Talk may vanish: whoever read it has gone, or its disk is full; that is no reason to end a conversation. */
function printTalk(text: Shown): void {
  try {
    writeAllSync(Deno.stderr, encodeUtf8(text));
  } catch (error) {
    if (!isPlatformError(error)) throw error;
  }
}

/** The same for talk that waits for its reader. */
const TALK: Output = {
  async write(bytes) {
    try {
      return await Deno.stderr.write(bytes);
    } catch (error) {
      if (!isPlatformError(error)) throw error;
      return bytes.length;
    }
  },
};

/** That results could not be written: `local`. Throws what is a mistake of ours. */
function unwritten(cause: unknown): CifraError {
  if (!isPlatformError(cause)) throw cause;
  return platformFailure("Cannot write to standard output", cause);
}
