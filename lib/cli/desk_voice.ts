/** What is said at the desk: for people what is new, once; for programs everything, as events. */
import type { Status } from "../client/conversation.ts";
import type { HomeStatus } from "../client/home.ts";
import type { Changes } from "../client/lobby.ts";
import type { MailTrouble } from "../client/mail_events.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { CifraError, type ErrorCode, reportOf } from "../errors.ts";
import { formatEndpoint } from "../wire/address.ts";
import { quoted } from "../wire/line.ts";
import type { DeskView } from "./desk_front.ts";
import { describeChanges } from "./lobby_words.ts";
import { describeMail } from "./mail_words.ts";
import { IN_THE_MIDDLE } from "./message_words.ts";
import {
  describeHomeStatus,
  describeStatus,
  describeTrouble,
  isBareClaim,
} from "./status_words.ts";
import type { Ref } from "./json_input.ts";
import type { JsonEvent, Terminal } from "./terminal.ts";

/** Lines about one conversation that are not said again. */
const SAID_REMEMBERED = 32;
/** What is said of it is about nobody. */
const OUR_DISK = "our disk";
const OUR_PINS = "our file of known people";

type Registered = Extract<HomeStatus, { readonly type: "registered" }>;
type Lost = Extract<HomeStatus, { readonly type: "server-lost" }>;
type ShutOut = Extract<HomeStatus, { readonly type: "shut-out" }>;

type Connected = Extract<Status, { readonly type: "connected" }>;

/** What is looked at of the desk. */
export type VoiceView = Pick<DeskView, "only" | "focus" | "label" | "dialogue">;

/** Says it. */
export class DeskVoice {
  readonly #view: VoiceView;
  readonly #terminal: Terminal;
  readonly #suite: SuiteName;
  readonly #ref: Ref | undefined;
  /** What was said last of the server: where it is, and that it is lost, for whatever reason. */
  #home = "";
  #isLost = false;
  /** That we are there again, which is said once it has lasted: meanwhile the last word is that we are not. */
  #held: Registered | undefined;
  #isShutOut = false;
  /** What was claimed of the server since it was there last. */
  readonly #claims = new Set<ErrorCode>();
  #isLast = false;
  /** What was said last of each disk. */
  readonly #disks = new Map<string, string>();
  /** What was said of each conversation since it last went well, by the names of the others. */
  readonly #said = new Map<string, Set<string>>();
  /** With whom a channel is there of which nobody knows yet whether it lasts: the last word is that there was none. */
  readonly #heldOf = new Map<string, Connected>();
  /** Of whom it was told last that they are away, by the server or by themselves: both tell that they are back. */
  readonly #away = new Set<string>();
  /** With whom channels come and go; a conversation that begins anew among them is no news. */
  readonly #shaky = new Set<string>();

  constructor(view: VoiceView, terminal: Terminal, suite: SuiteName, ref?: Ref) {
    this.#view = view;
    this.#terminal = terminal;
    this.#suite = suite;
    this.#ref = ref;
  }

  /** A voice that answers a line of a program: what it says and complains of repeats `ref`. */
  answering(ref: Ref): DeskVoice {
    return new DeskVoice(this.#view, this.#terminal, this.#suite, ref);
  }

  /** What fails from now on may be what ends the program. */
  leaves(): void {
    this.#isLast = true;
  }

  /** `about`: with whom the conversation is of which this tells. */
  say(text: string, event: JsonEvent, about?: string): void {
    const isOneOfMany = about !== undefined && this.#view.only === undefined;
    this.#terminal.say(text, {
      ...event,
      ...(isOneOfMany && { with: about }),
      ...(this.#ref !== undefined && { ref: this.#ref }),
    });
  }

  /** Says what somebody did wrong. */
  complain(reason: string): void {
    this.say(reason, { event: "error", code: "usage", message: reason });
  }

