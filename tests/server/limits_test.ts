/** What a crowd can and cannot do to a server (reliability.md 5.1). */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ACCOUNT_DEADLINE,
  HANDSHAKES_PER_MINUTE,
  NAMELESS_DEADLINE,
  REGISTRATION_DEADLINE,
  REQUESTS_BURST,
  REQUESTS_PER_MINUTE,
} from "../../lib/limits.ts";
import { CloseCode, ItemType } from "../../lib/wire/records.ts";
import { encodeFrame, FrameKind } from "../../lib/wire/frame.ts";
import { Connection } from "../../lib/channel/connection.ts";
import { runHandshake } from "../../lib/channel/run_handshake.ts";
import { CifraError } from "../../lib/errors.ts";
import { startInitiator } from "../../lib/handshake/initiator.ts";
import { dial } from "../../lib/net/dial.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import { fromAfar } from "../testkit/from_afar.ts";
import { refusalOf, type ServerResponse } from "../../lib/wire/rendezvous_messages.ts";
import { anyResponder, EvilPeer, test } from "../testkit/adversary.ts";
import { person } from "../testkit/handshake.ts";
import {
  registrationOf,
  TestClient,
  TestServer,
  withFolder,
  withServer,
} from "../testkit/server.ts";
import { NO_RATE, serverIn } from "../testkit/server_setup.ts";
import { MemoryServerStore } from "../testkit/memory_server.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import type { ServerEvent } from "../../lib/server/events.ts";
import { until } from "../testkit/until.ts";
import { ManualTime } from "../testkit/clock.ts";

const modern = (name: string) => person("modern", name);

const HELLO = encodeFrame(FrameKind.m1, new Uint8Array(1252));
/** Somewhere else: penalties are for others than this machine. */
const AFAR = { environment: fromAfar(() => "192.0.2.1") };

/** Connects and waits until the server has hung up, having said nothing but when to come again. */
async function assertRefused(server: TestServer): Promise<void> {
  const before = server.all("refused-connection").length;
  const peer = await EvilPeer.dial(server.port);
  await peer.send(HELLO);
  assertEquals(await peer.lastWords(), "busy");
  peer.close();
  await server.told("refused-connection", before + 1);
}

function reasons(server: TestServer): readonly string[] {
  return server.all("refused-connection").map(({ reason }) => reason);
}

/** A stranger that the server is known to have let in: it answers half of a conversation. */
async function admitted(server: TestServer): Promise<EvilPeer> {
  const count = server.server.connections;
  const peer = await EvilPeer.dial(server.port);
  await until(() => server.server.connections > count);
  assertEquals(server.server.connections, count + 1);
  return peer;
}

test("of nine strangers of one address the oldest gives way, and friends do not count", async () => {
  await withServer(async (server) => {
    const friends: TestClient[] = [];
    for (let n = 0; n < 10; n++) {
      friends.push(await TestClient.connect(server, await modern(`friend${n}`)));
    }
    const strangers: EvilPeer[] = [];
    for (let n = 0; n < 8; n++) strangers.push(await admitted(server));
    const [oldest] = strangers;
    const client = await TestClient.connect(server, await modern("another"));
    assertEquals((await oldest!.readToEnd()).length, 0);
    assertEquals(reasons(server), ["crowded"]);
    await client.leave();
    for (const stranger of strangers) stranger.close();
    for (const friend of friends) await friend.leave();
    await until(() => server.server.connections === 0);
  }, { limits: { ...NO_RATE, strangersPerSource: 8 } });
});

test("slow connections on every place of the porch keep nobody out", async () => {
  let address = 0;
  await withServer(async (server) => {
    const slow: EvilPeer[] = [];
    for (; address < 20; address++) {
      for (let n = 0; n < 6; n++) {
        const peer = await EvilPeer.dial(server.port);
        await peer.send(HELLO.slice(0, 3));
        slow.push(peer);
      }
    }
    await until(() => server.server.connections === 64);
    for (let n = 0; n < 8; n++, address++) {
      const client = await TestClient.registered(server, await modern(`n${n}`), `n${n}`, "");
      await client.leave();
    }
    for (const peer of slow) peer.close();
    await until(() => server.server.connections === 0);
  }, {
    environment: fromAfar(() => `192.0.2.${address}`),
    limits: { ...NO_RATE, strangers: 64, strangersPerSource: 8 },
  });
});

