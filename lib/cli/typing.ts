/** What is typed at the desk: messages for people, and what the slash commands do. */
import type { Contacts } from "../client/contacts.ts";
import type { Dialogue } from "../client/conversations.ts";
import { queuedTexts } from "../client/leftovers.ts";
import type { Messenger } from "../client/messenger.ts";
import { encodeUtf8 } from "../bytes.ts";
import { formatFingerprint } from "../crypto/identity.ts";
import type { SuiteName } from "../crypto/suite.ts";
import { CifraError } from "../errors.ts";
import { AWAY_LIMIT, PAST_SHOWN } from "../limits.ts";
import type { MessageStore } from "../store/message_store.ts";
import type { TransferRow } from "../store/transfer_store.ts";
import { formatEndpoint } from "../wire/address.ts";
import { isLine } from "../wire/line.ts";
import { SERVER_NAME } from "../wire/names.ts";
import { type DeskActions, type Line, readLine, slashHelp } from "./desk_commands.ts";
import type { Front, Lines } from "./desk_front.ts";
import type { DeskVoice } from "./desk_voice.ts";
import type { Ignored } from "./ignored.ts";
import { isObject, readObject, type Ref, type Request } from "./json_input.ts";
import {
  type Choice,
  chooseTransfer,
  type FileDeskOptions,
  offerFiles,
  takeFiles,
  tellTransfers,
} from "./file_desk.ts";
import { describeAbsence, describeUsers } from "./lobby_words.ts";
import { BELLS } from "./attention.ts";
import {
  describeComparison,
  describeUndelivered,
  describeUnsent,
  showPast,
  undelivered,
} from "./message_words.ts";
import type { Roster } from "./roster.ts";
import { small } from "./small_names.ts";
import { describeWay } from "./status_words.ts";
import type { Terminal } from "./terminal.ts";

/** What typed lines act on. */
export interface TypingOptions {
  readonly ourName: string;
  readonly suite: SuiteName;
  /** With whom alone we talk; undefined in the lobby. */
  readonly only: string | undefined;
  /** In the lobby: the others are not told of us. */
  readonly isHidden: boolean;
  readonly terminal: Terminal;
  readonly store: MessageStore;
  readonly contacts: Contacts;
  readonly messenger: Messenger;
  readonly roster: Roster;
  readonly voice: DeskVoice;
  readonly front: Front;
  readonly ignored: Pick<Ignored, "names" | "set">;
  /** The folder where files are read and written; undefined: none are. */
  readonly files: string | undefined;
}

/** What is kept from line to line. */
interface TypingState {
  /** To whom plain text goes. */
  focus: string | undefined;
  /** Conversations whose queued messages were shown. */
  readonly looked: WeakSet<Dialogue>;
  /** Why the last message that was refused is not sent. */
  unsent?: CifraError;
}

/** A message that was refused. */
interface Unsent {
  readonly name: string;
  readonly text: string;
  readonly error: CifraError;
}

/** Takes the lines, and keeps to whom plain text goes. */
export class Typing implements DeskActions, Lines {
  readonly #options: TypingOptions;
  readonly #state: TypingState;
  /** Messages that were refused a moment ago. */
  readonly #unsent: Unsent[] = [];

  constructor(
    options: TypingOptions,
    state: TypingState = { focus: options.only, looked: new WeakSet() },
  ) {
    this.#options = options;
    this.#state = state;
  }

  /** To whom plain text goes. */
  get focus(): string | undefined {
    return this.#state.focus;
  }

  /** Why the last message that was refused is not sent, since `forgetUnsent`. */
  get unsent(): CifraError | undefined {
    return this.#state.unsent;
  }

  /** What was refused so far is told, and has nothing to do with how the program ends. */
  forgetUnsent(): void {
    delete this.#state.unsent;
  }

