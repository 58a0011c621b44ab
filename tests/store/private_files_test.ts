import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import { localError, PrivateFolder } from "../../lib/store/private_files.ts";
import { withFolder } from "../testkit/server.ts";

const POSIX = Deno.build.os !== "windows";

async function refusal(action: () => Promise<unknown>, code: ErrorCode = "local") {
  const error = await assertRejects(action, CifraError);
  assertEquals(error.code, code);
  return error;
}

async function modeOf(path: string): Promise<string> {
  return ((await Deno.lstat(path)).mode! & 0o777).toString(8);
}

async function namesIn(path: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(path)) names.push(name);
  return names.sort();
}

/** Runs `job` with a folder that is open. */
function withPrivateFolder(job: (folder: PrivateFolder) => Promise<void>): Promise<void> {
  return withFolder(async (path) => await job(await PrivateFolder.open(path)));
}

Deno.test("open() makes the folder and its parents, readable by their owner alone", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(`${path}/a/b`);
    const inner = await folder.folder("c");
    if (POSIX) {
      assertEquals(await modeOf(`${path}/a`), "700");
      assertEquals(await modeOf(folder.path), "700");
      assertEquals(await modeOf(inner.path), "700");
    }
    await PrivateFolder.open(`${path}/a/b`);
  });
});

Deno.test({
  name: "open() refuses a folder that others can look into, and says how to mend it",
  ignore: !POSIX,
  fn: () =>
    withFolder(async (path) => {
      for (const mode of [0o755, 0o750, 0o707, 0o701, 0o770]) {
        await Deno.chmod(path, mode);
        const { hint } = await refusal(() => PrivateFolder.open(path));
        assertStringIncludes(hint!, "chmod 700");
      }
      await Deno.chmod(path, 0o700);
      await PrivateFolder.open(path);
    }),
});

Deno.test({
  name: "open() refuses a link to a folder, a file, and a path through a file",
  ignore: !POSIX,
  fn: () =>
    withFolder(async (path) => {
      await PrivateFolder.open(`${path}/real`);
      await Deno.symlink(`${path}/real`, `${path}/link`);
      await refusal(() => PrivateFolder.open(`${path}/link`));
      await Deno.writeTextFile(`${path}/file`, "", { mode: 0o600 });
      await refusal(() => PrivateFolder.open(`${path}/file`));
      await refusal(() => PrivateFolder.open(`${path}/file/below`));
    }),
});

Deno.test({
  name:
    "a folder of another user's that we may write in, as a container's volume, gets a hint to one below",
  ignore: !POSIX || Deno.uid() !== 0,
  fn: () =>
    withFolder(async (path) => {
      await Deno.mkdir(`${path}/volume`);
      await Deno.chmod(`${path}/volume`, 0o770);
      await Deno.chown(`${path}/volume`, 12345, 0);
      const { hint } = await refusal(() => PrivateFolder.open(`${path}/volume`));
      assertStringIncludes(hint!, `--state '${path}/volume/cifra'`);
      assertEquals(await namesIn(`${path}/volume`), []);
      const { path: below } = await PrivateFolder.open(`${path}/volume/cifra`);
      assertEquals(await modeOf(below), "700");
    }),
});

Deno.test({
  name: "a link in the place of the folder is told, and where it leads",
  ignore: !POSIX,
  fn: () =>
    withFolder(async (path) => {
      await PrivateFolder.open(`${path}/real`);
      await Deno.symlink("real", `${path}/link`);
      const { hint } = await refusal(() => PrivateFolder.open(`${path}/link`));
      assertEquals(hint, `it is a link: name what it leads to, ${await Deno.realPath(path)}/real`);
    }),
});

Deno.test("a folder whose path has a comma, which Deno was not given, is told to be why", () => {
  const notGiven = new Deno.errors.NotCapable("x");
  const { hint } = localError("/home/a,b/.local/state/cifra", notGiven);
  assertStringIncludes(hint!, "Deno takes a comma in a path for its end");
  assertStringIncludes(localError("/srv", notGiven).hint!, "the deno tasks may use the default");
  const denied = new Deno.errors.PermissionDenied("x");
  assertStringIncludes(localError("/.local/state/cifra", denied).hint!, "--state");
});

Deno.test("read() gives what write() wrote, and undefined for what nobody wrote", async () => {
  await withPrivateFolder(async (folder) => {
    assertEquals(await folder.read("absent"), undefined);
    for (const text of ["", "one line\n", "ñ € 🙂 \u0000", "x".repeat(1024 * 1024)]) {
      await folder.write("file", text);
      assert(await folder.read("file") === text);
      if (POSIX) assertEquals(await modeOf(`${folder.path}/file`), "600");
    }
    assertEquals(await namesIn(folder.path), ["file"]);
  });
});

Deno.test({
  name: "write() narrows what an earlier program left open, since it replaces the file",
  ignore: !POSIX,
  fn: () =>
    withPrivateFolder(async (folder) => {
      await Deno.writeTextFile(`${folder.path}/file`, "old", { mode: 0o644 });
      await folder.write("file", "new");
      assertEquals(await modeOf(`${folder.path}/file`), "600");
    }),
});

Deno.test({
  name: "read() refuses a file that others can read (L2)",
  ignore: !POSIX,
  fn: () =>
    withPrivateFolder(async (folder) => {
      const path = `${folder.path}/file`;
      await folder.write("file", "secret");
      for (const mode of [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666]) {
        await Deno.chmod(path, mode);
        const { hint } = await refusal(() => folder.read("file"));
        assertStringIncludes(hint!, "chmod 600");
      }
      await Deno.chmod(path, 0o600);
      assertEquals(await folder.read("file"), "secret");
      await Deno.chmod(path, 0o400);
      assertEquals(await folder.read("file"), "secret");
    }),
});

