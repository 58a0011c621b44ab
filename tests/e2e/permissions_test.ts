import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { NEVER_DIALLED } from "../../lib/net/never_dialled.ts";
import { permissionsFor } from "../../scripts/compile.ts";
import { couple, Program, Scene, sourceCommand } from "../testkit/program.ts";

const FIXTURE = "tests/e2e/fixtures/dropped_server.ts";
const CONFINED = "tests/e2e/fixtures/confined.ts";

/** Loaders may have looked at it, but what they say is theirs: nothing of the file. */
const REFUSED =
  /^(NotCapable|TypeError: Requires (read|import) access|TypeError: (The lockfile is out of date|"(text|bytes)" is not a valid))/;

Deno.test("serve gives up all it may do once it listens, and still serves", async () => {
  await using scene = await Scene.open();
  const lock = await Deno.readTextFile("deno.lock");
  // Given everything, so that what it cannot do later it gave up itself; but for the flags of the task.
  const flags = ["--cached-only", "--frozen"];
  for (const flag of flags) assert(sourceCommand("serve", "/").includes(flag));
  const command = [Deno.execPath(), "run", "--allow-all", ...flags, FIXTURE];
  const server = await scene.serve([], { start: () => command });
  const able = await server.event("attempts");
  for (const [what, result] of Object.entries(able.results as Record<string, string>)) {
    // The port it tries speaks no HTTP, and the library may not be there: all that matters is that it may.
    assert(result !== "NotCapable", `${what}: ${result}`);
  }
  const alice = scene.connect("alice", "bob", ["--json"]);
  await alice.event("waiting");
  const unable = await server.until(
    "the second attempts",
    () => server.events.filter(({ event }) => event === "attempts")[1],
  );
  for (const [what, result] of Object.entries(unable.results as Record<string, string>)) {
    assertEquals(result, "NotCapable", what);
  }
  const { results } = await server.event("loaded");
  for (const [what, result] of Object.entries(results as Record<string, string>)) {
    assertMatch(result, REFUSED, what);
  }
  assertEquals(await Deno.readTextFile("deno.lock"), lock);
  const bob = scene.connect("bob", "alice", ["--json"]);
  await Promise.all([alice.event("connected"), bob.event("connected")]);
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
  server.kill("SIGTERM");
  await server.exits(0);
});

/** What a command can still do, of what the executable is allowed. */
async function confined(
  scene: Scene,
  command: string,
  ...args: readonly string[]
): Promise<Record<string, string>> {
  const flags = permissionsFor(undefined, Deno.build.os).filter((flag) => flag !== "--deny-import");
  const run = [Deno.execPath(), "run", "--frozen", ...flags, CONFINED, command, ...args];
  const program = scene.add(new Program({ name: command, command: run }));
  await program.exits(0);
  return (await program.event("attempts")).results as Record<string, string>;
}

Deno.test("each command keeps what it needs of what the executable may, and no more", async () => {
  await using scene = await Scene.open();
  const state = scene.stateOf("state");
  const told = async (command: string, ...args: readonly string[]) =>
    Object.entries(await confined(scene, command, ...args))
      .filter(([, result]) => !result.startsWith("NotCapable")).map(([what]) => what).sort();
  const common = ["read in the state folder", "user", "variables", "write in the state folder"];
  const person = ["--name", "alice", "--state", state];
  assertEquals(await told("connect", ...person), ["dial", "interfaces", "listen", ...common]);
  assertEquals(await told("users", ...person), ["dial", "listen", ...common]);
  assertEquals(await told("history", ...person), common);
  assertEquals(await told("keys", "show", ...person), ["dial", "listen", ...common]);
  const serve = ["dial", "interfaces", "listen", ...common];
  assertEquals(await told("serve", "--state", state), serve);
  for (const command of ["help", "completions", "man"]) assertEquals(await told(command), []);

  // What the command line names is kept as well.
  const file = `${scene.folder}/elsewhere`;
  const reads = ["dial", "listen", "read elsewhere", ...common].sort();
  const connect = [...reads, "interfaces"].sort();
  assertEquals(await told("connect", ...person, "--invite-file", file), connect);
  const both = [...reads, "write elsewhere"].sort();
  assertEquals(await told("keys", "export", file, ...person), both);
  const logs = [...both, "interfaces", "write elsewhere.1"].sort();
  assertEquals(await told("serve", "--state", state, "--log", file), logs);
});

Deno.test("a folder at the root is not allowed because the environment lacks what a task names", async () => {
  await using scene = await Scene.open();
  const state = scene.stateOf("state");
  const flags = ["--allow-env", "--allow-sys=uid", `--allow-read=${state},/cifra`];
  const command = [Deno.execPath(), "run", ...flags, CONFINED, "history", "--state", state];
  const program = scene.add(new Program({ name: "history", command }));
  await program.exits(0);
  const { results } = await program.event("attempts");
  assertMatch((results as Record<string, string>)["read /cifra"]!, /^NotCapable/);
});

Deno.test("the tasks give what is needed and nothing else", () => {
  for (const task of ["serve", "connect", "users", "history"] as const) {
    const flags = sourceCommand(task, "/state");
    assert(flags.includes("--no-prompt"));
    const network = ["serve", "connect"].includes(task) ? ",networkInterfaces" : "";
    const terminal = task === "serve" ? "" : ",TERM";
    assertEquals(flags.filter((flag) => /^(-A|--allow|--deny)/.test(flag)), [
      ...(task === "history" ? [] : ["--allow-net"]),
      ...(["connect", "users"].includes(task) ? [`--deny-net=${NEVER_DIALLED.join(",")}`] : []),
      `--allow-sys=uid${network}`,
      `--allow-env=HOME,XDG_STATE_HOME,LOCALAPPDATA,NO_COLOR${terminal}`,
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
