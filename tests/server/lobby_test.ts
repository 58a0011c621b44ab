/** The lobby over real sockets: who is told of whom, how often, and what becomes of it. */
import { assert, assertEquals } from "@std/assert";
import {
  OUTBOUND_QUEUE_HIGH_WATER,
  PRESENCE_LIMIT,
  PRESENCE_PAUSE,
  WANTS_LIMIT,
  WANTS_PER_MINUTE,
} from "../../lib/limits.ts";
import { encode } from "../../lib/wire/layout.ts";
import { CloseCode, ItemType } from "../../lib/wire/records.ts";
import { relayItem } from "../../lib/wire/relay_messages.ts";
import {
  Capability,
  PersonState,
  refusalOf,
  type ServerRequest,
  type ServerResponse,
} from "../../lib/wire/rendezvous_messages.ts";
import { test } from "../testkit/adversary.ts";
import { person } from "../testkit/handshake.ts";
import {
  registrationOf,
  TestClient,
  type TestServer,
  type Wish,
  withServer,
} from "../testkit/server.ts";
import { NO_RATE } from "../testkit/server_setup.ts";
import { until } from "../testkit/until.ts";
import { ManualTime } from "../testkit/clock.ts";
import { Valve } from "../testkit/valve.ts";

const LOBBY = { capabilities: Capability.lobby };
const HIDDEN = { capabilities: Capability.lobby | Capability.unlisted };
const { here, away, gone } = PersonState;
/** Longest wait for what must come. */
const PATIENCE = 10_000;

async function enter(server: TestServer, name: string, changes: Partial<Wish> = LOBBY) {
  return await TestClient.registered(server, await person("modern", name), name, "", changes);
}

async function waitFor(server: TestServer, name: string, wanted: string) {
  return await TestClient.registered(server, await person("modern", name), name, wanted);
}

type Presence = Extract<ServerResponse, { readonly type: "presence" }>;

/** What each client knows of the lobby from all that it was told, and in how many messages. */
const knowledge = new WeakMap<TestClient, Map<string, number>>();

/** The next response, which must be presence; whoever waits too long for it is cut off. */
async function presence(client: TestClient): Promise<Presence> {
  const timer = setTimeout(() => client.channel.destroy(), PATIENCE);
  const response = await client.next().finally(() => clearTimeout(timer));
  assert(response.type === "presence", `got ${response.type}`);
  const known = response.complete ? new Map<string, number>() : knowledge.get(client)!;
  for (const { name, state } of response.people) {
    if (state === gone) known.delete(name);
    else known.set(name, state);
  }
  knowledge.set(client, known);
  return response;
}

/** Reads presence until what it leads to is this. */
async function sees(client: TestClient, expected: Readonly<Record<string, number>>): Promise<void> {
  const order = (entries: Iterable<[string, number]>) =>
    [...entries].map(([name, state]) => `${name} ${state}`).toSorted().join();
  const wanted = order(Object.entries(expected));
  const known = () => order(knowledge.get(client) ?? []);
  while (known() !== wanted) {
    await presence(client).catch((cause) => {
      throw new Error(`Sees ${known()} instead of ${wanted}`, { cause });
    });
  }
}

test("those in the lobby are told who is there, who comes, is away, and goes", async () => {
  await withServer(async (server) => {
    const alice = await enter(server, "alice");
    assertEquals(await presence(alice), {
      type: "presence",
      complete: 1,
      people: [{ name: "alice", state: here }],
    });
    const bob = await enter(server, "bob");
    assertEquals((await presence(bob)).complete, 1);
    assertEquals(await presence(alice), {
      type: "presence",
      complete: 0,
      people: [{ name: "bob", state: here }],
    });
    bob.send({ type: "away", away: 1 });
    assertEquals((await presence(alice)).people, [{ name: "bob", state: away }]);
    bob.send({ type: "away", away: 0 });
    assertEquals((await presence(alice)).people, [{ name: "bob", state: here }]);
    await bob.leave();
    assertEquals((await presence(alice)).people, [{ name: "bob", state: gone }]);
    await alice.leave();
  });
});

