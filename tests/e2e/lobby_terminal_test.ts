/** The lobby at a terminal. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { PRESENCE_LIMIT } from "../../lib/limits.ts";
import { PersonState, type ServerResponse } from "../../lib/wire/rendezvous_messages.ts";
import { cryptoIdle } from "../testkit/turn.ts";
import { person } from "../testkit/handshake.ts";
import { enter, friends, interrupt, openScene, sitDown, textsFrom } from "../testkit/lobby.ts";
import { Scene } from "../testkit/program.ts";
import { PuppetServer } from "../testkit/puppet_server.ts";
import { hasPty, leavesTerminal, screen, shows } from "../testkit/pty.ts";

function terminalTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: !hasPty, fn });
}

terminalTest(
  "one talks to several: focus, unread messages, and what goes on elsewhere",
  async () => {
    await using scene = await openScene();
    const alice = sitDown(scene, "alice", ["--accept", "all"]);
    await shows(alice, "-- nobody else is in the lobby");
    const bob = enter(scene, "bob"), carol = enter(scene, "carol");
    await shows(alice, "joined");
    await alice.write("/to bob\r");
    await shows(alice, "alice to bob>");
    await bob.event("offer", { from: "alice" });
    await bob.write("/to alice\n");
    await shows(alice, "-- connected to bob: direct");
    await alice.write("hello bob\r");
    await bob.event("message", { from: "alice", text: "hello bob" });
    await shows(alice, "(read) alice to bob>");

    // Carol is not in focus: told once, stored, and not read.
    await carol.write("alice: first\nalice: sec\x1b[2Jond\n");
    await shows(alice, "-- carol has written");
    await carol.event("stored", { with: "alice", number: 2 });
    assert(!screen(alice).includes("carol: first"));
    assertEquals(carol.events.filter(({ event }) => event === "read"), []);
    await alice.write("/users\r");
    await shows(alice, "   carol: 2 unread, connected");
    await alice.write("carol: wait\r");
    await carol.event("message", { from: "alice", text: "wait" });
    await alice.until("still bob", () => screen(alice).endsWith("alice to bob>"));
    await alice.write("/to carol\r");
    await shows(alice, "carol: first\ncarol: sec[2Jond");
    await carol.event("read", { with: "alice", number: 2 });
    assertEquals(screen(alice).match(/carol has written/g)?.length, 1);

    // A line for nobody goes to nobody.
    await alice.write("caro: a secret\r");
    await shows(alice, "NOT SENT: there is nobody called caro");
    await alice.write("/nonsense\r");
    await shows(alice, "-- Unknown command");
    await bob.write("alice: unread at the end\n");
    await shows(alice, "-- bob has written (/to bob): unread at the end");
    await alice.write("/quit\r");
    assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
    assert(!screen(alice).includes("bob: unread at the end") && !screen(alice).includes("␛"));
    await bob.event("peer-left", { with: "alice" });
    assertEquals(textsFrom(carol, "alice"), ["wait"]);

    const again = sitDown(scene, "alice");
    // Nobody sends it now: what is left of an earlier run is told of, and not opened.
    await shows(again, "-- bob has written (/to bob): unread at the end");
    await again.write("/to bob\r");
    await shows(again, "\nbob: unread at the end");
    // Queued for somebody who is not there: shown again by the next run.
    await interrupt(carol);
    await again.write("/to carol\r");
    await shows(again, "-- waiting for carol");
    await again.write("come back\r");
    await shows(again, "(queued) alice to carol>");
    // The run before had not shown it, and ended in order.
    assert(!screen(again).includes("may have been shown"));
    await again.write("\x04");
    assertEquals(await leavesTerminal(again), { code: 0, restored: true });
    assertStringIncludes(screen(again), "-- 1 message is not delivered yet");
    const third = sitDown(scene, "alice");
    await shows(third, "-- waiting for carol");
    await third.write("/to carol\r");
    await shows(third, "-- you wrote, and carol does not have it yet:\n   come back");
    const carolAgain = enter(scene, "carol");
    await carolAgain.event("message", { from: "alice", text: "come back" });
    await third.write("\x03");
    assertEquals(await leavesTerminal(third), { code: 130, restored: true });
  },
);

terminalTest("strangers are announced with their keys, and all of several", async () => {
  // With a mailbox, who asks for somebody may have left something by then: that is told in other words.
  await using scene = await openScene("--no-mailbox");
  const alice = sitDown(scene, "alice");
  await shows(alice, "-- nobody else is in the lobby");
  const dave = enter(scene, "dave");
  await dave.write("alice: let me in\n");
  await shows(
    alice,
    "-- dave, whom you do not know, asks for you: /to dave or /refuse dave\n   key ",
  );
  const { fingerprint } = await dave.event("profile");
  assertStringIncludes(screen(alice), `   key ${fingerprint}`);
  await alice.write("/refuse\r");
  await shows(alice, "-- Who? For example: /refuse bob");
  await alice.write("/refuse dave\r");
  await shows(alice, "-- dave is told that you do not want to talk now; /to dave when you do");
  await dave.event("declined", { with: "alice" });

  const names = ["erin", "fred", "gina", "hugo"];
  for (const name of names) await enter(scene, name).write("alice: me too\n");
  // Those who come within a moment are in one line; these take as long to come as the machine takes.
  const isTold = (name: string) =>
    new RegExp(`ask for you: .*\\b${name}\\b|-- ${name}, whom you do not know,`).test(
      screen(alice),
    );
  await alice.until("all four", () => names.every(isTold));
  await alice.write("/users\r");
  await shows(alice, "   gina: asks for you");
  await alice.write("/to gina\r");
  await shows(alice, "gina: me too");
  assert(!screen(alice).includes("dave: let me in"));
  await alice.write("/verified\r");
  await shows(alice, "-- gina is verified");
  await alice.until("the mark", () => screen(alice).endsWith("alice to gina✓>"));
  await alice.write("/quit\r");
  assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
});

terminalTest("a server that is killed is told of once, and when it is back", async () => {
  await using scene = await Scene.open();
  const args = ["--handshakes-per-minute", "0"];
  const server = await scene.serve(args);
  const [former, bob] = await friends(scene, "alice", "bob");
  await interrupt(former);
  const alice = sitDown(scene, "alice");
  await shows(alice, "-- here: bob");
  await alice.write("/to bob\r");
  await shows(alice, "-- connected to bob: direct");
  server.kill("SIGKILL");
  await shows(alice, "-- no connection to the server (");
  await alice.write("can you hear me?\r");
  await bob.event("message", { from: "alice", text: "can you hear me?" });
  await alice.write("/users\r");
  await shows(alice, "-- no connection to the server; 1 were here\n   bob: connected");
  const again = scene.start("serve", "server", ["--port", `${scene.port}`, "--json", ...args]);
  await again.event("listening");
  const times = (text: string) => screen(alice).split(text).length - 1;
  await alice.until("the lobby again", () => times("-- in the lobby of") === 2);
  assertEquals(times("-- no connection to the server ("), 1);
  const carol = enter(scene, "carol");
  await shows(alice, "-- carol joined");
  await interrupt(carol);
  await shows(alice, "-- carol left");
  await alice.write("\x03");
  assertEquals(await leavesTerminal(alice), { code: 130, restored: true });
});

terminalTest("no server drives the terminal, or floods it, by whom it says is there", async () => {
  const { suite, identity: { bundle } } = await person("modern", "dave");
  await using scene = await Scene.open();
  await using server = await PuppetServer.open();
  const alice = sitDown(scene, "alice", ["--accept-new"], server.port);
  const puppet = await server.accept();
  await puppet.register();
  const heard = puppet.end();
  const presence = (
    names: readonly string[],
    state: number = PersonState.here,
  ): ServerResponse => ({
    type: "presence",
    complete: 0,
    people: names.map((name) => ({ name, state } as { name: string; state: PersonState })),
  });
  const offer = (peerName: string): ServerResponse => ({
    type: "offer",
    peerName,
    suite: suite.id,
    bundle,
  });
  // Names that nobody could have are not even understood: see foreign_words_test.
  const odd = ["zoe", "bob", "alice", "constructor"];
  puppet.respond({ type: "presence", complete: 1, people: [] }, presence(odd));
  await shows(alice, "-- here: bob, constructor, zoe\n");
  puppet.respond(presence(["bob"], 9), ...odd.map(offer));
  await shows(alice, "zoe, whom you do not know, asks for you");

  const crowd = Array.from({ length: 40 * PRESENCE_LIMIT }, (_, i) => `n${i}`);
  for (let i = 0; i < crowd.length; i += PRESENCE_LIMIT) {
    puppet.respond(presence(crowd.slice(i, i + PRESENCE_LIMIT)));
  }
  for (const name of crowd.slice(0, 200)) puppet.respond(offer(name));
  // In one line, or a few: as it takes to read them.
  const joined = () =>
    [...screen(alice).matchAll(/^-- (\d+) joined: n/gm)].map(([, n]) => Number(n));
  await alice.until("them all", () => joined().reduce((sum, n) => sum + n, 0) === crowd.length);
  await shows(alice, "-- 64 ask for you: ");
  // The others are no more than a few lines, and it still listens.
  assert(screen(alice).split("\n").length < 30, screen(alice));
  assert(!screen(alice).includes("␛") && !alice.stdout.includes("\u202e"));
  await alice.write("/refuse n199\r");
  await shows(alice, "-- n199 is told that you do not want to talk now");
  await alice.write("/quit\r");
  await heard;
  await puppet.channel.close(0);
  assertEquals(await leavesTerminal(alice), { code: 0, restored: true });
  await cryptoIdle();
});
