/** The relay over real sockets: bytes both ways, one slow reader among others, and every way to end. */
import { assert, assertEquals } from "@std/assert";
import { concat } from "@std/bytes/concat";
import type { Bytes } from "../../lib/bytes.ts";
import type { RefusalCode } from "../../lib/errors.ts";
import { timingSafeEqual } from "../../lib/crypto/platform.ts";
import { ITEM_BODY_LIMIT, MEETINGS_BURST, RELAY_WINDOW } from "../../lib/limits.ts";
import { decode, encode } from "../../lib/wire/layout.ts";
import { CloseCode, ItemType } from "../../lib/wire/records.ts";
import { type RelayItem, relayItem } from "../../lib/wire/relay_messages.ts";
import { Capability, type Introduction, refusalOf } from "../../lib/wire/rendezvous_messages.ts";
import { test } from "../testkit/adversary.ts";
import { cryptoIdle } from "../testkit/turn.ts";
import { ephemeralKeys, person } from "../testkit/handshake.ts";
import {
  registrationOf,
  TestClient,
  type TestServer,
  type Wish,
  withServer,
} from "../testkit/server.ts";
import { NO_RATE, serverOf } from "../testkit/server_setup.ts";
import { ManualTime } from "../testkit/clock.ts";
import { Valve } from "../testkit/valve.ts";

const RELAY = { capabilities: Capability.relay };

function registered(
  server: TestServer,
  name: string,
  wanted: string,
  changes: Partial<Wish> = RELAY,
): Promise<TestClient> {
  return person("modern", name).then((who) =>
    TestClient.registered(server, who, name, wanted, changes)
  );
}

async function introductionOf(client: TestClient): Promise<Introduction> {
  const response = await client.next();
  assert(response.type === "introduction", `got ${response.type}`);
  return response;
}

interface Pair {
  readonly one: TestClient;
  readonly other: TestClient;
  readonly stream: number;
}

/** Two clients that were introduced and are relayed. */
async function relayed(server: TestServer, one: string, other: string): Promise<Pair> {
  const first = await registered(server, one, other);
  return await joined(server, first, one, other);
}

/** The second one comes to the first, which waits already. */
async function joined(
  server: TestServer,
  first: TestClient,
  one: string,
  other: string,
): Promise<Pair> {
  const second = await registered(server, other, one);
  const [a, b] = [await introductionOf(first), await introductionOf(second)];
  assertEquals([a.relay, b.relay], [1, 1]);
  assertEquals(a.generation, b.generation);
  return { one: first, other: second, stream: a.generation };
}

function say(client: TestClient, item: RelayItem): void {
  client.channel.send(ItemType.relay, encode(relayItem, item));
}

function data(client: TestClient, stream: number, content: Bytes | number): void {
  const bytes = typeof content === "number" ? new Uint8Array(content) : content;
  say(client, { type: "data", stream, content: bytes });
}

async function heard(client: TestClient): Promise<RelayItem> {
  const { type, body } = await client.nextItem();
  assertEquals(type, ItemType.relay);
  return decode(relayItem, body);
}

/** Reads `length` bytes of a stream, and gives credit for them as they come. */
async function take(client: TestClient, stream: number, length: number): Promise<Bytes> {
  const pieces: Bytes[] = [];
  for (let missing = length; missing > 0;) {
    const item = await heard(client);
    if (item.type === "credit") continue;
    assert(item.type === "data" && item.stream === stream, `got ${item.type} of ${item.stream}`);
    pieces.push(item.content);
    missing -= item.content.length;
    say(client, { type: "credit", stream, count: item.content.length });
  }
  return concat(pieces);
}

/** A window of data whose every piece can be told from the others. */
function window(): readonly Bytes[] {
  const sizes = [1, 2, 100, 4096, 60_000, ...Array<number>(3).fill(ITEM_BODY_LIMIT - 5)];
  sizes.push(RELAY_WINDOW - sizes.reduce((a, b) => a + b));
  return sizes.map((size, n) => new Uint8Array(size).fill(n + 1));
}

async function leave(...clients: readonly TestClient[]): Promise<void> {
  for (const client of clients) await client.leave();
}

