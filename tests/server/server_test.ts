/** The server over real sockets: who is told what, and when names are free again. */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { concat } from "@std/bytes/concat";
import { encodeHex } from "@std/encoding/hex";
import { decodeUtf8, encodeUtf8 } from "../../lib/bytes.ts";
import { readIdentity } from "../../lib/crypto/identity.ts";
import { SUITE_IDS, SUITE_NAMES, type SuiteName } from "../../lib/crypto/suite.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";
import { FRAME_LIMIT_OPEN, SILENCE_DEADLINE } from "../../lib/limits.ts";
import { MemoryServerStore } from "../testkit/memory_server.ts";
import { PrivateFolder } from "../../lib/store/private_files.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import { peerAck, type PeerMessage, peerMessage } from "../../lib/wire/peer_messages.ts";
import { CloseCode, ItemType } from "../../lib/wire/records.ts";
import {
  encodeServerRequest,
  REFUSAL_CODES,
  refusalOf,
  type ServerResponse,
} from "../../lib/wire/rendezvous_messages.ts";
import { anyResponder, EvilPeer, test } from "../testkit/adversary.ts";
import { person } from "../testkit/handshake.ts";
import {
  claimOf,
  nextSequence,
  PLACE,
  registrationOf,
  signed,
  TestClient,
  type TestServer,
  type Wish,
  withFolder,
  withServer,
} from "../testkit/server.ts";
import { serverIn } from "../testkit/server_setup.ts";
import { until } from "../testkit/until.ts";
import { ManualTime } from "../testkit/clock.ts";
import { lineOf } from "../../lib/wire/line.ts";

const DAY = 24 * 3_600_000;
const modern = (name: string) => person("modern", name);

function introductionIn(response: ServerResponse) {
  assert(response.type === "introduction", `got ${response.type}`);
  return response;
}

/** The code with which a registration by `who` is refused; its channel is over afterwards. */
async function refusal(
  server: TestServer,
  who: Awaited<ReturnType<typeof person>>,
  registration: Wish,
): Promise<string> {
  const client = await TestClient.connect(server, who);
  const response = await client.register(registration);
  assert(response.type === "refused", `got ${response.type}`);
  assertNotEquals(response.reason, "");
  assertEquals(await client.ending(), CloseCode.failed);
  await client.leave();
  return refusalOf(response.code);
}

for (const suite of SUITE_NAMES) {
  test(`two clients of ${suite} are introduced, in either order of arrival`, async () => {
    await withServer(async (server) => {
      const orders = [["alice", "bob"], ["bob", "alice"]] as const;
      for (const [first, second] of orders) {
        const early = await TestClient.registered(
          server,
          await person(suite, first),
          first,
          second,
        );
        const late = await TestClient.registered(
          server,
          await person(suite, second),
          second,
          first,
        );
        const [toEarly, toLate] = [
          introductionIn(await early.next()),
          introductionIn(await late.next()),
        ];
        assertEquals([toEarly.peerName, toLate.peerName], [second, first]);
        assertEquals(toEarly.rendezvousKey, toLate.rendezvousKey);
        assertEquals(toEarly.generation, toLate.generation);
        const { fingerprint } = await readIdentity(toEarly.bundle);
        assertEquals(fingerprint, (await person(suite, second)).identity.fingerprint);
        // Having introduced them, the server goes on serving both.
        for (const client of [early, late]) {
          await client.assertAnswered();
          await client.leave();
        }
      }
      const generations = server.all("introduced").map(({ generation }) => generation);
      assertEquals(generations.length, 2);
      assert(generations[1]! > generations[0]!);
    });
  });
}

test("a client is told its own address, the frame limit and the deadline of silence", async () => {
  await withServer(async (server) => {
    const client = await TestClient.connect(server, await modern("alice"));
    const response = await client.register(registrationOf("alice"));
    assert(response.type === "registered");
    assertEquals(response.observed.host, "127.0.0.1");
    assert(response.observed.port > 0);
    assertEquals(response.frameLimit, FRAME_LIMIT_OPEN);
    assertEquals(response.silenceDeadline * 1000, SILENCE_DEADLINE);
    await client.leave();
  });
});

