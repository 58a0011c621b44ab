/** A server that comes back with other rules, or as another one: who talks goes on, and knows. */
import { assertEquals } from "@std/assert";
import { friends, textsFrom } from "../testkit/lobby.ts";
import { type Program, Scene } from "../testkit/program.ts";

function count(program: Program, name: string): number {
  return program.events.filter(({ event }) => event === name).length;
}

for (
  const [what, args, state, code, exitCode] of [
    ["other rules", ["--admission", "accounts"], "server", "account_required", 1],
    ["another key", [], "another server", "identity_changed", 3],
  ] as const
) {
  Deno.test(`a server comes back with ${what}: conversations go on, and their end is the end`, async () => {
    await using scene = await Scene.open();
    const server = await scene.serve(["--handshakes-per-minute", "0"]);
    const [alice, bob] = await friends(scene, "alice", "bob");
    server.kill("SIGKILL");
    await server.exit();
    const port = ["--port", `${scene.port}`, "--json"];
    const next = scene.start("serve", "server", [...port, ...args], { state });
    await next.event("listening");
    await Promise.all([alice, bob].map((program) => program.event("shut-out", { code })));
    await alice.write("bob: are you there?\n");
    await bob.event("message", { text: "are you there?" });
    await bob.write("alice: yes\n");
    await alice.event("message", { text: "yes" });
    for (const program of [alice, bob]) {
      assertEquals([count(program, "lost"), count(program, "shut-out")], [0, 1]);
    }
    // Nothing else goes on for alice when bob has left.
    await bob.write("/close alice\n");
    await bob.event("closed", { with: "alice" });
    await alice.exits(exitCode);
    await alice.event("error", { code });
    await bob.exits(exitCode);
    assertEquals(textsFrom(alice, "bob").at(-1), "yes");
  });
}
