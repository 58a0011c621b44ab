import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { Bytes } from "../../lib/bytes.ts";
import { claimName } from "../../lib/client/name_claim.ts";
import { type ServerDialOptions, ServerLink } from "../../lib/client/server_link.ts";
import { systemRandom } from "../../lib/crypto/platform.ts";
import { CifraError } from "../../lib/errors.ts";
import {
  HANDSHAKE_DEADLINE,
  RELAY_WINDOW,
  RESPONSES_LIMIT,
  SILENCE_DEADLINE,
} from "../../lib/limits.ts";
import { systemEnvironment } from "../../lib/net/environment.ts";
import { Ticker } from "../../lib/flow/ticker.ts";
import type { Transport } from "../../lib/channel/transport.ts";
import type { Endpoint } from "../../lib/wire/address.ts";
import { CloseCode, ItemType } from "../../lib/wire/records.ts";
import {
  Capability,
  REFUSAL_CODES,
  type Registration,
  type ServerResponse,
} from "../../lib/wire/rendezvous_messages.ts";
import { test } from "../testkit/adversary.ts";
import { ephemeralKeys, person } from "../testkit/handshake.ts";
import { until } from "../testkit/until.ts";
import {
  introductionOf,
  type PuppetChannel,
  PuppetServer,
  REGISTERED,
} from "../testkit/puppet_server.ts";
import { registrationOf, signed, type Wish, withServer } from "../testkit/server.ts";
import { codeOf, talk } from "../testkit/talkers.ts";
import { ManualTime } from "../testkit/clock.ts";
import { TestNetwork } from "../testkit/test_network.ts";
import { lineOf } from "../../lib/wire/line.ts";

const HOST = "127.0.0.1";
const NEVER = new AbortController().signal;
const RELAY = { capabilities: Capability.relay };
/** An address of no machine; tests say where it leads. */
const ELSEWHERE = "192.0.2.1";

type Change = Partial<ServerDialOptions>;

/** How somebody dials a server at this port of this machine. */
async function dialling(port: number, name = "alice", change: Change = {}) {
  const { suite, identity } = await person("modern", name);
  const address = { host: HOST, port, fingerprint: undefined, inviteSecret: undefined };
  const ephemeralKey = ephemeralKeys(suite, name);
  const ticker = new Ticker(systemEnvironment.time);
  return {
    environment: systemEnvironment,
    address,
    suite,
    identity,
    ephemeralKey,
    ticker,
    ...change,
  };
}

async function open(port: number, name?: string, change?: Change): Promise<ServerLink> {
  return await ServerLink.open(await dialling(port, name, change));
}

/** A registration with the word of its owner, or of somebody else. */
async function registration(
  name: string,
  change: Partial<Wish> = {},
  who = name,
): Promise<Registration> {
  return await signed(await person("modern", who), registrationOf(name, change));
}

/** A link to a server that the test plays, registered. */
async function played(
  scene: (link: ServerLink, server: PuppetChannel) => Promise<void>,
): Promise<void> {
  await using server = await PuppetServer.open();
  const [link, channel] = await Promise.all([open(server.port), server.accept()]);
  try {
    const registering = link.register(await registration("alice", RELAY));
    await channel.register();
    await registering;
    await scene(link, channel);
  } finally {
    channel.letGo();
    await link.leave();
  }
}

async function fails(promise: Promise<unknown>): Promise<string> {
  return codeOf(await promise.then(() => undefined, (error) => error));
}

/** The introduction that comes next. */
async function introduced(link: ServerLink) {
  const news = await link.nextNews(NEVER);
  assert(news?.type === "introduction", `got ${news?.type}`);
  return news;
}

/** Two that were introduced by a real server. */
async function pair(port: number, change: Partial<Registration> = RELAY) {
  const alice = await open(port, "alice"), bob = await open(port, "bob");
  await alice.register(await registration("alice", change));
  await bob.register(await registration("bob", change));
  alice.want("bob");
  bob.want("alice");
  return { alice, bob, toAlice: await introduced(alice), toBob: await introduced(bob) };
}

async function writeAll(stream: Transport, bytes: Bytes): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await stream.write(bytes.subarray(sent));
}