test("a client learns the name and the identity that the server has in its suite", async () => {
  await withServer(async (server) => {
    for (const suite of SUITE_NAMES) {
      const client = await TestClient.connect(server, await person(suite, "alice"));
      const { theirs, displayName } = client.channel.established;
      assertEquals(displayName, "test server");
      assertEquals(theirs.fingerprint, server.server.fingerprints.get(suite));
      await client.leave();
    }
  });
});

test("two with different suites are both told, go on waiting, and meet when one changes", async () => {
  await withServer(async (server) => {
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "bob");
    const bob = await TestClient.registered(server, await person("rsa", "bob"), "bob", "alice");
    const [modernId, rsaId] = [SUITE_IDS.modern, SUITE_IDS.rsa];
    assertEquals(await alice.next(), {
      type: "suiteMismatch",
      peerName: "bob",
      peerSuite: rsaId,
      yourSuite: modernId,
    });
    assertEquals(await bob.next(), {
      type: "suiteMismatch",
      peerName: "alice",
      peerSuite: modernId,
      yourSuite: rsaId,
    });
    await bob.leave();
    await server.told("left");
    const sequence = nextSequence(), others = [await person("rsa", "bob")];
    const again = await TestClient.registered(server, await modern("bob"), "bob", "alice", {
      registrationSequence: sequence,
      // The key that came first speaks for this one.
      claim: await claimOf(await modern("bob"), "bob", sequence, others, PLACE),
    });
    assertEquals(introductionIn(await alice.next()).peerName, "bob");
    assertEquals(introductionIn(await again.next()).peerName, "alice");
    for (const client of [alice, again]) await client.leave();
  });
});

test("a server refuses names and ports that cannot be, and says why (D2, D6)", async () => {
  const cases: readonly [string, Wish][] = [
    ["bad_name", registrationOf("")],
    ["bad_name", registrationOf("Alice")],
    ["bad_name", registrationOf("server")],
    ["bad_name", registrationOf("admin")],
    ["bad_address", registrationOf("alice", { receivePort: 0 })],
    ["bad_address", registrationOf("alice", { receivePort: 22 })],
    ["bad_address", registrationOf("alice", { sendPort: 1023 })],
    ["bad_address", registrationOf("alice", { receivePort: 5000, sendPort: 5000 })],
  ];
  await withServer(async (server) => {
    for (const [code, registration] of cases) {
      assertEquals(await refusal(server, await modern("alice"), registration), code);
    }
    assertEquals(
      server.all("refused").map(({ code }) => code),
      cases.map(([code]) => code),
    );
    assertEquals(server.all("registered"), []);
    const client = await TestClient.registered(server, await modern("alice"), "alice", "bob");
    await client.leave();
  });
});

test("a server refuses a taken name and a second name for one identity (D3, D4)", async () => {
  await withServer(async (server) => {
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "bob");
    const thief = registrationOf("alice");
    assertEquals(await refusal(server, await modern("mallory"), thief), "name_taken");
    const second = registrationOf("alicia");
    assertEquals(await refusal(server, await modern("alice"), second), "name_taken");
    // Nothing of this has disturbed the one who holds the name.
    const bob = await TestClient.registered(server, await modern("bob"), "bob", "alice");
    introductionIn(await alice.next());
    for (const client of [alice, bob]) await client.leave();
  });
});

test("a server takes the later of two wants of one pair, and tells the older connection (D5, D11)", async () => {
  await withServer(async (server) => {
    const sequence = { registrationSequence: 1000n };
    const older = await TestClient.registered(
      server,
      await modern("alice"),
      "alice",
      "bob",
      sequence,
    );
    for (const registrationSequence of [1000n, 999n, 0n]) {
      const stale = registrationOf("alice", { registrationSequence });
      assertEquals(await refusal(server, await modern("alice"), stale), "stale_registration");
    }
    const newest = { registrationSequence: 2n ** 64n - 1n };
    const newer = await TestClient.registered(
      server,
      await modern("alice"),
      "alice",
      "bob",
      newest,
    );
    const told = await older.next();
    assert(told.type === "unwanted", `got ${told.type}`);
    assertEquals([told.peerName, refusalOf(told.code)], ["bob", "replaced"]);
    // It is registered still; its leaving takes nothing from the newer one.
    await older.assertAnswered();
    await older.leave();
    const bob = await TestClient.registered(server, await modern("bob"), "bob", "alice");
    introductionIn(await newer.next());
    introductionIn(await bob.next());
    for (const client of [newer, bob]) await client.leave();
    assertEquals(server.all("replaced"), []);
  });
});

