/** A person's conversations without a desk: for commands that carry files, and leave what is said to be read elsewhere. */
import type { Status } from "../client/conversation.ts";
import type { Dialogue } from "../client/conversations.ts";
import { type HomeStatus, SENT_AWAY } from "../client/home.ts";
import { Messenger, type MessengerEvents, type MessengerOptions } from "../client/messenger.ts";
import type { MailTrouble } from "../client/mail_events.ts";
import type { Asking } from "../client/offers.ts";
import type { TransferEvent } from "../client/transfer_events.ts";
import { CifraError } from "../errors.ts";
import { aborted } from "../flow/delay.ts";
import { mayFail } from "../flow/may_fail.ts";
import { Signal } from "../flow/signal.ts";
import type { TransferRow } from "../store/transfer_store.ts";
import { LogKind } from "../wire/peer_messages.ts";
import { CloseCode } from "../wire/records.ts";
import { Answers } from "./answers.ts";
import { DeskVoice } from "./desk_voice.ts";
import { FileVoice } from "./file_voice.ts";
import { CHANGES_PAUSE } from "./lobby_words.ts";
import type { MailPlace } from "./mail_run.ts";
import { offerJson } from "./offer_words.ts";
import { ProgressLine } from "./progress_line.ts";
import { answerForProgram } from "./running.ts";
import type { Terminal } from "./terminal.ts";

/** Milliseconds for which the end of a transfer is brought to whoever is to know it. */
const LAST_WORD_PATIENCE = 10_000;

/** Who carries files, with whom, and what is done with what is offered. */
export interface FileRunOptions
  extends Pick<MessengerOptions, "relay" | "advertised" | "accept" | "decide" | "fileLimit"> {
  readonly place: MailPlace;
  readonly terminal: Terminal;
  /** With whom alone; undefined in the lobby. */
  readonly only: string | undefined;
  /** Whether what is said to others is an offer, of which it is told when it waits at the server. */
  readonly offers: boolean;
  /** For so many milliseconds nobody need be there; undefined: as long as it takes. */
  readonly patience: number | undefined;
  /** Told of what happens to transfers, after it was said. */
  readonly onTransfer: (row: TransferRow, event: TransferEvent) => void;
}

/** One run. */
export class FileRun implements MessengerEvents {
  readonly messenger: Messenger;
  readonly voice: DeskVoice;
  readonly #options: FileRunOptions;
  readonly #files: FileVoice;
  readonly #line: ProgressLine;
  readonly #news = new Signal();
  /** Those to whom there is a channel. */
  readonly #connected = new Set<string>();
  readonly #failed = Promise.withResolvers<never>();
  /** Our last word of which it was said that it waits at the server. */
  #left = 0n;
  #cancelPatience: (() => void) | undefined;
  #isLate = false;

