/** A machine that gives little: few descriptors, small files, full and vanished disks, ports that are root's. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { requireDeno } from "../../lib/cli/deno_version.ts";
import { type CastOptions, cifraCommand, type Exit, Scene } from "../testkit/program.ts";

const POSIX = Deno.build.os !== "windows";
const IS_LINUX_ROOT = Deno.build.os === "linux" && Deno.uid() === 0;

/** Starts a program after a command of the shell, such as `ulimit -n 40`; stdout may go elsewhere. */
function after(first: string, redirected = ""): Required<Pick<CastOptions, "start">> {
  return {
    start: (task, folder) => {
      const script = `${first}; exec "$0" "$@" ${redirected}`;
      // Deno's own cache is not what is tried.
      const command = cifraCommand(task, folder).flatMap((word) =>
        word === "run" ? [word, "--no-code-cache"] : [word]
      );
      return ["sh", "-c", script, ...command];
    },
  };
}

/** No number of the system's, and no stack trace. */
function requireWords({ stdout, stderr }: Exit): string {
  const told = stdout + stderr;
  assert(!/os error|^\s+at |Uncaught|panicked/m.test(told), told);
  return told;
}

Deno.test({
  name: "with too few descriptors a server says so, and ends with 1",
  ignore: !POSIX,
  fn: async () => {
    await using scene = await Scene.open();
    let told = 0;
    // How many the platform itself needs is its own business: somewhere here it becomes ours.
    for (let limit = 24; limit <= 40; limit += 2) {
      const options = after(`ulimit -n ${limit}`);
      await using server = scene.start("serve", "server", ["--port", "0"], options);
      await server.until("an end", () => /listens on|Stack|\nhint: /.test(server.told));
      if (server.stdout.includes("listens on")) break;
      const exit = await server.exit();
      if (!exit.stderr.startsWith("error: Cannot")) continue;
      assertStringIncludes(requireWords(exit), "as many files and connections open as it may");
      assertEquals(exit.code, 1);
      told++;
    }
    assert(told > 0);
  },
});

Deno.test({
  name: "where files may not grow, what cannot be written is told, and no signal ends the program",
  ignore: !POSIX,
  fn: async () => {
    await using scene = await Scene.open();
    for (const blocks of [0, 8]) {
      const options = after(`ulimit -f ${blocks}`);
      const server = scene.start("serve", `server ${blocks}`, ["--port", "0"], options);
      const exit = await server.exits(1);
      assertStringIncludes(requireWords(exit), "Cannot use ");
      assertStringIncludes(exit.stderr, "hint: ");
    }
    const folder = scene.folder;
    const start = after("ulimit -f 0", `> ${folder}/help.txt`).start;
    const help = scene.start("connect", "help", ["--help"], { start });
    const exit = await help.exits(1);
    assertStringIncludes(requireWords(exit), "it may not become so large\nhint: raise the limit");
  },
});

Deno.test({
  name: "results and errors on a full device are told in words",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await using scene = await Scene.open();
    const full = after("true", "> /dev/full");
    const help = await scene.start("connect", "help", ["--help"], full).exits(1);
    assertStringIncludes(
      requireWords(help),
      "Cannot write to standard output: the disk is full\nhint: make room",
    );
    const args = ["--json", "--name", "not a name"];
    const wrong = await scene.start("connect", "wrong", args, full).exits(2);
    assertStringIncludes(requireWords(wrong), "error: ");
  },
});

Deno.test({
  name: "a server whose talk goes to a full device serves on",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await using scene = await Scene.open();
    const server = scene.start("serve", "server", ["--port", "0"], after("true", "2> /dev/full"));
    await server.prints("listens on");
    const [, port] = /127\.0\.0\.1:(\d+)/.exec(server.stdout)!;
    const args = ["--json", "--server", `127.0.0.1:${port}`];
    const alice = scene.connect("alice", "bob", args);
    const bob = scene.connect("bob", "alice", args);
    await Promise.all([alice.event("connected"), bob.event("connected")]);
  },
});

Deno.test({
  name: "a place of the system's own is told to take no files, whatever the program may do",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await using scene = await Scene.open();
    for (const args of [["--state", "/proc/x"], ["--log", "/dev/x", "--state", scene.folder]]) {
      const command = [Deno.execPath(), "run", "--quiet", "-A", "main.ts", "serve", "--port", "0"];
      const exit = await scene.run("server", [...command, ...args]).exits(1);
      assertStringIncludes(requireWords(exit), `${args[1]}: it is a place of the system's own`);
      assertStringIncludes(exit.stderr, `hint: choose a `);
    }
  },
});

Deno.test({
  name: "a port below 1024 is told to be root's, where it is",
  ignore: !IS_LINUX_ROOT,
  fn: async () => {
    await using scene = await Scene.open();
    const start: CastOptions["start"] = (task, folder) => [
      "unshare",
      "--net",
      "sh",
      "-c",
      'ip link set lo up; exec setpriv --bounding-set=-net_bind_service "$0" "$@"',
      ...cifraCommand(task, folder),
    ];
    const server = scene.start("serve", "server", ["--host", "127.0.0.1", "--port", "80"], {
      start,
    });
    const exit = await server.exits(1);
    assertStringIncludes(
      requireWords(exit),
      "Cannot listen on port 80: this user is not allowed to\nhint: ports below 1024 are for root",
    );
  },
});

Deno.test({
  name: "where a path is too long for a socket a server serves without its console, and says why",
  ignore: !POSIX,
  fn: async () => {
    await using scene = await Scene.open();
    const state = "x".repeat(100);
    const server = await scene.serve([], { state });
    const { message } = await server.event("no-console");
    assertStringIncludes(String(message), "longer than that of a socket may be (107 bytes)");
    scene.lendServerKeys(scene.stateOf("alice"));
    const alice = scene.connect("alice", "bob", ["--json", "--accept-new"], { state: `a${state}` });
    const silent = await alice.event("no-answers");
    assertStringIncludes(String(silent.message), "longer than that of a socket may be");
    const bob = scene.connect("bob", "alice", ["--json", "--accept-new"]);
    await Promise.all([alice.event("connected"), bob.event("connected")]);
    const start: CastOptions["start"] = (task, folder) => [
      ...cifraCommand(task, folder),
      "console",
    ];
    const console = await scene.start("serve", "console", [], { state, start }).exits(1);
    assertStringIncludes(requireWords(console), "longer than that of a socket may be (107 bytes)");
  },
});

Deno.test({
  name: "a Deno that is too old is told at the start",
  ignore: Deno.env.has("CIFRA_EXECUTABLE"),
  fn: async () => {
    await using scene = await Scene.open();
    const fake = `${scene.folder}/old.ts`;
    const version = JSON.stringify({ deno: "2.7.11", v8: "", typescript: "" });
    await Deno.writeTextFile(
      fake,
      `Object.defineProperty(Deno, "version", { value: ${version} });`,
    );
    const start: CastOptions["start"] = (task, folder) =>
      cifraCommand(task, folder).flatMap((word) =>
        word === "run" ? [word, "--preload", fake] : [word]
      );
    const { stderr } = await scene.start("serve", "server", ["--port", "0"], { start }).exits(1);
    assertEquals(stderr.split("\n").slice(0, 2), [
      "error: This is Deno 2.7.11, and cifra needs 2.9 or newer",
      "hint: bring it up to date with deno upgrade, or npm install --global deno",
    ]);
    for (const good of ["2.9.0", "2.10.1", "3.0.0"]) requireDeno(good);
  },
});