test("one who vanishes, is replaced by an unlisted self, or leaves the lobby is gone", async () => {
  const ways: readonly ((server: TestServer, bob: TestClient) => Promise<TestClient[]>)[] = [
    (_, bob) => {
      bob.channel.destroy();
      return Promise.resolve([]);
    },
    async (server) => [await enter(server, "bob", HIDDEN)],
    async (_, bob) => {
      assertEquals((await bob.register(registrationOf("bob"))).type, "registered");
      return [];
    },
    async (_, bob) => {
      assertEquals((await bob.register(registrationOf("bob", HIDDEN))).type, "registered");
      return [];
    },
  ];
  for (const way of ways) {
    await withServer(async (server) => {
      const alice = await enter(server, "alice"), bob = await enter(server, "bob");
      for (const client of [alice, bob]) await sees(client, { alice: here, bob: here });
      const others = await way(server, bob);
      await sees(alice, { alice: here }).catch((cause) => {
        throw new Error(`${way}`, { cause });
      });
      for (const client of [alice, ...others]) await client.leave();
      bob.channel.destroy();
    });
  }
});

test("one who comes again is still there, is back, and the older connection is told", async () => {
  await withServer(async (server) => {
    const alice = await enter(server, "alice");
    const older = await enter(server, "bob");
    await presence(older);
    older.send({ type: "away", away: 1 });
    await sees(alice, { alice: here, bob: away });
    const newer = await enter(server, "bob");
    await sees(alice, { alice: here, bob: here });
    let last = await older.next();
    while (last.type === "presence") last = await older.next();
    assertEquals(last.type === "refused" && refusalOf(last.code), "replaced");
    await older.leave();
    await server.told("replaced");
    await sees(newer, { alice: here, bob: here });
    // The older one's going is not Bob's.
    const carol = await enter(server, "carol");
    assertEquals((await presence(alice)).people, [{ name: "carol", state: here }]);
    for (const client of [alice, newer, carol]) await client.leave();
  });
});

test("the unlisted are told of others and not named, and cannot be away", async () => {
  await withServer(async (server) => {
    const ghost = await enter(server, "ghost", HIDDEN);
    assertEquals(await presence(ghost), { type: "presence", complete: 1, people: [] });
    const alice = await enter(server, "alice");
    assertEquals((await presence(alice)).people, [{ name: "alice", state: here }]);
    assertEquals((await presence(ghost)).people, [{ name: "alice", state: here }]);
    ghost.send({ type: "away", away: 1 });
    await ghost.leave();
    const bob = await enter(server, "bob");
    // Not a word of the ghost, neither to those who were there nor to those who come.
    assertEquals((await presence(alice)).people, [{ name: "bob", state: here }]);
    assertEquals((await presence(bob)).people.map(({ name }) => name).toSorted(), ["alice", "bob"]);
    for (const client of [alice, bob]) await client.leave();
  });
});

test("those who wait for somebody are not told who is in the lobby, nor named there", async () => {
  await withServer(async (server) => {
    const waiter = await waitFor(server, "waiter", "nobody");
    const alice = await enter(server, "alice");
    assertEquals((await presence(alice)).people, [{ name: "alice", state: here }]);
    await alice.leave();
    await server.told("left");
    const [next] = await Promise.all([waiter.ending(), server.server.stop()]);
    assertEquals(next, CloseCode.shutdown);
    await waiter.leave();
  });
});

test("a burst of 300 who come is a message at once and one more, of several parts, to each", async () => {
  const time = new ManualTime();
  const crowd = 300;
  await withServer(async (server) => {
    const alice = await enter(server, "alice");
    time.advance(0);
    assertEquals((await presence(alice)).complete, 1);
    const clients: TestClient[] = [];
    for (let n = 0; n < crowd; n += 5) {
      clients.push(
        ...await Promise.all([0, 1, 2, 3, 4].map((i) => enter(server, `guest${n + i}`))),
      );
    }
    time.advance(PRESENCE_PAUSE - 1);
    const carol = await enter(server, "carol");
    time.advance(1);
    const parts = [await presence(alice), await presence(alice)];
    assertEquals(parts.map(({ people }) => people.length), [
      PRESENCE_LIMIT,
      crowd + 1 - PRESENCE_LIMIT,
    ]);
    assertEquals(parts.map(({ complete }) => complete), [0, 0]);
    const names = new Set(parts.flatMap(({ people }) => people.map(({ name }) => name)));
    assertEquals(names.size, crowd + 1);
    // One who comes is told of all, in as many parts, of which the first says that it begins.
    const all = [await presence(carol), await presence(carol)];
    assertEquals(all.map(({ complete }) => complete), [1, 0]);
    assertEquals(all.map(({ people }) => people.length), [
      PRESENCE_LIMIT,
      crowd + 2 - PRESENCE_LIMIT,
    ]);
    // And all leave at once.
    await Promise.all(clients.map((client) => client.leave()));
    await server.told("left", crowd);
    time.advance(PRESENCE_PAUSE);
    const left = [await presence(alice), await presence(alice)];
    assert(left.every(({ people }) => people.every(({ state }) => state === gone)));
    for (const client of [alice, carol]) await client.leave();
  }, { time });
});

