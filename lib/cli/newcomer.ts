/** Whoever calls `cifra connect` and nothing else, on a terminal, is asked for what is missing. */
import { CifraError } from "../errors.ts";
import { readName, readPeerName } from "./option_readers.ts";
import { askLine } from "./questions.ts";
import { listenForSignals } from "./signals.ts";
import { small } from "./small_names.ts";
import type { Terminal } from "./terminal.ts";

/** How often somebody may answer with what is no name. */
const TRIES = 3;

/**
 * Asks for the own name and, if `asksWhom`, for that of the other person; returns the options. Throws `bad_name`, and
 * `interrupted`, also when a signal comes, which `terminal.interrupted` then names.
 */
export async function askNames(
  terminal: Terminal,
  asksWhom: boolean,
): Promise<readonly string[]> {
  // The command, which listens as well, has not begun: a signal must not leave the terminal as it is for a question.
  const signals = listenForSignals();
  terminal.interrupted = signals.interrupted;
  try {
    return await askBoth(terminal, asksWhom);
  } finally {
    signals.stop();
  }
}

async function askBoth(terminal: Terminal, asksWhom: boolean): Promise<readonly string[]> {
  const name = await askName("your name:", readName, terminal);
  if (!asksWhom) return [`--name=${name}`];
  const read = (text: string) => text === "" ? text : readPeerName(text);
  const to = await askName("talk to (only Enter: the lobby):", read, terminal);
  return [`--name=${name}`, ...(to === "" ? [] : [`--to=${to}`])];
}

async function askName(
  question: string,
  read: (text: string) => string,
  terminal: Terminal,
): Promise<string> {
  for (let tries = 1;; tries++) {
    const answer = await askLine(terminal, question);
    if (answer === undefined) throw new CifraError("interrupted", "Interrupted");
    const name = small(answer.trim(), terminal);
    try {
      return read(name);
    } catch (error) {
      if (!(error instanceof CifraError) || tries === TRIES) throw error;
      terminal.say(`${error.message}; ${error.hint}`);
    }
  }
}
