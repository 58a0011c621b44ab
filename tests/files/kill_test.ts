/** The end of a receiver between any two of its calls to the disk, and at any moment. */
import { assert, assertEquals } from "@std/assert";
import { walk } from "../../lib/files/tree.ts";
import { hasTmpfs, withTmpfs } from "../testkit/tmpfs.ts";
import { withFolder } from "../testkit/server.ts";
import { within } from "../testkit/time_limit.ts";
import { assertSameTree, openStaging, plant, send, treeOf } from "./transfer.ts";

/** Everything by which a staging changes a disk. */
const CALLS = [
  "mkdirSync",
  "openSync",
  "removeSync",
  "renameSync",
  "linkSync",
  "utimeSync",
  "remove",
] as const;
const FILE_CALLS = ["writeSync", "truncateSync", "utimeSync", "sync", "syncDataSync"] as const;

class Killed extends Error {}

/** Runs `job` in a world where the call number `count` to the disk, and all after it, are not made any more. */
async function killedAt(count: number, job: () => Promise<void>): Promise<boolean> {
  const restore: (() => void)[] = [];
  let left = count;
  // deno-lint-ignore no-explicit-any -- functions of all kinds, which are passed on
  const watch = (on: any, name: string) => {
    const real = on[name];
    // deno-lint-ignore no-explicit-any -- as above
    on[name] = function (...args: any[]) {
      if (left-- <= 0) throw new Killed();
      return real.apply(this, args);
    };
    restore.push(() => void (on[name] = real));
  };
  for (const name of CALLS) watch(Deno, name);
  for (const name of FILE_CALLS) watch(Deno.FsFile.prototype, name);
  try {
    await job();
    return false;
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
    return true;
  } finally {
    for (const each of restore) each();
  }
}

function inFolders(job: (from: string, to: string) => Promise<void>): Promise<void> {
  const on = (path: string) => {
    Deno.mkdirSync(`${path}/from`);
    Deno.mkdirSync(`${path}/to`);
    return job(`${path}/from`, `${path}/to`);
  };
  return hasTmpfs ? withTmpfs(64 * 2 ** 20, on) : withFolder(on);
}

const TREE = {
  "a.txt": "something",
  "empty": "",
  "photos/": "",
  "photos/1.jpg": "one",
  "photos/none/": "",
  "z.txt": "the end",
};

/** Receives what is still missing, in small pieces. */
async function receive(from: string, to: string): Promise<void> {
  const { entries } = await walk(["a.txt", "empty", "photos", "z.txt"].map((n) => `${from}/${n}`));
  const staging = await openStaging(to, entries);
  try {
    await send(staging, [...entries], { piece: 4 });
    await staging.finish();
    await staging.discard();
  } finally {
    await staging.close();
  }
}

for (const isThere of [false, true]) {
  const where = isThere ? "beside others of the same names" : "in an empty folder";
  Deno.test(
    `killed between any two calls to the disk ${where}, the next run ends with the same`,
    within(120, async () => {
      let count = 0;
      for (let isKilled = true; isKilled; count++) {
        await inFolders(async (from, to) => {
          plant(from, TREE);
          if (isThere) plant(to, { "a.txt": "mine", "photos/": "", "z.txt": "" });
          isKilled = await killedAt(count, () => receive(from, to));
          if (isKilled) {
            const { entries } = await walk([`${from}/a.txt`]);
            assert(entries.length > 0);
            await receive(from, to);
          }
          const label = `killed at call ${count}`;
          if (!isThere) return assertSameTree(to, from, label);
          assertEquals(Object.keys(treeOf(to)), [
            "a (2).txt",
            "a.txt",
            "empty",
            "photos/",
            "photos (2)/",
            "photos (2)/1.jpg",
            "photos (2)/none/",
            "z (2).txt",
            "z.txt",
          ], label);
          assertEquals(Deno.readTextFileSync(`${to}/a.txt`), "mine", label);
          assertEquals(Deno.readTextFileSync(`${to}/z.txt`), "", label);
          assertEquals(Deno.readTextFileSync(`${to}/z (2).txt`), "the end", label);
        });
      }
      assert(count > 50, `${count} calls`);
    }),
  );
}
