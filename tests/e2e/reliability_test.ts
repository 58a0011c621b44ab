/** Programs killed without a word, and started again: what was accepted arrives, once and in order. */
import { assert, assertEquals } from "@std/assert";
import { isClean, type Verdict } from "../soak/checker.ts";
import { finish, Person, verdicts } from "../soak/person.ts";
import { cifraCommand, couple, type JsonEvent, Program, Scene } from "../testkit/program.ts";

const BURST = 500;

/** A server that lets people come back as often as they like. */
function theatre(): Promise<Scene> {
  return Scene.withServer("--handshakes-per-minute", "0");
}

/** Starts the server again where it was, and waits until it listens. */
async function serveAgain(scene: Scene): Promise<Program> {
  const server = scene.start("serve", "server", ["--port", `${scene.port}`, "--json"]);
  await server.event("listening");
  return server;
}

/** Both, connected. */
async function people(scene: Scene): Promise<readonly [Person, Person]> {
  const alice = new Person(scene, "alice", "bob"), bob = new Person(scene, "bob", "alice");
  alice.start();
  bob.start();
  await Promise.all([alice.program.event("connected"), bob.program.event("connected")]);
  return [alice, bob];
}

function count(program: Program, name: string): number {
  return program.events.filter(({ event }) => event === name).length;
}

function assertClean(verdict: Verdict): void {
  assert(isClean(verdict), JSON.stringify(verdict, null, 1));
}

/** What `cifra history` has of the messages that came to this person, or that the person wrote. */
async function history(scene: Scene, name: string, direction: string): Promise<JsonEvent[]> {
  const folder = scene.stateOf(name);
  const about = ["--name", name, "--state", folder, "--json"];
  const command = [...cifraCommand("history", folder), ...about];
  const program = scene.add(new Program({ name: `history of ${name}`, command }));
  await program.endInput();
  await program.exits(0);
  return program.events.filter((event) => event["direction"] === direction);
}

async function assertHistoryHasAll(scene: Scene, writer: Person, reader: Person): Promise<void> {
  const shown = new Map<number, unknown>();
  for (const { events } of reader.runs) {
    for (const { event, number, text } of events) {
      if (event === "message") shown.set(number as number, text);
    }
  }
  const received = await history(scene, reader.name, "received");
  assertEquals(received.map(({ number, text }) => [number, text]), [...shown]);
  const sent = await history(scene, writer.name, "sent");
  assertEquals(sent.map(({ number, text }) => [number, text]), [...shown]);
}

for (const victim of ["writer", "reader"] as const) {
  Deno.test(`a ${victim} killed three times amid ${BURST} lines: each is shown once, in order`, async () => {
    await using scene = await theatre();
    const [alice, bob] = await people(scene);
    const killed = victim === "writer" ? alice : bob;
    // Each kill finds something else under way.
    for (const shown of [1, 40, 120]) {
      const reached = bob.showsMore(shown);
      const feeding = alice.feed(BURST);
      await reached;
      await killed.kill();
      await feeding;
      killed.start();
      await Promise.all([alice.program.event("connected"), bob.program.event("connected")]);
    }
    await finish(alice, bob);
    const [toBob, toAlice] = verdicts(alice, bob);
    assertClean(toBob);
    assertClean(toAlice);
    assertEquals(toBob.submitted, 3 * BURST + 1);
    if (victim === "reader") assertEquals(toBob.queued, 3 * BURST + 1);
    else assert(toBob.queued > 3, `${toBob.queued} were accepted`);
    await assertHistoryHasAll(scene, alice, bob);
  });
}

Deno.test("all three killed at once amid a burst both ways, twice: nothing accepted is lost", async () => {
  await using scene = await Scene.open();
  let server = await scene.serve(["--handshakes-per-minute", "0"]);
  const [alice, bob] = await people(scene);
  for (const shown of [20, 150]) {
    const reached = bob.showsMore(shown);
    const feeding = Promise.all([alice.feed(BURST), bob.feed(BURST)]);
    await reached;
    server.kill("SIGKILL");
    await Promise.all([alice.kill(), bob.kill(), server.exit()]);
    await feeding;
    server = await serveAgain(scene);
    alice.start();
    bob.start();
    await Promise.all([alice.program.event("connected"), bob.program.event("connected")]);
  }
  await finish(alice, bob);
  for (const verdict of verdicts(alice, bob)) {
    assertClean(verdict);
    assert(verdict.queued > 20, `${verdict.queued} were accepted`);
  }
  await assertHistoryHasAll(scene, alice, bob);
  await assertHistoryHasAll(scene, bob, alice);
});

Deno.test("who waits at a server that is killed waits at it again when it is back", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve();
  const alice = scene.connect("alice", "bob", ["--json"]);
  await alice.event("waiting");
  server.kill("SIGKILL");
  const { code } = await alice.event("server-lost");
  assert(["cut", "unreachable"].includes(String(code)), String(code));
  await server.exit();
  // Who does not want to wait is told at once.
  const early = scene.connect("bob", "alice", ["--json", "--give-up", "0"]);
  await early.exits(1);
  assertEquals(early.events.at(-1)!.code, "unreachable");
  await serveAgain(scene);
  const bob = scene.connect("bob", "alice", ["--json"]);
  await Promise.all([alice.event("connected", { again: false }), bob.event("connected")]);
  assertEquals(count(alice, "registered"), 2);
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
});

Deno.test("who talks does not notice that the server is killed and comes back", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve();
  const [alice, bob] = await couple(scene, ["--json", "--no-relay"]);
  server.kill("SIGKILL");
  await server.exit();
  await alice.write("nobody there?\n");
  await bob.event("message", { text: "nobody there?" });
  await alice.event("read", { number: 1 });
  await serveAgain(scene);
  await bob.write("somebody is\n");
  await alice.event("message", { text: "somebody is" });
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
  for (const program of [alice, bob]) {
    assertEquals(["lost", "server-lost"].map((name) => count(program, name)), [0, 0]);
    assertEquals([count(program, "registered"), count(program, "connected")], [1, 1]);
  }
});

Deno.test("a peer killed without the server there is found again when the server is back", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve();
  const [alice, bob] = await people(scene);
  server.kill("SIGKILL");
  await server.exit();
  await bob.kill();
  await alice.program.event("lost");
  await alice.write(3);
  await alice.program.event("server-lost");
  await serveAgain(scene);
  bob.start();
  await alice.program.event("connected", { again: true });
  await finish(alice, bob);
  verdicts(alice, bob).forEach(assertClean);
});