/** Random bytes, in portions that the generator allows. */
function random(length: number): Bytes {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i += 65_536) crypto.getRandomValues(bytes.subarray(i, i + 65_536));
  return bytes;
}

test("random bytes go both ways at once through the relay, in order and unchanged", async () => {
  await withServer(async (server) => {
    const { one, other, stream } = await relayed(server, "alice", "bob");
    const sent = [random(2_000_000), random(2_000_000)] as const;
    const speak = async (client: TestClient, out: Bytes): Promise<Bytes> => {
      const pieces: Bytes[] = [];
      let credit = RELAY_WINDOW, offset = 0, missing = out.length, size = 1;
      while (missing > 0 || offset < out.length) {
        while (credit > 0 && offset < out.length) {
          const length = Math.min(credit, size, out.length - offset);
          data(client, stream, out.subarray(offset, offset + length));
          offset += length;
          credit -= length;
          size = size * 7 % (ITEM_BODY_LIMIT - 4);
        }
        const item = await heard(client);
        assert(item.stream === stream);
        if (item.type === "credit") credit += item.count;
        else if (item.type === "data") {
          pieces.push(item.content);
          missing -= item.content.length;
          say(client, { type: "credit", stream, count: item.content.length });
        } else assert(false, "closed");
      }
      return concat(pieces);
    };
    const got = await Promise.all([speak(one, sent[0]), speak(other, sent[1])]);
    assert(timingSafeEqual(got[0], sent[1]));
    assert(timingSafeEqual(got[1], sent[0]));
    say(one, { type: "close", stream });
    for (let item = await heard(other); item.type !== "close"; item = await heard(other));
    await leave(one, other);
    const names = ["alice", "bob"] as const;
    assertEquals(server.all("relaying"), [{ event: "relaying", names, generation: stream }]);
    assertEquals(server.all("relayed"), [
      { event: "relayed", names, generation: stream, bytes: 4_000_000 },
    ]);
  });
});

test("each item is forwarded as it came, and credit reaches the one who wrote", async () => {
  await withServer(async (server) => {
    const { one, other, stream } = await relayed(server, "alice", "bob");
    const pieces = window();
    for (const content of pieces) data(one, stream, content);
    for (const content of pieces) {
      assertEquals(await heard(other), { type: "data", stream, content });
    }
    say(other, { type: "credit", stream, count: RELAY_WINDOW - 1 });
    assertEquals(await heard(one), { type: "credit", stream, count: RELAY_WINDOW - 1 });
    // The last byte that it may send, and only that one.
    data(one, stream, 60_000);
    assertEquals((await heard(other)).type, "data");
    await leave(one, other);
  });
});

test("one who reads nothing keeps neither the one who writes to it waiting nor another pair", async () => {
  const valve = new Valve();
  await withServer(async (server) => {
    const slow = await TestClient.connect(server, await person("modern", "slow"));
    const response = await slow.register(registrationOf("slow", RELAY));
    assert(response.type === "registered");
    slow.want("alice");
    const { other: alice, stream } = await joined(server, slow, "slow", "alice");
    valve.shut(response.observed.port);
    const pieces = window();
    for (const content of pieces) data(alice, stream, content);
    // The writer's own items are answered, also when they stand behind what cannot be delivered.
    await alice.assertAnswered();
    const before = alice.channel.lastHeard;
    alice.channel.probe();
    await alice.assertAnswered();
    assert(alice.channel.lastHeard > before);

    const fast = await relayed(server, "carol", "dave");
    data(fast.one, fast.stream, 60_000);
    assertEquals((await take(fast.other, fast.stream, 60_000)).length, 60_000);

    valve.open(response.observed.port);
    for (const content of pieces) {
      assertEquals(await heard(slow), { type: "data", stream, content });
    }
    await leave(slow, alice, fast.one, fast.other);
  }, { environment: valve.environment() });
});

