/** `cifra send`: one message for somebody, here or away, and how far it came; files go by `send_files.ts`. */
import { decodeUtf8, encodeUtf8 } from "../bytes.ts";
import type { MailEvent } from "../client/mail_events.ts";
import type { Delivery } from "../client/thread.ts";
import { CifraError, exitCodeOf } from "../errors.ts";
import { aborted } from "../flow/delay.ts";
import { mayFail } from "../flow/may_fail.ts";
import { Signal } from "../flow/signal.ts";
import { MAIL_ANSWER_PATIENCE, MAIL_PATIENCE, TEXT_LIMIT } from "../limits.ts";
import { systemEnvironment } from "../net/environment.ts";
import { type Given, parse } from "./args.ts";
import { absolutePath } from "./here.ts";
import { SEND } from "./send_command.ts";
import type { SendFilesOptions } from "./send_files.ts";
import { type MailPlace, openMail, requireKnown, requireMailbox } from "./mail_run.ts";
import { describeMail } from "./mail_words.ts";
import { deliveryJson } from "./message_words.ts";
import { type CommandFrame, runFramed } from "./run.ts";
import { serverOptions, wayOf } from "./server_options.ts";
import { readStdin } from "./stdin.ts";
import type { Terminal } from "./terminal.ts";

type Goal = "onServer" | "stored" | "read";

/** What the command line says. */
interface SendOptions extends ReturnType<typeof parseSend> {}

/** Leaves the message; returns the exit code, which says how far it came. */
export async function send(args: readonly string[], terminal: Terminal): Promise<number> {
  const files = parseSendFiles(args);
  if (files) return await (await import("./send_files.ts")).sendFiles(files, terminal);
  const options = parseSend(args);
  return await runFramed(terminal, (frame) => sendOne(options, frame, terminal));
}

function parseSend(args: readonly string[]) {
  const { given } = parse(SEND, args);
  const { text, wait } = given;
  const server = serverOptions(given);
  requireMailbox(server);
  const goal: Goal = wait ?? "onServer";
  return {
    ...server,
    ...receiverOf(given),
    giveUpAfter: server.giveUpAfter ?? MAIL_PATIENCE,
    text,
    goal,
    waitFor: wait === undefined ? undefined : given["wait-for"] * 1000,
  };
}

function receiverOf(given: Given<typeof SEND>) {
  const { name, to } = given;
  if (name === to) throw new CifraError("usage", "--name and --to must be two different names");
  return {
    to,
    peerKey: given["peer-key"],
    keepHistory: !given["no-history"],
    tellsRead: !given["no-receipts"],
  };
}

/** What the command line says of files; undefined when it is about a message. Throws `usage`. */
function parseSendFiles(args: readonly string[]): SendFilesOptions | undefined {
  const { words, given } = parse(SEND, args);
  const { as, text, wait } = given;
  if (words.length === 0 && as === undefined) return undefined;
  const isStream = words.includes("-");
  const problem = text !== undefined
    ? "--text is a message, and goes without files"
    : wait !== undefined
    ? "--wait is for a message: files are waited for until the other person has them"
    : isStream && (words.length > 1 || as === undefined)
    ? "- is standard input, goes alone, and needs a name: cifra send - --as backup.tar --to NAME"
    : !isStream && as !== undefined
    ? "--as is the name of standard input: cifra send - --as backup.tar --to NAME"
    : undefined;
  if (problem !== undefined) throw new CifraError("usage", problem);
  return {
    ...serverOptions(given),
    ...receiverOf(given),
    ...wayOf(given),
    paths: isStream ? [] : words.map(absolutePath),
    as,
  };
}

async function sendOne(
  options: SendOptions,
  frame: CommandFrame,
  terminal: Terminal,
): Promise<number | "interrupted"> {
  const { to } = options;
  const { interrupted } = frame;
  const busy = `say it there, or end that one first: it takes mail for ${options.name} as well`;
  const place = await openMail(options, frame, terminal, busy);
  await requireKnown(options, place, terminal);
  const text = options.text ?? await readText(terminal, interrupted, to);
  if (text === undefined) return "interrupted";
  requireFitting(text);
  const errand = new Errand(options, place, terminal);
  return await errand.run(text, interrupted);
}

/** All that comes, without the end of the last line; undefined when the program is to end before. Throws `usage`, `limit`. */
async function readText(
  terminal: Terminal,
  interrupted: AbortSignal,
  to: string,
): Promise<string | undefined> {
  if (Deno.stdin.isTerminal()) {
    terminal.say(`write to ${to}; Ctrl-D on a line of its own ends the message`);
  }
  const bytes: number[] = [];
  const input = readStdin((piece) => {
    // Of what is too long no more is read than shows that.
    bytes.push(...piece.subarray(0, TEXT_LIMIT + 3 - bytes.length));
    if (bytes.length > TEXT_LIMIT + 2) return Promise.reject(tooLong());
    return Promise.resolve();
  }, () => Promise.resolve());
  try {
    const first = await Promise.race([input.done, input.failed, aborted(interrupted)]);
    if (interrupted.aborted) return undefined;
    first satisfies void;
  } finally {
    input.stop();
  }
  let text: string;
  try {
    text = decodeUtf8(new Uint8Array(bytes));
  } catch {
    throw new CifraError("usage", "What comes on standard input is no text in UTF-8", {
      hint: `bytes go through a pipe while ${to} is here: cifra connect --to ${to} < FILE`,
    });
  }
  return text.replace(/\r?\n$/, "");
}

/** Throws `usage` for nothing, and `limit` for too much. */
function requireFitting(text: string): void {
  if (text === "") throw new CifraError("usage", "There is nothing to send");
  if (encodeUtf8(text).length > TEXT_LIMIT) throw tooLong();
}

