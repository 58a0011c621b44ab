/**
 * The one place that prints: results to stdout, talk to stderr, JSON lines to stdout on request. Whatever is
 * printed is made harmless here, so that nobody who prints has to think of it: foreign text neither drives the
 * terminal nor begins a line (PROTOCOL.md, attack A22).
 */
import { type Bytes, encodeUtf8, writeAll, writeAllSync } from "../bytes.ts";
import { CifraError, exitCodeOf } from "../errors.ts";
import { sanitize, StreamSanitizer } from "./sanitize.ts";

/** One JSON line; keys are documented in lib/docs/json.md. */
export type JsonEvent = { readonly event: string } & Readonly<Record<string, unknown>>;

/** Stands before what the program itself says. */
const OURS = "-- ";

/** Where a command's words go. */
export class Terminal {
  readonly json: boolean;
  /** Both ends are a person's. */
  readonly interactive: boolean;
  /** Set while a line is being typed: prints around it. */
  printAround: ((text: string) => void) | undefined;
  /** Of the bytes that go to a terminal. */
  readonly #stream = new StreamSanitizer();

  constructor(json: boolean) {
    this.json = json;
    this.interactive = !json && Deno.stdin.isTerminal() && Deno.stdout.isTerminal();
  }

  /** Whether stdin is a pipe or a file: a person types at a terminal that shows what comes, or not at all. */
  get takesInput(): boolean {
    return this.interactive || !Deno.stdin.isTerminal();
  }

  /** Talk for people; with --json the same as an event for programs. */
  say(text: string, event?: JsonEvent): void {
    if (this.json) {
      if (event) this.emit(event);
      return;
    }
    const isPrompting = this.printAround !== undefined || this.interactive;
    this.#talk(hang(isPrompting ? OURS : "cifra: ", text));
  }

  /** What somebody said, under their name: no line of it can pass for another's or for ours. */
  message(from: string, text: string): void {
    this.#talk(hang(`${from}: `, text));
  }

  /** A line of a trace. */
  trace(text: string, event: JsonEvent): void {
    if (this.json) this.emit(event);
    else this.#talk(hang("", text));
  }

  /** One JSON line on stdout. */
  emit(event: JsonEvent): void {
    printSync(Deno.stdout, `${JSON.stringify(event)}\n`);
  }

  /** Lines of results on stdout. */
  print(text: string): void {
    printSync(Deno.stdout, `${sanitize(text)}\n`);
  }

  /** Bytes of results on stdout, made harmless for a person; resolves when the reader has taken them. */
  async write(bytes: Bytes): Promise<void> {
    const harmless = Deno.stdout.isTerminal() ? encodeUtf8(this.#stream.push(bytes)) : bytes;
    await writeAll(Deno.stdout, harmless);
  }

  /** Says what went wrong and what to try, and returns the exit code for it. */
  fail(error: unknown): number {
    if (!(error instanceof CifraError)) throw error;
    const { code, message, hint } = error;
    if (this.json) {
      this.emit({ event: "error", code, message, ...(hint !== undefined && { hint }) });
    } else {
      printSync(Deno.stderr, `${hang("error: ", message)}\n`);
      if (hint !== undefined) printSync(Deno.stderr, `${hang("hint: ", hint)}\n`);
    }
    return exitCodeOf(code);
  }

  #talk(text: string): void {
    if (this.printAround) this.printAround(text);
    else printSync(Deno.stderr, `${text}\n`);
  }
}

/** A text made harmless, and `mark` too, which may be a name; every line but the first is indented. */
function hang(mark: string, text: string): string {
  const indent = " ".repeat(OURS.length);
  const [first = "", ...rest] = sanitize(mark + text).split("\n");
  // What is indented already stands as it was written.
  const more = rest.map((line) => line.startsWith("  ") ? line : indent + line);
  return [first, ...more].join("\n");
}

/** Talk is short and must come out in order, so it is written at once. */
function printSync(to: { writeSync(data: Uint8Array): number }, text: string): void {
  try {
    writeAllSync(to, encodeUtf8(text));
  } catch (error) {
    // Whoever read our talk has gone, or their terminal; that is no reason to end the conversation.
    const isHungUp = error instanceof Error && "code" in error && error.code === "EIO";
    if (!isHungUp && !(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
