/** The terminal at which a person types. */
import { encodeUtf8, writeAllSync } from "../bytes.ts";
import { isGone } from "./terminal.ts";

/** Writes to it: stdout, or stderr where that one is a pipe. */
export function writeToScreen(text: string): void {
  if (text === "") return;
  const out = Deno.stdout.isTerminal() ? Deno.stdout : Deno.stderr;
  try {
    writeAllSync(out, encodeUtf8(text));
  } catch (error) {
    // Whoever typed here has gone, with the terminal.
    if (!isGone(error)) throw error;
  }
}
