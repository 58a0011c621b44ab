/** A transfer without anything between its two disks, in pieces; and trees to be sent. */
import { assertEquals } from "@std/assert";
import { type Bytes, encodeUtf8 } from "../../lib/bytes.ts";
import { equalUntil } from "../../lib/files/blocks.ts";
import type { ManifestEntry } from "../../lib/wire/manifest.ts";
import { type Finished, Staging } from "../../lib/files/staging.ts";
import { renewed, Source } from "../../lib/files/source.ts";
import { type SourceEntry, walk } from "../../lib/files/tree.ts";

/** The id of all transfers of the tests. */
export const ID: Bytes = Uint8Array.from({ length: 16 }, (_, i) => i + 1);

/** What `folder` has for `entries`, opened. */
export function openStaging(
  folder: string,
  entries: readonly ManifestEntry[],
  id = ID,
): Promise<Staging> {
  return Staging.open({ folder, id, entries });
}

/** Sends everything from where the staging is; `written` counts bytes. Stops when `goesOn` says so: then false. */
export async function send(
  staging: Staging,
  entries: SourceEntry[],
  { piece = 1000, goesOn = () => true, sent = () => {} }: {
    readonly piece?: number;
    readonly goesOn?: () => boolean;
    readonly sent?: (bytes: number) => void;
  } = {},
): Promise<boolean> {
  const position = staging.position;
  const buffer = new Uint8Array(piece);
  for (let n = position.entry; n <= entries.length; n++) {
    if (entries[n - 1]!.type === "folder") continue;
    let opened = Source.open(entries[n - 1]!);
    if (opened === "changed") {
      const now = renewed(entries[n - 1]!);
      if (typeof now === "string") throw new Error("gone in between");
      staging.restart(n, now);
      entries[n - 1] = now;
      opened = Source.open(now);
    }
    if (opened === "gone" || opened === "linked") {
      staging.skip(n);
      continue;
    }
    if (opened === "changed") throw new Error("changed again");
    using source = opened;
    const { size } = source.entry;
    let offset = n === position.entry ? position.offset : 0;
    if (n === position.entry && position.block > 0) {
      offset = await equalUntil((at, into) => {
        const count = source.read(at, into);
        return count === "changed" ? 0 : count;
      }, position);
    }
    while (offset < size) {
      if (!goesOn()) return false;
      const count = source.read(offset, buffer);
      if (count === "changed") throw new Error("changed while it was read");
      await staging.write(n, offset, buffer.slice(0, count));
      offset += count;
      sent(count);
    }
  }
  return true;
}

/** The whole way of what is at `paths`. */
export async function transfer(paths: readonly string[], folder: string): Promise<Finished> {
  const { entries } = await walk(paths);
  const staging = await openStaging(folder, entries);
  await send(staging, [...entries]);
  const finished = await staging.finish();
  await staging.discard();
  return finished;
}

/** All that is in a folder: path to what it is, links not followed. */
export function treeOf(folder: string, below = ""): Record<string, string> {
  const tree: Record<string, string> = {};
  for (const { name } of [...Deno.readDirSync(`${folder}/${below}`)].sort(byName)) {
    const path = `${below}${name}`;
    const info = Deno.lstatSync(`${folder}/${path}`);
    const time = info.mtime!.getTime();
    if (info.isSymlink) tree[path] = `link to ${Deno.readLinkSync(`${folder}/${path}`)}`;
    else if (info.isDirectory) {
      tree[`${path}/`] = `folder ${time}`;
      Object.assign(tree, treeOf(folder, `${path}/`));
    } else {
      const runs = (info.mode! & 0o111) !== 0 ? " runs" : "";
      tree[path] = `${time}${runs} ${digestOf(Deno.readFileSync(`${folder}/${path}`))}`;
    }
  }
  return tree;
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}

function digestOf(bytes: Uint8Array): string {
  let digest = 5381;
  for (const byte of bytes) digest = digest * 33 + byte | 0;
  return `${bytes.length} bytes ${digest}`;
}

/** A generator of dice that a seed repeats. */
export function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = state * 1103515245 + 12345 & 0x7fffffff;
    return (state >> 8) % sides;
  };
}

/** So many bytes that a seed repeats. */
export function noise(length: number, seed: number): Bytes {
  const roll = dice(seed);
  return Uint8Array.from({ length }, () => roll(256));
}

const NAMES = [
  "a",
  "thesis.pdf",
  ".hidden",
  "\u6f22\u5b57",
  "caf\u00e9 au lait",
  "x:y?",
  "-rf",
  "a'b\"c",
];
const SIZES = [0, 1, 999, 1000, 1001, 5000, 70_000];

/** Puts some tree into `folder`, which is there. */
export function growTree(folder: string, roll: (sides: number) => number, depth = 0): void {
  const count = roll(6) + (depth === 0 ? 1 : 0);
  for (let i = 0; i < count; i++) {
    const path = `${folder}/${i} ${NAMES[roll(NAMES.length)]}`;
    const time = new Date(1_000_000_000_000 + roll(1_000_000_000));
    if (roll(3) === 0 && depth < 4) {
      Deno.mkdirSync(path);
      growTree(path, roll, depth + 1);
    } else {
      const bytes = noise(SIZES[roll(SIZES.length)]!, roll(1_000_000));
      Deno.writeFileSync(path, bytes, { mode: roll(4) === 0 ? 0o755 : 0o644 });
    }
    Deno.utimeSync(path, time, time);
  }
}

/** Files by their paths, folders being those whose paths end in a slash. */
export function plant(folder: string, tree: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(tree)) {
    if (path.endsWith("/")) Deno.mkdirSync(`${folder}/${path}`);
    else Deno.writeFileSync(`${folder}/${path}`, encodeUtf8(text));
    Deno.utimeSync(`${folder}/${path}`, 1_000_000, 1_000_000);
  }
}

/** Asserts that a folder has what another one has, and nothing else. */
export function assertSameTree(folder: string, expected: string, label?: string): void {
  assertEquals(treeOf(folder), treeOf(expected), label);
}