test("all who are there end with a part that has room for more, if it is an empty one", async () => {
  const time = new ManualTime();
  await withServer(async (server) => {
    const clients: TestClient[] = [];
    for (let n = 0; n < PRESENCE_LIMIT; n += 5) {
      clients.push(
        ...await Promise.all([0, 1, 2, 3, 4].map((i) => enter(server, `guest${n + i}`))),
      );
    }
    const alice = await enter(server, "alice", HIDDEN);
    time.advance(PRESENCE_PAUSE);
    const parts = [await presence(alice), await presence(alice)];
    assertEquals(parts.map(({ complete }) => complete), [1, 0]);
    assertEquals(parts.map(({ people }) => people.length), [PRESENCE_LIMIT, 0]);
    // Of changes there is never an empty part.
    await Promise.all(clients.map((client) => client.leave()));
    await server.told("left", clients.length);
    time.advance(PRESENCE_PAUSE);
    const bob = await enter(server, "bob");
    time.advance(PRESENCE_PAUSE);
    const changes = [await presence(alice), await presence(alice)];
    assertEquals(changes.map(({ people }) => people.length), [PRESENCE_LIMIT, 1]);
    for (const client of [alice, bob]) await client.leave();
  }, { time });
});

test("one who does not read is not kept waiting for, and hears everything when it reads again", async () => {
  const valve = new Valve();
  await withServer(async (server) => {
    const deaf = await TestClient.connect(server, await person("modern", "deaf"));
    const registered = await deaf.register(registrationOf("deaf", LOBBY));
    assert(registered.type === "registered");
    await presence(deaf);
    valve.shut(registered.observed.port);
    const alice = await enter(server, "alice");
    await sees(alice, { alice: here, deaf: here });
    const bob = await enter(server, "bob");
    await sees(alice, { alice: here, deaf: here, bob: here });
    await bob.leave();
    await sees(alice, { alice: here, deaf: here });
    valve.open(registered.observed.port);
    await sees(deaf, { alice: here, deaf: here });
    for (const client of [alice, deaf]) await client.leave();
  }, { environment: valve.environment() });
});

test("one whose queue is long is told of nobody until it has read, and then of how they all are", async () => {
  const valve = new Valve(), time = new ManualTime();
  const pieces = [1, 60_000, 60_000];
  assert(60_000 * 2 > OUTBOUND_QUEUE_HIGH_WATER / 8);
  await withServer(async (server) => {
    const deaf = await TestClient.connect(server, await person("modern", "deaf"));
    const capabilities = Capability.lobby | Capability.relay;
    const registered = await deaf.register(registrationOf("deaf", { capabilities }));
    assert(registered.type === "registered");
    time.advance(0);
    await presence(deaf);
    deaf.want("alice");
    const relay = { capabilities: Capability.relay };
    const who = await person("modern", "alice");
    const alice = await TestClient.registered(server, who, "alice", "deaf", relay);
    const told = await alice.next();
    assert(told.type === "introduction");
    assertEquals((await deaf.next()).type, "introduction");
    valve.shut(registered.observed.port);
    // The first piece is being written, and the others wait for that.
    for (const size of pieces) {
      const content = new Uint8Array(size);
      const item = encode(relayItem, { type: "data", stream: told.generation, content });
      alice.channel.send(ItemType.relay, item);
      await alice.assertAnswered();
    }
    const bob = await enter(server, "bob");
    time.advance(PRESENCE_PAUSE);
    await bob.leave();
    await server.told("left");
    time.advance(PRESENCE_PAUSE);
    const carol = await enter(server, "carol");
    time.advance(PRESENCE_PAUSE);
    valve.open(registered.observed.port);
    for (const _ of pieces) assertEquals((await deaf.nextItem()).type, ItemType.relay);
    await deaf.assertAnswered();
    time.advance(PRESENCE_PAUSE);
    assertEquals((await presence(deaf)).people, [
      { name: "bob", state: gone },
      { name: "carol", state: here },
    ]);
    for (const client of [alice, deaf, carol]) await client.leave();
  }, { time, environment: valve.environment(time) });
});

