import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { COMMANDS } from "../../lib/cli/commands.ts";
import { NEVER_DIALLED } from "../../lib/net/never_dialled.ts";
import { permissionsFor } from "../../scripts/compile.ts";
import { may, PROBE, probed } from "../testkit/probe.ts";
import { hasPty, onTerminal } from "../testkit/pty.ts";
import { couple, Program, Scene, sourceCommand, type Task } from "../testkit/program.ts";
import { within } from "../testkit/time_limit.ts";

/** Loaders may have looked at it, but what they say is theirs: nothing of the file. */
const REFUSED =
  /^(NotCapable|TypeError: Requires (read|import) access|TypeError: (The lockfile is out of date|"(text|bytes)" is not a valid))/;

Deno.test("serve gives up all it may do before it reads of its first client, and still serves", async () => {
  await using scene = await Scene.open();
  const lock = await Deno.readTextFile("deno.lock");
  await Deno.mkdir(scene.stateOf("server"), { mode: 0o700 });
  // Given everything, so that what it cannot do later it gave up itself; but for the flags of the task.
  const flags = ["--cached-only", "--frozen", "--no-prompt"];
  for (const flag of flags) assert(sourceCommand("serve", "/").includes(flag));
  const command = [Deno.execPath(), "run", "--allow-all", ...flags, ...PROBE, "main.ts", "serve"];
  const server = await scene.serve([], { start: () => command });
  for (const [what, result] of Object.entries(await probed(server, "start"))) {
    // The port it tries speaks no HTTP, and the library may not be there: all that matters is that it may.
    assert(may(result), `${what}: ${result}`);
  }
  const results = Object.entries(await probed(server, "client"));
  assert(results.length > 40);
  for (const [what, result] of results) {
    assertMatch(result, /^(import|require) /.test(what) ? REFUSED : /^NotCapable/, what);
  }
  assertEquals(await Deno.readTextFile("deno.lock"), lock);
  const alice = scene.connect("alice", "bob", ["--json"]);
  const bob = scene.connect("bob", "alice", ["--json"]);
  await Promise.all([alice.event("connected"), bob.event("connected")]);
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
  server.kill("SIGTERM");
  await server.exits(0);
});

Deno.test("a database that was opened while all of the disk was allowed opens no other file later", async () => {
  await using scene = await Scene.open();
  const fixture = "tests/e2e/fixtures/dropped_database.ts";
  const command = [Deno.execPath(), "run", "--allow-all", "--cached-only", "--frozen", fixture];
  const program = scene.add(
    new Program({ name: "dropped", command: [...command, scene.stateOf("")] }),
  );
  await program.exits(0);
  const results = Object.entries(JSON.parse(program.stdout));
  assertEquals(results.length, 4);
  for (const [what, result] of results) assertMatch(String(result), /^NotCapable/, what);
});

/** What the real program can do when it first touches disk or network, or at its end without that. */
async function left(
  scene: Scene,
  flags: readonly string[],
  command: string,
  ...args: readonly string[]
): Promise<string[]> {
  const run = [Deno.execPath(), "run", "--quiet", ...flags, ...PROBE, "main.ts", command, ...args];
  const isIdle = ["help", "completions", "man"].includes(command);
  await using program = scene.add(new Program({ name: command, command: run }));
  const results = await probed(program, isIdle ? "end" : "touch");
  return Object.entries(results).filter(([, result]) => may(result)).map(([what]) => what).sort();
}

const NETWORK = ["dial", "dial through node", "fetch", "listen"];
const COMMON = ["read in the state folder", "user", "variables", "write in the state folder"];