async function readAll(stream: Transport, length: number): Promise<Bytes> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const count = await stream.read(bytes.subarray(done));
    assert(count, `the stream ended after ${done} bytes`);
    done += count;
  }
  return bytes;
}

test("open() climbs to the server, register() says what it sees of us", () =>
  talk(async ({ server }) => {
    const link = await open(server.port);
    assertEquals(
      link.identity.fingerprint,
      (await person("modern", "server")).identity.fingerprint,
    );
    assertEquals(link.remote, { host: HOST, port: server.port });
    assertEquals(await link.register(await registration("alice")), link.local);
    assert(link.isOpen);
    await link.leave();
    assert(!link.isOpen);
  }));

test("register() throws what the server refuses it with", () =>
  talk(async ({ server }) => {
    const first = await open(server.port, "alice");
    await first.register(await registration("alice"));
    const refusals: [string, string, Partial<Registration>][] = [
      ["bob", "Bob!", {}],
      ["bob", "alice", {}],
      ["bob", "bob", { receivePort: 22 }],
      ["alice", "alice", { registrationSequence: 0n }],
    ];
    const codes: string[] = [];
    for (const [who, name, change] of refusals) {
      const link = await open(server.port, who);
      codes.push(await fails(link.register(await registration(name, change, who))));
      await link.leave();
    }
    assertEquals(codes, ["bad_name", "name_taken", "bad_address", "stale_registration"]);
    await first.leave();
  }));

test("clocks that are years apart are told of each other, and the same clocks are not", () => {
  const time = { ...systemEnvironment.time, date: () => Date.UTC(2026, 10, 25) };
  return withServer(async (server) => {
    const { identity } = await person("modern", "alice");
    const registering = async (date: number) => {
      const wish = registrationOf("alice");
      const ours = { identity, others: [] };
      const claim = await claimName("alice", ours, wish.registrationSequence, date, wish);
      const link = await open(server.port, "alice");
      try {
        return await link.register({ ...wish, claim });
      } finally {
        await link.leave();
      }
    };
    const error = await assertRejects(() => registering(0), CifraError);
    assertEquals([error.code, error.hint], ["auth_failed", "check the clock of this machine"]);
    assertStringIncludes(error.message, "This clock says 1970-01-01, the server's 2026-11-25");
    assertEquals((await registering(time.date())).host, HOST);
  }, { environment: { ...systemEnvironment, time } });
});

test("a refusal says when to come again, if the server does", () =>
  played(async (link, server) => {
    const code = REFUSAL_CODES.limit;
    server.respond({ type: "refused", code, retryAfter: 30, reason: lineOf("Too many") });
    server.channel.close(CloseCode.failed);
    const error = await assertRejects(() => link.nextNews(NEVER), CifraError);
    assertEquals([error.code, error.hint], ["limit", "try again in 30 s"]);
    assertStringIncludes(error.message, "Too many");
  }));

test("two who want each other are introduced, and the server keeps both", () =>
  talk(async ({ server }) => {
    const { alice, bob, toAlice, toBob } = await pair(server.port, {});
    assertEquals([toAlice.peerName, toBob.peerName], ["bob", "alice"]);
    assertEquals(toAlice.rendezvousKey, toBob.rendezvousKey);
    assertEquals([toAlice.generation, toAlice.relay], [toBob.generation, 0]);
    alice.who();
    const news = await alice.nextNews(NEVER);
    assertEquals(news, { type: "presence", complete: 1, people: [] });
    await alice.leave();
    await bob.leave();
  }));

test("a want is over with its introduction, and may be said again on the same link", () =>
  talk(async ({ server }) => {
    const { alice, bob, toAlice } = await pair(server.port);
    const oldStream = bob.relay(toAlice.generation);
    alice.want("bob");
    // Whoever wants somebody has nobody at present.
    assertEquals(await oldStream.read(new Uint8Array(1)), null);
    bob.want("alice");
    const [again] = [await introduced(alice), await introduced(bob)];
    assert(again.generation > toAlice.generation);
    const [left, right] = [alice.relay(again.generation), bob.relay(again.generation)];
    await writeAll(left, new Uint8Array([1, 2, 3]));
    assertEquals(await readAll(right, 3), new Uint8Array([1, 2, 3]));
    await alice.leave();
    await bob.leave();
  }));