for (const how of ["goodbye", "cut", "another want"] as const) {
  test(`the other one is told when one of a pair ends it by ${how}, at either end`, async () => {
    await withServer(async (server) => {
      for (const swap of [false, true]) {
        const pair = await relayed(server, "alice", "bob");
        const { stream } = pair;
        const [leaver, stayer] = swap ? [pair.other, pair.one] : [pair.one, pair.other];
        data(leaver, stream, 10);
        assertEquals((await heard(stayer)).type, "data");
        if (how === "goodbye") await leaver.leave();
        else if (how === "cut") leaver.channel.destroy();
        else {
          const [name, peerName] = swap ? ["bob", "alice"] : ["alice", "bob"];
          // Another registration, and a want of somebody else, are no reason.
          assertEquals((await leaver.register(registrationOf(name, RELAY))).type, "registered");
          leaver.want("nobody");
          data(leaver, stream, 10);
          assertEquals((await heard(stayer)).type, "data");
          leaver.want(peerName);
        }
        assertEquals(await heard(stayer), { type: "close", stream });
        // What crossed with the news finds nobody, and is answered.
        data(stayer, stream, 1);
        assertEquals(await heard(stayer), { type: "close", stream });
        await server.told("relayed", swap ? 2 : 1);
        await leave(stayer, ...how === "another want" ? [leaver] : []);
        await server.told("left", swap ? 4 : 2);
      }
      const bytes = how === "another want" ? 20 : 10;
      assertEquals(server.all("relayed").map((each) => each.bytes), [bytes, bytes]);
    });
  });
}

test("a pair that said nothing ends without a word in the log", async () => {
  await withServer(async (server) => {
    const { one, other, stream } = await relayed(server, "alice", "bob");
    await one.leave();
    assertEquals(await heard(other), { type: "close", stream });
    await other.leave();
    assertEquals([server.all("relaying"), server.all("relayed")], [[], []]);
  });
});

test("a place on the relay is free again when its pair is over; until then others hear that it is full", async () => {
  await withServer(async (server) => {
    const first = await relayed(server, "alice", "bob");
    data(first.one, first.stream, 1);
    assertEquals((await heard(first.other)).type, "data");
    const [carol, dave] = [
      await registered(server, "carol", "dave"),
      await registered(server, "dave", "carol"),
    ];
    assertEquals((await introductionOf(carol)).relay, 1);
    const { generation } = await introductionOf(dave);
    data(dave, generation, 1);
    for (const each of [carol, dave]) {
      assertEquals(await heard(each), { type: "full", stream: generation });
    }
    first.one.channel.destroy();
    assertEquals((await heard(first.other)).type, "close");
    carol.want("dave");
    dave.want("carol");
    const again = await introductionOf(carol);
    await introductionOf(dave);
    data(carol, again.generation, 1);
    assertEquals((await heard(dave)).type, "data");
    await leave(first.other, carol, dave);
  }, { limits: { ...NO_RATE, relayedPairs: 1 } });
});

test("a client that cannot be relayed is served after the introduction like any other", async () => {
  await withServer(async (server) => {
    const alice = await registered(server, "alice", "bob", { capabilities: Capability.punch });
    const bob = await registered(server, "bob", "alice");
    assertEquals((await introductionOf(alice)).relay, 0);
    assertEquals((await introductionOf(bob)).relay, 0);
    await alice.assertAnswered();
    await bob.assertAnswered();
    await leave(alice, bob);
  });
});

test("one whose place in the lobby has gone to a newer connection cannot take it back on the older", async () => {
  const LOBBY = { capabilities: Capability.relay | Capability.lobby };
  await withServer(async (server) => {
    const older = await registered(server, "alice", "", LOBBY);
    assertEquals((await older.next()).type, "presence");
    const newer = await registered(server, "alice", "", LOBBY);
    // Crosses with the news that somebody else has its place now.
    const told = await older.register(registrationOf("alice", LOBBY));
    assertEquals(told.type === "refused" && refusalOf(told.code), "replaced");
    await older.leave();
    newer.want("bob");
    const bob = await registered(server, "bob", "alice");
    assertEquals((await bob.next()).type, "introduction");
    assertEquals(server.all("replaced").length, 1);
    await leave(newer, bob);
  });
});