test("who is in the lobby is told who asks for them, and meets them over the same connection", async () => {
  await withServer(async (server) => {
    const bob = await enter(server, "bob");
    await presence(bob);
    const alice = await waitFor(server, "alice", "bob");
    const offer = await bob.next();
    const { suite, identity } = await person("modern", "alice");
    assertEquals(offer, {
      type: "offer",
      peerName: "alice",
      suite: suite.id,
      bundle: identity.bundle,
    });
    bob.want("alice");
    for (const client of [alice, bob]) assertEquals((await client.next()).type, "introduction");
    await alice.leave();
    await server.told("left");
    // Whoever asked before he came is offered to him when he comes again.
    const carol = await waitFor(server, "carol", "bob");
    assertEquals((await bob.next()).type, "offer");
    await bob.leave();
    await server.told("left", 2);
    const again = await enter(server, "bob");
    const said = [await again.next(), await again.next()];
    const found = said.find(({ type }) => type === "offer");
    assertEquals(found?.type === "offer" && found.peerName, "carol");
    for (const client of [again, carol]) await client.leave();
  });
});

test("an offer is made to one of another suite too, and to nobody else", async () => {
  await withServer(async (server) => {
    const bob = await enter(server, "bob"), dave = await enter(server, "dave");
    await sees(bob, { bob: here, dave: here });
    await sees(dave, { bob: here, dave: here });
    const alice = await TestClient.registered(
      server,
      await person("rsa", "alice"),
      "alice",
      "bob",
    );
    const offer = await bob.next();
    assert(offer.type === "offer");
    assertEquals(offer.suite, alice.channel.established.suite.id);
    const erin = await enter(server, "erin");
    // Dave hears of Erin, and of no offer.
    await sees(dave, { bob: here, dave: here, erin: here });
    for (const client of [alice, bob, dave, erin]) await client.leave();
  });
});

test("one who is declined is told once, and goes on waiting", async () => {
  await withServer(async (server) => {
    const bob = await enter(server, "bob");
    await presence(bob);
    const alice = await waitFor(server, "alice", "bob");
    assertEquals((await bob.next()).type, "offer");
    for (let n = 0; n < 50; n++) bob.send({ type: "decline", name: "alice" });
    assertEquals(await alice.next(), { type: "declined", peerName: "bob" });
    // Nothing comes between that and the introduction, when Bob changes his mind.
    bob.want("alice");
    assertEquals((await alice.next()).type, "introduction");
    for (const client of [alice, bob]) await client.leave();
  });
});

for (
  const request of [
    { type: "decline", name: "alice" },
    { type: "away", away: 1 },
    { type: "want", name: "alice" },
    { type: "unwant", name: "alice" },
    { type: "who" },
    { type: "known", after: "" },
  ] satisfies ServerRequest[]
) {
  test(`a server ends the channel of one who asks for ${request.type} before it has registered`, async () => {
    await withServer(async (server) => {
      const alice = await waitFor(server, "alice", "stranger");
      const stranger = await TestClient.connect(server, await person("modern", "stranger"));
      stranger.send(request);
      assertEquals(await stranger.ending(), "bad_state", request.type);
      stranger.channel.destroy();
      await alice.assertAnswered();
      await alice.leave();
    });
  });
}

test("nobody declines for others, nor those who do not ask", async () => {
  await withServer(async (server) => {
    const bob = await enter(server, "bob"), mallory = await enter(server, "mallory");
    const alice = await waitFor(server, "alice", "bob");
    mallory.send({ type: "decline", name: "alice" });
    mallory.send({ type: "decline", name: "nobody" });
    bob.send({ type: "decline", name: "mallory" });
    const talk = await waitFor(server, "bob", "alice");
    assertEquals((await alice.next()).type, "introduction");
    for (const client of [alice, bob, mallory, talk]) await client.leave();
  });
});

