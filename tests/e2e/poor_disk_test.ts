/**
 * Disks that can do less than others, as those of networks: no memory that programs share, no locks, or gone while
 * a program runs. A library that is loaded first fails those calls; Linux and a C compiler make it.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type CastOptions, type Exit, type Program, Scene } from "../testkit/program.ts";
import { within } from "../testkit/time_limit.ts";

const SOURCE = new URL("../testkit/poor_disk.c", import.meta.url).pathname;

/** Makes the library in `folder`; false where that cannot be. */
async function compile(folder: string): Promise<boolean> {
  if (Deno.build.os !== "linux") return false;
  const args = ["-shared", "-fPIC", "-o", `${folder}/poor_disk.so`, SOURCE, "-ldl"];
  try {
    return (await new Deno.Command("cc", { args, stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

const folder = await Deno.makeTempDir({ prefix: "cifra-test-" });
const hasPoorDisk = await compile(folder);
const library = hasPoorDisk ? await Deno.readFile(`${folder}/poor_disk.so`) : new Uint8Array();
await Deno.remove(folder, { recursive: true });
if (!hasPoorDisk) console.log("ignored: poor disks take Linux and a C compiler");

/** A program whose state lies on a disk without what `lacks` names. */
function on(scene: Scene, lacks: string): CastOptions {
  Deno.writeFileSync(`${scene.folder}/poor_disk.so`, library);
  const env = {
    LD_PRELOAD: `${scene.folder}/poor_disk.so`,
    POOR_DISK: scene.folder,
    POOR_DISK_LACKS: lacks,
    POOR_DISK_GONE: `${scene.folder}/gone`,
  };
  return { env };
}

function texts(program: Program): unknown[] {
  return program.events.filter(({ event }) => event === "message").map(({ text }) => text);
}

async function history(scene: Scene, options: CastOptions): Promise<unknown[]> {
  const args = ["--json", "--name", "alice"];
  const reader = scene.start("history", "history", args, { ...options, state: "alice" });
  await reader.exits(0);
  return reader.events.map(({ text }) => text);
}

const test = (name: string, fn: Parameters<typeof within>[1]) =>
  Deno.test({ name, ignore: !hasPoorDisk, fn });

test("on a disk without memory that programs share everything works, for one program at a time", async () => {
  await using scene = await Scene.open();
  const poor = on(scene, "mmap");
  await scene.serve([], poor);
  let alice = scene.connect("alice", "bob", ["--json"], poor);
  const bob = scene.connect("bob", "alice", ["--json"], poor);
  await Promise.all([alice.event("connected"), bob.event("connected")]);
  await alice.write("one\n");
  await alice.event("read", { number: 1 });
  // Whoever runs tells it, since nobody else can read it.
  assertEquals(await history(scene, poor), ["one"]);
  const second = await scene.connect("alice", "bob", [], poor).exits(1);
  assertStringIncludes(second.stderr, "another cifra is using it");
  alice.kill("SIGKILL");
  await alice.exit();
  assertEquals(await history(scene, poor), ["one"]);
  alice = scene.connect("alice", "bob", ["--json"], poor);
  await alice.event("connected");
  await bob.write("two\n");
  await alice.event("message", { text: "two" });
  alice.kill("SIGINT");
  await alice.exits(130);
  assertEquals(await history(scene, poor), ["one", "two"]);
  assertEquals(texts(bob), ["one"]);
});

test(
  "whoever has the messages to itself tells the history as it is read from the disk",
  within(150, async () => {
    await using scene = await Scene.open();
    const poor = on(scene, "mmap");
    await scene.serve([], poor);
    for (const sealed of [false, true]) {
      if (sealed) {
        const args = ["passphrase", "--name", "alice", "--passphrase-fd", "0"];
        await typed(scene.start("keys", "keys", args, { ...poor, state: "alice" }));
      }
      const given = sealed ? ["--passphrase-fd", "0"] : [];
      const alice = scene.connect("alice", "bob", ["--json", ...given], poor);
      if (sealed) await alice.write("open sesame\n");
      const bob = scene.connect("bob", "alice", ["--json"], poor);
      await Promise.all([alice.event("connected"), bob.event("connected")]);
      // More than one answer of the program holds.
      const count = 120;
      await alice.write(Array.from({ length: count }, (_, n) => `Dinner ${n}\n`).join(""));
      await alice.event("read", { number: (sealed ? 2 : 1) * count });
      await bob.write(JSON.stringify({ text: "Two\nlines" }) + "\n");
      await alice.event("message", { text: "Two\nlines" });
      const rows = sealed ? [["--last", "3"]] : [
        ["--json"],
        ["--search", "dINNER 11", "--since", "1h", "--with", "bob", "--last", "2"],
      ];
      const read = async (row: readonly string[]): Promise<string> => {
        const args = ["--name", "alice", ...given, ...row];
        const reader = scene.start("history", "history", args, { ...poor, state: "alice" });
        const { stdout, stderr } = await (sealed ? typed(reader) : reader.exits(0));
        return stdout + stderr;
      };
      const told = [];
      for (const row of rows) told.push(await read(row));
      bob.kill("SIGINT");
      alice.kill("SIGINT");
      await Promise.all([alice.exits(130), bob.exits(130)]);
      for (const [n, row] of rows.entries()) assertEquals(told[n], await read(row), row.join(" "));
      assertStringIncludes(told.at(-1)!, "Dinner 119\n");
    }

    async function typed(program: Program): Promise<Exit> {
      await program.write("open sesame\n");
      return await program.exits(0);
    }
  }),
);

for (const lacks of ["flock", "fcntl"]) {
  test(`on a disk without the locks of ${lacks} it is said what is missing, and where to go`, async () => {
    await using scene = await Scene.open();
    const server = scene.start("serve", "server", ["--port", "0"], on(scene, lacks));
    const { stderr } = await server.exits(1);
    assertStringIncludes(stderr, "keep");
    assertStringIncludes(stderr, "hint: choose a folder on another disk with --state");
    assert(!/os error|disk I\/O|look after/.test(stderr), stderr);
  });
}

test("a disk that is gone while a program runs is told, without a stack", async () => {
  await using scene = await Scene.open();
  await scene.serve();
  const alice = scene.connect("alice", "bob", ["--json"], on(scene, "write"));
  await alice.event("waiting");
  await Deno.writeTextFile(`${scene.folder}/gone`, "");
  await alice.write("lost?\n");
  const { message } = await alice.event("cannot-store", { who: "us", why: "failing" });
  assertStringIncludes(String(message), "messages.db: it cannot be written");
  alice.kill("SIGINT");
  // What was typed is not stored.
  const { stderr } = await alice.exits(1);
  assert(!/os error|^\s+at /m.test(stderr), stderr);
});
