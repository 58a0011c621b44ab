/**
 * Passwords and passphrases: typed without being shown, or read from a descriptor. They are never arguments
 * and never in the environment, which other programs can see.
 */
import { type Bytes, decodeUtf8, encodeUtf8 } from "../bytes.ts";
import type { AskPassphrase } from "../client/key_ring.ts";
import { CifraError } from "../errors.ts";
import { aborted } from "../flow/delay.ts";
import { PASSWORD_LIMIT } from "../limits.ts";
import { readDescriptor } from "../net/descriptor.ts";
import { platformFailure } from "../platform_errors.ts";
import { keyboard } from "./keyboard.ts";
import { ask } from "./questions.ts";
import { screen } from "./screen.ts";
import type { Signals } from "./signals.ts";
import type { Terminal } from "./terminal.ts";

/** How often a new secret may be typed in two different ways. */
const TRIES = 3;

type NextByte = () => Promise<number | undefined>;

/** One secret that is wanted. */
export interface SecretQuestion {
  /** Such as `the password of alice`. */
  readonly what: string;
  /** The option that names a descriptor, for the hint. */
  readonly option: string;
  /** The descriptor whose next line it is; undefined asks a person. */
  readonly descriptor: number | undefined;
}

/** Where a run of the program gets its secrets from. */
export class Secrets {
  readonly #terminal: Terminal;
  readonly #signals: Signals;
  readonly #descriptors = new Map<number, NextByte>();

  constructor(terminal: Terminal, signals: Signals) {
    this.#terminal = terminal;
    this.#signals = signals;
  }

  /**
   * A secret that exists already. Throws `usage` when nobody can be asked, or when there is none;
   * `interrupted` when the program is to end.
   */
  async ask({ what, option, descriptor }: SecretQuestion): Promise<string> {
    const from = toRead(descriptor);
    if (from !== undefined) return await this.#readLine(from);
    requireTerminal(what, option);
    const typed = await this.#type(`${what}: `);
    if (typed === "") throw new CifraError("usage", `The ${what} was not given`);
    return typed;
  }

  /** Whether a person is asked, who may be asked again. */
  isTyped(descriptor: number | undefined): boolean {
    return toRead(descriptor) === undefined;
  }