test("one connection wants several people at once, beside other connections of the identity", async () => {
  await withServer(async (server) => {
    const bob = await enter(server, "bob");
    const other = await waitFor(server, "bob", "dave");
    await server.told("wants");
    for (const name of ["alice", "carol"]) bob.want(name);
    await server.told("wants", 3);
    assertEquals([...server.server.people()].map(({ wants, isInLobby }) => [wants, isInLobby]), [
      [["alice", "carol"], true],
      [["dave"], false],
    ]);
    const carol = await waitFor(server, "carol", "bob");
    const told = await carol.next();
    assert(told.type === "introduction");
    assertEquals(told.peerName, "bob");
    // The others are as they were.
    assertEquals([...server.server.people()].map(({ wants }) => wants), [["alice"], ["dave"], []]);
    const alice = await waitFor(server, "alice", "bob");
    assertEquals((await alice.next()).type, "introduction");
    bob.send({ type: "unwant", name: "erin" });
    other.send({ type: "unwant", name: "dave" });
    const dave = await waitFor(server, "dave", "bob");
    await until(() =>
      [...server.server.people()].every(({ name, wants }) =>
        wants.join() === (name === "dave" ? "bob" : "")
      )
    );
    for (const client of [bob, other, alice, carol, dave]) await client.leave();
  });
});

test("one who cannot be wanted ends the want alone: the registration and other wants stay", async () => {
  await withServer(async (server) => {
    const alice = await waitFor(server, "alice", "peer0");
    for (let n = 1; n < WANTS_LIMIT; n++) alice.want(`peer${n}`);
    const wrong = [
      ["one-more", "limit"],
      ["alice", "bad_name"],
      ["server", "bad_name"],
      ["../bob", "bad_name"],
      ["bob\u2713", "bad_name"],
      ["", "bad_name"],
    ] as const;
    for (const [name, code] of wrong) {
      const answer = await alice.ask({ type: "want", name });
      assert(answer.type === "unwanted", `got ${answer.type}`);
      assertEquals([answer.peerName, refusalOf(answer.code)], [name, code]);
      assert(answer.reason !== "");
    }
    assertEquals(
      server.all("refused").map(({ code, request }) => [code, request]),
      wrong.map(
        ([, code]) => [code, "want"],
      ),
    );
    assertEquals(server.all("wants").length, WANTS_LIMIT);
    const peer = await waitFor(server, "peer0", "alice");
    assertEquals((await alice.next()).type, "introduction");
    for (const client of [alice, peer]) await client.leave();
  });
});

test("a want that is refused is over, also when it was there before", async () => {
  await withServer(async (server) => {
    const alice = await waitFor(server, "alice", "bob");
    for (let n = 1; n < WANTS_PER_MINUTE; n++) alice.want("bob");
    const answer = await alice.ask({ type: "want", name: "bob" });
    assert(answer.type === "unwanted", `got ${answer.type}`);
    assertEquals(refusalOf(answer.code), "limit");
    assert(answer.retryAfter > 0 && answer.retryAfter <= 60, `${answer.retryAfter}`);
    assertEquals([...server.server.people()].map(({ wants }) => wants), [[]]);
    await alice.leave();
  });
});

test("both are told when one of two who ask for each other has met too many, and nobody else", async () => {
  await withServer(async (server) => {
    const bob = await waitFor(server, "bob", "carol");
    const carol = await waitFor(server, "carol", "bob");
    for (const each of [bob, carol]) assertEquals((await each.next()).type, "introduction");
    // Who only waits has met nobody.
    const alice = await waitFor(server, "alice", "bob");
    alice.want("frank");
    const dave = await waitFor(server, "dave", "bob");
    const told = await bob.ask({ type: "want", name: "alice" });
    const toAlice = await alice.next();
    assert(told.type === "unwanted" && toAlice.type === "unwanted");
    assertEquals([told.peerName, toAlice.peerName], ["alice", "bob"]);
    assertEquals([refusalOf(told.code), refusalOf(toAlice.code)], ["limit", "limit"]);
    assert(told.retryAfter > 3500 && told.retryAfter <= 3600, `${told.retryAfter}`);
    assertEquals(toAlice.retryAfter, told.retryAfter);
    // The others wait as before, and know nothing of it.
    const wants = [...server.server.people()].map(({ name, wants }) => `${name} ${wants}`).sort();
    assertEquals(wants, ["alice frank", "bob ", "carol ", "dave bob"]);
    await dave.assertAnswered();
    // Whom nobody has asked for is not told that somebody would like to.
    const again = await bob.ask({ type: "want", name: "alice" });
    assertEquals(again.type, "unwanted");
    await alice.assertAnswered();
    for (const client of [alice, bob, carol, dave]) await client.leave();
  }, { limits: { ...NO_RATE, introductionsPerHour: 1 } });
});

