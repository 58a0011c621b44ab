/** The operator's console: on the server's own terminal, and over its local socket from another one. */
import { CifraError } from "../errors.ts";
import { aborted } from "../flow/delay.ts";
import type { LocalConnection } from "../net/local_socket.ts";
import { CONSOLE_COMMANDS, type ConsoleOptions, runCommand } from "../server/console.ts";
import { PrivateFolder } from "../store/private_files.ts";
import { SERVER_FOLDER, stateFolder } from "../store/state_folder.ts";
import { columnsOf } from "./columns.ts";
import { answerLines, askAt, isObject, readLines } from "./local_lines.ts";
import { resultLines } from "./page.ts";
import { openPrompt } from "./prompt.ts";
import { runFramed } from "./run.ts";
import type { Terminal } from "./terminal.ts";

/** The command that ends the server. */
const QUIT = "quit";
/** A command is a short line. */
const LONGEST_COMMAND = 1024;
const CONSOLE = {
  prompt: "server> ",
  completions: [...CONSOLE_COMMANDS.keys()],
  limit: LONGEST_COMMAND,
};

/** Where the server of this state folder keeps its things. */
export async function serverFolder(state: string | undefined): Promise<PrivateFolder> {
  return await (await PrivateFolder.open(stateFolder(state))).folder(SERVER_FOLDER);
}

/** Where the socket of a server is: in its folder, which lets nobody else in but root. */
export function socketPath(state: string | undefined): string {
  return `${stateFolder(state)}/${SERVER_FOLDER}/console.sock`;
}

/** A console on the terminal of the server itself; returns what ends it. */
export async function openConsole(
  terminal: Terminal,
  options: ConsoleOptions,
): Promise<() => void> {
  const editor = await openPrompt(terminal, CONSOLE, {
    onMessage: (text) => {
      for (const line of text.split("\n")) {
        if (line.trim() !== "") terminal.print(laidOut(answer(line, options).text));
      }
    },
    onEnd: options.quit,
    onInterrupt: options.quit,
  });
  return editor.close;
}

/** Answers an operator on the local socket: a line for each command, a JSON line for each answer. */
export async function answerOperator(
  connection: LocalConnection,
  options: ConsoleOptions,
): Promise<void> {
  await answerLines(connection, (line) => answer(line, options));
}

/** `cifra serve console` and `cifra serve invite`; returns the exit code. */
export async function operate(
  action: "console" | "invite",
  words: readonly string[],
  state: string | undefined,
  terminal: Terminal,
): Promise<number> {
  // The folder is not opened: it may be another user's, when root asks.
  using server = await askAt(socketPath(state));
  const ask: Ask = (line) => server.ask(line, understand);
  if (action === "invite") return show(terminal, await ask(["invite", ...words].join(" ")));
  if (!terminal.interactive) return await obeyLines(terminal, ask, server.ended);
  return await runFramed(terminal, async ({ interrupted }) => {
    const ending = aborted(interrupted).then(() => "interrupted" as const);
    return await converse(terminal, ask, server.ended, ending);
  }, { takesKeys: true });
}

/** Why a console ends by itself. Not when it was told `quit`, of which the answer tells. */
function serverEnded(): CifraError {
  return new CifraError("cut", "The server has ended", {
    hint: "start it again with cifra serve, and then this console",
  });
}

/** Gives the server a command. */
type Ask = (line: string) => Promise<Answer>;

/** What a command leads to. */
interface Answer {
  readonly ok: boolean;
  readonly text: string;
}

function understand(value: unknown): Answer | undefined {
  if (!isObject(value)) return undefined;
  const { ok, text } = value;
  return typeof ok === "boolean" && typeof text === "string" ? { ok, text } : undefined;
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
  else if (ok) terminal.print(laidOut(text));
  else terminal.say(text);
  return ok ? 0 : 1;
}

/** An answer as whoever looks can read it; an invite line in it stays whole. */
function laidOut(text: string): string {
  return resultLines(text, columnsOf());
}

async function converse(
  terminal: Terminal,
  ask: Ask,
  ended: Promise<void>,
  ending: Promise<"interrupted">,
): Promise<number | "interrupted"> {
  const over = Promise.withResolvers<number>();
  let last = "";
  ended.then(() => last === QUIT ? over.resolve(0) : over.reject(serverEnded()));
  const editor = await openPrompt(terminal, CONSOLE, {
    onMessage: (text) => {
      if (text.trim() === "") return;
      last = text.trim();
      ask(text.replaceAll("\n", " "))
        .then((reply) => terminal.print(laidOut(reply.text)))
        .catch(over.reject);
    },
    onEnd: () => over.resolve(0),
    onInterrupt: () => over.resolve(130),
  });
  try {
    return await Promise.race([over.promise, ending]);
  } finally {
    editor.close();
  }
}

/** Commands from a pipe: the exit code is 1 if one of them failed. */
async function obeyLines(
  terminal: Terminal,
  ask: Ask,
  ended: Promise<void>,
): Promise<number> {
  const lines = readLines(Deno.stdin, LONGEST_COMMAND);
  let code = 0, last = "";
  const quit = ended.then(() => {
    if (last !== QUIT) throw serverEnded();
    return undefined;
  });
  // What is thrown while a question waits for its answer is that question's to tell.
  quit.catch(() => {});
  for (;;) {
    const line = await Promise.race([lines.next().then(({ value }) => value), quit]);
    if (line === undefined) return code;
    if (line.trim() === "") continue;
    last = line.trim();
    code = Math.max(code, show(terminal, await ask(line)));
    // Whoever cannot read the answers gives no more commands.
    await terminal.flushed();
    if (terminal.failure) return 1;
  }
}
