/** What makes a talk at a terminal pleasant: times, days, colours, and what was said before. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { dayOf, timeOf } from "../../lib/cli/wall_clock.ts";
import { friends, interrupt, openScene, sitDown } from "../testkit/lobby.ts";
import { hasPty, leavesTerminal, screen, shows, wholeScreen } from "../testkit/pty.ts";

function terminalTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: !hasPty, fn });
}

terminalTest(
  "each line has its time, names are in colour, and what was said before is shown once",
  async () => {
    await using scene = await openScene();
    const [former, bob] = await friends(scene, "alice", "bob");
    await bob.write("alice: hi alice\n");
    await former.event("message", { text: "hi alice" });
    await bob.event("read", { with: "alice" });
    await interrupt(former);
    await bob.event("peer-left", { with: "alice" });
    await bob.write("alice: are you\x1b[31m there?\n");
    await bob.event("queued", { with: "alice", number: 2 });

    // The tests are run where NO_COLOR is set.
    const alice = sitDown(scene, "alice", ["--color", "always"]);
    await shows(alice, "alice>");
    await alice.write("/to bob\r");
    await shows(alice, "bob: are you[31m there?");
    const said = wholeScreen(alice);
    const [, before] =
      /said before, with bob:\n\| (\d\d:\d\d) alice: hello\n\| \d\d:\d\d bob: hi alice\n/
        .exec(said) ?? [];
    assert(before !== undefined, said);
    assert(/^\d\d:\d\d bob: are you\[31m there\?/m.test(said), said);
    // No day: it is the same.
    assert(!said.includes(`-- ${dayOf(Date.now())}`) || timeOf(Date.now()) < "00:05", said);
    await alice.write("yes\r");
    await bob.event("message", { from: "alice", text: "yes" });
    await alice.until("our time", () => /^\d\d:\d\d .*alice to bob> yes/m.test(wholeScreen(alice)));

    // Ours and theirs are of another colour each, and theirs brings none.
    const { stdout } = alice;
    // deno-lint-ignore no-control-regex
    const coloured = /\x1b\[2m\d\d:\d\d \x1b\[0m\x1b\[(\d+)mbob\x1b\[0m: are you/.exec(stdout);
    assert(coloured && coloured[1] !== "32", stdout);
    assertStringIncludes(stdout, "\x1b[32malice to bob> \x1b[0m");
    // deno-lint-ignore no-control-regex
    assert(!/(?<!\x1b\[32m|\) |\d )alice( to bob)?> /.test(stdout), stdout);
    assert(!stdout.includes("\x1b[31m there"));

    await alice.write("/to\r");
    await shows(alice, "-- talking to nobody");
    await alice.write("/to bob\r");
    await alice.until("twice", () => screen(alice).split("talking to bob").length === 3);
    assertEquals(wholeScreen(alice).split("said before").length, 2);
    await alice.write("/quit\r");
    assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
  },
);

terminalTest("times, colours and what was said before can be switched off", async () => {
  await using scene = await openScene();
  const [former, bob] = await friends(scene, "alice", "bob");
  await interrupt(former);
  const alice = sitDown(scene, "alice", ["--last", "0", "--no-times", "--color", "never"]);
  await shows(alice, "alice>");
  await alice.write("/to bob\r");
  await shows(alice, "-- connected to bob");
  await bob.write("alice: plain\n");
  await shows(alice, "\nbob: plain");
  assert(!wholeScreen(alice).includes("said before"));
  assert(!/^\d\d:\d\d/m.test(wholeScreen(alice)), wholeScreen(alice));
  // deno-lint-ignore no-control-regex
  assert(!/\x1b\[[\d;]*m/.test(alice.stdout), alice.stdout);
  await alice.write("\x03");
  assertEquals(await leavesTerminal(alice), { code: 130, restored: true });
});
