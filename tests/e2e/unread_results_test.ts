/** Results that nobody can read: their program ends in words, and what it was told does not count as read. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { cifraCommand, type Program, Scene, type Task } from "../testkit/program.ts";

/** Starts cifra by a shell, with `redirection`. */
function through(redirection: string) {
  return (task: Task, folder: string) => [
    "sh",
    "-c",
    `exec "$@" ${redirection}`,
    "sh",
    ...cifraCommand(task, folder),
  ];
}

const TO_FULL_DISK = { start: through("> /dev/full") };
const hasFull = await Deno.stat("/dev/full").then(() => true, () => false);
const FULL = "error: Cannot write to standard output: the disk is full\n";

async function endsInWords(program: Program): Promise<void> {
  const { stderr } = await program.exits(1);
  assertStringIncludes(stderr, FULL);
  assert(!/^ {4}at |Uncaught/m.test(stderr), stderr);
}

Deno.test({
  name: "results for a full disk end every command with words and 1",
  ignore: !hasFull,
  fn: async () => {
    await using scene = await Scene.withServer();
    const server = ["--server", `127.0.0.1:${scene.port}`];
    const alice = scene.connect("alice", "bob", ["--json"]);
    const bob = scene.connect("bob", "alice", ["--json"]);
    await alice.write("hello\n");
    await bob.event("message", { text: "hello" });
    await Promise.all([alice.endInput(), bob.endInput()]);
    await Promise.all([alice.exits(0), bob.exits(0)]);
    const present = scene.start("connect", "carol", ["--name", "carol", ...server, "--json"]);
    await present.event("lobby");
    const rows: readonly (readonly [Task, readonly string[]])[] = [
      ["serve", ["--port", "0"]],
      ["serve", ["--port", "0", "--json"]],
      ["serve", ["--help"]],
      ["connect", ["--name", "alice", ...server, "--json"]],
      ["connect", ["--name", "alice", "--to", "bob", ...server, "--json"]],
      ["users", ["--name", "alice", ...server]],
      ["users", ["--name", "alice", ...server, "--json"]],
      ["history", ["--name", "alice"]],
      ["history", ["--name", "alice", "--json"]],
      ["keys", ["show", "--name", "alice"]],
      ["keys", ["peers", "--name", "alice", "--json"]],
      ["config", []],
      ["config", ["--json"]],
    ];
    for (const [task, args] of rows) {
      const state = task === "serve" ? "second" : "alice";
      await endsInWords(scene.start(task, task, args, { ...TO_FULL_DISK, state }));
    }
    for (const task of ["help", "man", "completions"] as const) {
      const words = task === "completions" ? ["bash"] : [];
      const command = through("> /dev/full")(task, scene.folder);
      const program = scene.run(task, [...command, ...words]);
      await endsInWords(program);
    }
    const asked = scene.start("serve", "operator", [], {
      state: "server",
      start: (task, folder) => [...through("> /dev/full")(task, folder), "console"],
    });
    await asked.write("active\nactive\n");
    await endsInWords(asked);
  },
});

for (const lobby of [false, true]) {
  const where = lobby ? "in the lobby" : "with one person";
  Deno.test(`a message that no reader of --json is there for is not read, ${where}`, async () => {
    await using scene = await Scene.withServer();
    const server = ["--server", `127.0.0.1:${scene.port}`];
    const more = lobby ? ["--accept", "all"] : ["--to", "bob"];
    const args = ["--name", "alice", ...server, "--json", ...more];
    const reader = scene.start(
      "connect",
      "alice",
      args,
      // The reader takes what is told of the start, and goes.
      { start: through(`| grep -m 1 ${lobby ? "lobby" : "connected"} >&2`) },
    );
    if (lobby) await reader.says('"event":"lobby"');
    const bob = scene.connect("bob", "alice", ["--json"]);
    if (!lobby) await reader.says('"event":"connected"');
    await bob.write("hello\nagain\n");
    await bob.event("queued", { number: 2 });
    await reader.says("error: Cannot write to standard output: its reader has gone\n");
    await reader.exit();
    assertEquals(bob.events.filter(({ event }) => event === "read"), []);
    // The next run shows it.
    const alice = scene.start("connect", "alice", args);
    await alice.event("message", { from: "bob", text: "hello" });
    await alice.event("message", { from: "bob", text: "again" });
    await bob.event("read", { number: 2 });
  });
}

Deno.test({
  name: "talk for a full disk vanishes: a server serves on, and a pipe carries",
  ignore: !hasFull,
  fn: async () => {
    await using scene = await Scene.open();
    const server = await scene.serve([], { start: through("2> /dev/full") });
    const silent = { start: through("2> /dev/full") };
    const bob = scene.connect("bob", "alice", [], silent);
    const alice = scene.connect("alice", "bob", [], silent);
    await alice.write("hello\n");
    await alice.endInput();
    await bob.endInput();
    assertEquals((await bob.exits(0)).stdout, "hello\n");
    await alice.exits(0);
    server.kill("SIGTERM");
    await server.exits(0);
    const plain = scene.start("serve", "server", ["--port", "0"], silent);
    await plain.prints("listens on");
    const port = /:(\d+)/.exec(plain.stdout)![1];
    const carol = scene.connect("carol", "dave", ["--json", "--server", `127.0.0.1:${port}`]);
    await carol.event("waiting");
  },
});
