/** What a server tells its operator: a line for each event, on the terminal, and in a file that stays small. */
import { encodeUtf8, writeAllSync } from "../bytes.ts";
import { BoundedMap } from "../flow/bounded_map.ts";
import { TokenBucket } from "../flow/token_bucket.ts";
import { LOG_FILE_LIMIT, LOG_FILES, SOURCES_REMEMBERED } from "../limits.ts";
import { isAboutTwo, type ServerEvent } from "../server/events.ts";
import { isNotGiven, platformFailure } from "../platform_errors.ts";
import { openPrivate } from "../store/private_files.ts";
import { jsonLine } from "./page.ts";
import type { JsonEvent, Terminal } from "./terminal.ts";
import { formatTrace, traceJson } from "./trace.ts";

const REPEAT_INTERVAL = 1000;
/** Lines of one kind about one person: what a client repeats must not push everything else out of the files. */
const LINES_BURST = 20;
const LINES_PER_MINUTE = 10;
/** Events that anybody can cause as often as they like. */
const NOISY: ReadonlySet<ServerEvent["event"]> = new Set([
  "refused-connection",
  "handshake-failed",
  "refused",
  "accept-trouble",
  "mailbox-failed",
  "bug",
]);

/** The log of a server. */
export class ServerLog {
  readonly #terminal: Terminal;
  readonly #file: LogFile | undefined;
  readonly #people: boolean;
  /** By event and person: lines that there is room for. */
  readonly #lines = new BoundedMap<string, TokenBucket>(SOURCES_REMEMBERED);
  readonly #last = new Map<string, { at: number; suppressed: number }>();

  /** `people`: who asks for whom, and talks to whom, is told as well; otherwise no line says that anybody does. */
  constructor(
    terminal: Terminal,
    file: LogFile | undefined,
    { people }: { readonly people: boolean },
  ) {
    this.#terminal = terminal;
    this.#file = file;
    this.#people = people;
  }

  /** Tells an event; the same kind of noise at most once a second, the rest counted. */
  tell(event: ServerEvent): void {
    if (!this.#people && isAboutTwo(event)) return;
    let suppressed = 0;
    const now = performance.now();
    if (NOISY.has(event.event)) {
      const last = this.#last.get(event.event);
      if (last && now - last.at < REPEAT_INTERVAL) {
        last.suppressed++;
        return;
      }
      suppressed = last?.suppressed ?? 0;
      this.#last.set(event.event, { at: now, suppressed: 0 });
    } else if (!this.#isRoomFor(event, now)) return;
    if (event.event === "trace") {
      const step = { with: event.source, ...event.step };
      return this.#terminal.trace((columns) => formatTrace(step, columns), traceJson(step));
    }
    const time = new Date().toISOString();
    const json = { time, ...event, ...(suppressed > 0 && { suppressed }) };
    const more = suppressed > 0 ? ` (and ${suppressed} more like it)` : "";
    this.#file?.write(json);
    this.#terminal.say(`${time.slice(11, 19)} ${describe(event)}${more}`, json);
  }

  /** Whether the people of an event have not filled the log with such events lately; otherwise it is counted. */
  #isRoomFor(event: ServerEvent, now: number): boolean {
    const who = "name" in event ? event.name : "names" in event ? event.names.join(" ") : undefined;
    if (who === undefined) return true;
    const key = `${event.event} ${who}`;
    let bucket = this.#lines.get(key);
    if (!bucket) {
      this.#lines.set(key, bucket = new TokenBucket(LINES_BURST, LINES_PER_MINUTE, now));
    }
    if (bucket.take(now)) return true;
    const last = this.#last.get(event.event);
    if (last) last.suppressed++;
    else this.#last.set(event.event, { at: now, suppressed: 1 });
    return false;
  }

  /** Writes down how much was left out, and closes the file. */
  close(): void {
    const time = new Date().toISOString();
    for (const [like, { suppressed }] of this.#last) {
      if (suppressed > 0) this.#file?.write({ time, event: "suppressed", like, suppressed });
    }
    this.#file?.close();
  }
}

/**
 * A few files in a ring, none of which grows beyond its limit. They are opened at the start: a server that
 * has given up its permissions can still empty the oldest and go on there.
 */
export class LogFile {
  readonly #files: readonly Deno.FsFile[];
  readonly #limit: number;
  #current: number;
  #length: number;

  private constructor(
    files: readonly Deno.FsFile[],
    limit: number,
    current: number,
    length: number,
  ) {
    this.#files = files;
    this.#limit = limit;
    this.#current = current;
    this.#length = length;
  }

