/**
 * One program at a time has a profile. It answers the questions of other commands over a socket in the profile's
 * folder, so that these need not wait for it to end.
 */
import { comparePeer, type Comparison } from "../client/comparison.ts";
import type { KnownKey } from "../client/known_people.ts";
import type { Attendance } from "../client/lobby.ts";
import type { Profile } from "../client/profile.ts";
import { formatFingerprint } from "../crypto/identity.ts";
import type { ProfileKey } from "../crypto/profile_key.ts";
import { isSuiteName } from "../crypto/suite.ts";
import { CifraError, type ErrorReport, isErrorCode, reportOf } from "../errors.ts";
import { listenLocally } from "../net/local_socket.ts";
import { compareNames, isName } from "../wire/names.ts";
import type { HistoryEntry, HistoryFilter } from "../store/message_store.ts";
import { finds, type Progress } from "../store/message_rules.ts";
import { TRANSFER_STATES } from "../store/transfer_store.ts";
import type { TransferFacts } from "./file_words.ts";
import { answerLines, askAt, isObject, type Questions } from "./local_lines.ts";
import { pageOf, proofOf, readPage, requireProof } from "./told_history.ts";

/** Of no matter to a filter that does not ask what was seen. */
const NOT_SEEN: Progress = { last: 0n, stored: 0n, read: 0n };

/** A question may have paths in it. In UTF-16 units. */
const LONGEST_QUESTION = 64 * 1024;

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
  /** Which files were offered, and how they stand. */
  | { readonly ask: "transfers" }
  /** Offers what is at these absolute paths. */
  | { readonly ask: "offer"; readonly to: string; readonly paths: readonly string[] }
  /** Ends a transfer whose id begins so. */
  | { readonly ask: "cancel"; readonly transfer: string }
  /** The words to compare with a person; `mark`: they are the same. */
  | {
    readonly ask: "compare";
    readonly person: string;
    readonly suite?: string | undefined;
    readonly mark: boolean;
  }
  /** What was said, with this person and the newest lines alone; `proof` of a profile that is sealed. */
  | {
    readonly ask: "history";
    readonly with?: string | undefined;
    readonly last?: number | undefined;
    readonly proof?: string | undefined;
  }
  /** What follows in the history that was asked for on this connection. */
  | { readonly ask: "more" };

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

/** What was offered by the running program, and what of it is left out, a line each. */
export interface Offered {
  readonly offered: TransferFacts;
  readonly leftOut: readonly string[];
  /** Links inside of folders, as lines. */
  readonly links: readonly string[];
}

/** What a running program answers of its server, and of files. */
export interface Answering {
  readonly people: () => Promise<People>;
  readonly everybody: () => Promise<Everybody>;
  readonly history: (filter: HistoryFilter) => Iterable<HistoryEntry>;
  readonly transfers: () => readonly TransferFacts[];
  /** Throws `locked` when it may not read them, and like `Transfers.offer`. */
  readonly offerFiles: (to: string, paths: readonly string[]) => Promise<Offered>;
  /** Throws `usage` when none is meant, `local`. */
  readonly cancelTransfer: (id: string) => Promise<TransferFacts>;
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
  let isOver = false;
  const answerer = () => {
    const asker = new Asker(profile, program);
    return async (line: string): Promise<unknown> => {
      try {
        // The profile may be closed.
        if (isOver) throw new CifraError("cut", "The program that was asked has ended");
        return await asker.reply(readQuestion(line));
      } catch (error) {
        if (!(error instanceof CifraError)) throw error;
        return { failed: reportOf(error) } satisfies Failure;
      }
    };
  };
  try {
    const stop = listenLocally(
      runningSocket(profile.path),
      (connection) => void answerLines(connection, answerer(), LONGEST_QUESTION),
    );
    return () => {
      isOver = true;
      stop();
    };
  } catch (error) {
    if (!(error instanceof CifraError)) throw error;
    onSilence(error);
    return () => {};
  }
}

/** Somebody who asks, on one connection. */
class Asker {
  readonly #profile: Profile;
  readonly #program: Answering;
  /** What was not told yet of the history. */
  #history: Iterator<HistoryEntry> | undefined;

  constructor(profile: Profile, program: Answering) {
    this.#profile = profile;
    this.#program = program;
  }

