/** Paths as people give them: from where the command was given, from their home, or dropped into a terminal. */
import { isAbsolute, join, normalize } from "node:path";
import { cosmeticVariable } from "../store/variables.ts";
import { IS_TASK, TASK_MARK } from "./suspend.ts";

let here: string | undefined;

/**
 * The absolute path of one that was given, without `.` and `..`. Where the command was given is looked up once, while
 * that is allowed: the first call comes before permissions are given up. That may not be where the program runs, since
 * `deno task` runs in the project's folder.
 */
export function absolutePath(path: string): string {
  const home = /^~(?:\/|$)/.test(path) ? cosmeticVariable("HOME") : undefined;
  const given = home === undefined ? path : home + path.slice(1);
  if (isAbsolute(given)) return cleaned(given);
  here ??= (IS_TASK ? cosmeticVariable(TASK_MARK) : undefined) ?? Deno.cwd();
  return cleaned(join(here, given));
}

/** A folder that files are read from and written to. It is where paths begin from then on, so `absolutePath` looks that up. */
export function readFolder(path: string): string {
  absolutePath(".");
  return absolutePath(path);
}

/** Whether an absolute path is that of a folder, or of what is in it. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`);
}

function cleaned(path: string): string {
  const whole = normalize(path);
  return whole.length > 1 ? whole.replace(/(?<!^[A-Za-z]:)[\\/]+$/, "") : whole;
}

/**
 * The paths in what was typed, or dropped into a terminal, which writes them as a shell reads them: in quotes, or with
 * blanks escaped. What is written without either is one path, blanks and all; what only looks so, as `bob's`, too.
 */
export function typedPaths(text: string): readonly string[] {
  const plain = [text.trim()];
  if (!/['"\\]/.test(text) || Deno.build.os === "windows" && !/['"]/.test(text)) return plain;
  const words: string[] = [];
  let word: string | undefined, quote: string | undefined;
  for (let i = 0; i < text.length; i++) {
    const letter = text[i]!;
    if (letter === quote) quote = undefined;
    else if (letter === "\\" && quote !== "'" && i + 1 < text.length) {
      word = (word ?? "") + text[++i];
    } else if (quote === undefined && (letter === "'" || letter === '"')) {
      quote = letter;
      word ??= "";
    } else if (quote === undefined && /\s/.test(letter)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + letter;
  }
  if (quote !== undefined) return plain;
  return word === undefined ? words : [...words, word];
}