test("one link serves many wants, and one that the server ends leaves the others", () =>
  talk(async ({ server }) => {
    const [alice, bob, carol] = [
      await open(server.port, "alice"),
      await open(server.port, "bob"),
      await open(server.port, "carol"),
    ];
    for (const [link, name] of [[alice, "alice"], [bob, "bob"], [carol, "carol"]] as const) {
      await link.register(await registration(name, RELAY));
    }
    alice.want("No name!");
    const news = await alice.nextNews(NEVER);
    assert(news?.type === "unwanted");
    assertEquals([news.peerName, news.code], ["No name!", REFUSAL_CODES.bad_name]);
    alice.want("bob");
    alice.want("carol");
    bob.want("alice");
    carol.want("alice");
    const [one, other] = [await introduced(alice), await introduced(alice)];
    assertEquals([one.peerName, other.peerName].sort(), ["bob", "carol"]);
    assert(one.generation !== other.generation);
    alice.want("dave");
    alice.unwant("dave");
    const again = await alice.register(await registration("alice", RELAY));
    assertEquals(again, alice.local);
    for (const link of [alice, bob, carol]) await link.leave();
  }));

test("a relayed stream carries any number of bytes both ways at once", () =>
  talk(async ({ server }) => {
    const { alice, bob, toAlice } = await pair(server.port);
    const [left, right] = [alice.relay(toAlice.generation), bob.relay(toAlice.generation)];
    const [there, back] = [4 * RELAY_WINDOW + 7, 3 * RELAY_WINDOW + 1].map((length) =>
      Uint8Array.from({ length }, (_, i) => (i ^ (i >> 8)) & 0xff)
    );
    const [heard, answered] = await Promise.all([
      readAll(right, there!.length),
      readAll(left, back!.length),
      writeAll(left, there!),
      writeAll(right, back!),
    ]);
    assertEquals([heard, answered], [there, back]);
    left.close();
    assertEquals(await right.read(new Uint8Array(1)), null);
    assert(alice.isOpen && bob.isOpen);
    await alice.leave();
    await bob.leave();
  }));

test("what the other side sends before we ask for the stream is there when we do", () =>
  talk(async ({ server }) => {
    const { alice, bob, toAlice } = await pair(server.port);
    await writeAll(alice.relay(toAlice.generation), new Uint8Array([7]));
    const stream = bob.relay(toAlice.generation);
    assertEquals(await stream.read(new Uint8Array(1)), 1);
    assert(stream === bob.relay(toAlice.generation));
    await alice.leave();
    assertEquals(await stream.read(new Uint8Array(1)), null);
    await bob.leave();
  }));

test("relayed data right behind the introduction finds its stream", () =>
  played(async (link, server) => {
    const { identity } = await person("modern", "bob");
    server.respond({ type: "introduction", ...introductionOf(5, identity) });
    server.relay({ type: "data", stream: 5, content: new Uint8Array([1, 2]) });
    server.relay({ type: "data", stream: 6, content: new Uint8Array([3]) });
    await server.channel.flush();
    assertEquals((await introduced(link)).generation, 5);
    assertEquals(await readAll(link.relay(5), 2), new Uint8Array([1, 2]));
    // What is for a stream that nobody has is passed over.
    assert(link.isOpen);
  }));

test("a server that relays more than was asked for is left", () =>
  played(async (link, server) => {
    const { identity } = await person("modern", "bob");
    server.respond({ type: "introduction", ...introductionOf(5, identity) });
    const stream = link.relay((await introduced(link)).generation);
    for (let n = 0; n < 9; n++) {
      const content = new Uint8Array(RELAY_WINDOW / 8);
      server.relay({ type: "data", stream: 5, content });
    }
    assertEquals(await fails(link.nextNews(NEVER)), "limit");
    assert(!link.isOpen);
    await readAll(stream, RELAY_WINDOW);
    assertEquals(await stream.read(new Uint8Array(1)), null);
    assertEquals(await server.end(), "limit");
  }));

