/** `--plain`: the terminal itself edits lines, and what it shows is what is taken. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { cifraCommand, type Program, Scene, type Task } from "../testkit/program.ts";
import {
  hasPty,
  leavesTerminal,
  ON_TERMINAL,
  onTerminal,
  screen,
  shows,
  signalOnTerminal,
} from "../testkit/pty.ts";

const UP = "\x1b[A", LEFT = "\x1b[D";

function terminalTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: !hasPty, fn });
}

/** Alice at a terminal that edits lines, bob a program on lines of JSON. */
async function aliceAtTerminal(scene: Scene): Promise<readonly [Program, Program]> {
  const alice = scene.connect("alice", "bob", ["--plain", "--no-times"], ON_TERMINAL);
  const bob = scene.connect("bob", "alice", ["--json"]);
  await Promise.all([shows(alice, "-- connected to bob"), bob.event("connected")]);
  return [alice, bob];
}

/** A program on a terminal, and a shell after it, which would run what the program leaves. */
function beforeShell(scene: Scene): (task: Task, folder: string) => string[] {
  const absolute = (word: string) => word === "main.ts" ? `${Deno.cwd()}/main.ts` : word;
  return (task, folder) =>
    onTerminal([
      ...["sh", "-c", `cd ${scene.folder}; "$@"; echo over; sh -i`, "sh"],
      ...cifraCommand(task, folder).map(absolute),
    ]);
}

/** The texts of all messages that came. */
function textsOf(program: Program): readonly unknown[] {
  return program.events.filter(({ event }) => event === "message").map(({ text }) => text);
}

terminalTest("keys that edit lines elsewhere do nothing: their line is not sent", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await aliceAtTerminal(scene);
  await alice.write("my PIN is 4711\r");
  await bob.event("message", { number: 1 });
  const refused = () => screen(alice).split("-- NOT SENT: ").length - 1;
  const lines = [
    `${UP}${UP}hello eve`,
    `abc${LEFT}${LEFT}X`,
    "a\x01b",
    "cut\x0bhere\x19",
    "\x1b[200~/quit\x1b[201~",
    // Of this a terminal shows more than it hands over.
    `x${"y".repeat(5000)}`,
  ];
  for (const [n, line] of lines.entries()) {
    await alice.write(`${line}\r`);
    await alice.until(`NOT SENT of ${JSON.stringify(line)}`, () => refused() === n + 1);
  }
  assertStringIncludes(screen(alice), "the key that is shown as ^[ does nothing here");
  // Tab is a letter like others, and the line is as it is shown.
  await alice.write("one\ttwo\r");
  await bob.event("message", { number: 2, text: "one\ttwo" });
  await alice.write("/quit\r");
  assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
  assertEquals(textsOf(bob), ["my PIN is 4711", "one\ttwo"]);
});

terminalTest("at the server's console, Up and Enter do nothing again", async () => {
  await using scene = await Scene.open();
  const args = ["--port", "0", "--plain", "--admission", "invite"];
  const server = scene.start("serve", "server", args, ON_TERMINAL);
  await shows(server, "\ninvite ");
  const renewed = () => screen(server).split("cifra1:").length;
  const before = renewed();
  await server.write("renew\r");
  await server.until("another line", () => renewed() === before + 1);
  await server.write(`${UP}\r`);
  await shows(server, "-- not taken: the key that is shown as ^[ does nothing here");
  await server.write("quit\r");
  assertEquals((await leavesTerminal(server)).code, 0);
  assertEquals(renewed(), before + 1);
});

for (const [how, code] of [["Ctrl-D", 0], ["Ctrl-C", 130], ["SIGTERM", 0]] as const) {
  terminalTest(`a line that was entered goes out, also when ${how} follows at once`, async () => {
    await using scene = await Scene.withServer();
    const [alice, bob] = await aliceAtTerminal(scene);
    await alice.write("important\r");
    await shows(alice, "\nimportant");
    // A terminal forgets at Ctrl-C what nobody has read yet.
    if (how !== "Ctrl-D") await new Promise((resolve) => setTimeout(resolve, 30));
    if (how === "SIGTERM") signalOnTerminal(alice, how);
    else await alice.write(how === "Ctrl-D" ? "\x04" : "\x03");
    assertEquals(await leavesTerminal(alice), { code, restored: true });
    await bob.event("message", { number: 1, text: "important" });
  });
}

