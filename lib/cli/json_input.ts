/**
 * What a program writes to `connect --json`: a line that begins with `{` is an object, which says something or does
 * something. A text in it is never a command, whatever it looks like: only so can a program hand on what others
 * wrote.
 */
import { TEXT_LIMIT } from "../limits.ts";
import { isName, SERVER_NAME, withoutCapitals } from "../wire/names.ts";
import { closest } from "./closest.ts";
import {
  type ArgumentKey,
  type Command,
  commandsOf,
  type Line,
  SLASH_COMMANDS,
} from "./desk_commands.ts";

/** What a program calls one of its lines; answers and errors repeat it. */
export type Ref = string | number;

/** A line that was read: of a program, which may call it something, or of a person. */
export interface Request {
  readonly line: Line;
  readonly ref?: Ref | undefined;
}

/** The longest line that is read, in UTF-16 units: every byte of the longest text may be escaped. */
export const LINE_LIMIT = 6 * TEXT_LIMIT + 1024;
/** The longest `ref`, in UTF-16 units. */
const REF_LIMIT = 256;

/** What can be done beside the slash commands. */
const ACCEPT: Command = {
  does: "answer NAME, who asks for you, or ask for NAME; whom you talk to stays",
  about: "named",
  inLobby: true,
  run: (desk, name) => desk.accept(name),
};

/** Everything that `do` can be there, with what it does. */
export function deeds(only: string | undefined): ReadonlyMap<string, Command> {
  const words = commandsOf({ isLobby: only === undefined, isProgram: true });
  const commands = words.map((word) => {
    const command = SLASH_COMMANDS[word]!;
    return [command.deed ?? word.slice(1), command] as const;
  });
  return new Map(only === undefined ? [...commands, ["accept", ACCEPT]] : commands);
}

/** Whether a line is an object. */
export function isObject(line: string): boolean {
  return line.startsWith("{");
}

/** Reads an object; with one person alone, `only`, nobody need be named. */
export function readObject(text: string, only: string | undefined): Request {
  if (text.length > LINE_LIMIT) {
    return wrong(`a line must have at most ${LINE_LIMIT} characters`, undefined);
  }
  const object = parsed(text);
  if (!object) return wrong("a line that begins with { must be an object in JSON", undefined);
  const { ref, ...rest } = object;
  if (ref !== undefined && !isRef(ref)) return wrong(problemOf(ref), undefined);
  const line = "do" in rest ? readDeed(rest, only) : readSaying(rest, only);
  return typeof line === "string" ? wrong(line, ref) : { line, ref };
}

function readSaying(object: Record<string, unknown>, only: string | undefined): Line | string {
  const { text, to } = object;
  const stranger = unknownKey(object, ["text", "to"]);
  if (stranger) return stranger;
  if (typeof text !== "string") return '"text" must be a text; "do" names a command';
  // Halves of a character are none: UTF-8 has no place for them.
  if (!text.isWellFormed()) return '"text" has half a character in it';
  const person = readPerson("to", to, only);
  if ("wrong" in person) return person.wrong;
  return { type: "say", name: person.name, text };
}

function readDeed(object: Record<string, unknown>, only: string | undefined): Line | string {
  const { do: deed, with: other } = object;
  const stranger = unknownKey(object, ["do", "with", ...Object.keys(WANTED)]);
  if (stranger) return stranger;
  if (typeof deed !== "string") return '"do" must be a text';
  const known = deeds(only);
  const command = known.get(deed);
  if (!command) {
    if (deeds(undefined).has(deed)) return `"${deed}" is for the lobby: connect without --to`;
    const meant = closest(deed, [...known.keys()]);
    return meant
      ? `unknown command; did you mean ${meant}?`
      : `unknown command; ${[...known.keys()].join(", ")}`;
  }
  const { key, about, mayBeAlone } = command;
  const isOfSomebody = about !== undefined || key !== undefined && key !== "text";
  if (other !== undefined && !isOfSomebody) {
    return `"${deed}" is about nobody`;
  }
  const needless = Object.keys(WANTED).find((each) => each !== key && each in object);
  if (needless !== undefined) return `"${deed}" takes no "${needless}"`;
  const value = key && object[key];
  if (key && value === undefined && !mayBeAlone) return `"${deed}" needs a "${key}"`;
  if (key && value !== undefined && !WANTED[key].fits(value)) {
    return `"${key}" must be ${WANTED[key].is}`;
  }
  const person = readPerson("with", other, only);
  if ("wrong" in person) return person.wrong;
  // Words may be missing, and are none then.
  const text = key === undefined || key === "text" && value === undefined
    ? undefined
    : `${value ?? ""}`;
  return {
    type: "command",
    word: deed,
    command,
    name: person.name,
    ...(text !== undefined && { text }),
  };
}

/** What stands under each key. */
const WANTED: Readonly<
  Record<ArgumentKey, { readonly is: string; readonly fits: (value: unknown) => boolean }>
> = {
  number: {
    is: "that of a message",
    fits: (value) => Number.isSafeInteger(value) && Number(value) > 0,
  },
  text: { is: "a text", fits: (value) => typeof value === "string" },
  path: {
    is: "the path of a file or folder",
    fits: (value) => typeof value === "string" && value !== "" && value.isWellFormed(),
  },
  transfer: {
    is: "the id of a transfer, or its beginning",
    fits: (value) => typeof value === "string" && /^[0-9a-f]{1,32}$/.test(value),
  },
};

function readPerson(
  key: string,
  name: unknown,
  only: string | undefined,
): { readonly name: string | undefined } | { readonly wrong: string } {
  if (name === undefined) return { name: undefined };
  const meant = typeof name === "string" ? withoutCapitals(name) : "";
  if (typeof name !== "string" || !(isName(meant) || meant === SERVER_NAME)) {
    return { wrong: `"${key}" must be a name: names are a-z, 0-9, _ and -` };
  }
  if (only !== undefined && meant !== only) {
    return { wrong: `"${key}" can only be ${only}, as --to says` };
  }
  return { name };
}

function unknownKey(object: Record<string, unknown>, known: readonly string[]): string | undefined {
  const key = Object.keys(object).find((key) => !known.includes(key));
  if (key === undefined) return undefined;
  const all = [...known, "ref"];
  const meant = closest(key, all);
  const shown = key.length > 20 || !key.isWellFormed() ? "" : ` "${key}"`;
  return `unknown key${shown}; ${
    meant ? `did you mean "${meant}"?` : `there are ${all.join(", ")}`
  }`;
}

function wrong(why: string, ref: Ref | undefined): Request {
  return { line: { type: "wrong", reason: `Not done: ${why}` }, ref };
}

/** Whether a program gets back what it wrote. */
function isRef(ref: unknown): ref is Ref {
  if (typeof ref === "string") return ref.length <= REF_LIMIT && ref.isWellFormed();
  return typeof ref === "number" && Math.abs(ref) <= Number.MAX_SAFE_INTEGER;
}

function problemOf(ref: unknown): string {
  if (typeof ref === "number") {
    return `"ref" must be a number within ${Number.MAX_SAFE_INTEGER}: others do not come back as they are`;
  }
  if (typeof ref === "string" && !ref.isWellFormed()) return '"ref" has half a character in it';
  return `"ref" must be a number, or a text of at most ${REF_LIMIT} characters`;
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
