/** Connections that are cut, and programs that do not mind. */
import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { isClean } from "../soak/checker.ts";
import { finish, Person, verdicts } from "../soak/person.ts";
import { Between, hasLoopbackNet } from "../testkit/between.ts";
import { type Program, Scene } from "../testkit/program.ts";
import type { Direction, Ending, ProxyConnection, ProxyOptions } from "../testkit/proxy.ts";

const MIB = 2 ** 20;

/** A test with alice, bob and their server, and a proxy in every way between them. */
function cutTest(
  name: string,
  play: (scene: Scene, between: Between) => Promise<void>,
  plan?: ProxyOptions["plan"],
): void {
  Deno.test({
    name,
    ignore: !hasLoopbackNet,
    async fn() {
      await using scene = await Scene.withServer("--handshakes-per-minute", "0");
      await using between = await Between.open(scene.port, plan);
      await play(scene, between);
    },
  });
}

/** Both, connected directly. */
async function people(
  scene: Scene,
  between: Between,
  args: readonly string[] = [],
): Promise<readonly [Person, Person]> {
  const [alice, bob] = ([["alice", "bob"], ["bob", "alice"]] as const).map(([name, to]) => {
    const person = new Person(scene, name, to, [...between.args(name), "--no-relay", ...args]);
    person.start();
    return person;
  }) as [Person, Person];
  await Promise.all([alice.program.event("connected"), bob.program.event("connected")]);
  return [alice, bob];
}

/** The connection that carries the conversation: of two dials the other one ends before it says much. */
function carrier(between: Between): ProxyConnection {
  const weight = (connection: ProxyConnection) =>
    connection.count("toTarget") + connection.count("toClient");
  const open = between.connections.filter(({ isOpen }) => isOpen);
  return open.sort((a, b) => weight(b) - weight(a))[0]!;
}

function count(program: Program, name: string): number {
  return program.events.filter(({ event }) => event === name).length;
}

/** Connections that the conversation went over: one who is dialled anew before noticing just moves. */
function ways(program: Program): number {
  return count(program, "connected") + count(program, "moved");
}

/** Waits until both have had more than so many connections. */
async function connectedAgain(alice: Person, bob: Person, before: number): Promise<void> {
  await Promise.all(
    [alice, bob].map(({ program }) =>
      program.until(`connection number ${before + 1}`, () => ways(program) > before)
    ),
  );
}

for (const how of ["fin", "rst"] as const) {
  cutTest(`a connection cut by ${how} amid lines both ways is made again by itself`, async (
    scene,
    between,
  ) => {
    const [alice, bob] = await people(scene, between);
    // Bytes from now on, in either direction: in a record's header, in its midst, between two.
    const moments: readonly (readonly [Direction, number])[] = [
      ["toTarget", 1],
      ["toClient", 3],
      ["toTarget", 700],
      ["toClient", 4096],
      ["toTarget", 9000],
    ];
    for (const [i, [direction, bytes]] of moments.entries()) {
      const connection = carrier(between);
      connection.cutAfter(direction, connection.count(direction) + bytes, how);
      await Promise.all([alice.feed(150), bob.feed(150)]);
      await connection.ended;
      await connectedAgain(alice, bob, i + 1);
    }
    await finish(alice, bob);
    for (const verdict of verdicts(alice, bob)) {
      assert(isClean(verdict), JSON.stringify(verdict, null, 1));
      assertEquals([verdict.queued, verdict.recovered], [5 * 150 + 1, 0]);
    }
    const noticed = count(alice.program, "lost") + count(bob.program, "lost");
    assert(noticed >= 5, `${noticed} losses were told`);
    for (const { program: { events } } of [alice, bob]) {
      const again = events.filter(({ event }) => event === "connected").map(({ again }) => again);
      assertEquals(again, again.map((_, i) => i > 0));
    }
  });
}

/** Each side dials: the first three connections to either end in the preface or in the ladder. */
const cutInHandshake: ProxyOptions["plan"] = (connection, number) => {
  const bytes = [30, 200, 1300][number];
  if (bytes !== undefined) connection.cutAfter("toTarget", bytes, "rst");
};

cutTest("a connection cut in the handshake is tried again until there is one", async (
  scene,
  between,
) => {
  const [alice, bob] = await people(scene, between);
  assert(between.connections.length > 3, "not every handshake was cut");
  await finish(alice, bob);
  for (const verdict of verdicts(alice, bob)) assert(isClean(verdict), JSON.stringify(verdict));
}, cutInHandshake);