Deno.test({
  name: "read() refuses a file of another user (L2)",
  ignore: !POSIX || Deno.uid() !== 0,
  fn: () =>
    withPrivateFolder(async (folder) => {
      await folder.write("file", "secret");
      await Deno.chown(`${folder.path}/file`, 12345, null);
      await refusal(() => folder.read("file"));
    }),
});

Deno.test({
  name: "read() refuses links, folders and pipes, and does not wait for a pipe (L2)",
  ignore: !POSIX,
  fn: () =>
    withPrivateFolder(async (folder) => {
      await folder.write("real", "secret");
      await Deno.symlink(`${folder.path}/real`, `${folder.path}/link`);
      await refusal(() => folder.read("link"));
      await Deno.symlink("/etc/passwd", `${folder.path}/far`);
      await refusal(() => folder.read("far"));
      await Deno.symlink(`${folder.path}/nowhere`, `${folder.path}/dangling`);
      await refusal(() => folder.read("dangling"));
      await folder.folder("folder");
      await refusal(() => folder.read("folder"));
      const made = await new Deno.Command("mkfifo", { args: ["-m", "600", `${folder.path}/pipe`] })
        .output();
      assert(made.success);
      await refusal(() => folder.read("pipe"));
    }),
});

Deno.test({
  name: "write() replaces a link itself, not what it points to",
  ignore: !POSIX,
  fn: () =>
    withPrivateFolder(async (folder) => {
      await folder.write("target", "untouched");
      await Deno.symlink(`${folder.path}/target`, `${folder.path}/link`);
      await folder.write("link", "new");
      assertEquals(await folder.read("target"), "untouched");
      assertEquals(await folder.read("link"), "new");
    }),
});

Deno.test("read() refuses a file of more than a mebibyte, and bytes that are not text", async () => {
  await withPrivateFolder(async (folder) => {
    const path = `${folder.path}/file`;
    await Deno.writeFile(path, new Uint8Array(1024 * 1024 + 1), { mode: 0o600 });
    await refusal(() => folder.read("file"));
    await Deno.writeFile(path, new Uint8Array([0xff, 0xfe]), { mode: 0o600 });
    await refusal(() => folder.read("file"));
    await Deno.writeFile(path, new Uint8Array([0xc0, 0x80]), { mode: 0o600 });
    await refusal(() => folder.read("file"));
  });
});

Deno.test("write() that ends anywhere leaves the old version or the new one, nothing between", async () => {
  await withPrivateFolder(async (folder) => {
    await folder.write("file", "old");
    const { open, rename } = Deno;
    const stops: readonly ("open" | "write" | "sync" | "rename")[] = [
      "open",
      "write",
      "sync",
      "rename",
    ];
    for (const stop of stops) {
      const stopped = () => Promise.reject(new Error(`The power went off at ${stop}`));
      Deno.open = async (...parameters: Parameters<typeof open>) => {
        if (stop === "open") return await stopped();
        const file = await open(...parameters);
        if (stop === "sync") file.sync = stopped;
        if (stop === "write") {
          const write = file.write.bind(file);
          let written = 0;
          file.write = (bytes) => written++ === 0 ? write(bytes.subarray(0, 1)) : stopped();
        }
        return file;
      };
      if (stop === "rename") Deno.rename = stopped;
      try {
        await refusal(() => folder.write("file", "newer"));
      } finally {
        Deno.open = open;
        Deno.rename = rename;
      }
      assertEquals(await folder.read("file"), "old", stop);
    }
    await folder.write("file", "new");
    assertEquals(await folder.read("file"), "new");
  });
});

Deno.test("write() takes as long as the platform wants: short writes lose nothing", async () => {
  await withPrivateFolder(async (folder) => {
    const { open } = Deno;
    Deno.open = async (...parameters: Parameters<typeof open>) => {
      const file = await open(...parameters);
      const write = file.write.bind(file);
      file.write = (bytes) => write(bytes.subarray(0, 3));
      return file;
    };
    try {
      await folder.write("file", "more than three bytes");
    } finally {
      Deno.open = open;
    }
    assertEquals(await folder.read("file"), "more than three bytes");
  });
});

Deno.test("write() at the same time by two: one of them, whole", async () => {
  await withPrivateFolder(async (folder) => {
    const texts = Array.from({ length: 8 }, (_, i) => `${i}`.repeat(10_000));
    await Promise.all(texts.map((text) => folder.write("file", text)));
    assert(texts.includes((await folder.read("file"))!));
    assertEquals(await namesIn(folder.path), ["file"]);
  });
});

Deno.test("write() explains a folder that has gone", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(`${path}/gone`);
    await Deno.remove(folder.path);
    await refusal(() => folder.write("file", "text"));
  });
});

Deno.test("lock() keeps a second program out until the first lets go", async () => {
  await withFolder(async (path) => {
    const [first, second] = [await PrivateFolder.open(path), await PrivateFolder.open(path)];
    const unlock = await first.lock();
    const { hint } = await refusal(() => second.lock(), "locked");
    assert(hint);
    unlock();
    const again = await second.lock();
    await refusal(() => first.lock(), "locked");
    again();
    if (POSIX) assertEquals(await modeOf(`${path}/lock`), "600");
  });
});