test("nothing is said on a link that is over", () =>
  played(async (link, server) => {
    server.letGo();
    await link.leave();
    link.want("bob");
    link.unwant("bob");
    link.decline("bob");
    link.who();
    link.setAway(true);
    assertEquals(await fails(link.ask({ type: "who" })), "cut");
  }));

test("nextNews() ends with its signal, and what comes later is not lost", () =>
  played(async (link, server) => {
    for (let n = 0; n < 3; n++) {
      const stop = new AbortController();
      const waiting = link.nextNews(stop.signal);
      stop.abort();
      assertEquals(await waiting, undefined);
    }
    assertEquals(await link.nextNews(AbortSignal.abort()), undefined);
    server.respond({ type: "suiteMismatch", peerName: "bob", peerSuite: 3, yourSuite: 1 });
    assertEquals(await link.nextNews(NEVER), {
      type: "suiteMismatch",
      peerName: "bob",
      peerSuite: 3,
      yourSuite: 1,
    });
  }));

test("a server that speaks out of turn is left", async () => {
  const { identity } = await person("modern", "bob");
  const wrong: ((server: PuppetChannel) => void)[] = [
    (server) => server.channel.send(ItemType.request, new Uint8Array(0)),
    (server) => server.channel.send(ItemType.message, new Uint8Array(20)),
    (server) => server.channel.send(ItemType.ack, new Uint8Array(16)),
    (server) => server.respond(REGISTERED),
    (server) => server.channel.send(ItemType.relay, new Uint8Array([9])),
    (server) => server.channel.send(ItemType.response, new Uint8Array([9])),
    (server) => server.relay({ type: "data", stream: 1, content: new Uint8Array(0) }),
  ];
  const codes: string[] = [];
  for (const say of wrong) {
    await played(async (link, server) => {
      server.respond({ type: "introduction", ...introductionOf(1, identity) });
      await introduced(link);
      say(server);
      codes.push(await fails(link.nextNews(NEVER)));
    });
  }
  const state = "bad_state", frame = "bad_frame";
  assertEquals(codes, [state, state, state, state, frame, frame, frame]);
});

test("a server that says more than anybody asks for is left", () =>
  played(async (link, server) => {
    const news = { type: "suiteMismatch", peerName: "bob", peerSuite: 3, yourSuite: 1 } as const;
    server.respond(...Array<typeof news>(RESPONSES_LIMIT + 1).fill(news));
    assertEquals(await server.end(), "bad_state");
    for (let n = 0; n < RESPONSES_LIMIT; n++) {
      assertEquals((await link.nextNews(NEVER))?.type, "suiteMismatch");
    }
    assertEquals(await fails(link.nextNews(NEVER)), "bad_state");
  }));

test("a server that is silent for a minute is given up", async () => {
  await using server = await PuppetServer.open();
  const time = new ManualTime();
  const environment = { time, network: new TestNetwork(), random: systemRandom };
  const ticker = new Ticker(time);
  const opening = open(server.port, "alice", { environment, ticker });
  const [link, channel] = await Promise.all([opening, server.accept()]);
  const registering = link.register(await registration("alice"));
  await channel.register();
  await registering;
  const waiting = fails(link.nextNews(NEVER));
  time.advance(SILENCE_DEADLINE - 1000);
  assert(link.isOpen);
  time.advance(2000);
  assertEquals(await waiting, "timeout");
  await link.leave();
  assertEquals(time.pending, 0);
});

test("a server that does not answer a registration is given up sooner", async () => {
  await using server = await PuppetServer.open();
  const time = new ManualTime();
  const environment = { time, network: new TestNetwork(), random: systemRandom };
  const ticker = new Ticker(time);
  const opening = open(server.port, "alice", { environment, ticker });
  const [link] = await Promise.all([opening, server.accept()]);
  const registering = fails(link.register(await registration("alice")));
  time.advance(HANDSHAKE_DEADLINE);
  assert(link.isOpen);
  time.advance(3000);
  assertEquals(await registering, "timeout");
  await link.leave();
  assertEquals(time.pending, 0);
});

