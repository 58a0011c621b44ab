import { assert, assertStringIncludes } from "@std/assert";
import { Program } from "../testkit/program.ts";

Deno.test("deno task demo shows every step and ends by itself", async () => {
  await using demo = new Program({
    name: "demo",
    command: [Deno.execPath(), "task", "--quiet", "demo"],
  });
  await demo.endInput();
  const { stdout, stderr } = await demo.exits(0);
  assert(stderr === "", stderr);
  const lines = stdout.split("\n");
  for (let part = 1; part <= 6; part++) assert(lines.some((line) => line.startsWith(`${part}. `)));
  for (let step = 1; step <= 8; step++) {
    // Once with the server, once between the two.
    const seen = lines.filter((line) =>
      new RegExp(`^(server|alice |bob   ) \\| m${step} -> `).test(line)
    );
    assert(seen.length === 2, stdout);
  }
  assertStringIncludes(stdout, "bob    | alice: hello bob, can you read this?\n");
  assertStringIncludes(stdout, "alice  | bob: ¡claro que sí! nobody else can 🔐\n");
  assertStringIncludes(stdout, "bob    | message 2: read by alice\n");
  assertStringIncludes(stdout, "server | closed; of 4 messages it saw none\n");
  assert(!stdout.includes("\x1b"));
});

for (
  const [does, said] of [
    ['console.error("no keys today"); Deno.exit(1);', "no keys today"],
    ['console.log("hello"); Deno.exit(0);', "This is no JSON: hello"],
  ] as const
) {
  Deno.test(`the demo fails and repeats "${said}" when that is what its programs say`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "cifra-test-" });
    try {
      await Deno.mkdir(`${folder}/scripts`);
      const script = `${folder}/scripts/demo.ts`;
      await Deno.copyFile(new URL("../../scripts/demo.ts", import.meta.url), script);
      await Deno.writeTextFile(`${folder}/main.ts`, does);
      const flags = ["--no-prompt", "--allow-read", "--allow-write", "--allow-run"];
      const command = [Deno.execPath(), "run", ...flags, script];
      await using demo = new Program({ name: "demo", command });
      await demo.endInput();
      const { stderr } = await demo.exits(1);
      assertStringIncludes(stderr, `error: server ended before "listening" happened: ${said}`);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