test("leaving ends the wait at once, with a goodbye or without, and keeps the name", async () => {
  for (const how of ["goodbye", "cut"] as const) {
    await withServer(async (server) => {
      const alice = await TestClient.registered(server, await modern("alice"), "alice", "bob");
      if (how === "goodbye") await alice.leave();
      else alice.channel.destroy();
      await server.told("left");
      assertEquals(server.all("left"), [{ event: "left", name: "alice", code: how }]);
      assertEquals([...server.server.people()], []);
      const other = registrationOf("alice");
      assertEquals(await refusal(server, await modern("other"), other), "name_taken");
      const back = await TestClient.registered(server, await modern("alice"), "alice", "bob");
      await back.leave();
    });
  }
});

test("one who waits and vanishes as its target registers harms nobody (D10)", async () => {
  await withServer(async (server) => {
    for (let round = 0; round < 20; round++) {
      const waiter = await TestClient.registered(
        server,
        await modern("waiter"),
        "waiter",
        "target",
      );
      const target = await TestClient.connect(server, await modern("target"));
      // Sent, then cut in the same breath: the server sees them in one order or the other.
      const registering = target.register(registrationOf("target"));
      if (round % 2 === 0) waiter.channel.destroy();
      else setTimeout(() => waiter.channel.destroy(), 0);
      assertEquals((await registering).type, "registered");
      await target.leave();
      await server.told("left", server.all("left").length);
    }
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "bob");
    const bob = await TestClient.registered(server, await modern("bob"), "bob", "alice");
    introductionIn(await alice.next());
    introductionIn(await bob.next());
    for (const client of [alice, bob]) await client.leave();
  });
});

for (const wanted of ["nobody", "waiter"]) {
  test(`a registration that wants ${wanted} and whose connection has failed already holds no name`, async () => {
    await withServer(async (server) => {
      const waiter = await TestClient.registered(server, await modern("waiter"), "waiter", "evil");
      const want = encodeServerRequest({ type: "want", name: wanted });
      const peer = await EvilPeer.dial(server.port);
      const evil = await peer.handshakeAll(anyResponder(await modern("evil"), "evil"));
      const wish = await signed(await modern("evil"), registrationOf("evil"));
      const body = encodeServerRequest({ type: "register", ...wish });
      const m7 = await evil.sealItems(
        { type: ItemType.request, body },
        { type: ItemType.request, body: want },
      );
      // In one segment: m7 is good, and what follows it ends the connection while m7 is being opened.
      await peer.send(concat([m7, new Uint8Array(5)]));
      await peer.readToEnd();
      peer.close();
      await until(() => [...server.server.people()].every(({ name }) => name !== "evil"));
      // Whoever waited is introduced to one who is gone, or to the one who comes now.
      const next = await TestClient.registered(server, await modern("evil"), "evil", "waiter");
      introductionIn(await waiter.next());
      for (const client of [waiter, next]) await client.leave();
      await until(() => server.server.connections === 0);
      assertEquals([...server.server.people()], []);
    });
  });
}

/** A store that tells when somebody new looks at a name, which is just before signatures are checked. */
class WatchedStore extends MemoryServerStore {
  onLook = () => {};

  override isBanned(...args: Parameters<MemoryServerStore["isBanned"]>): boolean {
    if (args[0] === "name") this.onLook();
    return super.isBanned(...args);
  }
}

test("one whose channel goes while its signature is checked is not registered, and nobody hears of it", async () => {
  const store = new WatchedStore();
  await withServer(async (server) => {
    const client = await TestClient.connect(server, await modern("alice"));
    let stopping: Promise<void> | undefined;
    store.onLook = () => {
      stopping = server.server.stop();
      store.onLook = () => {};
    };
    const wish = await signed(await modern("alice"), registrationOf("alice"));
    client.send({ type: "register", ...wish });
    assertEquals(await client.ending(), CloseCode.shutdown);
    await client.leave();
    await stopping;
    // The name is theirs by now; they were not here under it.
    assertEquals(store.keysOf("alice").length, 1);
    assertEquals([server.all("registered"), server.all("left")], [[], []]);
  }, { store });
});

