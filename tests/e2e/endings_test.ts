import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { cifraCommand, couple, Program, Scene } from "../testkit/program.ts";

function count(program: Program, name: string): number {
  return program.events.filter(({ event }) => event === name).length;
}

/** Runs `main.ts` with these arguments to its end, with no state to use. */
async function run(...args: readonly string[]): Promise<Program> {
  const cifra = cifraCommand("connect", "/nonexistent").slice(0, -1);
  const program = new Program({ name: args.join(" "), command: [...cifra, ...args] });
  await program.endInput();
  await program.exit();
  return program;
}

const WRONG: readonly (readonly [readonly string[], string])[] = [
  [["greet"], 'error: Unknown command "greet"\nhint: cifra --help lists the commands\n'],
  [["conect"], 'error: Unknown command "conect"\nhint: did you mean connect?\n'],
  [["help", "me"], 'error: Unknown command "me"\nhint: cifra --help lists the commands\n'],
  [["completions", "tcsh"], "error: SHELL must be bash, zsh or fish"],
  [
    ["connect"],
    "error: --name is missing\nhint: it says who you are, for example: --name alice\n",
  ],
  [["connect", "--name", "alice", "--to", "alice"], "error: --name and --to must be two different"],
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
  [
    ["connect", "--name", "alice", "--to", "bob", "--relay-only", "--no-relay"],
    "error: --relay-only and --no-relay leave no way to go",
  ],
  [
    ["connect", "--name", "alice", "--to", "bob", "--give-up", "soon"],
    "error: --give-up must be a whole number from 0 to 1000000",
  ],
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
      [["connect", "--to", "bob", "-h"], 0, "Usage: cifra connect"],
      [["help", "connect"], 0, "Usage: cifra connect"],
      [["help"], 0, "Usage: cifra COMMAND"],
      [["-h"], 0, "Usage: cifra COMMAND"],
      [["completions", "bash"], 0, "complete -F _cifra cifra"],
      [["man"], 0, ".TH CIFRA 1"],
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
  const where = ["--server", `127.0.0.1:${port}`];
  const alice = scene.connect("alice", "bob", [...where, "--give-up", "0"]);
  const { stdout, stderr } = await alice.exits(1);
  assertEquals(stdout, "");
  assertStringIncludes(stderr, `error: Cannot reach 127.0.0.1:${port}: nobody listens there\n`);
});

for (const front of ["--json", "pipe"] as const) {
  Deno.test(`${front}: a server that is not up yet is waited for, and what is written meanwhile is kept`, async () => {
    await using scene = await Scene.open();
    const server = await scene.serve();
    // At this address it is found again.
    server.kill("SIGTERM");
    await server.exits(0);
    const options = front === "--json" ? [front] : [];
    const alice = scene.connect("alice", "bob", options);
    await alice.write("are you there?\n");
    await alice.endInput();
    if (front === "--json") {
      const { code } = await alice.event("server-lost");
      assertEquals(code, "unreachable");
    } else await alice.says("cifra: no connection to the server yet (cannot reach ");
    const args = ["--port", `${scene.port}`, "--json"];
    await scene.start("serve", "server", args).event("listening");
    const bob = scene.connect("bob", "alice", options);
    await bob.endInput();
    await Promise.all([alice.exits(0), bob.exits(0)]);
    assertStringIncludes(bob.stdout, "are you there?");
  });
}

Deno.test("serve fails with 1 when its port is taken", async () => {
  await using scene = await Scene.withServer();
  const args = ["--port", `${scene.port}`, "--host", "127.0.0.1"];
  const second = scene.start("serve", "second", args);
  const { stderr } = await second.exits(1);
  assertStringIncludes(stderr, `error: Cannot listen on port ${scene.port}: it is in use\nhint: `);
});

