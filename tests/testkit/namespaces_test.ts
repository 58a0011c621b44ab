import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { type Host, networkTest, sameLan, type Topology, twoNats, whyNot } from "./namespaces.ts";
import { Program } from "./program.ts";

const PORT = 7411;

/** Tells everybody how it sees them, and then gives back what it gets. */
const ECHO = `
const listener = Deno.listen({ hostname: "0.0.0.0", port: ${PORT} });
console.log("listening");
for await (const conn of listener) {
  console.log("from", conn.remoteAddr.hostname);
  conn.readable.pipeTo(conn.writable).catch(() => {});
}`;

/** Sends each line of stdin to the address that is its first argument, and prints what comes back. */
const TALK = `
const [hostname, port] = Deno.args;
try {
  const conn = await Deno.connect({ hostname, port: Number(port) });
  console.log("connected");
  conn.readable.pipeTo(Deno.stdout.writable, { preventClose: true });
  const writer = conn.writable.getWriter();
  for await (const piece of Deno.stdin.readable) {
    await writer.write(piece);
    console.error("sent");
  }
} catch (error) {
  console.log("failed:", error.message);
}`;

function start(topology: Topology, host: Host, script: string, args: readonly string[] = []) {
  const deno = [Deno.execPath(), "eval", "--quiet", script, ...args];
  return new Program({ name: host.namespace, command: topology.run(host, deno) });
}

/** A program on `from` that talks to the echo on `to`. */
function talk(topology: Topology, from: Host, to: Host): Program {
  return start(topology, from, TALK, [to.publicAddress, String(PORT)]);
}

async function namespaces(): Promise<string[]> {
  const { stdout } = await new Deno.Command("ip", { args: ["netns", "list"] }).output();
  const names = new TextDecoder().decode(stdout).matchAll(/^cifra-(\d+)-\S+/gm);
  return [...names].filter(([, pid]) => Number(pid) === Deno.pid).map(([name]) => name);
}

Deno.test("whyNot() has a reason where there is no root", async () => {
  const why = await whyNot();
  if (Deno.build.os !== "linux") assertMatch(why!, /Linux/);
  else if (Deno.uid() !== 0) assertMatch(why!, /root/);
  else assert(why === undefined || why.length > 10);
});

await networkTest(
  "twoNats() hides each host behind a router that lets it out and nobody in",
  async () => {
    await using topology = await twoNats();
    const { server, alice, bob } = topology;
    await using echo = start(topology, server, ECHO);
    await using inside = start(topology, bob, ECHO);
    await Promise.all([echo.prints("listening"), inside.prints("listening")]);
    await using ours = talk(topology, alice, server);
    await ours.prints("connected");
    await echo.prints(`from ${alice.publicAddress}\n`);
    assertNotEquals(alice.publicAddress, alice.address);
    assertNotEquals(alice.address.replace(/\.\d+$/, ""), bob.address.replace(/\.\d+$/, ""));
    // The router of the other is silent to a port that is open inside, and to every other.
    await using towards = talk(topology, alice, bob);
    await ours.write("hello\n");
    await ours.prints("hello\n");
    await synSent(topology, alice);
    assertEquals([towards.stdout, inside.stdout], ["", "listening\n"]);
  },
);

await networkTest("a router that resets tells at once that nobody gets in", async () => {
  await using topology = await twoNats({ bob: { unsolicited: "reset" } });
  await using towards = talk(topology, topology.alice, topology.bob);
  await towards.prints("failed: Connection refused");
});

await networkTest("sameLan() puts all on one segment without a router", async () => {
  await using topology = await sameLan();
  const { server, alice, bob } = topology;
  assertEquals([alice.router, bob.router, server.router], [undefined, undefined, undefined]);
  await using echo = start(topology, bob, ECHO);
  await echo.prints("listening");
  for (const host of [alice, server]) {
    await using program = talk(topology, host, bob);
    await echo.prints(`from ${host.address}\n`);
    await program.write("hello\n");
    await program.prints("hello\n");
  }
});

