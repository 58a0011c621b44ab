/** Settings as a person has them: a home with a cifra.toml, variables, and what was used the last time. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { cifraCommand, Program, Scene, type Task } from "../testkit/program.ts";
import {
  hasPty,
  leavesTerminal,
  onTerminal,
  screen,
  shows,
  signalOnTerminal,
} from "../testkit/pty.ts";

/** A home of its own, and what is started in it as the tasks do, without any option of the test's. */
class Home {
  readonly scene: Scene;
  readonly path: string;
  readonly #env: Record<string, string>;

  private constructor(scene: Scene) {
    this.scene = scene;
    this.path = `${scene.folder}/home`;
    this.#env = { HOME: this.path, XDG_STATE_HOME: "", XDG_CONFIG_HOME: "" };
  }

  static async open(scene: Scene, ...settings: readonly string[]): Promise<Home> {
    const home = new Home(scene);
    await Deno.mkdir(`${home.path}/.config/cifra`, { recursive: true, mode: 0o700 });
    if (settings.length > 0) await home.write(...settings);
    return home;
  }

  get file(): string {
    return `${this.path}/.config/cifra/cifra.toml`;
  }

  async write(...lines: readonly string[]): Promise<void> {
    await Deno.writeTextFile(this.file, `${lines.join("\n")}\n`);
  }

