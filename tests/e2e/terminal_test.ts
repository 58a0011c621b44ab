import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { cifraCommand, type Program, Scene, type Task } from "../testkit/program.ts";
import {
  hasPty,
  leavesTerminal,
  ON_TERMINAL,
  onTerminal,
  render,
  screen,
  shows,
  signalOnTerminal,
} from "../testkit/pty.ts";

function terminalTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: !hasPty, fn });
}

/** Alice at a terminal, bob a program on lines of JSON. */
async function aliceAtTerminal(scene: Scene): Promise<readonly [Program, Program]> {
  const alice = scene.connect("alice", "bob", [], ON_TERMINAL);
  const bob = scene.connect("bob", "alice", ["--json"]);
  await Promise.all([shows(alice, "-- connected to bob"), bob.event("connected")]);
  await shows(alice, "\nalice>");
  return [alice, bob];
}

/** Which way it is depends on how busy the machine is. */
async function showsPath(program: Program): Promise<void> {
  const ways = /\n-- (direct 127\.0\.0\.1:\d+, dialled by|relay through the server)/;
  await program.until("the path", () => ways.test(screen(program)));
}

function bottomLine(program: Program): string {
  return screen(program).split("\n").at(-1)!;
}

terminalTest("two people chat at two terminals, compare words, and one leaves", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob", [], ON_TERMINAL);
  await shows(alice, "-- waiting for bob");
  const bob = scene.connect("bob", "alice", [], ON_TERMINAL);
  await Promise.all([shows(alice, "alice>"), shows(bob, "bob>")]);
  await shows(alice, "-- first contact with bob, known from now on by the key");

  await alice.write("hello bob\r");
  await shows(bob, "alice: hello bob");
  await bob.write("¿qué tal? 你好\r");
  await shows(alice, "bob: ¿qué tal? 你好");

  const words: string[] = [];
  for (const program of [alice, bob]) {
    await program.write("/verify\r");
    const pattern = /they must be the same there:\n {3}((?:\w+ ?){6})\n {3}((?:\w+ ?){6})\n/;
    const found = await program.until("words", () => pattern.exec(screen(program)) ?? undefined);
    words.push(`${found[1]} ${found[2]}`);
  }
  assertEquals(words[0], words[1]);
  assertEquals(words[0]!.split(" ").length, 12);

  await alice.write("/path\r");
  await showsPath(alice);
  await alice.write("/help\r");
  await shows(alice, "/quit             leave");
  await alice.write("/nonsense\r");
  await shows(alice, "-- Unknown command");
  await alice.write("//path is a command\r");
  await shows(bob, "alice: /path is a command");

  await alice.write("/quit\r");
  assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
  await shows(bob, "-- alice left\n   what you write is kept until alice is back; /quit to leave");
  await bob.write("/quit\r");
  assertEquals(await leavesTerminal(bob), { code: 0, restored: true });
  assertStringIncludes(screen(alice), "\n-- done\n");
  assert(!screen(alice).includes("␛") && !screen(bob).includes("␛"));
});

terminalTest(
  "a line that arrives stands above the half-typed one, which is drawn again",
  async () => {
    await using scene = await Scene.withServer();
    const [alice, bob] = await aliceAtTerminal(scene);
    await alice.write("half a li");
    await shows(alice, "alice> half a li");
    await bob.write("first\nsecond\n");
    await shows(alice, "bob: second");
    await alice.until("the prompt again", () => bottomLine(alice) === "alice> half a li");
    assertStringIncludes(screen(alice), "\nbob: first\nbob: second\nalice> half a li");

    // Also when what is typed takes more than a row, and the cursor is in the middle of it.
    const long = `${"long ".repeat(20)}end`;
    await alice.write(`\x15${long}${"\x1b[D".repeat(60)}`);
    await shows(alice, "end");
    await bob.write("third\n");
    await shows(alice, "bob: third");
    const typed = `alice> ${long}`;
    const rows = typed.match(/.{1,80}/g)!.map((row) => row.trimEnd());
    await alice.until(
      "the long line again",
      () => screen(alice).endsWith(`bob: third\n${rows.join("\n")}`),
    );
    await alice.write("\r");
    await bob.event("message", { text: long });
  },
);