  constructor(options: FileRunOptions) {
    const {
      place: { person, ignored },
      terminal,
      only,
      relay,
      advertised,
      accept,
      decide,
      fileLimit,
    } = options;
    this.#options = options;
    mayFail(this.#failed.promise);
    const label = (name: string) => place.contacts.isVerified(name) ? `${name}\u2713` : name;
    const { place } = options;
    const view = {
      only,
      focus: only,
      label,
      dialogue: (name: string) => this.messenger.get(name),
    };
    this.voice = new DeskVoice(view, terminal, person.suite.name);
    this.#line = new ProgressLine(terminal);
    this.messenger = new Messenger({
      ...person,
      relay,
      advertised,
      accept,
      decide,
      fileLimit,
      refused: ignored,
      receivePort: 0,
      sendPort: undefined,
      lobby: only === undefined ? "listed" : "absent",
      usesMailbox: person.suite.name === "modern",
      kind: LogKind.kept,
      showsAll: false,
      changesPause: CHANGES_PAUSE,
      events: this,
    });
    const { transfers } = this.messenger;
    this.#files = new FileVoice({
      terminal,
      time: person.environment.time,
      emit: (event, about) => this.voice.say("", event, about),
      label,
      progress: (row) => transfers.progress(row),
      way: (name) => this.messenger.get(name)?.conversation.path,
      draw: (underWay) => this.#line.draw(underWay),
    });
  }

  /**
   * Stays until `isDone`, which is asked whenever something has happened, or a signal; then brings the last words to the
   * others and says goodbye. `begin` is what there is to do first. Throws what makes staying impossible, `timeout` when
   * nobody is there for too long.
   */
  async run(
    begin: () => Promise<void>,
    isDone: () => boolean,
    interrupted: AbortSignal,
  ): Promise<"done" | "interrupted"> {
    const { terminal, place: { profile, store } } = this.#options;
    const stopAnswering = answerForProgram(profile, new Answers(this.messenger, store));
    const staying = this.messenger.run();
    staying.catch((error) => this.#failed.reject(error));
    const failing = Promise.race([
      this.#failed.promise,
      this.messenger.failed,
      terminal.failed,
    ]);
    mayFail(failing);
    const ending = aborted(interrupted).then(() => "interrupted" as const);
    const working = begin().then(() => this.#until(isDone));
    mayFail(working);
    let code: CloseCode = CloseCode.done;
    try {
      this.#beginPatience();
      const first = await Promise.race([working, failing, ending]);
      if (first === "done") {
        await Promise.race([this.messenger.settled(), this.#lastPatience(), failing, ending]);
      }
      return first;
    } catch (error) {
      const isSentAway = error instanceof CifraError && SENT_AWAY.has(error.code);
      if (!isSentAway) code = CloseCode.failed;
      throw error;
    } finally {
      stopAnswering();
      this.#cancelPatience?.();
      this.#files.stop();
      await this.messenger.leave(code);
      this.messenger.stop();
      await staying.catch(() => {});
      this.#line.close();
    }
  }

  /** Something has changed that `isDone` looks at. */
  notify(): void {
    this.#news.notify();
  }

  onHome(status: HomeStatus): void {
    this.voice.home(status);
  }

  onChanges(): void {}

  onAsking(asking: Asking, isAnswered: boolean): void {
    const { terminal } = this.#options;
    if (terminal.json) return terminal.emit(offerJson(asking, isAnswered));
    if (isAnswered) return;
    const { name } = asking;
    // Who is busy with one person answers nobody else.
    if (this.#options.only !== undefined) return;
    terminal.say(`${name} asks for you, and is not known here: --from ${name} answers`);
  }

  /** What is said is left to be read where people talk; what stands before it of files is dealt with here. */
  async onOpen({ thread }: Dialogue): Promise<void> {
    for await (const event of thread.events()) {
      if (event.type !== "file") return;
      thread.taken(event);
    }
  }

  onStatus({ name }: Dialogue, status: Status): void {
    if (status.type === "connected") this.#connected.add(name);
    if (status.type === "lost" || status.type === "left") this.#connected.delete(name);
    this.#beginPatience();
    this.voice.status(name, status, this.#options.place.contacts.isVerified(name));
  }

  onServerAnswers(): void {}

  /** Somebody who is away finds what was offered at the server, and is told to come. */
  onDelivery({ name, thread: { delivery: { queued, onServer, stored } } }: Dialogue): void {
    const isThere = onServer === queued && stored < queued && queued > this.#left;
    if (!this.#options.offers || !isThere || this.#connected.has(name)) return;
    this.#left = queued;
    this.#options.terminal.say(
      `${name} is not here: the offer waits on the server, and the files go when both of you are here`,
      { event: "on-server", number: Number(onServer) },
    );
  }

  onUnread(): void {}

  onEnd({ name }: Dialogue, error: CifraError | undefined): void {
    this.#connected.delete(name);
    this.voice.over(name);
    if (!error) return;
    if (this.#options.only !== undefined) return this.#failed.reject(error);
    this.voice.fail(`the conversation with ${name} has ended`, error, name);
  }

  onTransfer(row: TransferRow, event: TransferEvent): void {
    this.#files.tell(row, event);
    this.#options.onTransfer(row, event);
    if (event.type !== "moved") this.#news.notify();
  }

  onMail(event: MailTrouble): void {
    this.voice.mail(event);
  }

  onFailure(name: string, _what: "answer" | "open", error: CifraError): void {
    this.voice.fail(`no conversation with ${name}`, error, name);
  }

  isInUse(): boolean {
    return true;
  }

  async #until(isDone: () => boolean): Promise<"done"> {
    while (!isDone()) {
      if (this.#isLate) throw this.#late();
      await this.#news.wait();
    }
    return "done";
  }

  /** Nobody is there from now on, or somebody is. */
  #beginPatience(): void {
    const { patience, place: { person: { environment: { time } } } } = this.#options;
    if (this.#connected.size > 0) {
      this.#cancelPatience?.();
      this.#cancelPatience = undefined;
    } else if (patience !== undefined) {
      this.#cancelPatience ??= time.after(patience, () => {
        this.#isLate = true;
        this.#news.notify();
      });
    }
  }

  #late(): CifraError {
    const { only, patience } = this.#options;
    const seconds = patience! / 1000;
    return new CifraError(
      "timeout",
      `${only ?? "Nobody"} was ${only ? "not " : ""}here for ${seconds} s`,
    );
  }

  #lastPatience(): Promise<void> {
    const { time } = this.#options.place.person.environment;
    return new Promise((resolve) => time.after(LAST_WORD_PATIENCE, resolve));
  }
}
