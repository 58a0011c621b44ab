/** What makes a talk at a terminal pleasant: times, days, colours, and what was said before. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { dayOf, timeOf } from "../../lib/cli/wall_clock.ts";
import { enter, friends, interrupt, openScene, sees, sitDown } from "../testkit/lobby.ts";
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

terminalTest(
  "who talks to nobody sees what comes: two people who name each other read the answers",
  async () => {
    await using scene = await openScene();
    const pair = await friends(scene, "alice", "bob");
    for (const program of pair) await interrupt(program);
    const alice = sitDown(scene, "alice"), bob = sitDown(scene, "bob");
    await Promise.all([shows(alice, "alice>"), shows(bob, "bob>")]);
    await alice.write("bob: hello bob\r");
    await shows(bob, "\nalice: hello bob");
    await bob.write("alice: hello alice\r");
    await shows(alice, "\nbob: hello alice");
    // Read, and not announced, by neither.
    for (const program of [alice, bob]) {
      assert(!screen(program).includes("has written"), screen(program));
      await program.write("/users\r");
    }
    await shows(alice, "   bob: connected");
    // What is on the screen is no news, and nothing that was before.
    await alice.write("/to bob\r");
    await shows(alice, "-- talking to bob");
    assert(!screen(alice).includes("| "), screen(alice));
    for (const program of [alice, bob]) {
      await program.write("/quit\r");
      assertEquals(await leavesTerminal(program), { code: 0, restored: true });
    }
  },
);

terminalTest(
  "of what waits while one talks to another the beginning is shown, harmless and short",
  async () => {
    await using scene = await openScene();
    const [former, bob] = await friends(scene, "alice", "bob");
    await interrupt(former);
    const alice = sitDown(scene, "alice", ["--accept", "all"]);
    await shows(alice, "alice>");
    await alice.write("/to bob\r");
    await shows(alice, "-- connected to bob");
    const carol = enter(scene, "carol");
    const long = "x".repeat(60);
    await carol.write(`alice: are \x1b[2J\u202e you ${long}\n`);
    await shows(alice, "-- carol has written (/to carol): are [2J\\u{202e} you xxx");
    const [row = ""] = /.*carol has written.*/.exec(screen(alice)) ?? [];
    assert(row.endsWith("x\u2026") && row.length < 80, row);
    await carol.event("stored", { with: "alice", number: 1 });
    // The title of the window is ours alone; the bell was not asked for.
    await alice.until("the title", () => alice.stdout.includes("\x1b[22;2t\x1b]2;(1) cifra\x07"));
    // deno-lint-ignore no-control-regex
    const bells = () => alice.stdout.replaceAll(/\]2;[^\x07]*\x07/g, "").split("\x07").length - 1;
    assertEquals(bells(), 0);
    await alice.write("/bell mentions\r");
    await shows(alice, "-- the bell rings for your name");
    await carol.write("alice: nothing\n");
    await carol.event("stored", { with: "alice", number: 2 });
    await alice.until("two", () => alice.stdout.includes("]2;(2) cifra"));
    assertEquals(bells(), 0);
    await carol.write("alice: Alice, look\n");
    await alice.until("the bell", () => bells() === 1);
    assert(!carol.events.some(({ event }) => event === "read"));
    await bob.write("alice: still here\n");
    await shows(alice, "\nbob: still here");
    await alice.write("/to carol\r");
    await carol.event("read", { with: "alice", number: 3 });
    await alice.until(
      "the title it had",
      () => alice.stdout.includes("\x1b]2;cifra\x07\x1b[23;2t"),
    );
    await alice.write("/me waves\r");
    await carol.event("message", { text: "* alice waves" });
    await alice.until("its way", () => screen(alice).endsWith("(read) alice to carol>"));
    await alice.write("/last 2\r");
    await shows(alice, "| carol: Alice, look\n| alice: * alice waves");
    await alice.write("/quit\r");
    assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
  },
);

