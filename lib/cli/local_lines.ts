/** Questions and answers between two programs of one user: lines of text over a local socket. */
import { encodeUtf8, writeAll } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import type { Time } from "../flow/time.ts";
import { HANDSHAKE_DEADLINE } from "../limits.ts";
import { systemEnvironment } from "../net/environment.ts";
import { dialLocally, type LocalConnection } from "../net/local_socket.ts";

/** A question is a short line; an answer may be a list. In UTF-16 units. */
const LONGEST_QUESTION = 1024;
const LONGEST_ANSWER = 1024 * 1024;
/** Milliseconds for an answer: longer than a program waits that has to ask its server first. */
const PATIENCE = HANDSHAKE_DEADLINE + 5000;

/**
 * Answers each line with one line of JSON, until the other program hangs up, with its answer or without it.
 * Throws what `answer` throws. `longest`: UTF-16 units of a question.
 */
export async function answerLines(
  connection: LocalConnection,
  answer: (question: string) => unknown | Promise<unknown>,
  longest = LONGEST_QUESTION,
): Promise<void> {
  const questions = readLines(connection, longest);
  // A program that ends may break the socket.
  const next = () => questions.next().then(({ value }) => value, () => undefined);
  try {
    for (let question = await next(); question !== undefined; question = await next()) {
      const text = JSON.stringify(await answer(question));
      const isWritten = await writeLine(connection, text).then(() => true, () => false);
      if (!isWritten) return;
    }
  } finally {
    connection.close();
  }
}

/** The other end. */
export interface Questions extends Disposable {
  /**
   * Asks one question, of one line; `understand` makes of a value of JSON the answer that it is, or nothing. Throws `cut`
   * when the other program has ended, `timeout` when it does not answer within 15 s, as one that is stopped,
   * `bad_frame` on what is no answer: it may be another program, or another version.
   */
  ask<Answer>(
    question: string,
    understand: (value: unknown) => Answer | undefined,
  ): Promise<Answer>;
  /** Resolves when the other program has ended, also when nothing is asked. */
  readonly ended: Promise<void>;
}

/** Connects to whoever answers at `path`; throws `unreachable`, `local`. */
export async function askAt(
  path: string,
  time: Pick<Time, "after"> = systemEnvironment.time,
): Promise<Questions> {
  const connection = await dialLocally(path);
  const answers = readLines(connection, LONGEST_ANSWER);
  const ended = Promise.withResolvers<void>();
  // A program that ends may break the socket.
  const read = async (): Promise<string | undefined> => {
    const line = await answers.next().then(({ value }) => value, () => undefined);
    if (line === undefined) ended.resolve();
    return line;
  };
  // Read before it is asked for, since the end comes without a question.
  let next = read();
  return {
    ended: ended.promise,
    ask: async (question, understand) => {
      let late: CifraError | undefined;
      const cancel = time.after(PATIENCE, () => {
        late = new CifraError("timeout", "The program that was asked does not answer", {
          hint: "it may be stopped: bring it back with fg, or end it",
        });
        connection.close();
      });
      const ours = next;
      next = ours.then(read);
      const answer = await writeLine(connection, question).then(() => ours, () => undefined);
      cancel();
      if (answer !== undefined) return understood(answer, understand);
      throw late ?? new CifraError("cut", "The program that was asked has ended");
    },
    [Symbol.dispose]: () => connection.close(),
  };
}

function understood<Answer>(
  line: string,
  understand: (value: unknown) => Answer | undefined,
): Answer {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    // Told below.
  }
  const answer = understand(value);
  if (answer !== undefined) return answer;
  throw new CifraError("bad_frame", "Cannot read the answer of the program that was asked");
}

/** Whether a value of JSON is an object, of which any key may be looked at. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

/** Lines of UTF-8, without their ends; ends at one that is longer than `limit`. */
export async function* readLines(
  source: { read(buffer: Uint8Array): Promise<number | null> },
  limit: number,
): AsyncGenerator<string, undefined> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(16 * 1024);
  let rest = "";
  for (;;) {
    const count = await source.read(buffer);
    if (count === null) break;
    const lines = (rest + decoder.decode(buffer.subarray(0, count), { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
    if (rest.length > limit) return undefined;
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
  return undefined;
}

async function writeLine(connection: LocalConnection, text: string): Promise<void> {
  await writeAll(connection, encodeUtf8(`${text}\n`));
}
