/** The way through the server, and away from it. */
import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { isClean } from "../soak/checker.ts";
import { finish, Person, verdicts } from "../soak/person.ts";
import { Between, hasLoopbackNet } from "../testkit/between.ts";
import { couple, Scene } from "../testkit/program.ts";

const MIB = 2 ** 20;

Deno.test("two with --relay-only talk through the server, and neither has a port", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve(["--log-people"]);
  const [alice, bob] = await couple(scene, ["--json", "--relay-only"]);
  for (const program of [alice, bob]) {
    const [registered, connected] = ["registered", "connected"].map((name) =>
      program.events.find(({ event }) => event === name)!
    );
    assertEquals([registered!["receivePort"], registered!["sendPort"]], [undefined, undefined]);
    assertEquals([connected!["path"], connected!["remote"]], ["relay", undefined]);
  }
  await server.event("relaying");
  await alice.write("does it read this?\n");
  await bob.event("message", { text: "does it read this?" });
  await bob.write("it cannot\n");
  await alice.event("message", { text: "it cannot" });
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
  const { bytes } = await server.event("relayed");
  assert((bytes as number) > 2000, `${bytes} bytes were relayed`);
  assert(!server.stdout.includes("does it read this"));
});

Deno.test("one with --relay-only is enough: the other one learns no address either", async () => {
  await using scene = await Scene.withServer();
  const alice = scene.connect("alice", "bob", ["--json", "--trace", "--relay-only"]);
  const bob = scene.connect("bob", "alice", ["--json", "--trace"]);
  for (const program of [alice, bob]) {
    assertEquals((await program.event("connected"))["path"], "relay");
    const { detail } = await program.event("trace", { name: "introduction" });
    const { detail: m7 } = await program.event("trace", { name: "registration", message: 7 });
    // Whoever has no ports is captured at the server's alone.
    const isHidden = program === alice;
    assert(/no ports of our own; capture filter: tcp port \d+$/.test(String(m7)) === isHidden);
    assert(/at the relay$/.test(String(detail)), String(detail));
  }
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
});

Deno.test("a pipe carries 8 MiB through the relay, each byte of them", async () => {
  await using scene = await Scene.withServer("--relay-rate", "0");
  const hash = createHash("sha256");
  const alice = scene.connect("alice", "bob", ["--relay-only"]);
  const bob = scene.connect("bob", "alice", [], { onStdout: (piece) => void hash.update(piece) });
  await Promise.all([alice.says("relay through the server"), bob.says("relay through the server")]);
  await bob.endInput();
  const sent = createHash("sha256");
  const piece = new Uint8Array(65_536);
  for (let left = 8 * MIB; left > 0; left -= piece.length) {
    crypto.getRandomValues(piece);
    sent.update(piece);
    await alice.write(piece);
  }
  await alice.endInput();
  await Promise.all([alice.exits(0), bob.exits(0)]);
  assertEquals(hash.digest("hex"), sent.digest("hex"));
});

Deno.test("a relaying server killed amid lines both ways and started again: nothing is lost", async () => {
  await using scene = await Scene.open();
  const options = ["--handshakes-per-minute", "0", "--log-people"];
  let server = await scene.serve(options);
  const alice = new Person(scene, "alice", "bob", ["--relay-only"]);
  const bob = new Person(scene, "bob", "alice", ["--relay-only"]);
  alice.start();
  bob.start();
  for (const shown of [1, 50]) {
    const reached = bob.showsMore(shown);
    const feeding = Promise.all([alice.feed(200), bob.feed(200)]);
    await reached;
    server.kill("SIGKILL");
    await server.exit();
    await feeding;
    const args = ["--port", `${scene.port}`, "--json", ...options];
    server = scene.start("serve", "server", args);
    await server.event("relaying");
  }
  await finish(alice, bob);
  for (const verdict of verdicts(alice, bob)) {
    assert(isClean(verdict), JSON.stringify(verdict, null, 1));
    assertEquals([verdict.queued, verdict.recovered], [401, 0]);
  }
});

Deno.test({
  name: "who begins on the relay moves to the direct way when there is one, and loses nothing",
  ignore: !hasLoopbackNet,
  async fn() {
    await using scene = await Scene.withServer();
    await using between = await Between.open(scene.port);
    between.refuse();
    const alice = new Person(scene, "alice", "bob", between.args("alice"));
    const bob = new Person(scene, "bob", "alice", between.args("bob"));
    for (const { program } of [alice, bob].map((one) => (one.start(), one))) {
      assertEquals((await program.event("connected"))["path"], "relay");
    }
    await Promise.all([alice.feed(200), bob.feed(200)]);
    await between.accept();
    // Lines go on without a pause until both have moved, so that some cross the change.
    const moved = Promise.all([alice.program.event("moved"), bob.program.event("moved")]);
    let hasMoved = false;
    moved.then(() => hasMoved = true, () => hasMoved = true);
    while (!hasMoved) {
      await Promise.all([alice.write(1), bob.write(1)]);
      await Promise.all([
        alice.showsLine(`bob ${bob.lines - 1}`),
        bob.showsLine(`alice ${alice.lines - 1}`),
      ]);
    }
    for (const { path } of await moved) assertEquals(path, "direct");
    await finish(alice, bob);
    for (const verdict of verdicts(alice, bob)) {
      assert(isClean(verdict), JSON.stringify(verdict, null, 1));
      assertEquals(verdict.queued, verdict.submitted);
    }
    for (const { program: { events } } of [alice, bob]) {
      assertEquals(events.filter(({ event }) => event === "lost"), []);
    }
  },
});
