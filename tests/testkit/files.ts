/** Files to send, and what has come of them. */
import type { CastOptions } from "./program.ts";
import { sourceCommand } from "./program.ts";
import { onTerminal } from "./pty.ts";

/** Allowed what the task is allowed: the whole disk, of which a command keeps what it is given. */
export const WITH_FILES: CastOptions = { start: (task) => sourceCommand(task, "/") };

/** The same at a terminal. */
export const WITH_FILES_ON_TERMINAL: CastOptions = {
  start: (task) => onTerminal(sourceCommand(task, "/")),
  env: { TERM: "xterm-256color" },
};

/** All that is below a folder, by its path: a digest for what is in a file. */
export async function contents(folder: string, below = ""): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  for (const { name, isDirectory } of Deno.readDirSync(`${folder}${below}`)) {
    const path = `${below}/${name}`;
    if (isDirectory) {
      all.set(path, "folder");
      for (const [each, what] of await contents(folder, path)) all.set(each, what);
    } else all.set(path, await digest(`${folder}${path}`));
  }
  return new Map([...all].sort());
}

/** Length and SHA-256 of a file. */
export async function digest(path: string): Promise<string> {
  const bytes = await Deno.readFile(path);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return `${bytes.length} ${hash.toHex()}`;
}

/** A file of so many bytes that do not repeat. */
export async function fill(path: string, length: number): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true });
  const piece = new Uint8Array(64 * 1024);
  for (let written = 0; written < length; written += piece.length) {
    crypto.getRandomValues(piece);
    await file.write(piece.subarray(0, Math.min(piece.length, length - written)));
  }
}

/** A folder with files of some kinds, an empty folder among them. */
export async function grow(folder: string): Promise<void> {
  await Deno.mkdir(`${folder}/deep/er`, { recursive: true });
  await Deno.mkdir(`${folder}/nothing`);
  await Deno.writeTextFile(`${folder}/empty`, "");
  await Deno.writeTextFile(`${folder}/a name with blanks.txt`, "hello");
  await fill(`${folder}/deep/large`, 1_500_000);
  for (let i = 0; i < 40; i++) await fill(`${folder}/deep/er/${i}`, 100 * i);
}