  /**
   * A new secret, which a person types twice. Empty only if `mayBeEmpty`; `require` throws `usage` on one that
   * will not do. Throws like `ask`.
   */
  async askNew(
    { what, option, descriptor }: SecretQuestion,
    { mayBeEmpty = false, require = () => {} }: {
      readonly mayBeEmpty?: boolean;
      readonly require?: (secret: string) => void;
    } = {},
  ): Promise<string> {
    const from = toRead(descriptor);
    if (from !== undefined) {
      const read = await this.#readLine(from, mayBeEmpty);
      require(read);
      return read;
    }
    requireTerminal(what, option);
    return await this.#hidden(async () => {
      for (let tries = 1; tries <= TRIES; tries++) {
        const typed = await this.#type(`${what}: `);
        if (typed === "" && !mayBeEmpty) {
          throw new CifraError("usage", `The ${what} was not given`);
        }
        const problem = problemOf(() => require(typed));
        if (problem && tries === TRIES) throw problem;
        if (problem) this.#show(`${problem.message}; ${problem.hint}`);
        if (problem) continue;
        if (await this.#type("once more: ") === typed) return typed;
        this.#show("these were different");
      }
      throw new CifraError("usage", `The ${what} was typed in different ways`);
    });
  }

  /** Asks for the passphrase of sealed keys; a person may try again. */
  passphrase(name: string, descriptor: number | undefined): AskPassphrase {
    return async (why) => {
      const isTyped = this.isTyped(descriptor);
      if (why === "again" && !isTyped) {
        throw new CifraError("wrong_password", "This is not the passphrase of these keys");
      }
      if (why === "again") this.#show("that is not the passphrase");
      if (why === "another" && isTyped) {
        this.#show("some of the keys have another passphrase: its change was cut short");
      }
      const what = `passphrase of ${name}'s keys`;
      return await this.ask({ what, option: "--passphrase-fd", descriptor });
    };
  }

  /** Talk between two questions, also with --json; the terminal may take bytes as they come. */
  #show(text: string): void {
    const rows = this.#terminal.page("-- ", text, "   ").replaceAll("\n", "\r\n");
    screen.write(`${rows}\r\n`);
  }

  /** A line that is typed and not shown. */
  async #type(question: string): Promise<string> {
    const secret = { prompt: question, limit: PASSWORD_LIMIT, isSecret: true };
    const typed = await ask(this.#terminal, secret) ?? "";
    if (encodeUtf8(typed).length > PASSWORD_LIMIT) {
      throw new CifraError("usage", `A password must have at most ${PASSWORD_LIMIT} bytes`);
    }
    // What the terminal sent was no UTF-8.
    if (typed.includes("\ufffd")) throw notText();
    return typed;
  }

  /** Runs `typing` while the terminal shows nothing of what is typed, also between two questions. */
  async #hidden<T>(typing: () => Promise<T>): Promise<T> {
    const { interrupt } = this.#signals;
    const release = keyboard.hold({ interrupt, complain: () => {} }, { raw: true });
    try {
      return await typing();
    } finally {
      release();
    }
  }

  async #readLine(descriptor: number, mayBeEmpty = false): Promise<string> {
    const next = this.#descriptors.get(descriptor) ?? bytesOf(descriptor);
    this.#descriptors.set(descriptor, next);
    const bytes: number[] = [];
    const stopped = aborted(this.#signals.interrupted).then(() => undefined);
    let byte: number | undefined;
    while ((byte = await Promise.race([next(), stopped])) !== undefined && byte !== 0x0a) {
      bytes.push(byte);
      if (bytes.length > PASSWORD_LIMIT + 1) {
        throw new CifraError("usage", `A password must have 1 to ${PASSWORD_LIMIT} bytes`);
      }
    }
    this.#requireWanted();
    if (bytes.at(-1) === 0x0d) bytes.pop();
    if (bytes.length > 0 || (mayBeEmpty && byte !== undefined)) return decode(bytes);
    throw new CifraError("usage", `Descriptor ${descriptor} gave no line with a password`);
  }

  /** Throws when the program is to end: whoever stops it then knows why. */
  #requireWanted(): void {
    if (this.#signals.interrupted.aborted) throw new CifraError("interrupted", "Interrupted");
  }
}

/** What speaks against a secret. */
function problemOf(require: () => void): CifraError | undefined {
  try {
    require();
    return undefined;
  } catch (error) {
    if (error instanceof CifraError) return error;
    throw error;
  }
}

/** Where a line is to be read; undefined asks, also when it is the terminal, which would show it. */
function toRead(descriptor: number | undefined): number | undefined {
  return descriptor === 0 && Deno.stdin.isTerminal() ? undefined : descriptor;
}

/** One at a time, so that what follows the line is left for whoever reads stdin next. */
async function nextStdinByte(): Promise<number | undefined> {
  const buffer = new Uint8Array(1);
  const count = await Deno.stdin.read(buffer).catch((cause) => {
    throw platformFailure("Cannot read standard input", cause);
  });
  return count === null ? undefined : buffer[0];
}

function bytesOf(descriptor: number): NextByte {
  if (descriptor === 0) return nextStdinByte;
  const bytes = eachByte(readDescriptor(descriptor));
  return async () => {
    const { done, value } = await bytes.next();
    return done ? undefined : value;
  };
}

async function* eachByte(pieces: AsyncIterable<Bytes>): AsyncGenerator<number> {
  for await (const piece of pieces) yield* piece;
}

function decode(bytes: readonly number[]): string {
  try {
    return decodeUtf8(new Uint8Array(bytes));
  } catch {
    throw notText();
  }
}

function notText(): CifraError {
  return new CifraError("usage", "A password must be text in UTF-8");
}

function requireTerminal(what: string, option: string): void {
  if (Deno.stdin.isTerminal() && (Deno.stderr.isTerminal() || Deno.stdout.isTerminal())) return;
  throw new CifraError("usage", `Cannot ask for the ${what}: there is no terminal`, {
    hint: `${option} 0 takes the first line of standard input`,
  });
}
