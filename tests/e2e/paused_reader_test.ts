/** Results whose reader pauses: others are served meanwhile, signals are obeyed, and nothing unseen counts as read. */
import { assert, assertEquals } from "@std/assert";
import { writeAll } from "../../lib/bytes.ts";
import { whoAndWhere } from "../testkit/lobby.ts";
import { cifraCommand, type Program, Scene, type Task } from "../testkit/program.ts";
import { person } from "../testkit/handshake.ts";
import { TestClient } from "../testkit/server.ts";
import { within } from "../testkit/time_limit.ts";

/** Bytes that a pipe holds on Linux, and more than that. */
const HELD = 65_536;
const MUCH = 3 * HELD;

/** Whether the system tells what a program waits for. */
const canWatch = await Deno.readTextFile("/proc/self/syscall").then(() => true, () => false);

function pausedTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: Deno.build.os === "windows", fn: within(90, fn) });
}

/** A pipe with a name, which the test reads when it likes. */
class NamedPipe {
  readonly path: string;
  readonly #decoder = new TextDecoder();
  #file: Deno.FsFile | undefined;
  #text = "";

  private constructor(path: string) {
    this.path = path;
  }

  static async make(scene: Scene, name: string): Promise<NamedPipe> {
    const path = `${scene.folder}/${name}.pipe`;
    const { success } = await new Deno.Command("mkfifo", { args: [path] }).output();
    assert(success);
    return new NamedPipe(path);
  }

  /** Starts cifra with this, `output`, in the place of its stdout or stderr. */
  readonly start = (output: 1 | 2) => (task: Task, folder: string): string[] => {
    const script = `exec "$@" ${output}> '${this.path}'`;
    return ["sh", "-c", script, "sh", ...cifraCommand(task, folder)];
  };

