/** A program in the lobby: everything that comes is shown at once, as JSON lines that say with whom. */
import type { Dialogue } from "../client/conversations.ts";
import type { Delivery } from "../client/thread.ts";
import { peerEventJson } from "./json_lines.ts";
import { isCommand } from "./lobby_commands.ts";
import type { LobbyFront, LobbyView } from "./lobby_front.ts";
import { readStdin } from "./stdin.ts";
import { StdinLines } from "./stdin_lines.ts";
import type { Outcome } from "./talk.ts";
import type { Terminal } from "./terminal.ts";

/** The lobby as JSON lines. */
export class LobbyJson implements LobbyFront {
  readonly #view: LobbyView;
  readonly #terminal: Terminal;
  readonly #finished = Promise.withResolvers<Outcome>();
  /** How far messages came, as it was told last. */
  readonly #told = new WeakMap<Dialogue, Delivery>();

  constructor(view: LobbyView, terminal: Terminal) {
    this.#view = view;
    this.#terminal = terminal;
  }

  async run(take: (line: string) => Promise<void>): Promise<Outcome> {
    const lines = new StdinLines();
    const takeAll = async (some: readonly string[]): Promise<void> => {
      // A program means its lines in order; messages that come in one piece share a commit.
      const messages: Promise<void>[] = [];
      for (const line of some) {
        if (!isCommand(line)) {
          messages.push(take(line));
          continue;
        }
        await Promise.all(messages.splice(0));
        await take(line);
      }
      await Promise.all(messages);
    };
    const input = readStdin((piece) => takeAll(lines.push(piece)), () => takeAll(lines.end()));
    const settled = input.done.then(() => this.#view.settled());
    settled.catch(() => {});
    try {
      const outcome = await Promise.race([this.#finished.promise, settled, input.failed]);
      if (outcome === undefined) return "finished";
      return outcome instanceof Error ? { error: outcome } : outcome;
    } finally {
      input.stop();
    }
  }

  async read(dialogue: Dialogue): Promise<void> {
    const { name, link } = dialogue;
    this.#told.set(dialogue, link.delivery);
    const decoder = new TextDecoder();
    for await (const event of link.events()) {
      this.#terminal.emit({ ...peerEventJson(event, name, decoder), with: name });
      link.taken(event);
    }
  }

  refresh(): void {}

  onDelivery(dialogue: Dialogue): void {
    const { name, link: { delivery } } = dialogue;
    const told = this.#told.get(dialogue);
    if (!told) return;
    const tell = (event: string, number: bigint) =>
      this.#terminal.emit({ event, with: name, number: Number(number) });
    for (let number = told.queued; number < delivery.queued;) tell("queued", ++number);
    for (const state of ["sent", "stored", "read"] as const) {
      if (delivery[state] > told[state]) tell(state, delivery[state]);
    }
    this.#told.set(dialogue, delivery);
  }

  onUnread(): void {}

  finish(how: Outcome): void {
    this.#finished.resolve(how);
  }
}