test("nonsense from an address shuts out nobody behind it who has an invite", async () => {
  await withServer(async (server) => {
    for (let n = 1; n <= 2; n++) {
      const peer = await EvilPeer.dial(server.port);
      await peer.send(new Uint8Array(5).fill(0xff));
      assertEquals((await peer.readToEnd()).length, 0);
      peer.close();
      await server.told("handshake-failed", n);
    }
    await assertRefused(server);
    assertEquals(reasons(server), ["source-penalty"]);
    const inviteSecret = server.server.invites.standing(Date.now()).secret;
    const alice = await TestClient.connect(server, await modern("alice"), inviteSecret);
    assertEquals((await alice.register(registrationOf("alice"))).type, "registered");
    await alice.leave();
  }, AFAR);
});

test("those who do not trust the server's key, and say so, do not shut out their address", async () => {
  await withServer(async (server) => {
    // Forty behind one address, who know it by the key that it had before.
    const before = (await modern("mallory")).identity;
    for (let n = 1; n <= 40; n++) {
      const connection = new Connection(
        await dial("127.0.0.1", server.port),
        () => performance.now(),
      );
      const who = await modern("alice");
      const start = await startInitiator({ ...anyResponder(who, "alice"), pinned: before });
      const error = await assertRejects(() => runHandshake(connection, start), CifraError);
      assertEquals(error.code, "auth_failed");
      await server.told("handshake-failed", n);
    }
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "");
    await alice.leave();
    assertEquals(server.all("refused-connection"), []);
  }, { ...AFAR, limits: NO_RATE });
});

test("nor anybody whom the server knows: the ticket of the last registration brings its owner in, once", async () => {
  await withServer(async (server) => {
    const tickets: Extract<ServerResponse, { readonly type: "registered" }>[] = [];
    for (let n = 0; n < 2; n++) {
      const alice = await TestClient.connect(server, await modern("alice"));
      const registered = await alice.register(registrationOf("alice"));
      assert(registered.type === "registered");
      tickets.push(registered);
      await alice.leave();
    }
    for (let n = 1; n <= 2; n++) {
      const peer = await EvilPeer.dial(server.port);
      await peer.send(new Uint8Array(5).fill(0xff));
      assertEquals((await peer.readToEnd()).length, 0);
      peer.close();
      await server.told("handshake-failed", n);
    }
    await assertRefused(server);
    const connect = (name: string, ticket: typeof tickets[0]) =>
      modern(name).then((who) => TestClient.connect(server, who, undefined, ticket));
    const alice = await connect("alice", tickets[0]!);
    assertEquals((await alice.register(registrationOf("alice"))).type, "registered");
    await alice.leave();
    // Not again, and not for others.
    await assertRejects(() => connect("alice", tickets[0]!), CifraError);
    await assertRejects(() => connect("mallory", tickets[1]!), CifraError);
    assertEquals(server.all("handshake-failed").at(-1)!.code, "auth_failed");
  }, AFAR);
});

test("a server that was started again knows those who were there before", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    const store = new MemoryServerStore();
    const start = () =>
      serverIn(folder, { ...AFAR, store, onEvent: (event) => events.push(event) });
    const events: ServerEvent[] = [];
    const before = await start();
    const first = new TestServer(before, events);
    const alice = await TestClient.connect(first, await modern("alice"));
    const ticket = await alice.register(registrationOf("alice"));
    assert(ticket.type === "registered");
    await alice.leave();
    await before.stop();
    const after = await start();
    const again = new TestServer(after, events);
    for (let n = 1; n <= 2; n++) {
      const peer = await EvilPeer.dial(again.port);
      await peer.send(new Uint8Array(5).fill(0xff));
      await peer.readToEnd();
      peer.close();
      await again.told("handshake-failed", n);
    }
    await assertRefused(again);
    const back = await TestClient.connect(again, await modern("alice"), undefined, ticket);
    assertEquals((await back.register(registrationOf("alice"))).type, "registered");
    await back.leave();
    await after.stop();
  });
});