Deno.test("SIGINT while waiting exits with 130, and the name is free at once", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve(["--log-people"]);
  const first = scene.connect("alice", "bob");
  await first.says("waiting for bob");
  first.kill("SIGINT");
  const { stdout } = await first.exits(130);
  assertEquals(stdout, "");
  const second = scene.connect("alice", "bob");
  await second.says("waiting for bob");
  // It did not have to take the place of the first.
  await server.until("alice once more", () => server.events.length >= 6);
  const words = server.events.map(({ event }) => event);
  const inOrder = ["listening", "registered", "wants", "left", "registered", "wants"];
  assertEquals(words, inOrder);
  second.kill("SIGINT");
  await second.exits(130);
});

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 0]] as const) {
  Deno.test(`${signal} in a conversation says goodbye: ${code} here; there one waits for the next`, async () => {
    await using scene = await Scene.withServer();
    const [alice, bob] = await couple(scene);
    await bob.write("one\n");
    await alice.event("message", { text: "one" });
    alice.kill(signal);
    await alice.exits(code);
    await bob.event("peer-left", { failed: false });
    await bob.until("waiting again", () => count(bob, "waiting") === 2);
    const back = scene.connect("alice", "bob", ["--json"]);
    await bob.event("connected", { again: true });
    await Promise.all([back.endInput(), bob.endInput()]);
    await Promise.all([back.exits(0), bob.exits(0)]);
    assertEquals(count(bob, "lost"), 0);
  });
}

for (const victim of ["sender", "receiver"] as const) {
  Deno.test(`a ${victim} killed in the middle of a stream: the other gives up and says why`, async () => {
    await using scene = await Scene.withServer();
    const { alice, bob } = await streaming(scene, ["--give-up", "1"]);
    const [killed, other] = victim === "sender" ? [alice, bob] : [bob, alice];
    killed.kill("SIGKILL");
    await other.says("cifra: the connection to ");
    const { stderr } = await other.exits(1);
    const [who, hint] = [killed.name, "run the command again on both sides"];
    assertMatch(
      stderr,
      RegExp(`error: ${who} did not come back within 1 s \\(.*\\)\nhint: ${hint}`),
    );
    // Nobody types there, and what a dead program had not taken is lost.
    assert(!/\/verify|nothing is lost/.test(stderr), stderr);
    assertStringIncludes(stderr, `compare words with cifra keys verify ${killed.name}`);
  });

  Deno.test(`a ${victim} killed in the middle of a stream and started again: the rest would be another`, async () => {
    await using scene = await Scene.withServer();
    const { alice, bob } = await streaming(scene, []);
    const [killed, other] = victim === "sender" ? [alice, bob] : [bob, alice];
    killed.kill("SIGKILL");
    await other.says("cifra: the connection to ");
    const again = scene.connect(killed.name, other.name);
    const { stderr } = await other.exits(1);
    assertMatch(stderr, /error: .* program has restarted: .*\nhint: run the command again on both/);
    // Whoever was started again does not blame the other one.
    const { stderr: its } = await again.exits(1);
    if (victim === "receiver") {
      assertStringIncludes(its, "error: This program was started again in");
    }
    assertMatch(its, /\nhint: .*run the command again on both sides/);
  });
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`${signal} in the middle of a stream is no success: neither for who sends nor for who receives`, async () => {
    await using scene = await Scene.withServer();
    const { alice, bob } = await streaming(scene, []);
    alice.kill(signal);
    await alice.exits(130);
    const { stderr } = await bob.exits(1);
    const words = "error: alice left in the middle of the stream: what came is not complete\n";
    assertStringIncludes(stderr, `cifra: alice left\n${words}hint: run the command again`);
  });
}

Deno.test("a receiver that ends in the middle of a stream has failed, and so has its sender", async () => {
  await using scene = await Scene.withServer();
  const { alice, bob } = await streaming(scene, []);
  bob.kill("SIGTERM");
  await bob.exits(130);
  const { stderr } = await alice.exits(1);
  assertStringIncludes(stderr, "error: bob left before taking everything\n");
});

Deno.test("a sender that rests in the middle of a stream has failed when its receiver leaves", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await couple(scene, []);
  await bob.endInput();
  await alice.write("the first half\n");
  await bob.prints("the first half\n");
  bob.kill("SIGTERM");
  await bob.exits(130);
  const { stderr } = await alice.exits(1);
  assertStringIncludes(stderr, "error: bob left before taking everything\n");
});

Deno.test("a sender that leaves without a word has sent nothing, which is no empty stream", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await couple(scene, []);
  await bob.endInput();
  await alice.says("bob has nothing more to send");
  alice.kill("SIGTERM");
  await alice.exits(130);
  const { stdout, stderr } = await bob.exits(1);
  assertEquals(stdout, "");
  assertStringIncludes(stderr, "error: alice left before sending anything\n");
});

