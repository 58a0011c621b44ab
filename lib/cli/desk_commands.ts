/** The table of slash commands, and what a line means that is typed at the desk. */
import { PAST_SHOWN } from "../limits.ts";
import { isName, withoutCapitals } from "../wire/names.ts";

/** What the slash commands do. */
export interface DeskActions {
  users(): Promise<void>;
  turnTo(name: string | undefined): Promise<void>;
  refuse(name: string): Promise<void>;
  close(name: string): Promise<void>;
  forget(name: string): Promise<void>;
  setAway(isAway: boolean, words: string): void;
  verify(name: string): Promise<void>;
  markVerified(name: string): Promise<void>;
  path(name: string): void;
  quit(): void;
  help(): void;
  accept(name: string): Promise<void>;
  ignore(name: string): Promise<void>;
  reply(words: string): Promise<void>;
  bell(when: string): void;
  showLast(count: string): void;
  act(words: string): Promise<void>;
  retract(number: string, name: string | undefined): Promise<void>;
  sendFiles(paths: string, name: string | undefined): Promise<void>;
  take(transfer: string, name: string | undefined): Promise<void>;
  decline(transfer: string, name: string | undefined): Promise<void>;
  cancel(transfer: string, name: string | undefined): Promise<void>;
  transfers(): void;
}

/** What a program calls that which stands after a command. */
export type ArgumentKey = "number" | "text" | "path" | "transfer";

/** One command: about nobody, or about whoever is named, and without a name about whom we talk to; or with words. */
export interface Command {
  readonly does: string;
  /** `named`: somebody is to be named; `focus`: without a name it is whom we talk to. */
  readonly about?: "named" | "focus";
  /** Without a name it is about nobody. */
  readonly mayBeNobody?: true;
  /** What stands after it is no name but words, of which this is said in help. */
  readonly takes?: string;
  /** A program gives it under this key, and may name somebody beside it. */
  readonly key?: ArgumentKey;
  /** How a program calls the command, if not by its word. */
  readonly deed?: string;
  /** It can stand alone. */
  readonly mayBeAlone?: true;
  /** Only for a person at a terminal. */
  readonly atTerminal?: true;
  /** Only where there are many. */
  readonly inLobby?: true;
  /** Those that are about somebody are given a name, those that take words the words, and whom a program has named. */
  readonly run: (
    desk: DeskActions,
    given: string,
    name: string | undefined,
  ) => Promise<void> | void;
}

