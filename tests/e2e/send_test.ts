/** One message and go: how far it comes, and what is said of it. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { interrupt, whoAndWhere } from "../testkit/lobby.ts";
import { hasPty, leavesTerminal, onTerminal, screen, shows } from "../testkit/pty.ts";
import { type Exit, type Program, Scene, sourceCommand } from "../testkit/program.ts";
import { within } from "../testkit/time_limit.ts";

/** Somebody has been at the server, and has a box there. */
async function wasHere(scene: Scene, ...names: string[]): Promise<void> {
  for (const name of names) await inbox(scene, name).exits(0);
}

function inbox(scene: Scene, name: string, args: readonly string[] = []): Program {
  return scene.start("inbox", name, [...whoAndWhere(scene, name), ...args]);
}

function send(scene: Scene, name: string, to: string, args: readonly string[]): Program {
  return scene.start("send", name, [...whoAndWhere(scene, name), "--to", to, ...args]);
}

/** The same with a text on stdin. */
async function sends(
  scene: Scene,
  [name, to]: readonly [string, string],
  text: string,
  args: readonly string[] = [],
  code = 0,
): Promise<Exit> {
  const program = send(scene, name, to, args);
  await program.write(text);
  await program.endInput();
  return await program.exits(code);
}

function events(program: Program, ...names: string[]): unknown[] {
  return program.events.filter(({ event }) => names.includes(event))
    .map(({ event, number, text }) => [event, number ?? text]);
}

Deno.test(
  "a message is left for somebody who is away, and is there for them, once",
  within(90, async () => {
    await using scene = await Scene.withServer();
    await wasHere(scene, "alice", "bob");
    const first = await sends(scene, ["alice", "bob"], "the oven\nis free\n", ["--accept-new"]);
    assertEquals(first.stdout, "");
    assertStringIncludes(first.stderr, "first contact with bob");
    assertStringIncludes(first.stderr, "compare words with cifra keys verify bob");
    assertStringIncludes(first.stderr, "on the server for bob");
    // Known by now: nothing needs to be accepted. A text on the command line is one as well.
    const second = send(scene, "alice", "bob", ["--json", "--text=-- and hot"]);
    await second.exits(0);
    assertEquals(events(second, "queued", "on-server"), [["queued", 2], ["on-server", 2]]);
    const bob = inbox(scene, "bob", ["--accept", "all", "--json"]);
    await bob.exits(0);
    assertEquals(events(bob, "message"), [["message", 1], ["message", 2]]);
    const texts = bob.events.filter(({ event }) => event === "message").map(({ text }) => text);
    assertEquals(texts, ["the oven\nis free", "-- and hot"]);
    assertStringIncludes((await inbox(scene, "bob").exits(0)).stderr, "nothing new");
    // Its writer is told, by whatever connects next.
    const third = send(scene, "alice", "bob", ["--json", "--text", "third"]);
    await third.exits(0);
    assertEquals(events(third, "read"), [["read", 2]]);
  }),
);

Deno.test(
  "what one run has left on the server the next one knows to be there",
  within(90, async () => {
    await using scene = await Scene.withServer();
    await wasHere(scene, "alice", "bob");
    await sends(scene, ["alice", "bob"], "hello", ["--accept-new"]);
    const alice = scene.start("connect", "alice", [
      ...whoAndWhere(scene, "alice"),
      ...["--to", "bob", "--json"],
    ]);
    await alice.event("on-server", { number: 1 });
    await interrupt(alice);
  }),
);

Deno.test(
  "who waits is told when it is stored and read over there, and how far it was when time is up",
  within(90, async () => {
    await using scene = await Scene.withServer();
    await wasHere(scene, "alice", "bob");
    const late = await sends(scene, ["alice", "bob"], "1", [
      "--accept-new",
      "--wait",
      "stored",
      "--wait-for",
      "1",
    ], 1);
    assertStringIncludes(late.stderr, "on the server for bob");
    assertStringIncludes(late.stderr, "bob has not fetched the message within 1 s");
    const waiting = send(scene, "alice", "bob", ["--wait", "read", "--json", "--text", "2"]);
    await waiting.event("on-server", { number: 2 });
    await inbox(scene, "bob", ["--accept", "all"]).exits(0);
    await waiting.exits(0);
    assertEquals(events(waiting, "stored", "read").at(-1), ["read", 2]);
  }),
);

Deno.test(
  "what cannot be left is kept, with the reason, and goes with the next command that connects",
  within(120, async () => {
    await using scene = await Scene.withServer();
    await wasHere(scene, "alice");
    const args = ["--accept-new"];
    const nobody = await sends(scene, ["alice", "bob"], "early bird", args, 1);
    assertStringIncludes(nobody.stderr, "kept here for bob: it goes with the next cifra");
    assertStringIncludes(nobody.stderr, "Nobody called bob can take it at the moment");
    await wasHere(scene, "bob", "carol");
    const stopped = await scene.start("send", "alice", [
      "--name",
      "alice",
      "--to",
      "carol",
      "--server",
      "127.0.0.1:1",
      "--give-up",
      "0",
      "--text",
      "on disk",
      "--accept-new",
    ]).exits(1);
    assertStringIncludes(stopped.stderr, "kept here for carol");
    assertStringIncludes(stopped.stderr, "Cannot reach 127.0.0.1:1");
    // Any command that connects takes it along.
    await inbox(scene, "alice", ["--accept-new"]).exits(0);
    const carol = inbox(scene, "carol", ["--accept", "all"]);
    assertStringIncludes((await carol.exits(0)).stdout, "alice: on disk");
  }),
);

