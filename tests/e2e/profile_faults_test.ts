/** Profiles on full, damaged and read-only disks, used twice, and brought back from copies. */
import { DatabaseSync } from "node:sqlite";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type CastOptions, cifraCommand, Program, Scene } from "../testkit/program.ts";
import { hasPty, leavesTerminal, onTerminal, screen, shows } from "../testkit/pty.ts";
import { fillDisk, hasTmpfs, makeReadOnly, withTmpfs } from "../testkit/tmpfs.ts";
import { until } from "../testkit/until.ts";

const MIB = 2 ** 20;
/** Keeps a database from whoever else writes to it, and waits for its turn: its owner may be writing. */
const HOLD = "PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE";
const ON_TERMINAL: CastOptions = {
  start: (task, folder) => onTerminal(cifraCommand(task, folder)),
  env: { TERM: "xterm-256color" },
};

/** Alice or bob with their state in a folder that need not be the scene's. */
function connectFrom(
  scene: Scene,
  name: "alice" | "bob",
  folder: string,
  { args = ["--json"], start = cifraCommand, env }: {
    readonly args?: readonly string[];
    readonly start?: NonNullable<CastOptions["start"]>;
    readonly env?: CastOptions["env"];
  } = {},
): Program {
  const to = name === "alice" ? "bob" : "alice";
  scene.lendServerKeys(folder);
  const where = ["--server", `127.0.0.1:${scene.port}`, "--state", folder];
  const command = [...start("connect", folder), "--name", name, "--to", to, ...where, ...args];
  return scene.add(new Program({ name, command, ...(env && { env }) }));
}

/** What `cifra history` has of the only profile in a folder. */
async function history(scene: Scene, folder: string): Promise<unknown[]> {
  const command = [...cifraCommand("history", folder), "--state", folder, "--json"];
  const program = scene.add(new Program({ name: "history", command }));
  await program.exits(0);
  return program.events.map(({ direction, text }) => `${direction} ${text}`);
}

async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { mode: 0o700 });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyFolder(`${from}/${name}`, `${to}/${name}`);
    else await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

function messages(program: Program): unknown[] {
  return program.events.filter(({ event }) => event === "message").map(({ text }) => text);
}

/** Ends a program that waits or talks, as a person does. */
async function interrupt(program: Program): Promise<void> {
  program.kill("SIGINT");
  await program.exits(130);
}

/** Starts both on lines of JSON and waits until they are connected. */
async function start(scene: Scene): Promise<readonly [Program, Program]> {
  const alice = scene.connect("alice", "bob", ["--json"]);
  const bob = scene.connect("bob", "alice", ["--json"]);
  await Promise.all([alice.event("connected"), bob.event("connected")]);
  return [alice, bob];
}

Deno.test({
  name: "a full disk: what is written and what comes waits, both are told once, and it goes on",
  ignore: !hasTmpfs || !hasPty,
  fn: () =>
    withTmpfs(2 * MIB, async (folder) => {
      await using scene = await Scene.withServer();
      const alice = connectFrom(scene, "alice", folder, { ...ON_TERMINAL, args: [] });
      const bob = scene.connect("bob", "alice", ["--json"]);
      await Promise.all([shows(alice, "-- connected to bob"), bob.event("connected")]);
      const makeRoom = await fillDisk(folder);
      // Some still fits in what the file has reserved.
      const written: string[] = [];
      for (let isFull = false; !isFull;) {
        const text = `${written.length} ${"x".repeat(12_000)}`;
        written.push(text);
        await alice.write(`${text}\r`);
        isFull = await Promise.race([
          shows(alice, "-- cannot use ").then(() => true),
          bob.event("message", { text }).then(() => false),
        ]);
        assert(written.length < 100, "the disk is not full");
      }
      assertStringIncludes(screen(alice).replaceAll(/\s+/g, " "), "the disk is full");
      // What comes is not taken either, and not lost for that.
      await bob.write(`${"for you".repeat(2000)}\n`);
      await bob.event("cannot-store", { who: "peer", why: "full" });
      // Long enough for what there was of a storm.
      await new Promise((resolve) => setTimeout(resolve, 5000));
      await makeRoom();
      await shows(alice, "for you".repeat(2));
      await shows(alice, "-- messages are stored again");
      await bob.event("read", { number: 1 });
      await bob.event("stores-again", { who: "peer" });
      await alice.write("there is room\r");
      await bob.event("message", { text: "there is room" });
      assertEquals(messages(bob), [...written, "there is room"]);
      const names = bob.events.map(({ event }) => event);
      for (const name of ["connected", "cannot-store", "stores-again"]) {
        assertEquals(names.filter((event) => event === name), [name]);
      }
      assert(!names.includes("lost"), "the channel was given up");
      assertEquals(screen(alice).split("-- cannot use ").length, 2);
    }),
});

