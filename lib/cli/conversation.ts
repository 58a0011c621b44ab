/** A conversation as its user has it: typed at a terminal, as lines of JSON, or as a byte stream. */
import { type Bytes, encodeUtf8 } from "../bytes.ts";
import type { Ending, PeerEvent, PeerLink } from "../client/peer_link.ts";
import { CifraError } from "../errors.ts";
import { TEXT_LIMIT } from "../limits.ts";
import { sanitize, StreamSanitizer } from "./sanitize.ts";
import type { Terminal } from "./terminal.ts";

/** What a conversation needs to know beside its link. */
export interface ConversationOptions {
  readonly link: PeerLink;
  readonly terminal: Terminal;
  readonly ourName: string;
  readonly peerName: string;
  /** Aborted by SIGINT and SIGTERM. */
  readonly interrupted: AbortSignal;
  /** What `/verify` and `/path` print. */
  readonly verify: () => Promise<string>;
  readonly path: string;
}

/** How a conversation ended for the one who had it here. */
export type Outcome = "finished" | "interrupted" | Ending;

const HELP = `/quit    leave       /verify  words to compare with the other side
/path    how we are connected     /help    this
A line that ends with \\ goes on in the next; pasted lines are one message; // sends a line that starts with /`;
const COMMANDS = ["/quit", "/verify", "/path", "/help"];

/** Talks until one side leaves or everything has been said. */
export function converse(options: ConversationOptions): Promise<Outcome> {
  return options.terminal.interactive ? chat(options) : stream(options);
}

/** Two people at their terminals. */
async function chat(options: ConversationOptions): Promise<Outcome> {
  const { link, terminal, ourName, peerName, interrupted, path } = options;
  const { LineEditor } = await import("./line_editor.ts");
  const shown = new StreamSanitizer();
  let finished: Outcome | undefined;
  const leave = (how: Outcome) => {
    finished ??= how;
    link.leave();
  };
  const command = (text: string) => {
    switch (text) {
      case "/quit":
        return leave("finished");
      case "/verify":
        options.verify().then((words) => terminal.say(words));
        return;
      case "/path":
        return terminal.say(path);
      case "/help":
        return terminal.say(HELP);
      default:
        return terminal.say(
          `Unknown command; ${COMMANDS.join(", ")}, or // for a line that starts with /`,
        );
    }
  };
  const editor = new LineEditor(`${ourName}> `, COMMANDS, {
    onMessage(text) {
      if (text === "" || finished) return;
      if (text.startsWith("/") && !text.startsWith("//")) return command(text.trim());
      try {
        link.sendText(text.startsWith("//") ? text.slice(1) : text);
      } catch (error) {
        if (!(error instanceof CifraError)) throw error;
        terminal.say(`${error.message}${error.hint === undefined ? "" : ` (${error.hint})`}`);
      }
    },
    onEnd: () => leave("finished"),
    onInterrupt: () => leave("interrupted"),
  });
  terminal.printAround = (text) => editor.printAround(text);
  const onSignal = () => leave("interrupted");
  interrupted.addEventListener("abort", onSignal);
  try {
    for await (const event of link.events()) {
      if (event.type === "text") editor.printAround(attribute(peerName, sanitize(event.text)));
      else if (event.type === "bytes") {
        const text = shown.push(event.bytes).replace(/\n$/, "");
        if (text !== "") editor.printAround(attribute(peerName, text));
      } else terminal.say(`${peerName} has nothing more to send`);
      link.taken(event.number);
    }
  } finally {
    interrupted.removeEventListener("abort", onSignal);
    terminal.printAround = undefined;
    editor.close();
  }
  await link.leave();
  return finished ?? link.ending!;
}

/** A name before the first line, and the others indented: no line can pretend to be another's. */
function attribute(name: string, text: string): string {
  return `${name}: ${text.replaceAll("\n", `\n${" ".repeat(name.length + 2)}`)}`;
}

/** Programs on pipes: our stdin goes there, what comes goes to stdout, until both have ended. */
async function stream(options: ConversationOptions): Promise<Outcome> {
  const { link, terminal, peerName, interrupted } = options;
  let stopped: Outcome | undefined;
  const onSignal = () => {
    stopped = "interrupted";
    link.leave();
  };
  interrupted.addEventListener("abort", onSignal);
  const arrived = new Arrivals();
  const listening = (async () => {
    // Taken off the link at once, also while stdout is slow: heartbeats must go on.
    for await (const event of link.events()) arrived.push(event);
    arrived.close();
  })();
  const source = chooseSource(link, terminal);
  const writing = writeArrivals(options, arrived);
  try {
    const gone = listening.then(() => "gone" as const);
    const said = Promise.all([source.done.then(() => link.settled()), writing.ended])
      .then(() => "said" as const);
    said.catch(() => {});
    const failed = [writing.failed, source.failed];
    const first = await Promise.race([said.catch(() => gone), gone, ...failed]);
    if (first === "said") {
      stopped ??= "finished";
      await link.leave();
      await listening;
    } else {
      // The other side may leave only with all its messages delivered; they are still being written.
      await writing.drained;
      await link.leave();
    }
    const unread = source.cutShort() || link.lastAcknowledged < link.lastSent;
    if (stopped === undefined && link.ending?.type === "left" && unread) {
      const message = `${peerName} left before taking everything`;
      return { type: "cut", error: new CifraError("cut", message) };
    }
    return stopped ?? link.ending!;
  } finally {
    interrupted.removeEventListener("abort", onSignal);
    source.stop();
  }
}

