import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { permissionsFor } from "../../scripts/compile.ts";
import { may, probed } from "../testkit/probe.ts";
import { type CastOptions, Program, Scene } from "../testkit/program.ts";
import { hasPty, leavesTerminal, onTerminal, shows } from "../testkit/pty.ts";
import { within } from "../testkit/time_limit.ts";

/** The base to build on, and the deno of the same version. */
interface Base {
  readonly denort: string;
  readonly deno: string;
}

const SCRIPT = new URL("../../../shared/tools/denort.sh", import.meta.url).pathname;

/**
 * Deno fetches its base from a host of its own, which not every network reaches. CIFRA_DENORT or DENORT_BIN
 * name one, or a script that prints where one is; CIFRA_DENO the command of the deno that goes with it.
 */
async function findBase(): Promise<Base | string> {
  const named = Deno.env.get("CIFRA_DENORT") ?? Deno.env.get("DENORT_BIN");
  const script = await Deno.stat(SCRIPT).then(() => SCRIPT, () => undefined);
  const path = named ?? script;
  if (path === undefined) return "there is no denort; CIFRA_DENORT can name one";
  try {
    const file = await Deno.open(path);
    const start = new Uint8Array(2);
    await file.read(start);
    file.close();
    const isScript = new TextDecoder().decode(start) === "#!";
    const denort = isScript ? await outputOf([path]) : path;
    const version = /\d+\.\d+\.\d+/.exec(denort)?.[0] ?? Deno.version.deno;
    const own = version === Deno.version.deno;
    const deno = Deno.env.get("CIFRA_DENO") ??
      (own ? Deno.execPath() : `npx --yes deno@${version}`);
    return { denort, deno };
  } catch (error) {
    return `${path} is of no use: ${(error as Error).message}`;
  }
}

