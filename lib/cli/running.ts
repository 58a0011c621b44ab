/**
 * One program at a time has a profile. It answers the questions of other commands over a socket in the profile's
 * folder, so that these need not wait for it to end.
 */
import { comparePeer, type Comparison } from "../client/comparison.ts";
import type { KnownKey } from "../client/known_people.ts";
import type { Attendance } from "../client/lobby.ts";
import type { Profile } from "../client/profile.ts";
import { formatFingerprint } from "../crypto/identity.ts";
import { isSuiteName } from "../crypto/suite.ts";
import { CifraError, type ErrorReport, isErrorCode, reportOf } from "../errors.ts";
import { listenLocally } from "../net/local_socket.ts";
import { compareNames, isName } from "../wire/names.ts";
import { answerLines, askAt, isObject } from "./local_lines.ts";

/** Such as `~/.local/state/cifra/profiles/alice/program.sock`. */
export function runningSocket(profileFolder: string): string {
  return `${profileFolder}/program.sock`;
}

/** What can be asked, as one line of JSON each. */
type Question =
  /** Who is in the lobby. */
  | { readonly ask: "users" }
  /** Who is known at the server. */
  | { readonly ask: "everybody" }
  /** The words to compare with a person; `mark`: they are the same. */
  | {
    readonly ask: "compare";
    readonly person: string;
    readonly suite?: string | undefined;
    readonly mark: boolean;
  };

type Failure = { readonly failed: ErrorReport };

/** Who is in the lobby, sorted by name. */
export type People = readonly (readonly [name: string, state: Attendance])[];

/** A key of somebody whom the server knows, as one line of JSON can hold it. */
export type Everybody =
  readonly (Omit<KnownKey, "fingerprint"> & { readonly fingerprint: string })[];

/** The same, of what the server has told. */
export function describeKnown(keys: readonly KnownKey[]): Everybody {
  return keys.map((key) => ({ ...key, fingerprint: formatFingerprint(key.fingerprint) }));
}

/** What a running program answers of its server. */
export interface Answering {
  readonly people: () => Promise<People>;
  readonly everybody: () => Promise<Everybody>;
}

/** The people of a lobby, in the order of their names. */
export function sorted(people: ReadonlyMap<string, Attendance>): People {
  return [...people].sort(([a], [b]) => compareNames(a, b));
}

/**
 * Answers for a running program; returns what ends it. Where no socket can be made, as on a path that is too long
 * for one, nobody is answered, and `onSilence` is told why.
 */
export function answerForProgram(
  profile: Profile,
  program: Answering,
  onSilence: (error: CifraError) => void = () => {},
): () => void {
  const answer = async (line: string): Promise<unknown> => {
    try {
      return await reply(readQuestion(line), profile, program);
    } catch (error) {
      if (!(error instanceof CifraError)) throw error;
      return { failed: reportOf(error) } satisfies Failure;
    }
  };
  try {
    return listenLocally(
      runningSocket(profile.path),
      (connection) => void answerLines(connection, answer),
    );
  } catch (error) {
    if (!(error instanceof CifraError)) throw error;
    onSilence(error);
    return () => {};
  }
}

async function reply(
  question: Question,
  profile: Profile,
  program: Answering,
): Promise<unknown> {
  switch (question.ask) {
    case "users":
      return await program.people();
    case "everybody":
      return await program.everybody();
    case "compare": {
      const { person, suite, mark } = question;
      const chosen = suite !== undefined && isSuiteName(suite) ? suite : undefined;
      return await comparePeer(profile.peers, profile.keys, person, { suite: chosen, mark });
    }
    default:
      throw notAQuestion();
  }
}

/** Of another program, and maybe of another version: `reply` refuses what it does not know. Throws `usage`. */
function readQuestion(line: string): Question {
  try {
    return JSON.parse(line) ?? {};
  } catch {
    throw notAQuestion();
  }
}

function notAQuestion(): CifraError {
  return new CifraError("usage", "The running program does not know this question");
}

/**
 * Asks the program that has the profile in this folder. Undefined when no program answers there; throws what it
 * answers with, and like `Questions.ask`.
 */
async function ask<Answer extends object>(
  folder: string,
  question: Question,
  understand: (value: unknown) => Answer | undefined,
): Promise<Answer | undefined> {
  try {
    using program = await askAt(runningSocket(folder));
    const answer = await program.ask(
      JSON.stringify(question),
      (value): Answer | Failure | undefined => failureOf(value) ?? understand(value),
    );
    if (!("failed" in answer)) return answer;
    const { code, message, hint } = answer.failed;
    throw new CifraError(code, message, hint === undefined ? {} : { hint });
  } catch (error) {
    if (error instanceof CifraError && error.code === "unreachable") return undefined;
    throw error;
  }
}

function failureOf(value: unknown): Failure | undefined {
  const failed = isObject(value) ? value.failed : undefined;
  if (!isObject(failed)) return undefined;
  const { code, message, hint } = failed;
  if (!isErrorCode(code) || typeof message !== "string") return undefined;
  return { failed: { code, message, ...(typeof hint === "string" && { hint }) } };
}

function peopleOf(value: unknown): People | undefined {
  if (!Array.isArray(value)) return undefined;
  const isPerson = (each: unknown): each is People[number] =>
    Array.isArray(each) && typeof each[0] === "string" && isName(each[0]) &&
    (each[1] === "here" || each[1] === "away");
  return value.every(isPerson) ? value : undefined;
}

function everybodyOf(value: unknown): Everybody | undefined {
  if (!Array.isArray(value)) return undefined;
  const isKey = (each: unknown): each is Everybody[number] => {
    if (!isObject(each)) return false;
    const { name, state, suite, fingerprint } = each;
    return typeof name === "string" && isName(name) && typeof state === "string" &&
      typeof suite === "string" && typeof fingerprint === "string";
  };
  return value.every(isKey) ? value : undefined;
}

function comparisonOf(value: unknown): Comparison | undefined {
  if (!isObject(value)) return undefined;
  const { suite, words, isVerified } = value;
  const areWords = Array.isArray(words) && words.every((word) => typeof word === "string");
  if (typeof suite !== "string" || !isSuiteName(suite) || !areWords) return undefined;
  return typeof isVerified === "boolean" ? { suite, words, isVerified } : undefined;
}

/** Who is in the lobby, as the running program has it; undefined when none runs. */
export function askUsers(folder: string): Promise<People | undefined> {
  return ask(folder, { ask: "users" }, peopleOf);
}

/** Who is known at the server, as the running program hears it there; undefined when none runs. */
export function askEverybody(folder: string): Promise<Everybody | undefined> {
  return ask(folder, { ask: "everybody" }, everybodyOf);
}

/** The words to compare with somebody, as the running program has it; undefined when none runs. */
export function askComparison(
  folder: string,
  person: string,
  options: { readonly suite: string | undefined; readonly mark: boolean },
): Promise<Comparison | undefined> {
  return ask(folder, { ask: "compare", person, ...options }, comparisonOf);
}