  /**
   * Says what failed, about `name` if it was about somebody; `more` are lines for people. Throws what is no expected
   * failure.
   */
  fail(what: string, error: unknown, name?: string, more: readonly string[] = []): void {
    const isOneOfMany = name !== undefined && this.#view.only === undefined;
    this.#fail(isOneOfMany ? "conversation-failed" : "error", what, error, name, more);
  }

  /** The same of something within a conversation, which goes on. */
  failAbout(what: string, error: unknown, name: string): void {
    this.#fail("error", what, error, name, []);
  }

  #fail(
    event: "conversation-failed" | "error",
    what: string,
    error: unknown,
    name: string | undefined,
    more: readonly string[],
  ): void {
    if (!(error instanceof CifraError)) throw error;
    const { message, hint } = error;
    const tail = [...(hint === undefined ? [] : [hint]), ...more].map((line) => `\n${line}`).join(
      "",
    );
    // What a program would read twice, word for word; a person anyway.
    const isSame = !this.#terminal.json || event === "error" && this.#ref === undefined;
    if (this.#isLast && isSame) this.#terminal.hasTold(error);
    this.say(`${what}: ${message}${tail}`, { event, ...reportOf(error) }, name);
  }

  /** What happens to what is left at the server. */
  mail(event: MailTrouble): void {
    const [text, json] = describeMail(event, (name) => name);
    if (text !== undefined) this.say(text, json);
    else if (this.#terminal.json) this.#terminal.emit(json);
  }

  /** What happens in a conversation. */
  status(name: string, status: Status, isVerified: boolean): void {
    const { focus, only } = this.#view;
    if (status.type === "steady") {
      const held = this.#heldOf.get(name);
      this.#heldOf.delete(name);
      if (held) this.status(name, { ...held, isShaky: false }, isVerified);
      return;
    }
    const [text, facts] = describeStatus(status, name, this.#view.label(name), this.#suite);
    const event = status.type === "connected" ? { ...facts, isVerified } : facts;
    if (this.#terminal.json) return this.say(text, event, name);
    if (this.#isHeld(name, status)) return;
    // Nothing of a pipe is kept, and nobody types there.
    const isKept = this.#terminal.interactive;
    if (status.type === "connected") this.#disks.delete(OUR_PINS);
    switch (status.type) {
      case "lost":
        return this.#sayNews(name, isKept ? `${text}, nothing is lost meanwhile` : text);
      case "away":
        if (status.words !== "") this.#away.add(name);
        else if (!this.#away.delete(name)) return;
        return this.#terminal.say(text);
      case "storing":
        // Our disk is the same for all conversations.
        return this.#sayOfDisk(status.storing.who === "us" ? OUR_DISK : `${name}'s disk`, text);
      case "unpinned":
        return this.#sayOfDisk(OUR_PINS, text);
      case "moved":
        return this.#sayNews(name, only === undefined ? `${name}: ${text}` : text);
      case "left": {
        // In the lobby they may be there still.
        const left = only !== undefined || status.failed
          ? text
          : `${name} has left the conversation`;
        const isCutShort = this.#view.dialogue(name)?.thread.theirStream === "middle";
        if (isCutShort && isKept) return this.#sayNews(name, `${left} ${IN_THE_MIDDLE}`);
        if (focus !== name || !isKept) return this.#sayNews(name, left);
        const quit = only === undefined ? "" : "; /quit to leave";
        return this.#sayNews(name, `${left}\nwhat you write is kept until ${name} is back${quit}`);
      }
      case "connected":
        this.#said.delete(name);
        return this.#sayNews(name, text);
      default:
        return this.#sayNews(name, text);
    }
  }

  /** A conversation is over: whatever is said of the next one with `name` is new. */
  over(name: string): void {
    this.#heldOf.delete(name);
    if (!this.#shaky.has(name)) this.#said.delete(name);
  }

  /** Whether a person is not told: channels that come and go are one trouble, of which the last word stands. */
  #isHeld(name: string, status: Status): boolean {
    const held = this.#heldOf.get(name);
    switch (status.type) {
      case "connected":
        if (status.isShaky) {
          this.#heldOf.set(name, status);
          this.#shaky.add(name);
        } else this.#shaky.delete(name);
        return status.isShaky;
      case "moved":
        if (held) this.#heldOf.set(name, { ...held, path: status.path });
        return held !== undefined;
      case "lost":
      case "left":
        return this.#heldOf.delete(name);
      default:
        return false;
    }
  }

  /** What happens between us and the server. */
  home(status: HomeStatus): void {
    const held = this.#held;
    this.#held = undefined;
    if (status.type === "steady") {
      if (held) this.home({ ...held, isShaky: false });
      return;
    }
    if (status.type === "registered" && status.isShaky && this.#isLost && !this.#terminal.json) {
      this.#held = status;
      return;
    }
    if (status.type === "shut-out") return this.#shutOut(status);
    this.#isShutOut &&= status.type !== "registered";
    if (this.#view.only !== undefined) return this.#homeOfOne(status);
    if (status.type === "server-lost") {
      const [, event] = describeHomeStatus(status);
      const text = `${describeTrouble(status.error, status.again)}; trying again` +
        (status.again ? ", conversations go on" : "");
      const isNews = this.#isNewClaim(status.error) || !this.#isLost;
      if (this.#terminal.json || isNews) this.#terminal.say(text, event);
      this.#isLost = true;
      return;
    }
    const { server, title, observed } = status;
    const where = formatEndpoint(server);
    const event = { event: "lobby", server: where, title, observed: formatEndpoint(observed) };
    const text = `in the lobby of ${quoted(title)} at ${where}`;
    if (this.#terminal.json || this.#isLost || this.#home === "") this.#terminal.say(text, event);
    this.#isLost = false;
    this.#claims.clear();
    this.#home = where;
  }

  #shutOut(status: ShutOut): void {
    const [text, event] = describeHomeStatus(status);
    if (this.#terminal.json || !this.#isShutOut) this.#terminal.say(text, event);
    this.#isShutOut = true;
    // When it takes us again, that is news.
    this.#isLost = true;
    this.#home = "";
  }

  #homeOfOne(status: Registered | Lost): void {
    const [text, event] = describeHomeStatus(status);
    // The seconds until the next try are no news.
    const news = text.replace(/; next try in .*/, "");
    const isLost = status.type === "server-lost";
    const isKnown = isLost ? !this.#isNewClaim(status.error) && this.#isLost : news === this.#home;
    if (!isLost) {
      this.#home = news;
      this.#claims.clear();
    }
    this.#isLost = isLost;
    if (!isKnown || this.#terminal.json) this.#terminal.say(text, event);
  }

  /** Whether it is said for the first time of a server that is away, and a person may have to act on it. */
  #isNewClaim(error: CifraError): boolean {
    if (!isBareClaim(error) || this.#claims.has(error.code)) return false;
    this.#claims.add(error.code);
    return true;
  }

  /** Who came and went; of a crowd those who are close are named first. */
  changes(changes: Changes, isClose: (name: string) => boolean): void {
    if (this.#terminal.json) return this.#terminal.emit({ event: "people", ...changes });
    const away = changes.away.filter((name) => !this.#away.has(name));
    const back = changes.back.filter((name) => this.#away.has(name));
    for (const name of away) this.#away.add(name);
    for (const name of [...back, ...changes.left]) this.#away.delete(name);
    const news = { ...changes, away, back };
    for (const line of describeChanges(news, isClose)) this.#terminal.say(line);
  }

  #sayNews(name: string, text: string): void {
    const said = this.#said.get(name) ?? new Set();
    if (said.has(text)) return;
    // What a server says stands in some of them: it cannot fill the memory.
    if (said.size >= SAID_REMEMBERED) said.clear();
    this.#said.set(name, said.add(text));
    this.#terminal.say(text);
  }

  #sayOfDisk(whose: string, text: string): void {
    if (this.#disks.get(whose) === text) return;
    this.#disks.set(whose, text);
    this.#terminal.say(text);
  }
}
