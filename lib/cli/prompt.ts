/** A prompt on a terminal: where a person types while others talk. */
import type { LineEditor, PromptEvents, PromptOptions } from "./line_editor.ts";
import type { Terminal } from "./terminal.ts";

/** An open prompt. */
export interface Prompt {
  /** From now on this stands before the line; also before the one being typed. */
  readonly setPrompt: (prompt: string) => void;
  /** Gives the terminal back as it was. */
  readonly close: () => void;
}

/** Opens a prompt; what the terminal says meanwhile is printed around the line. */
export async function openPrompt(
  terminal: Terminal,
  options: PromptOptions,
  events: PromptEvents,
): Promise<Prompt> {
  // Whoever never asks need not hold the code.
  const { LineEditor } = await import("./line_editor.ts");
  const before = terminal.printAround;
  const editor: LineEditor = new LineEditor(options, terminal, events);
  terminal.printAround = (text) => editor.printAround(text);
  const close = () => {
    if (!terminal.prompts.delete(close)) return;
    terminal.printAround = before;
    editor.close();
  };
  terminal.prompts.add(close);
  return { setPrompt: (prompt) => editor.setPrompt(prompt), close };
}