function tooLong(): CifraError {
  return new CifraError("limit", `A message has at most ${TEXT_LIMIT / 1024} KiB`, {
    hint: "send it in parts, or through a pipe while both of you are here: cifra connect < FILE",
  });
}

/** What may go wrong; throws what is a mistake of ours. */
function expected(error: unknown): CifraError {
  if (error instanceof CifraError) return error;
  throw error;
}

/** The sending of one message, from the disk to as far as it is to come. */
class Errand {
  readonly #options: SendOptions;
  readonly #place: MailPlace;
  readonly #terminal: Terminal;
  readonly #news = new Signal();
  /** How far our messages were when it was told last. */
  #told: Delivery | undefined;
  #delivery: Delivery | undefined;
  #number = 0n;
  /** Why it does not come any further. */
  #trouble: CifraError | undefined;
  /** Who has left something meanwhile. */
  readonly #writers = new Set<string>();

  constructor(options: SendOptions, place: MailPlace, terminal: Terminal) {
    this.#options = options;
    this.#place = place;
    this.#terminal = terminal;
  }

  async run(text: string, interrupted: AbortSignal): Promise<number | "interrupted"> {
    const { to, goal } = this.#options;
    const { courier, staying } = this.#place.employ({
      isWelcome: () => false,
      onEvent: (event) => this.#onEvent(event),
      onDelivery: () => {
        this.#delivery = courier.delivery(to);
        this.#tell();
      },
    });
    const lost = staying.then(() => undefined, expected);
    try {
      const ending = aborted(interrupted).then(() => "interrupted" as const);
      const writing = courier.write(to, text);
      mayFail(writing);
      const first = await Promise.race([writing, ending]);
      if (first === "interrupted") return first;
      this.#number = first;
      this.#tell();
      const failure = await Promise.race([this.#until(goal), lost, ending]);
      await courier.leave();
      this.#tell();
      if (failure === "interrupted") {
        this.#sayHowFar();
        return this.#has("onServer") && goal === "onServer" ? 0 : exitCodeOf("interrupted");
      }
      return this.#finish(failure);
    } finally {
      await courier.leave();
      await lost;
    }
  }

  /** Resolves when the message is so far, or to why it will not be. Throws nothing. */
  async #until(goal: Goal): Promise<CifraError | undefined> {
    const failure = await this.#within(
      MAIL_ANSWER_PATIENCE + this.#options.giveUpAfter,
      "onServer",
    );
    if (failure || goal === "onServer") return failure;
    return await this.#within(this.#options.waitFor!, goal);
  }

  async #within(milliseconds: number, goal: Goal): Promise<CifraError | undefined> {
    const { time } = systemEnvironment;
    let isLate = false;
    const cancel = time.after(milliseconds, () => {
      isLate = true;
      this.#news.notify();
    });
    try {
      for (;;) {
        if (this.#has(goal)) return undefined;
        if (this.#trouble) return this.#trouble;
        if (isLate) return this.#late(goal, milliseconds);
        await this.#news.wait();
      }
    } finally {
      cancel();
    }
  }

  #late(goal: Goal, milliseconds: number): CifraError {
    const { to } = this.#options;
    const what = goal === "onServer"
      ? "The server does not take the message"
      : goal === "stored"
      ? `${to} has not fetched the message`
      : `${to} has not read the message`;
    return new CifraError("timeout", `${what} within ${milliseconds / 1000} s`, {
      hint: goal === "onServer" ? "try again later" : `it waits on the server for ${to}`,
    });
  }

  #has(goal: Goal): boolean {
    return this.#number > 0n && (this.#delivery?.[goal] ?? 0n) >= this.#number;
  }

  /** Says how it ended; returns the exit code. */
  #finish(failure: CifraError | undefined): number {
    const { name } = this.#options;
    this.#sayHowFar();
    if (this.#writers.size > 0) {
      const writers = [...this.#writers];
      this.#terminal.say(
        `${writers.join(", ")} left something meanwhile: cifra inbox --name ${name}`,
        { event: "unread", from: writers },
      );
    }
    return failure ? this.#terminal.fail(failure) : 0;
  }

  #sayHowFar(): void {
    const { to, name } = this.#options;
    if (this.#terminal.json) return;
    this.#terminal.say(
      this.#has("read")
        ? `${to} has read it`
        : this.#has("stored")
        ? `${to} has it`
        : this.#has("onServer")
        ? `on the server for ${to}`
        : `kept here for ${to}: it goes with the next cifra that connects as ${name}`,
    );
  }

  /** How far it came, for programs. */
  #tell(): void {
    const now = this.#delivery;
    if (!now || this.#number === 0n) return;
    // How far earlier messages were is no news.
    const before = this.#told ?? { ...now, queued: this.#number - 1n };
    this.#told = now;
    if (this.#terminal.json) {
      for (const event of deliveryJson(before, now)) {
        // Nothing goes to anybody directly.
        if (event.event !== "sent") this.#terminal.emit(event);
      }
    }
    this.#news.notify();
  }

  #onEvent(event: MailEvent): void {
    const { to } = this.#options;
    switch (event.type) {
      case "came":
        if (event.news.fresh.length > 0) this.#writers.add(event.name);
        return;
      case "none":
        this.#trouble = new CifraError(
          "no_mailbox",
          "The server keeps nothing for anybody, or cannot now",
        );
        return this.#news.notify();
      case "trouble":
        if (event.name !== to) return;
        this.#trouble = event.error;
        return this.#news.notify();
      case "changed":
      case "unopened":
      case "elsewhere": {
        const [text, json] = describeMail(event, (name) => name);
        if (text !== undefined) this.#terminal.say(text, json);
        return;
      }
      default:
        return;
    }
  }
}
