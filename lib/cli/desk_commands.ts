/** What a line means that is typed in the lobby. */
import { isName } from "../wire/names.ts";

/** What can be done about somebody. */
export type AboutSomebody = "refuse" | "close" | "verify" | "verified" | "path";

/** Each with a name is about that person; without one it is about whom one is talking to. */
export type LobbyCommand =
  | { readonly type: "say"; readonly name: string | undefined; readonly text: string }
  | { readonly type: "users" | "away" | "back" | "quit" | "help" | "nothing" }
  | { readonly type: "to"; readonly name: string | undefined }
  | { readonly type: AboutSomebody; readonly name: string | undefined }
  /** Cannot be done; a sentence that says why. */
  | { readonly type: "wrong"; readonly reason: string };

/** All that begin with a stroke. */
export const COMMANDS = [
  "/users",
  "/to",
  "/refuse",
  "/close",
  "/away",
  "/back",
  "/verify",
  "/verified",
  "/path",
  "/quit",
  "/help",
] as const;

/** `bob: hello`; more lines may follow. */
const ADDRESSED = /^([a-z0-9][a-z0-9_-]*): ([\s\S]+)$/;

/** Whether a line is a command, and not something to be said. */
export function isCommand(line: string): boolean {
  return line.startsWith("/") && !line.startsWith("//");
}

/** Reads a line; `isKnown` tells whether there is somebody of a name. */
export function readCommand(line: string, isKnown: (name: string) => boolean): LobbyCommand {
  if (line === "") return { type: "nothing" };
  if (isCommand(line)) return readStroke(line.trim());
  if (line.startsWith("//")) return { type: "say", name: undefined, text: line.slice(1) };
  const [, name, text] = ADDRESSED.exec(line) ?? [];
  if (name === undefined || text === undefined || !isName(name)) {
    const isEscaped = line.startsWith(" ") && ADDRESSED.test(line.slice(1));
    return { type: "say", name: undefined, text: isEscaped ? line.slice(1) : line };
  }
  if (isKnown(name)) return { type: "say", name, text };
  // Meant for somebody whose name was mistyped, it must not go to somebody else.
  const reason = `NOT SENT: there is nobody called ${name}; /to ${name} to write to them ` +
    "nevertheless, or put a space before the line if it is for whom you are talking to";
  return { type: "wrong", reason };
}

function readStroke(line: string): LobbyCommand {
  const [word, name, ...more] = line.split(/\s+/);
  if (more.length > 0) return unknown();
  if (name !== undefined && !isName(name)) {
    return { type: "wrong", reason: "That is no name: names are a-z, 0-9, _ and -" };
  }
  switch (word) {
    case "/to":
    case "/refuse":
    case "/close":
    case "/verify":
    case "/verified":
    case "/path":
      return { type: word.slice(1) as "to" | AboutSomebody, name };
    case "/users":
    case "/away":
    case "/back":
    case "/quit":
    case "/help":
      if (name !== undefined) return unknown();
      return { type: word.slice(1) as "users" | "away" | "back" | "quit" | "help" };
    default:
      return unknown();
  }
}

function unknown(): LobbyCommand {
  const reason = `Unknown command; ${COMMANDS.join(", ")}, or // for a line that starts with /`;
  return { type: "wrong", reason };
}