terminalTest("arrow up brings back what was said, tab completes a command", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await aliceAtTerminal(scene);
  await alice.write("say it again\r");
  await bob.event("message", { number: 1, text: "say it again" });
  await alice.write("\x1b[A");
  await alice.until("the old line", () => bottomLine(alice).endsWith("alice> say it again"));
  await alice.write("!\r");
  await bob.event("message", { number: 2, text: "say it again!" });
  await alice.write("/pa\t");
  await alice.until("completion", () => bottomLine(alice).endsWith("alice> /path"));
  await alice.write("\r");
  await showsPath(alice);
});

terminalTest(
  "lines pasted at once are one message, and so are lines joined by a backslash",
  async () => {
    await using scene = await Scene.withServer();
    const [alice, bob] = await aliceAtTerminal(scene);
    await alice.write("one\rtwo\rthree\r");
    await bob.event("message", { number: 1, text: "one\ntwo\nthree" });
    await alice.write("four\\\r");
    await shows(alice, "\n...");
    await alice.write("five\r");
    await bob.event("message", { number: 2, text: "four\nfive" });
    await bob.write("six\n");
    await shows(alice, "bob: six");
  },
);

terminalTest(
  "what a peer sends cannot drive the terminal, nor pretend to be another's line",
  async () => {
    await using scene = await Scene.withServer();
    const [alice, bob] = await aliceAtTerminal(scene);
    const before = alice.stdout.length;
    await bob.write("a\x1b[2Jb\x1b]52;c;aGk=\x07c\x9bd\x1b]8;;http://x\x1b\\e \u202eftl\u2066\n");
    await bob.write("\x1b[1Aalice> I owe bob money\r-- done\n");
    await bob.write("end\n");
    await shows(alice, "bob: end");
    const drawn = alice.stdout.slice(before);
    for (
      const evil of ["\x1b[2J", "\x1b]", "\x07", "\x9b", "\x1b\\", "\u202e", "\u2066", "\x1b[1A"]
    ) {
      assert(!drawn.includes(evil), JSON.stringify(drawn));
    }
    const lines = render(drawn).map((line) => line.replace(/^\d\d:\d\d /, ""));
    assert(lines.some((line) => line.startsWith("bob: a[2Jb]52;c;aGk=cd]8;;http://x")));
    assertStringIncludes(screen(alice), "\\u{202e}ftl\\u{2066}");
    assert(!lines.some((line) => /^alice> I owe/.test(line) || /^-- done/.test(line)));
  },
);

terminalTest(
  "a stream that goes to a terminal is made harmless, and to a file it is not",
  async () => {
    await using scene = await Scene.withServer();
    const alice = scene.connect("alice", "bob", [], {
      ...ON_TERMINAL,
      start: (task, folder) =>
        onTerminal(["sh", "-c", '"$@" </dev/null', "sh", ...cifraCommand(task, folder)]),
    });
    const bob = scene.connect("bob", "alice");
    await Promise.all([shows(alice, "connected to bob"), bob.says("connected to alice")]);
    const before = alice.stdout.length;
    await bob.write("plain \x1b[31mred\x1b]0;title\x07 ¡fin!\n");
    await bob.endInput();
    await bob.exits(0);
    assertEquals((await leavesTerminal(alice)).code, 0);
    assertStringIncludes(alice.stdout.slice(before), "bob: plain [31mred]0;title ¡fin!");
    assert(!alice.stdout.slice(before, alice.stdout.lastIndexOf("exit ")).includes("\x1b"));
  },
);

terminalTest("Ctrl-C in a conversation exits with 130, and the terminal is as it was", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await aliceAtTerminal(scene);
  await alice.write("unfinished");
  await shows(alice, "unfinished");
  // The first one only clears the line.
  await alice.write("\x03");
  await alice.until("an empty line", () => bottomLine(alice) === "alice>");
  await alice.write("\x19");
  await alice.until("what was cleared", () => bottomLine(alice) === "alice> unfinished");
  await alice.write("\x03\x03");
  assertEquals(await leavesTerminal(alice), { code: 130, restored: true });
  await bob.event("peer-left", { failed: false });
});