test("one channel carries the streams of many pairs, each ended by itself", async () => {
  await withServer(async (server) => {
    const hub = await registered(server, "hub", "");
    const pairs = new Map<string, { readonly peer: TestClient; readonly stream: number }>();
    for (const name of ["alice", "bob", "carol"]) {
      hub.want(name);
      const { other: peer, stream } = await joined(server, hub, "hub", name);
      pairs.set(name, { peer, stream });
    }
    const [alice, bob, carol] = [...pairs.values()] as [Joined, Joined, Joined];
    for (const { peer, stream } of pairs.values()) {
      data(hub, stream, 7);
      assertEquals(await heard(peer), { type: "data", stream, content: new Uint8Array(7) });
      data(peer, stream, 8);
      assertEquals(await heard(hub), { type: "data", stream, content: new Uint8Array(8) });
    }
    alice.peer.channel.destroy();
    assertEquals(await heard(hub), { type: "close", stream: alice.stream });
    hub.want("bob");
    assertEquals(await heard(bob.peer), { type: "close", stream: bob.stream });
    data(hub, carol.stream, 9);
    assertEquals((await heard(carol.peer)).stream, carol.stream);
    await hub.leave();
    assertEquals(await heard(carol.peer), { type: "close", stream: carol.stream });
    await leave(bob.peer, carol.peer);
  });
});

interface Joined {
  readonly peer: TestClient;
  readonly stream: number;
}

test("one who reads slowly may be owed a window of each of its streams", async () => {
  const valve = new Valve();
  await withServer(async (server) => {
    const slow = await TestClient.connect(server, await person("modern", "slow"));
    const response = await slow.register(registrationOf("slow", RELAY));
    assert(response.type === "registered");
    const peers: { readonly peer: TestClient; readonly stream: number }[] = [];
    for (const name of ["ann", "ben", "cid", "dan"]) {
      slow.want(name);
      const { other: peer, stream } = await joined(server, slow, "slow", name);
      peers.push({ peer, stream });
    }
    valve.shut(response.observed.port);
    for (const { peer, stream } of peers) {
      for (const content of window()) data(peer, stream, content);
      await peer.assertAnswered();
    }
    valve.open(response.observed.port);
    for (const { stream } of peers) {
      for (const content of window()) {
        assertEquals(await heard(slow), { type: "data", stream, content });
      }
    }
    await leave(slow, ...peers.map(({ peer }) => peer));
  }, { environment: valve.environment() });
});

test("two meet again and again on the same channels, each time with a new stream", async () => {
  await withServer(async (server) => {
    let { one, other, stream } = await relayed(server, "alice", "bob");
    for (let round = 0; round < 5; round++) {
      const before = stream;
      one.want("bob");
      assertEquals(await heard(other), { type: "close", stream });
      other.want("alice");
      stream = (await introductionOf(one)).generation;
      assertEquals((await introductionOf(other)).generation, stream);
      assert(stream > before);
      data(other, stream, 3);
      assertEquals(await heard(one), { type: "data", stream, content: new Uint8Array(3) });
      data(other, before, 3);
      assertEquals(await heard(other), { type: "close", stream: before });
    }
    await leave(one, other);
  });
});

test("one that registers again while it waits goes on waiting, at its new ports", async () => {
  await withServer(async (server) => {
    const alice = await registered(server, "alice", "carol");
    alice.want("bob");
    for (const receivePort of [40_002, 40_003, 40_004]) {
      const response = await alice.register(registrationOf("alice", { ...RELAY, receivePort }));
      assertEquals(response.type, "registered");
    }
    await alice.assertAnswered();
    for (const name of ["carol", "bob"]) {
      const peer = await registered(server, name, "alice", {});
      assertEquals((await introductionOf(alice)).peerName, name);
      assertEquals((await introductionOf(peer)).receivePort, 40_004);
      await peer.leave();
    }
    await alice.leave();
  });
});

