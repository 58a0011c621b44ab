/** Real programs in networks made for them: behind routers, and on a machine whose address changes. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { isClean } from "../soak/checker.ts";
import { finish, Person, verdicts } from "../soak/person.ts";
import { networkTest, sameLan, type Topology, twoNats } from "../testkit/namespaces.ts";
import { cifraCommand, Scene, type Task } from "../testkit/program.ts";

/** A scene whose programs run on the hosts of a topology. */
class Stage {
  readonly scene: Scene;
  readonly alice: Person;
  readonly bob: Person;

  private constructor(scene: Scene, alice: Person, bob: Person) {
    this.scene = scene;
    this.alice = alice;
    this.bob = bob;
  }

  /** Starts the server, alice and bob, each on its host. */
  static async open(topology: Topology, args: readonly string[] = []): Promise<Stage> {
    await using stack = new AsyncDisposableStack();
    const scene = stack.use(await Scene.open());
    const on = (host: "server" | "alice" | "bob") => ({
      start: (task: Task, folder: string) =>
        topology.run(topology[host], cifraCommand(task, folder)),
    });
    await scene.serve(["--host", "0.0.0.0", "--admission", "open"], on("server"));
    const server = `${topology.server.address}:${scene.port}`;
    const [alice, bob] = ([["alice", "bob"], ["bob", "alice"]] as const).map(([name, to]) => {
      const all = ["--server", server, "--accept-new", ...args];
      const person = new Person(scene, name, to, all, on(name));
      person.start();
      return person;
    }) as [Person, Person];
    stack.move();
    return new Stage(scene, alice, bob);
  }

  /** The way that both have found: of the first connection, and where they are now. */
  async paths(): Promise<readonly (readonly unknown[])[]> {
    return await Promise.all([this.alice, this.bob].map(async ({ program }) => {
      const { path, remote } = await program.event("connected");
      return [path, remote];
    }));
  }

  /** A last word both ways, and the end of both; nothing was lost, repeated or out of order. */
  async finish(): Promise<void> {
    await finish(this.alice, this.bob);
    for (const verdict of verdicts(this.alice, this.bob)) {
      assert(isClean(verdict), JSON.stringify(verdict, null, 1));
      assertEquals(verdict.queued, verdict.submitted);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.scene[Symbol.asyncDispose]();
  }
}

await networkTest(
  "two people behind routers meet by punching, and talk without the server",
  async () => {
    await using topology = await twoNats();
    await using stage = await Stage.open(topology, ["--no-relay"]);
    const { alice, bob } = stage;
    const [ours, theirs] = await stage.paths();
    assertEquals([ours![0], theirs![0]], ["punched", "punched"]);
    const hosts = [ours, theirs].map((path) => String(path![1]).replace(/:\d+$/, ""));
    assertEquals(hosts, [topology.bob.publicAddress, topology.alice.publicAddress]);
    await topology.cut(topology.server);
    await Promise.all([alice.write(20), bob.write(20)]);
    await stage.finish();
  },
);

await networkTest("two people behind routers of the symmetric kind use the relay", async () => {
  const symmetric = { symmetric: true };
  await using topology = await twoNats({ alice: symmetric, bob: symmetric });
  await using stage = await Stage.open(topology);
  const { alice, bob } = stage;
  assertEquals(await stage.paths(), [["relay", undefined], ["relay", undefined]]);
  await Promise.all([alice.write(20), bob.write(20)]);
  await stage.finish();
});

await networkTest(
  "two people in one network connect directly, by the addresses they have there",
  async () => {
    await using topology = await sameLan();
    await using stage = await Stage.open(topology, ["--no-relay"]);
    const [ours, theirs] = await stage.paths();
    const remotes = [ours, theirs].map((path) => String(path![1]).replace(/:\d+$/, ""));
    assertEquals(remotes, [topology.bob.address, topology.alice.address]);
    await stage.finish();
  },
);

/** Nobody answers any more on the connection that is there: who has moved notices, and finds the other. */
async function changeAddress(writers: readonly ("alice" | "bob")[]): Promise<void> {
  await using topology = await sameLan();
  await using stage = await Stage.open(topology);
  const { alice, bob } = stage;
  await stage.paths();
  await topology.changeAddress(topology.alice);
  await Promise.all(writers.map((name) => stage[name].write(20)));
  const programs = [alice.program, bob.program];
  await Promise.all(
    programs.map((program) =>
      program.until(
        "a new way",
        () =>
          program.events.some(({ event, again }) =>
            event === "moved" || (event === "connected" && again === true)
          ),
      )
    ),
  );
  // Not by the eighteen seconds after which silence counts.
  const { message } = await alice.program.event("lost");
  assertEquals(message, "This machine has another address now");
  const losses = programs.flatMap(({ events }) => events.filter(({ event }) => event === "lost"));
  assertEquals(losses.filter(({ code }) => code === "timeout"), []);
  await stage.finish();
}

/** Two that nothing but a relay would help; it takes fifteen seconds to call it no way. */
async function findNoWay(): Promise<void> {
  const symmetric = { symmetric: true };
  await using topology = await twoNats({ alice: symmetric, bob: symmetric });
  await using stage = await Stage.open(topology, ["--no-relay"]);
  for (const [one, other] of [["alice", "bob"], ["bob", "alice"]] as const) {
    const { failures } = await stage[one].program.event("no-way");
    const { publicAddress } = topology[other];
    assert((failures as string[]).length > 0, "nothing was tried");
    for (const failure of failures as string[]) {
      assertMatch(
        failure,
        new RegExp(`^${publicAddress.replaceAll(".", "\\.")}:\\d+: .*no answer$`),
      );
    }
    assertEquals(stage[one].program.events.some(({ event }) => event === "connected"), false);
  }
}

// Side by side, since both are all waiting.
await networkTest(
  "a host whose address changes resumes; two without any way are told, and what was tried",
  async () => {
    await Promise.all([changeAddress(["alice", "bob"]), changeAddress(["bob"]), findNoWay()]);
  },
);