terminalTest(
  "Ctrl-C at a question exits with 130, and so does SIGINT; SIGTERM ends it with 0",
  async () => {
    await using scene = await Scene.withServer();
    const ends = [["Ctrl-C", 130], ["SIGINT", 130], ["SIGTERM", 0]] as const;
    for (const [end, code] of ends) {
      const alice = scene.connect("alice", "bob", ["--invite"], { ...ON_TERMINAL, state: end });
      await shows(alice, "invite line:");
      await alice.write("cifra1:half");
      await shows(alice, "cifra1:half");
      if (end === "Ctrl-C") await alice.write("\x03");
      else signalOnTerminal(alice, end);
      assertEquals(await leavesTerminal(alice), { code, restored: true });
      const { stdout } = alice;
      assert(stdout.lastIndexOf("\x1b[?2004l") > stdout.lastIndexOf("\x1b[?2004h"));
    }
  },
);

const PLAIN = [["--plain", ["--plain"], {}], ["TERM=dumb", [], { TERM: "dumb" }]] as const;
for (const [how, args, env] of PLAIN) {
  terminalTest(`${how}: the terminal edits lines, and nothing is ever drawn again`, async () => {
    await using scene = await Scene.withServer();
    const options = { ...ON_TERMINAL, env: { ...ON_TERMINAL.env, ...env } };
    const alice = scene.connect("alice", "bob", args, options);
    const bob = scene.connect("bob", "alice", ["--json"]);
    await Promise.all([shows(alice, "-- connected to bob"), bob.event("connected")]);
    await alice.write("helo\x7flo\r");
    await bob.event("message", { number: 1, text: "hello" });
    await bob.write("hi\n");
    await shows(alice, "bob: hi");
    // What comes in one go is one message, whatever its lines begin with.
    await alice.write("/quit\nand more\n");
    await bob.event("message", { number: 2, text: "/quit\nand more" });
    await alice.write("four\\\r");
    await bob.write("in between\n");
    await shows(alice, "bob: in between");
    await alice.write("five\r");
    await bob.event("message", { number: 3, text: "four\nfive" });
    await alice.write("/quit\r");
    assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
    // deno-lint-ignore no-control-regex
    assert(!/\x1b\[|alice>/.test(alice.stdout), JSON.stringify(alice.stdout));
  });
}

terminalTest(
  "--plain: what comes begins below what is half typed, which Ctrl-R repeats",
  async () => {
    await using scene = await Scene.withServer();
    const alice = scene.connect("alice", "bob", ["--plain", "--no-times"], ON_TERMINAL);
    const bob = scene.connect("bob", "alice", ["--json"]);
    await Promise.all([shows(alice, "-- connected to bob"), bob.event("connected")]);
    await alice.write("half a");
    await shows(alice, "\nhalf a");
    // A person types no faster.
    await new Promise((resolve) => setTimeout(resolve, 200));
    await bob.write("hi\n");
    await shows(alice, "\nhalf a\nbob: hi");
    await alice.write("\x12");
    await shows(alice, "bob: hi\n^R\nhalf a");
    await alice.write(" line\r");
    await bob.event("message", { number: 1, text: "half a line" });
    // What answers a line follows it at once; without an empty row, unless the machine is busy.
    await alice.write("/path bob\r");
    await alice.until("the answer", () => /\n\/path bob\n\n?-- /.test(screen(alice)));
    await alice.write("/quit\r");
    assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
  },
);

terminalTest("Ctrl-C while waiting exits with 130", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob", [], ON_TERMINAL);
  await shows(alice, "-- waiting for bob");
  await alice.write("\x03");
  assertEquals(await leavesTerminal(alice), { code: 130, restored: true });
});

terminalTest("Ctrl-D leaves, and so do SIGTERM and SIGHUP; the terminal is as it was", async () => {
  await using scene = await Scene.withServer();
  for (const leave of ["Ctrl-D", "SIGTERM", "SIGHUP"] as const) {
    const [alice, bob] = await aliceAtTerminal(scene);
    if (leave === "Ctrl-D") await alice.write("\x04");
    else signalOnTerminal(alice, leave);
    assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
    await bob.event("peer-left", { failed: false });
    bob.kill("SIGINT");
    await bob.exits(130);
  }
});

terminalTest(
  "a person who is not who we know ends the chat: the terminal is as it was, exit code 3",
  async () => {
    await using scene = await Scene.withServer();
    const [alice, bob] = await aliceAtTerminal(scene);
    await alice.write("half a li");
    await shows(alice, "alice> half a li");
    bob.kill("SIGKILL");
    await shows(alice, "-- the connection to bob is lost (");
    await shows(alice, "-- waiting for bob");
    await scene.operate("forget bob");
    const impostor = scene.connect("bob", "alice", ["--json"], { state: "impostor" });
    assertEquals(await leavesTerminal(alice), { code: 3, restored: true });
    assertStringIncludes(screen(alice), "\nerror: bob has another key than before\n");
    await impostor.exits(3);
    await impostor.event("error", { code: "identity_changed" });
  },
);

