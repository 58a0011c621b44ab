/** What a person at a terminal sees while connections, messages and programs come and go. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Between, hasLoopbackNet } from "../testkit/between.ts";
import { type CastOptions, cifraCommand, type Program, Scene } from "../testkit/program.ts";
import {
  hasPty,
  leavesTerminal,
  onTerminal,
  screen,
  shows,
  signalOnTerminal,
} from "../testkit/pty.ts";

const TERM = { TERM: "xterm-256color" };
const ON_TERMINAL: CastOptions = {
  start: (task, folder) => onTerminal(cifraCommand(task, folder)),
  env: TERM,
};

function terminalTest(name: string, fn: () => Promise<void>, possible = true): void {
  Deno.test({ name, ignore: !hasPty || !possible, fn });
}

/** Waits until this is the line that is typed on, the prompt included. */
function isTyping(program: Program, line: string): Promise<true> {
  return program.until(
    `the line "${line}"`,
    () => screen(program).split("\n").at(-1) === line,
  );
}

/** Alice at a terminal and bob a program on lines of JSON, connected, with a proxy in every way. */
async function apart(scene: Scene, between: Between): Promise<readonly [Program, Program]> {
  const args = (name: "alice" | "bob") => [...between.args(name), "--no-relay"];
  const alice = scene.connect("alice", "bob", args("alice"), ON_TERMINAL);
  const bob = scene.connect("bob", "alice", ["--json", ...args("bob")]);
  await Promise.all([shows(alice, "-- connected to bob: direct"), bob.event("connected")]);
  return [alice, bob];
}

function messages(program: Program): unknown[] {
  return program.events.filter(({ event }) => event === "message").map(({ text }) => text);
}

terminalTest(
  "what the prompt calls queued is on the disk, whenever the program is killed",
  async () => {
    await using scene = await Scene.withServer();
    for (const [text, count] of [["one", ""], ["two", "2 "], ["three", "3 "]]) {
      const alice = scene.connect("alice", "bob", [], ON_TERMINAL);
      await shows(alice, "-- waiting for bob");
      await alice.write(`${text}\r`);
      await isTyping(alice, `(${count}queued) alice>`);
      signalOnTerminal(alice, "SIGKILL");
      await alice.exit();
    }
    const history = scene.start("history", "history", ["--with", "bob", "--json"], {
      state: "alice",
    });
    await history.exits(0);
    assertEquals(history.events.map(({ text }) => text), ["one", "two", "three"]);
  },
);

terminalTest("the prompt tells how far the last message came: queued and read", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob", [], ON_TERMINAL);
  await shows(alice, "-- waiting for bob");
  await isTyping(alice, "alice>");
  await alice.write("one\r");
  await isTyping(alice, "(queued) alice>");
  await alice.write("two\r");
  await isTyping(alice, "(2 queued) alice>");
  // How far the first one came says nothing of the second.
  await shows(alice, "\nalice> one\nalice> two\n");
  const bob = scene.connect("bob", "alice", [], ON_TERMINAL);
  await isTyping(alice, "(read) alice>");
  await shows(bob, "alice: one\nalice: two\n");
  await isTyping(bob, "bob>");
  // What was said by an earlier run is old by the next.
  await alice.write("/quit\r");
  assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
  assert(!screen(alice).includes("not delivered"), screen(alice));
  const back = scene.connect("alice", "bob", [], ON_TERMINAL);
  await shows(back, "-- connected to bob");
  await isTyping(back, "alice>");
});

terminalTest(
  "the prompt tells that a message is stored there, until somebody has read it",
  async () => {
    await using scene = await Scene.withServer();
    // Bob's program takes everything, but the reader of what it prints does not yet.
    const reading = Promise.withResolvers<void>();
    const bob = scene.connect("bob", "alice", [], { onStdout: () => reading.promise });
    const before = scene.connect("alice", "bob", ["--json"]);
    await before.event("connected");
    const lines = 30;
    await before.write(`${"x".repeat(16 * 1024)}\n`.repeat(lines));
    await before.event("stored", { number: lines });
    before.kill("SIGKILL");
    await bob.says("the connection to alice is lost");
    const alice = scene.connect("alice", "bob", [], ON_TERMINAL);
    await shows(alice, "-- connected to bob");
    await alice.write("and this\r");
    await shows(alice, "alice> and this\n");
    await isTyping(alice, "(stored) alice>");
    reading.resolve();
    await isTyping(alice, "(read) alice>");
  },
);

terminalTest("the prompt tells that a message is sent, until the other side has it", async () => {
  await using scene = await Scene.withServer();
  await using between = await Between.open(scene.port);
  const [alice, bob] = await apart(scene, between);
  await isTyping(alice, "alice>");
  between.swallow();
  await alice.write("into the dark\r");
  await isTyping(alice, "(sent) alice>");
  assertEquals(messages(bob), []);
  between.release();
  await isTyping(alice, "(read) alice>");
  assertEquals(messages(bob), ["into the dark"]);
}, hasLoopbackNet);

terminalTest("a half-typed line survives a cut, and goes over the next connection", async () => {
  await using scene = await Scene.withServer();
  await using between = await Between.open(scene.port);
  const [alice, bob] = await apart(scene, between);
  await alice.write("half a li");
  await isTyping(alice, "alice> half a li");
  for (const [i, how] of (["rst", "fin"] as const).entries()) {
    between.cut(how);
    for (
      const news of ["-- the connection to bob is lost (", "-- connected to bob again: direct "]
    ) {
      await alice.until(`"${news}" anew`, () => screen(alice).split(news).length === i + 2);
    }
    await isTyping(alice, "alice> half a li");
  }
  await alice.write("ne\r");
  await bob.event("message", { number: 1, text: "half a line" });
  await isTyping(alice, "(read) alice>");
}, hasLoopbackNet);