const PASTE = (invite: string) => {
  const mail = `Hi,\nhere is the line:\n> ${invite.slice(0, 50)}\n> ${invite.slice(50)}\n`;
  return `${mail}my bank PIN is 9999\n/quit\ntouch reached-the-shell\n`;
};

for (const [how, args] of [["--plain", ["--plain"]], ["a paste without marks", []]] as const) {
  terminalTest(
    `${how}: an invite line is found in a mail, and the rest is for nobody`,
    async () => {
      await using scene = await Scene.open();
      const server = await scene.serve(["--admission", "invite"]);
      const { invite } = await server.event("listening");
      const options = { ...ON_TERMINAL, start: beforeShell(scene) };
      await Deno.mkdir(scene.stateOf("bob"), { mode: 0o700 });
      const file = `${scene.stateOf("bob")}/line`;
      await Deno.writeTextFile(file, invite as string, { mode: 0o600 });
      const good = PASTE(invite as string);
      for (const paste of [good, good.replaceAll("cifra1:", "cifra1:no:")]) {
        const alice = scene.connect("alice", "bob", ["--invite", ...args], options);
        await shows(alice, "invite line:");
        await alice.write(args.length > 0 ? paste : paste.replaceAll("\n", "\r"));
        if (paste === good) {
          await shows(alice, "-- waiting for bob");
          const bob = scene.connect("bob", "alice", ["--json", "--invite-file", file]);
          await bob.event("connected");
          await alice.write("hello\r");
          await bob.event("message", { number: 1, text: "hello" });
          await alice.write("/quit\r");
        } else await shows(alice, "error: Cannot read the invite line");
        await shows(alice, "\nover\n");
        await alice.write("exit\r");
        await leavesTerminal(alice);
      }
      assert(![...Deno.readDirSync(scene.folder)].some(({ name }) => name.startsWith("reached")));
    },
  );
}

terminalTest("what stands half typed when the program fails is nothing for the shell", async () => {
  await using scene = await Scene.withServer();
  const options = { ...ON_TERMINAL, start: beforeShell(scene) };
  const alice = scene.connect("alice", "bob", ["--plain"], options);
  await shows(alice, "-- waiting for bob");
  await alice.write("touch reached-the-shell");
  await shows(alice, "\ntouch reached");
  await scene.operate("ban alice");
  await shows(alice, "\nover\n");
  await alice.write("\rexit\r");
  await leavesTerminal(alice);
  assert(![...Deno.readDirSync(scene.folder)].some(({ name }) => name.startsWith("reached")));
});

terminalTest(
  "a mail that comes slowly is asked for again, until its invite line is there",
  async () => {
    await using scene = await Scene.open();
    const server = await scene.serve(["--admission", "invite"]);
    const { invite } = await server.event("listening");
    const alice = scene.connect("alice", "bob", ["--invite", "--plain"], ON_TERMINAL);
    await shows(alice, "invite line:");
    await alice.write("Hi,\r");
    await shows(alice, "-- there is no invite line in that: it begins with cifra1:");
    await alice.write(`${(invite as string).slice(0, 60)}\r`);
    await shows(alice, "the rest of it:");
    await alice.write(`${(invite as string).slice(60)}\r`);
    await shows(alice, "-- waiting for bob");
    await alice.write("/quit\r");
    assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
  },
);

const address = Deno.networkInterfaces().find(({ family, address }) =>
  family === "IPv4" && !address.startsWith("127.") && !address.startsWith("169.254.")
)?.address;

Deno.test({
  name: "what was typed before a question, or half typed, is no answer to it",
  ignore: !hasPty || address === undefined,
  async fn() {
    await using scene = await Scene.open();
    // A port at which a server stands a moment later.
    const args = ["--host", address!, "--admission", "open"];
    const server = await scene.serve(args);
    server.kill("SIGTERM");
    await server.exits(0);
    const where = ["--server", `${address}:${scene.port}`, "--plain"];
    const alice = scene.connect("alice", "bob", where, ON_TERMINAL);
    await shows(alice, "-- no connection to the server yet");
    await alice.write("y\r");
    await alice.write("y");
    scene.start("serve", "server", [...args, "--port", `${scene.port}`, "--json"]);
    await shows(alice, "is that what the server prints? [y/N]");
    await alice.write("\r");
    await shows(alice, "is not trusted");
    assertEquals(await leavesTerminal(alice), { code: 1, restored: true });
  },
});