async function outputOf([program, ...args]: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program!, { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

const base = await findBase();
if (typeof base === "string") console.log(`ignored: compiled programs, because ${base}`);

Deno.test({
  name: "the compiled program does what the source does, and with it",
  ignore: typeof base === "string",
  // It compiles twice, with a base that may have to be fetched.
  fn: within(300, async (t) => {
    if (typeof base === "string") return;
    const { denort, deno } = base;
    await using scene = await Scene.open();
    const dist = scene.stateOf("dist");
    const env = { DENORT_BIN: denort, CIFRA_DENO: deno };
    const cifra = `${dist}/cifra`;
    const compiled: CastOptions = { start: (task) => [cifra, task] };

    await t.step("deno task compile builds it, with its sum", async () => {
      const command = [Deno.execPath(), "task", "--quiet", "compile", "--output", dist];
      const build = scene.add(new Program({ name: "compile", command, env }));
      const { stdout } = await build.exits(0);
      assertStringIncludes(stdout, `${cifra}  `);
      const sums = await Deno.readTextFile(`${dist}/SHA256SUMS`);
      assert(/^[0-9a-f]{64} {2}cifra\n$/.test(sums), sums);
      const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(cifra));
      assert(sums.startsWith(new Uint8Array(digest).toHex()));
    });

    await t.step("it has help, a version, and exit codes", async () => {
      for (
        const [args, code] of [[["--version"], 0], [["connect", "--help"], 0], [["x"], 2]] as const
      ) {
        await (scene.add(new Program({ name: "cifra", command: [cifra, ...args] }))).exits(code);
      }
    });

    await scene.serve([], compiled);
    for (const suite of ["modern", "rsa"]) {
      for (const other of ["compiled", "source"]) {
        await t.step(
          `it talks to the ${other} program through a compiled server, in ${suite}`,
          async () => {
            const args = ["--json", "--suite", suite, "--accept-new"];
            const alice = scene.connect("alice", "bob", args, compiled);
            // The same person, with the same profile, whichever program it is.
            const bob = scene.connect("bob", "alice", args, other === "compiled" ? compiled : {});
            await alice.write("hello\n");
            await bob.event("message", { text: "hello" });
            await bob.write("¿qué tal?\n");
            await alice.event("message", { text: "¿qué tal?" });
            await Promise.all([alice.endInput(), bob.endInput()]);
            await Promise.all([alice.exits(0), bob.exits(0)]);
            assertEquals([alice.stderr, bob.stderr], ["", ""]);
          },
        );
      }
    }

    const probe = `${dist}/probed`;
    await t.step("so it does with something before it that tries what it may do", async () => {
      await outputOf([
        "env",
        `DENORT_BIN=${denort}`,
        ...deno.split(" "),
        "compile",
        "--frozen",
        ...permissionsFor(undefined, Deno.build.os),
        "--output",
        probe,
        "tests/e2e/fixtures/probed_main.ts",
      ]);
    });

    await t.step(
      "a command of it keeps what it needs of the disk, and no network for nothing",
      async () => {
        const state = scene.stateOf("confined");
        for (const folder of ["", "/profiles", "/profiles/alice"]) {
          await Deno.mkdir(`${state}${folder}`, { mode: 0o700 });
        }
        const person = ["--name", "alice", "--state", state];
        for (
          const [moment, dials, writes, ...args] of [
            // A program that has the messages to itself may be asked over its socket.
            ["touch", true, true, "history", ...person],
            ["touch", false, true, "keys", "show", ...person],
            ["touch", true, true, "connect", "--json", "--server", "127.0.0.1:1", ...person],
            ["end", false, false, "man"],
          ] as const
        ) {
          await using program = scene.add(
            new Program({ name: args.join(" "), command: [probe, ...args] }),
          );
          const results = await probed(program, moment);
          assertEquals(
            ["dial", "write in the state folder", "read a file", "read elsewhere", "interfaces"]
              .map((what) => results[what] === "done"),
            // Who talks looks at the addresses of this machine.
            [dials, writes, false, false, args[0] === "connect"],
            args.join(" "),
          );
        }
      },
    );

    await t.step("it has kept what was said, and shows it", async () => {
      const command = [cifra, "history", "--state", scene.stateOf("bob"), "--json"];
      const program = scene.add(new Program({ name: "history", command }));
      await program.exits(0);
      const told = program.events.map(({ direction, text }) => [direction, text]);
      const talk = [["received", "hello"], ["sent", "¿qué tal?"]];
      // Once for each suite and program.
      assertEquals(told, [...talk, ...talk, ...talk, ...talk]);
    });

    await t.step({
      name: "it chats at a terminal",
      ignore: !hasPty,
      fn: async () => {
        // With the server: an old base does not get on with a terminal and a socket of node:net at once.
        const alice = scene.connect("alice", "server", [], {
          start: (task) => onTerminal([cifra, task]),
          env: { TERM: "xterm-256color" },
        });
        await shows(alice, "alice>");
        await alice.write("hello\r");
        await shows(alice, "server: OK");
        await alice.write("/verify\r");
        await shows(alice, "they must be the same there");
        await alice.write("/quit\r");
        assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
      },
    });

    await t.step(
      "its permissions are the baked ones, and its server gives those up too",
      async () => {
        const state = "dropped";
        await Deno.mkdir(scene.stateOf(state), { mode: 0o700 });
        const server = await scene.serve([], { state, start: () => [probe, "serve"] });
        const before = await probed(server, "start");
        assertEquals(before["read a file"], "done");
        for (const never of ["run a program", "load a library"]) {
          assert(!may(before[never]!), never);
        }
        const after = Object.entries(await probed(server, "client"));
        const isImport = ([what]: readonly [string, string]) => /^(import|require) /.test(what);
        for (const [what, result] of after.filter((each) => !isImport(each))) {
          // An old base refuses as well, and calls it a refused connection.
          const refused = what === "dial through node" && result !== "done";
          assert(refused || !may(result), `${what}: ${result}`);
        }
        // Its loader asks for no permission: what keeps it from a key is that the file is no module.
        const keys = await Deno.readTextFile(
          `${scene.stateOf(state)}/server/identity-modern.pem`,
        );
        const lines = keys.split("\n").filter((line) => !line.startsWith("-") && line !== "");
        for (const [what, result] of after.filter(isImport)) {
          assert(result !== "done", `${what}: ${result}`);
          assert(!lines.some((line) => result.includes(line)), `${what}: ${result}`);
        }
      },
    );
  }),
});
