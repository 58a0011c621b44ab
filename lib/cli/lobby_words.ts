/** What happens in a lobby, in words for people. Names are such as somebody could have: they need no care. */
import type { Changes } from "../client/lobby.ts";
import { type Line, quoted } from "../wire/line.ts";

/** People are told of comings and goings this often at most, in milliseconds; programs at once. */
export const CHANGES_PAUSE = 5000;
/** Names in one line. */
const NAMES_SHOWN = 8;

/** Whoever talks to us need not be in the lobby: they may have come for us alone. */
const NOBODY = "nobody else is in the lobby";

/** Stands after the names of those who are verified; no name can contain it. */
export const VERIFIED_MARK = "\u2713";

/** Who came and went, a line for each kind; of a crowd those who are close first. */
export function describeChanges(
  { isFirst, joined, left, away, back }: Changes,
  isClose: (name: string) => boolean,
): readonly string[] {
  const crowd = (names: readonly string[]) => describeCrowd(names, isClose);
  if (isFirst && joined.length === 0) return [NOBODY];
  const lines: string[] = [];
  if (joined.length > 0) lines.push(isFirst ? `here: ${crowd(joined)}` : told("joined", joined));
  if (left.length > 0) lines.push(told("left", left));
  const others = away.filter((name) => !joined.includes(name));
  if (others.length > 0) lines.push(`away: ${crowd(others)}`);
  if (back.length > 0) lines.push(`back: ${crowd(back)}`);
  return lines;

  function told(what: string, names: readonly string[]): string {
    return names.length === 1 ? `${names[0]} ${what}` : `${names.length} ${what}: ${crowd(names)}`;
  }
}

/** The names of a few, or of some of many. */
export function describeCrowd(
  names: readonly string[],
  isClose: (name: string) => boolean = () => false,
): string {
  if (names.length <= NAMES_SHOWN) return names.join(", ");
  const shown = [...names.filter(isClose), ...names.filter((name) => !isClose(name))];
  const rest = names.length - NAMES_SHOWN;
  return `${shown.slice(0, NAMES_SHOWN).join(", ")} and ${rest} more; /users lists them`;
}

/** Who sees that we are away, and reads why, or that we are back; `words` are those that are said, or withdrawn. */
export function describeAbsence(isAway: boolean, words: Line, isHidden: boolean): string {
  if (isHidden && words === "") return "nobody sees that: you are hidden";
  if (!isAway) return "welcome back";
  const seen = isHidden
    ? "nobody in the lobby sees that: you are hidden"
    : "the others see that you are away";
  const read = words === "" ? "" : `; those you are talking to read ${quoted(words)}`;
  return `${seen}${read}; /back when you are not`;
}

/** Somebody, as `/users` tells of them. */
export interface Listed {
  readonly name: string;
  readonly isVerified: boolean;
  /** Undefined: not in the lobby. */
  readonly state: "here" | "away" | undefined;
  /** With which they are away, as they told us. */
  readonly words?: Line;
  readonly unread: number;
  /** Of ours, that they do not have yet. */
  readonly undelivered: number;
  /** Of a conversation that is open: whether there is a connection. */
  readonly connected: boolean | undefined;
  readonly asks: boolean;
}

/** All of them: those of whom there is something to tell on lines of their own, then the rest. */
export function describeUsers(people: readonly Listed[], isConnected: boolean): string {
  const here = people.filter(({ state }) => state !== undefined).length;
  const title = isConnected
    ? here === 0 ? NOBODY : `${here} here`
    : `no connection to the server; ${here} were here`;
  const lines: string[] = [];
  const others: string[] = [];
  for (const person of people) {
    const label = person.isVerified ? `${person.name}${VERIFIED_MARK}` : person.name;
    const facts = factsOf(person);
    if (facts.length > 0) lines.push(`   ${label}: ${facts.join(", ")}`);
    else others.push(label);
  }
  return [title, ...lines, ...wrapNames(others)].join("\n");
}

function factsOf(
  { state, words, unread, undelivered, connected, asks }: Listed,
): readonly string[] {
  const facts: string[] = [];
  if (unread > 0) facts.push(`${unread} unread`);
  if (asks) facts.push("asks for you");
  if (connected !== undefined) facts.push(connected ? "connected" : "not connected");
  if (undelivered > 0) facts.push(`${undelivered} not delivered`);
  if (words !== undefined) facts.push(`away: ${quoted(words)}`);
  else if (state === "away") facts.push("away");
  if (state === undefined && facts.length > 0) facts.push("not in the lobby");
  return facts;
}

/** As many names to a line as fit beside each other. */
function wrapNames(names: readonly string[]): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const name of names) {
    if (line.length + name.length > 74) {
      lines.push(line);
      line = "";
    }
    line += line === "" ? `   ${name}` : `, ${name}`;
  }
  return line === "" ? lines : [...lines, line];
}
