/** Messages for somebody who is not there: kept, and delivered when both are. */
import { assert, assertEquals } from "@std/assert";
import { isClean } from "../soak/checker.ts";
import { finish, Person, verdicts } from "../soak/person.ts";
import { type Program, Scene } from "../testkit/program.ts";

function assertNothingWrong(alice: Person, bob: Person): void {
  for (const verdict of verdicts(alice, bob)) {
    assert(isClean(verdict), JSON.stringify(verdict, null, 1));
    assertEquals(verdict.queued, verdict.submitted);
  }
}

/** Ends a program that still waits for somebody, as a person does. */
async function interrupt(program: Program): Promise<void> {
  program.kill("SIGINT");
  await program.exits(130);
}

Deno.test("messages for somebody who has never been there outlive the program, and arrive", async () => {
  await using scene = await Scene.withServer();
  const alice = new Person(scene, "alice", "bob"), bob = new Person(scene, "bob", "alice");
  // Once in order and once by a kill: bob is not known at all yet, let alone his key.
  alice.start();
  await alice.write(40);
  await alice.program.event("queued", { number: 40 });
  await alice.program.event("waiting");
  await interrupt(alice.program);
  alice.start();
  await alice.write(40);
  await alice.program.event("queued", { number: 80 });
  await alice.kill();
  bob.start();
  await bob.program.event("waiting");
  const program = alice.start();
  await bob.showsLine("alice 79");
  await program.event("read", { number: 80 });
  await program.event("peer-pinned", { peer: "bob" });
  await finish(alice, bob);
  assertNothingWrong(alice, bob);
});

Deno.test("messages for somebody who has left are kept over restarts of both, and arrive", async () => {
  await using scene = await Scene.withServer();
  const alice = new Person(scene, "alice", "bob"), bob = new Person(scene, "bob", "alice");
  alice.start();
  bob.start();
  await alice.write(5);
  await bob.showsLine("alice 4");
  await interrupt(bob.program);
  await alice.program.event("peer-left", { failed: false });
  await alice.write(5);
  await alice.program.event("queued", { number: 10 });
  assertEquals(alice.program.events.filter(({ event }) => event === "stored").at(-1)!.number, 5);
  await interrupt(alice.program);
  // Neither has seen the other since: both have something to tell.
  bob.start();
  await bob.write(7);
  await bob.program.event("queued", { number: 7 });
  await bob.kill();
  alice.start();
  bob.start();
  await Promise.all([bob.showsLine("alice 9"), alice.showsLine("bob 6")]);
  await finish(alice, bob);
  assertNothingWrong(alice, bob);
});

Deno.test("messages are taken without a server, and an end of input waits for their delivery", async () => {
  await using scene = await Scene.open();
  const server = await scene.serve();
  const alice = new Person(scene, "alice", "bob"), bob = new Person(scene, "bob", "alice");
  alice.start();
  await alice.program.event("waiting");
  server.kill("SIGKILL");
  await alice.program.event("server-lost");
  await alice.write(30);
  await alice.program.endInput();
  await alice.program.event("queued", { number: 30 });
  await scene.start("serve", "server", ["--port", `${scene.port}`, "--json"]).event("listening");
  bob.start();
  await bob.showsLine("alice 29");
  await bob.program.event("peer-ended");
  await bob.program.endInput();
  await Promise.all([alice.program.exits(0), bob.program.exits(0)]);
  const [{ queued, stored, shown }] = verdicts(alice, bob);
  assertEquals([queued, stored, shown], [30, 30, 30]);
  assertNothingWrong(alice, bob);
});