test("a server whose disk fails refuses in words that tell nothing of its disk", async () => {
  const store = new WatchedStore();
  await withServer(async (server) => {
    store.putKey = () => {
      throw new CifraError("local", "Cannot write /var/lib/cifra/server.db: no space left");
    };
    const client = await TestClient.connect(server, await modern("alice"));
    const response = await client.register(registrationOf("alice"));
    assertEquals(response, {
      type: "refused",
      code: REFUSAL_CODES.refused,
      retryAfter: 0,
      reason: lineOf("The server cannot take this at the moment"),
    });
    assertEquals(await client.ending(), CloseCode.failed);
    await client.leave();
    assertEquals(server.all("refused").map(({ code }) => code), ["local"]);
  }, { store });
});

test("a server answers each message with its acknowledgement and OK", async () => {
  await withServer(async (server) => {
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "");
    const say = async (message: PeerMessage) => {
      alice.channel.send(ItemType.message, encode(peerMessage, message));
      const ack = await alice.nextItem(), answer = await alice.nextItem();
      assertEquals([ack.type, answer.type], [ItemType.ack, ItemType.message]);
      const { number } = message;
      assertEquals(decode(peerAck, ack.body), { stored: number, read: number });
      return decode(peerMessage, answer.body);
    };
    const content = encodeUtf8("hello");
    const id = new Uint8Array(16);
    const ids = new Set([encodeHex(id)]);
    for (const number of [1n, 2n]) {
      const before = BigInt(Date.now());
      const answer = await say({ type: "text", number, id, written: 0n, content });
      assert(answer.type === "text");
      assertEquals([answer.number, decodeUtf8(answer.content)], [number, "OK"]);
      assert(answer.written >= before && answer.written <= BigInt(Date.now()));
      ids.add(encodeHex(answer.id));
    }
    assertEquals(ids.size, 3);
    const answer = await say({ type: "bytes", number: 3n, content: new Uint8Array(50_000) });
    assertEquals(answer.type, "text");
    const end = await say({ type: "end", number: 4n, id });
    assert(end.type === "end");
    assertEquals([end.number, ids.has(encodeHex(end.id))], [4n, false]);
    await alice.leave();
  });
});

test("a crowd of messages to the server is answered in order", async () => {
  await withServer(async (server) => {
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "");
    const content = encodeUtf8("x".repeat(100));
    for (let number = 1n; number <= 200n; number++) {
      const text = { number, id: new Uint8Array(16), written: 0n, content };
      alice.channel.send(ItemType.message, encode(peerMessage, { type: "text", ...text }));
    }
    for (let number = 1n; number <= 200n; number++) {
      assertEquals(decode(peerAck, (await alice.nextItem()).body).stored, number);
      assertEquals(decode(peerMessage, (await alice.nextItem()).body).number, number);
    }
    await alice.leave();
  });
});

/** What somebody says to the server, and how their channel ends. */
const WRONG_WORDS: readonly {
  readonly what: string;
  readonly words: readonly PeerMessage[];
  readonly code: ErrorCode;
}[] = [
  { what: "a message without number", words: [text(0n)], code: "bad_state" },
  { what: "a number twice", words: [text(1n), text(1n)], code: "bad_state" },
  { what: "a number left out", words: [text(1n), text(3n)], code: "bad_state" },
  { what: "a number that goes back", words: [text(7n), text(8n), text(7n)], code: "bad_state" },
  { what: "an end left out", words: [text(1n), end(3n)], code: "bad_state" },
  { what: "a long text", words: [text(1n, new Uint8Array(16_385).fill(97))], code: "bad_frame" },
  { what: "a word about files", words: [text(1n), file(2n)], code: "bad_state" },
  { what: "no UTF-8", words: [text(1n, new Uint8Array([0xc0, 0xaf]))], code: "bad_frame" },
];

function text(number: bigint, content = encodeUtf8("hello")): PeerMessage {
  return { type: "text", number, id: new Uint8Array(16), written: 0n, content };
}

