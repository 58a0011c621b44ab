/** Questions to the person at the terminal. */
import { CifraError } from "../errors.ts";
import { aborted } from "../flow/delay.ts";
import { keyboard } from "./keyboard.ts";
import type { PromptOptions } from "./line_editor.ts";
import { openPrompt } from "./prompt.ts";
import type { Terminal } from "./terminal.ts";

/** An answer is a short line. */
const LONGEST_ANSWER = 1024;
/** What is looked for may stand in a whole mail. */
const LONGEST_PASTE = 32 * 1024;

/**
 * Asks for one line; undefined when there is none, at the end of input. Throws `interrupted` at Ctrl-C, and when a
 * signal ends the program.
 */
export async function ask(
  terminal: Terminal,
  question: Omit<PromptOptions, "isQuestion" | "completions">,
): Promise<string | undefined> {
  // What the terminal edits and has not handed over would be a part of the answer.
  if (question.isFresh && terminal.plain) await keyboard.forget({ isFresh: true });
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

/** Asks for a text in which something is looked for, such as a mail that was pasted. Throws like `ask`. */
export async function askText(terminal: Terminal, question: string): Promise<string | undefined> {
  return await ask(terminal, { prompt: `${question} `, limit: LONGEST_PASTE, takesLines: true });
}

/** Asks for one line of text. Throws like `ask`. */
export async function askLine(terminal: Terminal, question: string): Promise<string | undefined> {
  return await ask(terminal, { prompt: `${question} `, limit: LONGEST_ANSWER });
}

/**
 * Asks whether something is so; nothing, and the end of input, is no. Somebody who answers something else is asked
 * again, and what was typed before the question is no answer. Throws like `ask`.
 */
export async function askYesNo(terminal: Terminal, question: string): Promise<boolean> {
  const asked = { prompt: `${question} [y/N] `, limit: LONGEST_ANSWER, isFresh: true };
  for (;;) {
    const answer = (await ask(terminal, asked))?.trim().toLowerCase() ?? "";
    if (["y", "yes"].includes(answer)) return true;
    if (["", "n", "no"].includes(answer)) return false;
  }
}