terminalTest(
  "/path tells the truth: direct, by whose dial, not at all, and direct again",
  async () => {
    await using scene = await Scene.withServer();
    await using between = await Between.open(scene.port);
    const [alice, bob] = await apart(scene, between);
    const path = async (answer: RegExp) => {
      const before = screen(alice).length;
      await alice.write("/path\r");
      return await alice.until(
        `${answer}`,
        () => answer.exec(screen(alice).slice(before)) ?? undefined,
      );
    };
    const direct = (found: RegExpExecArray) => {
      const [, host, port, dialledBy] = found;
      const { receivePort } = bob.events.findLast(({ event }) => event === "registered")!;
      // Bob's proxy listens at his receive port of his address; who dials comes from another place.
      assertEquals(`${host}:${port}` === `127.0.0.3:${receivePort}`, dialledBy === "us");
      const theirs = bob.events.findLast(({ event }) => event === "connected")!;
      assertEquals([theirs.dialledBy === "peer", theirs.path], [dialledBy === "us", "direct"]);
    };
    direct(await path(/-- direct ([\d.]+):(\d+), dialled by (us|bob)\n/));
    between.refuse();
    between.cut();
    await shows(alice, "-- the connection to bob is lost (");
    await path(/-- not connected\n/);
    await between.accept();
    await shows(alice, "-- connected to bob again: direct ");
    await bob.event("connected", { again: true });
    direct(await path(/-- direct ([\d.]+):(\d+), dialled by (us|bob)\n/));
  },
  hasLoopbackNet,
);

terminalTest("/path and the status tell of the relay", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob", ["--relay-only"], ON_TERMINAL);
  const bob = scene.connect("bob", "alice", ["--json"]);
  await bob.event("connected", { path: "relay" });
  await shows(alice, "-- connected to bob: relay through the server, which cannot read it, modern");
  await shows(alice, '-- connected to "cifra server" at ');
  await alice.write("/path\r");
  await shows(alice, "-- relay through the server, which cannot read it\n");
});

terminalTest(
  "a peer that is killed: what is typed is kept, also over the end of the program",
  async () => {
    await using scene = await Scene.withServer();
    const alice = scene.connect("alice", "bob", [], ON_TERMINAL);
    const bob = scene.connect("bob", "alice", ["--json"]);
    await Promise.all([shows(alice, "-- connected to bob"), bob.event("connected")]);
    await alice.write("before\r");
    await isTyping(alice, "(read) alice>");
    bob.kill("SIGKILL");
    await shows(alice, "-- the connection to bob is lost (");
    await alice.write("meanwhile\r");
    await isTyping(alice, "(queued) alice>");
    await alice.write("/quit\r");
    assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
    assertStringIncludes(
      screen(alice),
      "-- 1 message is not delivered yet; kept here until you and bob are connected",
    );
    const back = scene.connect("alice", "bob", [], ON_TERMINAL);
    await isTyping(back, "(queued) alice>");
    const bobBack = scene.connect("bob", "alice", ["--json"]);
    await isTyping(back, "(read) alice>");
    // Killed before the disk knew that it was shown, bob is shown the first one again, with a remark.
    const again = bobBack.events.filter(({ text, recovered }) => text === "before" && recovered);
    assertEquals(messages(bobBack), [...again.map(() => "before"), "meanwhile"]);
  },
);

terminalTest(
  "a person who has read a message is not shown it again, and who may not have, is told",
  async () => {
    await using scene = await Scene.withServer();
    const bob = scene.connect("bob", "alice", ["--json"]);
    const alice = scene.connect("alice", "bob", [], ON_TERMINAL);
    await Promise.all([shows(alice, "-- connected to bob"), bob.event("connected")]);
    await bob.write("once\n");
    await bob.event("read", { number: 1 });
    await shows(alice, "bob: once\n");
    await alice.write("\x04");
    assertEquals((await leavesTerminal(alice)).code, 0);
    await bob.event("peer-left", { failed: false });
    await bob.write("twice\n");
    await bob.event("queued", { number: 2 });
    const back = scene.connect("alice", "bob", [], ON_TERMINAL);
    await shows(back, "bob: twice\n");
    // As one of those that were said before, and not as one that is new.
    assertEquals(screen(back).match(/.*once/g), ["| bob: once"]);
    assert(!screen(back).includes("when this program last ended"), screen(back));
  },
);

terminalTest("who starts before the server does types at once, and it arrives", async () => {
  await using scene = await Scene.open();
  const first = await scene.serve();
  const before = scene.connect("alice", "bob", [], ON_TERMINAL);
  await shows(before, "-- waiting for bob");
  await before.write("/quit\r");
  await leavesTerminal(before);
  first.kill("SIGTERM");
  await first.exits(0);
  // A server that is known: nothing will be asked.
  const alice = scene.connect("alice", "bob", [], ON_TERMINAL);
  await shows(alice, "-- no connection to the server yet (cannot reach");
  await alice.write("are you there?\r");
  await isTyping(alice, "(queued) alice>");
  const args = ["--port", `${scene.port}`, "--json"];
  await scene.start("serve", "server", args).event("listening");
  const bob = scene.connect("bob", "alice", ["--json"]);
  await bob.event("message", { text: "are you there?" });
  await isTyping(alice, "(read) alice>");
  await alice.write("/quit\r");
  await leavesTerminal(alice);
});
