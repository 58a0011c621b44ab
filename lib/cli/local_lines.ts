/** Questions and answers between two programs of one user: lines of text over a local socket. */
import { encodeUtf8, writeAll } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { dialLocally, type LocalConnection } from "../net/local_socket.ts";

/** A question is a short line; so is an answer, but for lists. In UTF-16 units. */
const LONGEST_QUESTION = 1024;
const LONGEST_ANSWER = 1024 * 1024;

/** Answers each line with one line of JSON, until the other program hangs up. */
export async function answerLines(
  connection: LocalConnection,
  answer: (question: string) => unknown | Promise<unknown>,
): Promise<void> {
  try {
    for await (const line of readLines(connection, LONGEST_QUESTION)) {
      await writeLine(connection, JSON.stringify(await answer(line)));
    }
  } finally {
    connection.close();
  }
}

/** The other end. */
export interface Questions extends Disposable {
  /** Asks one question, of one line; throws `cut` when the other program has ended. */
  ask<Answer>(question: string): Promise<Answer>;
}

/** Connects to whoever answers at `path`; throws `unreachable`, `local`. */
export async function askAt(path: string): Promise<Questions> {
  const connection = await dialLocally(path);
  const answers = readLines(connection, LONGEST_ANSWER);
  return {
    ask: async (question) => {
      await writeLine(connection, question);
      const { value } = await answers.next();
      if (value === undefined) throw new CifraError("cut", "The program that was asked has ended");
      return JSON.parse(value);
    },
    [Symbol.dispose]: () => connection.close(),
  };
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
  if (rest !== "") yield rest;
  return undefined;
}

async function writeLine(connection: LocalConnection, text: string): Promise<void> {
  await writeAll(connection, encodeUtf8(`${text}\n`));
}