  /** From now on there is no room in it. */
  async fill(): Promise<void> {
    this.#file = await Deno.open(this.path, { read: true, write: true });
    await writeAll(this.#file, new Uint8Array(HELD));
  }

  /** Resolves when the program waits for room in it. */
  async isWaitedFor({ pid }: Program): Promise<void> {
    for (;;) {
      for await (const { name } of Deno.readDir(`/proc/${pid}/task`)) {
        // The number of write, on one kind of processor or the other, and the descriptor.
        const call = await Deno.readTextFile(`/proc/${pid}/task/${name}/syscall`).catch(() => "");
        const [, descriptor] = /^(?:1|64) 0x([0-9a-f]+) /.exec(call) ?? [];
        if (descriptor === undefined) continue;
        const to = await Deno.readLink(`/proc/${pid}/fd/${parseInt(descriptor, 16)}`)
          .catch(() => undefined);
        if (to === this.path) return;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Reads until `found` gives something. */
  async until<T>(found: (text: string) => T | undefined | false | null): Promise<T> {
    this.#file ??= await Deno.open(this.path);
    const buffer = new Uint8Array(4096);
    for (;;) {
      const value = found(this.#text);
      if (value) return value;
      const count = await this.#file.read(buffer);
      if (count === null) throw new Error(`it ended: ${this.#text.slice(-500)}`);
      this.#text += this.#decoder.decode(buffer.subarray(0, count), { stream: true });
    }
  }

  /** Everything to the end. */
  async rest(): Promise<string> {
    await this.until(() => undefined).catch(() => {});
    return this.#text;
  }

  [Symbol.dispose](): void {
    this.#file?.close();
  }
}

/** Clients come and go until the server has told more of them than a pipe holds. */
async function crowd(port: number): Promise<void> {
  const who = await person("modern", "alice");
  // What is traced of one ladder, at least.
  const linesOf = 1000;
  for (let told = 0; told < MUCH; told += linesOf) {
    await (await TestClient.registered({ port }, who, "alice", "")).leave();
  }
}

pausedTest(
  "a server whose events nobody reads serves on, and tells all when somebody does",
  async () => {
    await using scene = await Scene.open();
    using pipe = await NamedPipe.make(scene, "log");
    const args = [
      "--port",
      "0",
      "--json",
      "--trace",
      "--handshakes-per-minute",
      "0",
      "--no-quotas",
    ];
    const server = scene.start("serve", "server", args, { start: pipe.start(1) });
    const port = Number(await pipe.until((text) => /"port":(\d+)/.exec(text)?.[1]));
    await crowd(port);
    // All of it is there, in whole lines, once somebody reads.
    await pipe.until((text) => text.length > MUCH);
    server.kill("SIGTERM");
    const rest = await pipe.rest();
    await server.exits(0);
    const events = rest.trimEnd().split("\n").map((line) => JSON.parse(line).event);
    assertEquals(events.at(-1), "closing");
  },
);

pausedTest("a server obeys a signal while nobody reads its events", async () => {
  await using scene = await Scene.open();
  using pipe = await NamedPipe.make(scene, "log");
  const args = ["--port", "0", "--json", "--trace", "--handshakes-per-minute", "0", "--no-quotas"];
  const server = scene.start("serve", "server", args, { start: pipe.start(1) });
  const port = Number(await pipe.until((text) => /"port":(\d+)/.exec(text)?.[1]));
  await crowd(port);
  server.kill("SIGTERM");
  await server.exits(0);
});

pausedTest("a server without --json serves on while nobody reads what it says", async () => {
  await using scene = await Scene.open();
  using pipe = await NamedPipe.make(scene, "log");
  const args = ["--port", "0", "--trace", "--handshakes-per-minute", "0", "--no-quotas"];
  const server = scene.start("serve", "server", args, { start: pipe.start(2) });
  const opened = pipe.until(() => true);
  await server.prints("listens on");
  await opened;
  await crowd(Number(/:(\d+)/.exec(server.stdout)![1]));
  server.kill("SIGTERM");
  await server.exits(0);
});

/** Long messages that bob writes to alice. */
async function write(bob: Program, count: number): Promise<void> {
  for (let n = 1; n <= count; n++) await bob.write(`${n} ${"x".repeat(8000)}\n`);
  await bob.event("stored", { number: count });
}

pausedTest(
  "what a reader that pauses has not taken is not read; a signal ends the program",
  async () => {
    await using scene = await Scene.withServer();
    using pipe = await NamedPipe.make(scene, "alice");
    const alice = scene.connect("alice", "bob", ["--json"], { start: pipe.start(1) });
    const bob = scene.connect("bob", "alice", ["--json"]);
    await pipe.until((text) => text.includes('"event":"connected"'));
    await write(bob, 60);
    alice.kill("SIGTERM");
    await alice.exits(0);
    await bob.event("peer-left");
    const read = bob.events.filter(({ event }) => event === "read").map(({ number }) =>
      Number(number)
    );
    const last = Math.max(0, ...read);
    assert(last < 60, `${last} are read`);
    // The next run shows the rest, and none is missing between.
    const again = scene.connect("alice", "bob", ["--json"]);
    await again.event("message", { number: 60 });
    await bob.event("read", { number: 60 });
    const shown = again.events.filter(({ event }) => event === "message").map(({ number }) =>
      number
    );
    assertEquals(shown, Array.from({ length: 60 - last }, (_, n) => last + 1 + n));
  },
);

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  pausedTest(`${signal} ends a pipe while nobody reads what comes`, async () => {
    await using scene = await Scene.withServer();
    using pipe = await NamedPipe.make(scene, "alice");
    const alice = scene.connect("alice", "bob", [], { start: pipe.start(1) });
    const bob = scene.connect("bob", "alice", []);
    await pipe.until(() => true);
    await Promise.all([alice.says("connected to bob"), bob.says("connected to alice")]);
    const writing = bob.write(new Uint8Array(8 * MUCH)).catch(() => {});
    await pipe.until((text) => text.length > 0);
    alice.kill(signal);
    // What a signal cuts off is no success.
    await alice.exits(130);
    await bob.exit();
    await writing;
  });
}

pausedTest("a reader that goes on reads everything, in order, and then it is read", async () => {
  await using scene = await Scene.withServer();
  using pipe = await NamedPipe.make(scene, "alice");
  const alice = scene.connect("alice", "bob", ["--json"], { start: pipe.start(1) });
  const bob = scene.connect("bob", "alice", ["--json"]);
  await pipe.until((text) => text.includes('"event":"connected"'));
  await write(bob, 60);
  await pipe.until((text) => text.includes('"number":60'));
  await bob.event("read", { number: 60 });
  await bob.endInput();
  await alice.endInput();
  const lines = (await pipe.rest()).trimEnd().split("\n").map((line) => JSON.parse(line));
  const numbers = lines.filter(({ event }) => event === "message").map(({ number }) => number);
  assertEquals(numbers, Array.from({ length: 60 }, (_, n) => n + 1));
  assertEquals(lines.at(-1), { event: "done" });
  await alice.exits(0);
  await bob.exits(0);
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test({
    name: `${signal} ends what tells something once while nobody reads it, and that is no success`,
    ignore: !canWatch,
    fn: within(90, async () => {
      await using scene = await Scene.withServer();
      const alice = scene.start("connect", "alice", [...whoAndWhere(scene, "alice"), "--json"]);
      await alice.event("lobby");
      const rows: readonly (readonly [Task, readonly string[]])[] = [
        ["users", whoAndWhere(scene, "bob")],
        ["users", [...whoAndWhere(scene, "bob"), "--all"]],
        ["users", [...whoAndWhere(scene, "bob"), "--json"]],
        ["keys", ["show", "--name", "bob"]],
        ["keys", ["show", "--name", "bob", "--json"]],
      ];
      for (const [n, [task, args]] of rows.entries()) {
        using pipe = await NamedPipe.make(scene, `results-${n}`);
        await pipe.fill();
        const program = scene.start(task, "bob", args, { start: pipe.start(1) });
        await pipe.isWaitedFor(program);
        program.kill(signal);
        await program.exits(130);
      }
      // A command that has nothing to put in order does not listen to signals.
      using pipe = await NamedPipe.make(scene, "settings");
      await pipe.fill();
      const config = scene.start("config", "bob", [], { start: pipe.start(1) });
      await pipe.isWaitedFor(config);
      config.kill(signal);
      assertEquals((await config.exit()).signal, signal);
    }),
  });
}

Deno.test({
  name: "letters that a reader which pauses has not taken stay unread, and SIGTERM is obeyed",
  ignore: !canWatch,
  fn: within(90, async () => {
    await using scene = await Scene.withServer();
    const bob = whoAndWhere(scene, "bob");
    await scene.start("inbox", "bob", bob).exits(0);
    const letter = ["--to", "bob", "--accept-new", "--text", "hello"];
    await scene.start("send", "alice", [...whoAndWhere(scene, "alice"), ...letter]).exits(0);
    using pipe = await NamedPipe.make(scene, "letters");
    await pipe.fill();
    const args = [...bob, "--accept", "all"];
    const paused = scene.start("inbox", "bob", args, { start: pipe.start(1) });
    await pipe.isWaitedFor(paused);
    paused.kill("SIGTERM");
    await paused.exits(0);
    assertEquals(/hello/.test((await scene.start("inbox", "bob", args).exits(0)).stdout), true);
  }),
});
