/** What is said while a command waits for its server. */
import type { CifraError } from "../errors.ts";
import { describeTrouble, troubleJson } from "./status_words.ts";
import type { Terminal } from "./terminal.ts";

/** Tells of trouble with a server that was not reached yet: for people each reason once, for programs each time. */
export function sayWaiting(terminal: Terminal): (error: CifraError, retryIn: number) => void {
  let said = "";
  return (error, retryIn) => {
    const text = `${describeTrouble(error, false)}; trying again`;
    if (terminal.json || text !== said) terminal.say(text, troubleJson(error, retryIn));
    said = text;
  };
}