test("there is no news before the registration", async () => {
  await using server = await PuppetServer.open();
  const { identity } = await person("modern", "bob");
  const news: readonly ServerResponse[] = [
    { type: "introduction", ...introductionOf(1, identity) },
    { type: "presence", complete: 1, people: [] },
    { type: "declined", peerName: "bob" },
  ];
  for (const word of news) {
    const [link, channel] = await Promise.all([open(server.port), server.accept()]);
    const registering = link.register(await registration("alice"));
    channel.respond(word, REGISTERED);
    assertEquals(await fails(registering), "bad_state", word.type);
    assertEquals(await channel.end(), "bad_state");
    await link.leave();
  }
});

test("a second answer to one question does not pass for the answer to the next", async () => {
  await using server = await PuppetServer.open();
  const [link, channel] = await Promise.all([open(server.port), server.accept()]);
  const registering = link.register(await registration("alice"));
  await channel.request();
  channel.respond(REGISTERED, REGISTERED);
  assertEquals(await registering, REGISTERED.observed);
  assertEquals(await fails(link.nextNews(NEVER)), "bad_state");
  channel.letGo();
  await link.leave();
});

test("a server that shuts down says so, and every stream ends", () =>
  talk(async ({ server }) => {
    const { alice, bob, toAlice } = await pair(server.port);
    const stream = alice.relay(toAlice.generation);
    const [waiting, reading] = [fails(alice.nextNews(NEVER)), stream.read(new Uint8Array(1))];
    const stopped = server.stop();
    assertEquals([await waiting, await reading], ["shutdown", null]);
    assertEquals(await fails(bob.nextNews(NEVER)), "shutdown");
    // One that is asked for late is over as well.
    assertEquals(await alice.relay(99).read(new Uint8Array(1)), null);
    await alice.leave();
    await bob.leave();
    await stopped;
  }));

test("a server that goes without a word is a cut, whatever is asked of it", () =>
  played(async (link, server) => {
    const waiting = fails(link.nextNews(NEVER));
    server.transport.close();
    assertEquals(await waiting, "cut");
    assertEquals(await fails(link.nextNews(NEVER)), "cut");
    assertEquals(await fails(link.register(await registration("alice"))), "cut");
    assertEquals(await link.leave(), []);
  }));

test("leave() gives the news that were under way, and the server is done with us", () =>
  played(async (link, server) => {
    const { identity } = await person("modern", "bob");
    const stop = new AbortController();
    const waiting = link.nextNews(stop.signal);
    stop.abort();
    assertEquals(await waiting, undefined);
    const leaving = link.leave();
    server.respond(
      { type: "introduction", ...introductionOf(5, identity) },
      { type: "declined", peerName: "carol" },
    );
    assertEquals(await server.letGo(), "goodbye");
    const [introduction, declined, ...others] = await leaving;
    assert(introduction?.type === "introduction");
    assertEquals([introduction.generation, declined?.type, others], [5, "declined", []]);
    assert(!link.isOpen);
  }));

test("leave() gives nothing when nothing was under way", () =>
  talk(async ({ server }) => {
    const link = await open(server.port);
    await link.register(await registration("alice"));
    assertEquals(await link.leave(), []);
    await until(() => server.connections === 0, "the server has seen us go");
  }));

test("a server that takes too long for the ladder is given up, and nothing is left", async () => {
  await using server = await PuppetServer.open();
  const time = new ManualTime(), network = new TestNetwork();
  const ticker = new Ticker(time);
  const environment = { time, network, random: systemRandom };
  const opening = fails(open(server.port, "alice", { environment, ticker }));
  await until(() => network.open === 1 && time.pending === 1, "the ladder has begun");
  time.advance(HANDSHAKE_DEADLINE - 1000);
  assertEquals(network.open, 1);
  time.advance(2000);
  assertEquals(await opening, "timeout");
  assertEquals([network.open, time.pending], [0, 0]);
});

test("a server that hangs up in the ladder is a cut, with what to try", async () => {
  await using server = await PuppetServer.open();
  for (const invited of [false, true]) {
    const options = await dialling(server.port);
    const inviteSecret = invited ? systemRandom(32) : undefined;
    const opening = ServerLink.open({ ...options, address: { ...options.address, inviteSecret } });
    const arrival = server.arrival().then((transport) => transport.close());
    const error = await assertRejects(() => opening, CifraError);
    await arrival;
    assertEquals(error.code, "cut");
    assertStringIncludes(error.hint!, invited ? "--invite" : "try again in a minute");
  }
});