terminalTest(
  "what was typed is there in the next run, and found with Ctrl-R; not with --no-history",
  async () => {
    await using scene = await openScene();
    const [former, bob] = await friends(scene, "alice", "bob");
    await interrupt(former);
    const alice = sitDown(scene, "alice");
    await shows(alice, "alice>");
    await alice.write("bob: the first line\r");
    await bob.event("message", { from: "alice", text: "the first line" });
    await alice.write("/quit\r");
    assertEquals(await leavesTerminal(alice), { code: 0, restored: true });

    const again = sitDown(scene, "alice");
    await shows(again, "alice>");
    await again.write("\x1b[A");
    await again.until("the last line", () => screen(again).endsWith("alice> /quit"));
    await again.write("\x15\x12FIRST");
    await again.until(
      "the line that was found",
      () => screen(again).endsWith('looking for "FIRST": bob: the first line'),
    );
    await again.write("!\x07");
    await again.until("the prompt", () => screen(again).endsWith("alice>"));
    await again.write("\x12first\r");
    await bob.until(
      "twice",
      () => bob.events.filter(({ text }) => text === "the first line").length === 2,
    );
    await again.write("\x03");
    assertEquals(await leavesTerminal(again), { code: 130, restored: true });

    const third = sitDown(scene, "alice", ["--no-history"]);
    await shows(third, "alice>");
    await third.write("\x1b[Anothing\r");
    await shows(third, "alice> nothing\n");
    await third.write("/quit\r");
    assertEquals((await leavesTerminal(third)).code, 0);
    const fourth = sitDown(scene, "alice");
    await shows(fourth, "alice>");
    await fourth.write("\x1b[A");
    await fourth.until(
      "the last that was kept",
      () => screen(fourth).endsWith("alice> bob: the first line"),
    );
    await fourth.write("\x03\x03");
    assertEquals((await leavesTerminal(fourth)).code, 130);
  },
);

Deno.test("who is ignored stays so in the next run, until somebody speaks to them", async () => {
  await using scene = await openScene();
  const alice = enter(scene, "alice");
  const dave = enter(scene, "dave", ["--accept", "all"]);
  await sees(alice, "dave");
  await dave.write("alice: let me in\n");
  await alice.event("offer", { from: "dave" });
  await alice.write('{"do":"ignore","with":"dave"}\n');
  await alice.event("ignored", { with: "dave" });
  await dave.event("declined", { with: "alice" });
  await interrupt(alice);

  const again = enter(scene, "alice", ["--accept", "all"]);
  await sees(again, "dave");
  const declined = () => dave.events.filter(({ event }) => event === "declined").length;
  await dave.write("/close alice\nalice: please\n");
  await dave.until("declined once more", () => declined() === 2);
  assert(!again.events.some(({ event }) => event === "offer"));
  await again.write('{"to":"dave","text":"all right"}\n');
  await again.event("heeded", { with: "dave" });
  await dave.event("message", { from: "alice", text: "all right" });
  await again.event("message", { from: "dave", text: "please" });
});

terminalTest("/reply answers whoever wrote last", async () => {
  await using scene = await openScene();
  const [former, bob] = await friends(scene, "alice", "bob");
  await interrupt(former);
  const alice = sitDown(scene, "alice");
  await shows(alice, "alice>");
  await alice.write("/reply to whom?\r");
  await shows(alice, "-- NOT SENT: nobody has written in this run");
  await bob.write("alice: coming?\n");
  await shows(alice, "\nbob: coming?");
  await alice.write("/reply yes,  soon\r");
  await bob.event("message", { from: "alice", text: "yes,  soon" });
  // Also whoever was only announced, since somebody else is talked to.
  await alice.write("/to carol\r");
  await bob.write("alice: when?\n");
  await shows(alice, "-- bob has written (/to bob): when?");
  await alice.write("/reply now\r");
  await bob.event("message", { from: "alice", text: "now" });
  await alice.write("/quit\r");
  assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
});
