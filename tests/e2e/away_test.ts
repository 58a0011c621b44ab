/** `/away WORDS`: to those one talks to, and to nobody else. */
import { assert, assertEquals } from "@std/assert";
import { enter, friends, interrupt, openScene, sees, sitDown } from "../testkit/lobby.ts";
import type { Program } from "../testkit/program.ts";
import { hasPty, leavesTerminal, screen, shows } from "../testkit/pty.ts";

/** What somebody was told of the words of others, by the names of the events. */
function toldOf(program: Program): string[] {
  return program.events.filter(({ event }) => event === "peer-away" || event === "peer-back")
    .map(({ event, with: name, text }) => [event, name, text].join(" ").trim());
}

/** Whether presence says so of bob. */
function isPresent(program: Program, what: "away" | "back"): Promise<true> {
  return program.until(
    `bob: ${what}`,
    () => program.events.some((each) => each.event === "people" && String(each[what]) === "bob"),
  );
}

Deno.test("words of who is away reach those with whom there is a channel, and nobody else", async () => {
  await using scene = await openScene();
  const [alice, bob] = await friends(scene, "alice", "bob");
  const carol = enter(scene, "carol", ["--accept", "all"]);
  await sees(carol, "bob");
  const words = 'back at "two", /quit is none';
  await bob.write(`${JSON.stringify({ do: "away", text: words, ref: "lunch" })}\n`);
  await bob.event("away", { text: words, ref: "lunch" });
  await alice.event("peer-away", { with: "bob", text: words });
  await isPresent(carol, "away");
  assertEquals(toldOf(carol), []);
  // Without other words they stand.
  await bob.write("/away\n");
  await bob.until("both", () => bob.events.filter(({ event }) => event === "away").length === 2);
  // A channel that is there from now on tells them as well.
  await carol.write("bob: are you there?\n");
  await carol.event("peer-away", { with: "bob", text: words });
  await bob.write("/away back at three\n");
  for (const each of [alice, carol]) {
    await each.event("peer-away", { with: "bob", text: "back at three" });
  }
  await alice.write('/to bob\n{"do":"users","ref":"away"}\n');
  const { people } = await alice.event("users", { ref: "away" });
  const known = (people as { name: string; words?: string }[]).map((
    { name, words },
  ) => [name, words]);
  assertEquals(known, [["bob", "back at three"], ["carol", undefined]]);
  await bob.write("/back\n");
  for (const each of [alice, carol]) await each.event("peer-back", { with: "bob" });
  await isPresent(carol, "back");
  assertEquals(toldOf(alice), [
    `peer-away bob ${words}`,
    "peer-away bob back at three",
    "peer-back bob",
  ]);
  assertEquals(toldOf(bob), []);

  // What others could not take is refused, and nothing of it is said.
  const wrong = { "x\ny": "one line", "\u202eback": "one line", ["é".repeat(101)]: "200 bytes" };
  for (const [text, why] of Object.entries(wrong)) {
    await bob.write(`${JSON.stringify({ do: "away", text, ref: why })}\n`);
    const { message } = await bob.event("error", { code: "usage", ref: why });
    assert(String(message).includes(why), String(message));
  }
  await bob.write("alice: nothing\n");
  await alice.event("message", { from: "bob", text: "nothing" });
  assertEquals(toldOf(alice).length, 3);

  // They are in no log.
  await interrupt(alice);
  const args = ["--json", "--name", "alice"];
  const history = scene.start("history", "history", args, { state: "alice" });
  await history.exits(0);
  assertEquals(history.events.map(({ text }) => text), ["hello", "nothing"]);
});

for (const args of [[], ["--plain"]]) {
  Deno.test({
    name: `at a terminal the words are one line, and so is that they are withdrawn ${args}`,
    ignore: !hasPty,
    fn: async () => {
      await using scene = await openScene();
      const alice = sitDown(scene, "alice", ["--accept", "all", ...args]);
      await shows(alice, "-- nobody else is in the lobby");
      const bob = enter(scene, "bob", ["--accept", "all"]);
      await sees(bob, "alice");
      await bob.write("alice: hello\n");
      await shows(alice, "bob: hello");
      await bob.write('/away back at "two"\n');
      await shows(alice, `-- bob is away: "back at 'two'"`);
      await bob.write("alice: see you\n");
      await shows(alice, "bob: see you");
      await alice.write("/users\r");
      await shows(alice, `   bob: connected, away: "back at 'two'"`);
      await alice.write("/to bob\r");
      await shows(alice, "-- talking to bob: direct");
      await alice.write("/away for a walk\r");
      await shows(alice, "-- the others see that you are away; those you are talking to read");
      await bob.event("peer-away", { with: "alice", text: "for a walk" });
      await alice.write("/back\r");
      await shows(alice, "-- welcome back");
      await bob.event("peer-back", { with: "alice" });
      await bob.write("/back\n");
      await shows(alice, "-- bob is back");
      // Carol comes after all that: what the server had to say of bob by then is said.
      const carol = enter(scene, "carol");
      await alice.until("carol", () => /-- .*\bcarol\b/.test(screen(alice)));
      await interrupt(carol);
      const lines = screen(alice).split("\n").filter((line) => /\b(away|back)\b/.test(line));
      const told = lines.filter((line) => line.includes("bob") && line.startsWith("-- "));
      assertEquals(told.map((line) => line.replace(/direct.*(?=, away)/, "direct")), [
        `-- bob is away: "back at 'two'"`,
        `-- talking to bob: direct, away: "back at 'two'"`,
        "-- bob is back",
      ]);
      await alice.write("/quit\r");
      assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
    },
  });
}