terminalTest("a long line is pasted in no time; one that is too long is refused", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await aliceAtTerminal(scene);
  // Letter by letter this would take the line editor minutes.
  const longest = "x".repeat(16 * 1024);
  await alice.write(`${longest}\r`);
  await bob.event("message", { number: 1, text: longest });
  await alice.write(`${longest}x\r`);
  await shows(
    alice,
    "-- NOT SENT: Cannot send this message: must be at most 16384 bytes, got 16385",
  );
  await alice.write("still here\r");
  await bob.event("message", { number: 2, text: "still here" });
});

const address = Deno.networkInterfaces().find(({ family, address }) =>
  family === "IPv4" && !address.startsWith("127.") && !address.startsWith("169.254.")
)?.address;

Deno.test({
  name: "an unknown server elsewhere: the person is asked, and the answer is kept",
  ignore: !hasPty || address === undefined,
  async fn() {
    await using scene = await Scene.open();
    const server = await scene.serve(["--host", address!, "--admission", "open"]);
    const { fingerprints } = await server.event("listening");
    const where = ["--server", `${address}:${scene.port}`];
    for (const [answer, next] of [["n", "is not trusted"], ["y", "-- waiting for bob"]] as const) {
      const alice = scene.connect("alice", "bob", where, ON_TERMINAL);
      await shows(alice, "is that what the server prints?");
      assertStringIncludes(screen(alice), (fingerprints as { modern: string }).modern);
      await alice.write(`${answer}\r`);
      await shows(alice, next);
      if (answer === "y") await alice.write("\x03");
      assertEquals((await leavesTerminal(alice)).code, answer === "y" ? 130 : 1);
      const profiles = `${scene.stateOf("alice")}/profiles`;
      const kept = [...Deno.readDirSync(profiles)].map(({ name }) => name);
      assertEquals(kept, answer === "y" ? ["alice"] : []);
    }
    const known = scene.connect("alice", "bob", where, ON_TERMINAL);
    await shows(known, "-- waiting for bob");
    assert(!screen(known).includes("not known here"));
  },
});

Deno.test({
  name: "what was typed before a question is no answer to it, but a message",
  ignore: !hasPty || address === undefined,
  async fn() {
    await using scene = await Scene.open();
    // A port at which a server stands a moment later.
    const server = await scene.serve(["--host", address!, "--admission", "open"]);
    const { port } = await server.event("listening");
    server.kill("SIGTERM");
    await server.exits(0);
    const where = ["--server", `${address}:${port}`];
    const alice = scene.connect("alice", "bob", where, ON_TERMINAL);
    await shows(alice, "-- no connection to the server yet");
    await alice.write("y\r");
    scene.start("serve", "server", [
      ...["--host", address!, "--port", `${port}`, "--admission", "open", "--json"],
    ]);
    await shows(alice, "is that what the server prints? [y/N]");
    await alice.write("perhaps\r");
    // The line that ends is drawn once more before the question is asked again: what comes then is no answer yet.
    const asked = () => alice.stdout.split("\x1b[?2004h").length - 1;
    await alice.until(
      "the question again",
      () => asked() === 2 && screen(alice).split("[y/N]").length === 3,
    );
    await alice.write("y\r");
    await shows(alice, "alice> y\n");
    await shows(alice, "(queued) alice>");
    await alice.write("\x03");
    assertEquals((await leavesTerminal(alice)).code, 130);
  },
});

terminalTest(
  "with a pipe on stdout alone nobody types, and the end of the other is the end",
  async () => {
    await using scene = await Scene.withServer();
    // The shell appends the program's own arguments; its stdin stays the terminal.
    const start = (task: Task, folder: string) =>
      onTerminal(["sh", "-c", '"$@" | cat', "sh", ...cifraCommand(task, folder)]);
    const bob = scene.connect("bob", "alice", [], { ...ON_TERMINAL, start });
    const alice = scene.connect("alice", "bob");
    await alice.write("from a pipe\n");
    await alice.endInput();
    await alice.exits(0);
    await shows(bob, "from a pipe");
    await shows(bob, "cifra: done");
    assertEquals(await leavesTerminal(bob), { code: 0, restored: true });
  },
);
