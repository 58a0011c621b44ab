/** The one place that prints: results to stdout, talk to stderr, JSON lines to stdout on request. */
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import { CifraError, exitCodeOf } from "../errors.ts";
import { sanitize } from "./sanitize.ts";

/** One JSON line; keys are documented in the README. */
export type JsonEvent = { readonly event: string } & Readonly<Record<string, unknown>>;

/** Where a command's words go. */
export class Terminal {
  readonly json: boolean;
  /** Both ends are a person's. */
  readonly interactive: boolean;
  /** Set while a line is being typed: prints around it. */
  printAround: ((text: string) => void) | undefined;

  constructor(json: boolean) {
    this.json = json;
    this.interactive = !json && Deno.stdin.isTerminal() && Deno.stdout.isTerminal();
  }

  /** Whether stdin is a pipe or a file: a person types at a terminal that shows what comes, or not at all. */
  get takesInput(): boolean {
    return this.interactive || !Deno.stdin.isTerminal();
  }

  /** Whether what is written to stdout is seen by a person. */
  get showsResults(): boolean {
    return Deno.stdout.isTerminal();
  }

  /** Talk for people; with --json the same as an event for programs. */
  say(text: string, event?: JsonEvent): void {
    if (this.json) {
      if (event) this.emit(event);
      return;
    }
    const told = indented(text);
    if (this.printAround) this.printAround(`-- ${told}`);
    else if (this.interactive) writeAllSync(Deno.stderr, `-- ${told}\n`);
    else writeAllSync(Deno.stderr, `cifra: ${told}\n`);
  }

  /** A line of a trace. */
  trace(text: string, event: JsonEvent): void {
    if (this.json) this.emit(event);
    else if (this.printAround) this.printAround(text);
    else writeAllSync(Deno.stderr, `${text}\n`);
  }

  /** One JSON line on stdout. */
  emit(event: JsonEvent): void {
    writeAllSync(Deno.stdout, `${JSON.stringify(event)}\n`);
  }

  /** A line of results on stdout. */
  print(text: string): void {
    writeAllSync(Deno.stdout, `${text}\n`);
  }

  /** Bytes of results on stdout; resolves when the reader has taken them. */
  async write(bytes: Bytes): Promise<void> {
    for (let offset = 0; offset < bytes.length;) {
      offset += await Deno.stdout.write(bytes.subarray(offset));
    }
  }

  /** Says what went wrong and what to try, and returns the exit code for it. */
  fail(error: unknown): number {
    if (!(error instanceof CifraError)) throw error;
    const { code, message, hint } = error;
    if (this.json) {
      this.emit({ event: "error", code, message, ...(hint !== undefined && { hint }) });
    } else {
      writeAllSync(Deno.stderr, `error: ${indented(sanitize(message))}\n`);
      if (hint !== undefined) writeAllSync(Deno.stderr, `hint: ${indented(sanitize(hint))}\n`);
    }
    return exitCodeOf(code);
  }
}

/** Foreign text may have lines of its own: none of them begins where ours do. */
function indented(text: string): string {
  return text.replaceAll(/\n(?! {2})/g, "\n   ");
}

/** Talk is short and must come out in order, so it is written at once. */
function writeAllSync(to: { writeSync(data: Uint8Array): number }, text: string): void {
  const bytes = encodeUtf8(text);
  try {
    for (let offset = 0; offset < bytes.length;) offset += to.writeSync(bytes.subarray(offset));
  } catch (error) {
    // Whoever read our talk has gone, or their terminal; that is no reason to end the conversation.
    const isHungUp = error instanceof Error && "code" in error && error.code === "EIO";
    if (!isHungUp && !(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