test("a suite that the server does not have is refused by name", () =>
  talk(async ({ server }) => {
    const { suite, identity } = await person("classic", "alice");
    const ephemeralKey = ephemeralKeys(suite, "alice");
    const opening = open(server.port, "alice", { suite, identity, ephemeralKey });
    const error = await assertRejects(() => opening, CifraError);
    assertEquals(error.code, "suite_refused");
    assertStringIncludes(error.message, "classic");
    assertStringIncludes(error.hint!, "--allow-classic");
  }));

test("a server that is not to be trusted does not learn who we are", async () => {
  await using server = await PuppetServer.open();
  const checkServer = () => {
    throw new CifraError("identity_unknown", "Not this one");
  };
  const accepting = server.accept().then(() => undefined, (error) => error);
  assertEquals(await fails(open(server.port, "alice", { checkServer })), "identity_unknown");
  assert(await accepting, "the ladder came to its end");
});

/** A network on which one address leads to this machine, and a record of how it was dialled. */
function leading(dialFrom: (from: number, to: Endpoint) => Promise<void>) {
  const network = new TestNetwork({
    ...systemEnvironment.network,
    dial: (host, port) => {
      assertEquals(host, ELSEWHERE);
      return systemEnvironment.network.dial(HOST, port);
    },
    dialFrom: async (from, to, signal) => {
      await dialFrom(from, to);
      return await systemEnvironment.network.dialFrom(from, { ...to, host: HOST }, signal);
    },
  });
  return { network, environment: { ...systemEnvironment, network } };
}

test("a server elsewhere is dialled from the send port", () =>
  talk(async ({ server }) => {
    const { network, environment } = leading(() => Promise.resolve());
    const sendPort = systemEnvironment.network.findFreePort(HOST);
    const options = await dialling(server.port, "alice", { environment, sendPort });
    const address = { ...options.address, host: ELSEWHERE };
    const link = await ServerLink.open({ ...options, address });
    assertEquals(network.dials, [{ from: sendPort, to: { host: ELSEWHERE, port: server.port } }]);
    assertEquals(link.local.port, sendPort);
    assertEquals((await link.register(await registration("alice"))).port, sendPort);
    await link.leave();
  }));

test("a server elsewhere is dialled from any port while the send port is in use", () =>
  talk(async ({ server }) => {
    for (const code of ["EADDRINUSE", "EADDRNOTAVAIL", "EINVAL"]) {
      const cause = Object.assign(new Error(`connect ${code}`), { code });
      const { network, environment } = leading(() =>
        Promise.reject(new CifraError("unreachable", "Cannot reach it", { cause }))
      );
      const options = await dialling(server.port, "alice", { environment, sendPort: 4000 });
      const address = { ...options.address, host: ELSEWHERE };
      const link = await ServerLink.open({ ...options, address });
      assertEquals(network.dials.map(({ from }) => from), [4000, undefined]);
      assert(link.local.port !== 4000);
      await link.leave();
    }
  }));

test("a server elsewhere that cannot be reached is not dialled twice", async () => {
  const cause = new Error("connect ECONNREFUSED");
  const { network, environment } = leading(() =>
    Promise.reject(new CifraError("unreachable", "Cannot reach it", { cause }))
  );
  const options = await dialling(9, "alice", { environment, sendPort: 4000 });
  const address = { ...options.address, host: ELSEWHERE };
  assertEquals(await fails(ServerLink.open({ ...options, address })), "unreachable");
  assertEquals(network.dials.length, 1);
});

test("a server here, or one by name, is dialled from any port", () =>
  talk(async ({ server }) => {
    for (const host of [HOST, "localhost", "chat.example"]) {
      const network = new TestNetwork({
        ...systemEnvironment.network,
        dial: (_, port) => systemEnvironment.network.dial(HOST, port),
      });
      const environment = { ...systemEnvironment, network };
      const options = await dialling(server.port, "alice", { environment, sendPort: 4000 });
      const link = await ServerLink.open({ ...options, address: { ...options.address, host } });
      assertEquals(network.dials, [{ from: undefined, to: { host, port: server.port } }]);
      await link.leave();
    }
  }));