/** That a transfer is cancelled. */
function file(number: bigint): PeerMessage {
  const id = new Uint8Array(16), content = new Uint8Array([5, ...id]);
  return { type: "file", number, id, written: 0n, content };
}

function end(number: bigint): PeerMessage {
  return { type: "end", number, id: new Uint8Array(16) };
}

for (const { what, words, code } of WRONG_WORDS) {
  test(`a server ends the channel of one who says ${what} to it with ${code}`, async () => {
    await withServer(async (server) => {
      const alice = await TestClient.registered(server, await modern("alice"), "alice", "");
      for (const [n, message] of words.entries()) {
        alice.channel.send(ItemType.message, encode(peerMessage, message));
        if (n === words.length - 1) break;
        assertEquals((await alice.nextItem()).type, ItemType.ack);
        assertEquals((await alice.nextItem()).type, ItemType.message);
      }
      assertEquals(await alice.ending(), code);
      alice.channel.destroy();
    });
  });
}

test("a client that was cut off goes on with its numbers on another channel, up to the longest text", async () => {
  await withServer(async (server) => {
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "");
    const longest = new Uint8Array(16_384).fill(97);
    for (const message of [text(41n, longest), text(42n), end(43n)]) {
      alice.channel.send(ItemType.message, encode(peerMessage, message));
      assertEquals((await alice.nextItem()).type, ItemType.ack);
      assertEquals(decode(peerMessage, (await alice.nextItem()).body).number, message.number);
    }
    await alice.leave();
  });
});

test("a server takes no content of files", async () => {
  await withServer(async (server) => {
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "");
    alice.channel.send(ItemType.file, new Uint8Array(9).fill(2));
    assertEquals(await alice.ending(), "bad_state");
    alice.channel.destroy();
  });
});

test("a server refuses acknowledgements of what it has not said", async () => {
  const acks = [[1n, 1n, true], [1n, 0n, true], [2n, 1n, false], [1n, 2n, false], [0n, 1n, false]];
  for (const [stored, read, isGood] of acks as [bigint, bigint, boolean][]) {
    await withServer(async (server) => {
      const alice = await TestClient.registered(server, await modern("alice"), "alice", "");
      await alice.assertAnswered();
      alice.channel.send(ItemType.ack, encode(peerAck, { stored, read }));
      if (isGood) await alice.assertAnswered();
      else assertEquals(await alice.ending(), "bad_state", `${stored} ${read}`);
      alice.channel.destroy();
    });
  }
});

test("200 names wait at once, and each can still be met (D8)", async () => {
  await withServer(async (server) => {
    const waiting: TestClient[] = [];
    const who = Array.from({ length: 200 }, (_, n) => modern(`waiter${n}`));
    for (let n = 0; n < who.length; n += 4) {
      waiting.push(
        ...await Promise.all(
          [0, 1, 2, 3].map(async (i) =>
            await TestClient.registered(server, await who[n + i]!, `waiter${n + i}`, "target")
          ),
        ),
      );
    }
    assertEquals(server.server.connections, 200);
    for (const n of [0, 99, 199]) {
      const target = await TestClient.registered(
        server,
        await modern("target"),
        "target",
        `waiter${n}`,
      );
      introductionIn(await waiting[n]!.next());
      introductionIn(await target.next());
      await target.leave();
    }
    await Promise.all(waiting.map((client) => client.leave()));
  });
});

test("stop() says goodbye to everybody, and to a stranger by closing", async () => {
  let clients: TestClient[] = [];
  await withServer(async (server) => {
    clients = [
      await TestClient.registered(server, await modern("alice"), "alice", "bob"),
      await TestClient.registered(server, await person("rsa", "carol"), "carol", "dave"),
      await TestClient.connect(server, await modern("unregistered")),
    ];
    const endings = Promise.all(clients.map((client) => client.ending()));
    const stranger = await EvilPeer.dial(server.port);
    await stranger.send(new Uint8Array([0, 0]));
    const stopping = server.server.stop();
    assertEquals(await endings, [CloseCode.shutdown, CloseCode.shutdown, CloseCode.shutdown]);
    await Promise.all(clients.map((client) => client.leave()));
    assertEquals(await stranger.lastWords(), undefined);
    stranger.close();
    await stopping;
    const refused = await EvilPeer.dial(server.port).then(() => undefined, (error) => error);
    assert(refused instanceof Deno.errors.ConnectionRefused);
  });
});