test("a full server takes nobody, and somebody again when one has left", async () => {
  await withServer(async (server) => {
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "bob");
    await assertRefused(server);
    assertEquals(reasons(server), ["full"]);
    await alice.leave();
    await server.told("left");
    await until(() => server.server.connections === 0);
    const bob = await TestClient.registered(server, await modern("bob"), "bob", "alice");
    await bob.leave();
  }, { limits: { ...NO_RATE, connections: 1 } });
});

test("a server full of connections without a name takes the next one instead of the oldest", async () => {
  await withServer(async (server) => {
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "");
    const one = await TestClient.connect(server, await modern("one"));
    const two = await TestClient.connect(server, await modern("two"));
    const bob = await TestClient.connect(server, await modern("bob"));
    assertEquals(await one.ending(), "busy");
    assertEquals((await bob.register(registrationOf("bob"))).type, "registered");
    assertEquals(server.server.connections, 3);
    const carol = await TestClient.registered(server, await modern("carol"), "carol", "");
    assertEquals(await two.ending(), "busy");
    // Nobody is left who could give way.
    await assertRefused(server);
    assertEquals(reasons(server), ["full"]);
    for (const client of [one, two]) client.channel.destroy();
    for (const client of [alice, bob, carol]) await client.leave();
    await until(() => server.server.connections === 0);
  }, { limits: { ...NO_RATE, connections: 3 } });
});

test("a server full of the names of one user makes room for another: the newest of many gives way", async () => {
  await withServer(async (server) => {
    const many: TestClient[] = [];
    for (let n = 0; n < 7; n++) {
      const name = `mallory${n % 2}`;
      many.push(await TestClient.registered(server, await modern(name), name, ""));
    }
    const more = await TestClient.connect(server, await modern("mallory0"));
    assertEquals((await more.next()).type, "refused");
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "");
    assertEquals(await many[6]!.ending(), "busy");
    many[6]!.channel.destroy();
    for (const client of [...many.slice(0, 6), alice]) await client.assertAnswered();
    for (const client of [...many.slice(0, 6), alice, more]) await client.leave();
    await until(() => server.server.connections === 0);
  }, { limits: { ...NO_RATE, connections: 8 } });
});

test("one key does not fill a server: beyond its share it is refused, and is counted right", async () => {
  await withServer(async (server) => {
    const clients: TestClient[] = [];
    for (let n = 0; n < 2; n++) {
      clients.push(await TestClient.registered(server, await modern("alice"), "alice", ""));
    }
    const more = await TestClient.connect(server, await modern("alice"));
    const refused = await more.next();
    assertEquals(refused.type === "refused" && refusalOf(refused.code), "limit");
    assertEquals(await more.ending(), CloseCode.failed);
    await more.leave();
    await until(() => server.server.connections === 2);
    for (const client of clients) await client.leave();
    await until(() => server.server.connections === 0);
  }, { limits: { ...NO_RATE, connectionsPerKey: 2 } });
});

test("one who only ever signs in has no name after five minutes and has to go", async () => {
  const time = new ManualTime();
  await withServer(async (server) => {
    const client = await TestClient.connect(server, await modern("occasion"));
    const request = { type: "signIn", name: "alice", nonce: new Uint8Array(24) } as const;
    for (let passed = 0; passed < NAMELESS_DEADLINE; passed += ACCOUNT_DEADLINE / 2) {
      assertEquals((await client.ask(request)).type, "challenge");
      time.advance(ACCOUNT_DEADLINE / 2);
    }
    time.advance(1000);
    assertEquals(await client.ending(), "timeout");
    client.channel.destroy();
  }, { time });
});