Deno.test("messages that another program holds for a while, as a backup does, come when it lets go", async () => {
  await using scene = await Scene.withServer();
  const folder = await Deno.makeTempDir({ prefix: "cifra-test-" });
  try {
    const alice = scene.connect("alice", "bob", ["--json"]);
    const bob = connectFrom(scene, "bob", folder);
    await Promise.all([alice.event("connected"), bob.event("connected")]);
    const backup = new DatabaseSync(`${folder}/profiles/bob/messages.db`);
    try {
      backup.exec(HOLD);
      await alice.write("hello\n");
      await Promise.all([
        alice.event("cannot-store", { who: "peer", peer: "bob", why: "inUse" }),
        bob.event("cannot-store", { who: "us", why: "inUse" }),
      ]);
      await bob.write("good morning\n");
      backup.exec("ROLLBACK");
    } finally {
      backup.close();
    }
    await Promise.all([
      bob.event("message", { text: "hello" }),
      alice.event("message", { text: "good morning" }),
      alice.event("stores-again", { who: "peer" }),
    ]);
    for (const program of [alice, bob]) {
      assert(!program.events.some(({ event }) => event === "lost"), "the channel was given up");
      await interrupt(program);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test({
  name: "who leaves is told once which messages were not kept",
  ignore: !hasPty,
  fn: async () => {
    await using scene = await Scene.withServer();
    const folder = await Deno.makeTempDir({ prefix: "cifra-test-" });
    try {
      const alice = connectFrom(scene, "alice", folder, { ...ON_TERMINAL, args: [] });
      await shows(alice, "-- waiting for bob");
      using backup = new DatabaseSync(`${folder}/profiles/alice/messages.db`);
      backup.exec(HOLD);
      for (const [n, line] of ["one", "two", "three"].entries()) {
        await alice.write(`${line}\r`);
        await shows(alice, `(${n + 1} in memory) alice>`);
      }
      await alice.write("/quit\r");
      assertEquals((await leavesTerminal(alice)).code, 1);
      assert(!screen(alice).includes("-- done"), screen(alice));
      assertEquals(screen(alice).split("NOT SENT").length, 2, screen(alice));
      // Why is told when it begins, and when it is over; not once more by what ends the program.
      assertEquals(screen(alice).match(/another program/g)?.length, 2, screen(alice));
      assertStringIncludes(screen(alice), "\n   3 messages:\n   one\n   two\n   three\n");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

for (
  const [line, refs] of [["lost", [undefined]], ['{"text":"lost","ref":1}', [
    1,
    undefined,
  ]]] as const
) {
  Deno.test(`--json: a message that is refused at the end by what ends the program: ${refs.length} of error`, async () => {
    await using scene = await Scene.withServer();
    const alice = scene.connect("alice", "bob", ["--json"]);
    await alice.event("waiting");
    using backup = new DatabaseSync(`${scene.stateOf("alice")}/profiles/alice/messages.db`);
    backup.exec(HOLD);
    await alice.write(`${line}\n`);
    await alice.event("cannot-store");
    alice.kill("SIGTERM");
    await alice.exits(1);
    const errors = alice.events.filter(({ event }) => event === "error");
    assertEquals(errors.map(({ ref }) => ref), [...refs]);
  });
}

Deno.test("with one person alone, who cannot be written down ends the program", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob", ["--json"]);
  await alice.event("waiting");
  const folder = `${scene.stateOf("alice")}/profiles`;
  await Deno.rename(folder, `${folder}-gone`);
  const bob = scene.connect("bob", "alice", ["--json"]);
  await alice.exits(1);
  const { message } = await alice.event("error", { code: "local" });
  assertStringIncludes(String(message), "known-peers: it is not there");
  await bob.event("peer-left", { failed: true });
});

Deno.test("who cannot close the profile at the end is not done", async () => {
  await using scene = await Scene.withServer();
  const args = ["--name", "alice", "--json", "--server", `127.0.0.1:${scene.port}`];
  const alice = scene.start("connect", "alice", args);
  await alice.event("lobby");
  using backup = new DatabaseSync(`${scene.stateOf("alice")}/profiles/alice/messages.db`);
  backup.exec(HOLD);
  await alice.endInput();
  await alice.exits(1);
  const { event, message } = alice.events.at(-1)!;
  assertEquals(event, "error");
  assertStringIncludes(String(message), "another program");
  assert(!alice.events.some(({ event }) => event === "done"));
});

for (const lobby of [false, true]) {
  const where = lobby ? "in the lobby" : "with one person";
  Deno.test(`commands of a program are obeyed while its messages wait for the disk, ${where}`, async () => {
    await using scene = await Scene.withServer();
    const to = lobby ? { to: "bob" } : {};
    for (const ending of ["quit", "SIGTERM", "SIGINT"] as const) {
      const name = ending.toLowerCase();
      const person = lobby ? [] : ["--to", "bob"];
      const args = ["--name", name, "--server", `127.0.0.1:${scene.port}`, "--json", ...person];
      const alice = scene.start("connect", name, args);
      await alice.event(lobby ? "lobby" : "waiting");
      await alice.write(`${JSON.stringify({ ...to, text: "kept", ref: 0 })}\n`);
      await alice.event("queued", { number: 1 });
      using other = new DatabaseSync(`${scene.stateOf(name)}/profiles/${name}/messages.db`);
      other.exec("BEGIN IMMEDIATE");
      await alice.write(`${JSON.stringify({ ...to, text: "one", ref: 1 })}\n`);
      await alice.event("cannot-store", { who: "us" });
      await alice.write(`${JSON.stringify({ do: "users", ref: 2 })}\n`);
      await alice.event("users", { ref: 2 });
      if (ending === "quit") await alice.write('{"do":"quit"}\n');
      else alice.kill(ending);
      await alice.exits(1);
      await alice.event("error", { code: "local", ref: 1, ...lobby && { with: "bob" } });
      assert(!alice.events.some(({ event }) => event === "conversation-failed"));
    }
  });
}

Deno.test({
  name: "a disk that is full from the start, or can only be read, is refused in words",
  ignore: !hasTmpfs,
  fn: () =>
    withTmpfs(2 * MIB, async (folder) => {
      await using scene = await Scene.withServer();
      const before = connectFrom(scene, "alice", folder);
      await before.write("kept\n");
      await before.event("queued", { number: 1 });
      await before.event("waiting");
      await interrupt(before);
      const makeRoom = await fillDisk(folder);
      const full = connectFrom(scene, "alice", folder, { args: [] });
      const { stderr } = await full.exits(1);
      assertStringIncludes(stderr, "messages.db: the disk is full\nhint: make room on it");
      await makeRoom();
      await makeReadOnly(folder);
      const unable = connectFrom(scene, "alice", folder);
      await unable.exits(1);
      const { message } = await unable.event("error", { code: "local" });
      assertStringIncludes(String(message), `Cannot use ${folder}/profiles/alice/`);
      assertStringIncludes(String(message), "can only be read");
      assertEquals(await history(scene, folder), ["sent kept"]);
    }),
});

for (
  const [what, damage] of [
    ["is cut short", (bytes: Uint8Array) => bytes.slice(0, bytes.length / 2)],
    ["is something else", () => new TextEncoder().encode("dear diary,\n".repeat(500))],
  ] as const
) {
  Deno.test(`a messages.db that ${what} is refused, left as it is, and can be moved away`, async () => {
    await using scene = await Scene.withServer();
    const [alice, bob] = await start(scene);
    await bob.write("before\n");
    await bob.event("read", { number: 1 });
    await Promise.all([alice.endInput(), bob.endInput()]);
    await Promise.all([alice.exits(0), bob.exits(0)]);
    const file = `${scene.stateOf("alice")}/profiles/alice/messages.db`;
    await Deno.writeFile(file, damage(await Deno.readFile(file)));
    const damaged = await Deno.readFile(file);
    for (const args of [["--json"], []]) {
      const refused = scene.connect("alice", "bob", args);
      const { stdout, stderr } = await refused.exits(1);
      const said = stdout + stderr;
      assertStringIncludes(said, `Cannot use ${file}: `);
      assertStringIncludes(said, "left as it is");
      assertStringIncludes(said, "move it away");
    }
    assertEquals(await Deno.readFile(file), damaged);
    await Deno.rename(file, `${file}.damaged`);
    const [again, bobAgain] = await start(scene);
    await bobAgain.write("after\n");
    await again.event("message", { text: "after" });
    await again.write("good\n");
    await bobAgain.event("message", { text: "good" });
  });
}

Deno.test("one program has a profile; the history can be read meanwhile", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await start(scene);
  await alice.write("hello\n");
  await alice.event("read", { number: 1 });
  const second = scene.connect("alice", "carol");
  const { stderr } = await second.exits(1);
  assertStringIncludes(stderr, "profiles/alice: another cifra is using it\nhint: ");
  assertEquals(await history(scene, scene.stateOf("alice")), ["sent hello"]);
  // The one that has it did not notice.
  await bob.write("still there?\n");
  await alice.event("message", { text: "still there?" });
  assertEquals(alice.events.filter(({ event }) => event === "lost"), []);
});

Deno.test("a copy of a profile that connects elsewhere takes the place of the one that waits", async () => {
  await using scene = await Scene.withServer();
  const first = scene.connect("alice", "bob", ["--json"]);
  await first.event("waiting");
  await interrupt(first);
  await copyFolder(scene.stateOf("alice"), scene.stateOf("copy"));
  const here = scene.connect("alice", "bob", ["--json"]);
  await here.event("waiting");
  const elsewhere = scene.connect("alice", "bob", ["--json"], { state: "copy" });
  await elsewhere.event("waiting");
  const { message, hint } = await here.event("error", { code: "replaced" });
  assertStringIncludes(String(message), "You are connected from elsewhere now, by the same key");
  assertStringIncludes(String(hint), "go on there, or end it");
  await here.exits(1);
  const bob = scene.connect("bob", "alice", ["--json"]);
  await Promise.all([elsewhere.event("connected"), bob.event("connected")]);
});

Deno.test("the profile of a reader that comes back from an old copy tells what is gone", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await start(scene);
  await alice.write("one\ntwo\n");
  await alice.event("read", { number: 2 });
  await interrupt(bob);
  await copyFolder(scene.stateOf("bob"), scene.stateOf("copy"));
  const later = scene.connect("bob", "alice", ["--json"]);
  await later.event("connected");
  await alice.write("three\nfour\n");
  await alice.event("read", { number: 4 });
  await interrupt(later);
  await alice.write("five\n");
  const old = scene.connect("bob", "alice", ["--json"], { state: "copy" });
  await old.event("gap", { from: 3, to: 4 });
  await old.event("message", { number: 5, text: "five" });
  assertEquals(messages(old), ["five"]);
});

Deno.test("the profile of a writer that comes back from an old copy loses none of what is new", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await start(scene);
  await alice.write("one\ntwo\n");
  await alice.event("read", { number: 2 });
  await interrupt(alice);
  await copyFolder(scene.stateOf("alice"), scene.stateOf("copy"));
  const later = scene.connect("alice", "bob", ["--json"]);
  await later.write("three\nfour\n");
  await later.event("read", { number: 4 });
  await interrupt(later);
  const old = scene.connect("alice", "bob", ["--json"], { state: "copy" });
  await old.write("five\n");
  await bob.event("message", { text: "five" });
  await old.write("six\n");
  await bob.event("message", { text: "six" });
  assertEquals(messages(bob), ["one", "two", "three", "four", "five", "six"]);
});

Deno.test("who is killed and loses the end of the file of messages is told which are gone", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob", ["--json"]);
  await alice.event("waiting");
  const profile = `${scene.stateOf("alice")}/profiles/alice`;
  const wal = () => Deno.statSync(`${profile}/messages.db-wal`).size;
  await alice.write("first\n");
  await alice.event("queued", { number: 1 });
  await until(() => wal() === 0, "the first message in the database alone");
  await alice.write("second\nthird\n");
  await alice.event("queued", { number: 3 });
  // Its mark follows within some milliseconds; the log is emptied a second later.
  const marks = () => Deno.readTextFileSync(`${profile}/messages.marks`);
  await until(() => / sent .* 3\n/.test(marks()), "the mark of the third");
  assert(wal() > 0);
  alice.kill("SIGKILL");
  await alice.exit();
  await Deno.remove(`${profile}/messages.db-wal`);
  const again = scene.connect("alice", "bob", ["--json"]);
  await again.event("messages-lost", { peer: "bob", direction: "sent", from: 2, to: 3 });
  await again.event("waiting");
  await interrupt(again);
  assertEquals(await history(scene, scene.stateOf("alice")), ["sent first"]);
});
