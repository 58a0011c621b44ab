/**
 * The desk: one conversation or many, at a terminal, for a program or as a pipe. It joins the parts: `Typing` takes
 * lines, the `Messenger` carries them, the front shows what comes, and the voice tells what happens.
 */
import type { Bytes } from "../bytes.ts";
import type { Contacts } from "../client/contacts.ts";
import type { Status } from "../client/conversation.ts";
import type { Dialogue } from "../client/conversations.ts";
import { type HomeStatus, SENT_AWAY } from "../client/home.ts";
import type { Changes } from "../client/lobby.ts";
import { Messenger, type MessengerEvents, type MessengerOptions } from "../client/messenger.ts";
import type { MailTrouble } from "../client/mail_events.ts";
import type { Asking } from "../client/offers.ts";
import type { TransferEvent } from "../client/transfer_events.ts";
import { CifraError } from "../errors.ts";
import { aborted } from "../flow/delay.ts";
import { mayFail } from "../flow/may_fail.ts";
import { Throttle } from "../flow/throttle.ts";
import type { HistoryEntry } from "../store/message_store.ts";
import type { TransferRow } from "../store/transfer_store.ts";
import { SERVER_NAME } from "../wire/names.ts";
import { LogKind } from "../wire/peer_messages.ts";
import { CloseCode } from "../wire/records.ts";
import { Answers } from "./answers.ts";
import type { DeskView, Front, Outcome } from "./desk_front.ts";
import { DeskJson } from "./desk_json.ts";
import { DeskTerminal } from "./desk_terminal.ts";
import { DeskVoice } from "./desk_voice.ts";
import { FileVoice } from "./file_voice.ts";
import { describeOffer } from "./file_words.ts";
import { CHANGES_PAUSE, describeCrowd } from "./lobby_words.ts";
import { describeUndelivered, undelivered } from "./message_words.ts";
import { describeOffers, offerJson } from "./offer_words.ts";
import type { Ignored } from "./ignored.ts";
import { Pipe } from "./pipe.ts";
import { Roster } from "./roster.ts";
import type { Answering } from "./running.ts";
import type { Terminal } from "./terminal.ts";
import type { TypedLines } from "./typed_lines.ts";
import { Typing } from "./typing.ts";

/** Who sits down, and what for. */
export interface DeskOptions {
  /** With whom alone; undefined in the lobby. */
  readonly only: string | undefined;
  readonly contacts: Contacts;
  readonly terminal: Terminal;
  /** Milliseconds without a connection after which a pipe ends. */
  readonly giveUpAfter: number;
  readonly ignored: Ignored;
  /** Lines that were typed; undefined where none are kept. */
  readonly typed: TypedLines | undefined;
  /** Lines of what was said before that a person is shown; 0 shows none. */
  readonly last: number;
  /** The folder where files are read and written; undefined: none are. */
  readonly files: string | undefined;
  /** Whether the terminal may have to ask whether a server is to be trusted. */
  readonly asksFirst: boolean;
  /** Aborted by SIGINT and SIGTERM. */
  readonly interrupted: AbortSignal;
  /** Who talks; the desk says how that is shown. */
  readonly person: Omit<
    MessengerOptions,
    "contacts" | "kind" | "showsAll" | "changesPause" | "events"
  >;
}

/** One sitting. */
export class Desk implements DeskView, MessengerEvents {
  readonly only: string | undefined;
  readonly ourName: string;
  readonly #options: DeskOptions;
  readonly #messenger: Messenger;
  readonly #roster: Roster;
  readonly #typing: Typing;
  readonly #voice: DeskVoice;
  readonly #fileVoice: FileVoice;
  readonly #front: Front;
  /** Names of those who ask for us and were not announced yet. */
  readonly #untold = new Set<string>();
  readonly #telling: Throttle;
  readonly #answers: Answers;
  readonly #registered = Promise.withResolvers<void>();
  /** Rejects when staying makes no sense any more. */
  readonly #failed = Promise.withResolvers<never>();
  /** Said at the end: which messages were not delivered. */
  #lastWords: readonly string[] = [];