  /** A line that somebody typed, or a program wrote. */
  read(text: string): Request {
    const { terminal, only } = this.#options;
    return terminal.json && isObject(text) ? readObject(text, only) : { line: this.#read(text) };
  }

  /** Does what a line says; resolves when it is done, and a message when it is on disk. */
  async obey({ line, ref }: Request): Promise<void> {
    if (ref === undefined) return await this.#try(line);
    const answering = { ...this.#options, voice: this.#options.voice.answering(ref) };
    await new Typing(answering, this.#state).#try(line, ref);
  }

  async #try(line: Line, ref?: Ref): Promise<void> {
    try {
      await this.#do(line, ref);
    } catch (error) {
      this.#options.voice.fail("that cannot be done", error);
    }
  }

  async users(): Promise<void> {
    const { messenger, roster, voice } = this.#options;
    messenger.hurry();
    const isConnected = await messenger.look();
    const people = roster.list();
    const known = people.map((person) => ({ ...person, ...this.#keyOf(person.name) }));
    voice.say(describeUsers(people, isConnected), { event: "users", isConnected, people: known });
  }

  async turnTo(name: string | undefined): Promise<void> {
    const { voice, roster, front } = this.#options;
    if (name === undefined) voice.say("talking to nobody", { event: "focus" });
    else {
      const text = `talking to ${roster.label(name)}: ${roster.describe(name)}`;
      voice.say(text, { event: "focus" }, name);
    }
    this.#state.focus = name;
    front.refresh();
    const dialogue = name === undefined ? undefined : await this.#open(name);
    if (dialogue && !this.#state.looked.has(dialogue)) this.#showQueued(dialogue);
    front.refresh();
  }

  async accept(name: string): Promise<void> {
    const { voice, roster } = this.#options;
    if (!await this.#open(name)) return;
    voice.say(`${name} is welcome: ${roster.describe(name)}`, { event: "accepted" }, name);
  }

  async refuse(name: string): Promise<void> {
    const { messenger, voice } = this.#options;
    this.#lookAwayFrom(name);
    const asked = await messenger.refuse(name);
    const told = asked ? `${name} is told` : `if ${name} asks, ${name} is told`;
    const text = `${told} that you do not want to talk now; /to ${name} when you do`;
    voice.say(text, { event: "refused" }, name);
  }

  async ignore(name: string): Promise<void> {
    const { messenger, ignored, voice } = this.#options;
    this.#lookAwayFrom(name);
    await messenger.refuse(name);
    await ignored.set(name, true);
    const text = `${name} is ignored, also in the runs to come, and told that you do not want to ` +
      `talk; /to ${name} ends that`;
    voice.say(text, { event: "ignored" }, name);
  }

  async close(name: string): Promise<void> {
    const { messenger, voice } = this.#options;
    const dialogue = messenger.get(name);
    if (!dialogue) return voice.complain(`There is no conversation with ${name}`);
    this.#lookAwayFrom(name);
    await messenger.close(name);
    const { delivery } = dialogue.thread;
    const kept = describeUndelivered(delivery, name);
    voice.say(
      name === SERVER_NAME
        ? "you do not talk to the server any more; it answers whenever you write to it"
        : `the conversation with ${name} is closed${kept ? `; ${kept}` : ""}`,
      { event: "closed", undelivered: undelivered(delivery) },
      name,
    );
  }

  async forget(name: string): Promise<void> {
    const { messenger, voice } = this.#options;
    if (messenger.get(name)) this.#lookAwayFrom(name);
    const messages = await messenger.forget(name);
    const what = messages === 1 ? "1 message" : `${messages} messages`;
    const said = messages === 0
      ? `nothing waits for ${name}`
      : `${what} that ${name} did not have: gone, and never sent again`;
    voice.say(said, { event: "forgotten", messages }, name);
  }

  setAway(isAway: boolean, words: string): void {
    const { messenger, isHidden, voice } = this.#options;
    const length = encodeUtf8(words).length;
    if (length > AWAY_LIMIT) {
      return voice.complain(`NOT AWAY: words must be at most ${AWAY_LIMIT} bytes, got ${length}`);
    }
    if (!isLine(words)) {
      return voice.complain("NOT AWAY: words must be one line of characters that can be seen");
    }
    const before = messenger.awayWords;
    messenger.setAway(isAway, words === "" ? undefined : words);
    const { awayWords } = messenger;
    const event = isAway
      ? { event: "away", ...(awayWords !== "" && { text: awayWords }) }
      : { event: "back" };
    voice.say(describeAbsence(isAway, isAway ? awayWords : before, isHidden), event);
  }

  async verify(name: string): Promise<void> {
    const words = await this.#options.contacts.words(name);
    const text = words
      ? `${describeComparison(name, words)}\n${this.#howMarked(name)}`
      : `${name} is not known here yet: there is nothing to compare`;
    this.#options.voice.say(text, { event: "verify", text }, name);
  }

  async markVerified(name: string): Promise<void> {
    const { contacts, roster, front, voice } = this.#options;
    const text = await contacts.markVerified(name)
      ? `${name} is verified: shown as ${roster.label(name)} from now on`
      : `${name} is not known here yet: there is nothing to mark`;
    front.refresh();
    voice.say(text, { event: "verified", text }, name);
  }

  path(name: string): void {
    const { messenger, only, voice } = this.#options;
    const conversation = messenger.get(name)?.conversation;
    const text = name === SERVER_NAME
      ? this.#describeServer()
      : conversation
      ? describeWay(conversation.path, conversation.failures, name)
      : "there is no conversation";
    voice.say(only === undefined ? `${name}: ${text}` : text, { event: "path", text }, name);
  }

  bell(when: string): void {
    const { terminal, voice } = this.#options;
    const bell = BELLS.find((each) => each === when);
    if (bell === undefined) return voice.complain(`/bell takes one of ${BELLS.join(", ")}`);
    terminal.bell = bell;
    const told = {
      off: "is silent",
      mentions: "rings for your name",
      all: "rings for all messages",
    };
    terminal.say(`the bell ${told[bell]}`);
  }

  showLast(count: string): void {
    const { store, terminal, roster, ourName, voice } = this.#options;
    // As with `history --last`, none is no number of lines to print.
    if (!/^(?:[1-9]\d{0,3})?$/.test(count)) {
      return voice.complain("/last takes a number from 1 to 9999, such as /last 50");
    }
    if (this.focus === undefined) return voice.complain("Of whom? Turn to somebody with /to bob");
    const label = roster.label(this.focus);
    const last = count === "" ? PAST_SHOWN : Number(count);
    const entries = [...store.history({ peer: this.focus, last, isPast: true })];
    if (entries.length === 0) terminal.say(`nothing is kept of what was said with ${label}`);
    showPast(entries, { ourName, label }, terminal);
  }

  async retract(number: string, named: string | undefined): Promise<void> {
    const { messenger, voice, ourName } = this.#options;
    if (!/^(?:[1-9]\d{0,14})?$/.test(number)) {
      return voice.complain("/retract takes the number of a message, or nothing");
    }
    const name = named ?? this.focus;
    if (name === undefined) return voice.complain("Of whom? Turn to somebody with /to bob");
    if (name === ourName) return voice.complain("That is you");
    const result = await messenger.takeBack(name, number === "" ? undefined : BigInt(number));
    if (result.type !== "done") {
      return voice.complain(
        result.type === "late"
          ? `${name} has message ${result.number} already: it cannot be taken back`
          : number === ""
          ? `there is nothing to take back: ${name} has all that you wrote`
          : `there is no message ${number} to ${name} that could be taken back`,
      );
    }
    const which = number === "" ? "your last message" : `message ${number}`;
    const text = result.hasLeft
      ? `${which} is taken back; it had left this machine, and if ${name} has fetched it already, ` +
        "it may have been read"
      : `${which} is taken back: it had not left this machine`;
    const event = { event: "retracted", number: Number(result.number), hadLeft: result.hasLeft };
    voice.say(text, event, name);
  }

  async sendFiles(paths: string, named: string | undefined): Promise<void> {
    const { voice, ourName, only } = this.#options;
    const name = named ?? this.focus;
    if (name === undefined) return voice.complain("To whom? Turn to somebody with /to bob");
    if (name === ourName) return voice.complain("NOT SENT: that is you");
    try {
      await offerFiles(this.#files, paths, name);
    } catch (error) {
      voice.failAbout(only === undefined ? `NOT SENT to ${name}` : "NOT SENT", error, name);
    }
  }

  async take(id: string, named: string | undefined): Promise<void> {
    const row = this.#choose(id, named, "offered to us");
    if (row) await takeFiles(this.#files, row);
  }

  async decline(id: string, named: string | undefined): Promise<void> {
    const row = this.#choose(id, named, "offered to us");
    if (!row) return;
    await this.#options.messenger.transfers.refuse(row);
    this.#sayOfPerson(`${row.peer} is told that you do not take ${row.name}`);
  }

  async cancel(id: string, named: string | undefined): Promise<void> {
    const row = this.#choose(id, named, "not over");
    if (row) await this.#options.messenger.transfers.cancel(row);
  }

  transfers(): void {
    tellTransfers(this.#files);
  }

  get #files(): FileDeskOptions {
    const { messenger: { transfers }, files: folder, voice, terminal } = this.#options;
    return { transfers, folder, voice, isProgram: terminal.json };
  }

  /** The transfer that is meant; says so when that is none, or not clear. */
  #choose(id: string, named: string | undefined, is: Choice["is"]): TransferRow | undefined {
    const { messenger: { transfers }, voice } = this.#options;
    const row = chooseTransfer(transfers.all(), { id, peer: named ?? this.focus, is });
    if (typeof row === "object") return row;
    voice.complain(row);
    return undefined;
  }

  /** A program is told the same by an event of the transfer. */
  #sayOfPerson(text: string): void {
    const { terminal } = this.#options;
    if (!terminal.json) terminal.say(text);
  }

  async act(words: string): Promise<void> {
    await this.#send(this.focus, `* ${this.#options.ourName} ${words}`);
  }

  help(): void {
    const { only, terminal } = this.#options;
    const text = slashHelp({ isLobby: only === undefined, isProgram: terminal.json });
    this.#options.voice.say(text, { event: "help", text });
  }

  quit(): void {
    this.#options.front.finish("finished");
  }

  #read(line: string): Line {
    const { terminal, only, ourName, roster, messenger } = this.#options;
    // A program that talks to one person has nothing to say to the desk.
    if (terminal.json && only !== undefined) return { type: "say", name: undefined, text: line };
    // A program means whom it names; a person may have mistyped.
    // Before anybody told who is there, a person who talks to nobody means it as well.
    const isMeant = terminal.json || this.focus === undefined && !messenger.isTold;
    const isKnown = (name: string) => name === ourName || roster.has(name);
    const isLobby = only === undefined;
    return readLine(line, { isLobby, isKnown, isMeant, isProgram: terminal.json });
  }

  async #do(line: Line, ref?: Ref): Promise<void> {
    switch (line.type) {
      case "nothing":
        return;
      case "say":
        return await this.#send(this.#meant(line.name) ?? this.focus, line.text, ref);
      case "wrong":
        return this.#options.voice.complain(line.reason);
      case "command":
        return await this.#command(line);
      default:
        line satisfies never;
    }
  }

  async #command(
    { word, command, name: typed, text }: Extract<Line, { readonly type: "command" }>,
  ): Promise<void> {
    const { voice, ourName } = this.#options;
    if (text !== undefined) return await command.run(this, text, this.#meant(typed));
    // Only commands about the focus fall back to it: /refuse alone must not refuse whoever is talked to.
    const name = this.#meant(typed) ?? (command.about === "focus" ? this.focus : undefined);
    if (name === ourName) return voice.complain("That is you");
    if (name === undefined && command.about && !command.mayBeNobody) {
      return voice.complain(`Who? For example: ${word} bob`);
    }
    await command.run(this, name ?? "", name);
  }

  async #send(name: string | undefined, text: string, ref?: Ref): Promise<void> {
    const { messenger, voice, ignored, ourName } = this.#options;
    if (name === undefined) {
      return voice.complain("NOT SENT: say to whom, with /to bob or bob: hello");
    }
    if (name === ourName) return voice.complain("NOT SENT: that is you");
    let isOpen = false;
    try {
      if (ignored.names.has(name)) await this.#heed(name);
      await messenger.open(name);
      isOpen = true;
      await messenger.send(name, text, ref);
    } catch (error) {
      if (!(error instanceof CifraError)) throw error;
      this.#state.unsent = error;
      if (this.#options.terminal.json) {
        // The conversation goes on without the message.
        return isOpen
          ? voice.failAbout("NOT SENT", error, name)
          : voice.fail("NOT SENT", error, name);
      }
      if (this.#unsent.length === 0) queueMicrotask(() => this.#tellUnsent());
      this.#unsent.push({ name, text, error });
    }
  }

  /** What waited for the same reason is refused in one go, and told together. */
  #tellUnsent(): void {
    const { voice, only } = this.#options;
    const together = Map.groupBy(
      this.#unsent.splice(0),
      ({ name, error }) => `${name} ${error.message}`,
    );
    for (const all of together.values()) {
      const [{ name, error }] = all as [Unsent];
      const what = only === undefined ? `NOT SENT to ${name}` : "NOT SENT";
      voice.fail(what, error, name, describeUnsent(all.map(({ text }) => text)));
    }
  }

  #meant(name: string | undefined): string | undefined {
    return name === undefined ? undefined : small(name, this.#options.terminal);
  }

  /** Begins a conversation or goes on with it; says so when that cannot be. */
  async #open(name: string): Promise<Dialogue | undefined> {
    const { messenger, voice, ignored } = this.#options;
    try {
      if (ignored.names.has(name)) await this.#heed(name);
      return await messenger.open(name);
    } catch (error) {
      voice.fail(`no conversation with ${name}`, error, name);
      return undefined;
    }
  }

  /** Whoever is spoken to is not ignored any more. */
  async #heed(name: string): Promise<void> {
    const { ignored, voice } = this.#options;
    if (!await ignored.set(name, false)) return;
    voice.say(`${name} is not ignored any more`, { event: "heeded" }, name);
  }

  async reply(words: string): Promise<void> {
    const { front, voice } = this.#options;
    const { lastFrom } = front;
    if (lastFrom === undefined) return voice.complain("NOT SENT: nobody has written in this run");
    await this.#send(lastFrom, words);
  }

  #lookAwayFrom(name: string): void {
    if (this.focus === name) this.#state.focus = undefined;
    this.#options.front.refresh();
  }

  /** The key by which somebody is known, for a program. */
  #keyOf(name: string): { readonly suite?: SuiteName; readonly fingerprint?: string } {
    const { contacts, suite } = this.#options;
    const fingerprint = contacts.knownAs(name);
    return fingerprint ? { suite, fingerprint: formatFingerprint(fingerprint) } : {};
  }

  #describeServer(): string {
    const { server } = this.#options.messenger;
    return server ? `server ${formatEndpoint(server.remote)}` : "not connected";
  }

  #howMarked(name: string): string {
    const { suite, contacts } = this.#options;
    if (name === SERVER_NAME) return "(of a server, compare the key that it prints)";
    if (suite === "classic") return "(keys for study are never marked)";
    if (contacts.isVerified(name)) return "they were the same before: marked as verified";
    return "if they are, /verified marks that; not marked so far";
  }

  /** What was written before this conversation was opened, and has not arrived. */
  #showQueued(dialogue: Dialogue): void {
    const { name, before, thread: { delivery: { stored } } } = dialogue;
    const { terminal, suite, store } = this.#options;
    this.#state.looked.add(dialogue);
    if (terminal.json || before <= stored) return;
    const { texts, isAll } = queuedTexts(store, { peer: name, suite }, stored, before);
    if (texts.length === 0) return;
    const title = `you wrote, and ${name} does not have it yet:`;
    terminal.say([title, ...texts, ...isAll ? [] : ["..."]].join("\n"));
  }
}
