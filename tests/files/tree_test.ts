/** What is found at some paths to be sent. */
import { assertEquals, assertRejects } from "@std/assert";
import { CifraError } from "../../lib/errors.ts";
import { walk } from "../../lib/files/tree.ts";
import { hasTmpfs, withTmpfs } from "../testkit/tmpfs.ts";
import { withFolder } from "../testkit/server.ts";

const isPosix = Deno.build.os !== "windows";

/** Each entry as `path size`, with a star when it may be run, folders with a slash. */
async function listed(paths: readonly string[]): Promise<string[]> {
  const { entries } = await walk(paths);
  const ways = [""];
  return entries.map(({ type, parent, name, size, executable }) => {
    const way = `${ways[parent]}${name}${type === "folder" ? "/" : ""}`;
    ways.push(way);
    return `${way}${executable ? "*" : ""} ${size}`;
  });
}

Deno.test("a walk has folders before what is in them, in the same order every time", () =>
  withFolder(async (path) => {
    await Deno.mkdir(`${path}/photos/empty`, { recursive: true });
    await Deno.mkdir(`${path}/photos/b`);
    await Deno.writeTextFile(`${path}/photos/c.jpg`, "ccc");
    await Deno.writeTextFile(`${path}/photos/b/1.jpg`, "1");
    await Deno.writeTextFile(`${path}/photos/B.sh`, "#!", { mode: 0o755 });
    await Deno.writeTextFile(`${path}/thesis.pdf`, "");
    assertEquals(await listed([`${path}/thesis.pdf`, `${path}/photos/`]), [
      "thesis.pdf 0",
      "photos/ 0",
      isPosix ? "photos/B.sh* 2" : "photos/B.sh 2",
      "photos/b/ 0",
      "photos/b/1.jpg 1",
      "photos/c.jpg 3",
      "photos/empty/ 0",
    ]);
    const { bytes, links, skipped } = await walk([`${path}/photos`]);
    assertEquals([bytes, links, skipped], [6, 0, []]);
  }));

Deno.test("a path twice is sent once, two of one name both", () =>
  withFolder(async (path) => {
    for (const folder of ["a", "b", "c"]) {
      await Deno.mkdir(`${path}/${folder}`);
      await Deno.writeTextFile(`${path}/${folder}/x.txt`, folder);
    }
    const paths = ["a", "b", "a", "c"].map((folder) => `${path}/${folder}/x.txt`);
    assertEquals(await listed(paths), ["x.txt 1", "x (2).txt 1", "x (3).txt 1"]);
  }));

Deno.test({
  name: "links are not followed, and what is no file is left out",
  ignore: !isPosix,
  fn: () =>
    withFolder(async (path) => {
      await Deno.mkdir(`${path}/in`);
      await Deno.mkdir(`${path}/in/.cifra-0123456789abcdef0123456789abcdef`);
      await Deno.writeTextFile(`${path}/secret`, "x");
      await Deno.symlink(`${path}/secret`, `${path}/in/file`);
      await Deno.symlink(path, `${path}/in/folder`);
      await Deno.symlink("nowhere", `${path}/in/nothing`);
      using _listener = Deno.listen({ transport: "unix", path: `${path}/in/socket` });
      const made = await new Deno.Command("mkfifo", { args: [`${path}/in/fifo`] }).output();
      assertEquals(made.success, true);
      const { entries, links, linked, skipped } = await walk([
        `${path}/in`,
        `${path}/in/file`,
        `${path}/missing`,
        "/",
        "/dev/null",
      ]);
      assertEquals(entries.map(({ name }) => name), ["in"]);
      assertEquals(links, 4);
      assertEquals(linked.map((at) => at.replace(path, "")), [
        "/in/file",
        "/in/folder",
        "/in/nothing",
      ]);
      assertEquals(skipped.map(({ path: at, why }) => [at.replace(path, ""), why]), [
        ["/in/.cifra-0123456789abcdef0123456789abcdef", "it is what somebody is sending here"],
        ["/in/fifo", "it is neither a file nor a folder"],
        ["/in/socket", "it is neither a file nor a folder"],
        ["/in/file", "it is a link, and links are not followed"],
        ["/missing", "it is not there, or a folder above it is not"],
        ["/", "a whole disk has no name"],
        ["/dev/null", "it is neither a file nor a folder"],
      ]);
    }),
});