/** All slash commands, in the order of the help. `/to` alone talks to nobody. */
export const SLASH_COMMANDS: Readonly<Record<string, Command>> = {
  "/users": {
    does: "who is here, who asks for you, and who has written",
    run: (desk) => desk.users(),
  },
  "/to": {
    does: "talk to NAME; /to alone talks to nobody",
    about: "named",
    mayBeNobody: true,
    inLobby: true,
    run: (desk, name) => desk.turnTo(name === "" ? undefined : name),
  },
  "/refuse": {
    does: "tell NAME that you do not want to talk now",
    about: "named",
    inLobby: true,
    run: (desk, name) => desk.refuse(name),
  },
  "/ignore": {
    does: "refuse NAME in all runs to come; /to NAME ends that",
    about: "named",
    inLobby: true,
    run: (desk, name) => desk.ignore(name),
  },
  "/close": {
    does: "end a conversation; /to NAME goes on with it",
    about: "focus",
    inLobby: true,
    run: (desk, name) => desk.close(name),
  },
  "/forget": {
    does: "drop what NAME does not have yet, and end the conversation",
    about: "named",
    inLobby: true,
    run: (desk, name) => desk.forget(name),
  },
  "/away": {
    does: "others see you are away; those you are talking to read WORDS",
    takes: "WORDS",
    key: "text",
    mayBeAlone: true,
    inLobby: true,
    run: (desk, words) => desk.setAway(true, words),
  },
  "/back": {
    does: "the others see that you are back",
    inLobby: true,
    run: (desk) => desk.setAway(false, ""),
  },
  "/path": {
    does: "how you are connected",
    about: "focus",
    run: (desk, name) => desk.path(name),
  },
  "/verify": {
    does: "words to compare with the other side",
    about: "focus",
    run: (desk, name) => desk.verify(name),
  },
  "/verified": {
    does: "they are the same: mark this key as verified",
    about: "focus",
    run: (desk, name) => desk.markVerified(name),
  },
  "/retract": {
    does: "take back your last message, or message N, if it was not read",
    takes: "N",
    key: "number",
    mayBeAlone: true,
    run: (desk, number, name) => desk.retract(number, name),
  },
  "/send": {
    does: "send a file or folder: its path, or drop it here",
    takes: "PATH",
    key: "path",
    deed: "send-file",
    run: (desk, paths, name) => desk.sendFiles(paths, name),
  },
  "/take": {
    does: "take what is offered; ID is how its id begins",
    takes: "ID",
    key: "transfer",
    mayBeAlone: true,
    run: (desk, transfer, name) => desk.take(transfer, name),
  },
  "/decline": {
    does: "say no to what is offered, for good",
    takes: "ID",
    key: "transfer",
    mayBeAlone: true,
    run: (desk, transfer, name) => desk.decline(transfer, name),
  },
  "/cancel": {
    does: "end a transfer, whoever sends it",
    takes: "ID",
    key: "transfer",
    mayBeAlone: true,
    run: (desk, transfer, name) => desk.cancel(transfer, name),
  },
  "/transfers": {
    does: "what is offered, and what is on its way",
    run: (desk) => desk.transfers(),
  },
  "/last": {
    does: `print the last N lines that were said here, or the last ${PAST_SHOWN}`,
    takes: "N",
    mayBeAlone: true,
    atTerminal: true,
    run: (desk, count) => desk.showLast(count),
  },
  "/reply": {
    does: "answer whoever wrote last, whoever else you are talking to",
    takes: "WORDS",
    inLobby: true,
    atTerminal: true,
    run: (desk, words) => desk.reply(words),
  },
  "/me": {
    does: "say what you do: /me waves",
    takes: "WORDS",
    atTerminal: true,
    run: (desk, words) => desk.act(words),
  },
  "/bell": {
    does: "ring for mentions (of your name), for all messages, or off",
    takes: "WHEN",
    atTerminal: true,
    run: (desk, when) => desk.bell(when),
  },
  "/help": { does: "print this list", run: (desk) => desk.help() },
  "/quit": { does: "leave", run: (desk) => desk.quit() },
};

/** What a line means; names may have capitals as they were typed. */
export type Line =
  | { readonly type: "nothing" }
  | { readonly type: "say"; readonly name: string | undefined; readonly text: string }
  | {
    readonly type: "command";
    /** With its stroke. */
    readonly word: string;
    readonly command: Command;
    readonly name: string | undefined;
    /** What stands after a command that takes words. */
    readonly text?: string;
  }
  /** It cannot be done; a sentence that says why. */
  | { readonly type: "wrong"; readonly reason: string };

/** Where a line is typed. */
export interface Place {
  /** Whether one may talk to many. */
  readonly isLobby: boolean;
  /** Whether there is somebody of a name. */
  readonly isKnown: (name: string) => boolean;
  /** Whoever is named is meant, known or not. */
  readonly isMeant?: boolean;
  /** Whether a program writes the lines. */
  readonly isProgram?: boolean;
}

/** The commands that can be given there. */
export function commandsOf(
  { isLobby, isProgram }: Pick<Place, "isLobby" | "isProgram">,
): readonly string[] {
  return Object.entries(SLASH_COMMANDS).flatMap(([word, { inLobby, atTerminal }]) =>
    (isLobby || !inLobby) && !(isProgram && atTerminal) ? [word] : []
  );
}

/** What stands after a command, as help has it. */
export function argumentOf(
  { about, takes, mayBeAlone }: Command,
  { isLobby }: Pick<Place, "isLobby">,
): string {
  if (takes !== undefined) return mayBeAlone ? ` [${takes}]` : ` ${takes}`;
  if (!isLobby || about === undefined) return "";
  return about === "focus" ? " [NAME]" : " NAME";
}

