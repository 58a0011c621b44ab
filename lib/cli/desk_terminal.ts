/**
 * A person at the desk: sees one conversation at a time, and is told of the others; who talks to nobody sees what
 * comes from all.
 */
import type { Bytes } from "../bytes.ts";
import type { Dialogue } from "../client/conversations.ts";
import { mayFail } from "../flow/may_fail.ts";
import { Signal } from "../flow/signal.ts";
import { TEXT_LIMIT } from "../limits.ts";
import { rings } from "./attention.ts";
import { OUR_COLOUR } from "./colours.ts";
import { commandsAboutSomebody, commandsOf } from "./desk_commands.ts";
import type { DeskView, Front, Lines, Outcome } from "./desk_front.ts";
import { completePaths } from "./complete_paths.ts";
import { progressMark, type UnderWay } from "./file_progress.ts";
import { deliveryMark, describeUnread, showEvent, showPast } from "./message_words.ts";
import { openPrompt, type Prompt } from "./prompt.ts";
import { StreamSanitizer } from "./sanitize.ts";
import { screen } from "./screen.ts";
import type { Terminal } from "./terminal.ts";
import type { TypedLines } from "./typed_lines.ts";

/** The prompt follows a message on its way, but not every step of it. */
const PROMPT_PAUSE = 40;
/** Of messages that come at once so many are looked at for the bell. */
const RUNG_FOR = 50;
/** Names that the tab key knows. */
const NAMES_COMPLETED = 500;

/** The desk on a terminal. */
export class DeskTerminal implements Front {
  readonly #view: DeskView;
  readonly #terminal: Terminal;
  readonly #typed: TypedLines | undefined;
  readonly #finished = Promise.withResolvers<Outcome>();
  /** Names that were announced as having written, until all of their messages are shown. */
  readonly #told = new Set<string>();
  /** How many messages wait, by who wrote them. */
  readonly #unread = new Map<string, number>();
  /** With whom what was said before has been shown. */
  readonly #reminded = new Set<string>();
  readonly #commands: readonly string[];
  /** What the tab key knows; the editor looks into it at each press. */
  readonly #completions: string[];
  readonly #focusChanged = new Signal();
  lastFrom: string | undefined;
  /** What stands of files before the prompt. */
  #underWay: UnderWay | undefined;
  #editor: Prompt | undefined;
  #promptTimer: ReturnType<typeof setTimeout> | undefined;

  /** `typed` remembers the lines. */
  constructor(view: DeskView, terminal: Terminal, typed: TypedLines | undefined) {
    this.#typed = typed;
    this.#view = view;
    this.#terminal = terminal;
    this.#commands = commandsOf({ isLobby: view.only === undefined });
    this.#completions = [...this.#commands];
  }

