/** The service and the container: that they start what there is, and shut it in. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { parseServe } from "../../lib/cli/serve.ts";
import { parseCompile, TARGETS } from "../../scripts/compile.ts";
import { Scene } from "../testkit/program.ts";

const ROOT = new URL("../../", import.meta.url);
const SERVICE = Deno.readTextFileSync(new URL("scripts/cifra.service", ROOT));
const CONTAINER = Deno.readTextFileSync(new URL("scripts/Containerfile", ROOT));

/** What the unit says under this name, each time. */
function settings(name: string): string[] {
  return [...SERVICE.matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].map(([, value]) => value!);
}

/** The command after an instruction of the recipe. */
function words(instruction: string): string[] {
  const unfolded = CONTAINER.replaceAll(/\\\n\s*/g, "");
  return JSON.parse(new RegExp(`^${instruction} (\\[.*\\])$`, "m").exec(unfolded)![1]!);
}

async function run(command: string, args: readonly string[]) {
  const { code, stdout, stderr } = await new Deno.Command(command, { args: [...args] }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

const hasSystemd = await run("systemd-analyze", ["--version"]).then(({ code }) => code === 0)
  .catch(() => false);
const hasBash = await run("bash", ["-c", "exec 3<&0"]).then(({ code }) => code === 0)
  .catch(() => false);
if (!hasSystemd) console.log("ignored: what systemd says of the service, which is not here");

Deno.test("the service starts serve with options that it has, in the folder that it is given", () => {
  const [start] = settings("ExecStart");
  const [program, command, ...args] = start!.split(" ");
  assertEquals([program, command], ["/usr/local/bin/cifra", "serve"]);
  const { port, http, state, admission, hosts } = parseServe(args);
  assertEquals(settings("SocketBindAllow"), [`tcp:${port}`, `tcp:${http}`]);
  // A dynamic user's folder is below private; the other path to it is a link, which cifra does not follow.
  assertEquals(state, `/var/lib/private/${settings("StateDirectory")}`);
  assertEquals([admission, hosts], ["invite", ["0.0.0.0"]]);
});

Deno.test("the service keeps the invite line out of the journal, and keys off the disk", () => {
  assertEquals(settings("StandardOutput"), ["null"]);
  assertEquals([settings("LimitCORE"), settings("MemorySwapMax")], [["0"], ["0"]]);
});

Deno.test({
  name: "systemd finds no fault with the service, and little that it could do",
  ignore: !hasSystemd,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      // The program need not be installed for that.
      const unit = `${folder}/cifra.service`;
      await Deno.writeTextFile(unit, SERVICE.replace("/usr/local/bin/cifra", "/bin/true"));
      const { code, text } = await run("systemd-analyze", ["verify", unit]);
      assertEquals([code, text], [0, ""]);
      // In tenths: from 0, nothing at all, to 100.
      const security = ["security", "--offline=true", "--no-pager", "--threshold=15", unit];
      const exposure = await run("systemd-analyze", security);
      assertEquals(exposure.code, 0, exposure.text);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("the container starts serve with options that it has, as nobody, in its volume", () => {
  const [program, command, ...args] = words("ENTRYPOINT");
  assertEquals([program, command], ["cifra", "serve"]);
  const { port, http, state, hosts } = parseServe(args);
  assertStringIncludes(CONTAINER, `\nEXPOSE ${port}\n`);
  assertStringIncludes(CONTAINER, `\nVOLUME ${state}\n`);
  assertStringIncludes(CONTAINER, `/dev/tcp/127.0.0.1/${http} `);
  assertEquals(hosts, ["0.0.0.0"]);
  const [, user] = /^USER (\d+):\d+$/m.exec(CONTAINER)!;
  assert(Number(user) > 0);
  assertStringIncludes(CONTAINER, `--owner ${user} --group ${user} --mode 700 ${state}\n`);
});

Deno.test("the container is made of what the task compiles", () => {
  const [, source] = /^COPY .* (\S+) \/usr\/local\/bin\/cifra$/m.exec(CONTAINER)!;
  const [target] = TARGETS;
  const [, named] = /deno task compile --target (\S+)/.exec(CONTAINER)!;
  assertEquals(named, target);
  const { builds } = parseCompile(["--target", target], "linux");
  assertEquals(builds.map(({ path }) => path), [source]);
});

Deno.test({
  name: "the container's check of its health tells a server that works from none",
  ignore: !hasBash,
  fn: async () => {
    await using scene = await Scene.open();
    const server = await scene.serve(["--http", "0"]);
    const { http } = await server.event("listening");
    const [program, ...args] = words("HEALTHCHECK .* CMD");
    const here = args.map((arg) => arg.replace("/7412 ", `/${http} `));
    assertEquals(await run(program!, here), { code: 0, text: "" });
    server.kill("SIGTERM");
    await server.exits(0);
    assert((await run(program!, here)).code !== 0);
  },
});
