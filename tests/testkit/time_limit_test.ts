import { assertEquals, assertStringIncludes } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);
const LIMITER = new URL("time_limit.ts", import.meta.url).href;

/** Runs a file of tests with the flags of `deno task test`, each with 0.3 s if it does not say otherwise. */
async function run(source: string): Promise<{ readonly code: number; readonly told: string }> {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  const path = await Deno.makeTempFile({ prefix: "cifra-test-", suffix: "_test.ts" });
  try {
    await Deno.writeTextFile(path, source);
    const args = tasks.test.command.split(" ").slice(1).with(-1, path);
    const env = { CIFRA_TEST_SECONDS: "0.3", NO_COLOR: "1", RUST_BACKTRACE: "0" };
    const command = new Deno.Command(Deno.execPath(), { args, cwd: ROOT, env });
    const { code, stdout } = await command.output();
    const told = new TextDecoder().decode(stdout).replaceAll(/ \([\d.]+[mµ]?s\)/g, "");
    return { code, told: told.replaceAll(/^.* => (?=.* \.\.\. )/gm, "") };
  } finally {
    await Deno.remove(path);
  }
}

const HANG = `async () => {
  const listener = Deno.listen({ port: 0 });
  await listener.accept();
}`;

Deno.test("a test that hangs fails with its name and its line, and the others run", async () => {
  const { code, told } = await run(`
Deno.test("before", () => {});
Deno.test("hanging", ${HANG});
Deno.test("after", () => {});
`);
  assertEquals(code, 1);
  assertEquals(
    told.split("\n").filter((line) => line.includes(" ... ")),
    ["before ... ok", "hanging ... FAILED", "after ... ok"],
  );
  assertStringIncludes(told, "The test did not end within 0.3 s");
  assertStringIncludes(told, "_test.ts:3:6\n");
});

Deno.test("every form of a test has a limit, and keeps its name and what it asks for", async () => {
  const { code, told } = await run(`
import { within } from "${LIMITER}";
const hang = ${HANG};
Deno.test(async function byFunction() { await hang(); });
Deno.test("with options", { sanitizeOps: true }, hang);
Deno.test({ name: "with a name" }, hang);
Deno.test({ permissions: "inherit" }, async function byOptions() { await hang(); });
Deno.test({ name: "as a value", fn: hang });
Deno.test({ name: "left out", ignore: true, fn: hang });
Deno.test.ignore("left out, too", hang);
Deno.test("in less time", within(0.1, () => hang()));
Deno.test("in more time", within(5, () => new Promise((ok) => void setTimeout(ok, 600))));
Deno.test("with steps", async (t) => void await t.step("a step", () => {}));
Deno.test("with a leak", () => void Deno.listen({ port: 0 }));
`);
  assertEquals(code, 1);
  assertEquals(told.split("\n").filter((line) => line.includes(" ... ")), [
    "byFunction ... FAILED",
    "with options ... FAILED",
    "with a name ... FAILED",
    "byOptions ... FAILED",
    "as a value ... FAILED",
    "left out ... ignored",
    "left out, too ... ignored",
    "in less time ... FAILED",
    "in more time ... ok",
    "with steps ... a step ... ok",
    "with steps ... ok",
    "with a leak ... FAILED",
  ]);
  assertEquals(told.match(/did not end within 0.3 s/g)!.length, 5);
  assertStringIncludes(told, "did not end within 0.1 s");
  assertStringIncludes(told, "Leaks detected");
});

Deno.test("of tests that ask for it, only those run, within the limit", async () => {
  const { code, told } = await run(`
Deno.test("not this one", () => {});
Deno.test.only("this one", ${HANG});
`);
  assertEquals(code, 1);
  assertEquals(told.split("\n").filter((line) => line.includes(" ... ")), ["this one ... FAILED"]);
});
