/** The lobby: who is there, and several conversations at once. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { CONVERSATIONS_LIMIT } from "../../lib/limits.ts";
import {
  enter,
  friends,
  interrupt,
  look,
  openScene,
  sees,
  textsFrom,
  whoAndWhere,
} from "../testkit/lobby.ts";
import { couple, type Program, Scene } from "../testkit/program.ts";

Deno.test("/forget takes back what somebody does not have, to a mistyped name or to who is away", async () => {
  await using scene = await openScene();
  const [alice, bob] = await friends(scene, "alice", "bob");
  await alice.write("bbo: for bob alone\n");
  await alice.event("queued", { with: "bbo" });
  await alice.write("/forget bbo\n");
  await alice.event("forgotten", { with: "bbo", messages: 1 });
  await interrupt(bob);
  await alice.event("peer-left", { with: "bob" });
  await alice.write("bob: too early\nbob: and wrong\n");
  await alice.event("queued", { with: "bob", number: 3 });
  await alice.write("/forget bob\n");
  await alice.event("forgotten", { with: "bob", messages: 2 });
  await alice.write("bob: right\n");
  const again = enter(scene, "bob", ["--accept", "all"]);
  await again.until("the message", () => textsFrom(again, "alice").length > 0);
  assertEquals(textsFrom(again, "alice"), ["right"]);
  assertEquals(again.events.filter(({ event }) => event === "gap"), []);
  await interrupt(alice);
  const args = ["--json", "--name", "alice"];
  const history = scene.start("history", "history", args, { state: "alice" });
  await history.exits(0);
  assertEquals(history.events.map(({ text }) => text), ["hello", "right"]);
});

Deno.test("three people have two conversations each at once, and all is delivered", async () => {
  await using scene = await openScene();
  const names = ["alice", "bob", "carol"];
  const people = names.map((name) => enter(scene, name, ["--accept", "all"]));
  for (let i = 0; i < 20; i++) {
    for (const [index, person] of people.entries()) {
      const [first, second] = names.filter((_, other) => other !== index);
      await person.write(`/to ${first}\nplain ${i}\n${second}: said ${i}\n`);
    }
  }
  const numbers = Array.from({ length: 20 }, (_, i) => i);
  for (const [index, person] of people.entries()) {
    for (const from of names.filter((_, other) => other !== index)) {
      const word = names.filter((name) => name !== from)[0] === names[index] ? "plain" : "said";
      await person.until("all messages", () => textsFrom(person, from).length >= 20);
      assertEquals(textsFrom(person, from), numbers.map((i) => `${word} ${i}`));
      await person.event("read", { with: from, number: 20 });
    }
  }
  await Promise.all(people.map((person) => person.endInput()));
  for (const person of people) await person.exits(0);
});

Deno.test("who leaves and comes back goes on, and what was written meanwhile arrives", async () => {
  await using scene = await openScene();
  const [alice, bob] = await friends(scene, "alice", "bob");
  await interrupt(bob);
  await alice.event("peer-left", { with: "bob", failed: false });
  await alice.write("bob: one\nbob: two\n");
  await alice.event("queued", { with: "bob", number: 3 });
  // Nothing is asked for: what waits is reason enough.
  await interrupt(alice);
  const aliceAgain = enter(scene, "alice");
  await aliceAgain.event("waiting", { with: "bob" });
  const bobAgain = enter(scene, "bob");
  await bobAgain.event("message", { from: "alice", number: 3, text: "two" });
  await aliceAgain.event("read", { with: "bob", number: 3 });
  assertEquals(textsFrom(bobAgain, "alice"), ["one", "two"]);
  assertEquals((await bobAgain.event("offer", { from: "alice" })).accepted, true);

  // The same person goes on after both have left each other.
  await bobAgain.write("/close alice\n");
  await aliceAgain.event("peer-left", { with: "bob" });
  await bobAgain.event("closed", { with: "alice" });
  await bobAgain.write("alice: three\n");
  await aliceAgain.event("message", { from: "bob", text: "three" });
  await Promise.all([aliceAgain.endInput(), bobAgain.endInput()]);
  await Promise.all([aliceAgain.exits(0), bobAgain.exits(0)]);
});

Deno.test("who does not read what the program prints is held back, and nobody else", async () => {
  await using scene = await openScene();
  const reads = Promise.withResolvers<void>();
  const arrived: string[] = [];
  const decoder = new TextDecoder();
  const bob = scene.start(
    "connect",
    "bob",
    [...whoAndWhere(scene, "bob"), "--json", "--accept", "all"],
    {
      onStdout: async (piece) => {
        await reads.promise;
        arrived.push(decoder.decode(piece, { stream: true }));
      },
    },
  );
  const alice = enter(scene, "alice");
  const carol = enter(scene, "carol", ["--accept", "all"]);
  await sees(alice, "bob", "carol");
  const count = 1000, text = "x".repeat(1000);
  for (const name of ["bob", "carol"]) await alice.write(`${name}: ${text}\n`.repeat(count));
  await alice.event("read", { with: "carol", number: count });
  const readBy = alice.events.filter((event) => event.event === "read" && event.with === "bob");
  // What fits in the pipe between bob's program and its reader.
  const last = Number(readBy.at(-1)?.number ?? 0);
  assert(last < count / 2, `${last} of ${count} were read by one who reads nothing`);

  reads.resolve();
  await alice.event("read", { with: "bob", number: count });
  await Promise.all([alice, bob, carol].map((person) => person.endInput()));
  for (const person of [alice, bob, carol]) await person.exits(0);
  const events = arrived.join("").trimEnd().split("\n").map((line) => JSON.parse(line));
  const texts = events.filter(({ event }) => event === "message").map(({ text }) => text);
  assertEquals(texts, Array(count).fill(text));
});

Deno.test("a conversation that was closed by hand is not begun again by itself", async () => {
  await using scene = await openScene();
  const [alice, bob] = await friends(scene, "alice", "bob");
  await bob.write("/close alice\n");
  await bob.event("closed", { with: "alice" });
  await alice.event("peer-left", { with: "bob" });
  await alice.write("bob: are you there?\n");
  const offer = await bob.event("offer", { from: "alice", accepted: false });
  assertEquals(offer.standing, "known");
  await bob.write("/to alice\n");
  await bob.event("message", { from: "alice", text: "are you there?" });
});

Deno.test("a stranger is announced with their key, refused, and then accepted", async () => {
  await using scene = await openScene();
  const alice = enter(scene, "alice"), dave = enter(scene, "dave");
  await sees(dave, "alice");
  await dave.write("alice: let me in\n");
  const offer = await alice.event("offer", { from: "dave", accepted: false });
  assertEquals(offer.standing, "stranger");
  assertEquals(offer.fingerprint, (await dave.event("profile")).fingerprint);
  await alice.write("/refuse dave\n");
  await dave.event("declined", { with: "alice" });
  // Who was refused is refused again without a word.
  await dave.write("/close alice\nalice: please\n");
  await dave.until(
    "two refusals",
    () => dave.events.filter(({ event }) => event === "declined").length === 2 || undefined,
  );
  await alice.write("/to dave\n");
  await alice.event("message", { from: "dave", text: "please" });
  assertEquals(textsFrom(alice, "dave"), ["let me in", "please"]);
  assertEquals(alice.events.filter(({ event }) => event === "offer").length, 1);
});

Deno.test("with --accept none also those who are known have to be asked in", async () => {
  await using scene = await openScene();
  const [alice, bob] = await friends(scene, "alice", "bob");
  await interrupt(alice);
  await bob.event("peer-left", { with: "alice" });
  const careful = enter(scene, "alice", ["--accept", "none"]);
  await careful.event("lobby");
  await bob.write("alice: hello?\n");
  await careful.event("offer", { from: "bob", standing: "known", accepted: false });
  await careful.write("/to bob\n");
  await careful.event("message", { from: "bob", text: "hello?" });
});

Deno.test("conversations go on while the server is gone, and the lobby is back with it", async () => {
  await using scene = await Scene.open();
  const args = ["--handshakes-per-minute", "0"];
  const server = await scene.serve(args);
  const [alice, bob] = await friends(scene, "alice", "bob");
  const carol = enter(scene, "carol");
  await sees(alice, "carol");
  server.kill("SIGKILL");
  await server.exit();
  await Promise.all([alice, bob, carol].map((person) => person.event("server-lost")));
  await alice.write("bob: without a server\n");
  await bob.event("message", { from: "alice", text: "without a server" });
  // What is written to somebody who is out of reach waits.
  await alice.write("carol: later\n");
  await alice.event("queued", { with: "carol", number: 1 });
  await interrupt(bob);

  const port = `${scene.port}`;
  await scene.start("serve", "server", ["--port", port, "--json", ...args]).event("listening");
  await carol.event("offer", { from: "alice", standing: "stranger" });
  await carol.write("/to alice\n");
  await carol.event("message", { from: "alice", text: "later" });
  for (const person of [alice, carol]) {
    await person.until(
      "the lobby again",
      () => person.events.filter(({ event }) => event === "lobby").length === 2 || undefined,
    );
  }
  await alice.until(
    "bob's leaving",
    () =>
      alice.events.some(({ event, left }) =>
        event === "people" && (left as string[]).includes("bob")
      ),
  );
  const dave = enter(scene, "dave");
  await sees(alice, "dave");
  await sees(dave, "alice", "carol");
});

Deno.test("who is hidden sees the others and is not seen, and can be talked to", async () => {
  await using scene = await openScene();
  const alice = enter(scene, "alice", ["--hidden", "--accept", "all"]);
  await alice.event("lobby");
  const bob = enter(scene, "bob");
  await sees(alice, "bob");
  const carol = enter(scene, "carol");
  await sees(bob, "carol");
  await sees(carol, "bob");
  for (const person of [bob, carol]) {
    const people = person.events.filter(({ event }) => event === "people");
    assert(!JSON.stringify(people).includes("alice"), JSON.stringify(people));
  }
  await bob.write("alice: I know that you are there\n");
  await alice.event("message", { from: "bob", text: "I know that you are there" });
});

Deno.test("users tells scripts who is there, and nobody of the script", async () => {
  await using scene = await openScene();
  const first = look(scene, "zoe");
  assertEquals((await first.exits(0)).stdout, "");
  const alice = enter(scene, "alice"), bob = enter(scene, "bob");
  await sees(alice, "bob");
  await bob.write("/away\n");
  await alice.until(
    "bob being away",
    () => alice.events.some(({ event, away }) => event === "people" && String(away) === "bob"),
  );
  const again = look(scene, "zoe");
  assertEquals((await again.exits(0)).stdout, "alice\nbob\taway\n");
  const json = look(scene, "zoe", ["--json"]);
  await json.exits(0);
  assertEquals(json.events.filter(({ event }) => event === "user"), [
    { event: "user", name: "alice", state: "here", isVerified: false },
    { event: "user", name: "bob", state: "away", isVerified: false },
  ]);
  await bob.write("/back\n");
  await alice.until(
    "bob being back",
    () => alice.events.some(({ event, back }) => event === "people" && String(back) === "bob"),
  );
  const seen = alice.events.filter(({ event }) => event === "people");
  assert(!JSON.stringify(seen).includes("zoe"), JSON.stringify(seen));

  const nowhere = look(scene, "yan", ["--suite", "nothing"]);
  assertStringIncludes((await nowhere.exits(2)).stderr, "--suite must be");
});

Deno.test("as many conversations as the server allows; one that nobody misses makes room", async () => {
  await using scene = await openScene();
  const alice = enter(scene, "alice");
  const limit = CONVERSATIONS_LIMIT;
  for (let i = 1; i <= limit; i++) await alice.write(`/to p${i}\n`);
  const waiting = () => alice.events.filter(({ event }) => event === "waiting").length;
  await alice.until("all of them waiting", () => waiting() === limit);
  // The server allows no more of them; the first is given up, and only then there is room.
  await alice.write("late: hello\n");
  await alice.event("waiting", { with: "late" });
  await alice.write("/users\n");
  const users = await alice.event("users");
  const names = (users.people as { name: string }[]).map(({ name }) => name);
  assertEquals(names.length, limit);
  assert(!names.includes("p1") && names.includes("late"));

  // With something to deliver in each of them none is given up.
  for (let i = 2; i <= limit; i++) await alice.write(`p${i}: for you\n`);
  await alice.event("queued", { with: `p${limit}` });
  await alice.write("later: hello\n");
  const failure = await alice.event("conversation-failed", { with: "later" });
  assertEquals(failure.code, "limit");
  assertEquals(alice.events.filter(({ event }) => event === "conversation-failed").length, 1);
});

Deno.test("the lobby refuses what makes no sense there", async () => {
  await using scene = await openScene();
  for (
    const [args, message] of [
      [[], "The lobby needs a terminal"],
      [["--json", "--receive-port", "5000"], "--receive-port only makes sense with --to"],
      [["--json", "--accept", "some"], "--accept must be known, all or none"],
      [["--json", "--hidden", "--to", "bob"], "--hidden only makes sense without --to"],
    ] as const
  ) {
    const program = scene.start("connect", "alice", [...whoAndWhere(scene, "alice"), ...args]);
    const { stdout, stderr } = await program.exits(2);
    assertStringIncludes(stdout + stderr, message);
  }
  const alice = enter(scene, "alice");
  await alice.write("to nobody\n/to alice\n/nonsense\n/to BOB!\n");
  for (const text of ["NOT SENT", "That is you", "Unknown command", "That is not a valid name"]) {
    await alice.until(
      text,
      () =>
        alice.events.some(({ event, message }) =>
          event === "error" && (message as string).startsWith(text)
        ),
    );
  }
  await alice.endInput();
  await alice.exits(0);
});

Deno.test("a program ends when all it wrote is stored there; a signal does not wait, and loses nothing", async () => {
  await using scene = await openScene();
  const [alice, bob] = await friends(scene, "alice", "bob");
  await interrupt(bob);
  await alice.event("peer-left", { with: "bob" });
  await alice.write("bob: one\n/close bob\n");
  assertEquals((await alice.event("closed", { with: "bob" })).undelivered, 1);
  await alice.write("/users\n");
  const { people } = await alice.event("users");
  assertEquals((people as Record<string, unknown>[]).map((each) => [each.name, each.undelivered]), [
    ["bob", 1],
  ]);
  await alice.write("bob: two\n");
  await alice.endInput();
  await alice.event("queued", { with: "bob", number: 3 });
  // It would have ended by itself if it thought that there was nothing more to do.
  await interrupt(alice);
  const again = enter(scene, "alice");
  await again.endInput();
  await again.event("waiting", { with: "bob" });
  const bobAgain = enter(scene, "bob");
  await again.exits(0);
  await bobAgain.event("message", { text: "two" });
  assertEquals(textsFrom(bobAgain, "alice"), ["one", "two"]);
});

Deno.test("who has another key than before is announced and not answered, whoever else is welcome", async () => {
  await using scene = await openScene();
  const [alice, bob] = await friends(scene, "alice", "bob");
  const known = await bob.event("profile");
  await interrupt(bob);
  // Only the operator can make a name free for another key.
  await scene.operate("forget bob");
  const impostor = scene.start(
    "connect",
    "impostor",
    [...whoAndWhere(scene, "bob"), "--json", "--accept", "all"],
  );
  await impostor.write("alice: it is me\n");
  const offer = await alice.event("offer", { from: "bob", accepted: false });
  const { fingerprint } = await impostor.event("profile");
  assertEquals([offer.standing, offer.fingerprint], ["changed", fingerprint]);
  await alice.write("/to bob\n");
  const failure = await alice.event("conversation-failed", { with: "bob" });
  assertEquals(failure.code, "identity_changed");
  for (const key of [known.fingerprint, fingerprint]) {
    assertStringIncludes(failure.message as string, key as string);
  }
  // The lobby goes on without them.
  const carol = enter(scene, "carol");
  await carol.write("alice: and me?\n");
  await alice.event("message", { from: "carol", text: "and me?" });
  assertEquals(textsFrom(alice, "bob"), []);
});

Deno.test("who asks without being in the lobby is answered there, and words that were compared leave a mark", async () => {
  await using scene = await openScene();
  const alice = enter(scene, "alice", ["--accept", "all"]);
  await alice.event("lobby");
  const bob = scene.connect("bob", "alice", ["--json"]);
  await alice.event("connected", { with: "bob" });
  await bob.write("from elsewhere\n");
  await alice.event("message", { from: "bob", text: "from elsewhere" });
  await alice.write("bob: welcome\n/verify bob\n");
  await bob.event("message", { text: "welcome" });
  await alice.event("stored", { with: "bob", number: 1 });
  const { text } = await alice.event("verify", { with: "bob" });
  assertEquals((text as string).match(/[a-z]+/g)!.length > 12, true);
  await alice.write("/verify nobody\n/verified bob\n/users\n");
  assertStringIncludes(
    (await alice.event("verify", { with: "nobody" })).text as string,
    "not known here yet",
  );
  await alice.event("verified", { with: "bob" });
  const users = await alice.event("users");
  assertEquals(users.people, [{
    name: "bob",
    isVerified: true,
    unread: 0,
    undelivered: 0,
    connected: true,
    asks: false,
    suite: "modern",
    fingerprint: (await bob.event("profile")).fingerprint,
  }]);
  await bob.endInput();
  await alice.event("peer-ended", { with: "bob" });
  await alice.endInput();
  await Promise.all([alice.exits(0), bob.exits(0)]);
});

Deno.test("users and keys verify are answered by the program that has the profile", async () => {
  await using scene = await openScene();
  const [alice, bob] = await friends(scene, "alice", "bob");
  const looking = look(scene, "alice", ["--json"]);
  await looking.exits(0);
  const { fingerprint } = await bob.event("profile");
  const known = { suite: "modern", fingerprint, isVerified: false };
  assertEquals(looking.events, [{ event: "user", name: "bob", state: "here", ...known }]);
  const verify = (more: readonly string[]) => {
    const args = ["verify", "bob", "--name", "alice", "--json"];
    return scene.start("keys", "verifying", [...args, ...more], { state: "alice" });
  };
  const first = verify([]);
  await first.exits(0);
  assertEquals(first.events[0]?.isVerified, false);
  assertEquals((first.events[0]?.words as string[]).length, 12);
  const second = verify(["--yes"]);
  await second.exits(0);
  assertEquals(second.events[0]?.isVerified, true);
  // The running program knows it as well.
  await alice.write("/users\n");
  const { people } = await alice.event("users");
  assertEquals(
    (people as { name: string; isVerified: boolean }[]).map(({ isVerified }) => isVerified),
    [true],
  );
  for (const program of [alice, bob]) await program.endInput();
  await Promise.all([alice.exits(0), bob.exits(0)]);
});

Deno.test("users is answered while one talks to one person, who need not be in the lobby", async () => {
  await using scene = await openScene();
  const carol = enter(scene, "carol");
  await carol.event("lobby");
  const [alice, bob] = await couple(scene);
  const looking = look(scene, "alice", ["--json"]);
  await looking.exits(0);
  assertEquals(looking.events, [{
    event: "user",
    name: "carol",
    state: "here",
    isVerified: false,
  }]);
  for (const program of [alice, bob]) await program.endInput();
  await Promise.all([alice.exits(0), bob.exits(0)]);
  await carol.endInput();
  await carol.exits(0);
});

Deno.test("users fails in words when nobody listens there", async () => {
  await using scene = await openScene();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const nowhere = scene.start("users", "zoe", [
    "--name",
    "zoe",
    "--server",
    `127.0.0.1:${port}`,
    "--give-up",
    "0",
  ]);
  const { stdout, stderr } = await nowhere.exits(1);
  assertEquals(stdout, "");
  assertStringIncludes(stderr, "error: Cannot reach 127.0.0.1:");
});

Deno.test("a profile folder that has gone is told of once, who is new waits, and comes in when it is back", async () => {
  await using scene = await openScene();
  const alice = enter(scene, "alice", ["--accept", "all"]);
  await alice.event("lobby");
  const bob = enter(scene, "bob");
  await sees(bob, "alice");
  const folder = `${scene.stateOf("alice")}/profiles`;
  await Deno.rename(folder, `${folder}-gone`);
  await bob.write("alice: hello\n");
  const { peer, code, message } = await alice.event("cannot-pin");
  assertEquals([peer, code], ["bob", "local"]);
  assertStringIncludes(String(message), "known-peers: it is not there");
  // What there was of a storm went through an hour's introductions within these seconds.
  await new Promise((resolve) => setTimeout(resolve, 4000));
  const times = (program: Program, name: string) =>
    program.events.filter(({ event }) => event === name).length;
  assert(times(bob, "peer-left") <= 5, `${times(bob, "peer-left")} meetings`);
  assertEquals(times(alice, "cannot-pin"), 1);
  assertEquals(times(alice, "conversation-failed"), 0);
  await Deno.rename(`${folder}-gone`, folder);
  await alice.event("message", { from: "bob", text: "hello" });
});

Deno.test("who leaves after a message to the server has lost nobody", async () => {
  await using scene = await Scene.withServer();
  for (const end of ['{"do":"quit"}\n', undefined]) {
    const args = ["--name", "alice", "--server", `127.0.0.1:${scene.port}`, "--json"];
    const alice = scene.start("connect", "alice", args);
    await alice.event("lobby");
    await alice.write('{"to":"server","text":"hello"}\n');
    await alice.event("message", { text: "OK" });
    if (end === undefined) await alice.endInput();
    else await alice.write(end);
    await alice.exits(0);
    const lost = alice.events.filter(({ event }) => event === "server-lost");
    assertEquals([lost, alice.events.at(-1)!.event], [[], "done"]);
  }
});

Deno.test("users --all tells who is known to the server, here or not, without a word of where", async () => {
  await using scene = await openScene();
  const bob = enter(scene, "bob");
  await bob.event("people");
  await interrupt(bob);
  const alice = enter(scene, "alice");
  await alice.event("people");
  const { fingerprint } = await alice.event("profile");
  // The first is answered by the program that runs, the other by the server.
  for (const name of ["alice", "dave"]) {
    const looking = look(scene, name, ["--all", "--json"]);
    await looking.exits(0);
    const users = looking.events.filter(({ event }) => event === "user");
    const told = users.map((user) => [user.name, user.state, user.suite, user.isVerified]);
    assertEquals(told.slice(0, 2), [
      ["alice", "here", "modern", false],
      ["bob", "gone", "modern", false],
    ]);
    assertEquals(users[0]!.fingerprint, fingerprint);
    assertEquals(
      Object.keys(users[0]!).sort().join(" "),
      "event fingerprint isVerified name state suite",
    );
  }
  const { stdout } = await look(scene, "dave", ["--all"]).exits(0);
  assertEquals(stdout.split("\n")[0], `alice\there\tmodern\t${fingerprint}`);
});
