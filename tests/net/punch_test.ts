/** Two programs behind routers, with nothing but the endpoint that a server has seen of the other. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { type Host, networkTest, type Topology, twoNats } from "../testkit/namespaces.ts";
import { type JsonEvent, Program } from "../testkit/program.ts";

const PORTS = { alice: 40_001, bob: 40_002 } as const;

interface DialOptions {
  /** Of one dial, in milliseconds. */
  readonly deadline?: number;
  /** Longest pause after a dial that failed. */
  readonly pause?: number;
}

/** A server, and two who know how it sees them; each dials when it is told where the other is. */
class Meeting {
  readonly alice: Program;
  readonly bob: Program;
  /** How the server sees alice, and bob. */
  readonly observed: readonly [JsonEvent, JsonEvent];
  readonly #stack: AsyncDisposableStack;

  private constructor(
    alice: Program,
    bob: Program,
    observed: readonly [JsonEvent, JsonEvent],
    stack: AsyncDisposableStack,
  ) {
    this.alice = alice;
    this.bob = bob;
    this.observed = observed;
    this.#stack = stack;
  }

  static async prepare(topology: Topology, options: DialOptions = {}): Promise<Meeting> {
    const { deadline = 30_000, pause = 0 } = options;
    await using stack = new AsyncDisposableStack();
    const start = (name: string, host: Host, script: string, ...args: unknown[]) => {
      const deno = [Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-net"];
      const command = [...deno, `tests/net/${script}`, ...args.map(String)];
      return stack.use(new Program({ name, command: topology.run(host, command) }));
    };
    const server = start("server", topology.server, "punch_server.ts");
    const { port } = await server.event("listening");
    const startPeer = (name: "alice" | "bob") => {
      const { address } = topology.server;
      return start(
        name,
        topology[name],
        "punch_peer.ts",
        address,
        port,
        PORTS[name],
        deadline,
        pause,
      );
    };
    const alice = startPeer("alice"), bob = startPeer("bob");
    const observed = await Promise.all([alice.event("observed"), bob.event("observed")]);
    return new Meeting(alice, bob, observed, stack.move());
  }

  async letAliceDial(): Promise<void> {
    await this.alice.write(`${JSON.stringify(this.observed[1])}\n`);
  }

  async letBobDial(): Promise<void> {
    await this.bob.write(`${JSON.stringify(this.observed[0])}\n`);
  }

  /** Both have one end of the same connection: each gets what the other writes. */
  async assertMet(): Promise<void> {
    assertEquals((await this.alice.event("heard"))["line"], `from ${PORTS.bob}`);
    assertEquals((await this.bob.event("heard"))["line"], `from ${PORTS.alice}`);
  }

  /** What the dials that failed had to say, of both. */
  async failures(): Promise<unknown[]> {
    const opens = await Promise.all([this.alice.event("open"), this.bob.event("open")]);
    return opens.flatMap(({ failures }) => failures);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** Resolves once a dial is under way from the host: in the kernel's table, in the state SYN_SENT. */
async function dialling(topology: Topology, host: Host): Promise<void> {
  const [program, ...args] = topology.run(host, ["cat", "/proc/net/tcp"]);
  for (let look = 0; look < 5000; look++) {
    const { stdout } = await new Deno.Command(program!, { args }).output();
    if (/^ *\d+: \S+ \S+ 02 /m.test(new TextDecoder().decode(stdout))) return;
  }
  throw new Error("Nobody dials");
}

await networkTest(
  "two behind routers meet when both dial from the port the server saw",
  async () => {
    await using topology = await twoNats();
    await using meeting = await Meeting.prepare(topology);
    assertEquals(meeting.observed.map(({ host, port }) => [host, port]), [
      [topology.alice.publicAddress, PORTS.alice],
      [topology.bob.publicAddress, PORTS.bob],
    ]);
    await Promise.all([meeting.letAliceDial(), meeting.letBobDial()]);
    await meeting.assertMet();
    assertEquals(await meeting.failures(), []);
  },
);

await networkTest(
  "one dial each is enough for two behind routers, though one is late",
  async () => {
    await using topology = await twoNats();
    await using meeting = await Meeting.prepare(topology);
    await meeting.letAliceDial();
    await dialling(topology, topology.alice);
    await meeting.letBobDial();
    await meeting.assertMet();
    assertEquals(await meeting.failures(), []);
  },
);

await networkTest(
  "a router that refuses costs a dial, which is made again from the same port",
  async () => {
    await using topology = await twoNats({ bob: { unsolicited: "reset" } });
    await using meeting = await Meeting.prepare(topology, { pause: 20 });
    await meeting.letAliceDial();
    const { message } = await meeting.alice.event("failed");
    assert(String(message).endsWith("nobody listens there"), String(message));
    await meeting.letBobDial();
    await meeting.assertMet();
    assertEquals((await meeting.bob.event("open"))["failures"], []);
  },
);

for (const symmetric of [["alice"], ["alice", "bob"]] as const) {
  await networkTest(
    `no dial gets through where ${symmetric.join(" and ")} have another port for everybody`,
    async () => {
      const routers = Object.fromEntries(symmetric.map((name) => [name, { symmetric: true }]));
      await using topology = await twoNats(routers);
      await using meeting = await Meeting.prepare(topology, { deadline: 1500 });
      assertNotEquals(meeting.observed[0]["port"], PORTS.alice);
      await Promise.all([meeting.letAliceDial(), meeting.letBobDial()]);
      for (const program of [meeting.alice, meeting.bob]) {
        const { message } = await program.event("failed");
        assert(String(message).endsWith("no answer"), String(message));
        assertEquals(program.events.some(({ event }) => event === "open"), false);
      }
    },
  );
}
