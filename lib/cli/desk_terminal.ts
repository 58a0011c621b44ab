/** A person in the lobby: sees one conversation at a time, and is told of the others. */
import type { Dialogue } from "../client/conversations.ts";
import type { LineEditor } from "./line_editor.ts";
import { deliveryMark, describeEvent } from "./lines.ts";
import { COMMANDS } from "./lobby_commands.ts";
import type { LobbyFront, LobbyView } from "./lobby_front.ts";
import { StreamSanitizer } from "./sanitize.ts";
import type { Outcome } from "./talk.ts";
import type { Terminal } from "./terminal.ts";

/** The prompt follows a message on its way, but not every step of it. */
const PROMPT_PAUSE = 40;
/** Names that the tab key knows. */
const NAMES_COMPLETED = 500;
/** Commands that take a name. */
const WITH_NAME = ["/to", "/refuse", "/close", "/verify", "/verified", "/path"];

/** The lobby on a terminal. */
export class LobbyTerminal implements LobbyFront {
  readonly #view: LobbyView;
  readonly #terminal: Terminal;
  readonly #finished = Promise.withResolvers<Outcome>();
  /** Those who have written since their messages were last all shown, and of whom that was said. */
  readonly #told = new Set<string>();
  /** What the tab key knows; the editor looks into it at each press. */
  readonly #completions: string[] = [...COMMANDS];
  #focusChanged = Promise.withResolvers<void>();
  #editor: LineEditor | undefined;
  #promptTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(view: LobbyView, terminal: Terminal) {
    this.#view = view;
    this.#terminal = terminal;
  }

  async run(take: (line: string) => Promise<void>): Promise<Outcome> {
    const terminal = this.#terminal;
    const { LineEditor } = await import("./line_editor.ts");
    const failing = Promise.withResolvers<never>();
    const editor = new LineEditor(this.#prompt(), this.#completions, {
      onMessage: (text) => void take(text).catch((error) => failing.reject(error)),
      onEnd: () => this.finish("finished"),
      onInterrupt: () => this.finish("interrupted"),
    });
    this.#editor = editor;
    terminal.printAround = (text) => editor.printAround(text);
    this.refresh();
    try {
      return await Promise.race([this.#finished.promise, failing.promise]);
    } finally {
      clearTimeout(this.#promptTimer);
      this.#editor = undefined;
      terminal.printAround = undefined;
      editor.close();
    }
  }

  async read({ name, link, over }: Dialogue): Promise<void> {
    const shown = new StreamSanitizer();
    for await (const event of link.events()) {
      if (!await this.#comesIntoFocus(name, over)) return;
      const text = describeEvent(event, this.#view.label(name), shown);
      if (text !== undefined) this.#editor?.printAround(text);
      link.taken(event);
    }
  }

  refresh(): void {
    this.#focusChanged.resolve();
    this.#focusChanged = Promise.withResolvers();
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

  /** Waits until somebody is looked at; false when the conversation is over before. */
  async #comesIntoFocus(name: string, over: AbortSignal): Promise<boolean> {
    const wake = () => this.refresh();
    over.addEventListener("abort", wake);
    try {
      while (this.#view.focus !== name || !this.#editor) {
        if (over.aborted) return false;
        await this.#focusChanged.promise;
      }
      return true;
    } finally {
      over.removeEventListener("abort", wake);
    }
  }

  /** Who we are and to whom a line goes, and before it how far the last one came. */
  #prompt(): string {
    const { ourName, focus } = this.#view;
    if (focus === undefined) return `${ourName}> `;
    const dialogue = this.#view.dialogue(focus);
    const mark = dialogue ? deliveryMark(dialogue.link.delivery, dialogue.arrived) : "";
    return `${mark}${ourName} to ${this.#view.label(focus)}> `;
  }

  #complete(): void {
    this.#completions.splice(COMMANDS.length);
    let count = 0;
    for (const name of this.#view.names) {
      if (++count > NAMES_COMPLETED) return;
      this.#completions.push(`${name}: `, ...WITH_NAME.map((command) => `${command} ${name}`));
    }
  }
}