test("one who asks for too much waits for its turn, over all its connections, and nobody else does", async () => {
  const time = new ManualTime();
  await withServer(async (server) => {
    const first = await TestClient.registered(server, await modern("mallory"), "mallory", "");
    const second = await TestClient.registered(server, await modern("mallory"), "mallory", "");
    const bob = await TestClient.registered(server, await modern("bob"), "bob", "");
    for (let n = 2; n < REQUESTS_BURST; n++) first.send({ type: "unwant", name: "alice" });
    await first.assertAnswered();
    let isAnswered = false;
    second.send({ type: "decline", name: "alice" });
    const answered = second.assertAnswered().then(() => isAnswered = true);
    await bob.assertAnswered();
    await until(() => time.pending > 1);
    await bob.assertAnswered();
    assertEquals(isAnswered, false);
    time.advance(60_000 / REQUESTS_PER_MINUTE);
    await answered;
    for (const client of [first, second, bob]) await client.leave();
  }, { time });
});

test("a source from which too many handshakes fail is refused; those that come to a name cost nothing", async () => {
  await withServer(async (server) => {
    for (let n = 0; n < 4; n++) {
      const client = await TestClient.registered(server, await modern("alice"), "alice", "");
      await client.leave();
    }
    for (let n = 1; n <= 2; n++) {
      const peer = await EvilPeer.dial(server.port);
      await peer.send(new Uint8Array(5).fill(0xff));
      await peer.readToEnd();
      peer.close();
      await server.told("handshake-failed", n);
    }
    await assertRefused(server);
    assertEquals(reasons(server), ["source-rate"]);
  }, { limits: { ...NO_RATE, handshakesPerMinute: 4 } });
});

test("those who gave up while the server was stopped have not failed; those after it have", async () => {
  const time = new ManualTime();
  await withServer(async (server) => {
    const giveUp = async () => {
      const peer = await EvilPeer.dial(server.port);
      await peer.send(new Uint8Array([1]));
      await until(() => server.server.connections === 1);
      peer.close();
      await until(() => server.server.connections === 0);
    };
    const waiting = await EvilPeer.dial(server.port);
    await until(() => server.server.connections === 1);
    time.sleep(60_000);
    // Nobody is late before what they said meanwhile is read.
    time.advance(1000);
    assertEquals(server.server.connections, 1);
    time.advance(1000);
    await server.told("handshake-failed");
    waiting.close();
    await until(() => server.server.connections === 0);
    for (let n = 0; n < 10; n++) await giveUp();
    await (await TestClient.registered(server, await modern("alice"), "alice", "")).leave();
    await until(() => server.server.connections === 0);
    time.advance(5000);
    for (let n = 0; n < 2; n++) await giveUp();
    await assertRefused(server);
    assertEquals(reasons(server), ["source-rate"]);
  }, { time, limits: { ...NO_RATE, handshakesPerMinute: 4 } });
});

test("24 of one address who come at the same moment are all taken, and so are they once more", async () => {
  await withServer(async (server) => {
    for (let round = 1; round <= 3; round++) {
      const clients = await Promise.all(Array.from({ length: 24 }, async (_, n) => {
        const who = await modern(`pupil${n}`);
        return await TestClient.registered(server, who, `pupil${n}`, "");
      }));
      for (const client of clients) await client.leave();
      await until(() => server.server.connections === 0);
    }
    assertEquals([reasons(server), server.all("handshake-failed")], [[], []]);
  }, { ...AFAR, limits: { ...NO_RATE, handshakesPerMinute: HANDSHAKES_PER_MINUTE } });
});