cutTest("what is written while there is no way arrives when there is one", async (
  scene,
  between,
) => {
  const [alice, bob] = await people(scene, between);
  between.refuse();
  between.cut();
  await Promise.all([alice.program.event("lost"), bob.program.event("lost")]);
  await Promise.all([alice.write(20), bob.write(20)]);
  await Promise.all([
    alice.program.event("queued", { number: 20 }),
    bob.program.event("queued", { number: 20 }),
  ]);
  assertEquals(count(alice.program, "stored"), 0);
  await between.accept();
  await Promise.all([
    alice.program.event("read", { number: 20 }),
    bob.program.event("read", { number: 20 }),
  ]);
  await finish(alice, bob);
  for (const verdict of verdicts(alice, bob)) assert(isClean(verdict), JSON.stringify(verdict));
});

/** Takes bytes, counts and hashes them. */
class Sink {
  readonly #hash = createHash("sha256");
  #news = Promise.withResolvers<void>();
  total = 0;

  take(piece: Uint8Array): void {
    this.#hash.update(piece);
    this.total += piece.length;
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }

  async reaches(total: number): Promise<void> {
    while (this.total < total) await this.#news.promise;
  }

  digest(): string {
    return this.#hash.digest("hex");
  }
}

/** Writes so many random bytes and returns their SHA-256. */
async function writeRandom(program: Program, total: number): Promise<string> {
  const hash = createHash("sha256");
  const piece = new Uint8Array(65_536);
  for (let sent = 0; sent < total; sent += piece.length) {
    crypto.getRandomValues(piece);
    hash.update(piece);
    await program.write(piece);
  }
  return hash.digest("hex");
}

cutTest(
  "a pipe of 64 MiB cut five times goes on at the byte where it was, in little memory",
  async (
    scene,
    between,
  ) => {
    const sink = new Sink();
    const alice = scene.connect("alice", "bob", [...between.args("alice"), "--no-relay"]);
    const bob = scene.connect("bob", "alice", [...between.args("bob"), "--no-relay"], {
      onStdout: (piece) => sink.take(piece),
    });
    await Promise.all([alice.says("connected to bob"), bob.says("connected to alice")]);
    await bob.endInput();
    const writing = writeRandom(alice, 64 * MIB);
    const endings: readonly Ending[] = ["rst", "fin", "rst", "rst", "fin"];
    for (const [i, how] of endings.entries()) {
      await sink.reaches((1 + 10 * i) * MIB);
      between.cut(how);
      await Promise.all(
        [alice, bob].map((program) =>
          program.until(
            `connection number ${i + 2}`,
            () => program.stderr.split(" again: direct").length > i + 1,
          )
        ),
      );
    }
    const sent = await writing;
    const peaks = Deno.build.os === "linux"
      ? await Promise.all([alice.peakMemory(), bob.peakMemory()])
      : [];
    await alice.endInput();
    await Promise.all([alice.exits(0), bob.exits(0)]);
    assertEquals(sink.total, 64 * MIB);
    assertEquals(sink.digest(), sent);
    for (const peak of peaks) {
      assert(peak < 200, `${Math.round(peak)} MiB of memory`);
    }
  },
);

cutTest("a pipe that is connected again does not give up for having been cut", async (
  scene,
  between,
) => {
  const [alice, bob] = (["alice", "bob"] as const).map((name) =>
    scene.connect(name, name === "alice" ? "bob" : "alice", [
      ...between.args(name),
      "--no-relay",
      "--give-up",
      "3",
    ])
  ) as [Program, Program];
  await Promise.all([alice.says("connected to bob"), bob.says("connected to alice")]);
  between.cut();
  const cutAt = performance.now();
  await Promise.all([alice.says(" again: direct"), bob.says(" again: direct")]);
  // They talk past the moment at which they would have given up.
  for (let said = ""; performance.now() - cutAt < 3500;) {
    await alice.write("on\n");
    said += "on\n";
    await bob.until("it all", () => bob.stdout === said);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await Promise.all([alice.endInput(), bob.endInput()]);
  await Promise.all([alice.exits(0), bob.exits(0)]);
});

/** Of one who answers the ladder; the other one climbs. */
function isResponder(person: Person): boolean {
  return person.program.events.some((event) =>
    event.event === "trace" && event["with"] !== "server" && event["message"] === 1 &&
    event["direction"] === "received"
  );
}

cutTest("an introduction that crosses a new connection does not leave the two apart", async (
  scene,
  between,
) => {
  const [alice, bob] = await people(scene, between, ["--trace"]);
  const responder = isResponder(alice) ? "alice" : "bob";
  // It answers m7 of the other one when it has registered and before it hears of the introduction.
  const { servers, people: direct } = between;
  servers[responder].plan = (connection) => connection.delay("toClient", 420);
  for (const proxy of Object.values(direct)) {
    proxy.plan = (connection) => {
      for (const direction of ["toTarget", "toClient"] as const) connection.delay(direction, 195);
    };
  }
  between.cut();
  await connectedAgain(alice, bob, 1);
  await finish(alice, bob);
  for (const { program } of [alice, bob]) assertEquals(count(program, "no-way"), 0);
});
