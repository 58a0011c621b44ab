/** Where the files of an offer of ours lie, as its row keeps it: what a link leads to later is not what was offered. */
import { isIn, realBelow, realOf, type SourceEntry } from "../files/tree.ts";
import type { ManifestEntry } from "../wire/manifest.ts";

/** A path that was given, and what it was without any link. */
type Top = readonly [path: string, real: string];

/** What a row keeps of entries that are in no folder of the offer. */
export function placeOf(tops: readonly SourceEntry[]): string {
  return JSON.stringify(tops.map(({ path, real }): Top => [path, real]));
}

/** The paths that were given. */
export function pathsIn(place: string): readonly string[] {
  return topsIn(place).map(([path]) => path);
}

/** Where the entries of a manifest are. What is in the folder `kept` has no place, as if it were gone. */
export function placed(
  entries: readonly ManifestEntry[],
  place: string,
  kept: string | undefined,
): SourceEntry[] {
  const placed: SourceEntry[] = [];
  const never = kept === undefined ? undefined : realOf(kept);
  const tops = topsIn(place);
  let top = 0;
  for (const entry of entries) {
    const { parent, name } = entry;
    const above = placed[parent - 1];
    const [path, real] = above
      ? [`${above.path}/${name}`, realBelow(above.real, name)]
      : tops[top++] ?? NOWHERE;
    const isKept = never !== undefined && isIn(real, never);
    const facts = { size: entry.size ?? 0, device: 0, inode: null };
    placed.push({ ...entry, ...facts, path: isKept ? "" : path, real });
  }
  return placed;
}

const NOWHERE: Top = ["", ""];

function topsIn(place: string): readonly Top[] {
  return JSON.parse(place);
}
