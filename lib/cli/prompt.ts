/** A prompt on a terminal: where a person types while others talk. */
import { CifraError } from "../errors.ts";
import { aborted } from "../flow/delay.ts";
import { keyboard } from "./keyboard.ts";
import type { PromptEvents, PromptOptions } from "./line_editor.ts";
import type { Shown } from "./page.ts";
import type { Terminal } from "./terminal.ts";

/** An open prompt. */
export interface Prompt {
  /** From now on this stands before the line; also before the one being typed. */
  readonly setPrompt: (prompt: string) => void;
  /** Hands over what was entered, where that waits whether more comes of a paste. */
  readonly enter: () => void;
  /** Gives the terminal back as it was. */
  readonly close: () => void;
}

/**
 * Opens a prompt, once the terminal shows what was said before; what it says meanwhile is printed around the line.
 * Throws `interrupted` when a signal ends the program before.
 */
export async function openPrompt(
  terminal: Terminal,
  options: PromptOptions,
  events: PromptEvents,
): Promise<Prompt> {
  terminal.forgetTyped = () => keyboard.forget();
  const Editor = await editorFor(terminal, options);
  const { interrupted } = terminal;
  await Promise.race([keyboard.settled(), ...interrupted ? [aborted(interrupted)] : []]);
  if (interrupted?.aborted) throw new CifraError("interrupted", "Interrupted");
  const before = terminal.printAround;
  const editor: Editor = new Editor(options, terminal, events);
  terminal.printAround = (text) => editor.printAround(text);
  const close = () => {
    if (!terminal.prompts.delete(close)) return;
    terminal.printAround = before;
    editor.close();
  };
  terminal.prompts.add(close);
  return {
    setPrompt: (prompt) => editor.setPrompt(prompt),
    enter: () => editor.enter(),
    close,
  };
}

/** A prompt that knows what is said meanwhile. */
interface Editor extends Prompt {
  readonly printAround: (text: Shown) => void;
}

type EditorClass = new (
  options: PromptOptions,
  terminal: Terminal,
  events: PromptEvents,
) => Editor;

/** Whoever never asks need not hold the code. */
async function editorFor(
  { plain }: Terminal,
  { isSecret }: PromptOptions,
): Promise<EditorClass> {
  if (!plain) return (await import("./line_editor.ts")).LineEditor;
  return isSecret
    ? (await import("./hidden_prompt.ts")).HiddenPrompt
    : (await import("./plain_prompt.ts")).PlainPrompt;
}
