/** `cifra inbox`: what others left for us, and what is unread, printed or handed to a command. */
import type { MailEvent } from "../client/mail_events.ts";
import { toEvent } from "../client/incoming.ts";
import { allUnshown, type Unread } from "../client/unshown.ts";
import { formatFingerprint } from "../crypto/identity.ts";
import { CifraError } from "../errors.ts";
import { aborted, delay } from "../flow/delay.ts";
import { Signal } from "../flow/signal.ts";
import { MAIL_ANSWER_PATIENCE } from "../limits.ts";
import { systemEnvironment } from "../net/environment.ts";
import { compareNames } from "../wire/names.ts";
import { parse } from "./args.ts";
import { runForMessage } from "./exec.ts";
import { Ignored } from "./ignored.ts";
import { VERIFIED_MARK } from "./lobby_words.ts";
import { INBOX } from "./inbox_command.ts";
import { type MailPlace, openMail, requireMailbox } from "./mail_run.ts";
import { describeMail } from "./mail_words.ts";
import {
  describeFileWord,
  describeGap,
  describeTakenBack,
  eventJson,
  SHOWN_BEFORE,
} from "./message_words.ts";
import { jsonLine, type Shown } from "./page.ts";
import { type CommandFrame, runFramed } from "./run.ts";
import { serverOptions } from "./server_options.ts";
import type { Terminal } from "./terminal.ts";
import { dayOf, timeOf } from "./wall_clock.ts";

/** Stands before lines that go on. */
const INDENT = "    ";

/** What the command line says. */
interface InboxOptions extends ReturnType<typeof parseInbox> {}

/** Prints what there is; returns the exit code, which is 0 also when there is nothing. */
export async function inbox(args: readonly string[], terminal: Terminal): Promise<number> {
  const options = parseInbox(args);
  if (!terminal.json) {
    terminal.looks = { colours: terminal.wantsColours(options.color), times: true };
  }
  return await runFramed(terminal, async (frame) => {
    const busy = `what is left for ${options.name} comes there; otherwise end that one first`;
    const place = await openMail(options, frame, terminal, busy);
    const ignored = await Ignored.open(place.profile.folder);
    const box = new Inbox(options, place, ignored.names, terminal);
    return options.early ? await box.showEarly() : await box.run(frame);
  });
}

function parseInbox(args: readonly string[]) {
  const { given } = parse(INBOX, args);
  const server = serverOptions(given);
  requireMailbox(server);
  const { from, accept, follow, exec, early, color } = given;
  return {
    ...server,
    from,
    acceptsAll: accept === "all",
    follow,
    exec,
    early,
    color,
    peerKey: undefined,
    keepHistory: !given["no-history"],
    tellsRead: !given["no-receipts"],
  };
}

/** One look into it. */
class Inbox {
  readonly #options: InboxOptions;
  readonly #place: MailPlace;
  readonly #ignored: ReadonlySet<string>;
  readonly #terminal: Terminal;
  readonly #news = new Signal();
  /** How often there were any. */
  #changes = 0;
  /** All that waited at the server is here. */
  #isDrained = false;
  /** When the server said something last. */
  #heardAt = systemEnvironment.time.now();
  #found = 0;
  /** Whose message a command has failed on, since more of them came. */
  readonly #failed = new Set<string>();
  #hasFailed = false;
  readonly #strangers = new Set<string>();

  constructor(
    options: InboxOptions,
    place: MailPlace,
    ignored: ReadonlySet<string>,
    terminal: Terminal,
  ) {
    this.#options = options;
    this.#place = place;
    this.#ignored = ignored;
    this.#terminal = terminal;
  }

