import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { couple, Program, Scene, sourceCommand } from "../testkit/program.ts";

/** Runs `main.ts` with these arguments to its end, with no state to use. */
async function run(...args: readonly string[]): Promise<Program> {
  const [deno, ...flags] = sourceCommand("connect", "/nonexistent").slice(0, -1);
  const program = new Program({ name: args.join(" "), command: [deno!, ...flags, ...args] });
  await program.endInput();
  await program.exit();
  return program;
}

const WRONG: readonly (readonly [readonly string[], string])[] = [
  [["greet"], 'error: Unknown command "greet"\nhint: cifra --help lists the commands\n'],
  [
    ["connect"],
    "error: --name is missing\nhint: for example: cifra connect --name alice --to bob\n",
  ],
  [["connect", "--name", "alice", "--to", "alice"], "error: --name and --to must be two different"],
  [["connect", "--name", "Alice", "--to", "bob"], "error: "],
  [["connect", "--name", "alice", "--to", "bob", "--suite", "rot13"], "error: --suite must be"],
  [["connect", "--name", "alice", "--to", "bob", "--sneak"], 'error: Unknown argument "--sneak"'],
  [
    ["connect", "--name", "alice", "--to", "bob", "--server", "a b"],
    "error: Cannot read the server",
  ],
  [
    ["connect", "--name", "alice", "--to", "bob", "--send-port", "22"],
    "error: --send-port must be",
  ],
  [["connect", "--name", "alice", "--to", "bob", "--server-key", "abc"], "error: "],
  [["serve", "--port", "70000"], "error: --port must be a whole number from 0 to 65535"],
  [["serve", "--host", "example.net"], "error: --host must be an IP address"],
];

for (const [args, stderr] of WRONG) {
  Deno.test(`cifra ${args.join(" ")} is a wrong command line: exit code 2`, async () => {
    await using program = await run(...args);
    const exit = await program.exits(2);
    assertEquals(exit.stdout, "");
    assertStringIncludes(exit.stderr, stderr);
  });
}

Deno.test("cifra alone prints help on stdout and exits with 2; --help and --version with 0", async () => {
  for (
    const [args, code, text] of [
      [[], 2, "Usage: cifra COMMAND"],
      [["--help"], 0, "Usage: cifra COMMAND"],
      [["serve", "--help"], 0, "Usage: cifra serve"],
      [["connect", "--help"], 0, "Usage: cifra connect"],
      [["--version"], 0, "cifra 0."],
    ] as const
  ) {
    await using program = await run(...args);
    const { stdout, stderr } = await program.exits(code);
    assertStringIncludes(stdout, text);
    assertEquals(stderr, "");
  }
});

Deno.test("connect fails with 1 and a hint when nobody listens at the server's address", async () => {
  await using scene = await Scene.open();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const alice = scene.connect("alice", "bob", ["--server", `127.0.0.1:${port}`]);
  const { stdout, stderr } = await alice.exits(1);
  assertEquals(stdout, "");
  assertStringIncludes(stderr, `error: Cannot reach 127.0.0.1:${port}: nobody listens there\n`);
});

Deno.test("serve fails with 1 when its port is taken", async () => {
  await using scene = await Scene.withServer();
  const args = ["--port", `${scene.port}`, "--host", "127.0.0.1"];
  const second = scene.start("serve", "second", args);
  const { stderr } = await second.exits(1);
  assertStringIncludes(stderr, `error: Cannot listen on port ${scene.port}: it is in use\nhint: `);
});

Deno.test("SIGINT while waiting exits with 130, and the name is free at once", async () => {
  await using scene = await Scene.withServer();
  const first = scene.connect("alice", "bob", [], { state: "one" });
  await first.says("waiting for bob");
  first.kill("SIGINT");
  const { stdout } = await first.exits(130);
  assertEquals(stdout, "");
  // Another identity under the same name: it would be refused if the first still held it.
  const second = scene.connect("alice", "bob", [], { state: "two" });
  await second.says("waiting for bob");
  second.kill("SIGINT");
  await second.exits(130);
});

Deno.test("SIGINT in a conversation says goodbye: 130 here, left there", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await couple(scene);
  await bob.write("one\n");
  await alice.event("message", { text: "one" });
  alice.kill("SIGINT");
  await alice.exits(130);
  await bob.event("peer-left");
  await bob.exits(0);
});

Deno.test("SIGTERM in a conversation is an orderly end", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await couple(scene);
  alice.kill("SIGTERM");
  await alice.exits(0);
  await bob.event("peer-left");
  await bob.exits(0);
});

Deno.test("a peer killed in the middle of a stream: the other exits with 1 and says why", async () => {
  await using scene = await Scene.withServer();
  for (const killed of ["sender", "receiver"]) {
    const [alice, bob] = await couple(scene, []);
    await bob.endInput();
    const piece = new Uint8Array(65_536);
    let sent = 0;
    const flood = (async () => {
      for (;; sent += piece.length) await alice.write(piece);
    })();
    flood.catch(() => {});
    await bob.until("a few MiB", () => bob.stdout.length > 4 * 2 ** 20);
    const [victim, other] = killed === "sender" ? [alice, bob] : [bob, alice];
    victim.kill("SIGKILL");
    const { stderr } = await other.exits(1);
    assert(sent > 0);
    assertStringIncludes(stderr, "error: Connection ");
  }
});

Deno.test("a peer killed in silence is noticed too", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await couple(scene);
  alice.kill("SIGKILL");
  await bob.event("error", { code: "cut" });
  await bob.exits(1);
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`${signal} ends the server, and those who wait are told`, async () => {
    await using scene = await Scene.open();
    const server = await scene.serve();
    const alice = scene.connect("alice", "bob", ["--json"]);
    const carol = scene.connect("carol", "dave");
    await alice.event("waiting");
    await carol.says("waiting for dave");
    server.kill(signal);
    await server.exits(signal === "SIGTERM" ? 0 : 130);
    assertEquals(server.events.at(-1)!.event === "bug", false);
    await alice.event("error", { code: "shutdown" });
    await alice.exits(1);
    const { stderr } = await carol.exits(1);
    assertStringIncludes(stderr, "error: The server is shutting down\nhint: connect again when");
  });
}

Deno.test("a server killed while people wait: they exit with 1", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve();
  const alice = scene.connect("alice", "bob", ["--json"]);
  await alice.event("waiting");
  server.kill("SIGKILL");
  await alice.exits(1);
  assertEquals(alice.events.at(-1)!.event, "error");
});

Deno.test("a conversation does not need the server any more", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve();
  const [alice, bob] = await couple(scene);
  server.kill("SIGKILL");
  await server.exit();
  await alice.write("still here?\n");
  await bob.event("message", { text: "still here?" });
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
});