/** Events that have arrived and wait for stdout. The sender's window bounds how many there are. */
class Arrivals {
  readonly #events: PeerEvent[] = [];
  #closed = false;
  #changed = Promise.withResolvers<void>();

  push(event: PeerEvent): void {
    this.#events.push(event);
    this.#changed.resolve();
  }

  close(): void {
    this.#closed = true;
    this.#changed.resolve();
  }

  /** The next event, or undefined when there will be none. */
  async next(): Promise<PeerEvent | undefined> {
    for (;;) {
      const event = this.#events.shift();
      if (event || this.#closed) return event;
      this.#changed = Promise.withResolvers();
      await this.#changed.promise;
    }
  }
}

function writeArrivals(
  { link, terminal, peerName }: ConversationOptions,
  arrived: Arrivals,
): { ended: Promise<void>; drained: Promise<void>; failed: Promise<never> } {
  const ended = Promise.withResolvers<void>();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  const shown = terminal.showsResults ? new StreamSanitizer() : undefined;
  // One for the whole stream: a character may begin in one piece and end in the next.
  const decoder = new TextDecoder();
  const show = async (event: PeerEvent) => {
    if (event.type === "end") {
      terminal.say(`${peerName} has nothing more to send`, { event: "peer-ended" });
      ended.resolve();
    } else if (terminal.json) {
      const text = event.type === "text"
        ? event.text
        : decoder.decode(event.bytes, { stream: true });
      terminal.emit({ event: "message", from: peerName, number: Number(event.number), text });
    } else {
      const bytes = event.type === "text" ? encodeUtf8(event.text + "\n") : event.bytes;
      await terminal.write(shown ? encodeUtf8(shown.push(bytes)) : bytes);
    }
    link.taken(event.number);
  };
  const drained = (async () => {
    try {
      for (let event = await arrived.next(); event; event = await arrived.next()) await show(event);
    } catch (error) {
      failed.reject(
        new CifraError("local", "Cannot write to standard output: its reader has gone", {
          cause: error,
        }),
      );
    }
  })();
  return { ended: ended.promise, drained, failed: failed.promise };
}

/** Reading of our stdin: `done` when it has ended and all of it is sent. */
interface Source {
  readonly done: Promise<void>;
  /** Rejected when stdin cannot be read; never resolved. */
  readonly failed: Promise<never>;
  /** Whether something was read that could not be sent. */
  readonly cutShort: () => boolean;
  readonly stop: () => void;
}

const STREAM_BUFFER = 256 * 1024;

/**
 * What we send. With a pipe on stdout alone, as in `connect | tar x`, nobody sits there to type: then it is
 * nothing, and both sides are done when the other one is.
 */
function chooseSource(link: PeerLink, terminal: Terminal): Source {
  if (terminal.json) return sendLines(link, terminal);
  if (!terminal.takesInput) {
    link.sendEnd();
    const never = new Promise<never>(() => {});
    return { done: Promise.resolve(), failed: never, cutShort: () => false, stop: () => {} };
  }
  return sendStream(link);
}

function sendStream(link: PeerLink): Source {
  return readStdin((piece) => link.sendBytes(piece), () => link.sendEnd());
}

function sendLines(link: PeerLink, terminal: Terminal): Source {
  const decoder = new TextDecoder();
  let partial = "";
  let skipping = false;
  const send = async (line: string) => {
    try {
      await link.sendTextWithRoom(line);
    } catch (error) {
      // A line that is too long is told and left out; those after it still go.
      if (!(error instanceof CifraError) || error.code !== "limit") throw error;
      terminal.fail(error);
    }
  };
  return readStdin(async (piece) => {
    const lines = (partial + decoder.decode(piece, { stream: true })).split("\n");
    partial = lines.pop()!;
    for (const line of lines) {
      if (!skipping) await send(line);
      skipping = false;
    }
    if (partial.length > TEXT_LIMIT) {
      // Too long already, and it may never end: told once, and not kept.
      if (!skipping) await send(partial);
      skipping = true;
      partial = "";
    }
  }, async () => {
    if (partial !== "" && !skipping) await send(partial);
    link.sendEnd();
  });
}

function readStdin(
  onPiece: (piece: Bytes) => Promise<void>,
  onEnd: () => void | Promise<void>,
): Source {
  let stopped = false;
  let sending = false;
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  const done = (async () => {
    const buffer = new Uint8Array(STREAM_BUFFER);
    for (;;) {
      const count = await Deno.stdin.read(buffer).catch((cause) => {
        const error = new CifraError("local", "Cannot read standard input", { cause });
        failed.reject(error);
        throw error;
      });
      if (stopped) return;
      if (count === null) break;
      sending = true;
      await onPiece(buffer.subarray(0, count));
      sending = false;
    }
    await onEnd();
  })();
  // Once the other side has left, what could not be sent is told by the ending, not by this.
  done.catch(() => {});
  return {
    done,
    failed: failed.promise,
    cutShort: () => sending,
    stop: () => void (stopped = true),
  };
}