  constructor(options: DeskOptions) {
    const { terminal, only, contacts, person } = options;
    const { name: ourName, store, suite: { name: suite }, environment: { time } } = person;
    this.#options = options;
    this.ourName = ourName;
    this.only = only;
    mayFail(this.#failed.promise);
    this.#telling = new Throttle(time, CHANGES_PAUSE, () => this.#tellOffers());
    this.#front = this.#makeFront();
    this.#voice = new DeskVoice(this, terminal, suite);
    this.#messenger = new Messenger({
      ...person,
      contacts,
      // What a pipe carries is not kept.
      kind: terminal.interactive || terminal.json ? LogKind.kept : LogKind.live,
      // A program is shown every message.
      showsAll: terminal.json,
      changesPause: terminal.json ? 0 : CHANGES_PAUSE,
      events: this,
    });
    this.#answers = new Answers(this.#messenger, store, options.files);
    this.#fileVoice = new FileVoice({
      terminal,
      time,
      emit: (event, about) => this.#voice.say("", event, about),
      label: (name) => this.label(name),
      progress: (row) => this.#messenger.transfers.progress(row),
      way: (name) => this.#messenger.get(name)?.conversation.path,
      draw: (underWay) => this.#front.onFiles?.(underWay),
    });
    const parts = { contacts, messenger: this.#messenger };
    this.#roster = new Roster({ ...parts, names: store.peers(suite) });
    this.#typing = new Typing({
      ...parts,
      ourName,
      suite,
      only,
      isHidden: person.lobby === "unlisted",
      terminal,
      ignored: options.ignored,
      store,
      roster: this.#roster,
      voice: this.#voice,
      front: this.#front,
      files: options.files,
    });
  }

  get focus(): string | undefined {
    return this.#typing.focus;
  }

  get files(): string | undefined {
    return this.#options.files;
  }

  get names(): Iterable<string> {
    return this.#roster.names;
  }

  label(name: string): string {
    return this.#roster.label(name);
  }

  dialogue(name: string): Dialogue | undefined {
    return this.#messenger.get(name);
  }

  past(name: string): readonly HistoryEntry[] {
    const { last, person: { store } } = this.#options;
    try {
      // What the other side does not have yet is told of by itself.
      return [...store.history({ peer: name, last, isPast: true })]
        .filter((entry) => entry.type === "gap" || entry.state !== "queued");
    } catch (error) {
      this.#voice.fail("what was said before cannot be shown", error, name);
      return [];
    }
  }

  newest(name: string, count: number): readonly string[] | undefined {
    const { store, suite: { name: suite } } = this.#options.person;
    const unread = store.unread({ peer: name, suite });
    try {
      const last = Math.min(count, unread);
      return [...store.history({ peer: name, isNew: true, last })]
        .flatMap((entry) => {
          if (entry.type === "offer") {
            return [describeOffer(entry, "", this.isOffered(name, entry.id)).trimStart()];
          }
          return entry.type === "text" ? [entry.text] : [];
        });
    } catch (error) {
      if (error instanceof CifraError) return undefined;
      throw error;
    }
  }

  isOffered(name: string, offer: Bytes): boolean {
    const { store: { transfers }, suite: { name: suite } } = this.#options.person;
    return transfers.get({ peer: name, suite }, offer)?.state === "offered";
  }

  async settled(): Promise<CifraError | undefined> {
    return await this.#messenger.settled();
  }

  async leave(): Promise<void> {
    await this.#leave(CloseCode.done);
  }

  /** Stays until the front is done, a signal comes or staying is impossible. */
  async run(): Promise<Outcome> {
    const { interrupted, terminal, asksFirst } = this.#options;
    const onSignal = () => this.#front.finish("interrupted");
    interrupted.addEventListener("abort", onSignal);
    const staying = this.#messenger.run();
    staying.catch((error) => this.#failed.reject(error));
    const failing = Promise.race([
      this.#failed.promise,
      this.#messenger.failed,
      terminal.failed,
    ]);
    mayFail(failing);
    const ending = aborted(interrupted).then(() => "interrupted" as const);
    let front: Promise<Outcome> | undefined;
    try {
      if (this.only !== undefined) await this.#messenger.open(this.only);
      // A person types while the server is waited for, unless a line may be the answer to a question. What a
      // program writes in the lobby waits in its pipe for those who are there.
      if (terminal.interactive ? asksFirst : this.only === undefined) {
        const first = await Promise.race([this.#registered.promise, failing, ending]);
        if (first === "interrupted") return first;
      }
      if (this.only === undefined) await this.#resume();
      front = this.#front.run(this.#typing);
      mayFail(front);
      const outcome = await Promise.race([front, failing, ending]);
      await this.#leave(CloseCode.done);
      const { unsent } = this.#typing;
      // Whatever ends it: a program whose last words are lost has not ended well.
      return unsent && typeof outcome === "string" ? { error: unsent } : outcome;
    } catch (error) {
      // In order: others read that we left, not that our program has failed.
      const isSentAway = error instanceof CifraError && SENT_AWAY.has(error.code);
      await this.#leave(isSentAway ? CloseCode.done : CloseCode.failed);
      throw error;
    } finally {
      this.#front.finish("finished");
      await front?.catch(() => {});
      interrupted.removeEventListener("abort", onSignal);
      this.#telling.stop();
      this.#fileVoice.stop();
      this.#messenger.stop();
      await staying.catch(() => {});
      for (const text of this.#lastWords) terminal.say(text);
    }
  }

  /** What other commands of this profile are answered. */
  get answers(): Answering {
    return this.#answers;
  }

  onHome(status: HomeStatus): void {
    this.#voice.home(status);
    if (status.type === "registered") this.#registered.resolve();
  }

  onChanges(changes: Changes): void {
    if (this.only === undefined) {
      this.#voice.changes(changes, (name) => this.#roster.isClose(name));
    }
    this.#front.refresh();
  }

  onAsking(asking: Asking, isAnswered: boolean): void {
    const { terminal } = this.#options;
    if (terminal.json) return terminal.emit(offerJson(asking, isAnswered));
    if (isAnswered) return;
    this.#untold.add(asking.name);
    this.#telling.touch();
  }

  async onOpen(dialogue: Dialogue): Promise<void> {
    const { name, thread } = dialogue;
    this.#roster.add(name);
    this.#roster.setUnread(name, thread.unread);
    await this.#front.read(dialogue);
  }

  onStatus({ name }: Dialogue, status: Status): void {
    // Nobody else is there to stay for while the disk is looked after.
    if (status.type === "unpinned" && this.only !== undefined) {
      return this.#failed.reject(status.error);
    }
    this.#front.refresh();
    this.#front.onStatus(status);
    this.#voice.status(name, status, this.#options.contacts.isVerified(name));
  }

  onServerAnswers(): void {
    const event = { event: "connected", to: SERVER_NAME };
    this.#options.terminal.say("the server answers every message", event);
  }

  onDelivery(dialogue: Dialogue): void {
    this.#front.onDelivery(dialogue);
  }

  onUnread(name: string, unread: number): void {
    this.#roster.setUnread(name, unread);
    this.#front.onUnread(name, unread);
  }

  onEnd({ name, thread }: Dialogue, error: CifraError | undefined): void {
    this.#roster.setKept(name, undelivered(thread.delivery));
    if (error) {
      // With one person alone there is nothing else to stay for.
      if (this.only !== undefined) return this.#failed.reject(error);
      this.#voice.fail(`the conversation with ${name} has ended`, error, name);
    }
    this.#voice.over(name);
    this.#front.refresh();
  }

  onTransfer(row: TransferRow, event: TransferEvent): void {
    this.#fileVoice.tell(row, event);
  }

  onMail(event: MailTrouble): void {
    this.#voice.mail(event);
  }

  onFailure(name: string, what: "answer" | "open", error: CifraError): void {
    const text = what === "answer" ? `cannot answer ${name}` : `no conversation with ${name}`;
    this.#voice.fail(text, error, name);
  }

  isInUse(name: string): boolean {
    return name === this.focus;
  }

  #makeFront(): Front {
    const { terminal, typed, giveUpAfter, person: { environment } } = this.#options;
    if (terminal.interactive) return new DeskTerminal(this, terminal, typed);
    if (terminal.json) return new DeskJson(this, terminal, environment.time);
    return new Pipe(this, terminal, environment.time, giveUpAfter);
  }

  #tellOffers(): void {
    const { terminal, person: { suite } } = this.#options;
    const offers = [...this.#untold].flatMap((name) => this.#messenger.offers.get(name) ?? []);
    this.#untold.clear();
    for (const text of describeOffers(offers, suite.name)) terminal.say(text);
  }

  async #leave(code: CloseCode): Promise<void> {
    const dialogues = [...this.#messenger.all()];
    this.#voice.leaves();
    this.#typing.forgetUnsent();
    // Others learn before the goodbye what was read.
    await this.#options.terminal.flushed();
    await this.#messenger.leave(code);
    if (!this.#options.terminal.interactive && this.only !== undefined) return;
    this.#lastWords = dialogues.flatMap(({ name, thread }) =>
      name === SERVER_NAME ? [] : describeUndelivered(thread.delivery, name) ?? []
    );
  }

  /** Tells what earlier runs left, and goes on with what is unfinished. */
  async #resume(): Promise<void> {
    const leftovers = await this.#messenger.leftovers();
    this.#roster.takeOver(leftovers);
    const rest = await this.#messenger.resume(leftovers);
    for (const { name, unread } of leftovers) {
      if (unread > 0) this.#front.onUnread(name, this.#roster.unreadOf(name));
    }
    if (rest.length === 0) return;
    const text = `messages for ${rest.length} more people are kept; /to NAME delivers them: ` +
      describeCrowd(rest);
    this.#voice.say(text, { event: "kept", with: rest });
  }
}