  async run({ interrupted }: CommandFrame): Promise<number | "interrupted"> {
    const { from, acceptsAll, follow } = this.#options;
    const { courier, staying } = this.#place.employ({
      isWelcome: (name) =>
        acceptsAll && !this.#ignored.has(name) && (from === undefined || from === name),
      onEvent: (event) => this.#onEvent(event),
      onDelivery: () => {},
    });
    const lost = staying.then(() => undefined, (error) => {
      if (!(error instanceof CifraError)) throw error;
      return error;
    });
    const over = new AbortController();
    const ending = aborted(interrupted).then(() => "interrupted" as const);
    const watching = this.#watch(over.signal);
    try {
      for (;;) {
        const isLast = this.#isDrained && !follow;
        const before = this.#changes;
        const shown = await this.#showAll(interrupted, (name) => courier.hasRead(name));
        if (shown === "interrupted") return shown;
        if (isLast) break;
        if (this.#changes !== before) continue;
        const first = await Promise.race([
          this.#news.wait().then(() => "news" as const),
          lost,
          ending,
        ]);
        if (first === "interrupted") return first;
        if (first !== "news") return first ? this.#terminal.fail(first) : 0;
      }
      await courier.leave();
      return this.#finish();
    } finally {
      over.abort();
      await courier.leave();
      await Promise.allSettled([lost, watching]);
    }
  }

  /** What waits for messages before it, as it is. */
  async showEarly(): Promise<number> {
    const { store, profile: { suite: { name: suite } } } = this.#place;
    const lines: Shown[] = [];
    for (const name of this.#names()) {
      for (const message of store.early({ peer: name, suite })) {
        const event = toEvent(message, false);
        lines.push(...this.#linesOf({ name, event, markRead: () => {} }));
      }
    }
    await this.#terminal.results(lines);
    if (lines.length === 0) this.#terminal.say("no message waits for others before it");
    return 0;
  }

  /** Prints all that is unread; to "interrupted" when the program is to end before that is done. */
  async #showAll(
    interrupted: AbortSignal,
    hasRead: (name: string) => void,
  ): Promise<"interrupted" | undefined> {
    const { store, profile: { suite: { name: suite } } } = this.#place;
    for (const unread of allUnshown(store, suite, this.#names(), this.#failed)) {
      if (interrupted.aborted) return "interrupted";
      if (!await this.#show(unread, interrupted)) continue;
      unread.markRead();
      hasRead(unread.name);
    }
    return undefined;
  }

  /** Whether it counts as read. Throws `local` when nobody reads what is printed. */
  async #show(unread: Unread, interrupted: AbortSignal): Promise<boolean> {
    const { exec } = this.#options;
    const { name, event } = unread;
    if (event.type !== "end") this.#found++;
    if (exec === undefined) {
      await this.#terminal.results(this.#linesOf(unread));
      return true;
    }
    if (event.type === "gap") this.#terminal.say(describeGap(event, name));
    if (event.type === "taken back") this.#terminal.say(describeTakenBack(name));
    if (event.type === "file") this.#terminal.say(describeFileWord(event.word, name));
    if (event.type !== "text") return true;
    const how = await runForMessage(exec, { from: name, ...event }, interrupted);
    if (how === "done") return true;
    this.#failed.add(name);
    this.#hasFailed = true;
    this.#terminal.say(
      `message ${event.number} of ${name} stays unread, and what ${name} wrote after it: the ` +
        `command ${how}`,
    );
    return false;
  }

  #linesOf({ name, event }: Unread): readonly Shown[] {
    const terminal = this.#terminal;
    if (terminal.json) {
      return [jsonLine({ ...eventJson(event, name, new TextDecoder()), with: name })];
    }
    switch (event.type) {
      case "text": {
        const { written, text, recovered } = event;
        const beside = written > 0 ? `${dayOf(written)} ${timeOf(written)} ` : "";
        const { contacts } = this.#place;
        const after = contacts.isVerified(name) ? VERIFIED_MARK : "";
        return [
          terminal.saying(beside, { from: name, isOurs: false, after }, text, INDENT),
          ...(recovered ? [terminal.page("-- ", SHOWN_BEFORE, INDENT)] : []),
        ];
      }
      case "gap":
        return [terminal.page("-- ", describeGap(event, name), INDENT)];
      case "taken back":
        return [terminal.page("-- ", describeTakenBack(name), INDENT)];
      case "file":
        return [terminal.page("-- ", describeFileWord(event.word, name), INDENT)];
      default:
        return [];
    }
  }

  #names(): readonly string[] {
    const { store, profile: { suite: { name: suite } } } = this.#place;
    const { from } = this.#options;
    const names = [...store.peers(suite)].sort(compareNames);
    return from === undefined ? names : names.filter((name) => name === from);
  }

  /** Says what is left to say; returns the exit code. */
  #finish(): number {
    const { store, profile: { suite: { name: suite } } } = this.#place;
    for (const name of this.#names()) {
      const early = store.early({ peer: name, suite }).length;
      if (early === 0) continue;
      const messages = early === 1 ? "1 message" : `${early} messages`;
      this.#terminal.say(
        `${messages} of ${name} came before others that are missing: --early shows what is there`,
        { event: "early", from: name, messages: early },
      );
    }
    if (this.#found === 0) this.#terminal.say("nothing new");
    return this.#hasFailed ? 1 : 0;
  }

  #onEvent(event: MailEvent): void {
    this.#heardAt = systemEnvironment.time.now();
    switch (event.type) {
      case "came":
        // What has failed before may not any more.
        this.#failed.delete(event.name);
        return this.#notify();
      case "drained":
        this.#isDrained = true;
        return this.#notify();
      case "none":
        this.#terminal.say("the server keeps nothing for those who are not here, or cannot now", {
          event: "no-mailbox",
        });
        this.#isDrained = true;
        return this.#notify();
      case "stranger":
        return this.#tellStranger(event);
      case "left":
        return;
      default: {
        const [text, json] = describeMail(event, (name) => name);
        if (text !== undefined) this.#terminal.say(text, json);
      }
    }
  }

  #tellStranger({ name, sender }: Extract<MailEvent, { type: "stranger" }>): void {
    if (this.#ignored.has(name) || this.#strangers.has(name)) return;
    this.#strangers.add(name);
    const fingerprint = formatFingerprint(sender.fingerprint);
    this.#terminal.say(
      `${name}, who is not known here, left something; to open it, and know ${name} from then on ` +
        `by the key\n   ${fingerprint}\ncifra inbox --accept all --from ${name}`,
      { event: "stranger", from: name, fingerprint },
    );
  }

  /** What the server has forgotten to hand out is not waited for. */
  async #watch(signal: AbortSignal): Promise<void> {
    const { time } = systemEnvironment;
    const patience = MAIL_ANSWER_PATIENCE + this.#options.giveUpAfter!;
    while (!signal.aborted && !this.#isDrained) {
      await delay(time, 1000, signal);
      if (time.now() - this.#heardAt < patience) continue;
      this.#isDrained = true;
      this.#notify();
    }
  }

  #notify(): void {
    this.#changes++;
    this.#news.notify();
  }
}