Deno.test("a stream that has come to its end is complete, whoever leaves after that", async () => {
  await using scene = await Scene.withServer();
  for (const first of ["sender", "receiver"] as const) {
    const [alice, bob] = await couple(scene, []);
    await alice.write("all of it\n");
    await alice.endInput();
    // Its own input is open, and nothing comes from there.
    await bob.says("alice has nothing more to send");
    const [leaving, other] = first === "sender" ? [alice, bob] : [bob, alice];
    leaving.kill("SIGTERM");
    await leaving.exits(130);
    await other.exits(0);
    assertEquals(bob.stdout, "all of it\n");
  }
});

Deno.test("--json: a stream whose sender leaves in the middle is an error at the end", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob");
  const bob = scene.connect("bob", "alice", ["--json"]);
  await Promise.all([alice.says("connected to bob"), bob.event("connected")]);
  await bob.endInput();
  await alice.write("half");
  await bob.event("message", { text: "half" });
  alice.kill("SIGTERM");
  await alice.exits(130);
  await bob.exits(1);
  const message = "alice left in the middle of the stream: what came is not complete";
  const hint = "run the command again on both sides";
  assertEquals(bob.events.at(-1), { event: "error", code: "cut", message, hint });
});

/** Alice sends without an end, and bob has some of it. */
async function streaming(
  scene: Scene,
  args: readonly string[],
): Promise<{ readonly alice: Program; readonly bob: Program }> {
  let taken = 0;
  const enough = Promise.withResolvers<void>();
  const bob = scene.connect("bob", "alice", args, {
    onStdout: (piece) => {
      taken += piece.length;
      if (taken > 4 * 2 ** 20) enough.resolve();
    },
  });
  const alice = scene.connect("alice", "bob", args);
  await Promise.all([alice.says("connected to bob"), bob.says("connected to alice")]);
  await bob.endInput();
  const flood = (async () => {
    const piece = new Uint8Array(65_536);
    for (;;) await alice.write(piece);
  })();
  flood.catch(() => {});
  await enough.promise;
  return { alice, bob };
}

Deno.test("a peer killed in silence is noticed too, and waited for", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await couple(scene);
  alice.kill("SIGKILL");
  await bob.event("lost", { code: "cut" });
  const back = scene.connect("alice", "bob", ["--json"]);
  await Promise.all([bob.event("connected", { again: true }), back.event("connected")]);
  await Promise.all([back.endInput(), bob.endInput()]);
  await Promise.all([back.exits(0), bob.exits(0)]);
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`${signal} ends the server; those who wait are told, and find the next one`, async () => {
    await using scene = await Scene.open();
    const server = await scene.serve();
    const alice = scene.connect("alice", "bob", ["--json"]);
    const carol = scene.connect("carol", "dave");
    await alice.event("waiting");
    await carol.says("waiting for dave");
    server.kill(signal);
    await server.exits(signal === "SIGTERM" ? 0 : 130);
    assert(!server.events.some(({ event }) => event === "bug"));
    await alice.event("server-lost", { code: "shutdown" });
    await carol.says("no connection to the server (the server is shutting down); next try in 1 s");
    const next = scene.start("serve", "server", ["--port", `${scene.port}`, "--json"]);
    await next.event("listening");
    await alice.until("waiting again", () => count(alice, "waiting") === 2);
    const dave = scene.connect("dave", "carol");
    await Promise.all([carol.says("connected to dave"), dave.says("connected to carol")]);
    await Promise.all([carol.endInput(), dave.endInput()]);
    await Promise.all([carol.exits(0), dave.exits(0)]);
    alice.kill("SIGINT");
    await alice.exits(130);
  });
}

Deno.test("a conversation with the server ends with the server", async () => {
  await using scene = await Scene.open();
  for (const [signal, code] of [["SIGTERM", "shutdown"], ["SIGKILL", "cut"]] as const) {
    const server = await scene.serve();
    const alice = scene.connect("alice", "server", ["--json"]);
    await alice.write("one\n");
    await alice.event("message", { text: "OK" });
    server.kill(signal);
    await alice.event("error", { code });
    await alice.exits(1);
    await server.exit();
  }
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