  /**
   * Opens `path`, `path.1` and so on, each of `limit` bytes at most, and goes on in the one written last.
   * Throws `local`, also for a file that others can read, or that is a link or another user's. No
   * path is opened again later: what is judged here is what is written.
   */
  static open(path: string, limit = LOG_FILE_LIMIT): LogFile {
    const paths = Array.from({ length: LOG_FILES }, (_, i) => i === 0 ? path : `${path}.${i}`);
    const files: Deno.FsFile[] = [];
    try {
      for (const each of paths) files.push(openPrivate(each));
      const infos = files.map((file) => file.statSync());
      const written = infos.map(({ size, mtime }) => size === 0 ? -1 : mtime?.getTime() ?? 0);
      const current = Math.max(0, written.indexOf(Math.max(...written)));
      files[current]!.seekSync(0, Deno.SeekMode.End);
      return new LogFile(files, limit, current, infos[current]!.size);
    } catch (cause) {
      for (const file of files) file.close();
      throw platformFailure(`Cannot write the log ${path}`, cause, {
        hint: isNotGiven(cause)
          ? "deno task serve writes in its state folder only: put the log there, or run the compiled program"
          : "choose a file that you may write with --log",
      });
    }
  }

  /** One JSON line. A log that cannot be written does not end the server. */
  write(event: JsonEvent): void {
    const line = encodeUtf8(`${jsonLine(event)}\n`);
    try {
      if (this.#length + line.length > this.#limit) {
        this.#current = (this.#current + 1) % this.#files.length;
        this.#length = 0;
        this.#file.truncateSync(0);
        this.#file.seekSync(0, Deno.SeekMode.Start);
      }
      writeAllSync(this.#file, line);
      this.#length += line.length;
    } catch {
      // The disk may be full; the terminal still tells.
      this.#takeBack();
    }
  }

  /** Half a line would spoil the next. */
  #takeBack(): void {
    try {
      this.#file.truncateSync(this.#length);
      this.#file.seekSync(this.#length, Deno.SeekMode.Start);
    } catch {
      // Then it stays.
    }
  }

  close(): void {
    for (const file of this.#files) file.close();
  }

  get #file(): Deno.FsFile {
    return this.#files[this.#current]!;
  }
}

function describe(event: Exclude<ServerEvent, { event: "trace" }>): string {
  switch (event.event) {
    case "registered": {
      const what = event.lobby ? "is in the lobby" : "is here";
      return `${event.name} ${what} (${event.suite}, key ${event.client}, from ${event.source})`;
    }
    case "wants":
      return `${event.name} waits for ${event.wanted}`;
    case "refused":
      return `refused to ${REQUESTS[event.request] ?? event.request}: ${event.code} ` +
        `(key ${event.client}, from ${event.source})`;
    case "signed-up":
      return `${event.name} has an account now (from ${event.source})`;
    case "signed-in":
      return `${event.name} signed in (from ${event.source})`;
    case "invite-rush":
      return `${event.people} new people came by the line ${event.invite} within a minute, all from ` +
        `${event.source}; if that is no class: recall ${event.invite} 5`;
    case "replaced":
      return `${event.name} connected again`;
    case "introduced":
      return `introduced ${pair(event.names)}`;
    case "relaying":
      return `relaying between ${pair(event.names)}`;
    case "relayed":
      return `relayed ${event.bytes} bytes between ${pair(event.names)}`;
    case "suite-mismatch":
      return `${pair(event.names)} use different suites`;
    case "left":
      return `${event.name} left${event.code === "goodbye" ? "" : `: ${event.code}`}`;
    case "handshake-failed":
      // Whoever only looks which key we have leaves in this way, as a program that ends does.
      return event.code === "shutdown"
        ? `handshake left unfinished (from ${event.source})`
        : `handshake failed: ${event.code} (from ${event.source})`;
    case "refused-connection":
      return `refused a connection: ${event.reason} (from ${event.source})`;
    case "accept-trouble":
      return `cannot accept connections at the moment: ${event.reason}`;
    case "mailbox-failed":
      return `the mailbox cannot be written to: ${event.reason}`;
    case "bug":
      return `a bug in cifra: ${event.reason}; please report it`;
  }
}

function pair(names: readonly [string, string]): string {
  return names.join(" and ");
}

const REQUESTS: Readonly<Record<string, string>> = {
  register: "register somebody",
  want: "look for somebody",
  signUp: "make an account",
  signIn: "let somebody sign in",
  proof: "let somebody sign in",
};