test("whoever asks is told of all who are there, once, and is not told of changes", async () => {
  const time = new ManualTime();
  await withServer(async (server) => {
    const alice = await enter(server, "alice");
    time.advance(0);
    await presence(alice);
    const bob = await TestClient.registered(server, await person("modern", "bob"), "bob", "");
    for (let n = 0; n < 100; n++) bob.send({ type: "who" });
    alice.send({ type: "who" });
    await bob.assertAnswered();
    await alice.assertAnswered();
    time.advance(PRESENCE_PAUSE);
    const all = {
      type: "presence",
      complete: 1,
      people: [{ name: "alice", state: here }],
    } as const;
    assertEquals(await presence(bob), all);
    assertEquals(await presence(alice), all);
    const carol = await enter(server, "carol");
    time.advance(PRESENCE_PAUSE);
    assertEquals((await presence(alice)).people, [{ name: "carol", state: here }]);
    // A hundred questions in half a second had one answer, and the news is not for Bob.
    await bob.assertAnswered();
    for (const client of [alice, bob, carol]) await client.leave();
  }, { time });
});

test("200 clients come, take names, rename themselves in vain, wait, and leave at once", async () => {
  await withServer(async (server) => {
    const crowd = 200;
    const watcher = await enter(server, "watcher");
    const people = await Promise.all(
      Array.from({ length: crowd }, (_, n) => person("modern", `member${n}`)),
    );
    // As many at once as a server lets in from one place.
    const lanes = Array.from({ length: 6 }, async (_, lane) => {
      for (let n = lane; n < crowd; n += 6) {
        const who = people[n]!, name = `member${n}`;
        const client = await TestClient.registered(server, who, name, "", LOBBY);
        const other = await TestClient.registered(server, who, name, `member${(n + 1) % crowd}`);
        if (n % 3 === 0) {
          const renamed = await TestClient.connect(server, who);
          const refused = await renamed.register(registrationOf(`other${n}`));
          assertEquals(refused.type === "refused" && refusalOf(refused.code), "name_taken");
          await renamed.leave();
        }
        if (n % 2 === 0) client.channel.destroy();
        else await client.leave();
        await other.leave();
      }
    });
    await Promise.all(lanes);
    await until(() => server.server.connections === 1);
    assertEquals([...server.server.people()].map(({ name }) => name), ["watcher"]);
    assertEquals(server.all("registered").length, 1 + 2 * crowd);
    assertEquals(server.all("left").length, 2 * crowd);
    // What the watcher was told, in the end, is that she is alone.
    await sees(watcher, { watcher: here });
    await watcher.leave();
  });
});

test("whoever is registered is told who is known, here or not, and hidden people are as gone as others", async () => {
  const time = new ManualTime();
  await withServer(async (server) => {
    const alice = await enter(server, "alice");
    const bob = await enter(server, "bob", HIDDEN);
    const carol = await enter(server, "carol");
    carol.send({ type: "away", away: 1 });
    const dave = await TestClient.registered(server, await person("modern", "dave"), "dave", "");
    await carol.assertAnswered();
    const told = await dave.ask({ type: "known", after: "" });
    assert(told.type === "known");
    assertEquals(told.keys.map(({ name, suite, state }) => [name, suite, state]), [
      ["alice", 3, here],
      ["bob", 3, gone],
      ["carol", 3, away],
      ["dave", 3, gone],
    ]);
    const { identity } = await person("modern", "bob");
    assertEquals(told.keys[1]!.fingerprint, identity.fingerprint);
    assertEquals(told.more, 0);
    const rest = await dave.ask({ type: "known", after: "carol" });
    assert(rest.type === "known");
    assertEquals(rest.keys.map(({ name }) => name), ["dave"]);
    for (const client of [alice, bob, carol, dave]) await client.leave();
  }, { time });
});