/** Command lines with a state folder, and what each needs; a file `FILE` lies elsewhere. */
const NEEDS: readonly (readonly [Task, readonly string[], readonly string[]])[] = [
  ["connect", ["--name", "alice", "--json", "--server", "127.0.0.1:1"], [
    "interfaces",
    ...NETWORK,
    ...COMMON,
  ]],
  ["users", ["--name", "alice", "--server", "127.0.0.1:1"], [...NETWORK, ...COMMON]],
  ["send", ["--name", "alice", "--to", "bob", "--text", "x"], [
    "interfaces",
    ...NETWORK,
    ...COMMON,
  ]],
  ["send", ["FILE", "--name", "alice", "--to", "bob", "--server", "127.0.0.1:1"], [
    "interfaces",
    "read elsewhere",
    ...NETWORK,
    ...COMMON,
  ]],
  ["receive", ["--name", "alice", "--into", "FILE", "--server", "127.0.0.1:1"], [
    "interfaces",
    "read elsewhere",
    "write elsewhere",
    ...NETWORK,
    ...COMMON,
  ]],
  ["connect", ["--name", "alice", "--json", "--files", "FILE", "--server", "127.0.0.1:1"], [
    "interfaces",
    "read elsewhere",
    "write elsewhere",
    ...NETWORK,
    ...COMMON,
  ]],
  ["inbox", ["--name", "alice", "--server", "127.0.0.1:1"], [...NETWORK, ...COMMON]],
  ["inbox", ["--name", "alice", "--exec", "cat", "--server", "127.0.0.1:1"], [
    "start a shell",
    ...NETWORK,
    ...COMMON,
  ]],
  ["transfers", ["--name", "alice"], [...NETWORK, ...COMMON]],
  // Until it is known whether a running program is to be asked: of somebody who has no messages never.
  ["history", ["--name", "silent"], ["dial the cloud", ...NETWORK, ...COMMON]],
  ["keys", ["show"], COMMON],
  ["keys", ["peers"], COMMON],
  ["keys", ["unpin", "bob"], COMMON],
  ["keys", ["passphrase"], COMMON],
  ["keys", ["verify", "bob"], ["dial the cloud", ...NETWORK, ...COMMON]],
  ["keys", ["export", "FILE"], ["read elsewhere", "write elsewhere", ...COMMON]],
  ["keys", ["import", "FILE"], ["read elsewhere", "write elsewhere", ...COMMON]],
  ["serve", ["--port", "0"], ["dial the cloud", "interfaces", ...NETWORK, ...COMMON]],
  ["serve", ["console"], ["dial the cloud", ...NETWORK, ...COMMON]],
  ["serve", ["invite"], ["dial the cloud", ...NETWORK, ...COMMON]],
];

/** What only a program that may use the whole disk can be told to use of it. */
const NEEDS_ELSEWHERE: typeof NEEDS = [
  ["connect", ["--name", "alice", "--json", "--invite-file", "FILE"], [
    "interfaces",
    "read elsewhere",
    ...NETWORK,
    ...COMMON,
  ]],
  ["serve", ["--port", "0", "--log", "FILE"], [
    "dial the cloud",
    "interfaces",
    "read elsewhere",
    "write elsewhere",
    "write elsewhere.1",
    ...NETWORK,
    ...COMMON,
  ]],
];

/** Asks each command line of a program with these flags. */
async function eachKeeps(
  needs: typeof NEEDS,
  flagsOf: (task: Task, state: string) => readonly string[],
  never: readonly string[] = [],
): Promise<void> {
  await using scene = await Scene.open();
  const state = scene.stateOf("state");
  // The profile is there, so that whoever only looks finds one.
  for (const folder of ["", "/profiles", "/profiles/alice", "/profiles/silent"]) {
    await Deno.mkdir(`${state}${folder}`, { mode: 0o700 });
  }
  for (const [task, args, needed] of needs) {
    const words = args.map((arg) => arg === "FILE" ? `${scene.folder}/elsewhere` : arg);
    const told = await left(scene, flagsOf(task, state), task, ...words, "--state", state);
    const expected = needed.filter((what) => !never.includes(what)).sort();
    assertEquals(told, expected, `${task} ${args.join(" ")}`);
  }
}