test("a key that comes again and again is told when again, and so is its source when no name is taken", async () => {
  await withServer(async (server) => {
    const who = await modern("alice");
    for (let n = 0; n < 6; n++) {
      await (await TestClient.registered(server, who, "alice", "")).leave();
    }
    const more = await TestClient.connect(server, who);
    const refused = await more.next();
    assert(refused.type === "refused");
    assertEquals([refusalOf(refused.code), refused.retryAfter > 0], ["limit", true]);
    await more.leave();
    // The one that was refused took no name either.
    for (let n = 0; n < 10; n++) {
      await (await TestClient.connect(server, await modern(`nobody${n}`))).leave();
      await until(() => server.server.connections === 0);
    }
    await assertRefused(server);
    assertEquals(reasons(server), ["source-rate"]);
  }, { limits: { ...NO_RATE, handshakesPerMinute: 4 } });
});

test("a source that has sent garbage twice is refused for a while", async () => {
  await withServer(async (server) => {
    for (let n = 1; n <= 2; n++) {
      const peer = await EvilPeer.dial(server.port);
      await peer.send(new Uint8Array(5).fill(0xff));
      assertEquals((await peer.readToEnd()).length, 0);
      peer.close();
      await server.told("handshake-failed", n);
    }
    await assertRefused(server);
    assertEquals(reasons(server), ["source-penalty"]);
    // A client reads when it is worth coming again: five seconds are above the threshold.
    const error = await assertRejects(
      async () => await TestClient.connect(server, await modern("alice")),
      CifraError,
    );
    assertEquals(error.code, "busy");
    assert([4, 5].includes(error.retryAfter!), `${error.retryAfter}`);
  }, AFAR);
});

test("another registration on one channel costs as much as a failure, and is refused beyond that", async () => {
  await withServer(async (server) => {
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "");
    for (let n = 0; n < 2; n++) {
      assertEquals((await alice.register(registrationOf("alice"))).type, "registered");
    }
    const response = await alice.register(registrationOf("alice"));
    assertEquals(response.type === "refused" && refusalOf(response.code), "limit");
    assertEquals(await alice.ending(), CloseCode.failed);
    await alice.leave();
    await assertRefused(server);
    assertEquals(reasons(server), ["source-rate"]);
  }, { limits: { ...NO_RATE, handshakesPerMinute: 4 } });
});

test("those who do not register within ten seconds are given up, and their source pays as for strangers", async () => {
  const time = new ManualTime();
  await withServer(async (server) => {
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "");
    const idle: TestClient[] = [];
    for (let n = 0; n < 16; n++) {
      idle.push(await TestClient.connect(server, await modern("mallory")));
      // A sign of life is no registration.
      idle[n]!.channel.probe();
      await idle[n]!.channel.flush();
    }
    await until(() => server.server.connections === 17);
    time.advance(REGISTRATION_DEADLINE);
    assertEquals(server.all("handshake-failed"), []);
    time.advance(1000);
    for (const client of idle) {
      assertEquals(await client.ending(), "timeout");
      client.channel.destroy();
    }
    await server.told("handshake-failed", 16);
    const codes = new Set(server.all("handshake-failed").map(({ code }) => code));
    assertEquals(codes, new Set(["timeout"]));
    // A second for each of them: sixteen are more than fifteen.
    await assertRefused(server);
    assertEquals(reasons(server), ["source-penalty"]);
    await alice.assertAnswered();
    time.advance(1000);
    const bob = await TestClient.registered(server, await modern("bob"), "bob", "");
    for (const client of [alice, bob]) await client.leave();
  }, { environment: fromAfar(() => "192.0.2.1", { ...systemEnvironment, time }), time });
});

test("one who signs in has a minute more from each answer, and costs its source nothing", async () => {
  const time = new ManualTime();
  await withServer(async (server) => {
    const client = await TestClient.connect(server, await modern("occasion"));
    time.advance(REGISTRATION_DEADLINE);
    const request = { type: "signIn", name: "alice", nonce: new Uint8Array(24) } as const;
    for (let n = 0; n < 2; n++) {
      assertEquals((await client.ask(request)).type, "challenge");
      time.advance(ACCOUNT_DEADLINE / 2);
      client.channel.probe();
      await client.channel.flush();
      assertEquals((await client.ask(request)).type, "challenge");
    }
    time.advance(ACCOUNT_DEADLINE + 1000);
    assertEquals(await client.ending(), "timeout");
    client.channel.destroy();
    await until(() => server.server.connections === 0);
    assertEquals(server.all("handshake-failed"), []);
  }, { time });
});

