/** A person at the desk: sees one conversation at a time, and is told of the others. */
import type { Dialogue } from "../client/conversations.ts";
import { Signal } from "../flow/signal.ts";
import { TEXT_LIMIT } from "../limits.ts";
import { OUR_COLOUR } from "./colours.ts";
import { commandsAboutSomebody, commandsOf } from "./desk_commands.ts";
import type { DeskView, Front, Outcome } from "./desk_front.ts";
import { deliveryMark, showEvent, showPast } from "./message_words.ts";
import { openPrompt, type Prompt } from "./prompt.ts";
import { StreamSanitizer } from "./sanitize.ts";
import type { Terminal } from "./terminal.ts";

/** The prompt follows a message on its way, but not every step of it. */
const PROMPT_PAUSE = 40;
/** Names that the tab key knows. */
const NAMES_COMPLETED = 500;

/** The desk on a terminal. */
export class DeskTerminal implements Front {
  readonly #view: DeskView;
  readonly #terminal: Terminal;
  readonly #finished = Promise.withResolvers<Outcome>();
  /** Names that were announced as having written, until all of their messages are shown. */
  readonly #told = new Set<string>();
  /** With whom what was said before has been shown. */
  readonly #reminded = new Set<string>();
  readonly #commands: readonly string[];
  /** What the tab key knows; the editor looks into it at each press. */
  readonly #completions: string[];
  readonly #focusChanged = new Signal();
  #editor: Prompt | undefined;
  #promptTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(view: DeskView, terminal: Terminal) {
    this.#view = view;
    this.#terminal = terminal;
    this.#commands = commandsOf({ isLobby: view.only === undefined });
    this.#completions = [...this.#commands];
  }

  async run(take: (line: string) => Promise<void>): Promise<Outcome> {
    const failing = Promise.withResolvers<never>();
    const options = {
      prompt: this.#prompt(),
      colour: this.#terminal.looks.colours ? OUR_COLOUR : undefined,
      stamp: () => this.#terminal.stamp(Date.now()),
      completions: this.#completions,
      limit: TEXT_LIMIT,
    };
    const editor = await openPrompt(this.#terminal, options, {
      onMessage: (text) => void take(text).catch((error) => failing.reject(error)),
      onEnd: () => this.finish("finished"),
      onInterrupt: () => this.finish("interrupted"),
    });
    this.#editor = editor;
    this.refresh();
    try {
      return await Promise.race([this.#finished.promise, failing.promise]);
    } finally {
      clearTimeout(this.#promptTimer);
      this.#editor = undefined;
      editor.close();
    }
  }

  async read({ name, thread, over }: Dialogue): Promise<void> {
    const shown = new StreamSanitizer();
    if (await this.#comesIntoFocus(name, over)) this.#showPast(name);
    for await (const event of thread.events()) {
      if (!await this.#comesIntoFocus(name, over)) return;
      showEvent(event, this.#view.label(name), shown, this.#terminal);
      thread.taken(event);
    }
  }

  onStatus(): void {}

  refresh(): void {
    this.#focusChanged.notify();
    if (!this.#editor) return;
    this.#promptTimer ??= setTimeout(() => {
      this.#promptTimer = undefined;
      this.#editor?.setPrompt(this.#prompt());
      this.#complete();
    }, PROMPT_PAUSE);
  }

  onDelivery(): void {
    this.refresh();
  }

  onUnread(name: string, unread: number): void {
    if (unread === 0) this.#told.delete(name);
    if (unread === 0 || name === this.#view.focus || this.#told.has(name)) return;
    this.#told.add(name);
    const count = unread > 1 ? ` (${unread} unread)` : "";
    this.#terminal.say(`${name} has written${count}: /to ${name}`);
  }

  finish(how: Outcome): void {
    this.#finished.resolve(how);
  }

  /** Once for each person: what was said before this run, and seen. */
  #showPast(name: string): void {
    if (this.#reminded.has(name)) return;
    this.#reminded.add(name);
    const { ourName } = this.#view;
    showPast(this.#view.past(name), { ourName, label: this.#view.label(name) }, this.#terminal);
  }

  /** Waits until somebody is looked at; false when the conversation is over before. */
  async #comesIntoFocus(name: string, over: AbortSignal): Promise<boolean> {
    while (this.#view.focus !== name || !this.#editor) {
      if (over.aborted) return false;
      await this.#focusChanged.wait(over);
    }
    return true;
  }

  /** How far the last message came, who we are, and to whom a line goes. */
  #prompt(): string {
    const { ourName, focus, only } = this.#view;
    if (focus === undefined) return `${ourName}> `;
    const dialogue = this.#view.dialogue(focus);
    const mark = dialogue ? deliveryMark(dialogue.thread.delivery, dialogue.arrived) : "";
    return only === undefined
      ? `${mark}${ourName} to ${this.#view.label(focus)}> `
      : `${mark}${ourName}> `;
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
