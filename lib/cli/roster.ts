/** Everybody who can be named at the desk, and what there is to tell of each. */
import type { Contacts } from "../client/contacts.ts";
import type { Leftover } from "../client/leftovers.ts";
import type { Messenger } from "../client/messenger.ts";
import { type Listed, VERIFIED_MARK } from "./lobby_words.ts";
import { undelivered } from "./message_words.ts";
import { type Line, quoted } from "../wire/line.ts";
import { compareNames } from "../wire/names.ts";
import { describePath } from "./status_words.ts";

/** Where people are known from. */
export interface RosterOptions {
  readonly contacts: Contacts;
  readonly messenger: Pick<Messenger, "people" | "offers" | "get">;
  /** Those with whom there was a conversation. */
  readonly names: Iterable<string>;
}

/** The people of one sitting. */
export class Roster {
  readonly #options: RosterOptions;
  /** All with whom there ever was a conversation, or is to be. */
  readonly #names: Set<string>;
  /** Messages that wait to be shown. */
  readonly #unread = new Map<string, number>();
  /** Messages of ours that are kept for somebody with whom no conversation is open. */
  readonly #kept = new Map<string, number>();

  constructor(options: RosterOptions) {
    this.#options = options;
    this.#names = new Set(options.names);
  }

  /** Names that may be typed. */
  get names(): Iterable<string> {
    const { people, offers } = this.#options.messenger;
    return new Set([...this.#names, ...people.keys(), ...offers.names]);
  }

  /** Whether there is, or was, a conversation with somebody. */
  isClose(name: string): boolean {
    return this.#names.has(name);
  }

  /** Whether there is somebody of a name. */
  has(name: string): boolean {
    const { people, offers } = this.#options.messenger;
    return this.#names.has(name) || people.has(name) || offers.has(name);
  }

  /** There is a conversation with somebody. */
  add(name: string): void {
    this.#names.add(name);
  }

  /** A name as people see it: marked when its key is verified. */
  label(name: string): string {
    return this.#options.contacts.isVerified(name) ? `${name}${VERIFIED_MARK}` : name;
  }

  /** How many messages of somebody wait to be shown. */
  unreadOf(name: string): number {
    return this.#unread.get(name) ?? 0;
  }

  setUnread(name: string, count: number): void {
    this.#unread.set(name, count);
  }

  /** So many messages of ours are kept for somebody, now that no conversation is open. */
  setKept(name: string, count: number): void {
    this.#kept.set(name, count);
  }

  /** What earlier runs left. */
  takeOver(leftovers: readonly Leftover[]): void {
    for (const { name, unread, undelivered } of leftovers) {
      this.setUnread(name, unread);
      this.setKept(name, undelivered);
    }
  }

  /** How somebody can be reached now, in a few words. */
  describe(name: string): string {
    const { messenger } = this.#options;
    const { people, offers } = messenger;
    const path = messenger.get(name)?.conversation.path;
    const words = this.#awayWords(name);
    const unread = this.unreadOf(name);
    const isHere = people.has(name) || offers.has(name);
    return [
      path ? describePath(path, name) : "not connected yet",
      ...(path || isHere ? [] : ["not in the lobby"]),
      ...(words === undefined ? [] : [`away: ${quoted(words)}`]),
      ...(unread > 0 ? [`${unread} unread`] : []),
    ].join(", ");
  }

  /** With which words somebody is away to whom we are connected: of others they may be old. */
  #awayWords(name: string): Line | undefined {
    const dialogue = this.#options.messenger.get(name);
    const words = dialogue?.conversation.path && dialogue.thread.theirAway;
    return words === "" ? undefined : words;
  }

  /** Everybody of whom there is something to tell, by name. */
  list(): readonly Listed[] {
    const { contacts, messenger } = this.#options;
    const { people, offers } = messenger;
    return [...this.names].sort(compareNames).map((name): Listed => {
      const dialogue = messenger.get(name);
      const words = this.#awayWords(name);
      return {
        name,
        isVerified: contacts.isVerified(name),
        state: people.get(name),
        ...(words !== undefined && { words }),
        unread: this.unreadOf(name),
        undelivered: dialogue ? undelivered(dialogue.thread.delivery) : this.#kept.get(name) ?? 0,
        connected: dialogue && dialogue.conversation.path !== undefined,
        asks: offers.has(name),
      };
    }).filter(({ state, unread, undelivered, connected, asks }) =>
      state !== undefined || unread + undelivered > 0 || connected !== undefined || asks
    );
  }
}
