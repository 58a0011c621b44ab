/** Two people at their terminals. */
import type { PeerEvent } from "../client/incoming.ts";
import { type Delivery, lastArrived } from "../client/thread.ts";
import type { Status } from "../client/conversation.ts";
import { CifraError } from "../errors.ts";
import { deliveryMark, describeEvent, describeUndelivered } from "./lines.ts";
import { StreamSanitizer } from "./sanitize.ts";
import type { Outcome, Talk, Talker } from "./talk.ts";

const HELP = `/quit    leave       /verify  words to compare with the other side
/path    how we are connected     /verified  they are the same: mark this key as verified
/help    this
A line that ends with \\ goes on in the next; pasted lines are one message; // sends a line that starts with /
Before your name stands how far your last message came: queued (kept here), sent, stored (kept there), read`;
const COMMANDS = ["/quit", "/verify", "/verified", "/path", "/help"];
/** The prompt follows a message on its way, but not every step of it. */
const PROMPT_PAUSE = 40;

/** A chat on a terminal. */
export class Chat implements Talker {
  readonly #talk: Talk;
  readonly #registered = Promise.withResolvers<void>();
  readonly #shown = new StreamSanitizer();
  /** Our last message, if an earlier run has seen it arrive: its state is no news. */
  readonly #before: bigint | undefined;
  #finished: Outcome | undefined;
  #running: Promise<Outcome> | undefined;
  #setPrompt: ((prompt: string) => void) | undefined;
  #promptTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(talk: Talk) {
    this.#talk = talk;
    this.#before = lastArrived(talk.link.delivery);
  }

  onStatus(status: Status): void {
    if (status.type === "registered") this.#registered.resolve();
    if (status.type === "left") {
      const { terminal, peerName } = this.#talk;
      terminal.say(`what you write is kept until ${peerName} is back; /quit to leave`);
    }
  }

  onDelivery(_delivery: Delivery): void {
    if (!this.#setPrompt) return;
    this.#promptTimer ??= setTimeout(() => {
      this.#promptTimer = undefined;
      this.#setPrompt?.(this.#prompt());
    }, PROMPT_PAUSE);
  }

  async abandon(): Promise<void> {
    this.#finished ??= "finished";
    this.#registered.resolve();
    await this.#running;
  }

  run(): Promise<Outcome> {
    return this.#running = this.#chat();
  }

  async #chat(): Promise<Outcome> {
    const { link, terminal, interrupted } = this.#talk;
    const onSignal = () => this.#leave("interrupted");
    interrupted.addEventListener("abort", onSignal);
    // Until then the terminal may have to ask whether a server is to be trusted.
    await this.#registered.promise;
    if (this.#finished) return this.#finished;
    const { LineEditor } = await import("./line_editor.ts");
    const editor = new LineEditor(this.#prompt(), COMMANDS, {
      onMessage: (text) => this.#take(text),
      onEnd: () => this.#leave("finished"),
      onInterrupt: () => this.#leave("interrupted"),
    });
    terminal.printAround = (text) => editor.printAround(text);
    this.#setPrompt = (prompt) => editor.setPrompt(prompt);
    try {
      for await (const event of link.events()) {
        const text = this.#describe(event);
        if (text !== undefined) editor.printAround(text);
        link.taken(event);
      }
    } finally {
      interrupted.removeEventListener("abort", onSignal);
      clearTimeout(this.#promptTimer);
      this.#setPrompt = undefined;
      terminal.printAround = undefined;
      editor.close();
    }
    this.#sayWhatIsKept();
    return this.#finished ?? "finished";
  }

  /** Our name, and before it how far the last message came. */
  #prompt(): string {
    const { link: { delivery }, ourName } = this.#talk;
    return `${deliveryMark(delivery, this.#before)}${ourName}> `;
  }

  #take(text: string): void {
    const { link, terminal, hurry } = this.#talk;
    if (text === "" || this.#finished) return;
    if (text.startsWith("/") && !text.startsWith("//")) return this.#command(text.trim());
    link.sendText(text.startsWith("//") ? text.slice(1) : text).catch((error) => {
      if (!(error instanceof CifraError)) throw error;
      const hint = error.hint === undefined ? "" : ` (${error.hint})`;
      terminal.say(`NOT SENT: ${error.message}${hint}`);
    });
    if (!link.isAttached) hurry();
  }

  #command(text: string): void {
    const { terminal, verify, markVerified, path } = this.#talk;
    switch (text) {
      case "/quit":
        return this.#leave("finished");
      case "/verify":
        return this.#answer(verify());
      case "/verified":
        return this.#answer(markVerified());
      case "/path":
        return terminal.say(path());
      case "/help":
        return terminal.say(HELP);
      default:
        return terminal.say(
          `Unknown command; ${COMMANDS.join(", ")}, or // for a line that starts with /`,
        );
    }
  }

  #answer(answering: Promise<string>): void {
    const { terminal } = this.#talk;
    answering.then((text) => terminal.say(text), (error) => {
      if (!(error instanceof CifraError)) throw error;
      terminal.say(error.message);
    });
  }

  #leave(how: Outcome): void {
    this.#finished ??= how;
    this.#registered.resolve();
    this.#talk.leave();
  }

  #sayWhatIsKept(): void {
    const { link: { delivery }, terminal, peerName } = this.#talk;
    const kept = describeUndelivered(delivery, peerName);
    if (kept !== undefined) terminal.say(kept);
  }

  #describe(event: PeerEvent): string | undefined {
    const text = describeEvent(event, this.#talk.label(), this.#shown);
    const recovered = event.type === "text" && event.recovered;
    return recovered ? `${text}\n-- (it came when this program last ended)` : text;
  }
}
