/** A terminal that takes nothing for a while: by Ctrl-S, or because nobody reads its window. */
import { assert, assertEquals } from "@std/assert";
import { CloseCode } from "../../lib/wire/records.ts";
import { person } from "../testkit/handshake.ts";
import { type Program, Scene } from "../testkit/program.ts";
import {
  endsOnTerminal,
  hasPty,
  leavesTerminal,
  ON_TERMINAL,
  screen,
  shows,
  signalOnTerminal,
} from "../testkit/pty.ts";
import { TestClient } from "../testkit/server.ts";
import { within } from "../testkit/time_limit.ts";

/** More than a terminal holds that nobody reads. */
const MUCH = 65_536;
/** What is traced of one ladder, at least. */
const LADDER = 600;

/** How a terminal is frozen, and goes on. */
interface Way {
  readonly name: string;
  readonly args: readonly string[];
  readonly freeze: (program: Program) => Promise<void>;
  readonly goOn: (program: Program) => Promise<void>;
}

const WAYS: readonly Way[] = [
  {
    name: "Ctrl-S under --plain",
    args: ["--plain"],
    freeze: (program) => program.write("\x13"),
    goOn: (program) => program.write("\x11"),
  },
  {
    name: "a window that nobody reads",
    args: [],
    // Whoever has the other end of the terminal.
    freeze: (program) => Promise.resolve(program.kill("SIGSTOP")),
    goOn: (program) => Promise.resolve(program.kill("SIGCONT")),
  },
];

function frozenTest(name: string, fn: (way: Way) => Promise<void>): void {
  for (const way of WAYS) {
    Deno.test({ name: `${way.name}: ${name}`, ignore: !hasPty, fn: within(120, () => fn(way)) });
  }
}

/** A server with its console on a terminal, which tells much of each client. */
async function serverOnTerminal(scene: Scene, { args }: Way): Promise<readonly [Program, number]> {
  const options = ["--port", "0", "--trace", "--handshakes-per-minute", "0", "--no-quotas"];
  const server = scene.start("serve", "server", [...options, ...args], ON_TERMINAL);
  await shows(server, "listens on");
  if (args.length === 0) await shows(server, "server>");
  return [server, Number(/listens on [\d.]+:(\d+)/.exec(screen(server))![1])];
}

/** Clients come and go of whom the server tells more than a frozen terminal takes; how many they were. */
async function crowd(server: Program, port: number): Promise<number> {
  const who = await person("modern", "alice");
  const before = server.stdout.length;
  const count = Math.ceil(2 * MUCH / LADDER);
  for (let n = 0; n < count; n++) {
    await (await TestClient.registered({ port }, who, "alice", "")).leave();
  }
  assert(server.stdout.length < before + MUCH, "the terminal is not frozen");
  return count;
}

frozenTest("a server serves on, and shows everything when it is read", async (way) => {
  await using scene = await Scene.open();
  const [server, port] = await serverOnTerminal(scene, way);
  await way.freeze(server);
  const count = await crowd(server, port);
  await way.goOn(server);
  const traced = () => server.stdout.split(" m6 -> ").length - 1;
  await server.until("all of the trace", () => traced() === count);
  await server.write("quit\r");
  assertEquals(await leavesTerminal(server), { code: 0, restored: true });
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  frozenTest(`${signal} ends a server in order`, async (way) => {
    await using scene = await Scene.open();
    const [server, port] = await serverOnTerminal(scene, way);
    const stays = await TestClient.registered({ port }, await person("modern", "bob"), "bob", "");
    await way.freeze(server);
    await crowd(server, port);
    signalOnTerminal(server, signal);
    // It says goodbye.
    assertEquals(await stays.ending(), CloseCode.shutdown);
    stays.channel.destroy();
    await endsOnTerminal(server);
    await way.goOn(server);
    const code = signal === "SIGTERM" ? 0 : 130;
    assertEquals(await leavesTerminal(server), { code, restored: true });
  });
}

frozenTest("what a person does not see is not read, and SIGTERM ends in order", async (way) => {
  await using scene = await Scene.withServer();
  const args = ["--no-times", ...way.args];
  const alice = scene.connect("alice", "bob", args, ON_TERMINAL);
  const bob = scene.connect("bob", "alice", ["--json"]);
  await Promise.all([shows(alice, "-- connected to bob"), bob.event("connected")]);
  await bob.write("seen\n");
  await bob.event("read", { number: 1 });
  await way.freeze(alice);
  // A terminal takes a little, whoever reads it.
  for (let n = 2; n <= 40; n++) await bob.write(`${n} ${"x".repeat(8000)}\n`);
  await bob.event("stored", { number: 40 });
  signalOnTerminal(alice, "SIGTERM");
  await bob.event("peer-left", { failed: false });
  await endsOnTerminal(alice);
  const read = bob.events.filter(({ event }) => event === "read").map(({ number }) => number);
  const last = Number(read.at(-1));
  assert(last < 40, `${last} are read`);
  await way.goOn(alice);
  assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
  // The next run shows the rest.
  const again = scene.connect("alice", "bob", ["--json"]);
  await again.event("message", { number: 40 });
  const shown = again.events.filter(({ event }) => event === "message")
    .map(({ number }) => number);
  assertEquals(shown, Array.from({ length: 40 - last }, (_, n) => last + 1 + n));
});

frozenTest("a conversation goes on when it is read again", async (way) => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob", ["--no-times", ...way.args], ON_TERMINAL);
  const bob = scene.connect("bob", "alice", ["--json"]);
  await Promise.all([shows(alice, "-- connected to bob"), bob.event("connected")]);
  await way.freeze(alice);
  for (let n = 1; n <= 40; n++) await bob.write(`${n} ${"x".repeat(8000)}\n`);
  await bob.event("stored", { number: 40 });
  await way.goOn(alice);
  await bob.event("read", { number: 40 });
  await alice.write("all of it\r");
  await bob.event("message", { text: "all of it" });
  await alice.write("/quit\r");
  assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
});