Deno.test(
  "each command of the executable's permissions keeps what it needs, and no more",
  within(120, async () => {
    const flags = permissionsFor(undefined, Deno.build.os)
      .filter((flag) => flag !== "--deny-import");
    const flagsOf = () => [...flags, "--frozen"];
    await eachKeeps([...NEEDS, ...NEEDS_ELSEWHERE], flagsOf, ["dial the cloud"]);
    await using scene = await Scene.open();
    for (const [command, ...args] of [["help"], ["completions", "bash"], ["man"]] as const) {
      assertEquals(await left(scene, flagsOf(), command, ...args), [], command);
    }
  }),
);

Deno.test(
  "each command of its task's permissions keeps what it needs, and no more",
  within(120, async () => {
    const flagsOf = (task: Task, state: string) =>
      ["keys", "connect", "send", "receive"].includes(task)
        ? sourceCommand(task, "/").slice(3, -2)
        : sourceCommand(task, state).slice(3, -2);
    await eachKeeps(NEEDS, flagsOf);
  }),
);

Deno.test({
  name:
    "at a terminal the task for connect starts a shell for Ctrl-Z, and can start none after that",
  ignore: !hasPty,
  async fn() {
    await using scene = await Scene.open();
    const state = scene.stateOf("alice");
    await Deno.mkdir(state, { mode: 0o700 });
    const [deno, run, ...flags] = sourceCommand("connect", state);
    const args = ["--name", "alice", "--to", "bob", "--server", "127.0.0.1:1", "--state", state];
    const command = onTerminal([deno!, run!, ...PROBE, ...flags, ...args]);
    const alice = scene.add(new Program({ name: "alice", command }));
    const tried = await alice.until("what it could do", () => {
      const [, results] = /probed touch (\{.*\})\r?\n/.exec(alice.stdout) ?? [];
      return results === undefined ? undefined : JSON.parse(results) as Record<string, string>;
    });
    assertMatch(tried["start a shell"]!, /^NotCapable/);
    assertMatch(tried["run a program"]!, /^NotCapable/);
    // While there is nobody to talk to, it waits.
    await alice.until("a prompt", () => alice.stdout.includes("no connection to the server yet"));
    await alice.write("\x03");
  },
});

Deno.test("of permissions without a list, connect gives up those of which it needs nothing", async () => {
  await using scene = await Scene.open();
  const state = scene.stateOf("state");
  await Deno.mkdir(state, { mode: 0o700 });
  const args = ["--name", "alice", "--json", "--server", "127.0.0.1:1", "--state", state];
  const told = await left(scene, ["--allow-all", "--no-prompt"], "connect", ...args);
  for (const never of ["run a program", "load a library"]) assert(!told.includes(never), never);
  // As permissions.md says: of a part it would have to give up all.
  for (const kept of ["read a file", "write elsewhere", "interfaces"]) {
    assert(told.includes(kept), kept);
  }
});

Deno.test("a folder at the root is not allowed because the environment lacks what a task names", async () => {
  await using scene = await Scene.open();
  const state = scene.stateOf("state");
  await Deno.mkdir(`${state}/profiles/alice`, { recursive: true, mode: 0o700 });
  const flags = ["--allow-env", "--allow-sys=uid", `--allow-read=${state},/cifra`, "--no-prompt"];
  const told = await left(scene, flags, "history", "--name", "alice", "--state", state);
  assert(told.includes("read in the state folder"));
  assert(!told.includes("read /cifra"));
});

/** The page for people. */
const PAGE = await Deno.readTextFile(new URL("../../lib/docs/permissions.md", import.meta.url));