test("the number of a registration grows on one channel too; a wrong one ends it and frees the name", async () => {
  const wrong: readonly [Partial<Wish>, RefusalCode][] = [
    [{ registrationSequence: 5n }, "stale_registration"],
    [{ registrationSequence: 4n }, "stale_registration"],
    [{ name: "alicia" }, "name_taken"],
    [{ name: "bob" }, "name_taken"],
    [{ receivePort: 22 }, "bad_address"],
  ];
  for (const [changes, code] of wrong) {
    await withServer(async (server) => {
      const alice = await registered(server, "alice", "bob", {
        ...RELAY,
        registrationSequence: 5n,
      });
      const again = registrationOf("alice", {
        ...RELAY,
        registrationSequence: 6n,
        ...changes,
      });
      const response = await alice.register(again);
      assertEquals(response.type === "refused" && refusalOf(response.code), code);
      assertEquals(await alice.ending(), CloseCode.failed);
      await alice.leave();
      await server.told("left");
      assertEquals([...server.server.people()], []);
      const back = await registered(server, "alice", "bob", { registrationSequence: 7n });
      await back.leave();
    });
  }
});

test("two who meet again and again over one channel are told when again", async () => {
  await withServer(async (server) => {
    const { one, other } = await relayed(server, "alice", "bob");
    for (let n = 0; n < MEETINGS_BURST; n++) {
      one.want("bob");
      assertEquals((await heard(other)).type, "close");
      other.want("alice");
      await introductionOf(one);
      await introductionOf(other);
    }
    const response = await one.ask({ type: "want", name: "bob" });
    assert(response.type === "unwanted", `got ${response.type}`);
    assertEquals(refusalOf(response.code), "limit");
    assert(response.retryAfter > 0 && response.retryAfter <= 5, `${response.retryAfter}`);
    await leave(one, other);
  });
});

test("credit beyond the rate is held back until its moment, and not longer", async () => {
  const time = new ManualTime();
  const rate = 100_000;
  await withServer(async (server) => {
    const { one, other, stream } = await relayed(server, "alice", "bob");
    for (let n = 0; n < 4; n++) data(one, stream, 60_000);
    await take(other, stream, 240_000);
    let credit = 0;
    while (credit < 180_000) {
      const item = await heard(one);
      assert(item.type === "credit");
      credit += item.count;
    }
    assertEquals(credit, 180_000);
    // 20,000 are left of what was saved up for two seconds; for 60,000 it takes 400 ms.
    await other.assertAnswered();
    time.advance(399);
    await one.assertAnswered();
    time.advance(2);
    assertEquals(await heard(one), { type: "credit", stream, count: 60_000 });
    await leave(one, other);
  }, { time, limits: { ...NO_RATE, relayRate: rate } });
  assertEquals(time.pending, 0);
});

test("stop() says goodbye to those who are relayed, and forgets what it held back", async () => {
  const time = new ManualTime();
  await withServer(async (server) => {
    const { one, other, stream } = await relayed(server, "alice", "bob");
    data(one, stream, 60_000);
    await take(other, stream, 60_000);
    assertEquals(await heard(one), { type: "credit", stream, count: 2000 });
    // The beat of the server, and the alarm for the credit that is left.
    assertEquals(time.pending, 2);
    const stopping = server.server.stop();
    data(one, stream, 1);
    assertEquals(await one.ending(), CloseCode.shutdown);
    assertEquals(await other.ending(), CloseCode.shutdown);
    await leave(one, other);
    await stopping;
    assertEquals(time.pending, 0);
  }, { time, limits: { ...NO_RATE, relayRate: 1000 } });
});

Deno.test({
  name: "a server of ready keys needs no disk",
  permissions: { net: true },
  fn: async () => {
    const host = await person("modern", "host");
    const side = { ...host, ephemeralKey: ephemeralKeys(host.suite, "host") };
    const server = serverOf([side], { gateWidth: 1 });
    const { secret } = server.invites.standing(Date.now());
    try {
      assertEquals([...server.fingerprints], [["modern", host.identity.fingerprint]]);
      const { port } = server.endpoints[0]!;
      const client = await TestClient.connect(
        { port },
        await person("modern", "alice"),
        secret,
      );
      assertEquals(client.channel.established.theirs.fingerprint, host.identity.fingerprint);
      assertEquals((await client.register(registrationOf("alice"))).type, "registered");
      await client.leave();
    } finally {
      await server.stop();
      await cryptoIdle();
    }
  },
});
