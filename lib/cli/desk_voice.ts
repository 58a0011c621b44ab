/** What is said in the lobby: for people what is new, once; for programs everything, as events. */
import type { Status } from "../client/conversation.ts";
import type { LobbyNews } from "../client/lobby.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { formatEndpoint } from "../wire/address.ts";
import { describeChanges } from "./lobby_words.ts";
import { sanitize } from "./sanitize.ts";
import { describeStatus, lowerFirst } from "./status.ts";
import type { JsonEvent, Terminal } from "./terminal.ts";

type News<Type extends LobbyNews["type"]> = Extract<LobbyNews, { readonly type: Type }>;

/** Says it. */
export class LobbyVoice {
  readonly #terminal: Terminal;
  readonly #suite: SuiteName;
  /** What was said last of the lobby: that we are in it, or that the server is lost, for whatever reason. */
  #place: "nowhere" | "lobby" | "lost" = "nowhere";
  /** By the names of the others. */
  readonly #said = new Map<string, string>();

  constructor(terminal: Terminal, suite: SuiteName) {
    this.#terminal = terminal;
    this.#suite = suite;
  }

  say(text: string, event: JsonEvent): void {
    this.#terminal.say(text, event);
  }

  /** Says what somebody did wrong. */
  complain(reason: string): void {
    this.say(reason, { event: "error", code: "usage", message: reason });
  }

  /** Says what failed, about `name` if it was about somebody. Throws what is no expected failure. */
  fail(what: string, error: unknown, name?: string): void {
    if (!(error instanceof CifraError)) throw error;
    const { code, message, hint } = error;
    const tail = hint === undefined ? "" : `\n   ${sanitize(hint).replaceAll("\n", "\n   ")}`;
    const details = { code, message, ...(hint !== undefined && { hint }) };
    this.say(
      `${what}: ${sanitize(message)}${tail}`,
      name === undefined
        ? { event: "error", ...details }
        : { event: "conversation-failed", with: name, ...details },
    );
  }

  /** What happens in a conversation; `isFocus`: a person is looking at it. */
  status(name: string, status: Status, isFocus: boolean): void {
    const [text, event] = describeStatus(status, name, this.#suite);
    if (this.#terminal.json) return this.#terminal.emit({ ...event, with: name });
    // Of the server the lobby tells, once for all.
    if (status.type === "registered" || status.type === "server-lost") return;
    if (status.type === "moved") return this.#once(name, `${name}: ${text}`);
    if (status.type !== "left") return this.#once(name, text);
    // They may be in the lobby still.
    const what = status.failed ? text : `${name} has left the conversation`;
    this.#once(name, isFocus ? `${what}; what you write is kept until ${name} is back` : what);
  }

  /** A conversation is over: whatever is said of the next one with `name` is new. */
  over(name: string): void {
    this.#said.delete(name);
  }

  registered({ server, title, observed }: News<"registered">): void {
    const where = formatEndpoint(server);
    const event = { event: "lobby", server: where, title, observed: formatEndpoint(observed) };
    if (this.#terminal.json) return this.#terminal.emit(event);
    if (this.#place === "lobby") return;
    this.#place = "lobby";
    this.#terminal.say(`in the lobby of "${sanitize(title)}" at ${where}`);
  }

  serverLost({ error: { code, message }, retryIn }: News<"server-lost">): void {
    const event = { event: "server-lost", code, message, retryIn: Math.round(retryIn) };
    if (this.#terminal.json) return this.#terminal.emit(event);
    if (this.#place === "lost") return;
    this.#place = "lost";
    const why = lowerFirst(sanitize(message));
    this.#terminal.say(`no connection to the server (${why}); trying again, conversations go on`);
  }

  /** Who came and went; of a crowd those who are close are named first. */
  changes({ changes }: News<"changes">, isClose: (name: string) => boolean): void {
    if (this.#terminal.json) return this.#terminal.emit({ event: "people", ...changes });
    for (const line of describeChanges(changes, isClose)) this.#terminal.say(line);
  }

  #once(about: string, text: string): void {
    if (this.#said.get(about) === text) return;
    this.#said.set(about, text);
    this.#terminal.say(text);
  }
}