test("stop() does not wait for a client that does not answer its goodbye", async () => {
  await withServer(async (server) => {
    const silent = await TestClient.registered(server, await modern("alice"), "alice", "bob");
    await server.server.stop();
    assertEquals(server.server.connections, 0);
    silent.channel.destroy();
  });
});

test("start() fails with a hint on a port that is taken, and leaves nothing open", async () => {
  await withServer(async (server) => {
    await withFolder(async (path) => {
      const folder = await PrivateFolder.open(path);
      const error = await serverIn(folder, { port: server.port })
        .then(() => undefined, (reason) => reason);
      assert(error instanceof CifraError);
      assertEquals(error.code, "local");
      assert(error.hint?.includes("--port"));
    });
  });
});

test("a server keeps its identities and its invite over a restart, and refuses a damaged one", async () => {
  await withFolder(async (path) => {
    const folder = await PrivateFolder.open(path);
    const store = new MemoryServerStore();
    const start = async () => {
      const server = await serverIn(folder, { store });
      await server.stop();
      return server;
    };
    const first = await start(), second = await start();
    assertEquals([...second.fingerprints], [...first.fingerprints]);
    const now = Date.now();
    assertEquals(second.invites.standing(now), first.invites.standing(now));
    assertEquals(
      [...first.fingerprints.keys()],
      ["modern", "rsa", "classic"] satisfies SuiteName[],
    );
    // As it was before PEM.
    const lines = (await folder.read("invite.secret"))!.split("\n");
    const base64 = lines.filter((line) => !line.startsWith("-")).join("");
    const old = base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    await folder.write("invite.secret", old);
    assertEquals((await start()).invites.standing(now), first.invites.standing(now));
    assert((await folder.read("invite.secret"))!.startsWith("-----BEGIN CIFRA INVITE SECRET-----"));
    for (const damaged of ["", "short\n", "*".repeat(43), "-----BEGIN CIFRA-----\n"]) {
      await folder.write("invite.secret", damaged);
      const error = await start().then(() => undefined, (reason) => reason);
      assert(error instanceof CifraError, `${damaged}: ${error}`);
      assertEquals(error.code, "local");
      assert(!error.message.includes("short"));
    }
  });
});

test("a server tells what happened without addresses, unless it is asked to", async () => {
  for (const logAddresses of [false, true]) {
    await withServer(async (server) => {
      const alice = await TestClient.registered(server, await modern("alice"), "alice", "bob");
      await alice.leave();
      await server.told("left");
      const told = JSON.stringify(server.events);
      assertEquals(told.includes("127.0.0.1"), logAddresses);
      const [registered] = server.all("registered");
      assertEquals(registered?.client.length, 14);
    }, { logAddresses });
  }
});

test("the tag of an address is another one on the next day, and after a restart", async () => {
  const tags: string[] = [];
  for (let run = 0; run < 2; run++) {
    const time = new ManualTime();
    await withServer(async (server) => {
      const come = async () => {
        const alice = await TestClient.registered(server, await modern("alice"), "alice", "bob");
        await alice.leave();
        await server.told("left", server.all("registered").length);
        return server.all("registered").at(-1)!.source;
      };
      const first = await come();
      time.advance(DAY - 1);
      assertEquals(await come(), first);
      time.advance(2);
      tags.push(first, await come());
    }, { time });
  }
  assertEquals(new Set(tags).size, 4, tags.join());
  for (const tag of tags) assertMatch(tag, /^[0-9a-f]{8}$/);
});

test("a server that traces tells the six steps of the ladder, and no secret", async () => {
  await withServer(async (server) => {
    const alice = await TestClient.registered(server, await modern("alice"), "alice", "bob");
    await alice.leave();
    const steps = server.all("trace").map(({ step }) => `${step.direction} ${step.message}`);
    assertEquals(steps, [
      "received 1",
      "sent 2",
      "received 3",
      "sent 4",
      "received 5",
      "sent 6",
    ]);
  }, { trace: true });
});
