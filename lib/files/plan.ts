/** Where each entry of a transfer goes, below one folder. */
import type { ManifestEntry } from "../wire/manifest.ts";
import { type NameRules, Siblings } from "./names.ts";

/** A path that is written otherwise than it was sent; parts are separated by `/`. */
export interface NameChange {
  readonly sent: string;
  readonly written: string;
}

/** The same for the same entries every time. */
export interface Plan {
  /** The path of each entry, as it is written: parts with `/` between. */
  readonly paths: readonly string[];
  /** What has another name than its sender gave it; not what is merely inside of it. */
  readonly changes: readonly NameChange[];
}

/** Finds a harmless path for each of `entries`. */
export function planPaths(entries: readonly ManifestEntry[], rules: NameRules): Plan {
  const paths: string[] = [];
  const changes: NameChange[] = [];
  const folders = new Map<number, Siblings>();
  for (const { parent, name } of entries) {
    const siblings = folders.get(parent) ?? new Siblings(rules);
    folders.set(parent, siblings);
    const local = siblings.take(name);
    const above = parent === 0 ? "" : `${paths[parent - 1]}/`;
    const path = `${above}${local.name}`;
    paths.push(path);
    if (local.isChanged) changes.push({ sent: `${above}${name}`, written: path });
  }
  return { paths, changes };
}