/** Those of them that take a name. */
export function commandsAboutSomebody(): readonly string[] {
  return Object.entries(SLASH_COMMANDS).flatMap(([word, { about }]) => about ? [word] : []);
}

/** What `/help` says. */
export function slashHelp(place: Pick<Place, "isLobby" | "isProgram">): string {
  const rows = commandsOf(place).map((word) => {
    const command = SLASH_COMMANDS[word]!;
    return `${word}${argumentOf(command, place)} `.padEnd(18) + command.does;
  });
  const toMany = "NAME: hello".padEnd(18) + "to NAME, whoever else you are talking to";
  return [
    "what can be done here:",
    ...rows,
    ...(place.isLobby ? [toMany] : []),
    "A line that ends with \\ goes on in the next; pasted lines are one message;",
    "// sends a line that starts with /",
    "The prompt shows how far your last message came: queued (kept here), sent,",
    "on server (for when they come), stored (kept there), read",
  ].join("\n");
}

/** `bob: hello`; more lines may follow. */
const ADDRESSED = /^([A-Za-z0-9][A-Za-z0-9_-]*): ([\s\S]+)$/;

/** Whether a line is a command, and not something to be said: several lines, such as a page of code, never are. */
function isCommand(line: string): boolean {
  return line.startsWith("/") && !line.startsWith("//") && !line.includes("\n");
}

/** Reads a line. */
export function readLine(line: string, place: Place): Line {
  if (line === "") return { type: "nothing" };
  if (isCommand(line)) return readCommand(line.trim(), place);
  if (line.startsWith("//") && !line.includes("\n")) {
    return { type: "say", name: undefined, text: line.slice(1) };
  }
  const [, name, text] = place.isLobby ? ADDRESSED.exec(line) ?? [] : [];
  const meant = withoutCapitals(name ?? "");
  // `Note: this` names nobody, unless there is somebody of that name.
  const isSaid = meant !== name && !place.isKnown(meant);
  if (name === undefined || text === undefined || !isName(meant) || isSaid) {
    const isEscaped = place.isLobby && line.startsWith(" ") && ADDRESSED.test(line.slice(1));
    return { type: "say", name: undefined, text: isEscaped ? line.slice(1) : line };
  }
  if (place.isMeant || place.isKnown(meant)) return { type: "say", name, text };
  // Meant for somebody whose name was mistyped, it must not go to somebody else.
  const reason = `NOT SENT: there is nobody called ${name}; /to ${name} to write to them ` +
    "anyway, or put a space before the line if it is for whom you are talking to";
  return { type: "wrong", reason };
}

function readCommand(line: string, place: Place): Line {
  const [word = "", name, ...more] = line.split(/\s+/);
  const command = SLASH_COMMANDS[word];
  if (!command) {
    const known = commandsOf(place).join(", ");
    return {
      type: "wrong",
      reason: `Unknown command; ${known}, or // for a line that starts with /`,
    };
  }
  if (command.atTerminal && place.isProgram) {
    return { type: "wrong", reason: `${word} is for a person at a terminal` };
  }
  if (!commandsOf(place).includes(word)) {
    return { type: "wrong", reason: `${word} is for the lobby: connect without --to` };
  }
  if (command.takes !== undefined) {
    const text = line.slice(word.length).trim();
    if (text !== "" || command.mayBeAlone) {
      return { type: "command", word, command, name: undefined, text };
    }
    return { type: "wrong", reason: `${word} takes ${command.takes} after it` };
  }
  if (more.length > 0 || name !== undefined && command.about === undefined) {
    const argument = command.about === undefined ? "nothing" : "one name";
    return { type: "wrong", reason: `${word} takes ${argument} after it` };
  }
  if (name !== undefined && !isName(withoutCapitals(name))) {
    return { type: "wrong", reason: "That is not a valid name: names are a-z, 0-9, _ and -" };
  }
  return { type: "command", word, command, name };
}
