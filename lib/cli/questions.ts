/** Questions to the person at the terminal. */
import { CifraError } from "../errors.ts";
import { aborted } from "../flow/delay.ts";
import type { PromptOptions } from "./line_editor.ts";
import { openPrompt } from "./prompt.ts";
import type { Terminal } from "./terminal.ts";

/** An answer is a short line; an invite line is the longest of them. */
const LONGEST_ANSWER = 1024;

/**
 * Asks for one line; undefined when there is none, at the end of input. Throws `interrupted` at Ctrl-C, and when a
 * signal ends the program.
 */
export async function ask(
  terminal: Terminal,
  question: Omit<PromptOptions, "isQuestion" | "completions">,
): Promise<string | undefined> {
  const answer = Promise.withResolvers<string | undefined>();
  const interrupt = () => answer.reject(new CifraError("interrupted", "Interrupted"));
  const prompt = await openPrompt(terminal, { ...question, isQuestion: true }, {
    onMessage: answer.resolve,
    onEnd: () => answer.resolve(undefined),
    onInterrupt: interrupt,
  });
  if (terminal.interrupted) aborted(terminal.interrupted).then(interrupt);
  try {
    return await answer.promise;
  } finally {
    prompt.close();
  }
}

/** Asks for one line of text. Throws like `ask`. */
export async function askLine(terminal: Terminal, question: string): Promise<string | undefined> {
  return await ask(terminal, { prompt: `${question} `, limit: LONGEST_ANSWER });
}

/** Asks whether something is so; whatever is not yes is no. Throws like `ask`. */
export async function askYesNo(terminal: Terminal, question: string): Promise<boolean> {
  const answer = await askLine(terminal, `${question} [y/N]`);
  return /^y(?:es)?$/i.test(answer?.trim() ?? "");
}