Deno.test("permissions.md says what each task has", () => {
  const rows = [...PAGE.matchAll(/^\| (`.*?) +\| (.*?) +\| (.*?) +\| (.*?) +\|$/gm)];
  const said = rows.flatMap(([, tasks, network, disk, others]) =>
    [...tasks!.matchAll(/`(\w+)`/g)].map(([, task]) => [task, network, disk, others])
  );
  const expected = COMMANDS.map(({ name, permissions: { net, sys, env, files, ...more } }) => {
    const hosts = "denyNet" in more ? "all but the link's and clouds', below" : "all";
    const isExplained = name === "keys" || name === "history";
    const network = isExplained ? `${hosts}, see below` : net ? hosts : "none";
    const disk = {
      "none": "none",
      "looked at": "reads the state folder",
      "state": "the default state folder",
      "all": "all, see below",
    }[files];
    const others = [
      ...sys.some((kind) => kind === "uid") ? ["user id"] : [],
      ...env.length > 0 ? ["some environment variables"] : [],
      ...sys.some((kind) => kind === "networkInterfaces") ? ["the list of network interfaces"] : [],
    ];
    assertEquals(sys.length, others.length - Math.sign(env.length), name);
    if ("suspends" in more) others.push("`/bin/sh`");
    return [name, network, disk, others.join(", ")];
  });
  assertEquals(said, expected);
  const [, variables] = /The environment variables are (.*?)\.\n/s.exec(PAGE)!;
  const named = [...variables!.matchAll(/`([A-Z_]+\*?)`/g)].map(([, name]) => name!);
  for (const { name, permissions: { env } } of COMMANDS) {
    if (env.length === 0) continue;
    assertEquals([...env] as string[], named, name);
  }
});

Deno.test("the line of permissions.md for another state folder works", async () => {
  await using scene = await Scene.withServer();
  const [, line] = /^deno (run .* main\.ts connect --state DIR) \.\.\.$/m.exec(PAGE)!;
  const folder = scene.stateOf("alice");
  const command = line!.replaceAll("DIR", folder).split(" ").slice(0, -2);
  const alice = scene.connect("alice", "bob", ["--json"], {
    start: () => [Deno.execPath(), ...command],
  });
  await alice.event("waiting");
});

Deno.test("who may use the state folder alone reads an invite file there, and says so of another", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve(["--admission", "invite"]);
  const { invite } = await server.event("listening");
  const elsewhere = `${scene.folder}/line`;
  await Deno.mkdir(scene.stateOf("alice"), { mode: 0o700 });
  const inside = `${scene.stateOf("alice")}/line`;
  for (const file of [elsewhere, inside]) {
    await Deno.writeTextFile(file, `${invite}\n`, { mode: 0o600 });
  }
  const strange = scene.connect("alice", "bob", ["--invite-file", elsewhere]);
  const { stderr } = await strange.exits(1);
  assertStringIncludes(
    stderr,
    `Cannot read the invite file ${elsewhere}: this program was not given`,
  );
  assertStringIncludes(stderr, "deno task users and inbox read files in the state folder only");
  const alice = scene.connect("alice", "bob", ["--json", "--invite-file", inside]);
  await alice.event("waiting");
});

Deno.test("the tasks give what is needed and nothing else", () => {
  for (const task of ["serve", "connect", "users", "history"] as const) {
    const flags = sourceCommand(task, "/state");
    assert(flags.includes("--no-prompt"));
    const network = ["serve", "connect"].includes(task) ? ",networkInterfaces" : "";
    assertEquals(flags.filter((flag) => /^(-A|--allow|--deny)/.test(flag)), [
      "--allow-net",
      ...(["connect", "users"].includes(task) ? [`--deny-net=${NEVER_DIALLED.join(",")}`] : []),
      `--allow-sys=uid${network}`,
      "--allow-env=HOME,XDG_STATE_HOME,LOCALAPPDATA,XDG_CONFIG_HOME,APPDATA,NO_COLOR,CIFRA_*,TERM," +
      "INIT_CWD",
      ...(["serve", "connect"].includes(task) ? ["--allow-run=/bin/sh"] : []),
      "--allow-read=/state",
      "--allow-write=/state",
    ]);
  }
});

Deno.test("the tasks themselves hold a conversation, with the default state folder", async () => {
  await using scene = await Scene.open();
  const env = { HOME: scene.stateOf("home"), XDG_STATE_HOME: scene.stateOf("state") };
  for (const folder of Object.values(env)) await Deno.mkdir(folder, { mode: 0o700 });
  const denoDir = await denoFolder();
  await using tasks = new Tasks();
  const task = (name: string, ...args: readonly string[]) =>
    tasks.add(
      new Program({
        name,
        command: [Deno.execPath(), "task", "--quiet", ...args],
        env: { ...env, DENO_DIR: denoDir },
      }),
    );
  const server = task("server", "serve", "--port", "0", "--json");
  const { port } = await server.event("listening");
  const where = ["--server", `127.0.0.1:${port}`, "--json"];
  const alice = task("alice", "connect", "--name", "alice", "--to", "bob", ...where);
  const bob = task("bob", "connect", "--name", "bob", "--to", "alice", ...where);
  await alice.write("hello\n");
  await bob.event("message", { text: "hello" });
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
  const history = task("history", "history", "--name", "bob", "--json");
  await history.event("history", { peer: "alice", direction: "received", text: "hello" });
  await history.exits(0);
  const kept = [...Deno.readDirSync(`${env.XDG_STATE_HOME}/cifra`)].map(({ name }) => name).sort();
  assertEquals(kept, ["profiles", "server"]);
});

/** Programs started by deno task, which would leave them behind if it were killed. */
class Tasks {
  readonly #programs: Program[] = [];

  add(program: Program): Program {
    this.#programs.push(program);
    return program;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.#programs) {
      try {
        // It hands this signal on.
        program.kill("SIGTERM");
      } catch {
        // It has ended.
      }
      await program.exit();
      await program[Symbol.asyncDispose]();
    }
  }
}

/** Where this Deno keeps what it fetched, for one that would look elsewhere because of its HOME. */
async function denoFolder(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).denoDir;
}

Deno.test("connect without access to its state folder says what to do", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob", [], {
    start: (task) => sourceCommand(task, scene.stateOf("elsewhere")),
  });
  const { stderr } = await alice.exits(1);
  assertStringIncludes(stderr, "this program was not given access to it\nhint: ");
});

/** What lies below the folder, all of it private: the paths of its files, and what is in them. */
async function filesBelow(folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const look = async (path: string) => {
    for await (const { name, isDirectory, isFile } of Deno.readDir(path)) {
      const below = `${path}/${name}`;
      const mode = (await Deno.stat(below)).mode! & 0o777;
      assertEquals(mode, isDirectory ? 0o700 : 0o600, below);
      if (isDirectory) await look(below);
      // A socket has no contents.
      if (isFile) files.set(below.slice(folder.length + 1), await Deno.readTextFile(below));
    }
  };
  await look(folder);
  return files;
}

/** Both say something, hear it, and leave; returns where it lies then. */
async function whereCanariesLie(scene: Scene, ...args: readonly string[]): Promise<string[]> {
  const [alice, bob] = await couple(scene, ["--json", ...args]);
  const canaries = ["one", "two"].map((name) => `canary-${name}-${crypto.randomUUID()}`);
  for (const [i, [from, to]] of ([[alice, bob], [bob, alice]] as const).entries()) {
    await from.write(`${canaries[i]}\n`);
    await to.event("message", { text: canaries[i] });
    await from.event("read", { number: 1 });
  }
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
  const files = [...await filesBelow(scene.folder)];
  assert(files.length >= 10);
  const found = files.filter(([, text]) => canaries.some((canary) => text.includes(canary)));
  return found.map(([path]) => path).sort();
}

Deno.test("connect writes nothing outside its state folder, and the talk to messages.db alone", async () => {
  await using scene = await Scene.withServer();
  assertEquals(await whereCanariesLie(scene), [
    "alice/profiles/alice/messages.db",
    "bob/profiles/bob/messages.db",
  ]);
});

Deno.test("with --no-history nothing of the talk is left once both sides have it", async () => {
  await using scene = await Scene.withServer();
  assertEquals(await whereCanariesLie(scene, "--no-history"), []);
});