  async reply(question: Question): Promise<unknown> {
    const { peers, keys } = this.#profile;
    switch (question.ask) {
      case "users":
        return await this.#program.people();
      case "everybody":
        return await this.#program.everybody();
      case "transfers":
        return this.#program.transfers();
      case "offer": {
        const { to, paths } = question;
        if (!isName(to) || !areTexts(paths)) throw notAQuestion();
        return await this.#program.offerFiles(to, paths);
      }
      case "cancel":
        return await this.#program.cancelTransfer(String(question.transfer));
      case "compare": {
        const { person, suite, mark } = question;
        const chosen = suite !== undefined && isSuiteName(suite) ? suite : undefined;
        return await comparePeer(peers, keys, person, { suite: chosen, mark });
      }
      case "history": {
        const { with: peer, last, proof } = question;
        if (!isText(peer) || !isCount(last)) throw notAQuestion();
        const key = await keys.findMessagesKey();
        requireProof(key, proof);
        key?.drop();
        this.#history = this.#program.history({ peer, last })[Symbol.iterator]();
        return pageOf(this.#history);
      }
      case "more":
        if (!this.#history) throw notAQuestion();
        return pageOf(this.#history);
      default:
        throw notAQuestion();
    }
  }
}

function isText(value: unknown): value is string | undefined {
  return value === undefined || typeof value === "string";
}

function isCount(value: unknown): value is number | undefined {
  return value === undefined || Number.isSafeInteger(value) && Number(value) > 0;
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
  using program = await reach(folder);
  return program && await askOn(program, question, understand);
}

/** The program that has the profile in this folder; undefined when no program answers there. */
async function reach(folder: string): Promise<Questions | undefined> {
  try {
    return await askAt(runningSocket(folder));
  } catch (error) {
    if (error instanceof CifraError && error.code === "unreachable") return undefined;
    throw error;
  }
}

/** Throws what the program answers with, and like `Questions.ask`. */
async function askOn<Answer extends object>(
  program: Questions,
  question: Question,
  understand: (value: unknown) => Answer | undefined,
): Promise<Answer> {
  const answer = await program.ask(
    JSON.stringify(question),
    (value): Answer | Failure | undefined => failureOf(value) ?? understand(value),
  );
  if (!("failed" in answer)) return answer;
  const { code, message, hint } = answer.failed;
  throw new CifraError(code, message, hint === undefined ? {} : { hint });
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

function factsOf(value: unknown): TransferFacts | undefined {
  if (!isObject(value)) return undefined;
  const { transfer, peer, direction, name, state, files, bytes, done, why } = value;
  const areTexts = [transfer, peer, name].every((text) => typeof text === "string");
  const isKnown = TRANSFER_STATES.some((known) => known === state) &&
    (direction === "sent" || direction === "received");
  const areNumbers = [files, bytes ?? 0, done ?? 0].every((number) => typeof number === "number");
  const isReason = why === undefined || typeof why === "string";
  // Of another version of cifra more may be said of it, which is passed on.
  return areTexts && isKnown && areNumbers && isReason
    ? value as unknown as TransferFacts
    : undefined;
}

function areTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

function offeredOf(value: unknown): Offered | undefined {
  if (!isObject(value)) return undefined;
  const offered = factsOf(value.offered);
  const { leftOut, links = [] } = value;
  return offered && areTexts(leftOut) && areTexts(links) ? { offered, leftOut, links } : undefined;
}

function transfersOf(value: unknown): readonly TransferFacts[] | undefined {
  const all = Array.isArray(value) ? value.map(factsOf) : [undefined];
  return all.every((facts) => facts !== undefined) ? all : undefined;
}

/** What the running program has of files; undefined when none runs. */
export function askTransfers(folder: string): Promise<readonly TransferFacts[] | undefined> {
  return ask(folder, { ask: "transfers" }, transfersOf);
}

/**
 * The running program offers what is at these paths; undefined when none runs. Throws what it answers with, and `usage`
 * when there are too many to be told.
 */
export function askOffer(
  folder: string,
  to: string,
  paths: readonly string[],
): Promise<Offered | undefined> {
  const question = { ask: "offer", to, paths } as const;
  if (JSON.stringify(question).length > LONGEST_QUESTION) {
    throw new CifraError("usage", "These are too many names for the program that runs", {
      hint: "send the folder that they are in, or end that program first",
    });
  }
  return ask(folder, question, offeredOf);
}

/** The running program ends a transfer; undefined when none runs. Throws what it answers with. */
export function askCancel(folder: string, transfer: string): Promise<TransferFacts | undefined> {
  return ask(folder, { ask: "cancel", transfer }, factsOf);
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

/** The history of a profile, from the program that has it open. */
export interface ToldHistory {
  /** Oldest first, as `readHistory` has it; `key` where the messages are sealed. Throws like `Questions.ask`. */
  tell(filter: HistoryFilter, key: ProfileKey | undefined): AsyncIterable<HistoryEntry>;
}

/** Whoever tells the history of the profile in this folder; undefined when no program runs there. */
export async function reachHistory(folder: string): Promise<ToldHistory | undefined> {
  const program = await reach(folder);
  return program && { tell: (filter, key) => toldHistory(program, filter, key) };
}

async function* toldHistory(
  program: Questions,
  filter: HistoryFilter,
  key: ProfileKey | undefined,
): AsyncIterable<HistoryEntry> {
  using _ = program;
  const { peer, search, since, last } = filter;
  // Words are looked for here: whoever talks does not stop talking for it.
  const isSought = search !== undefined || since !== undefined;
  const isFound = finds(filter);
  const newest: HistoryEntry[] = [];
  const proof = key && proofOf(key);
  let question: Question = { ask: "history", with: peer, last: isSought ? undefined : last, proof };
  for (;;) {
    const { entries, isLast } = await askOn(program, question, readPage);
    for (const entry of entries) {
      if (!isFound(entry, NOT_SEEN)) continue;
      if (!isSought || last === undefined) yield entry;
      else if (newest.push(entry) > last) newest.shift();
    }
    if (isLast) break;
    question = { ask: "more" };
  }
  yield* newest;
}
