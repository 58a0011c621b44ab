import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { couple, Program, Scene, sourceCommand } from "../testkit/program.ts";

const FIXTURE = "tests/e2e/fixtures/dropped_server.ts";

Deno.test("serve gives up all it may do once it listens, and still serves", async () => {
  await using scene = await Scene.open();
  // Given everything, so that what it cannot do later it gave up itself.
  const command = [Deno.execPath(), "run", "--allow-all", "--frozen", FIXTURE];
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
  const bob = scene.connect("bob", "alice", ["--json"]);
  await Promise.all([alice.event("connected"), bob.event("connected")]);
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
  server.kill("SIGTERM");
  await server.exits(0);
});

Deno.test("the tasks give what is needed and nothing else", () => {
  for (const task of ["serve", "connect"] as const) {
    const flags = sourceCommand(task, "/state");
    assert(flags.includes("--no-prompt"));
    const [network, terminal] = task === "serve" ? [",networkInterfaces", ""] : ["", ",TERM"];
    assertEquals(flags.filter((flag) => /^(-A|--allow|--deny)/.test(flag)), [
      "--allow-net",
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
  const task = (name: string, ...args: readonly string[]) =>
    scene.add(
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
  const kept = [...Deno.readDirSync(`${env.XDG_STATE_HOME}/cifra`)].map(({ name }) => name).sort();
  assertEquals(kept, ["profiles", "server"]);
  // deno task hands the signal on.
  server.kill("SIGTERM");
  await server.exit();
});

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

Deno.test("connect writes nothing outside its state folder, and nothing of the talk in it", async () => {
  await using scene = await Scene.withServer();
  const [alice, bob] = await couple(scene);
  const canary = `canary-${crypto.randomUUID()}`;
  await alice.write(`${canary}\n`);
  await bob.event("message", { text: canary });
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
  let files = 0;
  const look = async (folder: string) => {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      const path = `${folder}/${name}`;
      const mode = (await Deno.stat(path)).mode! & 0o777;
      assertEquals(mode, isDirectory ? 0o700 : 0o600, path);
      if (isDirectory) await look(path);
      else {
        files++;
        assert(!(await Deno.readTextFile(path)).includes(canary), path);
      }
    }
  };
  await look(scene.folder);
  assert(files >= 8);
});
