/** The operator's console: on the server's own terminal, and over its local socket from another one. */
import { encodeUtf8, writeAll } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import { dialLocally, type LocalConnection } from "../net/local_socket.ts";
import { COMMANDS, type ConsoleOptions, runCommand } from "../server/console.ts";
import { PrivateFolder } from "../store/private_files.ts";
import { stateFolder } from "../store/state_folder.ts";
import { sanitize } from "./sanitize.ts";
import type { Terminal } from "./terminal.ts";

const PROMPT = "server> ";
/** A command is a short line; so is an answer, but for lists. */
const LONGEST_COMMAND = 1024;
const LONGEST_ANSWER = 1024 * 1024;

/** Where the server of this state folder keeps its things. */
export async function serverFolder(state: string | undefined): Promise<PrivateFolder> {
  return await (await PrivateFolder.open(stateFolder(state))).folder("server");
}

/** Where the socket of a server is: in its folder, which lets nobody else in but root. */
export function socketPath(state: string | undefined): string {
  return `${stateFolder(state)}/server/console.sock`;
}

/** A console on the terminal of the server itself; returns what ends it. */
export async function openConsole(
  terminal: Terminal,
  options: ConsoleOptions,
): Promise<() => void> {
  const { LineEditor } = await import("./line_editor.ts");
  const editor = new LineEditor(PROMPT, [...COMMANDS.keys()], {
    onMessage: (text) => {
      for (const line of text.split("\n")) {
        if (line.trim() !== "") editor.printAround(answer(line, options).text);
      }
    },
    onEnd: options.quit,
    onInterrupt: options.quit,
  });
  terminal.printAround = (text) => editor.printAround(text);
  return () => {
    terminal.printAround = undefined;
    editor.close();
  };
}

/** Answers an operator on the local socket: a line for each command, a JSON line for each answer. */
export async function answerOperator(
  connection: LocalConnection,
  options: ConsoleOptions,
): Promise<void> {
  try {
    for await (const line of readLines(connection, LONGEST_COMMAND)) {
      await writeAll(connection, encodeUtf8(JSON.stringify(answer(line, options)) + "\n"));
    }
  } finally {
    connection.close();
  }
}

/** `cifra serve console` and `cifra serve invite`; returns the exit code. */
export async function operate(
  action: "console" | "invite",
  words: readonly string[],
  state: string | undefined,
  terminal: Terminal,
): Promise<number> {
  // The folder is not opened: it may be another user's, when root asks.
  const connection = await dialLocally(socketPath(state));
  const answers = readLines(connection, LONGEST_ANSWER);
  const ask = async (line: string): Promise<Answer> => {
    await writeAll(connection, encodeUtf8(`${line}\n`));
    const { value } = await answers.next();
    if (value === undefined) throw new CifraError("cut", "The server has ended");
    return JSON.parse(value);
  };
  try {
    if (action === "invite") return show(terminal, await ask(["invite", ...words].join(" ")));
    return terminal.interactive ? await converse(terminal, ask) : await obeyLines(terminal, ask);
  } finally {
    connection.close();
  }
}

/** What a command leads to. */
interface Answer {
  readonly ok: boolean;
  readonly text: string;
}

function answer(line: string, options: ConsoleOptions): Answer {
  try {
    return { ok: true, text: runCommand(line, options) };
  } catch (error) {
    if (!(error instanceof CifraError)) throw error;
    const hint = error.hint === undefined ? "" : ` (${error.hint})`;
    return { ok: false, text: `${error.message}${hint}` };
  }
}

function show(terminal: Terminal, { ok, text }: Answer): number {
  if (terminal.json) terminal.emit({ event: ok ? "answer" : "error", text });
  else if (ok) terminal.print(sanitize(text));
  else terminal.say(text);
  return ok ? 0 : 1;
}

async function converse(
  terminal: Terminal,
  ask: (line: string) => Promise<Answer>,
): Promise<number> {
  const { LineEditor } = await import("./line_editor.ts");
  const over = Promise.withResolvers<number>();
  const editor = new LineEditor(PROMPT, [...COMMANDS.keys()], {
    onMessage: (text) => {
      if (text.trim() === "") return;
      ask(text.replaceAll("\n", " "))
        .then((reply) => editor.printAround(sanitize(reply.text)))
        .catch(over.reject);
    },
    onEnd: () => over.resolve(0),
    onInterrupt: () => over.resolve(130),
  });
  terminal.printAround = (text) => editor.printAround(text);
  try {
    return await over.promise;
  } finally {
    terminal.printAround = undefined;
    editor.close();
  }
}

/** Commands from a pipe: the exit code is 1 if one of them failed. */
async function obeyLines(
  terminal: Terminal,
  ask: (line: string) => Promise<Answer>,
): Promise<number> {
  let code = 0;
  for await (const line of readLines(Deno.stdin, LONGEST_COMMAND)) {
    if (line.trim() !== "") code = Math.max(code, show(terminal, await ask(line)));
  }
  return code;
}

/** Lines of UTF-8, without their ends; ends at one that is longer than `limit`. */
async function* readLines(
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