Deno.test(
  "a stranger needs a key or a word, and a wrong key ends with 3",
  within(90, async () => {
    await using scene = await Scene.withServer();
    await wasHere(scene, "alice", "bob");
    const stranger = await sends(scene, ["alice", "bob"], "hello", [], 1);
    assertStringIncludes(stranger.stderr, "bob is not known here, and nobody can be asked");
    const key = "7xdz-xhoa-zqkd-5dba-uyxy-a4f4-qgn7-zutf-u2ce-msln-72zf-b2g5-uf3a";
    const wrong = await sends(scene, ["alice", "bob"], "hello", ["--peer-key", key], 3);
    assertStringIncludes(wrong.stderr, "bob has another key than before");
    assertStringIncludes(wrong.stderr, "kept here for bob");
  }),
);

Deno.test(
  "what is no message is refused before anything is kept",
  within(90, async () => {
    await using scene = await Scene.withServer();
    await wasHere(scene, "alice");
    const to = ["--name", "alice", "--to", "bob"];
    const refused = async (args: readonly string[], text: string | Uint8Array<ArrayBuffer>) => {
      const program = scene.start("send", "alice", [...to, ...args]);
      await program.write(text).catch(() => {});
      await program.endInput().catch(() => {});
      const { code, stderr } = await program.exit();
      assertStringIncludes(stderr, "error: ");
      return `${code} ${/error: (.*)/.exec(stderr)![1]}`;
    };
    const accepted = ["--accept-new"];
    assertEquals(
      await refused(["report.pdf"], ""),
      '2 Cannot take "report.pdf" there',
    );
    assertEquals(await refused(accepted, "\n"), "2 There is nothing to send");
    assertEquals(
      await refused(accepted, "x".repeat(16 * 1024 + 1)),
      "1 A message has at most 16 KiB",
    );
    assertEquals(await refused(accepted, "x".repeat(1 << 20)), "1 A message has at most 16 KiB");
    assertEquals(
      await refused(accepted, new Uint8Array([0xff, 0xfe])),
      "2 What comes on standard input is no text in UTF-8",
    );
    assertEquals(await refused(["--suite", "rsa"], ""), "2 The mailbox needs the suite modern");
    assertEquals(
      await refused(["--wait-for", "3"], ""),
      "2 --wait-for only makes sense with --wait",
    );
    const { stdout } = await scene.start("history", "alice", ["--name", "alice"]).exits(0);
    assertEquals(stdout, "");
  }),
);

Deno.test(
  "while another program has the profile, both commands say so",
  within(60, async () => {
    await using scene = await Scene.withServer();
    const lobby = scene.start("connect", "alice", [...whoAndWhere(scene, "alice"), "--json"]);
    await lobby.event("lobby");
    const { stderr } = await send(scene, "alice", "bob", ["--text", "x"]).exits(1);
    assertStringIncludes(stderr, "Another cifra runs as alice on this machine");
    assertStringIncludes((await inbox(scene, "alice").exits(1)).stderr, "comes there");
  }),
);

Deno.test(
  "a server without a mailbox says so, and one that is interrupted ends with 130",
  within(90, async () => {
    await using scene = await Scene.withServer("--no-mailbox");
    const none = await sends(scene, ["alice", "bob"], "x", ["--accept-new"], 1);
    assertStringIncludes(none.stderr, "The server keeps nothing for anybody");
    const typing = send(scene, "dave", "bob", ["--accept-new"]);
    await typing.write("half a mess");
    await typing.says("made just now");
    typing.kill("SIGINT");
    await typing.exits(130);
    const { stdout } = await scene.start("history", "dave", ["--name", "dave"]).exits(0);
    assert(!stdout.includes("half"));
  }),
);

Deno.test({
  name: "at a terminal a message is typed until Ctrl-D, and a stranger is taken and told of",
  ignore: !hasPty,
  fn: within(90, async () => {
    await using scene = await Scene.withServer();
    await wasHere(scene, "alice", "bob");
    const start = (task: Parameters<typeof sourceCommand>[0], folder: string) =>
      onTerminal(sourceCommand(task, folder));
    const args = [...whoAndWhere(scene, "alice"), "--to", "bob"];
    const alice = scene.start("send", "alice", args, { start });
    await shows(alice, "Ctrl-D on a line of its own ends the message");
    await alice.write("two\rlines\r\x04");
    const { code } = await leavesTerminal(alice);
    assertEquals(code, 0, screen(alice));
    assertStringIncludes(screen(alice), "first contact with bob");
    assertStringIncludes(screen(alice), "on the server for bob");
    const { stdout } = await inbox(scene, "bob", ["--accept", "all"]).exits(0);
    assertStringIncludes(stdout, "alice: two\n    lines\n");
  }),
});