  async run(lines: Lines): Promise<Outcome> {
    const failing = Promise.withResolvers<never>();
    const options = {
      prompt: this.#prompt(),
      colour: this.#terminal.looks.colours ? OUR_COLOUR : undefined,
      stamp: () => this.#terminal.stamp(Date.now()),
      // How far an earlier line came says nothing of this one.
      entered: () => this.#who(),
      completions: this.#completions,
      completeMore: (text: string) => completePaths(text, this.#view.files),
      history: this.#typed?.lines ?? [],
      limit: TEXT_LIMIT,
      refused: "NOT SENT",
    };
    const opening = openPrompt(this.#terminal, options, {
      onMessage: (text) => {
        this.#typed?.add(text);
        lines.obey(lines.read(text)).catch((error) => failing.reject(error));
        this.refresh();
      },
      onEnd: () => this.finish("finished"),
      onInterrupt: () => this.finish("interrupted"),
    });
    mayFail(opening);
    // A terminal that is frozen has no prompt yet.
    const editor = await Promise.race([this.#finished.promise, opening]);
    if (typeof editor === "string" || "error" in editor) return editor;
    this.#editor = editor;
    this.refresh();
    try {
      return await Promise.race([this.#finished.promise, failing.promise]);
    } finally {
      clearTimeout(this.#promptTimer);
      this.#editor = undefined;
      this.#terminal.setUnread(0);
      editor.close();
    }
  }

  async read({ name, thread, over }: Dialogue): Promise<void> {
    const shown = new StreamSanitizer();
    for await (const event of thread.events()) {
      if (!await this.#comesIntoSight(name, over)) return;
      // What is on the screen by now is not what was before.
      this.#reminded.add(name);
      this.lastFrom = name;
      if (event.type === "text") this.#ring([event.text]);
      const isOpen = (offer: Bytes) => this.#view.isOffered(name, offer);
      showEvent(event, this.#view.label(name), shown, this.#terminal, isOpen);
      // What a terminal that is frozen, or has gone, does not show is not read: the next run shows it.
      if (!await screen.shown()) return;
      thread.taken(event);
    }
  }

  onStatus(): void {}

  refresh(): void {
    if (this.#editor) this.#showPast();
    this.#focusChanged.notify();
    if (!this.#editor) return;
    this.#promptTimer ??= setTimeout(() => {
      this.#promptTimer = undefined;
      this.#editor?.setPrompt(this.#prompt());
      this.#complete();
      const { focus } = this.#view;
      const waiting = [...this.#unread].filter(([name]) => name !== focus);
      this.#terminal.setUnread(waiting.reduce((sum, [, count]) => sum + count, 0));
    }, PROMPT_PAUSE);
  }

  onDelivery(): void {
    this.refresh();
  }

  onFiles(underWay: UnderWay | undefined): void {
    this.#underWay = underWay;
    this.refresh();
  }

  onUnread(name: string, unread: number): void {
    const before = this.#unread.get(name) ?? 0;
    this.#unread.set(name, unread);
    this.refresh();
    if (unread === 0) this.#told.delete(name);
    // For what is shown it rings then.
    if (this.#editor && unread > before && !this.#isInSight(name)) {
      this.#ring(this.#view.newest(name, Math.min(RUNG_FOR, unread - before)) ?? []);
    }
    if (unread === 0 || this.#told.has(name)) return;
    // What is about to be shown is not told of; but nobody shows what is left of a conversation that is not open.
    if (this.#isInSight(name) && (name === this.#view.focus || this.#view.dialogue(name))) return;
    const newest = this.#view.newest(name, 1);
    // What somebody answers to our offers is told as it comes, and nothing to read.
    if (newest?.length === 0) return;
    this.#told.add(name);
    this.lastFrom = name;
    this.#terminal.say(describeUnread(name, unread, newest?.[0]));
  }

  finish(how: Outcome): void {
    // While messages still go out.
    this.#editor?.enter();
    this.#finished.resolve(how);
  }

  /** Once for each person that we turn to: what was said before this run, and seen. */
  #showPast(): void {
    const { ourName, focus } = this.#view;
    if (focus === undefined || this.#reminded.has(focus)) return;
    this.#reminded.add(focus);
    showPast(this.#view.past(focus), { ourName, label: this.#view.label(focus) }, this.#terminal);
  }

  #ring(texts: readonly string[]): void {
    const { bell } = this.#terminal;
    if (texts.some((text) => rings(bell, text, this.#view.ourName))) this.#terminal.ring();
  }

  /** Whether what somebody writes is shown as it comes. */
  #isInSight(name: string): boolean {
    const { focus } = this.#view;
    return focus === name || focus === undefined;
  }

  /** Waits until what somebody writes is looked at; false when the conversation is over before. */
  async #comesIntoSight(name: string, over: AbortSignal): Promise<boolean> {
    while (!this.#isInSight(name) || !this.#editor) {
      if (over.aborted) return false;
      await this.#focusChanged.wait(over);
    }
    return true;
  }

  /** How far files and the last message came, who we are, and to whom a line goes. */
  #prompt(): string {
    const { focus } = this.#view;
    const files = this.#underWay ? `${progressMark(this.#underWay)} ` : "";
    const dialogue = focus === undefined ? undefined : this.#view.dialogue(focus);
    if (!dialogue) return files + this.#who();
    const { thread, arrived } = dialogue;
    const mark = thread.unkept > 0
      ? `(${thread.unkept} in memory) `
      : deliveryMark(thread.delivery, arrived);
    return files + mark + this.#who();
  }

  /** Who types, and to whom. */
  #who(): string {
    const { ourName, focus, only } = this.#view;
    return focus === undefined || only !== undefined
      ? `${ourName}> `
      : `${ourName} to ${this.#view.label(focus)}> `;
  }

  #complete(): void {
    this.#completions.splice(this.#commands.length);
    if (this.#view.only !== undefined) return;
    const aboutSomebody = commandsAboutSomebody();
    let count = 0;
    for (const name of this.#view.names) {
      if (++count > NAMES_COMPLETED) return;
      this.#completions.push(`${name}: `, ...aboutSomebody.map((command) => `${command} ${name}`));
    }
  }
}