Deno.test({
  name: "a name that is no text is left out",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withFolder(async (path) => {
      const script = `mkdir '${path}/in' && touch "$(printf '${path}/in/a\\377b')"`;
      await new Deno.Command("sh", { args: ["-c", script] }).output();
      const { entries, skipped } = await walk([`${path}/in`]);
      assertEquals(entries.map(({ name }) => name), ["in"]);
      assertEquals(skipped.map(({ why }) => why), [
        "its name is no text that another system could have",
      ]);
    }),
});

Deno.test("a walk goes 64 folders deep, and says what it leaves out", () =>
  withFolder(async (path) => {
    await Deno.mkdir(`${path}/${"d/".repeat(66)}`, { recursive: true });
    await Deno.writeTextFile(`${path}/${"d/".repeat(63)}last`, "");
    await Deno.writeTextFile(`${path}/${"d/".repeat(64)}beyond`, "");
    const { entries, skipped } = await walk([`${path}/d`]);
    assertEquals(entries.filter(({ type }) => type === "folder").length, 64);
    assertEquals(entries.filter(({ type }) => type === "file").map(({ name }) => name), ["last"]);
    assertEquals(skipped.map(({ path, why }) => [path.slice(-9), why]), [
      ["/d/beyond", "it is deeper than 64 folders"],
      ["d/d/d/d/d", "it is deeper than 64 folders"],
    ]);
  }));

Deno.test({
  name: "more files than one transfer carries are refused",
  ignore: !hasTmpfs,
  fn: () =>
    withTmpfs(512 * 2 ** 20, async (path) => {
      for (let i = 0; i < 100_000; i++) Deno.writeFileSync(`${path}/${i}`, new Uint8Array(0));
      const error = await assertRejects(() => walk([path]), CifraError);
      assertEquals(error.code, "limit");
      await Deno.remove(`${path}/0`);
      assertEquals((await walk([path])).entries.length, 100_000);
    }),
});

Deno.test({
  name: "keys are never sent, by whatever path, nor what is behind a link that has just come",
  ignore: !isPosix,
  fn: () =>
    withFolder(async (path) => {
      await Deno.mkdir(`${path}/home/state/profiles`, { recursive: true });
      await Deno.writeTextFile(`${path}/home/state/profiles/key.pem`, "a key");
      await Deno.writeTextFile(`${path}/home/state-of-the-art`, "");
      await Deno.symlink(`${path}/home`, `${path}/link`);
      const kept = `${path}/link/state`;
      const all = await walk([`${path}/home`], kept);
      assertEquals(all.entries.map(({ name }) => name), ["home", "state-of-the-art"]);
      const why = "it is where cifra keeps your keys and messages";
      assertEquals(all.skipped, [{ path: `${path}/home/state`, why }]);
      for (const at of ["home/state", "link/state/profiles", "home/state/profiles/key.pem"]) {
        const { entries, skipped } = await walk([`${path}/${at}`], kept);
        assertEquals([entries, skipped], [[], [{ path: `${path}/${at}`, why }]]);
      }
      const { readDirSync } = Deno;
      Deno.readDirSync = (at) => {
        if (at === `${path}/home/state`) {
          Deno.renameSync(at, `${at}.away`);
          Deno.symlinkSync(`${path}/home/state.away/profiles`, at);
        }
        return readDirSync(at);
      };
      try {
        const { entries, skipped } = await walk([`${path}/home/state`]);
        assertEquals(entries.map(({ name }) => name), ["state"]);
        assertEquals(skipped, [{ path: `${path}/home/state`, why: "a link is in the way" }]);
      } finally {
        Deno.readDirSync = readDirSync;
      }
    }),
});
