/** Taking back what was not read: before it has left, at the server, and too late. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { enter, friends, interrupt, openScene, whoAndWhere } from "../testkit/lobby.ts";
import type { Program, Scene } from "../testkit/program.ts";
import { within } from "../testkit/time_limit.ts";

function inbox(scene: Scene, name: string, args: readonly string[] = []): Program {
  return scene.start("inbox", name, [...whoAndWhere(scene, name), ...args]);
}

/** Objects, a line each. */
async function tell(program: Program, ...objects: readonly unknown[]): Promise<void> {
  await program.write(objects.map((object) => `${JSON.stringify(object)}\n`).join(""));
}

Deno.test(
  "what waits on the server is replaced there, and its writer is told that it may have been read",
  within(90, async () => {
    await using scene = await openScene();
    await inbox(scene, "bob").exits(0);
    const alice = enter(scene, "alice", ["--accept-new"]);
    await alice.event("people");
    await tell(alice, { to: "bob", text: "stays" }, { to: "bob", text: "a mistake" });
    await alice.event("on-server", { number: 2 });
    await tell(alice, { do: "retract", with: "bob", ref: "r" });
    const first = await alice.event("retracted");
    assertEquals(first, { event: "retracted", number: 2, hadLeft: true, with: "bob", ref: "r" });
    // There is one left to take back, and then none.
    await tell(alice, { to: "bob", text: "third" });
    await alice.event("on-server", { number: 3 });
    await tell(alice, { do: "retract", with: "bob", number: 2 });
    const { message } = await alice.event("error");
    assertStringIncludes(message as string, "there is no message 2 to bob");
    await interrupt(alice);
    const { stdout } = await inbox(scene, "bob", ["--accept", "all"]).exits(0);
    assertEquals(stdout.split("\n").map((line) => line.replace(/^[-\d]+ [\d:]+ /, "")), [
      "alice: stays",
      "-- alice took a message back before it came here",
      "alice: third",
      "",
    ]);
  }),
);

Deno.test(
  "what has not left this machine is gone, and goes as such over a connection too",
  within(90, async () => {
    await using scene = await openScene();
    const alice = enter(scene, "alice", ["--accept", "all"]);
    await alice.event("people");
    // Bob was never here: nothing can be left for him.
    await tell(alice, { to: "bob", text: "a mistake" });
    await alice.event("not-on-server");
    await tell(alice, { do: "retract", with: "bob" }, { to: "bob", text: "hello" });
    await alice.event("retracted", { number: 1, hadLeft: false });
    const bob = enter(scene, "bob", ["--accept", "all"]);
    await bob.event("message", { text: "hello" });
    await bob.event("taken-back", { number: 1 });
    await alice.event("read", { number: 2 });
    await tell(alice, { do: "retract", with: "bob" });
    const { message } = await alice.event("error");
    assertStringIncludes(message as string, "bob has all that you wrote");
  }),
);

Deno.test(
  "what is there already cannot be taken back",
  within(90, async () => {
    await using scene = await openScene();
    const [alice, bob] = await friends(scene, "alice", "bob");
    await tell(alice, { do: "retract", with: "bob", number: 1 });
    const { message } = await alice.event("error");
    assertStringIncludes(message as string, "bob has message 1 already");
    await bob.write("/to alice\n/retract x\n");
    assertStringIncludes((await bob.event("error")).message as string, "/retract takes the number");
  }),
);