await networkTest(
  "blackhole() swallows both ways without a word, and mend() loses nothing",
  async () => {
    await using topology = await twoNats();
    const { server, alice, bob } = topology;
    await using echo = start(topology, server, ECHO);
    await echo.prints("listening");
    await using program = talk(topology, alice, server);
    await using other = talk(topology, bob, server);
    await Promise.all([program.prints("connected"), other.prints("connected")]);
    for (const victim of [alice, alice.router!, server]) {
      await topology.blackhole(victim);
      const before = program.stdout;
      await program.write(`${victim.namespace}\n`);
      await program.says("sent");
      await unacknowledged(topology, alice);
      if (victim !== server) {
        // Whom it does not concern goes on.
        await other.write(`${victim.namespace}\n`);
        await other.prints(`${victim.namespace}\n`);
      }
      assertEquals(program.stdout, before);
      await topology.mend(victim);
      await program.prints(`${victim.namespace}\n`);
    }
  },
);

await networkTest(
  "cut() tells the host's programs that there is no network, until mend()",
  async () => {
    await using topology = await twoNats();
    const { server, alice } = topology;
    await using echo = start(topology, server, ECHO);
    await echo.prints("listening");
    await topology.cut(alice);
    await using failing = talk(topology, alice, server);
    await failing.prints("failed: Network is unreachable");
    await topology.mend(alice);
    await using program = talk(topology, alice, server);
    await program.prints("connected");
  },
);

await networkTest(
  "changeAddress() moves a host or its router, and the new address works",
  async () => {
    await using topology = await twoNats();
    const { server, alice } = topology;
    await using echo = start(topology, server, ECHO);
    await echo.prints("listening");
    await using before = talk(topology, alice, server);
    await before.prints("connected");
    for (const mover of [alice, alice.router!]) {
      const old = mover.address;
      await topology.changeAddress(mover);
      assertNotEquals(mover.address, old);
      await using after = talk(topology, alice, server);
      await after.prints("connected");
      await echo.prints(`from ${alice.publicAddress}\n`);
      // The connection from the old address can still send, but nothing ever arrives.
      await before.write(`${mover.address}\n`);
      await after.write("hello\n");
      await after.prints("hello\n");
      assertEquals(before.stdout, "connected\n");
    }
  },
);

await networkTest(
  "topologies do not know of each other, and leave nothing, failed or not",
  async () => {
    assertEquals(await namespaces(), []);
    {
      await using first = await twoNats();
      await using second = await sameLan();
      assertEquals((await namespaces()).length, 6 + 4);
      assertNotEquals(first.alice.namespace, second.alice.namespace);
      // The same address twice, in two networks.
      await using third = await sameLan();
      assertEquals(second.alice.address, third.alice.address);
    }
    assertEquals(await namespaces(), []);
    const failing = async () => {
      await using _topology = await twoNats();
      throw new Error("the test fails");
    };
    await failing().catch(() => {});
    assertEquals(await namespaces(), []);
  },
);

/** Waits for a row of the kernel's table of connections, as seen by a host. */
async function waitForRow(topology: Topology, host: Host, row: RegExp): Promise<void> {
  const [program, ...args] = topology.run(host, ["cat", "/proc/net/tcp"]);
  for (let look = 0; look < 5000; look++) {
    const { stdout } = await new Deno.Command(program!, { args }).output();
    if (row.test(new TextDecoder().decode(stdout))) return;
  }
  throw new Error(`No connection is like ${row}`);
}

/** Waits until a dial is under way. */
function synSent(topology: Topology, host: Host): Promise<void> {
  return waitForRow(topology, host, /^ *\d+: \S+ \S+ 02 /m);
}

/** Waits until something has been sent that nobody has confirmed. */
function unacknowledged(topology: Topology, host: Host): Promise<void> {
  return waitForRow(topology, host, /^ *\d+: \S+ \S+ 01 (?!0{8})/m);
}