test("a source whose clients break the protocol before they register is refused for a while", async () => {
  await withServer(async (server) => {
    for (let n = 1; n <= 2; n++) {
      const client = await TestClient.connect(server, await modern("mallory"));
      client.channel.send(ItemType.relay, new Uint8Array(9));
      assertEquals(await client.ending(), "bad_state");
      client.channel.destroy();
      await server.told("handshake-failed", n);
    }
    await assertRefused(server);
    assertEquals(reasons(server), ["source-penalty"]);
  }, AFAR);
});

test("clients that are in are served while strangers fill every place", async () => {
  await withServer(async (server) => {
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "bob");
    const bob = await TestClient.connect(server, await modern("bob"));
    const strangers: EvilPeer[] = [];
    for (let n = 0; n < 8; n++) strangers.push(await admitted(server));
    assertEquals((await bob.register(registrationOf("bob"))).type, "registered");
    bob.want("alice");
    assertEquals((await bob.next()).type, "introduction");
    assertEquals((await alice.next()).type, "introduction");
    for (const stranger of strangers) stranger.close();
    for (const client of [alice, bob]) await client.leave();
  });
});

test("2,000 connections with garbage leave nobody unserved who is in", async () => {
  await withServer(async (server) => {
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "bob");
    await crowd(server.port, 2000);
    assertEquals(server.all("handshake-failed").length + reasons(server).length, 2000);
    assert(alice.channel.isOpen);
    await alice.leave();
    await server.told("left");
    assertEquals(server.all("left"), [{ event: "left", name: "alice", code: "goodbye" }]);
  });
});

Deno.test({
  name: "2,000 connections with garbage leave no memory behind",
  // Resident memory is told by /proc; the server has a process of its own, where nothing else grows.
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withFolder(async (state) => {
      const main = new URL("../../main.ts", import.meta.url).pathname;
      const server = new Deno.Command(Deno.execPath(), {
        args: ["run", "--allow-all", main, "serve", "--json", "--port", "0", "--state", state],
        stdin: "null",
        stdout: "piped",
        stderr: "null",
      }).spawn();
      const lines = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
      try {
        let text = "";
        while (!text.includes("\n")) {
          const { value, done } = await lines.read();
          assert(!done, text);
          text += value;
        }
        const { port } = JSON.parse(text.slice(0, text.indexOf("\n"))) as { readonly port: number };
        const reading = (async () => {
          while (!(await lines.read()).done);
        })();
        await crowd(port, 1000);
        const growths: number[] = [];
        for (let round = 0; round < 4; round++) {
          const before = await residentMemory(server.pid);
          await crowd(port, 500);
          growths.push(await residentMemory(server.pid) - before);
        }
        // A leak shows in every round; a heap that stretches, in one.
        assert(Math.min(...growths) < 1024, `grew by ${growths.join(", ")} KiB`);
        server.kill("SIGTERM");
        await reading;
      } finally {
        try {
          server.kill("SIGKILL");
        } catch {
          // It has ended by itself.
        }
        await server.status;
        lines.releaseLock();
      }
    }),
});

/** So many strangers, four at a time, each with garbage; all are hung up on without a byte. */
async function crowd(port: number, count: number): Promise<void> {
  const garbage = new Uint8Array(64).fill(0xff);
  const knock = async () => {
    const peer = await EvilPeer.dial(port);
    await peer.send(garbage).catch(() => {});
    assertEquals((await peer.readToEnd()).length, 0);
    peer.close();
  };
  for (let n = 0; n < count; n += 4) await Promise.all([knock(), knock(), knock(), knock()]);
}

/** Resident memory of a process, in KiB. */
async function residentMemory(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]);
}
