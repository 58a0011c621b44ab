/** Two people at their terminals. */
import type { PeerEvent } from "../client/incoming.ts";
import type { Delivery } from "../client/peer_link.ts";
import type { Status } from "../client/conversation.ts";
import { CifraError } from "../errors.ts";
import { sanitize, StreamSanitizer } from "./sanitize.ts";
import type { Outcome, Talk, Talker } from "./talk.ts";

const HELP = `/quit    leave       /verify  words to compare with the other side
/path    how we are connected     /help    this
A line that ends with \\ goes on in the next; pasted lines are one message; // sends a line that starts with /
Before your name stands how far your last message came: queued (kept here), sent, stored (kept there), read`;
const COMMANDS = ["/quit", "/verify", "/path", "/help"];
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
    const { queued, stored } = talk.link.delivery;
    this.#before = stored === queued ? queued : undefined;
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
    const { queued, sent, stored, read } = delivery;
    const waiting = queued - sent;
    if (waiting > 1n) return `(${waiting} queued) ${ourName}> `;
    const state = waiting > 0n
      ? "queued"
      : stored < queued
      ? "sent"
      : read < queued
      ? "stored"
      : "read";
    return queued === this.#before ? `${ourName}> ` : `(${state}) ${ourName}> `;
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
    const { terminal, verify, path } = this.#talk;
    switch (text) {
      case "/quit":
        return this.#leave("finished");
      case "/verify":
        verify().then((words) => terminal.say(words));
        return;
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

  #leave(how: Outcome): void {
    this.#finished ??= how;
    this.#registered.resolve();
    this.#talk.leave();
  }

  #sayWhatIsKept(): void {
    const { link: { delivery: { queued, stored } }, terminal, peerName } = this.#talk;
    const left = queued - stored;
    if (left === 0n) return;
    const messages = left === 1n ? "1 message is" : `${left} messages are`;
    terminal.say(
      `${messages} not delivered yet; kept here until you and ${peerName} are connected again`,
    );
  }

  #describe(event: PeerEvent): string | undefined {
    const { peerName } = this.#talk;
    switch (event.type) {
      case "text": {
        const text = attribute(peerName, sanitize(event.text));
        return event.recovered ? `${text}\n-- (it came when this program last ended)` : text;
      }
      case "bytes": {
        const text = this.#shown.push(event.bytes).replace(/\n$/, "");
        return text === "" ? undefined : attribute(peerName, text);
      }
      case "end":
        return `-- ${peerName} has nothing more to send`;
      case "gap":
        return `-- ${describeGap(event)} of ${peerName} are not on this machine any more`;
      case "restarted":
        return `-- ${peerName} began anew; the rest of what was being sent does not come`;
    }
  }
}

/** Which messages are missing. */
export function describeGap({ from, to }: { readonly from: bigint; readonly to: bigint }): string {
  return from === to ? `message ${from}` : `messages ${from} to ${to}`;
}

/** A name before the first line, and the others indented: no line can pretend to be another's. */
function attribute(name: string, text: string): string {
  return `${name}: ${text.replaceAll("\n", `\n${" ".repeat(name.length + 2)}`)}`;
}
