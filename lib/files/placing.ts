/** What has come gets its names in the folder that it was sent to, and takes nobody else's. */
import type { ManifestEntry } from "../wire/manifest.ts";
import type { Journal } from "./journal.ts";
import { type NameRules, Siblings } from "./names.ts";
import type { NameChange } from "./plan.ts";
import { look, removeFolder, setTimeOf } from "./staging_folder.ts";
import { syncPath } from "./sync_queue.ts";
import { Turns } from "./turns.ts";

/** How far it has come, as the journal has it. */
export interface Placing {
  /** The name of each entry at the top, once they are chosen. */
  readonly names: Map<number, string>;
  isDone: boolean;
}

/** What is to be placed, and where. */
export interface PlacingWork {
  /** Where everything goes. */
  readonly folder: string;
  /** Where it was put together. */
  readonly tree: string;
  readonly entries: readonly ManifestEntry[];
  /** Of each entry, below `tree`. */
  readonly paths: readonly string[];
  readonly skipped: ReadonlySet<number>;
  readonly rules: NameRules;
  readonly journal: Journal;
  readonly placing: Placing;
}

/**
 * Gives all that stands at the top its name, each in one step, and returns the names. The journal has the names
 * before the first of them is given: whoever comes after a kill gives the same. Throws the platform's errors.
 */
export async function place(work: PlacingWork): Promise<NameChange[]> {
  const { placing, entries, skipped } = work;
  const tops = entries.flatMap(({ parent }, i) =>
    parent === 0 && !skipped.has(i + 1) ? [i + 1] : []
  );
  if (!placing.isDone) await placeAll(work, tops);
  return tops.map((n) => ({ sent: entries[n - 1]!.name, written: placing.names.get(n)! }));
}

async function placeAll(work: PlacingWork, tops: readonly number[]): Promise<void> {
  const { folder, tree, journal, placing, entries, paths } = work;
  const isAgain = placing.names.size > 0;
  const namer = new Namer(work);
  if (!isAgain) namer.choose(tops);
  const turns = new Turns();
  for (const n of tops) {
    const from = `${tree}/${paths[n - 1]}`;
    const { type, modified } = entries[n - 1]!;
    const move = type === "folder" ? moveFolder : moveFile;
    let isOurs = isAgain;
    // Somebody may have taken the name since.
    while (!move(from, `${folder}/${placing.names.get(n)}`, isOurs)) {
      namer.choose([n]);
      isOurs = false;
    }
    if (type === "folder") setTimeOf(`${folder}/${placing.names.get(n)}`, modified);
    const turn = turns.next();
    if (turn) await turn;
  }
  if (Deno.build.os !== "windows") await syncPath(folder);
  placing.isDone = true;
  journal.add(["placed"]);
  journal.sync();
  // Of a file the name outside is a second one, on the disk by now.
  await removeFolder(tree);
}

/** Chooses names in the folder, beside those that are there. */
class Namer {
  readonly #work: PlacingWork;

  constructor(work: PlacingWork) {
    this.#work = work;
  }

  choose(tops: readonly number[]): void {
    const { folder, rules, paths, placing, journal } = this.#work;
    const there = [...Deno.readDirSync(folder)].map(({ name }) => name);
    const siblings = new Siblings(rules, [...there, ...placing.names.values()]);
    const notes = tops.map((n) => {
      const { name } = siblings.take(paths[n - 1]!);
      placing.names.set(n, name);
      return ["place", n, name] as const;
    });
    journal.add(...notes);
    journal.sync();
  }
}

/**
 * Moves a folder to a name that nothing has; false when something has it. `isOurs`: what is at that name may have
 * been made for this by a program that was killed.
 */
function moveFolder(from: string, to: string, isOurs: boolean): boolean {
  if (!isThere(from)) return true;
  if (Deno.build.os !== "windows") {
    // The name is made first, since a folder takes the place of an empty one and of nothing else.
    try {
      Deno.mkdirSync(to);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      if (!isOurs || !Deno.lstatSync(to).isDirectory) return false;
    }
  } else if (isThere(to)) return false;
  try {
    Deno.renameSync(from, to);
    return true;
  } catch (error) {
    if (!isThere(to)) throw error;
    if (!isEmptyFolder(to)) return false;
    // Some disks of networks let nothing take the place of a folder, however empty.
    Deno.removeSync(to);
    Deno.renameSync(from, to);
    return true;
  }
}

/** The same of a file, which has both names from now on, where the disk can do that. */
function moveFile(from: string, to: string, isOurs: boolean): boolean {
  const file = look(from);
  if (!file) return true;
  try {
    Deno.linkSync(from, to);
    return true;
  } catch (error) {
    const there = look(to);
    if (!there) return moveWithoutLink(from, to);
    if (!(error instanceof Deno.errors.AlreadyExists) || !isOurs || !there.isFile) return false;
    if (there.ino === file.ino && there.dev === file.dev && there.ino !== null) return true;
    if (there.size > 0 || file.nlink !== 1) return false;
    Deno.renameSync(from, to);
    return true;
  }
}

/** On a disk without second names: the name is made first, and then takes the file. */
function moveWithoutLink(from: string, to: string): boolean {
  try {
    Deno.openSync(to, { write: true, createNew: true }).close();
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
  Deno.renameSync(from, to);
  return true;
}

function isThere(path: string): boolean {
  return look(path) !== undefined;
}

function isEmptyFolder(path: string): boolean {
  const info = look(path);
  return (info?.isDirectory ?? false) && [...Deno.readDirSync(path)].length === 0;
}