  run(
    task: Task,
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Program {
    return this.#start(cifraCommand(task, this.scene.folder), args, env);
  }

  onTerminal(task: Task, ...args: readonly string[]): Program {
    const command = onTerminal([...cifraCommand(task, this.scene.folder), ...args]);
    return this.#start(command, [], { TERM: "xterm-256color" });
  }

  #start(
    command: readonly string[],
    args: readonly string[],
    env: Readonly<Record<string, string>>,
  ): Program {
    return this.scene.add(
      new Program({
        name: args.join(" "),
        command: [...command, ...args],
        env: { DENO_DIR, ...this.#env, ...env },
      }),
    );
  }

  /** A server by its settings; returns its port. */
  async serve(): Promise<number> {
    const server = this.run("serve", ["--json"]);
    return (await server.event("listening")).port as number;
  }
}

const info = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
/** Another HOME must not mean another cache. */
const DENO_DIR: string = JSON.parse(new TextDecoder().decode(info.stdout)).denoDir;

/** One visit, and gone again. */
async function visit(home: Home, name: string, args: readonly string[] = []): Promise<void> {
  const program = home.run("connect", ["--name", name, "--to", "nobody", "--json", ...args]);
  await program.event("waiting");
  program.kill("SIGTERM");
  await program.exits(0);
}

Deno.test("both halves run by cifra.toml, variables win over it, and options over both", async () => {
  await using scene = await Scene.open();
  const home = await Home.open(scene, "[serve]", "port = 0", 'title = "Lab 3"');
  const port = await home.serve();
  await home.write("[connect]", 'name = "alice"', `server = "127.0.0.1:${port}"`);
  const alice = home.run("connect", ["--to", "bob", "--json"]);
  assertEquals((await alice.event("registered")).title, "Lab 3");
  const bob = home.run("connect", ["--to", "alice", "--json"], { CIFRA_NAME: "bob" });
  await Promise.all([alice.event("connected"), bob.event("connected")]);
  const carol = home.run("connect", ["--name", "carol", "--to", "bob", "--json"], {
    CIFRA_NAME: "bob",
  });
  assertEquals((await carol.event("profile")).name, "carol");
});

Deno.test("what a server let in is known the next time, and of several names the last", async () => {
  await using scene = await Scene.open();
  const home = await Home.open(scene, "[serve]", "port = 0");
  const server = `127.0.0.1:${await home.serve()}`;
  const first = home.run("connect", ["--to", "bob"]);
  assertStringIncludes((await first.exits(2)).stderr, "error: --name is missing");
  for (const name of ["alice", "carol"]) await visit(home, name, ["--server", server]);

  const again = home.run("connect", ["--to", "bob", "--json"]);
  await again.event("as-last-time", { name: "carol", server });
  await again.event("waiting");
  again.kill("SIGTERM");
  await again.exits(0);
  // Whoever is asked for is not who asks.
  const other = home.run("connect", ["--to", "carol", "--json"]);
  await other.event("as-last-time", { name: "alice", server });
  await other.event("waiting");
  other.kill("SIGTERM");
  await other.exits(0);
  // The server is that of the name.
  const alice = home.run("connect", ["--name", "alice", "--to", "bob"]);
  await alice.says(`cifra: as last time: the server ${server}; --server says otherwise`);
  await alice.says("waiting for bob");
  alice.kill("SIGTERM");
  await alice.exits(130);

  const users = await home.run("users", ["--json"]).exits(0);
  assertEquals(users.stdout, "");
  const history = await home.run("history").exits(0);
  assertEquals(history.stderr.split("\n"), [
    "cifra: as last time: alice; --name says otherwise",
    "cifra: nothing is kept of what alice said",
    "",
  ]);
  // Who a file of keys is of, the file says.
  const missing = await home.run("keys", ["import", `${scene.folder}/x`]).exits(1);
  assertStringIncludes(missing.stderr, "error: Cannot use ");
});

Deno.test("cifra config prints each value and where it comes from", async () => {
  await using scene = await Scene.open();
  const home = await Home.open(scene, "[serve]", "port = 0");
  const server = `127.0.0.1:${await home.serve()}`;
  await visit(home, "alice", ["--server", server]);
  await home.write("[connect]", "no-history = true", "", "[serve]", 'host = ["::1"]');
  const env = { CIFRA_HTTP: "7412", CIFRA_TRACE: "0" };
  const { stdout } = await home.run("config", [], env).exits(0);
  const rows = stdout.split("\n").map((line) => line.split(/ {2,}/));
  const row = (key: string) => rows.find(([name]) => name === key)?.slice(1);
  assertEquals(rows[0], [`settings in ${home.file}`]);
  assertEquals(row("state"), [`${home.path}/.local/state/cifra`, "default"]);
  assertEquals(row("name"), ["alice", "as last time"]);
  assertEquals(row("server"), [server, "as last time"]);
  assertEquals(row("no-history"), ["true", `${home.file}, line 2`]);
  assertEquals(row("accept"), ["known", "default"]);
  assertEquals(row("host"), ["::1", `${home.file}, line 5`]);
  assertEquals(row("http"), ["7412", "CIFRA_HTTP"]);

  const config = home.run("config", ["--json"], env);
  await config.exits(0);
  const at = async (key: string) => {
    const { event: _, ...rest } = await config.event("setting", { key });
    return rest;
  };
  await config.event("settings-file", { path: home.file, isThere: true });
  assertEquals(await at("name"), {
    section: "connect",
    key: "name",
    value: "alice",
    from: "remembered",
  });
  assertEquals(await at("http"), {
    section: "serve",
    key: "http",
    value: 7412,
    from: "environment",
    where: "CIFRA_HTTP",
  });
  assertEquals(await at("port"), { section: "serve", key: "port", value: 7411, from: "default" });
  assertEquals(await at("suite"), {
    section: "connect",
    key: "suite",
    value: "modern",
    from: "default",
  });
  const elsewhere = home.run("config", ["--state", scene.folder, "--json"]);
  await elsewhere.exits(0);
  await elsewhere.event("setting", { key: "state", from: "option", value: scene.folder });
});

Deno.test("a mistake in cifra.toml is told with its line, by every command, and help works", async () => {
  await using scene = await Scene.open();
  const home = await Home.open(scene, "[serve]", "prot = 7411");
  for (const task of ["serve", "connect", "users", "history", "keys", "config"] as const) {
    const { stderr } = await home.run(task, task === "connect" ? ["--to", "bob"] : []).exits(2);
    assertEquals(stderr.split("\n"), [
      `error: Cannot use ${home.file}, line 2: unknown key "prot" in [serve]`,
      "hint: did you mean port?",
      "",
    ]);
  }
  assertStringIncludes((await home.run("serve", ["--help"]).exits(0)).stdout, "Usage: cifra serve");
});

Deno.test("settings that others may write are not followed, and without access there are none", async () => {
  await using scene = await Scene.open();
  const home = await Home.open(scene, "[serve]", "port = 1");
  await Deno.chmod(home.file, 0o666);
  const { stderr } = await home.run("config").exits(1);
  assertStringIncludes(stderr, `error: Cannot use ${home.file}: others can write it\nhint: `);
  await Deno.chmod(home.file, 0o644);
  // A link is how many people keep such files.
  await Deno.rename(home.file, `${scene.folder}/dotfile`);
  await Deno.symlink(`${scene.folder}/dotfile`, home.file);
  const linked = await home.run("config").exits(0);
  assertStringIncludes(linked.stdout, `${home.file}, line 2`);
  const away = home.run("config", ["--json"], { XDG_CONFIG_HOME: "/proc/self/nowhere" });
  await away.exits(0);
  await away.event("settings-file", {
    path: "/proc/self/nowhere/cifra/cifra.toml",
    isThere: false,
  });
});

Deno.test({
  name: "connect alone asks for the name and whom to talk to, and lowers capitals with a word",
  ignore: !hasPty,
  fn: async () => {
    await using scene = await Scene.open();
    const home = await Home.open(scene, "[serve]", "port = 0");
    const server = `127.0.0.1:${await home.serve()}`;
    await home.write("[connect]", `server = "${server}"`);
    const alice = home.onTerminal("connect");
    await shows(alice, "your name:");
    await alice.write("not a name!\r");
    await shows(alice, "-- Cannot use this name");
    await alice.write("Alice\r");
    await shows(alice, "-- names have no capitals: Alice is alice");
    await shows(alice, "talk to (only Enter: the lobby):");
    await alice.write("bob\r");
    await shows(alice, "-- waiting for bob");
    const bob = home.run("connect", ["--name", "Bob", "--to", "ALICE"]);
    await bob.says("cifra: names have no capitals: Bob is bob\n");
    await bob.says("cifra: names have no capitals: ALICE is alice\n");
    await shows(alice, "-- connected to bob");
    await alice.write("/quit\r");
    assertEquals(await leavesTerminal(alice), { code: 0, restored: true });

    // Nothing is asked the second time.
    const again = home.onTerminal("connect");
    await shows(again, "in the lobby of");
    assert(!screen(again).includes("your name:"), screen(again));
    await again.write("/quit\r");
    await leavesTerminal(again);
  },
});

Deno.test({
  name: "a signal at the first questions ends the program in order: the terminal is as it was",
  ignore: !hasPty,
  fn: async () => {
    await using scene = await Scene.open();
    const home = await Home.open(scene);
    for (const [signal, code] of [["SIGTERM", 0], ["SIGHUP", 0], ["SIGINT", 130]] as const) {
      for (const question of ["your name:", "talk to"]) {
        const alice = home.onTerminal("connect");
        await shows(alice, "your name:");
        if (question !== "your name:") await alice.write("alice\r");
        await shows(alice, question);
        signalOnTerminal(alice, signal);
        assertEquals(
          await leavesTerminal(alice),
          { code, restored: true },
          `${signal}, ${question}`,
        );
        assert(!/error/.test(screen(alice)), screen(alice));
      }
    }
  },
});

Deno.test("a name in the settings, or of a word, may have capitals, as one that is typed", async () => {
  await using scene = await Scene.open();
  const home = await Home.open(scene, "[serve]", "port = 0");
  const server = `127.0.0.1:${await home.serve()}`;
  await home.write("[connect]", `server = "${server}"`, 'name = "Alice"');
  for (const CIFRA_NAME of ["", "ALICE"]) {
    const alice = home.run("connect", ["--to", "bob"], { CIFRA_NAME });
    await alice.says(" is alice\n");
    await alice.says("waiting for bob");
    alice.kill("SIGTERM");
    await alice.exits(130);
  }
  const config = home.run("config", ["--json"]);
  await config.exits(0);
  await config.event("setting", { key: "name", value: "alice" });
  const verify = home.run("keys", ["verify", "Bob"]);
  assertStringIncludes((await verify.exits(1)).stderr, "error: bob is not known here");
});

Deno.test({
  name: "where an account is needed, signing in and signing up are one question",
  ignore: !hasPty,
  fn: async () => {
    await using scene = await Scene.open();
    const home = await Home.open(scene, "[serve]", "port = 0", 'admission = "accounts"');
    const server = `127.0.0.1:${await home.serve()}`;
    await home.write("[connect]", `server = "${server}"`, 'name = "alice"');
    const question = "sign in or sign up (in, up):";
    const alice = home.onTerminal("connect", "--to", "bob");
    // What was typed before the question was for somebody else.
    await alice.write("up\r");
    await shows(alice, question);
    await alice.write("hello bob\r");
    await shows(alice, "that is neither in nor up");
    assert(!alice.stdout.includes("new password of alice:"), alice.stdout);
    await alice.write("up\r");
    await shows(alice, "new password of alice:");
    await alice.write("correct horse battery\r");
    await shows(alice, "once more:");
    await alice.write("correct horse battery\r");
    await shows(alice, "-- waiting for bob");
    await alice.write("/quit\r");
    await leavesTerminal(alice);

    // Another machine: without the keys, and the server is known.
    const state = `${home.path}/.local/state/cifra`;
    await Deno.remove(`${state}/profiles/alice`, { recursive: true });
    const back = home.onTerminal("connect", "--to", "bob");
    await shows(back, question);
    await back.write("sign-in\r");
    await shows(back, "password of alice:");
    await back.write("correct horse battery\r");
    await shows(back, "signed in: this machine has the keys of alice now");
    await shows(back, "-- waiting for bob");
    await back.write("/quit\r");
    await leavesTerminal(back);
  },
});

Deno.test({
  name: "a screen reader's terminal is plain by its settings, also at the first question",
  ignore: !hasPty,
  fn: async () => {
    await using scene = await Scene.open();
    const home = await Home.open(scene, "plain = true", "[serve]", "port = 0");
    const server = `127.0.0.1:${await home.serve()}`;
    await home.write("plain = true", "[connect]", `server = "${server}"`);
    const alice = home.onTerminal("connect");
    await shows(alice, "your name:");
    await alice.write("alice\r");
    await shows(alice, "talk to (only Enter: the lobby):");
    await alice.write("\r");
    await shows(alice, "in the lobby of");
    await alice.write("/quit\r");
    await leavesTerminal(alice);
    assert(!alice.stdout.includes("\x1b"), alice.stdout);
  },
});

Deno.test({
  name: "a variable that is no text is told by its name, or says nothing of how things look",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using scene = await Scene.open();
    const history = (variable: string, args: readonly string[] = []) =>
      scene.run(variable, [
        ...["sh", "-c", `export ${variable}="$(printf '\\377')"; exec "$@"`, "sh"],
        ...cifraCommand("history", scene.folder),
        ...args,
      ]).exit();
    for (const variable of ["CIFRA_NAME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"]) {
      const { code, stderr } = await history(variable);
      assertEquals(stderr.split("\n"), [
        `error: Cannot use the variable ${variable}: must be text in UTF-8`,
        `hint: set it anew, or take it back: unset ${variable}`,
        "",
      ]);
      assertEquals(code, 2);
    }
    for (const variable of ["TERM", "NO_COLOR", "INIT_CWD"]) {
      const { code, stderr } = await history(variable, ["--state", scene.folder]);
      assertStringIncludes(stderr, "error: There is no profile");
      assertEquals(code, 1);
    }
  },
});
